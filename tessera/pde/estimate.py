"""Laplacians in many dimensions from random directions, with their standard errors.

    Hutchinson    E v v^T = I           Delta u   = E D^2 u[v, v]          v of signs, or normal
                  E v v v v             Delta^2 u = E D^4 u[v, v, v, v] / 3            v normal
    STDE          coordinates i drawn   Delta u   = d E u_ii,   Delta^2 u = d^2 E u_iijj

(M. F. Hutchinson, Comm. Stat. Sim. Comp. 19, 1990; Shi et al., "Stochastic Taylor Derivative Estimator",
arXiv:2412.00088). Every derivative along a direction is exact, by Taylor mode.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.pde.checks import (
    Contract,
    forward_derivatives,
    require_callable,
    require_points,
    require_vector,
    trace,
)
from tessera.pde.chunks import LAYER_BYTES, choose_chunk, map_points, widest_layer
from tessera.pde.evaluate import one_point
from tessera.pde.plan import Plan, plan, symbol
from tessera.pde.series import derivatives_at

FUNCTION = Contract("u", takes="one point", returns="a scalar or (k,)")

# Directions that go through the network together; more follow in turn.
DIRECTIONS_AT_ONCE = 8


class Estimate(NamedTuple):
    """An estimate and its standard error, arrays of one shape."""

    value: jax.Array
    error: jax.Array


@dataclass(frozen=True)
class _Draw:
    """Random directions `(samples, coordinates, d)`, and the factor from derivatives along them to a sample.

    A derivative is `orders` times along the `coordinates` directions of one sample. `left` is the part of
    the variance that is left as the samples are not drawn twice.
    """

    directions: jax.Array
    orders: tuple[int, ...]
    factor: float
    left: float = 1.0


def estimate(
    u: Callable[[jax.Array], jax.Array],
    operator: str = "laplacian",
    *,
    samples: int,
    key: Any,
    method: str = "hutchinson",
    chunk_size: int | None = None,
) -> Callable[[jax.Array], Estimate]:
    """Returns the function that estimates the Laplacian of `u` at points, or its "biharmonic".

    `u` maps one point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to an `Estimate` of
    arrays `(...)` or `(..., k)`. Unbiased; its error is the standard error of the mean of `samples`
    directions, drawn from `key` and shared by all points. `method` is "hutchinson", or "stde", which draws
    coordinates (of the Laplacian without repetition: with `samples` = d it is exact). The cost grows with
    `samples`, not with d. Otherwise as `laplacian`.

    Raises `CompileError` for an unknown operator or method, fewer than two samples, or more coordinates to
    draw than there are.

    >>> points = jnp.ones((2, 100))
    >>> found = estimate(lambda x: jnp.sum(x**2), samples=4, key=jax.random.key(0))(points)
    >>> found.value.tolist(), found.error.tolist()
    ([200.0, 200.0], [0.0, 0.0])
    """
    require_callable("estimate", u, FUNCTION)
    count = as_integer("estimate", "samples", samples)
    if count < 2:
        raise _invalid(f"samples is {count}", "an error needs two or more")
    draw = _DRAWS.get((method, operator))
    if draw is None:
        known = ", ".join(f"{m} of {o}" for m, o in _DRAWS)
        raise _invalid(f"no estimate of {operator!r} by method {method!r}", f"there is {known}")

    def at_points(points: jax.Array) -> Estimate:
        points = require_points("estimate", points)
        *lead, d = points.shape
        network, shape = trace("estimate", u, FUNCTION, one_point(points))
        require_vector("estimate", shape)
        drawn = draw(key, count, d, points.dtype)
        directions = compat.varying_like(drawn.directions, one_point(points))

        def at_point(point: jax.Array) -> tuple[jax.Array, jax.Array]:
            return _at_point(network, drawn, directions, point)

        total, rows = math.prod(lead), 8 * DIRECTIONS_AT_ONCE
        chunk = choose_chunk(
            "estimate", chunk_size, total, rows * widest_layer(network.jaxpr), LAYER_BYTES
        )
        with forward_derivatives("estimate"):
            if not lead:
                return Estimate(*at_point(points))
            found = map_points(at_point, (points.reshape(total, d),), chunk)
        return Estimate(*(x.reshape(*lead, *x.shape[1:]) for x in found))

    return at_points


def _at_point(
    network: ClosedJaxpr, drawn: _Draw, directions: jax.Array, point: jax.Array
) -> tuple[jax.Array, jax.Array]:
    count, _, d = directions.shape
    found = []
    for start in range(0, count, DIRECTIONS_AT_ONCE):
        part = directions[start : start + DIRECTIONS_AT_ONCE]
        made = _plan_of(part.shape[0], drawn.orders)
        found += derivatives_at(network, made, point, part.reshape(-1, d))
    each = jnp.stack(found) * drawn.factor
    mean = jnp.mean(each, axis=0, keepdims=True)
    spread = jnp.sum((each - mean) ** 2, axis=0) / (count - 1)
    return mean[0], jnp.sqrt(spread * (drawn.left / count))


def _plan_of(count: int, orders: tuple[int, ...]) -> Plan:
    """Each of some samples differentiated along its own directions."""
    width = len(orders)

    def one(i: int) -> tuple[int, ...]:
        return (0,) * (i * width) + orders + (0,) * ((count - 1 - i) * width)

    return plan(count * width, tuple(symbol({one(i): 1}) for i in range(count)))


def _signs(key: Any, count: int, d: int, dtype: Any) -> _Draw:
    return _Draw(jax.random.rademacher(key, (count, 1, d), dtype), (2,), 1.0)


def _normal(key: Any, count: int, d: int, dtype: Any) -> _Draw:
    return _Draw(jax.random.normal(key, (count, 1, d), dtype), (4,), 1 / 3)


def _coordinates(key: Any, count: int, d: int, dtype: Any) -> _Draw:
    if count > d:
        raise _invalid(
            f"{count} samples of {d} coordinates", f"samples={d} is exact, as is pde.laplacian"
        )
    chosen = jax.random.permutation(key, d)[:count]
    units = jnp.eye(d, dtype=dtype)[chosen][:, None]
    return _Draw(units, (2,), float(d), left=1 - count / d)


def _pairs(key: Any, count: int, d: int, dtype: Any) -> _Draw:
    chosen = jax.random.randint(key, (count, 2), 0, d)
    return _Draw(jnp.eye(d, dtype=dtype)[chosen], (2, 2), float(d * d))


_DRAWS = {
    ("hutchinson", "laplacian"): _signs,
    ("hutchinson", "biharmonic"): _normal,
    ("stde", "laplacian"): _coordinates,
    ("stde", "biharmonic"): _pairs,
}


def _invalid(problem: str, hint: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"estimate: {problem}.", hints=hint)
