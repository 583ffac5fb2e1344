"""Tessera's Laplacian and training step against plain JAX, interleaved in this very process.

The training step is the gradient of the mean squared Poisson residual with respect to the parameters of a
tanh network. All three candidates compute the same numbers; only the way to the derivatives differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tessera import pde
from tessera.autotune.measure import Ratio, interleave
from tessera.core.errors import Code, NumericsError
from tessera.pinn.networks import MLP

OURS, HESSIAN, NESTED = "tessera", "jax.hessian", "nested jax.grad"

# Relative L2 distance that float32 rounding explains in second derivatives through several layers.
AGREEMENT = 1e-3

# (scalar field, points (n, d)) -> its Laplacian, (n,).
Laplacian = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]
# (network, points) -> what is timed.
Candidate = Callable[[MLP, jax.Array], Any]


@dataclass(frozen=True)
class Size:
    """What is timed: points `(points, dimensions)`, hidden layers, and rounds of measurement."""

    dimensions: int
    points: int
    layers: tuple[int, ...]
    rounds: int


@dataclass(frozen=True)
class Row:
    """Seconds per call by wall clock, and how many times faster Tessera is than each way of plain JAX."""

    name: str
    seconds: dict[str, float]
    speedup: dict[str, Ratio]


def compare(size: Size) -> list[Row]:
    """Returns the rows of the comparison: the Laplacian, then the training step, in float32.

    Raises `NumericsError` (E_NAN_INF) if the candidates do not agree, because their times would then
    compare different things.
    """
    key = jax.random.key(0)
    network = MLP(size.dimensions, size.layers, 1, key=key)
    points = jax.random.uniform(key, (size.points, size.dimensions), jnp.float32, -1, 1)
    label = f"d={size.dimensions}, {size.points} points"
    return [
        _row(f"Laplacian, {label}", LAPLACIANS, network, points, size.rounds),
        _row(f"training step, {label}", TRAINING_STEPS, network, points, size.rounds),
    ]


def _row(
    name: str,
    candidates: dict[str, Candidate],
    network: MLP,
    points: jax.Array,
    rounds: int,
) -> Row:
    compiled = {key: jax.jit(candidate) for key, candidate in candidates.items()}
    results = {key: run(network, points) for key, run in compiled.items()}
    for other in (HESSIAN, NESTED):
        _require_agreement(name, other, results[OURS], results[other])
    timings = interleave(
        {key: partial(run, network, points) for key, run in compiled.items()}, rounds=rounds
    )
    return Row(
        name,
        {key: timings.median(key) for key in candidates},
        {other: timings.speedup(OURS, over=other) for other in (HESSIAN, NESTED)},
    )


def _laplacian(way: Laplacian, network: MLP, points: jax.Array) -> jax.Array:
    return way(_scalar(network), points)


def _loss(way: Laplacian, network: MLP, points: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(way(_scalar(network), points) - 1))


def _loss_by_tessera(network: MLP, points: jax.Array) -> jax.Array:
    return pde.mean_square(lambda part: _by_tessera(_scalar(network), part) - 1, points)


def _scalar(network: MLP) -> Callable[[jax.Array], jax.Array]:
    return lambda point: network(point)[0]


def _by_tessera(u: Callable[[jax.Array], jax.Array], points: jax.Array) -> jax.Array:
    return pde.laplacian(u)(points)


def _by_hessian(u: Callable[[jax.Array], jax.Array], points: jax.Array) -> jax.Array:
    return jax.vmap(lambda point: jnp.trace(jax.hessian(u)(point)))(points)


def _by_nested_gradients(u: Callable[[jax.Array], jax.Array], points: jax.Array) -> jax.Array:
    def second(point: jax.Array, axis: int) -> jax.Array:
        return jax.grad(lambda at: jax.grad(u)(at)[axis])(point)[axis]

    def at_point(point: jax.Array) -> jax.Array:
        return jnp.sum(jnp.stack([second(point, axis) for axis in range(point.size)]))

    return jax.vmap(at_point)(points)


LAPLACIANS: dict[str, Candidate] = {
    OURS: partial(_laplacian, _by_tessera),
    HESSIAN: partial(_laplacian, _by_hessian),
    NESTED: partial(_laplacian, _by_nested_gradients),
}
TRAINING_STEPS: dict[str, Candidate] = {
    OURS: jax.value_and_grad(_loss_by_tessera),
    HESSIAN: jax.value_and_grad(partial(_loss, _by_hessian)),
    NESTED: jax.value_and_grad(partial(_loss, _by_nested_gradients)),
}


def _require_agreement(name: str, other: str, ours: Any, theirs: Any) -> None:
    (found, _), (expected, _) = ravel_pytree(ours), ravel_pytree(theirs)
    distance = float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))
    if not distance < AGREEMENT:
        raise NumericsError(
            Code.E_NAN_INF,
            f"{name}: tessera and {other} differ by {distance:.1e}, allowed {AGREEMENT:.0e}.",
            hints="run the tests of tessera.pde on this machine",
        )
