"""`TimeSlab`: a shape in space through an interval of time."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import as_coordinates, as_points, as_vector
from tessera.pinn.geometry.shape import BoundaryPoints, Shape, Side


@dataclass(frozen=True)
class TimeSlab(Shape):
    """The points `(x, ..., t)`, time last, with x, ... in `space` and t from `t0` to `t1`.

    The sides are those of `space` at all times, the `walls`, with normals that have no part in time; then t-
    and t+, all of `space` at the first and at the last time. `distance` is that to the walls.

    Raises `E_GRAPH_INVALID` unless `space` is a shape and t0 is below t1.

    >>> from tessera.pinn.geometry.box import Interval
    >>> slab = TimeSlab(Interval(-1, 1), 0, 0.5)
    >>> slab.measure, [side.name for side in slab.sides], [side.name for side in slab.walls]
    (1.0, ['x-', 'x+', 't-', 't+'], ['x-', 'x+'])
    """

    space: Shape
    t0: float
    t1: float

    def __post_init__(self):
        t0, t1 = as_vector("time slab", "an interval of times", (self.t0, self.t1))
        if not isinstance(self.space, Shape) or t0 >= t1:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"time slab: {type(self.space).__name__} from {t0} to {t1} is not a shape from a time to "
                "a later one.",
            )
        object.__setattr__(self, "t0", t0)
        object.__setattr__(self, "t1", t1)

    @property
    def dimensions(self) -> int:
        """The number of coordinates, with time."""
        return self.space.dimensions + 1

    @property
    def bounds(self) -> np.ndarray:
        """The bounds of space, and the first and last time."""
        return np.column_stack([self.space.bounds, [self.t0, self.t1]])

    @property
    def measure(self) -> float:
        """The measure of space times the length of time."""
        return self.space.measure * (self.t1 - self.t0)

    @property
    def walls(self) -> tuple[Side, ...]:
        """The sides of space, through all times."""
        lasting = self.t1 - self.t0
        return tuple(
            replace(side, measure=side.measure * lasting, place=partial(self._on_wall, side))
            for side in self.space.sides
        )

    @property
    def sides(self) -> tuple[Side, ...]:
        """The walls, and space at the first and at the last time."""
        lower, upper = self.space.bounds
        around = float(np.prod(upper - lower))
        ends = (("t-", self.t0, -1.0), ("t+", self.t1, 1.0))
        times = [Side(name, around, partial(self._at_time, t, sign)) for name, t, sign in ends]
        return (*self.walls, *times)

    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the smaller of the distances in space and in time, negative outside."""
        points = as_points("signed_distance", points, self.dimensions)
        time = points[..., -1]
        in_time = np.minimum(time - self.t0, self.t1 - time)
        return np.minimum(self.space.signed_distance(points[..., :-1]), in_time)

    def distance(self, points: Any) -> jax.Array:
        """Returns the distance of `space` for the coordinates in space."""
        as_coordinates("distance", points, self.dimensions)
        return self.space.distance(points[..., :-1])

    def elapsed(self, points: Any) -> jax.Array:
        """Returns t - t0, which is zero where initial values are given, `(..., d) -> (...)`.

        >>> import jax.numpy as jnp
        >>> from tessera.pinn.geometry.box import Interval
        >>> print(TimeSlab(Interval(-1, 1), 1, 3).elapsed(jnp.array([[0.0, 1.0], [0.0, 2.5]])))
        [0.  1.5]
        """
        return as_coordinates("elapsed", points, self.dimensions)[-1] - self.t0

    def _on_wall(self, side: Side, numbers: np.ndarray) -> BoundaryPoints:
        found = side.place(numbers[:, :-1])
        times = self.t0 + (self.t1 - self.t0) * numbers[:, -1]
        return _with_time(found, times, np.zeros_like(times))

    def _at_time(self, time: float, sign: float, numbers: np.ndarray) -> BoundaryPoints:
        lower, upper = self.space.bounds
        points = lower + (upper - lower) * numbers
        still = BoundaryPoints(points, np.zeros_like(points), self.space.contains(points))
        return _with_time(still, np.full(len(points), time), np.full(len(points), sign))


def _with_time(found: BoundaryPoints, times: np.ndarray, normals: np.ndarray) -> BoundaryPoints:
    return replace(
        found,
        points=np.column_stack([found.points, times]),
        normals=np.column_stack([found.normals, normals]),
    )
