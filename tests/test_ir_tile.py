import re

import pytest
from xdsl.dialects import builtin

from tessera.core.errors import Code, CompileError
from tessera.ir import fingerprint, parse, to_text
from tessera.ir.tile import DEFAULT_SHARED_LIMIT, OPS, For, Func, Tile

# Written as a person would: short names, operand types left out where they are known.
MATMUL = """
ttile.func @matmul_bias_relu(%a: !ttile.tile<256x512xbf16, hbm>, %b: !ttile.tile<512x384xbf16, hbm>,
    %bias: !ttile.tile<384xf32, hbm>, %c: !ttile.tile<256x384xbf16, hbm>, %i: index, %j: index)
    attributes {grid = array<i64: 2, 3>, outputs = 1, warps = 4} {
  %zero = ttile.full {value = 0.0 : f32} -> !ttile.tile<128x128xf32, reg>
  %acc = ttile.for %zero {stop = 8, stages = 3} -> !ttile.tile<128x128xf32, reg> {
  ^bb0(%k: index, %carried: !ttile.tile<128x128xf32, reg>):
    %x = ttile.load %a, %i, %k -> !ttile.tile<128x64xbf16, shared>
    %y = ttile.load %b, %k, %j -> !ttile.tile<64x128xbf16, shared>
    %sum = ttile.dot %x, %y, %carried -> !ttile.tile<128x128xf32, reg>
    ttile.yield %sum : !ttile.tile<128x128xf32, reg>
  }
  %row = ttile.load %bias, %j {block = array<i64: 128>} -> !ttile.tile<1x128xf32, reg>
  %biased = ttile.map %acc, %row {function = "add"} -> !ttile.tile<128x128xf32, reg>
  %relu = ttile.map %biased {function = "relu"} -> !ttile.tile<128x128xf32, reg>
  %out = ttile.cast %relu -> !ttile.tile<128x128xbf16, reg>
  ttile.store %out, %c, %i, %j
  ttile.yield
}
"""
SOFTMAX = """
ttile.func @softmax(%x: !ttile.tile<100x1000xf32, hbm>, %y: !ttile.tile<100x1000xf32, hbm>, %i: index)
    attributes {grid = array<i64: 13>, outputs = 1} {
  %r = ttile.load %x, %i, %i {block = array<i64: 8, 1024>, padded = array<i64: 104, 1024>,
      fill = 0xFF800000 : f32, unit = ["block", "element"]} -> !ttile.tile<8x1024xf32, reg>
  %m = ttile.reduce %r {axis = 1, kind = "max"} -> !ttile.tile<8x1xf32, reg>
  %d = ttile.map %r, %m {function = "sub"} -> !ttile.tile<8x1024xf32, reg>
  %e = ttile.map %d {function = "exp"} -> !ttile.tile<8x1024xf32, reg>
  %s = ttile.reduce %e {axis = 1, kind = "sum"} -> !ttile.tile<8x1xf32, reg>
  %p = ttile.map %e, %s {function = "div"} -> !ttile.tile<8x1024xf32, reg>
  %0 = ttile.full {value = 0 : index} -> index
  ttile.store %p, %y, %i, %0 {padded = array<i64: 104, 1024>}
  ttile.yield
}
"""
# Causal: block i of the queries sees the key blocks up to its own, a trip count known at run time.
ATTENTION = """
ttile.func @attention(%q: !ttile.tile<4x256x64xbf16, hbm>, %k: !ttile.tile<4x256x64xbf16, hbm>,
    %v: !ttile.tile<4x256x64xbf16, hbm>, %o: !ttile.tile<4x256x64xf32, hbm>, %h: index, %i: index)
    attributes {grid = array<i64: 4, 2>, outputs = 1} {
  %d = ttile.full {value = 0 : index} -> index
  %one = ttile.full {value = 1 : index} -> index
  %stop = ttile.map %i, %one {function = "add"} -> index
  %x = ttile.load %q, %h, %i, %d {block = array<i64: 1, 128, 64>} -> !ttile.tile<128x64xbf16, shared>
  %m0 = ttile.full {value = -1.0e+30 : f32} -> !ttile.tile<128x1xf32, reg>
  %l0 = ttile.full {value = 0.0 : f32} -> !ttile.tile<128x1xf32, reg>
  %a0 = ttile.full {value = 0.0 : f32} -> !ttile.tile<128x64xf32, reg>
  %m, %l, %a = ttile.for %stop, %m0, %l0, %a0 {stages = 2}
      -> (!ttile.tile<128x1xf32, reg>, !ttile.tile<128x1xf32, reg>, !ttile.tile<128x64xf32, reg>) {
  ^bb0(%j: index, %mi: !ttile.tile<128x1xf32, reg>, %li: !ttile.tile<128x1xf32, reg>,
      %ai: !ttile.tile<128x64xf32, reg>):
    %kj = ttile.load %k, %h, %j, %d {block = array<i64: 1, 128, 64>} -> !ttile.tile<128x64xbf16, shared>
    %vj = ttile.load %v, %h, %j, %d {block = array<i64: 1, 128, 64>} -> !ttile.tile<128x64xbf16, shared>
    %s = ttile.dot %x, %kj {transpose_b = true} -> !ttile.tile<128x128xf32, reg>
    %rows = ttile.iota {axis = 0} -> !ttile.tile<128x1xi32, reg>
    %cols = ttile.iota {axis = 1} -> !ttile.tile<1x128xi32, reg>
    %seen = ttile.map %cols, %rows {function = "le"} -> !ttile.tile<128x128xi1, reg>
    %never = ttile.full {value = -1.0e+30 : f32} -> !ttile.tile<f32, reg>
    %masked = ttile.map %seen, %s, %never {function = "where"} -> !ttile.tile<128x128xf32, reg>
    %mj = ttile.reduce %masked {axis = 1, kind = "max"} -> !ttile.tile<128x1xf32, reg>
    %top = ttile.map %mi, %mj {function = "max"} -> !ttile.tile<128x1xf32, reg>
    %shifted = ttile.map %masked, %top {function = "sub"} -> !ttile.tile<128x128xf32, reg>
    %p = ttile.map %shifted {function = "exp"} -> !ttile.tile<128x128xf32, reg>
    %down = ttile.map %mi, %top {function = "sub"} -> !ttile.tile<128x1xf32, reg>
    %scale = ttile.map %down {function = "exp"} -> !ttile.tile<128x1xf32, reg>
    %part = ttile.reduce %p {axis = 1, kind = "sum"} -> !ttile.tile<128x1xf32, reg>
    %lower = ttile.map %li, %scale {function = "mul"} -> !ttile.tile<128x1xf32, reg>
    %total = ttile.map %lower, %part {function = "add"} -> !ttile.tile<128x1xf32, reg>
    %rescaled = ttile.map %ai, %scale {function = "mul"} -> !ttile.tile<128x64xf32, reg>
    %narrow = ttile.cast %p -> !ttile.tile<128x128xbf16, reg>
    %next = ttile.dot %narrow, %vj, %rescaled -> !ttile.tile<128x64xf32, reg>
    ttile.yield %top, %total, %next
        : !ttile.tile<128x1xf32, reg>, !ttile.tile<128x1xf32, reg>, !ttile.tile<128x64xf32, reg>
  }
  %out = ttile.map %a, %l {function = "div"} -> !ttile.tile<128x64xf32, reg>
  ttile.store %out, %o, %h, %i, %d {block = array<i64: 1, 128, 64>}
  ttile.yield
}
"""
# The expert of a block of rows is read from memory, and the rows begin where the group begins.
GROUPED = """
ttile.func @grouped(%x: !ttile.tile<512x64xf32, hbm>, %w: !ttile.tile<8x64x32xf32, hbm>,
    %expert: !ttile.tile<4xi32, hbm>, %first: !ttile.tile<4xi32, hbm>, %y: !ttile.tile<512x32xf32, hbm>,
    %i: index) attributes {grid = array<i64: 4>, outputs = 1} {
  %0 = ttile.full {value = 0 : index} -> index
  %e = ttile.load %expert, %i {block = array<i64: 1>} -> !ttile.tile<i32, reg>
  %start = ttile.load %first, %i {block = array<i64: 1>} -> !ttile.tile<i32, reg>
  %row = ttile.cast %start -> index
  %a = ttile.load %x, %row, %0 {unit = ["element", "block"]} -> !ttile.tile<100x64xf32, shared>
  %b = ttile.load %w, %e, %0, %0 {block = array<i64: 1, 64, 32>} -> !ttile.tile<64x32xf32, shared>
  %c = ttile.dot %a, %b -> !ttile.tile<100x32xf32, reg>
  ttile.store %c, %y, %row, %0 {unit = ["element", "block"]}
  ttile.yield
}
"""
SCAN = """
ttile.func @running_sum(%x: !ttile.tile<1024xi32, hbm>, %y: !ttile.tile<1024xi32, hbm>)
    attributes {grid = array<i64>, outputs = 1} {
  %zero = ttile.full {value = 0 : i32} -> !ttile.tile<1xi32, reg>
  %total = ttile.for %zero {stop = 1024, step = 128} -> !ttile.tile<1xi32, reg> {
  ^bb0(%at: index, %before: !ttile.tile<1xi32, reg>):
    %0 = ttile.load %x, %at {unit = ["element"]} -> !ttile.tile<128xi32, reg>
    %1 = ttile.scan %0 {axis = 0, kind = "sum"} -> !ttile.tile<128xi32, reg>
    %2 = ttile.map %1, %before {function = "add"} -> !ttile.tile<128xi32, reg>
    ttile.store %2, %y, %at {unit = ["element"]}
    %3 = ttile.reduce %0 {axis = 0, kind = "sum"} -> !ttile.tile<1xi32, reg>
    %4 = ttile.map %3, %before {function = "add"} -> !ttile.tile<1xi32, reg>
    ttile.yield %4 : !ttile.tile<1xi32, reg>
  }
  ttile.yield
}
"""
PROGRAMS = {
    "matmul": MATMUL,
    "softmax": SOFTMAX,
    "attention": ATTENTION,
    "grouped": GROUPED,
    "scan": SCAN,
}


