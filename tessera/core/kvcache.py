"""The keys and values of past tokens, as the ops on them and attention share them.

A cache is a pytree that each step takes and returns. Slot s of an append cache holds position s; slot s of a
ring holds the latest position p with p mod max_len = s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import checks, errors
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array
from tessera.core.score_tiles import in_reach

KINDS = (APPEND, RING) = ("append", "ring")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KVCache:
    """`k` and `v` (layers, batch, heads, max_len, dim), and the positions seen by each layer, `length`."""

    k: jax.Array
    v: jax.Array
    length: jax.Array
    kind: str = field(metadata={"static": True})


def layer_of(op: str, cache: Any, layer: Any) -> int:
    """Returns the index of a layer; raises `E_GRAPH_INVALID` if there is none or the cache is no cache."""
    if not isinstance(cache, KVCache):
        problem = f"{op}: cache is a {type(cache).__name__}, not a KVCache."
        raise CompileError(Code.E_GRAPH_INVALID, problem, hints="op.kvcache_init(...)")
    place, layers = as_integer(op, "layer", layer), cache.k.shape[0]
    if not 0 <= place < layers:
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: layer is {place}, but there are {layers}.")
    return place


def updated(op: str, cache: KVCache, layer: int, k: Any, v: Any) -> KVCache:
    """Returns a cache with the keys and values (batch, heads, n, dim) of the next n positions of a layer."""
    place = layer_of(op, cache, layer)
    keys, values = to_array(op, "k", k), to_array(op, "v", v)
    _, batch, heads, size, dim = cache.k.shape
    new = keys.shape[2] if keys.ndim == 4 else 0
    if keys.shape != (batch, heads, new, dim) or values.shape != keys.shape:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: k {keys.shape} and v {values.shape} are not both ({batch}, {heads}, n, {dim}), as the "
            "cache is.",
        )
    start = cache.length[place]
    if cache.kind == APPEND:
        _require_room(op, start, new, size)
    # Of more positions than a ring holds only the last ones stay.
    first = max(new - size, 0) if cache.kind == RING else 0
    slots = start + jnp.arange(first, new, dtype=jnp.int32)
    slots = slots % size if cache.kind == RING else slots
    changed = [
        whole.at[place, :, :, slots].set(
            jnp.moveaxis(part[:, :, first:], 2, 0).astype(whole.dtype),
            mode="drop",
            unique_indices=True,
        )
        for whole, part in ((cache.k, keys), (cache.v, values))
    ]
    return replace(cache, k=changed[0], v=changed[1], length=cache.length.at[place].add(new))


def read(op: str, cache: KVCache, layer: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (k, v, positions) of a layer: all slots, and the position in each, -1 where it is empty."""
    place = layer_of(op, cache, layer)
    size = cache.k.shape[3]
    length, slots = cache.length[place], jnp.arange(size, dtype=jnp.int32)
    last = length - 1
    positions = slots if cache.kind == APPEND else last - (last - slots) % size
    positions = jnp.where((positions >= 0) & (positions < length), positions, -1)
    return cache.k[place], cache.v[place], positions


@dataclass(frozen=True)
class Step:
    """What queries attend to: keys and values, which of them each sees (Lq, keys), and the cache after it."""

    k: jax.Array
    v: jax.Array
    seen: jax.Array
    cache: KVCache


def step(op: str, cache: KVCache, layer: int, qkv: Sequence[jax.Array], window: int | None) -> Step:
    """Returns what queries of the next positions of a layer attend to, given their keys and values.

    Each sees what stands at most `window` positions back, its own among them; of a ring, `max_len` where no
    window is given. The first of several queries may see what the last ones push out of a ring: then the
    keys are those before the step and those given.
    """
    q, k, v = qkv
    longer = updated(op, cache, layer, k, v)
    rows, new = q.shape[2], k.shape[2]
    if rows != new:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: q has {rows} positions and k {new}, but with a cache they are of the same tokens.",
        )
    start, size, ring = cache.length[layer], cache.k.shape[3], cache.kind == RING
    if ring and window is not None and window > size:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: window={window} does not fit a ring of {size}.",
            hints="a larger max_len",
        )
    window = size if ring and window is None else window
    queries = start + jnp.arange(new, dtype=jnp.int32)
    if ring and new > 1:
        *before, positions = read(op, cache, layer)
        pairs = zip(before, (k, v), strict=True)
        keys, values = (jnp.concatenate([x, y.astype(x.dtype)], axis=2) for x, y in pairs)
        positions = jnp.concatenate([positions, queries])
    else:
        keys, values, positions = read(op, longer, layer)
    near = in_reach(queries[:, None] - positions[None, :], True, window)
    return Step(keys, values, near & (positions >= 0)[None, :], longer)


def _require_room(op: str, start: jax.Array, new: int, size: int) -> None:
    def complaint(value: int, _place: tuple[int, ...]) -> errors.RuntimeError:
        return errors.RuntimeError(
            Code.E_ILLEGAL_ADDRESS,
            f"{op}: {new} positions after {value} in a cache of {size}.",
            hints='a larger max_len, or kind="ring" for attention with a window',
        )

    checks.require_range(start, 0, size - new + 1, complaint)
