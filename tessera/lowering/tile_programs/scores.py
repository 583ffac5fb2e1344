"""Which scores of a block of queries and keys count, and which blocks have any: masks as bounds of loops.

Query i stands at position i + keys - queries, so the last query sees the last key. `causal` hides later
positions, `window` those that many or more back.

    keys →        · no score counts: not visited
    ■ ▪ · · ·     ■ clear: every score counts, nothing is compared or chosen
    ■ ■ ▪ · ·     ▪ edge: a score may be hidden, by the diagonal, a window, a mask or the end of the keys
    ■ ■ ■ ▪ ·

Scores are kept in base 2: they are scaled by `scale log2 e`, and weights are powers of 2, the exponential
that a GPU computes in one instruction.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.dialects import builtin
from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms
from tessera.lowering.match import dtype, param
from tessera.lowering.tile_programs.blocks import Blocks, positions, within
from tessera.lowering.tile_programs.builder import Builder, Values, accumulator
from tessera.lowering.tile_programs.program import Task
from tessera.lowering.tile_programs.space import Frame, Span

LOG2_E = 1 / math.log(2)  # log2 x = log x * LOG2_E

Bound = int | SSAValue
Step = Callable[[SSAValue, Values, bool], Values]  # block, carried values, whether it is clear


@dataclass(frozen=True)
class Reach:
    """The blocks one block reaches: [start, stop), of which it sees [clear_start, clear_stop) in full.

    Each bound is at least the one before it.
    """

    start: Bound
    clear_start: Bound
    clear_stop: Bound
    stop: Bound

    def walk(
        self, builder: Builder, step: Step, carried: Values, *, stages: int, name: str
    ) -> Values:
        """Returns the carried values after `step(block, carried, clear)` over the blocks in order."""
        parts = (
            (self.start, self.clear_start, False),
            (self.clear_start, self.clear_stop, True),
            (self.clear_stop, self.stop, False),
        )
        for start, stop, clear in parts:
            if start == stop:
                continue

            def body(place: SSAValue, carried: Values, clear: bool = clear) -> Values:
                return step(place, carried, clear)

            first = None if start == 0 else as_index(builder, start)
            carried = builder.loop(body, carried, start=first, stop=stop, stages=stages, name=name)
        return carried


@dataclass(frozen=True)
class Scores:
    """How many queries and keys there are, which count, and the dtype of what is computed with them."""

    queries: int
    keys: int
    causal: bool
    window: int | None
    masked: bool
    scale: float
    element: Attribute

    @classmethod
    def of(cls, task: Task) -> "Scores":
        """Returns those of an attention node or its backward."""
        node: Node = task.node
        labels = task.reading.operands
        queries, keys = (task.axes.size(labels[name][1][-2]) for name in "qk")
        element = accumulator(element_of(dtype(node.operands[0])))
        causal, window, scale = (param(node, name) for name in ("causal", "window", "scale"))
        return cls(queries, keys, causal, window, "mask" in labels, scale, element)

    @property
    def lead(self) -> int:
        """The position of the first query."""
        return self.keys - self.queries

    @property
    def scale2(self) -> float:
        """What a product of a query and a key is multiplied by to be a score in base 2."""
        return self.scale * LOG2_E

    def keys_seen(self, builder: Builder, queries: Span | None, block: int) -> Reach:
        """Returns the blocks of keys that a block of queries reaches; no span means one query."""
        first = _moved(builder, _start(builder, queries), self.lead)
        low = None if self.window is None else _moved(builder, first, 1 - self.window)
        high = first if self.causal else None
        return self._reach(builder, (low, high), _held(queries), self.keys, block)

    def queries_seeing(self, builder: Builder, keys: Span | None, block: int) -> Reach:
        """Returns the blocks of queries that reach a block of keys."""
        first = _moved(builder, _start(builder, keys), -self.lead)
        low = first if self.causal else None
        high = None if self.window is None else _moved(builder, first, self.window - 1)
        return self._reach(builder, (low, high), _held(keys), self.queries, block)

    def _reach(
        self,
        builder: Builder,
        bounds: tuple[SSAValue | None, SSAValue | None],
        held: int,
        length: int,
        block: int,
    ) -> Reach:
        """Returns the blocks that `held` entries reach along an axis.

        `bounds` are the first and the last element that the first entry sees, if there are such; each later
        entry sees one further.
        """
        low, high = bounds
        whole = length // block  # blocks that end within the axis
        start: Bound = 0
        stop: Bound = -(-length // block)
        if low is not None:
            start = _block_at(builder, low, 0, block)
        if high is not None:
            after = builder.map("min", _moved(builder, high, held), builder.index(length))
            stop = _block_at(builder, after, block - 1, block)
        if self.masked:
            return Reach(start, start, start, stop)
        clear_start: Bound = start
        clear_stop: Bound = whole
        if high is not None:
            clear_stop = _block_at(builder, high, 1, block)
            clear_stop = builder.map("min", clear_stop, builder.index(whole))
        if low is not None:
            first = _block_at(builder, low, held - 1 + block - 1, block)
            clear_start = builder.map("min", first, builder.index(whole))
            if high is not None:
                clear_stop = builder.map("max", clear_start, as_index(builder, clear_stop))
        return Reach(start, clear_start, clear_stop, stop)

    def seen(
        self, task: Task, blocks: Blocks, frame: Frame, queries: int, keys: int
    ) -> SSAValue | None:
        """Returns which scores of a block count, or None if all do; `queries` and `keys` are its axes.

        Keys beyond the last one do not count where they are summed over; queries beyond the last one may.
        """
        seen: SSAValue | None = None
        for condition in self._conditions(task, blocks, frame, queries, keys):
            seen = condition if seen is None else blocks.builder.map("and", seen, condition)
        return seen

    def _conditions(
        self, task: Task, blocks: Blocks, frame: Frame, queries: int, keys: int
    ) -> Iterator[SSAValue]:
        builder = blocks.builder
        if self.masked:
            yield blocks.block(task.reading.operands["mask"], frame)
        span = _span(frame, keys)
        if span is not None and span.reduced and span.ragged:
            yield within(builder, frame, keys)
        if self.causal or self.window is not None:
            row, key = (_positions(builder, frame, place) for place in (queries, keys))
            own = builder.map("add", row, builder.full(self.lead, builtin.i32))
            back = builder.map("sub", own, key)
            if self.causal:
                yield builder.map("ge", back, builder.full(0, builtin.i32))
            if self.window is not None:
                yield builder.map("lt", back, builder.full(self.window, builtin.i32))


def span_of(frame: Frame, atoms: Atoms) -> Span | None:
    """Returns how an axis is walked, or None for one of size 1."""
    return frame.spans[atoms[0]] if atoms else None


def as_index(builder: Builder, bound: Bound) -> SSAValue:
    """Returns a bound as an index of the program."""
    return builder.index(bound) if isinstance(bound, int) else bound


def hidden(element: Attribute) -> float:
    """Returns a score below any real one that stays finite when another is subtracted from it.

    >>> hidden(builtin.f32) > float("-inf")
    True
    """
    kind = np.float64 if element == builtin.f64 else np.float32
    return float(kind(-0.7 * float(np.finfo(kind).max)))


def _span(frame: Frame, place: int) -> Span | None:
    return span_of(frame, frame.axes[place])


def _start(builder: Builder, span: Span | None) -> SSAValue:
    """Returns the first element of a block."""
    if span is None:
        return builder.index(0)
    return builder.map("mul", span.index, builder.index(span.block))


def _held(span: Span | None) -> int:
    """Returns how many elements a block has."""
    return 1 if span is None else span.block


def _moved(builder: Builder, place: SSAValue, by: int) -> SSAValue:
    return builder.map("add", place, builder.index(by)) if by else place


def _block_at(builder: Builder, place: SSAValue, offset: int, block: int) -> SSAValue:
    """Returns the block that holds the element `offset` after a place, at least the first block."""
    moved = builder.map("max", _moved(builder, place, offset), builder.index(0))
    return builder.map("div", moved, builder.index(block))


def _positions(builder: Builder, frame: Frame, place: int) -> SSAValue:
    if not frame.axes[place]:
        return builder.full(0, builtin.i32, [1, 1])
    return positions(builder, frame, place)
