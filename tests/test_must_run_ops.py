"""Calls that the description of the ops promises as written, and mistakes they are easily made with."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import tessera as ts
from tessera import dist, op


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def wide(*arrays):
    return [np.asarray(x).astype(np.float64) for x in arrays]


# -- a fused pipeline over eight devices ------------------------------------------------------------------


def normal_rows(product):
    return oracles.layernorm(np.maximum(product, 0.0))


def test_a_pipeline_over_eight_devices_is_finite_split_by_rows_and_equal_to_its_stages():
    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    X = dist.tensor((1024, 1024), layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)
    Y = op.pipeline([op.matmul(X, X.T), op.relu, op.layernorm])
    assert Y.shape == (1024, 1024)
    assert Y.sharding.is_equivalent_to(X.sharding, 2)
    assert jnp.all(jnp.isfinite(Y))
    np.testing.assert_array_equal(Y, op.layernorm(op.relu(op.matmul(X, X.T))))


def test_a_pipeline_over_eight_devices_of_data_equals_numpy():
    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    data = drawn(64, 64)
    layout = dist.ShardSpec(("row",), ("dp",))
    X = dist.tensor(
        (64, 64), layout=layout, mesh=mesh, initializer=lambda index, shape, dtype: data[index]
    )
    Y = op.pipeline([op.matmul(X, X.T), op.relu, op.layernorm])
    assert Y.sharding.is_equivalent_to(X.sharding, 2)
    (values,) = wide(data)
    np.testing.assert_allclose(Y, normal_rows(values @ values.T), rtol=1e-4, atol=1e-4)


# -- attention with its blocks given ----------------------------------------------------------------------


def causal(q, k, v):
    """Returns attention of (..., length, depth) by its definition."""
    scores = np.einsum("...id,...jd->...ij", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


# The larger is computed tile by tile, with rows and columns left over.
@pytest.mark.parametrize("length", [12, 400])
def test_causal_attention_takes_its_blocks_as_words(length):
    q, k, v = (drawn(1, 2, length, 8, seed=s) for s in range(3))
    found = op.flash_attention(q, k, v, causal=True, block_q=64, block_k=96, block_d=8)
    np.testing.assert_allclose(found, causal(*wide(q, k, v)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, op.flash_attention(q, k, v, causal=True), 1e-4, 1e-5)


@pytest.mark.parametrize("length", [12, 400])
def test_causal_attention_of_rank_three_takes_its_blocks_as_params(length):
    q, k, v = (drawn(2, length, 8, seed=s) for s in range(3))
    params = {"block_q": 64, "block_k": 96}
    found = op.flash_attention(q, k, v, causal=True, params=params)
    np.testing.assert_allclose(found, causal(*wide(q, k, v)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found, op.flash_attention(q, k, v, causal=True, **params))


# -- a norm leaves what the residual adds back ------------------------------------------------------------


def block(norm, x, w):
    return op.matmul(norm(x), w, epilogue="gelu_residual", residual=x)


def plain_block(norm, x, w):
    return x + op.gelu(norm(x) @ w)


@pytest.mark.parametrize("written", [block, plain_block])
@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
def test_a_norm_does_not_overwrite_what_the_residual_adds_back(name, written):
    x, w = jnp.asarray(drawn(16, 8)), jnp.asarray(drawn(8, 8))
    before = np.array(x)

    def run(x, w):
        return written(getattr(op, name), x, w)

    values, weights = wide(x, w)
    expected = values + oracles.gelu(oracles.VALUES[name](values) @ weights)
    for transform in (lambda f: f, jax.jit, ts.compile):
        np.testing.assert_allclose(transform(run)(x, w), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(x, before)
    # Where the memory of x may be used again too.
    donated = jax.jit(run, donate_argnums=0)(jnp.array(before), w)
    np.testing.assert_allclose(donated, expected, rtol=1e-4, atol=1e-4)


# -- ties -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 8, 9, 20])  # by passes over the scores, then by a sort
def test_the_lowest_index_wins_ties_however_many_are_chosen_and_wherever_they_lie(k):
    values = np.random.default_rng(0).integers(0, 3, size=(8, 24)).astype(np.float32)
    expected = np.argsort(-values, axis=-1, kind="stable")[:, :k]
    mesh = jax.make_mesh((8,), ("ep",), axis_types=(AxisType.Auto,))
    by_rows, by_scores = (
        jax.device_put(values, NamedSharding(mesh, spec)) for spec in (P("ep"), P(None, "ep"))
    )
    compiled = jax.jit(op.topk, static_argnums=1)
    for found in (op.topk(values, k), compiled(by_rows, k), compiled(by_scores, k)):
        np.testing.assert_array_equal(found[0], expected)


def test_infinite_and_equal_scores_are_chosen_by_index():
    scores = jnp.array([-jnp.inf, 1.0, jnp.inf, -jnp.inf, jnp.inf])
    assert op.topk(scores, 5, softmax=False)[0].tolist() == [2, 4, 1, 0, 3]
