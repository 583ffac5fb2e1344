"""Schedule → Tile: every group that a tile program can compute becomes a kernel.

    %0 = tessera.schedule.pipeline(%a, %b, %c)   →   tessera.tile.func @matmul_tanh_0(
        {pattern = "matmul+tanh",                            %a, %b, %c, %out, %i, %j)
         tile = array<i64: 128, 128>, runs = "xla"}        attributes {grid, outputs, stages, runs} {
                                                             loop over the inner axis: load, load, dot
                                                             bias, tanh, cast
                                                             store }

The kernel's arrays are the group's inputs, then arrays its nodes close over, then its outputs; `group` counts
the groups of the Schedule module from 0. `runs` is the group's: with "xla" or the name of an algorithm the
program is the plan, and that is what executes. Groups without a program are listed in the module's
`left_to_xla`, with the reason.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType
from xdsl.ir import Attribute, SSAValue

from tessera.core.errors import Code, CompileError
from tessera.ir.attributes import integers, to_attribute
from tessera.ir.check import verify
from tessera.ir.graph import Constant, Node
from tessera.ir.printer import all_attributes
from tessera.ir.schedule import Group, Pipeline
from tessera.ir.tile import Func, Tile
from tessera.lowering.axes import MOVES, Atoms, Labels
from tessera.lowering.choose import groups_of, nodes_of
from tessera.lowering.rule import Context
from tessera.lowering.tile_programs import PROGRAMS
from tessera.lowering.tile_programs.blocks import Blocks, Reader
from tessera.lowering.tile_programs.builder import Builder, no_program
from tessera.lowering.tile_programs.elementwise import block_element, elementwise
from tessera.lowering.tile_programs.operands import number_of
from tessera.lowering.tile_programs.space import Frame, Span

DEFAULT_TILE = 128  # rows and columns of a block where the schedule plans none
DEFAULT_LINE = 1024  # elements of a block with one axis
VIEWS = MOVES | {"iota"}


def to_tile(module: ModuleOp, context: Context) -> ModuleOp:
    """Returns the Tile module of a Schedule module: one kernel per group that has a tile program.

    Raises `E_TILE_LOWERING` for a program that breaks a rule of the level.
    """
    del context  # programs are the same for every device until one has blocks of its own
    kernels: list[Func] = []
    left: list[str] = []
    for index, group in enumerate(groups_of(module)):
        try:
            kernels.append(_kernel(group, index))
        except CompileError as error:
            if error.code is not Code.E_TILE_LOWERING:
                raise
            left.append(f"{index} {_pattern(group)}: {error.message}")
    tiles = ModuleOp(kernels, {**all_attributes(module), "level": StringAttr("tile")})
    if left:
        tiles.attributes["left_to_xla"] = to_attribute(left)
    verify(tiles)
    return tiles


def _kernel(group: Group, index: int) -> Func:
    """Returns the kernel of a group; raises `E_TILE_LOWERING` with the reason if it has none."""
    plan = _planned(group)
    tiles = [*plan.inputs.values(), *(_array(x) for x in plan.outputs)]
    builder = Builder(tiles, [steps for _, _, steps in plan.grid], len(plan.outputs))
    frame = plan.frame(builder)
    _name_arguments(builder, plan)
    arrays = dict(zip(plan.inputs, builder.arrays, strict=False))
    blocks = Blocks(builder, plan.reader, arrays, plan.stages)
    node, reading = plan.reader.node, plan.reader.reading
    if node is not None and reading is not None:
        blocks.set_result(PROGRAMS[node.name].build(blocks, node, reading, frame))
    for place, (value, labels) in enumerate(plan.outputs.items()):
        blocks.store((value, labels), frame, builder.arrays[len(plan.inputs) + place])
    said = {"stages": plan.stages, "group": index}
    runs = {} if group.runs is None else {"runs": group.runs}
    return builder.finish(f"{_symbol(_pattern(group))}_{index}", **said, **runs)


# -- planning ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What a kernel reads and writes, and how its grid walks the atoms of its result."""

    reader: Reader
    inputs: dict[SSAValue, Tile]
    outputs: dict[SSAValue, Labels]
    axes: tuple[Atoms, ...]  # of a block
    blocks: dict[int, int]  # elements of each blocked atom in one block
    grid: tuple[tuple[int, int, int], ...]  # atom, elements in one block, steps
    stages: int

    def frame(self, builder: Builder) -> Frame:
        """Returns the frame of a block of the result."""
        spans: dict[int, Span] = {}
        for (atom, block, _), place in zip(self.grid, builder.places, strict=True):
            spans[atom] = Span(self.reader.axes.size((atom,)), block, place)
        for atom, block in self.blocks.items():
            if atom not in spans:
                size = self.reader.axes.size((atom,))
                spans[atom] = Span(size, block, builder.index(0), reduced=True)
        return Frame(self.axes, spans)


