"""The Burgers equation from a sine wave, which steepens into a shock: the usual first test of a PINN.

    u_t + u u_x = nu u_xx on [-1, 1],   u(x, 0) = -sin(pi x),   u(-1, t) = u(1, t) = 0

The transformation of Cole (Q. Appl. Math. 9 (1951) 225-236) and Hopf (Comm. Pure Appl. Math. 3 (1950)
201-230) turns it into the heat equation, whose solution is an integral over the line:

    u = -int sin(pi (x - s)) W ds / int W ds,   W = exp(-s^2 / (4 nu t) - cos(pi (x - s)) / (2 pi nu))

With s = 2 sqrt(nu t) z the integrand is entire, so the trapezoidal rule converges exponentially
(L. N. Trefethen and J. A. C. Weideman, SIAM Review 56 (2014) 385-458). The weights are positive and span
exp(1 / (pi nu)) in size, hence their logarithms.
"""

import math
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.reference.checks import require_inside, require_points, require_positive

# The viscosity of the usual problem.
VISCOSITY = 0.01 / math.pi
# exp(-DIGITS), the relative error of the rule, is below rounding.
DIGITS = 40.0
# Below it the weights' exponents lose too many digits.
SMALLEST_VISCOSITY = 1e-4
# From viscosity * t = STILL on, |u| is below 1e-40 and taken to stay as it is.
STILL = 10.0
# Numbers held at once, 8 bytes each.
CHUNK = 4_000_000


def solution(points: Any, viscosity: float = VISCOSITY) -> dict[str, np.ndarray]:
    """Returns `{"u": (n,)}` at points `(n, 2)` with columns x in [-1, 1] and t >= 0, in float64.

    Absolute errors are below 1e-12 for viscosities from 1e-3, below 1e-11 from 1e-4. Raises `CompileError`
    for points outside the domain and viscosities below 1e-4.

    >>> print(solution([[0.5, 0.0], [0.0, 1.0]])["u"].round(3) + 0.0)
    [-1.  0.]
    >>> print(solution([[0.5, 1.0]])["u"].round(3))
    [-0.376]
    """
    at = require_points("burgers", points, ("x", "t"))
    viscosity = require_positive("burgers", "viscosity", viscosity)
    if viscosity < SMALLEST_VISCOSITY:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"burgers: viscosity is {viscosity:g}, below {SMALLEST_VISCOSITY:g}.",
            hints="rounding spoils the formula there; take a larger viscosity",
        )
    require_inside("burgers", "x", at[:, 0], -1.0, 1.0)
    require_inside("burgers", "t", at[:, 1], 0.0, math.inf)
    at[:, 1] = np.minimum(at[:, 1], STILL / viscosity)
    u = np.empty(len(at))
    # Similar times need similar rules, so the chunks are made of sorted ones.
    order = np.argsort(at[:, 1], kind="stable")
    done = 0
    while done < len(order):
        size = max(1, CHUNK // len(_nodes(viscosity, float(at[order[done], 1]))))
        chunk = order[done : done + size]
        u[chunk] = _integrate(at[chunk], viscosity)
        done += size
    return {"u": u}


def _nodes(viscosity: float, latest: float) -> np.ndarray:
    """Nodes of the trapezoidal rule for z, fine and wide enough for all times up to `latest`."""
    # The logarithm of the integrand is -z^2 - cos(...) / (2 pi nu), the cosine is within [-1, 1].
    reach = math.sqrt(DIGITS + 1 / (math.pi * viscosity))
    # At z + i b the integrand is at most exp(growth) times as large as at z, and the rule's relative error
    # at most 2 exp(growth - 2 pi b / step), for every b.
    frequency = 2 * math.pi * math.sqrt(viscosity * latest)
    b = np.geomspace(1e-2, 30.0, 200)
    with np.errstate(over="ignore"):
        growth = (
            b * b + 2 * np.sinh(frequency * b / 2) ** 2 / (2 * math.pi * viscosity) + frequency * b
        )
    step = float((2 * math.pi * b / (DIGITS + growth)).max())
    count = math.ceil(reach / step)
    return step * np.arange(-count, count + 1)


def _integrate(at: np.ndarray, viscosity: float) -> np.ndarray:
    x, t = at[:, :1], at[:, 1:]
    z = _nodes(viscosity, float(t.max()))
    angle = math.pi * (x - 2 * np.sqrt(viscosity * t) * z)
    exponent = -z * z - np.cos(angle) / (2 * math.pi * viscosity)
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return -(np.sin(angle) * weights).sum(axis=1) / weights.sum(axis=1)
