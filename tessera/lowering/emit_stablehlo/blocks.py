"""Blocks of arrays: how a load reads and a store writes them, in loops over large arrays.

An array is brought once into a form in which every block is a slice: padded where blocks overrun it, each
axis cut into the axes of the kernel that walk it, carried axes in front.

    q (2, 4, 520, 16) by h, 2 h_1 + h_2, blocks of 128, all       (2, 2, 2, 640, 16)
    block, with h, h_1, h_2 carried                               (2, 2, 2, 128, 16) at (0, 0, 0, 128 i, 0)
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.lowering.emit_stablehlo.functions import as_index, as_place
from tessera.lowering.emit_stablehlo.plan import Part, Plan
from tessera.lowering.emit_stablehlo.reads import Access, Along, Digit

Where = Callable[[Any], Any]  # the number of an axis, or of an index, at this point of the loops


@dataclass(frozen=True)
class _Cut:
    """One axis of a cut array: its size, and where a block begins in it and how long it is there.

    A carried part begins at 0 and is there in full. `place` is the axis of the tile along it, None where the
    tile has none.
    """

    size: int
    length: int
    start: Callable[[Where], Any]
    part: Part | None = None
    place: int | None = None


def _at_zero(where: Where) -> int:
    del where
    return 0


@dataclass(frozen=True)
class _Side:
    """How one axis of an array is cut: elements before it, its padded size, and the axes it becomes."""

    before: int
    padded: int
    cuts: tuple[_Cut, ...]


class Blocks:
    """The blocks that one load or store touches."""

    def __init__(self, access: Access, plan: Plan):
        self._shape = tuple(along.size for along in access)
        self._sides = tuple(_side(along, plan) for along in access)
        self._cuts = [cut for side in self._sides for cut in side.cuts]
        self._carried = [_axis_of(part, self._cuts) for part in plan.carried]
        inner = [i for i, cut in enumerate(self._cuts) if cut.part is None]
        self._order = [i for i in self._carried if i is not None] + inner
        self._places = [i for i in inner if self._cuts[i].place is not None]

    # -- loads ---------------------------------------------------------------------------------------------

    def prepare(self, array: jax.Array, fill: Any) -> jax.Array:
        """Returns an array in which every block is a slice, with `fill` beyond the original."""
        return lax.transpose(self._cut(array, fill), self._order)

    def read(self, prepared: jax.Array, where: Where, shape: Sequence[int]) -> jax.Array:
        """Returns a block: carried axes, of size 1 where the array has not, then the axes of the tile."""
        cuts = [self._cuts[i] for i in self._order]
        block = _sliced(prepared, [cut.start(where) for cut in cuts], [cut.length for cut in cuts])
        return block.reshape(*self._carried_sizes(), *shape)

    def _carried_sizes(self) -> list[int]:
        return [1 if i is None else self._cuts[i].size for i in self._carried]

    # -- stores --------------------------------------------------------------------------------------------

    def empty(self, dtype: Any) -> jax.Array:
        """Returns zeros in which every block is a slice."""
        return jnp.zeros([cut.size for cut in self._cuts], dtype)

    def write(
        self, buffer: jax.Array, block: jax.Array, mask: jax.Array | None, where: Where
    ) -> jax.Array:
        """Returns a buffer with a block, which has carried axes and then those of the tile, written."""
        given = block.shape[len(self._carried) :]
        block = self._placed(block, given)
        whole = block.shape == buffer.shape
        starts = [as_index(cut.start(where)) for cut in self._cuts]
        if mask is not None:
            before = buffer if whole else lax.dynamic_slice(buffer, starts, block.shape)
            block = lax.select(self._placed(mask, given), block, before)
        return block if whole else lax.dynamic_update_slice(buffer, block, starts)

    def _placed(self, block: jax.Array, tile: Sequence[int]) -> jax.Array:
        """Returns a block in the order in which a buffer has its axes."""
        full = (*self._carried_sizes(), *tile)
        block = block.reshape(*block.shape, *(1,) * (len(full) - block.ndim))
        block = lax.broadcast_in_dim(block, full, range(block.ndim))
        lengths = [cut.length for cut in self._cuts]
        block = block.reshape([lengths[i] for i in self._order])
        return lax.transpose(block, [self._order.index(i) for i in range(len(self._order))])

    def finish(self, buffer: jax.Array) -> jax.Array:
        """Returns the array that was written, without what lies beyond it."""
        array = buffer.reshape([math.prod(cut.size for cut in side.cuts) for side in self._sides])
        if array.shape == self._shape:
            return array
        begin = [side.before for side in self._sides]
        end = [side.before + n for side, n in zip(self._sides, self._shape, strict=True)]
        return lax.slice(array, begin, end)

    # ------------------------------------------------------------------------------------------------------

    def _cut(self, array: jax.Array, fill: Any) -> jax.Array:
        config = [
            (side.before, side.padded - side.before - n, 0)
            for side, n in zip(self._sides, self._shape, strict=True)
        ]
        if any(low or high for low, high, _ in config):
            array = lax.pad(array, jnp.asarray(fill, array.dtype), config)
        return array.reshape([cut.size for cut in self._cuts])


def _side(along: Along, plan: Plan) -> _Side:
    digits = plan.digits(along)
    if digits is None:
        return _joined(along)
    if not digits:
        assert along.start is not None
        start = along.start.constant
        size = max(along.size, start + along.block)
        return _Side(0, size, (_Cut(size, along.block, lambda _: start, place=along.place),))
    cuts: list[_Cut] = []
    for digit, inner in zip(digits, (*digits[1:], None), strict=True):
        cuts += _cuts(digit, along, plan, last=inner is None)
    return _Side(0, digits[0].period, tuple(cuts))


def _cuts(digit: Digit, along: Along, plan: Plan, last: bool) -> list[_Cut]:
    axis, count = digit.axis, digit.period // digit.weight
    whole = last and axis in plan.whole
    if whole:
        return [_Cut(digit.period, digit.period, _at_zero, place=along.place)]
    if isinstance(axis, Part) and axis.carried:
        assert count == axis.steps, "a carried axis walks all of its digit"
        own = _Cut(count, count, _at_zero, part=axis)
        return [own, _Cut(along.block, along.block, _at_zero, place=along.place)] if last else [own]
    if last:
        return [_Cut(digit.period, along.block, _start(axis, along.block), place=along.place)]
    return [_Cut(count, 1, _start(axis, 1))]


def _start(axis: Hashable, step: int) -> Callable[[Where], Any]:
    return lambda where: where(axis) * step


def _joined(along: Along) -> _Side:
    """An axis at an index of any kind: padded by a block on both sides, so that no slice is moved."""
    n, block = along.size, along.block
    if along.counts_blocks:  # and stays within the array: nothing to pad but its last block

        def at(where: Where) -> Any:
            return as_place(where(along.index)) * block

        padded = -(-n // block) * block
        return _Side(0, padded, (_Cut(padded, block, at, place=along.place),))

    def start(where: Where) -> Any:
        return jnp.clip(as_place(where(along.index)) * along.unit, -block, n) + block

    cut = _Cut(n + 2 * block, block, start, place=along.place)
    return _Side(block, n + 2 * block, (cut,))


def _axis_of(part: Part, cuts: Sequence[_Cut]) -> int | None:
    return next((i for i, cut in enumerate(cuts) if cut.part is part), None)


def _sliced(array: jax.Array, starts: Sequence[Any], sizes: Sequence[int]) -> jax.Array:
    if all(isinstance(start, int) for start in starts):
        if tuple(sizes) == array.shape:
            return array
        return lax.slice(array, starts, [s + n for s, n in zip(starts, sizes, strict=True)])
    return lax.dynamic_slice(array, [as_index(start) for start in starts], sizes)
