"""`op.layernorm`: layer normalisation, with a closed-form backward.

    y  = xhat w + b,   xhat = (x - mean) r,   r = 1 / sqrt(var + eps)
    dx = r (g - mean(g) - xhat mean(g xhat)),   g = dy w
    dw = sum over rows of dy xhat,   db = sum over rows of dy

Source: Ba, Kiros and Hinton 2016; the backward follows by differentiating the three lines.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import numerics
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_axis, as_number, to_array

OUT_OF_CACHE = 2**20  # elements: above it whole-array temporaries leave the cache
# Elements: at 2^16 the products save 20 us, 2 % of a step, and take XLA 14 ms longer to compile.
WORTH_PRODUCTS = 2**16 + 1

Gradients = tuple[jax.Array, jax.Array | None, jax.Array | None]


@define_op("*b n, [n], [n] -> *b n", kinds=("float", "~float", "~float"))
def layernorm(
    x: jax.Array,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    eps: float = 1e-5,
) -> jax.Array:
    """Returns x normalised to mean 0 and variance 1 along one axis, then scaled and shifted.

    `x` is a float array, `weight` and `bias` have shape (n,) for an axis of n and may be absent. The result
    has the shape and dtype of x. Mean and variance are computed in at least fp32, the variance from the
    centred values (two passes), so a mean far larger than the deviation costs no digits. `deterministic` is
    the determinism level of this call, up to D4 (see `numerics.deterministic`). Raises `E_SHAPE_MISMATCH` if
    the axis does not exist or weight or bias do not fit it.

    >>> import jax.numpy as jnp
    >>> layernorm(jnp.array([[1.0, 2.0, 3.0]])).round(4)
    Array([[-1.2247,  0.    ,  1.2247]], dtype=float32)
    """
    return _forward(x, weight, bias, eps=eps)[0]


@layernorm.def_call
def layernorm(
    x: jax.Array,
    eps: float = 1e-5,
    *,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    axis: int = -1,
    deterministic: Any = None,
) -> jax.Array:
    eps = as_number("layernorm", "eps", eps, "a weight or bias is a keyword: weight=..., bias=...")
    if axis == -1:
        return layernorm.bind(x, weight, bias, eps=eps, deterministic=deterministic)
    array = to_array("layernorm", "x", x)
    axis = as_axis("layernorm", axis, array.ndim)
    moved = jnp.moveaxis(array, axis, -1)
    y = layernorm.bind(moved, weight, bias, eps=eps, deterministic=deterministic)
    return jnp.moveaxis(y, -1, axis)


@layernorm.def_forward(saves="*b 1, *b 1")
def _forward(
    x: jax.Array, weight: jax.Array | None, bias: jax.Array | None, *, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    wide = x.astype(numerics.accumulator(x.dtype))
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    centred = wide - mean
    scale = lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    y = centred * scale
    if weight is not None:
        y = y * _row(weight, wide)
    if bias is not None:
        y = y + _row(bias, wide)
    return y.astype(x.dtype), mean, scale


@layernorm.def_vjp
def _backward(res: Residuals, ct: jax.Array, *, eps: float) -> Gradients:
    del eps
    return layernorm_bwd.bind(*res.operands, *res.saved, ct)


@define_op(
    "*b n, [n], [n], *b 1, *b 1, *b n -> *b n, [n], [n]",
    kinds=("float", "~float", "~float", "~float", "~float", "float"),
)
def layernorm_bwd(
    x: jax.Array,
    weight: jax.Array | None,
    bias: jax.Array | None,
    mean: jax.Array,
    scale: jax.Array,
    ct: jax.Array,
) -> Gradients:
    """Returns the gradients of layernorm for x, weight and bias, given a cotangent.

    `mean` and `scale` (1 / deviation), of shape (..., 1), come from the forward. Each gradient has the shape
    and dtype of what it is for, and is None where that is absent.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones((1, 1))
    >>> layernorm_bwd(jnp.array([[0.0, 1.0]]), None, None, 0.5 * one, 2 * one, jnp.array([[1.0, 1.0]]))[0]
    Array([[0., 0.]], dtype=float32)
    """
    dtype = numerics.accumulator(x.dtype)
    mean, scale, dy = mean.astype(dtype), scale.astype(dtype), ct.astype(dtype)
    normal = (x.astype(dtype) - mean) * scale
    g = dy if weight is None else dy * _row(weight, dy)
    along = jnp.mean(g * normal, axis=-1, keepdims=True)
    dx = scale * (g - jnp.mean(g, axis=-1, keepdims=True) - normal * along)
    rows = tuple(range(x.ndim - 1))
    dweight = None if weight is None else jnp.sum(dy * normal, axis=rows).astype(weight.dtype)
    dbias = None if bias is None else jnp.sum(dy, axis=rows).astype(bias.dtype)
    return dx.astype(x.dtype), dweight, dbias


def _tile_pays(x: jax.Array, *_others: Any, **_statics: Any) -> bool:
    """Measured on an H100, bf16, against XLA: 1.06 and 1.7 at 2^26 elements, 0.96 at 2^22."""
    return x.dtype.itemsize <= 4 and x.size >= 2**24


def _backward_tile_pays(x: jax.Array, *_others: Any) -> bool:
    """Measured likewise, forward and backward: 2.4 and 2.6 at 2^26 elements, 1.4 at 2^22."""
    return x.dtype.itemsize <= 4 and x.size >= 2**22


def _large(x: jax.Array, *_others: Any) -> bool:
    """On one core, at 4096 x 1024 in fp32, 2.9 times the speed of the whole at once: blocks fit the cache."""
    return x.size >= OUT_OF_CACHE


layernorm.def_tile(platforms=("cuda", "rocm"), when=_tile_pays)
layernorm_bwd.def_tile(platforms=("cuda", "rocm"), when=_backward_tile_pays, sums=True)
layernorm_bwd.def_tile(platforms=("cpu",), when=_large)


@layernorm_bwd.def_algorithm(
    "dots", platforms=("cpu",), when=lambda x, *_: x.size >= WORTH_PRODUCTS
)
def _dots(
    x: jax.Array,
    weight: jax.Array | None,
    bias: jax.Array | None,
    mean: jax.Array,
    scale: jax.Array,
    ct: jax.Array,
) -> Gradients:
    """The whole array at once, its four sums as matrix products."""
    arrays = [_as_rows(a) for a in (x, mean, scale, ct)]
    return _as_gradients(x, weight, bias, *_block_gradients(weight, *arrays))


def _block_gradients(
    weight: jax.Array | None, x: jax.Array, mean: jax.Array, scale: jax.Array, ct: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns dx and the sums dw, db of a block of rows.

    On CPU a sum along rows is fastest as a matrix product; one over rows would gain a tenth, and cost XLA
    more time to compile than the rest of the backward.
    """
    dtype = numerics.accumulator(x.dtype)
    n = x.shape[-1]
    mean, scale, dy = mean.astype(dtype), scale.astype(dtype), ct.astype(dtype)
    normal = (x.astype(dtype) - mean) * scale
    product = dy * normal
    w = jnp.ones(n, dtype) if weight is None else weight.astype(dtype)
    share = jnp.expand_dims(w / n, -1)
    dx = scale * (dy * _row(w, dy) - dy @ share - normal * (product @ share))
    return dx, jnp.sum(product, axis=0), jnp.sum(dy, axis=0)


def _as_gradients(
    x: jax.Array,
    weight: jax.Array | None,
    bias: jax.Array | None,
    dx: jax.Array,
    dweight: jax.Array,
    dbias: jax.Array,
) -> Gradients:
    return (
        dx.reshape(x.shape).astype(x.dtype),
        None if weight is None else dweight.astype(weight.dtype),
        None if bias is None else dbias.astype(bias.dtype),
    )


def _as_rows(x: jax.Array) -> jax.Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _row(vector: jax.Array, like: jax.Array) -> jax.Array:
    """Returns a vector as the last axis of an array of the same rank and dtype as another."""
    return vector.astype(like.dtype).reshape((1,) * (like.ndim - 1) + vector.shape)


layernorm.samples = (
    Sample((4, 8), (8,), (8,)),
    Sample((2, 3, 5), None, None, eps=1e-3),
    Sample((2, 7), (7,), None),
)
layernorm_bwd.samples = (
    Sample((4, 8), (8,), (8,), (4, 1), Sample.uniform((4, 1), 0.5, 2.0), (4, 8)),
    Sample((2, 3, 5), None, None, (2, 3, 1), Sample.uniform((2, 3, 1), 0.5, 2.0), (2, 3, 5)),
)
