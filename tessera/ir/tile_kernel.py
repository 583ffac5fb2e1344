"""The ops of a tile program that say when and where: func, for, load, store, yield."""

from collections.abc import Iterator, Sequence

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, StringAttr
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    irdl_op_definition,
    operand_def,
    opt_attr_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsTerminator, SymbolOpInterface

from tessera.ir.attributes import Whole, Wholes, integers
from tessera.ir.tile_types import Tile, TileOp, is_index, tile_error, words

UNITS = ("block", "element")
# Bytes of scratch one program may use on sm_90; sm_80 has 163 KiB, gfx942 64 KiB.
DEFAULT_SHARED_LIMIT = 227 * 1024


@irdl_op_definition
class Yield(IRDLOperation):
    """Ends the body of a loop, with the carried values, or a function, with none.

    ```mlir
    tessera.tile.for {stop = 4 : i64} : () -> () {
    ^bb0(%k: index):
      tessera.tile.yield
    }
    ```
    """

    name = "tessera.tile.yield"
    values = var_operand_def()
    traits = traits_def(IsTerminator())


@irdl_op_definition
class Func(TileOp):
    """A kernel: runs once per point of `grid`, and writes its last `outputs` arrays.

    What no program stores of an output is undefined.

    Its arguments are the arrays, then one block index per grid axis. `warps` and `stages` configure a GPU;
    `shared_limit` bounds the scratch of one program, in bytes.

    Kernels with one `group` number run in order. `arrays` then says, for each array of a kernel, which value
    of the group it is: first the group's inputs, then its results, then temporaries that a kernel writes and
    a later one reads. Without it the arrays are the group's inputs and results, in order.

    ```mlir
    tessera.tile.func @nothing(%y: !tessera.tile.tile<8xf32, hbm>, %i: index)
        attributes {grid = array<i64: 4>, outputs = 1 : i64} {
      tessera.tile.yield
    }
    ```
    """

    name = "tessera.tile.func"
    sym_name = attr_def(StringAttr)
    function_type = attr_def(builtin.FunctionType)
    grid = attr_def(Wholes)
    outputs = attr_def(Whole)
    warps = opt_attr_def(Whole)
    stages = opt_attr_def(Whole)
    shared_limit = opt_attr_def(Whole)
    group = opt_attr_def(Whole)
    values = opt_attr_def(Wholes, attr_name="arrays")
    body = region_def("single_block")
    traits = traits_def(SymbolOpInterface())

    def verify_(self) -> None:
        """Checks grid, arguments, outputs, the values of the group and the scratch of the body."""
        grid = integers(self.grid)
        if any(size < 1 for size in grid):
            raise tile_error(self, f"a grid axis has at least one program, got {list(grid)}")
        self._check_arguments(len(grid))
        self._check_values()
        end = self.body.block.last_op
        if not isinstance(end, Yield) or end.operands:
            raise tile_error(self, "a kernel ends in tessera.tile.yield without values")
        self._check_scratch()

    def _check_arguments(self, axes: int) -> None:
        block = self.body.block
        if block.arg_types != self.function_type.inputs.data or self.function_type.outputs.data:
            raise tile_error(self, "function_type has the body's arguments and no outputs")
        arrays, indices = _split_indices(block.arg_types)
        if len(indices) != axes:
            raise tile_error(
                self, f"one block index per grid axis: {len(indices)} for a grid of {axes} axes"
            )
        for place, array in enumerate(arrays):
            if not isinstance(array, Tile) or array.space.data != "hbm":
                raise tile_error(self, f"argument {place} is an array in hbm, not {array}")
        count = self.outputs.value.data
        if not 1 <= count <= len(arrays):
            raise tile_error(self, f"a kernel of {len(arrays)} arrays writes {count} of them")

    def _check_values(self) -> None:
        if self.values is None:
            return
        values = integers(self.values)
        if len(values) != len(self.arrays) or len(set(values)) < len(values) or min(values) < 0:
            raise tile_error(
                self,
                f"arrays names another value of the group for each of {len(self.arrays)} arrays, "
                f"got {list(values)}",
            )
        for earlier in self._kernels_before():
            self._check_after(earlier)

    def _kernels_before(self) -> Iterator["Func"]:
        """Yields the kernels of the same group that run before this one."""
        before = self.prev_op
        while isinstance(before, Func) and self.group is not None and before.group == self.group:
            yield before
            before = before.prev_op

    def _check_after(self, earlier: "Func") -> None:
        theirs = dict(zip(earlier.places, earlier.arrays, strict=True))
        for place, array in zip(self.places, self.arrays, strict=True):
            other = theirs.get(place)
            if other is None:
                continue
            name = earlier.sym_name.data
            if other.type != array.type:
                raise tile_error(
                    self,
                    f"value {place} of the group is {array.type}, but {other.type} in @{name}",
                )
            if array in self.written:
                done = "writes" if other in earlier.written else "reads"
                raise tile_error(
                    self,
                    f"a value is written once, before it is read, but @{name} {done} value {place}",
                )

    def _check_scratch(self) -> None:
        limit = DEFAULT_SHARED_LIMIT if self.shared_limit is None else self.shared_limit.value.data
        parts = list(_scratch(self.body.block, 1))
        total = sum(size for _, size in parts)
        if total > limit:
            largest = max(parts, key=lambda part: part[1])
            raise tile_error(
                self,
                f"scratch fits the device: shared tiles times stages take {total} bytes, the limit "
                f"is {limit}; the largest is {largest[0]} with {largest[1]}",
                hints="Use smaller blocks or fewer stages.",
            )

    @property
    def arrays(self) -> Sequence[SSAValue]:
        """The arrays the kernel gets, inputs first."""
        block = self.body.block
        return block.args[: len(block.args) - len(integers(self.grid))]

    @property
    def places(self) -> tuple[int, ...]:
        """Which value of its group each array is: inputs, then results, then temporaries."""
        return tuple(range(len(self.arrays))) if self.values is None else integers(self.values)

    @property
    def written(self) -> Sequence[SSAValue]:
        """The arrays the kernel may store into."""
        arrays = self.arrays
        return arrays[len(arrays) - self.outputs.value.data :]


