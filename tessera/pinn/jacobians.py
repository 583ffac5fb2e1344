"""The derivatives of a problem's residuals by the parameters of the model: the Jacobian and its products.

    along            J v                  against     J^T c
    normal_product   J^T J v              jacobian    J, whole
    normal_equations J^T J and J^T r, J never whole

for the Jacobian J `(r, p)` of `residuals.vector`, the parameters in one row. Points go through in chunks.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tessera.pde.chunks import join, split
from tessera.pinn import parameters
from tessera.pinn.problem import Model, Sample
from tessera.pinn.residuals import (
    POINTS_AT_ONCE,
    Batch,
    Objective,
    Rows,
    chunked,
    columns,
    dtype_of,
    even_size,
    loss_and_gradient,
    rows_of,
    scaled_columns,
)

# Most points that go through at once: of Jacobian rows, which should stay in the caches; of Jacobian rows
# that are multiplied with themselves, where a product of few rows is slow.
POINTS_PER_JACOBIAN = 64
POINTS_PER_PRODUCT = 256
# A symmetric product is taken in so many strips: with 4, 10 of its 16 blocks.
STRIPS = 4
# TF32 would leave three digits of a product whose square root is to be solved with.
HIGHEST = jax.lax.Precision.HIGHEST


@eqx.filter_jit
def along(objective: Objective, model: Model, batch: Batch, direction: jax.Array) -> jax.Array:
    """Returns the derivative `(r,)` of the vector along a direction `(p,)` of the parameters, J v."""
    flat, rebuild = _flat(model)
    results = []
    for part in objective.parts:
        rows = rows_of(objective, batch, part)

        def of_chunk(rows: Rows, part: str = part) -> jax.Array:
            function = _of_flat(objective, part, rebuild, rows)
            return jax.jvp(function, (flat,), (direction,))[1]

        slopes = jax.lax.map(of_chunk, chunked(rows, objective.chunk_size or POINTS_AT_ONCE))
        results.append(join(slopes, rows.factors.shape[0]).ravel())
    return jnp.concatenate(results)


@eqx.filter_jit
def against(objective: Objective, model: Model, batch: Batch, cotangent: jax.Array) -> jax.Array:
    """Returns the product `(p,)` of the transposed Jacobian with an array `(r,)` like the vector."""
    flat, rebuild = _flat(model)
    total = jnp.zeros_like(flat)
    begin = 0
    for part in objective.parts:
        rows = rows_of(objective, batch, part)
        shape = jax.eval_shape(partial(scaled_columns, objective, part, model), rows).shape
        own = cotangent[begin : begin + math.prod(shape)].reshape(shape)
        begin += math.prod(shape)
        chunks = chunked(rows, objective.chunk_size or POINTS_AT_ONCE)
        # A filling row has factor zero, so whatever its cotangent is does not count.
        pulled = split(own, chunks.factors.shape[1])

        def add(total: jax.Array, chunk: Any, part: str = part) -> tuple[jax.Array, None]:
            _, pull = jax.vjp(_of_flat(objective, part, rebuild, chunk[0]), flat)
            return total + pull(chunk[1])[0], None

        total, _ = jax.lax.scan(add, total, (chunks, pulled))
    return total


@eqx.filter_jit
def normal_product(
    objective: Objective, model: Model, batch: Batch, direction: jax.Array
) -> jax.Array:
    """Returns `J^T J v` for a direction v, both `(p,)`, in one pass over the chunks."""
    flat, rebuild = _flat(model)
    total = jnp.zeros_like(flat)
    for part in objective.parts:

        def add(total: jax.Array, rows: Rows, part: str = part) -> tuple[jax.Array, None]:
            function = _of_flat(objective, part, rebuild, rows)
            _, slope = jax.jvp(function, (flat,), (direction,))
            _, pull = jax.vjp(function, flat)
            return total + pull(slope)[0], None

        rows = rows_of(objective, batch, part)
        total, _ = jax.lax.scan(add, total, chunked(rows, objective.chunk_size or POINTS_AT_ONCE))
    return total


class NormalEquations(NamedTuple):
    """The vector of residuals r, J^T J and J^T r, for the Jacobian J by the parameters in one row."""

    vector: jax.Array
    matrix: jax.Array
    gradient: jax.Array


@eqx.filter_jit
def normal_equations(objective: Objective, model: Model, batch: Batch) -> NormalEquations:
    """Returns `J^T J` `(p, p)` and `J^T r` `(p,)`, added up over chunks of points: J is never whole.

    The upper triangle of `J^T J` is zero above blocks on its diagonal.
    """
    flat, _ = _flat(model)
    sums = jnp.zeros((flat.size, flat.size), flat.dtype), jnp.zeros_like(flat)
    vectors = []
    for part in objective.parts:
        rows = rows_of(objective, batch, part)

        def add(sums: Any, rows: Rows, part: str = part) -> tuple[Any, jax.Array]:
            values, own = _jacobian_rows(objective, part, model, rows)
            gradient = jnp.dot(own.T, values.ravel(), precision=HIGHEST)
            return (_add_squares(sums[0], own), sums[1] + gradient), values

        sums, values = jax.lax.scan(add, sums, chunked(rows, POINTS_PER_PRODUCT))
        vectors.append(join(values, rows.factors.shape[0]).ravel())
    return NormalEquations(jnp.concatenate(vectors), *sums)


def _add_squares(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    """The matrix with the lower triangle of `rows^T rows` added, in strips: half the work of the whole."""
    size = matrix.shape[0]
    strip = -(-size // STRIPS)
    for begin in range(0, size, strip):
        end = min(begin + strip, size)
        product = jnp.dot(rows[:, begin:end].T, rows[:, :end], precision=HIGHEST)
        matrix = matrix.at[begin:end, :end].add(product)
    return matrix


@eqx.filter_jit
def jacobian(objective: Objective, model: Model, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Returns the vector of residuals `(r,)` and its Jacobian `(r, p)` by the parameters in one row."""
    vectors, matrices = [], []
    for part in objective.parts:
        rows = rows_of(objective, batch, part)
        values, found = _jacobian_rows(objective, part, model, rows)
        vectors.append(values.ravel())
        matrices.append(found)
    return jnp.concatenate(vectors), jnp.concatenate(matrices)


