"""A second evaluation, compared bit by bit with the first: a device that computes wrongly is found."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from tessera.core import errors
from tessera.core.checks import report
from tessera.core.errors import Code

BITS: dict[int, Any] = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def computed_twice(
    op: str, function: Callable[..., jax.Array], operands: Sequence[jax.Array | None]
) -> jax.Array:
    """Returns function(*operands), after a second evaluation that must give the same bits.

    Raises `E_DRIVER`, with both digests, where it does not. Under `jit` the comparison is part of the
    program, and the error comes when that runs (see `ts.checks`). Derivatives are those of one evaluation.
    """
    if not any(isinstance(x, Tracer) for x in operands):
        first = function(*operands)
        _compare(op, *_digests(first, function(*operands)))
        return first

    @jax.custom_jvp
    def run(*operands: Any) -> jax.Array:
        first, second = _in_a_loop(function, operands)
        jax.debug.callback(lambda *found: _compare(op, *found), *_digests(first, second))
        return first

    @run.defjvp
    def _tangent(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
        return run(*primals), jax.jvp(function, primals, tangents)[1]

    return run(*operands)


def _in_a_loop(
    function: Callable[..., jax.Array], operands: Sequence[jax.Array | None]
) -> jax.Array:
    """Returns what two turns of a loop compute, stacked.

    XLA merges equal computations, and compiles those it does not merge differently, say by what they are
    fused with, so that their last bits differ. The turns of a loop run the same instructions, and a barrier
    keeps XLA from moving what is the same in every turn out of the loop.
    """

    def turn(carry: Any, _: None) -> tuple[Any, jax.Array]:
        carry = lax.optimization_barrier(carry)
        return carry, function(*carry)

    return lax.scan(turn, tuple(operands), length=2)[1]


def _digests(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns in how many words of bits two arrays differ, and the digest of each."""
    a, b = _words(first), _words(second)
    return jnp.sum(a != b, dtype=jnp.int32), _digest(a), _digest(b)


def _words(x: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x):
        return jnp.concatenate([_words(jnp.real(x)), _words(jnp.imag(x))])
    # Of 64 bits, the two halves become an axis of their own.
    found = lax.bitcast_convert_type(x, BITS.get(x.dtype.itemsize, jnp.uint32))
    return found.reshape(-1).astype(jnp.uint32)


def _digest(words: jax.Array) -> jax.Array:
    """Returns a sum of words times odd numbers: any one word that differs changes it."""
    places = lax.iota(jnp.uint32, words.size)
    return jnp.sum(words * (2 * places + 1), dtype=jnp.uint32)


def _compare(op: str, differing: Any, first: Any, second: Any) -> None:
    if int(differing) == 0:
        return
    digests = " and ".join(f"{int(x):08x}" for x in (first, second))
    report(
        errors.RuntimeError(
            Code.E_DRIVER,
            f"{op}: two evaluations differ in {int(differing)} words; their digests are {digests}.",
            hints="the device or its driver is at fault: run it on another one",
        )
    )
