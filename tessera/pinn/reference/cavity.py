"""The steady lid-driven cavity: a square of fluid whose lid slides from the left to the right.

    u u_x + v u_y = -p_x + (u_xx + u_yy) / Re,  the same for v,  u_x + v_y = 0  in the unit square
    u = 1, v = 0 on the lid y = 1,   u = v = 0 on the other walls

The velocity jumps in the upper corners. There the stream function psi (u = psi_y, v = -psi_x) is expanded as
in `corner`, like in O. Botella and R. Peyret, Computers & Fluids 27 (1998) 421-433; the rest is a polynomial
for which, with L the Laplacian,

    L L psi = Re (psi_y L psi_x - psi_x L psi_y)

holds after multiplication by any polynomial of its kind and integration over the square (Galerkin's method;
J. Shen, SIAM J. Sci. Comput. 15 (1994) 1489-1505). Newton's method solves this. Published tables are in
`cavity_tables`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, legendre

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.pinn.reference import corner
from tessera.pinn.reference.checks import (
    require_count,
    require_inside,
    require_points,
    require_positive,
)

# Derivatives of psi by name, L the Laplacian: factor, order in x, order in y of what is added up.
OPERATORS = {
    "": ((1, 0, 0),),
    "x": ((1, 1, 0),),
    "y": ((1, 0, 1),),
    "xx": ((1, 2, 0),),
    "xy": ((1, 1, 1),),
    "yy": ((1, 0, 2),),
    "L": ((1, 2, 0), (1, 0, 2)),
    "Lx": ((1, 3, 0), (1, 1, 2)),
    "Ly": ((1, 2, 1), (1, 0, 3)),
    "LL": ((1, 4, 0), (2, 2, 2), (1, 0, 4)),
}
# The factor (1 - s^2)^2, s = 2 x - 1, that keeps a polynomial and its slope zero at the walls.
CLAMP = chebyshev.poly2cheb([1.0, 0.0, -2.0, 0.0, 1.0])
# Chebyshev coefficients of the cubics of x with one of: value at 0, value at 1, slope at 0, slope at 1.
HERMITE = (
    np.array([[16, -18, 0, 2], [16, 18, 0, -2], [2, -1, -2, 1], [-2, -1, 2, 1]], np.float64) / 32
)
# Coefficients the walls' data, which are smooth, are interpolated with at most.
WALL_DEGREE = 31
# Newton's method converges from the flow without inertia up to the first, and from the flow at a Reynolds
# number smaller by the second.
FROM_REST, RATIO = 100.0, 2.5
LARGEST_REYNOLDS = 2000.0
# The flow with more modes starts from the one with these.
COARSE = 24
MOST_ITERATIONS = 15
# Newton's method has converged when psi, whose largest value is about 0.1, changes by less.
TOLERANCE = 1e-9
# Nodes of Gauss's quadrature rule for each mode; products of three polynomials take as many.
NODES_PER_MODE = 1.5
# Nodes of the path from the centre along which the pressure gradient is integrated.
PATH_NODES = 48
# Points evaluated at once.
CHUNK = 8_000


@dataclass(frozen=True)
class Cavity:
    """The flow at one Reynolds number: corner terms, and Chebyshev coefficients `(n, n)` of the rest of psi.

    Entry (i, j) multiplies T_i(2 x - 1) T_j(2 y - 1).
    """

    reynolds: float
    coefficients: np.ndarray

    def at(self, points: Any) -> dict[str, np.ndarray]:
        """Returns u, v, omega = v_x - u_y and psi, each `(n,)`, at points `(n, 2)` of the closed square.

        In the upper corners the velocity is the lid's and the vorticity infinite. Raises `CompileError` for
        points outside.
        """
        psi, psi_x, psi_y, laplacian = self.derivatives(points, "", "x", "y", "L")
        return {"u": psi_y, "v": -psi_x, "omega": -laplacian, "psi": psi}

    def pressure(self, points: Any) -> np.ndarray:
        """Returns the pressure over density `(n,)`, zero at the centre, at points `(n, 2)` of the square.

        It grows like 1 / r towards the upper corners, where it is NaN; its square has no integral. The
        momentum equation is integrated along the straight path from the centre, but for the Stokes flow of
        the corners, whose pressure is known.
        """
        x, y = _require_square(points).T
        nodes, weights = legendre.leggauss(PATH_NODES)
        s = (1 + nodes) / 2
        p = np.empty(len(x))
        size = CHUNK // PATH_NODES
        for part in np.split(np.arange(len(x)), range(size, len(x), size)):
            dx, dy = x[part] - 0.5, y[part] - 0.5
            path = np.stack([0.5 + np.outer(dx, s), 0.5 + np.outer(dy, s)], axis=-1)
            along_x, along_y = self._pressure_gradient(path.reshape(-1, 2))
            slope = along_x.reshape(-1, len(s)) * dx[:, None]
            slope += along_y.reshape(-1, len(s)) * dy[:, None]
            p[part] = slope @ weights / 2
        centre = np.array([0.5])
        stokes = _stokes_pressure(x, y) - _stokes_pressure(centre, centre)
        return p + stokes / self.reynolds

    def derivatives(self, points: Any, *operators: str) -> list[np.ndarray]:
        """Returns derivatives of psi, each `(n,)`: "xy", say, or "Lx" for the Laplacian of psi_x."""
        points = _require_square(points)
        return [
            _corner_terms(self.reynolds, points, operator) + rest
            for operator, rest in zip(operators, self._rest(points, operators), strict=True)
        ]

    def _rest(self, points: np.ndarray, operators: tuple[str, ...]) -> list[np.ndarray]:
        """Derivatives of the polynomial."""
        values = [np.zeros(len(points)) for _ in operators]
        for part in np.split(np.arange(len(points)), range(CHUNK, len(points), CHUNK)):
            across, up = (_basis(points[part, k], len(self.coefficients)) for k in range(2))
            for value, operator in zip(values, operators, strict=True):
                for factor, a, b in OPERATORS[operator]:
                    value[part] += factor * ((across[a] @ self.coefficients) * up[b]).sum(axis=1)
        return values

    def _pressure_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of the pressure without that of the corners' Stokes flow."""
        psi_x, psi_y, psi_xx, psi_xy, psi_yy = self.derivatives(points, "x", "y", "xx", "xy", "yy")
        rest_x, rest_y = self._rest(points, ("Lx", "Ly"))
        friction_x = rest_y + _corner_terms(self.reynolds, points, "Ly", first=1)
        friction_y = -rest_x - _corner_terms(self.reynolds, points, "Lx", first=1)
        return (
            friction_x / self.reynolds - psi_y * psi_xy + psi_x * psi_yy,
            friction_y / self.reynolds + psi_y * psi_xx - psi_x * psi_xy,
        )


