"""Roofline cost: the floating-point operations and bytes of a node, and the time a device needs for them.

A node takes at least flops / peak and at least bytes / bandwidth; its roofline time is the larger
(Williams, Waterman and Patterson 2009). Operations are counted as they are usually quoted: a product of (m,
k) and (k, n) has 2 m k n, an elementwise function one per element. A Tessera op is counted through its
reference.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Literal, Primitive

from tessera.core import compat
from tessera.core.primitive import EXPANSIONS

CACHED = 4096
FREE = frozenset(
    "broadcast_in_dim reshape squeeze expand_dims transpose iota rev slice concatenate pad copy "
    "stop_gradient convert_element_type split stack gather dynamic_slice dynamic_update_slice select_n "
    "device_put".split()
)
BODIES = ("jaxpr", "call_jaxpr", "body_jaxpr")


@dataclass(frozen=True)
class Device:
    """What a program is compiled for; peaks are of one device, all its cores."""

    platform: str  # "cpu", "cuda", "rocm", "tpu"
    kind: str
    flops_per_second: float  # of products of float32 matrices
    bytes_per_second: float  # to and from main memory
    cache_bytes: int  # of the last level
    processors: int = (
        1  # that run programs of one kernel at the same time: cores, or multiprocessors
    )
    architecture: str = ""  # of a GPU: "sm_90", "gfx942"


@dataclass(frozen=True)
class Cost:
    """Operations and bytes moved; a loop of unknown length counts one pass and makes it inexact."""

    flops: int = 0
    bytes: int = 0
    exact: bool = True

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.bytes + other.bytes, self.exact and other.exact)

    def seconds(self, device: Device) -> float:
        """Returns the roofline time on a device."""
        return max(self.flops / device.flops_per_second, self.bytes / device.bytes_per_second)


def cost_of(equation: JaxprEqn) -> Cost:
    """Returns the cost of an equation run by itself: its operands are read and its results written.

    >>> import jax.numpy as jnp
    >>> (product,) = jax.make_jaxpr(jnp.matmul)(jnp.ones((2, 3)), jnp.ones((3, 4))).jaxpr.eqns
    >>> cost_of(product)
    Cost(flops=48, bytes=104, exact=True)
    """
    moved = sum(map(bytes_of, (*equation.invars, *equation.outvars)))
    flops, exact = flops_of(equation)
    return Cost(flops, moved, exact)


def bytes_of(atom: Any) -> int:
    """Returns the size of a value in memory, 0 where it is not known."""
    aval = atom.aval
    if isinstance(atom, Literal) or not isinstance(aval, ShapedArray):
        return 0
    return _elements(aval) * aval.dtype.itemsize


def flops_of(equation: JaxprEqn) -> tuple[int, bool]:
    """Returns the operations of an equation and whether the count is exact."""
    name = equation.primitive.name
    if name in FREE:
        return 0, True
    if name in COUNTED:
        return COUNTED[name](equation), True
    if equation.primitive in EXPANSIONS:
        return _flops_of_op(equation)
    if name == "scan":
        flops, exact = _flops_inside(equation.params["jaxpr"])
        return flops * equation.params["length"], exact
    if name == "cond":
        inside = [_flops_inside(branch) for branch in equation.params["branches"]]
        return max(flops for flops, _ in inside), all(exact for _, exact in inside)
    for key in BODIES:
        if key in equation.params:
            flops, exact = _flops_inside(equation.params[key])
            return flops, exact and name != "while"
    return sum(_elements(v.aval) for v in equation.outvars), True


def _flops_inside(jaxpr: Any) -> tuple[int, bool]:
    return _total(compat.opened(jaxpr)[0].eqns)


def _total(equations: Iterable[JaxprEqn]) -> tuple[int, bool]:
    counts = [flops_of(equation) for equation in equations]
    return sum(flops for flops, _ in counts), all(exact for _, exact in counts)


def _flops_of_op(equation: JaxprEqn) -> tuple[int, bool]:
    avals = map(_aval, equation.invars)
    types = tuple(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals)
    return _flops_of_reference(equation.primitive, types, tuple(equation.params.items()))


@lru_cache(CACHED)
def _flops_of_reference(
    primitive: Primitive, types: tuple[Any, ...], params: tuple[tuple[str, Any], ...]
) -> tuple[int, bool]:
    function = partial(EXPANSIONS[primitive], **dict(params))
    return _flops_inside(jax.make_jaxpr(function)(*types))


def _aval(atom: Any) -> Any:
    return atom.aval


def _elements(aval: Any) -> int:
    if not isinstance(aval, ShapedArray):
        return 0
    sizes = [n if isinstance(n, int) else 1 for n in aval.shape]
    return math.prod(sizes)


def _flops_of_dot(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    lhs = _aval(equation.invars[0])
    inner = math.prod(n for i in contracted if isinstance(n := lhs.shape[i], int))
    return 2 * inner * _elements(equation.outvars[0].aval)


def _flops_of_conv(equation: JaxprEqn) -> int:
    kernel = _aval(equation.invars[1])
    features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2 * _elements(equation.outvars[0].aval) * (_elements(kernel) // max(features, 1))


def _flops_of_reduction(equation: JaxprEqn) -> int:
    return _elements(equation.invars[0].aval)


def _flops_of_fft(equation: JaxprEqn) -> int:
    points = math.prod(equation.params["fft_lengths"])
    size = max(_elements(equation.invars[0].aval), _elements(equation.outvars[0].aval))
    return round(5 * size * math.log2(max(points, 2)))


def _flops_of_grouped(equation: JaxprEqn) -> int:
    """Returns the operations of a grouped product, whose reference multiplies every row by every matrix."""
    x, w = (_aval(v).shape for v in equation.invars[:2])
    products = len(equation.outvars)  # one, and two in its backward
    return 2 * products * math.prod(x[:-1]) * math.prod(w[1:])


COUNTED: Mapping[str, Any] = {
    "dot_general": _flops_of_dot,
    "conv_general_dilated": _flops_of_conv,
    "fft": _flops_of_fft,
    "grouped_matmul": _flops_of_grouped,
    "grouped_matmul_bwd": _flops_of_grouped,
    **dict.fromkeys(
        ["reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin", "cumsum"],
        _flops_of_reduction,
    ),
}
