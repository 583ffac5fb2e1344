"""`op.flash_attention_fp8` against float64, and against attention quantised by ml_dtypes in NumPy."""

import logging
from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

E4M3 = ml_dtypes.float8_e4m3fn
RTOL, ATOL = numerics.tolerance(jnp.float8_e4m3fn)
WIDTH = 16


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def operands(rows=9, columns=12, heads=4, groups=2):
    shapes = (heads, rows), (groups, columns), (groups, columns)
    return tuple(draw(2, *shape, WIDTH, seed=s) for s, shape in enumerate(shapes))


def attention(q, k, v, causal, *, quantized):
    """Attention in float64; quantised: operands to 448 per tensor, unnormalised weights to 256."""
    (q, sq), (k, sk), (v, sv) = (eight_bits(x) if quantized else (x, 1.0) for x in (q, k, v))
    k, v = (np.repeat(x.astype(np.float64), q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("bhid,bhjd->bhij", q, k) * (sq * sk * q.shape[-1] ** -0.5)
    if causal:
        i, j = scores.shape[-2:]
        scores = np.where(np.tri(i, j, j - i, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    total = weights.sum(-1, keepdims=True)
    if quantized:
        weights = (256 * weights).astype(E4M3).astype(np.float64) / 256
    return sv * np.einsum("bhij,bhje->bhie", weights, v) / total


def eight_bits(x):
    scale = np.float64(np.abs(x).max() / np.float32(448))
    return (x / np.float32(scale)).astype(E4M3).astype(np.float64), scale


@pytest.mark.parametrize("causal", [False, True])
def test_equals_attention_quantised_by_another_library(causal):
    q, k, v = operands()
    found = op.flash_attention_fp8(q, k, v, causal=causal)
    exact = attention(q, k, v, causal, quantized=True)
    # A weight within rounding of a tie may fall on either side of it: one step, 1/16, of one of the weights.
    wrong = np.abs(found - exact) > 1e-5 * (1 + np.abs(exact))
    assert np.mean(wrong) < 0.05
    np.testing.assert_allclose(found, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("causal", [False, True])
def test_is_within_the_tolerance_of_fp8_of_exact_attention(causal):
    # Scores near 1/4: an error of 1/16 in q or k is one of 1/16 of the score in the exponent.
    q, k, v = operands()
    q, k = q / 2, k / 2
    found = op.flash_attention_fp8(q, k, v, causal=causal)
    np.testing.assert_allclose(found, attention(q, k, v, causal, quantized=False), RTOL, ATOL)
    assert found.dtype == jnp.float32


def test_masks_windows_and_sinks_are_those_of_flash_attention():
    q, k, v = (x / 2 for x in operands(12, 12))
    mask, sinks = np.random.default_rng(0).random((12, 12)) < 0.7, draw(4)
    words = {"causal": True, "window": 5, "mask": mask, "sinks": sinks}
    found = op.flash_attention_fp8(q, k, v, **words)
    np.testing.assert_allclose(found, op.flash_attention(q, k, v, **words), RTOL, ATOL)
    hidden = np.zeros((12, 12), bool)
    np.testing.assert_array_equal(op.flash_attention_fp8(q, k, v, mask=hidden), 0)
    one = op.flash_attention_fp8(q[:, 0], k[:, 0], v[:, 0], causal=True)
    assert one.shape == (2, 12, WIDTH)


def test_zeros_give_zeros_and_huge_values_saturate():
    q, k, v = operands()
    zero = np.zeros_like(v)
    np.testing.assert_array_equal(op.flash_attention_fp8(q, k, zero), 0)
    same = op.flash_attention_fp8(0 * q, k, v)
    mean = np.repeat(v, 2, axis=1).mean(2, keepdims=True)
    np.testing.assert_allclose(same, np.broadcast_to(mean, same.shape), RTOL, ATOL)
    huge, largest = v.copy(), v.copy()
    huge[0, 0, 0, 0], largest[0, 0, 0, 0] = np.inf, np.abs(np.delete(v.ravel(), 0)).max()
    np.testing.assert_array_equal(
        op.flash_attention_fp8(q, k, huge), op.flash_attention_fp8(q, k, largest)
    )
    found = op.flash_attention_fp8(q, k, np.float32(1e37) * v)  # 256 * 448 of it would overflow
    assert np.isfinite(found).all()
    huge[0, 0, 0, 0] = np.nan
    lost = np.isnan(op.flash_attention_fp8(q, k, huge))
    assert lost[0, :2, :, 0].all()
    assert lost.sum() == 2 * q.shape[2]


def test_the_gradient_takes_rounding_for_the_identity():
    q, k, v = (x / 2 for x in operands())
    ct = draw(*q.shape, seed=9)

    def pulled(function):
        return jax.jit(lambda *xs: jax.vjp(partial(function, causal=True), *xs)[1](ct))(q, k, v)

    for found, exact in zip(
        pulled(op.flash_attention_fp8), pulled(op.flash_attention), strict=True
    ):
        # Not elementwise: a gradient sums products of rounded values that cancel.
        assert np.linalg.norm(found - exact) < RTOL * np.linalg.norm(exact)
    tangent = jax.jvp(lambda v: op.flash_attention_fp8(q, k, v), (v,), (v,))[1]
    np.testing.assert_allclose(tangent, op.flash_attention(q, k, v), RTOL, ATOL)


def test_each_entry_of_a_map_has_its_own_scale():
    q, k, v = operands()
    pair = tuple(jnp.stack([x, 100 * x]) for x in (q, k, v))
    mapped = jax.jit(jax.vmap(op.flash_attention_fp8))(*pair)
    for found, *each in zip(mapped, *pair, strict=True):
        alone = op.flash_attention_fp8(*each)
        np.testing.assert_allclose(found, alone, rtol=0.05, atol=0.05 * np.abs(alone).max())


def test_emulation_is_noted_once_and_another_scale_is_refused(caplog):
    q, k, v = operands()
    with caplog.at_level(logging.INFO, "tessera.op"):
        for _ in range(2):
            op.flash_attention_fp8(q.astype(jnp.bfloat16), k, v)
    assert len(caplog.records) == 1
    assert "emulated" in caplog.text
    assert __file__ in caplog.text
    with pytest.raises(CompileError, match=r"unknown scale 0\.5; one of amax_dynamic") as caught:
        op.flash_attention_fp8(q, k, v, scale=0.5)
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="axis 'd' is 16 in argument 'q' but 15"):
        op.flash_attention_fp8(q, k[..., :15], v)
