"""Flash attention: a block of queries against blocks of keys, with a running maximum and sum per query.

    top = sink or -large,  total = 1 or 0,  out = 0
    for j over the blocks of keys that a query of the block may see:
        s = scale q k_j^T, hidden scores -large
        peak = max(top, max s),  p = exp(s - peak),  shrink = exp(top - peak)
        total = shrink total + sum p,  out = shrink out + p v_j,  top = peak
    out / total

Causal masks and windows bound the loop at run time: blocks in which no query sees a key are skipped. Source:
Milakov and Gimelshein 2018 (online softmax); Dao et al. 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects import builtin
from xdsl.dialects.builtin import FixedBitwidthType
from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms, Axes, Labels, operand_labels
from tessera.lowering.match import dtype, param, shape
from tessera.lowering.tile_programs.blocks import (
    Blocks,
    Labelled,
    Program,
    Reading,
    positions,
    within,
)
from tessera.lowering.tile_programs.builder import Builder, Values, accumulator, no_program, tile_of
from tessera.lowering.tile_programs.elementwise import result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.product import inner_block
from tessera.lowering.tile_programs.space import Frame, Span

ROWS, KEYS = 0, 1  # the axes of a block of scores


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of attention: queries i, keys j, depth d, heads (g, r)."""
    given = operands_of(node)
    *batch, g, r, i, e = labels
    d, j = (axes.label(n) for n in (shape(given["q"])[-1], shape(given["k"])[-2]))
    of: dict[str, Labels] = {
        "q": (*batch, g, r, i, d),
        "k": (*batch, g, j, d),
        "v": (*batch, g, j, e),
        "mask": (*batch, g, r, i, j),
        "sinks": (g, r),
    }
    found: dict[str, Labelled] = {
        name: (value, operand_labels(of[name], shape(value))) for name, value in given.items()
    }
    return Reading(found, i, e, {"d": d, "j": j}, whole_columns=True)


@dataclass(frozen=True)
class _Sizes:
    """What the loop over keys needs to know: how many queries and keys there are, and in one block."""

    rows: int
    keys: int
    block: int
    block_keys: int
    causal: bool
    window: int | None

    @property
    def lead(self) -> int:
        """The position of the first query: the last one stands where the last key does."""
        return self.keys - self.rows


def _build(blocks: Blocks, node: Node, reading: Reading, frame: Frame) -> SSAValue:
    builder = blocks.builder
    rows, columns = frame.axes
    inner = {name: blocks.axes.resolved(atoms) for name, atoms in reading.inner.items()}
    if (
        any(len(atoms) > 1 for atoms in inner.values())
        or len(blocks.axes.resolved(reading.rows)) > 1
    ):
        raise no_program("a reshape cuts the queries, the keys or their depth")
    sizes = _sizes(blocks, node, reading, frame, inner)
    element = accumulator(element_of(dtype(node.operands[0])))
    depth = Span(blocks.axes.size(inner["d"]), blocks.axes.size(inner["d"]), builder.index(0), True)
    queries = frame.with_span((rows, inner["d"]), (inner["d"], depth))
    q = blocks.whole(reading.operands["q"], queries, space="shared")
    start, stop = _reach(builder, frame, sizes)

    def step(place: SSAValue, carried: Values) -> Values:
        span = Span(sizes.keys, sizes.block_keys, place, reduced=True)
        of = {
            name: queries.with_span(axes, (inner["j"], span))
            for name, axes in (
                ("k", (inner["j"], inner["d"])),
                ("v", (inner["j"], columns)),
                ("scores", (rows, inner["j"])),
            )
        }
        k, v = (blocks.whole(reading.operands[n], of[n], fill=0.0, space="shared") for n in "kv")
        scores = builder.dot(q, k, transpose_b=True)
        scores = builder.map("mul", scores, builder.full(param(node, "scale"), element))
        seen = _seen(blocks, reading, of["scores"], sizes)
        return _accumulated(builder, scores, seen, v, carried)

    begin = _begin(blocks, reading, frame, element)
    _, total, out = builder.loop(
        step, begin, start=start, stop=stop, stages=blocks.stages, name="j"
    )
    return builder.cast(_normalised(builder, out, total), result_element(node))


def _sizes(
    blocks: Blocks, node: Node, reading: Reading, frame: Frame, inner: dict[str, Atoms]
) -> _Sizes:
    element = element_of(dtype(node.operands[0]))
    assert isinstance(element, FixedBitwidthType)
    keys, depth = (blocks.axes.size(inner[name]) for name in "jd")
    block, width = frame.sizes
    # The block of queries stays in the scratch beside the keys and values in flight.
    taken = block * depth * element.size
    block_keys = inner_block(keys, (depth + width) * element.size, blocks.stages, taken)
    rows = blocks.axes.size(blocks.axes.resolved(reading.rows))
    return _Sizes(rows, keys, block, block_keys, param(node, "causal"), param(node, "window"))


