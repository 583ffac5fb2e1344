"""Masters and rounding at random: updates too small for bf16 add up, and weights are what they should be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tessera import op, training
from tessera.core.errors import Code, CompileError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def implicit_promotion():
    """Runs a test as optax needs it: Adam divides floats by powers of integers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def parameters():
    return {
        "w": jnp.asarray(RNG.normal(size=(6, 4)), jnp.bfloat16),
        "half": jnp.asarray(RNG.normal(size=5), jnp.float16),
        "wide": jnp.asarray(RNG.normal(size=3), jnp.float32),
    }


def gradients_like(params, size=1.0):
    return jax.tree.map(lambda p: jnp.asarray(RNG.normal(size=p.shape) * size, p.dtype), params)


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def test_updates_below_a_step_of_bf16_add_up_in_a_master_and_are_lost_without():
    steps, rate = 256, 2.0**-12
    alone = weight = jnp.ones((), jnp.bfloat16)
    optimizer = training.master_weights(optax.sgd(1.0))
    state, update = optimizer.init(weight), jax.jit(optimizer.update)
    for _ in range(steps):
        alone = training.apply_updates(alone, jnp.float32(-rate))
        updates, state = update(jnp.array(rate, jnp.bfloat16), state, weight)
        weight = training.apply_updates(weight, updates)
    assert float(alone) == 1.0
    assert float(weight) == float(state.masters) == 1 - steps * rate


