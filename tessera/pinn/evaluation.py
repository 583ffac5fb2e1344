"""How far a model is from the truth: its fields on the test grid, and their relative errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pde.chunks import join, split
from tessera.pde.coordinates import coords
from tessera.pde.field import Field
from tessera.pinn import parameters
from tessera.pinn.problem import Model, Problem

# Points of the test grid that go through at once.
POINTS_AT_ONCE = 2048


def evaluate(problem: Problem, model: Model) -> dict[str, float]:
    """Returns the errors of a model by name, relative L2 distances to the truth and what `judge` gives.

    Computes in the dtype of the model's parameters; what the truth is compared with is then float64. Empty
    for a problem without truth and judge. Raises `E_GRAPH_INVALID` if truth and fields do not fit.
    """
    return Judge.of(problem).errors(model)


def fields_at(problem: Problem, model: Model, points: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the fields of a model by name, float64 arrays `(n,)`, at points `(n, d)`."""
    dtype = _dtype(model)
    with jax.enable_x64(dtype == np.float64):
        found = _fields(
            problem.fields, tuple(problem.coordinates), model, jnp.asarray(points, dtype)
        )
        return {name: np.asarray(values, np.float64) for name, values in found.items()}


def grid_points(problem: Problem) -> np.ndarray:
    """Returns the points `(n, d)` of the test grid that are inside, the last coordinate changing fastest."""
    axes = [np.asarray(axis, np.float64) for axis in problem.grid]
    if len(axes) != len(problem.coordinates):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"problem {problem.name!r}: its grid has {len(axes)} arrays for "
            f"{len(problem.coordinates)} coordinates.",
        )
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    if problem.inside is None:
        return points
    return points[np.asarray(problem.inside(points), bool)]


@dataclass(frozen=True)
class Judge:
    """The test points of a problem and the truth there, taken once."""

    problem: Problem
    points: np.ndarray | None
    truth: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, problem: Problem) -> "Judge":
        """Returns the judge of a problem; computes the truth on its test grid."""
        if problem.truth is None:
            return cls(problem, None, {})
        points = grid_points(problem)
        found = {
            name: np.asarray(values, np.float64) for name, values in problem.truth(points).items()
        }
        for name, values in found.items():
            _require_truth(problem, name, values, points)
        return cls(problem, points, found)

    def errors(self, model: Model) -> dict[str, float]:
        """Returns the errors of a model."""
        errors: dict[str, float] = {}
        if self.points is not None:
            found = fields_at(self.problem, model, self.points)
            missing = [name for name in self.truth if name not in found]
            if missing:
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"problem {self.problem.name!r}: truth has {', '.join(missing)}, fields have: "
                    f"{', '.join(found)}.",
                    hints="truth and fields give the same names",
                )
            errors = {
                name: relative(found[name], exact, name in self.problem.up_to_a_constant)
                for name, exact in self.truth.items()
            }
        if self.problem.judge is not None:
            with jax.enable_x64(_dtype(model) == np.float64):
                judged = self.problem.judge(model)
            errors |= {name: float(value) for name, value in judged.items()}
        return errors


def relative(found: np.ndarray, exact: np.ndarray, up_to_a_constant: bool = False) -> float:
    """Returns the L2 distance over the norm of the truth; the distance itself where the truth is zero.

    >>> relative(np.array([1.0, 3.0]), np.array([0.0, 2.0]), up_to_a_constant=True)
    0.0
    """
    if up_to_a_constant:
        found, exact = found - found.mean(), exact - exact.mean()
    size = float(np.linalg.norm(exact))
    return float(np.linalg.norm(found - exact)) / (size or 1.0)


@eqx.filter_jit
def _fields(
    fields: Any, names: tuple[str, ...], model: Model, points: jax.Array
) -> dict[str, jax.Array]:
    chunk = min(POINTS_AT_ONCE, points.shape[0])

    def of_chunk(points: jax.Array) -> dict[str, jax.Array]:
        found = fields(model, coords(points, names=names))
        return {name: _row(name, values, points.shape[0]) for name, values in found.items()}

    found = jax.lax.map(of_chunk, split(points, chunk))
    return jax.tree.map(partial(join, total=points.shape[0]), found)


def _row(name: str, values: Any, points: int) -> jax.Array:
    array = values.array if isinstance(values, Field) else jnp.asarray(values)
    if array.shape not in ((points,), (points, 1)):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"field {name!r} has shape {array.shape} for {points} points; it must be ({points},).",
            hints="give each component a name of its own",
        )
    return array.reshape(points)


def _require_truth(problem: Problem, name: str, values: np.ndarray, points: np.ndarray) -> None:
    if values.shape != points.shape[:1]:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"problem {problem.name!r}: the truth of {name!r} has shape {values.shape} for "
            f"{len(points)} points of the test grid.",
        )
    if not np.all(np.isfinite(values)):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"problem {problem.name!r}: the truth of {name!r} is not finite at some test points.",
            hints="leave them out by `inside`",
        )


def _dtype(model: Model) -> Any:
    return jax.tree.leaves(parameters.split(model)[0])[0].dtype
