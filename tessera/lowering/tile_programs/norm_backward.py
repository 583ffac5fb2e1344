"""Backward of the norms: dx row by row, and the sums over rows in two kernels, without atomics.

    normal = (x - mean) scale,   g = dy weight
    dx = scale (g - mean(g) - normal mean(g normal))          rmsnorm has no mean, and no mean(g)
    dweight = sum over rows of dy normal,   dbias = sum over rows of dy

The first kernel walks blocks of rows, several of them per program where the plan says so. It stores dx and,
one row per program, its part of the sums over rows. The last adds these parts. The order is fixed. Sums are
in fp32 for rows of low precision. Where rows are too wide to carry both sums from block to block, a kernel
between them reads dy again for the second sum.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms, Axes, Labels
from tessera.lowering.match import dtype
from tessera.lowering.tile_programs.blocks import COLUMNS, ROWS, Blocks
from tessera.lowering.tile_programs.builder import Values, accumulator, tile_of
from tessera.lowering.tile_programs.config import power_of_two
from tessera.lowering.tile_programs.elementwise import result_element, widened
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import (
    Kernel,
    Program,
    Task,
    Temporary,
    Turns,
    row_kernel,
    sized,
)
from tessera.lowering.tile_programs.reading import Labelled, Reading
from tessera.lowering.tile_programs.rows import mean_of_rows
from tessera.lowering.tile_programs.space import Frame, Span, program_number

SUMMED = ("weight", "bias")  # operands with one number per column, in the order of their gradients
SUM_COLUMNS = 32  # of a block of the last kernel: narrow, for there to be many

# Numbers that one program carries from block to block: a quarter of a multiprocessor's registers.
LARGEST_CARRY = 2**14


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels x, ct and dx alike; mean and scale have no columns, weight and bias no rows."""
    del axes
    rank = len(labels)
    per_row: Labels = (*labels[:-1], ())
    found: dict[str, Labelled] = {}
    for name, value in operands_of(node).items():
        its = labels if name in ("x", "ct") else per_row
        found[name] = (value, labels[-1:] if name in SUMMED else its)
    results = (labels, *(labels[-1:] for _ in node.results[1:]))
    return Reading(found, results, labels[-2] if rank > 1 else (), labels[-1])


@dataclass(frozen=True)
class _Parts:
    """Parts of sums over rows, one per program of the first kernel: arrays (parts, columns).

    A program computes `turns` blocks of rows.
    """

    names: tuple[str, ...]
    rows: Atoms
    columns: Atoms
    turns: int

    def temporaries(self, task: Task) -> dict[str, Temporary]:
        """Returns the arrays, in the dtype sums are computed in."""
        element = _sum_element(task)
        return {name: Temporary((self.rows, self.columns), element) for name in self.names}


