"""Schedule IR: which nodes one kernel computes, what runs them, and what that should cost.

    fuse         nodes computed by one kernel
    pipeline     a fuse whose loads are software-pipelined over `depth` stages
    xla          nodes left to XLA's own fusion
    collective   communication over mesh axes
    layout_cast  a value in another layout
    yield        ends the body of a group: the values it gives back

The operands of a group are its inputs and its results its outputs. Its body, where present, is one block
whose arguments stand for the operands in order. A group without a body is one that was written down as text.

    %1 = tessera.schedule.fuse(%a = %x, %b = %w) {pattern = "matmul+relu", tile = array<i64: 8, 2>}
        : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32> {
      %2 = tessera.graph.matmul %a, %b : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
      %3 = tessera.graph.relu %2 : (tensor<8x2xf32>) -> tensor<8x2xf32>
      tessera.schedule.yield %3 : tensor<8x2xf32>
    }
"""

from collections.abc import Sequence
from typing import Any

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DictionaryAttr, StringAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    irdl_op_definition,
    operand_def,
    opt_attr_def,
    result_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.traits import IsTerminator

from tessera.core.errors import Code, CompileError
from tessera.ir.attributes import Real, Whole, Wholes, integers, to_attribute

PREFIX = "tessera.schedule."
PATTERNS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "permute", "broadcast")
DEFAULT_DEPTH = 2


@irdl_op_definition
class Yield(IRDLOperation):
    """Ends the body of a group: the values it gives back.

    ```mlir
    %0 = tessera.schedule.xla(%a = %x) : (tensor<2xf32>) -> tensor<2xf32> {
      tessera.schedule.yield %a : tensor<2xf32>
    }
    ```
    """

    name = "tessera.schedule.yield"
    values = var_operand_def()
    traits = traits_def(IsTerminator())


