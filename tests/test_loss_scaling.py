"""Loss scaling: the sequence of doubling, halving, skipping and failing, against a simulation in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tessera import training
from tessera.core.errors import Code, CompileError, NumericsError

pytestmark = pytest.mark.newest

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def implicit_promotion():
    """Runs a test as optax needs it: Adam divides floats by powers of integers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def simulated(overflows, init, interval, floor):
    """The scale, good steps and failure after each step, by the rules in words."""
    scale, good, failed = init, 0, False
    for overflow in overflows:
        if overflow:
            failed = failed or scale == floor
            scale, good = max(scale / 2, floor), 0
        else:
            good += 1
            if good == interval:
                scale, good = scale * 2, 0
        yield scale, good, failed


def gradient(overflow):
    return {"w": jnp.array([1.0, jnp.inf if overflow else 2.0]), "b": jnp.array(3.0)}


@pytest.mark.parametrize(
    ("init", "interval", "floor", "chance"),
    [(8.0, 3, 1.0, 0.2), (2.0**15, 2, 2.0**10, 0.5), (4.0, 1, 4.0, 0.3), (6.0, 4, 1.0, 0.4)],
)
def test_the_scale_doubles_halves_and_stops_as_in_a_simulation(init, interval, floor, chance):
    overflows = RNG.random(40) < chance
    state, _, unscale = training.loss_scaling(init, interval, floor)
    step = jax.jit(lambda g, s: unscale(g, s))
    for overflow, expected in zip(
        overflows, simulated(overflows, init, interval, floor), strict=True
    ):
        scale = float(state.scale)
        found, finite, state = step(gradient(overflow), state)
        assert bool(finite) is not bool(overflow)
        assert (float(state.scale), int(state.good_steps), bool(state.failed)) == expected
        np.testing.assert_allclose(found["b"], 3.0 / scale, rtol=1e-6)


def test_the_defaults_are_those_of_the_specification():
    state = training.loss_scaling()[0]
    assert (float(state.scale), state.growth_interval, state.floor) == (2.0**15, 2000, 1.0)


def test_a_scale_of_a_power_of_two_comes_out_exactly():
    x = jnp.asarray(RNG.normal(size=100), jnp.float32)
    state, scale, unscale = training.loss_scaling(init=2.0**12)
    found, _, _ = unscale(jax.grad(lambda x: scale(jnp.sum(jnp.sin(x)), state))(x), state)
    np.testing.assert_array_equal(found, jax.grad(lambda x: jnp.sum(jnp.sin(x)))(x))


def test_small_gradients_survive_fp16_under_a_scale_and_not_without():
    w = jnp.full(4, 0.5, jnp.float16)

    def loss(w, state):
        return training.scale_loss(jnp.sum(w * jnp.float16(2.0**-14)) ** 2, state)

    lost = jax.grad(loss)(w, training.loss_scaling(1.0)[0])
    state = training.loss_scaling(2.0**12)[0]
    found, finite, _ = training.unscale_and_update(jax.grad(loss)(w, state), state)
    assert not np.any(np.asarray(lost))
    assert bool(finite)
    assert found.dtype == jnp.float32
    # 2 (4 * 0.5 * 2^-14) 2^-14, which fp16, down to 2^-24, does not hold.
    np.testing.assert_array_equal(found, np.full(4, 2.0**-26))


def test_the_scale_never_becomes_infinite():
    state, _, unscale = training.loss_scaling(2.0**127, growth_interval=1)
    for _ in range(3):
        _, _, state = unscale(gradient(False), state)
    assert float(state.scale) == 2.0**127


def test_an_overflow_at_the_floor_raises_outside_of_jit_and_is_kept_for_check_under_it():
    state, _, unscale = training.loss_scaling(init=2.0, floor=1.0)
    _, _, state = unscale(gradient(True), state)  # to the floor
    with pytest.raises(NumericsError, match=r"not finite at the floor, a scale of 1\.0") as caught:
        unscale(gradient(True), state)
    assert caught.value.code is Code.E_LOSS_SCALING
    training.check(state)
    step = jax.jit(lambda g, s: unscale(g, s)[2])
    failed = step(gradient(False), step(gradient(True), state))  # a good step does not hide it
    with pytest.raises(NumericsError) as caught:
        training.check(failed)
    assert caught.value.code is Code.E_LOSS_SCALING


@pytest.mark.parametrize(
    "given", [{"init": 0.5}, {"floor": 0.0}, {"growth_interval": 0}, {"init": float("inf")}]
)
def test_a_scale_out_of_range_is_refused(given):
    with pytest.raises(CompileError, match="0 < floor <= init") as caught:
        training.loss_scaling(**given)
    assert caught.value.code is Code.E_GRAPH_INVALID


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def test_a_skipped_step_leaves_every_bit_of_parameters_and_optimiser():
    optimizer = training.scaled(optax.adam(0.1), init=8.0, growth_interval=100)
    params = {"w": jnp.array([1.0, -0.0]), "b": jnp.array(0.0)}
    step = jax.jit(optimizer.update)
    updates, state = step(gradient(False), optimizer.init(params), params)
    moved = training.apply_updates(params, updates)
    moved["w"] = moved["w"].at[1].set(-0.0)
    updates, after = step(gradient(True), state, moved)
    assert bits(after.inner) == bits(state.inner)
    assert bits(training.apply_updates(moved, updates)) == bits(moved)
    assert bits(optax.apply_updates(moved, updates)) == bits(moved)
    assert float(after.scaling.scale) == 4.0


def test_a_scaled_optimiser_does_what_the_plain_one_does_on_good_steps():
    """Against optax on the gradients that did not overflow, with the steps in a simulation of the scale."""
    overflows = RNG.random(30) < 0.25
    gradients = RNG.normal(size=(30, 5)).astype(np.float32)
    plain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
    optimizer = training.scaled(plain, init=2.0**4, growth_interval=3, floor=2.0**-20)
    params = expected = jnp.ones(5)
    state, reference = optimizer.init(params), plain.init(expected)
    step, plain_step = jax.jit(optimizer.update), jax.jit(plain.update)
    rules = simulated(overflows, 2.0**4, 3, 2.0**-20)
    for g, overflow, (scale, _, _) in zip(gradients, overflows, rules, strict=True):
        scaled = jnp.asarray(g) * state.scaling.scale
        given = scaled.at[2].set(jnp.nan) if overflow else scaled
        updates, state = step(given, state, params)
        params = optax.apply_updates(params, updates)
        if not overflow:
            updates, reference = plain_step(jnp.asarray(g), reference, expected)
            expected = optax.apply_updates(expected, updates)
        assert float(state.scaling.scale) == scale
    np.testing.assert_allclose(params, expected, rtol=1e-6)


def test_a_scaled_optimiser_hands_extra_arguments_on():
    seen = []

    def update(updates, state, params=None, *, value):
        seen.append(value)
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    optimizer = training.scaled(inner, init=1.0)
    optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2), value=7)
    assert seen == [7]


def test_selection_is_bit_by_bit_and_takes_keys():
    tree = {"x": jnp.array([-0.0, jnp.nan]), "key": jax.random.key(1), "n": jnp.array(3)}
    other = {"x": jnp.array([0.0, 1.0]), "key": jax.random.key(2), "n": jnp.array(4)}
    data = lambda t: bits({**t, "key": jax.random.key_data(t["key"])})  # noqa: E731
    assert data(training.select(jnp.array(True), tree, other)) == data(tree)
    assert data(training.select(jnp.array(False), tree, other)) == data(other)
