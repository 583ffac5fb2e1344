"""Rows to their experts and back: sorting by expert, and the weighted sum per token.

Both directions only read: where a token's rows went is kept beside where each row came from, so neither pass
of the derivative scatters.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, Residuals
from tessera.core.operands import as_integer, to_array
from tessera.ops.moe.routing import Route
from tessera.ops.moe.wire import is_packed, rounded

REDUCTIONS = ("sum", "mean")
INTEGER = "integer"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InverseRoute:
    """Where dispatched rows came from, and where each token's rows went.

    `sizes` (experts,) counts the rows of each expert, which lie one after another; `load` what it was before
    the capacity. `source` (rows,) is the assignment token * k + choice of each row, or tokens * k where there
    is none; `place` (tokens, k) the row of each assignment, or the number of rows where it was dropped;
    `gate` (tokens, k) weighs the results. `lead` are the axes the tokens had.
    """

    sizes: jax.Array
    load: jax.Array
    source: jax.Array
    place: jax.Array
    gate: jax.Array
    lead: tuple[int, ...] = field(metadata={"static": True})


def moe_dispatch(
    x: Any,
    route: Route,
    *,
    capacity: int | None = None,
    transport: Any = None,
) -> tuple[jax.Array, InverseRoute]:
    """Returns the tokens sorted by expert, one row per assignment, and what brings them back.

    `x` is (..., d) and the route (..., k), with the number of experts known. Rows of one expert keep the
    order of their tokens. With a `capacity`, an expert takes that many and the rest are dropped: there are
    min(tokens * k, experts * capacity) rows, those beyond the sum of the sizes 0. `transport` is that of
    `op.moe`: rows do not leave the device here, but `pack_dtype` rounds them as if they did. Raises
    `E_SHAPE_MISMATCH` if the route does not fit x, `E_GRAPH_INVALID` and `E_DRIVER` as `op.moe` does.

    >>> import jax.numpy as jnp
    >>> route = Route(jnp.array([[1], [0]]), jnp.array([[0.5], [2.0]]), experts=2)
    >>> rows, back = moe_dispatch(jnp.array([[1.0], [3.0]]), route)
    >>> rows.ravel().tolist(), moe_combine(rows, back).ravel().tolist()
    ([3.0, 1.0], [0.5, 6.0])
    """
    packed = is_packed(transport)
    tokens = to_array("moe_dispatch", "x", x)
    if route.experts is None:
        raise _invalid("moe_dispatch", "the route does not say how many experts there are")
    require_fit(tokens, route)
    lead = tokens.shape[:-1]
    flat = tokens.reshape(math.prod(lead), tokens.shape[-1])
    back = _inverse(route, as_capacity(capacity), lead)
    return spread(rounded(flat) if packed else flat, back.source, back.place), back


def moe_combine(partials: Any, inverse_route: InverseRoute, *, reduce: str = "sum") -> jax.Array:
    """Returns for every token the sum of its rows times their gates, (..., n).

    `partials` (rows, n) is what the experts made of the rows of `op.moe_dispatch`. Terms are added in the
    order of a token's choices, in at least fp32; a dropped one is 0. `reduce="mean"` divides by the sum of
    the gates, dropped ones included. Raises `E_GRAPH_INVALID` for another word, `E_SHAPE_MISMATCH` if the
    rows do not fit.

    >>> import jax.numpy as jnp
    >>> route = Route(jnp.array([[0, 1]]), jnp.array([[0.25, 0.5]]), experts=2)
    >>> rows, back = moe_dispatch(jnp.array([[4.0]]), route)
    >>> moe_combine(rows, back).item(), moe_combine(rows, back, reduce="mean").item()
    (3.0, 4.0)
    """
    if reduce not in REDUCTIONS:
        raise _invalid("moe_combine", f"reduce is {reduce!r}; one of {', '.join(REDUCTIONS)}")
    rows = to_array("moe_combine", "partials", partials)
    back = inverse_route
    if rows.ndim != 2 or rows.shape[0] != back.source.shape[0]:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe_combine: partials have shape {rows.shape}, not ({back.source.shape[0]}, n).",
        )
    out = _gather.bind(rows, back.gate, back.source, back.place)
    if reduce == "mean":
        wide = numerics.accumulator(back.gate.dtype)
        total = jnp.sum(back.gate, axis=-1, keepdims=True, dtype=wide)
        out = (out / jnp.where(total == 0, 1, total).astype(out.dtype)).astype(out.dtype)
    return out.reshape(*back.lead, out.shape[-1])


def as_capacity(capacity: Any) -> int | None:
    """Returns how many rows an expert takes, None for all."""
    if capacity is None:
        return None
    limit = as_integer("moe", "capacity", capacity)
    if limit < 1:
        raise _invalid("moe", f"capacity is {limit}, not at least 1")
    return limit


def require_fit(tokens: jax.Array, route: Route) -> None:
    """Raises unless the axes of a route are those of the tokens but the last, then k."""
    lead = tokens.shape[:-1]
    fits = tokens.ndim > 0 and route.index.shape == route.gate.shape
    if not fits or route.index.shape[:-1] != lead or route.index.ndim != tokens.ndim:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe_dispatch: index {route.index.shape} and gate {route.gate.shape} of a route for x "
            f"{tokens.shape}; they are the axes of x but the last, then k.",
        )


@dataclass(frozen=True)
class Sorted:
    """Assignments sorted by expert, those of one expert in the order of their tokens.

    `chosen` is the expert of each, or the number of experts where there is none; `order` the assignment at
    each place; `within` how many of its expert stand before each; `starts` (experts + 1,) where each expert
    begins.
    """

    chosen: jax.Array
    order: jax.Array
    within: jax.Array
    starts: jax.Array

    @classmethod
    def of(cls, index: jax.Array, experts: int) -> "Sorted":
        """Returns the assignments index (..., k) sorted by expert."""
        index = index.reshape(index.size).astype(jnp.int32)
        # An expert that does not exist is the last group here, of which no row is kept.
        chosen = jnp.where((index >= 0) & (index < experts), index, experts)
        order = jnp.argsort(chosen, stable=True).astype(jnp.int32)
        rank = jnp.argsort(order).astype(jnp.int32)
        starts = jnp.searchsorted(chosen[order], jnp.arange(experts + 1, dtype=jnp.int32))
        starts = starts.astype(jnp.int32)
        return cls(chosen, order, rank - starts[chosen], starts)

    @property
    def load(self) -> jax.Array:
        """The number of assignments of each expert, (experts,)."""
        return jnp.diff(self.starts)

    def kept(self, sizes: jax.Array) -> jax.Array:
        """Returns which assignments are among the first `sizes` (experts,) of their expert."""
        room = jnp.concatenate([sizes, jnp.zeros(1, sizes.dtype)])
        return self.within < room[self.chosen]

    def at(self, expert: jax.Array, within: jax.Array) -> jax.Array:
        """Returns the assignments of experts at some places within them; both are clipped."""
        last = max(self.order.shape[0] - 1, 0)
        return self.order[jnp.clip(self.starts[expert] + within, 0, last)]


def _inverse(route: Route, capacity: int | None, lead: tuple[int, ...]) -> InverseRoute:
    experts, total = route.experts, route.index.size
    assert experts is not None
    found = Sorted.of(route.index, experts)
    sizes = found.load if capacity is None else jnp.minimum(found.load, capacity)
    rows = total if capacity is None else min(total, experts * capacity)
    ends = jnp.cumsum(sizes, dtype=jnp.int32)
    starts = jnp.concatenate([jnp.zeros(1, jnp.int32), ends])
    place = jnp.where(found.kept(sizes), starts[found.chosen] + found.within, rows)
    row = jnp.arange(rows, dtype=jnp.int32)
    member = jnp.searchsorted(ends, row, side="right")
    source = jnp.where(member < experts, found.at(member, row - starts[member]), total)
    shape = (math.prod(lead), route.index.shape[-1])
    gate = route.gate.reshape(shape)
    return InverseRoute(sizes, found.load, source, place.reshape(shape), gate, lead)


# -- the two moves, each the other's transpose -----------------------------------------------------------


def spread(x: jax.Array, source: jax.Array, place: jax.Array) -> jax.Array:
    """Returns a row of x (t, d) for each of the assignments source (r,), 0 for those there are not.

    An assignment is token * k + choice; place (t, k) is where each went, or r: for the derivative.
    """
    return _spread.bind(x, source, place)


def _spread_reference(x: jax.Array, source: jax.Array, place: jax.Array) -> jax.Array:
    return _rows(x, source // max(place.shape[-1], 1))


def _gather_reference(
    rows: jax.Array, gate: jax.Array, source: jax.Array, place: jax.Array
) -> jax.Array:
    del source
    wide = numerics.wider(numerics.accumulator(rows.dtype), gate.dtype)
    shape = (*place.shape[:-1], rows.shape[-1])
    total = jnp.zeros(shape, wide)
    for j in range(place.shape[-1]):
        weight = gate[..., j, None].astype(wide)
        total = total + weight * _rows(rows, place[..., j]).astype(wide)
    return total.astype(rows.dtype)


def _rows(x: jax.Array, places: jax.Array) -> jax.Array:
    """Returns the rows of x at some places, and 0 beyond the last."""
    if x.shape[-2] == 0:
        return jnp.zeros((*places.shape, x.shape[-1]), x.dtype)
    near = jnp.minimum(places, x.shape[-2] - 1)[..., None]
    found = jnp.take_along_axis(x, near, axis=-2, mode="clip")
    return jnp.where((places < x.shape[-2])[..., None], found, 0)


_spread = Op(
    _spread_reference,
    parse("*b t d, *b r, *b t k -> *b r d"),
    ("float", INTEGER, INTEGER),
    "moe_spread",
)
_gather = Op(
    _gather_reference,
    parse("*b r d, *b t k, *b r, *b t k -> *b t d"),
    ("float", "~float", INTEGER, INTEGER),
    "moe_gather",
)


@_spread.def_vjp
def _(res: Residuals, ct: jax.Array) -> tuple[jax.Array, None, None]:
    _, source, place = res.operands
    ones = jnp.ones(place.shape, numerics.accumulator(ct.dtype))
    return _gather.bind(ct, ones, source, place), None, None


@_gather.def_vjp
def _(res: Residuals, ct: jax.Array) -> tuple[jax.Array, jax.Array, None, None]:
    rows, gate, source, place = res.operands
    wide = numerics.wider(numerics.accumulator(rows.dtype), gate.dtype)
    dy = ct.astype(wide)
    flat = gate.reshape(*gate.shape[:-2], gate.shape[-2] * gate.shape[-1], 1)
    drows = _rows(flat, source).astype(wide) * _spread.bind(ct, source, place).astype(wide)
    dgate = [
        jnp.sum(dy * _rows(rows, place[..., j]).astype(wide), axis=-1)
        for j in range(place.shape[-1])
    ]
    return drows, jnp.stack(dgate, axis=-1), None, None


def _invalid(op: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.")
