"""Estimates of Laplacians: unbiased, with errors that say how far off they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core.errors import CompileError

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64")]

WAYS = [(m, o) for m in ("hutchinson", "stde") for o in ("laplacian", "biharmonic")]
X = np.random.default_rng(0).normal(size=(3, 5))


def u(x):
    return jnp.exp(-jnp.sum(x**2) / 9) * (jnp.sum(jnp.sin(x)) + x[0] * x[1] ** 2)


@pytest.mark.parametrize(("method", "operator"), WAYS)
def test_the_true_value_lies_within_the_error_as_often_as_it_should(method, operator):
    exact = getattr(pde, operator)(u)(X)
    samples = 4 if method == "stde" and operator == "laplacian" else 10

    def estimated(key):
        return pde.estimate(u, operator, samples=samples, key=key, method=method)(X)

    found = jax.jit(jax.vmap(estimated))(jax.random.split(jax.random.key(1), 300))
    values, errors = np.asarray(found.value), np.asarray(found.error)
    # The mean of 300 estimates is within five of its own standard errors.
    spread = values.std(axis=0) / np.sqrt(300)
    assert np.all(np.abs(values.mean(axis=0) - exact) < 5 * spread)
    # The stated variance is the one that is seen: both from 300 draws, of heavy tails.
    ratio = (errors**2).mean(axis=0) / values.var(axis=0)
    assert np.all((ratio > 0.5) & (ratio < 1.8))


def test_all_coordinates_drawn_once_are_exact():
    found = pde.estimate(u, samples=5, key=jax.random.key(0), method="stde")(X)
    np.testing.assert_allclose(found.value, pde.laplacian(u)(X), rtol=1e-12)
    np.testing.assert_array_equal(found.error, 0.0)


def test_signs_are_exact_where_second_derivatives_do_not_mix():
    found = pde.estimate(lambda x: jnp.sum(x**3), samples=2, key=jax.random.key(0))(X)
    np.testing.assert_allclose(found.value, 6 * X.sum(1), rtol=1e-12)


def test_a_thousand_dimensions_cost_no_more_than_the_samples():
    x = jnp.ones((2, 1000))
    found = pde.estimate(lambda x: jnp.sum(jnp.sin(x)), samples=16, key=jax.random.key(0))(x)
    np.testing.assert_allclose(found.value, -1000 * np.sin(1.0), rtol=1e-12)


def test_an_estimate_has_the_gradient_of_its_value():
    def value(scale):
        v = pde.estimate(lambda x: u(scale * x), samples=3, key=jax.random.key(0))(X).value
        return jnp.sum(v)

    step = 1e-5
    slope = (value(1 + step) - value(1 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(value)(1.0), slope, rtol=1e-7)


@pytest.mark.parametrize("lead", [(), (0,), (2, 2)])
def test_shapes_follow_the_points(lead):
    x = jnp.ones((*lead, 4))
    found = pde.estimate(lambda x: jnp.stack([x[0], x @ x]), samples=2, key=jax.random.key(0))(x)
    assert found.value.shape == found.error.shape == (*lead, 2)


def test_calls_that_make_no_sense_are_named():
    key = jax.random.key(0)
    for arguments, text in (
        ({"samples": 1}, "samples is 1"),
        ({"samples": 4, "method": "exact"}, "no estimate of 'laplacian' by method 'exact'"),
        ({"samples": 4, "operator": "curl"}, "no estimate of 'curl'"),
        ({"samples": 1.5}, "samples"),
    ):
        with pytest.raises(CompileError, match=text):
            pde.estimate(u, key=key, **arguments)
    with pytest.raises(CompileError, match="6 samples of 5 coordinates"):
        pde.estimate(u, samples=6, key=key, method="stde")(X)
