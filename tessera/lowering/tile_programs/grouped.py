"""Grouped products: every row times the matrix of its group, for rows sorted by group.

    for group over those with a row in the block:             most blocks have rows of one group
        y = x[rows] w[group] where the row is of the group, else y

and for the gradient of the matrices, one program per group and block of it

    for rows over the blocks with a row of the group:  dw[group] += x[rows]^T dy[rows], other rows 0

Where groups begin and end is known at run time, and so are the bounds of both loops: a small kernel before
the first writes a table of the groups that have rows, and of which of them each block of rows meets. Groups
without rows cost nothing, and their gradient is 0. A row beyond the last group is 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import builtin
from xdsl.ir import SSAValue

from tessera.core import numerics
from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms, Axes, Labels
from tessera.lowering.match import dtype, shape
from tessera.lowering.tile_programs.blocks import COLUMNS, ROWS, Blocks
from tessera.lowering.tile_programs.builder import INDEX, Builder, Values, tile_of
from tessera.lowering.tile_programs.config import power_of_two
from tessera.lowering.tile_programs.elementwise import result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.product import require_matrices, summed
from tessera.lowering.tile_programs.program import Kernel, Program, Task, Temporary, sized
from tessera.lowering.tile_programs.ragged import blocks_between, row_places, rows_between
from tessera.lowering.tile_programs.reading import Labelled, Reading
from tessera.lowering.tile_programs.space import Frame, Span

TABLE_ROWS = 16  # of a block of the table of groups


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of y[t] = x[t] @ w[group(t)]."""
    given = operands_of(node)
    *batch, rows, columns = labels
    inner, groups = (axes.label(n) for n in shape(given["w"])[1::-1])
    found: dict[str, Labelled] = {
        "A": (given["x"], (*batch, rows, inner)),
        "B": (given["w"], (groups, inner, columns)),
        "group_sizes": (given["group_sizes"], (*batch, groups)),
    }
    return Reading(found, (labels,), rows, columns, {"k": inner, "groups": groups})


