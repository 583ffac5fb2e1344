"""Exact solutions of differential equations: each a function of points that gives its fields by name.

The functions here make them, `kovasznay(40.0)` say. What they return maps points `(..., d)`, columns in the
order the docstring names, to a dictionary of arrays `(...)`. NumPy points (or lists) are computed with in
float64; JAX points in their own dtype, under every transformation. Calls with equal parameters return the
same function, so that a jitted caller compiles once.
"""

import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.reference.checks import require_number, require_positive, require_reals

# Points `(..., d)` -> fields `(...)` by name.
Exact = Callable[[Any], dict[str, Any]]

PI = math.pi


@cache
def kovasznay(reynolds: float = 40.0) -> Exact:
    """Returns u, v, p and the stream function psi of the wake behind a grid, at points (x, y).

    u u_x + v u_y = -p_x + (u_xx + u_yy) / Re, the same for v, and u_x + v_y = 0; lengths in grid spacings,
    velocities in units of the mean flow; u = psi_y, v = -psi_x. p vanishes at x = 0.
    Source: L. I. G. Kovasznay, Proc. Camb. Phil. Soc. 44 (1948) 58-62.

    >>> print(kovasznay(40.0)([[0.0, 0.0]])["u"])  # the flow stagnates behind a bar
    [0.]
    """
    reynolds = require_positive("kovasznay", "reynolds", reynolds)
    # Re/2 - sqrt(Re^2/4 + 4 pi^2), without the difference of two nearly equal numbers.
    decay = -4 * PI**2 / (reynolds / 2 + math.sqrt(reynolds**2 / 4 + 4 * PI**2))

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y) = _columns("kovasznay", points, "x y")
        wake, angle = xp.exp(decay * x), 2 * PI * y
        return {
            "u": 1 - wake * xp.cos(angle),
            "v": decay / (2 * PI) * wake * xp.sin(angle),
            "p": (1 - wake * wake) / 2,
            "psi": y - wake * xp.sin(angle) / (2 * PI),
        }

    return fields


@cache
def taylor_green(viscosity: float = 0.01) -> Exact:
    """Returns u, v, p, psi and the vorticity omega of decaying vortices, at points (x, y, t).

    u_t + u u_x + v u_y = -p_x + nu (u_xx + u_yy), the same for v, and u_x + v_y = 0; period 2 pi in x and y;
    u = psi_y, v = -psi_x, omega = v_x - u_y. p has mean zero.
    Source: G. I. Taylor, Phil. Mag. 46 (1923) 671-674.

    >>> print(taylor_green(0.01)([[0.0, 0.0, 0.0]])["omega"])
    [2.]
    """
    viscosity = require_number("taylor_green", "viscosity", viscosity, least=0.0)

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y, t) = _columns("taylor_green", points, "x y t")
        decay = xp.exp(-2 * viscosity * t)
        psi = xp.cos(x) * xp.cos(y) * decay
        return {
            "u": -xp.cos(x) * xp.sin(y) * decay,
            "v": xp.sin(x) * xp.cos(y) * decay,
            "p": -(xp.cos(2 * x) + xp.cos(2 * y)) * decay * decay / 4,
            "psi": psi,
            "omega": 2 * psi,
        }

    return fields


@cache
def poiseuille(viscosity: float = 0.1, gradient: float = 0.8, height: float = 1.0) -> Exact:
    """Returns u, v, p of the flow between walls at y = 0 and y = height, at points (x, y).

    Steady Navier-Stokes; the pressure falls by `gradient` per length, u = gradient y (height - y) / (2 nu).
    Source: G. K. Batchelor, An Introduction to Fluid Dynamics (1967), section 4.2.

    >>> print(poiseuille(viscosity=0.1, gradient=0.8)([[0.0, 0.5]])["u"])
    [1.]
    """
    viscosity = require_positive("poiseuille", "viscosity", viscosity)
    gradient = require_number("poiseuille", "gradient", gradient)
    height = require_positive("poiseuille", "height", height)

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y) = _columns("poiseuille", points, "x y")
        u = gradient / (2 * viscosity) * y * (height - y)
        return {"u": u, "v": xp.zeros_like(u), "p": -gradient * x}

    return fields


@cache
def couette(speed: float = 1.5, height: float = 1.0) -> Exact:
    """Returns u, v, p between a wall at rest (y = 0) and one that moves at `speed` (y = height), at (x, y).

    Steady Navier-Stokes of any viscosity; u = speed y / height, p = 0.
    Source: G. K. Batchelor, An Introduction to Fluid Dynamics (1967), section 4.2.

    >>> print(couette(speed=1.5)([[0.25, 0.5]])["u"])
    [0.75]
    """
    speed = require_number("couette", "speed", speed)
    height = require_positive("couette", "height", height)

    def fields(points: Any) -> dict[str, Any]:
        xp, (_, y) = _columns("couette", points, "x y")
        return {"u": speed / height * y, "v": xp.zeros_like(y), "p": xp.zeros_like(y)}

    return fields


