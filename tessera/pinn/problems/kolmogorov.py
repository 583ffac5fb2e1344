"""Kolmogorov flow: vortices in a periodic box that a force along x, a wave in y, stirs."""

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.pinn.constraints import Dirichlet, Periodic, stream_function
from tessera.pinn.geometry import Rectangle, TimeSlab
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import spectral
from tessera.pinn.reference.checks import require_number
from tessera.pinn.reference.periodic_flow import Flow
from tessera.pinn.sampling import Interior

LENGTH = 2 * math.pi
# Vortices of two sizes, waves across them, none in line with the force: numbers of waves in x and y,
# amplitude of the vorticity in U/L, phase.
START = ((1, 1, 1.0, 0.0), (1, -1, 1.0, 0.0), (2, 1, 0.6, 1.0), (0, 1, 0.5, 2.0))
# The true flow is computed on so many points along x and y, and kept at so many times.
CELLS, TIMES = 64, 41

Waves = tuple[tuple[int, int, float, float], ...]


def problem(
    *,
    viscosity: float = 0.05,
    force: float = 0.5,
    waves: int = 2,
    start: Waves = START,
    end: float = 1.0,
    widths: tuple[int, ...] = (24, 24),
    interior: int = 1200,
    iterations: int = 80,
) -> Problem:
    """Returns the flow in the box [0, 2 pi]^2, periodic, from t = 0 to `end`, as vorticity omega.

        omega_t + u omega_x + v omega_y = nu (omega_xx + omega_yy) - force waves cos(waves y)
        u = psi_y,  v = -psi_x,  omega = v_x - u_y = -(psi_xx + psi_yy)

    The acceleration `force sin(waves y)` acts along x. The network gives psi, whose fourth derivatives the
    equation has; its period and psi at t = 0, a sum of waves `start` (numbers of waves in x and y, amplitude
    of omega, phase), are met exactly. Lengths are in L, 2 pi of which are the period, velocities in U.

    >>> [term.name for term in problem(viscosity=0.1).terms]
    ['vorticity']
    """
    viscosity = require_number("kolmogorov", "viscosity", viscosity, least=0.0)
    slab = TimeSlab(Rectangle((0, LENGTH), (0, LENGTH)), 0, end)
    return Problem(
        name="kolmogorov",
        title=f"Kolmogorov flow, nu = {viscosity:g}, {waves} waves",
        coordinates=("x", "y", "t"),
        samplers={"interior": Interior(slab, interior)},
        terms=(Term("vorticity", Transport(viscosity, force, waves), unit="U^2/L^2"),),
        network=partial(_network, slab, widths, start),
        fields=fields,
        grid=(*(np.linspace(0, LENGTH, 24, endpoint=False),) * 2, np.linspace(0, end, 6)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(_truth, viscosity, force, waves, start, end),
        targets={"omega": 1e-3, "u": 1e-3, "v": 1e-3},
        units={"x": "L", "y": "L", "t": "L/U", "u": "U", "v": "U", "omega": "U/L"},
        source="L. D. Meshalkin, Ya. G. Sinai, J. Appl. Math. Mech. 25 (1961) 1700-1705.",
    )


@dataclass(frozen=True)
class Transport:
    """The residual of the vorticity equation under a force of `waves` waves in y."""

    viscosity: float
    force: float
    waves: int

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, y, t), in U^2/L^2."""
        flow = fields(model, at)
        omega = flow["omega"]
        carried = pde.material_derivative(omega, [flow["u"], flow["v"]])
        return carried - pde.laplacian(omega) * self.viscosity - at.apply(self._stirring)

    def _stirring(self, points: Any) -> Any:
        return -self.force * self.waves * jnp.cos(self.waves * points[..., 1])


@dataclass(frozen=True)
class Stream:
    """The stream function of waves of vorticity, at points `(..., 3)`, of which only x and y matter."""

    waves: Waves

    def __call__(self, points: Any) -> Any:
        """Returns psi `(...)`, in UL."""
        x, y = points[..., 0], points[..., 1]
        return sum(a / (k * k + m * m) * jnp.cos(k * x + m * y + b) for k, m, a, b in self.waves)


def fields(model: Any, at: pde.Field) -> dict[str, pde.Field]:
    """Returns u, v and omega by name."""
    psi = model(at)[..., 0]
    u, v = stream_function(psi)
    return {"u": u, "v": v, "omega": -pde.laplacian(psi)}


@cache
def _flow(viscosity: float, force: float, waves: int, start: Waves, end: float) -> Flow:
    x, y = np.meshgrid(*(LENGTH / CELLS * np.arange(CELLS),) * 2)
    vorticity = sum(a * np.cos(k * x + m * y + b) for k, m, a, b in start)
    return spectral.solve(
        vorticity,
        viscosity=viscosity,
        times=np.linspace(0, end, TIMES),
        forcing=-force * waves * np.cos(waves * y),
    )


def _truth(
    viscosity: float, force: float, waves: int, start: Waves, end: float, points: np.ndarray
) -> dict[str, np.ndarray]:
    found = _flow(viscosity, force, waves, start, end).at(points)
    return {name: found[name] for name in ("u", "v", "omega")}


def _network(slab: TimeSlab, widths: tuple[int, ...], start: Waves, key: Any) -> Dirichlet:
    # Only time is brought to [-1, 1]: the period is that of x and y as they are.
    bounds = ((0.0, 0.0, slab.t0), (0.0, 0.0, slab.t1))
    embedding = Periodic((LENGTH, LENGTH, None))
    free = MLP(3, widths, 1, bounds=bounds, embed=embedding, key=key)
    return Dirichlet(free, slab.elapsed, Stream(start))
