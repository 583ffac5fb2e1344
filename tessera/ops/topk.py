"""`op.topk`: the largest entries along the last axis and what each is worth as a gate."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op
from tessera.core.operands import as_integer, to_array

MAX_PASSES = 8  # of argmax; a sort is faster for more


@define_op("*b e, k -> *b k, *b k", kinds=("float", "integer"))
def topk(scores: jax.Array, ranks: jax.Array, *, softmax: bool = True) -> Any:
    """Returns the indices of the k largest scores and their gates, largest first.

    `scores` is a float array (..., experts); both results are (..., k), the indices int32 and the gates in
    the dtype of the scores. `softmax=True` makes the gates sum to 1: softmax over the chosen k alone, in at
    least fp32. With `softmax=False` they are the chosen scores. Among equal scores the lowest index wins.
    The derivative is that of the gates at the chosen indices. Raises `E_SHAPE_MISMATCH` unless
    1 <= k <= experts.

    >>> import jax.numpy as jnp
    >>> index, gate = topk(jnp.array([1.0, 3.0, 3.0, 0.0]), 2)
    >>> index.tolist(), gate.tolist()
    ([1, 2], [0.5, 0.5])
    """
    index = _largest(lax.stop_gradient(scores), ranks.size)
    chosen = jnp.take_along_axis(scores, index, axis=-1)
    if softmax:
        wide = chosen.astype(numerics.accumulator(scores.dtype))
        chosen = jax.nn.softmax(wide, axis=-1).astype(scores.dtype)
    return index, chosen


@topk.def_call
def topk(scores: Any, k: int, *, softmax: bool = True) -> tuple[jax.Array, jax.Array]:
    x = to_array("topk", "scores", scores)
    count = as_integer("topk", "k", k)
    if x.ndim == 0 or count < 1:
        raise _too_many(count, x)
    ranks = jnp.arange(count, dtype=jnp.int32)  # of which only the number matters
    return topk.bind(x, ranks, softmax=bool(softmax))


def _largest(scores: jax.Array, k: int) -> jax.Array:
    """Returns the places of the k largest entries, NaN first, by passes over the scores or a sort.

    `lax.top_k` would gather scores that are split over devices.
    """
    if k > scores.shape[-1]:
        raise _too_many(k, scores)
    rest = jnp.where(jnp.isnan(scores), jnp.inf, scores)
    if k > MAX_PASSES or k == 0:
        return jnp.argsort(-rest, axis=-1, stable=True)[..., :k].astype(jnp.int32)
    rest = _in_order(rest)
    places = lax.broadcasted_iota(jnp.int32, rest.shape, rest.ndim - 1)
    taken = jnp.iinfo(rest.dtype).min
    found = []
    for _ in range(k):
        best = jnp.argmax(rest, axis=-1, keepdims=True).astype(jnp.int32)
        rest = jnp.where(places == best, taken, rest)
        found.append(best)
    return jnp.concatenate(found, axis=-1)


def _in_order(x: jax.Array) -> jax.Array:
    """Returns integers that are ordered as floats are, all above the least one: -inf is no exception."""
    wide = x.astype(numerics.accumulator(x.dtype))
    integer = jnp.dtype(f"int{8 * wide.dtype.itemsize}")
    bits = lax.bitcast_convert_type(jnp.where(wide == 0, 0, wide), integer)  # -0.0 is 0.0
    return jnp.where(bits < 0, bits ^ jnp.iinfo(integer).max, bits)


def _too_many(k: int, scores: jax.Array) -> CompileError:
    return CompileError(
        Code.E_SHAPE_MISMATCH,
        f"topk: k is {k} but scores have shape {scores.shape}; 1 <= k <= the last axis.",
    )


topk.samples = (
    Sample((4, 6), Sample.integers((2,), 0, 4)),
    Sample((2, 3, 5), Sample.integers((3,), 0, 4), softmax=False),
)
