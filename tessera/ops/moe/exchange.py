"""Rows to their experts and back: sorting by expert, and the weighted sum per token.

Both directions only read: where a token's rows went is kept beside where each row came from, so neither pass
of the derivative scatters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import errors, numerics
from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, Residuals
from tessera.core.operands import as_integer, to_array
from tessera.ops.moe.routing import Route

REDUCTIONS = ("sum", "mean")
TRANSPORTS = ("auto", "nccl")
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
    min(tokens * k, experts * capacity) rows, those beyond the sum of the sizes 0. `transport` is checked, and
    without effect on one device. Raises `E_SHAPE_MISMATCH` if the route does not fit x, `E_GRAPH_INVALID`
    and `E_DRIVER` as `op.moe` does.

    >>> import jax.numpy as jnp
    >>> route = Route(jnp.array([[1], [0]]), jnp.array([[0.5], [2.0]]), experts=2)
    >>> rows, back = moe_dispatch(jnp.array([[1.0], [3.0]]), route)
    >>> rows.ravel().tolist(), moe_combine(rows, back).ravel().tolist()
    ([3.0, 1.0], [0.5, 6.0])
    """
    check_transport(transport)
    tokens = to_array("moe_dispatch", "x", x)
    if route.experts is None:
        raise _invalid("moe_dispatch", "the route does not say how many experts there are")
    _require_fit(tokens, route)
    lead, k = tokens.shape[:-1], route.index.shape[-1]
    count = math.prod(lead)
    limit = None if capacity is None else as_integer("moe", "capacity", capacity)
    if limit is not None and limit < 1:
        raise _invalid("moe", f"capacity is {limit}, not at least 1")
    back = _inverse(route, count, k, limit, lead)
    rows = _spread.bind(tokens.reshape(count, tokens.shape[-1]), back.source, back.place)
    return rows, back


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


def check_transport(transport: Any) -> None:
    """Raises unless a transport is one there is: `{"type": "auto" | "nccl"}`."""
    if transport is None:
        return
    if not isinstance(transport, Mapping) or not set(transport) <= {"type", "pack_dtype"}:
        raise _invalid("moe", f"transport is {transport!r}, not a dict of type and pack_dtype")
    word = transport.get("type", "auto")
    if word not in TRANSPORTS:
        raise errors.RuntimeError(
            Code.E_DRIVER, f"moe: there is no transport {word!r}; one of {', '.join(TRANSPORTS)}."
        )
    if transport.get("pack_dtype") is not None:
        raise _invalid(
            "moe", f"pack_dtype={transport['pack_dtype']!r} needs a policy that permits fp8"
        )


def _require_fit(tokens: jax.Array, route: Route) -> None:
    lead = tokens.shape[:-1]
    fits = tokens.ndim > 0 and route.index.shape == route.gate.shape
    if not fits or route.index.shape[:-1] != lead or route.index.ndim != tokens.ndim:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe_dispatch: index {route.index.shape} and gate {route.gate.shape} of a route for x "
            f"{tokens.shape}; they are the axes of x but the last, then k.",
        )


def _inverse(
    route: Route, count: int, k: int, capacity: int | None, lead: tuple[int, ...]
) -> InverseRoute:
    experts, total = route.experts, count * k
    assert experts is not None
    index = route.index.reshape(total).astype(jnp.int32)
    # An expert that does not exist is the last group here, of which no row is kept.
    chosen = jnp.where((index >= 0) & (index < experts), index, experts)
    order = jnp.argsort(chosen, stable=True).astype(jnp.int32)
    rank = jnp.argsort(order).astype(jnp.int32)
    edges = jnp.searchsorted(chosen[order], jnp.arange(experts + 1, dtype=jnp.int32))
    starts = edges.astype(jnp.int32)
    load = jnp.diff(starts)
    sizes = load if capacity is None else jnp.minimum(load, capacity)
    ends = jnp.cumsum(sizes, dtype=jnp.int32)
    kept_starts = jnp.concatenate([jnp.zeros(1, jnp.int32), ends])
    rows = total if capacity is None else min(total, experts * capacity)
    within = rank - starts[chosen]
    room = jnp.concatenate([sizes, jnp.zeros(1, jnp.int32)])
    place = jnp.where(within < room[chosen], kept_starts[chosen] + within, rows)
    row = jnp.arange(rows, dtype=jnp.int32)
    member = jnp.searchsorted(ends, row, side="right")
    source = order[jnp.clip(starts[member] + row - kept_starts[member], 0, max(total - 1, 0))]
    source = jnp.where(member < experts, source, total)
    shape = (count, k)
    return InverseRoute(sizes, load, source, place.reshape(shape), route.gate.reshape(shape), lead)


# -- the two moves, each the other's transpose -----------------------------------------------------------


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
