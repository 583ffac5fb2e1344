"""Derivatives along coordinates of functions that act on each of many points alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import compat
from tessera.pde.checks import forward_derivatives
from tessera.pde.operators import laplacian

# From points `(..., d)` to values `(..., *components)`, row by row.
Function = Callable[[jax.Array], jax.Array]


def along(function: Function, column: int) -> Function:
    """Returns the derivative along a coordinate of a function that acts on each point alone."""

    def of_points(points: jax.Array) -> jax.Array:
        d = points.shape[-1]
        one = jnp.asarray(np.eye(d)[column], points.dtype)
        direction = jnp.broadcast_to(one.reshape((1,) * (points.ndim - 1) + (d,)), points.shape)
        with forward_derivatives("grad"):
            return jax.jvp(function, (points,), (_varying_like(direction, points),))[1]

    return of_points


def _varying_like(x: jax.Array, like: jax.Array) -> jax.Array:
    axes = tuple(sorted(compat.varying_axes(like) - compat.varying_axes(x)))
    return jax.lax.pcast(x, axes, to="varying") if axes else x


def laplacian_along(function: Function, columns: tuple[int, ...]) -> Function:
    """Returns the sum of second derivatives along coordinates, of such a function."""

    def of_points(points: jax.Array) -> jax.Array:
        *lead, d = points.shape
        ones = (1,) * len(lead)

        # A product with units: exact in full precision, and what the forward Laplacian stacks cheaply.
        units = jnp.asarray(np.eye(d)[list(columns)], points.dtype)
        rest = jnp.asarray(1 - np.eye(d)[list(columns)].sum(0), points.dtype)

        def at_point(point: jax.Array) -> jax.Array:
            def of_chosen(chosen: jax.Array) -> jax.Array:
                mixed = jnp.dot(chosen, units, precision=jax.lax.Precision.HIGHEST) + point * rest
                return function(mixed.reshape(*ones, d)).ravel()

            return laplacian(of_chosen)(point[np.array(columns)])

        values = jax.vmap(at_point)(points.reshape(-1, d))
        return values.reshape(*lead, *jax.eval_shape(function, points).shape[len(lead) :])

    return of_points
