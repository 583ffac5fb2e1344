"""Schedule → Tile: what each program computes, run in NumPy, against JAX; and what has no program."""

from operator import add, floordiv, mul

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from stock_models import MODELS
from tile_interpreter import group_values, run_group, run_schedule

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.ir import parse, tile, to_text
from tessera.ir.attributes import integers, to_attribute
from tessera.ir.graph import jax_type
from tessera.lowering import SCHEDULE_PASSES, run_passes
from tessera.lowering.choose import groups_of
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import to_tile
from tessera.runtime import peaks

pytestmark = pytest.mark.newest

FLOATS = ("float32", "bfloat16")


def array(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def plan(f, *args):
    return ts.compile(f).plan(*args).schedule


def tiles_of(schedule):
    return to_tile(schedule, Context(peaks.device("cpu")))


def left_by(tiles):
    return [reason.data for reason in tiles.attributes.get("left_to_xla", to_attribute([])).data]


def kernels(tiles):
    return list(tiles.body.block.ops)


def assert_programs_equal(f, *args, tile=None, loose=1.0):
    """Fails unless every group of `f` has a program, its text parses back, and it computes what JAX does."""
    schedule = plan(f, *args)
    if tile is not None:
        for group in groups_of(schedule):
            _set_tile(group, tile)
    tiles = tiles_of(schedule)
    assert left_by(tiles) == []
    text = to_text(tiles)
    assert to_text(parse(text)) == text
    assert to_text(parse(to_text(tiles, generic=True))) == text
    found = run_schedule(schedule, parse(text), [np.asarray(x) for x in args])
    wanted = jax.tree.leaves(jax.jit(f)(*args))
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs, loose)
    return tiles


def assert_close(ours, theirs, loose):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    exact = not jnp.issubdtype(theirs.dtype, jnp.floating)
    rtol, atol = (0, 0) if exact else numerics.tolerance(theirs.dtype)
    wide = [np.asarray(x, np.float64) for x in (ours, theirs)]
    np.testing.assert_allclose(*wide, rtol=loose * rtol, atol=loose * atol)


