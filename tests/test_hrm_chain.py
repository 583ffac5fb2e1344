"""The two programs of the specification that run on eight devices, as they are written there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.sharding import PartitionSpec as P

from tessera import dist, op

pytestmark = pytest.mark.newest

FACTS = np.random.default_rng(0).uniform(size=(64, 16)).astype(np.float32)


def reasoning(X, mesh):
    facts = op.tile_kernel("predicate_eval", input=X)

    agg = op.reduce_sum(facts, axis=0, layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)

    def consistency(x):
        return op.recursive(lambda y: op.logic_and(y, x), depth=3)(x)

    return consistency(agg)


def means(X, mesh):
    """The chain on averages, which stay inside (0, 1), where product logic has a slope."""
    facts = op.tile_kernel("predicate_eval", input=X)
    layout = dist.ShardSpec(("row",), ("dp",))
    agg = op.reduce_sum(facts, axis=0, layout=layout, mesh=mesh) / X.shape[0]
    return op.recursive(lambda y: op.logic_and(y, agg), depth=3)(agg)


def test_the_reasoning_chain_runs_as_written():
    X = FACTS

    # Define distributed mesh for reasoning at scale
    mesh = dist.Mesh(axes=["dp"], devices=range(8))

    # Step A: local reasoning as tile ops
    facts = op.tile_kernel("predicate_eval", input=X)

    # Step B: aggregate with schedule-level reductions
    agg = op.reduce_sum(facts, axis=0, layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)

    # Step C: global recursive operator for consistency
    def consistency(x):
        return op.recursive(lambda y: op.logic_and(y, x), depth=3)(x)

    result = consistency(agg)

    total = scipy.special.expit(FACTS.astype(np.float64)).sum(axis=0)
    np.testing.assert_allclose(agg, total, rtol=1e-6)
    np.testing.assert_array_equal(result, np.clip(total, 0, 1).astype(np.float32) ** 4)
    assert result.sharding.is_fully_replicated


@pytest.mark.parametrize("chain", [reasoning, means])
@pytest.mark.parametrize("jitted", [False, True])
def test_the_chain_has_the_same_bits_on_any_number_of_devices(chain, jitted):
    found = set()
    for count in (1, 2, 4, 8):
        mesh = dist.Mesh(axes=["dp"], devices=range(count))
        run = jax.jit(chain, static_argnums=1) if jitted else chain
        found.add(np.asarray(run(FACTS, mesh)).tobytes())
    assert len(found) == 1


def test_the_chain_is_differentiable_end_to_end():
    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(means(x, mesh))))(FACTS)
    truth = scipy.special.expit(FACTS.astype(np.float64))
    expected = 4 * truth.mean(axis=0) ** 3 * truth * (1 - truth) / 64
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


def test_the_quick_example_runs_as_written():
    # Create a distributed mesh across 8 GPUs
    mesh = dist.Mesh(axes=["dp"], devices=range(8))

    # Define a sharded tensor
    X = dist.tensor((1024, 1024), layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)

    # Apply a fused operator pipeline
    Y = op.pipeline([op.matmul(X, X.T), op.relu, op.layernorm])

    assert Y.shape == (1024, 1024)
    assert np.isfinite(Y).all()
    assert Y.sharding.spec == P("dp")
    np.testing.assert_array_equal(Y, op.layernorm(op.relu(op.matmul(X, X.T))))


@pytest.mark.parametrize("jitted", [False, True])
def test_the_quick_example_agrees_with_numpy_on_other_data(jitted):
    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    data = np.random.default_rng(1).standard_normal((128, 64)).astype(np.float32)
    x = dist.tensor(data, layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)

    def chain(v):
        return op.pipeline([op.matmul(v, v.T), op.relu, op.layernorm])

    y = (jax.jit(chain) if jitted else chain)(x)
    assert y.sharding.spec == P("dp")
    z = np.maximum(data.astype(np.float64) @ data.T, 0)
    variance = z.var(axis=-1, keepdims=True)
    expected = (z - z.mean(axis=-1, keepdims=True)) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
