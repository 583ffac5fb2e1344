"""What makes blocks out of blocks: products, sums along an axis, running sums, casts, choices."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from xdsl.dialects import builtin
from xdsl.ir import OpResult

from tessera.ir import tile as dialect
from tessera.ir.tile_compute import ACCUMULATORS, KINDS
from tessera.ir.types import element_of
from tessera.lowering.tile_programs.builder import accumulator, tile_of
from tessera.tile.program import Program, current
from tessera.tile.values import (
    Block,
    Index,
    apply,
    as_block,
    as_number,
    as_truth,
    describe,
    dtype_of,
    used,
)


def zeros(shape: Sequence[int], dtype: Any = jnp.float32) -> Block:
    """Returns a block of zeros, in float32 unless told: where a sum begins."""
    return full(shape, 0, dtype)


def full(shape: Sequence[int], value: Any, dtype: Any = jnp.float32) -> Block:
    """Returns a block with one value everywhere: a number, or a block without axes, which keeps its dtype.

    Raises `E_SHAPE_MISMATCH` for a size below 1.
    """
    program = current("full")
    sizes = _sizes(program, shape, "full")
    if isinstance(value, Block):
        if value.shape:
            raise program.mismatch("full", f"spreads a value without axes, not {describe(value)}")
        return Block(program, program.builder.spread(used(program, value, "full").value, sizes))
    number, element = as_number(value), element_of(jnp.dtype(dtype))
    if number is None:
        raise program.refused(
            "full", f"takes a number or a block without axes, not {describe(value)}"
        )
    as_block(program, number, element, "full")  # refuses a fraction among whole numbers
    return Block(program, program.builder.full(number, element, sizes))


def _sizes(program: Program, shape: Sequence[int], function: str) -> tuple[int, ...]:
    sizes = tuple(shape)
    for axis, size in enumerate(sizes):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise program.mismatch(
                function, f"makes blocks of known sizes of at least 1, but axis {axis} is {size!r}",
                "block sizes come from tile.context() or are Python integers",
            )  # fmt: skip
    return sizes


def cast(x: Any, dtype: Any) -> Block:
    """Returns a block, or an index, in another dtype; numbers other than 0 become True.

    Raises `E_TILE_LOWERING` for a dtype that no block has.
    """
    program = current("cast")
    if not isinstance(x, Block | Index):
        raise program.refused("cast", f"takes a block or an index, not {describe(x)}", "tile.full")
    wanted = jnp.dtype(dtype)
    element = element_of(wanted)
    try:
        dtype_of(element)
    except KeyError:
        raise program.refused("cast", f"makes no blocks of {wanted}") from None
    block = as_block(program, x, None, "cast")
    if wanted == jnp.bool_ and block.dtype != jnp.bool_:
        return apply("ne", block, 0, called="cast")
    return Block(program, program.builder.cast(block.value, element))


def where(condition: Any, x: Any, y: Any) -> Block:
    """Returns x where a block of truth values holds, y elsewhere; axes of size 1 spread.

    Raises `E_SHAPE_MISMATCH` for shapes that do not spread over each other, `E_TILE_LOWERING` for two dtypes.
    """
    return apply("where", condition, x, y, called="where")


def logical_not(x: Block) -> Block:
    """Returns the opposite of truth values; `~x` is the same."""
    program = current("logical_not")
    return apply("not", as_truth(program, x, "logical_not"), called="logical_not")


def dot(a: Block, b: Block, acc: Block | None = None) -> Block:
    """Returns the product of blocks (m, k) and (k, n), added to `acc` of shape (m, n) where one is given.

    Narrow floats accumulate in float32, whole numbers of 8 bits in int32: that is the result's dtype, and
    `acc`'s. On GPUs k is at least 16, 32 for elements of 8 bits.

    Raises `E_SHAPE_MISMATCH` for sizes that differ, `E_TILE_LOWERING` for dtypes without a product.
    """
    program = current("dot")
    for factor in (a, b):
        if not isinstance(factor, Block) or used(program, factor, "dot").ndim != 2:
            raise program.mismatch(
                "dot", f"takes matrices, not {describe(factor)}", "x[:, None] adds an axis"
            )
    if a.shape[1] != b.shape[0]:
        raise program.mismatch(
            "dot", f"multiplies (m, k) by (k, n), but axis 1 of the left factor {list(a.shape)} is "
            f"{a.shape[1]} and axis 0 of the right factor {list(b.shape)} is {b.shape[0]}",
            "transpose one with .T, or load blocks of one k",
        )  # fmt: skip
    if a.dtype != b.dtype or str(tile_of(a.value).element) not in ACCUMULATORS:
        raise program.refused(
            "dot", f"takes factors of one dtype that has products, not {a.dtype} and {b.dtype}",
            "tile.cast them to bfloat16, float16 or float32",
        )  # fmt: skip
    if acc is not None:
        _check_accumulator(program, a, b, acc)
    (left, turned_a), (right, turned_b) = map(_factor, (a, b))
    added = None if acc is None else acc.value
    found = program.builder.dot(left, right, added, transpose_a=turned_a, transpose_b=turned_b)
    return Block(program, found)


def _check_accumulator(program: Program, a: Block, b: Block, acc: Any) -> None:
    wanted = dtype_of(accumulator(tile_of(a.value).element))
    shape = (a.shape[0], b.shape[1])
    if not isinstance(acc, Block) or used(program, acc, "dot").shape != shape:
        raise program.mismatch("dot", f"adds to a block {list(shape)}, not to {describe(acc)}")
    if acc.dtype != wanted:
        raise program.refused(
            "dot", f"of {a.dtype} accumulates in {wanted}, not in {acc.dtype}",
            f"begin with tile.zeros({shape}, jnp.{wanted}) and tile.cast the result",
        )  # fmt: skip


def _factor(x: Block) -> tuple[Any, bool]:
    """Returns a factor and whether the product reads it transposed, which costs nothing."""
    value = x.value
    if isinstance(value, OpResult) and isinstance(value.op, dialect.Transpose):
        return value.op.source, True
    return value, False


def reduce(x: Block, kind: str, axis: int) -> Block:
    """Returns the "sum", "max" or "min" along an axis, which stays with size 1; `[:, 0]` drops it.

    The order of a sum is fixed. Elements beyond the array count: load them with the `fill` that changes
    nothing. Raises `E_TILE_LOWERING` for another kind, `E_SHAPE_MISMATCH` for an axis there is not.
    """
    program = current("reduce")
    place = _axis(program, x, kind, axis, "reduce")
    return Block(program, program.builder.reduce(kind, x.value, place))


def scan(x: Block, kind: str, axis: int, *, reverse: bool = False) -> Block:
    """Returns the running "sum", "max" or "min" along an axis, each element included.

    `reverse` runs from its end. Errors are those of `reduce`.
    """
    program = current("scan")
    place = _axis(program, x, kind, axis, "scan")
    return Block(program, program.builder.scan(kind, x.value, place, reverse=reverse))


def _axis(program: Program, x: Any, kind: str, axis: Any, function: str) -> int:
    if not isinstance(x, Block):
        raise program.refused(function, f"takes a block, not {describe(x)}")
    if kind not in KINDS:
        raise program.refused(function, f"has no kind {kind!r}", f"one of {', '.join(KINDS)}")
    if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise program.mismatch(function, f"got axis {axis!r} of a block {list(x.shape)}")
    if tile_of(used(program, x, function).value).element == builtin.i1:
        raise program.refused(function, "is not for truth values", "tile.cast(x, jnp.int32)")
    return axis % x.ndim
