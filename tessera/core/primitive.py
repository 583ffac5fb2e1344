"""Turns a plain JAX function into a JAX primitive that has every rule.

    evaluation, shape, sharding, lowering   trace the function
    vmap                                    extend the batch group of the signature, else vmap the function
    jet                                     Taylor mode of the function

Derivative rules are the business of `tessera.core.op`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from tessera.core import compat
from tessera.core import taylor as taylor_rules
from tessera.core.dims import Signature

PREFIX = "tessera."  # begins the name of every primitive made here
CACHED = 4096  # static argument combinations kept per cache; a sweep over more compiles again

taylor_rules.register()

# A flat function: arrays in, a list of arrays out, static parameters as keywords.
Flat = Callable[..., list[jax.Array]]
# Given the lowering context, the operand types and the parameters: the function to lower.
Choose = Callable[[Any, Sequence[Any], dict[str, Any]], Flat]
# The function of every Tessera primitive that is best differentiated by looking inside, for interpreters.
EXPANSIONS: dict[Primitive, Flat] = {}
# The function of every Tessera primitive.
REFERENCES: dict[Primitive, Flat] = {}
# The signature of the operands that are present under these parameters.
SignatureOf = Callable[[dict[str, Any]], Signature]
# Given a function, the axes its operands are mapped over and its parameters: the mapped function.
Mapped = Callable[[Flat, tuple[int | None, ...], dict[str, Any]], Callable[..., Any]]
FIXED = "fixed"  # the parameter that tells a Taylor rule which operands do not vary


def _mapped(
    function: Flat, axes: tuple[int | None, ...], params: dict[str, Any]
) -> Callable[..., Any]:
    return jax.vmap(partial(function, **params), in_axes=axes)


class _Primitive(Primitive):
    """A primitive whose Taylor rule learns which operands do not vary.

    JAX hands a rule zeros for them, which a product would multiply by.
    """

    def bind_with_trace(self, trace: Any, args: Any, *rest: Any) -> Any:
        bind: Any = (
            super().bind_with_trace
        )  # the last argument are the parameters, in every version
        if not isinstance(trace, compat.JetTrace):
            return bind(trace, args, *rest)
        fixed = tuple(compat.has_no_series(trace, x) for x in args)
        params = rest[-1] if all(fixed) else {**rest[-1], FIXED: fixed}
        return bind(trace, args, *rest[:-1], params)


def make_primitive(
    name: str,
    function: Flat,
    signature_of: SignatureOf,
    *,
    choose: Choose | None = None,
    may_broadcast: bool = True,
    mapped: Mapped = _mapped,
) -> Primitive:
    """Returns a primitive (multiple results) that computes `function`.

    `choose` picks another function of the same contract at lowering time. `may_broadcast=False` keeps vmap
    from copying unbatched operands to extend the batch: it then maps the function, as `mapped` says.
    """
    primitive = _Primitive(f"{PREFIX}{name}")
    primitive.multiple_results = True

    @lru_cache(CACHED)
    def eager(**params: Any) -> Callable[..., list[jax.Array]]:
        return jax.jit(_named(name, partial(primitive.bind, **params)))

    def evaluate(*operands: Any, **params: Any) -> list[jax.Array]:
        run = partial(function, **params) if compat.jit_is_off() else eager(**params)
        return run(*operands)

    def abstract(*avals: Any, **params: Any) -> list[Any]:
        return list(_compiled(name, function, **params).trace(*avals).jaxpr.out_avals)

    def lower(ctx: Any, *operands: Any, **params: Any) -> Any:
        chosen = function if choose is None else choose(ctx, ctx.avals_in, params)
        if chosen != function:  # bound methods: equal, though never the same object
            chosen = compat.partitioned_by_the_compiler(chosen, ctx.avals_in, ctx.avals_out)
            ctx = compat.with_devices(ctx)
        # Through jit, so that the same op at the same sizes is traced once and lowered once per module.
        return mlir.lower_fun(_compiled(name, chosen, **params), multiple_results=True)(
            ctx, *operands
        )

    def batch(operands: Sequence[Any], axes: Sequence[int | None], **params: Any) -> Any:
        kept = extend_batch(signature_of(params), operands, axes, params, may_broadcast)
        if kept is not None:
            outs = primitive.bind(*kept[0], **kept[1])
        else:
            outs = mapped(function, tuple(axes), params)(*operands)
        return outs, [0] * len(outs)

    def taylor(
        primals: Sequence[Any], series: Sequence[Any], *, fixed: tuple[bool, ...], **params: Any
    ) -> Any:
        moves = [taylor_rules.varies(x) and not f for x, f in zip(primals, fixed, strict=True)]

        def of_moving(*moving: Any) -> list[jax.Array]:
            rest = iter(moving)
            mixed = (next(rest) if m else x for m, x in zip(moves, primals, strict=True))
            return function(*mixed, **params)

        picked = [(x, terms) for x, terms, m in zip(primals, series, moves, strict=True) if m]
        if not picked:  # only integers move
            outs = function(*primals, **params)
            return outs, [compat.ZERO_SERIES] * len(outs)
        moving_series = tuple(terms for _, terms in picked)
        # Inside Taylor mode the terms are Taylor coefficients, without the factorials.
        outs, found = jet(
            of_moving, tuple(x for x, _ in picked), moving_series, factorial_scaled=False
        )
        return outs, [
            terms if taylor_rules.varies(y) else compat.ZERO_SERIES
            for y, terms in zip(outs, found, strict=True)
        ]

    EXPANSIONS[primitive] = REFERENCES[primitive] = function
    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, lower)
    batching.primitive_batchers[primitive] = batch
    compat.jet_rules[primitive] = taylor
    return primitive


def taylor_from(tangent: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the Taylor rule of a function y = run(x) from its tangent map, y' = tangent(x, x').

    Functions take lists of arrays and parameters. The coefficients of y' follow from those of x and x', and
    give those of y, one order higher; nothing but the tangent map need have a Taylor rule.
    """

    def taylor(primals: Sequence[Any], series: Sequence[Any], **params: Any) -> Any:
        del params[FIXED]  # a zero costs little here
        order, count = len(series[0]), len(primals)
        slopes = [[(k + 1) * term for k, term in enumerate(terms)] for terms in series]

        def slope(*both: Any) -> list[Any]:
            return tangent(both[:count], both[count:], **params)

        both = (*primals, *(terms[0] for terms in slopes))
        if order == 1:
            first, rest = slope(*both), [[]] * count
        else:
            higher = [*(terms[:-1] for terms in series), *(terms[1:] for terms in slopes)]
            first, rest = jet(slope, both, higher, factorial_scaled=False)
        found = [
            [term / (k + 1) for k, term in enumerate([start, *terms])]
            for start, terms in zip(first, rest, strict=True)
        ]
        return run(*primals, **params), found

    return taylor


