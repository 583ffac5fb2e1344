"""What a program computes with: blocks of numbers and indices."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from xdsl.dialects import builtin
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from tessera.ir.tile_compute import COMPARISONS
from tessera.ir.types import element_of
from tessera.lowering.emit_triton.intervals import UNKNOWN, Interval, of_map
from tessera.lowering.tile_programs.builder import INDEX, tile_of
from tessera.tile.program import Program, current

OF_INDICES = ("add", "sub", "mul", "div", "rem", "max", "min")
OF_TRUTHS = ("and", "or", "not", "eq", "ne", "where")
OF_WHOLE_NUMBERS = (
    *OF_TRUTHS, "abs", "add", "sub", "mul", "max", "min", "neg", "relu", "sign", "square",
    "lt", "le", "gt", "ge", "div", "rem",
)  # fmt: skip


class _Operators:
    """The operators that blocks and indices have in common."""

    __array_ufunc__ = None  # a NumPy number on the left leaves the operator to the block

    def __add__(self, other: Any) -> Any:
        return apply("add", self, other, called="+")

    def __radd__(self, other: Any) -> Any:
        return apply("add", other, self, called="+")

    def __sub__(self, other: Any) -> Any:
        return apply("sub", self, other, called="-")

    def __rsub__(self, other: Any) -> Any:
        return apply("sub", other, self, called="-")

    def __mul__(self, other: Any) -> Any:
        return apply("mul", self, other, called="*")

    def __rmul__(self, other: Any) -> Any:
        return apply("mul", other, self, called="*")

    def __floordiv__(self, other: Any) -> Any:
        return floor_divide(self, other)[0]

    def __rfloordiv__(self, other: Any) -> Any:
        return floor_divide(other, self)[0]

    def __mod__(self, other: Any) -> Any:
        return floor_divide(self, other)[1]

    def __rmod__(self, other: Any) -> Any:
        return floor_divide(other, self)[1]

    def __lt__(self, other: Any) -> Any:
        return apply("lt", self, other, called="<")

    def __le__(self, other: Any) -> Any:
        return apply("le", self, other, called="<=")

    def __gt__(self, other: Any) -> Any:
        return apply("gt", self, other, called=">")

    def __ge__(self, other: Any) -> Any:
        return apply("ge", self, other, called=">=")

    def __eq__(self, other: Any) -> Any:
        return apply("eq", self, other, called="==")

    def __ne__(self, other: Any) -> Any:
        return apply("ne", self, other, called="!=")

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise current("where").misuse(
            "where", "is needed: a condition is not known while the program is written, so Python's if, "
            "while, and, or cannot branch on it", "use tile.where, & and |, or tile.fori_loop"
        )  # fmt: skip


class Index(_Operators):
    """A place along an axis, as the grid and loops give it; `+ - * // %` with whole numbers give another."""

    def __init__(self, program: Program, value: SSAValue, bounds: Interval):
        self.program = program
        self.scope = program.open[-1]
        self.value = value
        self.bounds = bounds

    def __repr__(self) -> str:
        return "Index()"


class Block(_Operators):
    """A block of numbers: what `load` gives and `store` takes.

    Operators work elementwise and spread axes of size 1, as in `jax.numpy`; a Python number takes the block's
    dtype, and two dtypes never mix. `x[:, None]` and `x[None, :]` add axes, `x[:, 0]` drops one of size 1.
    """

    def __init__(self, program: Program, value: SSAValue):
        self.program = program
        self.scope = program.open[-1]
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return tile_of(self.value).sizes

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the numbers."""
        return dtype_of(tile_of(self.value).element)

    @property
    def T(self) -> "Block":  # noqa: N802 - as jax.numpy calls it
        """The block with its axes in reverse order."""
        return transpose(self)

    def __repr__(self) -> str:
        return f"Block({describe(self)})"

    def __truediv__(self, other: Any) -> Any:
        return apply("div", self, other, called="/")

    def __rtruediv__(self, other: Any) -> Any:
        return apply("div", other, self, called="/")

    def __and__(self, other: Any) -> Any:
        return apply("and", self, other, called="&")

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return apply("or", self, other, called="|")

    __ror__ = __or__

    def __neg__(self) -> Any:
        return apply("neg", self, called="-")

    def __invert__(self) -> Any:
        return apply("not", self, called="~")

    def __pow__(self, other: Any) -> Any:
        return (
            apply("square", self, called="**")
            if other == 2
            else apply("pow", self, other, called="**")
        )

    __iter__ = None

    def __getitem__(self, key: Any) -> "Block":
        program = current("load")
        value, entries = (
            used(program, self, "load").value,
            key if isinstance(key, tuple) else (key,),
        )
        sizes: list[int] = []
        rest = list(self.shape)
        for entry in entries:
            dropped = isinstance(entry, int) and not isinstance(entry, bool)
            if entry is None:
                sizes.append(1)
            elif rest and isinstance(entry, slice) and entry == slice(None):
                sizes.append(rest.pop(0))
            elif rest and dropped and rest[0] == 1 and entry in (0, -1):
                rest.pop(0)
            else:
                raise program.mismatch(
                    "load", f"is what cuts an array: a block {list(self.shape)} has no part {key!r}",
                    "a block takes None, : and, along an axis of size 1, 0",
                )  # fmt: skip
        return Block(program, program.builder.reshape(value, (*sizes, *rest)))


