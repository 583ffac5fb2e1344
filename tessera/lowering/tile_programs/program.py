"""What a tile program is: how it reads its node, and the kernels that compute the node's results.

One kernel computes most nodes. Where sums run across the programs of a grid there are several: an earlier
one writes its part of the sum to a temporary array, a later one reads it. They run in order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node
from tessera.lowering.axes import Atoms, Axes, Labels
from tessera.lowering.tile_programs.blocks import Blocks
from tessera.lowering.tile_programs.builder import Values, no_program
from tessera.lowering.tile_programs.config import Config, power_of_two
from tessera.lowering.tile_programs.reading import Read, Reading
from tessera.lowering.tile_programs.space import Frame

FrameAxes = tuple[Atoms, ...]
Build = Callable[[Blocks, Frame], Mapping[int, SSAValue]]


@dataclass(frozen=True)
class Temporary:
    """An array that one kernel of a group writes and a later one reads."""

    labels: Labels
    element: Attribute


@dataclass(frozen=True)
class Turns:
    """How one program computes several blocks, one after another, and what it carries from each to the next.

    Blocks are numbered along `atoms`, the last one fastest; each place along the axis `programs` has the next
    `count` of them. `begin` returns what is carried, `step` its values after a block; `end` gets the last.
    """

    atoms: Atoms
    count: int
    programs: Atoms
    begin: Callable[[Blocks, Frame], Values]
    step: Callable[[Blocks, Frame, Values], Values]
    end: Callable[[Blocks, Frame, Values], None]


@dataclass(frozen=True)
class Kernel:
    """One kernel of a program.

    `axes` are those of its block, `blocks` how many elements of an atom a block holds (1 unless told), and
    `walks` the atoms its grid walks; an atom in `blocks` alone is held whole. `results` are the places of the
    node's results it computes, with the axes of their blocks. `build` returns these blocks; what it `writes`
    for later kernels it stores itself. With `turns` a program builds and stores several such blocks.
    """

    build: Build
    axes: FrameAxes
    blocks: Mapping[int, int]
    walks: Atoms
    results: Mapping[int, FrameAxes]
    name: str = ""
    reads: tuple[str, ...] = ()
    writes: Mapping[str, Temporary] = field(default_factory=dict[str, Temporary])
    turns: Turns | None = None


@dataclass(frozen=True)
class Task:
    """What a program is asked for: which results of a node, in blocks of which sizes."""

    axes: Axes
    node: Node
    reading: Reading
    config: Config
    wanted: frozenset[int]

    def last(self, atoms: Atoms) -> Atoms:
        """Returns the innermost atom of an axis, the one walked in blocks of several elements."""
        return self.axes.resolved(atoms)[-1:]

    def whole(self, atoms: Atoms) -> Atoms:
        """Returns the atom of an axis; raises `E_TILE_LOWERING` where a reshape has cut it."""
        found = self.axes.resolved(atoms)
        if len(found) > 1:
            raise no_program("a reshape cuts the axis that one block holds")
        return found

    def row_block(self, atoms: Atoms) -> int:
        """Returns how many rows one block holds: no more than there are where a reshape has cut them."""
        return self._block(atoms, self.config.row_block)

    def column_block(self, atoms: Atoms) -> int:
        """Returns how many columns one block holds, likewise."""
        return self._block(atoms, self.config.column_block)

    def _block(self, atoms: Atoms, planned: Callable[[int], int]) -> int:
        found = self.axes.resolved(atoms)
        size = self.axes.size(found[-1:])
        return planned(size) if len(found) <= 1 else min(planned(size), power_of_two(size))

    def wanted_of(self, axes: Mapping[int, FrameAxes]) -> dict[int, FrameAxes]:
        """Returns those of a kernel's results that the group gives back or computes with."""
        return {place: its for place, its in axes.items() if place in self.wanted}

    def walked(self, result: int, *held: Atoms) -> Atoms:
        """Returns the atoms of a result, in order, without those that a block holds whole."""
        without = {atom for atoms in held for atom in atoms}
        labels = [self.axes.resolved(atoms) for atoms in self.reading.results[result]]
        return tuple(atom for atoms in labels for atom in atoms if atom not in without)


@dataclass(frozen=True)
class Program:
    """A kind of tile program: how its node reads operands, and the kernels that compute its results."""

    read: Read
    kernels: Callable[[Task], Sequence[Kernel]]


def sized(*blocks: tuple[Atoms, int]) -> dict[int, int]:
    """Returns block sizes by atom, from axes of at most one atom."""
    return {atoms[0]: size for atoms, size in blocks if atoms}


def row_kernel(
    build: Callable[[Task, Blocks, Frame], Mapping[int, SSAValue]], task: Task
) -> Kernel:
    """Returns the kernel whose block holds some rows, all of their columns, and one value per row."""
    rows, columns = task.last(task.reading.rows), task.whole(task.reading.columns)
    width = task.config.whole_block(task.axes.size(columns))

    def built(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return build(task, blocks, frame)

    return Kernel(
        built,
        (rows, columns),
        sized((rows, task.row_block(task.reading.rows)), (columns, width)),
        task.walked(0, columns),
        task.wanted_of(dict.fromkeys(range(len(task.reading.results)), (rows, columns))),
    )