def _set_tile(group, tile):
    covered = group.results[0].type.get_shape()[-len(tile) :]
    padded = [-(-n // t) * t for n, t in zip(covered, tile, strict=True)]
    group.attributes["tile"] = to_attribute(tile)
    group.attributes["padded"] = to_attribute(padded)


# -- products ---------------------------------------------------------------------------------------------

# Sums of k terms of unit variance, scaled to unit variance: rounding is that of an entry of order 1.
SHAPES = [
    ((300, 200), (200, 250)),
    ((1, 70), (70, 1)),
    ((5, 1), (1, 129)),
    ((33, 257), (257, 9)),
    ((3, 35, 70), (70, 40)),
    ((2, 3, 35, 70), (2, 3, 70, 17)),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
def test_a_product_with_its_whole_epilogue(left, right, dtype):
    a, b = array(*left), array(*right, scale=right[-2] ** -0.5)
    bias, residual = array(right[-1], seed=1), array(*left[:-1], right[-1], seed=2)

    def f(a, b, bias, residual):
        return op.matmul(a, b, bias=bias, residual=residual, epilogue="bias_silu_residual")

    assert_programs_equal(f, *(jnp.asarray(x, dtype) for x in (a, b, bias, residual)), loose=5)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_product_with_each_activation(activation, dtype):
    a, b = (jnp.asarray(x, dtype) for x in (array(19, 67), array(67, 33, scale=67**-0.5)))
    tiles = assert_programs_equal(lambda a, b: op.matmul(a, b, epilogue=activation), a, b, loose=5)
    assert "tile.dot" in to_text(tiles)


def test_a_product_of_doubles_sums_doubles(x64):
    a, b = (jnp.asarray(x, "float64") for x in (array(130, 200), array(200, 131)))
    tiles = assert_programs_equal(op.matmul, a, b, loose=10)
    dot = next(x for x in tiles.walk() if isinstance(x, tile.Dot))
    assert str(dot.result.type).endswith("<128x128xf64, reg>")


def test_an_epilogue_from_the_graph_is_spliced_before_the_store():
    def f(a, b, c, d):
        y = op.matmul(a, b, bias=c, epilogue="bias_relu")
        return (jnp.tanh(y) * 2.0 + d).astype(jnp.bfloat16)

    args = (array(37, 70), array(70, 50, scale=0.1), array(50), array(37, 50, seed=3))
    tiles = assert_programs_equal(f, *(jnp.asarray(x, "float32") for x in args))
    assert len(kernels(tiles)) == 1


@pytest.mark.parametrize(
    "function",
    [jnp.exp, jnp.log, lambda x: 1 / x, jnp.cos],
    ids=["exp", "log", "reciprocal", "cos"],
)
def test_a_prologue_adds_nothing_beyond_the_inner_axis(function):
    """Beyond the axis a load gives 0, of which a log is -inf: what is summed must not see it."""
    x = jnp.asarray(np.abs(array(20, 70)) + 0.5, "float32")
    w = jnp.asarray(array(70, 30, scale=0.1), "float32")
    tiles = assert_programs_equal(lambda x, w: op.matmul(function(x), w), x, w, loose=5)
    assert len(kernels(tiles)) == 1


def test_a_transposed_operand_is_turned_by_the_dot():
    x, w = (jnp.asarray(array(70, 33), "float32"), jnp.asarray(array(29, 70), "float32") / 8)
    text = to_text(assert_programs_equal(lambda x, w: op.matmul(x.T, w.T), x, w, loose=5))
    assert "{transpose_a = true, transpose_b = true}" in text
    assert "tile.transpose" not in text


def test_a_transposed_prologue_costs_a_transposed_block():
    x, w = (jnp.asarray(array(70, 33), "float32"), jnp.asarray(array(29, 70), "float32") / 8)
    tiles = assert_programs_equal(lambda x, w: op.matmul(jnp.tanh(x).T, w.T), x, w, loose=5)
    assert any(isinstance(x, tile.Transpose) for x in tiles.walk())


def test_a_sum_over_several_axes_is_a_loop_for_each():
    x, y = (jnp.asarray(array(3, 2, 35, 20 + s, seed=s), "float32") / 14 for s in (0, 1))
    tiles = assert_programs_equal(lambda x, y: jnp.tensordot(x, y, ((0, 1, 2), (0, 1, 2))), x, y)
    assert sum(isinstance(op, tile.For) for op in tiles.walk()) == 3
    assert_programs_equal(lambda x, y: jnp.einsum("ahij,ahik->hjk", x, y), x, y)


def test_heads_split_off_a_product_are_stored_where_they_belong():
    def f(x, w):
        return op.matmul(x, w).reshape(2, 35, 4, 8).transpose(0, 2, 1, 3)

    x, w = jnp.asarray(array(2, 35, 70), "float32"), jnp.asarray(array(70, 32), "float32") / 8
    assert_programs_equal(f, x, w, loose=5)


@pytest.mark.parametrize(
    "f",
    [lambda x, w: x @ w, lambda x, w: jax.nn.silu(x @ w) * 2],
    ids=["product", "product_with_silu"],
)
@pytest.mark.parametrize("left", [(70,), (33, 70), (2, 3, 33, 70)], ids=str)
def test_a_product_left_as_written_has_a_program_too(f, left):
    x, w = jnp.asarray(array(*left), "float32"), jnp.asarray(array(70, 9), "float32") / 8
    tiles = assert_programs_equal(f, x, w, loose=5)
    assert len(kernels(tiles)) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [((33, 70), (70,)), ((2, 3, 33, 70), (70,)), ((70,), (70, 5, 9)), ((2, 70), (70, 5, 9))],
    ids=str,
)
def test_a_tile_stands_where_the_rows_and_columns_of_a_product_do(left, right):
    x, w = jnp.asarray(array(*left), "float32"), jnp.asarray(array(*right), "float32") / 8
    f = lambda x, w: jax.nn.silu(jnp.tensordot(x, w, 1)) * 2  # noqa: E731
    assert len(kernels(assert_programs_equal(f, x, w, loose=5))) == 1


@pytest.mark.parametrize(
    ("left", "right", "missing"),
    [((70,), (70, 33), "row"), ((33, 70), (70,), "column"), ((33, 1), (1, 40), "term in each sum")],
    ids=str,
)
def test_a_product_that_is_no_dot_is_left_to_xla_on_a_gpu(left, right, missing):
    types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (left, right)]
    schedule = plan(lambda x, w: jax.nn.silu(x @ w) * 2, *types)
    for group in groups_of(schedule):
        group.attributes["warps"] = to_attribute(4)
    (reason,) = left_by(tiles_of(schedule))
    assert f"a product with one {missing} moves more than it computes" in reason


def test_a_batched_contraction_over_any_axes():
    q, k = (jnp.asarray(array(2, 35, 3, 16, seed=s), "float32") / 4 for s in (0, 1))
    assert_programs_equal(lambda q, k: jnp.einsum("bihd,bjhd->bhij", q, k), q, k, loose=5)


@pytest.mark.parametrize("size", [(16, 32), (64, 128), (128, 16)])
def test_every_tile_of_the_schedule_gives_the_same_product(size):
    a, b = jnp.asarray(array(100, 150), "float32"), jnp.asarray(array(150, 90), "float32") / 12
    tiles = assert_programs_equal(op.matmul, a, b, tile=size, loose=5)
    (kernel,) = kernels(tiles)
    assert integers(kernel.grid) == (-(-100 // size[0]), -(-90 // size[1]))


def test_a_pipelined_product_has_as_many_stages_as_its_schedule():
    schedule = plan(op.matmul, *(jax.ShapeDtypeStruct((256, 256), jnp.float32) for _ in range(2)))
    for group in groups_of(schedule):
        group.attributes["depth"] = to_attribute(3)
    loop = next(x for x in tiles_of(schedule).walk() if isinstance(x, tile.For))
    assert loop.depth == 3


# -- rows -------------------------------------------------------------------------------------------------

ROWS = [(70,), (5, 1), (130, 33), (4, 33, 70)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_softmax_of_rows(shape, dtype):
    x = array(*shape, scale=3.0)
    x[..., :1] = 50.0
    x[..., -1:] = -np.inf if shape[-1] > 1 else 0.0
    assert_programs_equal(op.softmax, jnp.asarray(x, dtype))


def test_softmax_between_a_prologue_and_an_epilogue():
    def f(x, mask):
        return op.softmax(jnp.where(mask, 0.5 * x, -1e9)) * 3.0

    x = array(4, 33, 70)
    tiles = assert_programs_equal(f, jnp.asarray(x, "float32"), jnp.asarray(x > 0))
    assert len(kernels(tiles)) == 1


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    "shape", [(70, 33), (33, 70, 5), (5, 1, 7), (1, 70, 3), (70, 3, 1)], ids=str
)
def test_softmax_along_another_axis(shape, axis):
    x = jnp.asarray(array(*shape, scale=3.0), "float32")
    tiles = assert_programs_equal(lambda x: op.softmax(2 * x, axis=axis) + 1, x)
    assert len(kernels(tiles)) == 1


def test_softmax_along_another_axis_in_planned_blocks():
    x = jnp.asarray(array(33, 3, 70), "float32")
    f = lambda x: op.softmax(x, axis=0)  # noqa: E731
    tiles = assert_programs_equal(f, x, tile=(64, 1, 16))
    assert [integers(k.grid) for k in kernels(tiles)] == [(3, 5)]


def test_softmax_without_the_shift():
    x = jnp.asarray(array(33, 70), "float32")
    assert_programs_equal(lambda x: op.softmax(x, stable=False), x)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_norms_of_rows(shape, dtype, weighted):
    x = jnp.asarray(array(*shape) + 0.5, dtype)
    row, other = (jnp.asarray(array(shape[-1], seed=s), "float32") for s in (1, 2))
    if not weighted:
        assert_programs_equal(op.rmsnorm, x, loose=2)
        assert_programs_equal(op.layernorm, x, loose=2)
        return
    assert_programs_equal(lambda x, w: op.rmsnorm(x, weight=w), x, row, loose=2)
    assert_programs_equal(
        lambda x, w, b: op.layernorm(x, 1e-3, weight=w, bias=b), x, row, other, loose=2
    )
    assert_programs_equal(lambda x, b: op.layernorm(x, bias=b), x, other, loose=2)


@pytest.mark.parametrize("function", [op.softmax, op.rmsnorm, op.layernorm])
def test_a_block_wider_than_the_rows_counts_what_is_there(function):
    x = jnp.asarray(array(3, 33, 70) + 2.0, "float32")
    tiles = assert_programs_equal(lambda x: function(-jnp.exp(x)), x, tile=(16, 128))
    assert "padded = array<i64: 3, 48, 128>" in to_text(tiles)


def test_a_row_op_of_heads_merged_by_a_view():
    def f(x, w):
        return jnp.tanh(op.rmsnorm(x.transpose(0, 2, 1, 3), weight=w))

    x, w = jnp.asarray(array(2, 35, 3, 16), "float32"), jnp.asarray(array(16), "float32")
    assert_programs_equal(f, x, w)


# -- attention --------------------------------------------------------------------------------------------


def heads(dtype, rows, keys, depth=16, width=16, groups=2, batch=2):
    q = array(batch, 4, rows, depth, seed=0)
    k, v = array(batch, groups, keys, depth, seed=1), array(batch, groups, keys, width, seed=2)
    return [jnp.asarray(x, dtype) for x in (q, k, v)]


# Blocks hold 128 queries and 64 keys: 150 keys are three blocks, the last one ragged.
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("rows", "keys", "statics"),
    [
        (150, 150, {}),
        (150, 150, {"causal": True}),
        (1, 150, {"causal": True}),
        (70, 200, {"causal": True}),
        (200, 70, {"causal": True}),  # the first queries see nothing
        (150, 150, {"causal": True, "window": 20}),
        (260, 260, {"window": 7}),
        (130, 64, {"scale": 1.5}),
        (1, 1, {"causal": True}),
    ],
    ids=str,
)
def test_attention(rows, keys, statics, dtype):
    args = heads(dtype, rows, keys)
    assert_programs_equal(lambda *x: op.flash_attention(*x, **statics), *args, loose=3)


def test_attention_with_mask_and_sinks_and_a_value_of_its_own_width():
    q, k, v = heads("float32", 70, 150, depth=12, width=20, groups=4)
    mask = jnp.asarray(array(2, 1, 70, 150, seed=5) > 0).at[:, :, 3].set(False)
    sinks = jnp.asarray(array(4), "float32")

    def f(q, k, v, mask, sinks):
        return op.flash_attention(q, k, v, mask=mask, sinks=sinks)

    assert_programs_equal(f, q, k, v, mask, sinks, loose=3)
    assert_programs_equal(
        lambda q, k, v, mask: op.flash_attention(q, k, v, mask=mask, causal=True),
        q, k, v, jnp.ones((150,), bool).at[70:].set(False), loose=3,
    )  # fmt: skip


GPU_PLANS = {  # depth and dtype, which choose the blocks, and what else is given
    "four warps": (24, "bfloat16", {"causal": True}),
    "eight warps": (80, "bfloat16", {"causal": True}),
    "eight warps, all seen": (80, "float16", {"scale": -0.3}),
    "eight warps, window": (80, "bfloat16", {"causal": True, "window": 70}),
    "eight warps, window of later keys": (80, "bfloat16", {"window": 70}),
    "wide": (40, "float32", {"causal": True}),
}


@pytest.mark.parametrize(("rows", "keys"), [(150, 200), (200, 150)])
@pytest.mark.parametrize("name", GPU_PLANS)
def test_attention_as_planned_for_a_gpu(name, rows, keys):
    depth, dtype, statics = GPU_PLANS[name]
    args = heads(dtype, rows, keys, depth, depth, batch=1)
    f = lambda *x: op.flash_attention(*x, **statics)  # noqa: E731
    module = capture(jax.make_jaxpr(f)(*args), "f")
    gpu = Context(peaks.device("cuda"))
    run_passes(module, gpu, SCHEDULE_PASSES)
    tiles = to_tile(module, gpu)
    (kernel,) = kernels(tiles)
    dots = sum(isinstance(x, tile.Dot) for x in kernel.walk())
    assert (dots % 2 == 1) == name.startswith("eight")  # the last values are added after the loops
    (found,) = run_schedule(module, tiles, [np.asarray(x) for x in args], all_tiled=False)
    assert_close(found, jax.jit(f)(*args), loose=3)


def test_attention_between_views_that_split_and_merge_its_heads():
    def f(q, k, v):
        q, k, v = (x.reshape(2, -1, 4, 8).transpose(0, 2, 1, 3) for x in (q, k, v))
        out = op.flash_attention(q, k, v, causal=True)
        return out.transpose(0, 2, 1, 3).reshape(2, -1, 32)

    args = [jnp.asarray(array(2, 150, 32, seed=s), "float32") for s in range(3)]
    tiles = assert_programs_equal(f, *args, loose=3)
    assert sum(any(isinstance(x, tile.Dot) for x in k.walk()) for k in kernels(tiles)) == 1


def test_causal_attention_visits_no_block_of_keys_that_nothing_sees():
    types = [jax.ShapeDtypeStruct((1, 1, 512, 16), jnp.float32)] * 3
    (kernel,) = kernels(tiles_of(plan(lambda *x: op.flash_attention(*x, causal=True), *types)))
    clear, edge = (x for x in kernel.walk() if isinstance(x, tile.For))
    assert edge.bounds[0] is clear.bounds[-1]
    for loop, wanted in ((clear, [0, 1, 2, 3]), (edge, [1, 2, 3, 4])):
        stops = [_index_value(loop.bounds[-1], {kernel.body.block.args[-1]: i}) for i in range(4)]
        assert stops == wanted  # blocks of 128 queries and 128 keys
    compared = {"ge", "lt", "where"}
    assert not any(isinstance(x, tile.Map) and x.function.data in compared for x in clear.walk())


def _index_value(value, state):
    """Returns an index computed from grid places by maps of numbers."""
    if value in state:
        return state[value]
    maker = value.owner
    if isinstance(maker, tile.Full):
        return maker.value.value.data
    a, b = (_index_value(x, state) for x in maker.operands)
    functions = {"add": add, "mul": mul, "min": min, "max": max, "div": floordiv}
    return functions[maker.function.data](a, b)


def test_attention_in_blocks_wider_than_the_values():
    args = heads("float32", 70, 150, width=20)
    f = lambda *x: op.flash_attention(*x, causal=True)  # noqa: E731
    tiles = assert_programs_equal(f, *args, tile=(16, 32), loose=3)
    assert "tile<16x32xf32, reg>" in to_text(tiles)


# -- elementwise chains -----------------------------------------------------------------------------------

CHAINS = {
    "activations": lambda x: op.gelu(op.silu(x)) + op.gelu(x, approximate=True) * op.sigmoid(x),
    "ops": lambda x: op.relu(x) + op.tanh(x) + op.sin(x) * op.cos(x),
    "functions": lambda x: jnp.exp(-jnp.abs(x)) + jnp.log1p(x * x) + lax.rsqrt(x * x + 1),
    "powers": lambda x: x**5 - 2 / (3 + x**2) + (1 + x * x) ** -3,
    "choice": lambda x: jnp.where((x > 0) & ~(x >= 1), x, jnp.clip(x, -0.5, 0.25)),
    "casts": lambda x: (x * 3).astype(jnp.int32).astype(jnp.float32) + (x > 0).astype(jnp.float32),
    "truth": lambda x: (x != 0).astype(bool) | x.astype(bool),
    "division": lambda x: lax.rem(x, jnp.asarray(0.3, x.dtype)) + jnp.arctan2(x, 2 * x - 1),
    "slope": lambda x: jax.jvp(jnp.tanh, (x,), (x,))[1],
    "nothing": lambda x: lax.stop_gradient(x) * 1,
}


@pytest.mark.parametrize("shape", [(), (1500,), (33, 200), (2, 3, 1, 5)], ids=str)
@pytest.mark.parametrize("name", CHAINS)
def test_elementwise_chains(name, shape):
    x = jnp.asarray(array(*shape), "float32")
    assert_programs_equal(CHAINS[name], x, loose=3)


@pytest.mark.parametrize("name", ["activations", "ops", "functions"])
def test_elementwise_chains_of_low_precision(name):
    assert_programs_equal(CHAINS[name], jnp.asarray(array(33, 40), "bfloat16"), loose=3)


def test_a_chain_over_views():
    def f(x, row, column, scalar):
        turned = jnp.tanh(x).transpose(1, 0, 2)
        shifted = turned * row + jnp.expand_dims(column, (1, 2)) - scalar
        return jnp.squeeze(jnp.expand_dims(shifted, 0), 0) + 0.5

    args = (array(4, 33, 150), array(1, 1, 150), array(33), array())
    tiles = assert_programs_equal(f, *(jnp.asarray(x, "float32") for x in args))
    assert len(kernels(tiles)) == 1


def test_an_array_beside_its_own_transpose():
    assert_programs_equal(lambda x: jnp.tanh(x) - x.T, jnp.asarray(array(150, 150), "float32"))


def test_an_array_in_two_shapes():
    def f(x, y, z):
        return (x.reshape(4, 6) + y.reshape(4, 6) * z) * 2

    x, y, z = array(2, 2, 6), array(4, 3, 2), array(4, 6)
    assert_programs_equal(f, *(jnp.asarray(a, "float32") for a in (x, y, z)))


def test_positions_count_from_the_start_of_the_axis():
    def f(x):
        row, column = (lax.broadcasted_iota(jnp.int32, (300, 140), axis) for axis in (0, 1))
        return jnp.where(row >= column, x, 0.0)

    assert_programs_equal(f, jnp.asarray(array(300, 140), "float32"))


def test_whole_numbers_and_truth_values():
    x = jnp.arange(-150, 150).reshape(100, 3)
    assert_programs_equal(lambda x: jnp.maximum(x * x - 7, 2) + x.astype(jnp.int32), x)
    assert_programs_equal(lambda x: (x > 3) | (x < -9) & ~(x == -50), x)


def test_an_array_that_is_closed_over_is_one_more_input():
    table = jnp.asarray(array(33, 50), "float32")
    x = jnp.asarray(array(33, 50, seed=1), "float32")
    tiles = assert_programs_equal(lambda x: op.gelu(x) * table, x)
    (kernel,) = kernels(tiles)
    assert len(kernel.arrays) == 3


def test_a_group_may_have_several_results():
    def f(x, w):
        y = op.matmul(x, w)
        return y, op.relu(y), op.rmsnorm(op.matmul(y, w))

    x, w = jnp.asarray(array(37, 40), "float32"), jnp.asarray(array(40, 40), "float32") / 6
    tiles = assert_programs_equal(f, x, w, loose=5)
    assert [k.outputs.value.data for k in kernels(tiles)] == [2, 1, 1]


# -- models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("PINN", "transformer") else pytest.mark.slow)
        for name in MODELS
    ],
)
def test_every_program_in_the_gradient_of_a_stock_model_computes_what_its_group_does(name):
    loss, args = MODELS[name]("small")
    schedule = plan(jax.grad(loss), *args)
    tiles = tiles_of(schedule)
    having = {kernel.group.value.data for kernel in kernels(tiles)}
    assert having
    for index, group in enumerate(groups_of(schedule)):
        if index in having:
            inputs = [_drawn(jax_type(x)) for x in group.block.args]
            wanted = group_values(group, inputs)
            found = run_group(tiles, index, group, [np.asarray(x) for x in inputs])
            for ours, theirs in zip(found, wanted, strict=True):
                assert_close(ours, theirs, loose=10)  # sums of up to 64 products of order 1


