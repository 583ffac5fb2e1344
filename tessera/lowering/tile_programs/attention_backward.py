"""Backward of flash attention: weights are computed again, block by block, from the log of their sums.

    p = 2^(scale log2 e q k^T - log2 e logsumexp),   delta = rowsum(ct out)
    dv = p^T ct,   ds = p (ct v^T - delta),   dq = scale ds k,   dk = scale ds^T q
    dsinks = -sum over queries of exp(sinks - logsumexp) delta

    delta     a block of queries at a time, into a temporary array
    keys      a block of keys: a loop over the query heads that share it and the blocks of queries that may
              see it makes dk and dv; scores stand in it as (keys, queries), so no product turns its result
    queries   a block of queries: a loop over the blocks of keys it may see makes dq
    sinks     a head: a loop over the blocks of queries

Blocks in which every score counts have loops of their own, without masks (`scores`). Every sum has a fixed
order; nothing is added to memory. Source: Dao et al. 2022; Dao 2023.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.ir import SSAValue

from tessera.ir.graph import Node
from tessera.lowering.axes import Atoms, Axes, Labels
from tessera.lowering.match import shape
from tessera.lowering.tile_programs.attention import bytes_each, read_operands, uncut
from tessera.lowering.tile_programs.blocks import COLUMNS, ROWS, Blocks
from tessera.lowering.tile_programs.builder import Builder, Values, tile_of
from tessera.lowering.tile_programs.elementwise import result_element, widened
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, Temporary, sized
from tessera.lowering.tile_programs.reading import Reading
from tessera.lowering.tile_programs.scores import LOG2_E, Reach, Scores, span_of
from tessera.lowering.tile_programs.space import Frame, Span

DQ, DK, DV, DSINKS = range(4)  # the results, in order


def _read(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels by those of dq; results are labelled like what they are gradients of."""
    given = operands_of(node)
    outer, d = labels[:-1], labels[-1]
    j, e = (axes.label(n) for n in shape(given["v"])[-2:])
    found = read_operands(node, outer, d, j, e)
    heads = outer[:-1]
    shared: Labels = outer[:-2]
    results = (labels, (*shared, j, d), (*shared, j, e), heads)[: len(node.results)]
    return Reading(found, results, outer[-1], d, {"r": outer[-2], "j": j, "e": e})


@dataclass(frozen=True)
class _Attention:
    """The axes of the scores and their depths, and how many elements of each a block holds."""

    task: Task
    scores: Scores
    i: Atoms
    j: Atoms
    d: Atoms
    e: Atoms

    @classmethod
    def of(cls, task: Task) -> "_Attention":
        of = task.reading
        task = replace(task, config=task.config.for_columns(task.axes.size(of.columns)))
        i, j, d, e = uncut(task, of.rows, of.inner["j"], of.columns, of.inner["e"])
        return cls(task, Scores.of(task), i, j, d, e)

    @property
    def depths(self) -> dict[int, int]:
        """The blocks of the depths, which are held whole."""
        whole, size = self.task.config.depth_block, self.task.axes.size
        return sized(*((atoms, whole(size(atoms))) for atoms in (self.d, self.e)))

    def rows(self, atoms: Atoms) -> int:
        """The block of queries or keys that one program holds."""
        return self.task.row_block(atoms)

    def inner(self, walked: Atoms, held: Atoms) -> int:
        """The block of queries or keys that a loop walks while a program holds a block of the other."""
        both = [self.depths.get(atoms[0], 1) if atoms else 1 for atoms in (self.d, self.e)]
        each = sum(both) * bytes_each(self.task)
        return self.task.config.inner_block(
            self.task.axes.size(walked), each, self.rows(held) * each
        )

    def span(self, atoms: Atoms, block: int, place: SSAValue) -> tuple[Atoms, Span]:
        """How a loop walks an axis: what lies beyond it must not count."""
        return atoms, Span(self.task.axes.size(atoms), block, place, reduced=True)

    def loaded(self, blocks: Blocks, frame: Frame, rows: Atoms, *names: str) -> list[SSAValue]:
        """Returns blocks of q, k, v or ct, 0 beyond what a loop walks and beyond their depth."""
        depth = {"q": self.d, "k": self.d, "v": self.e, "ct": self.e}
        operands = self.task.reading.operands
        return [
            blocks.whole(
                operands[name], frame.with_span((rows, depth[name])), fill=0.0, space="shared"
            )
            for name in names
        ]

    def statistics(self, blocks: Blocks, frame: Frame, queries: int) -> tuple[SSAValue, SSAValue]:
        """Returns logsumexp in base 2 and delta along the queries, one axis of a frame."""
        axes = (atoms if place == queries else () for place, atoms in enumerate(frame.axes))
        frame = frame.with_span(tuple(axes))
        # A query beyond the last one has the weight 2^(s - inf) = 0.
        lse = blocks.block(self.task.reading.operands["logsumexp"], frame, fill=float("inf"))
        builder, element = blocks.builder, self.scores.element
        lse = builder.map("mul", builder.cast(lse, element), builder.full(LOG2_E, element))
        return lse, blocks.load_temporary("delta", frame, fill=0.0)


