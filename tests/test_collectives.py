"""Sums over shards with fixed bits: `dist.all_reduce` and `dist.reduce_scatter` by tree and exactly."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tessera import dist
from tessera.core.errors import Code, CompileError, DistributedError

SIZE = 37
COUNTS = (1, 2, 3, 4, 6, 8)


def mixed(*shape: int, seed: int = 0) -> np.ndarray:
    """Returns terms of many magnitudes and both signs: the order of adding them shows in the bits."""
    generator = np.random.default_rng(seed)
    spread = np.exp(3 * generator.standard_normal(shape))
    return (generator.standard_normal(shape) * spread).astype(np.float32)


def on(count: int, function, *arguments, out=None):
    """Runs a function per shard of a line of devices, on contiguous blocks of rows."""
    mesh = dist.Mesh(axes=["dp"], devices=range(count))
    run = jax.shard_map(
        function, mesh=mesh.jax, in_specs=P("dp"), out_specs=P() if out is None else out
    )
    return np.asarray(jax.jit(run)(*arguments))


def neighbours(rows: list[np.ndarray]) -> np.ndarray:
    """The documented tree, in NumPy: float32 additions only."""
    while len(rows) > 1:
        whole = len(rows) // 2
        rows = [rows[2 * i] + rows[2 * i + 1] for i in range(whole)] + rows[2 * whole :]
    return rows[0]


def once_rounded(rows: np.ndarray) -> np.ndarray:
    """The true sums of a column each; float64 and float32 would round twice only at a tie of both."""
    sums = [sum(map(Fraction, column), Fraction(0)) for column in rows.T.astype(float).tolist()]
    return np.array([float(one) for one in sums]).astype(np.float32)


CHUNKS = mixed(24, SIZE)
WANTED = {"tree": neighbours(list(CHUNKS)), "exact": once_rounded(CHUNKS)}


def of_chunks(method: str, op: str = "sum"):
    return functools.partial(dist.all_reduce, op=op, method=method, chunks=24)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("method", ["tree", "exact"])
def test_the_sum_of_chunks_is_one_tree_on_any_number_of_shards(method, count):
    found = on(count, of_chunks(method), CHUNKS)
    np.testing.assert_array_equal(found, WANTED[method])


def test_the_order_of_these_chunks_matters():
    assert np.any(neighbours(list(CHUNKS[::-1])) != WANTED["tree"])
    assert np.any(WANTED["tree"] != WANTED["exact"])


def test_an_exact_sum_of_chunks_does_not_depend_on_their_order():
    shuffled = np.random.default_rng(1).permutation(CHUNKS)
    np.testing.assert_array_equal(on(3, of_chunks("exact"), shuffled), WANTED["exact"])


@pytest.mark.parametrize("count", COUNTS)
def test_without_chunks_the_shards_are_the_leaves(count):
    x = CHUNKS[:count]
    found = on(count, lambda x: dist.all_reduce(x, method="tree"), x)
    np.testing.assert_array_equal(found[0], neighbours(list(x)))


@pytest.mark.parametrize("method", ["tree", "exact"])
def test_gathered_blocks_are_the_whole_sum(method):
    x = mixed(8, 16, 3)

    def both(x):
        part = dist.reduce_scatter(x[0], dim=0, method=method)
        return part, dist.all_reduce(x[0], method=method)[None]

    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    run = jax.shard_map(both, mesh=mesh.jax, in_specs=P("dp"), out_specs=(P("dp"), P("dp")))
    parts, whole = jax.jit(run)(x)
    np.testing.assert_array_equal(parts, whole[0])
    np.testing.assert_allclose(parts, x.astype(float).sum(0), rtol=1e-4, atol=1e-4)


def test_blocks_lie_along_the_dimension_named():
    x = mixed(4, 3, 8)
    scatter = functools.partial(dist.reduce_scatter, dim=-1, op="mean")
    found = on(4, lambda x: scatter(x[0], method="tree"), x, out=P(None, "dp"))
    np.testing.assert_array_equal(found, neighbours(list(x)) / 4)
    plain = on(4, lambda x: scatter(x[0]), x, out=P(None, "dp"))
    np.testing.assert_allclose(plain, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["tree", "exact"])
def test_a_mean_divides_the_sum(method):
    found = on(8, of_chunks(method, "mean"), CHUNKS)
    np.testing.assert_array_equal(found, WANTED[method] / np.float32(24))


def test_two_axes_of_a_mesh_are_one_line_of_shards():
    mesh = dist.Mesh(axes=["dp", "tp"], devices=range(8), shape=(4, 2))
    reduce = functools.partial(dist.all_reduce, axis=("dp", "tp"), method="tree", chunks=24)
    run = jax.shard_map(reduce, mesh=mesh.jax, in_specs=P(("dp", "tp")), out_specs=P())
    np.testing.assert_array_equal(jax.jit(run)(CHUNKS), WANTED["tree"])


@pytest.mark.parametrize("method", ["tree", "exact"])
def test_a_gradient_is_a_broadcast_with_the_same_bits_on_any_mesh(method):
    weights = mixed(SIZE, seed=2)

    def loss(x, count):
        mesh = dist.Mesh(axes=["dp"], devices=range(count))
        run = jax.shard_map(
            lambda x: jnp.sum(weights * of_chunks(method)(x)),
            mesh=mesh.jax,
            in_specs=P("dp"),
            out_specs=P(),
        )
        return run(x)

    for count in (1, 3, 8):
        got = jax.jit(jax.grad(functools.partial(loss, count=count)))(jnp.asarray(CHUNKS))
        np.testing.assert_array_equal(got, np.broadcast_to(weights, CHUNKS.shape))


def test_the_gradient_of_a_block_is_gathered():
    weights = mixed(16, seed=3)

    def loss(x):
        mesh = dist.Mesh(axes=["dp"], devices=range(4))
        run = jax.shard_map(
            lambda x, w: w * dist.reduce_scatter(x[0], method="tree"),
            mesh=mesh.jax,
            in_specs=(P("dp"), P("dp")),
            out_specs=P("dp"),
        )
        return jnp.sum(run(x, jnp.asarray(weights)))

    got = jax.jit(jax.grad(loss))(jnp.asarray(mixed(4, 16)))
    np.testing.assert_array_equal(got, np.broadcast_to(weights, (4, 16)))


def test_forward_mode_sums_the_tangents():
    tangent = mixed(24, SIZE, seed=4)

    def moved(x, t):
        return jax.jvp(of_chunks("tree"), (x,), (t,))[1]

    found = on(4, moved, CHUNKS, tangent)
    np.testing.assert_allclose(found, tangent.astype(float).sum(0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.complex64, jnp.int32])
def test_other_numbers_are_summed_as_well(dtype):
    x = jnp.asarray(np.round(mixed(8, 5)) if dtype == jnp.int32 else mixed(8, 5)).astype(dtype)
    x = x + (1j * x if dtype == jnp.complex64 else 0 * x)
    want = np.asarray(x).astype(complex).sum(0)
    rtol = 2**-7 if dtype == jnp.bfloat16 else 1e-5
    for method in ("tree", "exact"):
        found = on(4, lambda x, m=method: dist.all_reduce(x, method=m, chunks=8), x)
        assert found.dtype == x.dtype
        np.testing.assert_allclose(found.astype(complex), want, rtol=rtol, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda x: dist.all_reduce(x, method="ring"), Code.E_GRAPH_INVALID, "method='ring'"),
        (lambda x: dist.all_reduce(x, op="max", method="tree"), Code.E_GRAPH_INVALID, "op='max'"),
        (lambda x: dist.all_reduce(x, chunks=24), Code.E_GRAPH_INVALID, "needs a method"),
        (
            lambda x: dist.all_reduce(x, method="tree", chunks=5),
            Code.E_SHAPE_MISMATCH,
            "chunks=5, but 8 shards",
        ),
        (lambda x: dist.reduce_scatter(x, op="prod"), Code.E_GRAPH_INVALID, "op='prod'"),
        (lambda x: dist.reduce_scatter(x, dim=1), Code.E_SHAPE_MISMATCH, "8 equal blocks"),
    ],
)
def test_what_cannot_be_reduced_says_why(call, code, says):
    with pytest.raises(CompileError, match=says) as caught:
        on(8, call, CHUNKS)
    assert caught.value.code is code


def test_outside_a_shard_there_is_nothing_to_scatter():
    with pytest.raises(DistributedError, match="reduce_scatter") as caught:
        dist.reduce_scatter(jnp.ones(8))
    assert caught.value.code is Code.E_COMM_INIT
