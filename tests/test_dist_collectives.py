"""Collectives inside `dist.spmd`: sums of blocks, whole products, and errors outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tessera as ts
from tessera import dist, graph, op
from tessera.core.errors import Code, CompileError, DistributedError

ROWS, COLUMNS = (dist.ShardSpec((word,), ("dp",)) for word in ("row", "col"))
WHOLE = dist.Replicate()
A = np.linspace(-1, 1, 16 * 8, dtype=np.float32).reshape(16, 8)
B = np.cos(np.arange(8 * 24, dtype=np.float32)).reshape(8, 24)


@pytest.fixture
def mesh():
    return dist.Mesh(axes=["dp"], devices=range(8))


def product(A, B):
    return dist.all_reduce(op.matmul(A, B), axis="dp", op="sum")


def with_streams(A, B):
    with graph.stream("compute"):
        out = op.matmul(A, B)
    with graph.stream("comm"):
        out = dist.all_reduce(out, axis="dp")
    return out  # noqa: RET504 - as the specification writes it


@pytest.mark.parametrize("function", [product, with_streams])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, ts.compile])
def test_a_product_whose_inner_axis_is_split_is_whole(mesh, function, wrap):
    run = dist.spmd(mesh, in_specs=(COLUMNS, ROWS), out_specs=WHOLE)(function)
    with mesh:
        np.testing.assert_allclose(wrap(run)(A, B), A @ B, rtol=1e-5, atol=1e-5)


def test_blocks_of_rows_are_added_up(mesh):
    run = dist.spmd(mesh, in_specs=(ROWS, WHOLE), out_specs=WHOLE)(product)
    want = (A @ B).reshape(8, 2, 24).sum(0)
    np.testing.assert_allclose(run(A, B), want, rtol=1e-5, atol=1e-5)


def test_a_replicated_value_counts_once_per_device(mesh):
    run = dist.spmd(mesh, in_specs=(WHOLE, WHOLE), out_specs=WHOLE)(product)
    np.testing.assert_allclose(run(A, B), 8 * (A @ B), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
def test_every_reduction_is_that_of_numpy(mesh, name):
    blocks = np.linspace(0.5, 2.0, 16, dtype=np.float32).reshape(8, 2)
    run = dist.spmd(mesh, in_specs=ROWS, out_specs=WHOLE)(lambda x: dist.all_reduce(x, op=name))
    np.testing.assert_allclose(run(blocks)[0], getattr(np, name)(blocks, axis=0), rtol=1e-6)


def test_gradients_go_through(mesh):
    run = dist.spmd(mesh, in_specs=(COLUMNS, ROWS), out_specs=WHOLE)(product)
    got = jax.grad(lambda a: jnp.sum(jnp.sin(run(a, B))))(jnp.asarray(A))
    want = jax.grad(lambda a: jnp.sum(jnp.sin(a @ B)))(jnp.asarray(A))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_outside_a_shard_the_error_shows_the_decorator():
    with pytest.raises(DistributedError, match="whole already") as caught:
        dist.all_reduce(jnp.ones(3))
    assert caught.value.code is Code.E_COMM_INIT
    assert "dist.spmd" in str(caught.value)


def test_an_axis_of_another_name_is_named(mesh):
    run = dist.spmd(mesh, in_specs=ROWS, out_specs=ROWS)(lambda x: dist.all_reduce(x, "tp"))
    with pytest.raises(DistributedError, match="'tp'"):
        run(A)


def test_an_unknown_reduction_names_the_known_ones(mesh):
    with pytest.raises(CompileError, match="op='median'"):
        dist.all_reduce(jnp.ones(3), op="median")


def test_the_number_of_layouts_is_that_of_the_arguments(mesh):
    with pytest.raises(CompileError, match="2 layouts for 1 arguments"):
        dist.spmd(mesh, in_specs=(ROWS, ROWS), out_specs=ROWS)(lambda x: x)(A)