def _drawn(kind):
    generator = np.random.default_rng(kind.shape)
    if not jnp.issubdtype(kind.dtype, jnp.floating):
        return jnp.asarray(generator.integers(0, 2, kind.shape), kind.dtype)
    return jnp.asarray(generator.normal(scale=0.5, size=kind.shape), kind.dtype)


# -- the module -------------------------------------------------------------------------------------------

GEMM = """\
module @f attributes {level = "tile"} {
  tessera.tile.func @matmul_0(%x: tile<256x512xbf16, hbm>, %w: tile<512x200xbf16, hbm>, %b: tile<200xf32, hbm>, %out: tile<256x200xbf16, hbm>, %i: index, %j: index) attributes {grid = array<i64: 2, 2>, outputs = 1 : i64, stages = 2 : i64, group = 0 : i64, runs = "xla"} {
    %0 = tessera.tile.full {value = 0.000000e+00 : f32} -> tile<128x128xf32, reg>
    %sum = tessera.tile.for %0 {stop = 8 : i64, stages = 2 : i64} -> tile<128x128xf32, reg> {
    ^bb0(%k: index, %1: tile<128x128xf32, reg>):
      %x_1 = tessera.tile.load %x, %i, %k -> tile<128x64xbf16, shared>
      %w_1 = tessera.tile.load %w, %k, %j {padded = array<i64: 512, 256>, fill = 0.000000e+00 : bf16} -> tile<64x128xbf16, shared>
      %2 = tessera.tile.dot %x_1, %w_1, %1 -> tile<128x128xf32, reg>
      tessera.tile.yield %2 : tile<128x128xf32, reg>
    }
    %b_1 = tessera.tile.load %b, %j {block = array<i64: 128>, padded = array<i64: 256>, fill = 0.000000e+00 : f32} -> tile<1x128xf32, reg>
    %3 = tessera.tile.map %sum, %b_1 {function = "add"} -> tile<128x128xf32, reg>
    %4 = tessera.tile.map %3 {function = "relu"} -> tile<128x128xf32, reg>
    %5 = tessera.tile.cast %4 -> tile<128x128xbf16, reg>
    tessera.tile.store %5, %out, %i, %j {padded = array<i64: 256, 256>}
    tessera.tile.yield
  }
}"""  # noqa: E501


