"""Tile → Triton: what kernels compute, interpreted in NumPy, against JAX, and what compilers make of them."""

import os
import stat
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tile_interpreter
from jax import lax
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from triton_interpreter import Interpreter

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.ir import parse
from tessera.ir.attributes import to_attribute
from tessera.lowering.choose import groups_of
from tessera.lowering.emit_triton import (
    TARGETS,
    call,
    compile_source,
    installed,
    source,
    unavailable,
)
from tessera.lowering.emit_triton.module import write
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import to_tile
from tessera.runtime import peaks

REASON = unavailable()
needs_triton = pytest.mark.skipif(REASON is not None, reason=REASON or "Triton is here")
FLOATS = ("float32", "bfloat16", "float16")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESSERA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def interpreted():
    with Interpreter() as run:
        yield lambda kernel, arrays: run(source(kernel), write(source(kernel)), *arrays)


def array(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def struct(*shape, dtype="bfloat16"):
    return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))


def lowered(f, *args, tile=None):
    """Returns the Schedule and the Tile module of a function, in blocks of a size."""
    schedule = ts.compile(f).plan(*args).schedule
    for group in groups_of(schedule) if tile else ():
        covered = group.results[0].type.get_shape()[-2:]
        padded = [-(-n // t) * t for n, t in zip(covered, tile, strict=True)]
        group.attributes["tile"] = to_attribute(tile)
        group.attributes["padded"] = to_attribute(padded)
    tiles = to_tile(schedule, Context(peaks.device("cpu")))
    assert "left_to_xla" not in tiles.attributes
    return schedule, tiles


def kernel_of(f, *args, tile=None, **attributes):
    """Returns the one kernel of a function."""
    (kernel,) = lowered(f, *args, tile=tile)[1].body.block.ops
    for name, value in attributes.items():
        kernel.attributes[name] = to_attribute(value)
    return kernel


@pytest.fixture
def assert_computes(interpreted, monkeypatch):
    """Fails unless the kernels of a function compute what JAX does."""
    monkeypatch.setattr(tile_interpreter, "run_kernel", interpreted)

    def check(f, *args, tile=None, loose=1.0):
        schedule, tiles = lowered(f, *args, tile=tile)
        found = tile_interpreter.run_schedule(schedule, tiles, [np.asarray(x) for x in args])
        for ours, theirs in zip(found, jax.tree.leaves(jax.jit(f)(*args)), strict=True):
            assert_close(ours, theirs, loose)

    return check


def assert_close(ours, theirs, loose=1.0):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    exact = not jnp.issubdtype(theirs.dtype, jnp.floating)
    rtol, atol = (0, 0) if exact else numerics.tolerance(theirs.dtype)
    wide = [np.asarray(x, np.float64) for x in (ours, theirs)]
    np.testing.assert_allclose(*wide, rtol=loose * rtol, atol=loose * atol)


# -- what is computed --------------------------------------------------------------------------------------

PRODUCTS = [
    ((90, 150), (150, 70)),
    ((1, 70), (70, 1)),
    ((33, 257), (257, 9)),
    ((3, 35, 70), (70, 40)),
    ((2, 3, 35, 70), (2, 3, 70, 17)),
]


@needs_triton
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
def test_a_product_with_its_whole_epilogue(assert_computes, left, right, dtype):
    a, b = array(*left), array(*right, scale=right[-2] ** -0.5)
    bias, residual = array(right[-1], seed=1), array(*left[:-1], right[-1], seed=2)

    def f(a, b, bias, residual):
        return op.matmul(a, b, bias=bias, residual=residual, epilogue="bias_gelu_residual")

    args = [jnp.asarray(x, dtype) for x in (a, b, bias, residual)]
    assert_computes(f, *args, tile=(32, 64), loose=5)


LAYOUTS = {
    "nn": (((1,), (0,)), (90, 70), (70, 60)),
    "nt": (((1,), (1,)), (90, 70), (60, 70)),
    "tn": (((0,), (0,)), (70, 90), (70, 60)),
    "tt": (((0,), (1,)), (70, 90), (60, 70)),
}


@needs_triton
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_product_of_factors_in_each_layout(assert_computes, layout, dtype):
    over, left, right = LAYOUTS[layout]
    a, b = (jnp.asarray(x, dtype) for x in (array(*left), array(*right, scale=70**-0.5)))
    f = lambda a, b: lax.dot_general(a, b, (over, ((), ())))  # noqa: E731
    assert_computes(f, a, b, tile=(32, 32), loose=5)


@needs_triton
def test_a_sum_over_two_axes_and_a_batch(assert_computes):
    a, b = array(3, 20, 4, 30), array(3, 4, 30, 25, scale=120**-0.5)

    def f(a, b):
        return jnp.einsum("bmij,bijn->bmn", a, b)

    assert_computes(f, *(jnp.asarray(x, "float32") for x in (a, b)), tile=(16, 16), loose=5)


@needs_triton
def test_a_product_in_many_blocks_reaches_each_of_them(interpreted):
    kernel = kernel_of(op.matmul, *[struct(176, 176, dtype="float32")] * 2, tile=(16, 16))
    assert "within" in source(kernel).text  # 11 block rows: a group of 8 and one of 3
    a, b = array(176, 176).astype("float32"), array(176, 176, seed=1).astype("float32") / 14
    (found,) = interpreted(kernel, [a, b])
    assert_close(found, a @ b, loose=5)


ROWS = {"softmax": op.softmax, "rmsnorm": op.rmsnorm, "layernorm": op.layernorm}


@needs_triton
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_that_a_block_does_not_divide(assert_computes, name, dtype):
    x = jnp.asarray(array(3, 33, 70) + 0.5, dtype)
    assert_computes(ROWS[name], x, tile=(8, 128), loose=2)


@needs_triton
def test_norms_with_weight_and_bias(assert_computes):
    x, w, b = (jnp.asarray(array(*s), "float32") for s in ((33, 70), (70,), (70,)))
    assert_computes(lambda x, w: op.rmsnorm(x, weight=w), x, w, tile=(8, 128), loose=2)
    f = lambda x, w, b: op.layernorm(x, 1e-3, weight=w, bias=b)  # noqa: E731
    assert_computes(f, x, w, b, tile=(8, 128), loose=2)


@needs_triton
def test_softmax_of_a_row_with_a_nan_is_nan(interpreted):
    kernel = kernel_of(op.softmax, struct(4, 64, dtype="float32"), tile=(4, 64))
    x = array(4, 64).astype("float32")
    x[1, 5] = np.nan
    (found,) = interpreted(kernel, [x])
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[[0, 2, 3]]).any()


ATTENTION = [
    (150, 150, {}),
    (150, 150, {"causal": True}),
    (1, 150, {"causal": True}),
    (70, 200, {"causal": True}),
    (200, 70, {"causal": True}),  # the first queries see nothing
    (150, 150, {"causal": True, "window": 20}),
    (150, 150, {"window": 7}),
    (130, 64, {"scale": 1.5}),
]


def heads(dtype, rows, keys, depth=16, width=16, groups=2):
    q = array(1, 4, rows, depth, seed=0)
    k, v = array(1, groups, keys, depth, seed=1), array(1, groups, keys, width, seed=2)
    return [jnp.asarray(x, dtype) for x in (q, k, v)]


@needs_triton
@pytest.mark.parametrize(("rows", "keys", "statics"), ATTENTION, ids=str)
def test_attention(assert_computes, rows, keys, statics):
    f = lambda *x: op.flash_attention(*x, **statics)  # noqa: E731
    assert_computes(f, *heads("float32", rows, keys), tile=(64, 16), loose=3)


@needs_triton
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_attention_of_low_precision(assert_computes, dtype):
    f = lambda *x: op.flash_attention(*x, causal=True, window=20)  # noqa: E731
    assert_computes(f, *heads(dtype, 150, 150), tile=(64, 16), loose=3)


@needs_triton
def test_attention_with_mask_and_sinks_and_a_value_of_its_own_width(assert_computes):
    q, k, v = heads("float32", 70, 150, width=32, groups=4)
    mask = jnp.asarray(array(1, 1, 70, 150, seed=5) > 0).at[:, :, 3].set(False)
    sinks = jnp.asarray(array(4), "float32")

    def f(q, k, v, mask, sinks):
        return op.flash_attention(q, k, v, mask=mask, sinks=sinks)

    assert_computes(f, q, k, v, mask, sinks, tile=(64, 32), loose=3)


CHAINS = {
    "activations": lambda x: op.gelu(op.silu(x)) + op.gelu(x, approximate=True) * op.sigmoid(x),
    "ops": lambda x: op.relu(x) + op.tanh(x) + op.sin(x) * op.cos(x),
    "functions": lambda x: jnp.exp(-jnp.abs(x)) + jnp.log1p(x * x) + lax.rsqrt(x * x + 1),
    "roots": lambda x: (
        jnp.sqrt(jnp.abs(x)) + jnp.expm1(x / 4) + jnp.log(x * x + 1) - jnp.tan(x / 9)
    ),
    "powers": lambda x: x**5 - 2 / (3 + x**2) + (1 + x * x) ** -3 + lax.pow(x * x + 1, x),
    "choice": lambda x: jnp.where((x > 0) & ~(x >= 1), x, jnp.clip(x, -0.5, 0.25)),
    "rounded": lambda x: jnp.floor(x * 3) + jnp.ceil(x / 3) + jnp.sign(x) - lax.neg(x),
    "casts": lambda x: (x * 3).astype(jnp.int32).astype(jnp.float32) + (x > 0).astype(jnp.float32),
    "truth": lambda x: (x != 0).astype(bool) | x.astype(bool),
    "division": lambda x: lax.rem(x, jnp.asarray(0.3, x.dtype)) + jnp.arctan2(x, 2 * x - 1),
    "erf": lambda x: lax.erf(x) + jnp.square(x),
}


@needs_triton
@pytest.mark.parametrize("shape", [(), (1500,), (2, 3, 1, 5)], ids=str)
@pytest.mark.parametrize("name", CHAINS)
def test_elementwise_chains(assert_computes, name, shape):
    tile = (8, 64) if len(shape) > 1 else None
    assert_computes(CHAINS[name], jnp.asarray(array(*shape), "float32"), tile=tile, loose=3)


@needs_triton
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["activations", "ops", "functions", "choice", "rounded"])
def test_elementwise_chains_of_low_precision(assert_computes, name, dtype):
    x = jnp.asarray(array(33, 40), dtype)
    assert_computes(CHAINS[name], x, tile=(16, 64), loose=3)


