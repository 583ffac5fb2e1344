"""The flow in a right angle between a wall at rest and one that slides into it or out of it.

In the frame (xi, eta) with its origin in the corner, the sliding wall along xi and the wall at rest along
eta, the stream function psi with psi_eta = -1 on the sliding wall has, for small r, the expansion

    psi = r f(theta) + s Re r^2 g(theta) + Re^2 r^3 h(theta) + ...

with s = 1 in the upper left corner of a cavity whose lid moves to the right, -1 in the upper right one. The
first term is the Stokes flow of G. I. Taylor (Aeronautics and Aeromechanics (1960) 12-20), the others are
what inertia adds to it (O. Botella and R. Peyret, Computers & Fluids 27 (1998) 421-433).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev, chebyshev

# Chebyshev polynomials of theta in [0, pi/2] that functions of it are expanded in: exact to rounding.
DEGREE = 26
DOMAIN = (0.0, math.pi / 2)
# Above, the expansion in powers of r Re is of use so close to the corner only that a term less is better.
THREE_TERMS_UP_TO = 200.0


@dataclass(frozen=True)
class Term:
    """The function r^power angular(theta) of polar coordinates."""

    power: int
    angular: Chebyshev

    def along(self, axis: int) -> "Term":
        """The derivative with respect to xi (0) or eta (1)."""
        value, slope, power = self.angular, self.angular.deriv(), self.power
        if axis == 0:
            return Term(
                power - 1, _expand(lambda t: power * value(t) * np.cos(t) - slope(t) * np.sin(t))
            )
        return Term(
            power - 1, _expand(lambda t: power * value(t) * np.sin(t) + slope(t) * np.cos(t))
        )

    def laplacian(self) -> "Term":
        """The second derivatives added up."""
        return Term(self.power - 2, self.power**2 * self.angular + self.angular.deriv(2))

    def __call__(self, xi: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """The values at points of the quadrant."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.hypot(xi, eta) ** float(self.power) * self.angular(np.arctan2(eta, xi))


def slide() -> Chebyshev:
    """f: the Stokes flow, with f = 0 at both walls, f' = -1 at the sliding one and 0 at the one at rest."""
    c = 2 * math.pi / (math.pi**2 - 4)
    a, d = -c * math.pi / 2, 2 * c / math.pi
    return _expand(lambda t: (a + c * t) * np.sin(t) + d * t * np.cos(t))


@cache
def expansion(reynolds: float, sign: int) -> tuple[Term, ...]:
    """Returns two or three terms of psi for a Reynolds number of the wall's speed and the unit of length.

    With L the Laplacian, L^2 psi = -sign Re (psi_eta L psi_xi - psi_xi L psi_eta) at each power of r; the
    right side of r f is -(f (f + f''))' / r^2, and so on.

    >>> [term.power for term in expansion(100.0, 1)]
    [1, 2, 3]
    """
    f = slide()
    fl = _expand(f + f.deriv(2))
    product = _expand(lambda t: f(t) * fl(t))
    g = _clamped((1.0, 0.0, 4.0, 0.0, 0.0), product.deriv())
    gl = 4 * g + g.deriv(2)
    slope = [part.deriv() for part in (g, fl, gl)]
    right = _expand(lambda t: slope[0](t) * fl(t) + 2 * g(t) * slope[1](t) + f(t) * slope[2](t))
    h = _clamped((1.0, 0.0, 10.0, 0.0, 9.0), right)
    terms = (Term(1, f), Term(2, sign * reynolds * g), Term(3, reynolds**2 * h))
    return terms if reynolds <= THREE_TERMS_UP_TO else terms[:2]


def _expand(function: Callable[[np.ndarray], np.ndarray]) -> Chebyshev:
    return Chebyshev.interpolate(function, DEGREE, DOMAIN)


def _clamped(equation: tuple[float, ...], right: Chebyshev) -> Chebyshev:
    """The solution of a linear equation of order 4 that vanishes with its slope at both ends."""
    t = (1 + chebyshev.chebpts1(DEGREE - 3)) * DOMAIN[1] / 2
    rows = []
    for unit in np.eye(DEGREE + 1):
        basis = Chebyshev(unit, DOMAIN)
        ends = [part(end) for part in (basis, basis.deriv()) for end in np.array(DOMAIN)]
        terms = (
            factor * basis.deriv(4 - k)(t) if k < 4 else factor * basis(t)
            for k, factor in enumerate(equation)
        )
        rows.append(np.concatenate([sum(terms, np.zeros_like(t)), ends]))
    wanted = np.concatenate([right(t), np.zeros(4)])
    return Chebyshev(np.linalg.solve(np.array(rows).T, wanted), DOMAIN)


def operate(term: Term, operator: str) -> Term:
    """Returns a term after "x", "xy" or "Lx", say: derivatives by xi and eta, and the Laplacian."""
    for letter in operator:
        term = term.laplacian() if letter == "L" else term.along("xy".index(letter))
    return term


@cache
def stream_terms(reynolds: float, sign: int, operator: str) -> tuple[Term, ...]:
    """Returns the terms of `expansion` after an operator."""
    return tuple(operate(term, operator) for term in expansion(reynolds, sign))


def stokes_laplacian() -> tuple[float, float]:
    """Returns (alpha, beta) of the first term's Laplacian (alpha cos(theta) + beta sin(theta)) / r."""
    c = 2 * math.pi / (math.pi**2 - 4)
    return 2 * c, -4 * c / math.pi
