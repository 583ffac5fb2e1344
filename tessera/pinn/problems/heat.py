"""Heat in a rod whose ends are kept cold: the simplest problem with a start, an end and an exact solution."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tessera import pde
from tessera.pinn.geometry import Interval, TimeSlab
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import exact
from tessera.pinn.sampling import Boundary, Initial, Interior
from tessera.pinn.scalar_fields import Difference, fields, known, truth, value


def problem(
    *,
    diffusivity: float = 0.05,
    modes: tuple[tuple[int, float], ...] = ((1, 1.0), (3, 0.5)),
    end: float = 1.0,
    widths: tuple[int, ...] = (16, 16),
    interior: int = 500,
    initial: int = 100,
    boundary: int = 100,
    data_weight: float = 10.0,
    iterations: int = 80,
) -> Problem:
    """Returns the heat equation on 0 <= x <= 1 from t = 0 to `end`.

        u_t = diffusivity u_xx,   u = 0 at x = 0 and x = 1,   u = sum of a sin(n pi x) at t = 0

    with one `(n, a)` of `modes` for each term. The start and the ends are terms of the loss. Lengths are in
    L, the length of the rod, times in T; u is a temperature above that of the ends, in K.

    >>> [term.name for term in problem(diffusivity=0.1).terms]
    ['equation', 'start', 'ends']
    """
    slab = TimeSlab(Interval(0, 1), 0, end)
    solution = exact.heat(diffusivity, modes)
    lower, upper = slab.bounds.tolist()
    return Problem(
        name="heat",
        title=f"heat in a rod, diffusivity {diffusivity:g}",
        coordinates=("x", "t"),
        samplers={
            "interior": Interior(slab, interior),
            "start": Initial(slab, initial),
            "ends": Boundary(slab, boundary),
        },
        terms=(
            Term("equation", Equation(diffusivity), unit="K/T"),
            Term("start", Difference(known(solution, "u")), "start", data_weight, "K"),
            Term("ends", value, "ends", data_weight, "K"),
        ),
        network=lambda key: MLP(2, widths, 1, bounds=(lower, upper), key=key),
        fields=fields,
        grid=(np.linspace(0, 1, 101), np.linspace(0, end, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(truth, solution),
        targets={"u": 3e-5},
        units={"x": "L", "t": "T", "u": "K"},
        source="J. Fourier, Théorie analytique de la chaleur (1822), chapter III.",
    )


@dataclass(frozen=True)
class Equation:
    """The residual u_t - diffusivity u_xx."""

    diffusivity: float

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, t)."""
        u = value(model, at)
        return pde.grad(u, "t") - self.diffusivity * pde.partial(u, "x", "x")
