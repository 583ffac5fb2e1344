"""A problem's residuals: one vector whose squares add up to the loss, and the loss with its gradient.

    objective = Objective.of(problem)           which residuals, at which sampler's points
    batch = Batch(samples, weights)             the points, and the weight of each term or of each point
    residuals.vector(objective, model, batch)   (r,): sqrt(weight / points) times each residual

Their derivatives by the parameters are in `jacobians`. Terms at the points of one sampler are evaluated
together, so that derivatives they share are taken once. Points go through in chunks: memory is that of one
chunk, and of the results.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.pde.chunks import join, split
from tessera.pde.coordinates import coords
from tessera.pde.field import Field
from tessera.pde.mean_square import mean_square
from tessera.pde.sources import jointly
from tessera.pinn import parameters
from tessera.pinn.problem import Model, Problem, Sample, Term

# Most points that go through at once.
POINTS_AT_ONCE = 1024


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """The points of every sampler, by its name, and for every term a weight: `()`, or `(n,)` by point."""

    samples: dict[str, Sample]
    weights: tuple[Any, ...]


@dataclass(frozen=True)
class Objective:
    """What the loss is made of; equal objectives share their compiled functions.

    `chunk_size` is the number of points that go through at once, None for what suits the platform.
    """

    coordinates: tuple[str, ...]
    terms: tuple[Term, ...]
    chunk_size: int | None = None

    @classmethod
    def of(cls, problem: Problem, chunk_size: int | None = None) -> "Objective":
        """Returns the objective of a problem; raises `E_GRAPH_INVALID` for terms that do not fit it."""
        _require_terms(problem)
        return cls(tuple(problem.coordinates), tuple(problem.terms), chunk_size)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the terms."""
        return tuple(term.name for term in self.terms)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the samplers that terms are on, each once."""
        return tuple(dict.fromkeys(term.on for term in self.terms))

    def at(self, part: str) -> tuple[tuple[int, Term], ...]:
        """Returns the terms on a sampler, with their places among all terms."""
        return tuple((i, term) for i, term in enumerate(self.terms) if term.on == part)

    def weights(self, dtype: Any) -> tuple[jax.Array, ...]:
        """Returns the weights that the terms name, one scalar each."""
        return tuple(jnp.asarray(term.weight, dtype) for term in self.terms)


def columns(objective: Objective, model: Model, part: str, sample: Sample) -> tuple[jax.Array, ...]:
    """Returns the residual `(n, k)` of each term on a sampler, at the points of a sample.

    Raises `CompileError`, naming the term, for arrays that the sample lacks and for residuals that do not
    have one row for each point.
    """
    terms = [term for _, term in objective.at(part)]

    def entries_at(points: jax.Array) -> list[list[jax.Array]]:
        at = coords(points, names=objective.coordinates)
        return [[_array(e) for e in _entries(term, model, at, sample)] for term in terms]

    # What all terms take of one network is found in one pass through it.
    found = jointly(jnp.asarray(sample.points), entries_at)
    arrays = iter([array for entries in found for array in entries])
    points = sample.points.shape[0]
    return tuple(
        jnp.concatenate([_as_columns(term, next(arrays), points) for _ in entries], axis=1)
        for term, entries in zip(terms, found, strict=True)
    )


def _array(entry: Any) -> jax.Array:
    return entry.array if isinstance(entry, Field) else jnp.asarray(entry)


def _entries(term: Term, model: Model, at: Field, sample: Sample) -> tuple[Any, ...]:
    missing = [name for name in term.uses if name not in sample.arrays]
    if missing:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"term {term.name!r}: its sampler {term.on!r} gives no array {', '.join(missing)}; "
            f"it gives: {', '.join(sample.arrays) or 'none'}.",
            hints="`uses` names arrays that the sampler draws with the points",
        )
    result = term.residual(model, at, **{name: sample.arrays[name] for name in term.uses})
    entries = tuple(result) if isinstance(result, list | tuple) else (result,)
    if not entries:
        raise _no_residual(term, "returns an empty sequence")
    return entries


def _as_columns(term: Term, array: jax.Array, points: int) -> jax.Array:
    if array.ndim not in (1, 2) or array.shape[0] != points or array.size == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"term {term.name!r}: the residual has shape {array.shape} for {points} points; "
            f"it must be ({points},) or ({points}, k).",
            hints="return a Field, an array with one row for each point, or a sequence of those",
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"term {term.name!r}: the residual is {array.dtype}, not real floating-point.",
            hints="return real and imaginary parts as columns of their own",
        )
    return array.reshape(points, -1)


def _no_residual(term: Term, problem: str) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"term {term.name!r}: the residual {problem}.",
        hints="return a Field, an array with one row for each point, or a sequence of those",
    )


# ---- values, and the vector made of them ----------------------------------------------------------------


@eqx.filter_jit
def values(objective: Objective, model: Model, samples: dict[str, Sample]) -> tuple[jax.Array, ...]:
    """Returns the residual `(n, k)` of each term at each of its points, chunk by chunk."""
    found: dict[int, jax.Array] = {}
    for part in objective.parts:
        sample = samples[part]
        total = sample.points.shape[0]
        size = even_size(total, objective.chunk_size or POINTS_AT_ONCE)
        chunks = jax.lax.map(
            partial(columns, objective, model, part),
            jax.tree.map(lambda x, size=size: split(x, size), sample),
        )
        for (i, _), own in zip(objective.at(part), chunks, strict=True):
            found[i] = join(own, total)
    return tuple(found[i] for i in range(len(objective.terms)))


@partial(jax.jit, static_argnums=0)
def scaled(
    objective: Objective, residuals: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]
) -> jax.Array:
    """Returns the vector of residuals, in the order of samplers, points, terms, columns."""
    parts = []
    for part in objective.parts:
        own = [
            residuals[i] * _factors(weights[i], residuals[i].shape[0])[:, None]
            for i, _ in objective.at(part)
        ]
        parts.append(jnp.concatenate(own, axis=1).ravel())
    return jnp.concatenate(parts)


def vector(objective: Objective, model: Model, batch: Batch) -> jax.Array:
    """Returns all residuals in one row, each times sqrt(weight / points): the loss is the sum of squares."""
    return scaled(objective, values(objective, model, batch.samples), batch.weights)


def squares(objective: Objective, model: Model, batch: Batch) -> tuple[jax.Array, ...]:
    """Returns for each term the unweighted squared residual at each of its points, `(n,)`."""
    return _squared(values(objective, model, batch.samples))


def mean_squares(objective: Objective, model: Model, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Returns the loss, and for each term the unweighted mean over points of the squared residual."""
    return _means(squares(objective, model, batch), batch.weights)


