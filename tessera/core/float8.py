"""Floats of 8 bits, e4m3: the scale under which numbers fit them, and rounding to them."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from tessera.core import numerics

LARGEST = 448.0


def scale_of(x: Array, axis: int | None = None) -> Array:
    """Returns max |x| / 448 over an axis, which stays as one of size 1, in at least fp32.

    Only finite numbers count, and zeros have scale 1. Without an axis it is a scalar, of the whole array.

    >>> scale_of(jnp.array([[896.0, 0.0], [0.0, 0.0]]), axis=-1).tolist()
    [[2.0], [1.0]]
    """
    size = jnp.abs(x.astype(numerics.accumulator(x.dtype)))
    finite: Any = jnp.where(jnp.isfinite(size), size, 0)
    scale = jnp.max(finite, axis=axis, keepdims=axis is not None, initial=0) / LARGEST
    return jnp.where(scale == 0, jnp.ones_like(scale), scale)


def saturated(x: Array) -> Array:
    """Returns the nearest e4m3, which has no infinity: what is larger becomes 448; NaN stays NaN."""
    return jnp.clip(x, -LARGEST, LARGEST).astype(jnp.float8_e4m3fn)
