"""Labels of the values of a group: which axis of each is which axis of the one node a program is for.

The results of that node are labelled first. Labels go forwards from them, through views and elementwise
nodes, to what the group gives back, and backwards from there to what the group reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Block, OpResult, SSAValue

from tessera.ir.graph import Node
from tessera.lowering.axes import MOVES, Atoms, Axes, Labels, behind, operand_labels
from tessera.lowering.match import param, shape
from tessera.lowering.tile_programs.builder import no_program
from tessera.lowering.tile_programs.elementwise import elementwise

Labelled = tuple[SSAValue, Labels]

FROM_TEXT = "read from text, which does not say every parameter"

# The kind of a reduction, and what changes nothing in it.
REDUCTIONS: Mapping[str, tuple[str, float]] = {
    "reduce_sum": ("sum", 0.0),
    "reduce_max": ("max", float("-inf")),
    "reduce_min": ("min", float("inf")),
}


@dataclass(frozen=True)
class Reading:
    """How a program reads its node: labels of operands and results, and the axes it walks in blocks.

    `rows` and `columns` are the axes of a result that a planned tile speaks of, `inner` are further axes.
    `beside` is the axis of values of the group that the results lack: the one a reduction sums over.
    """

    operands: Mapping[str, Labelled]
    results: tuple[Labels, ...]
    rows: Atoms
    columns: Atoms
    inner: Mapping[str, Atoms] = field(default_factory=dict[str, Atoms])
    beside: Atoms = ()


Read = Callable[[Axes, Node, Labels], Reading]


@dataclass(frozen=True)
class Output:
    """What a group gives back: its labels, and which results of the node it is computed from."""

    labels: Labels
    made_of: frozenset[int]


class Reader:
    """Labels of the values of a group; `reading` is that of the node its program is for."""

    def __init__(self, node: Node | None, read: Read | None):
        self.axes = Axes()
        self.node = node
        self.reading: Reading | None = None
        self._seen: set[Labelled] = set()
        self._repeated: dict[tuple[int, int], Atoms] = {}
        if node is not None and read is not None:
            if node.equation is None:
                raise no_program(FROM_TEXT)
            first = tuple(self.axes.label(n) for n in shape(node.results[0]))
            self.reading = read(self.axes, node, first)
            self._repeated[1, self.axes.size(self.reading.beside)] = self.reading.beside

    def resolved(self, labels: Labels) -> Labels:
        """Returns labels in atoms that no reshape has cut further."""
        return tuple(self.axes.resolved(atoms) for atoms in labels)

    # -- forwards --------------------------------------------------------------------------------------

    def outputs(self, block: Block) -> dict[SSAValue, Output]:
        """Returns what a group gives back, labelled, after a visit of all that it is computed from.

        Raises `E_TILE_LOWERING` for a node no program can hold.
        """
        end = block.last_op
        if end is None or not end.operands:
            raise no_program("the group has no body that gives anything back")
        known = self._known(block) if self.node is not None else _alike(self.axes, end.operands)
        for value in end.operands:
            if value not in known:
                raise no_program(f"a result is not computed from that of {self._name}")
        found = {value: known[value] for value in end.operands}
        for value, output in found.items():
            self.survey(value, output.labels)
        return {value: Output(self.resolved(x.labels), x.made_of) for value, x in found.items()}

    @property
    def _name(self) -> str:
        return "" if self.node is None else self.node.name

    def _known(self, block: Block) -> dict[SSAValue, Output]:
        assert self.reading is not None
        known: dict[SSAValue, Output] = {}
        for op in block.ops:
            if op is self.node:
                for place, (value, its) in enumerate(
                    zip(op.results, self.reading.results, strict=True)
                ):
                    known[value] = Output(its, frozenset({place}))
            elif isinstance(op, Node) and self.is_row_reduction(op):
                known[op.results[0]] = Output(self.reading.results[0], frozenset({0}))
            elif isinstance(op, Node) and len(op.results) == 1:
                its = [known.get(x) for x in op.operands]
                if any(each is not None for each in its):
                    known[op.results[0]] = self._after(op, its)
        return known

    def _after(self, node: Node, operands: Sequence[Output | None]) -> Output:
        made_of = frozenset[int]().union(*(x.made_of for x in operands if x is not None))
        if node.short_name in MOVES and operands[0] is not None:
            return Output(self._moved(node, operands[0].labels), made_of)
        sizes = shape(node.results[0])
        whole = [x.labels for x in operands if x is not None and len(x.labels) == len(sizes)]
        labels = [
            next((its[axis] for its in whole if its[axis]), ()) or self._new(len(sizes) - axis, n)
            for axis, n in enumerate(sizes)
        ]
        return Output(tuple(labels), made_of)

    def _moved(self, node: Node, labels: Labels) -> Labels:
        """Returns the labels of the result of a view from those of its operand."""
        sizes = shape(node.results[0])
        if node.name in ("jax.copy", "jax.pvary"):
            return labels
        if node.name == "jax.transpose":
            return tuple(labels[axis] for axis in param(node, "permutation"))
        if node.name == "jax.broadcast_in_dim":
            kept = dict(zip(param(node, "broadcast_dimensions"), labels, strict=True))
            found = [kept.get(axis, ()) for axis in range(len(sizes))]
            return tuple(
                atoms or self._new(len(sizes) - axis, n)
                for axis, (atoms, n) in enumerate(zip(found, sizes, strict=True))
            )
        if node.name == "jax.tile":
            repeats = param(node, "reps")
            return tuple(
                (*self.axes.label(repeat), *atoms)
                for repeat, atoms in zip(repeats, labels, strict=True)
            )
        regrouped = self.axes.regrouped(labels, sizes)
        if regrouped is None:
            raise no_program(f"{node.name} cuts axes where blocks do not end")
        return regrouped

    def _new(self, from_end: int, size: int) -> Atoms:
        """Returns the label of an axis along which what a node has made is repeated, the same for all."""
        key = (from_end, size)
        if key not in self._repeated:
            self._repeated[key] = self.axes.label(size)
        return self._repeated[key]

    # -- backwards -------------------------------------------------------------------------------------

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
            raise no_program(FROM_TEXT)
        if node is self.node and isinstance(value, OpResult):
            return self._of_program(value, labels)
        step = behind(self.axes, value, labels)
        if step is not None:
            return [step[1:]]
        if node.short_name in MOVES:
            raise no_program(f"{node.name} cuts axes where blocks do not end")
        if self.is_row_reduction(node):
            assert self.reading is not None
            return [(node.operands[0], (*labels, self.axes.resolved(self.reading.beside)))]
        if elementwise(node) is None:
            raise no_program(f"{node.name} has no tile program")
        return [(x, operand_labels(labels, shape(x))) for x in node.operands]

    def is_row_reduction(self, node: Node) -> bool:
        """Returns whether a node reduces the rows that the program's node, a reduction too, reduces."""
        if self.node is None or not {node.short_name, self.node.short_name} <= set(REDUCTIONS):
            return False
        alike = shape(node.operands[0]) == shape(self.node.operands[0])
        return alike and param(node, "axes") == param(self.node, "axes")

    def _of_program(self, value: OpResult, labels: Labels) -> list[Labelled]:
        assert self.reading is not None
        if self.resolved(self.reading.results[value.index]) != labels:
            raise no_program(f"{self._name} is read in two orders of its axes")
        return list(self.reading.operands.values())


def _alike(axes: Axes, values: Sequence[SSAValue]) -> dict[SSAValue, Output]:
    """Returns values of one shape labelled alike."""
    shapes = {shape(value) for value in values}
    if len(shapes) > 1:
        raise no_program(f"its results have {len(shapes)} shapes, a program stores one")
    labels = tuple(axes.label(n) for n in shapes.pop())
    return dict.fromkeys(values, Output(labels, frozenset()))