@needs_triton
@pytest.mark.parametrize(
    "function",
    [jnp.tanh, op.sigmoid, op.silu, op.gelu, op.relu, lax.erf, jnp.sign],
    ids="tanh sigmoid silu gelu relu erf sign".split(),
)
def test_saturating_functions_far_from_zero(interpreted, function):
    x = np.array([-np.inf, -1e30, -1e4, -100, -0.0, 0, 1e-30, 100, 1e4, 1e30, np.inf, np.nan])
    x = x.astype("float32")
    if function in (op.silu, op.gelu):
        x = x[1:]  # -inf * 0
    (found,) = interpreted(kernel_of(function, struct(*x.shape, dtype="float32")), [x])
    assert_close(found, np.asarray(function(x)))


@needs_triton
def test_larger_and_smaller_keep_a_nan(interpreted):
    x = np.array([np.nan, 1, 2, np.nan], "float32")
    kernel = kernel_of(lambda x: jnp.minimum(jnp.maximum(x, 0.5), 1.5), struct(4, dtype="float32"))
    (found,) = interpreted(kernel, [x])
    np.testing.assert_array_equal(found, [np.nan, 1, 1.5, np.nan])


@needs_triton
def test_whole_numbers_and_truth_values(assert_computes):
    x = jnp.arange(-150, 150).reshape(100, 3)
    assert_computes(lambda x: jnp.maximum(x * x - 7, 2) + x.astype(jnp.int32), x)
    assert_computes(lambda x: (x > 3) | (x < -9) & ~(x == -50), x)
    assert_computes(lambda x: jnp.sign(x) * abs(x) - x, x)


