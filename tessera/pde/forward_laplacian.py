"""The forward Laplacian: a network's jaxpr run on jets instead of values."""

import jax

from tessera.core.compat import ClosedJaxpr
from tessera.pde.interpreter import Algebra, interpret
from tessera.pde.jet import Jet, constant, laplacian_or_zeros, seed
from tessera.pde.rules import propagate

JETS = Algebra(constant, propagate)


def laplacian_at(network: ClosedJaxpr, point: jax.Array) -> jax.Array:
    """Returns the Laplacian, summed over the coordinates of one point `(d,)`, of a network's one result.

    >>> import jax.numpy as jnp
    >>> square = jax.make_jaxpr(lambda x: jnp.sum(x * x))(jnp.ones(3))
    >>> print(laplacian_at(square, jnp.ones(3)))
    6.0
    """
    return laplacian_or_zeros(jet_at(network, point))


def jet_at(network: ClosedJaxpr, point: jax.Array, columns: tuple[int, ...] | None = None) -> Jet:
    """Returns a network's one result with its first derivatives and Laplacian along some coordinates.

    Along all of them if none are named.
    """
    (result,) = interpret(JETS, network.jaxpr, network.consts, [seed(point, columns)])
    return result
