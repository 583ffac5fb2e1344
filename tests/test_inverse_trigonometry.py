"""`atan2`, `asin`, `acos` and `cbrt`: accuracy over the whole range, special values, and what is chosen."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core.errors import Code, CompileError

SPECIAL = np.array([0.0, -0.0, 1, -1, 2, -3, np.inf, -np.inf, np.nan], np.float32)
UNARY: dict[str, Any] = {"asin": np.arcsin, "acos": np.arccos, "cbrt": np.cbrt}
PLAIN = {"asin": jnp.arcsin, "acos": jnp.arccos, "cbrt": jnp.cbrt, "atan2": jnp.arctan2}
RANGES = {"asin": (2.0**-30, 1), "acos": (2.0**-30, 1), "cbrt": (2.0**-126, 3e38)}


def in_ulp(found, expected):
    """Errors in units of the last place of the float32 result."""
    unit = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    return np.abs(np.asarray(found, np.float64) - expected) / unit


def floats_between(low, high, count):
    """`count` float32 spread evenly over the representable values of [low, high)."""
    first, last = (int(np.float32(x).view(np.uint32)) for x in (low, high))
    return np.linspace(first, last - 1, count).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", UNARY)
def test_the_error_of_one_number_is_at_most_two_ulp(name):
    low, high = RANGES[name]
    positive = floats_between(low, high, 1_000_000)
    x = np.concatenate([positive, -positive])
    expected = UNARY[name](np.asarray(x, np.float64))
    assert in_ulp(jax.jit(getattr(op, name))(x), expected).max() <= 2


@pytest.mark.parametrize("spread", ["even", "exponents", "next to the diagonal"])
def test_the_error_of_an_angle_is_at_most_two_ulp(spread):
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 1_000_000))
    if spread == "exponents":
        y, x = (np.exp(rng.uniform(-30, 30, a.shape)) * np.sign(a) for a in (y, x))
    if spread == "next to the diagonal":
        x = y * (1 + 1e-6 * x)
    y, x = y.astype(np.float32), x.astype(np.float32)
    expected = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    assert in_ulp(jax.jit(op.atan2)(y, x), expected).max() <= 2


def test_angles_at_zeros_infinities_and_nan_are_those_of_ieee():
    y, x = (a.ravel() for a in np.meshgrid(SPECIAL, SPECIAL))
    found, expected = np.asarray(jax.jit(op.atan2)(y, x)), np.arctan2(y, x)
    np.testing.assert_allclose(found, expected, rtol=2.4e-7)  # two ulp
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("name", UNARY)
def test_one_number_at_zeros_infinities_and_nan(name):
    found = np.asarray(jax.jit(getattr(op, name))(SPECIAL))
    with np.errstate(invalid="ignore"):
        expected = UNARY[name](SPECIAL)
    np.testing.assert_allclose(found, expected, rtol=1.2e-7)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("name", PLAIN)
def test_doubles_go_through_jax(name, x64):
    operands = [jnp.linspace(0.1, 0.9, 7, dtype=jnp.float64)] * (2 if name == "atan2" else 1)
    found = jax.jit(getattr(op, name))(*operands)
    assert found.dtype == jnp.float64
    np.testing.assert_array_equal(found, jax.jit(PLAIN[name])(*operands))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
@pytest.mark.parametrize("name", PLAIN)
def test_low_precision_is_the_rounded_result(name, dtype):
    x = jnp.linspace(-0.99, 0.99, 300).astype(dtype)
    operands = [x, x[::-1]] if name == "atan2" else [x]
    wide = (np.asarray(a).astype(np.float64) for a in operands)
    expected = {**UNARY, "atan2": np.arctan2}[name](*wide)
    found = np.asarray(getattr(op, name)(*operands)).astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=float(jnp.finfo(dtype).eps), atol=1e-7)


def test_points_broadcast_and_take_their_common_dtype():
    y, x = jnp.ones((3, 1), jnp.bfloat16), jnp.arange(4.0)
    found = op.atan2(y, x)
    assert found.shape == (3, 4)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found[0], np.arctan2(1.0, np.arange(4.0)), rtol=1.2e-7)
    assert op.atan2(1.0, x).shape == (4,)
    with pytest.raises(CompileError, match=r"shapes \(2,\) of 'y' and \(3,\) of 'x'") as caught:
        op.atan2(jnp.ones(2), jnp.ones(3))
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_the_gradient_of_an_angle_turns_the_point():
    x, y = jnp.array([3.0, -1.0, 0.5]), jnp.array([4.0, 1.0, -2.0])
    dy, dx = jax.grad(lambda y, x: op.atan2(y, x).sum(), argnums=(0, 1))(y, x)
    np.testing.assert_allclose(dy, x / (x**2 + y**2), rtol=1e-6)
    np.testing.assert_allclose(dx, -y / (x**2 + y**2), rtol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_no_scalar_routine_is_left_on_cpu(name):
    operands = [jnp.ones(16)] * (2 if name == "atan2" else 1)
    function = getattr(op, name)

    def total(*operands):
        return function(*operands).sum()

    for run in (function, jax.grad(total)):
        text = jax.jit(run).lower(*operands).as_text()
        assert not re.search(
            r"(stablehlo|chlo|math)\.(asin|acos|atan2|cbrt)|_a(sin|cos)_impl", text
        )
