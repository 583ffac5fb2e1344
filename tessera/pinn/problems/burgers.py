"""The Burgers equation from a sine wave that steepens into a shock: the usual first test of a PINN."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.pinn.constraints import Dirichlet
from tessera.pinn.geometry import Interval, TimeSlab
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import burgers as reference
from tessera.pinn.reference.checks import require_positive
from tessera.pinn.resampling import Resample
from tessera.pinn.sampling import Interior
from tessera.pinn.scalar_fields import fields, value

# The shock is 4 nu / (its jump of 2) wide, 1/300 of the domain: points must gather there as it forms.
RESAMPLE = Resample(every=15, adaptive=("interior",))


def problem(
    *,
    viscosity: float = reference.VISCOSITY,
    widths: tuple[int, ...] = (24, 24, 24),
    interior: int = 3000,
    iterations: int = 120,
) -> Problem:
    """Returns the Burgers equation on -1 <= x <= 1 from t = 0 to 1.

        u_t + u u_x = viscosity u_xx,   u(x, 0) = -sin(pi x),   u(-1, t) = u(1, t) = 0

    The start and the ends are met exactly, by u = -sin(pi x) + t (1 - x^2) / 2 network. More points are
    drawn where the residual is large: without, the shock stays unresolved. Lengths are in L, velocities in U.

    >>> problem(viscosity=0.05).title
    'Burgers equation, viscosity 0.05'
    """
    viscosity = require_positive("burgers", "viscosity", viscosity)
    slab = TimeSlab(Interval(-1, 1), 0, 1)
    return Problem(
        name="burgers",
        title=f"Burgers equation, viscosity {viscosity:.2g}",
        coordinates=("x", "t"),
        samplers={"interior": Interior(slab, interior)},
        terms=(Term("equation", Equation(viscosity), unit="U^2/L"),),
        network=partial(_network, slab, widths),
        fields=fields,
        grid=(np.linspace(-1, 1, 257), np.linspace(0, 1, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=5),),
        resample=RESAMPLE,
        truth=partial(reference.solution, viscosity=viscosity),
        targets={"u": 2e-4},
        units={"x": "L", "t": "L/U", "u": "U"},
        source="C. Basdevant et al., Computers and Fluids 14 (1986) 23-41; as a test of PINNs: M. Raissi, "
        "P. Perdikaris, G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707.",
    )


@dataclass(frozen=True)
class Equation:
    """The residual u_t + u u_x - viscosity u_xx."""

    viscosity: float

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, t)."""
        u = value(model, at)
        changed = pde.material_derivative(u, [u])
        return changed - self.viscosity * pde.partial(u, "x", "x")


@dataclass(frozen=True)
class FreeInside:
    """A distance that is zero on the walls of a slab and at its first time."""

    slab: TimeSlab

    def __call__(self, points: Any) -> jax.Array:
        """Returns the distance to the walls times the time that has passed, `(..., d) -> (...)`."""
        return self.slab.distance(points) * self.slab.elapsed(points)


def start(points: Any) -> jax.Array:
    """Returns -sin(pi x) at points `(..., 2)`."""
    return -jnp.sin(math.pi * points[..., 0])


def _network(slab: TimeSlab, widths: tuple[int, ...], key: Any) -> Dirichlet:
    lower, upper = slab.bounds.tolist()
    return Dirichlet(MLP(2, widths, 1, bounds=(lower, upper), key=key), FreeInside(slab), start)
