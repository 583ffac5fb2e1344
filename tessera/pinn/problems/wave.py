"""A string fixed at both ends, plucked and let go: standing waves, for whole periods."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from tessera import pde
from tessera.pinn.geometry import Interval, TimeSlab
from tessera.pinn.networks import MLP, FourierFeatures
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import exact
from tessera.pinn.sampling import Boundary, Initial, Interior
from tessera.pinn.scalar_fields import Difference, fields, known, truth, value

# Frequencies and their spread, in radians per half width of the domain; the default's fastest wave has 3 pi.
FEATURES, SPREAD = 24, 4.0


def problem(
    *,
    speed: float = 1.0,
    modes: tuple[tuple[int, float, float], ...] = ((1, 1.0, 0.0), (3, 0.3, 0.3)),
    end: float = 2.0,
    widths: tuple[int, ...] = (20, 20),
    interior: int = 2000,
    initial: int = 200,
    boundary: int = 200,
    data_weight: float = 100.0,
    iterations: int = 100,
) -> Problem:
    """Returns the wave equation on 0 <= x <= 1 from t = 0 to `end`; by default one period.

        u_tt = speed^2 u_xx,   u = 0 at x = 0 and x = 1,   u and u_t given at t = 0

    The start is that of the standing waves sin(n pi x) (a cos(n pi speed t) + b sin(n pi speed t)), one for
    each `(n, a, b)` of `modes`. Start and ends are terms of the loss. The network sees the coordinates
    through `FourierFeatures`. Lengths are in L, the length of the string, times in T; u is a displacement,
    in A.

    >>> [term.name for term in problem(speed=2.0).terms]
    ['equation', 'start', 'velocity', 'ends']
    """
    slab = TimeSlab(Interval(0, 1), 0, end)
    solution = exact.wave(speed, modes)
    displacement = known(solution, "u")
    return Problem(
        name="wave",
        title=f"standing waves, speed {speed:g}",
        coordinates=("x", "t"),
        samplers={
            "interior": Interior(slab, interior),
            "start": Initial(slab, initial),
            "ends": Boundary(slab, boundary),
        },
        terms=(
            Term("equation", Equation(speed), unit="A/T^2"),
            Term("start", Difference(displacement), "start", data_weight, "A"),
            Term("velocity", Velocity(displacement), "start", data_weight, "A/T"),
            Term("ends", value, "ends", data_weight, "A"),
        ),
        network=partial(_network, slab, widths),
        fields=fields,
        grid=(np.linspace(0, 1, 101), np.linspace(0, end, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(truth, solution),
        targets={"u": 3e-4},
        units={"x": "L", "t": "T", "u": "A"},
        source="L. C. Evans, Partial Differential Equations (1998), section 2.4.",
    )


@dataclass(frozen=True)
class Equation:
    """The residual u_tt - speed^2 u_xx."""

    speed: float

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, t)."""
        u = value(model, at)
        return pde.partial(u, "t", "t") - self.speed**2 * pde.partial(u, "x", "x")


@dataclass(frozen=True)
class Velocity:
    """The residual u_t - (that of `expected`, a function of points)."""

    expected: Callable[[Any], Any]

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the difference at points (x, t)."""
        return pde.grad(Difference(self.expected)(model, at), "t")


def _network(slab: TimeSlab, widths: tuple[int, ...], key: Any) -> MLP:
    of_features, of_layers = jax.random.split(key)
    features = FourierFeatures(2, FEATURES, scale=SPREAD, key=of_features)
    lower, upper = slab.bounds.tolist()
    return MLP(2, widths, 1, bounds=(lower, upper), embed=features, key=of_layers)
