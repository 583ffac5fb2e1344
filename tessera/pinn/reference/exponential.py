"""Time steps of fourth order that treat the linear part of an equation exactly: ETDRK4.

For da/dt = L a + N(a, t) with diagonal L, after S. M. Cox and P. C. Matthews, J. Comput. Phys. 176 (2002)
430-455. Fixed points of the equation are fixed points of the step. The coefficients are differences of
nearly equal numbers for small L h; means over a circle in the complex plane have no such loss
(A.-K. Kassam and L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214-1233).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Points of the circle of radius 1 around L h. The mean of an entire function over it converges exponentially.
CIRCLE = np.exp(2j * math.pi * (np.arange(24) + 0.5) / 24)


class Coefficients(NamedTuple):
    """What one step of length h multiplies by; the names of the weights are of Cox and Matthews' formula."""

    half: Any  # exp(L h / 2)
    whole: Any  # exp(L h)
    stage: Any
    first: Any
    middle: Any
    last: Any


def coefficients(linear: Any, step: Any, xp: Any = np) -> Coefficients:
    """Returns the coefficients for the complex diagonal `linear` and a time step, computed with `xp`.

    >>> c = coefficients(np.zeros(1, complex), 0.1)
    >>> print((c.first + 4 * c.middle + c.last).real.round(12))  # Simpson's rule
    [0.1]
    """
    z = linear * step
    around = z[..., None] + CIRCLE.reshape((1,) * z.ndim + (-1,))
    weights = [step * part.mean(axis=-1) for part in _quotients(around, xp)]
    half = xp.exp(z / 2)
    return Coefficients(half, half * half, *weights)


def _quotients(z: Any, xp: Any) -> tuple[Any, Any, Any, Any]:
    grown = xp.exp(z)
    cube = z * z * z
    return (
        (xp.exp(z / 2) - 1) / z,
        (-4 - z + grown * (4 - 3 * z + z * z)) / cube,
        (2 + z + grown * (z - 2)) / cube,
        (-4 - 3 * z - z * z + grown * (4 - z)) / cube,
    )


def advance(
    c: Coefficients, nonlinear: Callable[[Any, Any], Any], a: Any, time: Any, step: Any
) -> Any:
    """Returns `a` one step later; `nonlinear(a, time)` is N.

    >>> c = coefficients(np.array([-1.0 + 0j]), 0.1)
    >>> print(advance(c, lambda a, t: 0 * a + 2, np.array([2.0 + 0j]), 0.0, 0.1).real)  # a fixed point
    [2.]
    """
    n0 = nonlinear(a, time)
    decayed = c.half * a
    a1 = decayed + c.stage * n0
    n1 = nonlinear(a1, time + step / 2)
    a2 = decayed + c.stage * n1
    n2 = nonlinear(a2, time + step / 2)
    a3 = c.half * a1 + c.stage * (2 * n2 - n0)
    n3 = nonlinear(a3, time + step)
    return c.whole * a + c.first * n0 + 2 * c.middle * (n1 + n2) + c.last * n3
