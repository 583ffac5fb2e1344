"""What Triton asks of the blocks of a program beyond the rules of the Tile level."""

import math
from collections.abc import Sequence

from xdsl.ir import Operation

from tessera.core.errors import CompileError
from tessera.ir.attributes import integers
from tessera.ir.tile import Dot, Func, Tile, tile_error
from tessera.lowering.emit_triton.elements import element_named

LARGEST_BLOCK = 2**20  # elements of one block
MOST_PROGRAMS = 2**31 - 1  # of one launch along its first axis
SHORTEST_INNER = 16  # of the summed axis of a dot, for elements of 16 bits and more
SHORTEST_INNER_OF_BYTES = 32
PRECISIONS = ("ieee", "tf32", "tf32x3")


def check_legal(kernel: Func) -> None:
    """Raises `E_TILE_LOWERING` for a kernel with a block that Triton cannot hold.

    The message names the axis, the rule and the nearest legal tile.
    """
    if math.prod(integers(kernel.grid)) > MOST_PROGRAMS:
        raise tile_error(
            kernel,
            f"{kernel.sym_name.data}: a launch has at most {MOST_PROGRAMS} programs, the grid is "
            f"{list(integers(kernel.grid))}",
            hints="Use larger blocks.",
        )
    for array in kernel.arrays:
        assert isinstance(array.type, Tile)
        element_named(array.type.element, kernel)
    for op in kernel.walk():
        for result in op.results:
            if isinstance(result.type, Tile):
                element_named(result.type.element, op)
                _check_sizes(kernel, op, result.type.sizes)
        if isinstance(op, Dot):
            _check_dot(kernel, op)


def _check_sizes(kernel: Func, op: Operation, sizes: Sequence[int]) -> None:
    legal = [1 << (size - 1).bit_length() for size in sizes]
    for axis, (size, power) in enumerate(zip(sizes, legal, strict=True)):
        if size != power:
            rule = "has a power of two elements"
            raise _refused(kernel, op, axis, sizes, rule, legal, _named(op))
    if math.prod(sizes) > LARGEST_BLOCK:
        raise tile_error(
            op,
            f"{kernel.sym_name.data}: a block has at most {LARGEST_BLOCK} elements, {list(sizes)} has "
            f"{math.prod(sizes)}",
            hints="Use smaller blocks.",
        )


def _check_dot(kernel: Func, dot: Dot) -> None:
    left, out = dot.operands[0].type, dot.result.type
    assert isinstance(left, Tile)
    assert isinstance(out, Tile)
    bytes_of_one = left.size_in_bytes // math.prod(left.sizes)
    shortest = SHORTEST_INNER_OF_BYTES if bytes_of_one == 1 else SHORTEST_INNER
    turned = dot.transpose_a is not None and bool(dot.transpose_a.value.data)
    axis = 0 if turned else 1
    if left.sizes[axis] < shortest:
        legal = [shortest if place == axis else size for place, size in enumerate(left.sizes)]
        rule = f"of {left.element} that a dot sums over has at least {shortest} elements"
        raise _refused(kernel, dot, axis, left.sizes, rule, legal, "the left factor")
    if dot.precision is not None and dot.precision.data not in PRECISIONS:
        raise tile_error(
            dot,
            f"{kernel.sym_name.data}: the precision of a dot is {dot.precision.data!r}",
            hints=f"One of: {', '.join(PRECISIONS)}.",
        )


def _refused(
    kernel: Func,
    op: Operation,
    axis: int,
    sizes: Sequence[int],
    rule: str,
    legal: Sequence[int],
    name: str,
) -> CompileError:
    return tile_error(
        op,
        f"{kernel.sym_name.data}: an axis of a block {rule} in Triton, but axis {axis} of "
        f"{name} {list(sizes)} has {sizes[axis]}",
        hints=f"The nearest legal tile is {list(legal)}.",
    )


def _named(op: Operation) -> str:
    hint = op.results[0].name_hint if op.results else None
    return "the block" if hint is None else f"the block of {hint}"
