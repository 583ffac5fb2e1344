"""Stochastic rounding: up or down at random, so that the mean of what is rounded is the number itself.

    x between neighbours a < b of a narrow dtype:   b with probability (x - a) / (b - a), else a

A sum of many small terms, each lost when it is rounded to the nearest, is right on average this way. Sources:
Gupta et al. 2015, Deep learning with limited numerical precision; Connolly, Higham and Mary 2021, Stochastic
rounding and its probabilistic backward error analysis.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tessera.core import float32
from tessera.core.errors import Code, CompileError

NARROW = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
MANTISSA, BIAS = 23, 127  # of float32


def rounded(x: Array, dtype: Any, key: Array) -> Array:
    """Returns x, of at most 32 bits, in a narrower float dtype, rounded up or down at random by a JAX key.

    Every element is one of its two neighbours, exact values stay as they are, and the mean is x to within
    2^-32 of the neighbours' distance. Beyond the largest number of the dtype, and for what is not finite, the
    result is that of `x.astype`. The bits depend on the key and the index alone, so not on how x is sharded.
    A derivative is that of the cast (straight-through).

    Raises `E_TARGET_CODEGEN` for another dtype of x or of the result.

    >>> found = rounded(jnp.full(1000, 1.0 + 2.0**-9), "bfloat16", jax.random.key(0))
    >>> sorted(set(found.tolist())), 200 < int((found > 1).sum()) < 300
    ([1.0, 1.0078125], True)
    """
    wanted = jnp.dtype(dtype)
    if wanted.name not in NARROW or x.dtype.name not in (*NARROW, "float32"):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"stochastic_round: {x.dtype} to {wanted.name}; it is from float32 or narrower to one of "
            f"{', '.join(NARROW)}.",
            hints="x.astype(jnp.float32) first",
        )
    return _compiled(x, wanted, key)


@jax.jit
def key_of(x: Array) -> Array:
    """Returns a JAX key made of the bits of an array, by a sum of integers, which has no order.

    For rounding where no key can be handed on: the same array rounds in the same way, another one anew.

    >>> a, b = (jax.random.key_data(key_of(jnp.array(x))) for x in ([1.0, 2.0], [2.0, 1.0]))
    >>> bool((a == b).all())
    False
    """
    words = float32.bits(x.astype(jnp.float32)).reshape(-1)
    odd = 2 * lax.iota(jnp.uint32, words.size) + 1  # so that the place of an element counts
    mixed = (words ^ (words >> 15)) * odd
    return jax.random.fold_in(jax.random.key(0), jnp.sum(mixed, dtype=jnp.uint32))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _straight_through(x: Array, dtype: np.dtype, key: Array) -> Array:
    wide = x.astype(jnp.float32)
    noise = jax.random.bits(key, x.shape, jnp.uint32)
    limits = jnp.finfo(dtype)
    # A dtype with the exponents of float32 ends where its last bits do.
    split = _by_bits if limits.nexp == 8 else _by_steps
    found = split(wide, noise, dtype)
    return jnp.where(jnp.abs(wide) <= float(limits.max), found, wide.astype(dtype))


@_straight_through.defjvp
def _tangent(
    dtype: np.dtype, primals: tuple[Array, Array], tangents: tuple[Array, Any]
) -> tuple[Array, Array]:
    return _straight_through(primals[0], dtype, primals[1]), tangents[0].astype(dtype)


_compiled = jax.jit(_straight_through, static_argnums=1)


def _by_bits(x: Array, noise: Array, dtype: np.dtype) -> Array:
    """Adds noise to the bits that are cut off: a carry rounds up."""
    dropped = MANTISSA - jnp.finfo(dtype).nmant
    bits = float32.bits(x) + (noise >> (32 - dropped))
    return lax.bitcast_convert_type((bits >> 16).astype(jnp.uint16), dtype)


def _by_steps(x: Array, noise: Array, dtype: np.dtype) -> Array:
    """Counts in steps of the dtype at x, whose size is a power of two, so that only the choice rounds."""
    limits = jnp.finfo(dtype)
    size = jnp.abs(x)
    exponent = (float32.bits(size) >> MANTISSA).astype(jnp.int32) - BIAS
    step = jnp.maximum(exponent, limits.minexp) - limits.nmant
    count = size * _power_of_two(-step)
    below = jnp.floor(count)
    chance = ((count - below) * np.float32(2.0**32)).astype(jnp.uint32)
    found = (below + (noise < chance).astype(jnp.float32)) * _power_of_two(step)
    return jnp.copysign(found, x).astype(dtype)


def _power_of_two(exponent: Array) -> Array:
    return float32.from_bits(((exponent + BIAS) << MANTISSA).astype(jnp.uint32))