# -- from what a user gives ----------------------------------------------------------------------------


def used(program: Program, value: Any, function: str) -> Any:
    """Returns a block or index; raises `E_GRAPH_INVALID` for one that cannot be used here."""
    if not isinstance(value, Block | Index):
        raise program.refused(
            function, f"takes a block, not {describe(value)}", "tile.load makes one of an operand"
        )
    if value.program is not program:
        raise program.misuse(
            function,
            "got a value of another program",
            "values live as long as the call that made them",
        )
    if value.scope not in program.open:
        raise program.misuse(
            function, "got a value of a loop's body, outside of the loop",
            "return it from the body: tile.fori_loop gives back what its body carries",
        )  # fmt: skip
    return value


def as_number(x: Any) -> bool | int | float | None:
    """Returns a Python or NumPy number as a Python one, None for anything else."""
    if isinstance(x, np.generic):
        x = x.item()
    return x if isinstance(x, bool | int | float) else None


def as_index(program: Program, x: Any, function: str) -> Index:
    """Returns a whole number, an index or a whole-number block without axes as an index."""
    number = as_number(x)
    if isinstance(number, int) and not isinstance(number, bool):
        return Index(program, program.builder.index(number), Interval(number, number))
    if isinstance(x, Index):
        return used(program, x, function)
    if isinstance(x, Block) and not x.shape and is_whole(x):
        value = program.builder.cast(used(program, x, function).value, INDEX)
        return Index(program, value, UNKNOWN)
    raise program.mismatch(
        function,
        f"takes a whole number, an Index or a whole-number block without axes, not {describe(x)}",
        "x[0] drops an axis of size 1; tile.cast(x, jnp.int32) makes whole numbers",
    )


def as_block(program: Program, x: Any, element: Attribute | None, function: str) -> Block:
    """Returns a block; a number, and an index among whole numbers, takes the element type given."""
    if isinstance(x, Block):
        return used(program, x, function)
    number = as_number(x)
    if isinstance(x, Index) and (element is None or isinstance(element, IntegerType)):
        value = used(program, x, function).value
        return Block(program, program.builder.cast(value, element or builtin.i32))
    if number is None or element is None:
        hint = (
            "cast it first"
            if isinstance(x, Index)
            else "tile.load blocks of operands; further arrays are operands too"
        )
        raise program.refused(function, f"takes blocks and numbers, not {describe(x)}", hint)
    if isinstance(element, IntegerType) and isinstance(number, float):
        dtype = dtype_of(element)
        raise program.refused(
            function,
            f"mixes the number {number} with a block of {dtype}",
            "tile.cast the block first",
        )
    return Block(program, program.builder.full(number, element))


def is_whole(x: Block) -> bool:
    """Returns whether a block holds whole numbers."""
    return isinstance(element := tile_of(x.value).element, IntegerType) and element != builtin.i1


def dtype_of(element: Attribute) -> np.dtype[Any]:
    """Returns the dtype of an element type."""
    return _DTYPES[element]


