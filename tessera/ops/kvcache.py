"""`op.kvcache_init`, `op.kvcache_update`, `op.kvcache_read`: the keys and values of past tokens.

A cache is a pytree that each step takes and returns. Slot s of an append cache holds position s; slot s of a
ring holds the latest position p with p mod max_len = s.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from tessera.core import errors, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array

KINDS = ("append", "ring")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KVCache:
    """`k` and `v` (layers, batch, heads, max_len, dim), and the positions seen by each layer, `length`."""

    k: jax.Array
    v: jax.Array
    length: jax.Array
    kind: str = field(metadata={"static": True})


def kvcache_init(
    layers: int,
    heads: int,
    dim: int,
    *,
    batch: int,
    max_len: int,
    kind: str = "append",
    dtype: Any = "fp32",
) -> KVCache:
    """Returns an empty cache for `layers` layers of `heads` key heads of width `dim`.

    `kind="append"` holds `max_len` positions and no more; `"ring"` the last `max_len`, for attention with a
    window. Raises `E_GRAPH_INVALID` for another kind and sizes below 1.

    >>> kvcache_init(2, 4, 8, batch=1, max_len=16).k.shape
    (2, 1, 4, 16, 8)
    """
    if kind not in KINDS:
        raise _invalid("kvcache_init", f"unknown kind {kind!r}; one of {', '.join(KINDS)}")
    given = {"layers": layers, "batch": batch, "heads": heads, "max_len": max_len, "dim": dim}
    sizes = {name: as_integer("kvcache_init", name, size) for name, size in given.items()}
    small = next((name for name, size in sizes.items() if size < 1), None)
    if small is not None:
        raise _invalid("kvcache_init", f"{small} is {sizes[small]}, not at least 1")
    zeros = jnp.zeros(tuple(sizes.values()), numerics.dtype(dtype, "kvcache_init: dtype"))
    return KVCache(zeros, zeros, jnp.zeros(sizes["layers"], jnp.int32), kind)


def kvcache_update(cache: KVCache, layer: int, k: Any, v: Any) -> KVCache:
    """Returns a cache with the keys and values of the next positions of a layer.

    `k` and `v` are (batch, heads, new positions, dim) and are cast to the dtype of the cache. Past the end of
    an append cache a call with known values raises `E_ILLEGAL_ADDRESS`; under `jit` what does not fit is left
    out. Raises `E_SHAPE_MISMATCH` if the arrays do not fit, `E_GRAPH_INVALID` for a layer there is not.

    >>> import jax.numpy as jnp
    >>> cache = kvcache_update(kvcache_init(1, 1, 1, batch=1, max_len=4), 0, *jnp.ones((2, 1, 1, 3, 1)))
    >>> cache.length.tolist(), cache.k.ravel().tolist()
    ([3], [1.0, 1.0, 1.0, 0.0])
    """
    keys, values = to_array("kvcache_update", "k", k), to_array("kvcache_update", "v", v)
    layers, batch, heads, size, dim = cache.k.shape
    place = as_integer("kvcache_update", "layer", layer)
    if not 0 <= place < layers:
        raise _invalid("kvcache_update", f"layer is {place}, but there are {layers}")
    new = keys.shape[2] if keys.ndim == 4 else 0
    if keys.shape != (batch, heads, new, dim) or values.shape != keys.shape:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"kvcache_update: k {keys.shape} and v {values.shape} are not both ({batch}, {heads}, n, "
            f"{dim}).",
        )
    start = cache.length[place]
    if cache.kind == "append":
        _require_room(start, new, size)
    # Of more positions than a ring holds only the last ones stay.
    first = max(new - size, 0) if cache.kind == "ring" else 0
    slots = start + jnp.arange(first, new, dtype=jnp.int32)
    slots = slots % size if cache.kind == "ring" else slots
    changed = [
        whole.at[place, :, :, slots].set(
            jnp.moveaxis(part[:, :, first:], 2, 0).astype(whole.dtype),
            mode="drop",
            unique_indices=True,
        )
        for whole, part in ((cache.k, keys), (cache.v, values))
    ]
    return replace(cache, k=changed[0], v=changed[1], length=cache.length.at[place].add(new))


def kvcache_read(cache: KVCache, layer: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (k, v, positions) of a layer: all slots, and the position in each, -1 where it is empty.

    `k` and `v` are (batch, heads, max_len, dim). A query at position p may see the slots where
    `(positions >= 0) & (positions <= p)`, which is the mask `op.flash_attention` takes.

    >>> import jax.numpy as jnp
    >>> ring = kvcache_init(1, 1, 1, batch=1, max_len=3, kind="ring")
    >>> kvcache_read(kvcache_update(ring, 0, *jnp.ones((2, 1, 1, 4, 1))), 0)[2].tolist()
    [3, 1, 2]
    """
    place = as_integer("kvcache_read", "layer", layer)
    layers, size = cache.k.shape[0], cache.k.shape[3]
    if not 0 <= place < layers:
        raise _invalid("kvcache_read", f"layer is {place}, but there are {layers}")
    length, slots = cache.length[place], jnp.arange(size, dtype=jnp.int32)
    last = length - 1
    positions = slots if cache.kind == "append" else last - (last - slots) % size
    positions = jnp.where((positions >= 0) & (positions < length), positions, -1)
    return cache.k[place], cache.v[place], positions


def _require_room(start: jax.Array, new: int, size: int) -> None:
    if isinstance(start, Tracer):
        return
    if int(start) + new > size:
        raise errors.RuntimeError(
            Code.E_ILLEGAL_ADDRESS,
            f"kvcache_update: {new} positions after {int(start)} in a cache of {size}.",
            hints='a larger max_len, or kind="ring" for attention with a window',
        )


def _invalid(name: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{name}: {problem}.")
