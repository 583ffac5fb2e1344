"""The wake behind a grid: a steady flow whose exact solution Kovasznay found."""

from functools import partial

import numpy as np

from tessera.pinn.geometry import Rectangle
from tessera.pinn.navier_stokes import Momentum, fields, known_velocity, truth, velocity_error
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import exact
from tessera.pinn.sampling import Boundary, Interior

DOMAIN = Rectangle((-0.5, 1.0), (-0.5, 1.5))


def problem(
    *,
    reynolds: float = 40.0,
    widths: tuple[int, ...] = (24, 24, 24),
    interior: int = 800,
    boundary: int = 200,
    boundary_weight: float = 30.0,
    iterations: int = 60,
) -> Problem:
    """Returns the Kovasznay flow on [-0.5, 1] x [-0.5, 1.5].

        u u_x + v u_y = -p_x + (u_xx + u_yy) / Re,  the same for v,  u_x + v_y = 0

    The velocity is given on the boundary, the pressure nowhere: it is found up to a constant. Lengths are in
    grid spacings, velocities in units of the mean flow.

    >>> problem(reynolds=20.0).coordinates
    ('x', 'y')
    """
    solution = exact.kovasznay(reynolds)
    lower, upper = DOMAIN.bounds.tolist()
    return Problem(
        name="kovasznay",
        title=f"Kovasznay flow at Re = {reynolds:g}",
        coordinates=("x", "y"),
        samplers={
            "interior": Interior(DOMAIN, interior),
            "boundary": known_velocity(Boundary(DOMAIN, boundary), solution),
        },
        terms=(
            Term("momentum", Momentum(1 / reynolds), unit="U^2/L"),
            Term(
                "velocity",
                velocity_error,
                on="boundary",
                weight=boundary_weight,
                unit="U",
                uses=("velocity",),
            ),
        ),
        network=lambda key: MLP(2, widths, 2, bounds=(lower, upper), key=key),
        fields=fields,
        grid=(np.linspace(-0.5, 1.0, 61), np.linspace(-0.5, 1.5, 81)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(truth, solution),
        up_to_a_constant=frozenset({"p"}),
        targets={"u": 1e-4, "v": 1e-3, "p": 1e-3},
        units={"x": "L", "y": "L", "u": "U", "v": "U", "p": "U^2"},
        source="L. I. G. Kovasznay, Proc. Camb. Phil. Soc. 44 (1948) 58-62.",
    )