@cache
def solve(reynolds: float, modes: int = 48) -> Cavity:
    """Returns the flow at a Reynolds number up to 2000, of lid speed and side, with `modes`^2 unknowns.

    Computed once for each pair of numbers, with dense matrices of `modes`^2 rows: 48 modes take about three
    seconds, 64 about twenty. With 48, the velocity's error is largest next to the upper corners, on the grid
    from 0.02 to 0.98 below 1e-6 at Re = 100 and 1e-4 at 400, and that of psi below 1e-8 and 1e-6. Raises
    `CompileError` for other Reynolds numbers, `NumericsError` if Newton's method does not converge.

    >>> print(solve(100.0, 12).at([[0.5, 0.5], [0.5, 1.0]])["u"].round(2))
    [-0.21  1.  ]
    """
    reynolds = require_positive("cavity", "reynolds", reynolds)
    modes = require_count("cavity", "modes", modes, least=8, most=80)
    if reynolds > LARGEST_REYNOLDS:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"cavity: reynolds is {reynolds:g}, above {LARGEST_REYNOLDS:g}.",
            hints="steady flow at larger ones needs more modes than a dense matrix serves",
        )
    problem = _Galerkin(reynolds, modes)
    if modes > COARSE:
        unknown = problem.project(solve(reynolds, COARSE))
    elif reynolds > FROM_REST:
        unknown = problem.project(solve(max(FROM_REST, reynolds / RATIO), modes))
    else:
        unknown = problem.correct(np.zeros((modes, modes)), inertia=False)
    change = math.inf
    for _ in range(MOST_ITERATIONS):
        following = problem.correct(unknown)
        change = problem.largest(following - unknown)
        unknown = following
        if change < TOLERANCE:
            return Cavity(reynolds, problem.coefficients(unknown))
    raise NumericsError(
        Code.E_NAN_INF,
        f"cavity: psi still changes by {change:.1e} after {MOST_ITERATIONS} iterations at Re = {reynolds:g}.",
        hints="take more modes",
    )


