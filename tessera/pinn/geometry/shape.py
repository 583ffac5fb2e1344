"""A shape: a part of space with a boundary; and the shapes that two of them make.

a | b    points in either          a & b    points in both          a - b    points in a, not in b
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import as_points
from tessera.pinn.geometry.joins import conjunction, disjunction

# How far outside a point still counts as on the boundary, relative to the largest extent of the shape:
# far above the rounding of float64 points, far below the distance at which boundaries are probed.
TOLERANCE = 1e-9
PROBE = 1e-6
# Points with which the part of a shape inside another is measured.
MEASURED_WITH = 1 << 17

# A side, or several, by name or number.
SideChoice = str | int | Sequence[str | int] | None


@dataclass(frozen=True)
class BoundaryPoints:
    """Points `(n, d)`, outward unit normals `(n, d)`, and which points are on the boundary `(n,)`.

    The others are on a piece of it that another shape has cut off.
    """

    points: np.ndarray
    normals: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Side:
    """A piece of a boundary with a name.

    `place` maps numbers `(n, d - 1)`, uniform in [0, 1), to points that are uniform by length or area.
    `measure` is the length or area, that of cut off pieces included; 1 for a point.
    """

    name: str
    measure: float
    place: Callable[[np.ndarray], BoundaryPoints]


class Shape(ABC):
    """A closed part of d-dimensional space. All of it is NumPy in float64, but for `distance`."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """The number of coordinates, d."""

    @property
    @abstractmethod
    def bounds(self) -> np.ndarray:
        """The lowest and the highest coordinates, `(2, d)`, of a box around the shape."""

    @property
    @abstractmethod
    def measure(self) -> float:
        """The length, area or volume."""

    @property
    @abstractmethod
    def sides(self) -> tuple[Side, ...]:
        """The pieces of the boundary."""

    @abstractmethod
    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the distance `(...)` of points `(..., d)` to the boundary, negative outside."""

    @abstractmethod
    def distance(self, points: Any) -> jax.Array:
        """Returns a differentiable function of points, `(..., d) -> (...)`, in their dtype.

        Zero on the boundary, where its derivative along the inward normal is 1; positive inside, negative
        outside. Inside it is smooth and, unlike the distance itself, has no ridge. At corners it has a
        kink: no function that is zero on two edges has a derivative of 1 along both normals there.
        """

    @property
    def walls(self) -> tuple[Side, ...]:
        """The sides that a boundary condition is on unless it names some: all but times."""
        return self.sides

    @property
    def extent(self) -> float:
        """The largest of the lengths of `bounds`."""
        lower, upper = self.bounds
        return float(np.max(upper - lower))

    def contains(self, points: Any, tolerance: float = TOLERANCE) -> np.ndarray:
        """Returns which points `(..., d)` are inside or on the boundary, `(...)`.

        A point outside by at most `tolerance` times the extent is on the boundary. Points in float32 are
        off by 1e-7 of their size. A point that is not a number is outside.
        """
        return self.signed_distance(points) >= -tolerance * self.extent

    def boundary(self, numbers: np.ndarray, side: SideChoice = None) -> BoundaryPoints:
        """Returns the points of the boundary for numbers `(n, max(d - 1, 1))`, uniform in [0, 1).

        The sides follow one another along the first number, each as long as its measure, so evenly spread
        numbers give evenly spread points. `side` chooses some by name or number; a name chooses every side
        that has it. Raises `E_GRAPH_INVALID` for a side there is not.
        """
        sides = self.walls if side is None else choose_sides(self, side)
        ends = np.cumsum([one.measure for one in sides])
        at = numbers[:, 0] * ends[-1]
        which = np.minimum(np.searchsorted(ends, at, side="right"), len(sides) - 1)
        parts = [np.flatnonzero(which == i) for i in range(len(sides))]
        found = []
        for one, end, rows in zip(sides, ends, parts, strict=True):
            within = np.clip((at[rows] - end) / one.measure + 1, 0, 1)
            inner = np.column_stack([within, numbers[rows, 1:]])
            found.append(one.place(inner[:, : self.dimensions - 1]))
        order = np.argsort(np.concatenate(parts))
        return BoundaryPoints(
            np.concatenate([f.points for f in found])[order],
            np.concatenate([f.normals for f in found])[order],
            np.concatenate([f.kept for f in found])[order],
        )

    def __or__(self, other: "Shape") -> "Combination":
        return Combination(self, other, "|")

    def __and__(self, other: "Shape") -> "Combination":
        return Combination(self, other, "&")

    def __sub__(self, other: "Shape") -> "Combination":
        return Combination(self, other, "-")


def choose_sides(shape: Shape, side: SideChoice) -> tuple[Side, ...]:
    """Returns the sides of a shape by name or number; raises `E_GRAPH_INVALID` listing those there are."""
    sides = shape.sides
    choices = [side] if isinstance(side, str | int) else list(side or ())
    found = [
        i
        for choice in choices
        for i, one in enumerate(sides)
        if choice in (one.name, i) and not isinstance(choice, bool)
    ]
    unknown = [c for c in choices if not any(c in (sides[i].name, i) for i in found)]
    if unknown or not choices:
        names = ", ".join(f"{i} {one.name!r}" for i, one in enumerate(sides))
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"boundary: there is no side {unknown[0] if unknown else side!r}.",
            hints=f"the sides are {names}",
        )
    return tuple(sides[i] for i in sorted(set(found)))


