"""Reading a Fourier layer backwards: from the inverse transform to the boxes of its spectrum.

irfft z  ←  z = boxes at places, zero elsewhere  ←  box = dot_general modes w  ←  modes = slice (rfft x)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jax import lax
from xdsl.ir import SSAValue

from tessera.ir.graph import Node
from tessera.lowering.constants import constant_number, constant_value
from tessera.lowering.match import dtype, made_by, param, shape

Places = tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """A value that stands at a place of an array, its axes in an order."""

    value: SSAValue
    order: Places  # axis i of the box is axis order[i] of the value
    start: Places

    @property
    def sizes(self) -> Places:
        """The size of the box along each axis of the array it stands in."""
        return tuple(shape(self.value)[i] for i in self.order)


@dataclass(frozen=True)
class Corner:
    """A box of the spectrum: modes of the transform at one place, mixed by weights.

    Axes are those of the forward transform's result for `channel` and `batch`, of the inverse transform's
    operand for `out_channel` and `out_batch`, the latter two in the same order; `weights` says which axis of
    the weights stands for K1, ..., Kd, in, out.
    """

    forward: Node
    channel: int
    batch: Places
    out_channel: int
    out_batch: Places
    start: Places
    modes: Places
    weights: SSAValue
    weight_axes: Places


# -- what the inverse transform is given ------------------------------------------------------------------


def read_boxes(value: SSAValue, nodes: list[Node]) -> list[Box] | None:
    """Returns the boxes that make up a value, zero elsewhere; None if they overlap or cannot be told."""
    if _is_zero(value):
        return []
    node = made_by(value, *READERS)
    if node is None:
        rank = len(shape(value))
        return [Box(value, tuple(range(rank)), (0,) * rank)]
    found = READERS[node.short_name](node, nodes)
    if found is not None:
        nodes.append(node)
    return found


def _is_zero(value: SSAValue) -> bool:
    found = constant_value(value)
    return found is not None and not found.any()


def _of_transpose(node: Node, nodes: list[Node]) -> list[Box] | None:
    boxes = read_boxes(node.operands[0], nodes)
    order = param(node, "permutation")
    if boxes is None:
        return None
    return [
        Box(b.value, tuple(b.order[i] for i in order), tuple(b.start[i] for i in order))
        for b in boxes
    ]


def _of_pad(node: Node, nodes: list[Node]) -> list[Box] | None:
    config = [tuple(map(int, entry)) for entry in param(node, "padding_config")]
    if not _is_zero(node.operands[1]) or any(a < 0 or b < 0 or c for a, b, c in config):
        return None
    return _moved(read_boxes(node.operands[0], nodes), [before for before, _, _ in config])


def _of_concatenate(node: Node, nodes: list[Node]) -> list[Box] | None:
    axis = param(node, "dimension")
    found: list[Box] = []
    start = 0
    for operand in node.operands:
        by = [start if i == axis else 0 for i in range(len(shape(operand)))]
        boxes = _moved(read_boxes(operand, nodes), by)
        if boxes is None:
            return None
        found += boxes
        start += shape(operand)[axis]
    return found


def _of_sum(node: Node, nodes: list[Node]) -> list[Box] | None:
    return _together([read_boxes(x, nodes) for x in node.operands])


def _of_update(node: Node, nodes: list[Node]) -> list[Box] | None:
    base, update, *indices = node.operands
    starts = [constant_number(index) for index in indices]
    return _updated(base, update, starts, nodes)


def _of_scatter(node: Node, nodes: list[Node]) -> list[Box] | None:
    base, indices, update = node.operands
    numbers = param(node, "dimension_numbers")
    rank = len(shape(base))
    if numbers.update_window_dims != tuple(range(rank)) or len(shape(indices)) != 1:
        return None
    known = _numbers(indices)
    if known is None:
        return None
    starts: list[float | None] = [0.0] * rank
    for axis, start in zip(numbers.scatter_dims_to_operand_dims, known, strict=True):
        starts[axis] = start
    return _updated(base, update, starts, nodes)


def _numbers(indices: SSAValue) -> list[float | None] | None:
    """Returns the entries of a constant vector, which JAX puts together from numbers."""
    parts = made_by(indices, "concatenate")
    if parts is not None:
        return [constant_number(x) for x in parts.operands]
    found = constant_value(indices)
    return None if found is None else [*map(float, np.broadcast_to(found, shape(indices)))]


def _updated(
    base: SSAValue, update: SSAValue, starts: Sequence[float | None], nodes: list[Node]
) -> list[Box] | None:
    known = [int(start) for start in starts if start is not None]
    if len(known) < len(starts):
        return None
    sizes = zip(known, shape(update), shape(base), strict=True)
    if any(start < 0 or start + n > most for start, n, most in sizes):
        return None  # XLA would move it, or drop it
    return _together([read_boxes(base, nodes), _moved(read_boxes(update, nodes), known)])


def _moved(boxes: list[Box] | None, by: Sequence[int]) -> list[Box] | None:
    if boxes is None:
        return None
    return [replace(b, start=tuple(s + n for s, n in zip(b.start, by, strict=True))) for b in boxes]


def _together(parts: Sequence[list[Box] | None]) -> list[Box] | None:
    """Returns all boxes if none meets another."""
    found: list[Box] = []
    for part in parts:
        if part is None or any(_meet(a, b) for a in part for b in found):
            return None
        found += part
    return found


def _meet(a: Box, b: Box) -> bool:
    spans = zip(a.start, a.sizes, b.start, b.sizes, strict=True)
    return all(s < t + n and t < s + m for s, m, t, n in spans)


READERS = {
    "transpose": _of_transpose,
    "pad": _of_pad,
    "concatenate": _of_concatenate,
    "add": _of_sum,
    "add_any": _of_sum,
    "scatter": _of_scatter,
    "dynamic_update_slice": _of_update,
}


# -- what a box holds -------------------------------------------------------------------------------------


def read_filtered(boxes: Sequence[Box], inverse: Node) -> SSAValue | None:
    """Returns the input of the forward transform if its whole result is multiplied and transformed back."""
    if len(boxes) != 1:
        return None
    times = made_by(boxes[0].value, "mul")
    if times is None or shape(times.results[0]) != tuple(boxes[0].sizes):
        return None
    for x in times.operands:
        source = _source(x, [])
        if (
            source is not None
            and _is_inverse(inverse, source.forward)
            and shape(x) == _whole(source)
        ):
            return source.forward.operands[0]
    return None


@dataclass(frozen=True)
class _Source:
    """Where a value lies in a forward transform's result: its axis i is axis order[i] there, from a start."""

    forward: Node
    order: Places
    start: Places


