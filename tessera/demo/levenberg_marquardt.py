"""Levenberg-Marquardt: least squares with second-order convergence, for networks of a few thousand weights.

The loss is a sum of terms, each the weighted mean over points of the square of a residual. One iteration
solves `(J^T J + damping D) step = -J^T r` by Cholesky, where J holds the derivative of every residual
with respect to every parameter. The step is bent by the geodesic acceleration of Transtrum and Sethna
(arXiv:1201.5885), the second-order term along the step, which follows curved valleys of the loss that
straight steps can only descend slowly.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tessera.core.errors import Code, NumericsError

# A tree of arrays of one floating-point dtype.
Params = Any
# (parameters, one point) -> residual, shape (k,).
Residual = Callable[[Params, jax.Array], jax.Array]

# Most points whose Jacobian rows are computed at once.
POINTS_AT_ONCE = 128
# Part of the step at which the residual is probed for its curvature along the step.
PROBE = 0.1
# A bend longer than this part of the step shows that the expansion does not hold: the straight step is tried.
# Transtrum and Sethna bound its double, the acceleration, by 0.75.
LARGEST_BEND = 0.375
# What damping is multiplied by, by the ratio of the loss reduction to the one the linear model promised.
DAMPING_FACTORS = ((0.75, 0.2), (0.4, 0.5), (0.2, 1.0), (-math.inf, 2.0))
DAMPING_AFTER_FAILURE = 4.0
MOST_ATTEMPTS = 30
# Parameters that hardly act on any residual are damped as if they acted this much, relative to the strongest
# (squares of derivatives).
SMALLEST_STRENGTH = 1e-8


@dataclass(frozen=True)
class Term:
    """One part of the loss: `weight` times the mean over points of the squared residual.

    `residual` maps the parameters and one point `(d,)` to `(k,)`; `points` are `(n, d)`. Problems that share
    their residual functions share one compilation.
    """

    residual: Residual
    points: jax.Array
    weight: float = 1.0


@dataclass(frozen=True)
class Step:
    """Where the iteration stands. Step 0 is the start.

    `mean_squares` has the unweighted mean square of each term's residual; `attempts` counts the steps tried
    in this iteration, all but the last of them rejected.
    """

    iteration: int
    params: Params
    loss: float
    mean_squares: tuple[float, ...]
    damping: float
    attempts: int


def minimize(
    terms: Sequence[Term],
    params: Params,
    *,
    iterations: int,
    damping: float = 1e-2,
    tolerance: float = 0.0,
) -> Iterator[Step]:
    """Yields the start and then one step after each iteration, every loss lower than the one before.

    Ends after `iterations`, when the loss is at most `tolerance`, or when no step lowers the loss, which is
    then minimal to rounding. Works in the dtype of `params`; memory is that of the Jacobian and of two
    square matrices with one row per parameter. Raises `NumericsError` (E_NAN_INF) if the loss or its
    derivatives are not finite at the start of an iteration.

    >>> line = Term(lambda w, at: w * at[:1] - at[1:], jnp.array([[1.0, 2.0], [2.0, 4.0]]))
    >>> [round(float(step.params[0]), 2) for step in minimize([line], jnp.zeros(1), iterations=2)]
    [0.0, 1.99, 2.0]
    """
    residuals = tuple(term.residual for term in terms)
    data = tuple((term.points, math.sqrt(term.weight / len(term.points))) for term in terms)
    _, squares = _evaluate(residuals, params, data)
    step = _step(terms, 0, params, squares, damping, attempts=0)
    _require_finite(step.loss, "loss", 0)
    yield step
    while step.iteration < iterations and step.loss > tolerance:
        following = _iterate(terms, residuals, data, step)
        if following is None:
            return
        yield following
        step = following


# For each term its points and the factor that makes squares of its residual add up to its part of the loss.
_Data = tuple[tuple[jax.Array, float], ...]


class _System(NamedTuple):
    """The residuals of all terms in one vector, its Jacobian J, J^T J and J^T r."""

    vector: jax.Array
    jacobian: jax.Array
    matrix: jax.Array
    gradient: jax.Array


def _iterate(
    terms: Sequence[Term], residuals: tuple[Residual, ...], data: _Data, step: Step
) -> Step | None:
    """Returns the first step that lowers the loss, with ever more damping; None if there is none."""
    system = _linearize(residuals, step.params, data)
    _require_finite(float(jnp.sum(system.gradient)), "gradient of the loss", step.iteration)
    damping = step.damping
    for attempt in range(1, MOST_ATTEMPTS + 1):
        straight, factor, promised = _solve(system, damping)
        ahead, _ = _evaluate(residuals, _move(step.params, PROBE * straight), data)
        params = _move(step.params, _bend(system, straight, factor, ahead))
        _, squares = _evaluate(residuals, params, data)
        reduction = step.loss - float(jnp.sum(squares))
        if reduction > 0:
            damping *= _damping_factor(reduction / float(promised))
            return _step(terms, step.iteration + 1, params, squares, damping, attempt)
        damping *= DAMPING_AFTER_FAILURE
    return None


def _step(
    terms: Sequence[Term],
    iteration: int,
    params: Params,
    squares: jax.Array,
    damping: float,
    attempts: int,
) -> Step:
    means = tuple(float(part) / term.weight for part, term in zip(squares, terms, strict=True))
    return Step(iteration, params, float(jnp.sum(squares)), means, damping, attempts)


def _damping_factor(gain: float) -> float:
    return next(factor for least, factor in DAMPING_FACTORS if gain > least)


def _require_finite(value: float, what: str, iteration: int) -> None:
    if not math.isfinite(value):
        raise NumericsError(
            Code.E_NAN_INF,
            f"minimize: the {what} is {value} at iteration {iteration}.",
            hints="check the residual and the points for poles and overflow, or start from smaller weights",
        )


@partial(jax.jit, static_argnums=0)
def _evaluate(
    residuals: tuple[Residual, ...], params: Params, data: _Data
) -> tuple[jax.Array, jax.Array]:
    """The residuals of all terms in one vector, and the part of the loss that each term contributes."""
    parts = [
        factor * jax.vmap(partial(residual, params))(points).ravel()
        for residual, (points, factor) in zip(residuals, data, strict=True)
    ]
    return jnp.concatenate(parts), jnp.stack([jnp.vdot(part, part) for part in parts])


@partial(jax.jit, static_argnums=0)
def _linearize(residuals: tuple[Residual, ...], params: Params, data: _Data) -> _System:
    flat, unravel = ravel_pytree(params)
    values, rows = [], []
    for residual, (points, factor) in zip(residuals, data, strict=True):
        at_point = partial(
            _value_and_jacobian, lambda flat, x, f=residual: f(unravel(flat), x), flat
        )
        value, jacobian = jax.lax.map(at_point, points, batch_size=_even_chunk(len(points)))
        values.append(factor * value.ravel())
        rows.append(factor * jacobian.reshape(-1, flat.size))
    vector, jacobian = jnp.concatenate(values), jnp.concatenate(rows)
    return _System(vector, jacobian, jacobian.T @ jacobian, jacobian.T @ vector)


def _even_chunk(points: int) -> int:
    # A remainder would be compiled as a second program.
    return math.ceil(points / math.ceil(points / POINTS_AT_ONCE))


def _value_and_jacobian(
    residual: Callable[[jax.Array, jax.Array], jax.Array], flat: jax.Array, point: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One reverse pass per component: a point has few of them and thousands of parameters."""
    value, pull = jax.vjp(lambda flat: residual(flat, point), flat)
    (rows,) = jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))
    return value, rows


