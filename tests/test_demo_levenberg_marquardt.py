"""The demo's optimiser, against SciPy and against what least squares must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from tessera.core.errors import Code, NumericsError
from tessera.demo.levenberg_marquardt import Step, Term, minimize

pytestmark = pytest.mark.newest

GENERATOR = np.random.default_rng(7)
TIMES = np.linspace(0.0, 3.0, 40)
SAMPLES = np.stack(
    [TIMES, 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.02 * GENERATOR.standard_normal(40)], axis=-1
)


def decay(params: dict[str, jax.Array], sample: jax.Array) -> jax.Array:
    time, value = sample
    return (params["height"] * jnp.exp(-params["rate"] * time) + params["floor"] - value)[None]


def starting_point() -> dict[str, jax.Array]:
    return {"floor": jnp.array(0.0), "height": jnp.array(1.0), "rate": jnp.array(0.2)}


def rosenbrock(params: jax.Array, _point: jax.Array) -> jax.Array:
    x, y = params
    return jnp.stack([10 * (y - x * x), 1 - x])


def last(steps: object) -> Step:
    *_, step = steps  # pyright: ignore[reportGeneralTypeIssues]
    return step


def test_a_fitted_decay_has_the_parameters_scipy_finds():
    def residuals(x: np.ndarray) -> np.ndarray:
        floor, height, rate = x
        return height * np.exp(-rate * SAMPLES[:, 0]) + floor - SAMPLES[:, 1]

    expected = least_squares(residuals, [0.0, 1.0, 0.2], method="lm", xtol=1e-14, ftol=1e-14).x
    with jax.enable_x64(True):
        term = Term(decay, jnp.asarray(SAMPLES))
        params = jax.tree.map(lambda x: x.astype(jnp.float64), starting_point())
        found = last(minimize([term], params, iterations=60)).params
    # The minimum is flat to the root of rounding, hence not 1e-15.
    np.testing.assert_allclose([float(x) for x in jax.tree.leaves(found)], expected, rtol=1e-6)


def test_a_curved_valley_is_followed_to_its_end():
    with jax.enable_x64(True):
        term = Term(rosenbrock, jnp.zeros((1, 1)))
        step = last(minimize([term], jnp.array([-1.2, 1.0]), iterations=40, tolerance=1e-20))
    assert step.loss <= 1e-20
    np.testing.assert_allclose(np.asarray(step.params), [1.0, 1.0], atol=1e-9)


def test_every_step_lowers_the_loss():
    steps = list(
        minimize([Term(decay, jnp.asarray(SAMPLES, jnp.float32))], starting_point(), iterations=8)
    )
    losses = [step.loss for step in steps]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == len(losses)


def test_terms_add_up_by_their_weights():
    points = jnp.asarray(SAMPLES, jnp.float32)
    terms = [Term(decay, points, 2.0), Term(decay, points[:9], 0.5)]
    start = next(minimize(terms, starting_point(), iterations=0))
    errors = np.exp(-0.2 * SAMPLES[:, 0]) - SAMPLES[:, 1]
    means = [np.mean(errors**2), np.mean(errors[:9] ** 2)]
    np.testing.assert_allclose(start.mean_squares, means, rtol=1e-5)
    np.testing.assert_allclose(start.loss, 2.0 * means[0] + 0.5 * means[1], rtol=1e-5)


def test_the_minimum_ends_the_iteration():
    line = Term(lambda w, at: w * at[:1] - at[1:], jnp.array([[1.0, 2.0], [2.0, 4.0]]))
    steps = list(minimize([line], jnp.zeros(1), iterations=500))
    assert len(steps) < 100
    np.testing.assert_allclose(np.asarray(steps[-1].params), [2.0], rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_an_error(value: float):
    term = Term(lambda w, at: w * at, jnp.full((3, 1), value, jnp.float32))
    with pytest.raises(NumericsError, match=r"loss is (nan|inf) at iteration 0") as caught:
        next(minimize([term], jnp.ones(1), iterations=3))
    assert caught.value.code is Code.E_NAN_INF


def test_a_derivative_that_is_not_finite_is_an_error():
    # The root has a finite value and an infinite derivative at zero.
    term = Term(lambda w, at: jnp.sqrt(w) - at, jnp.ones((2, 1)))
    with pytest.raises(NumericsError, match="gradient of the loss is"):
        last(minimize([term], jnp.zeros(1), iterations=3))