def _source(value: SSAValue, nodes: list[Node]) -> _Source | None:
    rank = len(shape(value))
    order, start = list(range(rank)), [0] * rank
    node = made_by(value, "transpose", "slice", "fft")
    while node is not None:
        nodes.append(node)
        if node.name == "jax.fft":
            if param(node, "fft_type") != lax.FftType.RFFT:
                return None
            return _Source(node, tuple(order), tuple(start))
        if node.name == "jax.slice":
            strides, first = param(node, "strides"), param(node, "start_indices")
            if strides is not None and any(s != 1 for s in strides):
                return None
            start = [s + first[axis] for s, axis in zip(start, order, strict=True)]
        else:
            order = [param(node, "permutation")[i] for i in order]
        node = made_by(node.operands[0], "transpose", "slice", "fft")
    return None


def _whole(source: _Source) -> Places:
    return tuple(shape(source.forward.results[0])[i] for i in source.order)


def _is_inverse(inverse: Node, forward: Node) -> bool:
    """Whether two transforms have the same axes and lengths, and the input is on the grid of the result."""
    lengths = param(inverse, "fft_lengths")
    x = forward.operands[0]
    return (
        param(forward, "fft_lengths") == lengths
        and tuple(shape(x)[-len(lengths) :]) == tuple(lengths)
        and dtype(x) == dtype(inverse.results[0])
    )


def read_corner(box: Box, inverse: Node, nodes: list[Node]) -> Corner | None:
    """Returns what a box holds if it is modes times weights."""
    dot = made_by(box.value, "dot_general")
    if dot is None:
        return None
    for side in (0, 1):
        read: list[Node] = []
        source = _source(dot.operands[side], read)
        if source is None or not _is_inverse(inverse, source.forward):
            continue
        corner = _corner(box, inverse, dot, side, source)
        if corner is not None:
            nodes += [dot, *read]
            return corner
    return None


def _corner(box: Box, inverse: Node, dot: Node, side: int, source: _Source) -> Corner | None:
    """Returns the corner if a product's batch axes are the frequencies and it sums over channels alone."""
    summed, each = param(dot, "dimension_numbers")
    ours, theirs = summed[side], summed[1 - side]
    my_each, other_each = each[side], each[1 - side]
    modes, weights = dot.operands[side], dot.operands[1 - side]
    rank, d = len(shape(modes)), len(param(inverse, "fft_lengths"))
    my_free = [i for i in range(rank) if i not in ours and i not in my_each]
    other_free = [i for i in range(len(shape(weights))) if i not in theirs and i not in other_each]
    if len(ours) != 1 or len(other_free) != 1 or len(my_each) != d:
        return None
    # Axes of the product: those of `each`, then the free ones of the first operand, then of the second.
    free = [(side, i) for i in my_free], [(1 - side, i) for i in other_free]
    names = [
        *((side, i) for i in my_each),
        *(free[0] + free[1] if side == 0 else free[1] + free[0]),
    ]
    placed = [
        names[i] for i in box.order
    ]  # what stands at each axis of the inverse transform's operand
    frequencies = placed[-d:]
    grid = range(rank - d, rank)
    at_grid = [source.order.index(axis) for axis in grid]
    if frequencies != [(side, i) for i in at_grid] or any(i not in my_each for i in at_grid):
        return None
    outer = placed[:-d]
    batch = [i for part, i in outer if part == side]
    if not _same_places(box, source, modes, at_grid, inverse):
        return None
    return Corner(
        forward=source.forward,
        channel=source.order[ours[0]],
        batch=tuple(source.order[i] for i in batch),
        out_channel=outer.index((1 - side, other_free[0])),
        out_batch=tuple(axis for axis, (part, _) in enumerate(outer) if part == side),
        start=box.start[-d:],
        modes=box.sizes[-d:],
        weights=weights,
        weight_axes=(
            *(other_each[my_each.index(i)] for i in at_grid),
            theirs[0],
            other_free[0],
        ),
    )


def _same_places(
    box: Box, source: _Source, modes: SSAValue, at_grid: Sequence[int], inverse: Node
) -> bool:
    """Whether modes are written back where they were read, and batch and channels are all there."""
    d = len(at_grid)
    read_from = tuple(source.start[i] for i in at_grid)
    whole = _whole(source)
    complete = all(shape(modes)[i] == whole[i] for i in range(len(whole)) if i not in at_grid)
    outer = shape(inverse.operands[0])[:-d]
    return complete and box.start[-d:] == read_from and tuple(box.sizes[:-d]) == tuple(outer)
