"""Tile → StableHLO: every kind of tile program against float64, however its kernel is walked."""

from functools import partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.sharding import PartitionSpec as P
from tile_cases import CASES, ROWS, array, assert_exact, attention, kernel_of
from tile_interpreter import run_kernel

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.ir import parse, tile
from tessera.lowering.emit_stablehlo import emit, plan, plan_of
from tessera.lowering.emit_stablehlo.functions import FUNCTIONS

pytestmark = pytest.mark.newest

QUICK = (
    "matmul of primes",
    "dot_general over three axes",
    "heads split off a product",
    "softmax tile+1",
    "layernorm in wide blocks",
    "views",
    "a number",
    "attention, causal window",
    "attention, mask and sinks",
)
EVERY = [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in CASES]


@pytest.fixture
def everything_looped(monkeypatch):
    """Walks every axis of every grid in a loop, and every sum in blocks, as the text says."""
    monkeypatch.setattr(plan, "taken_at_once", lambda *_: {})
    monkeypatch.setattr(plan, "_carriable", lambda *_: set())


def steps(parts):
    return [part.steps for part in parts]


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_program_in_float32(name):
    assert_exact(emit, CASES[name], "float32")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_program_in_low_precision(name, dtype):
    assert_exact(emit, CASES[name], dtype)


@pytest.mark.parametrize("name", EVERY)
def test_every_program_of_doubles(name, x64):
    assert_exact(emit, CASES[name], "float64")


@pytest.mark.parametrize("name", EVERY)
def test_every_program_walked_in_loops_alone(name, everything_looped):
    assert_exact(emit, CASES[name], "float32")


@pytest.mark.parametrize("name", [x for x in EVERY if "attention" in x.values[0]])
def test_attention_in_a_small_cache(name, monkeypatch):
    monkeypatch.setattr(plan, "LARGEST_BLOCK", 4 * 16 * 16 * 3)
    assert_exact(emit, CASES[name], "float32")


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=8)
def test_a_product_of_any_shape_in_any_blocks(data):
    m, k, n = (data.draw(st.integers(1, 70), label) for label in "mkn")
    tile = tuple(data.draw(st.sampled_from((1, 8, 16, 32)), label) for label in ("rows", "columns"))
    a, b = array(m, k), array(k, n, scale=k**-0.5)
    kernel = kernel_of(op.matmul, *_float32(a, b), tile=tile)
    _close(emit(kernel)(*_float32(a, b))[0], np.asarray(a, "f4") @ np.asarray(b, "f4"), 20)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=8)
def test_attention_of_any_shape_in_any_blocks(data):
    rows, keys = (data.draw(st.integers(1, 50), label) for label in ("rows", "keys"))
    inner = data.draw(st.sampled_from((8, 16, 32)), "inner")
    statics = {
        "causal": data.draw(st.booleans(), "causal"),
        "window": data.draw(st.none() | st.integers(1, 30), "window"),
    }
    assert_exact(emit, attention(rows, keys, inner=inner, **statics), "float32")


def _float32(*arrays):
    return [jnp.asarray(x, "float32") for x in arrays]


def _close(ours, theirs, loose=1.0):
    rtol, atol = numerics.tolerance("float32")
    np.testing.assert_allclose(ours, theirs, rtol=loose * rtol, atol=loose * atol)


# -- how kernels are walked --------------------------------------------------------------------------------


def test_a_product_with_its_epilogue_is_one_dot_and_no_loop():
    def f(a, b, c):
        return op.matmul(a, b, bias=c, epilogue="bias_gelu")

    args = _float32(array(300, 200), array(200, 250), array(250))
    text = jax.jit(emit(kernel_of(f, *args, tile=(64, 64)))).lower(*args).as_text()
    assert text.count("dot_general") == 1
    assert not any(word in text for word in ("while", "pad", "dynamic", "transpose"))


@pytest.mark.parametrize("name", ["softmax tile+1", "rmsnorm", "layernorm"])
def test_rows_are_computed_at_once(name):
    args = ROWS[name].arguments("float32")
    text = jax.jit(emit(kernel_of(ROWS[name].f, *args, tile=(16, 33)))).lower(*args).as_text()
    assert not any(word in text for word in ("while", "dynamic"))