class Group(IRDLOperation):
    """What the group ops have in common: inputs, outputs, a body, a pattern and a cost.

    `tile` is the block that one program computes of the product, reduction or op the group has, else of its
    first result, over the last axes. An axis that the block does not divide is padded, and `padded` says to
    what. `inner` is the block of an axis the program loops over, and `warps` how many warps run one program
    on a GPU. `blocks` are the sizes that the program of a user's kernel gets, to cut what it likes.
    """

    inputs = var_operand_def()
    outputs = var_result_def()
    bodies = var_region_def("single_block")
    pattern = opt_attr_def(StringAttr)
    runs = opt_attr_def(StringAttr)
    reason = opt_attr_def(StringAttr)
    tile = opt_attr_def(Wholes)
    padded = opt_attr_def(Wholes)
    inner = opt_attr_def(Whole)
    turns = opt_attr_def(Whole)
    warps = opt_attr_def(Whole)
    blocks = opt_attr_def(Wholes)
    flops = opt_attr_def(Whole)
    bytes = opt_attr_def(Whole)
    seconds = opt_attr_def(Real)

    @property
    def block(self) -> Block | None:
        """The body, or None where the text gave none."""
        return self.bodies[0].block if self.bodies else None

    def verify_(self) -> None:
        """Checks the body against the operands and results, and the tile against the first result."""
        self._check_body()
        if self.tile is not None:
            self._check_tile(integers(self.tile))
        for name, count in (("inner", self.inner), ("turns", self.turns), ("warps", self.warps)):
            if count is not None and count.value.data < 1:
                raise schedule_error(self, f"{name} is at least 1, got {count.value.data}")
        for name in ("flops", "bytes", "seconds"):
            self._check_cost(name)

    def _check_body(self) -> None:
        if len(self.bodies) > 1:
            raise graph_error(self, f"a group has one body, not {len(self.bodies)}")
        if not self.bodies:
            return
        block = self.bodies[0].block
        _check_types(self, "body arguments and operands", block.arg_types, self.operand_types)
        end = block.last_op
        if not isinstance(end, Yield):
            raise graph_error(
                self, "the body of a group ends in tessera.schedule.yield", hints="Add the yield."
            )
        _check_types(self, "yielded values and results", end.operand_types, self.result_types)

    def _check_tile(self, tile: Sequence[int]) -> None:
        for axis, size in enumerate(tile):
            if size < 1:
                raise schedule_error(
                    self,
                    f"a tile dimension is at least 1, but dimension {axis} of tile = {list(tile)} is {size}",
                    hints=f"The nearest legal tile is {[max(n, 1) for n in tile]}.",
                )
        shapes = self._shapes()
        if not shapes or any(self._is_covered(tile, shape) for shape in shapes[1:]):
            return
        shape, rank = shapes[0], len(tile)
        if rank > len(shape):
            raise schedule_error(
                self,
                f"the tile covers axes of the result, but tile = {list(tile)} has more axes than "
                f"the result's {list(shape)}",
                hints=f"The nearest legal tile is {list(tile[rank - len(shape) :])}.",
            )
        covered = shape[len(shape) - rank :]
        padded = tuple(integers(self.padded)) if self.padded is not None else covered
        self._check_padding(tile, covered, padded)

    def _shapes(self) -> list[tuple[int, ...]]:
        """Returns the shape of the first result, then those of what the body computes."""
        inside = [r for op in self.block.ops for r in op.results] if self.block else []
        values = [*self.results[:1], *inside]
        return [s for s in (_static_shape(x.type) for x in values) if s is not None]

    def _is_covered(self, tile: Sequence[int], shape: Sequence[int]) -> bool:
        covered = shape[len(shape) - len(tile) :]
        padded = integers(self.padded) if self.padded is not None else covered
        return len(padded) == len(tile) == len(covered) and all(
            p >= n and p % t == 0 and p < n + t
            for p, n, t in zip(padded, covered, tile, strict=True)
        )

    def _check_padding(
        self, tile: Sequence[int], covered: Sequence[int], padded: Sequence[int]
    ) -> None:
        values = f"tile = {list(tile)}, result = {list(covered)}, padded = {list(padded)}"
        if len(padded) != len(tile) or any(p < n for p, n in zip(padded, covered, strict=True)):
            raise schedule_error(self, f"padding never shrinks an axis the tile covers: {values}")
        uneven = [axis for axis, (p, t) in enumerate(zip(padded, tile, strict=True)) if p % t]
        if uneven:
            fix = [-(-n // t) * t for n, t in zip(covered, tile, strict=True)]
            nearest = [_nearest_divisor(p, t) for p, t in zip(padded, tile, strict=True)]
            raise schedule_error(
                self,
                f"the tile covers the padded result exactly, which dimension {uneven[0]} does not: {values}",
                hints=(
                    f"State the padding: padded = array<i64: {', '.join(map(str, fix))}>.",
                    f"The nearest legal tile without it is {nearest}.",
                ),
            )

    def _check_cost(self, name: str) -> None:
        cost = self.attributes.get(name)
        if isinstance(cost, builtin.IntegerAttr | builtin.FloatAttr) and cost.value.data < 0:
            raise graph_error(self, f"a cost is not negative, but {name} = {cost.value.data}")


@irdl_op_definition
class Fuse(Group):
    """Nodes that one kernel computes.

    `runs` says what executes it on this backend: "xla", "tile", or the name of an algorithm of the op.

    ```mlir
    %2 = tessera.schedule.fuse(%0, %1) {pattern = "mul", runs = "tile", tile = array<i64: 8>}
        : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    ```
    """

    name = "tessera.schedule.fuse"


@irdl_op_definition
class Pipeline(Group):
    """A fuse whose loads are software-pipelined: load (N+1), compute (N), store (N-1).

    ```mlir
    %2 = "tessera.schedule.pipeline"(%0, %1) {double_buffer = true}
        : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
    ```
    """

    name = "tessera.schedule.pipeline"
    double_buffer = opt_attr_def(BoolAttr)
    depth = opt_attr_def(Whole)

    @property
    def stages(self) -> int:
        """How many loads are in flight."""
        return DEFAULT_DEPTH if self.depth is None else self.depth.value.data

    def verify_(self) -> None:
        """Checks the depth and that there is something to load, beside the rules of every group."""
        if not self.operands:
            raise schedule_error(
                self, "a pipeline has inputs to load, this one has none", hints="Use fuse."
            )
        if self.stages < 1:
            raise schedule_error(self, f"depth is at least 1, got {self.stages}")
        doubled = self.double_buffer is not None and bool(self.double_buffer.value.data)
        if doubled and self.stages < DEFAULT_DEPTH:
            raise schedule_error(
                self,
                f"a double buffer holds two stages, but depth = {self.stages}",
                hints="Raise depth to 2 or drop double_buffer.",
            )
        super().verify_()


@irdl_op_definition
class Xla(Group):
    """Nodes left to XLA's own fusion, with the reason.

    ```mlir
    %1 = tessera.schedule.xla(%0) {pattern = "exp", reason = "one read, one write"}
        : (tensor<8xf32>) -> tensor<8xf32>
    ```
    """

    name = "tessera.schedule.xla"


@irdl_op_definition
class Collective(Group):
    """Communication over mesh axes.

    The axes must be axes of the module's `mesh`, a dictionary from axis names to sizes, where it has one.

    ```mlir
    %1 = tessera.schedule.collective(%0) {pattern = "all_reduce", axes = ["dp"], algo = "ring"}
        : (tensor<8xf32>) -> tensor<8xf32>
    ```
    """

    name = "tessera.schedule.collective"
    pattern = attr_def(StringAttr)
    axes = attr_def(ArrayAttr)
    algo = opt_attr_def(StringAttr)

    def verify_(self) -> None:
        """Checks the pattern and the axes, beside the rules of every group."""
        if self.pattern.data not in PATTERNS:
            known = ", ".join(PATTERNS)
            raise graph_error(
                self, f"unknown pattern {self.pattern.data!r}", hints=f"One of: {known}."
            )
        self._check_axes(mesh_of(self))
        super().verify_()

    def _check_axes(self, mesh: DictionaryAttr | None) -> None:
        for axis in self.axes.data:
            if not isinstance(axis, StringAttr):
                raise graph_error(self, f"an axis is a string, got {axis}")
            if mesh is not None and axis.data not in mesh.data:
                have = ", ".join(mesh.data) or "none"
                raise graph_error(
                    self,
                    f"axis {axis.data!r} is not an axis of the module's mesh",
                    hints=f"The mesh has: {have}.",
                )


@irdl_op_definition
class LayoutCast(IRDLOperation):
    """A value in another layout; its type stays.

    ```mlir
    %1 = tessera.schedule.layout_cast %0 {layout = "col_major"} : (tensor<8x4xf32>) -> tensor<8x4xf32>
    ```
    """

    name = "tessera.schedule.layout_cast"
    input = operand_def()
    output = result_def()
    layout = attr_def(Attribute)

    def verify_(self) -> None:
        """Checks that the cast leaves the type alone."""
        if self.input.type != self.output.type:
            raise graph_error(
                self, f"a layout cast keeps the type: {self.input.type} became {self.output.type}"
            )


OPS: tuple[type[IRDLOperation], ...] = (Fuse, Pipeline, Xla, Collective, LayoutCast, Yield)
GROUPS: tuple[type[Group], ...] = (Fuse, Pipeline, Xla, Collective)


def group(
    kind: type[Group],
    inputs: Sequence[SSAValue],
    results: Sequence[Attribute],
    block: Block | None = None,
    **attributes: Any,
) -> Group:
    """Returns a group op. Python values of attributes become IR attributes.

    >>> print(group(Pipeline, [], [], double_buffer=True, pattern="matmul"))
    "tessera.schedule.pipeline"() {double_buffer = true, pattern = "matmul"} : () -> ()
    """
    return kind.create(
        operands=inputs,
        result_types=results,
        attributes={name: to_attribute(value) for name, value in attributes.items()},
        regions=[] if block is None else [Region(block)],
    )


def mesh_of(op: Operation) -> DictionaryAttr | None:
    """Returns the `mesh` attribute of the module around an op, if it has one."""
    outer = op.parent_op()
    while outer is not None:
        mesh = outer.attributes.get("mesh")
        if isinstance(mesh, DictionaryAttr):
            return mesh
        outer = outer.parent_op()
    return None


def _nearest_divisor(size: int, wanted: int) -> int:
    """Returns the divisor of a size that is nearest a number, the smaller of two."""
    divisors = (n for n in range(1, size + 1) if size % n == 0)
    return min(divisors, key=lambda n: abs(n - wanted), default=1)


def schedule_error(op: Operation, text: str, hints: str | Sequence[str] = ()) -> CompileError:
    """Returns the error of a group that cannot be scheduled as written."""
    return CompileError(
        Code.E_SCHEDULE_FUSE_FAIL, f"{op.name}: {text}.", hints=hints, where="schedule"
    )


def graph_error(op: Operation, text: str, hints: str | Sequence[str] = ()) -> CompileError:
    """Returns the error of a group that is no well-formed part of its module."""
    return CompileError(Code.E_GRAPH_INVALID, f"{op.name}: {text}.", hints=hints, where="schedule")


def _check_types(
    op: Operation, what: str, left: Sequence[Attribute], right: Sequence[Attribute]
) -> None:
    if len(left) != len(right):
        raise graph_error(op, f"{what} agree in number: {len(left)} and {len(right)}")
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        if one != other:
            raise graph_error(op, f"{what} agree in type: number {place} is {one} and {other}")


def _static_shape(kind: Attribute) -> tuple[int, ...] | None:
    if not isinstance(kind, builtin.TensorType):
        return None
    shape = kind.get_shape()
    return None if builtin.DYNAMIC_INDEX in shape else shape
