"""`op.moe` and `op.moe_apply`: the experts applied to the tokens routed to them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import arguments, compat, determinism
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.core.operands import to_array
from tessera.ops.moe.devices import Places, places, spread_mixture
from tessera.ops.moe.exchange import as_capacity, moe_combine, moe_dispatch, require_fit
from tessera.ops.moe.experts import Groups, Program, from_list, from_stacked
from tessera.ops.moe.routing import STRATEGIES, Route, Router, router
from tessera.ops.moe.wire import is_packed, rounded

Experts = list[Any] | tuple[Callable[..., Any], Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MoeAux:
    """What a mixture did: assignments `dropped`, `load` (experts,) before the capacity, and the route."""

    dropped: jax.Array
    load: jax.Array
    route: Route


def moe(
    x: Any,
    experts: Experts,
    *,
    router: Any = "topk",
    k: int | None = None,
    scores: Any = None,
    router_params: Any = None,
    capacity: int | None = None,
    drop_policy: str = "drop",
    transport: Any = None,
    deterministic: bool | None = None,
    mesh: Any = None,
    key: Any = None,
    return_aux: bool = False,
) -> Any:
    """Returns the sum over the chosen experts of gate times expert(x), for every token.

    `x` is (..., d) and the result (..., n). `experts` is a list of functions of rows (r, d) -> (r, n), or a
    pair (fn, stacked parameters) where fn(parameters of one expert, rows) is such a function and every array
    of the parameters leads with the experts. A row must not see the others, and what an expert draws at
    random is one draw for all rows. Experts that differ only in the arrays they hold run as one program: rows
    sorted by expert, products as `op.grouped_matmul`, so the cost does not grow with the number of experts.
    Experts of different kinds each see every token.

    `router` is a route, a function of x that gives one (such as `partial(r.apply, params)`), an
    `op.router` with `router_params=`, or its strategy as a word, with `scores=` (..., experts) or
    `router_params=`. A bare word routes with fixed weights drawn from seed 0, and warns. `k` (2 unless said
    otherwise) belongs to a word.

    `capacity` is how many rows an expert takes; later tokens are dropped and contribute 0. With
    `return_aux=True` the result is `(y, aux)`, with `aux.dropped`, `aux.load` and `aux.route`. Sums are in
    the order of a token's choices, so `deterministic` changes nothing. No experts give zeros, and a warning.

    One device: `mesh=` is refused, and `transport={"type": "auto"}` has no effect. Raises
    `E_SHAPE_MISMATCH` for shapes that do not fit, `E_GRAPH_INVALID` for unknown words, a mesh or a
    `pack_dtype`, `E_DRIVER` for a transport there is not.

    >>> import jax.numpy as jnp
    >>> x, w = jnp.array([[1.0], [2.0]]), jnp.array([[[10.0]], [[100.0]]])
    >>> route = Route(jnp.array([[0], [1]]), jnp.ones((2, 1)))
    >>> moe(x, (lambda w, rows: rows @ w, w), router=route).ravel().tolist()
    [10.0, 200.0]
    """
    packed = is_packed(transport)
    determinism.as_level("moe", deterministic)
    if drop_policy != "drop":
        raise _invalid(f"unknown drop_policy {drop_policy!r}; there is 'drop'")
    tokens = to_array("moe", "x", x)
    if tokens.ndim == 0:
        raise CompileError(Code.E_SHAPE_MISMATCH, "moe: x is a scalar, not tokens (..., d).")
    count = _number_of(experts)
    at = None if mesh is None else places(mesh, count)
    if count == 0:
        warnings.warn(
            "moe: there are no experts; the result is zero.", TesseraWarning, stacklevel=2
        )
        none = jnp.zeros((*tokens.shape[:-1], 0), jnp.int32)
        route = Route(none, none.astype(tokens.dtype), None, 0)
        aux = MoeAux(jnp.int32(0), jnp.zeros(0, jnp.int32), route)
        return (jnp.zeros_like(tokens), aux) if return_aux else jnp.zeros_like(tokens)
    route = _route(tokens, count, router, k, scores, router_params, key)
    require_fit(tokens, route)
    limit = as_capacity(capacity)
    if at is not None:
        y, aux = _on_devices(tokens, experts, route, limit, at, packed)
    else:
        y, aux = _mixed(rounded(tokens) if packed else tokens, experts, route, limit)
    return (y, aux) if return_aux else y


def moe_apply(z: Any, experts: Experts, idx: Any, gate: Any) -> jax.Array:
    """Returns the sum over j of gate[..., j] times expert idx[..., j] of z: `op.moe` with routing given.

    `z` is (..., d), `idx` whole numbers (..., k) and `gate` (..., k). An index of no expert contributes 0.

    >>> import jax.numpy as jnp
    >>> double, negate = (lambda x: 2 * x), (lambda x: -x)
    >>> moe_apply(jnp.array([[3.0]]), [double, negate], jnp.array([[0, 1]]), jnp.array([[1.0, 0.5]])).item()
    4.5
    """
    index, weight = to_array("moe_apply", "idx", idx), to_array("moe_apply", "gate", gate)
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise _invalid(f"idx is {index.dtype}, not whole numbers")
    return moe(z, experts, router=Route(index, weight))


def _on_devices(
    tokens: jax.Array,
    experts: Experts,
    route: Route,
    capacity: int | None,
    at: Places,
    packed: bool,
) -> tuple[jax.Array, MoeAux]:
    program = _program(experts, tokens)
    if program is None:
        raise _invalid(
            "experts of different kinds cannot be split over devices",
            "experts that differ only in the arrays they hold, or leave mesh= out",
        )
    y, dropped, load = spread_mixture(tokens, program, route, capacity, at, packed)
    return y, MoeAux(dropped, load, route)


def _mixed(
    tokens: jax.Array, experts: Experts, route: Route, capacity: int | None
) -> tuple[jax.Array, MoeAux]:
    rows, back = moe_dispatch(tokens, route, capacity=capacity)
    aux = MoeAux(jnp.sum(back.place >= rows.shape[0], dtype=jnp.int32), back.load, route)
    program = _program(experts, rows)
    if program is not None:
        ends = jnp.cumsum(back.sizes, dtype=jnp.int32)
        place = jnp.arange(rows.shape[0], dtype=jnp.int32)
        member = jnp.searchsorted(ends, place, side="right")
        groups = Groups(back.sizes, jnp.minimum(member, back.sizes.shape[0] - 1))
        return moe_combine(program.run(rows, groups), back), aux
    # Experts of different kinds: all tokens through each, weighed by 0 where it was not chosen.
    kept = jnp.where(back.place < rows.shape[0], back.gate, 0)
    flat = tokens.reshape(-1, tokens.shape[-1])
    index = route.index.reshape(back.place.shape)
    total: Any = 0
    for e, expert in enumerate(experts):
        chosen = jnp.any((index == e) & (back.place < rows.shape[0]), axis=-1, keepdims=True)
        weight = jnp.sum(jnp.where(index == e, kept, 0), axis=-1, keepdims=True)
        y = _checked(expert(flat), flat, e)
        # A token's value where it was not sent may be infinite.
        total = total + jnp.where(chosen, weight.astype(y.dtype) * y, 0)
    return total.reshape(*tokens.shape[:-1], total.shape[-1]), aux


def _program(experts: Experts, rows: jax.Array) -> Program | None:
    row = compat.type_of_part(rows, (1, rows.shape[-1]))
    if isinstance(experts, tuple):
        fn, params = experts
        return from_stacked(fn, params, row)
    return from_list(experts, row)


def _checked(y: Any, flat: jax.Array, expert: int) -> jax.Array:
    if not isinstance(y, jax.Array) or y.ndim != 2 or y.shape[0] != flat.shape[0]:
        found = jax.tree.map(jnp.shape, y)
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe: expert {expert} maps rows {flat.shape} to {found}, not to one array "
            f"({flat.shape[0]}, n).",
        )
    return y


def _number_of(experts: Any) -> int:
    if isinstance(experts, tuple):
        if len(experts) != 2 or not callable(experts[0]):
            raise _invalid(
                "experts is a tuple, but not (fn, stacked parameters)", "a list of functions"
            )
        arrays = arguments.split(experts[1], "moe")[1]
        leads = {jnp.shape(a)[:1] for a in arrays}
        if len(leads) != 1 or () in leads:
            shapes = [jnp.shape(a) for a in arrays]
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"moe: the arrays of stacked parameters have shapes {shapes}, which do not lead with one "
                "number of experts.",
            )
        return leads.pop()[0]
    if not isinstance(experts, list):
        raise _invalid(
            f"experts is a {type(experts).__name__}", "a list, or (fn, stacked parameters)"
        )
    other = next((i for i, f in enumerate(experts) if not callable(f)), None)
    if other is not None:
        raise _invalid(f"experts[{other}] is a {type(experts[other]).__name__}, not a function")
    return len(experts)


def _route(
    tokens: jax.Array, count: int, rule: Any, k: Any, scores: Any, params: Any, key: Any
) -> Route:
    if isinstance(rule, str):
        if rule not in STRATEGIES:
            raise _invalid(f"unknown router {rule!r}; one of {', '.join(STRATEGIES)}")
        rule = router(count, strategy=rule, k=k)
        if scores is not None:
            return _for(count, rule.choose(scores))
        if params is None and rule.strategy != "hash":
            warnings.warn(
                f"moe: router={rule.strategy!r} without scores= or router_params= routes by fixed random "
                "weights.",
                TesseraWarning,
                stacklevel=4,
            )
            params = rule.init(0, tokens.shape[-1])
        return rule.apply(params, tokens, key)
    if k is not None:
        raise _invalid("k belongs to a router given as a word")
    if isinstance(rule, Router):
        if scores is not None:
            return _for(count, rule.choose(scores))
        if params is None and rule.strategy != "hash":
            raise _invalid("router_params= is missing", "router_params=router.init(key, d)")
        return _for(count, replace(rule, experts=count).apply(params, tokens, key))
    if scores is not None or params is not None:
        raise _invalid("scores= and router_params= belong to a router given as a word or op.router")
    found = rule(tokens) if callable(rule) else rule
    if not isinstance(found, Route):
        raise _invalid(f"router is a {type(found).__name__}", "a route, a function of x, or a word")
    return _for(count, found)


def _for(count: int, route: Route) -> Route:
    if route.experts not in (None, count):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe: the route is for {route.experts} experts, but there are {count}.",
        )
    return replace(route, experts=count)


def _invalid(problem: str, fix: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"moe: {problem}.", hints=fix or ())