def test_causal_attention_carries_its_heads_and_loops_over_queries():
    q, k, v = (jax.ShapeDtypeStruct((2, 8, 300, 16), jnp.float32) for _ in range(3))
    found = plan_of(kernel_of(partial(op.flash_attention, causal=True), q, k, v, tile=(64, 16)))
    assert (steps(found.carried), steps(found.looped), found.whole) == ([2, 8], [5], {})


def test_heads_that_do_not_fit_the_cache_are_carried_in_part():
    q, k, v = (jax.ShapeDtypeStruct((3, 100, 256, 16), jnp.float32) for _ in range(3))
    found = plan_of(
        kernel_of(partial(op.flash_attention, causal=True), q, k, v, tile=(128, 16), inner=64)
    )
    assert (steps(found.carried), steps(found.looped)) == ([50], [3, 2, 2])  # 64 heads are 2 MB


def test_a_grid_of_one_needs_no_loop():
    args = _float32(*(array(1, 1, 20, 16, seed=s) for s in range(3)))
    kernel = kernel_of(partial(op.flash_attention, scale=0.5), *args, tile=(64, 16), inner=64)
    assert "while" not in jax.jit(emit(kernel)).lower(*args).as_text()
    wanted = oracles.flash_attention(*(np.asarray(x)[:, :, None] if i == 0 else np.asarray(x)
                                       for i, x in enumerate(args)), None, None,
                                     causal=False, window=None, scale=0.5)  # fmt: skip
    _close(emit(kernel)(*args)[0], wanted[:, :, 0], 5)


# -- kernels written by hand -------------------------------------------------------------------------------


def kernel(text):
    (found,) = parse(text.replace("!t<", "!tessera.tile.tile<")).body.block.ops
    return found


DIAGONAL = kernel("""
module attributes {level = "tile"} {
  tessera.tile.func @outer(%x: !t<32xf32, hbm>, %y: !t<64x16xf32, hbm>, %i: index)
      attributes {grid = array<i64: 4>, outputs = 1 : i64} {
    %c0 = tessera.tile.full {value = 0 : index} -> index
    %a = tessera.tile.load %x, %i {block = array<i64: 8>} -> !t<8x1xf32, reg>
    %b = tessera.tile.transpose %a {permutation = array<i64: 1, 0>} -> !t<1x8xf32, reg>
    %s = tessera.tile.map %a, %b {function = "mul"} -> !t<8x8xf32, reg>
    %t = tessera.tile.full {value = 0.0 : f32} -> !t<16x16xf32, reg>
    tessera.tile.store %t, %y, %i, %c0
    tessera.tile.yield
  }
}""")


def test_blocks_along_one_axis_twice_are_not_merged():
    (i,) = plan_of(DIAGONAL).indices.grid
    assert i not in plan_of(DIAGONAL).whole


WINDOWS = """
module attributes {level = "tile"} {
  tessera.tile.func @windows(%x: !t<20xf32, hbm>, %y: !t<7x8xf32, hbm>, %i: index)
      attributes {grid = array<i64: 7>, outputs = 1 : i64} {
    %c0 = tessera.tile.full {value = 0 : index} -> index
    %c4 = tessera.tile.full {value = 4 : index} -> index
    %c5 = tessera.tile.full {value = 5 : index} -> index
    %0 = tessera.tile.map %i, %c4 {function = "mul"} -> index
    %1 = tessera.tile.map %0, %c5 {function = "sub"} -> index
    %a = tessera.tile.load %x, %1 {unit = ["element"], fill = -1.0 : f32} -> !t<8xf32, reg>
    tessera.tile.store %a, %y, %i, %c0 {block = array<i64: 1, 8>}
    tessera.tile.yield
  }
}"""


def test_windows_that_overlap_and_overrun_both_ends_read_what_stands_there():
    x = np.arange(20, dtype="f4")
    found = emit(kernel(WINDOWS))(jnp.asarray(x))[0]
    (wanted,) = run_kernel(kernel(WINDOWS), [x])
    np.testing.assert_array_equal(found, wanted)


