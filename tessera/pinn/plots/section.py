"""A section: the part of a problem's test grid that a figure shows, and fields there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn import parameters
from tessera.pinn.evaluation import fields_at, relative
from tessera.pinn.plots.style import label, symbol, with_minus_sign
from tessera.pinn.problem import Model, Problem

TIME = "t"


@dataclass(frozen=True)
class Section:
    """Points of the test grid on which the coordinates `words` vary and those in `fixed` do not.

    `axes` has one array of numbers for each of `words`; `points` are `(n, d)`, the product of the axes with
    the last changing fastest, and `inside` says which of them, in the shape of the product.
    """

    problem: Problem
    words: tuple[str, ...]
    axes: tuple[np.ndarray, ...]
    fixed: Mapping[str, float]
    points: np.ndarray
    inside: np.ndarray

    @property
    def title(self) -> str:
        """What is shown: the problem's title and where it is cut."""
        cuts = [f"{symbol(word)} = {with_minus_sign(x)}" for word, x in self.fixed.items()]
        return ", ".join([self.problem.title, *cuts])

    @property
    def is_plane(self) -> bool:
        """Whether lengths along the coordinates can be compared: a plane in space."""
        return len(self.words) == 2 and TIME not in self.words

    def label(self, word: str) -> str:
        """Returns the name of a coordinate or a field with its unit."""
        return label(word, self.problem.units.get(word, "1"))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Returns values at the points inside in the shape of the product, NaN outside and for infinity."""
        whole = np.full(self.inside.shape, np.nan)
        whole[self.inside] = np.where(np.isfinite(values), values, np.nan)
        return whole


@dataclass(frozen=True)
class Pair:
    """A field on a section, of the network and true (None if not known), NaN outside of the domain."""

    name: str
    ours: np.ndarray
    true: np.ndarray | None

    @property
    def difference(self) -> np.ndarray:
        """The network's minus the truth."""
        assert self.true is not None
        return self.ours - self.true

    @property
    def error(self) -> float:
        """The relative L2 error on the section."""
        assert self.true is not None
        inside = np.isfinite(self.true)
        return relative(self.ours[inside], self.true[inside])


def section(problem: Problem, at: Mapping[str, float] | None = None, most: int = 2) -> Section:
    """Returns a section on which at most `most` coordinates vary.

    `at` fixes coordinates, each at the number of the grid nearest to the one given. If more than `most` are
    left, the last ones are fixed too: the time at its end, others in their middle. Raises `E_GRAPH_INVALID`
    for names that are no coordinates, and if nothing is left to vary or nothing of it is inside.
    """
    at = dict(at or {})
    axes = [np.asarray(axis, np.float64) for axis in problem.grid]
    grid = dict(zip(problem.coordinates, axes, strict=True))
    unknown = [word for word in at if word not in grid]
    if unknown:
        raise _invalid(
            f"there is no coordinate {', '.join(unknown)}; there are: {', '.join(grid)}",
            "at= names coordinates to be fixed",
        )
    fixed = {
        word: float(x[np.argmin(np.abs(x - at[word]))]) for word, x in grid.items() if word in at
    }
    free = [word for word in grid if word not in fixed]
    for word in free[most:]:
        fixed[word] = float(grid[word][-1 if word == TIME else len(grid[word]) // 2])
    words = tuple(word for word in grid if word not in fixed)
    if not words:
        raise _invalid("all coordinates are fixed", "leave one or two coordinates out of at=")
    sides = [np.array([fixed[word]]) if word in fixed else grid[word] for word in grid]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(grid))
    inside = np.ones(len(points), bool)
    if problem.inside is not None:
        inside = np.asarray(problem.inside(points), bool)
    if not inside.any():
        raise _invalid("none of its points is inside of the domain", "choose other numbers for at=")
    axes = tuple(grid[word] for word in words)
    shape = tuple(len(x) for x in axes)
    return Section(problem, words, axes, fixed, points, inside.reshape(shape))


def pairs(part: Section, model: Model) -> list[Pair]:
    """Returns the fields of a model on a section with the truth, if the problem has one.

    Of fields that are known up to a constant the means over the section are removed.
    """
    points = part.points[part.inside.ravel()]
    ours = fields_at(part.problem, model, points)
    truth = part.problem.truth(points) if part.problem.truth is not None else {}
    found = []
    # The truth's order is its author's; names of compiled functions come sorted.
    for name in [*(name for name in truth if name in ours), *(n for n in ours if n not in truth)]:
        values = ours[name]
        true = np.asarray(truth[name], np.float64) if name in truth else None
        if name in part.problem.up_to_a_constant:
            values, true = values - values.mean(), None if true is None else true - true.mean()
        found.append(Pair(name, part.spread(values), None if true is None else part.spread(true)))
    return found


def dtype_of(model: Model) -> Any:
    """Returns the dtype of a model's trained arrays."""
    return jax.tree.leaves(parameters.split(model)[0])[0].dtype


def _invalid(problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"plots: {problem}.", hints=fix)
