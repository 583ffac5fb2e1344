"""Random numbers on meshes of any size, drawn shard by shard, with any kind of key, and in a backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, op

# No version of JAX changes it; the oldest is tried by the tests of levels and ops.
pytestmark = pytest.mark.newest

KEYS = {"philox": 5, "jax": jax.random.key(5)}
SHAPE = (24, 8)
MESHES = [(3,), (6,), (3, 2), (2, 4)]  # test_rng has lines of 1, 2, 4 and 8


def draws(key):
    return (
        op.rng.uniform(SHAPE, -1.0, 3.0, key=key),
        op.rng.normal(SHAPE, 0.5, 2.0, key=key),
    )


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


@pytest.mark.newest
@pytest.mark.parametrize("kind", KEYS)
def test_draws_have_the_same_bits_on_every_mesh(kind):
    key = KEYS[kind]
    found = {tuple(bits(draws(key)))}
    for sizes in MESHES:
        names = ("a", "b")[: len(sizes)]
        count = int(np.prod(sizes))
        mesh = jax.make_mesh(sizes, names, devices=jax.devices()[:count])
        there = jax.jit(
            draws,
            static_argnums=0 if kind == "philox" else (),
            out_shardings=NamedSharding(mesh, P(*names)),
        )
        found.add(tuple(bits(there(key))))
    assert len(found) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8])
def test_shards_that_an_initializer_draws_by_counter_are_the_whole(count):
    def rows(index, shape, dtype):
        first = index[0].start or 0
        return op.rng.normal(shape, key=9, counter=first * shape[1], dtype=dtype)

    mesh = dist.Mesh(axes=["dp"], devices=range(count))
    layout = dist.ShardSpec(("row",), ("dp",))
    found = dist.tensor(SHAPE, layout=layout, mesh=mesh, initializer=rows)
    assert len(found.addressable_shards) == count
    assert bits(found) == bits(op.rng.normal(SHAPE, key=9))


TAKES_A_KEY = {
    "dropout": lambda key: op.dropout(jnp.ones(64), 0.5, key=key),
    "linear": lambda key: op.linear(3, 2, key=key).weight,
    "mlp": lambda key: op.mlp(3, [4], 2, key=key).layers[0].weight,
    "embedding": lambda key: op.embedding(5, 4, key=key).weight,
    "cast": lambda key: op.cast(jnp.full(64, 1.001), "bf16", stochastic_round=True, key=key),
    "random_normal": lambda key: op.random_normal(8, key=key),
    "random_uniform": lambda key: op.random_uniform(8, key=key),
    "rng": lambda key: op.rng(seed=key).normal(8),
}


@pytest.mark.parametrize("name", TAKES_A_KEY)
def test_a_typed_key_and_its_raw_words_draw_alike(name):
    draw, key = TAKES_A_KEY[name], jax.random.key(11)
    assert bits(draw(key)) == bits(draw(jax.random.key_data(key)))
    assert bits(draw(key)) == bits(jax.jit(draw)(key))
    assert bits(draw(key)) != bits(draw(jax.random.key(12)))


@pytest.mark.parametrize("kind", KEYS)
def test_a_backward_that_draws_again_draws_what_the_forward_did(kind):
    x, key = jnp.arange(1.0, 65.0), KEYS[kind]

    @jax.checkpoint
    def thinned(x):
        return jnp.where(op.rng.bernoulli(x.shape, 0.5, key=key), jnp.sin(x), 0)

    gradient = jax.jit(jax.grad(lambda x: jnp.sum(thinned(x))))(x)
    np.testing.assert_array_equal(gradient != 0, thinned(x) != 0)
    np.testing.assert_array_equal(gradient != 0, op.rng.bernoulli(x.shape, 0.5, key=key))