def _kernels(task: Task) -> Sequence[Kernel]:
    rows = row_kernel(_build_rows, task)
    rows = replace(rows, results=task.wanted_of({0: rows.axes}))
    sums = _summed(task)
    if not sums:
        return (rows,)
    steps = math.prod(
        -(-task.axes.size((atom,)) // rows.blocks.get(atom, 1)) for atom in rows.walks
    )
    turns = min(task.config.turns, steps)
    programs = -(-steps // turns)
    parts = _Parts(tuple(sums), task.axes.label(programs), rows.axes[COLUMNS], turns)
    if turns == 1:
        return (_in_one_turn(task, rows, parts), _sum_kernel(task, sums, parts))
    return (*_in_turns(task, rows, parts), _sum_kernel(task, sums, parts))


def _in_one_turn(task: Task, rows: Kernel, parts: _Parts) -> Kernel:
    """Returns the first kernel where a program has one block of rows."""

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        # Rows beyond the last one must not count in the sums.
        spans = [
            (atoms, replace(frame.spans[atoms[0]], reduced=True)) for atoms in frame.axes if atoms
        ]
        summed = frame.with_span(frame.axes, *spans)
        number = program_number(blocks.builder, [frame.spans[atom] for atom in rows.walks])
        at = frame.with_span((), (parts.rows, Span(task.axes.size(parts.rows), 1, number)))
        _store_parts(parts, blocks, at, _terms(task, parts, blocks, summed))
        return _build_rows(task, blocks, summed)

    return replace(rows, build=build, name="rows", writes=parts.temporaries(task))


def _in_turns(task: Task, rows: Kernel, parts: _Parts) -> list[Kernel]:
    """Returns the kernels before the last one where a program has several blocks of rows.

    The first of them computes dx; each computes as many parts as it can carry.
    """
    carried = math.prod(rows.blocks.get(atom, 1) for axis in rows.axes for atom in axis)
    most = max(1, LARGEST_CARRY // carried)
    groups = [parts.names[i : i + most] for i in range(0, len(parts.names), most)]
    found = [_carrying(task, rows, replace(parts, names=names)) for names in groups]
    others = [
        replace(kernel, build=lambda blocks, frame: {}, results={}, name="_".join(names))
        for kernel, names in zip(found[1:], groups[1:], strict=True)
    ]
    return [found[0], *others]


def _carrying(task: Task, rows: Kernel, parts: _Parts) -> Kernel:
    """Returns a kernel whose programs carry the terms of sums over the rows of several blocks.

    Terms are added block to block, and along the rows of a block once, at the end.
    """

    def begin(blocks: Blocks, frame: Frame) -> Values:
        return [blocks.builder.full(0, _sum_element(task), frame.sizes)] * len(parts.names)

    def step(blocks: Blocks, frame: Frame, carried: Values) -> Values:
        terms = _terms(task, parts, blocks, frame)
        return [blocks.builder.map("add", *pair) for pair in zip(carried, terms, strict=True)]

    def end(blocks: Blocks, frame: Frame, carried: Values) -> None:
        _store_parts(parts, blocks, frame, carried)

    turns = Turns(rows.walks, parts.turns, parts.rows, begin, step, end)
    held = {**dict.fromkeys(rows.walks, 1), **rows.blocks}
    writes = parts.temporaries(task)
    return replace(rows, blocks=held, walks=parts.rows, name="rows", writes=writes, turns=turns)


def _store_parts(parts: _Parts, blocks: Blocks, frame: Frame, terms: Values) -> None:
    at = frame.with_span((parts.rows, parts.columns))
    for name, block in zip(parts.names, terms, strict=True):
        blocks.store_temporary(name, blocks.builder.reduce("sum", block, ROWS), at)


def _summed(task: Task) -> dict[str, int]:
    """Returns the sums over rows that are wanted, with the places of the results they are."""
    present = [name for name in SUMMED if name in task.reading.operands]
    return {name: place for place, name in enumerate(present, 1) if place in task.wanted}


def _build_rows(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    """Returns dx; nothing where it is not wanted."""
    if 0 not in task.wanted:
        return {}
    builder = blocks.builder
    normal, scale = _normalised(task, blocks, frame)
    g = dy = _loaded(task, blocks, frame, "ct")
    if "weight" in task.reading.operands:
        row = blocks.block(task.reading.operands["weight"], frame)
        g = builder.map("mul", dy, builder.cast(row, tile_of(dy).element))
    # Both means before what is made with them: registers of wide rows are scarce.
    shift = mean_of_rows(blocks, g, frame) if "mean" in task.reading.operands else None
    along = mean_of_rows(blocks, builder.map("mul", g, normal), frame)
    if shift is not None:
        g = builder.map("sub", g, shift)
    found = builder.map("sub", g, builder.map("mul", normal, along))
    return {0: builder.cast(builder.map("mul", found, scale), result_element(task.node))}


def _loaded(task: Task, blocks: Blocks, frame: Frame, name: str) -> SSAValue:
    """Returns a block of x or of the cotangent, which is 0 beyond the array, in the dtype of sums."""
    block = blocks.whole(task.reading.operands[name], frame, fill=0.0)
    return widened(blocks.builder, block)


def _normalised(task: Task, blocks: Blocks, frame: Frame) -> tuple[SSAValue, SSAValue]:
    """Returns a block of the normalised rows, and their scale."""
    builder, operands = blocks.builder, task.reading.operands
    per_row = frame.with_span((frame.axes[ROWS], ()))
    x = _loaded(task, blocks, frame, "x")
    element = tile_of(x).element
    if "mean" in operands:
        mean = builder.cast(blocks.block(operands["mean"], per_row, fill=0.0), element)
        x = builder.map("sub", x, mean)
    scale = builder.cast(blocks.block(operands["scale"], per_row, fill=0.0), element)
    return builder.map("mul", x, scale), scale


def _terms(task: Task, parts: _Parts, blocks: Blocks, frame: Frame) -> Values:
    """Returns what is summed over rows, per sum: dy normal for the weight, dy for the bias."""
    dy = _loaded(task, blocks, frame, "ct")
    found: list[SSAValue] = []
    for name in parts.names:
        terms = dy
        if name == "weight":
            normal, _ = _normalised(task, blocks, frame)
            terms = blocks.builder.map("mul", dy, normal)
        found.append(terms)
    return found


def _sum_element(task: Task) -> Attribute:
    return accumulator(element_of(dtype(task.node.operands[0])))


def _sum_kernel(task: Task, sums: Mapping[str, int], parts: _Parts) -> Kernel:
    """Returns the kernel that adds the parts of the sums over rows, in order."""
    size = task.axes.size
    columns, block = parts.columns, task.config.inner_block(size(parts.rows))

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        builder = blocks.builder

        def step(place: SSAValue, carried: Values) -> Values:
            span = Span(size(parts.rows), block, place, reduced=True)
            at = frame.with_span((parts.rows, columns), (parts.rows, span))
            loaded = [blocks.load_temporary(name, at, fill=0.0) for name in sums]
            return [builder.map("add", *pair) for pair in zip(carried, loaded, strict=True)]

        held = [block if parts.rows else 1, frame.sizes[COLUMNS]]
        zero = builder.full(0, _sum_element(task), held)
        steps = -(-size(parts.rows) // block)
        stages = blocks.config.stages
        totals = builder.loop(step, [zero] * len(sums), stop=steps, stages=stages, name="part")
        return {
            place: builder.cast(
                builder.reduce("sum", total, ROWS), result_element(task.node, place)
            )
            for place, total in zip(sums.values(), totals, strict=True)
        }

    width = min(SUM_COLUMNS, power_of_two(size(columns)))
    axes = ((), columns)
    results = dict.fromkeys(sums.values(), axes)
    return Kernel(
        build, axes, sized((columns, width)), columns, results, name="sums", reads=parts.names
    )


NORM_BACKWARD = Program(_read, _kernels)
