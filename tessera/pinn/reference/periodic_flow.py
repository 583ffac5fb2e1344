"""A flow in a periodic box, stored as Fourier series at some times: its fields on the grid and anywhere."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera.pinn.reference import interpolation
from tessera.pinn.reference.checks import require_inside, require_points

Complex = NDArray[np.complexfloating[Any, Any]]

# Complex numbers held at once, 16 bytes each.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Flow:
    """Vorticity of a periodic flow at some times, from which everything else follows.

    `spectra` `(nt, ny, nx // 2 + 1)` are NumPy's `rfft2` of the vorticity on a grid of `shape` (ny, nx);
    row j, column i is the point (i Lx / nx, j Ly / ny).
    """

    times: np.ndarray
    spectra: Complex
    shape: tuple[int, int]
    lengths: tuple[float, float]
    viscosity: float
    mean_velocity: tuple[float, float] = (0.0, 0.0)

    @property
    def vorticity(self) -> np.ndarray:
        """Vorticity v_x - u_y on the grid, `(nt, ny, nx)`."""
        return self._to_grid(self.spectra)

    @property
    def stream(self) -> np.ndarray:
        """Stream function of the velocity without its mean, `(nt, ny, nx)`, with mean zero."""
        return self._to_grid(self._series()["psi"])

    @property
    def velocity(self) -> tuple[np.ndarray, np.ndarray]:
        """Components u and v on the grid, each `(nt, ny, nx)`."""
        series = self._series()
        return self._to_grid(series["u"]), self._to_grid(series["v"])

    @property
    def pressure(self) -> np.ndarray:
        """Pressure over density on the grid, `(nt, ny, nx)`, with mean zero; see `at`."""
        return self._to_grid(_fold(self._pressure_series(), self.shape))

    @property
    def energy(self) -> np.ndarray:
        """Mean over the box of half the squared velocity, `(nt,)`."""
        u, v = self.velocity
        return (u * u + v * v).mean(axis=(1, 2)) / 2

    @property
    def enstrophy(self) -> np.ndarray:
        """Mean over the box of half the squared vorticity, `(nt,)`; energy falls by 2 nu times it."""
        return (self.vorticity**2).mean(axis=(1, 2)) / 2

    def at(self, points: Any) -> dict[str, np.ndarray]:
        """Returns u, v, p, omega and psi, each `(n,)`, at points `(n, 3)` with columns x, y, t.

        The Fourier series is summed at x and y, which may be anything. Times lie between the first and the
        last stored one; between stored times, the polynomial through the eight around is taken. The pressure
        has mean zero and is that of a force without divergence. Raises `CompileError` for other times.

        >>> x = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        >>> vorticity = np.cos(x) + 0 * x[:, None]
        >>> flow = Flow(np.zeros(1), np.fft.rfft2(vorticity)[None], (8, 8), (2 * np.pi, 2 * np.pi), 0.1)
        >>> print(flow.at([[np.pi / 2, 0.3, 0.0]])["v"])  # v_x = cos(x)
        [1.]
        """
        at = require_points("flow", points, ("x", "y", "t"))
        require_inside("flow", "t", at[:, 2], float(self.times[0]), float(self.times[-1]))
        t = np.clip(at[:, 2], self.times[0], self.times[-1])
        series = {
            name: _amplitudes(part, self.shape)
            for name, part in (self._series() | {"omega": self.spectra}).items()
        }
        series["p"] = _amplitudes(self._pressure_series(), _doubled(self.shape))
        values = {name: np.zeros(len(at)) for name in ("u", "v", "p", "omega", "psi")}
        for members, where, weights in interpolation.windows(self.times, t):
            for node in range(weights.shape[1]):
                used = weights[:, node] != 0
                for name, part in series.items():
                    values[name][members[used]] += weights[used, node] * self._sum(
                        part[where.start + node], at[members[used]]
                    )
        values["u"] += self.mean_velocity[0]
        values["v"] += self.mean_velocity[1]
        return values

    def _series(self) -> dict[str, Complex]:
        """Spectra of psi, u and v, of the velocity relative to its mean but for the zeroth mode."""
        along_x, along_y = derivative_factors(self.shape, self.lengths)
        square = -(along_x * along_x + along_y * along_y).real
        psi = self.spectra / np.where(square == 0, np.inf, square)
        return {"psi": psi, "u": along_y * psi, "v": -along_x * psi}

    def _pressure_series(self) -> np.ndarray:
        """Spectra of the pressure on a grid twice as fine, which holds every product of two modes."""
        fine = _doubled(self.shape)
        series = self._series()
        u, v = (np.fft.irfft2(_widen(series[name], self.shape, fine), fine) for name in "uv")
        along_x, along_y = derivative_factors(fine, self.lengths)
        square = -(along_x * along_x + along_y * along_y).real
        # -laplacian p = (u u)_xx + 2 (u v)_xy + (v v)_yy
        stress = along_x * along_x * np.fft.rfft2(u * u)
        stress += 2 * along_x * along_y * np.fft.rfft2(u * v)
        stress += along_y * along_y * np.fft.rfft2(v * v)
        return stress / np.where(square == 0, np.inf, square)

    def _to_grid(self, spectra: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(spectra, self.shape)

    def _sum(self, amplitudes: np.ndarray, points: np.ndarray) -> np.ndarray:
        """A real field at points, from the amplitudes of exp(i (k x + m y)) with k >= 0, `(m, k)`."""
        rows, columns = amplitudes.shape
        if not len(points):
            return np.zeros(0)
        k = 2j * math.pi / self.lengths[0] * np.arange(columns)
        m = 2j * math.pi / self.lengths[1] * np.fft.fftfreq(rows, 1 / rows)
        parts = []
        size = max(1, CHUNK // (rows + columns))
        for part in np.split(points, range(size, len(points), size)):
            across = np.exp(part[:, 1:2] * m) @ amplitudes
            parts.append((across * np.exp(part[:, :1] * k)).sum(axis=1).real)
        return np.concatenate(parts)


def derivative_factors(
    shape: tuple[int, int], lengths: tuple[float, float]
) -> tuple[Complex, Complex]:
    """Returns i k and i m, which turn an `rfft2` into that of the x and y derivatives."""
    ny, nx = shape
    k = 2j * math.pi / lengths[0] * np.fft.rfftfreq(nx, 1 / nx)
    m = 2j * math.pi / lengths[1] * np.fft.fftfreq(ny, 1 / ny)
    half = (ny, nx // 2 + 1)
    return np.broadcast_to(k, half), np.broadcast_to(m[:, None], half)


def retained(shape: tuple[int, int]) -> np.ndarray:
    """Returns 1 for the modes that are kept, those below two thirds of the highest, and 0 for others.

    >>> print(retained((6, 6))[0])
    [1. 1. 0. 0.]
    """
    ny, nx = shape
    k = np.fft.rfftfreq(nx, 1 / nx)
    m = np.fft.fftfreq(ny, 1 / ny)
    return ((3 * np.abs(m)[:, None] < ny) & (3 * k < nx)).astype(float)


def _doubled(shape: tuple[int, int]) -> tuple[int, int]:
    return 2 * shape[0], 2 * shape[1]


def _widen(spectra: np.ndarray, shape: tuple[int, int], fine: tuple[int, int]) -> np.ndarray:
    """The spectra on a finer grid of fields whose highest modes are zero."""
    wide = np.zeros((*spectra.shape[:-2], fine[0], fine[1] // 2 + 1), complex)
    columns, below = spectra.shape[-1], shape[0] // 2
    scale = fine[0] * fine[1] / (shape[0] * shape[1])
    wide[..., : shape[0] - below, :columns] = scale * spectra[..., : shape[0] - below, :]
    wide[..., -below:, :columns] = scale * spectra[..., -below:, :]
    return wide


def _fold(fine: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The spectra on the grid of every other point of the fine one."""
    values = np.fft.irfft2(fine, _doubled(shape))
    return np.fft.rfft2(values[..., ::2, ::2])


def _amplitudes(spectra: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Amplitudes of exp(i (k x + m y)) with k >= 0 whose real parts add up to the field."""
    amplitudes = 2 * spectra / (shape[0] * shape[1])
    amplitudes[..., 0] /= 2
    return amplitudes
