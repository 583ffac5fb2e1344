"""`op.kvcache_init`, `op.kvcache_update`, `op.kvcache_read`: the keys and values of past tokens.

A cache is a pytree that each step takes and returns. Slot s of an append cache holds position s; slot s of a
ring holds the latest position p with p mod max_len = s.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import kvcache, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.kvcache import KINDS, KVCache
from tessera.core.operands import as_integer


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
        raise _invalid(f"unknown kind {kind!r}; one of {', '.join(KINDS)}")
    given = {"layers": layers, "batch": batch, "heads": heads, "max_len": max_len, "dim": dim}
    sizes = {name: as_integer("kvcache_init", name, size) for name, size in given.items()}
    small = next((name for name, size in sizes.items() if size < 1), None)
    if small is not None:
        raise _invalid(f"{small} is {sizes[small]}, not at least 1")
    word = numerics.dtype(dtype, "kvcache_init: dtype")
    # Two arrays, so that a step can be given the memory of both.
    k, v = (jnp.zeros(tuple(sizes.values()), word) for _ in range(2))
    return KVCache(k, v, jnp.zeros(sizes["layers"], jnp.int32), kind)


def kvcache_update(cache: KVCache, layer: int, k: Any, v: Any) -> KVCache:
    """Returns a cache with the keys and values of the next positions of a layer.

    `k` and `v` are (batch, heads, new positions, dim) and are cast to the dtype of the cache. Past the end of
    an append cache a call with known values raises `E_ILLEGAL_ADDRESS`, and so does one under `jit` with
    `ts.checks` on; otherwise what does not fit is left out. Raises `E_SHAPE_MISMATCH` if the arrays do not
    fit, `E_GRAPH_INVALID` for a layer there is not.

    >>> import jax.numpy as jnp
    >>> cache = kvcache_update(kvcache_init(1, 1, 1, batch=1, max_len=4), 0, *jnp.ones((2, 1, 1, 3, 1)))
    >>> cache.length.tolist(), cache.k.ravel().tolist()
    ([3], [1.0, 1.0, 1.0, 0.0])
    """
    return kvcache.updated("kvcache_update", cache, layer, k, v)


def kvcache_read(cache: KVCache, layer: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (k, v, positions) of a layer: all slots, and the position in each, -1 where it is empty.

    `k` and `v` are (batch, heads, max_len, dim). A query at position p may see the slots where
    `(positions >= 0) & (positions <= p)`, which is the mask `op.flash_attention` takes.

    >>> import jax.numpy as jnp
    >>> ring = kvcache_init(1, 1, 1, batch=1, max_len=3, kind="ring")
    >>> kvcache_read(kvcache_update(ring, 0, *jnp.ones((2, 1, 1, 4, 1))), 0)[2].tolist()
    [3, 1, 2]
    """
    return kvcache.read("kvcache_read", cache, layer)


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"kvcache_init: {problem}.")
