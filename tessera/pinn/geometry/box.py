"""`Box`: an interval, a rectangle, a box in any number of dimensions."""

import math
import operator
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import as_coordinates, as_points, as_vector, axis_names
from tessera.pinn.geometry.joins import conjunction
from tessera.pinn.geometry.shape import BoundaryPoints, Shape, Side


@dataclass(frozen=True)
class Box(Shape):
    """The points between `lower` and `upper`, one number each for every coordinate.

    The sides are x-, x+, y-, y+, z-, z+, or x1-, x1+, ... in more than three dimensions: x- is where x is
    lowest. Raises `E_GRAPH_INVALID` unless `lower` is below `upper` in every coordinate.

    >>> box = Box((0, 0, 0), (1, 2, 3))
    >>> box.measure, [side.name for side in box.sides]
    (6.0, ['x-', 'x+', 'y-', 'y+', 'z-', 'z+'])
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self):
        lower, upper = (as_vector("box", name, getattr(self, name)) for name in ("lower", "upper"))
        if len(lower) != len(upper) or any(a >= b for a, b in zip(lower, upper, strict=True)):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"box: lower is {lower} and upper {upper}; each must be below.",
            )
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def dimensions(self) -> int:
        """The number of coordinates."""
        return len(self.lower)

    @property
    def bounds(self) -> np.ndarray:
        """The corners."""
        return np.array([self.lower, self.upper])

    @property
    def measure(self) -> float:
        """The product of the lengths."""
        return math.prod(self._lengths)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Two for each coordinate."""
        return tuple(
            Side(
                name + sign,
                math.prod(length for i, length in enumerate(self._lengths) if i != axis),
                partial(self._on_side, axis, end),
            )
            for axis, name in enumerate(axis_names(self.dimensions))
            for end, sign in enumerate("-+")
        )

    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the distance to the nearest point of the boundary, negative outside."""
        points = as_points("signed_distance", points, self.dimensions)
        inward = np.minimum(points - self.bounds[0], self.bounds[1] - points)
        outside = np.linalg.norm(np.minimum(inward, 0), axis=-1)
        return np.maximum(np.min(inward, axis=-1), 0) - outside

    def distance(self, points: Any) -> jax.Array:
        """Returns the R-conjunction over coordinates of (x - a)(b - x) / (b - a).

        >>> import jax.numpy as jnp
        >>> print(Interval(0, 2).distance(jnp.array([[0.0], [1.0], [2.0]])))
        [0.  0.5 0. ]
        """
        xs = as_coordinates("distance", points, self.dimensions)
        ends = zip(xs, self.lower, self.upper, strict=True)
        return reduce(conjunction, [(x - a) * ((b - x) / (b - a)) for x, a, b in ends])

    def bubble(self, points: Any) -> jax.Array:
        """Returns the product over coordinates of 4 (x - a)(b - x) / (b - a)^2, `(..., d) -> (...)`.

        Zero on the boundary and 1 in the middle; a polynomial, so every derivative is bounded, in exchange
        for a normal derivative that goes to zero in the corners.

        >>> import jax.numpy as jnp
        >>> print(Rectangle((0, 1), (0, 1)).bubble(jnp.array([[0.5, 0.5], [0.5, 0.0]])))
        [1. 0.]
        """
        xs = as_coordinates("bubble", points, self.dimensions)
        ends = zip(xs, self.lower, self.upper, strict=True)
        return reduce(operator.mul, [(x - a) * ((b - x) * (4 / (b - a) ** 2)) for x, a, b in ends])

    @property
    def _lengths(self) -> list[float]:
        return [b - a for a, b in zip(self.lower, self.upper, strict=True)]

    def _on_side(self, axis: int, end: int, numbers: np.ndarray) -> BoundaryPoints:
        lower, upper = self.bounds
        full = np.insert(numbers, axis, float(end), axis=1)
        points = lower + (upper - lower) * full
        points[:, axis] = self.bounds[end, axis]
        normals = np.zeros_like(points)
        normals[:, axis] = 2 * end - 1
        return BoundaryPoints(points, normals, np.ones(len(points), bool))


def Interval(a: float, b: float) -> Box:  # noqa: N802 - reads as the shape it makes
    """Returns the box in one dimension between a and b.

    >>> Interval(0, 2).measure
    2.0
    """
    return Box((a,), (b,))


def Rectangle(x: tuple[float, float], y: tuple[float, float]) -> Box:  # noqa: N802 - as above
    """Returns the box in two dimensions with these two ends in each coordinate.

    >>> Rectangle((0, 2), (-1, 1)).measure
    4.0
    """
    return Box((x[0], y[0]), (x[1], y[1]))