@needs_triton
def test_views_transposes_and_positions(assert_computes):
    def f(x, row, column, scalar):
        turned = jnp.tanh(x).transpose(1, 0, 2)
        return turned * row + jnp.expand_dims(column, (1, 2)) - scalar

    args = (array(4, 33, 150), array(1, 1, 150), array(33), array())
    assert_computes(f, *(jnp.asarray(x, "float32") for x in args))
    x = jnp.asarray(array(140, 140), "float32")
    assert_computes(lambda x: jnp.tanh(x) - x.T, x)

    def upper(x):
        row, column = (lax.broadcasted_iota(jnp.int32, (140, 140), axis) for axis in (0, 1))
        return jnp.where(row >= column, x, 0.0)

    assert_computes(upper, x)


SCAN = """\
module attributes {level = "tile"} {
  tessera.tile.func @running(%x: !tessera.tile.tile<24x16xf32, hbm>,
      %y: !tessera.tile.tile<24x16xf32, hbm>, %i: index)
      attributes {grid = array<i64: 3>, outputs = 1 : i64} {
    %0 = tessera.tile.full {value = 0 : index} : () -> index
    %1 = tessera.tile.load %x, %i, %0 -> !tessera.tile.tile<8x16xf32, reg>
    %2 = tessera.tile.scan %1 {axis = 1 : i64, kind = "KIND"} -> !tessera.tile.tile<8x16xf32, reg>
    tessera.tile.store %2, %y, %i, %0
    tessera.tile.yield
  }
}"""


