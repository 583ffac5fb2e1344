"""Levenberg-Marquardt: least squares with second-order convergence, for networks of a few thousand weights.

The loss is the sum of squares of the vector r of residuals. One iteration solves
`(J^T J + damping D) step = -J^T r` by Cholesky, where J holds the derivative of every residual with respect
to every parameter. The step is bent by the geodesic acceleration of Transtrum and Sethna (arXiv:1201.5885),
the second-order term along the step, which follows curved valleys of the loss that straight steps can only
descend slowly.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tessera.pinn import jacobians, parameters, residuals
from tessera.pinn.jacobians import NormalEquations
from tessera.pinn.optimizers.protocol import Info, require_settings
from tessera.pinn.problem import Model
from tessera.pinn.residuals import Batch, Objective

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


class State(NamedTuple):
    """The damping that the next iteration begins with."""

    damping: jax.Array


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Least squares by damped linear models of the residuals, every step lowering the loss.

    Ends after `iterations`, when the loss is at most `tolerance`, or when no step lowers the loss, which is
    then minimal to rounding. Memory is that of a few square matrices with one row per parameter, and of the
    Jacobian at one chunk of points. `every` is the number of iterations from one record to the next.

    Raises `E_GRAPH_INVALID` for settings that make no sense.
    """

    iterations: int
    damping: float = 1e-2
    tolerance: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        require_settings(self, positive=("damping",), not_negative=("tolerance",))

    def init(self, objective: Objective, model: Model, batch: Batch, key: Any = None) -> State:
        """Returns the state to begin with."""
        del objective, model, key
        return State(jnp.asarray(self.damping, batch.weights[0].dtype))

    def refresh(self, state: State) -> State:
        """Returns the state for a loss that has changed: the same."""
        return state

    def step(
        self, objective: Objective, model: Model, batch: Batch, state: State
    ) -> tuple[Model, State, Info]:
        """Returns the first model, with ever more damping, whose loss is lower; the same if there is none."""
        system = jacobians.normal_equations(objective, model, batch)
        before = float(_loss(system.vector))
        if not (math.isfinite(before) and bool(_all_finite(system.gradient))):
            return model, state, Info(before, done=True, finite=False)
        damping = state.damping
        for _ in range(MOST_ATTEMPTS):
            solved = _solve(system, damping)
            step = _bend(objective, model, batch, system, solved)
            trial = parameters.move(model, step)
            after = float(_loss(residuals.vector(objective, trial, batch)))
            if before - after > 0:
                gain = (before - after) / float(solved.promised)
                state = State(damping * _damping_factor(gain))
                return trial, state, Info(after, done=after <= self.tolerance)
            damping = damping * DAMPING_AFTER_FAILURE
        return model, state, Info(before, done=True)


class _Solved(NamedTuple):
    """The straight step, the reduction that it promises, the Cholesky factor of the damped matrix."""

    straight: jax.Array
    promised: jax.Array
    factor: jax.Array


def _damping_factor(gain: float) -> float:
    # A gain that is not a number has no row: the linear model promised nothing.
    return next((factor for least, factor in DAMPING_FACTORS if gain > least), 2.0)


@jax.jit
def _solve(system: NormalEquations, damping: jax.Array) -> _Solved:
    strength = jnp.diagonal(system.matrix)
    # The root of Marquardt's scaling: between limiting the steps of parameters and limiting their effects.
    scale = damping * jnp.sqrt(jnp.maximum(strength, SMALLEST_STRENGTH * jnp.max(strength)))
    factor, _ = jax.scipy.linalg.cho_factor(system.matrix + jnp.diag(scale), lower=True)
    straight = -jax.scipy.linalg.cho_solve((factor, True), system.gradient)
    return _Solved(straight, jnp.vdot(straight, scale * straight - system.gradient), factor)


def _bend(
    objective: Objective, model: Model, batch: Batch, system: NormalEquations, solved: _Solved
) -> jax.Array:
    """The step with half its geodesic acceleration added, from the residuals a little way to both sides."""
    ahead, behind = (
        residuals.vector(objective, parameters.move(model, part * solved.straight), batch)
        for part in (PROBE, -PROBE)
    )
    second = _second_difference(ahead, system.vector, behind)
    pulled = jacobians.against(objective, model, batch, second)
    return _bent(solved, pulled)


@jax.jit
def _second_difference(ahead: jax.Array, here: jax.Array, behind: jax.Array) -> jax.Array:
    return ((ahead - here) + (behind - here)) / PROBE**2


@jax.jit
def _bent(solved: _Solved, pulled: jax.Array) -> jax.Array:
    bend = -jax.scipy.linalg.cho_solve((solved.factor, True), pulled) / 2
    holds = jnp.linalg.norm(bend) < LARGEST_BEND * jnp.linalg.norm(solved.straight)
    return solved.straight + jnp.where(holds, bend, jnp.zeros_like(bend))


@jax.jit
def _loss(vector: jax.Array) -> jax.Array:
    return jnp.vdot(vector, vector)


@jax.jit
def _all_finite(x: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(x))
