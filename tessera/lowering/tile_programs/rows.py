"""Ops of whole rows: softmax, rmsnorm and layernorm. A block holds some rows and all of their columns.

    softmax    exp(x - max x) / sum exp(x - max x)
    rmsnorm    x rsqrt(mean(x^2) + eps) weight
    layernorm  (x - mean x) rsqrt(mean((x - mean x)^2) + eps) weight + bias

Computed in fp32 for rows of low precision.
"""

from xdsl.ir import SSAValue

from tessera.ir.graph import Node
from tessera.lowering.axes import Axes, Labels
from tessera.lowering.match import param, shape
from tessera.lowering.tile_programs.blocks import Blocks, Labelled, Program, Reading, masked
from tessera.lowering.tile_programs.builder import no_program, tile_of
from tessera.lowering.tile_programs.elementwise import result_element, widened
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.space import Frame

ROWS, COLUMNS = 0, 1  # the axes of a block


def _read_softmax(axes: Axes, node: Node, labels: Labels) -> Reading:
    if param(node, "axis") != len(labels) - 1:
        raise no_program(f"softmax along axis {param(node, 'axis')}, which is not the last")
    return _read_rows(axes, node, labels)


def _read_rows(axes: Axes, node: Node, labels: Labels) -> Reading:
    """Labels a row operand like the result, and what has one number per column like a row of it."""
    del axes
    rank = len(labels)
    found: dict[str, Labelled] = {}
    for name, value in operands_of(node).items():
        found[name] = (value, labels[rank - len(shape(value)) :])
    return Reading(found, labels[-2] if rank > 1 else (), labels[-1], whole_columns=True)


def _build_softmax(blocks: Blocks, node: Node, reading: Reading, frame: Frame) -> SSAValue:
    builder = blocks.builder
    x = widened(builder, blocks.whole(reading.operands["x"], frame, fill=float("-inf")))
    if param(node, "stable"):
        x = builder.map("sub", x, builder.reduce("max", x, COLUMNS))
    weights = builder.map("exp", x)
    found = builder.map("div", weights, builder.reduce("sum", weights, COLUMNS))
    return builder.cast(found, result_element(node))


def _build_rmsnorm(blocks: Blocks, node: Node, reading: Reading, frame: Frame) -> SSAValue:
    x = widened(blocks.builder, blocks.whole(reading.operands["x"], frame, fill=0.0))
    return _scaled(blocks, node, reading, frame, x)


def _build_layernorm(blocks: Blocks, node: Node, reading: Reading, frame: Frame) -> SSAValue:
    builder = blocks.builder
    x = widened(builder, blocks.whole(reading.operands["x"], frame, fill=0.0))
    centred = builder.map("sub", x, _mean(blocks, x, frame))
    columns = frame.axes[COLUMNS]
    if columns and frame.spans[columns[0]].ragged:
        centred = masked(builder, frame, COLUMNS, centred, 0.0)
    return _scaled(blocks, node, reading, frame, centred)


def _scaled(blocks: Blocks, node: Node, reading: Reading, frame: Frame, x: SSAValue) -> SSAValue:
    """Returns rows divided by their root mean square, then weighted and shifted where the node says so."""
    builder = blocks.builder
    element = tile_of(x).element
    mean = _mean(blocks, builder.map("mul", x, x), frame)
    size = builder.map("add", mean, builder.full(param(node, "eps"), element))
    found = builder.map("mul", x, builder.map("rsqrt", size))
    for name, function in (("weight", "mul"), ("bias", "add")):
        if name in reading.operands:
            row = builder.cast(blocks.block(reading.operands[name], frame), element)
            found = builder.map(function, found, row)
    return builder.cast(found, result_element(node))


def _mean(blocks: Blocks, x: SSAValue, frame: Frame) -> SSAValue:
    builder = blocks.builder
    columns = frame.axes[COLUMNS]
    count = frame.spans[columns[0]].size if columns else 1
    total = builder.reduce("sum", x, COLUMNS)
    return builder.map("div", total, builder.full(count, tile_of(x).element))


SOFTMAX = Program(_read_softmax, _build_softmax)
RMSNORM = Program(_read_rows, _build_rmsnorm)
LAYERNORM = Program(_read_rows, _build_layernorm)
