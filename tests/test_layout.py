"""Shape, movement and layout ops: against NumPy, and as round trips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from tessera import dist, op
from tessera.core import errors
from tessera.core.errors import Code, CompileError

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def same(actual, expected):
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def refused(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in str(caught.value)


# -- as in NumPy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 4), (-1,), (4, -1, 2), (2, 3, 4, 1), 24])
def test_reshape_equals_numpy(shape):
    same(op.reshape(X, shape), X.reshape(shape))


def test_reshape_of_nothing():
    assert op.reshape(np.ones((0, 3), np.float32), (3, 0)).shape == (3, 0)
    assert op.reshape(np.ones((0, 3), np.float32), (-1, 3)).shape == (0, 3)
    assert op.reshape(np.float32(1), ()).shape == ()


@pytest.mark.parametrize("axes", [None, (1, 0, 2), (-1, 0, 1)])
def test_transpose_equals_numpy(axes):
    same(op.transpose(X, axes), X.transpose(axes))


def test_concat_equals_numpy_and_promotes():
    same(op.concat([X, X[:, :1]], axis=1), np.concatenate([X, X[:, :1]], axis=1))
    same(op.concat([X, X], axis=-1), np.concatenate([X, X], axis=-1))
    assert op.concat([jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32)]).dtype == jnp.float32


@pytest.mark.parametrize(("n", "axis"), [(2, 0), (3, 1), ([1], 2), ([1, 1, 3], -1), ([], 0)])
def test_split_equals_numpy(n, axis):
    for ours, theirs in zip(op.split(X, n, axis), np.split(X, n, axis), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("pads", [1, (2, 1), [(0, 1), (2, 0), (0, 0)], np.zeros((3, 2), int)])
@pytest.mark.parametrize("value", [0, 1.5])
def test_pad_equals_numpy(pads, value):
    same(op.pad(X, pads, value), np.pad(X, pads, constant_values=value))


def test_pad_casts_its_value_and_takes_scalars():
    assert op.pad(jnp.ones(2, jnp.int8), 1, 3).tolist() == [3, 1, 1, 3]
    assert op.pad(np.float32(2), 1).shape == ()
    assert op.pad(np.float32(2), []).shape == ()


@pytest.mark.parametrize("starts", [(0, 1, 2), (1, -2, -2), (np.int32(1), 0, 0)])
def test_slice_equals_numpy(starts):
    a, b, c = (int(s) % n for s, n in zip(starts, X.shape, strict=True))
    expected = X[a : a + 1, b : b + 2, c : c + 2]
    same(op.slice(X, starts, (1, 2, 2)), expected)
    same(jax.jit(lambda s: op.slice(X, s, (1, 2, 2)))(jnp.asarray(starts, jnp.int32)), expected)


def test_a_start_known_only_at_run_time_is_clamped_and_a_known_one_is_an_error():
    run = jax.jit(lambda i: op.slice(X[0, 0], i, 3))
    assert run(3).tolist() == [1.0, 2.0, 3.0]
    refused(lambda: op.slice(X[0, 0], 3, 3), Code.E_SHAPE_MISMATCH, "3 entries from 3")
    refused(lambda: op.slice(X[0, 0], jnp.array([3]), 3), Code.E_SHAPE_MISMATCH, "axis 0 of length")
    refused(lambda: op.slice(X[0, 0], -5, 1), Code.E_SHAPE_MISMATCH, "from -5")
    refused(lambda: jax.jit(lambda v: op.slice(v, 2, 3))(X[0, 0]), Code.E_SHAPE_MISMATCH, "from 2")
    # Even where the start is free, the size may be too large.
    too_large = jax.jit(lambda i: op.slice(X[0, 0], i, 5))
    refused(
        lambda: too_large(0), Code.E_SHAPE_MISMATCH, "5 entries are not inside axis 0 of length 4"
    )


@pytest.mark.parametrize(
    "move",
    [
        lambda x: op.reshape(x, (4, 6)),
        lambda x: op.transpose(x, (2, 0, 1)),
        lambda x: op.concat([x, 2 * x], axis=1),
        lambda x: op.split(x, 3, axis=1)[1],
        lambda x: op.pad(x, 1),
        lambda x: op.slice(x, (0, 1, 1), (2, 2, 2)),
        lambda x: op.gather(x, np.array([2, 0, 2]), axis=1),
        lambda x: op.rearrange(x, "a b (c d) -> (d a) b c", c=2),
        lambda x: op.unpack(op.pack(x, "tile(2,3)")),
        lambda x: op.tile_view(x, 3, 2),
    ],
)
def test_movement_differentiates_jits_and_batches(move):
    check_grads(lambda x: move(x) ** 2, (X / 10,), order=2, rtol=1e-2, atol=1e-2, eps=1e-2)
    same(jax.jit(move)(X), np.asarray(move(X)))
    batch = np.stack([X, X + 1])
    same(jax.vmap(move)(batch), np.stack([move(x) for x in batch]))


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.reshape(X, (5, 5)), Code.E_SHAPE_MISMATCH, "24 entries"),
        (lambda: op.reshape(X, (-1, 7)), Code.E_SHAPE_MISMATCH, "cannot hold"),
        (lambda: op.reshape(X, (-1, 0)), Code.E_SHAPE_MISMATCH, "cannot hold"),
        (lambda: op.reshape(X, (-1, -1)), Code.E_GRAPH_INVALID, "one may be -1"),
        (lambda: op.reshape(X, (2.0, 12)), Code.E_GRAPH_INVALID, "not an integer"),
        (lambda: op.transpose(X, (0, 1)), Code.E_GRAPH_INVALID, "each of the 3 axes once"),
        (lambda: op.transpose(X, (0, 1, 3)), Code.E_SHAPE_MISMATCH, "axis 3"),
        (lambda: op.concat([]), Code.E_GRAPH_INVALID, "no arrays"),
        (lambda: op.concat(X), Code.E_GRAPH_INVALID, "no list"),
        (lambda: op.concat([X, X[0]]), Code.E_SHAPE_MISMATCH, "xs[1] is (3, 4)"),
        (lambda: op.concat([X, X[:, :2]]), Code.E_SHAPE_MISMATCH, "only axis 0"),
        (lambda: op.concat([X], axis=3), Code.E_SHAPE_MISMATCH, "axis 3"),
        (lambda: op.split(X, 3, axis=2), Code.E_SHAPE_MISMATCH, "3 does not divide"),
        (lambda: op.split(X, 0), Code.E_GRAPH_INVALID, "at least 1"),
        (lambda: op.split(X, [3, 1], axis=2), Code.E_GRAPH_INVALID, "must not fall"),
        (lambda: op.split(X, [5], axis=2), Code.E_SHAPE_MISMATCH, "leave axis 2"),
        (lambda: op.pad(X, -1), Code.E_GRAPH_INVALID, "at least 0"),
        (lambda: op.pad(X, [(1, 1)]), Code.E_SHAPE_MISMATCH, "1 pairs for 3 axes"),
        (lambda: op.pad(X, [(1,), (1, 2)]), Code.E_GRAPH_INVALID, "a pair for each axis"),
        (lambda: op.pad(X, 1.5), Code.E_GRAPH_INVALID, "must be numbers"),
        (lambda: op.slice(X, (0, 0), (1, 1, 1)), Code.E_SHAPE_MISMATCH, "2 starts and 3 sizes"),
        (lambda: op.slice(X, (0, 0, 0), (1, 1, -1)), Code.E_SHAPE_MISMATCH, "axis 2"),
        (lambda: op.slice(X, (0, 0, 0.5), (1, 1, 1)), Code.E_GRAPH_INVALID, "not an integer"),
    ],
)
def test_movement_that_cannot_be_is_refused(call, code, says):
    refused(call, code, says)


def test_sizes_left_open_by_an_export_are_moved():
    (b,) = jax.export.symbolic_shape("b")

    def move(x):
        flat = op.reshape(op.slice(x, (0, 1, 0), (x.shape[0], 2, 4)), (x.shape[0], -1))
        return op.rearrange(flat, "b (n d) -> n b d", n=2)

    exported = jax.export.export(jax.jit(move))(jax.ShapeDtypeStruct((b, 3, 4), jnp.float32))
    same(exported.call(X), X[:, 1:].swapaxes(0, 1))


# -- gather -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [1, [0, 1, 1, -1], [[0, -2], [1, 1]], np.zeros((0,), int)])
def test_gather_equals_numpy(axis, indices):
    found = np.asarray(indices)
    same(op.gather(X, found, axis), np.take(X, found, axis))
    same(jax.jit(op.gather, static_argnums=2)(X, found, axis), np.take(X, found, axis))


def out_of_range(call, says):
    with pytest.raises(errors.RuntimeError) as caught:
        call()
    assert caught.value.code is Code.E_ILLEGAL_ADDRESS
    assert says in str(caught.value)


def test_an_index_out_of_range_is_an_error_where_it_is_known():
    out_of_range(
        lambda: op.gather(X, jnp.array([0, 2])), "index 2 at 1 is outside [-2, 2) of axis 0"
    )
    out_of_range(lambda: op.gather(X, np.array([[0], [-4]]), 1), "index -4 at (1, 0)")
    out_of_range(lambda: op.gather(X, 4, axis=2), "index 4 is outside [-4, 4)")
    out_of_range(lambda: jax.jit(lambda v: op.gather(v, np.array([7])))(X), "index 7")
    out_of_range(lambda: jax.grad(lambda v: op.gather(v, np.array([7])).sum())(X), "index 7")
    out_of_range(lambda: op.gather(X[:0], np.array([0])), "outside [0, 0)")
    out_of_range(lambda: jax.jit(op.gather)(X[:0], np.array([0])), "outside [0, 0)")


def test_an_index_known_only_at_run_time_is_clamped():
    found = jax.jit(op.gather)(np.arange(3.0, dtype=np.float32), np.array([-9, -3, -1, 2, 5]))
    assert found.tolist() == [0.0, 0.0, 2.0, 2.0, 2.0]


def test_a_narrow_index_reaches_every_row_it_names():
    x = np.arange(300)
    assert op.gather(x, np.array([-1, 127], np.int8)).tolist() == [299, 127]
    assert op.gather(x, np.array([255], np.uint8)).tolist() == [255]


def test_the_gradient_of_gather_adds_what_was_taken_twice():
    gradient = jax.grad(lambda v: op.gather(v, np.array([2, 2, 0])).sum())(jnp.ones(3))
    assert gradient.tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("of_rows", "of_indices", "expected"),
    [
        (P(), P("a"), P("a", None, None)),
        (P("a"), P(None, "b"), P(None, "b", None)),
        (P(None, "a"), P("a"), P("a", None, None)),
    ],
    ids=str,
)
def test_on_an_explicit_mesh_what_is_gathered_lies_as_its_indices_do(of_rows, of_indices, expected):
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Explicit,) * 2)
    rows, indices = (
        np.arange(48.0, dtype=np.float32).reshape(8, 6),
        np.array([[3, 1, 0, 7], [2] * 4]),
    )
    with jax.set_mesh(mesh):
        x = jax.device_put(rows, NamedSharding(mesh, of_rows))
        places = jax.device_put(jnp.asarray(indices), NamedSharding(mesh, of_indices))
        found = jax.jit(op.gather)(x, places)
        gradient = jax.jit(jax.grad(lambda x: (op.gather(x, places) ** 2).sum()))(x)
    assert jax.typeof(found).sharding.spec == expected
    np.testing.assert_array_equal(found, rows[indices])
    added = np.zeros_like(rows)
    np.add.at(added, indices, 2 * rows[indices])
    np.testing.assert_array_equal(gradient, added)


def test_gathers_that_cannot_be_are_refused():
    refused(lambda: op.gather(X, jnp.array([0.0])), Code.E_GRAPH_INVALID, "not integers")
    refused(lambda: op.gather(X, np.array([0]), axis=3), Code.E_SHAPE_MISMATCH, "axis 3")
    refused(lambda: op.gather(X, [0, 1]), Code.E_GRAPH_INVALID, "'indices' is a list")


# -- rearrange ----------------------------------------------------------------------------------------------

REARRANGED = [
    ("a b c -> c b a", {}, lambda x: x.transpose(2, 1, 0)),
    ("a b (h d) -> a h b d", {"h": 2}, lambda x: x.reshape(2, 3, 2, 2).transpose(0, 2, 1, 3)),
    ("a b c -> (b c) a", {}, lambda x: x.transpose(1, 2, 0).reshape(12, 2)),
    ("(s t) b c->s (b t)   c", {"t": 2}, lambda x: x.transpose(1, 0, 2).reshape(1, 6, 4)),
    ("... c -> c ...", {}, lambda x: x.transpose(2, 0, 1)),
    ("a ... -> (...) a", {}, lambda x: x.reshape(2, 12).T),
    ("a b c ... -> a b ... c", {}, lambda x: x),
    ("a b c -> a 1 b () c", {}, lambda x: x[:, None, :, None]),
    ("a b c -> (a b c)", {}, lambda x: x.ravel()),
]


@pytest.mark.parametrize(("spec", "sizes", "expected"), REARRANGED)
def test_rearrange_does_what_its_line_says(spec, sizes, expected):
    same(op.rearrange(X, spec, **sizes), expected(X))


def test_axes_of_one_are_dropped_and_checked():
    same(op.rearrange(X[:, :1], "a 1 c -> c a"), X[:, 0].T)
    refused(lambda: op.rearrange(X, "a 1 c -> c a"), Code.E_SHAPE_MISMATCH, "axis 1 has length 3")


def test_heads_apart_and_together_is_the_identity():
    apart = op.rearrange(X, "b n (h d) -> b h n d", h=2)
    same(op.rearrange(apart, "b h n d -> b n (h d)"), X)


def test_a_name_may_be_anything_even_that_of_a_parameter():
    same(op.rearrange(X, "x spec (y z) -> spec x y z", y=2), X.reshape(2, 3, 2, 2).swapaxes(0, 1))


def test_empty_axes_are_rearranged():
    assert op.rearrange(X[:0], "a b (c d) -> b c (a d)", c=2).shape == (3, 2, 0)


@pytest.mark.parametrize(
    ("spec", "sizes", "code", "says"),
    [
        ("a b c", {}, Code.E_GRAPH_INVALID, "neither 'left -> right' nor a layout word"),
        ("a -> b -> c", {}, Code.E_GRAPH_INVALID, "neither"),
        (3, {}, Code.E_GRAPH_INVALID, "neither"),
        ("blocked", {}, Code.E_GRAPH_INVALID, "layout word (nchw, nhwc, row_major, col_major)"),
        ("a b c -> a b", {}, Code.E_GRAPH_INVALID, "'c' on one side only"),
        ("a b c -> a b c d", {}, Code.E_GRAPH_INVALID, "'d' on one side only"),
        ("a b c -> a b ...", {}, Code.E_GRAPH_INVALID, "one side only"),
        ("a b b -> a b", {}, Code.E_GRAPH_INVALID, "'b' twice"),
        ("a (b c -> a b c", {}, Code.E_GRAPH_INVALID, "'(', which is no axis"),
        ("a b c* -> a b c", {}, Code.E_GRAPH_INVALID, "'*', which is no axis"),
        ("a b ((c d) e) -> a b c d e", {}, Code.E_GRAPH_INVALID, "which is no axis"),
        ("a 2 c -> a c 2", {}, Code.E_GRAPH_INVALID, "'2', which is no axis"),
        ("(a ...) c -> a ... c", {}, Code.E_GRAPH_INVALID, "cannot be told apart"),
        ("(...) c -> ... c", {}, Code.E_GRAPH_INVALID, "cannot be told apart"),
        ("a b (c d) -> a b c d", {}, Code.E_GRAPH_INVALID, "leaves open how axis 2"),
        ("a b c -> c b a", {"d": 2}, Code.E_GRAPH_INVALID, "no axis 'd'"),
        ("a b (c d) -> a b c d", {"c": 1.5}, Code.E_GRAPH_INVALID, "not an integer"),
        ("a b (c d) -> a b c d", {"c": 3}, Code.E_SHAPE_MISMATCH, "not (c=3 d)"),
        ("a b (c d) -> a b c d", {"c": 3, "d": 2}, Code.E_SHAPE_MISMATCH, "not (c=3 d=2)"),
        ("a b (c d) -> a b c d", {"c": -2, "d": -2}, Code.E_SHAPE_MISMATCH, "c=-2"),
        ("a b -> b a", {}, Code.E_SHAPE_MISMATCH, "needs 2 axes"),
        ("a b c d ... -> ... a b c d", {}, Code.E_SHAPE_MISMATCH, "needs at least 4 axes"),
    ],
)
def test_a_line_that_cannot_be_says_why(spec, sizes, code, says):
    refused(lambda: op.rearrange(X, spec, **sizes), code, says)


def test_layouts_of_images_are_transposes_of_each_other():
    image = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    same(op.layout_cast(image, "nchw"), image.transpose(0, 3, 1, 2))
    same(op.layout_cast(op.layout_cast(image, "nchw"), "nhwc"), image)
    same(op.rearrange(image, "nhwc"), image.transpose(0, 2, 3, 1))
    for word in ("row_major", "col_major"):
        same(op.layout_cast(X, word), X)
        same(op.rearrange(X, word), X)


def test_physical_layouts_are_not_offered():
    for word in ("blocked", "interleaved", "swizzled", "tile(2,2)", "bsr(2,2)"):
        refused(lambda w=word: op.layout_cast(X, w), Code.E_GRAPH_INVALID, "XLA's choice")
    refused(lambda: op.layout_cast(X, "nchw"), Code.E_SHAPE_MISMATCH, "four axes")
    with pytest.raises(AttributeError, match="align"):
        op.align  # noqa: B018 - the lookup is the test


# -- tiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (1, 1), (2, 5, 3), (0, 3), (2, 3, 4, 9)])
@pytest.mark.parametrize("layout", ["tile(2,3)", " tile( 4 , 1 )", "tile(8,8)"])
def test_packing_and_unpacking_is_the_identity(shape, layout):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    packed = op.pack(x, layout)
    assert packed.shape == shape[-2:]
    same(op.unpack(packed), x)
    same(op.unpack(jax.jit(lambda v: op.pack(v, layout))(x)), x)


def test_tiles_are_where_they_should_be():
    x = np.arange(35).reshape(5, 7)
    packed = op.pack(x, "tile(2,3)")
    assert packed.tiles.shape == (3, 3, 2, 3)
    padded = np.pad(x, ((0, 1), (0, 2)))
    for i in range(3):
        for j in range(3):
            block = padded[2 * i : 2 * i + 2, 3 * j : 3 * j + 3]
            np.testing.assert_array_equal(packed.tiles[i, j], block)


def test_padding_does_not_leak_into_a_reduction_after_unpack():
    x = -np.ones((3, 5), np.float32)

    def largest(v):
        packed = op.pack(v, "tile(2,2)")
        return jnp.max(op.unpack(jax.tree.map(jnp.exp, packed)))

    # exp(0) = 1 stands in the padding, exp(-1) everywhere else.
    np.testing.assert_allclose(largest(x), np.exp(-1.0), rtol=1e-6)
    mean = jnp.mean(op.unpack(op.pack(x, "tile(4,4)")))
    assert mean == -1.0


def test_a_view_in_tiles_equals_a_reshape_and_inverts():
    x = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    expected = x.reshape(2, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4)
    same(op.tile_view(x, 2, 3), jnp.asarray(expected))
    cubes = op.tile_view(x, 1, 2, 3)
    expected = x.reshape(2, 1, 2, 2, 2, 3).transpose(0, 2, 4, 1, 3, 5)
    same(cubes, jnp.asarray(expected))


def test_tiles_that_cannot_be_are_refused():
    for layout in ("blocked", "tile(2)", "tile(2,0)", "tile(2,3,4)", "bsr(2,2)", 3):
        refused(lambda w=layout: op.pack(X, w), Code.E_GRAPH_INVALID, "it is 'tile(BM,BN)'")
    refused(lambda: op.pack(X[0, 0], "tile(2,2)"), Code.E_SHAPE_MISMATCH, "no matrix")
    refused(lambda: op.unpack(X), Code.E_GRAPH_INVALID, "not what op.pack returns")
    refused(lambda: op.tile_view(X, 2, 2), Code.E_SHAPE_MISMATCH, "(2, 2) do not divide")
    refused(lambda: op.tile_view(X[0], 1, 1, 1), Code.E_SHAPE_MISMATCH, "do not divide")
    refused(lambda: op.tile_view(X, 0, 2), Code.E_GRAPH_INVALID, "below 1")


def test_a_split_batch_stays_split_through_movement():
    mesh = dist.Mesh(axes=["dp"], devices=range(4))
    x = dist.shard(np.ones((8, 6, 4), np.float32), dist.ShardSpec((0,), ("dp",)), mesh=mesh)
    for move in (
        lambda v: op.rearrange(v, "b n (h d) -> b h n d", h=2),
        lambda v: op.pack(v, "tile(4,4)").tiles,
        lambda v: op.gather(v, np.array([2, 0]), axis=1),
        lambda v: op.pad(v, [(0, 0), (1, 1), (0, 0)]),
    ):
        compiled = jax.jit(move).lower(x).compile()
        assert "all-gather" not in compiled.as_text()
        assert compiled(x).sharding.spec[0] == "dp"
