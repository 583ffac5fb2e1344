"""The grid of a kernel as one axis of programs, and how a program finds its place.

The last axis varies fastest. Where a dot has block rows and block columns, they are walked in groups of rows:

    columns →   0  8 16      programs that run at the same time share the blocks of few rows and few columns,
    rows        1  9 17      which then stay in the L2 cache
    ↓           .  .  .

Where the length of a kernel's loops depends on an axis, as in causal attention, that axis varies slowest and
from its longest programs to its shortest: what runs last is short, so no processor waits long for another.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import BlockArgument, Operation, SSAValue

from tessera.ir.attributes import integers
from tessera.ir.tile import Dot, For, Full, Func, Load, Map
from tessera.lowering.emit_triton.names import Names

GROUP = 8  # block rows that run side by side
ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {  # of the bounds of loops
    "add": operator.add, "div": operator.floordiv, "max": max, "min": min, "mul": operator.mul,
    "sub": operator.sub,
}  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A grid axis: its place among a kernel's arguments, and how many programs stand along it."""

    place: SSAValue
    size: int


@dataclass(frozen=True)
class Statement:
    """An assignment, or a comment where nothing is assigned."""

    name: str
    value: str


def axes_of(kernel: Func) -> list[Axis]:
    """Returns the axes of a kernel's grid."""
    places = kernel.body.block.args[len(kernel.arrays) :]
    return [Axis(place, size) for place, size in zip(places, integers(kernel.grid), strict=True)]


def placing(kernel: Func, names: Names, found: dict[SSAValue, str]) -> Iterator[Statement]:
    """Yields what computes the place along every axis, and names the places in `found`."""
    axes = axes_of(kernel)
    for axis in axes:
        found[axis.place] = "0" if axis.size == 1 else names.fresh(axis.place.name_hint or "i")
    walked = [axis for axis in axes if axis.size > 1]
    if not walked:
        return
    if len(walked) == 1:
        yield Statement(found[walked[0].place], "tl.program_id(0)")
        return
    program = names.fresh("program")
    yield Statement(program, "tl.program_id(0)")
    rows, columns = _shared_axes(kernel, walked)
    if not rows or not columns:
        grown = {axis: _growth(kernel, axis) for axis in walked}
        yield from _row_major(
            sorted(walked, key=lambda axis: not grown[axis]), program, names, found
        )
        for axis in walked:
            if grown[axis] > 0:
                place = found[axis.place]
                yield Statement(place, f"{axis.size - 1} - {place}")
        return
    batch = [axis for axis in walked if axis not in rows and axis not in columns]
    tiles = _count(rows) * _count(columns)
    if batch:
        outer = names.fresh("batch")
        yield Statement(outer, f"{program} // {tiles}")
        yield from _row_major(batch, outer, names, found)
        yield Statement(program, f"{program} % {tiles}")
    yield from _grouped(rows, columns, program, names, found)


def _row_major(
    axes: Sequence[Axis], program: str, names: Names, found: dict[SSAValue, str]
) -> Iterator[Statement]:
    if len(axes) == 1:
        yield Statement(found[axes[0].place], program)
        return
    rest = program
    for axis in reversed(axes[1:]):
        yield Statement(found[axis.place], f"{rest} % {axis.size}")
        outer = found[axes[0].place] if axis is axes[1] else names.fresh("rest")
        yield Statement(outer, f"{rest} // {axis.size}")
        rest = outer


def _grouped(
    rows: Sequence[Axis],
    columns: Sequence[Axis],
    program: str,
    names: Names,
    found: dict[SSAValue, str],
) -> Iterator[Statement]:
    """Yields the places of a product's block: groups of rows, and within one, columns from left to right."""
    height, width = _count(rows), _count(columns)
    row = names.fresh("row") if len(rows) > 1 else found[rows[0].place]
    column = names.fresh("column") if len(columns) > 1 else found[columns[0].place]
    if height <= GROUP:
        yield Statement(row, f"{program} % {height}")
        yield Statement(column, f"{program} // {height}")
    else:
        first, within = names.fresh("first"), names.fresh("within")
        yield Statement(first, f"{program} // {GROUP * width} * {GROUP}")
        yield Statement(within, f"{program} % {GROUP * width}")
        group = str(GROUP)
        if height % GROUP:
            group = names.fresh("height")
            yield Statement(group, f"tl.minimum({height} - {first}, {GROUP})")
        yield Statement(row, f"{first} + {within} % {group}")
        yield Statement(column, f"{within} // {group}")
    for axes, place in ((rows, row), (columns, column)):
        if len(axes) > 1:
            yield from _row_major(axes, place, names, found)


def _count(axes: Sequence[Axis]) -> int:
    return math.prod(axis.size for axis in axes)


def _shared_axes(kernel: Func, axes: Sequence[Axis]) -> tuple[list[Axis], list[Axis]]:
    """Returns the axes that move only the left factor of a kernel's dots, and only the right one."""
    sides: tuple[set[SSAValue], set[SSAValue]] = (set(), set())
    for op in kernel.walk():
        if isinstance(op, Dot):
            for side, factor in zip(sides, op.operands[:2], strict=True):
                side |= _places_of_loads(factor)
    left, right = sides
    return (
        [axis for axis in axes if axis.place in left and axis.place not in right],
        [axis for axis in axes if axis.place in right and axis.place not in left],
    )


def _places_of_loads(value: SSAValue) -> set[SSAValue]:
    """Returns the arguments of a kernel that say where the loads behind a value read."""
    found: set[SSAValue] = set()
    seen: set[SSAValue] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if isinstance(value, BlockArgument):
            owner = value.owner.parent_op()
            if isinstance(owner, Func):
                found.add(value)
            elif isinstance(owner, For) and value.index > 0:
                waiting.append(owner.initial[value.index - 1])
        elif isinstance(value.owner, Operation):
            waiting += _read_by(value.owner)
    return found


def _read_by(op: Operation) -> Sequence[SSAValue]:
    return op.places if isinstance(op, Load) else op.operands


def _growth(kernel: Func, axis: Axis) -> int:
    """Returns how many more steps loops make in the last program along an axis than in the first."""
    return _steps(kernel, {axis.place: axis.size - 1}) - _steps(kernel, {axis.place: 0})


def _steps(kernel: Func, places: Mapping[SSAValue, int]) -> int:
    """Returns the steps of all loops whose bounds are computed, at some places; the others are 0."""
    total = 0
    for op in kernel.walk():
        if isinstance(op, For) and op.bounds:
            bounds = [_number(bound, places) for bound in op.bounds]
            total += max(0, bounds[-1] - (bounds[0] if len(bounds) == 2 else 0))
    return total


def _number(index: SSAValue, places: Mapping[SSAValue, int]) -> int:
    """Returns an index at some places of the grid; what is no arithmetic of them counts as 0."""
    maker = index.owner
    if isinstance(maker, Full) and isinstance(maker.value, IntegerAttr):
        return maker.value.value.data
    if isinstance(maker, Map) and maker.function.data in ARITHMETIC:
        a, b = (_number(operand, places) for operand in maker.operands)
        return ARITHMETIC[maker.function.data](a, b)
    return places.get(index, 0)
