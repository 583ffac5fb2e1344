"""`op.flash_attention`: exact attention without the score matrix.

    s = scale q k^T,   p = exp(s - L),   L = log(sum_j exp(s_j) + exp(sink)),   o = p v
    dv = p^T do,   ds = p (do v^T - rowsum(do o)),   dq = scale ds k,   dk = scale ds^T q

On CPU both passes run over tiles of scores that stay in the cache. The forward is a tile program: it keeps a
running maximum and sum per row (online softmax: Milakov and Gimelshein 2018) and saves L. The backward
visits each tile once, with five products (Dao et al. 2022; Dao 2023). Tiles without a visible score are
skipped.

Inside, heads are (g, r): g key heads, each shared by r query heads.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core import numerics
from tessera.core.attention_call import per_head, read_call, visible_scores
from tessera.core.kvcache import KVCache
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import share_varying_axes
from tessera.core.score_tiles import cut_scores

SMALLEST_SCORES = 2**17  # per head: below it tiles gain nothing over the whole

Array = jax.Array
Gradients = tuple[Array, Array, Array, Array | None]
Column = tuple[Array, Array, Array, Array]  # j, the keys of block j, their transpose, the values


@define_op(
    "*b g r i d, *b g j d, *b g j e, [*b g|1 r|1 i|1 j|1], [g r] -> *b g r i e",
    kinds=("float", "float", "float", "bool", "~float"),
)
def flash_attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    sinks: Array | None = None,
    *,
    causal: bool = False,
    window: int | None = None,
    scale: float = 1.0,
    block_q: int | None = None,
    block_k: int | None = None,
    precision: str | None = None,
) -> Array:
    """Returns softmax(scale q k^T) v over the keys each query may see.

    `q` is (B, H, Lq, D), `k` (B, G, Lk, D) and `v` (B, G, Lk, E), where G divides H and query head h reads
    key head h G // H; or all three of rank 3, without heads. The result is (B, H, Lq, E) or (B, Lq, E), in
    the promoted dtype of q, k and v; scores, statistics and sums are in at least fp32 (`accumulate`).

    Query i stands at position i + Lk - Lq, so the last query sees the last key, as in decoding.
    `causal=True` hides later positions; `window=w` hides keys w or more positions back (with causal: a
    sliding window of w keys, the query's own among them); `mask`, boolean and broadcastable to
    (B, H, Lq, Lk), is True where a query may see a key. `sinks` (H,) are logits that join each softmax sum
    and carry no value. A query that sees nothing gets zeros. `scale` defaults to 1 / sqrt(D).

    `cache`, a `KVCache`, makes the result `(out, new_cache)`, as in decoding: k and v are the keys and values
    of the next positions of its `layer`, are appended, and each query sees what the cache holds up to its own
    position (`causal` changes nothing). The steps together are causal attention of the whole sequence, with
    the window if there is one; a ring has one of `max_len` unless a shorter is given. `mask` then is over
    the `max_len` positions of an append cache.

    `block_q` and `block_k` are the tile sizes, hints like `block_d` (which no formulation here splits), also
    given as `params={...}`. `precision` is the dtype q, k and v are computed in: bf16, fp16, fp32, fp64 or
    tf32 (see `op.matmul`). `deterministic`, a bool, a dict or D0 to D4, is the determinism level of this call
    (see `numerics.deterministic`): sums have a fixed order in any case (D1), and from D2 on the matrix of
    scores is computed, in tiles of fixed shape.

    Raises `E_SHAPE_MISMATCH` if shapes do not fit, `E_GRAPH_INVALID` for a value out of range, a parameter
    given twice and the factory form (`num_heads`), and `E_ILLEGAL_ADDRESS` as `op.kvcache_update`.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> flash_attention(x, x, x, causal=True).round(3)
    Array([[[1.  , 0.  ],
            [0.33, 0.67]]], dtype=float32)
    """
    return _forward(
        q,
        k,
        v,
        mask,
        sinks,
        causal=causal,
        window=window,
        scale=scale,
        block_q=block_q,
        block_k=block_k,
        precision=precision,
    )[0]


@flash_attention.def_forward(saves="*b g r i")
def _forward(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    sinks: Array | None,
    *,
    causal: bool,
    window: int | None,
    scale: float,
    precision: str | None = None,
    **_blocks: int | None,
) -> tuple[Array, Array]:
    dtype = numerics.accumulator(q.dtype)
    product = partial(jnp.einsum, precision=precision)
    scores = product("...grid,...gjd->...grij", scale * q.astype(dtype), k.astype(dtype))
    visible = visible_scores(q, k, mask, causal=causal, window=window)
    if visible is not None:
        scores = jnp.where(visible, scores, _hidden(dtype))
    top = jnp.max(scores, axis=-1, keepdims=True, initial=_hidden(dtype))
    if sinks is not None:
        top = jnp.maximum(top, per_head(sinks, top))
    top = lax.stop_gradient(top)  # it cancels
    weights = jnp.exp(scores - top)
    if visible is not None:
        weights = jnp.where(visible, weights, 0)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    if sinks is not None:
        total = total + jnp.exp(per_head(sinks, top) - top)
    total = jnp.where(total == 0, 1, total)
    out = product("...grij,...gje->...grie", weights, v.astype(dtype)) / total
    return out.astype(q.dtype), jnp.squeeze(top + jnp.log(total), -1)


@flash_attention.def_vjp
def _backward(res: Residuals, ct: Array, **statics: Any) -> tuple[Array | None, ...]:
    dq, dk, dv, dsinks = flash_attention_bwd.bind(*res.operands, res.out, *res.saved, ct, **statics)
    if dsinks is not None:
        dsinks = jnp.sum(dsinks, axis=tuple(range(dsinks.ndim - 2)))
    return dq, dk, dv, None, dsinks


@define_op(
    "*b g r i d, *b g j d, *b g j e, [*b g|1 r|1 i|1 j|1], [g r], *b g r i e, *b g r i, *b g r i e"
    " -> *b g r i d, *b g j d, *b g j e, [*b g r]",
    kinds=("float", "float", "float", "bool", "~float", "float", "~float", "float"),
)
def flash_attention_bwd(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    sinks: Array | None,
    out: Array,
    logsumexp: Array,
    ct: Array,
    *,
    causal: bool = False,
    window: int | None = None,
    scale: float = 1.0,
    block_q: int | None = None,
    block_k: int | None = None,
    precision: str | None = None,
) -> Gradients:
    """Returns the gradients of flash_attention for q, k, v and, per batch entry, sinks (None where absent).

    Operands are those of the op with heads as (g, r), then its result, the log of each softmax sum and the
    cotangent of the result.

    >>> import jax.numpy as jnp
    >>> q, zero = jnp.ones((1, 1, 1, 2)), jnp.zeros((1, 1, 1))
    >>> k, ct = jnp.ones((1, 1, 2)), jnp.full((1, 1, 1, 2), 3.0)
    >>> flash_attention_bwd(q, k, k, None, None, q, zero + 2.0, ct)[2]
    Array([[[3., 3.]]], dtype=float32)
    """
    dtype = numerics.accumulator(q.dtype)
    queries, keys, values, dy = (x.astype(dtype) for x in (q, k, v, ct))
    logsumexp = logsumexp.astype(dtype)
    product = partial(jnp.einsum, precision=precision)
    scores = product("...grid,...gjd->...grij", scale * queries, keys)
    visible = visible_scores(q, k, mask, causal=causal, window=window)
    if visible is not None:
        scores = jnp.where(visible, scores, _hidden(dtype))
    weights = jnp.exp(scores - jnp.expand_dims(logsumexp, -1))
    if visible is not None:
        weights = jnp.where(visible, weights, 0)
    delta = jnp.sum(dy * out.astype(dtype), axis=-1)
    dweights = product("...grie,...gje->...grij", dy, values)
    dscores = scale * weights * (dweights - jnp.expand_dims(delta, -1))
    dq = product("...grij,...gjd->...grid", dscores, keys)
    dk = product("...grij,...grid->...gjd", dscores, queries)
    dv = product("...grij,...grie->...gje", weights, dy)
    return (
        dq.astype(q.dtype),
        dk.astype(k.dtype),
        dv.astype(v.dtype),
        _dsinks(sinks, logsumexp, delta),
    )


def _dsinks(sinks: Array | None, logsumexp: Array, delta: Array) -> Array | None:
    if sinks is None:
        return None
    heads = sinks.astype(delta.dtype).reshape((1,) * (delta.ndim - 3) + (*sinks.shape, 1))
    return -jnp.sum(jnp.exp(heads - logsumexp) * delta, axis=-1).astype(sinks.dtype)


def _hidden(dtype: Any) -> Any:
    """A score below any real one that stays finite when another is subtracted from it."""
    return np.asarray(-0.7 * float(jnp.finfo(dtype).max), dtype)


# -- the public call -----------------------------------------------------------------------------------


@flash_attention.def_call
def flash_attention(
    q: Array | None = None,
    k: Array | None = None,
    v: Array | None = None,
    *,
    causal: bool = False,
    mask: Array | None = None,
    window: int | None = None,
    sinks: Array | None = None,
    scale: float | None = None,
    block_q: int | None = None,
    block_k: int | None = None,
    block_d: int | None = None,
    params: Mapping[str, int] | None = None,
    precision: Any = None,
    accumulate: str = "fp32",
    cache: KVCache | None = None,
    layer: int = 0,
    deterministic: bool | Mapping[str, Any] | None = None,
    num_heads: int | None = None,
) -> Any:
    call = read_call(
        "flash_attention",
        q,
        k,
        v,
        causal=causal,
        mask=mask,
        window=window,
        sinks=sinks,
        scale=scale,
        block_q=block_q,
        block_k=block_k,
        block_d=block_d,
        params=params,
        precision=precision,
        accumulate=accumulate,
        cache=cache,
        layer=layer,
        deterministic=deterministic,
        num_heads=num_heads,
    )
    out = flash_attention.bind(
        call.q,
        call.k,
        call.v,
        call.mask,
        call.sinks,
        causal=call.causal,
        window=call.window,
        scale=call.scale,
        block_q=call.blocks["block_q"],
        block_k=call.blocks["block_k"],
        precision=call.products,
        deterministic=call.deterministic,
    )
    return call.result(out)


def _tile_pays_on_gpu(q: Array, *_others: Any, **_statics: Any) -> bool:
    """Measured on an H100, bf16, from 256 to 4096 keys: 6.5 to 19 times the speed of the whole.

    Operands of 32 bits were slower (0.67 at 2048 keys): XLA multiplies them in TF32, the program does not.
    """
    return q.dtype.itemsize == 2


def _tiles_pay(q: Array, k: Array, *_others: Any, **_statics: Any) -> bool:
    """On one core, in fp32, 1.5 to 13 times the speed of the whole from 512 to 4096 keys."""
    return q.shape[-2] * k.shape[-2] >= SMALLEST_SCORES


flash_attention.def_tile(platforms=("cuda", "rocm"), when=_tile_pays_on_gpu, splits="*b g r")
flash_attention.def_tile(platforms=("cpu",), when=_tiles_pay)
# Query heads of one key head may lie on several devices: dk and dv are then sums over them.
flash_attention_bwd.def_tile(
    platforms=("cuda", "rocm"), when=_tile_pays_on_gpu, splits="*b g r", sums=True
)


# -- the backward over tiles, on CPU -------------------------------------------------------------------

# It visits each tile once, with five products. The tile program, whose programs share no sums, has seven: it
# took 1.18 times as long on one core at 2048 keys.


def _rows_like(q: Array, x: Array) -> Array:
    """Returns flat rows without their padding, with the leading axes of q."""
    return x[..., : q.shape[-2], :].reshape(*q.shape[:-1], x.shape[-1])


def _columns_like(k: Array, x: Array) -> Array:
    """Returns flat columns without their padding, with the shape and dtype of k."""
    return x[..., : k.shape[-2], :].reshape(k.shape).astype(k.dtype)


@flash_attention_bwd.def_algorithm("tiles", platforms=("cpu",), when=_tiles_pay, partitions=True)
def _backward_tiles(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    sinks: Array | None,
    out: Array,
    logsumexp: Array,
    ct: Array,
    *,
    scale: float,
    precision: str | None,
    **statics: Any,
) -> Gradients:
    """Tiles have keys as rows, so that no product reads its left factor by columns, which is slow on CPU."""
    del precision  # a CPU has one way to multiply
    dtype = numerics.accumulator(q.dtype)
    tiles = cut_scores(q, k, mask, **statics)
    logsumexp = logsumexp.astype(dtype)
    delta = jnp.sum(ct.astype(dtype) * out.astype(dtype), axis=-1)
    queries, dy, sums, deltas = (
        tiles.flat_rows(x) for x in (q, ct, logsumexp[..., None], delta[..., None])
    )
    keys, values = tiles.flat_columns(k), tiles.flat_columns(v)

    def step(column: Column, partly_hidden: bool, i: Array, carry: tuple[Array, Array, Array]):
        j, key, key_columns, value = column
        dq, dk, dv = carry
        query, dout, logsum, given = (
            tiles.get_rows(x, i).astype(dtype) for x in (queries, dy, sums, deltas)
        )
        query = scale * query
        weights = jnp.exp(key @ jnp.matrix_transpose(query) - jnp.matrix_transpose(logsum))
        if partly_hidden:
            weights = jnp.where(jnp.matrix_transpose(tiles.visible(i, j)), weights, 0)
        dv = dv + weights @ dout
        dweights = value @ jnp.matrix_transpose(dout)
        dscores = weights * (dweights - jnp.matrix_transpose(given))
        dk = dk + dscores @ query
        added = lax.dynamic_index_in_dim(dq, i, keepdims=False) + key_columns @ dscores
        return lax.dynamic_update_index_in_dim(dq, added, i, 0), dk, dv

    def column_block(j: Array, results: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        dq, dks, dvs = results
        key, value = (tiles.get_columns(x, j).astype(dtype) for x in (keys, values))
        column = j, key, jnp.matrix_transpose(key), value
        start = tuple(
            share_varying_axes([jnp.zeros_like(key), jnp.zeros_like(value), q, v, ct])[:2]
        )
        dq, dk, dv = tiles.rows_reached(j).visit(partial(step, column), (dq, *start))
        return dq, tiles.set_columns(dks, j, dk), tiles.set_columns(dvs, j, dv)

    batch, groups, _, _, depth = queries.shape
    by_block = (tiles.row_blocks, batch, groups, depth, tiles.shared * tiles.block_q)
    empty = [jnp.zeros(shape, dtype) for shape in (by_block, keys.shape, values.shape)]
    results = tuple(share_varying_axes([*empty, q, k, v, ct])[:3])
    dq, dk, dv = lax.fori_loop(0, tiles.column_blocks, column_block, results)
    dq = _rows_like(q, _from_blocks(scale * dq, queries.shape)).astype(q.dtype)
    return dq, _columns_like(k, dk), _columns_like(v, dv), _dsinks(sinks, logsumexp, delta)


def _from_blocks(x: Array, shape: tuple[int, ...]) -> Array:
    """Returns (blocks, B, g, d, r block) as flat rows (B, g, r, blocks block, d)."""
    batch, groups, shared, rows, depth = shape
    x = x.reshape(x.shape[0], batch, groups, depth, shared, rows // x.shape[0])
    return jnp.transpose(x, (1, 2, 4, 0, 5, 3)).reshape(shape)


flash_attention.samples = (
    Sample((2, 1, 2, 5, 4), (2, 1, 7, 4), (2, 1, 7, 3), None, (1, 2), causal=True, scale=0.5),
    Sample(
        (1, 2, 1, 6, 4), (1, 2, 6, 4), (1, 2, 6, 4), None, None, causal=True, window=3, scale=0.5
    ),
    Sample(
        (2, 2, 2, 4, 3),
        (2, 2, 6, 3),
        (2, 2, 6, 3),
        Sample.booleans((2, 1, 1, 4, 6)),
        None,
        scale=0.6,
    ),
)
flash_attention_bwd.samples = (
    Sample(
        (2, 1, 2, 5, 4),
        (2, 1, 7, 4),
        (2, 1, 7, 3),
        None,
        (1, 2),
        (2, 1, 2, 5, 3),
        Sample.uniform((2, 1, 2, 5), 1.0, 3.0),
        (2, 1, 2, 5, 3),
        causal=True,
        scale=0.5,
    ),
)
