"""How a kernel is walked on a CPU: which axes of its grid are loops, and which are carried by every block.

A loop of XLA runs on one core and starts each of its steps anew, so steps should be few and coarse. An axis
is taken at once where its blocks allow it (`spread`): a block then is as long as the array. It is carried
where it walks blocks of one element, as batch and heads do: every block gets a leading axis, and a product is
a batched product. What is left is a loop.

The rule: a kernel in which no loop remains is computed as a whole, for XLA to fuse. Where a loop remains,
axes of the grid are taken at once or carried, the innermost first and carried ones before others, as long as
the largest block stays within `LARGEST_BLOCK`; of an axis too long for it an inner part is carried.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from tessera.ir import tile
from tessera.lowering.emit_stablehlo.indices import Affine, Indices
from tessera.lowering.emit_stablehlo.reads import Access, Along, Digit, access_of, digits_of
from tessera.lowering.emit_stablehlo.spread import Kinds, taken_at_once

# Bytes: score tiles of 2 MB stay in the cache and are coarse enough for two cores.
LARGEST_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class Part:
    """An axis of the grid or a part of one: a loop, or a leading axis that every block carries."""

    steps: int
    carried: bool


Parts = tuple[tuple[Part, int], ...]  # whose sum, each times its factor, is the index of an axis


@dataclass(frozen=True)
class Plan:
    """How each axis of a kernel is walked.

    `parts` has the axes of the grid that are neither taken at once nor of one step, outermost first; `whole`
    has those that are taken at once, with their elements; `limits` has one more than the largest index.
    """

    indices: Indices
    accesses: Mapping[Operation, Access]
    kinds: Kinds
    parts: Mapping[SSAValue, Parts]
    whole: Mapping[Hashable, int]
    limits: Mapping[Hashable, int | None]

    @property
    def carried(self) -> tuple[Part, ...]:
        """The leading axes of every block."""
        return tuple(part for parts in self.parts.values() for part, _ in parts if part.carried)

    @property
    def looped(self) -> tuple[Part, ...]:
        """The loops over the grid, outermost first."""
        return tuple(part for parts in self.parts.values() for part, _ in parts if not part.carried)

    def digits(self, along: Along) -> tuple[Digit, ...] | None:
        """Returns the parts and loops that walk an axis of an array, or None if they overlap."""
        return digits_of(along, self._in_parts(along.start), self.limits, self.whole)

    def _in_parts(self, start: Affine | None) -> Affine | None:
        if start is None:
            return None
        found = Affine(start.constant, {})
        for axis, weight in start.terms.items():
            parts: Sequence[tuple[Hashable, int]] = [(axis, 1)]
            if isinstance(axis, SSAValue) and axis in self.parts:
                parts = self.parts[axis]
            for part, factor in parts:
                found = found.plus(Affine(0, {part: weight * factor}))
        return found


def plan_of(kernel: tile.Func) -> Plan:
    """Returns how to walk a kernel."""
    indices = Indices(kernel)
    accesses: dict[Operation, Access] = {
        op: access_of(op, indices) for op in kernel.walk() if isinstance(op, tile.Load | tile.Store)
    }
    kinds = Kinds(kernel, indices, accesses)
    possible = taken_at_once(kernel, indices, accesses, kinds)
    whole: dict[Hashable, int] = {x: n for x, n in possible.items() if x not in indices.grid}
    walked = {axis: n for axis in indices.grid if (n := indices.limits[axis]) is not None and n > 1}
    carriable = _carriable(walked, kernel, indices, accesses, possible)
    loops = not walked.keys() <= carriable | possible.keys() or any(
        op.body.block.args[0] not in whole for op in kernel.walk() if isinstance(op, tile.For)
    )
    if loops:  # not every axis that can be taken at once will be
        carriable = _carriable(walked, kernel, indices, accesses, whole)
    room = LARGEST_BLOCK / _largest_block(kernel, kinds, whole) if loops else math.inf
    parts: dict[SSAValue, Parts] = {}
    for axis in reversed(walked):
        if axis in carriable and axis not in possible:
            parts[axis], room = _carried(walked[axis], room)
    for axis in reversed(indices.grid):
        steps = walked.get(axis, 1)
        if axis in possible and (steps <= room or steps == 1):
            whole[axis], room = possible[axis], room / steps
    for axis in walked.keys() - parts.keys() - whole.keys():
        parts[axis] = ((Part(walked[axis], carried=False), 1),)
    ordered = {axis: parts[axis] for axis in walked if axis in parts}
    limits: dict[Hashable, int | None] = {
        **indices.limits,
        **{part: part.steps for each in parts.values() for part, _ in each},
    }
    return Plan(indices, accesses, kinds, ordered, whole, limits)


def _carried(steps: int, room: float) -> tuple[Parts, float]:
    """Returns an axis as a loop over what is carried of it, and how many such blocks still fit."""
    inner = next((n for n in range(int(min(steps, room)), 1, -1) if steps % n == 0), 1)
    outer = ((Part(steps // inner, carried=False), inner),) if inner < steps else ()
    return (*outer, *(((Part(inner, carried=True), 1),) if inner > 1 else ())), room / inner


def _carriable(
    axes: Iterable[SSAValue],
    kernel: tile.Func,
    indices: Indices,
    accesses: Mapping[Operation, Access],
    whole: Mapping[Hashable, int],
) -> set[SSAValue]:
    """Returns the axes along which blocks can be cut all at once: no bound and no joined index needs them."""
    bounding = frozenset[SSAValue]().union(*(indices.axes(bound) for bound in _bounds(kernel)))
    found = set(axes) - bounding
    for access in accesses.values():
        for axis in list(found):
            walking = [along for along in access if axis in indices.axes(along.index)]
            if len(walking) > 1 or not all(_walks_all(axis, x, indices, whole) for x in walking):
                found.remove(axis)
    return found


def _walks_all(
    axis: SSAValue, along: Along, indices: Indices, whole: Mapping[Hashable, int]
) -> bool:
    digits = digits_of(along, along.start, indices.limits, whole) or ()
    limit = indices.limits[axis]
    assert limit is not None, "an axis of the grid"
    return any(digit.axis is axis and digit.period == digit.weight * limit for digit in digits)


def _bounds(kernel: tile.Func) -> Iterator[SSAValue]:
    for op in kernel.walk():
        if isinstance(op, tile.For):
            yield from op.bounds


def _largest_block(kernel: tile.Func, kinds: Kinds, whole: Mapping[Hashable, int]) -> int:
    """Returns the bytes of the largest block a kernel computes, not only loads, at one point of its grid."""
    sizes = [1]
    for op in kernel.walk():
        if isinstance(op, tile.Load):
            continue
        for result in op.results:
            if isinstance(result.type, tile.Tile):
                count = math.prod(kinds.shape(result, whole))
                width = tile.Tile.of((), result.type.element).size_in_bytes
                sizes.append(count * width)
    return max(sizes)
