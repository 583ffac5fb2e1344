"""The problems of `tessera.pinn.problems` as the peers get them: velocity and pressure, point by point."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peers import Equation

from tessera.pinn.reference import exact

Fields = Callable[[jax.Array], jax.Array]


def box_edges(
    lower: Any, upper: Any, values: Callable[[np.ndarray], np.ndarray], time: bool = False
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    """Points on the faces of a box, of time only the first, and values there."""
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    faces = [(axis, end) for axis in range(len(lower)) for end in (lower, upper)]
    faces = faces[:-1] if time else faces

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        points = generator.uniform(lower, upper, (n, len(lower)))
        for i, number in enumerate(generator.integers(len(faces), size=n)):
            axis, end = faces[number]
            points[i, axis] = end[axis]
        return points, values(points)

    return draw


def columns(fields: Any, *names: str) -> np.ndarray:
    """Named fields as columns, float64."""
    return np.stack([np.asarray(fields[name], np.float64) for name in names], axis=1)


def flow_residual(u: Fields, x: jax.Array, *, nu: float, steady: bool) -> jax.Array:
    """Momentum and continuity of (u, v, p) at (x, y) or (x, y, t)."""
    value, first = u(x), jax.jacfwd(u)(x)
    second = jax.hessian(u)(x)
    friction = nu * (second[:2, 0, 0] + second[:2, 1, 1])
    momentum = first[:2, :2] @ value[:2] + first[2, :2] - friction
    if not steady:
        momentum = momentum + first[:2, 2]
    return jnp.append(momentum, first[0, 0] + first[1, 1])


def burgers_residual(u: Fields, x: jax.Array) -> jax.Array:
    slope, second = jax.jacfwd(u)(x)[0], jax.hessian(u)(x)[0]
    return (slope[1] + u(x)[0] * slope[0] - 0.01 / np.pi * second[0, 0])[None]


def allen_cahn_residual(u: Fields, x: jax.Array) -> jax.Array:
    value, slope, second = u(x)[0], jax.jacfwd(u)(x)[0], jax.hessian(u)(x)[0]
    return (slope[1] - 1e-4 * second[0, 0] - 5 * (value - value**3))[None]


def poisson_residual(u: Fields, x: jax.Array) -> jax.Array:
    return (jnp.trace(jax.hessian(u)(x)[0]) + 1)[None]


def helmholtz_residual(u: Fields, x: jax.Array) -> jax.Array:
    source = (1 - 17 * np.pi**2) * jnp.sin(np.pi * x[0]) * jnp.sin(4 * np.pi * x[1])
    return (jnp.trace(jax.hessian(u)(x)[0]) + u(x)[0] - source)[None]


def lid(points: np.ndarray) -> np.ndarray:
    """Velocities on the walls of the cavity; the lid moves along x."""
    return np.stack([(points[:, 1] == 1).astype(float), np.zeros(len(points))], axis=1)


def l_shape_edges(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([(-1, -1), (0, -1), (0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1)], float)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    side = generator.choice(6, size=n, p=lengths / lengths.sum())
    along = generator.uniform(size=(n, 1))
    return corners[side] * (1 - along) + corners[side + 1] * along, np.zeros((n, 1))


def time_edges(
    initial: Callable[[np.ndarray], np.ndarray], wall: float
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    """Values at t = 0, and one value at both ends of [-1, 1]."""

    def values(points: np.ndarray) -> np.ndarray:
        start = points[:, 1] == 0
        return np.where(start, initial(points[:, 0]), wall)[:, None]

    return box_edges((-1, 0), (1, 1), values, time=True)


def equations() -> dict[str, Equation]:
    """Returns the equations by the names of the problems."""
    kovasznay, vortices = exact.kovasznay(40.0), exact.taylor_green(0.01)
    box = ((-0.5, -0.5), (1.0, 1.5))
    square, long = ((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0, 0.0), (2 * np.pi, 2 * np.pi, 1.0))
    return {
        "kovasznay": Equation(
            partial(flow_residual, nu=1 / 40, steady=True),
            *box,
            ("u", "v", "p"),
            box_edges(*box, lambda x: columns(kovasznay(x), "u", "v")),
        ),
        "taylor_green": Equation(
            partial(flow_residual, nu=0.01, steady=False),
            *long,
            ("u", "v", "p"),
            box_edges(*long, lambda x: columns(vortices(x), "u", "v"), time=True),
        ),
        "cavity": Equation(
            partial(flow_residual, nu=1 / 100, steady=True),
            *square,
            ("u", "v", "p"),
            box_edges(*square, lid),
        ),
        "burgers": Equation(
            burgers_residual,
            (-1.0, 0.0),
            (1.0, 1.0),
            ("u",),
            time_edges(lambda x: -np.sin(np.pi * x), 0.0),
        ),
        "allen_cahn": Equation(
            allen_cahn_residual,
            (-1.0, 0.0),
            (1.0, 1.0),
            ("u",),
            time_edges(lambda x: x**2 * np.cos(np.pi * x), -1.0),
        ),
        "helmholtz": Equation(
            helmholtz_residual,
            (-1.0, -1.0),
            (1.0, 1.0),
            ("u",),
            box_edges((-1, -1), (1, 1), lambda x: np.zeros((len(x), 1))),
        ),
        "l_shape": Equation(
            poisson_residual,
            (-1.0, -1.0),
            (1.0, 1.0),
            ("u",),
            l_shape_edges,
            keeps=lambda x: ~((x[:, 0] > 0) & (x[:, 1] < 0)),
        ),
    }
