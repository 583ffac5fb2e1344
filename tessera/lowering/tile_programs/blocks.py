"""Computes blocks of a group's values, reading the group backwards from what it gives back.

A value's block is computed where it is needed: a view costs nothing but another index, an elementwise node is
a map, the sum of a row a reduction, an input is a load.
"""

from collections.abc import Mapping

from xdsl.dialects import builtin
from xdsl.ir import OpResult, SSAValue

from tessera.ir.graph import Constant, Node, jax_type
from tessera.ir.types import element_of
from tessera.lowering.axes import Labels, behind
from tessera.lowering.match import param
from tessera.lowering.tile_programs.builder import Builder, no_program, tile_of
from tessera.lowering.tile_programs.config import Config
from tessera.lowering.tile_programs.elementwise import (
    block_element,
    cast,
    elementwise,
    result_element,
    widened,
)
from tessera.lowering.tile_programs.operands import number_of
from tessera.lowering.tile_programs.reading import REDUCTIONS, Labelled, Reader
from tessera.lowering.tile_programs.space import Frame

ROWS, COLUMNS = 0, 1  # the axes of a block


class Blocks:
    """Computes blocks of values: what a program asks for its operands, and a store for its result."""

    def __init__(
        self,
        builder: Builder,
        reader: Reader,
        config: Config,
        arrays: Mapping[SSAValue, SSAValue],
        temporaries: Mapping[str, tuple[SSAValue, Labels]],
    ):
        self.builder = builder
        self.axes = reader.axes
        self.config = config
        self._reader = reader
        self._arrays = arrays
        self._temporaries = temporaries
        self._made: dict[
            tuple[SSAValue, Labels, Frame, float | None, str, SSAValue | None], SSAValue
        ] = {}
        self._results: Mapping[int, SSAValue] = {}

    def set_results(self, blocks: Mapping[int, SSAValue]) -> None:
        """Says which blocks the node of the program has made, by the places of its results."""
        self._results = blocks

    def block(
        self,
        labelled: Labelled,
        frame: Frame,
        *,
        fill: float | None = None,
        space: str = "reg",
        within: SSAValue | None = None,
    ) -> SSAValue:
        """Returns the block of a value; axes of the frame that the value has not are 1, or all left out.

        With `fill`, that number stands beyond the end of an axis that is summed over, and where the mask
        `within` is false. A block that is loaded and used as it is goes to `space`.
        """
        value, labels = labelled
        key = (value, self._reader.resolved(labels), frame, fill, space, within)
        if key not in self._made:
            self._made[key] = self._compute(value, key[1], frame, fill, space, within)
        return self._made[key]

    def whole(
        self,
        labelled: Labelled,
        frame: Frame,
        *,
        fill: float | None = None,
        space: str = "reg",
        within: SSAValue | None = None,
    ) -> SSAValue:
        """Returns the block of a value, repeated along the axes of the frame that the value has not."""
        block = self.block(labelled, frame, fill=fill, space=space, within=within)
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
        self._store(self.block(labelled, frame), labelled[1], frame, array)

    def store_temporary(self, name: str, block: SSAValue, frame: Frame) -> None:
        """Writes a block of an array that later kernels of the group read."""
        array, labels = self._temporaries[name]
        self._store(block, labels, frame, array)

    def load_temporary(self, name: str, frame: Frame, fill: float) -> SSAValue:
        """Returns the block of an array that an earlier kernel of the group wrote."""
        array, labels = self._temporaries[name]
        return self._load(array, self._reader.resolved(labels), frame, fill, "reg", None)

    def _store(self, block: SSAValue, labels: Labels, frame: Frame, array: SSAValue) -> None:
        labels = self._reader.resolved(labels)
        places = frame.places(labels)
        order = frame.order(places)
        sizes = [n if i in places else 1 for i, n in enumerate(frame.sizes)]
        block = self.builder.spread(block, sizes)
        access = frame.access(self.builder, labels, tile_of(array).sizes, writes=True)
        self.builder.store(self.builder.transpose(block, order), array, access)

    def _compute(
        self,
        value: SSAValue,
        labels: Labels,
        frame: Frame,
        fill: float | None,
        space: str,
        within: SSAValue | None,
    ) -> SSAValue:
        step = behind(self.axes, value, labels)
        if step is not None:
            return self.block(step[1:], frame, fill=fill, space=space, within=within)
        if value in self._arrays:
            return self._load(self._arrays[value], labels, frame, fill, space, within)
        node = value.owner
        if isinstance(node, Node) and node.short_name == "convert_element_type":
            operand = self._reader.operands(value, labels)[0]
            inner = self.block(operand, frame, fill=fill, within=within)
            return cast(self.builder, inner, result_element(node))
        block = self._filled(self._computed(value, labels, frame), frame, fill, ())
        return self._chosen(block, within, fill)

    def _computed(self, value: SSAValue, labels: Labels, frame: Frame) -> SSAValue:
        node = value.owner
        if isinstance(node, Constant):
            number = number_of(node)
            assert number is not None, "an array is an input of the program"
            return self.builder.full(number, block_element(element_of(jax_type(value).dtype)))
        assert isinstance(node, Node)
        if self._reader.is_row_reduction(node):
            return self._reduced(node, labels, frame)
        if node is self._reader.node and isinstance(value, OpResult):
            return self._results[value.index]
        if node.short_name == "iota":
            return self._positions(node, labels, frame)
        function = elementwise(node)
        assert function is not None, node.name
        result_element(node)
        operands = [self.block(each, frame) for each in self._reader.operands(value, labels)]
        return function(self.builder, node, operands)

    def _reduced(self, node: Node, labels: Labels, frame: Frame) -> SSAValue:
        kind, neutral = REDUCTIONS[node.short_name]
        if not isinstance(result_element(node), builtin.AnyFloat):
            raise no_program(f"{node.name} of {result_element(node)} has no tile program")
        (operand,) = self._reader.operands(node.results[0], labels)
        x = widened(self.builder, self.whole(operand, frame, fill=neutral))
        return self.builder.cast(self.builder.reduce(kind, x, COLUMNS), result_element(node))

    def _positions(self, node: Node, labels: Labels, frame: Frame) -> SSAValue:
        atoms = labels[param(node, "dimension")]
        element = result_element(node)
        if not atoms:
            return self.builder.full(0, element)
        if len(atoms) > 1 or atoms not in frame.axes:
            raise no_program("jax.iota runs along an axis that is not walked in blocks of its own")
        return cast(self.builder, positions(self.builder, frame, frame.axes.index(atoms)), element)

    def _load(
        self,
        array: SSAValue,
        labels: Labels,
        frame: Frame,
        fill: float | None,
        space: str,
        within: SSAValue | None,
    ) -> SSAValue:
        kind = tile_of(array)
        places = frame.places(labels)
        access = frame.access(self.builder, labels, kind.sizes, writes=False)
        order = frame.order(places)
        sizes = [frame.sizes[i] if i in places else 1 for i in order] if kind.sizes else []
        turned = bool(sizes) and order != sorted(order)
        masked = fill is not None and self._reaches_beyond(frame, places)
        mask = None if turned or not _spreads_over(within, sizes) else within
        block = self.builder.load(
            array, access, sizes, fill=fill, mask=mask, space="reg" if turned or masked else space
        )
        if turned:
            block = self.builder.transpose(block, [order.index(i) for i in range(len(order))])
        block = self._filled(block, frame, fill, places)
        return block if mask is not None else self._chosen(block, within, fill)

    def _chosen(self, block: SSAValue, within: SSAValue | None, fill: float | None) -> SSAValue:
        if within is None:
            return block
        assert fill is not None, "what a mask hides reads as something"
        other = self.builder.full(fill, tile_of(block).element)
        return self.builder.map("where", within, block, other)

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


def _spreads_over(mask: SSAValue | None, sizes: list[int]) -> bool:
    """Returns whether a mask fits a block that is loaded with these sizes."""
    if mask is None:
        return False
    given = tile_of(mask).sizes
    return len(given) == len(sizes) and all(n in (1, m) for n, m in zip(given, sizes, strict=True))


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
