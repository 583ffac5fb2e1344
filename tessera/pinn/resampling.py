"""The points of a run: drawn at its beginning and as it goes, more of them where a residual is large."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn import residuals
from tessera.pinn.problem import Model, Problem, Sample
from tessera.pinn.residuals import Batch, Objective
from tessera.pinn.sampling import adapt


@dataclass(frozen=True)
class Resample:
    """New points every so many iterations.

    The samplers named in `adaptive` place more of them where the residual of their terms is large, chosen
    from `pool` candidates, as `sampling.adapt` says; the others draw as at the beginning.
    """

    every: int
    adaptive: tuple[str, ...] = ()
    pool: int | None = None
    power: float = 1.0
    offset: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"Resample: every is {self.every!r}; it must be a positive integer.",
            )


def draw(problem: Problem, generator: np.random.Generator, dtype: Any) -> dict[str, Sample]:
    """Returns the points of every sampler, drawn in turn, in one dtype.

    Raises `E_SHAPE_MISMATCH` for points that are not `(n, d)`, with at least one, or arrays of another number
    of rows, and `E_NAN_INF` for points that are not finite.
    """
    return {
        name: _checked(problem, name, sampler.draw(generator), dtype)
        for name, sampler in problem.samplers.items()
    }


def redraw(
    problem: Problem,
    objective: Objective,
    resample: Resample,
    model: Model,
    generator: np.random.Generator,
    dtype: Any,
) -> dict[str, Sample]:
    """Returns new points of every sampler, of the adaptive ones by the residuals of a model."""
    found: dict[str, Sample] = {}
    for name, sampler in problem.samplers.items():
        if name in resample.adaptive:
            sample = adapt(
                sampler,  # pyright: ignore[reportArgumentType] - adapt says what it takes
                generator,
                _magnitude(objective, name, model, dtype),
                pool=resample.pool,
                power=resample.power,
                offset=resample.offset,
            )
        else:
            sample = sampler.draw(generator)
        found[name] = _checked(problem, name, sample, dtype)
    return found


def _magnitude(
    objective: Objective, part: str, model: Model, dtype: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """The root of the weighted sum of squared residuals of the terms on a sampler, at any points."""
    own = replace(objective, terms=tuple(term for _, term in objective.at(part)))

    def at(points: np.ndarray) -> np.ndarray:
        sample = Sample(jnp.asarray(points, dtype))
        squares = residuals.squares(own, model, Batch({part: sample}, own.weights(dtype)))
        weighted = [term.weight * s for term, s in zip(own.terms, squares, strict=True)]
        return np.sqrt(np.sum([np.asarray(s, np.float64) for s in weighted], axis=0))

    return at


def _checked(problem: Problem, name: str, sample: Sample, dtype: Any) -> Sample:
    points = np.asarray(sample.points)
    d = len(problem.coordinates)
    if points.ndim != 2 or points.shape[1] != d or len(points) == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"sampler {name!r}: its points have shape {points.shape}; they must be (n, {d}), n above 0, "
            f"for the coordinates {', '.join(problem.coordinates)}.",
        )
    for word, array in sample.arrays.items():
        if np.ndim(array) == 0 or np.shape(array)[0] != len(points):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"sampler {name!r}: its array {word!r} has shape {np.shape(array)} for {len(points)} points.",
                hints="arrays of a sample have one row for each point",
            )
    if not np.all(np.isfinite(points)):
        raise CompileError(Code.E_NAN_INF, f"sampler {name!r}: some of its points are not finite.")
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), sample)
