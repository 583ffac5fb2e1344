"""Two-dimensional incompressible Navier-Stokes flow in a periodic box, by Fourier series.

    omega_t + (U + u) . grad omega = nu laplacian omega - drag omega + f
    omega = v_x - u_y,   -laplacian psi = omega,   u = psi_y,   v = -psi_x

U is the mean velocity, f the curl of a force. Products are taken on the grid and their modes above two
thirds of the highest dropped, which leaves no aliasing (S. A. Orszag, J. Atmos. Sci. 28 (1971) 1074); energy
and enstrophy of an ideal flow are then kept but for the error of the time steps, those of `exponential`.
Everything is in float64.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.pinn.reference import exponential
from tessera.pinn.reference.checks import require_number, require_positive, require_reals
from tessera.pinn.reference.periodic_flow import Flow, derivative_factors, retained

# Grid spacings that the flow passes in one time step, unless one is asked for: vorticity is then off by some
# 1e-7 of its size after a few turnovers on 96 x 96 points, where the grid errs more.
COURANT = 0.4
# Such steps between two times at most, so that a flow that blows up does not take for ever.
MOST_STEPS = 1_000_000

# f as an array `(ny, nx)`, or a function of x, y `(ny, nx)` and t `()` in jax.numpy.
Forcing = Any


class _Setting(NamedTuple):
    """What the right-hand side multiplies by, and how long steps may be."""

    along_x: Any
    along_y: Any
    inverse: Any
    keep: Any
    linear: Any
    force: Any
    x: Any
    y: Any
    spacing: Any
    mean: Any
    longest: Any


def solve(
    vorticity0: Any,
    *,
    viscosity: float,
    lengths: tuple[float, float] = (2 * math.pi, 2 * math.pi),
    times: Sequence[float] | np.ndarray,
    forcing: Forcing = None,
    drag: float = 0.0,
    mean_velocity: tuple[float, float] = (0.0, 0.0),
    dt: float | None = None,
) -> Flow:
    """Returns the flow from a vorticity `(ny, nx)` at the first of `times`, stored at all of them.

    Row j, column i of a grid is the point (x, y) = (i Lx / nx, j Ly / ny), `lengths` are (Lx, Ly). `forcing`
    is f: None, an array `(ny, nx)`, or a function of x, y and t in `jax.numpy`. `dt` is the longest time
    step; if it is None, steps follow the velocity at the last stored time (Courant number 0.4). Steps are
    shortened to end at the stored times. Modes above two thirds of the highest are dropped at once.

    Raises `CompileError` for grids below 4, times that do not ascend, and vorticity or forcing that have a
    mean, which a periodic velocity cannot have; `NumericsError` (E_NAN_INF) if the flow blows up.

    >>> x = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> vortices = 2 * np.cos(x) * np.cos(x[:, None])
    >>> flow = solve(vortices, viscosity=0.5, times=[0.0, 1.0])
    >>> print((flow.vorticity[1, 0, 0] / vortices[0, 0]).round(6), np.exp(-1.0).round(6))
    0.367879 0.367879
    """
    start = _require_grid("vorticity0", vorticity0)
    times = _require_times(times)
    width, height = _require_pair("lengths", lengths)
    lengths = (
        require_positive("solve", "lengths[0]", width),
        require_positive("solve", "lengths[1]", height),
    )
    mean = _require_pair("mean_velocity", mean_velocity)
    viscosity = require_number("solve", "viscosity", viscosity, least=0.0)
    drag = require_number("solve", "drag", drag, least=0.0)
    longest = math.inf if dt is None else require_positive("solve", "dt", dt)
    function = forcing if callable(forcing) else None
    force = np.zeros_like(start)
    if forcing is not None and function is None:
        force = _require_grid("forcing", forcing, start.shape)
    # Real arrays meet complex ones here, which strict promotion forbids.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        setting = _setting(start.shape, lengths, viscosity, drag, mean, force, longest)
        if function is not None:
            _require_function(function, setting, times[0])
        spectra = [np.asarray(setting.keep * jnp.fft.rfft2(jnp.asarray(start)))]
        for begin, end in zip(times[:-1], times[1:], strict=True):
            spectra.append(np.asarray(_run(function, setting, spectra[-1], begin, end)))
            _require_finite(spectra[-1], end)
    return Flow(times, np.stack(spectra), start.shape, lengths, viscosity, mean)


def _setting(
    shape: tuple[int, int],
    lengths: tuple[float, float],
    viscosity: float,
    drag: float,
    mean: tuple[float, float],
    force: np.ndarray,
    longest: float,
) -> _Setting:
    ny, nx = shape
    along_x, along_y = derivative_factors(shape, lengths)
    square = -(along_x * along_x + along_y * along_y).real
    inverse = 1 / np.where(square == 0, np.inf, square)
    linear = -viscosity * square - drag - (mean[0] * along_x + mean[1] * along_y)
    x = np.broadcast_to(lengths[0] / nx * np.arange(nx), shape)
    y = np.broadcast_to(lengths[1] / ny * np.arange(ny)[:, None], shape)
    spacing = np.array([lengths[0] / nx, lengths[1] / ny])
    arrays = (along_x, along_y, inverse, retained(shape), linear, force, x, y, spacing)
    return _Setting(*(jnp.asarray(a) for a in (*arrays, np.array(mean), np.array(longest))))


def _nonlinear(
    function: Callable[..., Any] | None, s: _Setting, spectrum: Any, time: Any
) -> jax.Array:
    """-u . grad omega + f, as a spectrum without the modes above two thirds."""
    u, v = _velocity(s, spectrum)
    gradient = (_to_grid(s, s.along_x * spectrum), _to_grid(s, s.along_y * spectrum))
    force = s.force if function is None else function(s.x, s.y, time)
    return s.keep * jnp.fft.rfft2(force - u * gradient[0] - v * gradient[1])


def _velocity(s: _Setting, spectrum: Any) -> tuple[jax.Array, jax.Array]:
    stream = s.inverse * spectrum
    return _to_grid(s, s.along_y * stream), -_to_grid(s, s.along_x * stream)


def _to_grid(s: _Setting, spectrum: Any) -> jax.Array:
    return jnp.fft.irfft2(spectrum, s.x.shape)


@partial(jax.jit, static_argnums=0)
def _run(
    function: Callable[..., Any] | None, s: _Setting, spectrum: Any, begin: Any, end: Any
) -> jax.Array:
    """The spectrum at the end of an interval from that at its beginning."""
    count = _count_steps(function, s, spectrum, begin, end)
    step = (end - begin) / count
    c = exponential.coefficients(s.linear, step, jnp)

    def advance(k: Any, a: Any) -> Any:
        return exponential.advance(c, partial(_nonlinear, function, s), a, begin + k * step, step)

    spectrum = jax.lax.fori_loop(0, count.astype(int), advance, spectrum)
    # The mean of the vorticity is zero and would otherwise grow out of rounding.
    return spectrum.at[0, 0].set(0)


def _count_steps(
    function: Callable[..., Any] | None, s: _Setting, spectrum: Any, begin: Any, end: Any
) -> jax.Array:
    u, v = _velocity(s, spectrum)
    force = s.force if function is None else function(s.x, s.y, begin)
    speed = jnp.stack([jnp.max(jnp.abs(u)), jnp.max(jnp.abs(v))]) + jnp.abs(s.mean)
    # A flow at rest is set in motion within the root of 1 / f.
    rate = jnp.sum(speed / s.spacing) + jnp.sqrt(jnp.max(jnp.abs(force)))
    followed = jnp.minimum((end - begin) * rate / COURANT, MOST_STEPS)
    count = jnp.where(jnp.isinf(s.longest), followed, (end - begin) / s.longest)
    # The least excess over a whole number is rounding.
    return jnp.maximum(jnp.ceil(count * (1 - 1e-12)), 1)


def _require_grid(name: str, values: Any, shape: tuple[int, int] | None = None) -> np.ndarray:
    grid = require_reals("solve", f"values of {name}", values)
    if grid.ndim != 2 or min(grid.shape) < 4 or (shape is not None and grid.shape != shape):
        wanted = "(ny, nx) with at least 4 points along each" if shape is None else str(shape)
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"solve: {name} has the shape {grid.shape}, not {wanted}.",
            hints="rows of the grid have equal y, columns equal x",
        )
    if not np.isfinite(grid).all():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"solve: {name} has {int((~np.isfinite(grid)).sum())} values that are not finite.",
            hints="check the formula it is made with",
        )
    mean, largest = float(grid.mean()), float(np.abs(grid).max())
    # Rounding of float32.
    if abs(mean) > 1e-6 * largest:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"solve: {name} has the mean {mean:g}; it must be zero in a periodic box.",
            hints=f"subtract the mean of {name}",
        )
    return grid


def _require_finite(spectrum: np.ndarray, time: float) -> None:
    if not np.isfinite(spectrum).all():
        raise NumericsError(
            Code.E_NAN_INF,
            f"solve: the flow is not finite at t = {time:g}.",
            hints="shorten dt, refine the grid or raise the viscosity",
        )


def _require_pair(name: str, values: Any) -> tuple[float, float]:
    pair = require_reals("solve", name, values)
    if pair.shape != (2,) or not np.isfinite(pair).all():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"solve: {name} is {values!r}, not two finite numbers, for x and for y.",
            hints=f"pass {name} as a tuple",
        )
    return float(pair[0]), float(pair[1])


def _require_times(times: Any) -> np.ndarray:
    times = require_reals("solve", "times", times)
    ascending = times.ndim == 1 and len(times) > 0 and bool((np.diff(times) > 0).all())
    if not ascending or not np.isfinite(times).all():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"solve: times of shape {times.shape} are not finite numbers that ascend.",
            hints="pass the start first, np.linspace(0, 1, 11) say",
        )
    return times


def _require_function(function: Callable[..., Any], s: _Setting, time: float) -> None:
    shape = jax.eval_shape(function, s.x, s.y, jnp.asarray(time)).shape
    if shape != s.x.shape:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"solve: forcing returns the shape {shape}, not {s.x.shape} like x and y.",
            hints="compute it from x, y and t, all with jax.numpy",
        )
