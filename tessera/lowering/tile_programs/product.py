"""Matrix products: a block of rows and columns of the result, summed over blocks of the inner axis.

    acc = 0
    for k: acc += a[rows, k] b[k, columns]           loads of the next blocks in flight
    activation(acc + bias) + residual, cast, stored

The sum and the epilogue are in fp32 for operands of low precision. A sum over several axes has a loop for
each. A factor that stands in memory as (k, rows) or (columns, k) is loaded so, and the dot turns it. What
a product saves for its backward, acc + bias, is stored by the same kernel.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from xdsl.dialects.builtin import FixedBitwidthType
from xdsl.ir import SSAValue

from tessera.core import numerics
from tessera.ir.graph import Node
from tessera.ir.types import element_of
from tessera.lowering.axes import Atoms, Axes, Labels, dot_labels
from tessera.lowering.match import dtype, param, shape
from tessera.lowering.tile_programs.blocks import Blocks
from tessera.lowering.tile_programs.builder import Values, accumulator, no_program, tile_of
from tessera.lowering.tile_programs.config import SMALLEST_DEPTH
from tessera.lowering.tile_programs.elementwise import activate, result_element
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, sized
from tessera.lowering.tile_programs.reading import Labelled, Reading
from tessera.lowering.tile_programs.space import Frame, Span


def _read_matmul(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of activation(A @ B + bias) + residual."""
    given = operands_of(node)
    a, b = given["A"], given["B"]
    inner = axes.label(shape(a)[-1])
    batch, rows, columns = labels[:-2], labels[-2], labels[-1]
    found: dict[str, Labelled] = {
        "A": (a, (*batch, rows, inner)),
        "B": (b, (*(batch if len(shape(b)) > 2 else ()), inner, columns)),
    }
    if "bias" in given:
        found["bias"] = (given["bias"], (columns,))
    if "residual" in given:
        found["residual"] = (given["residual"], labels)
    results = (labels,) * len(node.results)
    return Reading(found, results, rows, columns, {"k": inner})