class _Galerkin:
    """The equation for the unknown polynomial q: psi = corner terms + walls' data + clamp(x) clamp(y) q."""

    def __init__(self, reynolds: float, modes: int):
        self.reynolds, self.modes = reynolds, modes
        nodes, weights = legendre.leggauss(math.ceil(NODES_PER_MODE * modes))
        nodes, size = (1 + nodes) / 2, modes + len(CLAMP) - 1
        self._clamped = np.zeros((size, modes))
        for j, unit in enumerate(np.eye(modes)):
            product = chebyshev.chebmul(CLAMP, unit[: j + 1])
            self._clamped[: len(product), j] = product
        whole = _basis(nodes, size)
        self._unknown = [part @ self._clamped for part in whole]
        self._tests = weights[:, None] * self._unknown[0]
        self._walls = _wall_data(reynolds, size)
        self._grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
        self._known = {
            # The first term of a corner is biharmonic.
            name: _corner_terms(reynolds, self._grid, name, first=int(name == "LL")).reshape(
                len(nodes), -1
            )
            + _apply(whole, self._walls, name)
            for name in ("", "x", "y", "Lx", "Ly", "LL")
        }

    def largest(self, unknown: np.ndarray) -> float:
        """The most an unknown adds to psi at the nodes."""
        return float(np.abs(_apply(self._unknown, unknown, "")).max())

    def coefficients(self, unknown: np.ndarray) -> np.ndarray:
        """Chebyshev coefficients of psi without the corner terms."""
        return self._walls + self._clamped @ unknown @ self._clamped.T

    def project(self, flow: Cavity) -> np.ndarray:
        """The unknown with which psi is about that of another flow."""
        (psi,) = flow.derivatives(self._grid, "")
        rest = psi.reshape(self._known[""].shape) - self._known[""]
        inverse = np.linalg.pinv(self._unknown[0])
        return inverse @ rest @ inverse.T

    def correct(self, unknown: np.ndarray, *, inertia: bool = True) -> np.ndarray:
        """The unknown after one step of Newton's method, for the equation with or without inertia."""
        psi = {
            name: part + _apply(self._unknown, unknown, name) for name, part in self._known.items()
        }
        reynolds = self.reynolds if inertia else 0.0
        convection = psi["y"] * psi["Lx"] - psi["x"] * psi["Ly"]
        factors = {
            "LL": np.ones_like(convection),
            "Lx": -reynolds * psi["y"],
            "Ly": reynolds * psi["x"],
            "y": -reynolds * psi["Lx"],
            "x": reynolds * psi["Ly"],
        }
        rows = self.modes**2
        matrix = np.zeros((rows, rows))
        for name, factor in factors.items():
            for multiple, a, b in OPERATORS[name]:
                matrix += multiple * (self._products(a).T @ factor @ self._products(b))
        # From (test, basis) along x by (test, basis) along y to tests by bases.
        matrix = matrix.reshape((self.modes,) * 4).transpose(0, 2, 1, 3).reshape(rows, rows)
        right = self._tests.T @ (reynolds * convection - psi["LL"]) @ self._tests
        return unknown + np.linalg.solve(matrix, right.ravel()).reshape(unknown.shape)

    def _products(self, order: int) -> np.ndarray:
        """Weighted tests times derivatives of the basis, `(nodes, tests * basis)`."""
        products = self._tests[:, :, None] * self._unknown[order][:, None, :]
        return products.reshape(len(products), -1)


def _apply(basis: list[np.ndarray], coefficients: np.ndarray, operator: str) -> np.ndarray:
    """A derivative of the polynomial with those coefficients, at the grid of the basis's points."""
    parts = [
        factor * (basis[a] @ coefficients @ basis[b].T) for factor, a, b in OPERATORS[operator]
    ]
    return np.sum(parts, axis=0)


