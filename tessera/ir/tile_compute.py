"""The ops of a tile program that compute: dot, map, reduce, scan, iota, full, cast, transpose, reshape."""

from collections.abc import Mapping, Sequence

from xdsl.dialects import builtin
from xdsl.dialects.builtin import BoolAttr, IntegerAttr, StringAttr
from xdsl.ir import Attribute
from xdsl.irdl import (
    attr_def,
    irdl_op_definition,
    operand_def,
    opt_attr_def,
    result_def,
    var_operand_def,
)

from tessera.ir.attributes import Whole, Wholes, integers
from tessera.ir.tile_types import Tile, TileOp, is_index, tile_error, words

KINDS = ("sum", "max", "min")

# Elementwise functions and how many operands each takes.
FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys("abs ceil cos erf exp exp2 expm1 floor log log1p logistic neg not".split(), 1),
    **dict.fromkeys("relu rsqrt sign sin sqrt square tan tanh".split(), 1),
    **dict.fromkeys("add and atan2 div max min mul or pow rem sub".split(), 2),
    **dict.fromkeys("eq ge gt le lt ne".split(), 2),
    "where": 3,
}
COMPARISONS = ("eq", "ge", "gt", "le", "lt", "ne")
INDEX_FUNCTIONS = ("add", "div", "max", "min", "mul", "rem", "sub", *COMPARISONS, "where")

# What a product of each element type is accumulated in.
ACCUMULATORS: Mapping[str, str] = {
    "f64": "f64",
    "f32": "f32",
    "f16": "f32",
    "bf16": "f32",
    "f8E5M2": "f32",
    "f8E4M3FN": "f32",
    "i8": "i32",
    "ui8": "i32",
}


@irdl_op_definition
class Dot(TileOp):
    """The matrix product of two blocks, added to an accumulator where one is given.

    ```mlir
    %3 = tessera.tile.dot %0, %1, %2 {transpose_b = true}
        : (!tessera.tile.tile<128x64xbf16, shared>, !tessera.tile.tile<256x64xbf16, shared>,
           !tessera.tile.tile<128x256xf32, reg>) -> !tessera.tile.tile<128x256xf32, reg>
    ```
    """

    name = "tessera.tile.dot"
    arguments = var_operand_def()
    result = result_def()
    transpose_a = opt_attr_def(BoolAttr)
    transpose_b = opt_attr_def(BoolAttr)
    precision = opt_attr_def(StringAttr)

    def verify_(self) -> None:
        """Checks (m, k) times (k, n) and that low precision accumulates in 32 bits."""
        if len(self.operands) not in (2, 3):
            raise tile_error(
                self, f"a dot has two factors and perhaps an accumulator, got {len(self.operands)}"
            )
        left = self.block(self.operands[0], "the left factor")
        right = self.block(self.operands[1], "the right factor")
        out = self.block(self.result, "the result")
        for factor in (left, right, out):
            if len(factor.sizes) != 2:
                raise tile_error(self, f"a dot is of matrices, got {factor}")
        m, k = _turned(left.sizes, self.transpose_a)
        inner, n = _turned(right.sizes, self.transpose_b)
        if k != inner or out.sizes != (m, n):
            raise tile_error(
                self,
                f"shapes are (m, k) times (k, n) into (m, n): ({m}, {k}) times ({inner}, {n}) into "
                f"{out.sizes}",
                hints="Set transpose_a or transpose_b, or change the blocks.",
            )
        self._check_elements(left, right, out)

    def _check_elements(self, left: Tile, right: Tile, out: Tile) -> None:
        wanted = ACCUMULATORS.get(str(left.element))
        if wanted is None or left.element != right.element:
            raise tile_error(
                self,
                f"factors share a dtype that has products: {left.element} and {right.element}",
                hints=f"One of: {', '.join(ACCUMULATORS)}; cast first.",
            )
        if str(out.element) != wanted:
            raise tile_error(
                self,
                f"{left.element} accumulates in {wanted}, not in {out.element}",
                hints="Accumulate wide and cast the result.",
            )
        if len(self.operands) == 3 and self.operands[2].type != out:
            raise tile_error(
                self, f"the accumulator has the result's type: {self.operands[2].type} and {out}"
            )


