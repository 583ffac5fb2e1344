"""What stands around attention: projections, heads, and attention by other formulas.

`qkv_projection`, `split_heads`, `scaled_dot_product_attention`, `multi_query_attention`,
`performer_attention`.
"""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics, precision
from tessera.core.attention_call import per_head, read_call, require_arrays
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import as_integer, to_array

Triple = tuple[jax.Array, jax.Array, jax.Array]
KERNELS = ("relu", "elu")


def qkv_projection(x: Any, W: Any) -> Triple:
    """Returns (q, k, v), the thirds of the last axis of x W.

    `x` is (..., d) and `W` (d, 3 n); each third is (..., n). Raises the errors of `op.matmul`, and
    `E_SHAPE_MISMATCH` if 3 does not divide the columns.

    >>> import jax.numpy as jnp
    >>> [y.tolist() for y in qkv_projection(jnp.array([[2.0]]), jnp.array([[1.0, 2.0, 3.0]]))]
    [[[2.0]], [[4.0]], [[6.0]]]
    """
    return _thirds("qkv_projection", registered_op("matmul")(x, W))


def split_heads(qkv: Any, num_heads: int, head_dim: int) -> Triple:
    """Returns (q, k, v), each (batch, heads, length, head_dim).

    `qkv` is an array (batch, length, 3 * heads * head_dim) or a triple of arrays (batch, length, heads *
    head_dim). Raises `E_SHAPE_MISMATCH` if the sizes do not fit.

    >>> import jax.numpy as jnp
    >>> [y.shape for y in split_heads(jnp.ones((2, 5, 24)), num_heads=2, head_dim=4)]
    [(2, 2, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4)]
    """
    heads = as_integer("split_heads", "num_heads", num_heads)
    depth = as_integer("split_heads", "head_dim", head_dim)
    if isinstance(qkv, tuple | list):
        parts = [to_array("split_heads", name, x) for name, x in zip("qkv", qkv, strict=False)]
        if len(qkv) != 3:
            raise _mismatch("split_heads", f"qkv has {len(qkv)} entries, not q, k and v")
    else:
        parts = list(_thirds("split_heads", to_array("split_heads", "qkv", qkv)))
    for x in parts:
        if x.ndim != 3 or x.shape[-1] != heads * depth:
            raise _mismatch(
                "split_heads",
                f"a part has shape {x.shape}, not (batch, length, {heads} * {depth})",
            )
    q, k, v = (jnp.swapaxes(x.reshape(*x.shape[:2], heads, depth), 1, 2) for x in parts)
    return q, k, v


def scaled_dot_product_attention(q: Any = None, k: Any = None, v: Any = None, **words: Any) -> Any:
    """Returns `op.flash_attention`, computed by its formula with the whole score matrix.

    Arguments, keywords, result and errors are those of `op.flash_attention`: q (B, H, Lq, D), k (B, G, Lk, D)
    and v (B, G, Lk, E), or all without heads; a query that sees nothing gets zeros.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> scaled_dot_product_attention(x, x, x, causal=True).round(3)
    Array([[[1.  , 0.  ],
            [0.33, 0.67]]], dtype=float32)
    """
    # Traced for its checks alone; what it computes is not used.
    jax.eval_shape(lambda *qkv: registered_op("flash_attention")(*qkv, **words), q, k, v)
    call = read_call("flash_attention", q, k, v, **words)
    operands = call.q, call.k, call.v
    dtype = reduce(numerics.wider, [x.dtype for x in operands])
    query, key, value = (x.astype(numerics.accumulator(dtype)) for x in operands)
    product = partial(jnp.einsum, precision=call.products)
    scores = product("bgrid,bgjd->bgrij", call.scale * query, key)
    weights = _weights(scores, call.visible(), call.sinks)
    return call.result(product("bgrij,bgje->bgrie", weights, value).astype(dtype))


def _weights(scores: jax.Array, visible: jax.Array | None, sinks: jax.Array | None) -> jax.Array:
    low = jnp.finfo(scores.dtype).min / 2
    visible = jnp.broadcast_to(True if visible is None else visible, scores.shape)
    sink = None if sinks is None else per_head(sinks, scores)
    top = jnp.max(jnp.where(visible, scores, low), axis=-1, keepdims=True, initial=low)
    top = jax.lax.stop_gradient(top if sink is None else jnp.maximum(top, sink))  # it cancels
    weights = jnp.where(visible, jnp.exp(jnp.where(visible, scores - top, 0)), 0)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    total = total if sink is None else total + jnp.exp(sink - top)
    return weights / jnp.where(total == 0, 1, total)


