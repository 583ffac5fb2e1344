"""The hyperbolic tangent and the logistic function: quotients of an exponential that does not overflow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.arithmetic import quotient
from tessera.core.portable.exponential import exp
from tessera.core.portable.formats import keeper, operand, polynomial

# Where tanh is about 1/2: below it 1 - 2 / (e^2x + 1) would cancel.
POLYNOMIAL_BELOW = 0.55
# tanh x = x + x^3 P(x^2) there, constant term first; minimax to 2^-29 and 2^-59 of the result.
_TERMS = {
    "float32": tuple(
        map(np.float32, (-0.3333332, 0.13332637, -0.053856842, 0.021088235, -0.006295485))
    ),
    "float64": (
        *map(np.float64, (-0.333333333333333, 0.1333333333332656, -0.05396825396371566)),
        *map(np.float64, (0.021869488384309806, -0.008863232572249975, 0.003592091698671409)),
        *map(np.float64, (-0.0014555404727098647, 0.0005884337128918425)),
        *map(np.float64, (-0.00023335143140416117, 8.326908988677346e-05)),
        np.float64(-1.946270630931395e-05),
    ),
}


def tanh(x: Any) -> jax.Array:
    """Returns the hyperbolic tangent of x within 2 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> tanh(jnp.array([0.5, -20.0]))
    Array([ 0.46211717, -1.        ], dtype=float32)
    """
    form, x = operand("tanh", x)
    keep, one, two = keeper(form, x), form.number(1), form.number(2)
    z, size = keep(x * x), jnp.abs(x)
    near = keep(keep(z * polynomial(keep, _TERMS[form.name], z)) * x) + x
    e = exp(size * -two)
    far = one - quotient(e + e, e + one)
    return jnp.where(size < form.number(POLYNOMIAL_BELOW), near, form.with_sign(far, x))


def logistic(x: Any) -> jax.Array:
    """Returns 1 / (1 + e^-x) within 2.4 ulp; zero where that is at most 2^-126 (float64: 2^-1022).

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> logistic(jnp.array([0.0, 2.0, -90.0]))
    Array([0.5      , 0.8807971, 0.       ], dtype=float32)
    """
    form, x = operand("logistic", x)
    e = exp(-jnp.abs(x))
    return quotient(jnp.where(x < 0, e, form.number(1)), e + form.number(1))
