"""What programs over runs of rows share, whose first and last row are known at run time."""

from xdsl.dialects import builtin
from xdsl.ir import SSAValue

from tessera.lowering.tile_programs.blocks import ROWS, positions
from tessera.lowering.tile_programs.builder import INDEX, Builder
from tessera.lowering.tile_programs.space import Frame


def row_places(builder: Builder, frame: Frame) -> SSAValue:
    """Returns where the rows of a block stand; an axis of one row has no positions but 0."""
    if frame.axes[ROWS]:
        return positions(builder, frame, ROWS)
    return builder.full(0, builtin.i32)


def rows_between(builder: Builder, frame: Frame, start: SSAValue, end: SSAValue) -> SSAValue:
    """Returns which rows of a block stand from `start` on and before `end`."""
    rows = row_places(builder, frame)
    return builder.map("and", builder.map("ge", rows, start), builder.map("lt", rows, end))


def blocks_between(
    builder: Builder, start: SSAValue, end: SSAValue, block: int
) -> tuple[SSAValue, SSAValue]:
    """Returns the first block with a row from `start` on, and the first with none before `end`."""
    zero, size = builder.index(0), builder.index(block)
    # Neither is below 0, which a division that rounds down has to be told.
    low, high = (builder.map("max", builder.cast(each, INDEX), zero) for each in (start, end))
    high = builder.map("add", high, builder.index(block - 1))
    return builder.map("div", low, size), builder.map("div", high, size)
