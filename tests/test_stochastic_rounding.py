"""Stochastic rounding: both neighbours and nothing else, right on average, and the same on every mesh."""

import math

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import op
from tessera.core import stochastic
from tessera.core.errors import Code, CompileError

pytestmark = pytest.mark.newest

DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
}
WORDS = list(DTYPES)


def finite(dtype) -> np.ndarray:
    """Every finite number of a dtype."""
    width = np.dtype(dtype).itemsize * 8
    every = np.arange(2**width).astype(f"uint{width}").view(dtype)
    with np.errstate(invalid="ignore"):
        return every[np.isfinite(every)]


def neighbours(x: np.ndarray, dtype) -> tuple[np.ndarray, np.ndarray]:
    """The largest number of a dtype that is not above x, and the smallest that is not below, in float64."""
    grid = np.unique(finite(dtype).astype(np.float64))
    wide = x.astype(np.float64)
    low = grid[np.searchsorted(grid, wide, side="right") - 1]
    return low, grid[np.searchsorted(grid, wide, side="left")]


def rounded(x, word, key=0):
    return np.asarray(op.cast(x, word, stochastic_round=True, key=key)).astype(np.float64)


def spread(dtype, count=4000) -> np.ndarray:
    """Float32 numbers over the whole range of a dtype, its subnormal numbers included."""
    limits = ml_dtypes.finfo(dtype)
    low = max(float(np.log2(float(limits.smallest_subnormal))) - 3, -120)
    high = float(np.log2(float(limits.max)))
    draw = np.random.default_rng(0)
    size = np.minimum(2.0 ** draw.uniform(low, high, count), float(limits.max))
    return (size * draw.choice([-1.0, 1.0], count)).astype(np.float32)


@pytest.mark.parametrize("word", WORDS)
def test_a_number_becomes_one_of_its_two_neighbours(word):
    x = spread(DTYPES[word])
    found = rounded(x, word)
    low, high = neighbours(x, DTYPES[word])
    assert np.all((found == low) | (found == high))
    assert np.any(found == low)
    assert np.any((found == high) & (high > low))


@pytest.mark.parametrize("word", WORDS)
def test_the_mean_is_the_number_itself(word):
    draws = 20_000
    for value in (1.0, 1.3, -2.6171875, 3.3e-3, 100.7):
        x = np.full(draws, value, np.float32)
        low, high = (side[0] for side in neighbours(x, DTYPES[word]))
        found = rounded(x, word, key=3)
        chance = 0.0 if high == low else (float(x[0]) - low) / (high - low)
        # Five standard deviations of the mean of a choice between two numbers.
        allowed = 5 * (high - low) * math.sqrt(chance * (1 - chance) / draws)
        assert abs(found.mean() - float(x[0])) <= allowed


@pytest.mark.parametrize("word", WORDS)
def test_what_the_dtype_holds_stays_as_it_is(word):
    every = finite(DTYPES[word])
    normal = np.abs(every.astype(np.float64)) >= 2.0**-126  # a CPU counts smaller float32 as zero
    x = every[normal | (every == 0)]
    found = np.asarray(op.cast(x.astype(np.float32), word, stochastic_round=True, key=1))
    assert found.tobytes() == x.tobytes()


@pytest.mark.parametrize("word", WORDS)
def test_what_is_too_large_or_not_finite_becomes_what_a_cast_makes_of_it(word):
    largest = float(ml_dtypes.finfo(DTYPES[word]).max)
    x = jnp.array([jnp.inf, -jnp.inf, jnp.nan, 3.4e38, -3.4e38, largest, -largest], jnp.float32)
    found = op.cast(x, word, stochastic_round=True, key=2)
    np.testing.assert_array_equal(found.astype(jnp.float32), op.cast(x, word).astype(jnp.float32))


