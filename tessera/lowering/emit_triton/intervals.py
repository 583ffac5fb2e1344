"""Between which numbers an index lies: what proves that a block stays within its array.

Grid places and loops have known bounds; arithmetic carries them on. What is loaded from an array is unknown.
"""

import math
from dataclasses import dataclass

from xdsl.dialects import builtin
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import BlockArgument, SSAValue

from tessera.ir.attributes import integers
from tessera.ir.tile import Cast, For, Full, Func, Map


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included; infinite where unknown."""

    low: float
    high: float


UNKNOWN = Interval(-math.inf, math.inf)


def interval(index: SSAValue) -> Interval:
    """Returns bounds of an index, or of a whole number without axes."""
    if isinstance(index, BlockArgument):
        return _of_argument(index)
    op = index.owner
    if isinstance(op, Full):
        if op.operands:
            return interval(op.operands[0])
        assert isinstance(op.value, IntegerAttr), op
        return Interval(op.value.value.data, op.value.value.data)
    if isinstance(op, Cast):
        return interval(op.source)
    if isinstance(op, Map) and isinstance(op.result.type, builtin.IndexType):
        return of_map(op.function.data, interval(op.operands[0]), interval(op.operands[1]))
    return UNKNOWN


def _of_argument(index: BlockArgument) -> Interval:
    owner = index.owner.parent_op()
    if isinstance(owner, Func):
        return Interval(0, integers(owner.grid)[index.index - len(owner.arrays)] - 1)
    if isinstance(owner, For) and index.index == 0:
        first, stop = loop_interval(owner)
        return Interval(first.low, stop.high - 1)
    return UNKNOWN


def loop_interval(loop: For) -> tuple[Interval, Interval]:
    """Returns bounds of a loop's start and stop."""
    bounds = [interval(value) for value in loop.bounds]
    start = 0 if loop.start is None else loop.start.value.data
    first = bounds[0] if len(bounds) == 2 else Interval(start, start)
    if bounds:
        return first, bounds[-1]
    assert loop.stop is not None, "a loop has a stop"
    return first, Interval(loop.stop.value.data, loop.stop.value.data)


def of_map(name: str, a: Interval, b: Interval) -> Interval:
    """Returns bounds of a function of two indices.

    >>> of_map("add", Interval(0, 3), Interval(-1, 1))
    Interval(low=-1, high=4)
    """
    if name == "add":
        return Interval(a.low + b.low, a.high + b.high)
    if name == "sub":
        return Interval(a.low - b.high, a.high - b.low)
    if name == "max":
        return Interval(max(a.low, b.low), max(a.high, b.high))
    if name == "min":
        return Interval(min(a.low, b.low), min(a.high, b.high))
    if name == "mul":
        corners = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        return Interval(min(corners), max(corners))
    if name == "div" and b.low == b.high and b.low > 0:
        return Interval(_floor_divided(a.low, b.low), _floor_divided(a.high, b.low))
    if name == "rem" and b.low == b.high and b.low > 0 and a.low >= 0:
        return Interval(0, min(a.high, b.low - 1))
    return UNKNOWN


def _times(x: float, y: float) -> float:
    return 0 if x == 0 or y == 0 else x * y  # inf * 0 is NaN


def _floor_divided(x: float, y: float) -> float:
    return x if math.isinf(x) else x // y
