"""Fourier transforms along axes that are split over devices: exchanged, never gathered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, op
from tessera.core.errors import Code, CompileError, LaunchError, TesseraError

LINE = dist.Mesh(axes=["dp"], devices=range(8))
GRID = dist.Mesh(axes=["a", "b"], devices=range(8), shape=(4, 2))
ROWS = dist.ShardSpec((0,), ("dp",))
RNG = np.random.default_rng(1)
X = RNG.normal(size=(16, 24)).astype(np.float32)

CASES = [
    (LINE, ROWS, (0,), 2),
    (LINE, ROWS, (1, 0), 2),
    (LINE, ROWS, (1,), 0),
    (GRID, dist.ShardSpec((0, 1), ("a", "b")), (0, 1), 4),
    (GRID, dist.ShardSpec((0, 0), ("b", "a")), (0,), 2),
]


def close(actual, expected):
    # Errors of a transform are relative to its largest value.
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.max(np.abs(expected)))


def code_of(call, kind):
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, TesseraError)
    return caught.value.code, str(caught.value)


def operations(function, *args):
    text = jax.jit(function).lower(*args).compile().as_text()
    return text.count(" all-gather("), text.count(" all-to-all(")


def test_without_a_mesh_a_split_axis_is_gathered():
    # The reason for `mesh=`: when this fails XLA has learnt better.
    x = dist.shard(X, ROWS, mesh=LINE)
    assert operations(lambda v: op.fft(v, axes=0), x)[0] > 0


@pytest.mark.parametrize(("mesh", "layout", "axes", "exchanges"), CASES)
def test_a_split_axis_is_exchanged_and_nothing_gathered(mesh, layout, axes, exchanges):
    x = dist.shard(X, layout, mesh=mesh)
    found = op.fft(x, axes=axes, mesh=mesh)
    close(found, np.fft.fftn(X, axes=axes))
    assert found.sharding.is_equivalent_to(x.sharding, 2)
    close(op.ifft(found, axes=axes, mesh=mesh), X.astype(complex))

    def run(v):
        return op.fft(v, axes=axes, mesh=mesh, layout=layout, normalize="ortho")

    assert operations(run, x) == (0, exchanges)
    close(jax.jit(run)(x), np.fft.fftn(X, axes=axes, norm="ortho"))


def test_real_transforms_keep_the_real_axis_whole():
    x = dist.shard(X, ROWS, mesh=LINE)
    found = op.rfft(x, axes=(0, 1), mesh=LINE)
    close(found, np.fft.rfftn(X))
    back = op.irfft(found, axes=(0, 1), mesh=LINE, n=(16, 24))
    assert back.dtype == jnp.float32
    close(back, X)


def test_an_axis_that_does_not_divide_takes_the_split_all_the_same():
    x = RNG.normal(size=(16, 3)).astype(np.float32)
    close(op.fft(dist.shard(x, ROWS, mesh=LINE), axes=0, mesh=LINE), np.fft.fft(x, axis=0))


def test_a_length_may_change_on_a_split_axis():
    x = dist.shard(X, ROWS, mesh=LINE)
    for n in (8, 24):
        close(op.fft(x, axes=0, n=n, mesh=LINE), np.fft.fft(X, n, axis=0))


def test_three_axes_in_pencils():
    x = RNG.normal(size=(8, 4, 16)).astype(np.float32)
    spread = dist.shard(x, dist.ShardSpec((0, 1), ("a", "b")), mesh=GRID)
    close(op.fft(spread, axes=(0, 1, 2), mesh=GRID), np.fft.fftn(x))


def test_the_gradient_is_exchanged_as_well():
    x = dist.shard(X, ROWS, mesh=LINE)

    def energy(v):
        return jnp.sum(jnp.abs(op.fft(v, axes=0, mesh=LINE, layout=ROWS)) ** 2)

    close(jax.grad(energy)(x), 2 * 16 * X)  # Parseval: the sum is 16 |x|^2
    assert operations(jax.grad(energy), x)[0] == 0
    tangent = jax.jvp(energy, (x,), (x,))[1]
    np.testing.assert_allclose(tangent, 2 * 16 * np.sum(X**2), rtol=1e-5)


def test_vmap_of_a_transform_over_devices_equals_a_loop():
    pair = jnp.stack([X, 2 * X])
    found = jax.vmap(lambda v: op.fft(v, axes=0, mesh=LINE, layout=ROWS))(pair)
    close(found, np.fft.fft(pair, axis=1))


def test_an_array_that_lies_elsewhere_is_brought_to_the_layout():
    found = op.fft(X, axes=0, mesh=LINE, layout=ROWS)
    close(found, np.fft.fft(X, axis=0))
    assert found.sharding.is_equivalent_to(NamedSharding(LINE.jax, P("dp")), 2)


def test_what_cannot_be_exchanged_is_refused():
    x = dist.shard(X, ROWS, mesh=LINE)
    code, text = code_of(lambda: op.fft(jnp.asarray(X), axes=0, mesh=LINE), LaunchError)
    assert code is Code.E_LAUNCH_BAD_LAYOUT
    assert "layout=" in text
    code, _ = code_of(lambda: jax.jit(lambda v: op.fft(v, axes=0, mesh=LINE))(x), LaunchError)
    assert code is Code.E_LAUNCH_BAD_LAYOUT
    line = dist.shard(np.ones(64, np.float32), ROWS, mesh=LINE)
    code, text = code_of(lambda: op.fft(line, mesh=LINE), CompileError)
    assert code is Code.E_SHAPE_MISMATCH
    assert "there is no other axis" in text
    code, text = code_of(lambda: op.rfft(x, axes=0, mesh=LINE), CompileError)
    assert code is Code.E_SHAPE_MISMATCH
    assert "9 entries after the transform" in text
    code, _ = code_of(lambda: op.fft(x, axes=0, mesh=GRID.jax), CompileError)
    assert code is Code.E_GRAPH_INVALID
    code, text = code_of(lambda: op.fft(X, mesh=LINE, layout=("dp", "dp")), LaunchError)
    assert code is Code.E_LAUNCH_BAD_LAYOUT
    assert "twice" in text


def test_a_current_mesh_is_not_taken_unasked():
    with LINE:
        close(op.fft(X), np.fft.fft(X))