def refused(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        parse(text)
    return caught.value


def kernel(text: str) -> Func:
    found = parse(text).body.block.first_op
    assert isinstance(found, Func)
    return found


@pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)
def test_every_op_s_example_parses_verifies_and_round_trips(kind):
    found = re.search(r"```mlir\n(.*?)```", kind.__doc__ or "", re.DOTALL)
    assert found is not None
    module = parse(found[1])
    assert kind.name in [op.name for op in module.walk()]
    assert to_text(parse(to_text(module))) == to_text(module)
    assert to_text(parse(to_text(module, generic=True))) == to_text(module)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_the_dialect_is_for_verify_and_round_trip(name):
    module = parse(PROGRAMS[name])
    text, generic = to_text(module), to_text(module, generic=True)
    assert to_text(parse(text)) == text
    assert to_text(parse(generic)) == text
    assert fingerprint(parse(generic)) == fingerprint(module)


@pytest.mark.parametrize(
    ("kind", "text", "size"),
    [
        (Tile.of((128, 64), builtin.bf16, "shared"), "<128x64xbf16, shared>", 128 * 64 * 2),
        (Tile.of((), builtin.f32), "<f32, reg>", 4),
        (Tile.of((3,), builtin.i1), "<3xi1, reg>", 1),
        (Tile.of((0, 5), builtin.f64, "hbm"), "<0x5xf64, hbm>", 0),
    ],
)
def test_a_tile_type_prints_its_shape_dtype_and_space(kind, text, size):
    assert str(kind) == "!tessera.tile.tile" + text
    assert kind.size_in_bytes == size
    assert str(kind) in to_text(parse(f"%0 = jax.f %x : ({kind}) -> {kind}"))


