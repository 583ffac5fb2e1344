"""Levels of a tree of sums: sixteen rows added entry by entry, neighbours first.

    y[q, l] = ((x[q, 0, l] + x[q, 1, l]) + (x[q, 2, l] + x[q, 3, l])) + ...

Only elementwise additions occur, in an order that the text states, so every emitter gives the same bits. A
compensated level adds pairs (sum, error) instead, by two-sum, which loses nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xdsl.ir import Attribute, SSAValue

from tessera.core import numerics
from tessera.ir.graph import Node, jax_type
from tessera.ir.types import element_of
from tessera.lowering.axes import Axes, Labels
from tessera.lowering.match import param, shape
from tessera.lowering.tile_programs.blocks import Blocks
from tessera.lowering.tile_programs.builder import Builder, tile_of
from tessera.lowering.tile_programs.elementwise import result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, sized
from tessera.lowering.tile_programs.reading import Reading
from tessera.lowering.tile_programs.space import Frame, Span

Pair = tuple[SSAValue, SSAValue]
NOT_A_NUMBER = float("nan")


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of add_rows: blocks q, their rows r and entries l."""
    *outer, entries = labels
    given = operands_of(node)
    rows = axes.label(shape(given["x"])[-2])
    found = {name: (value, (*outer, rows, entries)) for name, value in given.items()}
    results = (labels,) * len(node.results)
    return Reading(found, results, labels[-2], entries, {"r": rows})


def _kernels(task: Task) -> Sequence[Kernel]:
    rows, columns = task.last(task.reading.rows), task.last(task.reading.columns)

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return _added(task, blocks, frame)

    sizes = sized(
        (rows, task.row_block(task.reading.rows)),
        (columns, task.column_block(task.reading.columns)),
    )
    results = dict.fromkeys(range(len(task.reading.results)), (rows, columns))
    return (Kernel(build, (rows, columns), sizes, task.walked(0), task.wanted_of(results)),)


TREE = Program(_read, _kernels)


def _added(task: Task, blocks: Blocks, frame: Frame) -> dict[int, SSAValue]:
    builder, reading = blocks.builder, task.reading
    kind = result_element(task.node)
    element = element_of(numerics.accumulator(jax_type(task.node.results[0]).dtype))
    atoms = reading.inner["r"]
    count = blocks.axes.size(atoms)

    def row(name: str, place: int) -> SSAValue:
        at = frame.with_span(frame.axes, (atoms, Span(count, 1, builder.index(place))))
        return _rounded(builder, blocks.whole(reading.operands[name], at), element)

    if not param(task.node, "compensated"):
        sums = [row("x", place) for place in range(count)]
        return {0: builder.cast(_neighbours(sums, lambda a, b: builder.map("add", a, b)), kind)}

    def pair(place: int) -> Pair:
        zero = builder.full(0, element, frame.sizes)
        return row("x", place), row("errors", place) if "errors" in reading.operands else zero

    pairs = [pair(place) for place in range(count)]
    total, lost = _neighbours(pairs, lambda a, b: _two_sum(builder, a, b))
    return {0: builder.cast(total, kind), 1: builder.cast(lost, kind)}


def _rounded(builder: Builder, x: SSAValue, element: Attribute) -> SSAValue:
    """Returns a row in the dtype of the sums; what made it is rounded, and in no multiply-add with a sum."""
    x = builder.cast(x, element)
    other = builder.full(NOT_A_NUMBER, element)
    return builder.map("where", builder.map("eq", x, x), x, other)


def _neighbours(rows: list[Any], add: Callable[[Any, Any], Any]) -> Any:
    while len(rows) > 1:
        pairs = [add(a, b) for a, b in zip(rows[::2], rows[1::2], strict=False)]
        rows = pairs + rows[len(pairs) * 2 :]
    return rows[0]


def _two_sum(builder: Builder, a: Pair, b: Pair) -> Pair:
    """Adds sums; errors collect what rounding took from them. Source: Knuth, TAOCP 2, 4.2.2."""

    def map_(name: str, x: SSAValue, y: SSAValue) -> SSAValue:
        assert tile_of(x).element == tile_of(y).element
        return builder.map(name, x, y)

    total = map_("add", a[0], b[0])
    of_b = map_("sub", total, a[0])
    lost = map_("add", map_("sub", a[0], map_("sub", total, of_b)), map_("sub", b[0], of_b))
    return total, map_("add", lost, map_("add", a[1], b[1]))