@needs_triton
@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("sum", np.cumsum), ("max", np.maximum.accumulate), ("min", np.minimum.accumulate)],
)
def test_a_scan_of_each_kind(interpreted, kind, wanted):
    (kernel,) = parse(SCAN.replace("KIND", kind)).body.block.ops
    x = array(24, 16).astype("float32")
    (found,) = interpreted(kernel, [x])
    assert_close(found, wanted(x, axis=1))


SWAP = """\
module attributes {level = "tile"} {
  tessera.tile.func @fibonacci(%y: !tessera.tile.tile<2xi32, hbm>)
      attributes {grid = array<i64>, outputs = 1 : i64} {
    %0 = tessera.tile.full {value = 0 : index} : () -> index
    %1 = tessera.tile.full {value = 1 : index} : () -> index
    %a = tessera.tile.full {value = 0 : i32} : () -> !tessera.tile.tile<1xi32, reg>
    %b = tessera.tile.full {value = 1 : i32} : () -> !tessera.tile.tile<1xi32, reg>
    %c, %d = tessera.tile.for %a, %b {stop = 10 : i64}
        -> (!tessera.tile.tile<1xi32, reg>, !tessera.tile.tile<1xi32, reg>) {
    ^bb0(%k: index, %e: !tessera.tile.tile<1xi32, reg>, %f: !tessera.tile.tile<1xi32, reg>):
      %g = tessera.tile.map %e, %f {function = "add"} -> !tessera.tile.tile<1xi32, reg>
      tessera.tile.yield %f, %g
          : !tessera.tile.tile<1xi32, reg>, !tessera.tile.tile<1xi32, reg>
    }
    tessera.tile.store %c, %y, %0
    tessera.tile.store %d, %y, %1
    tessera.tile.yield
  }
}"""


@needs_triton
def test_carried_values_change_at_once(interpreted):
    (kernel,) = parse(SWAP).body.block.ops
    (found,) = interpreted(kernel, [])
    assert found.tolist() == [55, 89]


