"""The Poisson equation on an L, whose inner corner makes the gradient infinite.

    -(u_xx + u_yy) = 1 in the L,   u = 0 on its edge

The L is [-1, 1]^2 without its lower right quarter; its corners are VERTICES. The method of particular
solutions (L. Fox, P. Henrici and C. B. Moler, SIAM J. Numer. Anal. 4 (1967) 89-102; T. Betcke and
L. N. Trefethen, SIAM Review 47 (2005) 469-491): with z = x + i y

    u = -y^2 / 2 + Im F(z),   F = - z^2 log z / (3 pi) - sum_j w_j^2 log w_j / pi
                                  + sum_k a_k z^(2 k / 3) + sum_m c_m (z - z0)^m

satisfies the equation whatever the a_k (real) and c_m (complex) are; they are fitted to u = 0 by least
squares. The logarithms are the singularities that the source has at right angles, where u_xx + u_yy = -1
contradicts u_xx = u_yy = 0: at the inner corner, and at the five others, from each of which w_j = z - z_j,
turned, points along the edge. With them taken out the sums converge geometrically. The error is a harmonic
function, so nowhere larger than on the edge, where it is u itself: `Solution.bound`.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera.core.errors import Code, CompileError
from tessera.pinn.reference.checks import require_count, require_points

Complex = NDArray[np.complexfloating[Any, Any]]

# Counterclockwise from the inner corner, which is the origin.
VERTICES = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (0.0, -1.0))
_CORNERS: Complex = np.array([complex(x, y) for x, y in VERTICES])
# Centre and scale of the polynomials, which keep their powers of order one; and the scale of the roots.
CENTRE, SCALE, FARTHEST = -0.3 + 0.3j, 1.3, math.sqrt(2)
# Points outside by rounding are taken as on the edge.
SLACK = 1e-12
# Points evaluated at once.
CHUNK = 20_000


@dataclass(frozen=True)
class Solution:
    """Coefficients of the solution, and the bound on its error: the largest |u| on the edge."""

    roots: np.ndarray
    powers: Complex
    bound: float

    def at(self, points: Any) -> dict[str, np.ndarray]:
        """Returns u and its derivatives u_x, u_y, each `(n,)`, at points `(n, 2)` within the L.

        The derivatives grow like r^(-1/3) towards the inner corner and are infinite there. Raises
        `CompileError` for points outside.
        """
        points = require_points("l_shape", points, ("x", "y"))
        if not (within := inside(points, SLACK)).all():
            x, y = points[~within][0]
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"l_shape: ({x:g}, {y:g}) is outside the L, [-1, 1]^2 without x > 0 > y.",
                hints="keep the points for which l_shape.inside is True",
            )
        parts = [points[k : k + CHUNK] for k in range(0, len(points), CHUNK)] or [points]
        columns = [
            np.concatenate(column) for column in zip(*map(self._evaluate, parts), strict=True)
        ]
        return dict(zip(("u", "u_x", "u_y"), columns, strict=True))

    def _evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z, y = points[:, 0] + 1j * points[:, 1], points[:, 1]
        value, slope = _logarithms(z)
        for coefficients, (basis, slopes) in (
            (self.roots, _roots(z, len(self.roots))),
            (self.powers, _polynomials(z, len(self.powers))),
        ):
            value = value + basis @ coefficients
            slope = slope + slopes @ coefficients
        corner = z == 0
        return (
            value.imag - y * y / 2,
            np.where(corner, np.inf, slope.imag),
            np.where(corner, -np.inf, slope.real - y),
        )


def inside(points: Any, slack: float = 0.0) -> np.ndarray:
    """Returns whether each of points `(n, 2)` is in the closed L, widened by `slack`.

    >>> print(inside([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.0]]))
    [ True False  True]
    """
    x, y = require_points("l_shape", points, ("x", "y")).T
    return (np.maximum(np.abs(x), np.abs(y)) <= 1 + slack) & ((x <= slack) | (y >= -slack))


@cache
def solve(roots: int = 60, degree: int = 40) -> Solution:
    """Returns the solution with that many powers z^(2 k / 3), a third of them polynomials, and that degree.

    Computed once for each pair of numbers. The bound of the default is below 1e-12.

    >>> print(solve(30, 20).at([[-0.5, 0.5]])["u"].round(4), solve(30, 20).bound < 1e-8)
    [0.1311] True
    """
    roots = require_count("l_shape", "roots", roots, least=3, most=300)
    degree = require_count("l_shape", "degree", degree, least=1, most=100)
    edge = _edge(400)
    first, second = _roots(edge, roots)[0], _polynomials(edge, degree + 1)[0]
    # The imaginary part of a constant is all there is of it.
    matrix = np.concatenate([first.imag, second.imag[:, 1:], second.real], axis=1)
    wanted = edge.imag**2 / 2 - _logarithms(edge)[0].imag
    fitted = np.linalg.lstsq(matrix, wanted, rcond=1e-15)[0]
    count = first.shape[1]
    real = np.concatenate([[0.0], fitted[count : count + degree]])
    solution = Solution(fitted[:count], real + 1j * fitted[count + degree :], math.nan)
    fine = _edge(3001)
    bound = float(np.abs(solution._evaluate(np.stack([fine.real, fine.imag], axis=1))[0]).max())
    return Solution(solution.roots, solution.powers, bound)


def solution(points: Any) -> dict[str, np.ndarray]:
    """Returns `{"u": (n,)}` at points `(n, 2)` within the L, in float64, exact to 1e-12.

    >>> print(solution([[-0.5, 0.5], [0.5, 0.5]])["u"].round(4))
    [0.1311 0.1024]
    """
    return {"u": solve().at(points)["u"]}


def _edge(count: int) -> Complex:
    """Points of the whole edge, dense at its corners."""
    even = (1 - np.cos(np.linspace(0, math.pi, count))) / 2
    dense = (1 + np.tanh(np.linspace(-18, 18, count))) / 2
    part = np.unique(np.concatenate([even, dense]))
    sides = np.roll(_CORNERS, -1) - _CORNERS
    return (_CORNERS[:, None] + sides[:, None] * part).ravel()


def _logarithm(z: Complex) -> Complex:
    """log z with its cut through the middle of the missing quarter; 0 at 0, which a power multiplies."""
    z = np.where(z == 0, 1.0, z)
    turn = 0.75j * math.pi
    return np.log(z * np.exp(-turn)) + turn


def _logarithms(z: Complex) -> tuple[Complex, Complex]:
    """The singular terms of F without unknowns, and their derivative."""
    value = -z * z * _logarithm(z) / (3 * math.pi)
    slope = -z * (2 * _logarithm(z) + 1) / (3 * math.pi)
    for j in range(1, len(_CORNERS)):
        side = _CORNERS[(j + 1) % len(_CORNERS)] - _CORNERS[j]
        turn = np.conj(side) / abs(side)
        w = (z - _CORNERS[j]) * turn
        logarithm = np.log(np.where(w == 0, 1.0, w))
        value = value - w * w * logarithm / math.pi
        slope = slope - w * (2 * logarithm + 1) * turn / math.pi
    return value, slope


def _roots(z: Complex, count: int) -> tuple[Complex, Complex]:
    """z^(2 k / 3) for k up to count, `(n, count)`, and the derivatives; zero where that is a polynomial."""
    exponents = 2 * np.arange(1, count + 1) / 3
    logarithm = _logarithm(z)[:, None] - math.log(FARTHEST)
    present = (np.arange(1, count + 1) % 3 != 0) & (z != 0)[:, None]
    powers = np.exp(exponents * logarithm)
    powers[~present] = 0
    slopes = np.zeros_like(powers)
    slopes[z != 0] = powers[z != 0] * exponents / z[z != 0, None]
    return powers, slopes


def _polynomials(z: Complex, count: int) -> tuple[Complex, Complex]:
    """Powers of z, shifted and scaled, `(n, count)`, and the derivatives."""
    powers = np.vander((z - CENTRE) / SCALE, count, increasing=True)
    slopes = np.zeros_like(powers)
    slopes[:, 1:] = powers[:, :-1] * np.arange(1, count) / SCALE
    return powers, slopes