def _kernels(task: Task) -> Sequence[Kernel]:
    """Returns delta, then a kernel for each group of results that is wanted."""
    of = _Attention.of(task)
    made = (_key_kernel(of), _query_kernel(of), _sink_kernel(of))
    return (_delta_kernel(of), *(kernel for kernel in made if kernel.results))


# -- delta ---------------------------------------------------------------------------------------------


def _delta_kernel(of: _Attention) -> Kernel:
    task = of.task
    outer = tuple(task.axes.resolved(atoms) for atoms in task.reading.results[DQ][:-1])

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        builder, operands = blocks.builder, task.reading.operands
        ct, out = (
            widened(builder, blocks.whole(operands[name], frame, fill=0.0))
            for name in ("ct", "out")
        )
        delta = builder.reduce("sum", builder.map("mul", ct, out), COLUMNS)
        blocks.store_temporary("delta", delta, frame)
        return {}

    return Kernel(
        build,
        (of.i, of.e),
        {**of.depths, **sized((of.i, of.rows(of.i)))},
        task.walked(DQ, of.d),
        {},
        name="delta",
        writes={"delta": Temporary(outer, of.scores.element)},
    )


# -- keys ----------------------------------------------------------------------------------------------


def _key_kernel(of: _Attention) -> Kernel:
    task = of.task

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        builder, element = blocks.builder, of.scores.element
        k, v = of.loaded(blocks, frame, of.j, "k", "v")
        sizes = [frame.with_span((of.j, depth)).sizes for depth in (of.d, of.e)]
        zeros = [builder.full(0, element, size) for size in sizes]
        heads = task.axes.resolved(task.reading.inner["r"])
        queries = of.inner(of.i, of.j)
        reach = of.scores.queries_seeing(builder, span_of(frame, of.j), queries)

        def head(frame: Frame, carried: Values) -> Values:
            return _over_queries(of, blocks, frame, (k, v), queries, reach, carried)

        dk, dv = _over_heads(of, builder, frame, heads, head, zeros)
        dk = builder.map("mul", dk, builder.full(of.scores.scale, element))
        return {
            place: builder.cast(found, result_element(task.node, place))
            for place, found in ((DK, dk), (DV, dv))
        }

    return Kernel(
        build,
        (of.j, of.d),
        {**of.depths, **sized((of.j, of.rows(of.j)))},
        task.walked(DK, of.d),
        task.wanted_of({DK: (of.j, of.d), DV: (of.j, of.e)}),
        name="keys",
        reads=("delta",),
    )


def _over_heads(
    of: _Attention,
    builder: Builder,
    frame: Frame,
    heads: Atoms,
    head: Callable[[Frame, Values], Values],
    carried: Values,
) -> Values:
    """Returns what is carried over the query heads that share a key head: a loop for each atom."""
    if not heads:
        return head(frame, carried)
    first, rest = heads[:1], heads[1:]

    def step(place: SSAValue, carried: Values) -> Values:
        inside = frame.with_span(frame.axes, of.span(first, 1, place))
        return _over_heads(of, builder, inside, rest, head, carried)

    return builder.loop(step, carried, stop=of.task.axes.size(first), name="r")


