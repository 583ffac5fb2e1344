"""The Helmholtz equation in a square, driven so that the solution is known: fast along y, slow along x."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tessera import pde
from tessera.core.operands import as_integer
from tessera.pinn.constraints import Dirichlet
from tessera.pinn.geometry import Rectangle
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import exact
from tessera.pinn.sampling import Interior
from tessera.pinn.scalar_fields import fields, known, truth, value

SQUARE = Rectangle((-1, 1), (-1, 1))


def problem(
    *,
    a1: int = 1,
    a2: int = 4,
    wavenumber: float = 1.0,
    widths: tuple[int, ...] = (30, 30),
    interior: int = 2000,
    iterations: int = 80,
) -> Problem:
    """Returns the Helmholtz equation on [-1, 1]^2 with u = 0 on the boundary.

        u_xx + u_yy + wavenumber^2 u = q

    where q is what u = sin(a1 pi x) sin(a2 pi y), with whole numbers a1 and a2, needs. The boundary values
    are met exactly, by u = (1 - x^2) (1 - y^2) network. Its activations are sines: tanh takes long to find
    waves. Lengths are in L, u is in A.

    >>> problem(a2=2).title
    'Helmholtz equation, 1 by 2 waves'
    """
    a1, a2 = as_integer("helmholtz", "a1", a1), as_integer("helmholtz", "a2", a2)
    solution = exact.helmholtz(a1, a2, wavenumber)
    return Problem(
        name="helmholtz",
        title=f"Helmholtz equation, {a1} by {a2} waves",
        coordinates=("x", "y"),
        samplers={"interior": Interior(SQUARE, interior)},
        terms=(Term("equation", Equation(wavenumber, known(solution, "q")), unit="A/L^2"),),
        network=partial(_network, widths),
        fields=fields,
        grid=(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(truth, solution),
        targets={"u": 1e-4},
        units={"x": "L", "y": "L", "u": "A"},
        source="S. Wang, Y. Teng, P. Perdikaris, SIAM J. Sci. Comput. 43 (2021) A3055-A3081.",
    )


@dataclass(frozen=True)
class Equation:
    """The residual u_xx + u_yy + wavenumber^2 u - source, with `source` a function of points."""

    wavenumber: float
    source: Callable[[Any], Any]

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, y)."""
        u = value(model, at)
        return pde.laplacian(u) + self.wavenumber**2 * u - at.apply(self.source)


def _network(widths: tuple[int, ...], key: Any) -> Dirichlet:
    return Dirichlet(MLP(2, widths, 1, "sin", key=key), SQUARE.bubble)
