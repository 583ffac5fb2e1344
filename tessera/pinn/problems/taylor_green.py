"""Vortices that decay: an unsteady flow whose exact solution Taylor found."""

import math
from functools import partial
from typing import Any

import numpy as np

from tessera import pde
from tessera.pinn.constraints import Periodic
from tessera.pinn.geometry import Rectangle, TimeSlab
from tessera.pinn.navier_stokes import (
    Known,
    Momentum,
    fields,
    flow,
    known_velocity,
    truth,
    velocity_error,
)
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import exact
from tessera.pinn.sampling import Boundary, Fixed, Initial, Interior

LENGTH = 2 * math.pi
WALLS = ("x-", "x+", "y-", "y+")
# Times at which the pressure is given in one point; between them it has no room to move.
GAUGES = 16


def problem(
    *,
    viscosity: float = 0.01,
    end: float = 1.0,
    periodic: bool = True,
    widths: tuple[int, ...] = (24, 24),
    interior: int = 1200,
    initial: int = 200,
    boundary: int = 400,
    data_weight: float = 10.0,
    iterations: int = 80,
) -> Problem:
    """Returns the Taylor-Green vortices on the box [0, 2 pi]^2 from t = 0 to `end`.

        u_t + u u_x + v u_y = -p_x + nu (u_xx + u_yy),  the same for v,  u_x + v_y = 0

    The velocity is given at t = 0, and the pressure, which the equations leave free by a function of time,
    in the corner of the box. With `periodic` the network is, with all its derivatives; else the velocity is
    given on `boundary` points of the walls. Lengths are in L, 2 pi of which are the period, velocities in U.

    >>> sorted(problem().samplers), sorted(problem(periodic=False).samplers)
    (['gauge', 'initial', 'interior'], ['gauge', 'initial', 'interior', 'walls'])
    """
    slab = TimeSlab(Rectangle((0, LENGTH), (0, LENGTH)), 0, end)
    solution = exact.taylor_green(viscosity)
    corner = np.stack([np.zeros(GAUGES), np.zeros(GAUGES), np.linspace(0, end, GAUGES)], axis=-1)
    samplers: dict[str, Any] = {
        "interior": Interior(slab, interior),
        "initial": known_velocity(Initial(slab, initial), solution),
        "gauge": Known(Fixed(corner), solution, (("pressure", ("p",)),)),
    }
    terms = [
        Term("momentum", Momentum(viscosity), unit="U^2/L"),
        Term("start", velocity_error, "initial", data_weight, "U", ("velocity",)),
        Term("gauge", pressure_error, "gauge", data_weight, "U^2", ("pressure",)),
    ]
    if not periodic:
        samplers["walls"] = known_velocity(Boundary(slab, boundary, side=WALLS), solution)
        terms.append(Term("walls", velocity_error, "walls", data_weight, "U", ("velocity",)))
    return Problem(
        name="taylor_green",
        title=f"Taylor-Green vortices, nu = {viscosity:g}",
        coordinates=("x", "y", "t"),
        samplers=samplers,
        terms=tuple(terms),
        network=partial(_network, slab, widths, periodic),
        fields=fields,
        grid=(np.linspace(0, LENGTH, 25), np.linspace(0, LENGTH, 25), np.linspace(0, end, 6)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(truth, solution),
        targets={"u": 1e-3, "v": 1e-3, "p": 1e-2},
        units={"x": "L", "y": "L", "t": "L/U", "u": "U", "v": "U", "p": "U^2"},
        source="G. I. Taylor, Phil. Mag. 46 (1923) 671-674.",
    )


def pressure_error(model: Any, at: pde.Field, pressure: Any) -> Any:
    """Returns by how much the pressure differs from one given at the points, `(n, 1)`."""
    return flow(model, at)[2] - pressure[:, 0]


def _network(slab: TimeSlab, widths: tuple[int, ...], periodic: bool, key: Any) -> Any:
    lower, upper = slab.bounds.tolist()
    if not periodic:
        return MLP(3, widths, 2, bounds=(lower, upper), key=key)
    # Only time is brought to [-1, 1]: the period is that of x and y as they are.
    bounds = ((0.0, 0.0, slab.t0), (0.0, 0.0, slab.t1))
    return MLP(3, widths, 2, bounds=bounds, embed=Periodic((LENGTH, LENGTH, None)), key=key)