def _split_indices(
    types: Sequence[Attribute],
) -> tuple[Sequence[Attribute], Sequence[Attribute]]:
    count = next((n for n, t in enumerate(types) if isinstance(t, builtin.IndexType)), len(types))
    return types[:count], types[count:]


def _scratch(block: Block, stages: int) -> Iterator[tuple[Tile, int]]:
    for op in block.ops:
        for result in op.results:
            if isinstance(result.type, Tile) and result.type.space.data == "shared":
                yield result.type, result.type.size_in_bytes * stages
    # Loops of one block run one after another, and each gives its scratch back.
    loops = [list(_scratch(op.body.block, op.depth)) for op in block.ops if isinstance(op, For)]
    yield from max(loops, key=lambda parts: sum(size for _, size in parts), default=[])


@irdl_op_definition
class For(TileOp):
    """A loop over `start, start + step, ...` below `stop`, with carried values.

    Bounds are attributes where they are known. One leading `index` operand beyond the carried values is a
    `stop` known at run time; two are `start` and `stop`. The body gets the loop index, then what is carried.

    ```mlir
    %1 = tessera.tile.for %0 {start = 0 : i64, stop = 512 : i64, step = 64 : i64, stages = 3 : i64}
        : (!tessera.tile.tile<f32, reg>) -> !tessera.tile.tile<f32, reg> {
    ^bb0(%k: index, %carried: !tessera.tile.tile<f32, reg>):
      tessera.tile.yield %carried : !tessera.tile.tile<f32, reg>
    }
    ```
    """

    name = "tessera.tile.for"
    arguments = var_operand_def()
    outputs = var_result_def()
    start = opt_attr_def(Whole)
    stop = opt_attr_def(Whole)
    step = opt_attr_def(Whole)
    stages = opt_attr_def(Whole)
    body = region_def("single_block")

    @property
    def bounds(self) -> Sequence[SSAValue]:
        """The bounds known at run time: none, (stop,) or (start, stop)."""
        return self.operands[: len(self.operands) - len(self.results)]

    @property
    def initial(self) -> Sequence[SSAValue]:
        """What the carried values begin with."""
        return self.operands[len(self.operands) - len(self.results) :]

    @property
    def depth(self) -> int:
        """How many loads are in flight."""
        return 1 if self.stages is None else self.stages.value.data

    def verify_(self) -> None:
        """Checks bounds, step, stages and that carried values keep their types."""
        self._check_bounds()
        for name, attribute in (("step", self.step), ("stages", self.stages)):
            if attribute is not None and attribute.value.data < 1:
                raise tile_error(self, f"{name} is at least 1, got {attribute.value.data}")
        carried = tuple(value.type for value in self.initial)
        self._same("initial values and results", carried, self.result_types)
        block = self.body.block
        self._same("body arguments", (builtin.IndexType(), *carried), block.arg_types)
        end = block.last_op
        if not isinstance(end, Yield):
            raise tile_error(self, "the body of a loop ends in tessera.tile.yield")
        self._same("yielded and carried values", end.operand_types, carried)

    def _check_bounds(self) -> None:
        bounds = len(self.operands) - len(self.results)
        if not 0 <= bounds <= 2:
            raise tile_error(
                self,
                f"operands are the dynamic bounds, then what is carried: {len(self.operands)} "
                f"operands for {len(self.results)} results",
            )
        for value in self.bounds:
            if not isinstance(value.type, builtin.IndexType):
                raise tile_error(self, f"a bound is an index, not {value.type}")
        if (self.stop is None) != (bounds > 0):
            raise tile_error(self, "stop is given once: as an attribute or as an operand")
        if self.start is not None and bounds == 2:
            raise tile_error(self, "start is given once: as an attribute or as an operand")

    def _same(self, what: str, left: Sequence[Attribute], right: Sequence[Attribute]) -> None:
        if tuple(left) != tuple(right):
            raise tile_error(self, f"{what} agree in type: {words(left)} and {words(right)}")