def _over_queries(
    of: _Attention,
    blocks: Blocks,
    frame: Frame,
    held: tuple[SSAValue, SSAValue],
    queries: int,
    reach: Reach,
    carried: Values,
) -> Values:
    """Returns dk / scale and dv after all queries of one head, in blocks of `queries`."""
    builder, (k, v) = blocks.builder, held

    def step(place: SSAValue, carried: Values, clear: bool) -> Values:
        dk, dv = carried
        at = frame.with_span((of.j, of.i), of.span(of.i, queries, place))
        q, ct = of.loaded(blocks, at, of.i, "q", "ct")
        statistics = of.statistics(blocks, at, COLUMNS)
        products = builder.dot(k, q, transpose_b=True)
        grown = builder.dot(v, ct, transpose_b=True)
        seen = None if clear else of.scores.seen(of.task, blocks, at, queries=COLUMNS, keys=ROWS)
        weights, dscores = _gradients(of, builder, products, grown, statistics, seen)
        kind = tile_of(q).element
        return [
            builder.dot(builder.cast(dscores, kind), q, dk),
            builder.dot(builder.cast(weights, kind), ct, dv),
        ]

    return reach.walk(builder, step, carried, stages=blocks.config.stages, name="i")


# -- queries -------------------------------------------------------------------------------------------


def _query_kernel(of: _Attention) -> Kernel:
    task = of.task

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        builder, element = blocks.builder, of.scores.element
        q, ct = of.loaded(blocks, frame, of.i, "q", "ct")
        statistics = of.statistics(blocks, frame, ROWS)
        keys = of.inner(of.j, of.i)
        reach = of.scores.keys_seen(builder, span_of(frame, of.i), keys)

        def step(place: SSAValue, carried: Values, clear: bool) -> Values:
            at = frame.with_span((of.i, of.j), of.span(of.j, keys, place))
            k, v = of.loaded(blocks, at, of.j, "k", "v")
            products = builder.dot(q, k, transpose_b=True)
            grown = builder.dot(ct, v, transpose_b=True)
            seen = None if clear else of.scores.seen(task, blocks, at, queries=ROWS, keys=COLUMNS)
            _, dscores = _gradients(of, builder, products, grown, statistics, seen)
            return [builder.dot(builder.cast(dscores, tile_of(k).element), k, carried[0])]

        zero = builder.full(0, element, frame.sizes)
        (dq,) = reach.walk(builder, step, [zero], stages=blocks.config.stages, name="j")
        dq = builder.map("mul", dq, builder.full(of.scores.scale, element))
        return {DQ: builder.cast(dq, result_element(task.node, DQ))}

    return Kernel(
        build,
        (of.i, of.d),
        {**of.depths, **sized((of.i, of.rows(of.i)))},
        task.walked(DQ, of.d),
        task.wanted_of({DQ: (of.i, of.d)}),
        name="queries",
        reads=("delta",),
    )


def _gradients(
    of: _Attention,
    builder: Builder,
    products: SSAValue,
    grown: SSAValue,
    statistics: tuple[SSAValue, SSAValue],
    seen: SSAValue | None,
) -> tuple[SSAValue, SSAValue]:
    """Returns the weights p and p (grown - delta); `products` are q k^T and `grown` is ct v^T."""
    element, (lse, delta) = of.scores.element, statistics
    scaled = builder.map("mul", products, builder.full(of.scores.scale2, element))
    weights = builder.map("exp2", builder.map("sub", scaled, lse))
    if seen is not None:
        weights = builder.map("where", seen, weights, builder.full(0, element))
    return weights, builder.map("mul", weights, builder.map("sub", grown, delta))


# -- sinks ---------------------------------------------------------------------------------------------


def _sink_kernel(of: _Attention) -> Kernel:
    task = of.task
    results = task.wanted_of({DSINKS: ((), ())})

    def build(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
        builder, element = blocks.builder, of.scores.element
        sink = builder.cast(blocks.block(task.reading.operands["sinks"], frame), element)
        sink = builder.map("mul", sink, builder.full(LOG2_E, element))
        queries = task.config.inner_block(of.scores.queries)

        def step(place: SSAValue, carried: Values) -> Values:
            at = frame.with_span((of.i, ()), of.span(of.i, queries, place))
            lse, delta = of.statistics(blocks, at, ROWS)
            weights = builder.map("exp2", builder.map("sub", sink, lse))
            part = builder.reduce("sum", builder.map("mul", weights, delta), ROWS)
            return [builder.map("sub", carried[0], part)]

        zero = builder.full(0, element, frame.sizes)
        steps = -(-of.scores.queries // queries)
        stages = blocks.config.stages
        (found,) = builder.loop(step, [zero], stop=steps, stages=stages, name="i")
        return {DSINKS: builder.cast(found, result_element(task.node, DSINKS))}

    walks = task.walked(DSINKS) if results else ()
    return Kernel(build, ((), ()), {}, walks, results, name="sinks", reads=("delta",))


ATTENTION_BACKWARD = Program(_read, _kernels)
