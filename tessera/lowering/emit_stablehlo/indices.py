"""How the indices of a kernel depend on what it walks: the axes of its grid and its loops.

%1 = h * 2 + h_1        Affine(0, {h: 2, h_1: 1})
min(i * 128, 520)       None: affine in no axis; it is computed when the kernel runs
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from xdsl.dialects import builtin
from xdsl.ir import Operation, SSAValue

from tessera.ir import tile
from tessera.ir.attributes import integers
from tessera.lowering.emit_stablehlo.functions import number_of

Axes = frozenset[SSAValue]  # each by the block argument that counts it


@dataclass(frozen=True)
class Affine:
    """An index as a number plus axes times factors."""

    constant: int
    terms: Mapping[Hashable, int]

    def scaled(self, factor: int) -> "Affine":
        """Returns the index times a number."""
        if factor == 0:
            return Affine(0, {})
        return Affine(self.constant * factor, {axis: n * factor for axis, n in self.terms.items()})

    def plus(self, other: "Affine") -> "Affine":
        """Returns the sum of two indices."""
        terms = dict(self.terms)
        for axis, n in other.terms.items():
            terms[axis] = terms.get(axis, 0) + n
        return Affine(
            self.constant + other.constant, {axis: n for axis, n in terms.items() if n != 0}
        )


class Indices:
    """The axes of a kernel, with their limits, and every index as a function of them."""

    def __init__(self, kernel: tile.Func):
        grid = integers(kernel.grid)
        arguments = kernel.body.block.args[len(kernel.arrays) :]
        self.grid: tuple[SSAValue, ...] = tuple(arguments)
        # One more than the largest index, None where only the running kernel knows it.
        self.limits: dict[Hashable, int | None] = dict(zip(arguments, grid, strict=True))
        self._affine: dict[SSAValue, Affine | None] = {}
        self._axes: dict[SSAValue, Axes] = {}
        for axis in arguments:
            self._add_axis(axis, self.limits[axis], frozenset())
        for op in kernel.walk():
            self._visit(op)

    def affine(self, index: SSAValue) -> Affine | None:
        """Returns an index as a sum over axes, or None if it is none."""
        return self._affine.get(index)

    def axes(self, index: SSAValue) -> Axes:
        """Returns the axes that a value is computed from, or that say where it is loaded.

        What a loop carries counts as computed from all of the grid.
        """
        return self._axes.get(index, frozenset(self.grid))

    def _add_axis(self, axis: SSAValue, limit: int | None, outer: Axes) -> None:
        self.limits[axis] = limit
        self._affine[axis] = Affine(0, {axis: 1})
        self._axes[axis] = outer | {axis}

    def _visit(self, op: Operation) -> None:
        if isinstance(op, tile.For):
            bounds = frozenset[SSAValue]().union(*(self.axes(bound) for bound in op.bounds))
            self._add_axis(op.body.block.args[0], loop_limit(op), bounds)
            return
        for result in op.results:
            given = op.places if isinstance(op, tile.Load) else op.operands
            self._axes[result] = frozenset[SSAValue]().union(*map(self.axes, given))
            if isinstance(op, tile.Full | tile.Cast | tile.Map) and _is_scalar(result):
                self._affine[result] = self._result(op)

    def _result(self, op: Operation) -> Affine | None:
        if isinstance(op, tile.Full):
            value = op.value
            whole = isinstance(value, builtin.IntegerAttr)
            return Affine(number_of(value), {}) if whole else None
        if isinstance(op, tile.Cast):
            return self.affine(op.source)
        if not isinstance(op, tile.Map) or len(op.operands) != 2:
            return None
        left, right = (self.affine(x) for x in op.operands)
        if left is None or right is None:
            return None
        name = op.function.data
        if name == "add":
            return left.plus(right)
        if name == "sub":
            return left.plus(right.scaled(-1))
        if name == "mul" and not right.terms:
            return left.scaled(right.constant)
        if name == "mul" and not left.terms:
            return right.scaled(left.constant)
        return None


def loop_limit(loop: tile.For) -> int | None:
    """Returns one more than the largest index of a loop, None where only the running kernel knows it."""
    if loop.stop is None:
        return None
    return loop.stop.value.data


def _is_scalar(value: SSAValue) -> bool:
    kind = value.type
    return isinstance(kind, builtin.IndexType) or (
        isinstance(kind, tile.Tile) and not kind.sizes and tile.is_index(kind)
    )