_DTYPES: dict[Attribute, np.dtype[Any]] = {
    element_of(jnp.dtype(name)): jnp.dtype(name)
    for name in (
        "bool", "float16", "bfloat16", "float32", "float64", "float8_e5m2", "float8_e4m3fn",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
}  # fmt: skip


def describe(x: Any) -> str:
    """Returns what a value is, for a message."""
    if isinstance(x, Block):
        return f"{x.dtype}{list(x.shape)}"
    if isinstance(x, jax.Array):
        return f"a JAX array {x.dtype}{list(x.shape)}"
    return repr(x) if as_number(x) is not None else type(x).__name__


# -- elementwise -----------------------------------------------------------------------------------------


def apply(function: str, *operands: Any, called: str) -> Any:
    """Returns an elementwise function, by its name in the dialect, of blocks, indices and numbers."""
    program = current(called)
    if not any(isinstance(x, Block) for x in operands):
        if any(isinstance(x, Index) for x in operands) and function in (*OF_INDICES, *COMPARISONS):
            return _of_indices(program, function, operands, called)
        raise program.refused(
            called,
            f"takes a block, not {describe(operands[0])}",
            "tile.load makes one of an operand, tile.cast one of an index",
        )
    values = operands[1:] if function == "where" else operands
    element = _element(program, values, called)
    blocks = [as_block(program, x, element, called) for x in values]
    if function == "where":
        blocks.insert(0, as_truth(program, operands[0], called))
    _check_dtype(program, function, dtype_of(element), called)
    return _mapped(program, function, blocks, called)


def _element(program: Program, values: Sequence[Any], called: str) -> Attribute:
    blocks = [used(program, x, called) for x in values if isinstance(x, Block)]
    dtypes = list(dict.fromkeys(x.dtype for x in blocks))
    if len(dtypes) > 1:
        raise program.refused(
            called, f"mixes {' and '.join(map(str, dtypes))}", "tile.cast one of the blocks first"
        )
    if not blocks:
        raise program.refused(called, "chooses among numbers alone", "begin with tile.full")
    return tile_of(blocks[0].value).element


def as_truth(program: Program, x: Any, called: str) -> Block:
    """Returns a block of truth values; raises `E_TILE_LOWERING` for one of numbers."""
    found = as_block(program, x, builtin.i1 if isinstance(x, bool) else None, called)
    if tile_of(found.value).element != builtin.i1:
        raise program.refused(
            called, f"takes truth values, not {describe(found)}", "compare first: x > 0"
        )
    return found


def _check_dtype(program: Program, function: str, dtype: np.dtype[Any], called: str) -> None:
    if dtype == jnp.bool_:
        allowed: Sequence[str] | None = OF_TRUTHS
    elif jnp.issubdtype(dtype, jnp.integer):
        allowed = OF_WHOLE_NUMBERS if called != "/" else ()
    else:
        allowed = None
    if function in ("and", "or", "not") if allowed is None else function not in allowed:
        raise program.refused(
            called, f"is not for blocks of {dtype}", "tile.cast the block to a dtype it is for"
        )


def _mapped(program: Program, function: str, blocks: Sequence[Block], called: str) -> Block:
    rank = max(x.ndim for x in blocks)
    shapes = [(1,) * (rank - x.ndim) + x.shape for x in blocks]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(str(list(x.shape)) for x in blocks if x.shape)
        raise program.mismatch(
            called, f"got blocks of shapes {shown}, which do not spread over each other",
            "axes are equal or 1: x[:, None] adds one",
        ) from None  # fmt: skip
    values = [
        program.builder.reshape(x.value, shape) if x.shape else x.value
        for x, shape in zip(blocks, shapes, strict=True)
    ]
    return Block(program, program.builder.map(function, *values))


def _of_indices(program: Program, function: str, operands: Sequence[Any], called: str) -> Any:
    if function in COMPARISONS:
        blocks = [as_block(program, x, builtin.i32, called) for x in operands]
        return _mapped(program, function, blocks, called)
    left, right = (as_index(program, x, called) for x in operands)
    if function in ("div", "rem") and (left.bounds.low < 0 or right.bounds.low <= 0):
        raise program.refused(
            called, "divides an index that is not known to be at least 0, by one that is not known to be "
            "at least 1; backends round such quotients differently",
            "bound it first: tile.maximum(index, 0)",
        )  # fmt: skip
    found = program.builder.map(function, left.value, right.value)
    return Index(program, found, of_map(function, left.bounds, right.bounds))


def floor_divide(left: Any, right: Any) -> tuple[Any, Any]:
    """Returns quotient and remainder of whole numbers, rounded down as Python does."""
    if not any(isinstance(x, Block) for x in (left, right)):
        return apply("div", left, right, called="//"), apply("rem", left, right, called="%")
    program = current("//")
    quotient = apply("div", left, right, called="//")
    if not is_whole(quotient):
        raise program.refused(
            "//", f"is not for blocks of {quotient.dtype}", "use / and tile.floor"
        )
    rest = left - quotient * right
    inexact = (rest != 0) & ((rest < 0) != (apply("add", quotient * 0, right, called="//") < 0))
    one_less = apply("where", inexact, quotient - 1, quotient, called="//")
    return one_less, apply("where", inexact, rest + right, rest, called="%")


def transpose(x: Block, axes: Sequence[int] | None = None) -> Block:
    """Returns a block with its axes in another order, reversed unless told; `x.T` is the same.

    Raises `E_SHAPE_MISMATCH` for axes that are no permutation.
    """
    program = current("transpose")
    used(program, x, "transpose")
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)
    if sorted(order) != list(range(x.ndim)):
        raise program.mismatch(
            "transpose", f"got axes {list(order)}, no permutation of those of {describe(x)}"
        )
    return Block(program, program.builder.transpose(x.value, order))