@irdl_op_definition
class Map(TileOp):
    """An elementwise function of blocks, by name. Axes of size 1 and values without axes spread.

    Comparisons give `i1`; `where` takes an `i1` first. Indices have whole-number arithmetic: `div` rounds
    down.

    ```mlir
    %2 = tessera.tile.map %0, %1 {function = "sub"}
        : (!tessera.tile.tile<64x32xf32, reg>, !tessera.tile.tile<64x1xf32, reg>)
        -> !tessera.tile.tile<64x32xf32, reg>
    ```
    """

    name = "tessera.tile.map"
    arguments = var_operand_def()
    result = result_def()
    function = attr_def(StringAttr)

    def verify_(self) -> None:
        """Checks the function's name, its operands' number, shapes and dtypes."""
        name = self.function.data
        count = FUNCTIONS.get(name)
        if count is None:
            raise tile_error(
                self, f"unknown function {name!r}", hints=f"One of: {', '.join(FUNCTIONS)}."
            )
        if count != len(self.operands):
            raise tile_error(self, f"{name} takes {count} operands, got {len(self.operands)}")
        if all(isinstance(each, builtin.IndexType) for each in self.operand_types):
            self._check_index(name)
        else:
            self._check_blocks(name)

    def _check_index(self, name: str) -> None:
        if name not in INDEX_FUNCTIONS or name == "where":
            raise tile_error(self, f"{name} is no function of indices")
        compares = name in COMPARISONS
        wanted = Tile.of((), builtin.i1) if compares else builtin.IndexType()
        if self.result.type != wanted:
            raise tile_error(self, f"{name} of indices gives {wanted}, not {self.result.type}")

    def _check_blocks(self, name: str) -> None:
        blocks = [self.block(value, "an operand") for value in self.operands]
        out = self.block(self.result, "the result")
        self._check_shape(blocks, out)
        values = blocks
        if name == "where":
            if blocks[0].element != builtin.i1:
                raise tile_error(self, f"where chooses by i1, not by {blocks[0].element}")
            values = blocks[1:]
        elements = [block.element for block in values]
        if any(element != elements[0] for element in elements):
            raise tile_error(
                self, f"operands share a dtype: {words(elements)}", hints="Cast first."
            )
        wanted = builtin.i1 if name in COMPARISONS else elements[0]
        if out.element != wanted:
            raise tile_error(self, f"{name} of {elements[0]} gives {wanted}, not {out.element}")

    def _check_shape(self, blocks: Sequence[Tile], out: Tile) -> None:
        for block in blocks:
            spreads = not block.sizes or (
                len(block.sizes) == len(out.sizes)
                and all(n in (1, m) for n, m in zip(block.sizes, out.sizes, strict=True))
            )
            if not spreads:
                raise tile_error(
                    self,
                    f"an operand has the result's axes, or 1: {list(block.sizes)} and "
                    f"{list(out.sizes)}",
                )
        if any(
            all(len(b.sizes) != len(out.sizes) or b.sizes[i] != n for b in blocks)
            for i, n in enumerate(out.sizes)
            if n != 1
        ):
            raise tile_error(
                self,
                f"each axis of the result comes from an operand: {list(out.sizes)}",
                hints="Spread a value with tessera.tile.full.",
            )


class _Along(TileOp):
    """What reduce and scan have in common: a kind, an axis, and a fixed tree."""

    def check_along(self, source: Tile, axis: int, kind: str) -> None:
        """Checks the kind, the axis and that nothing asks for another order."""
        if kind not in KINDS:
            raise tile_error(self, f"unknown kind {kind!r}", hints=f"One of: {', '.join(KINDS)}.")
        if not 0 <= axis < len(source.sizes):
            raise tile_error(self, f"the axis is one of {source}, got {axis}")
        order = self.attributes.get("order")
        if order is not None and order != StringAttr("tree"):
            raise tile_error(
                self, f"a reduction runs in a fixed tree, order = {order} is not offered"
            )


@irdl_op_definition
class Reduce(_Along):
    """The sum, maximum or minimum along an axis, which stays with size 1.

    ```mlir
    %1 = tessera.tile.reduce %0 {axis = 1 : i64, kind = "max"}
        : (!tessera.tile.tile<64x32xf32, reg>) -> !tessera.tile.tile<64x1xf32, reg>
    ```
    """

    name = "tessera.tile.reduce"
    source = operand_def()
    result = result_def()
    axis = attr_def(Whole)
    kind = attr_def(StringAttr)

    def verify_(self) -> None:
        """Checks the axis, the kind and the result."""
        source = self.block(self.source, "the operand")
        axis = self.axis.value.data
        self.check_along(source, axis, self.kind.data)
        sizes = tuple(1 if place == axis else n for place, n in enumerate(source.sizes))
        out = self.block(self.result, "the result")
        if out.sizes != sizes or out.element != source.element:
            raise tile_error(
                self,
                f"a reduced axis stays with size 1 and the dtype stays: {source} along {axis} gives "
                f"{list(sizes)}, not {out}",
            )


@irdl_op_definition
class Scan(_Along):
    """The running sum, maximum or minimum along an axis, itself included.

    ```mlir
    %1 = tessera.tile.scan %0 {axis = 0 : i64, kind = "sum"}
        : (!tessera.tile.tile<64xi32, reg>) -> !tessera.tile.tile<64xi32, reg>
    ```
    """

    name = "tessera.tile.scan"
    source = operand_def()
    result = result_def()
    axis = attr_def(Whole)
    kind = attr_def(StringAttr)
    reverse = opt_attr_def(BoolAttr)

    def verify_(self) -> None:
        """Checks the axis, the kind and the result."""
        source = self.block(self.source, "the operand")
        self.check_along(source, self.axis.value.data, self.kind.data)
        out = self.block(self.result, "the result")
        if (out.sizes, out.element) != (source.sizes, source.element):
            raise tile_error(self, f"a scan keeps shape and dtype: {source} and {out}")


