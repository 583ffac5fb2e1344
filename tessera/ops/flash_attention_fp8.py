"""`op.flash_attention_fp8`: attention whose products are of 8-bit floats, e4m3, with a scale per tensor.

    x ~ s_x x8,   s_x = max |x| / 448,   x8 = round(x / s_x)                  for q, k and v
    s = scale s_q s_k (q8 k8^T),   p = exp(s - max s),   p8 = round(256 p)
    o = s_v / 256 (p8 v8) / sum p

256 uses the range of e4m3, as FlashAttention-3 does (Shah et al. 2024): p is in [0, 1]. Products of two such
floats are exact in fp32, where the sums and the statistics of the softmax are.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import float8
from tessera.core.attention_call import Attention, per_head, read_call
from tessera.core.errors import Code, CompileError
from tessera.core.notes import note
from tessera.core.op import registered_op

NAME = "flash_attention_fp8"
WEIGHT_SCALE = 256.0
SCALES = ("amax_dynamic",)

Array = jax.Array


def flash_attention_fp8(
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: str = "amax_dynamic",
    causal: bool = False,
    mask: Any = None,
    window: int | None = None,
    sinks: Any = None,
) -> Array:
    """Returns `op.flash_attention` of q, k, v and of weights that are rounded to e4m3.

    Arguments, shapes and errors are those of `op.flash_attention`; scores are divided by sqrt(D). `scale`
    says how q, k and v are scaled: "amax_dynamic" by the largest finite size in each, when the call runs; a
    tensor of zeros has scale 1. What is infinite saturates at the largest finite value; NaN stays NaN. The
    result is in the promoted dtype of q, k and v.

    Rounding counts as the identity in derivatives (straight-through), and scales as constants: gradients
    are those of attention at the rounded values.

    The products are emulated, in fp32 on the rounded values with the whole score matrix, which the log notes
    once for each line that calls. Raises `E_GRAPH_INVALID` for another `scale`.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> [[f"{y:.2f}" for y in row] for row in flash_attention_fp8(x, x, x, causal=True)[0].tolist()]
    [['1.00', '0.00'], ['0.33', '0.67']]
    """
    if scale not in SCALES:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{NAME}: unknown scale {scale!r}; one of {', '.join(SCALES)}.",
            hints="scores are divided by sqrt(D); multiply q for another factor",
        )
    words = {"causal": causal, "mask": mask, "window": window, "sinks": sinks}
    # Traced for its checks alone.
    out = jax.eval_shape(lambda *qkv: registered_op("flash_attention")(*qkv, **words), q, k, v)
    call = read_call(NAME, q, k, v, **words)
    note("op", f"{NAME}: fp8 products are emulated, on rounded values in fp32.")
    return call.result(_attend(call).astype(out.dtype))


def _attend(call: Attention) -> Array:
    (q, by_q), (k, by_k), (v, by_v) = (_quantized(x) for x in (call.q, call.k, call.v))
    product = partial(jnp.einsum, precision="highest")  # fp32 throughout: TF32 would round the sums
    scores = call.scale * by_q * by_k * product("bgrid,bgjd->bgrij", q, k)
    low = jnp.finfo(scores.dtype).min / 2
    visible = call.visible()
    if visible is not None:
        scores = jnp.where(visible, scores, low)
    top = jnp.max(scores, axis=-1, keepdims=True, initial=low)
    if call.sinks is not None:
        top = jnp.maximum(top, per_head(call.sinks, top))
    top = jax.lax.stop_gradient(top)  # it cancels
    weights = jnp.exp(scores - top)
    if visible is not None:
        weights = jnp.where(visible, weights, 0)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    if call.sinks is not None:
        total = total + jnp.exp(per_head(call.sinks, top) - top)
    total = jnp.where(total == 0, 1, total)
    out = product("bgrij,bgje->bgrie", _rounded(WEIGHT_SCALE * weights), v)
    return by_v * (out / (WEIGHT_SCALE * total))


def _quantized(x: Array) -> tuple[Array, Array]:
    """Returns x / s rounded to e4m3, in at least fp32, and the scale s of the whole array."""
    scale = jax.lax.stop_gradient(float8.scale_of(x))
    return _rounded(x.astype(scale.dtype) / scale), scale


@jax.custom_jvp
def _rounded(x: Array) -> Array:
    return float8.saturated(x).astype(x.dtype)


@_rounded.defjvp
def _straight_through(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _rounded(*primals), *tangents