@jax.jit
def _squared(residuals: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    return tuple(jnp.sum(r * r, axis=1) for r in residuals)


@jax.jit
def _means(
    found: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    parts = [jnp.mean(w * s) for w, s in zip(weights, found, strict=True)]
    return sum(parts[1:], parts[0]), jnp.stack([jnp.mean(s) for s in found])


def _factors(weight: jax.Array, points: int) -> jax.Array:
    """What makes the squares of a term's residuals add up to its part of the loss, `(n,)`."""
    wide = jnp.broadcast_to(weight, (points,))
    return jax.lax.stop_gradient(jnp.sqrt(wide / points))


# ---- scaled residuals of one sampler, in chunks ----------------------------------------------------------


class Rows(NamedTuple):
    """The points of a sampler and the factor `(n, terms)` of each residual, sqrt(weight / n)."""

    sample: Sample
    factors: jax.Array


def rows_of(objective: Objective, batch: Batch, part: str) -> Rows:
    """Returns the points of a sampler and the factors of the residuals of its terms."""
    sample = batch.samples[part]
    points = sample.points.shape[0]
    own = [_factors(batch.weights[i], points) for i, _ in objective.at(part)]
    return Rows(sample, jnp.stack(own, axis=1))


def scaled_columns(objective: Objective, part: str, model: Model, rows: Rows) -> jax.Array:
    """Returns the residuals of all terms on a sampler in columns `(n, k)`, each times its factor."""
    found = columns(objective, model, part, rows.sample)
    return jnp.concatenate([r * rows.factors[:, i : i + 1] for i, r in enumerate(found)], axis=1)


def chunked(rows: Rows, chunk: int) -> Rows:
    """Returns rows in even chunks, `(loops, chunk, ...)`; the factor of what fills the last is zero."""
    total = rows.factors.shape[0]
    size = even_size(total, chunk)
    parts = jax.tree.map(lambda x: split(x, size), rows)
    loops = -(-total // size)
    kept = split(jnp.arange(loops * size) < total, size)
    return parts._replace(factors=jnp.where(kept[..., None], parts.factors, 0))


def even_size(total: int, chunk: int) -> int:
    """Returns the size, at most `chunk`, of the fewest chunks that are as equal as they can be.

    >>> even_size(10, 4)
    4
    >>> even_size(9, 8)
    5
    """
    return math.ceil(total / math.ceil(total / chunk))


def dtype_of(samples: dict[str, Sample]) -> Any:
    """Returns the dtype of the points."""
    return next(iter(samples.values())).points.dtype


# ---- the loss and its gradient ---------------------------------------------------------------------------


def loss(objective: Objective, model: Model, batch: Batch) -> jax.Array:
    """Returns the loss, the sum over terms of weight times the mean over points of the squared residual.

    Its gradient is gathered chunk by chunk, by `pde.mean_square`. Call it inside `jax.jit`.
    """
    total = jnp.zeros((), batch.weights[0].dtype)
    for part in objective.parts:
        rows = rows_of(objective, batch, part)
        residual = partial(scaled_columns, objective, part, model)
        entries = math.prod(jax.eval_shape(residual, rows).shape)
        total = total + mean_square(residual, rows, chunk_size=objective.chunk_size) * entries
    return total


@eqx.filter_jit
def loss_and_gradient(objective: Objective, model: Model, batch: Batch) -> tuple[jax.Array, Any]:
    """Returns the loss and its gradient, a tree like the trained part of the model."""
    params, rest = parameters.split(model)
    return jax.value_and_grad(lambda p: loss(objective, parameters.join(p, rest), batch))(params)


def _require_terms(problem: Problem) -> None:
    names = [term.name for term in problem.terms]
    if not names:
        raise CompileError(Code.E_GRAPH_INVALID, f"problem {problem.name!r}: it has no terms.")
    if len(set(names)) != len(names):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"problem {problem.name!r}: two terms have one name among {', '.join(names)}.",
        )
    for term in problem.terms:
        _require_sampler(term, problem.samplers)
        if not (math.isfinite(term.weight) and term.weight >= 0):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"term {term.name!r}: its weight is {term.weight}; it must be finite and not negative.",
            )


def _require_sampler(term: Term, samplers: Mapping[str, Any]) -> None:
    if term.on not in samplers:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"term {term.name!r}: there is no sampler {term.on!r}; there are: {', '.join(samplers)}.",
            hints="`on` names a sampler of the problem",
        )
