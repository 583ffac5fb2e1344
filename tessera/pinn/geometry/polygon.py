"""`Polygon`: the inside of a closed chain of straight edges."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import as_coordinates, as_points, as_vector
from tessera.pinn.geometry.shape import TOLERANCE, BoundaryPoints, Shape, Side


@dataclass(frozen=True)
class Polygon(Shape):
    """A simple polygon: `vertices`, `(n, 2)`, in order around it, either way.

    The sides are called 0, 1, ...: side i goes from vertex i to the next. Raises `E_GRAPH_INVALID` for fewer
    than three vertices and for edges that touch or cross.

    >>> triangle = Polygon(((0, 0), (1, 0), (0, 1)))
    >>> triangle.measure, triangle.contains([[0.2, 0.2], [0.8, 0.8]]).tolist()
    (0.5, [True, False])
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self):
        vertices = tuple(as_vector("polygon", "a vertex", vertex) for vertex in self.vertices)
        if len(vertices) < 3 or any(len(vertex) != 2 for vertex in vertices):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"polygon: vertices are {vertices}, not three or more pairs (x, y).",
            )
        object.__setattr__(self, "vertices", vertices)
        meeting = _first_meeting(*self._edges, TOLERANCE * self.extent)
        if meeting is not None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"polygon: edges {meeting[0]} and {meeting[1]} meet away from a common vertex.",
                hints="give the vertices in order around the polygon, none twice",
            )

    @property
    def dimensions(self) -> int:
        """Two."""
        return 2

    @property
    def bounds(self) -> np.ndarray:
        """The lowest and highest coordinates of vertices."""
        vertices = np.array(self.vertices)
        return np.stack([vertices.min(axis=0), vertices.max(axis=0)])

    @property
    def measure(self) -> float:
        """The area."""
        return abs(self._signed_area)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The edges."""
        start, end = self._edges
        lengths = np.linalg.norm(end - start, axis=-1)
        return tuple(
            Side(str(i), float(length), partial(self._on_edge, i))
            for i, length in enumerate(lengths)
        )

    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the distance to the nearest edge, negative outside."""
        points = as_points("signed_distance", points, 2)
        nearest = np.min(_distances(points, *self._edges), axis=-1)
        return np.where(self._around(points), nearest, -nearest)

    def distance(self, points: Any) -> jax.Array:
        """Returns 2 / w, where w is the integral over all directions of 1 / (distance to the boundary).

        Beyond the first crossing of a ray with the boundary the others count too, with alternating signs. An
        edge seen under the angle a from distances r, s to its ends contributes (1 / r + 1 / s) tan(a / 2).
        Infinitely differentiable inside, re-entrant corners or not. Source: Dyken and Floater, Computer
        Aided Geometric Design 26 (2009); signs as in Belyaev, Fayolle and Pasko, Computer-Aided Design 45
        (2013).

        >>> square = Polygon(((-1, -1), (1, -1), (1, 1), (-1, 1)))
        >>> print(square.distance(jnp.array([[0.0, 0.0], [1.0, 0.0]])))
        [0.35 0.  ]
        """
        # Of size 1: products of four lengths of 1e-10 are no numbers in float32.
        unit = self.extent
        x, y = (along[..., None] / unit for along in as_coordinates("distance", points, 2))
        vertices = np.array(self.vertices)[:: 1 if self._signed_area > 0 else -1] / unit
        # To the vertices, then to the next ones: axes of points, and one of edges.
        a, b = (
            (jnp.asarray(v, x.dtype).reshape((1,) * (x.ndim - 1) + (-1,)) for v in corners.T)
            for corners in (vertices, np.roll(vertices, -1, axis=0))
        )
        return unit * _mean_value_distance(*(_from(x, y, *corners) for corners in (a, b)))

    @property
    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        start = np.array(self.vertices)
        return start, np.roll(start, -1, axis=0)

    @property
    def _signed_area(self) -> float:
        start, end = self._edges
        return float(np.sum(_cross(start - start[0], end - start[0]))) / 2

    def _around(self, points: np.ndarray) -> np.ndarray:
        """Whether a ray from each point in the direction of x crosses the edges an odd number of times."""
        start, end = self._edges
        x, y = points[..., :1], points[..., 1:]
        passes = (start[:, 1] > y) != (end[:, 1] > y)
        rise = np.where(end[:, 1] == start[:, 1], 1, end[:, 1] - start[:, 1])
        crossing = start[:, 0] + (y - start[:, 1]) * ((end[:, 0] - start[:, 0]) / rise)
        return np.count_nonzero(passes & (x < crossing), axis=-1) % 2 == 1

    def _on_edge(self, i: int, numbers: np.ndarray) -> BoundaryPoints:
        start, end = (corners[i] for corners in self._edges)
        along = end - start
        outward = np.array([along[1], -along[0]]) * np.sign(self._signed_area)
        points = start + numbers * along
        normals = np.tile(outward / np.linalg.norm(along), (len(points), 1))
        return BoundaryPoints(points, normals, np.ones(len(points), bool))


