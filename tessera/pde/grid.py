"""Derivatives of values on a regular grid: by Fourier series where it is periodic, else by differences.

    periodic, n points x_i = i L / n          d^m of the wave e^(ikx) is (ik)^m times it: exact for what
                                              the grid can represent. For odd m the wave of n/2, which has
                                              no sign, has derivative 0.
    otherwise, points a spacing h apart       the polynomial through order + m points (one more for even m in
                                              the middle, where symmetry gains one), one-sided at the ends

The weights of a difference make it exact for polynomials (Fornberg, Math. Comp. 51, 1988): they solve a
Vandermonde system in float64.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, as_integer, as_number, to_array

PERIODIC, OPEN = "periodic", "open"
ORDERS = (2, 4, 6, 8)


@dataclass(frozen=True)
class Grid:
    """One axis of a grid: its number, spacing, whether it is periodic, and the order of differences.

    The order is None for Fourier series.
    """

    axis: int
    spacing: float
    periodic: bool
    order: int | None


def grid_of(
    op: str, x: Any, axis: Any, spacing: Any, domain: Any, bc: str | None, order: Any
) -> tuple[jax.Array, Grid]:
    """Returns values as an array, and the axis of their grid, from the arguments of `op.grad`."""
    array = to_array(op, "x", x)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: the grid holds {array.dtype}, neither float nor complex.",
            hints="x.astype(jnp.float32)",
        )
    place = as_axis(op, axis, array.ndim)
    if (spacing is None) == (domain is None):
        found = "neither" if spacing is None else "both"
        raise _invalid(
            op,
            f"{found} of spacing= and domain= given",
            "domain= is the length of a periodic axis, spacing= the distance of two points",
        )
    if bc not in (None, PERIODIC, OPEN):
        raise _invalid(op, f"unknown bc {bc!r}; one of {PERIODIC}, {OPEN}")
    periodic = bc == PERIODIC if bc is not None else domain is not None
    n = array.shape[place]
    given = as_number(
        op, "spacing" if domain is None else "domain", spacing if domain is None else domain
    )
    if not (math.isfinite(given) and given > 0):
        raise _invalid(op, f"{'spacing' if domain is None else 'domain'} is {given}, not above 0")
    parts = n if periodic else n - 1
    step = given if domain is None else given / max(parts, 1)
    return array, Grid(place, step, periodic, _order(op, order, periodic))


def derivative(op: str, x: jax.Array, grid: Grid, times: int = 1) -> jax.Array:
    """Returns the derivative, taken `times` times, of values along an axis of a grid; same shape, same dtype.

    >>> x = np.arange(8) * 2 * np.pi / 8
    >>> periodic = Grid(0, 2 * np.pi / 8, True, None)
    >>> bool(np.allclose(derivative("grad", jnp.sin(x), periodic), np.cos(x), atol=1e-6))
    True
    """
    if x.size == 0:
        return x
    wide = jnp.moveaxis(x, grid.axis, -1).astype(numerics.accumulator(x.dtype))
    if grid.order is None:
        found = _by_series(wide, grid.spacing, times)
    else:
        found = _by_differences(op, wide, grid, grid.order, times)
    return jnp.moveaxis(found, -1, grid.axis).astype(x.dtype)


def _by_series(x: jax.Array, spacing: float, times: int) -> jax.Array:
    n = x.shape[-1]
    real = not jnp.iscomplexobj(x)
    waves = np.fft.rfftfreq(n, spacing) if real else np.fft.fftfreq(n, spacing)
    factors = (2j * np.pi * waves) ** times
    if times % 2 and n % 2 == 0:
        factors[n // 2] = 0
    if real:
        spectrum = jnp.fft.rfft(x)
        return jnp.fft.irfft(_times(spectrum, factors), n=n)
    return jnp.fft.ifft(_times(jnp.fft.fft(x), factors))


def _times(x: jax.Array, factors: np.ndarray) -> jax.Array:
    return x * jnp.asarray(factors, x.dtype).reshape((1,) * (x.ndim - 1) + factors.shape)


def _by_differences(op: str, x: jax.Array, grid: Grid, order: int, times: int) -> jax.Array:
    n, reach = x.shape[-1], (order + times - 1) // 2
    width = order + times if not grid.periodic else 2 * reach + 1
    if n < width:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: axis {grid.axis} has {n} points; differences of order {order} need {width}.",
        )
    scale = grid.spacing**-times
    middle = difference_weights(tuple(range(-reach, reach + 1)), times) * scale
    if grid.periodic:
        x = jnp.concatenate([x[..., n - reach :], x, x[..., :reach]], axis=-1)
        return _correlate(x, middle)
    inside = _correlate(x, middle)
    starts = [difference_weights(tuple(range(-i, width - i)), times) for i in range(reach)]
    left = np.stack(starts) * scale
    right = left[::-1, ::-1] * (-1) ** times
    return jnp.concatenate(
        [_product(x[..., :width], left), inside, _product(x[..., n - width :], right)], axis=-1
    )


def _correlate(x: jax.Array, weights: np.ndarray) -> jax.Array:
    """Returns the sums over k of w_k x_(i+k)."""
    count = x.shape[-1] - len(weights) + 1
    terms = [x[..., k : k + count] * float(w) for k, w in enumerate(weights) if w]
    return functools.reduce(jnp.add, terms)


def _product(x: jax.Array, rows: np.ndarray) -> jax.Array:
    return jnp.einsum(
        "...k,rk->...r", x, jnp.asarray(rows, x.dtype), precision=jax.lax.Precision.HIGHEST
    )


@functools.cache
def difference_weights(offsets: tuple[int, ...], times: int) -> np.ndarray:
    """Returns the weights of values at integer offsets in the derivative at 0, taken `times` times.

    >>> difference_weights((-1, 0, 1), 2).tolist()
    [1.0, -2.0, 1.0]
    """
    powers = np.vander(np.array(offsets, np.float64), increasing=True).T
    wanted = np.zeros(len(offsets))
    wanted[times] = math.factorial(times)
    weights = np.linalg.solve(powers, wanted)
    if offsets == tuple(-k for k in reversed(offsets)):  # symmetric to the last bit
        weights = (weights + (-1) ** times * weights[::-1]) / 2
    return weights


def _order(op: str, order: Any, periodic: bool) -> int | None:
    if order is None:
        return None if periodic else ORDERS[0]
    found = as_integer(op, "order", order)
    if found not in ORDERS:
        raise _invalid(op, f"order {found} is none of {', '.join(map(str, ORDERS))}")
    return found


def _invalid(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())
