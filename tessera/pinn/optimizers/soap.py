"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner, as an optax transformation.

    N. Vyas, D. Morwani, R. Zhao, I. Shapira, D. Brandfonbrener, L. Janson, S. Kakade,
    SOAP: Improving and Stabilizing Shampoo using Adam, arXiv 2409.11321 (2024), algorithms 3 and 4

For a matrix of parameters with gradient G, whose running averages of G G^T and G^T G are L and R:

    M = b1 M + (1 - b1) G                 in the parameters' own basis
    V = b2 V + (1 - b2) (Q_L^T G Q_R)^2   in the eigenbases Q_L of L and Q_R of R
    step = -rate * Q_L ((Q_L^T M Q_R) / (sqrt(V) + eps)) Q_R^T

with Adam's corrections of M and V for their zero start. Every few steps the bases follow by one power
iteration, Q = qr(L Q). The first gradient only begins L and R, whose eigenvectors are then taken in full; the
parameters stay. Vectors and scalars have no bases: they take Adam's steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tessera.training.apply import load_optax

HIGHEST = jax.lax.Precision.HIGHEST


class SoapState(NamedTuple):
    """The number of gradients seen, and for every array its averages and bases."""

    seen: jax.Array
    leaves: Any


class Leaf(NamedTuple):
    """The averages of one array; `sides` has the average and the basis of each side that turns."""

    mean: jax.Array
    square: jax.Array
    sides: tuple[Any, ...]


class Side(NamedTuple):
    """The running average of `G G^T` for one side of a matrix, and its eigenvectors, in columns."""

    average: jax.Array
    basis: jax.Array


def soap(
    learning_rate: float | Callable[[Any], Any],
    *,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    frequency: int = 10,
    largest: int = 10000,
) -> Any:
    """Returns SOAP as an `optax.GradientTransformation`; `learning_rate` is a number or a schedule.

    `frequency` is the number of steps from one turn of the bases to the next; a side of a matrix longer than
    `largest` keeps its own basis. Arrays of more than two axes are matrices of their last axis. Needs optax.

    >>> rule = soap(0.1)
    >>> weights = jnp.ones((2, 3))
    >>> state = rule.init(weights)
    >>> updates, state = rule.update(jnp.eye(2, 3), state)
    >>> float(jnp.abs(updates).max()), int(state.seen)
    (0.0, 1)
    """
    optax = load_optax()

    def init(params: Any) -> SoapState:
        leaves = jax.tree.map(lambda x: _begin(x, largest), params)
        return SoapState(jnp.zeros((), jnp.int32), leaves)

    def update(updates: Any, state: SoapState, params: Any = None) -> tuple[Any, SoapState]:
        del params
        rate = learning_rate(state.seen) if callable(learning_rate) else learning_rate

        def of_leaf(gradient: jax.Array, leaf: Leaf) -> tuple[jax.Array, Leaf]:
            flat = gradient.reshape(leaf.mean.shape)
            step, leaf = jax.lax.cond(
                state.seen == 0,
                lambda: (jnp.zeros_like(flat), _first(flat, leaf, b2)),
                lambda: _later(flat, leaf, state.seen, (b1, b2, eps), frequency),
            )
            return (-jnp.asarray(rate, step.dtype) * step).reshape(gradient.shape), leaf

        gradients, structure = jax.tree.flatten(updates)
        leaves = structure.flatten_up_to(state.leaves)
        both = [of_leaf(g, leaf) for g, leaf in zip(gradients, leaves, strict=True)]
        steps, leaves = (structure.unflatten(list(x)) for x in zip(*both, strict=True))
        return steps, SoapState(state.seen + 1, leaves)

    return optax.GradientTransformation(init, update)


def _begin(x: jax.Array, largest: int) -> Leaf:
    shape = (-1, x.shape[-1]) if x.ndim > 1 else (-1,)
    zeros = jnp.zeros_like(x).reshape(shape)
    sizes = zeros.shape if zeros.ndim == 2 else ()
    sides = tuple(
        Side(jnp.zeros((n, n), x.dtype), jnp.eye(n, dtype=x.dtype)) if n <= largest else None
        for n in sizes
    )
    return Leaf(zeros, zeros, sides)


def _first(gradient: jax.Array, leaf: Leaf, b2: float) -> Leaf:
    """Begins the averages of the sides with a gradient, and takes their eigenvectors."""
    averages = _averaged(gradient, leaf.sides, b2)
    sides = tuple(
        None if side is None else Side(side.average, jnp.linalg.eigh(side.average)[1])
        for side in averages
    )
    return leaf._replace(sides=sides)


def _later(
    gradient: jax.Array,
    leaf: Leaf,
    count: jax.Array,
    rates: tuple[float, float, float],
    frequency: int,
) -> tuple[jax.Array, Leaf]:
    """The direction of a step in Adam's scale, and the averages and bases after it."""
    b1, b2, eps = rates
    mean = b1 * leaf.mean + (1 - b1) * gradient
    square = b2 * leaf.square + (1 - b2) * _turned(gradient, leaf.sides) ** 2
    steps = count.astype(gradient.dtype)
    unbiased = _turned(mean, leaf.sides) / (1 - b1**steps)
    scaled = unbiased / (jnp.sqrt(square / (1 - b2**steps)) + eps)
    averages = _averaged(gradient, leaf.sides, b2)
    sides = jax.lax.cond(count % frequency == 0, _followed, lambda sides: sides, averages)
    return _turned_back(scaled, leaf.sides), Leaf(mean, square, sides)


def _averaged(gradient: jax.Array, sides: tuple[Any, ...], b2: float) -> tuple[Any, ...]:
    found = []
    for side, rows in zip(sides, (gradient, gradient.T), strict=False):
        own = jnp.dot(rows, rows.T, precision=HIGHEST) if side is not None else None
        found.append(
            None
            if side is None or own is None
            else side._replace(average=b2 * side.average + (1 - b2) * own)
        )
    return tuple(found)


def _followed(sides: tuple[Any, ...]) -> tuple[Any, ...]:
    """One power iteration: the eigenvectors of an average that has changed a little."""
    return tuple(
        None
        if side is None
        else side._replace(
            basis=jnp.linalg.qr(jnp.dot(side.average, side.basis, precision=HIGHEST))[0]
        )
        for side in sides
    )


def _turned(matrix: jax.Array, sides: tuple[Any, ...]) -> jax.Array:
    """A matrix in the bases of its sides."""
    for axis, side in enumerate(sides):
        if side is not None:
            rows = jnp.moveaxis(matrix, axis, 0)
            turned = jnp.dot(side.basis.T, rows, precision=HIGHEST)
            matrix = jnp.moveaxis(turned, 0, axis)
    return matrix


def _turned_back(matrix: jax.Array, sides: tuple[Any, ...]) -> jax.Array:
    for axis, side in enumerate(sides):
        if side is not None:
            rows = jnp.moveaxis(matrix, axis, 0)
            turned = jnp.dot(side.basis, rows, precision=HIGHEST)
            matrix = jnp.moveaxis(turned, 0, axis)
    return matrix