def _build_matmul(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    builder, node, reading = blocks.builder, task.node, task.reading
    a = reading.operands["A"][0]
    total = numerics.wider(param(node, "accumulate"), dtype(a))
    z = summed(blocks, reading, frame, total)
    if "bias" in reading.operands:
        bias = builder.cast(blocks.block(reading.operands["bias"], frame), tile_of(z).element)
        z = builder.map("add", z, bias)
    activation = param(node, "activation")
    y = z if activation is None else activate(builder, activation, z)
    if "residual" in reading.operands:
        residual = builder.cast(
            blocks.block(reading.operands["residual"], frame), tile_of(y).element
        )
        y = builder.map("add", y, residual)
    return {
        place: builder.cast(block, result_element(node, place))
        for place, block in ((0, y), (1, z))
        if place in task.wanted
    }


def _read_dot_general(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels the operands of a product; rows and columns are the last free axes."""
    (over, _), (batch, _) = param(node, "dimension_numbers")
    left, right = dot_labels(axes, node, labels)
    a, b = node.operands
    free = len(shape(a)) - len(over) - len(batch)
    ends = len(batch) + free
    rows = labels[ends - 1] if free else ()
    columns = labels[-1] if len(labels) > ends else ()
    inner = [atom for axis in over for atom in left[axis]]
    found = {"A": (a, left), "B": (b, right)}
    return Reading(found, (labels,), rows, columns, {"k": tuple(inner)})


def _build_dot_general(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    node = task.node
    wanted = param(node, "preferred_element_type") or dtype(node.results[0])
    total = numerics.wider(wanted, numerics.accumulator(dtype(node.operands[0])))
    found = summed(blocks, task.reading, frame, total)
    return {0: blocks.builder.cast(found, result_element(node))}


def _one(
    build: Callable[[Task, Blocks, Frame], Mapping[int, SSAValue]],
) -> Callable[[Task], Sequence[Kernel]]:
    """Returns what gives the one kernel of a product, whose grid walks blocks of rows and of columns."""

    def kernels(task: Task) -> Sequence[Kernel]:
        if task.config.padded:
            require_matrices(task.reading)
        rows, columns = task.last(task.reading.rows), task.last(task.reading.columns)

        def built(blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
            return build(task, blocks, frame)

        results = dict.fromkeys(range(len(task.reading.results)), (rows, columns))
        blocks = sized(
            (rows, task.row_block(task.reading.rows)),
            (columns, task.column_block(task.reading.columns)),
        )
        wanted = task.wanted_of(results)
        return (Kernel(built, (rows, columns), blocks, task.walked(0), wanted),)

    return kernels


def require_matrices(reading: Reading) -> None:
    """Raises `E_TILE_LOWERING` for a product without rows, columns or a sum, which is no dot of a GPU."""
    axes = {"row": reading.rows, "column": reading.columns, "term in each sum": reading.inner["k"]}
    for name, atoms in axes.items():
        if not atoms:
            raise no_program(
                f"a product with one {name} moves more than it computes and is no dot of blocks, whose axes "
                f"have at least {SMALLEST_DEPTH} elements"
            )


MATMUL = Program(_read_matmul, _one(_build_matmul))
DOT_GENERAL = Program(_read_dot_general, _one(_build_dot_general))


def summed(blocks: Blocks, reading: Reading, frame: Frame, total: Any) -> SSAValue:
    """Returns the block of A @ B, before any epilogue."""
    builder = blocks.builder
    a, b = reading.operands["A"], reading.operands["B"]
    element = element_of(dtype(a[0]))
    if dtype(a[0]) != dtype(b[0]) or not jnp.issubdtype(dtype(a[0]), jnp.floating):
        raise no_program(f"a dot is of floats of one dtype, not {dtype(a[0])} and {dtype(b[0])}")
    sum_element = accumulator(element)
    if element_of(total) != sum_element:
        raise no_program(
            f"a dot of {element} accumulates in {sum_element}, not in {element_of(total)}"
        )
    inner = blocks.axes.resolved(reading.inner["k"])
    last = blocks.axes.size(inner[-1:])
    assert isinstance(element, FixedBitwidthType)
    depth = blocks.config.inner_block(last, sum(frame.sizes) * element.size)
    start = builder.full(0, sum_element, frame.sizes)
    (found,) = _loops(blocks, reading, frame, inner, depth, (), [start])
    found.name_hint = "sum"
    return found


def _loops(
    blocks: Blocks,
    reading: Reading,
    frame: Frame,
    inner: Atoms,
    depth: int,
    outer: tuple[tuple[Atoms, Span], ...],
    carried: Values,
) -> Values:
    """Returns the sum over the atoms `inner`: a loop for each, the last in blocks of `depth`."""
    innermost = len(inner) <= 1
    atoms, size = inner[:1], blocks.axes.size(inner[:1])
    block, stages = (depth, blocks.config.stages) if innermost else (1, 1)

    def step(k: SSAValue, carried: Values) -> Values:
        spans = (*outer, (atoms, Span(size, block, k, reduced=True)))
        if not innermost:
            return _loops(blocks, reading, frame, inner[1:], depth, spans, carried)
        rows, columns = frame.axes
        x, x_turned = _factor(blocks, reading.operands["A"], frame.with_span((rows, atoms), *spans))
        y, y_turned = _factor(
            blocks, reading.operands["B"], frame.with_span((atoms, columns), *spans)
        )
        return [blocks.builder.dot(x, y, carried[0], transpose_a=x_turned, transpose_b=y_turned)]

    return blocks.builder.loop(step, carried, stop=-(-size // block), stages=stages)


def _factor(blocks: Blocks, labelled: Labelled, frame: Frame) -> tuple[SSAValue, bool]:
    """Returns the block of a factor, and whether its axes stand in the other order, as in memory."""
    turned = blocks.loads_turned(labelled, frame)
    if turned:
        frame = frame.with_span((frame.axes[1], frame.axes[0]))
    return blocks.whole(labelled, frame, fill=0.0, space="shared"), turned
