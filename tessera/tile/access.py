"""Where a program stands and what it reads and writes: grid, blocks of axes, load, store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from tessera.lowering.emit_triton.intervals import Interval
from tessera.lowering.tile_programs.builder import Access, tile_of
from tessera.lowering.tile_programs.config import power_of_two
from tessera.lowering.tile_programs.recorded import Operand
from tessera.tile.program import Program, current
from tessera.tile.values import (
    Block,
    Index,
    apply,
    as_block,
    as_index,
    as_number,
    as_truth,
    describe,
    dtype_of,
    used,
)


@dataclass(frozen=True, eq=False)
class Array:
    """An operand or output of a kernel, for one example: blocks of it are loaded or stored.

    `hidden` axes of a batch stand in front of `shape`; `output` is its number among the outputs.
    """

    program: Program
    name: str
    operand: Operand
    hidden: int
    output: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.operand.type.sizes[self.hidden :]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the elements."""
        return dtype_of(self.operand.type.element)

    def __repr__(self) -> str:
        return f"Array({self.name}: {self.dtype}{list(self.shape)})"


@dataclass(frozen=True, eq=False)
class Range:
    """A stretch of `size` elements along an axis, made by `block` or `range_n`.

    `first` is the number of a block if `counts_blocks`, else an element.
    """

    first: "Index | int"
    size: int
    counts_blocks: bool

    @property
    def start(self) -> "Index | int":
        """The first element."""
        return self.first * self.size if self.counts_blocks else self.first

    @property
    def positions(self) -> Block:
        """Where the elements stand along the axis, as int32: a block of shape (size,)."""
        program = current("block")
        start = as_index(program, self.start, "block")
        return Block(program, program.builder.positions(start.value, (self.size,), 0))


def context() -> tuple[int, ...]:
    """Returns the block sizes the kernel is scheduled with: `tile=` of `op.tile_kernel.register`."""
    return current("context").call.blocks


def cdiv(a: Any, b: Any) -> Any:
    """Returns how many blocks of b cover a: a / b rounded up. A negative a that is no number counts as 0.

    >>> cdiv(100, 64)
    2
    """
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b)
    program = current("cdiv")
    whole = as_index(program, a, "cdiv")
    if whole.bounds.low < 0:
        value = program.builder.map("max", whole.value, program.builder.index(0))
        whole = Index(program, value, Interval(0, max(0, whole.bounds.high)))
    return (whole + (b - 1)) // b


