"""L-BFGS: quasi-Newton directions of optax, and SciPy's line search along them.

The search runs on the host, so that the loss and its gradient are compiled once; inside a compiled line
search they would stand half a dozen times.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from tessera.pinn import parameters, residuals
from tessera.pinn.optimizers.protocol import (
    Info,
    load_scipy_optimize,
    numpy_promotion,
    require_settings,
)
from tessera.pinn.problem import Model
from tessera.pinn.residuals import Batch, Objective
from tessera.training.apply import load_optax

# Halvings of the step where no step satisfies the Wolfe conditions.
MOST_HALVINGS = 30


class State(NamedTuple):
    """Optax's state, the loss and its gradient in one row, and whether these are of another loss."""

    inner: Any
    loss: jax.Array
    gradient: jax.Array
    changed: jax.Array


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, ch. 7).

    `memory` is the number of gradients kept, `line_search` the most steps of one line search. Ends after
    `iterations`, when the loss is at most `tolerance`, or when no step along the direction lowers the loss,
    which is then minimal to rounding. Needs optax and scipy.

    Raises `E_GRAPH_INVALID` for settings that make no sense.
    """

    iterations: int
    memory: int = 50
    line_search: int = 20
    tolerance: float = 0.0
    every: int = 10

    def __post_init__(self) -> None:
        require_settings(self, not_negative=("tolerance",), counts=("memory", "line_search"))

    def init(self, objective: Objective, model: Model, batch: Batch, key: Any = None) -> State:
        """Returns the state to begin with."""
        del objective, key
        flat = ravel_pytree(parameters.split(model)[0])[0]
        zero = jnp.zeros((), batch.weights[0].dtype)
        return State(_rule(self).init(flat), zero, jnp.zeros_like(flat), jnp.ones((), bool))

    def refresh(self, state: State) -> State:
        """Returns the state for a loss that has changed: its value is taken again."""
        return state._replace(changed=jnp.ones((), bool))

    def step(
        self, objective: Objective, model: Model, batch: Batch, state: State
    ) -> tuple[Model, State, Info]:
        """Returns the model after one line search, the same if no step lowers the loss."""
        at = _Line(objective, model, batch)
        if bool(state.changed):
            zero = jnp.zeros_like(state.gradient)
            loss, _, gradient = at(zero, 0.0)
            state = state._replace(loss=loss, gradient=gradient, changed=jnp.zeros((), bool))
        before = float(state.loss)
        if not (math.isfinite(before) and math.isfinite(float(jnp.sum(state.gradient)))):
            return model, state, Info(before, done=True, finite=False)
        direction, inner = _direction(self, model, state)
        found = _search(self, at, state, direction)
        if found is None:
            return model, state, Info(before, done=True)
        part, loss, gradient = found
        moved = parameters.move(model, part * direction)
        state = State(inner, loss, gradient, state.changed)
        return moved, state, Info(float(loss), done=float(loss) <= self.tolerance)


# The loss, its slope along a direction and its gradient, after a part of a step.
_Point = tuple[jax.Array, jax.Array, jax.Array]


@dataclass(frozen=True)
class _Line:
    objective: Objective
    model: Model
    batch: Batch

    def __call__(self, direction: jax.Array, part: float) -> _Point:
        return _on_line(
            self.objective, self.model, self.batch, direction, jnp.asarray(part, direction.dtype)
        )


@eqx.filter_jit
def _on_line(
    objective: Objective, model: Model, batch: Batch, direction: jax.Array, part: jax.Array
) -> _Point:
    moved = parameters.move(model, part * direction)
    loss, gradient = residuals.loss_and_gradient(objective, moved, batch)
    flat = ravel_pytree(gradient)[0]
    return loss, jnp.vdot(flat, direction), flat


def _rule(settings: LBFGS) -> Any:
    return load_optax().scale_by_lbfgs(memory_size=settings.memory)


@eqx.filter_jit
def _direction(settings: LBFGS, model: Model, state: State) -> tuple[jax.Array, Any]:
    flat = ravel_pytree(parameters.split(model)[0])[0]
    with numpy_promotion():
        scaled, inner = _rule(settings).update(state.gradient, state.inner, flat)
    # Curvature pairs of a loss that has changed since may point uphill.
    downhill = jnp.vdot(scaled, state.gradient) > 0
    return -jnp.where(downhill, scaled, state.gradient), inner


def _search(
    settings: LBFGS, line: _Line, state: State, direction: jax.Array
) -> tuple[float, jax.Array, jax.Array] | None:
    """How much of the step is taken, and the loss and its gradient there; None if nothing lowers the loss."""
    seen: dict[float, _Point] = {}

    def at(part: float) -> _Point:
        if part not in seen:
            seen[part] = line(direction, part)
        return seen[part]

    before = float(state.loss)
    slope = float(jnp.vdot(state.gradient, direction))
    part = _wolfe(settings, lambda x: float(at(x)[0]), lambda x: float(at(x)[1]), before, slope)
    if part is None or not float(at(part)[0]) < before:
        halves = (0.5**n for n in range(MOST_HALVINGS))
        part = next((x for x in halves if float(at(x)[0]) < before), None)
    return None if part is None else (part, at(part)[0], at(part)[2])


def _wolfe(
    settings: LBFGS,
    loss: Callable[[float], float],
    slope: Callable[[float], float],
    before: float,
    slope_before: float,
) -> float | None:
    """How much of the step meets the strong Wolfe conditions, None if the search does not find it."""
    with warnings.catch_warnings():
        # SciPy warns of a search that fails, and of steps that leave the range of floating point.
        warnings.simplefilter("ignore")
        part = load_scipy_optimize().line_search(
            lambda x: loss(float(x[0])),
            lambda x: np.array([slope(float(x[0]))]),
            np.zeros(1),
            np.ones(1),
            gfk=np.array([slope_before]),
            old_fval=before,
            maxiter=settings.line_search,
        )[0]
    return None if part is None else float(part)
