"""How much of everything a run does, and what it must reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.demo.comparison import Size
from tessera.pinn.evaluation import fields_at, grid_points
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Model, Problem
from tessera.pinn.problems import kovasznay

REYNOLDS = 40.0


@dataclass(frozen=True)
class Settings:
    """The flow to learn, the optimizer, the number of seeds, and the sizes of the comparison."""

    problem: Problem
    optimizer: LevenbergMarquardt
    seeds: int
    sizes: tuple[Size, ...]


def flow(
    targets: Mapping[str, float],
    *,
    widths: tuple[int, ...] = (20, 20, 20),
    interior: int = 520,
    boundary: int = 160,
) -> Problem:
    """Returns the Kovasznay flow with targets of the demo's own, the largest |div u| among the errors.

    `widths` are those of the hidden layers, `interior` and `boundary` count the training points.
    """
    problem = kovasznay.problem(
        reynolds=REYNOLDS, widths=widths, interior=interior, boundary=boundary
    )
    return replace(problem, judge=largest_divergence(problem), targets=dict(targets))


def largest_divergence(problem: Problem) -> Callable[[Model], dict[str, float]]:
    """Returns a function of a model: the largest |div u| on the test grid, by the name "divergence"."""
    diverging = replace(problem, fields=partial(_divergence, problem.fields))

    def judge(model: Model) -> dict[str, float]:
        found = fields_at(diverging, model, grid_points(diverging))
        return {"divergence": float(np.max(np.abs(found["divergence"])))}

    return judge


def _divergence(fields: Any, model: Model, at: pde.Field) -> dict[str, jax.Array]:
    # A plain function of points: nothing here knows that a stream function made the velocity, which as a
    # Field would have no divergence before anything is computed.
    def velocity(point: jax.Array) -> jax.Array:
        found = fields(model, pde.coords(point[None], names=at.names))
        return jnp.stack([found["u"].array[0], found["v"].array[0]])

    return {"divergence": pde.div(velocity)(at.array)}


FULL = Settings(
    problem=flow({"u": 1e-3, "v": 5e-3, "p": 3e-3, "divergence": 1e-12}),
    optimizer=LevenbergMarquardt(60, tolerance=5e-6),
    seeds=3,
    sizes=(Size(2, 4096, (128,) * 4, rounds=7), Size(3, 4096, (128,) * 6, rounds=5)),
)
QUICK = Settings(
    problem=flow({"u": 1e-2, "v": 5e-2, "p": 3e-2, "divergence": 1e-12}),
    optimizer=LevenbergMarquardt(40, tolerance=1e-4),
    seeds=1,
    sizes=(Size(2, 2048, (128,) * 4, rounds=5),),
)
