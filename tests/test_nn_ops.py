"""Parts of networks: rope, batch_norm, dropout, projections, attention by other formulas, feed-forward."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from tessera import op
from tessera.core.errors import Code, CompileError


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def refused(code, text, run, *arguments, **words):
    with pytest.raises(CompileError, match=text) as caught:
        run(*arguments, **words)
    assert caught.value.code is code


# -- rope ------------------------------------------------------------------------------------------------


def turned(x, theta=10000.0, positions=None):
    half = x.shape[-1] // 2
    places = np.arange(x.shape[-2]) if positions is None else positions
    angles = np.asarray(places, np.float64)[..., None] * theta ** (-np.arange(half) / half)
    return oracles.rope(np.asarray(x, np.float64), np.broadcast_to(angles, (*x.shape[:-1], half)))


def test_rotation_by_position_equals_complex_multiplication():
    x = array(2, 3, 7, 8)
    np.testing.assert_allclose(op.rope(x), turned(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(op.rotary(x, 500.0), turned(x, 500.0), rtol=1e-5, atol=1e-5)
    places = np.array([[[4, 9, 1, 0, 2, 3, 7]], [[1, 1, 1, 1, 1, 1, 1]]])
    found = jax.jit(lambda x, p: op.rope(x, positions=p))(x, places)
    np.testing.assert_allclose(found, turned(x, positions=places), rtol=1e-5, atol=1e-5)


def test_an_array_as_theta_is_the_angles():
    x, angles = array(2, 5, 6), array(5, 3, seed=1)
    exact = oracles.rope(x, np.broadcast_to(angles, (2, 5, 3)))
    np.testing.assert_allclose(op.rope(x, angles), exact, rtol=1e-5, atol=1e-6)


def test_scores_depend_on_the_distance_alone_and_lengths_are_kept():
    q, k = (np.broadcast_to(array(1, 8, seed=s), (16, 8)) for s in (1, 2))
    scores = np.asarray(op.rope(q) @ op.rope(k).T)
    for distance in (-5, 0, 3):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(op.rope(q), axis=-1), np.linalg.norm(q, axis=-1), rtol=1e-5
    )


def test_a_tuple_turns_what_axes_names_and_leaves_the_rest():
    q, k, v = (array(1, 2, 5, 4, seed=s) for s in range(3))
    for words in ({}, {"axes": "qk"}):
        found = op.rope((q, k, v), **words)
        np.testing.assert_array_equal(found[0], op.rope(q))
        np.testing.assert_array_equal(found[1], op.rope(k))
        assert found[2] is v
    only = op.rope((q, k, v), axes="k")
    assert only[0] is q


def test_a_far_position_in_low_precision_keeps_its_angle():
    x = jnp.ones((1, 4), jnp.bfloat16)
    found = op.rope(x, positions=jnp.array([1001]))  # bf16 has no 1001
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        np.asarray(found, np.float64), turned(np.ones((1, 4)), positions=[1001]), atol=1e-2
    )


def test_bad_arguments_of_rope_are_refused():
    x = array(5, 6)
    refused(Code.E_SHAPE_MISMATCH, "with an even d", op.rope, array(5, 3))
    refused(Code.E_SHAPE_MISMATCH, "with an even d", op.rope, array(6))
    refused(Code.E_SHAPE_MISMATCH, "positions of shape", op.rope, x, positions=jnp.arange(4))
    refused(Code.E_SHAPE_MISMATCH, "theta of shape", op.rope, x, array(4, 3))
    refused(Code.E_GRAPH_INVALID, "x is no tuple", op.rope, x, axes="q")
    refused(Code.E_GRAPH_INVALID, "letters of 'qkv'", op.rope, (x, x), axes="v")
    refused(Code.E_GRAPH_INVALID, "theta is 0, not positive", op.rope, x, 0)
    refused(Code.E_GRAPH_INVALID, "already has", op.rope, x, array(5, 3), positions=jnp.arange(5))


# -- batch_norm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_training_normalises_by_the_batch_and_updates_the_statistics(layout):
    x, w, b = array(4, 3, 5, 6) + 2, array(6, seed=1), array(6, seed=2)
    old = (array(6, seed=3), array(6, seed=4) ** 2)
    given = x if layout == "nhwc" else x.transpose(0, 3, 1, 2)
    y, new = op.batch_norm(given, w, b, old, training=True, momentum=0.25, layout=layout)
    wide = x.astype(np.float64)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    exact = (wide - mean) / np.sqrt(var + 1e-5) * w + b
    y = y if layout == "nhwc" else y.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new.mean, 0.75 * old[0] + 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(new.var, 0.75 * old[1] + 0.25 * var * 60 / 59, rtol=1e-5)


def test_evaluation_uses_the_statistics_or_those_of_the_batch():
    x, stats = array(4, 6), (array(6, seed=3), array(6, seed=4) ** 2)
    exact = (x - stats[0]) / np.sqrt(stats[1] + 1e-5)
    np.testing.assert_allclose(op.batch_norm(x, None, None, stats), exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        op.batch_norm(x, None, None), op.batch_norm(x, None, None, training=True)[0]
    )


def test_low_precision_keeps_statistics_in_fp32():
    x = jnp.full((4096, 1), 3.0, jnp.bfloat16)
    y, new = op.batch_norm(x, None, None, training=True, momentum=1.0)
    assert y.dtype == jnp.bfloat16
    assert new.mean.dtype == jnp.float32
    assert new.mean.tolist() == [3.0]
    assert new.var.tolist() == [0.0]


def test_derivatives_of_batch_norm_equal_finite_differences(x64):
    x, w, b = (jnp.asarray(a, jnp.float64) for a in (array(5, 3), array(3), array(3, seed=1)))
    check_grads(op.batch_norm, (x, w, b), order=2, modes=("fwd", "rev"), rtol=1e-5)


def test_bad_arguments_of_batch_norm_are_refused():
    x = array(4, 6)
    refused(Code.E_SHAPE_MISMATCH, "no element", op.batch_norm, x[:0], None, None)
    refused(Code.E_SHAPE_MISMATCH, "weight has shape", op.batch_norm, x, array(5), None)
    refused(Code.E_SHAPE_MISMATCH, "var has shape", op.batch_norm, x, None, None, (x[0], x[0, :5]))
    refused(Code.E_SHAPE_MISMATCH, "of rank 2 or more", op.batch_norm, x[0], None, None)
    refused(Code.E_GRAPH_INVALID, "unknown layout", op.batch_norm, x, None, None, layout="nc")
    refused(Code.E_GRAPH_INVALID, "momentum is 2.0", op.batch_norm, x, None, None, momentum=2)
    empty = op.batch_norm(x[:0], None, None, (np.zeros(6, "f"), np.ones(6, "f")))
    assert empty.shape == (0, 6)


# -- dropout ---------------------------------------------------------------------------------------------


def test_dropout_zeroes_a_share_and_scales_the_rest():
    y = np.asarray(op.dropout(jnp.ones((100, 200)), 0.3, key=0))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(np.mean(y == 0) - 0.3) < 0.015  # five standard deviations of 20000 draws


def test_the_mask_depends_on_the_key_alone_also_when_sharded():
    x = jnp.ones((16, 32))
    one = op.dropout(x, 0.5, key=jax.random.key(3))
    np.testing.assert_array_equal(one, op.dropout(x, 0.5, key=3))
    assert np.any(one != op.dropout(x, 0.5, key=4))
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.device_put(x, NamedSharding(mesh, P("dp")))
    found = jax.jit(lambda x, key: op.dropout(x, 0.5, key=key))(placed, jax.random.key(3))
    np.testing.assert_array_equal(found, one)


def test_dropout_passes_the_gradient_of_what_it_keeps():
    x = array(8, 8)
    y, pullback = jax.vjp(lambda x: op.dropout(x, 0.5, key=1), x)
    np.testing.assert_array_equal(
        pullback(jnp.ones_like(y))[0], np.where(np.asarray(y) != 0, 2.0, 0)
    )


def test_dropout_of_nothing_and_of_all():
    x = jnp.ones((3, 0), jnp.bfloat16)
    assert op.dropout(x, 0.5, key=0).dtype == jnp.bfloat16
    x = jnp.array([1.0, jnp.inf])
    assert op.dropout(x, 0).tolist() == x.tolist()
    assert op.dropout(x, 1.0, key=0).tolist() == [0.0, 0.0]


def test_bad_arguments_of_dropout_are_refused():
    x = array(4)
    refused(Code.E_GRAPH_INVALID, "there is no key", op.dropout, x, 0.5)
    refused(Code.E_GRAPH_INVALID, r"p is 1.5, not in \[0, 1\]", op.dropout, x, 1.5, key=0)
    refused(Code.E_GRAPH_INVALID, "p is 'half', not a number", op.dropout, x, "half", key=0)
    refused(Code.E_TARGET_CODEGEN, "int32", op.dropout, jnp.arange(3), 0.5, key=0)


# -- attention -------------------------------------------------------------------------------------------


def test_a_projection_gives_thirds_and_heads_come_forward():
    x, w = array(2, 5, 6), array(6, 24)
    thirds = op.qkv_projection(x, w)
    for found, exact in zip(thirds, np.split(x @ w, 3, -1), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
    joined = jnp.concatenate(thirds, -1)
    for heads in (op.split_heads(joined, 2, 4), op.split_heads(thirds, num_heads=2, head_dim=4)):
        for found, exact in zip(heads, thirds, strict=True):
            exact = np.asarray(exact).reshape(2, 5, 2, 4).transpose(0, 2, 1, 3)
            np.testing.assert_array_equal(found, exact)


def test_bad_projections_and_heads_are_refused():
    x = array(2, 5, 6)
    refused(Code.E_SHAPE_MISMATCH, "does not split", op.qkv_projection, x, array(6, 8))
    refused(Code.E_SHAPE_MISMATCH, r"\(batch, length, 2 \* 4\)", op.split_heads, x, 2, 4)
    refused(Code.E_SHAPE_MISMATCH, "2 entries", op.split_heads, (x, x), 2, 3)
    refused(Code.E_GRAPH_INVALID, "num_heads", op.split_heads, x, 2.0, 1)


ATTENTION = [
    {},
    {"causal": True},
    {"window": 3, "causal": True},
    {"mask": np.random.default_rng(0).random((2, 1, 5, 7)) > 0.5},
    {"sinks": array(4, seed=9), "scale": 0.3},
]


@pytest.mark.parametrize("words", ATTENTION)
def test_attention_by_its_formula_equals_flash_attention(words):
    q, k, v = array(2, 4, 5, 8), array(2, 2, 7, 8), array(2, 2, 7, 3)
    both = [
        jax.value_and_grad(lambda q, k, v, f=f: jnp.sum(jnp.sin(f(q, k, v, **words))), (0, 1, 2))
        for f in (op.scaled_dot_product_attention, op.flash_attention)
    ]
    for a, b in zip(*(jax.tree.leaves(f(q, k, v)) for f in both), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_row_that_sees_nothing_gives_zeros_and_no_gradient():
    q, k = array(1, 3, 4), array(1, 5, 4)
    mask = np.ones((1, 3, 5), bool)
    mask[:, 1] = False
    run = lambda q: op.scaled_dot_product_attention(q, k, k, mask=mask)  # noqa: E731
    assert not np.any(run(q)[0, 1])
    assert not np.any(jax.grad(lambda q: run(q).sum())(q)[0, 1])
    np.testing.assert_allclose(run(q), op.flash_attention(q, k, k, mask=mask), rtol=1e-5, atol=1e-6)


def test_attention_by_its_formula_has_the_errors_of_flash_attention():
    q = array(2, 3, 4)
    refused(Code.E_SHAPE_MISMATCH, "ranks", op.scaled_dot_product_attention, q, q, q[0])
    refused(Code.E_GRAPH_INVALID, "window=0", op.scaled_dot_product_attention, q, q, q, window=0)


def test_one_key_head_serves_every_query_head():
    q, k, v = array(2, 4, 5, 8), array(2, 7, 8), array(2, 7, 3)
    repeated = (np.repeat(a[:, None], 4, 1) for a in (k, v))
    found = op.multi_query_attention(q, k, v, causal=True)
    exact = op.flash_attention(q, *repeated, causal=True)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)
    refused(Code.E_SHAPE_MISMATCH, "not", op.multi_query_attention, q, q, q)


@pytest.mark.parametrize("kernel", ["relu", "elu"])
def test_performer_attention_equals_its_quadratic_form(kernel):
    q, k, v = array(2, 5, 4), array(2, 7, 4), array(2, 7, 3)
    f = {
        "relu": lambda x: np.maximum(x, 0) + 1e-3,
        "elu": lambda x: np.where(x > 0, x, np.expm1(x)) + 1,
    }
    a, b = (f[kernel](x.astype(np.float64)) for x in (q, k))
    weights = np.einsum("bid,bjd->bij", a, b)
    exact = (weights / weights.sum(-1, keepdims=True)) @ v
    np.testing.assert_allclose(op.performer_attention(q, k, v, kernel=kernel), exact, rtol=1e-4)
    low = op.performer_attention(*(jnp.asarray(x, jnp.bfloat16) for x in (q, k, v)), kernel=kernel)
    assert low.dtype == jnp.bfloat16


def test_performer_attention_is_linear_in_the_length_and_checks_its_arguments():
    x = jax.ShapeDtypeStruct((1, 4096, 8), "float32")
    memory = jax.jit(op.performer_attention).lower(x, x, x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * 4096  # the weights would be four times that
    q = array(2, 5, 4)
    refused(Code.E_GRAPH_INVALID, "one of relu, elu", op.performer_attention, q, q, q, kernel="x")
    refused(Code.E_SHAPE_MISMATCH, "do not fit", op.performer_attention, q, q[..., :3], q)


# -- feed-forward ----------------------------------------------------------------------------------------


def test_feed_forward_layers_equal_numpy():
    x, up, gate, down = array(2, 5, 6), array(6, 8), array(6, 8, seed=1), array(8, 3)
    b, c = array(8), array(3)
    gelu, silu = oracles.ACTIVATIONS["gelu"], oracles.ACTIVATIONS["silu"]
    wide = x.astype(np.float64)
    exact = gelu(wide @ up + b) @ down + c
    np.testing.assert_allclose(
        op.ffn(x, up, down, up_bias=b, down_bias=c), exact, rtol=1e-4, atol=1e-4
    )
    exact = (silu(wide @ gate) * (wide @ up)) @ down
    np.testing.assert_allclose(op.fused_mlp(x, up, gate, down), exact, rtol=1e-4, atol=1e-4)
    assert op.gated_ffn is op.fused_mlp


def test_derivatives_of_feed_forward_layers(x64):
    x, up, down = (jnp.asarray(a, jnp.float64) for a in (array(3, 4), array(4, 6), array(6, 4)))
    mix = jnp.asarray(array(3, 3), jnp.float64)
    check_grads(op.ffn, (x, up, down), order=1, modes=("fwd", "rev"), rtol=1e-5)
    check_grads(op.fused_mlp, (x, up, up[::-1], down), order=1, modes=("fwd", "rev"), rtol=1e-5)
    check_grads(op.gmlp_block, (x, up, mix, down[:3]), order=1, modes=("fwd", "rev"), rtol=1e-5)


def test_gmlp_equals_numpy():
    x, up, mix, down, shift = array(2, 5, 4), array(4, 6), array(5, 5), array(3, 4), array(5)

    def norm(a):
        return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)

    u, v = np.split(oracles.gelu(norm(x.astype(np.float64)) @ up), 2, -1)
    for bias, added in ((None, np.ones(5)), (shift, shift)):
        exact = x + (u * (mix @ norm(v) + added[:, None])) @ down
        found = op.gmlp_block(x, up, mix, down, spatial_bias=bias)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def test_bad_feed_forward_layers_are_refused():
    x, up, down = array(3, 4), array(4, 6), array(6, 4)
    refused(Code.E_GRAPH_INVALID, "ffn: unknown activation 'elu'", op.ffn, x, up, down, "elu")
    refused(Code.E_GRAPH_INVALID, "fused_mlp: unknown", op.fused_mlp, x, up, up, down, "elu")
    refused(Code.E_SHAPE_MISMATCH, "matmul", op.ffn, x, down, up)
    refused(Code.E_SHAPE_MISMATCH, "x gate has shape", op.fused_mlp, x, up, up[:, :5], down)
    refused(Code.E_SHAPE_MISMATCH, "spatial has shape", op.gmlp_block, x, up, up, down)
    refused(Code.E_SHAPE_MISMATCH, "odd number", op.gmlp_block, x, up[:, :5], jnp.eye(3), down)
    refused(Code.E_SHAPE_MISMATCH, "the residual", op.gmlp_block, x, up, jnp.eye(3), down[:3, :2])