def grid(*sizes: int) -> Any:
    """Declares how many programs run along each axis, and returns the index of this one along them.

    One size gives one `Index`, several a tuple, none an empty tuple: a single program. Called once, before
    anything is loaded or computed. Programs of one grid run in any order. Raises `E_GRAPH_INVALID` the second
    time, `E_SHAPE_MISMATCH` for a size that is not known or below 1.
    """
    program = current("grid")
    for axis, size in enumerate(sizes):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise program.mismatch(
                "grid", f"has known sizes of at least 1, but axis {axis} is {describe(size)}",
                "tile.cdiv(rows, BM) programs, each for a block of rows",
            )  # fmt: skip
    places = program.begin(sizes)
    found = [Index(program, x, Interval(0, n - 1)) for x, n in zip(places, sizes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def block(index: Any, size: int) -> Range:
    """Returns block number `index` of an axis cut into blocks of `size` elements.

    On GPUs a size is a power of two. What lies beyond the array is not read and not written.
    """
    program = current("block")
    return Range(
        _number(program, index, "block"), _size(program, size, "block"), counts_blocks=True
    )


def range_n(start: Any, size: int) -> Range:
    """Returns `size` elements of an axis from element `start` on, which may be any index."""
    program = current("range_n")
    first = _number(program, start, "range_n")
    return Range(first, _size(program, size, "range_n"), counts_blocks=False)


def whole(size: int) -> Range:
    """Returns all of an axis of this size, as `load` takes it for None: `.size` is a power of two on GPUs."""
    program = current("whole")
    n = _size(program, size, "whole")
    return Range(0, power_of_two(n) if program.padded else n, counts_blocks=True)


def _number(program: Program, x: Any, function: str) -> "Index | int":
    number = as_number(x)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    return as_index(program, x, function)


def _size(program: Program, size: Any, function: str) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise program.mismatch(
            function, f"has a known size of at least 1, not {describe(size)}",
            "block sizes come from tile.context() or are Python integers",
        )  # fmt: skip
    return size


def load(
    x: Array,
    *,
    rows: Any = None,
    cols: Any = None,
    at: Sequence[Any] | None = None,
    fill: Any = 0,
    mask: Block | None = None,
) -> Block:
    """Returns a block of an array.

    A vector is cut along `cols`, a matrix along `rows` and `cols`, any array by `at`, with one entry per
    axis. An entry is a `Range`, whose axis the block has; a whole number, an `Index` or a whole-number block
    without axes, whose axis it has not (beyond the array, the nearest element is read); or None, the whole
    axis, which GPUs pad to a power of two. What lies beyond the array, or where `mask` is False, is `fill`.

        tile.load(x, rows=tile.block(i, 64), fill=-jnp.inf)              (64, n) of a matrix (m, n)
        tile.load(w, at=(expert, None, tile.block(j, 32)))               (k, 32) of matrix number `expert`
        tile.load(x, cols=rows, mask=rows.positions < length)            zeros from element `length` on

    Raises `E_SHAPE_MISMATCH` for entries or a mask that do not fit the array, `E_TILE_LOWERING` for a fill
    that its dtype cannot hold.
    """
    program = current("load")
    array = _array(program, x, "load")
    element = array.operand.type.element
    number = as_number(fill)
    if number is None or (isinstance(element, IntegerType) and isinstance(number, float)):
        raise program.refused(
            "load", f"fills {array.name}, of {array.dtype}, with {describe(fill)}"
        )
    entries = _entries(program, array, rows, cols, at, "load")
    builder = program.builder
    if array.operand.place is None:
        assert array.operand.number is not None, "an operand is an array or a number"
        block = Block(program, builder.full(array.operand.number, element))
        return block if mask is None else apply("where", mask, block, number, called="load")
    access, sizes = _access(program, array, entries, writes=False)
    truth = None if mask is None else _mask(program, mask, sizes, "load")
    source = builder.arrays[array.operand.place]
    return Block(program, builder.load(source, access, sizes, fill=number, mask=truth))


def store(
    x: Array,
    value: Any,
    *,
    rows: Any = None,
    cols: Any = None,
    at: Sequence[Any] | None = None,
    mask: Block | None = None,
) -> None:
    """Writes a block of an output; entries are those of `load`.

    The value has the output's dtype, and the block's shape or one that spreads over it. What lies beyond the
    array, or where `mask` is False, is not written. An output is written by one store, which may stand in a
    loop; what no program writes of it is undefined.

    Raises `E_GRAPH_INVALID` for an operand or a second store, `E_SHAPE_MISMATCH` and `E_TILE_LOWERING` for a
    value of another shape or dtype.
    """
    program = current("store")
    array = _array(program, x, "store")
    if array.output is None:
        raise program.misuse("store", f"writes outputs, and {array.name!r} is an input")
    if array.output in program.stored:
        raise program.misuse(
            "store",
            f"writes {array.name!r} a second time",
            "one store writes an output; use tile.where",
        )
    entries = _entries(program, array, rows, cols, at, "store")
    element = array.operand.type.element
    given = as_block(program, value, element, "store")
    if tile_of(given.value).element != element:
        raise program.refused(
            "store", f"puts a block of {given.dtype} into {array.name!r}, of {array.dtype}",
            f"tile.cast(value, {array.name}.dtype)",
        )  # fmt: skip
    access, sizes = _access(program, array, entries, writes=True)
    spread = program.builder.spread(_fitted(program, given, sizes, "store", "the value"), sizes)
    truth = None if mask is None else _mask(program, mask, sizes, "store")
    assert array.operand.place is not None
    target = program.builder.arrays[array.operand.place]
    program.builder.store(spread, target, access, mask=truth)
    program.stored.add(array.output)


# -- which block of an array -------------------------------------------------------------------------------


def _array(program: Program, x: Any, function: str) -> Array:
    if not isinstance(x, Array):
        raise program.misuse(
            function, f"takes an operand or output of the kernel, not {describe(x)}",
            "a block is used as it is, and further arrays are passed as operands",
        )  # fmt: skip
    return used_array(program, x, function)


def used_array(program: Program, x: Array, function: str) -> Array:
    """Returns an array; raises `E_GRAPH_INVALID` for one of another program."""
    if x.program is not program:
        raise program.misuse(function, f"got {x.name!r} of another program")
    return x


def _entries(
    program: Program, x: Array, rows: Any, cols: Any, at: Sequence[Any] | None, function: str
) -> Sequence[Any]:
    """Returns one entry per axis."""
    shown = f"{x.name} {list(x.shape)}"
    if at is not None:
        if rows is not None or cols is not None or len(at) != x.ndim:
            raise program.mismatch(
                function, f"takes at= alone, with one entry per axis: {x.ndim} for {shown}, got {len(at)}",
                "None takes a whole axis",
            )  # fmt: skip
        return tuple(at)
    if x.ndim > 2 or (x.ndim < 2 and rows is not None) or (x.ndim < 1 and cols is not None):
        raise program.mismatch(
            function, f"cuts vectors by cols= and matrices by rows= and cols=, but {shown} has {x.ndim} axes",
            f"at= has one entry for each of them: at=({', '.join(['None'] * x.ndim)})",
        )  # fmt: skip
    return (rows, cols)[2 - x.ndim :]


def _access(
    program: Program, x: Array, entries: Sequence[Any], writes: bool
) -> tuple[Access, tuple[int, ...]]:
    """Returns where a block stands, and the sizes of the axes it has."""
    batch = program.builder.places[: x.hidden]
    found: list[tuple[SSAValue, int, str, int]] = [
        (place, 1, "block", n) for place, n in zip(batch, x.operand.type.sizes, strict=False)
    ]
    kept: list[int] = []
    for axis, (entry, n) in enumerate(zip(entries, x.shape, strict=True)):
        if entry is None or isinstance(entry, Range):
            found.append(_kept(program, whole(n) if entry is None else entry, n))
            kept.append(found[-1][1])
        else:
            found.append(_dropped(program, x, axis, entry, n, writes))
    columns = zip(*found, strict=True) if found else ((), (), (), ())
    return Access(*(tuple(column) for column in columns)), tuple(kept)


def _kept(program: Program, entry: Range, n: int) -> tuple[SSAValue, int, str, int]:
    last = -(-n // entry.size) - 1
    first = as_index(program, entry.first, "block")
    if entry.counts_blocks and first.bounds.low >= 0 and first.bounds.high <= last:
        return first.value, entry.size, "block", (last + 1) * entry.size
    return as_index(program, entry.start, "block").value, entry.size, "element", n


def _dropped(
    program: Program, x: Array, axis: int, entry: Any, n: int, writes: bool
) -> tuple[SSAValue, int, str, int]:
    if isinstance(entry, slice):
        raise program.mismatch(
            "load", "takes tile.block(i, size) or tile.range_n(start, size), no slice"
        )
    index = as_index(program, entry, "store" if writes else "load")
    low, high = index.bounds.low, index.bounds.high
    if low == high and not 0 <= low < n:
        raise program.mismatch(
            "store" if writes else "load",
            f"takes element {int(low)} of axis {axis} of {x.name}, which has {n}",
        )
    if low >= 0 and high < n:
        return index.value, 1, "block", n
    if writes:
        return index.value, 1, "element", n
    builder = program.builder
    nearest = builder.map("min", index.value, builder.index(n - 1))
    return builder.map("max", nearest, builder.index(0)), 1, "block", n


def _mask(program: Program, mask: Any, sizes: Sequence[int], function: str) -> SSAValue:
    truth = as_truth(program, mask, function)
    return _fitted(program, truth, sizes, function, "the mask")


def _fitted(program: Program, x: Block, sizes: Sequence[int], function: str, what: str) -> SSAValue:
    """Returns a block with as many axes as the block of an array has; those of size 1 spread."""
    shape = (1,) * (len(sizes) - x.ndim) + x.shape if x.shape else ()
    if len(shape) > len(sizes) or any(n not in (1, m) for n, m in zip(shape, sizes, strict=False)):
        raise program.mismatch(
            function, f"covers a block {list(sizes)} of the array, but {what} is {list(x.shape)}",
            "each axis is that of the block, or 1",
        )  # fmt: skip
    return program.builder.reshape(used(program, x, function).value, shape)