def _read_backward(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of dx[t] = ct[t] @ w[group(t)]^T and of dw; dx comes first."""
    given = operands_of(node)
    *batch, rows, columns = labels
    inner, groups = (axes.label(shape(given["w"])[place]) for place in (2, 0))
    weights = (groups, columns, inner)
    found: dict[str, Labelled] = {
        "A": (given["ct"], (*batch, rows, inner)),
        "B": (given["w"], weights),
        "x": (given["x"], labels),
        "group_sizes": (given["group_sizes"], (*batch, groups)),
    }
    inner_axes = {"k": inner, "groups": groups}
    return Reading(found, (labels, weights), rows, columns, inner_axes)


def _kernels(task: Task) -> Sequence[Kernel]:
    if task.config.padded:
        require_matrices(task.reading)
    return _rows_kernels(task)


def _backward_kernels(task: Task) -> Sequence[Kernel]:
    if task.config.padded:
        require_matrices(task.reading)
    found: list[Kernel] = []
    if 0 in task.wanted:
        found += _rows_kernels(task, "rows")
    if 1 in task.wanted:
        found.append(_weights_kernel(task))
    return found


GROUPED = Program(_read, _kernels)
GROUPED_BACKWARD = Program(_read_backward, _backward_kernels)


# -- where groups are ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Groups:
    """The groups of one batch as a row of a block: where their rows start and end, and which have any."""

    builder: Builder
    starts: SSAValue
    ends: SSAValue
    filled: SSAValue

    @classmethod
    def of(cls, task: Task, blocks: Blocks, frame: Frame) -> "_Groups":
        """Returns them from a frame that knows where the batch stands."""
        builder, groups = blocks.builder, task.reading.inner["groups"]
        count = blocks.axes.size(groups)
        line = Span(count, task.config.depth_block(count), builder.index(0), reduced=True)
        at = frame.with_span(((), groups), (groups, line))
        sizes = blocks.whole(task.reading.operands["group_sizes"], at, fill=0.0)
        sizes = builder.cast(sizes, builtin.i32)
        rows = builder.full(blocks.axes.size(task.reading.rows), builtin.i32)
        ends = builder.scan("sum", sizes, COLUMNS)
        starts = builder.map("sub", ends, sizes)
        ends, starts = (builder.map("min", each, rows) for each in (ends, starts))
        return cls(builder, starts, ends, builder.map("lt", starts, ends))

    @property
    def numbers(self) -> SSAValue:
        """The numbers of the groups, from 0."""
        sizes = tile_of(self.ends).sizes
        return self.builder.positions(self.builder.index(0), sizes, COLUMNS)

    def count(self, chosen: SSAValue) -> SSAValue:
        """Returns how many groups with rows are chosen, in each row of a block."""
        both = self.builder.map("and", self.filled, chosen)
        return self.builder.reduce("sum", self.builder.cast(both, builtin.i32), COLUMNS)

    def at(self, chosen: SSAValue, values: SSAValue) -> SSAValue:
        """Returns the value of the one group that is chosen, in each row of a block, or 0."""
        zero = self.builder.full(0, builtin.i32)
        return self.builder.reduce("sum", self.builder.map("where", chosen, values, zero), COLUMNS)


# -- rows times the matrices of their groups -----------------------------------------------------------

# What the programs look up: of the groups with rows, in order, number, first row and one more than the last;
# of each block of rows, the place among those groups of the first in it and one more than that of the last.
OF_GROUPS = ("number", "start", "end")
OF_BLOCKS = ("first", "stop")


def _rows_kernels(task: Task, name: str = "") -> list[Kernel]:
    """Returns the kernels of A[t] @ B[group(t)]: the table of groups, then blocks of rows and columns."""
    reading = task.reading
    rows, columns = task.last(reading.rows), task.last(reading.columns)
    block = task.row_block(reading.rows)
    batch = tuple(atom for atoms in reading.results[0][:-2] for atom in task.axes.resolved(atoms))
    count = max(-(-task.axes.size(rows) // block), task.axes.size(reading.inner["groups"]))
    lines = task.axes.label(count)

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return {0: _rows_times_groups(task, blocks, frame, lines)}

    def table(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        _write_table(task, blocks, frame, block)
        return {}

    labels = (*((atom,) for atom in batch), lines)
    temporary = Temporary(labels, builtin.i32)
    written: dict[str, Temporary] = dict.fromkeys((*OF_GROUPS, *OF_BLOCKS), temporary)
    table_block = sized((lines, min(TABLE_ROWS, power_of_two(count))))
    sizes = sized((rows, block), (columns, task.column_block(reading.columns)))
    wanted = task.wanted_of({0: (rows, columns)})
    return [
        Kernel(table, (lines, ()), table_block, (*batch, *lines), {}, "table", writes=written),
        Kernel(build, (rows, columns), sizes, task.walked(0), wanted, name, reads=tuple(written)),
    ]


def _write_table(task: Task, blocks: Blocks, frame: Frame, block: int) -> None:
    builder = blocks.builder
    groups = _Groups.of(task, blocks, frame)
    place = row_places(builder, frame)
    after = builder.map("add", place, builder.full(1, builtin.i32))
    ranks = builder.scan("sum", builder.cast(groups.filled, builtin.i32), COLUMNS)
    own = builder.map("and", groups.filled, builder.map("eq", ranks, after))
    rows = builder.full(block, builtin.i32)
    low, high = (builder.map("mul", each, rows) for each in (place, after))
    found = {
        "number": groups.at(own, groups.numbers),
        "start": groups.at(own, groups.starts),
        "end": groups.at(own, groups.ends),
        "first": groups.count(builder.map("le", groups.ends, low)),
        "stop": groups.count(builder.map("lt", groups.starts, high)),
    }
    for name, values in found.items():
        blocks.store_temporary(name, values, frame)


def _rows_times_groups(task: Task, blocks: Blocks, frame: Frame, lines: Atoms) -> SSAValue:
    builder, reading = blocks.builder, task.reading
    groups = reading.inner["groups"]
    total = numerics.accumulator(dtype(reading.operands["A"][0]))

    def looked_up(name: str, place: SSAValue) -> SSAValue:
        at = frame.with_span((), (lines, Span(blocks.axes.size(lines), 1, place)))
        return builder.reshape(blocks.load_temporary(name, at, 0.0), ())

    def step(place: SSAValue, carried: Values) -> Values:
        number, start, end = (looked_up(name, place) for name in OF_GROUPS)
        own = Span(blocks.axes.size(groups), 1, builder.cast(number, INDEX))
        product = summed(blocks, reading, frame.with_span(frame.axes, (groups, own)), total)
        mine = rows_between(builder, frame, start, end)
        return [builder.map("where", mine, product, carried[0])]

    begin = builder.full(0, element_of(total), frame.sizes)
    rows = frame.axes[ROWS]
    place = frame.spans[rows[0]].index if rows else builder.index(0)
    first, stop = (builder.cast(looked_up(name, place), INDEX) for name in OF_BLOCKS)
    (found,) = builder.loop(step, [begin], start=first, stop=stop, name="group")
    return builder.cast(found, result_element(task.node))


# -- the gradient of the matrices ----------------------------------------------------------------------


def _weights_kernel(task: Task) -> Kernel:
    """Returns the kernel of dw[g] = sum over rows of g of x^T ct; its grid walks groups and blocks of dw."""
    reading, config = task.reading, task.config
    columns, ends = task.last(reading.columns), task.last(reading.inner["k"])
    sizes = [task.axes.size(atoms) for atoms in (columns, ends)]
    blocks = [config.column_block(n) for n in sizes]

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return {1: _group_gradient(task, blocks, frame)}

    wanted = task.wanted_of({1: (columns, ends)})
    held = sized((columns, blocks[0]), (ends, blocks[1]))
    return Kernel(build, (columns, ends), held, task.walked(1), wanted, "weights")


def _group_gradient(task: Task, blocks: Blocks, frame: Frame) -> SSAValue:
    builder, reading = blocks.builder, task.reading
    element = element_of(numerics.accumulator(dtype(reading.operands["x"][0])))
    batch = [atom for atoms in reading.results[0][:-2] for atom in task.axes.resolved(atoms)]
    begin = builder.full(0, element, frame.sizes)
    found = _over_batch(task, blocks, frame, tuple(batch), [begin])
    return builder.cast(found[0], result_element(task.node, 1))


def _over_batch(task: Task, blocks: Blocks, frame: Frame, batch: Atoms, carried: Values) -> Values:
    """Returns the sum over rows, after a loop for each axis of the batch."""
    if not batch:
        return _over_rows(task, blocks, frame, carried)
    atom, *rest = batch
    size = blocks.axes.size((atom,))

    def step(place: SSAValue, carried: Values) -> Values:
        at = frame.with_span(frame.axes, ((atom,), Span(size, 1, place)))
        return _over_batch(task, blocks, at, tuple(rest), carried)

    return blocks.builder.loop(step, carried, stop=size, name="b")


def _over_rows(task: Task, blocks: Blocks, frame: Frame, carried: Values) -> Values:
    builder, reading = blocks.builder, task.reading
    groups, rows = reading.inner["groups"], blocks.axes.resolved(reading.rows)
    known = _Groups.of(task, blocks, frame)
    number = frame.spans[groups[0]].index if groups else builder.index(0)
    own = builder.map("eq", known.numbers, builder.cast(number, builtin.i32))
    ends = (builder.reshape(known.at(own, each), ()) for each in (known.starts, known.ends))
    start, end = ends
    count = blocks.axes.size(rows)
    block = task.config.inner_block(count) if task.config.padded else task.row_block(rows)
    first, stop = blocks_between(builder, start, end, block)
    columns, others = frame.axes

    def step(place: SSAValue, carried: Values) -> Values:
        at = (rows, Span(count, block, place, reduced=True))
        mine = rows_between(builder, frame.with_span((rows, columns), at), start, end)
        x, ct = (
            blocks.whole(
                reading.operands[name],
                frame.with_span((rows, axis), at),
                fill=0.0,
                space="shared",
                within=mine,
            )
            for name, axis in (("x", columns), ("A", others))
        )
        return [builder.dot(x, ct, carried[0], transpose_a=True)]

    return builder.loop(step, carried, start=first, stop=stop, stages=task.config.stages, name="t")