def test_the_text_of_a_product_shows_grid_blocks_and_body():
    def f(x, w, b):
        return op.matmul(x, w, bias=b, epilogue="bias_relu")

    types = [((256, 512), "bfloat16"), ((512, 200), "bfloat16"), ((200,), "float32")]
    structs = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for shape, dtype in types]
    text = to_text(tiles_of(plan(f, *structs)))
    assert text.replace("!tessera.tile.tile<", "tile<") == GEMM
    assert to_text(tiles_of(plan(f, *structs))) == text


def test_the_schedule_stays_as_it_was():
    schedule = plan(op.matmul, *(jax.ShapeDtypeStruct((70, 70), jnp.float32) for _ in range(2)))
    before = to_text(schedule)
    tiles_of(schedule)
    assert to_text(schedule) == before


def test_a_kernel_says_what_runs_its_group():
    schedule = plan(op.softmax, jax.ShapeDtypeStruct((70, 70), jnp.float32))
    said = []
    for runs in ("xla", "tile", "row_blocks"):
        for group in groups_of(schedule):
            group.attributes["runs"] = to_attribute(runs)
        said += [kernel.attributes["runs"] for kernel in kernels(tiles_of(schedule))]
    assert said == [to_attribute(runs) for runs in ("xla", "tile", "row_blocks")]


