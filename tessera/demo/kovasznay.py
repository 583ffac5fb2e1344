"""Kovasznay flow: the wake behind a grid, an exact solution of the steady Navier-Stokes equations.

    (u . grad) u = -grad p + laplacian u / Re        div u = 0

on [-0.5, 1] x [-0.5, 1.5], lengths in grid spacings, velocities in units of the mean flow, Re = 40
(L. I. G. Kovasznay, Proc. Camb. Phil. Soc. 44 (1948) 58-62). The network gives a stream function and a
pressure; the velocity is the turned gradient of the stream function, so its divergence vanishes identically.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from tessera import pde
from tessera.demo import network

REYNOLDS = 40.0
LOWER, UPPER = (-0.5, -0.5), (1.0, 1.5)

# Decay rate of the wake, per grid spacing.
DECAY = REYNOLDS / 2 - math.sqrt(REYNOLDS**2 / 4 + 4 * math.pi**2)

# A scalar or a vector at one point `(2,)`.
Field = Callable[[jax.Array], jax.Array]


def exact_velocity(point: jax.Array) -> jax.Array:
    """Returns the exact velocity `(2,)` at one point `(2,)`.

    >>> print(exact_velocity(jnp.array([0.0, 0.0]))[0])  # the flow stagnates behind a bar
    0.0
    """
    x, y = point
    wake = jnp.exp(DECAY * x)
    across = DECAY / (2 * math.pi) * wake * jnp.sin(2 * math.pi * y)
    return jnp.stack([1 - wake * jnp.cos(2 * math.pi * y), across])


def exact_pressure(point: jax.Array) -> jax.Array:
    """Returns the exact pressure, a scalar, at one point `(2,)`; any constant may be added."""
    return (1 - jnp.exp(2 * DECAY * point[0])) / 2


def fields(params: network.Params) -> tuple[Field, Field]:
    """Returns the stream function and the pressure of a network, each a function of one point."""
    middle = jnp.array([(a + b) / 2 for a, b in zip(LOWER, UPPER, strict=True)])
    half = jnp.array([(b - a) / 2 for a, b in zip(LOWER, UPPER, strict=True)])

    def outputs(point: jax.Array) -> jax.Array:
        return network.evaluate(params, (point - middle) / half)

    return lambda point: outputs(point)[0], lambda point: outputs(point)[1]


def flow(stream: Field) -> Field:
    """Returns the velocity (d stream/dy, -d stream/dx) of a stream function."""

    def velocity(point: jax.Array) -> jax.Array:
        along_x, along_y = pde.grad(stream)(point)
        return jnp.stack([along_y, -along_x])

    return velocity


def momentum(velocity: Field, pressure: Field) -> Field:
    """Returns the residual of the momentum equations, `(2,)` at one point; zero where they hold."""

    def residual(point: jax.Array) -> jax.Array:
        convection = pde.grad(velocity)(point) @ velocity(point)
        friction = pde.laplacian(velocity)(point) / REYNOLDS
        return convection + pde.grad(pressure)(point) - friction

    return residual


def interior_residual(params: network.Params, point: jax.Array) -> jax.Array:
    """Returns the momentum residual `(2,)` of a network at one point."""
    stream, pressure = fields(params)
    return momentum(flow(stream), pressure)(point)


def boundary_residual(params: network.Params, point: jax.Array) -> jax.Array:
    """Returns by how much the velocity of a network misses the exact one at one boundary point, `(2,)`."""
    stream, _ = fields(params)
    return flow(stream)(point) - exact_velocity(point)
