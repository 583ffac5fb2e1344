"""Meshes, layouts and distributed arrays, on 8 simulated devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist
from tessera.core.errors import (
    Code,
    CompileError,
    DistributedError,
    LaunchError,
    TesseraError,
    TesseraWarning,
)
from tessera.dist.mesh import balanced_shape

ROWS = dist.ShardSpec(("row",), ("dp",))


def line(count: int = 8) -> dist.Mesh:
    return dist.Mesh(axes=["dp"], devices=range(count))


def grid() -> dist.Mesh:
    return dist.Mesh(axes=["tp", "dp"], devices=range(8), shape=(4, 2))


def raised(call, kind: type[TesseraError]) -> TesseraError:
    with pytest.raises(kind) as caught:
        call()
    return caught.value


# -- mesh ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "axes", "shape"),
    [
        (8, 1, (8,)),
        (16, 2, (4, 4)),
        (48, 3, (4, 4, 3)),
        (72, 3, (6, 4, 3)),
        (192, 3, (8, 6, 4)),
        (1024, 3, (16, 8, 8)),
        (7, 2, (7, 1)),
    ],
)
def test_devices_are_factorised_as_evenly_as_they_can_be(count, axes, shape):
    assert balanced_shape(count, axes) == shape


def test_a_mesh_knows_its_axes_shape_and_topology():
    mesh = grid()
    assert (mesh.axes, mesh.shape, mesh.size) == (("tp", "dp"), (4, 2), 8)
    assert dict(mesh.topology) == {"tp": 4, "dp": 2}
    assert str(mesh) == "tp × dp mesh, 4 × 2"
    assert set(mesh.jax.axis_types) == {jax.sharding.AxisType.Auto}


def test_a_chosen_shape_is_told():
    with pytest.warns(TesseraWarning, match="4 × 2"):
        mesh = dist.Mesh(axes=["tp", "dp"], devices=range(8))
    assert mesh == grid()


def test_one_mesh_may_be_described_in_many_ways():
    nested = [[0, 1], [2, 3], [4, 5], [6, 7]]
    by_name = dist.Mesh(axes=["tp", "dp"], shape={"dp": 2, "tp": 4})
    of_objects = dist.Mesh(axes=["tp", "dp"], devices=jax.devices(), shape=(4, 2))
    assert {grid(), by_name, of_objects, dist.Mesh(axes=["tp", "dp"], devices=nested)} == {grid()}


def test_a_mesh_is_a_static_argument():
    traces = []

    @functools.partial(jax.jit, static_argnums=1)
    def scale(x, mesh):
        traces.append(mesh)
        return x * mesh.size

    assert scale(jnp.float32(2), line()) == scale(jnp.float32(2), line()) == 16
    assert len(traces) == 1


def test_the_innermost_mesh_is_the_current_one():
    assert dist.current_mesh() is None
    assert dist.world_size() == 8
    with line(4) as outer:
        with grid() as inner:
            assert dist.current_mesh() is inner
            assert dist.world_size() == 8
        assert dist.current_mesh() is outer
        assert dist.world_size() == 4
    assert dist.current_mesh() is None


def test_too_few_devices_name_the_flag_that_simulates_them():
    for call in (
        lambda: dist.Mesh(axes=["dp"], devices=range(16)),
        lambda: dist.Mesh(axes=["dp"], shape=(16,)),
    ):
        error = raised(call, DistributedError)
        assert error.code is Code.E_TOPOLOGY
        assert "--xla_force_host_platform_device_count=16" in str(error)
        assert "8" in error.message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"axes": ["dp", "dp"]}, "repeat"),
        ({"axes": "dp"}, "list of names"),
        ({"axes": []}, "names"),
        ({"axes": ["dp"], "devices": [0, 0, 1]}, "ids repeat"),
        ({"axes": ["dp"], "devices": []}, "no devices"),
        ({"axes": None}, "axes is None"),
        ({"axes": ["dp"], "devices": [-1]}, "-1, which is not a device"),
        ({"axes": ["dp"], "devices": [0.5]}, "0.5, which is not a device"),
        ({"axes": ["dp"], "devices": [True]}, "True, which is not a device"),
        ({"axes": ["dp"], "devices": 8}, "devices is 8"),
        ({"axes": ["dp"], "shape": 2}, "shape is 2"),
        ({"axes": ["dp"], "shape": (2.0,)}, "shape (2.0,)"),
        ({"axes": ["dp"], "shape": (True,)}, "shape (True,)"),
        ({"axes": ["a", "b"], "devices": [[0, 1], [2]]}, "equal lengths"),
        ({"axes": ["dp"], "devices": [[0, 1], [2, 3]]}, "2 deep"),
        ({"axes": ["a", "b"], "devices": [[0, 1], [2, 3]], "shape": (4, 1)}, "nested"),
        ({"axes": ["dp"], "devices": range(8), "shape": (4,)}, "all 8"),
        ({"axes": ["dp"], "shape": {"tp": 8}}, "tp"),
        ({"axes": ["dp"], "shape": (4, 2)}, "one positive size"),
    ],
)
def test_a_mesh_that_cannot_be_says_why(arguments, says):
    error = raised(lambda: dist.Mesh(**arguments), CompileError)
    assert error.code is Code.E_GRAPH_INVALID
    assert says in error.message


def test_numpy_integers_are_integers():
    one, two = np.int64(1), np.int64(2)
    mesh = dist.Mesh(axes=["dp"], devices=[np.int64(0), one], shape=(two,))
    assert mesh == line(2)
    assert dist.ShardSpec((one,), ("dp",)) == dist.ShardSpec((1,), ("dp",))
    assert dist.tensor((two, one), layout=ROWS, mesh=mesh).shape == (2, 1)


def test_partitioned_devices_cannot_be_named():
    error = raised(lambda: dist.Mesh(axes=["dp"], devices=["MIG-0"]), DistributedError)
    assert error.code is Code.E_TOPOLOGY


# -- layouts ------------------------------------------------------------------------------------------

WORDS = {
    (1, "row"): 0,
    (1, "batch"): 0,
    (2, "row"): 0,
    (2, "batch"): 0,
    (2, "col"): 1,
    (2, "channel"): 1,
    (3, "batch"): 0,
    (3, "row"): 0,
    (3, "seq"): 1,
    (3, "channel"): 2,
    (3, "col"): 2,
    (4, "batch"): 0,
    (4, "head"): 1,
    (4, "seq"): 2,
    (4, "channel"): 3,
    **{(ndim, "experts"): 0 for ndim in range(1, 6)},
}


@pytest.mark.parametrize("ndim", range(1, 6))
@pytest.mark.parametrize("word", ["row", "col", "batch", "seq", "head", "channel", "experts"])
def test_a_word_means_an_axis_by_rank_or_is_refused(word, ndim):
    spec = dist.ShardSpec((word,), ("dp",))
    if (ndim, word) in WORDS:
        assert tuple(spec.partition_spec(ndim)) == (None,) * WORDS[ndim, word] + ("dp",)
    else:
        error = raised(lambda: spec.partition_spec(ndim), LaunchError)
        assert error.code is Code.E_LAUNCH_BAD_LAYOUT
        assert word in error.message


def test_axes_may_be_numbers_from_either_end():
    assert dist.ShardSpec((1, -1), ("tp", "dp")).partition_spec(4) == P(None, "tp", None, "dp")


def test_one_axis_may_lie_over_two_mesh_axes():
    assert dist.ShardSpec(("row", 0), ("tp", "dp")).partition_spec(2) == P(("tp", "dp"))


def test_replicate_partitions_nothing():
    assert dist.Replicate().partition_spec(3) == P()
    assert dist.ShardSpec() != dist.Replicate()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dist.ShardSpec(("depth",), ("dp",)), "depth"),
        (lambda: dist.ShardSpec(("row", "col"), ("dp",)), "2 array axes but 1"),
        (lambda: dist.ShardSpec(("row", "col"), ("dp", "dp")), "twice"),
        (lambda: dist.ShardSpec(("row",), ("dp",), replicate=True), "both"),
        (lambda: dist.ShardSpec((0.5,), ("dp",)), "0.5"),
        (lambda: dist.ShardSpec(0.5, "dp"), "0.5"),
        (lambda: dist.ShardSpec((True,), ("dp",)), "True"),
        (lambda: dist.ShardSpec(("row",), (1,)), "1 is not the name"),
        (lambda: dist.ShardSpec((["row"],), ("dp",)), "['row'] is not"),
        (lambda: dist.ShardSpec(("row",), ("dp",)).partition_spec(0), "rank 0"),
        (lambda: dist.tensor((8, 8), layout=[0], mesh=line()), "has 0"),
        (lambda: dist.tensor((8, 8), layout=[True], mesh=line()), "has True"),
        (lambda: dist.tensor((8, 8), layout=["dp", "dp"], mesh=line()), "'dp' twice"),
        (lambda: dist.tensor((8, 8), layout=[("dp", "dp")], mesh=line()), "'dp' twice"),
        (lambda: dist.tensor((8, 8), layout=3, mesh=line()), "layout is 3"),
        (lambda: dist.tensor((8, 8), layout=np.array(["dp"]), mesh=line()), "not a layout"),
        (lambda: dist.shard(jnp.ones(8), 3, mesh=line()), "dist.shard: layout is 3"),
        (lambda: dist.ShardSpec((2,), ("dp",)).partition_spec(2), "axis 2"),
        (lambda: dist.tensor((8, 8), layout=dist.ShardSpec((0,), ("pp",)), mesh=line()), "'pp'"),
        (lambda: dist.tensor((8, 8), mesh=line()), "needs a layout"),
        (lambda: dist.tensor((8, 8), layout="rows", mesh=line()), "'rows'"),
        (lambda: dist.tensor((), layout="sharded", mesh=line()), "scalar"),
        (lambda: dist.tensor((8,), layout=("dp", None), mesh=line()), "rank 1"),
    ],
)
def test_a_layout_that_cannot_be_says_why(call, says):
    error = raised(call, LaunchError)
    assert error.code is Code.E_LAUNCH_BAD_LAYOUT
    assert says in error.message
    assert error.hints


@pytest.mark.parametrize(
    "spec", [ROWS, dist.ShardSpec(), dist.Replicate(), dist.ShardSpec((0, -1), ("tp", "dp"))]
)
def test_a_layout_is_shown_as_the_call_that_makes_it(spec):
    assert eval(repr(spec), {"ShardSpec": dist.ShardSpec}) == spec


def test_a_layout_may_be_the_partition_spec_of_jax():
    x = dist.tensor((2, 8), layout=P(None, ("tp", "dp")), mesh=grid())
    assert x.sharding.spec == P(None, ("tp", "dp"))


@pytest.mark.parametrize("layout", [ROWS, "sharded", ("dp",)])
def test_an_axis_that_does_not_divide_names_the_padded_size(layout):
    error = raised(lambda: dist.tensor((10, 3), layout=layout, mesh=line()), CompileError)
    assert error.code is Code.E_SHAPE_MISMATCH
    assert "from 10 to 16" in str(error)


def test_a_layout_without_a_mesh_says_so():
    error = raised(lambda: dist.tensor((8,), layout=ROWS), DistributedError)
    assert error.code is Code.E_COMM_INIT


# -- arrays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(-8, 8), (8.0, 8.0), (True,), ((8, 8),), ("row",)])
def test_a_tuple_that_is_no_shape_is_not_taken_for_data(shape):
    error = raised(lambda: dist.tensor(shape, layout=ROWS, mesh=line(2)), CompileError)
    assert error.code is Code.E_GRAPH_INVALID
    assert error.message == f"dist.tensor: {shape} is not a shape."
    assert "data is a list or an array" in str(error)


@pytest.mark.parametrize("count", [8, np.int64(8)])
def test_an_integer_is_no_shape(count):
    error = raised(lambda: dist.tensor(count, layout=ROWS, mesh=line(2)), CompileError)
    assert error.code is Code.E_GRAPH_INVALID
    assert "(8,)" in str(error)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dist.tensor((8,), layout=ROWS, mesh=line().jax), "dist.tensor: mesh"),
        (lambda: dist.tensor((8,), layout=ROWS, mesh=8), "dist.tensor: mesh is 8"),
        (lambda: dist.tensor((8,), layout=ROWS, mesh=line(), initializer=1), "initializer is 1"),
        (
            lambda: dist.tensor((8,), layout=ROWS, mesh=line(), dtype="f3"),
            "dist.tensor: unknown dtype",
        ),
        (
            lambda: dist.tensor([1.0], layout=ROWS, mesh=line(), dtype="f3"),
            "dist.tensor: unknown dtype",
        ),
        (lambda: dist.inspect(np.ones(8)), "dist.inspect: the argument is a ndarray"),
        (lambda: dist.sharding_valid([1]), "dist.sharding_valid: the argument is a list"),
        (lambda: dist.tensor_like(jax.ShapeDtypeStruct((8,), np.float32)), "ShapeDtypeStruct"),
        (lambda: jax.jit(dist.tensor_like)(jnp.ones(8)), "traced"),
    ],
)
def test_an_argument_of_another_kind_is_named(call, says):
    error = raised(call, CompileError)
    assert error.code is Code.E_GRAPH_INVALID
    assert says in error.message


@pytest.mark.parametrize("given", [(8, 2), np.ones((8, 2), np.float32), jnp.ones((8, 2))])
def test_a_compiled_function_keeps_the_layout_of_an_array_it_makes(given):
    make = functools.partial(dist.tensor, given, layout=ROWS, mesh=line())
    compiled = jax.jit(make)()
    assert compiled.sharding.is_equivalent_to(make().sharding, 2)
    np.testing.assert_array_equal(compiled, make())


def test_shards_hold_their_part_of_the_data():
    data = np.arange(48, dtype=np.float32).reshape(8, 6)
    layout = dist.ShardSpec(("row", "col"), ("tp", "dp"))
    x = dist.tensor(data, layout=layout, mesh=grid())
    for shard in x.addressable_shards:
        row, col = np.argwhere(grid().jax.devices == shard.device)[0]
        np.testing.assert_array_equal(
            shard.data, data[2 * row : 2 * row + 2, 3 * col : 3 * col + 3]
        )
    assert dist.sharding_valid(x)


def test_a_shape_gives_zeros_of_fp32():
    x = dist.tensor((16, 2), layout=ROWS, mesh=line())
    assert x.dtype == jnp.float32
    assert not x.any()


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        ([1.5, 2.5], None, np.float32),
        ([1, 2], None, np.int32),
        ([True, False], None, np.bool_),
        (np.array([1, 2], np.int16), None, np.int16),
        ([1.5, 2.5], "bf16", jnp.bfloat16),
        (jnp.array([1, 2], jnp.uint8), "fp16", np.float16),
    ],
)
def test_data_keeps_its_values_and_dtype(data, dtype, expected):
    x = dist.tensor(data, layout=ROWS, mesh=line(2), dtype=dtype)
    assert x.dtype == expected
    np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(data, np.float64))


def test_nothing_is_truncated_to_32_bits():
    for call in (
        lambda: dist.tensor((8,), layout=ROWS, mesh=line(), dtype="fp64"),
        lambda: dist.tensor(np.ones(8), layout=ROWS, mesh=line()),
    ):
        assert raised(call, CompileError).code is Code.E_TARGET_CODEGEN


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_an_initializer_sees_where_its_shard_lies(count):
    def squares(index, shape, dtype):
        return (np.arange(index[0].start, index[0].stop, dtype=dtype) ** 2).reshape(shape)

    x = dist.tensor((16,), layout=ROWS, mesh=line(count), initializer=squares)
    np.testing.assert_array_equal(x, np.arange(16) ** 2)


def test_an_initializer_must_fill_its_shard():
    def wrong(_index, shape, dtype):
        return np.zeros((shape[0] + 1,), dtype)

    call = functools.partial(dist.tensor, (8,), layout=ROWS, mesh=line(4), initializer=wrong)
    error = raised(call, CompileError)
    assert error.code is Code.E_SHAPE_MISMATCH
    assert "(3,)" in error.message
    assert "(2,)" in error.message


def test_an_initializer_has_no_place_beside_data():
    call = functools.partial(
        dist.tensor, [1.0], layout=ROWS, mesh=line(1), initializer=lambda i, s, d: np.zeros(s)
    )
    assert raised(call, CompileError).code is Code.E_GRAPH_INVALID


def test_an_abstract_array_allocates_nothing():
    terabytes = (2**22, 2**20)
    x = dist.tensor(terabytes, layout=ROWS, mesh=line(), dtype="bf16", abstract=True)
    assert (x.shape, x.dtype, x.sharding.spec) == (terabytes, jnp.bfloat16, P("dp"))
    assert x.sharding.shard_shape(x.shape) == (2**19, 2**20)


def test_a_large_copy_on_every_device_is_told_unless_it_is_meant():
    large = (2**25,)
    with pytest.warns(TesseraWarning, match="128 MiB"):
        dist.tensor(large, layout=dist.ShardSpec(), mesh=line(), abstract=True)
    dist.tensor(large, layout=dist.Replicate(), mesh=line(), abstract=True)
    dist.tensor(large, layout=dist.ShardSpec(), mesh=line(1), abstract=True)


def test_the_word_sharded_splits_the_first_axis_that_divides():
    assert dist.tensor((3, 16), layout="sharded", mesh=line()).sharding.spec == P(None, "dp")


def test_the_current_mesh_serves_where_none_is_given():
    with line(4):
        assert dist.tensor((4,), layout=ROWS).sharding.mesh == line(4).jax


def test_zeros_may_be_laid_out_like_another_array():
    x = dist.tensor(np.ones((8, 2), np.int32), layout=ROWS, mesh=line())
    zeros = dist.tensor_like(x)
    assert (zeros.shape, zeros.dtype, zeros.sharding) == (x.shape, x.dtype, x.sharding)
    assert not zeros.any()


def test_resharding_moves_values_without_changing_them():
    data = np.arange(64, dtype=np.float32).reshape(8, 8)
    x = dist.tensor(data, layout=ROWS, mesh=line())
    for layout in (dist.ShardSpec(("col",), ("dp",)), (None, "dp")):
        moved = dist.shard(x, layout, mesh=line())
        assert moved.sharding == NamedSharding(line().jax, P(None, "dp"))
        np.testing.assert_array_equal(moved, data)


def test_resharding_constrains_a_compiled_function_and_its_derivative():
    def loss(x):
        return jnp.sum(dist.shard(x, ROWS, mesh=line()) ** 2)

    @jax.jit
    def middle(x):
        return dist.shard(x * 2, ROWS, mesh=line())

    x = jnp.arange(8.0)
    assert middle(x).sharding.spec == P("dp")
    np.testing.assert_array_equal(jax.grad(loss)(x), 2 * np.arange(8.0))
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(x), 2 * np.arange(8.0))
    batched = jax.vmap(lambda v: dist.shard(v, ROWS, mesh=line()))(jnp.ones((3, 8)))
    np.testing.assert_array_equal(batched, np.ones((3, 8)))


@pytest.mark.parametrize("name", ["axes_of", "layout_sharding", "place", "reachable_mesh"])
def test_what_serves_the_ops_is_there_but_not_public(name):
    assert callable(vars(dist)[name])
    assert name not in dist.__all__


def test_the_layout_propagates_through_plain_operations():
    x = dist.tensor(np.ones((16, 8), np.float32), layout=ROWS, mesh=line())
    for y in (x + 1, jnp.tanh(x), x @ x.T, x[:, :3]):
        assert y.sharding.is_equivalent_to(x.sharding, 2), y.sharding
    assert x.T.sharding.spec == P(None, "dp")


def test_only_an_array_on_a_mesh_is_validly_sharded():
    assert not dist.sharding_valid(jnp.ones(8))
    assert dist.sharding_valid(dist.tensor((8,), layout=dist.Replicate(), mesh=line()))


def test_inspection_lists_the_ranges_of_every_device():
    x = dist.tensor((8, 6), layout=dist.ShardSpec(("col",), ("dp",)), mesh=line(2))
    table = dist.inspect(x)
    assert table.rows == ((0, ((0, 8), (0, 3))), (1, ((0, 8), (3, 6))))
    assert str(table).splitlines()[2].split() == ["device", "1", "[0:8,", "3:6]"]
