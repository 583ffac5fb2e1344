"""Flash attention: a block of queries against blocks of keys, with a running maximum and sum per query.

    top = sink log2 e or -large,  total = 1 or 0,  out = 0
    for j over the blocks of keys that a query of the block may see:
        s = scale log2 e q k_j^T, hidden scores -large
        peak = max(top, max s),  p = 2^(s - peak),  shrink = 2^(top - peak)
        total = shrink total + sum p,  out = shrink out + p v_j,  top = peak
    out / total,  and for a backward  top ln 2 + log total

Causal masks and windows bound the loop at run time: blocks in which no query sees a key are skipped, and
those in which every query sees every key have a loop of their own, without masks (`scores`). `p v` may run a
block late, beside the weights of the next block (`_adds_late`). Source: Milakov and Gimelshein 2018 (online
softmax); Dao et al. 2022; Shah et al. 2024 (the overlap).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import FixedBitwidthType
from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms, Axes, Labels, operand_labels
from tessera.lowering.match import dtype, shape
from tessera.lowering.tile_programs.blocks import COLUMNS, ROWS, Blocks
from tessera.lowering.tile_programs.builder import Builder, Values, no_program, tile_of
from tessera.lowering.tile_programs.config import Config
from tessera.lowering.tile_programs.elementwise import result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, sized
from tessera.lowering.tile_programs.reading import Labelled, Reading
from tessera.lowering.tile_programs.scores import (
    LOG2_E,
    Reach,
    Scores,
    Step,
    as_index,
    hidden,
    span_of,
)
from tessera.lowering.tile_programs.space import Frame, Span

MANY_WARPS, MANY_STAGES = 8, 3  # of a program that fills a multiprocessor


def read_operands(node: Node, outer: Labels, d: Atoms, j: Atoms, e: Atoms) -> dict[str, Labelled]:
    """Labels the operands of attention or its backward: keys j, depths d and e.

    `outer` are the labels of the batch, the heads (g, r) and the queries i.
    """
    *batch, g, r, i = outer
    of: dict[str, Labels] = {
        "q": (*outer, d),
        "k": (*batch, g, j, d),
        "v": (*batch, g, j, e),
        "mask": (*batch, g, r, i, j),
        "sinks": (g, r),
        "out": (*outer, e),
        "logsumexp": outer,
        "ct": (*outer, e),
    }
    return {
        name: (value, operand_labels(of[name], shape(value)))
        for name, value in operands_of(node).items()
    }


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    given = operands_of(node)
    d, j = (axes.label(n) for n in (shape(given["q"])[-1], shape(given["k"])[-2]))
    outer, e = labels[:-1], labels[-1]
    results = (labels, outer)[: len(node.results)]
    found = read_operands(node, outer, d, j, e)
    return Reading(found, results, labels[-2], e, {"d": d, "j": j})


def uncut(task: Task, *axes: Atoms) -> tuple[Atoms, ...]:
    """Returns the atoms of axes; raises `E_TILE_LOWERING` where a reshape has cut one."""
    found = tuple(task.axes.resolved(atoms) for atoms in axes)
    if any(len(atoms) > 1 for atoms in found):
        raise no_program("a reshape cuts the queries, the keys or their depth")
    return found


def bytes_each(task: Task) -> int:
    """Returns the size of an element of q, k and v."""
    element = element_of(dtype(task.node.operands[0]))
    assert isinstance(element, FixedBitwidthType)
    return element.size


def _kernels(task: Task) -> Sequence[Kernel]:
    reading, size = task.reading, task.axes.size
    task = replace(task, config=task.config.for_columns(size(reading.columns)))
    i, e, d, j = uncut(task, reading.rows, reading.columns, *reading.inner.values())
    depth, width = task.config.depth_block(size(d)), task.config.whole_block(size(e))

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        return _build(task, blocks, frame, d, j)

    return (
        Kernel(
            build,
            (i, e),
            sized((i, task.row_block(i)), (d, depth), (e, width)),
            task.walked(0, e),
            task.wanted_of({0: (i, e), 1: (i, e)}),
        ),
    )


def _build(task: Task, blocks: Blocks, frame: Frame, d: Atoms, j: Atoms) -> Mapping[int, SSAValue]:
    builder = blocks.builder
    scores, config = Scores.of(task), task.config
    queries = frame.with_span((frame.axes[ROWS], d))
    q = blocks.whole(task.reading.operands["q"], queries, fill=0.0, space="shared")
    # The block of queries stays in the scratch beside the keys and values in flight.
    block, depth = queries.sizes
    each = bytes_each(task)
    keys = config.inner_block(
        scores.keys, (depth + frame.sizes[COLUMNS]) * each, block * depth * each
    )
    walk = _Walk(task, blocks, frame, scores, q, d, j, keys)
    begin = _begin(task, blocks, frame, scores.element)
    top, total, out = walk.late(begin) if _adds_late(config) else walk.plain(begin)
    found = {0: builder.cast(_normalised(builder, out, total), result_element(task.node))}
    if 1 in task.wanted:
        log = builder.map("log", _total(builder, total))
        top = builder.map("mul", top, builder.full(1 / LOG2_E, scores.element))
        found[1] = builder.cast(builder.map("add", top, log), result_element(task.node, 1))
    return found


def _adds_late(config: Config) -> bool:
    """Returns whether products with values run one block late, beside the weights of the next block.

    It costs a product and registers for the weights, and pays where a program of many warps has a
    multiprocessor to itself: nothing else keeps the matrix units busy while weights are computed.
    """
    return config.warps is not None and config.warps >= MANY_WARPS and config.stages >= MANY_STAGES


@dataclass(frozen=True)
class _Walk:
    """A block of queries `q` on its way over the blocks of `keys` keys that it reaches."""

    task: Task
    blocks: Blocks
    frame: Frame
    scores: Scores
    q: SSAValue
    d: Atoms
    j: Atoms
    keys: int

    @property
    def reach(self) -> Reach:
        """The blocks of keys to walk."""
        queries = span_of(self.frame, self.frame.axes[ROWS])
        return self.scores.keys_seen(self.blocks.builder, queries, self.keys)

    def plain(self, begin: Values) -> Values:
        """Returns top, total and out after all keys."""
        builder = self.blocks.builder

        def step(place: SSAValue, carried: Values, clear: bool) -> Values:
            top, total, out = carried
            k, v = self._loaded("k", place), self._loaded("v", place)
            products = builder.dot(self.q, k, transpose_b=True)
            top, total, shrink, weights = self._weighed(products, place, clear, top, total)
            return [top, total, _added(self.blocks, out, shrink, weights, v)]

        return self._over(step, begin)

    def late(self, begin: Values) -> Values:
        """Returns the same; a step adds the values of the block before, weighed when it was walked.

        An infinite value in the first block becomes NaN, since it is once taken with weights 0.
        """
        builder, element, reach = self.blocks.builder, self.scores.element, self.reach
        first = as_index(builder, reach.start)

        def before(place: SSAValue) -> SSAValue:
            # Before the first block stands that block itself, with weights 0.
            return builder.map("max", builder.map("add", place, builder.index(-1)), first)

        def step(place: SSAValue, carried: Values, clear: bool) -> Values:
            top, total, out, shrink, weights = carried
            k, v = self._loaded("k", place), self._loaded("v", before(place))
            products = builder.dot(self.q, k, transpose_b=True)
            out = _added(self.blocks, out, shrink, weights, v)
            top, total, shrink, weights = self._weighed(products, place, clear, top, total)
            return [top, total, out, shrink, weights]

        rows = self.frame.sizes[ROWS]
        shrink, weights = (
            builder.full(1, element, [rows, 1]),
            builder.full(0, element, [rows, self.keys]),
        )
        top, total, out, shrink, weights = self._over(step, [*begin, shrink, weights])
        v = self._loaded("v", before(as_index(builder, reach.stop)))
        return [top, total, _added(self.blocks, out, shrink, weights, v)]

    def _over(self, step: Step, begin: Values) -> Values:
        builder, stages = self.blocks.builder, self.task.config.stages
        return self.reach.walk(builder, step, begin, stages=stages, name="j")

    def _span(self, place: SSAValue) -> tuple[Atoms, Span]:
        return self.j, Span(self.scores.keys, self.keys, place, reduced=True)

    def _loaded(self, name: str, place: SSAValue) -> SSAValue:
        depth = {"k": self.d, "v": self.frame.axes[COLUMNS]}[name]
        at = self.frame.with_span((self.j, depth), self._span(place))
        return self.blocks.whole(self.task.reading.operands[name], at, fill=0.0, space="shared")

    def _weighed(
        self, products: SSAValue, place: SSAValue, clear: bool, top: SSAValue, total: SSAValue
    ) -> tuple[SSAValue, SSAValue, SSAValue, SSAValue]:
        """Returns top and total after a block, what shrinks what came before, and the block's weights."""
        at = self.frame.with_span((self.frame.axes[ROWS], self.j), self._span(place))
        seen = None
        if not clear:
            seen = self.scores.seen(self.task, self.blocks, at, queries=ROWS, keys=COLUMNS)
        return _weighed(self.blocks.builder, self.scores, products, seen, top, total)


