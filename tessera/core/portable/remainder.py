"""The remainder of a division, which is exact."""

from typing import Any

import jax
from jax import lax

from tessera.core.portable.arithmetic import flushed
from tessera.core.portable.formats import operands


def rem(x: Any, y: Any) -> jax.Array:
    """Returns x - n y with n = x / y rounded towards zero, exactly, with the sign of x, as C's fmod does.

    `x` and `y` are float32 or float64 of one shape and dtype, none subnormal; scalars broadcast. Magnitudes
    below 2^-126 (float64: 2^-1022) become zero. NaN of an infinite x and of a zero y.

    >>> import numpy as np
    >>> rem(np.float32([5.5, -7.0, 3.0]), np.float32([2.0, 3.0, 0.0]))
    Array([ 1.5, -1. ,  nan], dtype=float32)
    """
    _, x, y = operands("rem", x, y)
    return flushed(lax.rem(x, y))
