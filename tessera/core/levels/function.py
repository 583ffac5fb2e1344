"""A function at a level as one equation, with every derivative at that level, and vmap."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad, batching

from tessera.core import compat
from tessera.core.levels.evaluate import FLUSH_THEMSELVES, evaluate
from tessera.core.levels.reach import require
from tessera.core.levels.tables import bodies_of
from tessera.core.primitive import make_primitive

OWN_BACKWARD = ("custom_vjp_call", "custom_vjp_call_jaxpr")


def at_level(
    function: Callable[..., Any], level: str, who: str = "the function"
) -> Callable[..., list[Any]]:
    """Returns a function of arrays, with a list of results, computed at a level from D2 on.

    Raises `E_NONDETERMINISTIC` when it is traced if an equation of it cannot be; `who` begins the message.
    """

    def run(*arrays: Any) -> list[Any]:
        traced, constants = compat.without_constants(jax.make_jaxpr(function)(*arrays))
        require(traced, level, who)
        operands = [jnp.asarray(x) for x in (*constants, *arrays)]
        if _has_own_backward(traced):
            return _with_backward(traced, level)(*operands)
        return _AT_LEVEL.bind(*operands, traced=traced, level=level)

    return run


def inline(function: Callable[..., Any], level: str, who: str) -> Callable[..., list[Any]]:
    """Returns the same without an equation of its own: for code whose derivatives are written elsewhere."""

    def run(*arrays: Any) -> list[Any]:
        traced = jax.make_jaxpr(function)(*arrays)
        require(traced, level, who)
        return evaluate(*arrays, traced=traced, level=level, flushes=who in FLUSH_THEMSELVES)

    return run


def of_lists(function: Callable[..., list[Any]], level: str) -> Callable[..., list[Any]]:
    """Returns `at_level` of a function of lists and tuples of arrays."""

    def run(*lists: Any) -> list[Any]:
        flat, structure = jax.tree.flatten(lists)
        return at_level(lambda *xs: function(*jax.tree.unflatten(structure, xs)), level)(*flat)

    return run


def opaque_one(x: Any) -> jax.Array:
    """Returns the integer 1, which no compiler knows to be one: it seems to depend on an array, not empty."""
    entry = lax.optimization_barrier(jnp.ravel(x)[0].astype(jnp.float32))  # x may be a constant
    first = lax.convert_element_type(lax.is_finite(entry), jnp.int32)
    return lax.clamp(jnp.int32(1), first + 1, jnp.int32(1))


def _no_signature(_params: dict[str, Any]) -> Any:
    raise AssertionError("a traced function has no signature")


_AT_LEVEL = make_primitive("at_level", evaluate, _no_signature)


def _plain(traced: Any) -> Callable[..., list[Any]]:
    jaxpr, consts = compat.opened(traced)
    return functools.partial(compat.evaluate, jaxpr, consts)


def _has_own_backward(traced: Any) -> bool:
    """Returns whether a traced function calls a `jax.custom_vjp`, which has no tangent map."""
    return any(
        e.primitive.name in OWN_BACKWARD or any(map(_has_own_backward, bodies_of(e)))
        for e in compat.opened(traced)[0].eqns
    )


def _with_backward(traced: Any, level: str) -> Callable[..., list[Any]]:
    """Returns a traced function that has reverse mode alone: forward and backward, each at a level."""
    plain = _plain(traced)

    @jax.custom_vjp
    def run(*arrays: Any) -> list[Any]:
        return _AT_LEVEL.bind(*arrays, traced=traced, level=level)

    def forward(*primals: Any) -> tuple[list[Any], Any]:
        arrays = [x.value for x in primals]
        moves = [x.perturbed and jnp.issubdtype(x.value.dtype, jnp.inexact) for x in primals]
        place: list[Any] = []

        def flat(*arrays: Any) -> list[Any]:
            def of_moving(*moving: Any) -> tuple[list[Any], list[Any]]:
                rest = iter(moving)
                outs = plain(*(next(rest) if m else x for m, x in zip(moves, arrays, strict=True)))
                return [y for y in outs if jnp.issubdtype(y.dtype, jnp.inexact)], outs

            moving = [x for m, x in zip(moves, arrays, strict=True) if m]
            _, pullback, outs = jax.vjp(of_moving, *moving, has_aux=True)
            saved, structure = jax.tree.flatten(pullback)
            place[:] = [len(outs), structure]
            return [*outs, *saved]

        found = at_level(flat, level)(*arrays)
        count, structure = place
        return found[:count], (jax.tree.unflatten(structure, found[count:]), _Static(tuple(moves)))

    def backward(saved: Any, cotangents: Any) -> tuple[Any, ...]:
        pullback, moves = saved
        given = [_array_of(ct) for ct in cotangents if jnp.issubdtype(ct.dtype, jnp.inexact)]
        found = iter(of_lists(lambda pullback, cts: list(pullback(cts)), level)(pullback, given))
        return tuple(next(found) if m else None for m in moves.value)

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run


def _array_of(cotangent: Any) -> jax.Array:
    if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
        return ad.instantiate_zeros(ad.Zero(cotangent.aval))
    return cotangent


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Static:
    """A value without arrays among residuals."""

    value: Any


def _batch(operands: Sequence[Any], axes: Sequence[Any], *, traced: Any, level: str) -> Any:
    mapped = jax.vmap(_plain(traced), in_axes=tuple(axes))
    outs = at_level(mapped, level)(*operands)
    return outs, [0] * len(outs)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, traced: Any, level: str) -> Any:
    outs = _AT_LEVEL.bind(*primals, traced=traced, level=level)
    return outs, tangents_at(level, _plain(traced), primals, tangents, outs)


def _transpose(cotangents: Sequence[Any], *xs: Any, traced: Any, level: str) -> list[Any]:
    return transpose_at(level, _plain(traced), cotangents, xs)


def tangents_at(
    level: str,
    plain: Callable[..., list[Any]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    outs: Sequence[Any],
) -> list[Any]:
    """Returns the tangents of a function of arrays, computed at a level; symbolic zeros of integers."""
    moves = [type(t) is not ad.Zero for t in tangents]
    live = [t for t in tangents if type(t) is not ad.Zero]
    smooth = [jnp.issubdtype(x.dtype, jnp.inexact) for x in outs]

    def tangent(*both: Any) -> list[Any]:
        fixed = both[: len(primals)]

        def of_moving(*some: Any) -> list[Any]:
            rest = iter(some)
            found = plain(*(next(rest) if m else x for m, x in zip(moves, fixed, strict=True)))
            return [y for y, s in zip(found, smooth, strict=True) if s]

        given = tuple(x for m, x in zip(moves, fixed, strict=True) if m)
        return jax.jvp(of_moving, given, both[len(primals) :])[1]

    found = iter(at_level(tangent, level)(*primals, *live) if live else ())
    return [
        next(found) if s and live else ad.Zero(jax.typeof(y).to_tangent_aval())
        for y, s in zip(outs, smooth, strict=True)
    ]


def transpose_at(
    level: str, plain: Callable[..., list[Any]], cotangents: Sequence[Any], xs: Sequence[Any]
) -> list[Any]:
    """Returns the cotangents of the operands not known here, computed at a level; None for the others."""
    unknown = [ad.is_undefined_primal(x) for x in xs]
    types = [x.aval for x in xs if ad.is_undefined_primal(x)]
    known = [x for x in xs if not ad.is_undefined_primal(x)]
    given = [ad.instantiate_zeros(ct) for ct in cotangents]

    def transposed(*both: Any) -> list[Any]:
        fixed, cts = both[: len(known)], both[len(known) :]

        def linear(*some: Any) -> list[Any]:
            rest, others = iter(some), iter(fixed)
            return plain(*(next(rest) if u else next(others) for u in unknown))

        return list(jax.linear_transpose(linear, *types)(list(cts)))

    found = iter(at_level(transposed, level)(*known, *given))
    return [next(found) if u else None for u in unknown]


batching.primitive_batchers[_AT_LEVEL] = _batch
ad.primitive_jvps[_AT_LEVEL] = _jvp
ad.primitive_transposes[_AT_LEVEL] = _transpose
