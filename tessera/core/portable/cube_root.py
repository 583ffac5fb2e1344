"""The cube root: a polynomial of the digits, and one step of Halley's that cubes what it is off.

A t of half the digits has an exact square. Then r = x / t^2 and t + t (r - t) / (2 t + r) are rounded once
each, which leaves the root within 0.9 ulp (Kahan and Bindel 2001).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.portable.arithmetic import quotient
from tessera.core.portable.formats import Format, halves, keeper, operand, polynomial

# The cube root on [1, 2], constant term first; minimax to 2^-22 of the result.
_TERMS = (
    *(0.44714072, 0.95010114, -0.6661798, 0.38536444, -0.14447074, 0.030903973),
    -0.002859593,
)


def cbrt(x: Any) -> jax.Array:
    """Returns the cube root of x within 0.9 ulp, with its sign.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> cbrt(jnp.array([27.0, -0.0, -2.0]))
    Array([ 3.      , -0.      , -1.259921], dtype=float32)
    """
    form, x = operand("cbrt", x)
    keep, bits = keeper(form, x), form.bits(x)
    thirds, left = _third_of_exponent(form, bits)
    digits = form.floats(bits & form.digits | form.one)
    factor = jnp.where(left == 0, form.number(1), form.number(np.cbrt(2)))
    factor = jnp.where(left == 2, form.number(np.cbrt(4)), factor)
    terms = tuple(map(form.number, _TERMS))
    t, _ = halves(form, polynomial(keep, terms, digits) * factor)
    r = quotient(form.scaled(digits, left), t * t)
    root = t + keep(t * quotient(r - t, (t + t) + r))
    y = form.with_sign(form.scaled(root, thirds), x)
    size = bits & form.magnitude
    return jnp.where((size == form.word(0)) | (size >= form.infinity), x, y)


def _third_of_exponent(form: Format, bits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns n and j of numbers in [2^e, 2^(e + 1)) with e = 3n + j, j in {0, 1, 2}."""
    field = lax.shift_right_logical(bits & form.magnitude, form.word(form.fraction))
    # 21846 / 2^16 is a little above 1/3: right for the fields, which are below 2^11. A bias is 1 + 3 times
    # a whole number for float32 and three times one for float64.
    up = -form.bias % 3
    n = lax.shift_right_logical((field + form.word(up)) * form.word(21846), form.word(16))
    left = field + form.word(up) - n * form.word(3)
    return form.signed(n) - form.integer((form.bias + up) // 3), form.signed(left)
