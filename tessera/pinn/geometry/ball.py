"""`Ball`: a disc, a ball in two or more dimensions."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import as_coordinates, as_points, as_vector, require_scipy
from tessera.pinn.geometry.shape import BoundaryPoints, Shape, Side


@dataclass(frozen=True)
class Ball(Shape):
    """The points at most `radius` away from `center`. Its only side is called surface.

    Raises `E_GRAPH_INVALID` for fewer than two coordinates or a radius that is not positive.

    >>> ball = Ball((0, 0, 0), 1)
    >>> round(ball.measure, 3), ball.contains([[0, 0, 1.0]]).tolist()
    (4.189, [True])
    """

    center: tuple[float, ...]
    radius: float

    def __post_init__(self):
        center = as_vector("ball", "center", self.center)
        (radius,) = as_vector("ball", "radius", [self.radius])
        if len(center) < 2:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"ball: center {center} has one coordinate.",
                hints="in one dimension it is an Interval(a, b)",
            )
        if radius <= 0:
            raise CompileError(Code.E_GRAPH_INVALID, f"ball: radius is {radius}, not positive.")
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "radius", radius)

    @property
    def dimensions(self) -> int:
        """The number of coordinates."""
        return len(self.center)

    @property
    def bounds(self) -> np.ndarray:
        """The box the ball touches."""
        return np.array(self.center) + self.radius * np.array([[-1.0], [1.0]])

    @property
    def measure(self) -> float:
        """The area, or the volume: pi^(d/2) r^d / Gamma(d/2 + 1)."""
        half = self.dimensions / 2
        return math.pi**half / math.gamma(half + 1) * self.radius**self.dimensions

    @property
    def sides(self) -> tuple[Side, ...]:
        """The surface."""
        return (Side("surface", self.measure * self.dimensions / self.radius, self._on_surface),)

    def signed_distance(self, points: Any) -> np.ndarray:
        """Returns the radius less the distance to the center."""
        points = as_points("signed_distance", points, self.dimensions)
        return self.radius - np.linalg.norm(points - np.array(self.center), axis=-1)

    def distance(self, points: Any) -> jax.Array:
        """Returns (r^2 - |x - c|^2) / (2 r), a polynomial.

        >>> import jax.numpy as jnp
        >>> print(Disc((0, 0), 2).distance(jnp.array([[0.0, 0.0], [2.0, 0.0]])))
        [1. 0.]
        """
        xs = as_coordinates("distance", points, self.dimensions)
        squares = [(x - c) * (x - c) for x, c in zip(xs, self.center, strict=True)]
        return (self.radius**2 - sum(squares[1:], squares[0])) / (2 * self.radius)

    def _on_surface(self, numbers: np.ndarray) -> BoundaryPoints:
        normals = _on_sphere(numbers)
        points = np.array(self.center) + self.radius * normals
        return BoundaryPoints(points, normals, np.ones(len(points), bool))


def Disc(center: tuple[float, float], radius: float) -> Ball:  # noqa: N802 - reads as a shape
    """Returns the ball in two dimensions.

    >>> round(Disc((0, 0), 1).measure, 4)
    3.1416
    """
    if len(center) != 2:
        raise CompileError(Code.E_GRAPH_INVALID, f"disc: center {center} has not two coordinates.")
    return Ball(center, radius)


def _on_sphere(numbers: np.ndarray) -> np.ndarray:
    """Returns points of the unit sphere, uniform by area, for uniform numbers `(n, d - 1)`.

    One coordinate of such a point is distributed as 2 b - 1, b by the beta distribution with both parameters
    (d - 1) / 2; the others are on a sphere of one dimension less.
    """
    count, d = len(numbers), numbers.shape[1] + 1
    radius = np.ones(count)
    columns = []
    for i in range(d - 2):
        height = 2 * _symmetric_beta_quantile((d - 1 - i) / 2, numbers[:, i]) - 1
        columns.append(radius * height)
        radius = radius * np.sqrt(1 - height**2)
    angle = 2 * math.pi * numbers[:, -1]
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), *reversed(columns)])


def _symmetric_beta_quantile(parameter: float, numbers: np.ndarray) -> np.ndarray:
    if parameter == 1:
        return numbers
    require_scipy("spheres in more than 3 dimensions")
    import scipy.special

    return scipy.special.betaincinv(parameter, parameter, numbers)