def test_a_long_sum_of_small_numbers_in_bf16_follows_the_true_sum():
    step, count = 2.0**-10, 4096

    @jax.jit
    def sums(key):
        def add(total, key):
            down, up = total
            nearest = (down.astype(jnp.float32) + step).astype(jnp.bfloat16)
            return (nearest, stochastic.rounded(up.astype(jnp.float32) + step, up.dtype, key)), None

        start = (jnp.ones((), jnp.bfloat16), jnp.ones(16, jnp.bfloat16))
        return jax.lax.scan(add, start, jax.random.split(key, count))[0]

    nearest, stochastically = sums(jax.random.key(0))
    assert float(nearest) == 1.0  # half of bf16's step at 1 is 2^-8
    # A step there is at most 2^-6, so one addition strays by sqrt(p) of it, p = step / 2^-6.
    deviation = 2.0**-6 * math.sqrt(count * step / 2.0**-6)
    found = np.asarray(stochastically, np.float64)
    assert abs(found.mean() - 5.0) <= 5 * deviation / 4
    assert np.all(np.abs(found - 5.0) <= 5 * deviation)


@pytest.mark.parametrize("word", ["bf16", "fp8_e4m3"])
def test_the_choice_depends_on_the_key_and_the_index_alone(word):
    x = jnp.asarray(spread(DTYPES[word], 48).reshape(24, 2))
    cast = jax.jit(lambda x: op.cast(x, word, stochastic_round=True, key=5))
    found = {np.asarray(cast(x)).tobytes()}
    found.add(np.asarray(op.cast(x, word, stochastic_round=True, key=jax.random.key(5))).tobytes())
    for count in (2, 3, 8):
        mesh = jax.make_mesh((count,), ("dp",), devices=jax.devices()[:count])
        found.add(np.asarray(cast(jax.device_put(x, NamedSharding(mesh, P("dp"))))).tobytes())
    assert len(found) == 1
    assert rounded(x, word, key=6).tobytes() != rounded(x, word, key=5).tobytes()


def test_keys_may_be_batched():
    x, keys = jnp.full((3, 50), 1.001), jax.random.split(jax.random.key(0), 3)
    found = jax.vmap(lambda x, key: op.cast(x, "bf16", stochastic_round=True, key=key))(x, keys)
    each = [rounded(row, "bf16", key) for row, key in zip(x, keys, strict=True)]
    np.testing.assert_array_equal(np.asarray(found, np.float64), np.stack(each))


def test_the_derivative_is_that_of_a_cast():
    x = jnp.array([1.001, -2.5, jnp.inf])

    def f(x, **how):
        return jnp.sum(op.cast(x, "bf16", **how).astype(jnp.float32) * jnp.array([1.0, 2.0, 3.0]))

    stochastically = {"stochastic_round": True, "key": 0}
    np.testing.assert_array_equal(jax.grad(f)(x, **stochastically), jax.grad(f)(x))
    tangent = jax.jvp(lambda x: op.cast(x, "fp16", **stochastically), (x,), (x,))[1]
    np.testing.assert_array_equal(tangent, x.astype(jnp.float16))
    with_key = jax.jit(jax.grad(lambda x, key: f(x, stochastic_round=True, key=key)))
    np.testing.assert_array_equal(with_key(x, jax.random.key(0)), jax.grad(f)(x))
    second = jax.jvp(jax.grad(lambda x: f(x, **stochastically)), (x,), (x,))[1]
    np.testing.assert_array_equal(second, jnp.zeros(3))


def test_the_key_of_an_array_follows_its_values_and_their_places():
    arrays = [jnp.array(x) for x in ([1.0, 2.0], [2.0, 1.0], [1.0, 3.0], [1.0, 2.0])]
    data = [np.asarray(jax.random.key_data(stochastic.key_of(x))).tobytes() for x in arrays]
    assert data[0] == data[3]
    assert len(set(data)) == 3


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda x: op.cast(x, "bf16", stochastic_round=True), "E_GRAPH_INVALID", "key is missing"),
        (lambda x: op.cast(x, "bf16", key=1), "E_GRAPH_INVALID", "key without stochastic_round"),
        (lambda x: op.cast(x, "int8", stochastic_round=True, key=1), "E_TARGET_CODEGEN", "int8"),
        (
            lambda x: op.cast(x.astype(jnp.int32), "bf16", stochastic_round=True, key=1),
            "E_TARGET_CODEGEN",
            "int32 to bfloat16",
        ),
    ],
)
def test_what_cannot_be_rounded_at_random_is_refused(call, code, says):
    with pytest.raises(CompileError, match=says) as caught:
        call(jnp.ones(3))
    assert caught.value.code is Code[code]