def extend_batch(
    signature: Signature,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    params: dict[str, Any],
    may_broadcast: bool = True,
) -> tuple[list[Any], dict[str, Any]] | None:
    """Returns operands and parameters with a mapped axis made the front of the batch group.

    None when the op cannot absorb the axis: an operand without the group is mapped, an output lacks the
    group, or an operand shared by a batch that is already there is mapped.
    """
    group = signature.batch
    if group is None:
        return None
    size = next(x.shape[a] for x, a in zip(operands, axes, strict=True) if a is not None)
    shapes = [_unmapped_shape(x, a) for x, a in zip(operands, axes, strict=True)]
    names = [str(i) for i in range(len(shapes))]
    present = signature.bind("vmap", names, shapes, params).get(group, ())
    moved: list[Any] = []
    for term, x, axis, shape in zip(signature.operands, operands, axes, shapes, strict=True):
        lead = term.leads_with(group)
        shared = lead is not None and lead.optional and len(shape) == term.rank
        if axis is not None:
            if lead is None or (shared and (present or not may_broadcast)):
                return None  # also: a tangent must keep the shape of the operand it belongs to
            moved.append(jnp.moveaxis(x, axis, 0))
        elif lead is None or shared:
            moved.append(x)
        elif may_broadcast:
            moved.append(jnp.broadcast_to(x, (size, *x.shape)))
        else:
            return None
    shifted = {term.at.at for term in signature.operands if term.at is not None}
    return moved, {k: v + 1 if k in shifted else v for k, v in params.items()}


def _unmapped_shape(x: Any, axis: int | None) -> tuple[int, ...]:
    shape = tuple(x.shape)
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


@lru_cache(CACHED)
def _compiled(name: str, function: Flat, **params: Any) -> Any:
    return jax.jit(_named(name, partial(function, **params)))


def _named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*operands: Any) -> Any:
        return function(*operands)

    run.__name__ = name  # the name shown in StableHLO and in profiles
    return run
