"""The Poisson equation in an L, whose inner corner makes the gradient of the solution infinite."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.pinn.constraints import Chain, Dirichlet
from tessera.pinn.geometry import l_shape
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import l_shape as reference
from tessera.pinn.resampling import Resample
from tessera.pinn.sampling import Interior
from tessera.pinn.scalar_fields import fields, value

DOMAIN = l_shape()
# The direction into the L from its corner, between the edges at 0 and at 3 pi / 2.
MIDDLE = 0.75 * math.pi
# What remains of the enriched residual is largest at the corners.
RESAMPLE = Resample(every=10, adaptive=("interior",))


def problem(
    *,
    enriched: bool = True,
    widths: tuple[int, ...] = (20, 20),
    interior: int = 1500,
    iterations: int = 80,
) -> Problem:
    """Returns -(u_xx + u_yy) = 1 in [-1, 1]^2 without its quarter x > 0 > y, with u = 0 on the boundary.

    Near the inner corner u is a series in r^(2 k / 3) sin(2 k theta / 3), so no smooth network comes close.
    With `enriched` it is given the singularity: u is `vanishing` times a network of x, y and both parts of
    z^(2/3), z = x + i y, in which the singular terms are polynomials. Without, u is the mean value distance
    to the boundary times a network of x and y. Both are zero on the boundary. With enrichment more
    points are drawn where the residual is large; without, they would all go to the corner, where it has no
    bound. Lengths are in L, u in L^2.

    >>> [term.name for term in problem(enriched=False).terms]
    ['equation']
    """
    return Problem(
        name="l_shape",
        title="Poisson equation in an L",
        coordinates=("x", "y"),
        samplers={"interior": Interior(DOMAIN, interior)},
        terms=(Term("equation", equation, unit="1"),),
        network=partial(_enriched if enriched else _plain, widths),
        fields=fields,
        grid=(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=10),),
        resample=RESAMPLE if enriched else None,
        truth=reference.solution,
        inside=reference.inside,
        targets={"u": 5e-4 if enriched else 0.1},
        units={"x": "L", "y": "L", "u": "L^2"},
        source=(
            "L. Fox, P. Henrici, C. B. Moler, SIAM J. Numer. Anal. 4 (1967) 89-102; singular functions as in "
            "G. Strang, G. Fix, An Analysis of the Finite Element Method (1973), chapter 8."
        ),
    )


def equation(model: Any, at: pde.Field) -> pde.Field:
    """Returns the residual u_xx + u_yy + 1 at points (x, y)."""
    return pde.laplacian(value(model, at)) + 1.0


def corner(points: Any) -> tuple[jax.Array, jax.Array]:
    """Returns the real and the imaginary part of z^(2/3) at points `(..., 2)`, each `(...)`.

    The angle runs from 0 on the edge along x to 3 pi / 2 on the edge along -y; the imaginary part,
    r^(2/3) sin(2 theta / 3), is zero on both and positive between them.

    >>> print(*(f"{part:.3f}" for part in corner(jnp.array([-8.0, 0.0]))))
    -2.000 3.464
    """
    x, y = points[..., 0], points[..., 1]
    along = x * math.cos(MIDDLE) + y * math.sin(MIDDLE)
    across = y * math.cos(MIDDLE) - x * math.sin(MIDDLE)
    squares = x * x + y * y
    away = squares > 0
    # The derivatives at the corner itself are infinite.
    radius = jnp.where(away, jnp.where(away, squares, 1) ** (1 / 3), 0)
    angle = jnp.arctan2(across, jnp.where(away, along, 1)) + MIDDLE
    return radius * jnp.cos(angle * (2 / 3)), radius * jnp.sin(angle * (2 / 3))


def vanishing(points: Any) -> jax.Array:
    """Returns r^(2/3) sin(2 theta / 3) (1 - x^2) (1 - y^2): zero on the boundary only, singular as u is.

    >>> print(vanishing(jnp.array([[1.0, 0.5], [0.0, 0.0]])))
    [0. 0.]
    """
    x, y = points[..., 0], points[..., 1]
    return corner(points)[1] * (1 - x * x) * (1 - y * y)


def _singular_inputs(points: jax.Array) -> jax.Array:
    real, imaginary = corner(points)
    return jnp.concatenate([points, real[..., None], imaginary[..., None]], axis=-1)


def _enriched(widths: tuple[int, ...], key: Any) -> Dirichlet:
    return Dirichlet(Chain(_singular_inputs, MLP(4, widths, 1, key=key)), vanishing)


def _plain(widths: tuple[int, ...], key: Any) -> Dirichlet:
    return Dirichlet(MLP(2, widths, 1, key=key), DOMAIN.distance)
