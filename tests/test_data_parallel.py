"""`training.data_parallel`: gradients that do not depend on the number of devices."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, training
from tessera.core.errors import Code, CompileError, DistributedError

RNG = np.random.default_rng(0)
BATCH, STEPS = 48, 6
X = RNG.standard_normal((STEPS, BATCH, 5)).astype(np.float32)
Y = np.sin(X.sum(-1, keepdims=True))


def initial():
    rng = np.random.default_rng(1)
    sizes = ((5, 16), (16, 1))
    return [(jnp.asarray(rng.standard_normal(s) / 2, jnp.float32), jnp.zeros(s[1])) for s in sizes]


def loss(params, x, y):
    (w, b), (v, c) = params
    return jnp.mean((jnp.tanh(x @ w + b[None]) @ v + c[None] - y) ** 2)


def mesh_of(count):
    return dist.Mesh(axes=["dp"], devices=range(count))


def trained(counts, level="D2", chunks=24):
    """The digest of the parameters and losses after steps over meshes of these sizes, one after the other."""
    params, seen = initial(), []
    for part, count in zip(np.split(np.arange(STEPS), len(counts)), counts, strict=True):
        mesh = mesh_of(count)
        gradient = training.data_parallel(loss, mesh=mesh, chunks=chunks, level=level)

        @jax.jit
        def step(params, x, y, gradient=gradient):
            value, slopes = gradient(params, x, y)
            return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, slopes)

        params = jax.device_put(params, NamedSharding(mesh.jax, P()))
        for i in part:
            value, params = step(params, X[i], Y[i])
            seen.append(value)
    data = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves((params, seen)))
    return hashlib.sha256(data).hexdigest()


@pytest.mark.newest
def test_training_has_the_same_bits_on_every_mesh_and_when_the_mesh_changes():
    layouts = ((1,), (2,), (3,), (4,), (6,), (8,), (8, 2), (1, 6, 4))
    assert len({trained(counts) for counts in layouts}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("level", ["D3", "D4"])
def test_training_keeps_higher_levels_on_every_mesh(level):
    assert len({trained(counts, level) for counts in ((1,), (3,), (8,), (8, 2))}) == 1


@pytest.mark.parametrize("level", ["D2", "D4"])
def test_value_and_gradient_are_those_of_the_whole_batch(level):
    step = training.data_parallel(loss, mesh=mesh_of(4), level=level)
    found = jax.jit(step)(initial(), X[0], Y[0])
    expected = jax.value_and_grad(loss)(initial(), X[0], Y[0])
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_parameters_keep_their_dtypes():
    params = {"w": jnp.ones((5, 1), jnp.bfloat16), "b": jnp.zeros(1)}

    def mixed(params, x):
        return jnp.mean((x @ params["w"].astype(jnp.float32) + params["b"][None]) ** 2)

    with mesh_of(2):
        value, slopes = jax.jit(training.data_parallel(mixed))(params, X[0])
    assert value.dtype == jnp.float32
    assert {k: v.dtype.name for k, v in slopes.items()} == {"w": "bfloat16", "b": "float32"}


REFUSED = {
    "chunks that no mesh divides": ({"chunks": 3}, X[0], "3 chunks are not divided by 2 devices"),
    "a batch that chunks do not divide": ({"chunks": 10}, X[0], "48 is not divided into 10 chunks"),
    "no chunks": ({"chunks": 0}, X[0], "chunks is 0"),
    "an axis that is not there": ({"axis": "tp"}, X[0], "no axis 'tp'; its axes: dp"),
    "no level": ({"level": "D0"}, X[0], "level is 'D0'"),
    "a scalar": ({}, np.float32(1), "no common leading size"),
    "no examples": ({}, X[0, :0], "a batch of 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    words, batch, message = REFUSED[case]
    with pytest.raises(CompileError, match=f"data_parallel: .*{message}") as caught:
        training.data_parallel(loss, **{"mesh": mesh_of(2), **words})(initial(), batch)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_without_a_mesh_it_says_how_to_give_one():
    with pytest.raises(DistributedError, match="no mesh is given and none is current"):
        training.data_parallel(loss)(initial(), X[0], Y[0])
