"""Masks, loaded indices and loops of a length known at run time, through every emitter."""

import jax
import numpy as np
import pytest
from tile_interpreter import run_kernel
from triton_interpreter import Interpreter
from xdsl.dialects import builtin

from tessera.core.errors import CompileError
from tessera.ir.check import verify
from tessera.ir.tile import Tile
from tessera.lowering import emit_pallas, emit_stablehlo, emit_triton
from tessera.lowering.tile_programs.builder import Access, Builder

pytestmark = pytest.mark.newest

ROWS, GROUPS, BLOCK = 13, 4, 4
SIZES = np.array([5, 0, 6, 1], np.int32)  # the last row belongs to no group


def array(*shape, element=builtin.f32):
    return Tile.of(shape, element, "hbm")


def group_sums():
    """Returns a kernel of (x, first, last) that sums the rows of each group: out[g] = Σ x[first:last]."""
    builder = Builder(
        [array(ROWS, 2), *[array(GROUPS, element=builtin.i32)] * 2, array(GROUPS, 2)], (GROUPS,), 1
    )
    x, first, last, out = builder.arrays
    (group,), zero = builder.places, builder.index(0)
    at = Access((group,), (1,), ("block",), (GROUPS,))
    begin, end = (builder.load(a, at, ()) for a in (first, last))
    count = builder.map("sub", *(builder.cast(v, builtin.IndexType()) for v in (end, begin)))
    count = builder.map("max", count, zero)  # for the division, which rounds down
    steps = builder.map("add", count, builder.index(BLOCK - 1))
    steps = builder.map("div", steps, builder.index(BLOCK))

    def step(k, carried):
        row = builder.map("mul", k, builder.index(BLOCK))
        row = builder.map("add", row, builder.cast(begin, builtin.IndexType()))
        rows = builder.positions(row, (BLOCK, 2), 0)
        block = Access((row, zero), (BLOCK, 2), ("element", "block"), (ROWS, 2))
        inside = builder.map("lt", rows, end)
        found = builder.load(x, block, (BLOCK, 2), mask=inside)
        return [builder.map("add", carried[0], builder.reduce("sum", found, 0))]

    (total,) = builder.loop(step, [builder.full(0, builtin.f32, (1, 2))], stop=steps)
    builder.store(total, out, Access((group, zero), (1, 2), ("block", "block"), (GROUPS, 2)))
    return builder.finish("group_sums")


def gathered():
    """Returns a kernel of (x, which): rows x[which[i]] where x is positive; the rest is not written."""
    types = [array(GROUPS, 8), array(ROWS, element=builtin.i32), array(ROWS, 8)]
    builder = Builder(types, (ROWS,), 1)
    x, which, out = builder.arrays
    (i,), zero = builder.places, builder.index(0)
    row = builder.load(which, Access((i,), (1,), ("block",), (ROWS,)), ())
    found = builder.load(x, Access((row, zero), (1, 8), ("block", "block"), (GROUPS, 8)), (1, 8))
    positive = builder.map("gt", found, builder.full(0, builtin.f32))
    builder.store(
        found, out, Access((i, zero), (1, 8), ("block", "block"), (ROWS, 8)), mask=positive
    )
    return builder.finish("gathered")


def compacted():
    """Returns a kernel that keeps every value at the place its running count says, as numbers of a block."""
    types = [array(1, 8), array(8)]
    builder = Builder(types, (), 1)
    zero = builder.index(0)
    whole = Access((zero, zero), (1, 8), ("block", "block"), (1, 8))
    x = builder.load(builder.arrays[0], whole, (1, 8))
    back = builder.scan("sum", x, 1, reverse=True)
    total = builder.reshape(builder.reduce("sum", x, 1), ())
    found = builder.map("sub", builder.reshape(back, (8,)), total)
    builder.store(found, builder.arrays[1], Access((zero,), (8,), ("block",), (8,)))
    return builder.finish("compacted")