def _reach(builder: Builder, frame: Frame, sizes: _Sizes) -> tuple[SSAValue | None, int | SSAValue]:
    """Returns the first block of keys a block of queries may see, and the one after the last."""
    stop: int | SSAValue = -(-sizes.keys // sizes.block_keys)
    if not sizes.causal and sizes.window is None:
        return None, stop
    atoms = frame.axes[ROWS]
    first = builder.index(sizes.lead)
    if atoms:
        row = builder.map("mul", frame.spans[atoms[0]].index, builder.index(sizes.block))
        first = builder.map("add", row, first)
    if sizes.causal:
        after = builder.map("add", first, builder.index(sizes.block))
        after = builder.map("min", after, builder.index(sizes.keys))
        stop = _block_at(builder, after, sizes.block_keys - 1, sizes)
    if sizes.window is None:
        return None, stop
    return _block_at(builder, first, 1 - sizes.window, sizes), stop


def _block_at(builder: Builder, place: SSAValue, offset: int, sizes: _Sizes) -> SSAValue:
    """Returns the block of keys that holds the key `offset` after a place, at least the first block."""
    moved = builder.map("add", place, builder.index(offset))
    moved = builder.map("max", moved, builder.index(0))
    return builder.map("div", moved, builder.index(sizes.block_keys))


def _seen(blocks: Blocks, reading: Reading, frame: Frame, sizes: _Sizes) -> SSAValue | None:
    """Returns which scores of a block count, or None if all do."""
    seen: SSAValue | None = None
    for condition in _conditions(blocks, reading, frame, sizes):
        seen = condition if seen is None else blocks.builder.map("and", seen, condition)
    return seen


def _conditions(
    blocks: Blocks, reading: Reading, frame: Frame, sizes: _Sizes
) -> Iterator[SSAValue]:
    builder = blocks.builder
    if "mask" in reading.operands:
        yield blocks.block(reading.operands["mask"], frame)
    if sizes.keys % sizes.block_keys:
        yield within(builder, frame, KEYS)
    if sizes.causal or sizes.window is not None:
        row, key = (_positions(builder, frame, place) for place in (ROWS, KEYS))
        own = builder.map("add", row, builder.full(sizes.lead, builtin.i32))
        back = builder.map("sub", own, key)
        if sizes.causal:
            yield builder.map("ge", back, builder.full(0, builtin.i32))
        if sizes.window is not None:
            yield builder.map("lt", back, builder.full(sizes.window, builtin.i32))


def _positions(builder: Builder, frame: Frame, place: int) -> SSAValue:
    if not frame.axes[place]:
        return builder.full(0, builtin.i32, [1, 1])
    return positions(builder, frame, place)


def _begin(blocks: Blocks, reading: Reading, frame: Frame, element: Attribute) -> list[SSAValue]:
    """Returns top, total and out before any key: a sink is a score that carries no value."""
    builder = blocks.builder
    column = [frame.sizes[ROWS], 1]
    out = builder.full(0, element, frame.sizes)
    if "sinks" not in reading.operands:
        return [
            builder.full(hidden(element), element, column),
            builder.full(0, element, column),
            out,
        ]
    sink = builder.cast(blocks.block(reading.operands["sinks"], frame), element)
    return [builder.spread(sink, column), builder.full(1, element, column), out]


def _accumulated(
    builder: Builder, scores: SSAValue, seen: SSAValue | None, v: SSAValue, carried: Values
) -> list[SSAValue]:
    """Returns top, total and out after a block of keys."""
    top, total, out = carried
    element = tile_of(scores).element
    if seen is not None:
        scores = builder.map("where", seen, scores, builder.full(hidden(element), element))
    peak = builder.map("max", top, builder.reduce("max", scores, KEYS))
    weights = builder.map("exp", builder.map("sub", scores, peak))
    if seen is not None:
        weights = builder.map("where", seen, weights, builder.full(0, element))
    shrink = builder.map("exp", builder.map("sub", top, peak))
    total = builder.map(
        "add", builder.map("mul", total, shrink), builder.reduce("sum", weights, KEYS)
    )
    narrow = builder.cast(weights, tile_of(v).element)
    return [peak, total, builder.dot(narrow, v, builder.map("mul", out, shrink))]


def _normalised(builder: Builder, out: SSAValue, total: SSAValue) -> SSAValue:
    """Returns out / total, and zeros for a query that sees nothing."""
    element = tile_of(total).element
    nothing = builder.map("eq", total, builder.full(0, element))
    return builder.map("div", out, builder.map("where", nothing, builder.full(1, element), total))


def hidden(element: Attribute) -> float:
    """Returns a score below any real one that stays finite when another is subtracted from it.

    >>> hidden(builtin.f32) > float("-inf")
    True
    """
    kind: Any = np.float64 if element == builtin.f64 else np.float32
    return float(kind(-0.7 * float(np.finfo(kind).max)))


ATTENTION = Program(_read, _build)