@cache
def beltrami(viscosity: float = 0.1, a: float = PI / 4, d: float = PI / 2) -> Exact:
    """Returns u, v, w, p of an unsteady flow whose vorticity is parallel to it, at points (x, y, z, t).

    Three-dimensional Navier-Stokes with density 1, usually on [-1, 1]^3; every term matters.
    Source: C. R. Ethier and D. A. Steinman, Int. J. Numer. Meth. Fluids 19 (1994) 369-375.

    >>> print(beltrami(0.1)([[0.0, 0.0, 0.0, 0.0]])["u"].round(4))
    [-0.7854]
    """
    viscosity = require_number("beltrami", "viscosity", viscosity, least=0.0)
    a, d = require_number("beltrami", "a", a), require_number("beltrami", "d", d)

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y, z, t) = _columns("beltrami", points, "x y z t")
        decay = xp.exp(-viscosity * d**2 * t)
        grows = [xp.exp(a * s) for s in (x, y, z)]
        # Cyclic: the k-th angle is a times the k-th coordinate plus d times the next.
        sines = [xp.sin(a * s + d * r) for s, r in ((x, y), (y, z), (z, x))]
        cosines = [xp.cos(a * s + d * r) for s, r in ((x, y), (y, z), (z, x))]
        squares, products = 0.0, 0.0
        velocity = []
        for k in range(3):
            after, before = (k + 1) % 3, (k + 2) % 3
            velocity.append(-a * (grows[k] * sines[after] + grows[before] * cosines[k]) * decay)
            squares = squares + grows[k] * grows[k]
            products = products + sines[k] * cosines[before] * grows[after] * grows[before]
        p = -(a**2) / 2 * (squares + 2 * products) * decay * decay
        return dict(zip("uvw", velocity, strict=True)) | {"p": p}

    return fields


@cache
def heat(
    diffusivity: float = 0.05, modes: tuple[tuple[int, float], ...] = ((1, 1.0), (3, 0.5))
) -> Exact:
    """Returns u of heat conduction in a rod whose ends are at zero, at points (x, t) with x in [0, 1].

    u_t = diffusivity u_xx; each `(n, a)` of `modes` adds a exp(-diffusivity (n pi)^2 t) sin(n pi x).
    Source: J. Fourier, Théorie analytique de la chaleur (1822), chapter III.

    >>> print(heat(0.05)([[0.5, 0.0]])["u"])
    [0.5]
    """
    diffusivity = require_number("heat", "diffusivity", diffusivity, least=0.0)
    modes = _require_modes("heat", modes, 2)

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, t) = _columns("heat", points, "x t")
        u = xp.zeros_like(x)
        for n, a in modes:
            u = u + a * xp.exp(-diffusivity * (n * PI) ** 2 * t) * xp.sin(n * PI * x)
        return {"u": u}

    return fields


@cache
def wave(
    speed: float = 1.5,
    modes: tuple[tuple[int, float, float], ...] = ((1, 1.0, 0.0), (2, 0.0, 0.25)),
) -> Exact:
    """Returns u of a string fixed at both ends, at points (x, t) with x in [0, 1].

    u_tt = speed^2 u_xx; each `(n, a, b)` of `modes` adds the standing wave
    sin(n pi x) (a cos(n pi speed t) + b sin(n pi speed t)).
    Source: D. Bernoulli (1753); L. C. Evans, Partial Differential Equations (1998), section 2.4.

    >>> print(wave(1.0, ((1, 1.0, 0.0),))([[0.5, 1.0]])["u"])  # half a period on
    [-1.]
    """
    speed = require_positive("wave", "speed", speed)
    modes = _require_modes("wave", modes, 3)

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, t) = _columns("wave", points, "x t")
        u = xp.zeros_like(x)
        for n, a, b in modes:
            angle = n * PI * speed * t
            u = u + xp.sin(n * PI * x) * (a * xp.cos(angle) + b * xp.sin(angle))
        return {"u": u}

    return fields


@cache
def pulse(speed: float = 1.0, width: float = 0.2) -> Exact:
    """Returns u of a Gaussian released at rest on an unbounded string, at points (x, t).

    u_tt = speed^2 u_xx, u = exp(-x^2 / width^2) and u_t = 0 at t = 0; halves travel to both sides.
    Source: J. d'Alembert (1747); L. C. Evans, Partial Differential Equations (1998), section 2.4.

    >>> print(pulse(speed=1.0, width=0.1)([[0.0, 0.0], [2.0, 2.0]])["u"])
    [1.  0.5]
    """
    speed, width = (
        require_positive("pulse", "speed", speed),
        require_positive("pulse", "width", width),
    )

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, t) = _columns("pulse", points, "x t")
        ahead, behind = (x - speed * t) / width, (x + speed * t) / width
        return {"u": (xp.exp(-ahead * ahead) + xp.exp(-behind * behind)) / 2}

    return fields