STEPS = """
module attributes {level = "tile"} {
  tessera.tile.func @steps(%x: !t<40xf32, hbm>, %y: !t<40xf32, hbm>, %z: !t<1xf32, hbm>)
      attributes {grid = array<i64>, outputs = 2 : i64} {
    %c0 = tessera.tile.full {value = 0 : index} -> index
    %0 = tessera.tile.full {value = 0.0 : f32} -> !t<1xf32, reg>
    %1 = tessera.tile.for %0 {start = 0 : i64, stop = 39 : i64, step = 10 : i64} -> !t<1xf32, reg> {
    ^bb0(%k: index, %s: !t<1xf32, reg>):
      %a = tessera.tile.load %x, %k {unit = ["element"]} -> !t<10xf32, reg>
      %b = tessera.tile.scan %a {axis = 0 : i64, kind = "sum", reverse = true} -> !t<10xf32, reg>
      tessera.tile.store %b, %y, %k {unit = ["element"]}
      %m = tessera.tile.reduce %a {axis = 0 : i64, kind = "sum"} -> !t<1xf32, reg>
      %n = tessera.tile.map %s, %m {function = "add"} -> !t<1xf32, reg>
      tessera.tile.yield %n : !t<1xf32, reg>
    }
    tessera.tile.store %1, %z, %c0
    tessera.tile.yield
  }
}"""


def test_a_loop_may_store_and_count_in_steps():
    x = jnp.arange(40, dtype="float32")
    y, z = emit(kernel(STEPS))(x)
    sums = np.cumsum(np.asarray(x).reshape(4, 10)[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_array_equal(y, sums.reshape(40))
    assert z == x.sum()


def test_two_stores_into_one_array_are_refused():
    text = STEPS.replace(
        "tessera.tile.store %1, %z", "tessera.tile.store %1, %z, %c0\n    tessera.tile.store %1, %z"
    )
    with pytest.raises(CompileError, match="z by 2") as caught:
        emit(kernel(text))
    assert caught.value.code is Code.E_TILE_LOWERING


@pytest.mark.parametrize("wrong", [jnp.zeros(41), jnp.zeros(40, "int32")], ids=str)
def test_arrays_of_another_type_are_refused(wrong):
    with pytest.raises(CompileError, match=r"steps: argument 0 is f32\[40\]") as caught:
        emit(kernel(STEPS))(wrong)
    assert caught.value.code is Code.E_SHAPE_MISMATCH
    with pytest.raises(CompileError, match="reads 1 arrays, got 2"):
        emit(kernel(STEPS))(wrong, wrong)


def test_nan_beyond_an_array_stays_there():
    x = jnp.full((5, 3), jnp.nan).at[:4].set(1.0)
    case = ROWS["softmax 5x1"]
    found = emit(kernel_of(case.f, x, tile=(4, 4)))(x)[0]
    np.testing.assert_allclose(found[:4], 1 / 3, rtol=1e-6)
    assert np.isnan(found[4:]).all()


# -- under transformations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matmul of primes", "softmax tile+1", "attention, causal window"])
def test_a_kernel_under_vmap_is_the_kernel_of_each(name):
    args = CASES[name].arguments("float32")
    run = jax.jit(emit(kernel_of(CASES[name].f, *args, **CASES[name].blocks)))
    stacked = [jnp.stack([x, 2 * x, -x]) for x in args]
    found = jax.jit(jax.vmap(run))(*stacked)[0]
    for place in range(3):
        _close(found[place], run(*(x[place] for x in stacked))[0], 3)


def _sharded(run, args):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    each = jax.shard_map(
        lambda *xs: run(*(x[0] for x in xs))[0][None], mesh=mesh, in_specs=P("d"), out_specs=P("d")
    )
    return jax.jit(each)(*args)


@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize("name", ["matmul of primes", "layernorm", "attention, causal window"])
def test_a_kernel_runs_on_each_shard(name, looped, request):
    if looped:
        request.getfixturevalue("everything_looped")
    args = CASES[name].arguments("float32")
    run = jax.jit(emit(kernel_of(CASES[name].f, *args, **CASES[name].blocks)))
    stacked = [jnp.stack([(1 + i / 8) * x for i in range(8)]) for x in args]
    found = _sharded(run, stacked)
    for place in range(8):
        _close(found[place], run(*(x[place] for x in stacked))[0], 3)


def test_a_shard_beside_a_replicated_array():
    x, w = _float32(array(8, 16, 33), array(33, 20, scale=0.2))
    run = emit(kernel_of(op.matmul, x[0], w, tile=(8, 8)))
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    each = jax.shard_map(
        lambda x, w: run(x[0], w)[0][None], mesh=mesh, in_specs=(P("d"), P()), out_specs=P("d")
    )
    _close(jax.jit(each)(x, w), x @ w, 10)


def test_every_op_of_the_dialect_is_emitted():
    assert FUNCTIONS.keys() == tile.FUNCTIONS.keys()
