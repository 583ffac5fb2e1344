"""Optimizers on linear and curved least squares, against NumPy, SciPy and optax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pinn_cases import Points, iterate, linear, prepared, problem_of
from scipy.optimize import least_squares

from tessera.core.errors import Code, CompileError
from tessera.pinn import jacobians, residuals
from tessera.pinn.optimizers import (
    LBFGS,
    SOAP,
    Adam,
    AdamW,
    FirstOrder,
    GaussNewton,
    LevenbergMarquardt,
)
from tessera.pinn.optimizers.soap import soap
from tessera.pinn.problem import Problem, Term
from tessera.pinn.residuals import Batch

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

RNG = np.random.default_rng(7)
ROWS, VALUES = RNG.normal(size=(20, 4)), RNG.normal(size=20)
TIMES = np.linspace(0.0, 3.0, 40)
MEASURED = 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.02 * RNG.standard_normal(40)


def fits(model: Any, at: Any, value: Any) -> Any:
    height, rate, floor = model
    return height * jnp.exp(-rate * at["t"].array) + floor - value


def fitting(values: np.ndarray = MEASURED) -> Problem:
    points = Points(TIMES[:, None], {"value": values})
    begin = jnp.array([1.0, 0.2, 0.0])
    return problem_of([Term("fit", fits, uses=("value",))], {"interior": points}, lambda key: begin)


def rosenbrock(model: Any, at: Any) -> Any:
    x, y = model
    return jnp.stack([10 * (y - x * x), 1 - x])[None]


def valley() -> Problem:
    one = {"interior": Points(np.zeros((1, 1)))}
    return problem_of([Term("valley", rosenbrock)], one, lambda key: jnp.array([-1.2, 1.0]))


LEAST_SQUARES = [
    LevenbergMarquardt(100),
    GaussNewton(100, accuracy=1e-8),
    GaussNewton(100, form="residuals"),
]


@pytest.mark.parametrize(
    "optimizer",
    [*LEAST_SQUARES[:2], LBFGS(100), pytest.param(LEAST_SQUARES[2], marks=pytest.mark.slow)],
    ids=lambda o: type(o).__name__,
)
def test_the_parameters_of_a_fit_are_those_scipy_finds(optimizer):
    def misfit(x: np.ndarray) -> np.ndarray:
        return x[0] * np.exp(-x[1] * TIMES) + x[2] - MEASURED

    expected = least_squares(misfit, [1.0, 0.2, 0.0], method="lm", xtol=1e-14, ftol=1e-14).x
    found, losses = iterate(optimizer, fitting(), 100)
    # The minimum is flat to the root of rounding, hence not 1e-15.
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert losses == sorted(losses, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*LEAST_SQUARES, LBFGS(100)], ids=lambda o: type(o).__name__)
def test_linear_least_squares_ends_at_the_solution_of_numpy(optimizer):
    found, losses = iterate(optimizer, linear(ROWS, VALUES), 100)
    np.testing.assert_allclose(found, np.linalg.lstsq(ROWS, VALUES)[0], rtol=1e-6)
    assert losses[-1] == min(losses)


@pytest.mark.parametrize(
    "optimizer", [LevenbergMarquardt(100), pytest.param(LBFGS(100), marks=pytest.mark.slow)]
)
def test_the_minimum_ends_the_iteration(optimizer):
    _, losses = iterate(optimizer, fitting(), 100)
    assert len(losses) < 100


def test_levenberg_marquardt_converges_quadratically_where_residuals_vanish():
    exact = fitting(2.5 * np.exp(-1.3 * TIMES) + 0.5)
    _, losses = iterate(LevenbergMarquardt(60, damping=1e-6), exact, 60)
    errors = np.sqrt(losses)  # in proportion to the distance from the solution
    late = [i for i in range(1, len(errors)) if errors[i] > 1e-9 and errors[i - 1] < 1e-1]
    # Damping falls by a constant factor, so the order approaches 2 from below: 1.3 is beyond linear.
    orders = [np.log(errors[i]) / np.log(errors[i - 1]) for i in late]
    assert late
    assert min(orders) > 1.3
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("optimizer", [*LEAST_SQUARES, LBFGS(200)], ids=lambda o: type(o).__name__)
@pytest.mark.slow
def test_a_curved_valley_is_followed_to_its_end(optimizer):
    found, _ = iterate(optimizer, valley(), 200)
    np.testing.assert_allclose(found, [1.0, 1.0], rtol=1e-6)


@pytest.mark.slow
def test_a_step_of_conjugate_gradients_and_one_of_the_kernel_are_the_dense_one():
    problem = fitting()
    objective, model, batch = prepared(problem)
    vector, jacobian = jacobians.jacobian(objective, model, batch)
    damping = 0.05
    dense = np.linalg.solve(jacobian.T @ jacobian + damping * np.eye(3), -jacobian.T @ vector)
    for form in ("parameters", "residuals"):
        optimizer = GaussNewton(1, damping=damping, accuracy=1e-12, form=form)
        moved, _ = iterate(optimizer, problem, 1)
        parts = (np.asarray(moved) - np.asarray(model)) / dense
        # The line search may have halved it.
        assert np.ptp(parts) < 1e-8
        assert np.log2(parts[0]) == pytest.approx(round(np.log2(parts[0])), abs=1e-8)


def test_a_tolerance_ends_the_iteration():
    exact = fitting(2.5 * np.exp(-1.3 * TIMES) + 0.5)
    for optimizer in (LevenbergMarquardt(99, tolerance=1e-3), LBFGS(99, tolerance=1e-3)):
        _, losses = iterate(optimizer, exact, 99)
        assert losses[-1] <= 1e-3
        assert losses[-2] > 1e-3


@pytest.mark.slow
def test_the_direction_of_lbfgs_is_that_of_optax():
    """With its own zoom search optax may stop elsewhere on a line; both end at the same minimum."""
    problem = fitting()
    objective, model, batch = prepared(problem)
    rule = optax.lbfgs(memory_size=50)
    loss = lambda x: residuals.loss(objective, x, batch)  # noqa: E731 - what optax wants
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):

        @jax.jit
        def step(x: Any, state: Any) -> Any:
            value, gradient = optax.value_and_grad_from_state(loss)(x, state=state)
            updates, state = rule.update(
                gradient, state, x, value=value, grad=gradient, value_fn=loss
            )
            return x + updates, state

        x, state = model, rule.init(model)
        for _ in range(30):
            x, state = step(x, state)
    ours, _ = iterate(LBFGS(30), problem, 30)
    np.testing.assert_allclose(ours, x, rtol=1e-6)


RULES = [
    SOAP(800, 0.1),
    *(
        pytest.param(rule, marks=pytest.mark.slow)
        for rule in (
            Adam(800, 0.1),
            AdamW(800, 0.1, weight_decay=0.0),
            FirstOrder(800, lambda: optax.adam(0.1)),
            Adam(800, optax.cosine_decay_schedule(0.1, 800)),
        )
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda o: type(o).__name__)
def test_first_order_rules_reach_the_minimum_of_a_convex_loss(rule):
    found, _ = iterate(rule, linear(ROWS, VALUES), 800)
    np.testing.assert_allclose(found, np.linalg.lstsq(ROWS, VALUES)[0], atol=1e-2)


@pytest.mark.slow
def test_adam_takes_the_steps_of_optax():
    _, model, _ = prepared(linear(ROWS, VALUES))
    rule = optax.adam(0.1, 0.8, 0.9)
    with jax.numpy_dtype_promotion("standard"):
        x, state = model, rule.init(model)
        for _ in range(5):
            gradient = 2 / len(VALUES) * ROWS.T @ (ROWS @ np.asarray(x) - VALUES)
            updates, state = rule.update(jnp.asarray(gradient), state, x)
            x = x + updates
    ours, _ = iterate(Adam(5, 0.1, b1=0.8, b2=0.9), linear(ROWS, VALUES), 5)
    np.testing.assert_allclose(ours, x, rtol=1e-12)


@pytest.mark.slow
def test_minibatches_are_points_with_their_arrays_and_weights():
    """Every point alone has the residual 0 at the solution, so minibatches converge to it exactly."""
    solution = np.array([1.0, -2.0, 0.5, 3.0])
    problem = linear(ROWS, ROWS @ solution)
    found, _ = iterate(Adam(1500, 0.05, minibatch=5), problem, 1500)
    np.testing.assert_allclose(found, solution, rtol=1e-4)


@pytest.mark.slow
def test_a_point_without_weight_has_no_say_wherever_a_minibatch_puts_it():
    solution = np.array([1.0, -2.0, 0.5, 3.0])
    objective, model, batch = prepared(
        linear(ROWS, np.where(np.arange(20) < 10, ROWS @ solution, 99.0))
    )
    batch = Batch(batch.samples, (jnp.where(jnp.arange(20) < 10, 1.0, 0.0),))
    optimizer = Adam(1500, 0.05, minibatch=8)
    state = optimizer.init(objective, model, batch, jax.random.key(0))
    for _ in range(1500):
        model, state, _ = optimizer.step(objective, model, batch, state)
    np.testing.assert_allclose(model, solution, rtol=1e-3)


@pytest.mark.slow
def test_soap_is_the_algorithm_of_the_paper_restated_in_numpy():
    """Algorithms 3 and 4 of arXiv 2409.11321, line by line, for one matrix and one vector."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(9, 3, 4)) @ np.diag([3.0, 1.0, 0.3, 0.1])
    b1, b2, eps, rate, frequency = 0.9, 0.8, 1e-8, 0.05, 3
    w = np.zeros((3, 4))
    m, v = np.zeros((3, 4)), np.zeros((3, 4))
    left, right = np.zeros((3, 3)), np.zeros((4, 4))
    ql, qr = np.eye(3), np.eye(4)
    for t, g in enumerate(gradients):
        if t == 0:
            left, right = (1 - b2) * g @ g.T, (1 - b2) * g.T @ g
            ql, qr = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
            continue
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (ql.T @ g @ qr) ** 2
        turned = (ql.T @ m @ qr) / (1 - b1**t)
        w = w - rate * ql @ (turned / (np.sqrt(v / (1 - b2**t)) + eps)) @ qr.T
        left, right = b2 * left + (1 - b2) * g @ g.T, b2 * right + (1 - b2) * g.T @ g
        if t % frequency == 0:
            ql, qr = np.linalg.qr(left @ ql)[0], np.linalg.qr(right @ qr)[0]
    rule = soap(rate, b1=b1, b2=b2, eps=eps, frequency=frequency)
    params = {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)}
    state, update = rule.init(params), jax.jit(rule.update)
    for g in gradients:
        updates, state = update({"w": jnp.asarray(g), "b": jnp.asarray(g[0])}, state)
        params = jax.tree.map(jnp.add, params, updates)
    np.testing.assert_allclose(params["w"], w, rtol=1e-9, atol=1e-12)
    # A vector has no bases: Adam's steps, one later.
    bias, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(gradients[1:, 0], start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        bias = bias - rate * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
    np.testing.assert_allclose(params["b"], bias, rtol=1e-9)


@pytest.mark.slow
def test_a_side_too_long_for_soap_keeps_its_own_basis():
    rule = soap(0.1, largest=3)
    state = rule.init(jnp.ones((3, 4)))
    assert [side is None for side in state.leaves.sides] == [False, True]
    _, state = rule.update(jnp.ones((3, 4)), state)
    updates, _ = rule.update(jnp.ones((3, 4)), state)
    assert bool(jnp.all(jnp.isfinite(updates)))
    three = soap(0.1)
    kernel = jnp.ones((2, 3, 4))
    assert three.update(kernel, three.init(kernel))[0].shape == (2, 3, 4)


def test_a_loss_that_is_not_finite_is_told_and_nothing_moves():
    for optimizer in (
        LevenbergMarquardt(3),
        GaussNewton(3),
        GaussNewton(3, form="residuals"),
        LBFGS(3),
    ):
        objective, model, batch = prepared(fitting(np.full(40, np.inf)))
        state = optimizer.init(objective, model, batch)
        after, _, info = optimizer.step(objective, model, batch, state)
        assert (info.finite, info.done) == (False, True)
        assert after is model


@pytest.mark.slow
def test_training_in_float32_stays_in_float32():
    with jax.enable_x64(False):
        for optimizer in (LevenbergMarquardt(5), LBFGS(5), SOAP(5)):
            found, losses = iterate(optimizer, linear(ROWS, VALUES), 5, dtype="float32")
            assert found.dtype == jnp.float32
            assert losses[-1] <= losses[0]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LevenbergMarquardt(-1), "iterations is -1"),
        (lambda: LevenbergMarquardt(1.5), "iterations is 1.5"),  # pyright: ignore[reportArgumentType]
        (lambda: LevenbergMarquardt(True), "iterations is True"),
        (lambda: LevenbergMarquardt(3, damping=0.0), "damping is 0.0"),
        (lambda: LevenbergMarquardt(3, tolerance=float("nan")), "tolerance is nan"),
        (lambda: LevenbergMarquardt(3, every=0), "every is 0"),
        (lambda: GaussNewton(3, form="dual"), "form is 'dual'"),
        (lambda: GaussNewton(3, products=0), "products is 0"),
        (lambda: LBFGS(3, memory=0), "memory is 0"),
        (lambda: Adam(3, learning_rate=-1.0), "learning_rate is -1.0"),
        (lambda: Adam(3, minibatch=0), "minibatch is 0"),
        (lambda: AdamW(3, weight_decay=-1.0), "weight_decay is -1.0"),
        (lambda: SOAP(3, frequency=0), "frequency is 0"),
    ],
)
def test_settings_that_make_no_sense_are_errors(make, match):
    with pytest.raises(CompileError, match=match) as caught:
        make()
    assert caught.value.code is Code.E_GRAPH_INVALID
