"""`sin`, `cos`, `tan`: accuracy over the whole range, special values, and the formulation that is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera.ops.sin import SMALLEST_SIZE, cos, sin, tan

PAIRS = [
    pytest.param(sin, np.sin, id="sin"),
    pytest.param(cos, np.cos, id="cos"),
    pytest.param(tan, np.tan, id="tan"),
]
LIMIT = np.float32(1e4)


def errors_in_ulp(op, exact, x):
    """Errors of the polynomial in units of the last place of the float32 result."""
    y = np.asarray(jax.jit(lambda x: op.bind(x, algorithm="polynomial"))(x), np.float64)
    expected = exact(x.astype(np.float64))
    return np.abs(y - expected) / np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)


def floats_between(low, high, count):
    """`count` float32 spread evenly over the representable values of [low, high)."""
    first, last = (int(np.float32(x).view(np.uint32)) for x in (low, high))
    return np.linspace(first, last - 1, count).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize(("op", "exact"), PAIRS)
def test_error_is_at_most_two_ulp_below_ten_thousand(op, exact):
    x = floats_between(2.0**-20, LIMIT, 2_000_000)
    assert errors_in_ulp(op, exact, x).max() <= 2
    assert errors_in_ulp(op, exact, -x).max() <= 2


@pytest.mark.parametrize(("op", "exact"), PAIRS)
def test_error_is_at_most_two_ulp_next_to_every_multiple_of_half_pi(op, exact):
    nearest = (np.arange(1, 6366) * (np.pi / 2)).astype(np.float32)
    below = np.nextafter(nearest, np.float32(0))
    above = np.nextafter(nearest, LIMIT)
    assert errors_in_ulp(op, exact, np.concatenate([below, nearest, above])).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("op", "exact"), PAIRS)
def test_error_is_at_most_two_ulp_at_every_float_from_one_to_ten_thousand(op, exact):
    first, last = (int(np.float32(x).view(np.uint32)) for x in (1, LIMIT))
    for start in range(first, last, 2**22):
        x = np.arange(start, min(start + 2**22, last), dtype=np.uint32).view(np.float32)
        assert errors_in_ulp(op, exact, x).max() <= 2


@pytest.mark.parametrize(("op", "plain"), [(sin, jnp.sin), (cos, jnp.cos)], ids=["sin", "cos"])
@pytest.mark.parametrize("outlier", [1e4, -1e4, 1e30, np.inf, -np.inf])
@pytest.mark.parametrize("nan", [False, True])
def test_one_element_beyond_the_range_sends_the_array_through_jnp(op, plain, outlier, nan):
    x = np.linspace(-50, 50, 2 * SMALLEST_SIZE, dtype=np.float32)
    x[3] = outlier
    if nan:
        x[-5] = np.nan  # XLA's CPU maximum would lose the outlier that came before it
    np.testing.assert_array_equal(jax.jit(op)(x), jax.jit(plain)(x))


@pytest.mark.parametrize(("op", "exact"), PAIRS)
def test_nan_stays_where_it_is(op, exact):
    x = np.full(2 * SMALLEST_SIZE, 0.5, np.float32)
    x[7] = np.nan
    y = np.asarray(op(x))
    assert np.isnan(y[7])
    np.testing.assert_allclose(np.delete(y, 7), exact(0.5), rtol=2e-7)


def test_sine_keeps_the_sign_of_zero_and_subnormal_numbers():
    tiny = np.array([0.0, -0.0, 1e-40, -1e-40, 1e-45, 1e-38, -1e-38], np.float32)
    x = np.resize(tiny, 7 * SMALLEST_SIZE)
    y = np.asarray(sin(x))
    np.testing.assert_array_equal(y.view(np.uint32), x.view(np.uint32))


@pytest.mark.parametrize(("op", "exact"), PAIRS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_low_precision_is_the_rounded_result(op, exact, dtype):
    x = jnp.linspace(-30, 30, 2 * SMALLEST_SIZE).astype(dtype)
    wide = exact(np.asarray(x).astype(np.float64))
    spacing = float(jnp.finfo(dtype).eps)  # one unit in the last place, relative, at most
    np.testing.assert_allclose(np.asarray(op(x)).astype(np.float64), wide, rtol=spacing, atol=1e-7)


def test_large_arrays_use_the_polynomial_and_small_or_wide_ones_do_not(x64):
    def uses_polynomial(x):
        # jnp.sin needs no bit operations; the polynomial flips signs with them.
        return "stablehlo.xor" in jax.jit(sin).lower(x).as_text()

    assert uses_polynomial(jnp.zeros(SMALLEST_SIZE, jnp.float32))
    assert not uses_polynomial(jnp.zeros(SMALLEST_SIZE - 1, jnp.float32))
    assert not uses_polynomial(jnp.zeros(SMALLEST_SIZE, jnp.float64))


def test_batching_keeps_the_polynomial_and_its_branch():
    x = jnp.zeros((4, SMALLEST_SIZE))
    text = jax.jit(jax.vmap(sin)).lower(x).as_text()
    assert "stablehlo.case" in text or "stablehlo.if" in text


@pytest.mark.parametrize(("op", "exact"), PAIRS)
def test_a_large_sharded_array_stays_sharded(op, exact):
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("dp"))
    values = np.linspace(-9, 9, 8 * SMALLEST_SIZE, dtype=np.float32).reshape(8, -1)
    compiled = jax.jit(op).lower(jax.device_put(values, sharding)).compile()
    y = compiled(jax.device_put(values, sharding))
    assert "all-gather" not in compiled.as_text()
    assert y.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_allclose(y, exact(values.astype(np.float64)), atol=2e-7)


def test_large_arrays_work_on_an_explicit_mesh_and_inside_shard_map():
    values = np.linspace(-9, 9, 8 * SMALLEST_SIZE, dtype=np.float32).reshape(8, -1)
    expected = np.cos(values.astype(np.float64))
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Explicit,))
    spec = jax.sharding.PartitionSpec("dp")
    with jax.set_mesh(mesh):
        placed = jax.device_put(values, jax.sharding.NamedSharding(mesh, spec))
        slopes = jax.jit(jax.vmap(jax.vmap(jax.grad(sin))))(placed)
        np.testing.assert_allclose(slopes, expected, atol=3e-7)
    auto = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    local = jax.shard_map(cos, mesh=auto, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(local)(values), expected, atol=3e-7)


def test_higher_derivatives_follow_the_sine():
    x = jnp.linspace(-3.0, 3.0, 2 * SMALLEST_SIZE)

    def derivative(f):
        return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]

    fourth = derivative(derivative(derivative(derivative(sin))))
    np.testing.assert_allclose(fourth(x), np.sin(np.asarray(x, np.float64)), atol=3e-7)
