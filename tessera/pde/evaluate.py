"""Derivatives of a network at many points, by the cheapest scheme, some points at a time."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from tessera.core.compat import ClosedJaxpr
from tessera.pde.checks import forward_derivatives, lacks_derivative
from tessera.pde.chunks import LAYER_BYTES, choose_chunk, map_points, widest_layer
from tessera.pde.plan import Symbol
from tessera.pde.schemes import Request, announce, candidates


def derivatives(
    op: str,
    network: ClosedJaxpr,
    points: jax.Array,
    symbols: Sequence[Symbol],
    chunk_size: int | None = None,
    names: Sequence[str] = (),
) -> list[jax.Array]:
    """Returns the derivatives that symbols name of a network of one point `(d,)`, at points `(..., d)`.

    By the cheapest scheme that can differentiate the network. Each is `(..., *shape)` for the network's
    result of that shape. `op` is named in errors, the coordinates' `names` in explanations.
    """
    *lead, d = points.shape
    total = math.prod(lead)
    outputs = max(network.out_avals[0].size, 1)
    request = Request(d, tuple(symbols), tuple(names), outputs)
    failures: list[Exception] = []
    for choice in candidates(network, request):
        at = choice.scheme.at(network, request)
        size = choice.rows * widest_layer(network.jaxpr)
        chunk = choose_chunk(op, chunk_size, total, size, LAYER_BYTES)
        try:
            found = map_points(at, (points.reshape(total, d),), chunk) if lead else at(points)
        except (TypeError, ValueError, NotImplementedError) as error:
            if not lacks_derivative(error):
                raise
            failures.append(error)
            continue
        announce(choice)
        return [x.reshape(*lead, *x.shape[1:]) for x in found] if lead else found
    with forward_derivatives(op):
        raise failures[0]


def one_point(points: jax.Array) -> jax.Array:
    """Returns what has the type of one of some points, also of none and inside `shard_map`."""
    return jnp.sum(points, axis=tuple(range(points.ndim - 1)))