# -- the text ----------------------------------------------------------------------------------------------

GEMM = """\
import triton
import triton.language as tl


# matmul_relu: 4 programs on a grid of 2 x 2, 8 warps, 2 stages.
@triton.jit
def matmul_relu(x, w, b, out):
    program = tl.program_id(0)
    i = program % 2
    j = program // 2
    sum_1 = tl.full((128, 128), 0.0, tl.float32)
    at_i = i * 128 + tl.arange(0, 128)
    at_j = j * 128 + tl.arange(0, 128)
    for k in tl.range(0, 8, num_stages=2):
        at_k = k * 64 + tl.arange(0, 64)
        x_1 = tl.load(x + (at_i[:, None] * 512 + at_k[None, :]))
        w_1 = tl.load(w + (at_k[:, None] * 200 + at_j[None, :]), mask=(at_j < 200)[None, :], other=0.0)
        sum_1 = tl.dot(x_1, w_1, sum_1)
    b_1 = tl.load(b + at_j[None, :], mask=(at_j < 200)[None, :], other=0.0)
    add = sum_1 + b_1
    relu = tl.maximum(add, 0.0, propagate_nan=tl.PropagateNan.ALL)
    cast = relu.to(tl.bfloat16)
    tl.store(out + (at_i[:, None] * 200 + at_j[None, :]), cast, mask=(at_j < 200)[None, :])
"""


def gemm():
    def f(x, w, b):
        return op.relu(op.matmul(x, w, bias=b))

    return kernel_of(f, struct(256, 512), struct(512, 200), struct(200, dtype="float32"))


def test_the_text_of_a_product_shows_grid_blocks_and_body():
    found = source(gemm())
    assert found.text.replace(found.name, "matmul_relu") == GEMM
    assert (found.programs, found.warps, found.stages, found.outputs) == (4, 8, 2, 1)
    assert [x.shape for x in found.inputs] == [(256, 512), (512, 200), (200,)]
    assert [x.dtype for x in found.results] == ["bfloat16"]


def test_equal_kernels_of_different_groups_are_one_text():
    assert source(gemm()) is source(gemm())
    other = gemm()
    other.attributes["sym_name"] = to_attribute(other.sym_name.data[:-1] + "7")
    other.attributes["group"] = to_attribute(7)
    assert source(other) is source(gemm())


def test_the_kernel_says_how_many_warps_run_it():
    kernel = kernel_of(op.softmax, struct(8, 64), tile=(4, 64), warps=2)
    assert source(kernel).warps == 2
    assert ", 2 warps," in source(kernel).text


@pytest.mark.parametrize(("precision", "said"), [(None, "ieee"), ("tf32", "tf32")])
def test_a_product_in_fp32_is_exact_unless_it_says_otherwise(precision, said):
    kernel = kernel_of(op.matmul, *[struct(64, 64, dtype="float32")] * 2)
    for dot in kernel.walk():
        if dot.name == "tessera.tile.dot" and precision is not None:
            dot.attributes["precision"] = to_attribute(precision)
    assert f'input_precision="{said}"' in source(kernel).text


def test_offsets_beyond_32_bits_are_computed_in_64():
    small, large = (
        source(kernel_of(jnp.tanh, struct(rows, 65536), tile=(1, 1024))).text
        for rows in (128, 65536)
    )
    assert "int64" not in small
    assert "tl.int64" in large


def test_blocks_that_fit_have_no_masks():
    kernel = kernel_of(op.matmul, struct(256, 512), struct(512, 256))
    assert "mask" not in source(kernel).text


