"""Pieces of formulas that compute a function of float32 by polynomials."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SIGN = np.uint32(1 << 31)
# The nearest float32 to pi, and what it lacks. Halves and doubles of both are exact.
PI = np.float32(np.pi)
PI_REST = np.float32(np.pi - np.float64(PI))


def coefficients(*values: float) -> tuple[np.float32, ...]:
    """Returns the coefficients of a polynomial, constant term first."""
    return tuple(np.float32(value) for value in values)


def polynomial(terms: Sequence[np.float32], z: jax.Array) -> jax.Array:
    """Returns terms[0] + terms[1] z + terms[2] z^2 + ... by Horner's rule."""
    total = jnp.full_like(z, terms[-1])
    for term in terms[-2::-1]:
        total = total * z + term
    return total


def bits(x: jax.Array) -> jax.Array:
    """Returns the bits of float32 as uint32."""
    return lax.bitcast_convert_type(x, jnp.uint32)


def from_bits(x: jax.Array) -> jax.Array:
    """Returns the float32 of some bits."""
    return lax.bitcast_convert_type(x, jnp.float32)


def first_half(x: jax.Array) -> jax.Array:
    """Returns x with its last 12 bits cleared: a product of two such is exact."""
    return from_bits(bits(x) & np.uint32(0xFFFFF000))
