"""Ops of whole rows: softmax, rmsnorm, layernorm and sums. A block holds some rows and all of their columns.

    softmax    exp(x - max x) / sum exp(x - max x)
    rmsnorm    x rsqrt(mean(x^2) + eps) weight
    layernorm  (x - mean x) rsqrt(mean((x - mean x)^2) + eps) weight + bias

Computed in fp32 for rows of low precision. What a norm saves for its backward, one number per row, is stored
by the same kernel.
"""

import math
from collections.abc import Callable, Mapping

from xdsl.ir import SSAValue

from tessera.ir.graph import Node
from tessera.lowering.axes import Axes, Labels
from tessera.lowering.match import param, shape
from tessera.lowering.tile_programs.blocks import COLUMNS, Blocks, masked
from tessera.lowering.tile_programs.builder import no_program, tile_of
from tessera.lowering.tile_programs.elementwise import result_element, widened
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.program import Kernel, Program, Task, row_kernel
from tessera.lowering.tile_programs.reading import Labelled, Reading
from tessera.lowering.tile_programs.space import Frame

MOST_TURNED = 2**15  # elements of a block that a GPU turns in its registers


def _read_softmax(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Takes the axis of the softmax as columns, and as rows the last other one, which is walked in blocks."""
    del axes
    axis = param(node, "axis")
    rows = (*labels[:axis], *labels[axis + 1 :])
    found = {"x": (node.operands[0], labels)}
    return Reading(found, (labels,), rows[-1] if rows else (), labels[axis])


def _read_rows(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels a row operand like the result, and what has one number per column like a row of it."""
    del axes
    rank = len(labels)
    found: dict[str, Labelled] = {}
    for name, value in operands_of(node).items():
        found[name] = (value, labels[rank - len(shape(value)) :])
    saved: Labels = (*labels[:-1], ())
    results = (labels, *(saved for _ in node.results[1:]))
    return Reading(found, results, labels[-2] if rank > 1 else (), labels[-1])


def _read_reduction(axes: Axes, node: Node, labels: Labels) -> Reading:
    sizes = shape(node.operands[0])
    if tuple(param(node, "axes")) != (len(sizes) - 1,):
        raise no_program(f"{node.name} along axes {param(node, 'axes')}, not only the last")
    if not labels:
        raise no_program(f"{node.name} of one row, whose result has no axes")
    columns = axes.label(sizes[-1])
    found = {"x": (node.operands[0], (*labels, columns))}
    return Reading(found, (labels,), labels[-1], columns, beside=columns)


def _build_softmax(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    builder = blocks.builder
    x = widened(builder, blocks.whole(task.reading.operands["x"], frame, fill=float("-inf")))
    if param(task.node, "stable"):
        x = builder.map("sub", x, builder.reduce("max", x, COLUMNS))
    weights = builder.map("exp", x)
    found = builder.map("div", weights, builder.reduce("sum", weights, COLUMNS))
    return {0: builder.cast(found, result_element(task.node))}


def _build_rmsnorm(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    x = widened(blocks.builder, blocks.whole(task.reading.operands["x"], frame, fill=0.0))
    found, scale = _scaled(task, blocks, frame, x)
    return _as_results(task, blocks, found, scale)


def _build_layernorm(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    builder = blocks.builder
    x = widened(builder, blocks.whole(task.reading.operands["x"], frame, fill=0.0))
    mean = mean_of_rows(blocks, x, frame)
    centred = builder.map("sub", x, mean)
    columns = frame.axes[COLUMNS]
    if columns and frame.spans[columns[0]].ragged:
        centred = masked(builder, frame, COLUMNS, centred, 0.0)
    found, scale = _scaled(task, blocks, frame, centred)
    return _as_results(task, blocks, found, mean, scale)


def _scaled(task: Task, blocks: Blocks, frame: Frame, x: SSAValue) -> tuple[SSAValue, SSAValue]:
    """Returns rows divided by their root mean square, weighted and shifted as the node says; and 1 / it."""
    builder, operands = blocks.builder, task.reading.operands
    element = tile_of(x).element
    mean = mean_of_rows(blocks, builder.map("mul", x, x), frame)
    size = builder.map("add", mean, builder.full(param(task.node, "eps"), element))
    scale = builder.map("rsqrt", size)
    found = builder.map("mul", x, scale)
    for name, function in (("weight", "mul"), ("bias", "add")):
        if name in operands:
            row = builder.cast(blocks.block(operands[name], frame), element)
            found = builder.map(function, found, row)
    return found, scale


def _as_results(task: Task, blocks: Blocks, *found: SSAValue) -> Mapping[int, SSAValue]:
    """Returns the results of a node: the first of these, and where it saves for a backward the others."""
    return {
        place: blocks.builder.cast(block, result_element(task.node, place))
        for place, block in enumerate(found[: len(task.node.results)])
    }


def mean_of_rows(blocks: Blocks, x: SSAValue, frame: Frame) -> SSAValue:
    """Returns the mean along the columns of a block that is 0 beyond them."""
    builder = blocks.builder
    columns = frame.axes[COLUMNS]
    count = frame.spans[columns[0]].size if columns else 1
    total = builder.reduce("sum", x, COLUMNS)
    return builder.map("div", total, builder.full(count, tile_of(x).element))


def _build_nothing(task: Task, blocks: Blocks, frame: Frame) -> Mapping[int, SSAValue]:
    """A reduction is computed where it is read, like the others of its group."""
    del task, blocks, frame
    return {}


def _one(
    build: Callable[[Task, Blocks, Frame], Mapping[int, SSAValue]],
) -> Callable[[Task], tuple[Kernel]]:
    def kernels(task: Task) -> tuple[Kernel]:
        return (row_kernel(build, task),)

    return kernels


def _softmax_kernels(task: Task) -> tuple[Kernel]:
    kernel = row_kernel(_build_softmax, task)
    held = math.prod(kernel.blocks.values())
    axis, last = param(task.node, "axis"), len(shape(task.node.results[0])) - 1
    if task.config.padded and axis != last and held > MOST_TURNED:
        raise no_program(
            f"softmax along axis {axis}, not the last, of blocks of neighbours in memory: {held} elements do "
            f"not fit the registers that one program has for {MOST_TURNED}"
        )
    return (kernel,)


SOFTMAX = Program(_read_softmax, _softmax_kernels)
RMSNORM = Program(_read_rows, _one(_build_rmsnorm))
LAYERNORM = Program(_read_rows, _one(_build_layernorm))
REDUCTION = Program(_read_reduction, _one(_build_nothing))
