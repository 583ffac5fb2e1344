"""How far an array is from its float64 value, and how much an operation amplifies errors.

References: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002 (sections 1.2, 1.6, 3.1
and 4.2); Gohberg and Koltracht, SIAM J. Matrix Anal. Appl. 14 (1993) 688-704, for mixed condition numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.numerics.widening import PLACEMENT, is_inexact

Function = Callable[..., list[Any]]

# Move or pick data: no result is a combination of operands.
MOVES = PLACEMENT | frozenset(
    "broadcast_in_dim reshape transpose squeeze expand_dims slice dynamic_slice gather concatenate pad rev "
    "select_n convert_element_type reduce_precision sort top_k reduce_max reduce_min max min stop_gradient "
    "copy abs neg real imag conj split tile name optimization_barrier dynamic_update_slice scatter "
    "bitcast_convert_type cummax cummin reduce_window_max reduce_window_min clamp".split()
)
# Every result depends on one element of each operand.
ELEMENTWISE = frozenset(
    "rem pow integer_pow exp exp2 expm1 log log1p sin cos tan "
    "asin acos atan atan2 sinh cosh tanh asinh acosh atanh logistic erf erfc erf_inv lgamma digamma floor "
    "ceil round sign".split()
)
ADDITIONS = frozenset({"add", "add_any", "sub"})
# Sums of operands or of products of them; the number counts the factors of a product.
SUMS = {
    "reduce_sum": 1,
    "cumsum": 1,
    "reduce_window_sum": 1,
    "scatter-add": 1,
    "dot_general": 2,
    "conv_general_dilated": 2,
    "ragged_dot_general": 2,
}
# Products of powers of the operands, with the size of the exponent.
POWERS = {"mul": 1.0, "div": 1.0, "square": 2.0, "sqrt": 0.5, "rsqrt": 0.5, "cbrt": 1 / 3}
PROBES = 4


@dataclass(frozen=True)
class Error:
    """The error of an array against float64, over the elements that are finite and do not underflow.

    `ulps` is the largest error in units in the last place of the dtype, `median_ulps` the median one. For a
    significand of p bits 2^p is the most there is: no digit is right, and beside an exact zero none can be.
    `relative` is the largest error over the largest magnitude: the relative error in the maximum norm.
    """

    ulps: float = 0.0
    median_ulps: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What one evaluation of an operation shows."""

    local: Error
    accumulated: Error
    condition: float
    increase: float  # of the relative error, at most 1, from the worst operand to the results
    overflows: int
    underflows: int
    nans: int
    breaks: int  # elements that are not finite though float64 has finite ones on the same operands


def ulp(exact: np.ndarray, dtype: Any) -> np.ndarray:
    """Returns the unit in the last place of a dtype at every number, not below that of the smallest normal.

    >>> print(ulp(np.array([1.0, 1.5, 2.0, 0.0]), np.float32) * 2.0**23)
    [1.00000000e+00 1.00000000e+00 2.00000000e+00 1.17549435e-38]
    """
    limits = jnp.finfo(dtype)
    exponents = np.frexp(np.maximum(np.abs(exact), float(limits.smallest_normal)))[1] - 1
    return np.ldexp(1.0, exponents - limits.nmant)


def error(found: np.ndarray, exact: np.ndarray, dtype: Any) -> Error:
    """Returns the error of numbers of a dtype, given in float64, against exact ones.

    >>> error(np.array([1.0, 3.0]), np.array([1.0, 3.0 + 2**-22]), np.float32).ulps
    1.0
    """
    compared = np.isfinite(found) & np.isfinite(exact) & ~_underflow(found, exact, dtype)
    found, exact = (found, exact) if compared.all() else (found[compared], exact[compared])
    if not exact.size:
        return Error()
    off = np.abs(found - exact)
    if not off.any():
        return Error()
    ulps = np.minimum(off / ulp(exact, dtype), 2.0 ** (jnp.finfo(dtype).nmant + 1))
    return Error(float(ulps.max()), float(np.median(ulps)), _ratio(off.max(), np.abs(exact).max()))


def together(errors: Sequence[Error]) -> Error:
    """Returns the error of several arrays or evaluations: the largest, and the median of the medians."""
    if not errors:
        return Error()
    return Error(
        max(e.ulps for e in errors),
        float(np.median([e.median_ulps for e in errors])),
        max(e.relative for e in errors),
    )


def distance(found: Sequence[Any], exact: Sequence[Any]) -> float:
    """Returns the largest difference of several arrays, infinite where one is not finite and the other is.

    >>> distance([np.array([1.0, 2.0])], [np.array([1.0, 2.5])])
    0.5
    """
    return max(
        (_distance(parts(a), parts(b)) for a, b in zip(found, exact, strict=True) if is_inexact(a)),
        default=0.0,
    )


def overflows(found: np.ndarray, exact: np.ndarray) -> int:
    """Returns how many elements are finite in float64 and infinite or NaN in the working precision."""
    return int((np.isfinite(exact) & ~np.isfinite(found)).sum())