@cache
def helmholtz(a1: float = 1.0, a2: float = 4.0, wavenumber: float = 1.0) -> Exact:
    """Returns u and the source q that it needs, at points (x, y), usually on [-1, 1]^2.

    u_xx + u_yy + wavenumber^2 u = q with u = sin(a1 pi x) sin(a2 pi y).
    Source: S. Wang, Y. Teng and P. Perdikaris, SIAM J. Sci. Comput. 43 (2021) A3055-A3081.

    >>> print(helmholtz()([[0.5, 0.125]])["u"])
    [1.]
    """
    a1, a2 = require_number("helmholtz", "a1", a1), require_number("helmholtz", "a2", a2)
    wavenumber = require_number("helmholtz", "wavenumber", wavenumber)
    factor = wavenumber**2 - (a1 * PI) ** 2 - (a2 * PI) ** 2

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y) = _columns("helmholtz", points, "x y")
        u = xp.sin(a1 * PI * x) * xp.sin(a2 * PI * y)
        return {"u": u, "q": factor * u}

    return fields


@cache
def poisson() -> Exact:
    """Returns u = sin(pi x) sin(2 pi y) + x^2 y / 2 and f = u_xx + u_yy, at points (x, y).

    Manufactured; not zero on the edges of the unit square, so that boundary values matter.

    >>> print(poisson()([[0.25, 0.125]])["u"].round(8))
    [0.50390625]
    """

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, y) = _columns("poisson", points, "x y")
        product = xp.sin(PI * x) * xp.sin(2 * PI * y)
        return {"u": product + x * x * y / 2, "f": -5 * PI**2 * product + y}

    return fields


@cache
def burgers_shock(
    viscosity: float = 0.02, speed: float = 0.5, jump: float = 0.4, start: float = -0.25
) -> Exact:
    """Returns u of a shock of height 2 jump that travels at `speed` from `start`, at points (x, t).

    u_t + u u_x = viscosity u_xx; u = speed - jump tanh(jump (x - speed t - start) / (2 viscosity)).
    Source: G. B. Whitham, Linear and Nonlinear Waves (1974), section 4.3.

    >>> print(burgers_shock()([[-0.25, 0.0]])["u"])  # the middle of the shock moves at its speed
    [0.5]
    """
    viscosity = require_positive("burgers_shock", "viscosity", viscosity)
    speed, jump, start = (
        require_number("burgers_shock", name, value)
        for name, value in (("speed", speed), ("jump", jump), ("start", start))
    )

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, t) = _columns("burgers_shock", points, "x t")
        return {"u": speed - jump * xp.tanh(jump / (2 * viscosity) * (x - speed * t - start))}

    return fields


@cache
def burgers_wave(viscosity: float = 0.02, amplitude: float = 0.7, wavenumber: float = PI) -> Exact:
    """Returns u of a decaying periodic wave, at points (x, t).

    u_t + u u_x = viscosity u_xx; u = -2 viscosity phi_x / phi with
    phi = 1 + amplitude exp(-viscosity wavenumber^2 t) cos(wavenumber x), and |amplitude| below 1.
    Source: J. D. Cole, Q. Appl. Math. 9 (1951) 225-236; E. Hopf, Comm. Pure Appl. Math. 3 (1950) 201-230.

    >>> print(burgers_wave()([[0.5, 0.0]])["u"].round(8))
    [0.08796459]
    """
    viscosity = require_positive("burgers_wave", "viscosity", viscosity)
    amplitude = require_number("burgers_wave", "amplitude", amplitude)
    wavenumber = require_number("burgers_wave", "wavenumber", wavenumber)
    if abs(amplitude) >= 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"burgers_wave: amplitude is {amplitude:g}; phi vanishes somewhere unless it is within (-1, 1).",
            hints="choose an amplitude between -1 and 1",
        )

    def fields(points: Any) -> dict[str, Any]:
        xp, (x, t) = _columns("burgers_wave", points, "x t")
        decayed = amplitude * xp.exp(-viscosity * wavenumber**2 * t)
        phi = 1 + decayed * xp.cos(wavenumber * x)
        return {"u": 2 * viscosity * wavenumber * decayed * xp.sin(wavenumber * x) / phi}

    return fields


def _columns(op: str, points: Any, names: str) -> tuple[ModuleType, list[Any]]:
    """The module to compute with, and the coordinates of points `(..., d)`, each `(...)`."""
    on_device = isinstance(points, jax.Array)
    if not on_device:
        points = require_reals(op, "points", points)
    d = len(names.split())
    if points.ndim == 0 or points.shape[-1] != d:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: points have the shape {points.shape}, not (..., {d}).",
            hints=f"the last axis has the coordinates {names.replace(' ', ', ')}",
        )
    return (jnp if on_device else np), [points[..., k] for k in range(d)]


def _require_modes(op: str, modes: Any, length: int) -> tuple[tuple[Any, ...], ...]:
    """Modes as tuples of numbers, the first of each a whole number above zero."""
    for mode in modes:
        numbers = [require_number(op, "a number of modes", value) for value in mode]
        if len(numbers) != length or numbers[0] <= 0 or numbers[0] % 1:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{op}: modes has {mode}; each is {length} numbers, the first a positive integer.",
                hints="a mode is its number of half waves, then its amplitudes",
            )
    return tuple(tuple(mode) for mode in modes)
