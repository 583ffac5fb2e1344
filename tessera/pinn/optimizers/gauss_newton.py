"""Gauss-Newton without its matrix: natural-gradient steps for networks of any size.

The step solves `(J^T J + damping) step = -J^T r`, where J holds the derivative of every residual with
respect to every parameter: by conjugate gradients, which need only products `J^T J v` (one forward and one
reverse pass, Pearlmutter 1994; Schraudolph 2002), or where residuals are fewer than parameters by Cholesky of
the kernel `J J^T + damping`, which gives the same step. A line search halves it until the loss falls enough.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tessera.core.errors import Code, CompileError
from tessera.pinn import jacobians, parameters, residuals
from tessera.pinn.optimizers.protocol import Info, require_settings
from tessera.pinn.problem import Model
from tessera.pinn.residuals import Batch, Objective

FORMS = ("parameters", "residuals")
# What damping is multiplied by after a whole step, after a shorter one, and after none.
DAMPING_AFTER_WHOLE_STEP = 1 / 3
DAMPING_AFTER_PART = 2.0
DAMPING_AFTER_FAILURE = 10.0
# Of the reduction that the slope along the step promises, a step must give this part (Armijo 1966).
ENOUGH = 1e-4
MOST_HALVINGS = 12
MOST_ATTEMPTS = 8


class State(NamedTuple):
    """The damping that the next iteration begins with."""

    damping: jax.Array


@dataclass(frozen=True)
class GaussNewton:
    """Damped Gauss-Newton steps with a line search; every step lowers the loss.

    `form` is "parameters" for conjugate gradients, at most `products` of them or until the equations are
    solved to `accuracy`, or "residuals" for the kernel, which stores the whole Jacobian and the square matrix
    with one row per residual. Ends as `LevenbergMarquardt` does.

    Raises `E_GRAPH_INVALID` for settings that make no sense.
    """

    iterations: int
    damping: float = 1e-3
    products: int = 100
    accuracy: float = 1e-3
    form: str = "parameters"
    tolerance: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        require_settings(
            self,
            positive=("damping", "accuracy"),
            not_negative=("tolerance",),
            counts=("products",),
        )
        if self.form not in FORMS:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"GaussNewton: form is {self.form!r}; it must be one of {', '.join(FORMS)}.",
            )

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
        """Returns the model after one step, the same if no step lowers the loss."""
        here = _LINEARIZED[self.form](objective, model, batch)
        before = float(here.loss)
        if not (math.isfinite(before) and math.isfinite(float(here.slope))):
            return model, state, Info(before, done=True, finite=False)
        damping = state.damping
        for _ in range(MOST_ATTEMPTS):
            step = _DIRECTIONS[self.form](self, objective, model, batch, here, damping)
            trial, after, halvings = _search(objective, model, batch, here, step)
            if float(after) < before:
                whole = int(halvings) == 0
                factor = DAMPING_AFTER_WHOLE_STEP if whole else DAMPING_AFTER_PART
                info = Info(float(after), done=float(after) <= self.tolerance)
                return trial, State(damping * factor), info
            damping = damping * DAMPING_AFTER_FAILURE
        return model, state, Info(before, done=True)


class _Here(NamedTuple):
    """The loss, half its gradient J^T r, that one's size, and for the kernel form r and J."""

    loss: jax.Array
    pulled: jax.Array
    slope: jax.Array
    vector: jax.Array | None = None
    jacobian: jax.Array | None = None


def _of_gradient(objective: Objective, model: Model, batch: Batch) -> _Here:
    loss, gradient = residuals.loss_and_gradient(objective, model, batch)
    pulled = _half(gradient)
    return _Here(loss, pulled, jnp.linalg.norm(pulled))


@jax.jit
def _half(gradient: Any) -> jax.Array:
    return ravel_pytree(gradient)[0] / 2


def _of_jacobian(objective: Objective, model: Model, batch: Batch) -> _Here:
    return _from_jacobian(*jacobians.jacobian(objective, model, batch))


@jax.jit
def _from_jacobian(vector: jax.Array, jacobian: jax.Array) -> _Here:
    pulled = jnp.dot(vector, jacobian, precision=jacobians.HIGHEST)
    return _Here(jnp.vdot(vector, vector), pulled, jnp.linalg.norm(pulled), vector, jacobian)


@eqx.filter_jit
def _by_conjugate_gradients(
    settings: GaussNewton,
    objective: Objective,
    model: Model,
    batch: Batch,
    here: _Here,
    damping: jax.Array,
) -> jax.Array:
    def damped(v: jax.Array) -> jax.Array:
        return jacobians.normal_product(objective, model, batch, v) + damping * v

    step, _ = jax.scipy.sparse.linalg.cg(
        damped, -here.pulled, tol=settings.accuracy, maxiter=settings.products
    )
    return step


def _by_kernel(
    settings: GaussNewton,
    objective: Objective,
    model: Model,
    batch: Batch,
    here: _Here,
    damping: jax.Array,
) -> jax.Array:
    del settings, objective, model, batch
    return _through_kernel(here, damping)


@jax.jit
def _through_kernel(here: _Here, damping: jax.Array) -> jax.Array:
    assert here.jacobian is not None
    assert here.vector is not None
    kernel = jnp.dot(here.jacobian, here.jacobian.T, precision=jacobians.HIGHEST)
    damped = kernel + damping * jnp.eye(len(kernel), dtype=kernel.dtype)
    factor = jax.scipy.linalg.cho_factor(damped, lower=True)
    solved = jax.scipy.linalg.cho_solve(factor, here.vector)
    return -jnp.dot(solved, here.jacobian, precision=jacobians.HIGHEST)


_LINEARIZED = {"parameters": _of_gradient, "residuals": _of_jacobian}
_DIRECTIONS = {"parameters": _by_conjugate_gradients, "residuals": _by_kernel}


# The number of halvings, the part of the step that is left, the loss after it.
_Search = tuple[jax.Array, jax.Array, jax.Array]


@eqx.filter_jit
def _search(
    objective: Objective, model: Model, batch: Batch, here: _Here, step: jax.Array
) -> tuple[Model, jax.Array, jax.Array]:
    """The model after the longest of the step, its half, its quarter, ... that lowers the loss enough."""
    slope = 2 * jnp.vdot(here.pulled, step)

    def loss_after(part: jax.Array) -> jax.Array:
        vector = residuals.vector(objective, parameters.move(model, part * step), batch)
        return jnp.vdot(vector, vector)

    def goes_on(at: _Search) -> jax.Array:
        halvings, part, after = at
        # A loss that is not a number is not enough either.
        enough = after <= here.loss + ENOUGH * part * slope
        return ~enough & (halvings < MOST_HALVINGS)

    def halve(at: _Search) -> _Search:
        halvings, part, _ = at
        return halvings + 1, part / 2, loss_after(part / 2)

    one = jnp.ones((), step.dtype)
    halvings, part, after = jax.lax.while_loop(
        goes_on, halve, (jnp.zeros((), jnp.int32), one, loss_after(one))
    )
    return parameters.move(model, part * step), after, halvings