def l_shape() -> Polygon:
    """Returns the square from -1 to 1 without its quarter x > 0 > y: the re-entrant corner is the origin.

    >>> l_shape().measure, l_shape().contains([[0.5, -0.5], [-0.5, -0.5]]).tolist()
    (3.0, [False, True])
    """
    return Polygon(((0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)))


def _from(
    x: jax.Array, y: jax.Array, at_x: jax.Array, at_y: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the vector from each point to each vertex, and its length."""
    dx, dy = at_x - x, at_y - y
    squares = dx * dx + dy * dy
    # The derivative of a root at 0 is infinite.
    return dx, dy, jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def _mean_value_distance(a: tuple[jax.Array, ...], b: tuple[jax.Array, ...]) -> jax.Array:
    """Returns 2 / sum of up / down over edges, from vectors to their ends.

    tan(angle / 2) is cross / (r s + dot) and also (r s - dot) / cross. On the edge itself, where dot is
    negative, only the second has a limit; on the line beyond it only the first. `down` is zero on the edge,
    so the fraction that is largest there is taken out of the sum.
    """
    (ax, ay, r), (bx, by, s) = a, b
    cross, dot, product = ax * by - ay * bx, ax * bx + ay * by, r * s
    facing = dot < 0
    up = (r + s) * jnp.where(facing, product - dot, cross)
    down = product * jnp.where(facing, cross, product + dot)
    edges = jnp.arange(up.shape[-1]).reshape((1,) * (up.ndim - 1) + (-1,))
    largest = jnp.argmin(jnp.abs(down) / jnp.where(up == 0, _TINY, jnp.abs(up)), axis=-1)
    taken = edges == largest[..., None]
    rest = jnp.where(taken | (down == 0), 0, up / jnp.where(down == 0, 1, down))
    up, down = (jnp.sum(jnp.where(taken, part, 0), axis=-1) for part in (up, down))
    # At a vertex both are zero.
    whole = up + down * jnp.sum(rest, axis=-1)
    return jnp.where(whole == 0, 0, 2 * down / jnp.where(whole == 0, 1, whole))


_TINY = 1e-30


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the distance of points `(..., 2)` to each of the edges, `(..., n)`."""
    along, away = end - start, points[..., None, :] - start
    squares = np.sum(along * along, axis=-1)
    part = np.sum(away * along, axis=-1) / np.where(squares == 0, 1, squares)
    return np.linalg.norm(away - np.clip(part, 0, 1)[..., None] * along, axis=-1)


def _first_meeting(start: np.ndarray, end: np.ndarray, nearby: float) -> tuple[int, int] | None:
    """Returns two edges that cross, or one and an edge that begins on it without being the next."""
    count = len(start)
    i, j = np.arange(count)[:, None], np.arange(count)[None, :]
    apart = [
        np.sign(_cross((end - start)[:, None], corners[None] - start[:, None]))
        for corners in (start, end)
    ]
    splits = apart[0] * apart[1] < 0
    gaps = _distances(start, start, end).T
    begins_on = (gaps <= nearby) & (i != j) & (j != (i + 1) % count)
    found = np.argwhere((splits & splits.T) | begins_on)
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None
