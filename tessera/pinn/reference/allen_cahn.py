"""The Allen-Cahn equation from a kinked start: sharp fronts that grow out of a smooth wave.

    u_t = 1e-4 u_xx + 5 u - 5 u^3 on [-1, 1], periodic,   u(x, 0) = x^2 cos(pi x),   0 <= t <= 1

The problem of M. Raissi, P. Perdikaris and G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707. The
start is even, so its Fourier series has cosines only; its slope jumps by 4 where the ends meet, so their
coefficients, which are known in closed form, fall like the square of their number until diffusion has
rounded the kink. Time steps are those of `exponential`.

Errors of `solution`: none at t = 0; 1e-10 for t >= 0.005 and 1e-11 for t >= 0.01, against four times the
cosines and twice the time steps; before, up to 4e-5 at t = 0.0001 and 2e-7 at t = 0.001, next to x = 1 only.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tessera.pinn.reference import exponential, interpolation
from tessera.pinn.reference.checks import require_count, require_inside, require_points

DIFFUSION = 1e-4
REACTION = 5.0
END = 1.0
# Points evaluated at once, times the number of cosines: 8 bytes each.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Solution:
    """Cosine coefficients `(times, modes)` of u at stored times: u = sum_k c_k cos(pi k (x + 1))."""

    times: np.ndarray
    coefficients: np.ndarray

    def at(self, points: Any) -> dict[str, np.ndarray]:
        """Returns `{"u": (n,)}` at points `(n, 2)` with columns x (any period) and t in [0, 1].

        Raises `CompileError` for points outside [0, 1] in time.
        """
        x, t = require_points("allen_cahn", points, ("x", "t")).T
        require_inside("allen_cahn", "t", t, 0.0, END)
        wrapped = (x + 1) % 2 - 1
        # The series of the start converges slowly.
        at_start = wrapped * wrapped * np.cos(math.pi * wrapped)
        return {"u": np.where(t <= 0, at_start, self._evaluate(x, np.clip(t, 0.0, END)))}

    def _evaluate(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        moments, of_point = np.unique(t, return_inverse=True)
        places, place_of_point = np.unique(x, return_inverse=True)
        if len(moments) * len(places) <= 4 * len(x):
            return self._on_grid(moments, places)[of_point, place_of_point]
        u = np.empty(len(x))
        order = np.argsort(of_point, kind="stable")
        size = max(1, CHUNK // self.coefficients.shape[1])
        for part in np.split(order, range(size, len(order), size)):
            u[part] = (self._series(t[part]) * self._cosines(x[part])).sum(axis=1)
        return u

    def _on_grid(self, moments: np.ndarray, places: np.ndarray) -> np.ndarray:
        series = self._series(moments)
        size = max(1, CHUNK // self.coefficients.shape[1])
        parts = np.split(places, range(size, len(places), size))
        return np.concatenate([series @ self._cosines(part).T for part in parts], axis=1)

    def _cosines(self, x: np.ndarray) -> np.ndarray:
        return np.cos(math.pi * (x[:, None] + 1) * np.arange(self.coefficients.shape[1]))

    def _series(self, t: np.ndarray) -> np.ndarray:
        """Coefficients at times `(k,)`: the start's exact decay, and what reaction adds, interpolated."""
        modes = self.coefficients.shape[1]
        start, decay = _start(modes), _decay(modes)
        result = start * np.exp(-decay * t[:, None])
        for members, where, weights in interpolation.windows(self.times, t):
            decayed = start * np.exp(-decay * self.times[where, None])
            result[members] += weights @ (self.coefficients[where] - decayed)
        return result


@cache
def solve(modes: int = 2048, steps: int = 1000) -> Solution:
    """Returns the solution with that many cosines and equal time steps to t = 1.

    Computed once for each pair of numbers; the first call takes about a second.

    >>> print(solve(modes=64, steps=50).at([[0.0, 0.0], [0.0, 1.0]])["u"].round(2) + 0.0)
    [0. 0.]
    """
    modes = require_count("allen_cahn", "modes", modes, least=16, most=2**16)
    steps = require_count("allen_cahn", "steps", steps, least=20, most=10**6)
    series = _start(modes)
    c = exponential.coefficients(-_decay(modes) + 0j, END / steps)
    c = exponential.Coefficients(*(part.real for part in c))
    stored = np.empty((steps + 1, modes))
    stored[0] = series
    for step in range(steps):
        series = exponential.advance(c, _reaction, series, 0.0, END / steps)
        stored[step + 1] = series
    return Solution(np.linspace(0.0, END, steps + 1), stored)


def solution(points: Any, modes: int = 2048, steps: int = 1000) -> dict[str, np.ndarray]:
    """Returns `{"u": (n,)}` at points `(n, 2)` with columns x and t in [0, 1], in float64; see `solve`.

    >>> print(solution([[0.0, 0.0], [-1.0, 0.0]], modes=64, steps=50)["u"] + 0.0)
    [ 0. -1.]
    """
    return solve(modes, steps).at(points)


@cache
def _start(modes: int) -> np.ndarray:
    """Cosine coefficients of x^2 cos(pi x), exactly: those of its samples are off by `modes^-2`."""
    k = np.arange(modes, dtype=float)
    k[1] = np.inf
    series = -2 / math.pi**2 * ((k + 1) ** -2 + (k - 1) ** -2)
    series[0] /= 2
    series[1] = -1 / 3 - 1 / (2 * math.pi**2)
    return series


def _decay(modes: int) -> np.ndarray:
    return DIFFUSION * (math.pi * np.arange(modes)) ** 2


def _reaction(series: np.ndarray, _time: float) -> np.ndarray:
    u = _values(series)
    return REACTION * _transform(u - u**3)


def _transform(values: np.ndarray) -> np.ndarray:
    """Cosine coefficients of an even function's values at -1 + j / modes; the highest is left out."""
    modes = len(values) // 2
    series = np.fft.rfft(values).real[:modes] / modes
    series[0] /= 2
    return series


def _values(series: np.ndarray) -> np.ndarray:
    modes = len(series)
    spectrum = np.zeros(modes + 1, complex)
    spectrum[:modes] = series * modes
    spectrum[0] *= 2
    return np.fft.irfft(spectrum, 2 * modes)