@irdl_op_definition
class Iota(TileOp):
    """Positions along an axis, as whole numbers: masks compare them.

    ```mlir
    %0 = tessera.tile.iota {axis = 1 : i64} : () -> !tessera.tile.tile<1x32xi32, reg>
    ```
    """

    name = "tessera.tile.iota"
    result = result_def()
    axis = attr_def(Whole)

    def verify_(self) -> None:
        """Checks the axis and that the result holds whole numbers."""
        out = self.block(self.result, "the result")
        if not 0 <= self.axis.value.data < len(out.sizes):
            raise tile_error(self, f"the axis is one of {out}, got {self.axis.value.data}")
        if not isinstance(out.element, builtin.IntegerType) or out.element == builtin.i1:
            raise tile_error(self, f"positions are whole numbers, not {out.element}")


@irdl_op_definition
class Full(TileOp):
    """One value everywhere: a number, or a value without axes.

    ```mlir
    %0 = tessera.tile.full {value = 0.0 : f32} : () -> !tessera.tile.tile<128x256xf32, reg>
    %1 = tessera.tile.full {value = 3 : index} : () -> index
    ```
    """

    name = "tessera.tile.full"
    arguments = var_operand_def()
    result = result_def()
    value = opt_attr_def(Attribute)

    def verify_(self) -> None:
        """Checks that there is one value and that it has the result's dtype."""
        if len(self.operands) + (self.value is not None) != 1:
            raise tile_error(self, "the value is given once: as an attribute or as an operand")
        if isinstance(self.result.type, builtin.IndexType):
            wanted: Attribute = builtin.IndexType()
        else:
            wanted = self.block(self.result, "the result").element
        if self.operands:
            spread = self.block(self.operands[0], "the operand")
            if spread.sizes:
                raise tile_error(self, f"the spread value has no axes, got {spread}")
            given = spread.element
        elif isinstance(self.value, IntegerAttr | builtin.FloatAttr):
            given = self.value.type
        else:
            raise tile_error(self, f"the value is a number, not {self.value}")
        if given != wanted:
            raise tile_error(self, f"the value has the result's dtype: {given} and {wanted}")


@irdl_op_definition
class Cast(TileOp):
    """A block in another dtype, or between an index and a whole number without axes.

    ```mlir
    %1 = tessera.tile.cast %0
        : (!tessera.tile.tile<64x32xf32, reg>) -> !tessera.tile.tile<64x32xbf16, reg>
    ```
    """

    name = "tessera.tile.cast"
    source = operand_def()
    result = result_def()

    def verify_(self) -> None:
        """Checks that the shape stays."""
        if is_index(self.source.type) and is_index(self.result.type):
            return
        source = self.block(self.source, "the operand")
        out = self.block(self.result, "the result")
        if source.sizes != out.sizes:
            raise tile_error(self, f"a cast keeps the shape: {source} and {out}")


@irdl_op_definition
class Transpose(TileOp):
    """A block with its axes in another order.

    ```mlir
    %1 = tessera.tile.transpose %0 {permutation = array<i64: 1, 0>}
        : (!tessera.tile.tile<64x32xf32, reg>) -> !tessera.tile.tile<32x64xf32, reg>
    ```
    """

    name = "tessera.tile.transpose"
    source = operand_def()
    result = result_def()
    permutation = attr_def(Wholes)

    def verify_(self) -> None:
        """Checks the permutation and the result."""
        source = self.block(self.source, "the operand")
        out = self.block(self.result, "the result")
        order = integers(self.permutation)
        if sorted(order) != list(range(len(source.sizes))):
            raise tile_error(self, f"{list(order)} is no permutation of the axes of {source}")
        if out != Tile.of([source.sizes[axis] for axis in order], source.element, out.space.data):
            raise tile_error(self, f"{source} with axes {list(order)} is not {out}")


@irdl_op_definition
class Reshape(TileOp):
    """A block with axes of size 1 added or dropped: without any axis, a block of one element is a number.

    ```mlir
    %1 = tessera.tile.reshape %0
        : (!tessera.tile.tile<1x64xf32, reg>) -> !tessera.tile.tile<64xf32, reg>
    ```
    """

    name = "tessera.tile.reshape"
    source = operand_def()
    result = result_def()

    def verify_(self) -> None:
        """Checks that only axes of size 1 come and go."""
        source = self.block(self.source, "the operand")
        out = self.block(self.result, "the result")
        longer = [[n for n in kind.sizes if n != 1] for kind in (source, out)]
        if longer[0] != longer[1] or source.element != out.element:
            raise tile_error(
                self, f"a reshape adds and drops axes of size 1 alone: {source} is not {out}"
            )


def _turned(sizes: Sequence[int], transposed: BoolAttr | None) -> tuple[int, int]:
    first, second = sizes
    return (second, first) if transposed is not None and transposed.value.data else (first, second)
