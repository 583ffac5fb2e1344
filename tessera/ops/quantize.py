"""`op.quantize` and `op.dequantize`: floats as 8-bit values and scales, and back; 4-bit floats back.

    values = round(x / scale),   scale = max |x| / largest value        symmetric: 0 stays 0

Rounding is to the nearest, ties to even. The int8 error is at most half a scale. `mxfp4` holds blocks of
32 floats of 4 bits (e2m1) with one power of two each: OCP Microscaling Formats (MX) 1.0, 2023.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, check_kind, to_array


@dataclass(frozen=True)
class _Scheme:
    dtype: Any
    largest: float
    per_channel: bool


SCHEMES = {
    "int8_per_tensor": _Scheme(jnp.int8, 127.0, per_channel=False),
    "int8_per_channel": _Scheme(jnp.int8, 127.0, per_channel=True),
    "fp8_e4m3_per_tensor": _Scheme(jnp.float8_e4m3fn, 448.0, per_channel=False),
    "fp8_e4m3_per_channel": _Scheme(jnp.float8_e4m3fn, 448.0, per_channel=True),
}
MXFP4 = "mxfp4"
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
BLOCK_BYTES = 16  # of 32 floats, two in a byte, the first in its low half
EXPONENT_BIAS, NO_SCALE = 127, 255  # of an e8m0 scale


def quantize(
    x: Any, scheme: str = "int8_per_channel", *, axis: int = -1
) -> tuple[jax.Array, jax.Array]:
    """Returns (values, scales) of a float array, such that values * scales is close to it.

    `scheme` is one of int8_per_tensor, int8_per_channel, fp8_e4m3_per_tensor, fp8_e4m3_per_channel. A
    channel is an index of `axis`, by default the last one: columns of a weight (in, out). Values have the
    shape of x; scales, in at least fp32, have rank 0 or that of x with size 1 on every axis but the
    channels'. A channel of zeros, or of so small numbers that their scale would be zero, has scale 1. One
    NaN makes its channel's scale NaN. Integer values carry no gradient.

    Raises `E_GRAPH_INVALID` (unknown scheme), `E_SHAPE_MISMATCH` (no such axis) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> values, scales = quantize(jnp.array([[1.0, 0.0], [-2.0, 0.0]]))
    >>> values.tolist(), (127 * scales).round(4).tolist()
    ([[64, 0], [-127, 0]], [[2.0, 127.0]])
    """
    array = to_array("quantize", "x", x)
    check_kind("quantize", "x", array, "float")
    if scheme == MXFP4:
        raise _invalid("quantize", "mxfp4 can only be dequantized", "one of " + ", ".join(SCHEMES))
    if scheme not in SCHEMES:
        raise _invalid("quantize", f"unknown scheme {scheme!r}; one of {', '.join(SCHEMES)}")
    found = SCHEMES[scheme]
    wide = array.astype(numerics.accumulator(array.dtype))
    size = jnp.abs(wide)
    if found.per_channel:
        channel = as_axis("quantize", axis, array.ndim)
        others = tuple(i for i in range(array.ndim) if i != channel)
        most = jnp.max(size, axis=others, keepdims=True, initial=0)
    else:
        most = jnp.max(size, initial=0)
    scales = most / found.largest
    scales = jnp.where(scales == 0, jnp.ones_like(scales), scales)
    scaled = wide / jnp.broadcast_to(scales, wide.shape)
    if jnp.issubdtype(found.dtype, jnp.integer):
        scaled = jnp.round(scaled)
    return jnp.clip(scaled, -found.largest, found.largest).astype(found.dtype), scales


def dequantize(
    values: Any, scales: Any, scheme: str = "int8_per_channel", *, out_dtype: Any = "fp32"
) -> jax.Array:
    """Returns the floats that values and scales stand for.

    For the schemes of `quantize` that is values * scales. For "mxfp4" `scales` are uint8 exponents (..., n
    / 32), 2^(s - 127), and `values` uint8 pairs of 4-bit floats (..., n / 2), or (..., n / 32, 16), the
    first of a pair in the low half of its byte; the result is (..., n). The product is formed in at least
    fp32.

    Raises `E_GRAPH_INVALID` (unknown scheme), `E_SHAPE_MISMATCH` (scales that do not fit) and
    `E_TARGET_CODEGEN` (values or scales of another dtype than the scheme's).

    >>> import jax.numpy as jnp
    >>> dequantize(jnp.array([64, -127], jnp.int8), jnp.array(0.5), "int8_per_tensor").tolist()
    [32.0, -63.5]
    """
    dtype = numerics.dtype(out_dtype, "dequantize")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise _invalid("dequantize", f"out_dtype {dtype.name} is no float")
    stored, by = to_array("dequantize", "values", values), to_array("dequantize", "scales", scales)
    if scheme == MXFP4:
        return _from_mxfp4(stored, by).astype(dtype)
    if scheme not in SCHEMES:
        known = ", ".join([*SCHEMES, MXFP4])
        raise _invalid("dequantize", f"unknown scheme {scheme!r}; one of {known}")
    _require_dtype(scheme, "values", stored, SCHEMES[scheme].dtype)
    check_kind("dequantize", "scales", by, "float")
    wide = numerics.wider(numerics.accumulator(by.dtype), numerics.accumulator(dtype))
    fits = by.ndim in (0, stored.ndim) and all(
        size in (1, whole) for size, whole in zip(by.shape, stored.shape, strict=False)
    )
    if not fits:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"dequantize: scales {by.shape} do not fit values {stored.shape}.",
            hints="rank 0, or the rank of values with size 1 where a scale is shared",
        )
    return (stored.astype(wide) * jnp.broadcast_to(by.astype(wide), stored.shape)).astype(dtype)


def _from_mxfp4(values: jax.Array, scales: jax.Array) -> jax.Array:
    _require_dtype(MXFP4, "values", values, jnp.uint8)
    _require_dtype(MXFP4, "scales", scales, jnp.uint8)
    blocks = (*scales.shape, BLOCK_BYTES)
    flat = (*scales.shape[:-1], scales.shape[-1] * BLOCK_BYTES) if scales.ndim else None
    if values.shape not in (blocks, flat) or flat is None:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"dequantize: mxfp4 values {values.shape} are not {BLOCK_BYTES} bytes for each of the scales "
            f"{scales.shape}.",
        )
    pairs = values.reshape(blocks)
    codes = jnp.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*scales.shape, 2 * BLOCK_BYTES)
    numbers = jnp.asarray(np.concatenate([E2M1, -E2M1]))[codes]
    exponents = jnp.expand_dims(scales.astype(jnp.int32) - EXPONENT_BIAS, -1)
    scaled = jnp.ldexp(numbers, jnp.broadcast_to(exponents, numbers.shape))
    scaled = jnp.where(jnp.expand_dims(scales, -1) == NO_SCALE, jnp.nan, scaled)
    return scaled.reshape(*scales.shape[:-1], scales.shape[-1] * 2 * BLOCK_BYTES)


def _require_dtype(scheme: str, name: str, array: jax.Array, wanted: Any) -> None:
    if array.dtype != wanted:
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"dequantize: {name} are {array.dtype} but {scheme} has {jnp.dtype(wanted).name}.",
        )


def _invalid(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())