REFUSED = {
    "whole rows": (
        lambda: kernel_of(op.softmax, struct(8, 70)),
        "an axis of a block has a power of two elements in Triton, but axis 1 of the block of x "
        "[8, 70] has 70",
        "The nearest legal tile is [8, 128].",
    ),
    "a short sum": (
        lambda: kernel_of(op.matmul, struct(64, 8), struct(8, 64)),
        "an axis of a block of bf16 that a dot sums over has at least 16 elements in Triton, but "
        "axis 1 of the left factor [64, 8] has 8",
        "The nearest legal tile is [64, 16].",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_illegal_block_is_refused_with_the_nearest_legal_one(case):
    kernel, text, hint = REFUSED[case]
    with pytest.raises(CompileError) as caught:
        source(kernel())
    assert caught.value.code is Code.E_TILE_LOWERING
    assert text in caught.value.message
    assert caught.value.hints == (hint,)


# -- the file and the packages -----------------------------------------------------------------------------


def test_a_file_holds_the_text_and_only_its_owner_reads_it():
    path = write(source(gemm()))
    assert path.read_text() == source(gemm()).text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("raise SystemExit")
    assert write(source(gemm())).read_text() == source(gemm()).text
    assert list(path.parent.glob("*.tmp")) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CompileError, match="cannot be written") as caught:
        write(source(gemm()))
    assert caught.value.code is Code.E_CACHE_IO


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(installed, "_version", {"triton": "3.6.0"}.get)
    reason = "jax-triton is not installed, which GPU kernels need: pip install 'tessera[gpu]'"
    assert unavailable() == reason
    with pytest.raises(ImportError, match=r"pip install 'tessera\[gpu\]'"):
        installed.load.__wrapped__("jax_triton", "jax-triton")


def test_a_version_outside_the_tested_ones_is_a_reason_and_a_warning(monkeypatch):
    monkeypatch.setattr(installed, "_version", {"triton": "4.1", "jax-triton": "0.4.1"}.get)
    assert unavailable().startswith(
        "triton 4.1 is outside the versions GPU kernels were tested with"
    )
    with pytest.warns(ts.errors.TesseraWarning, match=">=3.6,<3.8"):
        installed.load.__wrapped__("json", "triton")


def test_the_emitter_loads_triton_on_first_use():
    code = (
        "import sys; import tessera.lowering.emit_triton as e; assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


# -- machine code ------------------------------------------------------------------------------------------


def attention_kernel(depth=64, dtype="bfloat16"):
    q, k = struct(2, 8, 512, depth, dtype=dtype), struct(2, 2, 512, depth, dtype=dtype)
    return kernel_of(lambda *x: op.flash_attention(*x, causal=True), q, k, k)


KERNELS = {
    "matmul": gemm,
    "attention": attention_kernel,
    "fp32": lambda: kernel_of(op.matmul, *[struct(512, 512, dtype="float32")] * 2, tile=(32, 64)),
    "softmax": lambda: kernel_of(op.softmax, struct(512, 1000), tile=(4, 1024)),
    "layernorm": lambda: kernel_of(op.layernorm, struct(512, 1000), tile=(4, 1024)),
    "rmsnorm": lambda: kernel_of(op.rmsnorm, struct(512, 1000), tile=(4, 1024)),
    "chain": lambda: kernel_of(CHAINS["activations"], struct(4096)),
}
TENSOR_CORES = {
    "sm_80": "mma.sync", "sm_90": "wgmma.mma_async", "sm_100": "tcgen05.mma", "gfx942": "v_mfma"
}  # fmt: skip


def assert_compiles(kernel, target):
    found = compile_source(source(kernel), target)
    assert found.warps == source(kernel).warps
    assert found.registers > 0
    assert found.spill_bytes == 0
    assert source(kernel).name in found.assembly
    assert all("tt.func" in text for text in (found.ttir, found.ttgir))
    assert "define" in found.llvm
    if "tl.dot" in source(kernel).text:
        assert found.shared_bytes > 0
    if "tl.dot" in source(kernel).text and "ieee" not in source(kernel).text:
        assert TENSOR_CORES[target] in found.assembly


@needs_triton
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_for_hopper_without_spilling(name):
    assert_compiles(KERNELS[name](), "sm_90")


@needs_triton
@pytest.mark.parametrize("target", ["sm_80", "gfx942"])
def test_a_product_compiles_for_other_targets(target):
    assert_compiles(gemm(), target)


@needs_triton
def test_loads_of_a_product_are_in_flight_while_it_computes():
    assert "cp.async" in compile_source(source(gemm()), "sm_90").assembly


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_compiles_for_every_target(name, target):
    assert_compiles(KERNELS[name](), target)


def product_kernel(layout, dtype):
    over, left, right = LAYOUTS[layout]
    f = lambda a, b: lax.dot_general(a, b, (over, ((), ())))  # noqa: E731
    return kernel_of(f, struct(*left, dtype=dtype), struct(*right, dtype=dtype), tile=(32, 32))


def ragged_kernel(left, right, dtype):
    a, b = struct(*left, dtype=dtype), struct(*right, dtype=dtype)
    return kernel_of(lambda a, b: op.matmul(a, b, epilogue="gelu"), a, b, tile=(32, 64))


def ragged_attention(rows, keys, statics, dtype):
    args = [struct(*x.shape, dtype=dtype) for x in heads(dtype, rows, keys)]
    return kernel_of(lambda *x: op.flash_attention(*x, **statics), *args, tile=(64, 16))


def masked_attention(dtype):
    q, k, v = (struct(*x.shape, dtype=dtype) for x in heads(dtype, 70, 150, width=32, groups=4))
    mask, sinks = struct(1, 1, 70, 150, dtype="bool"), struct(4, dtype="float32")
    f = lambda q, k, v, m, s: op.flash_attention(q, k, v, mask=m, sinks=s)  # noqa: E731
    return kernel_of(f, q, k, v, mask, sinks, tile=(64, 32))


def summed_over_two(dtype):
    a, b = struct(3, 20, 4, 30, dtype=dtype), struct(3, 4, 30, 25, dtype=dtype)
    return kernel_of(lambda a, b: jnp.einsum("bmij,bijn->bmn", a, b), a, b, tile=(16, 16))


VARIANTS = {
    **{layout: partial(product_kernel, layout) for layout in LAYOUTS},
    **{str(shapes): partial(ragged_kernel, *shapes) for shapes in PRODUCTS},
    **{str(case): partial(ragged_attention, *case) for case in ATTENTION},
    "mask and sinks": masked_attention,
    "two sums": summed_over_two,
}


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_a_program_compiles(name, target, dtype):
    assert compile_source(source(VARIANTS[name](dtype)), target).registers > 0


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
@pytest.mark.parametrize("name", CHAINS)
def test_every_function_compiles(name, target):
    kernel = kernel_of(CHAINS[name], struct(4096, dtype="float32"), warps=8)
    assert compile_source(source(kernel), target).registers > 0


@needs_triton
def test_an_unknown_target_is_refused_with_the_known_ones():
    with pytest.raises(CompileError, match="sm_20") as caught:
        compile_source(source(gemm()), "sm_20")
    assert caught.value.code is Code.E_TARGET_CODEGEN


# -- the call ----------------------------------------------------------------------------------------------


def lowered_for_cuda(f, *types):
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    with use_abstract_mesh(AbstractMesh((1,), ("x",), abstract_device=device)):
        return jax.jit(f).trace(*types).lower(lowering_platforms=("cuda",)).as_text()


@needs_triton
def test_a_call_lowers_for_cuda_as_a_custom_call():
    run = call(gemm())
    types = [struct(256, 512), struct(512, 200), struct(200, dtype="float32")]
    text = lowered_for_cuda(lambda *x: jnp.tanh(run(*x)[0]), *types)
    assert "triton_kernel_call" in text
    assert "-> tensor<256x200xbf16>" in text


@needs_triton
def test_a_call_with_other_arrays_is_refused():
    with pytest.raises(CompileError, match="the kernel reads bfloat16") as caught:
        call(gemm())(jnp.zeros((256, 512)), jnp.zeros((512, 200)), jnp.zeros(200))
    assert caught.value.code is Code.E_SHAPE_MISMATCH