class _Access(TileOp):
    """What load and store have in common: a block of an array at indices.

    There is one index per axis of the array, then perhaps a mask: a block of i1 that spreads over the tile,
    false where nothing is to be touched. `unit` says per index whether it counts blocks (the default), and
    then stays within the padded array, or elements. `block` is the block's shape in the array where the tile
    drops axes of size 1. An axis that the block does not divide is padded, and `padded` says to what; what
    lies beyond the array, or where the mask is false, is not written, and reads as `fill`.
    """

    places = var_operand_def()

    @property
    def indices(self) -> Sequence[SSAValue]:
        """Where the block stands, per axis of the array."""
        return self.places if self.mask is None else self.places[:-1]

    @property
    def mask(self) -> SSAValue | None:
        """Which elements of the tile are touched, where not all are."""
        last = self.places[-1] if self.places else None
        kind = None if last is None else last.type
        return last if isinstance(kind, Tile) and kind.element == builtin.i1 else None

    def check_access(self, array: Tile, tile: Tile) -> None:
        """Checks indices, mask, element types and that blocks cover the padded array exactly."""
        indices = self.indices
        if tile.element != array.element:
            raise tile_error(
                self,
                f"a block has its array's dtype: {tile.element} and {array.element}",
                hints="Cast in between.",
            )
        if len(indices) != len(array.sizes):
            raise tile_error(self, f"one index per axis of the array: {len(indices)} for {array}")
        for index in indices:
            if not is_index(index.type):
                raise tile_error(self, f"an index is an index or a whole number, not {index.type}")
        if self.mask is not None:
            self._check_mask(self.block(self.mask, "the mask"), tile)
        block = self._block_shape(tile)
        if len(block) != len(array.sizes):
            raise tile_error(
                self,
                f"the block has the array's rank: block {list(block)}, array {list(array.sizes)}",
                hints="Give block = array<i64: ...> with 1 at the axes the tile drops.",
            )
        self._check_padding(array.sizes, block, self._units(len(indices)))

    def _check_mask(self, mask: Tile, tile: Tile) -> None:
        if mask.sizes and (
            len(mask.sizes) != len(tile.sizes)
            or any(n not in (1, m) for n, m in zip(mask.sizes, tile.sizes, strict=True))
        ):
            raise tile_error(
                self,
                f"a mask has the tile's axes, or 1: {list(mask.sizes)} and {list(tile.sizes)}",
            )

    def _block_shape(self, tile: Tile) -> tuple[int, ...]:
        given = self.attributes.get("block")
        if not isinstance(given, DenseArrayBase):
            return tile.sizes
        block = integers(given)
        if [n for n in block if n != 1] != [n for n in tile.sizes if n != 1]:
            raise tile_error(
                self,
                f"the tile is the block without axes of size 1: block {list(block)}, "
                f"tile {list(tile.sizes)}",
            )
        return block

    def _units(self, count: int) -> list[str]:
        given = self.attributes.get("unit")
        if not isinstance(given, ArrayAttr):
            return ["block"] * count
        units = [unit.data if isinstance(unit, StringAttr) else str(unit) for unit in given.data]
        if len(units) != count or not set(units) <= set(UNITS):
            raise tile_error(
                self, f"unit has one of {', '.join(UNITS)} per index: {units} for {count} indices"
            )
        return units

    def _check_padding(
        self, shape: Sequence[int], block: Sequence[int], units: Sequence[str]
    ) -> None:
        given = self.attributes.get("padded")
        padded = integers(given) if isinstance(given, DenseArrayBase) else tuple(shape)
        values = f"array {list(shape)}, padded {list(padded)}, block {list(block)}"
        if len(padded) != len(shape) or any(p < n for p, n in zip(padded, shape, strict=True)):
            raise tile_error(self, f"padding never shrinks an axis: {values}")
        ragged = [
            axis
            for axis, unit in enumerate(units)
            if unit == "block" and shape[axis] >= 0 and padded[axis] % block[axis]
        ]
        if ragged:
            fix = [-(-n // b) * b if n >= 0 else n for n, b in zip(shape, block, strict=True)]
            raise tile_error(
                self,
                f"the block divides the padded array: axis {ragged[0]} of {values}",
                hints=f"State the padding: padded = array<i64: {', '.join(map(str, fix))}>.",
            )


@irdl_op_definition
class Load(_Access):
    """Reads a block of an array.

    ```mlir
    %1 = tessera.tile.load %a, %i, %k {padded = array<i64: 128, 64>, fill = 0.0 : f32}
        : (!tessera.tile.tile<100x64xf32, hbm>, index, index) -> !tessera.tile.tile<64x32xf32, shared>
    ```
    """

    name = "tessera.tile.load"
    source = operand_def()
    places = var_operand_def()
    result = result_def()
    unit = opt_attr_def(ArrayAttr)
    block_shape = opt_attr_def(Wholes, attr_name="block")
    padded = opt_attr_def(Wholes)
    fill = opt_attr_def(Attribute)

    def verify_(self) -> None:
        """Checks the block against the array."""
        self.check_access(
            self.array(self.source, "the source"), self.block(self.result, "the result")
        )


@irdl_op_definition
class Store(_Access):
    """Writes a block of an array the kernel writes. It never accumulates: there are no atomics.

    ```mlir
    tessera.tile.store %0, %c, %i, %j
        : (!tessera.tile.tile<64x32xf32, reg>, !tessera.tile.tile<128x64xf32, hbm>, index, index) -> ()
    ```
    """

    name = "tessera.tile.store"
    value = operand_def()
    target = operand_def()
    places = var_operand_def()
    unit = opt_attr_def(ArrayAttr)
    block_shape = opt_attr_def(Wholes, attr_name="block")
    padded = opt_attr_def(Wholes)

    def verify_(self) -> None:
        """Checks the block against the array, and that the store only overwrites what is an output."""
        for name in ("accumulate", "atomic"):
            if name in self.attributes:
                raise tile_error(
                    self,
                    f"a store overwrites, {name!r} is not offered: its order would change the bits",
                    hints="Reduce within the program, or write partial results and reduce those.",
                )
        self.check_access(
            self.array(self.target, "the target"), self.block(self.value, "the stored value")
        )
        function = kernel_of(self)
        if function is not None and all(self.target is not array for array in function.written):
            count = function.outputs.value.data
            raise tile_error(self, f"a kernel stores into its last {count} arrays only")


def kernel_of(op: Operation) -> Func | None:
    """Returns the kernel around an op."""
    outer = op.parent_op()
    while outer is not None and not isinstance(outer, Func):
        outer = outer.parent_op()
    return outer
