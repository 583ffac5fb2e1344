"""`op.quantize` and `op.dequantize`, against ml_dtypes and bounds of their rounding."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from tessera import op
from tessera.core.errors import Code, CompileError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 16, 5)).astype(np.float32) * np.float32([0.01, 1, 100, 3, 7])
INT8 = ("int8_per_tensor", "int8_per_channel")
FP8 = ("fp8_e4m3_per_tensor", "fp8_e4m3_per_channel")


def refused(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in str(caught.value)


def scales_of(x, scheme, largest, axis=-1):
    if scheme.endswith("tensor"):
        return np.max(np.abs(x)) / largest
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    return np.max(np.abs(x), axis=others, keepdims=True) / largest


# -- quantize -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("scheme", INT8)
def test_int8_is_within_half_a_scale(scheme, axis):
    values, scales = op.quantize(X, scheme, axis=axis)
    assert values.dtype == jnp.int8
    expected = scales_of(X.astype(float), scheme, 127, axis)
    np.testing.assert_allclose(scales, expected, rtol=1e-6)
    assert int(jnp.max(jnp.abs(values))) == 127
    back = op.dequantize(values, scales, scheme)
    # Half a scale, and the rounding of x / scale in fp32.
    assert np.all(np.abs(np.asarray(back) - X) <= expected * (0.5 + 1e-4))


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("scheme", FP8)
def test_fp8_rounds_to_the_nearest_float_of_eight_bits(scheme, axis):
    values, scales = op.quantize(X, scheme, axis=axis)
    assert values.dtype == jnp.float8_e4m3fn
    scaled = X / np.asarray(scales)
    expected = np.clip(scaled, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(np.asarray(values, np.float32), expected.astype(np.float32))
    back = op.dequantize(values, scales, scheme)
    # 3 bits of mantissa, and below 2^-6 a spacing of 2^-9.
    bound = np.maximum(np.abs(X) * 2**-4, np.asarray(scales) * 2**-10)
    assert np.all(np.abs(np.asarray(back) - X) <= bound * 1.001)


@pytest.mark.parametrize("scheme", INT8 + FP8)
def test_zeros_have_scale_one_and_stay_zeros(scheme):
    for x in (np.zeros((4, 3), np.float32), np.full((4, 3), 1e-44, np.float32)):
        values, scales = op.quantize(x, scheme)
        assert np.all(np.asarray(scales) == 1)
        assert not np.any(np.asarray(values, np.float32))
    empty, scales = op.quantize(np.ones((0, 3), np.float32), scheme)
    assert empty.shape == (0, 3)
    assert np.all(np.asarray(scales) == 1)


def test_quantisation_is_symmetric():
    values, _ = op.quantize(X)
    mirrored, _ = op.quantize(-X)
    np.testing.assert_array_equal(np.asarray(mirrored), -np.asarray(values))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_quantised_in_fp32(dtype):
    x = jnp.asarray(X / 100).astype(dtype)
    values, scales = op.quantize(x)
    assert scales.dtype == jnp.float32
    exact, _ = op.quantize(x.astype(jnp.float32))
    np.testing.assert_array_equal(values, exact)
    assert op.dequantize(values, scales, out_dtype="bf16").dtype == jnp.bfloat16


def test_double_precision_keeps_its_scales(x64):
    _, scales = op.quantize(X.astype(float))
    assert scales.dtype == jnp.float64


def test_quantisation_jits_batches_and_has_a_gradient_through_the_scales_alone():
    def round_trip(x):
        return op.dequantize(*op.quantize(x, "int8_per_tensor"), "int8_per_tensor")

    x = jnp.array([1.0, -0.3, 0.7])
    values, _ = op.quantize(x, "int8_per_tensor")
    np.testing.assert_array_equal(jax.jit(round_trip)(x), round_trip(x))
    np.testing.assert_array_equal(
        jax.vmap(round_trip)(jnp.stack([x, 2 * x])), [round_trip(x), round_trip(2 * x)]
    )
    gradient = jax.grad(lambda v: jnp.sum(round_trip(v)))(x)
    # d sum(values scale) / dx: the scale is max |x| / 127, attained by the first entry.
    np.testing.assert_allclose(gradient, [np.sum(values) / 127, 0, 0], rtol=1e-6)
    scales = jnp.array(0.5)
    weights = jax.grad(lambda s: jnp.sum(op.dequantize(values, s, "int8_per_tensor")))(scales)
    np.testing.assert_allclose(weights, np.sum(np.asarray(values, float)), rtol=1e-6)


def test_mxfp4_equals_the_table_of_its_standard():
    codes = RNG.integers(0, 16, size=(3, 64), dtype=np.uint8)
    packed = codes[:, 0::2] | (codes[:, 1::2] << 4)
    scales = np.array([[127, 126], [130, 1], [254, 120]], np.uint8)
    floats = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    powers = scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    expected = floats.reshape(3, 2, 32) * powers[..., None]
    expected = np.where(np.abs(expected) > 3.4e38, np.copysign(np.inf, expected), expected)
    found = op.dequantize(packed, scales, "mxfp4").reshape(3, 2, 32)
    # The smallest scale leaves subnormal numbers, which XLA on a CPU rounds to zero.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2.0**-126)
    blocks = op.dequantize(packed.reshape(3, 2, 16), scales, "mxfp4", out_dtype="bf16")
    assert blocks.shape == (3, 64)
    assert blocks.dtype == jnp.bfloat16
    assert np.all(np.isnan(op.dequantize(packed[:1], np.full((1, 2), 255, np.uint8), "mxfp4")))


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.quantize(X, "int4"), Code.E_GRAPH_INVALID, "'int4'; one of int8_per_tensor"),
        (lambda: op.quantize(X, "mxfp4"), Code.E_GRAPH_INVALID, "only be dequantized"),
        (lambda: op.quantize(X, axis=3), Code.E_SHAPE_MISMATCH, "axis 3"),
        (lambda: op.quantize(jnp.ones(3, jnp.int8)), Code.E_TARGET_CODEGEN, "kind 'float'"),
        (lambda: op.dequantize(X, X, "nf4"), Code.E_GRAPH_INVALID, "mxfp4"),
        (lambda: op.dequantize(X, X), Code.E_TARGET_CODEGEN, "values are float32"),
        (lambda: op.dequantize(BYTES, BYTES, "mxfp4"), Code.E_SHAPE_MISMATCH, "16 bytes"),
        (lambda: op.dequantize(X, BYTES, "mxfp4"), Code.E_TARGET_CODEGEN, "uint8"),
        (lambda: op.dequantize(BYTES, X, "mxfp4"), Code.E_TARGET_CODEGEN, "scales are float32"),
        (
            lambda: op.dequantize(I8, np.ones((1, 2), np.float32)),
            Code.E_SHAPE_MISMATCH,
            "do not fit",
        ),
        (lambda: op.dequantize(I8, np.ones(3, np.float32)), Code.E_SHAPE_MISMATCH, "do not fit"),
        (lambda: op.dequantize(I8, I8), Code.E_TARGET_CODEGEN, "'scales'"),
        (lambda: op.dequantize(I8, np.float32(1), out_dtype="int8"), Code.E_GRAPH_INVALID, "float"),
    ],
)
def test_quantisation_that_cannot_be_is_refused(call, code, says):
    refused(call, code, says)


BYTES = np.zeros((2, 32), np.uint8)
I8 = np.zeros((2, 3), np.int8)
