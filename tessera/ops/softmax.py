"""`op.softmax`: exponentials normalised to sum 1 along an axis."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import numerics
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_axis, to_array


@define_op("*b n@axis *c -> *b n@axis *c")
def softmax(x: jax.Array, *, axis: int, stable: bool = True) -> jax.Array:
    """Returns exp(x) / sum(exp(x)) along an axis.

    `x` is a float array of any shape with that axis; the result has its shape and dtype and is computed in
    at least fp32. The maximum along the axis is subtracted first, so finite input gives finite output in
    [0, 1]. Minus infinity has weight 0; a row that is minus infinity throughout, or holds plus infinity or
    NaN, has no softmax and gives NaN. `stable=False` leaves the shift out: a value above 88 (fp32) then
    overflows to NaN. `deterministic` is the determinism level of this call, up to D4 (see
    `numerics.deterministic`). Raises `E_SHAPE_MISMATCH` if the axis does not exist.

    The backward is dx = y (dy - sum(dy y)).

    >>> import jax.numpy as jnp
    >>> softmax(jnp.array([1000.0, 1000.0]))
    Array([0.5, 0.5], dtype=float32)
    """
    wide = x.astype(numerics.accumulator(x.dtype))
    if stable:
        # The shift cancels; a derivative through it would only add rounding. An empty row has none.
        wide = wide - lax.stop_gradient(jnp.max(wide, axis=axis, keepdims=True, initial=-jnp.inf))
    weights = jnp.exp(wide)
    return (weights / jnp.sum(weights, axis=axis, keepdims=True)).astype(x.dtype)


@softmax.def_call
def softmax(
    x: jax.Array, axis: int = -1, *, stable: bool = True, deterministic: Any = None
) -> jax.Array:
    array = to_array("softmax", "x", x)
    statics = {"axis": as_axis("softmax", axis, array.ndim), "stable": bool(stable)}
    return softmax.bind(array, deterministic=deterministic, **statics)


@softmax.def_vjp
def _backward(res: Residuals, ct: jax.Array, *, axis: int, stable: bool) -> tuple[jax.Array]:
    del stable
    dtype = numerics.accumulator(ct.dtype)
    y, dy = res.out.astype(dtype), ct.astype(dtype)
    return (y * (dy - jnp.sum(dy * y, axis=axis, keepdims=True)),)


def _tile_pays(x: jax.Array, **_statics: Any) -> bool:
    """Measured on an H100, bf16: 2.2 and 3.4 times XLA's speed at 2^26 elements, 0.8 at 2^22."""
    return x.dtype.itemsize <= 4 and x.size >= 2**24


softmax.def_tile(platforms=("cuda", "rocm"), when=_tile_pays, splits="*b *c")

softmax.samples = (
    Sample((4, 8), axis=1),
    Sample((2, 3, 5), axis=1),
    Sample((6,), axis=0, stable=False),
)
