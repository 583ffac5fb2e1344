"""`layernorm`, `rmsnorm` and `softmax`: numerics, axes, gradients of large arrays, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.ops.layernorm import layernorm
from tessera.ops.rmsnorm import rmsnorm
from tessera.ops.softmax import softmax

RANDOM = np.random.default_rng(3)


def draw(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def exact_layernorm(x, weight=1.0, bias=0.0, axis=-1):
    x = np.asarray(x, np.float64)
    centred = x - x.mean(axis, keepdims=True)
    return centred / np.sqrt(x.var(axis, keepdims=True) + 1e-5) * weight + bias


def plain_layernorm(x, weight, bias):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + 1e-5) * weight[None, :] + bias[None, :]


def plain_rmsnorm(x, weight):
    return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5) * weight[None, :]


def gradients(function, operands, ct):
    """Gradients in float64 by JAX's own rules, or of the op when that is what it gets."""
    return jax.jit(lambda *xs: jax.vjp(function, *xs)[1](ct))(*operands)


def wide(arrays):
    return tuple(jnp.asarray(x, jnp.float64) for x in arrays)


@pytest.mark.parametrize("mean", [1e3, -1e5])
def test_a_mean_far_above_the_deviation_costs_layernorm_no_digits(mean):
    x = (mean + draw(8, 256)).astype(np.float32)
    # Fewer digits cannot be asked: x itself carries them to eps * |mean|.
    np.testing.assert_allclose(layernorm(x), exact_layernorm(x), atol=4 * 1.2e-7 * abs(mean))
    # One pass, E[x^2] - E[x]^2, would miss the variance altogether.
    one_pass = np.mean(x * x, -1, dtype=np.float32) - np.mean(x, -1, dtype=np.float32) ** 2
    assert np.max(np.abs(one_pass - np.var(x.astype(np.float64), -1))) > 0.05


def test_layernorm_of_a_constant_row_is_its_bias():
    bias = draw(16)
    y = layernorm(np.full((3, 16), 7.5, np.float32), weight=draw(16), bias=bias)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, (3, 16)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_layernorm_takes_any_axis(axis):
    x = draw(4, 5, 6)
    weight, bias = draw(x.shape[axis]), draw(x.shape[axis])
    shape = [1, 1, 1]
    shape[axis] = -1
    expected = exact_layernorm(x, weight.reshape(shape), bias.reshape(shape), axis)
    y = layernorm(x, weight=weight, bias=bias, axis=axis)
    np.testing.assert_allclose(y, expected, *numerics.tolerance(jnp.float32))


def test_low_precision_input_keeps_its_dtype_beside_float32_weights():
    x, weight, bias = jnp.asarray(draw(4, 64), jnp.bfloat16), draw(64), draw(64)
    y = layernorm(x, weight=weight, bias=bias)
    assert y.dtype == jnp.bfloat16
    expected = exact_layernorm(np.asarray(x, np.float64), weight, bias)
    rtol, atol = numerics.tolerance(jnp.bfloat16)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol, atol)
    slope = jax.grad(lambda w: jnp.sum(rmsnorm(x, weight=w).astype(jnp.float32)))(weight)
    assert slope.dtype == jnp.float32


@pytest.mark.parametrize("rows", [96, 128 * 33, 128 * 33 + 5])
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_gradients_equal_those_of_plain_jax_at_every_size(norm, rows, x64):
    ours, plain, vectors = {
        "layernorm": (lambda x, w, b: layernorm(x, weight=w, bias=b), plain_layernorm, 2),
        "rmsnorm": (lambda x, w: rmsnorm(x, weight=w), plain_rmsnorm, 1),
    }[norm]
    operands = (draw(rows, 256), *(draw(256) for _ in range(vectors)))
    ct = draw(rows, 256)
    found = gradients(ours, tuple(map(jnp.asarray, operands)), jnp.asarray(ct))
    expected = gradients(plain, wide(operands), jnp.asarray(ct, jnp.float64))
    for a, b in zip(found, expected, strict=True):
        # Sums over `rows` terms of size one: rounding grows with their root mean square.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.sqrt(rows))


def test_large_gradients_go_by_blocks_of_rows_also_inside_shard_map():
    x, ct, weight = draw(8 * 128 * 9, 1024), draw(8 * 128 * 9, 1024), draw(1024)
    ours = partial(gradients, lambda x, w: rmsnorm(x, weight=w))
    assert "stablehlo.while" in jax.jit(ours).lower((x, weight), ct).as_text()
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = jax.sharding.PartitionSpec("dp"), jax.sharding.PartitionSpec()

    def total(x, weight):
        def local(x, ct, weight):
            return jax.lax.psum(jnp.sum(rmsnorm(x, weight=weight) * ct), "dp")

        per_device = jax.shard_map(local, mesh=mesh, in_specs=(rows, rows, whole), out_specs=whole)
        return per_device(x, ct, weight)

    found = jax.jit(jax.grad(total, (0, 1)))(x, weight)
    expected = gradients(plain_rmsnorm, (x, weight), ct)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6 * np.sqrt(x.shape[0]))


@pytest.mark.parametrize("rows", [512, 4096])
def test_forward_and_backward_make_no_temporary_as_large_as_their_input(rows):
    operands = (draw(rows, 1024), draw(1024), draw(1024))

    def both(x, w, b, ct):
        y, pull = jax.vjp(lambda x, w, b: layernorm(x, weight=w, bias=b), x, w, b)
        return y, pull(ct)

    compiled = jax.jit(both).lower(*operands, draw(rows, 1024)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < operands[0].nbytes / 4


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_softmax_equals_scipy_on_any_axis(axis):
    x = 5 * draw(7, 9)
    expected = scipy.special.softmax(x.astype(np.float64), axis=axis)
    np.testing.assert_allclose(softmax(x, axis), expected, *numerics.tolerance(jnp.float32))


def test_softmax_of_any_finite_input_is_finite_and_at_most_one():
    x = np.array([[3e38, -3e38, 0.0], [1e4, 1e4 - 1, 0.0], [-3e38, -3e38, -3e38]], np.float32)
    y = np.asarray(softmax(x))
    assert np.all((y >= 0) & (y <= 1))
    np.testing.assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(softmax(x) ** 2))(jnp.asarray(x))
    assert np.all(np.isfinite(slope))


def test_softmax_gives_hidden_entries_no_weight_and_a_wholly_hidden_row_nan():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf] * 3], np.float32)
    y = np.asarray(softmax(x))
    np.testing.assert_array_equal(y[0], [0.5, 0.0, 0.5])
    assert np.all(np.isnan(y[1]))


def test_unstable_softmax_is_the_bare_quotient():
    x = draw(4, 5)
    np.testing.assert_allclose(
        softmax(x, stable=False), scipy.special.softmax(x, axis=-1), rtol=1e-6
    )
    assert np.isnan(np.asarray(softmax(np.array([100.0, 0.0], np.float32), stable=False))).any()


@pytest.mark.parametrize("op", [layernorm, softmax])
@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_does_not_exist_is_refused(op, axis):
    with pytest.raises(CompileError, match=f"axis {axis} of an array of rank 2") as caught:
        op(draw(4, 5), axis=axis)
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_a_weight_that_does_not_fit_is_refused_with_both_sizes():
    with pytest.raises(CompileError, match=r"axis 'n' is 5 in argument 'x' but 4") as caught:
        rmsnorm(draw(3, 5), weight=draw(4))
    assert caught.value.code is Code.E_SHAPE_MISMATCH
