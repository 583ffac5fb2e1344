"""The convolutions, in both layouts, against sums over windows in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.test_util import check_grads
from numpy.lib.stride_tricks import sliding_window_view

from tessera import op
from tessera.core.errors import Code, CompileError

BY_RANK = {1: op.conv1d, 2: op.conv2d, 3: op.conv3d}


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def conv(x, w, stride, pads, groups=1):
    """Channels last: windows of the padded input, one product per group of channels."""
    space = x.ndim - 2
    x = np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)])
    axes = tuple(range(1, 1 + space))
    windows = sliding_window_view(x, w.shape[:space], axes)
    windows = windows[(slice(None), *(slice(None, None, s) for s in stride))]
    inner, outer = w.shape[-2], w.shape[-1] // groups
    parts = []
    for g in range(groups):
        mine = windows[(..., slice(g * inner, (g + 1) * inner), *(slice(None),) * space)]
        kernel = np.moveaxis(w[..., g * outer : (g + 1) * outer], -2, 0).astype(np.float64)
        parts.append(np.tensordot(mine, kernel, space + 1))
    return np.concatenate(parts, -1)


def same(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize(
    ("sizes", "kernel", "stride", "padding", "groups"),
    [
        ((9,), (3,), 1, 0, 1),
        ((9,), (4,), 2, "same", 2),
        ((7, 6), (3, 2), (2, 1), "same", 1),
        ((7, 6), (3, 2), 1, "valid", 2),
        ((7, 6), (3, 3), 2, (1, 2), 4),
        ((5, 5), (2, 2), 1, ((1, 0), (0, 2)), 1),
        ((4, 5, 3), (2, 3, 3), (1, 2, 1), 1, 1),
        ((3, 3), (3, 3), 1, 0, 1),
    ],
)
def test_values_equal_sums_over_windows_in_both_layouts(sizes, kernel, stride, padding, groups):
    space = len(sizes)
    x, w = array(2, *sizes, 4), array(*kernel, 4 // groups, 8)
    steps = stride if isinstance(stride, tuple) else (stride,) * space
    if padding == "same":
        pads = [same(*three) for three in zip(sizes, kernel, steps, strict=True)]
    else:
        each = (
            (0 if padding == "valid" else padding,) * space
            if not isinstance(padding, tuple)
            else padding
        )
        pads = [p if isinstance(p, tuple) else (p, p) for p in each]
    exact = conv(x, w, steps, pads, groups)
    run = BY_RANK[space]
    np.testing.assert_allclose(
        run(x, w, stride, padding, groups=groups), exact, rtol=1e-4, atol=1e-5
    )
    first = np.moveaxis(x, -1, 1), np.moveaxis(w, (-1, -2), (0, 1))
    found = run(*first, stride, padding, groups=groups, layout="nchw")
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), exact, rtol=1e-4, atol=1e-5)


def test_the_epilogue_as_words_as_a_dict_and_by_hand_agree():
    x, w, b, r = array(2, 5, 5, 3), array(3, 3, 3, 4), array(4), array(2, 3, 3, 4)
    z = conv(x, w, (1, 1), [(0, 0)] * 2)
    for name in ("relu", "gelu", "silu", "tanh", "sigmoid"):
        exact = oracles.ACTIVATIONS[name](z + b) + r
        words = op.conv2d(x, w, epilogue=f"bias_{name}_residual", bias=b, residual=r)
        entries = {
            "add_bias": True,
            "bias": b,
            "activation": name,
            "add_residual": True,
            "residual": r,
        }
        np.testing.assert_allclose(words, exact, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(words, op.conv2d(x, w, epilogue=entries))
    np.testing.assert_allclose(op.conv2d(x, w, bias=b), z + b, rtol=1e-4, atol=1e-5)
    first = op.conv2d(
        x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), layout="nchw", epilogue="bias", bias=b
    )
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), z + b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", [1, 2, 3])
def test_depthwise_and_separable_convolutions(space):
    x = array(2, *(5, 4, 3)[:space], 3)
    w, mix, b = array(*(2,) * space, 1, 6), array(*(1,) * space, 6, 5), array(5)
    each = conv(x, w, (1,) * space, [(0, 0)] * space, groups=3)
    np.testing.assert_allclose(op.depthwise_conv(x, w), each, rtol=1e-4, atol=1e-5)
    found = op.separable_conv(x, w, mix, epilogue="bias_relu", bias=b)
    exact = np.maximum(each @ mix.reshape(6, 5) + b, 0)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_derivatives_equal_finite_differences(x64):
    x, w = jnp.asarray(array(1, 4, 4, 2), jnp.float64), jnp.asarray(array(2, 2, 1, 4), jnp.float64)
    b = jnp.asarray(array(4), jnp.float64)

    def run(x, w, b):
        return op.conv2d(x, w, 2, "same", epilogue="bias_silu", bias=b, groups=2)

    check_grads(run, (x, w, b), order=2, modes=("fwd", "rev"), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_accumulates_in_fp32_and_has_a_gradient(dtype):
    # 64 * 9 terms near 1: a bf16 sum would stop growing at 256.
    x, w = jnp.ones((1, 3, 3, 64), dtype), jnp.ones((3, 3, 64, 1), dtype)
    y, gradients = jax.value_and_grad(lambda x, w: op.conv2d(x, w).sum(), (0, 1))(x, w)
    assert float(y) == 576.0
    assert [g.dtype for g in gradients] == [dtype, dtype]
    assert float(gradients[0].min()) == float(gradients[1].min()) == 1.0
    assert op.conv2d(x, w.astype(jnp.float32)).dtype == jnp.float32


def test_vmap_equals_a_loop_and_jit_the_eager_call():
    x, w = array(3, 2, 5, 5, 2), array(2, 2, 2, 3)
    run = lambda x: op.conv2d(x, w, padding="same", epilogue="relu")  # noqa: E731
    loop = np.stack([run(one) for one in x])
    np.testing.assert_allclose(jax.vmap(run)(x), loop, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(run)(x[0]), loop[0], rtol=1e-5, atol=1e-6)


def test_empty_batches_and_no_output_channels():
    assert op.conv2d(jnp.ones((0, 4, 4, 2)), jnp.ones((2, 2, 2, 3))).shape == (0, 3, 3, 3)
    assert op.conv1d(jnp.ones((1, 4, 2)), jnp.ones((2, 2, 0))).shape == (1, 3, 0)


def test_conv_then_batch_norm_then_relu():
    x, w = array(2, 6, 6, 3), array(3, 3, 3, 4)
    y = op.pipeline(
        [op.conv2d(x, w, padding="same"), lambda z: op.batch_norm(z, None, None), op.relu]
    )
    z = conv(x, w, (1, 1), [(1, 1)] * 2)
    normal = (z - z.mean((0, 1, 2))) / np.sqrt(z.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, np.maximum(normal, 0), rtol=1e-4, atol=1e-4)


X, W = np.ones((1, 4, 4, 2), np.float32), np.ones((2, 2, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "words", "code", "text"),
    [
        ((X[0], W), {}, Code.E_SHAPE_MISMATCH, "of rank 3, not 4"),
        ((X, W[0]), {}, Code.E_SHAPE_MISMATCH, "w has rank 3 but x rank 4"),
        ((X, W[:, :, :1]), {}, Code.E_SHAPE_MISMATCH, "x has 2 channels but w takes 1"),
        ((X, W), {"groups": 2}, Code.E_SHAPE_MISMATCH, "does not divide 3"),
        (
            (X, W),
            {"layout": "nwhc"},
            Code.E_GRAPH_INVALID,
            "unknown layout 'nwhc'; one of nhwc, nchw",
        ),
        ((X, W, 0), {}, Code.E_GRAPH_INVALID, "stride is 0, not at least 1"),
        ((X, W, (1, 1, 1)), {}, Code.E_GRAPH_INVALID, "one number for each of 2 axes"),
        ((X, W, 1.5), {}, Code.E_GRAPH_INVALID, "stride is 1.5, not an integer"),
        ((X, W, 1, "full"), {}, Code.E_GRAPH_INVALID, "unknown padding 'full'; same, valid"),
        ((X, W, 1, (1,)), {}, Code.E_GRAPH_INVALID, "one entry for each of 2 axes"),
        ((X, W, 1, ((1, 2, 3), 1)), {}, Code.E_GRAPH_INVALID, "a number or"),
        ((X, W), {"epilogue": "bias"}, Code.E_GRAPH_INVALID, "bias= is missing"),
        ((X, W), {"epilogue": "swish"}, Code.E_GRAPH_INVALID, "unknown epilogue word 'swish'"),
        (
            (X, W),
            {"epilogue": "relu_bias", "bias": W[0, 0, 0]},
            Code.E_GRAPH_INVALID,
            "out of order",
        ),
        ((X, W), {"epilogue": "relu", "bias": W[0, 0, 0]}, Code.E_GRAPH_INVALID, "does not use it"),
        ((X, W), {"epilogue": {"act": 1}}, Code.E_GRAPH_INVALID, "unknown epilogue entry 'act'"),
        (
            (X, W),
            {"epilogue": {"activation": "elu"}},
            Code.E_GRAPH_INVALID,
            "unknown activation 'elu'",
        ),
        (
            (X, W),
            {"epilogue": {"bias": W[0, 0, 0]}, "bias": W[0, 0, 0]},
            Code.E_GRAPH_INVALID,
            "twice",
        ),
        ((X, W), {"epilogue": 3}, Code.E_GRAPH_INVALID, "the epilogue is a int"),
        ((X, W), {"bias": np.ones(2, "f")}, Code.E_SHAPE_MISMATCH, "for 3 outputs"),
        ((X, W), {"residual": X}, Code.E_SHAPE_MISMATCH, "residual has shape"),
        ((X.astype("i"), W.astype("i")), {}, Code.E_TARGET_CODEGEN, "must be of kind 'float'"),
    ],
)
def test_bad_arguments_are_refused(arguments, words, code, text):
    with pytest.raises(CompileError, match=text) as caught:
        op.conv2d(*arguments, **words)
    assert caught.value.code is code
    assert "conv2d" in str(caught.value)


def test_what_serves_several_ranks_says_which():
    for run in (
        lambda: op.depthwise_conv(jnp.ones(3), W),
        lambda: op.separable_conv(jnp.ones(3), W, W),
    ):
        with pytest.raises(CompileError, match="of rank 1, not 3 or 4 or 5"):
            run()
