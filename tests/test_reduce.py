"""Means, extremes and products: their values, their bits on any number of devices, their derivatives."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import dist, op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

NUMPY = {"mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod, "sum": np.sum}
EVERY = ["mean", "max", "min", "prod"]
AXES = [None, 0, -1, (0, 2), [1, 2]]
X = np.random.default_rng(0).uniform(0.5, 1.5, (3, 24, 5)).astype(np.float32)


def reduction(name):
    return getattr(op, f"reduce_{name}")


def bits(x) -> bytes:
    return np.asarray(x).tobytes()


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", EVERY)
def test_values_equal_numpy_in_float64(name, axis):
    along = None if axis is None else tuple(np.atleast_1d(axis))
    for dtype in ("float32", "bfloat16", "float16"):
        x = jnp.asarray(X, dtype)
        for keepdims in (False, True):
            expected = NUMPY[name](np.asarray(x, np.float64), axis=along, keepdims=keepdims)
            found = reduction(name)(x, axis, keepdims=keepdims)
            assert found.dtype == dtype
            rtol, atol = numerics.tolerance(dtype)
            np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol, atol)


@pytest.mark.parametrize("name", EVERY)
def test_jit_and_vmap_change_nothing(name):
    plain = reduction(name)(X, 1)
    along_axis = functools.partial(reduction(name), axis=0)
    np.testing.assert_array_equal(jax.jit(along_axis)(X), reduction(name)(X, 0))
    np.testing.assert_allclose(jax.vmap(along_axis)(X), plain, rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_derivatives_equal_finite_differences(name, x64):
    x = X.astype(np.float64)
    run = functools.partial(reduction(name), axis=1)

    def along(t):
        return float(jnp.sum(jnp.sin(run(x + t * np.cos(7 * x)))))

    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(run(x))))(x)
    # A central difference with step 1e-5 is right to about 1e-9.
    expected = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(np.sum(gradient * np.cos(7 * x)), expected, rtol=1e-6)


def test_the_short_names_are_the_same_objects():
    for name in NUMPY:
        assert getattr(op, name) is reduction(name)


@pytest.mark.parametrize("name", NUMPY)
def test_reduce_takes_the_operation_as_a_word(name):
    np.testing.assert_array_equal(op.reduce(X, name, 1), reduction(name)(X, 1))
    np.testing.assert_array_equal(op.reduce(X, op=name), reduction(name)(X))
    kept = op.reduce(X, op=name, axis=0, keepdims=True)
    np.testing.assert_array_equal(kept, reduction(name)(X, 0, keepdims=True))


# -- bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48, 6), (8 * 17, 2)])
@pytest.mark.parametrize("name", ["mean", "prod"])
def test_the_bits_do_not_depend_on_the_number_of_devices(name, shape):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    run = functools.partial(reduction(name), axis=0)
    found = {bits(run(x)), bits(jax.jit(run)(x))}
    for count in (1, 2, 4, 8):
        mesh, layout = dist.Mesh(axes=["dp"], devices=range(count)), dist.ShardSpec((0,), ("dp",))
        sharded = dist.tensor(x, layout=layout, mesh=mesh)
        found |= {bits(run(sharded)), bits(jax.jit(run)(sharded))}
        found.add(bits(run(x, layout=layout, mesh=mesh)))
    assert len(found) == 1


def test_the_order_of_these_factors_matters():
    x = np.random.default_rng(1).normal(size=48).astype(np.float32)
    assert len({bits(functools.reduce(np.multiply, x[::step])) for step in (1, -1)}) == 2


@pytest.mark.parametrize("name", EVERY)
def test_a_layout_describes_the_operand_and_the_result_is_replicated_over_what_was_reduced(name):
    mesh = dist.Mesh(axes=["a", "b"], devices=range(8), shape=(4, 2))
    x = X[0, :, :4]
    layout = dist.ShardSpec((0, 1), ("a", "b"))
    found = reduction(name)(x, 0, layout=layout, mesh=mesh)
    assert tuple(found.sharding.spec) == ("b",)
    np.testing.assert_allclose(found, reduction(name)(x, 0), rtol=1e-6)
    kept = reduction(name)(x, 0, keepdims=True, layout=layout, mesh=mesh)
    assert kept.shape == (1, 4)


@pytest.mark.parametrize("name", EVERY)
def test_an_axis_of_an_explicit_mesh_is_reduced(name):
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(X[0], jax.sharding.NamedSharding(mesh, jax.P("dp")))
        for axis in (0, 1):
            found = jax.jit(functools.partial(reduction(name), axis=axis))(x)
            np.testing.assert_allclose(found, reduction(name)(X[0], axis), rtol=1e-6)


# -- dtypes -------------------------------------------------------------------------------------------------


def test_low_precision_accumulates_wide():
    assert op.mean(jnp.ones(4096, jnp.bfloat16)).item() == 1.0
    x = jnp.full(600, 1 + 2**-7, jnp.bfloat16)  # each product of two would be rounded to 8 bits
    np.testing.assert_allclose(float(op.prod(x)), (1 + 2**-7) ** 600, rtol=2**-8)


def test_integers_have_a_float_mean_and_an_exact_product():
    x = jnp.array([[1, 2], [3, 5]], jnp.int8)
    assert op.mean(x, 0).tolist() == [2.0, 3.5]
    assert op.mean(x).dtype == jnp.float32
    assert op.prod(jnp.full(4, 100, jnp.int8)).item() == 10**8
    assert op.prod(jnp.array([True, False])).item() == 0
    assert op.max(x).dtype == jnp.int8
    assert op.max(jnp.array([True, False])).item()


def test_a_mean_in_another_dtype():
    assert op.mean(jnp.ones(3, jnp.bfloat16), dtype="fp32").dtype == jnp.float32
    assert op.mean(jnp.ones(3), dtype="bf16").dtype == jnp.bfloat16
    for x, dtype in ((jnp.ones(3), "int32"), (jnp.ones(3, jnp.complex64), "fp32")):
        with pytest.raises(CompileError, match="cannot hold a mean of") as caught:
            op.mean(x, dtype=dtype)
        assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="64-bit mode") as caught:
        op.mean(jnp.ones(3), dtype="fp64")
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_complex_numbers_have_a_mean_and_a_product():
    x = jnp.array([1 + 1j, 2 - 1j, 0.5j])
    np.testing.assert_allclose(op.mean(x), np.mean(np.asarray(x)), rtol=1e-6)
    np.testing.assert_allclose(op.prod(x), np.prod(np.asarray(x)), rtol=1e-6)


def test_a_compensated_mean_is_that_of_the_compensated_sum():
    x = jnp.array([1.0, 1e8, 1.0, -1e8])
    assert op.mean(x, method="kahan").item() == 0.5


# -- corners ------------------------------------------------------------------------------------------------


def test_the_product_of_nothing_is_one():
    assert op.prod(jnp.zeros(0)).item() == 1.0
    assert op.prod(jnp.zeros((0, 3)), 0).tolist() == [1.0, 1.0, 1.0]
    assert op.sum(jnp.zeros(0)).item() == 0.0
    assert op.prod([]).item() == 1.0


@pytest.mark.parametrize("name", ["mean", "max", "min"])
def test_the_rest_of_nothing_is_refused(name):
    for empty in (jnp.zeros(0), jnp.zeros((3, 0)), []):
        with pytest.raises(CompileError, match=f"reduce_{name}: there is no element") as caught:
            reduction(name)(empty)
        assert caught.value.code is Code.E_SHAPE_MISMATCH
    assert reduction(name)(jnp.zeros((0, 3)), 1).shape == (0,)


@pytest.mark.parametrize("name", EVERY)
def test_a_list_is_reduced_entry_by_entry(name):
    found = reduction(name)([X[0], X[1], jnp.asarray(X[2])])
    np.testing.assert_allclose(found, NUMPY[name](X, axis=0), rtol=1e-6)
    with pytest.raises(CompileError, match="a list is") as caught:
        reduction(name)([X[0], X[1]], 0)
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match=r"x\[1\] is") as caught:
        reduction(name)([X[0], X[0, 0]])
    assert caught.value.code is Code.E_SHAPE_MISMATCH


@pytest.mark.parametrize("name", EVERY)
def test_a_scalar_and_no_axes_give_the_array(name):
    assert reduction(name)(3.0).item() == 3.0
    np.testing.assert_array_equal(reduction(name)(X, ()), X)


@pytest.mark.parametrize("name", ["max", "min"])
def test_a_nan_is_kept_and_ties_share_the_gradient(name):
    assert np.isnan(reduction(name)(jnp.array([1.0, np.nan, 2.0])))
    gradient = jax.grad(reduction(name))(jnp.array([2.0, 2.0, 2.0, 2.0]))
    assert gradient.tolist() == [0.25] * 4


def test_a_product_of_zero_has_no_sign():
    assert not np.signbit(op.prod(jnp.array([-1.0, 0.0])))
    assert not np.signbit(jax.jit(op.prod)(jnp.array([-1e-30, 1e-30])))


def test_the_gradient_of_a_product_holds_where_factors_are_zero():
    assert jax.grad(op.prod)(jnp.array([2.0, 0.0, 3.0])).tolist() == [0.0, 6.0, 0.0]
    assert jax.grad(op.prod)(jnp.array([2.0, 0.0, 0.0])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 23, 40])
def test_products_of_any_length(size):
    x = np.random.default_rng(2).uniform(0.5, 1.5, size).astype(np.float32)
    np.testing.assert_allclose(op.prod(x), math.prod(x.astype(np.float64).tolist()), rtol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_bad_axes_and_operands_are_refused(name):
    run = reduction(name)
    with pytest.raises(
        CompileError, match=f"reduce_{name}: axis 3 of an array of rank 3"
    ) as caught:
        run(X, 3)
    assert caught.value.code is Code.E_SHAPE_MISMATCH
    with pytest.raises(CompileError, match="repeats an axis of an array of rank 3") as caught:
        run(X, (0, -3))
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match=r"axis is 1\.5, not an integer") as caught:
        run(X, 1.5)
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="is a str, not an array") as caught:
        run("x")
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError) as caught:
        run(jax.random.key(0))
    assert caught.value.code is Code.E_TARGET_CODEGEN