@dataclass(frozen=True)
class _Rule:
    """What is known about a shape of two from what is known about each."""

    signed_distance: Callable[[Any, Any], np.ndarray]
    distance: Callable[[Any, Any], jax.Array]
    bounds: Callable[[np.ndarray, np.ndarray], np.ndarray]
    # of the two, and of what they have in common
    measure: Callable[[float, float, float], float]


RULES = {
    "|": _Rule(
        np.maximum,
        disjunction,
        lambda a, b: np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])]),
        lambda a, b, common: a + b - common,
    ),
    "&": _Rule(
        np.minimum,
        conjunction,
        lambda a, b: np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])]),
        lambda a, b, common: common,
    ),
    "-": _Rule(
        lambda f, g: np.minimum(f, -g),
        lambda f, g: conjunction(f, -g),
        lambda a, b: a,
        lambda a, b, common: a - common,
    ),
}


@dataclass(frozen=True)
class Combination(Shape):
    """The union `|`, intersection `&` or difference `-` of two shapes.

    `sides` are those of both, without what is not on the boundary of the result. `signed_distance` has the
    right sign and is at most the distance, inside. `distance` is zero inside a union where the boundaries of
    the two lie on each other, so parts of a union should overlap. `measure` is exact for shapes of known
    measure one of which contains the other or that have nothing in common; otherwise what they have in
    common is estimated, to a few 1e-4 of the smaller in two and three dimensions.

    Raises `E_GRAPH_INVALID` for anything but two shapes of as many dimensions whose bounds overlap, if it is
    their intersection.

    >>> from tessera.pinn.geometry.ball import Disc
    >>> from tessera.pinn.geometry.box import Rectangle
    >>> channel = Rectangle((0, 4), (0, 1)) - Disc((1, 0.5), 0.2)
    >>> channel.contains([[1, 0.5], [2, 0.5]]).tolist(), [side.name for side in channel.sides]
    ([False, True], ['x-', 'x+', 'y-', 'y+', 'surface'])
    """

    first: Shape
    second: Shape
    word: str

    def __post_init__(self):
        for shape in (self.first, self.second):
            if not isinstance(shape, Shape):
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"shape {self.word} shape: an operand is a {type(shape).__name__}, not a shape.",
                )
        a, b = self.first.dimensions, self.second.dimensions
        if a != b:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"shape {self.word} shape: one has {a} dimensions and the other {b}.",
                hints="combine shapes in space first: TimeSlab(a - b, 0.0, 1.0)",
            )
        if self.word not in RULES:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"shape: {self.word!r} does not combine shapes; one of {', '.join(RULES)} does.",
            )
        lower, upper = self.bounds
        if (lower >= upper).any():
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"shape & shape: nothing is in both; their bounds are {self.first.bounds.tolist()} "
                f"and {self.second.bounds.tolist()}.",
            )

    @property
    def dimensions(self) -> int:
        """The number of coordinates."""
        return self.first.dimensions

    @property
    def bounds(self) -> np.ndarray:
        """The bounds of a box around the shape, not always the smallest."""
        return RULES[self.word].bounds(self.first.bounds, self.second.bounds)

    @property
    def measure(self) -> float:
        """The measure, from those of the two and of what they have in common."""
        a, b = self.first.measure, self.second.measure
        small, large = (self.first, self.second) if a <= b else (self.second, self.first)
        common = min(a, b) * _part_inside(small, large)
        return RULES[self.word].measure(a, b, common)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides of the first, then those of the second, as far as they bound the result."""
        return tuple(
            replace(side, place=partial(self._trimmed, side.place, covered_by))
            for shape, covered_by in ((self.first, None), (self.second, self.first))
            for side in shape.sides
        )

    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the larger or the smaller of the two."""
        points = as_points("signed_distance", points, self.dimensions)
        combine = RULES[self.word].signed_distance
        return combine(self.first.signed_distance(points), self.second.signed_distance(points))

    def distance(self, points: Any) -> jax.Array:
        """Returns the R-conjunction or disjunction of the two."""
        return RULES[self.word].distance(self.first.distance(points), self.second.distance(points))

    def _trimmed(
        self,
        place: Callable[[np.ndarray], BoundaryPoints],
        covered_by: Shape | None,
        numbers: np.ndarray,
    ) -> BoundaryPoints:
        """Keeps points with the inside of the result on one side only, and turns normals to the other.

        Where the boundaries of both lie on each other, the point is the first one's.
        """
        found = place(numbers)
        step = PROBE * self.extent * found.normals
        ahead, behind = found.points + step, found.points - step
        ends_here = self.contains(ahead) != self.contains(behind)
        if covered_by is not None:
            ends_here &= covered_by.contains(ahead) == covered_by.contains(behind)
        normals = np.where(self.contains(ahead)[:, None], -found.normals, found.normals)
        return BoundaryPoints(found.points, normals, found.kept & ends_here)


def _part_inside(small: Shape, large: Shape) -> float:
    """Returns which part of one shape is in another, by the part of evenly spread points."""
    lower, upper = small.bounds
    points = lower + (upper - lower) * _evenly_spread(MEASURED_WITH, small.dimensions)
    points = points[small.contains(points)]
    return float(np.mean(large.contains(points))) if len(points) else 0.0


def _evenly_spread(count: int, dimensions: int) -> np.ndarray:
    """Returns multiples of powers of 1 / g modulo 1, where g^(d + 1) = g + 1: a golden ratio for d axes."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    powers = ratio ** -np.arange(1.0, dimensions + 1)
    return np.mod(0.5 + np.arange(count)[:, None] * powers, 1.0)