@pytest.mark.parametrize("apply", [training.apply_updates, optax.apply_updates])
def test_weights_are_the_masters_rounded_at_every_step_and_the_masters_those_of_fp32(apply):
    params = parameters()
    plain = optax.adamw(0.05)
    optimizer = training.master_weights(plain)
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    state, reference = optimizer.init(params), plain.init(wide)
    step, plain_step = jax.jit(optimizer.update), jax.jit(plain.update)
    for _ in range(25):
        gradients = gradients_like(params)
        updates, state = step(gradients, state, params)
        params = apply(params, updates)
        cast = jax.tree.map(lambda m, p: m.astype(p.dtype), state.masters, params)
        assert bits(cast) == bits(params)
        given = jax.tree.map(lambda g: g.astype(jnp.float32), gradients)
        updates, reference = plain_step(given, reference, wide)
        wide = optax.apply_updates(wide, updates)
    for found, expected in zip(jax.tree.leaves(state.masters), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_weights_follow_their_masters_over_any_distance(dtype):
    """Also to a weight 2^16 times smaller, or past zero, where the difference does not fit fp32."""
    size = 2000
    masters = np.where(RNG.random(size) < 0.5, 1, -1) * 2.0 ** RNG.uniform(-14, 14, size)
    weights = jnp.asarray(masters, dtype)
    targets = RNG.normal(size=size) * 2.0 ** RNG.uniform(-14, 14, size)
    targets[:10] = 0
    optimizer = training.master_weights(optax.sgd(1.0))
    state = optimizer.init(weights)
    gradients = state.masters - jnp.asarray(targets, jnp.float32)
    updates, state = jax.jit(optimizer.update)(gradients, state, weights)
    found = training.apply_updates(weights, updates)
    np.testing.assert_array_equal(found, state.masters.astype(dtype))
    np.testing.assert_array_equal(optax.apply_updates(weights, updates), found)
    # The master moves by the rounding of its update at most.
    allowed = 2.0**-22 * np.maximum(np.abs(masters), np.abs(targets))
    assert np.all(np.abs(np.asarray(state.masters, np.float64) - targets) <= allowed)


def test_a_step_that_the_loss_scale_skips_moves_no_weight_and_no_master():
    optimizer = training.master_weights(training.scaled(optax.adam(0.1), init=4.0))
    params = {**parameters(), "zero": jnp.array([-0.0, 0.0], jnp.bfloat16)}
    state, step = optimizer.init(params), jax.jit(optimizer.update)
    bad = {**gradients_like(params), "wide": jnp.array([1.0, jnp.inf, 1.0])}
    updates, after = step(bad, state, params)
    assert bits(training.apply_updates(params, updates)) == bits(params)
    assert bits(after.masters) == bits(state.masters)
    assert bits(after.inner.inner) == bits(state.inner.inner)
    assert float(after.inner.scaling.scale) == 2.0


def test_a_scale_outside_of_the_masters_skips_too():
    optimizer = training.scaled(training.master_weights(optax.adam(0.1)), init=4.0)
    params = parameters()
    state = optimizer.init(params)
    updates, after = optimizer.update(
        {**gradients_like(params), "wide": jnp.full(3, jnp.nan)}, state, params
    )
    assert bits(training.apply_updates(params, updates)) == bits(params)
    assert bits(after.inner) == bits(state.inner)


def test_weights_changed_by_other_hands_return_to_the_masters():
    optimizer = training.master_weights(optax.sgd(0.0))
    weights = parameters()
    state = optimizer.init(weights)
    moved = jax.tree.map(lambda p: p if p.dtype == jnp.float32 else p + p, weights)
    updates, _ = optimizer.update(gradients_like(weights), state, moved)
    assert bits(training.apply_updates(moved, updates)) == bits(weights)


def test_masters_may_be_of_double_precision(x64):
    optimizer = training.master_weights(optax.sgd(1.0), dtype="fp64")
    weight = jnp.ones(3, jnp.float32)
    state = optimizer.init(weight)
    for _ in range(4):
        updates, state = optimizer.update(jnp.full(3, 2.0**-25, jnp.float32), state, weight)
        weight = training.apply_updates(weight, updates)
    np.testing.assert_array_equal(state.masters, np.full(3, 1 - 2.0**-23))
    np.testing.assert_array_equal(weight, np.full(3, 1 - 2.0**-23, np.float32))


def test_rounding_at_random_follows_the_updates_without_masters():
    steps, rate, size = 512, 2.0**-12, 256
    optimizer = training.stochastic_weights(optax.sgd(1.0), key=3)

    @jax.jit
    def trained(weights):
        def one(carry, _):
            weights, state = carry
            updates, state = optimizer.update(jnp.full(size, rate), state, weights)
            return (training.apply_updates(weights, updates), state), None

        return jax.lax.scan(one, (weights, optimizer.init(weights)), None, steps)[0][0]

    found = np.asarray(trained(jnp.ones(size, jnp.bfloat16)), np.float64)
    # Steps of bf16 below 1 are 2^-8, taken with probability rate / 2^-8: a binomial walk.
    deviation = 2.0**-8 * np.sqrt(steps * rate / 2.0**-8)
    assert abs(found.mean() - (1 - steps * rate)) <= 5 * deviation / np.sqrt(size)
    assert np.all(np.abs(found - (1 - steps * rate)) <= 6 * deviation)


def test_rounding_at_random_repeats_with_its_key_and_differs_with_another():
    params = parameters()
    gradients = gradients_like(params, 0.1)

    def moved(key):
        optimizer = training.stochastic_weights(optax.sgd(1.0), key)
        updates, state = optimizer.update(gradients, optimizer.init(params), params)
        return training.apply_updates(params, updates), state

    (first, state), (again, _), (other, _) = moved(0), moved(jax.random.key(0)), moved(1)
    assert bits(first) == bits(again)
    assert bits(first["w"]) != bits(other["w"])
    assert bits(first["wide"]) == bits(other["wide"]) == bits(params["wide"] - gradients["wide"])
    assert not bool(
        jnp.all(jax.random.key_data(state.key) == jax.random.key_data(jax.random.key(0)))
    )


def test_a_layer_in_bf16_with_masters_learns_what_one_in_fp32_does():
    x = jnp.asarray(RNG.normal(size=(64, 3)), jnp.float32)
    y = x @ jnp.array([[1.0], [-2.0], [0.5]]) + 0.25
    layer = op.linear(3, 1, key=0, dtype="bf16")
    optimizer = training.master_weights(training.scaled(optax.adam(0.05), init=2.0**10))

    @jax.jit
    def step(layer, state):
        def loss(layer):
            error = op.mse(layer(x.astype(jnp.bfloat16)).astype(jnp.float32), y)
            return training.scale_loss(error, state.inner.scaling), error

        gradients, error = jax.grad(loss, has_aux=True)(layer)
        updates, state = optimizer.update(gradients, state, layer)
        return training.apply_updates(layer, updates), state, error

    state, error = optimizer.init(layer), jnp.inf
    for _ in range(200):
        layer, state, error = step(layer, state)
    # bf16 holds the weights to 2^-9 of themselves, and so the result to about 2^-7.
    assert float(error) < 2.0**-12
    assert layer.weight.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: training.master_weights(optax.sgd(1.0), "int8"), "E_GRAPH_INVALID", "no float"),
        (lambda: training.master_weights(optax.sgd(1.0), "fp64"), "E_TARGET_CODEGEN", "64-bit"),
        (lambda: training.stochastic_weights(optax.sgd(1.0), None), "E_GRAPH_INVALID", "missing"),
        (
            lambda: training.master_weights(optax.sgd(1.0)).update(jnp.ones(1), None),
            "E_GRAPH_INVALID",
            "params is missing",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, code, says):
    with pytest.raises(CompileError, match=says) as caught:
        call()
    assert caught.value.code is Code[code]


def test_optax_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tessera\[training\]"):
        training.scaled(None)