def starts():
    ends = np.cumsum(SIZES).astype(np.int32)
    return ends - SIZES, ends


def cases():
    x = np.random.default_rng(0).standard_normal((ROWS, 2)).astype(np.float32)
    first, last = starts()
    sums = np.stack([x[a:b].sum(0) for a, b in zip(first, last, strict=True)])
    table = np.random.default_rng(1).standard_normal((GROUPS, 8)).astype(np.float32)
    which = np.random.default_rng(2).integers(0, GROUPS, ROWS).astype(np.int32)
    line = np.arange(8, dtype=np.float32)[None] + 1
    back = np.cumsum(line[0, ::-1])[::-1] - line.sum()
    return {
        "group sums": (group_sums, (x, first, last), sums),
        "gathered": (gathered, (table, which), np.where(table > 0, table, np.nan)[which]),
        "compacted": (compacted, (line,), back),
    }


CASES = cases()


def assert_written(found, wanted):
    """Asserts that an output is as wanted where the kernel writes it, which is where that is no NaN."""
    written = ~np.isnan(wanted)
    np.testing.assert_allclose(np.asarray(found[0])[written], wanted[written], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("emit", [emit_stablehlo.emit, emit_pallas.emit], ids=["loops", "pallas"])
def test_a_kernel_gives_what_it_says(name, emit):
    make, given, wanted = CASES[name]
    kernel = make()
    kernel.verify()
    assert_written(jax.jit(emit(kernel))(*given), wanted)


@pytest.mark.parametrize("name", ["group sums", "compacted"])
def test_the_interpreter_agrees(name):
    make, given, wanted = CASES[name]
    assert_written(run_kernel(make(), given), wanted)


def test_triton_agrees(interpreted, tmp_path):
    for make, given, wanted in CASES.values():
        source = emit_triton.source(make())
        path = tmp_path / f"{source.name}.py"
        path.write_text(source.text)
        assert_written(interpreted(source, path, *given), wanted)


def test_an_index_that_counts_blocks_needs_no_mask():
    lines = emit_triton.source(gathered()).text.splitlines()
    loads, stores = (
        [line for line in lines if f"tl.{word}(" in line] for word in ("load", "store")
    )
    assert len(loads) == 2
    assert not any("mask" in line for line in loads)
    assert all("mask" in line for line in stores)  # the mask the program gives


@pytest.fixture
def interpreted():
    pytest.importorskip("triton", exc_type=ImportError)
    with Interpreter() as run:
        yield run


def refused(operand, tile_sizes):
    builder = Builder([array(8, 8), array(8, 8)], (), 1)
    zero = builder.index(0)
    at = Access((zero, zero), tile_sizes, ("block", "block"), (8, 8))
    mask = builder.full(True, builtin.i1, operand)
    value = builder.load(builder.arrays[0], at, tile_sizes, mask=mask)
    builder.store(value, builder.arrays[1], at)
    kernel = builder.finish("masked")
    with pytest.raises(CompileError, match="E_TILE_LOWERING") as caught:
        verify(builtin.ModuleOp([kernel], {"level": builtin.StringAttr("tile")}))
    return str(caught.value)


def test_a_mask_of_another_shape_is_refused():
    assert "a mask has the tile's axes, or 1: [4, 8] and [8, 8]" in refused((4, 8), (8, 8))


def test_a_reshape_that_moves_elements_is_refused():
    builder = Builder([array(8, 8), array(8, 8)], (), 1)
    zero = builder.index(0)
    at = Access((zero, zero), (8, 8), ("block", "block"), (8, 8))
    value = builder.load(builder.arrays[0], at, (8, 8))
    builder.store(builder.reshape(value, (4, 16)), builder.arrays[1], at)
    kernel = builder.finish("reshaped")
    with pytest.raises(CompileError, match="adds and drops axes of size 1 alone"):
        verify(builtin.ModuleOp([kernel], {"level": builtin.StringAttr("tile")}))
