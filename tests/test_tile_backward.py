"""Backward tile programs, run in NumPy, against the derivative of the op's reference in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tile_interpreter
from tile_interpreter import run_schedule
from triton_interpreter import Interpreter

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.ir import parse, tile, to_text
from tessera.ir.attributes import integers, to_attribute
from tessera.lowering import SCHEDULE_PASSES, emit_stablehlo, emit_triton, run_passes
from tessera.lowering.choose import groups_of
from tessera.lowering.emit_triton.module import write
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import to_tile
from tessera.lowering.tile_programs import norm_backward
from tessera.runtime import peaks

pytestmark = pytest.mark.newest

FLOATS = ("float32", "bfloat16", "float16")


def array(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def pullback(f, wrt):
    """Returns `(*operands, cotangent) -> gradients` of f for the first `wrt` operands."""

    def run(*args):
        *operands, ct = args
        moving, rest = operands[:wrt], operands[wrt:]
        return jax.vjp(lambda *moving: f(*moving, *rest), *moving)[1](ct)

    return run


def planned(f, *args, **attributes):
    """Returns the Schedule of f with these attributes on every group of a Tessera op, and its Tile module."""
    schedule = ts.compile(f).plan(*args).schedule
    for group in groups_of(schedule):
        if group.pattern.data.split("+")[0].endswith(("_forward", "_bwd", "softmax")):
            for name in ("padded", *attributes):
                group.attributes.pop(name, None)
            for name, value in attributes.items():
                group.attributes[name] = to_attribute(value)
    return schedule, to_tile(schedule, Context(peaks.device("cpu")))


def assert_gradients(f, wrt, *args, loose=1.0, within=None, **attributes):
    """Fails unless the tile programs of f's pullback give its float64 gradients.

    Returns the Tile module. Groups that only rearrange or sum over a batch are computed by JAX. The tolerance
    is that of each operand's dtype, or of the dtype `within`.
    """
    schedule, tiles = planned(pullback(f, wrt), *args, **attributes)
    left = [reason.data for reason in tiles.attributes.get("left_to_xla", to_attribute([])).data]
    assert all("_bwd" not in reason and "_forward" not in reason for reason in left), left
    text = to_text(tiles)
    assert to_text(parse(text)) == text
    assert to_text(parse(to_text(tiles, generic=True))) == text
    found = run_schedule(schedule, parse(text), [np.asarray(x) for x in args], all_tiled=False)
    with jax.enable_x64(True):
        wide = [_widened(x) for x in args]
        wanted = pullback(f, wrt)(*wide)
    for x, ours, theirs in zip(args, found, wanted, strict=False):
        assert (ours.shape, ours.dtype) == (x.shape, x.dtype)
        rtol, atol = numerics.tolerance(x.dtype if within is None else within)
        # Sums of n terms round in proportion to their largest ones.
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(
            np.asarray(ours, np.float64), theirs, rtol=loose * rtol, atol=loose * atol * size
        )
    return tiles


def _widened(x):
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return jnp.asarray(np.asarray(x, np.float64) if floating else x)


def kernels(tiles, suffix=""):
    return [k for k in tiles.body.block.ops if suffix in k.sym_name.data]


# -- norms ------------------------------------------------------------------------------------------------

ROWS = [(70,), (1, 1), (5, 1), (7, 33), (127, 64), (129, 65), (300, 31), (3, 129, 33), (2, 3, 5, 7)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_rmsnorm(shape, dtype):
    x, ct = (jnp.asarray(array(*shape, seed=s) + 0.5, dtype) for s in (0, 1))
    w = jnp.asarray(array(shape[-1], seed=2), "float32")
    f = lambda x, w: op.rmsnorm(x, weight=w)  # noqa: E731
    assert_gradients(f, 2, x, w, ct, loose=2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_layernorm(shape, dtype):
    x, ct = (jnp.asarray(array(*shape, seed=s) + 0.5, dtype) for s in (0, 1))
    w, b = (jnp.asarray(array(shape[-1], seed=s), "float32") for s in (2, 3))
    f = lambda x, w, b: op.layernorm(x, 1e-3, weight=w, bias=b)  # noqa: E731
    assert_gradients(f, 3, x, w, b, ct, loose=2)


@pytest.mark.parametrize("rows", [15, 16, 17, 53])
@pytest.mark.parametrize("width", [33, 64])
def test_norms_in_small_blocks_with_columns_that_are_padded(rows, width):
    x, ct = (jnp.asarray(array(rows, width, seed=s) + 0.5, "float32") for s in (0, 1))
    w, b = (jnp.asarray(array(width, seed=s), "float32") for s in (2, 3))
    f = lambda x, w, b: op.layernorm(x, weight=w, bias=b)  # noqa: E731
    tiles = assert_gradients(f, 3, x, w, b, ct, loose=3, tile=(16, 64), warps=4, inner=2)
    (first,) = kernels(tiles, "_rows_")
    assert integers(first.grid) == (-(-rows // 16),)
    assert first.warps.value.data == 4


def test_sums_over_many_rows_in_several_blocks_of_columns():
    x, ct = (jnp.asarray(array(2, 53, 300, seed=s) + 0.5, "float32") for s in (0, 1))
    w = jnp.asarray(array(300, seed=2), "float32")
    f = lambda x, w: op.rmsnorm(x, weight=w)  # noqa: E731
    tiles = assert_gradients(f, 2, x, w, ct, loose=3, tile=(16, 300), inner=2)
    (second,) = kernels(tiles, "_sums_")
    (loop,) = (x for x in second.walk() if isinstance(x, tile.For))
    assert (integers(second.grid), loop.stop.value.data) == ((10,), 4)


# Blocks of 16 rows in turns: as many for each program, fewer for the last, all in one program, over two axes.
TURNS = [
    ((64, 33), 2, (2,)),
    ((75, 33), 2, (3,)),
    ((40, 64), 7, ()),
    ((3, 53, 33), 5, (3,)),
    ((2, 3, 17, 8), 4, (3,)),
    ((5, 1), 3, (1,)),  # one block: no turns
]


def layernorm(x, w, b):
    return op.layernorm(x, weight=w, bias=b)


def layernorm_arguments(*shape):
    x, ct = (jnp.asarray(array(*shape, seed=s) + 0.5, "float32") for s in (0, 1))
    w, b = (jnp.asarray(array(shape[-1], seed=s), "float32") for s in (2, 3))
    return x, w, b, ct


@pytest.mark.parametrize(("shape", "turns", "grid"), TURNS, ids=str)
def test_norms_whose_programs_walk_several_blocks_of_rows(shape, turns, grid):
    width = 1 << (shape[-1] - 1).bit_length()
    blocks = {"tile": (16, width), "warps": 4, "inner": 2, "turns": turns}
    tiles = assert_gradients(layernorm, 3, *layernorm_arguments(*shape), loose=3, **blocks)
    first, _ = kernels(tiles, "_bwd")
    assert integers(first.grid) == grid


@pytest.mark.parametrize("run", ["stablehlo", "triton"])
def test_norms_in_turns_run_as_emitted(run, request, monkeypatch):
    monkeypatch.setattr(tile_interpreter, "run_kernel", request.getfixturevalue(run))
    blocks = {"tile": (16, 64), "warps": 4, "turns": 5}
    assert_gradients(layernorm, 3, *layernorm_arguments(3, 53, 33), loose=3, **blocks)


@pytest.fixture
def stablehlo():
    def run(kernel, inputs):
        found = jax.jit(emit_stablehlo.emit(kernel))(*(jnp.asarray(x) for x in inputs))
        return [np.asarray(x) for x in found]

    return run


@pytest.fixture
def triton():
    reason = emit_triton.unavailable()
    if reason is not None:
        pytest.skip(reason)
    with Interpreter() as run:
        yield lambda kernel, arrays: run(
            emit_triton.source(kernel), write(emit_triton.source(kernel)), *arrays
        )


def test_rows_too_wide_to_carry_both_sums_are_read_once_more(monkeypatch):
    monkeypatch.setattr(norm_backward, "LARGEST_CARRY", 16 * 64)
    blocks = {"tile": (16, 64), "warps": 4, "turns": 2}
    tiles = assert_gradients(layernorm, 3, *layernorm_arguments(75, 64), loose=3, **blocks)
    found = [k.sym_name.data.split("_")[-2] for k in kernels(tiles, "_bwd")]
    assert found == ["rows", "bias", "sums"]
    assert len(kernels(tiles, "_bias_")[0].arrays) == 2  # dy and the parts


def test_a_gpu_has_two_programs_per_processor_for_the_sums_of_a_norm():
    types = [jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in ((16384, 4096), (4096,), (16384, 4096))]
    module = capture(jax.make_jaxpr(pullback(lambda x, w: op.rmsnorm(x, weight=w), 2))(*types), "f")
    device = peaks.device("cuda")
    run_passes(module, Context(device), SCHEDULE_PASSES)
    tiles = to_tile(module, Context(device))
    rows, sums = kernels(tiles, "_bwd")
    assert device.processors < integers(rows.grid)[0] <= 2 * device.processors
    assert integers(sums.grid) == (128,)
    parts = rows.written[-1].type
    assert parts.size_in_bytes < 0.02 * 3 * 16384 * 4096 * 2


@pytest.mark.parametrize("f", [op.rmsnorm, op.layernorm])
def test_a_norm_without_weights_needs_no_second_kernel(f):
    x, ct = (jnp.asarray(array(70, 33, seed=s) + 0.5, "float32") for s in (0, 1))
    (kernel,) = kernels(assert_gradients(f, 1, x, ct, loose=2), "_bwd")
    assert kernel.values is None


def test_a_gradient_nobody_reads_is_not_computed():
    x, w, b, ct = (jnp.asarray(array(*s), "float32") for s in ((70, 33), (33,), (33,), (70, 33)))
    f = lambda x, w, b: op.layernorm(x, weight=w, bias=b)  # noqa: E731
    (only,) = kernels(assert_gradients(f, 1, x, w, b, ct, loose=2), "_bwd")
    assert only.outputs.value.data == 1
    shifted = lambda b, x, w: f(x, w, b)  # noqa: E731
    first, second = kernels(assert_gradients(shifted, 1, b, x, w, ct, loose=2), "_bwd")
    assert (first.outputs.value.data, second.outputs.value.data) == (1, 1)


def test_norms_of_doubles(x64):
    x, ct = (jnp.asarray(array(130, 33, seed=s), "float64") for s in (0, 1))
    w = jnp.asarray(array(33, seed=2), "float64")
    assert_gradients(lambda x, w: op.rmsnorm(x, weight=w), 2, x, w, ct, loose=10)


def test_what_stands_around_a_norm_backward_is_spliced_into_its_kernels():
    def f(x, w):
        y = op.rmsnorm(x.reshape(4, 35, 16).transpose(1, 0, 2), weight=w)
        return jnp.exp(y)

    x, w = jnp.asarray(array(4, 35, 16), "float32"), jnp.asarray(array(16), "float32")
    ct = jnp.asarray(array(35, 4, 16, seed=1), "float32")
    tiles = assert_gradients(f, 2, x, w, ct, loose=4)
    assert len(kernels(tiles, "rmsnorm_bwd")) == 2


# -- products ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("left", [(33, 70), (2, 35, 70)], ids=str)
def test_a_product_stores_its_result_and_what_its_backward_needs(left, dtype):
    a, b = array(*left), array(70, 50, scale=70**-0.5)
    bias, residual, ct = (
        array(50, seed=1),
        array(*left[:-1], 50, seed=2),
        array(*left[:-1], 50, seed=3),
    )

    def f(a, b, bias, residual):
        return op.matmul(a, b, bias=bias, residual=residual, epilogue="bias_gelu_residual")

    args = [jnp.asarray(x, dtype) for x in (a, b, bias, residual, ct)]
    tiles = assert_gradients(f, 4, *args, loose=10, tile=(16, 32), inner=16)
    (kernel,) = kernels(tiles, "matmul_forward")
    assert [str(x.type.element) for x in kernel.written][-1] == "f32"


@pytest.mark.parametrize("run", ["stablehlo", "triton"])
def test_a_product_and_what_it_saves_are_stored_as_emitted(run, request, monkeypatch):
    monkeypatch.setattr(tile_interpreter, "run_kernel", request.getfixturevalue(run))
    a, b, ct = array(33, 70), array(70, 50, scale=70**-0.5), array(33, 50, seed=3)
    args = [jnp.asarray(x, "float32") for x in (a, b, ct)]
    f = partial(op.matmul, epilogue="silu")
    assert_gradients(f, 2, *args, loose=10, tile=(16, 32), inner=16, warps=4)


# -- rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [s for s in ROWS if len(s) > 1], ids=str)
def test_softmax(shape, dtype):
    x, ct = (jnp.asarray(array(*shape, seed=s), dtype) for s in (0, 1))
    assert_gradients(op.softmax, 1, x, ct, loose=3)


@pytest.mark.parametrize("run", ["stablehlo", "triton"])
@pytest.mark.parametrize(("axis", "tile"), [(0, (64, 1, 16)), (1, (4, 16))])
def test_softmax_along_another_axis_runs_as_emitted(axis, tile, run, request, monkeypatch):
    monkeypatch.setattr(tile_interpreter, "run_kernel", request.getfixturevalue(run))
    x = jnp.asarray(array(33, 3, 70, scale=3.0), "float32")
    _, tiles = found = planned(partial(op.softmax, axis=axis), x, tile=tile, warps=4)
    assert len(kernels(tiles)) == 1
    (ours,) = run_schedule(*found, [np.asarray(x)])
    rtol, atol = numerics.tolerance("float32")
    np.testing.assert_allclose(ours, jax.nn.softmax(x, axis), rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", [(5, 1), (300, 33), (3, 33, 70)], ids=str)
def test_reductions_of_the_same_rows_share_a_kernel(shape):
    def f(x):
        y = x - jnp.max(x, axis=-1, keepdims=True)
        return jnp.exp(y) / jnp.sum(jnp.exp(y), axis=-1, keepdims=True), jnp.min(2 * x, axis=-1)

    x = jnp.asarray(array(*shape), "float32")
    schedule, tiles = planned(f, x)
    found = run_schedule(schedule, tiles, [np.asarray(x)])
    for ours, theirs in zip(found, f(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# -- attention --------------------------------------------------------------------------------------------


def heads(dtype, rows, keys, depth=16, width=16, groups=2, shared=2, batch=1):
    q = array(batch, groups * shared, rows, depth, seed=0)
    k, v = array(batch, groups, keys, depth, seed=1), array(batch, groups, keys, width, seed=2)
    ct = array(batch, groups * shared, rows, width, seed=3)
    return [jnp.asarray(x, dtype) for x in (q, k, v, ct)]


# Blocks of 16 queries or keys: at least three along each walked axis, ragged or not.
CASES = [
    (48, 48, {}),
    (49, 47, {}),
    (53, 53, {"causal": True}),
    (1, 50, {"causal": True}),
    (50, 1, {}),
    (1, 1, {"causal": True}),
    (35, 61, {"causal": True}),
    (61, 35, {"causal": True}),  # the first queries see nothing
    (53, 53, {"causal": True, "window": 7}),
    (53, 53, {"causal": True, "window": 1}),
    (35, 61, {"causal": True, "window": 20}),
    (61, 35, {"causal": True, "window": 20}),
    (53, 53, {"window": 7}),
    (61, 35, {"window": 30}),
    (48, 64, {"scale": 1.5}),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("rows", "keys", "statics"), CASES, ids=str)
def test_attention(rows, keys, statics, dtype):
    q, k, v, ct = heads(dtype, rows, keys)
    f = partial(op.flash_attention, **statics)
    assert_gradients(f, 3, q, k, v, ct, loose=4, tile=(16, 16), inner=16)


@pytest.mark.parametrize("sizes", [(150, 150, {"causal": True}), (130, 260, {"window": 140})])
def test_attention_in_the_blocks_it_has_unplanned(sizes):
    rows, keys, statics = sizes
    q, k, v, ct = heads("float32", rows, keys)
    assert_gradients(partial(op.flash_attention, **statics), 3, q, k, v, ct, loose=4)


@pytest.mark.parametrize("block", [(16, 32), (32, 16), (64, 16)])
def test_attention_with_blocks_of_queries_and_keys_of_two_sizes(block):
    rows, inner = block
    args = heads("float32", 150, 133)
    f = partial(op.flash_attention, causal=True, window=60)
    assert_gradients(f, 3, *args, loose=4, tile=(rows, 16), inner=inner)


@pytest.mark.parametrize(("groups", "shared"), [(1, 1), (4, 1), (1, 3), (2, 4)])
def test_attention_with_heads_that_share_keys(groups, shared):
    args = heads("float32", 37, 50, groups=groups, shared=shared)
    f = partial(op.flash_attention, causal=True)
    assert_gradients(f, 3, *args, loose=4, tile=(16, 16), inner=16)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_attention_with_mask_and_sinks_and_a_value_of_its_own_width(dtype, causal):
    q, k, v, ct = heads(dtype, 50, 61, depth=12, width=20, batch=2)
    mask = jnp.asarray(array(2, 1, 50, 61, seed=5) > 0).at[:, :, 3].set(False)
    sinks = jnp.asarray(array(4), "float32")

    def f(q, k, v, sinks, mask):
        return op.flash_attention(q, k, v, mask=mask, sinks=sinks, causal=causal)

    # The gradient of fp32 sinks is as exact as the scores.
    blocks = {"tile": (16, 20), "inner": 16}
    tiles = assert_gradients(f, 4, q, k, v, sinks, mask, ct, loose=4, within=dtype, **blocks)
    names = [k.sym_name.data.split("_")[-2] for k in kernels(tiles, "_bwd")]
    assert names == ["delta", "keys", "queries", "sinks"]


@pytest.mark.parametrize("shape", [(61,), (50, 1), (1, 61), (2, 4, 50, 61), (4, 1, 61)], ids=str)
def test_attention_with_masks_that_broadcast(shape):
    q, k, v, ct = heads("float32", 50, 61, batch=2)
    mask = jnp.asarray(array(*shape) > -0.5)

    def f(q, k, v, mask):
        return op.flash_attention(q, k, v, mask=mask)

    assert_gradients(f, 3, q, k, v, mask, ct, loose=4, tile=(16, 16), inner=16)


@pytest.mark.parametrize(("depth", "width"), [(12, 20), (48, 24), (3, 5)])
def test_attention_with_depths_padded_to_powers_of_two(depth, width):
    q, k, v, ct = heads("float32", 37, 50, depth=depth, width=width)
    f = partial(op.flash_attention, causal=True)
    tiles = assert_gradients(f, 3, q, k, v, ct, loose=4, tile=(16, 64), inner=16, warps=4)
    blocks = [op.result.type.sizes for op in tiles.walk() if isinstance(op, tile.Dot)]
    assert all(n & (n - 1) == 0 and n >= 16 for sizes in blocks for n in sizes)


def test_attention_between_views_that_split_and_merge_its_heads():
    def f(q, k, v):
        q, k, v = (x.reshape(2, -1, 4, 8).transpose(0, 2, 1, 3) for x in (q, k, v))
        return op.flash_attention(q, k, v, causal=True).transpose(0, 2, 1, 3).reshape(2, -1, 32)

    args = [jnp.asarray(array(2, 150, 32, seed=s), "float32") for s in range(4)]
    tiles = assert_gradients(f, 3, *args, loose=4)
    assert len(kernels(tiles, "_bwd")) == 3


def test_attention_of_doubles(x64):
    args = [jnp.asarray(x, "float64") for x in heads("float64", 53, 61)]
    f = partial(op.flash_attention, causal=True)
    assert_gradients(f, 3, *args, loose=10, tile=(16, 16), inner=16)


def test_causal_attention_backward_visits_no_block_that_nothing_sees():
    types = [jax.ShapeDtypeStruct((1, 1, 512, 16), jnp.float32)] * 4
    f = pullback(partial(op.flash_attention, causal=True), 3)
    _, tiles = planned(f, *types, tile=(128, 16), inner=64)
    visited = {}
    for name in ("_keys_", "_queries_"):
        (kernel,) = kernels(tiles, name)
        visited[name] = _steps(kernel, [0] * (len(integers(kernel.grid)) - 1))
    # Blocks of 128 rows and 64 looped over: two stand on the diagonal, the others are seen in full.
    assert visited == {
        "_keys_": [(2, 6), (2, 4), (2, 2), (2, 0)],
        "_queries_": [(0, 2), (2, 2), (4, 2), (6, 2)],
    }


@pytest.mark.parametrize(
    ("rows", "keys", "statics"),
    [
        (64, 64, {}),
        (53, 70, {}),
        (61, 35, {"causal": True}),
        (35, 61, {"causal": True}),
        (100, 100, {"causal": True, "window": 40}),
        (100, 83, {"window": 40}),
        (83, 100, {"causal": True, "window": 3}),
    ],
    ids=str,
)
def test_only_blocks_at_an_edge_are_masked_and_every_score_that_counts_is_visited(
    rows, keys, statics
):
    q, k, v, ct = (
        jax.ShapeDtypeStruct((1, 1, n, 16), jnp.float32) for n in (rows, keys, keys, rows)
    )
    f = pullback(partial(op.flash_attention, **statics), 3)
    _, tiles = planned(f, q, k, v, ct, tile=(32, 16), inner=16)
    back = np.arange(rows)[:, None] + keys - rows - np.arange(keys)
    counts = (back >= 0 if statics.get("causal") else back < rows + keys) & (
        back < statics.get("window", rows + keys)
    )
    for name, scores in (("_forward", counts), ("_keys_", counts.T), ("_queries_", counts)):
        (kernel,) = kernels(tiles, name)
        for held in range(integers(kernel.grid)[-1]):
            seen = scores[32 * held : 32 * (held + 1)]
            visited = _visited(kernel, [0] * (len(integers(kernel.grid)) - 1) + [held])
            assert sorted(visited) == list(visited)
            for block in range(-(-scores.shape[1] // 16)):
                part = seen[:, 16 * block : 16 * (block + 1)]
                masked = visited.get(block)
                assert masked is not None or not part.any()
                # Keys beyond the last one are masked, queries beyond it weigh nothing by themselves.
                clear = part.all() and (part.shape[1] == 16 or name == "_keys_")
                assert masked in (True, None) or clear
                # Every full block is clear, but for the end of what the program holds.
                assert masked in (False, None) or not part.all() or part.shape != (32, 16)


def _visited(kernel, places):
    """Returns which blocks the loops of a program visit, in order, and whether they are masked there."""
    found = {}
    for loop in kernel.walk():
        if isinstance(loop, tile.For):
            start, stop = _bounds(loop, dict(zip(_places(kernel), places, strict=True)))
            masked = any(_compares(x) for x in loop.walk())
            assert not found.keys() & set(range(start, stop))
            found |= dict.fromkeys(range(start, stop), masked)
    return found


def _compares(op):
    return isinstance(op, tile.Map) and op.function.data in ("where", "ge", "lt")


def _places(kernel):
    return kernel.body.block.args[len(kernel.arrays) :]


def _bounds(loop, state):
    if not loop.bounds:
        return 0, loop.stop.value.data
    bounds = [_index_value(x, state) for x in loop.bounds]
    return (0, *bounds)[-2:]


def _steps(kernel, outer):
    """Returns how many steps each loop of a kernel makes per place of its last grid axis."""
    loops = [x for x in kernel.walk() if isinstance(x, tile.For)]
    found = []
    for last in range(integers(kernel.grid)[-1]):
        state = dict(zip(_places(kernel), [*outer, last], strict=True))
        found.append(tuple(stop - start for start, stop in (_bounds(x, state) for x in loops)))
    return found


def _index_value(value, state):
    if value in state:
        return state[value]
    maker = value.owner
    if isinstance(maker, tile.Full):
        return maker.value.value.data
    a, b = (_index_value(x, state) for x in maker.operands)
    functions = {"add": int.__add__, "mul": int.__mul__, "min": min, "max": max}
    return {**functions, "div": int.__floordiv__}[maker.function.data](a, b)


def test_blocks_that_do_not_fit_the_scratch_are_left_with_the_reason():
    types = [jax.ShapeDtypeStruct((1, 1, 512, 256), jnp.float32)] * 4
    f = pullback(partial(op.flash_attention, causal=True), 3)
    _, tiles = planned(f, *types, tile=(128, 256), inner=128)
    reasons = [reason.data for reason in tiles.attributes["left_to_xla"].data]
    (said,) = (reason for reason in reasons if "_bwd" in reason)
    assert "128 elements of the inner axis" in said
    assert "do not fit the scratch" in said


# -- kernels of one group ---------------------------------------------------------------------------------

PAIR = """
module attributes {level = "tile"} {
  ttile.func @first(%x: !ttile.tile<64xf32, hbm>, %t: !ttile.tile<64xf32, hbm>, %i: index)
      attributes {grid = array<i64: 1>, outputs = 1, group = 0, arrays = array<i64: 0, 2>} {
    %0 = ttile.load %x, %i -> !ttile.tile<64xf32, reg>
    ttile.store %0, %t, %i
    ttile.yield
  }
  ttile.func @second(%t: !ttile.tile<64xf32, hbm>, %y: !ttile.tile<64xf32, hbm>, %i: index)
      attributes {grid = array<i64: 1>, outputs = 1, group = 0, arrays = array<i64: 2, 1>} {
    %0 = ttile.load %t, %i -> !ttile.tile<64xf32, reg>
    ttile.store %0, %y, %i
    ttile.yield
  }
}
"""


def test_kernels_of_one_group_say_which_of_its_values_their_arrays_are():
    first, second = parse(PAIR).body.block.ops
    assert (first.places, second.places) == ((0, 2), (2, 1))
    assert to_text(parse(to_text(parse(PAIR)))) == to_text(parse(PAIR))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("arrays = array<i64: 2, 1>", "arrays = array<i64: 2>", "for each of 2 arrays, got [2]"),
        ("arrays = array<i64: 2, 1>", "arrays = array<i64: 2, 2>", "got [2, 2]"),
        ("arrays = array<i64: 2, 1>", "arrays = array<i64: -1, 1>", "got [-1, 1]"),
        ("arrays = array<i64: 2, 1>", "arrays = array<i64: 1, 2>", "@first writes value 2"),
        ("arrays = array<i64: 2, 1>", "arrays = array<i64: 2, 0>", "@first reads value 0"),
        ("%t: !ttile.tile<64xf32, hbm>, %y", "%t: !ttile.tile<128xf32, hbm>, %y", "value 2 of the group"),
    ],
)  # fmt: skip
def test_arrays_of_a_group_that_do_not_fit_are_refused(old, new, says):
    with pytest.raises(CompileError) as caught:
        parse(PAIR.replace(old, new))
    assert caught.value.code is Code.E_TILE_LOWERING
    assert says in str(caught.value)