def _begin(task: Task, blocks: Blocks, frame: Frame, element: Attribute) -> list[SSAValue]:
    """Returns top, total and out before any key: a sink is a score that carries no value."""
    builder = blocks.builder
    column = [frame.sizes[ROWS], 1]
    out = builder.full(0, element, frame.sizes)
    if "sinks" not in task.reading.operands:
        return [
            builder.full(hidden(element), element, column),
            builder.full(0, element, column),
            out,
        ]
    sink = builder.cast(blocks.block(task.reading.operands["sinks"], frame), element)
    sink = builder.map("mul", sink, builder.full(LOG2_E, element))
    return [builder.spread(sink, column), builder.full(1, element, column), out]


def _weighed(
    builder: Builder,
    scores: Scores,
    products: SSAValue,
    seen: SSAValue | None,
    top: SSAValue,
    total: SSAValue,
) -> tuple[SSAValue, SSAValue, SSAValue, SSAValue]:
    """Returns top, total, shrink and weights of products q k^T; `seen` is None where all of them count."""
    element = scores.element
    scaled = builder.map("mul", products, builder.full(scores.scale2, element))
    if seen is not None:
        scaled = builder.map("where", seen, scaled, builder.full(hidden(element), element))
        peak = builder.reduce("max", scaled, COLUMNS)
    else:
        # Scaling the largest product leaves `scaled` to be one multiply-add with what is subtracted from it.
        largest = builder.reduce("max" if scores.scale2 >= 0 else "min", products, COLUMNS)
        peak = builder.map("mul", largest, builder.full(scores.scale2, element))
    peak = builder.map("max", top, peak)
    weights = builder.map("exp2", builder.map("sub", scaled, peak))
    if seen is not None:
        weights = builder.map("where", seen, weights, builder.full(0, element))
    shrink = builder.map("exp2", builder.map("sub", top, peak))
    total = builder.map(
        "add", builder.map("mul", total, shrink), builder.reduce("sum", weights, COLUMNS)
    )
    return peak, total, shrink, weights


def _added(
    blocks: Blocks, out: SSAValue, shrink: SSAValue, weights: SSAValue, v: SSAValue
) -> SSAValue:
    """Returns shrink out + weights v, on a GPU with weights in the dtype of v, as its matrix units want."""
    builder = blocks.builder
    if blocks.config.warps is None:
        v = builder.cast(v, tile_of(weights).element)
    else:
        # Carried weights are wide and narrowed here: so Triton keeps them in registers for the product.
        weights = builder.cast(weights, tile_of(v).element)
    return builder.dot(weights, v, builder.map("mul", out, shrink))


def _normalised(builder: Builder, out: SSAValue, total: SSAValue) -> SSAValue:
    """Returns out / total, and zeros for a query that sees nothing."""
    return builder.map("div", out, _total(builder, total))


def _total(builder: Builder, total: SSAValue) -> SSAValue:
    """Returns the sum of weights, 1 for a query that sees nothing."""
    element = tile_of(total).element
    nothing = builder.map("eq", total, builder.full(0, element))
    return builder.map("where", nothing, builder.full(1, element), total)


ATTENTION = Program(_read, _kernels)