def _planned(group: Group) -> _Plan:
    reader = _reader(group)
    outputs = _labelled_outputs(group, reader)
    for value, labels in outputs.items():
        reader.survey(value, labels)
    labels = reader.resolved(next(iter(outputs.values())))
    axes, whole = _block_axes(reader, labels)
    blocks = _block_sizes(group, reader, axes, whole)
    grid = tuple(
        (atom, blocks.get(atom, 1), -(-reader.axes.size((atom,)) // blocks.get(atom, 1)))
        for atom in dict.fromkeys(atom for atoms in labels for atom in atoms)
        if not (whole and axes[-1] == (atom,))
    )
    stages = group.stages if isinstance(group, Pipeline) else 1
    return _Plan(reader, _inputs(group), outputs, axes, blocks, grid, stages)


def _reader(group: Group) -> Reader:
    """Returns a reader of a group's body; raises `E_TILE_LOWERING` for a node no program can hold."""
    main: list[Node] = []
    for node in nodes_of(group):
        if node.name in PROGRAMS:
            main.append(node)
        elif node.short_name not in VIEWS and elementwise(node) is None:
            raise no_program(f"{node.name} has no tile program")
    if len(main) > 1:
        raise no_program(f"one program computes one of {', '.join(node.name for node in main)}")
    return Reader(main[0], PROGRAMS[main[0].name]) if main else Reader(None, None)


def _labelled_outputs(group: Group, reader: Reader) -> dict[SSAValue, Labels]:
    end = group.block.last_op if group.block is not None else None
    if end is None or not end.operands:
        raise no_program("the group has no body that gives anything back")
    shapes = {_array(value).sizes for value in end.operands}
    if len(shapes) > 1:
        raise no_program(f"its results have {len(shapes)} shapes, a program stores one")
    labels = tuple(reader.axes.label(n) for n in shapes.pop())
    return dict.fromkeys(end.operands, labels)


def _block_axes(reader: Reader, labels: Labels) -> tuple[tuple[Atoms, ...], bool]:
    """Returns the atoms along the axes of a block, and whether it holds all columns."""
    reading = reader.reading
    if reader.node is not None and reading is None:
        raise no_program(f"nothing reads the result of {reader.node.name}")
    if reading is None:
        return tuple(atoms[-1:] for atoms in labels[-2:]), False
    rows, columns = (reader.axes.resolved(atoms) for atoms in (reading.rows, reading.columns))
    if reading.whole_columns and len(columns) > 1:
        raise no_program("a reshape cuts the axis that one block holds")
    return (rows[-1:], columns[-1:]), reading.whole_columns


def _block_sizes(
    group: Group, reader: Reader, axes: Sequence[Atoms], whole: bool
) -> dict[int, int]:
    """Returns how many elements of each atom a block holds: the schedule's tile or what covers it."""
    default = (DEFAULT_LINE,) if len(axes) == 1 else (DEFAULT_TILE, DEFAULT_TILE)
    planned = default if group.tile is None else integers(group.tile)[-2:]
    found: dict[int, int] = {}
    for atoms, size in zip(axes, planned[-len(axes) :] if axes else (), strict=True):
        for atom in atoms:
            held = reader.axes.size((atom,))
            found[atom] = min(size, 1 << (held - 1).bit_length())
    if whole and axes[-1]:
        size, (atom,) = reader.axes.size(axes[-1]), axes[-1]
        padded = size <= planned[-1] <= 1 << (size - 1).bit_length()
        found[atom] = planned[-1] if padded else size
    return found


def _inputs(group: Group) -> dict[SSAValue, Tile]:
    """Returns the arrays a group reads: its inputs, then arrays its nodes close over."""
    assert group.block is not None
    closed = [
        op.results[0]
        for op in group.block.ops
        if isinstance(op, Constant) and number_of(op) is None
    ]
    return {value: _array(value) for value in (*group.block.args, *closed)}


def _array(value: SSAValue) -> Tile:
    kind: Attribute = value.type
    if not isinstance(kind, TensorType):
        raise no_program(f"{kind} is no array of numbers")
    if builtin.DYNAMIC_INDEX in kind.get_shape():
        raise no_program("the size of an axis is known by name only")
    if 0 in kind.get_shape():
        raise no_program("an array holds nothing")
    return Tile.of(kind.get_shape(), block_element(kind.get_element_type()), "hbm")


# -- names ---------------------------------------------------------------------------------------------


def _pattern(group: Group) -> str:
    return group.name if group.pattern is None else group.pattern.data


def _symbol(pattern: str) -> str:
    return re.sub(r"\W+", "_", pattern).strip("_")


def _name_arguments(builder: Builder, plan: _Plan) -> None:
    """Gives arguments the names of the group's values, and grid axes those of a block's axes."""
    names = [value.name_hint or "x" for value in plan.inputs]
    names += [value.name_hint or "out" for value in plan.outputs]
    for argument, name in zip(builder.arrays, names, strict=True):
        argument.name_hint = name
    of = {atoms[0]: name for atoms, name in zip(reversed(plan.axes), "ji", strict=False) if atoms}
    for place, (atom, _, _) in zip(builder.places, plan.grid, strict=True):
        place.name_hint = of.get(atom, "h")
