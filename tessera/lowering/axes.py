"""Which axis of one value is which axis of another, across transposes, reshapes and broadcasts.

Every axis is labelled by the atoms it is made of: numbers that stand for a size each. Read backwards from a
result, a step hands the labels of its output to its operand; a reshape that cuts an axis cuts its atom, for
everything labelled with it.

    y[b, h, i]  =  reshape (broadcast x[b, g, i] → [b, g, r, i])      h is cut into g, r;  x has no r
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from xdsl.ir import SSAValue

from tessera.ir.graph import Node
from tessera.lowering.match import made_by, param, shape

Atoms = tuple[int, ...]  # of one axis, outermost first; none for an axis of size 1
Labels = tuple[Atoms, ...]  # of all axes of a value

MOVES = frozenset(
    {"transpose", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "tile", "copy", "pvary"}
)


class Axes:
    """The atoms met so far, and what each was cut into."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._parts: dict[int, Atoms] = {}

    def label(self, size: int) -> Atoms:
        """Returns the label of an axis not seen before."""
        if size == 1:
            return ()
        self._sizes.append(size)
        return (len(self._sizes) - 1,)

    def size(self, atoms: Atoms) -> int:
        """Returns the size of an axis made of these atoms."""
        return math.prod(self._sizes[atom] for atom in atoms)

    def resolved(self, atoms: Atoms) -> Atoms:
        """Returns atoms in terms of those that were not cut further."""
        found: list[int] = []
        for atom in atoms:
            parts = self._parts.get(atom)
            found += [atom] if parts is None else self.resolved(parts)
        return tuple(found)

    def regrouped(self, labels: Labels, sizes: Sequence[int]) -> Labels | None:
        """Returns the labels of axes of these sizes that hold the same elements in the same order."""
        waiting = [atom for atoms in labels for atom in self.resolved(atoms)]
        found: list[Atoms] = []
        for size in sizes:
            taken = self._take(waiting, size)
            if taken is None:
                return None
            found.append(taken)
        return None if waiting else tuple(found)

    def _take(self, waiting: list[int], size: int) -> Atoms | None:
        taken: list[int] = []
        while size > 1:
            if not waiting:
                return None
            atom = waiting.pop(0)
            here = self._sizes[atom]
            if here > size and here % size == 0:
                atom, rest = self._cut(atom, size)
                waiting.insert(0, rest)
                here = size
            if size % here:
                return None
            taken.append(atom)
            size //= here
        return tuple(taken)

    def _cut(self, atom: int, outer: int) -> tuple[int, int]:
        (first,) = self.label(outer)
        (second,) = self.label(self._sizes[atom] // outer)
        self._parts[atom] = (first, second)
        return first, second


def behind(axes: Axes, value: SSAValue, labels: Labels) -> tuple[Node, SSAValue, Labels] | None:
    """Returns the step of `MOVES` that made a value, what it was made from, and the labels of that."""
    node = made_by(value, *MOVES)
    if node is None or len(node.operands) != 1:
        return None
    operand = node.operands[0]
    before = _before(axes, node, labels, shape(operand))
    return None if before is None else (node, operand, before)


def _before(axes: Axes, node: Node, labels: Labels, sizes: tuple[int, ...]) -> Labels | None:
    if node.name in ("jax.copy", "jax.pvary"):
        return labels
    if node.name == "jax.transpose":
        order = param(node, "permutation")
        return tuple(labels[order.index(axis)] for axis in range(len(order)))
    if node.name == "jax.broadcast_in_dim":
        kept = param(node, "broadcast_dimensions")
        return operand_labels(tuple(labels[axis] for axis in kept), sizes)
    if node.name == "jax.tile":
        return _untiled(axes, labels, param(node, "reps"), sizes)
    return axes.regrouped(labels, sizes)


def _untiled(
    axes: Axes, labels: Labels, repeats: Sequence[int], sizes: tuple[int, ...]
) -> Labels | None:
    found: list[Atoms] = []
    for atoms, repeat, size in zip(labels, repeats, sizes, strict=True):
        cut = axes.regrouped((atoms,), (repeat, size))
        if cut is None:
            return None
        found.append(cut[1])
    return tuple(found)


def seen_through(
    axes: Axes, value: SSAValue, labels: Labels, nodes: list[Node]
) -> tuple[SSAValue, Labels]:
    """Returns the value behind all steps of `MOVES`, and its labels; adds the steps to `nodes`."""
    step = behind(axes, value, labels)
    while step is not None:
        node, value, labels = step
        nodes.append(node)
        step = behind(axes, value, labels)
    return value, labels


def operand_labels(labels: Labels, sizes: tuple[int, ...]) -> Labels:
    """Returns the labels of an operand of an elementwise node: an axis it repeats has none."""
    if not sizes:
        return ()
    return tuple(() if n == 1 else atoms for n, atoms in zip(sizes, labels, strict=True))


@dataclass(frozen=True)
class Layout:
    """How an array is brought into groups of atoms; hashable, so a rewrite may carry it."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    aligned: tuple[int, ...]
    full: tuple[int, ...]
    grouped: tuple[int, ...]

    def apply(self, x: jax.Array) -> jax.Array:
        """Returns the array with one axis per group."""
        x = jnp.transpose(x.reshape(self.sizes), self.order).reshape(self.aligned)
        return jnp.broadcast_to(x, self.full).reshape(self.grouped)


def layout(axes: Axes, labels: Labels, groups: Sequence[Atoms], repeated: bool) -> Layout:
    """Returns the layout of a value in groups.

    Atoms it lacks are repeated; a group it lacks altogether has size 1 unless `repeated`.
    """
    present = [atom for atoms in labels for atom in atoms]
    aligned: list[int] = []
    full: list[int] = []
    grouped: list[int] = []
    for group in groups:
        filled = repeated or any(atom in present for atom in group)
        aligned += [axes.size((atom,)) if atom in present else 1 for atom in group]
        full += [axes.size((atom,)) if filled else 1 for atom in group]
        grouped.append(axes.size(group) if filled else 1)
    order = [present.index(atom) for group in groups for atom in group if atom in present]
    sizes = [axes.size((atom,)) for atom in present]
    return Layout(tuple(sizes), tuple(order), tuple(aligned), tuple(full), tuple(grouped))


def dot_labels(axes: Axes, dot: Node, labels: Labels) -> tuple[Labels, Labels]:
    """Returns the labels of both operands of a dot_general from those of its result."""
    (lhs_in, rhs_in), (lhs_batch, rhs_batch) = param(dot, "dimension_numbers")
    lhs, rhs = (shape(x) for x in dot.operands)
    left: dict[int, Atoms] = {}
    right: dict[int, Atoms] = {}
    for a, b in zip(lhs_in, rhs_in, strict=True):
        left[a] = right[b] = axes.label(lhs[a])
    result = iter(labels)
    for a, b in zip(lhs_batch, rhs_batch, strict=True):
        left[a] = right[b] = next(result)
    for sizes, found in ((lhs, left), (rhs, right)):
        for axis in range(len(sizes)):
            if axis not in found:
                found[axis] = next(result)
    return tuple(left[i] for i in range(len(lhs))), tuple(right[i] for i in range(len(rhs)))