def _require_square(points: Any) -> np.ndarray:
    points = require_points("cavity", points, ("x", "y"))
    for name, values in zip("xy", points.T, strict=True):
        require_inside("cavity", name, values, 0.0, 1.0)
    return np.clip(points, 0.0, 1.0)


def _frames(points: np.ndarray) -> Iterator[tuple[int, tuple[int, int], np.ndarray, np.ndarray]]:
    """For either upper corner: its sign in `corner`, the signs of d xi/dx and d eta/dy, xi and eta."""
    x, y = points.T
    yield 1, (1, -1), x, 1 - y
    yield -1, (-1, -1), 1 - x, 1 - y


def _corner_terms(
    reynolds: float, points: np.ndarray, operator: str, *, first: int = 0
) -> np.ndarray:
    """A derivative of both corners' terms, from the given one on."""
    total = np.zeros(len(points))
    for sign, (turn_x, turn_y), xi, eta in _frames(points):
        turn = turn_x ** operator.count("x") * turn_y ** operator.count("y")
        for term in corner.stream_terms(reynolds, sign, operator)[first:]:
            total += turn * term(xi, eta)
    return total


def _stokes_pressure(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Re times the pressure of both corners' first terms: their vorticity's conjugate harmonic function."""
    total = np.zeros(len(x))
    alpha, beta = corner.stokes_laplacian()
    for sign, _, xi, eta in _frames(np.stack([x, y], axis=1)):
        with np.errstate(divide="ignore", invalid="ignore"):
            total += sign * (beta * xi - alpha * eta) / (xi * xi + eta * eta)
    return total


@cache
def _derivative(size: int) -> np.ndarray:
    """The matrix that takes Chebyshev coefficients in s = 2 x - 1 to those of the derivative by x."""
    matrix = np.zeros((size, size))
    for j in range(1, size):
        matrix[:j, j] = 2 * chebyshev.chebder(np.eye(size)[j, : j + 1])
    return matrix


def _basis(x: np.ndarray, size: int) -> list[np.ndarray]:
    """Chebyshev polynomials of x in [0, 1] and their derivatives up to the fourth, each `(n, size)`."""
    values = [chebyshev.chebvander(2 * x - 1, size - 1)]
    matrix = np.eye(size)
    for _ in range(4):
        matrix = matrix @ _derivative(size)
        values.append(values[0] @ matrix)
    return values


def _wall_data(reynolds: float, size: int) -> np.ndarray:
    """Coefficients `(size, size)` of a polynomial with the values and slopes at the walls that psi lacks.

    The corners' terms meet the conditions at the two walls that meet there. Cubics across times what is
    missing along, in both directions, less what is then there twice (S. A. Coons, 1967).
    """
    degree = min(WALL_DEGREE, size - 1)
    s = (1 + chebyshev.chebpts1(degree + 1)) / 2
    bottom = np.stack([s, 0 * s], axis=1)
    sides = [np.stack([0 * s + x, s], axis=1) for x in (0.0, 1.0)]
    missing = [-_corner_terms(reynolds, side, name) for name in ("", "x") for side in sides]
    below = [-_corner_terms(reynolds, bottom, name) for name in ("", "y")]
    # Both corners' terms slide with the lid.
    lid = [np.zeros_like(s), np.full_like(s, -1.0)]
    vertical = _interpolate(missing, size)
    horizontal = _interpolate([below[0], lid[0], below[1], lid[1]], size)
    cubics = np.zeros((4, size))
    cubics[:, :4] = HERMITE
    ends = _basis(np.array([0.0, 1.0]), size)
    twice = vertical @ np.concatenate([ends[0], ends[1]]).T
    return cubics.T @ vertical + horizontal.T @ cubics - cubics.T @ twice @ cubics


def _interpolate(rows: list[np.ndarray], size: int) -> np.ndarray:
    """Chebyshev coefficients `(rows, size)` of values at Chebyshev points."""
    count = len(rows[0])
    nodes = chebyshev.chebpts1(count)
    result = np.zeros((len(rows), size))
    result[:, :count] = np.stack(rows) @ chebyshev.chebvander(nodes, count - 1) * 2 / count
    result[:, 0] /= 2
    return result