@jax.jit
def _solve(system: _System, damping: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The straight step, the Cholesky factor of the damped matrix, the reduction the step promises."""
    strength = jnp.diagonal(system.matrix)
    # The root of Marquardt's scaling: between limiting the steps of parameters and limiting their effects.
    scale = damping * jnp.sqrt(jnp.maximum(strength, SMALLEST_STRENGTH * jnp.max(strength)))
    factor, _ = jax.scipy.linalg.cho_factor(system.matrix + jnp.diag(scale))
    straight = -jax.scipy.linalg.cho_solve((factor, False), system.gradient)
    return straight, factor, jnp.vdot(straight, scale * straight - system.gradient)


@jax.jit
def _bend(system: _System, straight: jax.Array, factor: jax.Array, ahead: jax.Array) -> jax.Array:
    """The step with half its geodesic acceleration added, from the residuals a little way ahead."""
    slope = (ahead - system.vector) / PROBE
    curvature = 2 / PROBE * (slope - system.jacobian @ straight)
    bend = -jax.scipy.linalg.cho_solve((factor, False), system.jacobian.T @ curvature) / 2
    holds = jnp.linalg.norm(bend) < LARGEST_BEND * jnp.linalg.norm(straight)
    return straight + jnp.where(holds, bend, jnp.zeros_like(bend))


@jax.jit
def _move(params: Params, step: jax.Array) -> Params:
    flat, unravel = ravel_pytree(params)
    return unravel(flat + step)
