"""Computes blocks of a group's values, reading the group backwards from what it gives back.

A `Reader` labels the axes of every value by what they are in the outputs, through views and elementwise
nodes, and through the one node a program is for. `Blocks` then computes a value's block where it is needed: a
view costs nothing but another index, an elementwise node is a map, an input is a load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xdsl.ir import SSAValue

from tessera.ir.graph import Constant, Node, jax_type
from tessera.ir.types import element_of
from tessera.lowering.axes import MOVES, Atoms, Axes, Labels, behind, operand_labels
from tessera.lowering.match import param, shape
from tessera.lowering.tile_programs.builder import Builder, no_program, tile_of
from tessera.lowering.tile_programs.elementwise import (
    block_element,
    cast,
    elementwise,
    result_element,
)
from tessera.lowering.tile_programs.operands import number_of
from tessera.lowering.tile_programs.space import Frame

Labelled = tuple[SSAValue, Labels]


@dataclass(frozen=True)
class Reading:
    """How a program reads the operands of its node: their labels, and which atoms it walks in blocks.

    `inner` are the atoms of axes the result has not. With `whole_columns` one block holds all columns.
    """

    operands: Mapping[str, Labelled]
    rows: Atoms
    columns: Atoms
    inner: Mapping[str, Atoms] = field(default_factory=dict[str, Atoms])
    whole_columns: bool = False


@dataclass(frozen=True)
class Program:
    """A kind of tile program: how its node reads operands, and what computes a block of its result."""

    read: Callable[[Axes, Node, Labels], Reading]
    build: Callable[["Blocks", Node, Reading, Frame], SSAValue]


class Reader:
    """Labels of the values of a group; `reading` is that of the node its program is for."""

    def __init__(self, node: Node | None, program: Program | None):
        self.axes = Axes()
        self.node = node
        self.reading: Reading | None = None
        self._program = program
        self._result: Labels = ()
        self._seen: set[Labelled] = set()

    def resolved(self, labels: Labels) -> Labels:
        """Returns labels in atoms that no reshape has cut further."""
        return tuple(self.axes.resolved(atoms) for atoms in labels)

    def survey(self, value: SSAValue, labels: Labels) -> None:
        """Visits all that a value is computed from, so that every reshape has cut its atoms."""
        key = (value, self.resolved(labels))
        if key not in self._seen:
            self._seen.add(key)
            for operand, its in self.operands(value, labels):
                self.survey(operand, its)

    def operands(self, value: SSAValue, labels: Labels) -> list[Labelled]:
        """Returns what a value is computed from directly: nothing for an input or a number.

        Raises `E_TILE_LOWERING` for a node no program can hold.
        """
        labels = self.resolved(labels)
        node = value.owner
        if not isinstance(node, Node) or node.short_name == "iota":
            return []
        if node.equation is None:
            raise no_program("read from text, which does not say every parameter")
        if node is self.node:
            return self._of_program(labels)
        step = behind(self.axes, value, labels)
        if step is not None:
            return [step[1:]]
        if node.short_name in MOVES:
            raise no_program(f"{node.name} cuts axes where blocks do not end")
        if elementwise(node) is None:
            raise no_program(f"{node.name} has no tile program")
        return [(x, operand_labels(labels, shape(x))) for x in node.operands]

    def _of_program(self, labels: Labels) -> list[Labelled]:
        assert self.node is not None
        assert self._program is not None
        if self.reading is None:
            self.reading = self._program.read(self.axes, self.node, labels)
            self._result = labels
        elif self.resolved(self._result) != labels:
            raise no_program(f"{self.node.name} is read in two orders of its axes")
        return list(self.reading.operands.values())


class Blocks:
    """Computes blocks of values: what a program asks for its operands, and a store for its result."""

    def __init__(
        self, builder: Builder, reader: Reader, arrays: Mapping[SSAValue, SSAValue], stages: int
    ):
        self.builder = builder
        self.axes = reader.axes
        self.stages = stages
        self._reader = reader
        self._arrays = arrays
        self._made: dict[tuple[SSAValue, Labels, Frame, float | None, str], SSAValue] = {}
        self._result: SSAValue | None = None

    def set_result(self, block: SSAValue) -> None:
        """Says which block the node of the program has made."""
        self._result = block

    def block(
        self,
        labelled: Labelled,
        frame: Frame,
        *,
        fill: float | None = None,
        space: str = "reg",
    ) -> SSAValue:
        """Returns the block of a value; axes of the frame that the value has not are 1, or all left out.

        With `fill`, that number stands beyond the end of an axis that is summed over. A block that is loaded
        and used as it is goes to `space`.
        """
        value, labels = labelled
        key = (value, self._reader.resolved(labels), frame, fill, space)
        if key not in self._made:
            self._made[key] = self._compute(value, key[1], frame, fill, space)
        return self._made[key]

    def whole(
        self, labelled: Labelled, frame: Frame, *, fill: float | None = None, space: str = "reg"
    ) -> SSAValue:
        """Returns the block of a value, repeated along the axes of the frame that the value has not."""
        block = self.block(labelled, frame, fill=fill, space=space)
        return self.builder.spread(block, frame.sizes)

    def loads_turned(self, labelled: Labelled, frame: Frame) -> bool:
        """Returns whether a value is an input that has the two axes of a frame in the other order."""
        value, labels = labelled
        step = behind(self.axes, value, labels)
        while step is not None:
            _, value, labels = step
            step = behind(self.axes, value, labels)
        return value in self._arrays and frame.places(self._reader.resolved(labels)) == [1, 0]

    def store(self, labelled: Labelled, frame: Frame, array: SSAValue) -> None:
        """Writes the block of an output."""
        value, labels = labelled[0], self._reader.resolved(labelled[1])
        places = frame.places(labels)
        order = frame.order(places)
        sizes = [n if i in places else 1 for i, n in enumerate(frame.sizes)]
        block = self.builder.spread(self.block((value, labels), frame), sizes)
        access = frame.access(self.builder, labels, tile_of(array).sizes, writes=True)
        self.builder.store(self.builder.transpose(block, order), array, access)

    def _compute(
        self, value: SSAValue, labels: Labels, frame: Frame, fill: float | None, space: str
    ) -> SSAValue:
        step = behind(self.axes, value, labels)
        if step is not None:
            return self.block(step[1:], frame, fill=fill, space=space)
        if value in self._arrays:
            return self._load(self._arrays[value], labels, frame, fill, space)
        node = value.owner
        if isinstance(node, Node) and node.short_name == "convert_element_type":
            inner = self.block(self._reader.operands(value, labels)[0], frame, fill=fill)
            return cast(self.builder, inner, result_element(node))
        return self._filled(self._computed(value, labels, frame), frame, fill, ())

    def _computed(self, value: SSAValue, labels: Labels, frame: Frame) -> SSAValue:
        node = value.owner
        if isinstance(node, Constant):
            number = number_of(node)
            assert number is not None, "an array is an input of the program"
            return self.builder.full(number, block_element(element_of(jax_type(value).dtype)))
        assert isinstance(node, Node)
        if node is self._reader.node:
            assert self._result is not None, "a program computes its result before it is read"
            return self._result
        if node.short_name == "iota":
            return self._positions(node, labels, frame)
        function = elementwise(node)
        assert function is not None, node.name
        result_element(node)
        operands = [self.block(each, frame) for each in self._reader.operands(value, labels)]
        return function(self.builder, node, operands)

    def _positions(self, node: Node, labels: Labels, frame: Frame) -> SSAValue:
        atoms = labels[param(node, "dimension")]
        element = result_element(node)
        if not atoms:
            return self.builder.full(0, element)
        if len(atoms) > 1 or atoms not in frame.axes:
            raise no_program("jax.iota runs along an axis that is not walked in blocks of its own")
        return cast(self.builder, positions(self.builder, frame, frame.axes.index(atoms)), element)

    def _load(
        self, array: SSAValue, labels: Labels, frame: Frame, fill: float | None, space: str
    ) -> SSAValue:
        kind = tile_of(array)
        places = frame.places(labels)
        access = frame.access(self.builder, labels, kind.sizes, writes=False)
        order = frame.order(places)
        sizes = [frame.sizes[i] if i in places else 1 for i in order] if kind.sizes else []
        turned = bool(sizes) and order != sorted(order)
        masked = fill is not None and self._reaches_beyond(frame, places)
        block = self.builder.load(
            array, access, sizes, fill=fill, space="reg" if turned or masked else space
        )
        if turned:
            block = self.builder.transpose(block, [order.index(i) for i in range(len(order))])
        return self._filled(block, frame, fill, places)

    def _reaches_beyond(self, frame: Frame, places: list[int]) -> bool:
        return any(place not in places for place in _ragged_sums(frame))

    def _filled(
        self, block: SSAValue, frame: Frame, fill: float | None, filled: list[int] | tuple[()]
    ) -> SSAValue:
        if fill is None:
            return block
        for place in _ragged_sums(frame):
            if place not in filled:
                block = masked(self.builder, frame, place, block, fill)
        return block


def masked(builder: Builder, frame: Frame, place: int, block: SSAValue, fill: float) -> SSAValue:
    """Returns a block with a number beyond the end of one axis of the frame."""
    element = tile_of(block).element
    inside = within(builder, frame, place)
    return builder.map("where", inside, block, builder.full(fill, element))


def within(builder: Builder, frame: Frame, place: int) -> SSAValue:
    """Returns, along one axis of a frame, which elements of the block stand within the whole."""
    size = frame.spans[frame.axes[place][0]].size
    limit = builder.full(size, tile_of(found := positions(builder, frame, place)).element)
    return builder.map("lt", found, limit)


def positions(builder: Builder, frame: Frame, place: int) -> SSAValue:
    """Returns, along one axis of a frame, where the elements of the block stand in the whole, as i32."""
    span = frame.spans[frame.axes[place][0]]
    start = span.index
    if span.block != 1:
        start = builder.map("mul", start, builder.index(span.block))
    return builder.positions(start, frame.sizes, place)


def _ragged_sums(frame: Frame) -> list[int]:
    """Returns the axes of a frame that are summed over and whose last block reaches beyond them."""
    return [
        place
        for place, atoms in enumerate(frame.axes)
        if atoms and frame.spans[atoms[0]].reduced and frame.spans[atoms[0]].ragged
    ]
