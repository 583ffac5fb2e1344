"""Writes a tile program, one op after another; shapes and dtypes of results follow from the operands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects import builtin
from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue

from tessera.core.errors import Code, CompileError
from tessera.ir.attributes import to_attribute
from tessera.ir.tile import (
    ACCUMULATORS,
    Cast,
    Dot,
    For,
    Full,
    Func,
    Iota,
    Load,
    Map,
    Reduce,
    Reshape,
    Scan,
    Store,
    Tile,
    Transpose,
    Yield,
)  # fmt: skip
from tessera.ir.tile_compute import COMPARISONS

INDEX = builtin.IndexType()
WIDE: dict[str, Attribute] = {"f32": builtin.f32, "f64": builtin.f64, "i32": builtin.i32}

Values = Sequence[SSAValue]


@dataclass(frozen=True)
class Access:
    """A block of an array: one index, block size and unit per axis, and what the array is padded to."""

    indices: tuple[SSAValue, ...]
    block: tuple[int, ...]
    units: tuple[str, ...]
    padded: tuple[int, ...]

    def attributes(self, array: Tile, tile: Sequence[int]) -> dict[str, Any]:
        """Returns what a load or store of a tile says of the access beside what its types say."""
        found: dict[str, Any] = {}
        if self.block != tuple(tile):
            found["block"] = self.block
        if "element" in self.units:
            found["unit"] = self.units
        if self.padded != array.sizes:
            found["padded"] = self.padded
        return found

    def may_overrun(self, array: Tile) -> bool:
        """Returns whether a block may reach beyond the array."""
        return self.padded != array.sizes or "element" in self.units


class Builder:
    """Appends ops to the body of a kernel.

    >>> from tessera.ir.text import to_text
    >>> array = Tile.of((100, 8), builtin.f32, "hbm")
    >>> kernel = Builder([array, array], grid=(2,), outputs=1)
    >>> zero = kernel.index(0)
    >>> rows = Access((kernel.places[0], zero), (64, 8), ("block", "block"), (128, 8))
    >>> x = kernel.load(kernel.arrays[0], rows, (64, 8), fill=0.0)
    >>> kernel.store(kernel.map("exp", x), kernel.arrays[1], rows)
    >>> print(to_text(kernel.finish("exponentials")).splitlines()[-3].strip())
    tessera.tile.store %4, %1, %2, %c0 {padded = array<i64: 128, 8>}
    """

    def __init__(self, arrays: Sequence[Tile], grid: Sequence[int], outputs: int):
        self._top = Block(arg_types=[*arrays, *(INDEX for _ in grid)])
        self._block = self._top
        self._grid = tuple(grid)
        self._outputs = outputs
        self._indices: dict[int, SSAValue] = {}
        self._made: list[dict[Any, SSAValue]] = [{}]  # per open block: what stands there already
        self.arrays = self._top.args[: len(arrays)]
        self.places = self._top.args[len(arrays) :]

    @property
    def read(self) -> Values:
        """The arrays a program may read; it writes the others."""
        return self.arrays[: len(self.arrays) - self._outputs]

    def drop_unread(self) -> list[int]:
        """Drops arrays that the program turned out not to read; returns the places of the others."""
        kept = [place for place, array in enumerate(self.arrays) if self._is_used(array)]
        for array in self.arrays:
            if not self._is_used(array):
                self._top.erase_arg(array)
        self.arrays = self._top.args[: len(kept)]
        return kept

    def _is_used(self, array: BlockArgument) -> bool:
        return array not in self.read or bool(array.uses)

    def finish(self, name: str, **attributes: Any) -> Func:
        """Returns the kernel; nothing may be added after it."""
        self._add(Yield.create())
        return Func.create(
            attributes={
                "sym_name": builtin.StringAttr(name),
                "function_type": builtin.FunctionType.from_lists(list(self._top.arg_types), []),
                # to_attribute cannot tell an empty sequence of numbers from one of strings
                "grid": DenseArrayBase.from_list(builtin.i64, list(self._grid)),
                "outputs": to_attribute(self._outputs),
                **{key: to_attribute(value) for key, value in attributes.items()},
            },
            regions=[Region(self._top)],
        )

    # -- when and where ------------------------------------------------------------------------------------

    def load(
        self,
        array: SSAValue,
        access: Access,
        sizes: Sequence[int],
        *,
        fill: float | None = None,
        mask: SSAValue | None = None,
        space: str = "reg",
    ) -> SSAValue:
        """Returns a block of an array; what lies beyond it, or is masked out, is `fill`, 0 unless told."""
        kind = tile_of(array)
        found = access.attributes(kind, sizes)
        if mask is not None or access.may_overrun(kind):
            found["fill"] = number(0 if fill is None else fill, kind.element)
        places = [*access.indices, *([] if mask is None else [mask])]
        block = self._new(Load, [array, *places], Tile.of(sizes, kind.element, space), **found)
        block.name_hint = array.name_hint
        return block

    def store(
        self, value: SSAValue, array: SSAValue, access: Access, *, mask: SSAValue | None = None
    ) -> None:
        """Writes a block of an array; what lies beyond the array, or is masked out, is not written."""
        found = access.attributes(tile_of(array), tile_of(value).sizes)
        self._add(
            Store.create(
                operands=[value, array, *access.indices, *([] if mask is None else [mask])],
                attributes={key: to_attribute(x) for key, x in found.items()},
            )
        )

    def loop(
        self,
        body: Callable[[SSAValue, Values], Values],
        carried: Values,
        *,
        stop: int | SSAValue,
        start: SSAValue | None = None,
        stages: int = 1,
        name: str = "k",
    ) -> Values:
        """Returns the carried values after `body(index, carried)` for every index from start below stop."""
        inner = Block(arg_types=[INDEX, *(value.type for value in carried)])
        inner.args[0].name_hint = name
        outer, self._block = self._block, inner
        self._made.append({})
        self._add(Yield.create(operands=body(inner.args[0], inner.args[1:])))
        self._made.pop()
        self._block = outer
        attributes: dict[str, Any] = {"stages": stages}
        bounds: list[SSAValue] = []
        if start is not None:
            bounds = [start, self.index(stop) if isinstance(stop, int) else stop]
        elif isinstance(stop, int):
            attributes = {"stop": stop, **attributes}
        else:
            bounds = [stop]
        loop = For.create(
            operands=[*bounds, *carried],
            result_types=[value.type for value in carried],
            attributes={key: to_attribute(x) for key, x in attributes.items()},
            regions=[Region(inner)],
        )
        self._add(loop)
        return loop.results

    # -- values --------------------------------------------------------------------------------------------

    def index(self, value: int) -> SSAValue:
        """Returns a number as an index, made once, where all of the program can see it."""
        if value not in self._indices:
            op = Full.create(attributes={"value": IntegerAttr(value, INDEX)}, result_types=[INDEX])
            made = list(self._indices.values())
            if made:
                assert isinstance(made[-1].owner, Operation)
                self._top.insert_op_after(op, made[-1].owner)
            elif self._top.first_op is not None:
                self._top.insert_op_before(op, self._top.first_op)
            else:
                self._top.add_op(op)
            op.results[0].name_hint = f"c{value}" if value >= 0 else f"minus{-value}"
            self._indices[value] = op.results[0]
        return self._indices[value]

    def full(self, value: float, element: Attribute, sizes: Sequence[int] = ()) -> SSAValue:
        """Returns a block with one number everywhere."""
        return self._new(Full, [], Tile.of(sizes, element), value=number(value, element))

    def spread(self, value: SSAValue, sizes: Sequence[int]) -> SSAValue:
        """Returns a block of these sizes that repeats a smaller one."""
        kind = tile_of(value)
        if kind.sizes == tuple(sizes):
            return value
        if not kind.sizes:
            return self._new(Full, [value], Tile.of(sizes, kind.element))
        everywhere = self.full(True, builtin.i1, sizes)
        return self.map("where", everywhere, value, value)  # adding 0 would lose the sign of -0

    def positions(self, index: SSAValue, sizes: Sequence[int], axis: int) -> SSAValue:
        """Returns where the elements of a block along an axis stand in the whole, as i32."""
        shape = [n if place == axis else 1 for place, n in enumerate(sizes)]
        own = self._new(Iota, [], Tile.of(shape, builtin.i32), axis=axis)
        return self.map("add", own, self.cast(index, builtin.i32))

    # -- computing -----------------------------------------------------------------------------------------

    def map(self, function: str, *operands: SSAValue) -> SSAValue:
        """Returns an elementwise function of blocks, or of indices, by its name in the dialect."""
        if all(isinstance(value.type, builtin.IndexType) for value in operands):
            return self._index_map(function, *operands)
        kinds = [tile_of(value) for value in operands]
        rank = max(len(kind.sizes) for kind in kinds)
        sizes = [max(kind.sizes[i] for kind in kinds if kind.sizes) for i in range(rank)]
        element = builtin.i1 if function in COMPARISONS else kinds[-1].element
        return self._new(Map, operands, Tile.of(sizes, element), function=function)

    def _index_map(self, function: str, left: SSAValue, right: SSAValue) -> SSAValue:
        neutral = {"add": 0, "mul": 1}.get(function)
        if neutral in self._indices and right is self._indices[neutral]:
            return left
        return self._new(Map, [left, right], INDEX, function=function)

    def dot(
        self,
        left: SSAValue,
        right: SSAValue,
        added_to: SSAValue | None = None,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> SSAValue:
        """Returns the matrix product of two blocks, accumulated in at least 32 bits."""
        rows = tile_of(left).sizes[1 if transpose_a else 0]
        columns = tile_of(right).sizes[0 if transpose_b else 1]
        kind = Tile.of((rows, columns), accumulator(tile_of(left).element))
        operands = [left, right] if added_to is None else [left, right, added_to]
        flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        turned: dict[str, Any] = {name: True for name, given in flags.items() if given}
        return self._new(Dot, operands, kind, **turned)

    def reduce(self, kind: str, value: SSAValue, axis: int) -> SSAValue:
        """Returns the sum, maximum or minimum along an axis, which stays with size 1."""
        block = tile_of(value)
        sizes = [1 if place == axis else n for place, n in enumerate(block.sizes)]
        return self._new(Reduce, [value], Tile.of(sizes, block.element), axis=axis, kind=kind)

    def scan(self, kind: str, value: SSAValue, axis: int, *, reverse: bool = False) -> SSAValue:
        """Returns the running sum, maximum or minimum along an axis, each element included."""
        turned = {"reverse": True} if reverse else {}
        return self._new(Scan, [value], value.type, axis=axis, kind=kind, **turned)

    def reshape(self, value: SSAValue, sizes: Sequence[int]) -> SSAValue:
        """Returns a block with axes of size 1 added or dropped; without any axis it can be an index."""
        block = tile_of(value)
        if block.sizes == tuple(sizes):
            return value
        return self._new(Reshape, [value], Tile.of(sizes, block.element))

    def cast(self, value: SSAValue, element: Attribute) -> SSAValue:
        """Returns a block in another dtype, or a value without axes as an index and back."""
        if isinstance(value.type, builtin.IndexType):
            wanted = INDEX if element == INDEX else Tile.of((), element)
        else:
            sizes = tile_of(value).sizes
            assert element != INDEX or not sizes, "an index has no axes"
            wanted = INDEX if element == INDEX else Tile.of(sizes, element)
        return value if value.type == wanted else self._new(Cast, [value], wanted)

    def transpose(self, value: SSAValue, order: Sequence[int]) -> SSAValue:
        """Returns a block whose axis i is the axis order[i] of another."""
        if list(order) == list(range(len(order))):
            return value
        block = tile_of(value)
        kind = Tile.of([block.sizes[axis] for axis in order], block.element)
        return self._new(Transpose, [value], kind, permutation=tuple(order))

    def _new(
        self, op: type[Operation], operands: Values, result: Attribute, /, **attributes: Any
    ) -> SSAValue:
        """Returns the result of an op, which is made once where an equal one can be seen."""
        given = {key: to_attribute(value) for key, value in attributes.items()}
        key = (op, tuple(operands), result, tuple(given.items()))
        for made in self._made:
            if key in made:
                return made[key]
        found = self._add(
            op.create(operands=operands, result_types=[result], attributes=given)
        ).results[0]
        self._made[-1][key] = found
        return found

    def _add(self, op: Operation) -> Operation:
        self._block.add_op(op)
        return op


def no_program(reason: str) -> CompileError:
    """Returns the error of what no tile program computes; a group then stays with XLA for this reason."""
    return CompileError(Code.E_TILE_LOWERING, reason, where="tile")


def tile_of(value: SSAValue) -> Tile:
    """Returns the type of a block or array."""
    assert isinstance(value.type, Tile), value.type
    return value.type


def number(value: float, element: Attribute) -> Attribute:
    """Returns a number as an attribute of an element type.

    >>> print(number(1, builtin.bf16), number(1, builtin.i32))
    1.000000e+00 : bf16 1 : i32
    """
    if isinstance(element, IntegerType):
        return IntegerAttr(int(value), element)
    assert isinstance(element, builtin.AnyFloat), element
    return FloatAttr(float(value), element)


def accumulator(element: Attribute) -> Attribute:
    """Returns the element type in which sums and products of an element type are accumulated.

    Raises `E_TILE_LOWERING` for one that has no products.

    >>> print(accumulator(builtin.bf16))
    f32
    """
    name = ACCUMULATORS.get(str(element))
    if name is None:
        raise no_program(f"{element} has no sums or products in a tile program")
    return WIDE[name]
