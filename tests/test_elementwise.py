"""Elementwise functions and comparisons: NumPy's values, broadcasting and dtypes, and Tessera's errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

UNARY = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "square": np.square, "sine": np.sin}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "pointwise_mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "minimum": np.minimum,
    "maximum": np.maximum,
}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
# `op.div` also takes the divergence of a Field; these tests are of the quotient.
EVERY = [*UNARY, *BINARY, *COMPARISONS]
PAIRS = [*BINARY, *COMPARISONS]
POSITIVE = np.random.default_rng(0).uniform(0.25, 3.0, (2, 3, 5))
OTHER = np.random.default_rng(1).uniform(0.25, 3.0, (3, 1))


def arguments(name, dtype):
    given = (POSITIVE,) if name in UNARY else (POSITIVE, OTHER)
    return [jnp.asarray(x, dtype) for x in given]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", EVERY)
def test_values_equal_numpy_in_float64(name, dtype):
    given = arguments(name, dtype)
    expected = {**UNARY, **BINARY, **COMPARISONS}[name](*(np.asarray(x, np.float64) for x in given))
    rtol, atol = numerics.tolerance(dtype)
    for found in (getattr(op, name)(*given), jax.jit(getattr(op, name))(*given)):
        assert found.dtype == (jnp.bool_ if name in COMPARISONS else dtype)
        np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol, atol)


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_equals_its_entries(name):
    x, *rest = arguments(name, "float32")
    function = getattr(op, name)
    found = jax.vmap(lambda row: function(row, *rest))(x)
    expected = jnp.stack([function(row, *rest) for row in x])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_derivatives_equal_finite_differences(name, x64):
    given = [np.asarray(x, np.float64) for x in arguments(name, "float64")]
    function = getattr(op, name)

    def along(t):
        return float(jnp.sum(jnp.sin(function(*(x + t * np.cos(x) for x in given)))))

    gradients = jax.grad(lambda *xs: jnp.sum(jnp.sin(function(*xs))), range(len(given)))(*given)
    slope = sum(np.sum(g * np.cos(x)) for g, x in zip(gradients, given, strict=True))
    # A central difference with step 1e-5 is right to about 1e-9.
    np.testing.assert_allclose(slope, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-7)


def test_second_names_are_the_same_objects():
    assert op.pointwise_mul is op.mul
    assert op.sine is op.sin


def test_integers_stay_integers_where_the_result_is_one():
    a, b = jnp.array([7, -7]), jnp.array([2, 3])
    for name in ("add", "sub", "mul", "minimum", "maximum"):
        found = getattr(op, name)(a, b)
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, BINARY[name](np.asarray(a), np.asarray(b)))
    assert op.pow(a, 2).tolist() == [49, 49]
    assert op.square(a).tolist() == [49, 49]
    assert op.exp(b).dtype == op.div(a, b).dtype == jnp.float32
    np.testing.assert_allclose(op.div(a, b), [3.5, -7 / 3], rtol=1e-6)


def test_mixed_dtypes_promote_although_implicit_promotion_is_off():
    half, single = jnp.ones(2, jnp.float16), jnp.full(2, 0.1, jnp.float32)
    with pytest.raises(jax.dtypes.TypePromotionError):
        half + single
    assert op.add(half, single).dtype == jnp.float32
    assert op.mul(half, 0.5).dtype == jnp.float16
    assert op.mul(jnp.array([True, False]), single).tolist() == [single[0], 0.0]
    assert op.add(jnp.ones(2, jnp.bfloat16), half).dtype == jnp.float32


def test_division_is_ieee():
    found = np.asarray(op.div(jnp.array([1.0, -1.0, 0.0, 1.0]), jnp.array([0.0, 0.0, 0.0, -0.0])))
    np.testing.assert_array_equal(found, [np.inf, -np.inf, np.nan, -np.inf])
    assert np.isneginf(op.log(0.0))
    assert np.isnan(op.log(-1.0))
    assert np.isnan(op.sqrt(-1.0))


def test_a_nan_is_kept_and_compares_as_nothing():
    nan = jnp.array([np.nan])
    for name in ("minimum", "maximum"):
        assert np.isnan(getattr(op, name)(nan, 1.0)).all()
        assert np.isnan(getattr(op, name)(1.0, nan)).all()
    for name in COMPARISONS:
        assert getattr(op, name)(nan, nan).item() == (name == "ne")


def test_what_ties_shares_the_gradient():
    for name in ("minimum", "maximum"):
        assert [float(g) for g in jax.grad(getattr(op, name), (0, 1))(2.0, 2.0)] == [0.5, 0.5]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_carry_no_gradient(name):
    chosen = jax.grad(lambda x: jnp.sum(jnp.where(getattr(op, name)(x, 1.0), x, 0.0)))
    found = chosen(jnp.array([0.5, 1.0, 2.0]))
    np.testing.assert_array_equal(found, COMPARISONS[name](np.array([0.5, 1.0, 2.0]), 1.0))


@pytest.mark.parametrize("name", PAIRS)
def test_empty_scalar_and_single_axes_broadcast(name):
    function = getattr(op, name)
    assert function(jnp.ones((0, 3)), jnp.ones(3)).shape == (0, 3)
    assert function(jnp.ones((2, 1)), jnp.ones((1, 4))).shape == (2, 4)
    assert function(1.0, jnp.ones((2, 3))).shape == (2, 3)
    assert function(1.0, 2.0).shape == ()


@pytest.mark.parametrize("name", PAIRS)
def test_shapes_that_do_not_broadcast_are_refused(name):
    said = rf"{name}: shapes \(2, 3\) of 'a' and \(4,\) of 'b' do not broadcast"
    name = "mul" if name == "pointwise_mul" else name
    said = said.replace("pointwise_mul", "mul")
    with pytest.raises(CompileError, match=said) as caught:
        getattr(op, name)(jnp.ones((2, 3)), jnp.ones(4))
    assert caught.value.code is Code.E_SHAPE_MISMATCH


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("sine", "div")])
def test_what_is_no_array_of_numbers_is_refused(name):
    more = () if name in UNARY else (1.0,)
    with pytest.raises(CompileError, match="is a str, not an array") as caught:
        getattr(op, name)("x", *more)
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="not of numbers") as caught:
        getattr(op, name)(jax.random.key(0), *more)
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_what_numpy_refuses_is_refused():
    true = jnp.array([True])
    with pytest.raises(CompileError, match="sub: sub does not accept dtype bool") as caught:
        op.sub(true, true)
    assert caught.value.code is Code.E_TARGET_CODEGEN
    with pytest.raises(CompileError, match="pow: Integers cannot be raised to negative") as caught:
        op.pow(jnp.arange(3), -1)
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_float64_without_64_bit_mode_is_refused():
    with pytest.raises(CompileError, match="64-bit mode, which is off") as caught:
        op.add(np.ones(2), 1.0)
    assert caught.value.code is Code.E_TARGET_CODEGEN
