"""Which block of which array a program looks at: the axes of values are walked in blocks.

The axes of a value are labelled by atoms (`tessera.lowering.axes`), and a span says how an atom is walked. A
frame lists the atoms along the axes of a block; every other atom of a value stands still, at one element.

    y[b, i, n] by a grid over b, blocks of i and all of n:
        spans  b: 1 element at %b     i: 64 elements at block %i     n: all elements
        frame  (i, n): a block is 64 x n
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from tessera.lowering.axes import Atoms, Labels
from tessera.lowering.tile_programs.builder import Access, Builder, no_program


@dataclass(frozen=True)
class Span:
    """How an atom is walked: `index` counts blocks of `block` elements."""

    size: int
    block: int
    index: SSAValue
    reduced: bool = False  # summed over: what lies beyond the axis must not count

    @property
    def steps(self) -> int:
        """How many blocks cover the axis."""
        return -(-self.size // self.block)

    @property
    def ragged(self) -> bool:
        """Whether the last block reaches beyond the axis."""
        return self.size % self.block != 0


@dataclass(frozen=True, eq=False)
class Frame:
    """The axes of a block: one atom each, or none for an axis of size 1."""

    axes: tuple[Atoms, ...]
    spans: Mapping[int, Span]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of a block that has all axes."""
        return tuple(self.spans[atoms[0]].block if atoms else 1 for atoms in self.axes)

    def with_span(self, axes: tuple[Atoms, ...], *spans: tuple[Atoms, Span]) -> "Frame":
        """Returns a frame of other axes that knows further spans."""
        return Frame(axes, {**self.spans, **{atoms[0]: span for atoms, span in spans if atoms}})

    def places(self, labels: Labels) -> list[int]:
        """Returns the axes of the frame along the blocked axes of a value, in the value's order.

        Raises `E_TILE_LOWERING` where one axis of the value is made of two blocked atoms.
        """
        known = {atoms[0]: place for place, atoms in enumerate(self.axes) if atoms}
        found: list[int] = []
        for atoms in labels:
            for inner, atom in enumerate(atoms):
                if atom not in known:
                    continue
                if inner + 1 < len(atoms) and self.spans[atom].block != 1:
                    raise no_program("a reshape merges an axis that is walked in blocks")
                if inner + 1 == len(atoms):
                    found.append(known[atom])
        return found

    def order(self, places: Sequence[int]) -> list[int]:
        """Returns all axes of the frame in an array's order; those it has not go where they cost nothing."""
        if list(places) == sorted(places):
            return list(range(len(self.axes)))
        return [*places, *(place for place in range(len(self.axes)) if place not in places)]

    def access(
        self, builder: Builder, labels: Labels, shape: Sequence[int], writes: bool
    ) -> Access:
        """Returns the block of an array whose axes have these labels."""
        axes = [
            self._axis(builder, atoms, n, writes) for atoms, n in zip(labels, shape, strict=True)
        ]
        return Access(*(tuple(column) for column in zip(*axes, strict=True))) if axes else _WHOLE

    def _axis(
        self, builder: Builder, atoms: Atoms, size: int, writes: bool
    ) -> tuple[SSAValue, int, str, int]:
        if not atoms:
            return builder.index(0), 1, "block", size
        spans = [self._span(atom) for atom in atoms]
        last = spans[-1]
        if len(spans) == 1:
            return last.index, last.block, "block", last.steps * last.block
        if last.ragged and (writes or last.reduced):
            # Beyond its own axis the block would reach into the next step of the outer one.
            raise no_program(
                f"a reshape joins an axis of {last.size} that its block {last.block} does not divide"
            )
        return _joined(builder, spans), last.block, "element", size

    def _span(self, atom: int) -> Span:
        found = self.spans.get(atom)
        if found is None or (found.block != 1 and (atom,) not in self.axes):
            raise no_program("a view looks at an axis that the block does not walk")
        return found


_WHOLE = Access((), (), (), ())  # of an array without axes


def _joined(builder: Builder, spans: Sequence[Span]) -> SSAValue:
    """Returns the element at which a block of several atoms begins, the first varying slowest."""
    total = spans[0].index
    for span in spans[1:]:
        total = builder.map("mul", total, builder.index(span.size))
        start = span.index
        if span.block != 1:
            start = builder.map("mul", start, builder.index(span.block))
        total = builder.map("add", total, start)
    return total


def program_number(builder: Builder, spans: Sequence[Span]) -> SSAValue:
    """Returns which of the programs that walk these spans one is, the first varying slowest."""
    total = builder.index(0)
    for place, span in enumerate(spans):
        if place:
            total = builder.map("mul", total, builder.index(span.steps))
            total = builder.map("add", total, span.index)
        else:
            total = span.index
    return total
