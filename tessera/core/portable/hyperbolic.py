"""Hyperbolic sine and cosine and the inverse functions, of e^x / 2 and of log1p."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.arithmetic import divide, quotient, sqrt
from tessera.core.portable.exponential import LN_2, half_exp
from tessera.core.portable.formats import Format, keeper, operand, polynomial
from tessera.core.portable.logarithm import log1p

# sinh x = x + x^3 P(x^2) below 1, constant term first; minimax to 2^-31 and 2^-63 of the result.
_TERMS = {
    "float32": tuple(map(np.float32, (0.16666667, 0.0083333105, 0.00019842896, 2.7822118e-06))),
    "float64": (
        *map(np.float64, (0.16666666666666666, 0.008333333333333573, 0.0001984126984106116)),
        *map(np.float64, (2.755731931009711e-06, 2.505208940593444e-08, 1.606134130852089e-10)),
        *map(np.float64, (7.503006720998626e-13, 6.485990768311896e-15)),
    ),
}


def sinh(x: Any) -> jax.Array:
    """Returns the hyperbolic sine of x within 2 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> sinh(jnp.array([0.5, -0.0, -100.0]))
    Array([ 0.5210953, -0.       ,       -inf], dtype=float32)
    """
    form, x = operand("sinh", x)
    keep, size = keeper(form, x), jnp.abs(x)
    z = keep(x * x)
    near = keep(keep(z * polynomial(keep, _TERMS[form.name], z)) * x) + x
    half = half_exp(size)
    far = half - divide(form.number(0.25), half)
    return jnp.where(size < form.number(1), near, form.with_sign(far, x))


def cosh(x: Any) -> jax.Array:
    """Returns the hyperbolic cosine of x within 1.5 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> cosh(jnp.array([0.5, -0.0, -100.0]))
    Array([1.127626, 1.      ,      inf], dtype=float32)
    """
    form, x = operand("cosh", x)
    half = half_exp(jnp.abs(x))
    return half + divide(form.number(0.25), half)


def asinh(x: Any) -> jax.Array:
    """Returns the number whose hyperbolic sine is x within 2 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> asinh(jnp.array([0.5, -0.0, -1e30]))
    Array([  0.4812118,  -0.       , -69.77069  ], dtype=float32)
    """
    form, x = operand("asinh", x)
    keep, size, one = keeper(form, x), jnp.abs(x), form.number(1)
    z = keep(x * x)
    rest = size + quotient(z, sqrt(one + z) + one)
    return form.with_sign(_log_of_twice(form, size, rest), x)


def acosh(x: Any) -> jax.Array:
    """Returns the positive number whose hyperbolic cosine is x within 3 ulp; NaN below 1.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> acosh(jnp.array([1.0, 3.0, 0.5]))
    Array([0.       , 1.7627472,       nan], dtype=float32)
    """
    form, x = operand("acosh", x)
    keep = keeper(form, x)
    t = keep(x - form.number(1))  # XLA would make (x - 1) + 2 one sum
    rest = t + sqrt(keep(t * (t + form.number(2))))
    return jnp.where(t < 0, form.number(np.nan), _log_of_twice(form, x, rest))


def atanh(x: Any) -> jax.Array:
    """Returns the number whose hyperbolic tangent is x within 2 ulp; NaN beyond 1.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> atanh(jnp.array([0.5, -1.0, 2.0]))
    Array([0.5493061,      -inf,       nan], dtype=float32)
    """
    form, x = operand("atanh", x)
    size = jnp.abs(x)
    twice = log1p(quotient(size + size, form.number(1) - size))
    return form.with_sign(twice * form.number(0.5), x)


def _log_of_twice(form: Format, x: jax.Array, rest: jax.Array) -> jax.Array:
    """Returns log(1 + rest), or log 2x where x is so large that 1 is lost in it."""
    large = x > form.number(2.0 ** (form.fraction + 5))
    y = log1p(jnp.where(large, x, rest))
    return y + jnp.where(large, form.number(LN_2), form.number(0))
