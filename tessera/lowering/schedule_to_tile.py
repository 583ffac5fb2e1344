"""Schedule → Tile: every group that a tile program can compute becomes a kernel, or a few in order.

    %0 = tessera.schedule.pipeline(%a, %b, %c)   →   tessera.tile.func @matmul_tanh_0(
        {pattern = "matmul+tanh",                            %a, %b, %c, %out, %i, %j)
         tile = array<i64: 128, 128>, runs = "xla"}        attributes {grid, outputs, stages, runs} {
                                                             loop over the inner axis: load, load, dot
                                                             bias, tanh, cast
                                                             store }

A kernel's arrays are the group's inputs, then arrays its nodes close over, then its outputs; `group` counts
the groups of the Schedule module from 0. A group whose sums run across the programs of a grid becomes
several kernels of one `group`, which share temporary arrays; `arrays` says which value each one gets. `runs`
is the group's: with "xla" or the name of an algorithm the program is the plan, and that is what executes.
Groups without a program are listed in the module's `left_to_xla`, with the reason.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects import builtin
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, TensorType
from xdsl.ir import Attribute, Block, SSAValue

from tessera.core.errors import Code, CompileError
from tessera.ir.attributes import integers, to_attribute
from tessera.ir.check import verify
from tessera.ir.graph import Constant, Node
from tessera.ir.printer import all_attributes
from tessera.ir.schedule import Group, Pipeline
from tessera.ir.tile import Func, Tile
from tessera.lowering.axes import MOVES, Labels
from tessera.lowering.choose import block_places, groups_of, nodes_of
from tessera.lowering.rule import Context
from tessera.lowering.tile_programs import PROGRAMS
from tessera.lowering.tile_programs.blocks import Blocks
from tessera.lowering.tile_programs.builder import Builder, Values, no_program
from tessera.lowering.tile_programs.config import Config, power_of_two
from tessera.lowering.tile_programs.elementwise import block_element, elementwise
from tessera.lowering.tile_programs.operands import number_of
from tessera.lowering.tile_programs.program import FrameAxes, Kernel, Task, Temporary, Turns, sized
from tessera.lowering.tile_programs.reading import Output, Reader
from tessera.lowering.tile_programs.recorded import recorded_node, write
from tessera.lowering.tile_programs.space import Frame, Span

DEFAULT_LINE = 1024  # elements of a block with one axis where the schedule plans none
VIEWS = MOVES | {"iota"}


def to_tile(module: ModuleOp, context: Context) -> ModuleOp:
    """Returns the Tile module of a Schedule module: the kernels of every group that has a tile program.

    Raises `E_TILE_LOWERING` for a program that breaks a rule of the level.
    """
    del context  # what a device wants is planned in the schedule
    kernels: list[Func] = []
    left: list[str] = []
    for index, group in enumerate(groups_of(module)):
        try:
            kernels += kernels_of(group, index)
        except CompileError as error:
            if error.code is not Code.E_TILE_LOWERING:
                raise
            left.append(f"{index} {_pattern(group)}: {error.message}")
    tiles = ModuleOp(kernels, {**all_attributes(module), "level": StringAttr("tile")})
    if left:
        tiles.attributes["left_to_xla"] = to_attribute(left)
    verify(tiles)
    return tiles


def kernels_of(group: Group, index: int) -> list[Func]:
    """Returns the kernels of one group, to run in order; `index` is their `group`.

    Raises `E_TILE_LOWERING`, with the reason, for a group that no tile program computes.
    """
    recorded = recorded_node(nodes_of(group))
    if recorded is not None:
        return [write(recorded, group, index)]
    plan = _planned(group)
    return [_function(plan, kernel, group, index) for kernel in plan.kernels]


def closed_over(group: Group) -> list[np.ndarray]:
    """Returns the arrays that the nodes of a group close over, in the order in which kernels get them."""
    found = [] if group.block is None else _closed_over(group.block)
    return [np.asarray(constant.atom) for constant in found]


def _function(plan: "_Plan", kernel: Kernel, group: Group, index: int) -> Func:
    outputs = plan.outputs_of(kernel)
    grid = plan.grid(kernel, outputs)
    arrays = plan.arrays(kernel, outputs)
    types = [plan.types[array] for array in arrays]
    written = len(outputs) + len(kernel.writes)
    builder = Builder(types, [steps for _, _, steps in grid], written)
    of = dict(zip(arrays, builder.arrays, strict=True))
    frame = plan.frame(builder, kernel, grid)
    _name_arguments(builder, of, frame, grid)
    temporaries = {name: (of[name], x.labels) for name, x in plan.temporaries.items() if name in of}
    inputs = {value: of[value] for value in plan.inputs}
    blocks = Blocks(builder, plan.reader, plan.config, inputs, temporaries)

    def store(found: Mapping[int, SSAValue], frame: Frame) -> None:
        blocks.set_results(found)
        for value, output in outputs.items():
            axes = _stored_axes(kernel, output)
            at = frame if axes == frame.axes else frame.with_span(axes)
            blocks.store((value, output.labels), at, of[value])

    if kernel.turns is None:
        store(kernel.build(blocks, frame), frame)
    else:
        _in_turns(kernel, kernel.turns, blocks, frame, store)
    said = _said(plan.config, group, index)
    if len(plan.kernels) > 1:
        said["arrays"] = [plan.places[arrays[place]] for place in builder.drop_unread()]
    name = (_symbol(_pattern(group)), kernel.name, str(index))
    return builder.finish("_".join(filter(None, name)), **said)


def _in_turns(
    kernel: Kernel,
    turns: Turns,
    blocks: Blocks,
    frame: Frame,
    store: Callable[[Mapping[int, SSAValue], Frame], None],
) -> None:
    """Writes the loop of a program that computes and stores several blocks."""
    builder, axes = blocks.builder, blocks.axes
    walked = [(atom, axes.size((atom,)), kernel.blocks[atom]) for atom in turns.atoms]
    steps = [-(-size // block) for _, size, block in walked]

    def step(place: SSAValue, carried: Values) -> Values:
        spans = [
            ((atom,), Span(size, block, index, reduced=True))
            for (atom, size, block), index in zip(
                walked, _digits(builder, place, steps), strict=True
            )
        ]
        at = frame.with_span(frame.axes, *spans)
        following = turns.step(blocks, at, carried)
        store(kernel.build(blocks, at), at)
        return following

    start, stop = None, builder.index(math.prod(steps))
    if turns.programs:
        number = frame.spans[turns.programs[0]].index
        start = builder.map("mul", number, builder.index(turns.count))
        after = builder.map("add", start, builder.index(turns.count))
        stop = builder.map("min", after, stop) if math.prod(steps) % turns.count else after
    begin = turns.begin(blocks, frame)
    stages = blocks.config.stages
    found = builder.loop(step, begin, start=start, stop=stop, stages=stages, name="turn")
    turns.end(blocks, frame, found)


def _digits(builder: Builder, number: SSAValue, steps: Sequence[int]) -> list[SSAValue]:
    """Returns where a number of a block stands along each axis, the last one fastest."""
    found: list[SSAValue] = []
    for place in range(len(steps)):
        inner, digit = math.prod(steps[place + 1 :]), number
        if inner > 1:
            digit = builder.map("div", digit, builder.index(inner))
        if place > 0:
            digit = builder.map("rem", digit, builder.index(steps[place]))
        found.append(digit)
    return found


def _said(config: Config, group: Group, index: int) -> dict[str, int | str | list[int]]:
    """Returns what a kernel says of how it runs."""
    found: dict[str, int | str | list[int]] = {}
    if config.warps is not None:
        found["warps"] = config.warps
    found |= {"stages": config.stages, "group": index}
    if group.runs is not None:
        found["runs"] = group.runs.data
    return found


# -- planning ------------------------------------------------------------------------------------------

# An array of a group: a value of it, or a temporary by its name.
Array = SSAValue | str
Grid = tuple[tuple[int, int, int], ...]  # atom, elements in one block, steps


@dataclass(frozen=True)
class _Plan:
    """What the kernels of a group read and write, and how they cut its axes."""

    reader: Reader
    config: Config
    inputs: Sequence[SSAValue]
    outputs: Mapping[SSAValue, Output]
    temporaries: Mapping[str, Temporary]
    kernels: Sequence[Kernel]
    types: Mapping[Array, Tile]

    @property
    def places(self) -> dict[Array, int]:
        """Where each array stands among those of the group."""
        return {array: place for place, array in enumerate(self.types)}

    def outputs_of(self, kernel: Kernel) -> dict[SSAValue, Output]:
        """Returns what a kernel stores of what the group gives back."""
        return {
            value: output
            for value, output in self.outputs.items()
            if self.reader.node is None or output.made_of <= set(kernel.results)
        }

    def arrays(self, kernel: Kernel, outputs: Mapping[SSAValue, Output]) -> list[Array]:
        """Returns the arrays of a kernel in order: what it may read, then what it writes."""
        return [*self.inputs, *kernel.reads, *outputs, *kernel.writes]

    def grid(self, kernel: Kernel, outputs: Mapping[SSAValue, Output]) -> Grid:
        """Returns how a kernel's grid walks atoms: in the order of its first output."""
        held = set(kernel.blocks) - set(kernel.walks)
        turns = kernel.turns
        labels = [atoms for output in outputs.values() for atoms in output.labels]
        found = dict.fromkeys(
            atom for atoms in (*labels, kernel.walks) for atom in atoms if atom not in held
        )
        walked = (
            set(found) if turns is None else set(found) - set(turns.programs) | set(turns.atoms)
        )
        for output in outputs.values():
            if not walked <= {atom for atoms in output.labels for atom in atoms}:
                raise no_program("a result lacks an axis that the programs of a grid walk")
        if kernel.writes and found.keys() != set(kernel.walks):
            raise no_program("a result repeats what a part of a sum is made of")
        size = self.reader.axes.size
        blocks = [(atom, kernel.blocks.get(atom, 1)) for atom in found]
        return tuple((atom, block, -(-size((atom,)) // block)) for atom, block in blocks)

    def frame(self, builder: Builder, kernel: Kernel, grid: Grid) -> Frame:
        """Returns the frame of a kernel's block."""
        size = self.reader.axes.size
        spans = {
            atom: Span(size((atom,)), block, place)
            for (atom, block, _), place in zip(grid, builder.places, strict=True)
        }
        for atom, block in kernel.blocks.items():
            if atom not in spans:
                spans[atom] = Span(size((atom,)), block, builder.index(0), reduced=True)
        return Frame(kernel.axes, spans)


def _stored_axes(kernel: Kernel, output: Output) -> FrameAxes:
    """Returns the axes of the block in which a kernel stores an output."""
    axes = {kernel.results[place] for place in output.made_of} or {kernel.axes}
    if len(axes) > 1:
        raise no_program("a result is computed from blocks with different axes")
    return axes.pop()


def _planned(group: Group) -> _Plan:
    if group.block is None or group.block.last_op is None:
        raise no_program("the group has no body that gives anything back")
    given = group.block.last_op.operands
    inputs = [*group.block.args, *(x.result for x in _closed_over(group.block))]
    types: dict[Array, Tile] = {value: _array(value) for value in (*inputs, *given)}
    reader = _reader(group)
    outputs = reader.outputs(group.block)
    config = _config(group, reader.node)
    kernels = _kernels(group, reader, outputs, config)
    temporaries = {name: x for kernel in kernels for name, x in kernel.writes.items()}
    for name, temporary in temporaries.items():
        sizes = [reader.axes.size(atoms) for atoms in temporary.labels]
        types[name] = Tile.of(sizes, temporary.element, "hbm")
    return _Plan(reader, config, inputs, outputs, temporaries, kernels, types)


def _reader(group: Group) -> Reader:
    """Returns a reader of a group's body; raises `E_TILE_LOWERING` for a node no program can hold."""
    main: list[Node] = []
    for node in nodes_of(group):
        if node.name in PROGRAMS:
            main.append(node)
        elif node.short_name not in VIEWS and elementwise(node) is None:
            raise no_program(f"{node.name} has no tile program")
    reader = Reader(main[0], PROGRAMS[main[0].name].read) if main else Reader(None, None)
    if not all(map(reader.is_row_reduction, main[1:])):
        raise no_program(f"one program computes one of {', '.join(node.name for node in main)}")
    return reader


def _kernels(
    group: Group, reader: Reader, outputs: Mapping[SSAValue, Output], config: Config
) -> Sequence[Kernel]:
    """Returns the kernels that together store all outputs, or raises `E_TILE_LOWERING`."""
    if reader.node is None or reader.reading is None:
        return (_elementwise_kernel(group, reader, next(iter(outputs.values())).labels),)
    wanted = frozenset[int]().union(*(output.made_of for output in outputs.values()))
    task = Task(reader.axes, reader.node, reader.reading, config, wanted)
    kernels = PROGRAMS[reader.node.name].kernels(task)
    for output in outputs.values():
        if not any(output.made_of <= set(kernel.results) for kernel in kernels):
            raise no_program(f"a result reads what different kernels of {reader.node.name} make")
    return kernels


def _elementwise_kernel(group: Group, reader: Reader, labels: Labels) -> Kernel:
    """Returns the kernel of a group of elementwise nodes, whose blocks have the last two axes."""
    axes = tuple(atoms[-1:] for atoms in labels[-2:])
    default = (DEFAULT_LINE,) if len(axes) == 1 else (Config.rows, Config.columns)
    planned = default if group.tile is None else integers(group.tile)[-2:]
    sizes = planned[-len(axes) :] if axes else ()
    blocks = sized(
        *(
            (atoms, min(size, power_of_two(reader.axes.size(atoms))))
            for atoms, size in zip(axes, sizes, strict=True)
        )
    )
    walks = tuple(atom for atoms in labels for atom in atoms)
    return Kernel(lambda blocks, frame: {}, axes, blocks, walks, {})


def _config(group: Group, main: Node | None) -> Config:
    """Returns what the schedule plans for a group.

    A plan that has warps is for a GPU, whose compilers take blocks that are powers of two.
    """
    found: dict[str, int] = {}
    tile = () if group.tile is None else integers(group.tile)
    for name, place in zip(("rows", "columns"), block_places(main), strict=True):
        if place is not None and -place <= len(tile):
            found[name] = tile[place]
    if "columns" in found:
        found["whole"] = found["columns"]
    for name in ("inner", "turns", "warps"):
        planned = group.attributes.get(name)
        if isinstance(planned, IntegerAttr):
            found[name] = planned.value.data
    stages = group.stages if isinstance(group, Pipeline) else 1
    return Config(stages=stages, padded=group.warps is not None, **found)


def _closed_over(block: Block) -> Iterator[Constant]:
    for op in block.ops:
        if isinstance(op, Constant) and number_of(op) is None:
            yield op


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


def _name_arguments(
    builder: Builder, arrays: Mapping[Array, SSAValue], frame: Frame, grid: Grid
) -> None:
    """Gives arguments the names of the group's values, and grid axes those of a block's axes."""
    for array, argument in arrays.items():
        if isinstance(array, str):
            argument.name_hint = array
        else:
            argument.name_hint = array.name_hint or ("x" if argument in builder.read else "out")
    of = {atoms[0]: name for atoms, name in zip(reversed(frame.axes), "ji", strict=False) if atoms}
    for place, (atom, _, _) in zip(builder.places, grid, strict=True):
        place.name_hint = of.get(atom, "h")
