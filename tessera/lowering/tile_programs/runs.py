"""Sums and maxima of runs of rows: one program per run and block of columns.

    total = 0, or -inf
    for rows over the blocks with a row of the run:  total += sum over x[rows, columns], other rows 0
    total; for a run without rows 0, or the least finite number

Where a run begins and ends is known at run time. The rows of one are added in their order, block by block.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from xdsl.dialects import builtin
from xdsl.ir import SSAValue

from tessera.core import numerics
from tessera.ir.graph import Node, jax_type
from tessera.ir.types import element_of
from tessera.lowering.axes import Axes, Labels
from tessera.lowering.match import dtype, param, shape
from tessera.lowering.tile_programs.blocks import COLUMNS, ROWS, Blocks
from tessera.lowering.tile_programs.builder import Values
from tessera.lowering.tile_programs.elementwise import result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, sized
from tessera.lowering.tile_programs.ragged import blocks_between, rows_between
from tessera.lowering.tile_programs.reading import Reading
from tessera.lowering.tile_programs.space import Frame, Span


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of run_reduce: rows n and columns c of x, and where each run s ends."""
    given = operands_of(node)
    *batch, runs, columns = labels
    rows = axes.label(shape(given["x"])[-2])
    found = {
        "x": (given["x"], (*batch, rows, columns)),
        "ends": (given["ends"], (*batch, runs)),
    }
    return Reading(found, (labels,), runs, columns, {"n": rows})


def _kernels(task: Task) -> Sequence[Kernel]:
    columns = task.last(task.reading.columns)

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return {0: _reduced(task, blocks, frame)}

    wanted = task.wanted_of({0: ((), columns)})
    sizes = sized((columns, task.column_block(task.reading.columns)))
    return (Kernel(build, ((), columns), sizes, task.walked(0), wanted),)


RUNS = Program(_read, _kernels)


def _reduced(task: Task, blocks: Blocks, frame: Frame) -> SSAValue:
    builder, reading = blocks.builder, task.reading
    kind = param(task.node, "op")
    neutral = float("-inf") if kind == "max" else 0.0
    rows = blocks.axes.resolved(reading.inner["n"])
    count = blocks.axes.size(rows)
    start, end = _run(task, blocks, frame)
    block = task.config.row_block(count)
    element = element_of(numerics.accumulator(dtype(reading.operands["x"][0])))
    first, stop = blocks_between(builder, start, end, block)
    columns = frame.axes[COLUMNS]

    def step(place: SSAValue, carried: Values) -> Values:
        at = frame.with_span((rows, columns), (rows, Span(count, block, place, reduced=True)))
        mine = rows_between(builder, at, start, end)
        x = blocks.whole(reading.operands["x"], at, fill=neutral, within=mine)
        found = builder.reduce(kind, builder.cast(x, element), ROWS)
        return [builder.map("add" if kind == "sum" else "max", carried[0], found)]

    begin = builder.full(neutral, element, frame.sizes)
    (found,) = builder.loop(
        step, [begin], start=first, stop=stop, stages=task.config.stages, name="t"
    )
    if kind == "max":
        least = jnp.finfo(jax_type(task.node.results[0]).dtype).min
        some = builder.map("lt", start, end)
        found = builder.map("where", some, found, builder.full(float(least), element))
    return builder.cast(found, result_element(task.node))


def _run(task: Task, blocks: Blocks, frame: Frame) -> tuple[SSAValue, SSAValue]:
    """Returns the first row of a run and one more than its last, as i32: it begins where another ends."""
    builder, runs = blocks.builder, task.reading.rows
    labelled = task.reading.operands["ends"]
    count = blocks.axes.size(task.reading.inner["n"])
    atoms = blocks.axes.resolved(runs)
    own = frame.spans[atoms[-1]].index if atoms else builder.index(0)
    before = builder.map("max", builder.map("add", own, builder.index(-1)), builder.index(0))
    rows = builder.full(count, builtin.i32)

    def ended(place: SSAValue) -> SSAValue:
        at = frame.with_span((), (atoms[-1:], Span(blocks.axes.size(atoms[-1:]), 1, place)))
        end = builder.cast(builder.reshape(blocks.block(labelled, at), ()), builtin.i32)
        return builder.map("min", end, rows)

    zero = builder.full(0, builtin.i32)
    is_first = builder.map("eq", builder.cast(own, builtin.i32), zero)
    return builder.map("where", is_first, zero, ended(before)), ended(own)