def _loop(x):
    return lax.fori_loop(0, 3, lambda _, y: jnp.cumsum(y, 0) * 2, x)


LEFT = {
    "an opaque node": (lambda x: jnp.cumsum(x, 0), ["0 cumsum: jax.cumsum has no tile program"]),
    "whole numbers divided": (
        lambda x: lax.div(x.astype(jnp.int32), jnp.int32(3)),
        ["0 convert_element_type+div: jax.div of integers has no tile function"],
    ),
    "a product beside its own transpose": (
        lambda x: (y := op.matmul(x, x.T)) + y.T,
        ["0 matmul+add: tessera.graph.matmul is read in two orders of its axes"],
    ),
    "a view no block can follow": (
        lambda x: jnp.tanh(x.reshape(5, 6)) * 2,
        ["0 tanh+mul: jax.reshape cuts axes where blocks do not end"],
    ),
    "complex numbers": (
        lambda x: jnp.abs(lax.complex(x, x)),
        ["0 complex+abs: jax.complex has no tile program"],
    ),
    "a loop and what is in it": (
        _loop,
        ["0 scan: jax.scan has no tile program", "2 cumsum+mul: jax.cumsum has no tile program"],
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_a_group_without_a_program_is_listed_with_the_reason(case):
    f, reasons = LEFT[case]
    tiles = tiles_of(plan(f, jax.ShapeDtypeStruct((6, 5), jnp.float32)))
    assert left_by(tiles) == reasons
    assert to_text(parse(to_text(tiles))) == to_text(tiles)
    assert not any(isinstance(x, tile.Dot) for x in tiles.walk())


def test_groups_beside_one_without_a_program_keep_theirs():
    def f(x, w):
        return op.softmax(jnp.sort(op.matmul(x, w)))

    tiles = tiles_of(plan(f, *(jax.ShapeDtypeStruct((40, 40), jnp.float32) for _ in range(2))))
    assert [k.sym_name.data for k in kernels(tiles)] == ["matmul_0", "softmax_2"]
    assert left_by(tiles) == ["1 sort: jax.sort has no tile program"]


def test_a_merged_axis_that_no_block_divides_is_left_with_the_reason():
    types = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((3, 35, 70), (70, 40))]
    tiles = tiles_of(plan(lambda x, w: op.matmul(x, w).reshape(105, 40), *types))
    assert left_by(tiles) == [
        "0 matmul: a reshape joins an axis of 35 that its block 64 does not divide"
    ]


def test_a_symbolic_size_has_no_program():
    (n,) = jax.export.symbolic_shape("n")
    schedule = plan(op.rmsnorm, jax.ShapeDtypeStruct((n, 8), jnp.float32))
    assert left_by(tiles_of(schedule)) == ["0 rmsnorm: the size of an axis is known by name only"]
