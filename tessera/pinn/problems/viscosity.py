"""An inverse problem: the viscosity, from noisy measurements of a flow that steepens into a shock."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.pinn.constraints import Dirichlet
from tessera.pinn.geometry import Interval, TimeSlab
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.problems.burgers import FreeInside, start
from tessera.pinn.reference import burgers as reference
from tessera.pinn.reference.checks import require_number
from tessera.pinn.sampling import Fixed, Interior
from tessera.pinn.uncertainty import Estimate, confidence

# Where the wave steepens and the viscosity acts.
SHOCK = TimeSlab(Interval(-0.08, 0.08), 0.2, 1)
# What the viscosity is taken to be before anything is known, in UL.
FIRST_GUESS = 0.01


class Identified(eqx.Module):
    """A network for u and, trained with it, the logarithm of the viscosity, which keeps it positive."""

    network: Any
    log_viscosity: jax.Array

    def __call__(self, x: Any) -> Any:
        """Returns the network's u, (..., 1) for x (..., 2), and a Field for a Field."""
        return self.network(x)

    @property
    def viscosity(self) -> jax.Array:
        """The viscosity, a scalar."""
        return jnp.exp(self.log_viscosity)


def problem(
    *,
    viscosity: float = reference.VISCOSITY,
    noise: float = 0.01,
    measurements: int = 2000,
    noise_seed: int = 0,
    widths: tuple[int, ...] = (20, 20, 20),
    interior: int = 1500,
    shock: int = 1500,
    equation_weight: float = 0.1,
    iterations: int = 80,
) -> Problem:
    """Returns the search for the viscosity nu of the Burgers equation on -1 <= x <= 1 from t = 0 to 1.

        u_t + u u_x = nu u_xx,   u(x, 0) = -sin(pi x),   u(-1, t) = u(1, t) = 0

    u is measured in `measurements` places at random times, with independent normal errors of `noise` times
    its standard deviation; they are drawn from `noise_seed`. The model is an `Identified`. The error
    "viscosity" is relative to the true one, which only makes the data. `estimate` gives its uncertainty.
    Lengths are in L, velocities in U.

    >>> problem(measurements=10).samplers["data"].draw(np.random.default_rng(0)).arrays["u"].shape
    (10,)
    """
    noise = require_number("viscosity", "noise", noise, least=0.0)
    slab = TimeSlab(Interval(-1, 1), 0, 1)
    lower, upper = slab.bounds.tolist()
    return Problem(
        name="viscosity",
        title=f"viscosity from data with {100 * noise:g} % noise",
        coordinates=("x", "t"),
        samplers={
            "interior": Interior(slab, interior),
            "shock": Interior(SHOCK, shock),
            "data": _measured(slab, viscosity, noise, measurements, noise_seed),
        },
        terms=(
            Term("equation", equation, "interior", equation_weight, "U^2/L"),
            Term("equation in the shock", equation, "shock", equation_weight, "U^2/L"),
            Term("data", data_error, "data", 1.0, "U", ("u",)),
        ),
        network=partial(_network, slab, widths, (lower, upper)),
        fields=fields,
        grid=(np.linspace(-1, 1, 201), np.linspace(0, 1, 51)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        truth=partial(reference.solution, viscosity=viscosity),
        judge=partial(_judge, viscosity),
        targets={"viscosity": 0.02, "u": 1e-2},
        units={"x": "L", "t": "L/U", "u": "U", "viscosity": "UL"},
        source="M. Raissi, P. Perdikaris, G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707, section 4.",
    )


def estimate(problem: Problem, model: Identified, **options: Any) -> Estimate:
    """Returns the viscosity that was found, with its uncertainty; `options` are those of `confidence`."""
    return confidence(problem, model, _viscosity, **options)


def equation(model: Identified, at: pde.Field) -> pde.Field:
    """Returns the residual of the Burgers equation, in U^2/L."""
    u = model(at)[..., 0]
    return pde.material_derivative(u, [u]) - pde.partial(u, "x", "x") * model.viscosity


def data_error(model: Identified, at: pde.Field, u: Any) -> Any:
    """Returns by how much u differs from what was measured, `(n,)`."""
    return model(at)[..., 0] - u


def fields(model: Identified, at: pde.Field) -> dict[str, pde.Field]:
    """Returns u by name."""
    return {"u": model(at)[..., 0]}


def _viscosity(model: Identified) -> jax.Array:
    return model.viscosity


def _judge(viscosity: float, model: Identified) -> dict[str, float]:
    return {"viscosity": abs(float(model.viscosity) / viscosity - 1)}


def _measured(
    slab: TimeSlab, viscosity: float, noise: float, measurements: int, seed: int
) -> Fixed:
    generator = np.random.default_rng(seed)
    points = Interior(slab, measurements, "uniform").draw(generator).points
    u = reference.solution(points, viscosity)["u"]
    error = noise * np.std(u) * generator.standard_normal(measurements)
    return Fixed(points, {"u": u + error})


def _network(slab: TimeSlab, widths: tuple[int, ...], bounds: Any, key: Any) -> Identified:
    free = MLP(2, widths, 1, bounds=bounds, key=key)
    held = Dirichlet(free, FreeInside(slab), start)
    return Identified(held, jnp.log(jnp.asarray(FIRST_GUESS)))