def underflows(found: np.ndarray, exact: np.ndarray, dtype: Any) -> int:
    """Returns how many elements are too small for a normal number: zero or subnormal, but not in float64."""
    return int(_underflow(found, exact, dtype).sum())


def parts(x: Any) -> np.ndarray:
    """Returns an array of float64, or of the real and imaginary parts of complex128, on the host."""
    found = np.asarray(x)
    return np.stack([np.real(found), np.imag(found)]) if np.iscomplexobj(found) else found


def condition(
    name: str, function: Function, operands: Sequence[Any], varies: Sequence[bool], results: Any
) -> float:
    """Returns the mixed condition number of an operation: max |J||x| over max |f(x)|, J its Jacobian.

    That bounds the relative error of the results, in the maximum norm, over the relative error of every
    operand that `varies`; for one number x and one result it is |x f'(x) / f(x)|, and sum |x| / |sum x| for a
    sum. It is exact for elementwise operations, sums and products of matrices; for others it is estimated as
    the root mean square over a few random signs of the operands' errors, which is less than the bound. NaN
    where the derivative is not known.
    """
    moving = [v and is_inexact(x) for v, x in zip(varies, operands, strict=True)]
    if not any(moving):
        return 0.0
    if name in MOVES:
        return 1.0
    if name in POWERS:
        return POWERS[name] * sum(moving) if _largest(results[0]) else 0.0
    try:
        amplified = _rule(name)(function, operands, moving)
    except NotImplementedError:  # JAX's word for a primitive without a derivative
        return float("nan")
    sizes = zip(amplified, results, strict=True)
    return max((_ratio(_largest(a), _largest(f)) for a, f in sizes if is_inexact(f)), default=0.0)


def _rule(name: str) -> Callable[[Function, Sequence[Any], Sequence[bool]], list[Any]]:
    if name in ADDITIONS:
        return _added
    if name in ELEMENTWISE:
        return _operand_by_operand
    return _of_magnitudes(SUMS[name]) if name in SUMS else _probed


def _added(_function: Function, operands: Sequence[Any], moving: Sequence[bool]) -> list[Any]:
    sizes = [np.abs(np.asarray(x)) for x, moves in zip(operands, moving, strict=True) if moves]
    return [sum(sizes)]


def _operand_by_operand(
    function: Function, operands: Sequence[Any], moving: Sequence[bool]
) -> list[Any]:
    """Returns |J||x|, where every result depends on one element of each operand."""
    total: list[Any] = []
    for place, moves in enumerate(moving):
        if moves:
            found = _push(function, operands, {place: operands[place]})
            total = (
                [jnp.abs(y) for y in found]
                if not total
                else [t + jnp.abs(y) for t, y in zip(total, found, strict=True)]
            )
    return total


def _of_magnitudes(factors: int) -> Callable[..., list[Any]]:
    def amplified(function: Function, operands: Sequence[Any], moving: Sequence[bool]) -> list[Any]:
        sizes = [jnp.abs(x) if is_inexact(x) else x for x in operands]
        return [min(factors, sum(moving)) * jnp.abs(y) for y in function(*sizes)]

    return amplified


def _probed(function: Function, operands: Sequence[Any], moving: Sequence[bool]) -> list[Any]:
    random = np.random.default_rng(0)
    squares: list[Any] = []
    for _ in range(PROBES):
        steps = {
            place: x * random.choice((-1.0, 1.0), size=x.shape).astype(x.dtype)
            for place, (x, moves) in enumerate(zip(operands, moving, strict=True))
            if moves
        }
        found = [jnp.abs(y) ** 2 for y in _push(function, operands, steps)]
        squares = found if not squares else [s + y for s, y in zip(squares, found, strict=True)]
    return [jnp.sqrt(s / PROBES) for s in squares]


def _push(function: Function, operands: Sequence[Any], steps: dict[int, Any]) -> list[Any]:
    """Returns the tangents of the results for steps of some operands; zero for a result of integers."""

    def of_moving(*moving: Any) -> list[Any]:
        given = dict(zip(steps, moving, strict=True))
        return function(*(given.get(place, x) for place, x in enumerate(operands)))

    primals = tuple(operands[place] for place in steps)
    _, tangents = jax.jvp(of_moving, primals, tuple(steps.values()))
    return [jnp.zeros(t.shape) if t.dtype == jax.dtypes.float0 else t for t in tangents]


def _distance(found: np.ndarray, exact: np.ndarray) -> float:
    finite = np.isfinite(found)
    if (finite != np.isfinite(exact)).any():
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinity minus infinity, which is not looked at
        return float(np.abs(found - exact).max(where=finite, initial=0.0))


def _largest(x: Any) -> float:
    sizes = np.abs(np.asarray(x))
    sizes = sizes[np.isfinite(sizes)]
    return float(sizes.max()) if sizes.size else 0.0


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return 0.0 if part == 0 else float("inf")
    with np.errstate(over="ignore"):
        return float(np.float64(part) / np.float64(whole))


def _underflow(found: np.ndarray, exact: np.ndarray, dtype: Any) -> np.ndarray:
    least = float(jnp.finfo(dtype).smallest_normal)
    return (exact != 0) & (np.abs(exact) < least) & (np.abs(found) < least)