@eqx.filter_jit
def kernel_traces(objective: Objective, model: Model, samples: dict[str, Sample]) -> jax.Array:
    """Returns for each term the mean over its points of the squared norm of its Jacobian rows, `(terms,)`."""
    found: dict[int, jax.Array] = {}
    batch = Batch(samples, tuple(jnp.ones((), dtype_of(samples)) for _ in objective.terms))
    for part in objective.parts:
        rows = rows_of(objective, batch, part)
        alone = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), rows)
        widths = [
            r.shape[1]
            for r in jax.eval_shape(partial(columns, objective, model, part), alone.sample)
        ]

        def of_chunk(rows: Rows, part: str = part) -> jax.Array:
            _, own = _jacobian_rows(objective, part, model, rows)
            return jnp.sum(own.reshape(rows.factors.shape[0], -1, own.shape[1]) ** 2, axis=(0, 2))

        chunks = jax.lax.map(of_chunk, chunked(rows, POINTS_PER_JACOBIAN))
        norms = jnp.split(jnp.sum(chunks, axis=0), list(itertools.accumulate(widths))[:-1])
        for (i, _), own in zip(objective.at(part), norms, strict=True):
            found[i] = jnp.sum(own)
    return jnp.stack([found[i] for i in range(len(objective.terms))])


@eqx.filter_jit
def gradient_norms(objective: Objective, model: Model, samples: dict[str, Sample]) -> jax.Array:
    """Returns for each term the norm of the gradient of its part of the loss, without weights, `(terms,)`."""
    dtype = dtype_of(samples)

    def of_term(term: jax.Array) -> jax.Array:
        places = jnp.arange(len(objective.terms))
        weights = tuple((places == term).astype(dtype))
        _, gradient = loss_and_gradient(objective, model, Batch(samples, weights))
        return jnp.linalg.norm(ravel_pytree(gradient)[0])

    # One compiled gradient for all: the weights of the others are zero.
    return jax.lax.map(of_term, jnp.arange(len(objective.terms)))


def _jacobian_rows(
    objective: Objective, part: str, model: Model, rows: Rows
) -> tuple[jax.Array, jax.Array]:
    """Values `(n, k)` and derivatives `(n k, p)`: one reverse pass for each component of each point."""
    flat, rebuild = _flat(model)
    total = rows.factors.shape[0]

    def at_point(row: Rows) -> tuple[jax.Array, jax.Array]:
        alone = jax.tree.map(lambda x: x[None], row)
        value, pull = jax.vjp(lambda f: _of_flat(objective, part, rebuild, alone)(f)[0], flat)
        (found,) = jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))
        return value, found

    size = even_size(total, POINTS_PER_JACOBIAN)
    chunks = jax.tree.map(lambda x: split(x, size), rows)
    values, found = jax.lax.map(jax.vmap(at_point), chunks)
    return join(values, total), join(found, total).reshape(-1, flat.size)


def _of_flat(
    objective: Objective, part: str, rebuild: Callable[[jax.Array], Model], rows: Rows
) -> Callable[[jax.Array], jax.Array]:
    return lambda flat: scaled_columns(objective, part, rebuild(flat), rows)


def _flat(model: Model) -> tuple[jax.Array, Callable[[jax.Array], Model]]:
    params, rest = parameters.split(model)
    flat, unravel = ravel_pytree(params)
    return flat, lambda f: parameters.join(unravel(f), rest)
