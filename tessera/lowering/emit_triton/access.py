"""Where a load or store reaches: offsets from the start of an array, and a mask where it may overrun.

    load %x, %i, %k: 128x64 of 300x512   →   at_i[:, None] * 512 + at_k[None, :],  (at_i < 300)[:, None]

A mask has a condition for every axis along which no bound on the indices proves that the block fits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, StringAttr
from xdsl.ir import SSAValue

from tessera.ir.attributes import integers
from tessera.ir.tile import Load, Store, Tile
from tessera.lowering.emit_triton.intervals import Interval, interval

LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Along:
    """One axis of an access: `block` elements from `index`; `place` is the axis of the tile, if any."""

    index: SSAValue
    size: int
    stride: int
    block: int
    counts_blocks: bool
    place: int | None

    @property
    def reach(self) -> Interval:
        """The first and the last element the block may touch."""
        found = interval(self.index)
        scale = self.block if self.counts_blocks else 1
        if self.counts_blocks:  # within the array, by the rules of the level
            last = max(0, -(-self.size // self.block) - 1)
            found = Interval(max(found.low, 0), min(found.high, last))
        return Interval(found.low * scale, found.high * scale + self.block - 1)

    @property
    def overruns(self) -> bool:
        """Whether the block may reach beyond the end of the axis."""
        return self.reach.high >= self.size

    @property
    def underruns(self) -> bool:
        """Whether the block may reach beyond the start of the axis."""
        return self.reach.low < 0

    @property
    def furthest(self) -> float:
        """How far from the start of the array this axis alone may lead, in elements."""
        reach = self.reach
        return max(abs(reach.low), reach.high, self.size) * self.stride


def accessed(op: Load | Store) -> tuple[Along, ...]:
    """Returns the axes of an access, in the array's order."""
    array, tile = (op.source, op.result) if isinstance(op, Load) else (op.target, op.value)
    assert isinstance(array.type, Tile)
    assert isinstance(tile.type, Tile)
    shape, sizes = array.type.sizes, tile.type.sizes
    block = integers(op.block_shape) if isinstance(op.block_shape, DenseArrayBase) else sizes
    places = iter([place for place, n in enumerate(sizes) if n != 1])
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return tuple(
        Along(index, size, stride, n, unit == "block", None if n == 1 else next(places))
        for index, size, stride, n, unit in zip(
            op.indices, shape, strides, block, _units(op), strict=True
        )
    )


def needs_int64(axes: Sequence[Along]) -> bool:
    """Returns whether offsets along these axes together may exceed 32 bits."""
    return sum(axis.furthest for axis in axes) > LARGEST_INT32


def _units(op: Load | Store) -> Sequence[str]:
    if not isinstance(op.unit, ArrayAttr):
        return ["block"] * len(op.indices)
    return [unit.data for unit in op.unit.data if isinstance(unit, StringAttr)]