def test_a_kernel_knows_its_arrays_and_which_of_them_it_writes():
    found = kernel(MATMUL)
    assert [value.name_hint for value in found.arrays] == ["a", "b", "bias", "c"]
    assert [value.name_hint for value in found.written] == ["c"]


def test_bounds_known_at_run_time_are_told_from_carried_values():
    loop = next(op for op in kernel(ATTENTION).walk() if isinstance(op, For))
    assert [value.name_hint for value in loop.bounds] == ["stop"]
    assert [value.name_hint for value in loop.initial] == ["m0", "l0", "a0"]


# -- rules ------------------------------------------------------------------------------------------------

WRONG = {
    "shapes of a dot": (
        MATMUL,
        "%b, %k, %j -> !ttile.tile<64x128xbf16",
        "%b, %k, %j -> !ttile.tile<32x128xbf16",
        "(128, 64) times (32, 128) into (128, 128)",
    ),
    "an accumulator of low precision": (
        ATTENTION,
        "{transpose_b = true} -> !ttile.tile<128x128xf32, reg>",
        "{transpose_b = true} -> !ttile.tile<128x128xbf16, reg>",
        "bf16 accumulates in f32, not in bf16",
    ),
    "factors of two dtypes": (
        GROUPED,
        "%w: !ttile.tile<8x64x32xf32, hbm>",
        "%w: !ttile.tile<8x64x32xf16, hbm>",
        "a block has its array's dtype: f32 and f16",
    ),
    "a block that does not divide its array": (
        MATMUL,
        "%a: !ttile.tile<256x512xbf16, hbm>",
        "%a: !ttile.tile<250x512xbf16, hbm>",
        "axis 0 of array [250, 512], padded [250, 512], block [128, 64]",
    ),
    "a block of nothing": (
        SCAN,
        "-> !ttile.tile<128xi32, reg>",
        "-> !ttile.tile<0xi32, reg>",
        "a block has known sizes of at least 1",
    ),
    "a block of unknown size": (
        SCAN,
        "-> !ttile.tile<128xi32, reg>",
        "-> !ttile.tile<?xi32, reg>",
        "a block has known sizes of at least 1",
    ),
    "padding that is no multiple": (
        SOFTMAX,
        "{padded = array<i64: 104, 1024>}",
        "{padded = array<i64: 100, 1024>}",
        "the block divides the padded array: axis 0",
    ),
    "padding that shrinks": (
        SOFTMAX,
        "{padded = array<i64: 104, 1024>}",
        "{padded = array<i64: 96, 1024>}",
        "padding never shrinks",
    ),
    "an index too few": (MATMUL, "%out, %c, %i, %j", "%out, %c, %i", "one index per axis"),
    "a tile of another rank than its array": (
        GROUPED,
        "{block = array<i64: 1, 64, 32>} -> !ttile.tile<64x32xf32, shared>",
        "-> !ttile.tile<64x32xf32, shared>",
        "the block has the array's rank: block [64, 32], array [8, 64, 32]",
    ),
    "a tile that is not its block": (
        GROUPED,
        "{block = array<i64: 1, 64, 32>}",
        "{block = array<i64: 2, 64, 32>}",
        "the tile is the block without axes of size 1",
    ),
    "an unknown unit": (GROUPED, '["element", "block"]', '["byte", "block"]', "block, element"),
    "an array where a block belongs": (
        SOFTMAX,
        'ttile.map %d {function = "exp"}',
        'ttile.map %x {function = "exp"}',
        "an operand is an array in hbm, not a block",
    ),
    "a store into an input": (
        SOFTMAX,
        "ttile.store %p, %y",
        "ttile.store %p, %x",
        "stores into its last 1 arrays only",
    ),
    "an accumulating store": (
        MATMUL,
        "ttile.store %out, %c, %i, %j",
        "ttile.store %out, %c, %i, %j {atomic = true}",
        "a store overwrites, 'atomic' is not offered",
    ),
    "a reduction in another order": (
        SOFTMAX,
        '{axis = 1, kind = "sum"}',
        '{axis = 1, kind = "sum", order = "any"}',
        "a reduction runs in a fixed tree",
    ),
    "a reduction along no axis": (
        SOFTMAX,
        '{axis = 1, kind = "sum"}',
        '{axis = 2, kind = "sum"}',
        "the axis is one of",
    ),
    "an unknown reduction": (SOFTMAX, 'kind = "sum"', 'kind = "mean"', "unknown kind 'mean'"),
    "an unknown function": (SOFTMAX, '"exp"', '"expp"', "unknown function 'expp'"),
    "an operand too many": (SOFTMAX, "map %d {", "map %d, %d {", "exp takes 1 operands, got 2"),
    "operands of two dtypes": (
        ATTENTION,
        "%never = ttile.full {value = -1.0e+30 : f32} -> !ttile.tile<f32, reg>",
        "%never = ttile.full {value = -1.0e+30 : f64} -> !ttile.tile<f64, reg>",
        "operands share a dtype: f32, f64",
    ),
    "a choice by numbers": (
        ATTENTION,
        '%seen, %s, %never {function = "where"}',
        '%s, %s, %never {function = "where"}',
        "where chooses by i1, not by f32",
    ),
    "a comparison that gives numbers": (
        ATTENTION,
        '{function = "le"} -> !ttile.tile<128x128xi1, reg>',
        '{function = "le"} -> !ttile.tile<128x128xi32, reg>',
        "le of i32 gives i1, not i32",
    ),
    "operands that do not spread": (
        SOFTMAX,
        "%m = ttile.reduce %r {axis = 1",
        "%m = ttile.reduce %r {axis = 0",
        "stays with size 1",
    ),
    "a float index": (
        GROUPED,
        "ttile.load %w, %e, %0, %0",
        "ttile.load %w, %c0, %0, %0",
        "an index is an index or a whole number",
    ),
    "a fill of another dtype": (
        MATMUL,
        "{value = 0.0 : f32}",
        "{value = 0.0 : f64}",
        "the value has the result's dtype: f64 and f32",
    ),
    "a stop given twice": (
        ATTENTION,
        "{stages = 2}",
        "{stages = 2, stop = 3}",
        "stop is given once",
    ),
    "no stop at all": (SCAN, "{stop = 1024, step = 128}", "{step = 128}", "stop is given once"),
    "a step of zero": (SCAN, "step = 128", "step = 0", "step is at least 1, got 0"),
    "no stage": (MATMUL, "stages = 3", "stages = 0", "stages is at least 1, got 0"),
    "a carried value that changes its type": (
        MATMUL,
        "ttile.yield %sum : !ttile.tile<128x128xf32, reg>",
        "ttile.yield",
        "yielded and carried values agree",
    ),
    "a grid axis of nothing": (MATMUL, "<i64: 2, 3>", "<i64: 2, 0>", "at least one program"),
    "a block index too few": (MATMUL, "<i64: 2, 3>", "<i64: 2>", "one block index per grid axis"),
    "more outputs than arrays": (SCAN, "outputs = 1", "outputs = 3", "writes 3 of them"),
    "a block among the arguments": (
        SCAN,
        "%y: !ttile.tile<1024xi32, hbm>",
        "%y: !ttile.tile<1024xi32, reg>",
        "argument 1 is an array in hbm",
    ),
    "an attribute of another type": (MATMUL, "warps = 4", "warps = 4.0", "warps = 4.0"),
    "an unknown op": (MATMUL, "ttile.cast", "ttile.cp_async", "known: func, for, load"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_broken_rule_is_refused_by_name_with_its_values(case):
    text, right, wrong, says = WRONG[case]
    assert right in text
    wrong_text = text.replace(right, wrong, 1)
    if case == "a float index":
        zero = "  %c0 = ttile.full {value = 0.0 : f32} -> !ttile.tile<f32, reg>\n  %a = "
        wrong_text = wrong_text.replace("  %a = ", zero, 1)
    error = refused(wrong_text)
    assert says in error.message
    if case != "an unknown op":
        assert error.code is Code.E_TILE_LOWERING
        assert error.where == "tile"


def test_the_hint_for_a_ragged_array_is_padding_that_verifies():
    ragged = MATMUL.replace("%a: !ttile.tile<256x512", "%a: !ttile.tile<250x500")
    fix = re.search(r"padded = array<i64: [\d, ]+>", refused(ragged).hints[0])
    assert fix is not None
    assert fix[0] == "padded = array<i64: 256, 512>"
    parse(ragged.replace("ttile.load %a, %i, %k ->", f"ttile.load %a, %i, %k {{{fix[0]}}} ->"))


@pytest.mark.parametrize(
    ("stages", "limit", "fits"),
    [(3, None, True), (7, None, True), (8, None, False), (3, 98303, False)],
)
def test_scratch_is_bounded_by_shared_tiles_times_stages(stages, limit, fits):
    # Two blocks of 128 x 64 bf16 per stage: 32 KiB, of the 227 KiB a program may use.
    assert DEFAULT_SHARED_LIMIT // (2 * 128 * 64 * 2) == 7
    text = MATMUL.replace("stages = 3", f"stages = {stages}")
    if limit is not None:
        text = text.replace("warps = 4", f"warps = 4, shared_limit = {limit}")
    if fits:
        parse(text)
        return
    error = refused(text)
    assert f"take {stages * 2 * 128 * 64 * 2} bytes" in error.message
    assert error.hints == ("Use smaller blocks or fewer stages.",)