def multi_query_attention(q: Any = None, k: Any = None, v: Any = None, **words: Any) -> Any:
    """Returns attention of many query heads to one key head, by `op.flash_attention`.

    `q` is (B, H, Lq, D); `k` and `v` are (B, Lk, D), shared by all heads. Keywords are those of
    `op.flash_attention`. Source: Shazeer 2019. Raises its errors, and `E_SHAPE_MISMATCH` for other ranks.

    >>> import jax.numpy as jnp
    >>> multi_query_attention(jnp.ones((1, 4, 2, 8)), jnp.ones((1, 3, 8)), jnp.ones((1, 3, 8))).shape
    (1, 4, 2, 8)
    """
    name = "multi_query_attention"
    require_arrays(name, q, k, v, words.get("num_heads"))
    query, key, value = (to_array(name, word, x) for word, x in zip("qkv", (q, k, v), strict=True))
    if (query.ndim, key.ndim, value.ndim) != (4, 3, 3):
        raise _mismatch(
            name,
            f"q, k and v have ranks {query.ndim}, {key.ndim} and {value.ndim}, not 4, 3 and 3: (B, H, L, D), "
            "(B, L, D), (B, L, D)",
        )
    flash = registered_op("flash_attention")
    return flash(query, jnp.expand_dims(key, 1), jnp.expand_dims(value, 1), **words)


def performer_attention(q: Any, k: Any, v: Any, *, kernel: str = "relu") -> jax.Array:
    """Returns attention whose weights are f(q) . f(k), in time linear in the length.

        out_i = f(q_i) S / (f(q_i) . n),   S = sum_j f(k_j) v_j^T,   n = sum_j f(k_j)

    `q` is (..., Lq, D), `k` (..., Lk, D), `v` (..., Lk, E). `kernel` names f: "relu" is max(x, 0) + 0.001,
    "elu" is elu(x) + 1. Sums are in at least fp32. There is no random projection. Sources: Choromanski et al.
    2021 (generalised attention), Katharopoulos et al. 2020. Raises `E_GRAPH_INVALID` for another kernel,
    `E_SHAPE_MISMATCH` if shapes do not fit.

    >>> import jax.numpy as jnp
    >>> q, v = jnp.ones((1, 2, 4)), jnp.array([[[1.0], [3.0]]])
    >>> performer_attention(q, q, v).round(3).ravel().tolist()
    [2.0, 2.0]
    """
    name = "performer_attention"
    if kernel not in KERNELS:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{name}: unknown kernel {kernel!r}; one of {', '.join(KERNELS)}."
        )
    query, key, value = (to_array(name, word, x) for word, x in zip("qkv", (q, k, v), strict=True))
    fits = min(query.ndim, key.ndim) >= 2 and key.shape[:-1] == value.shape[:-1]
    if not fits or query.shape[:-2] != key.shape[:-2] or query.shape[-1] != key.shape[-1]:
        raise _mismatch(name, f"q {query.shape}, k {key.shape} and v {value.shape} do not fit")
    precision.require_one_dtype(name, [query, key, value])
    dtype = numerics.wider(numerics.wider(query.dtype, key.dtype), value.dtype)
    wide = numerics.accumulator(dtype)
    f = _positive(kernel)
    a, b, c = f(query.astype(wide)), f(key.astype(wide)), value.astype(wide)
    total = jnp.einsum("...jd,...je->...de", b, c)
    weight = jnp.einsum("...id,...d->...i", a, jnp.sum(b, axis=-2))[..., None]
    weight = jnp.where(weight == 0, 1, weight)
    return (jnp.einsum("...id,...de->...ie", a, total) / weight).astype(dtype)


def _positive(kernel: str) -> Any:
    return (
        (lambda x: registered_op("relu")(x) + 1e-3)
        if kernel == "relu"
        else (lambda x: jax.nn.elu(x) + 1)
    )


def _thirds(name: str, x: jax.Array) -> Triple:
    if x.ndim == 0 or x.shape[-1] % 3:
        raise _mismatch(name, f"the last axis of {x.shape} does not split into q, k and v")
    q, k, v = jnp.split(x, 3, axis=-1)
    return q, k, v


def _mismatch(name: str, problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{name}: {problem}.")
