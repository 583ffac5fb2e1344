"""Which axes of a kernel can be taken at once: their blocks then are as long as the array.

    softmax of 1000 rows, 128 in a block          one block of 1000 rows, no grid, nothing padded
    acc += a[i, k] b[k, j] for k of 8 blocks      one dot over all of the inner axis

An axis can be taken at once if every block along it is cut from arrays alone, elementwise computed and never
contracted, so that its elements do not know in which block they stand. The axis of a loop that only adds up
products of loaded blocks may be contracted by the product it adds.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import builtin
from xdsl.ir import Attribute, Block, Operation, SSAValue

from tessera.ir import tile
from tessera.lowering.emit_stablehlo.indices import Indices
from tessera.lowering.emit_stablehlo.reads import Access

MADE = (tile.Full, tile.Iota)  # made where they are read, in the size that is needed there

Slot = tuple[SSAValue | tuple[Operation, int], int]  # an axis of a value, or of a made operand


@dataclass
class _Kind:
    """What is known of axes that must be equally long: which axes of the kernel walk them."""

    walked_by: set[SSAValue | None] = field(default_factory=set)  # None: not walked, all is there
    contracted_by: set[Operation] = field(default_factory=set)


class Kinds:
    """The axes of all blocks of a kernel, those that are equally long taken together."""

    def __init__(self, kernel: tile.Func, indices: Indices, accesses: Mapping[Operation, Access]):
        self._limits = indices.limits
        self._parents: dict[Slot, Slot] = {}
        self._kinds: dict[Slot, _Kind] = {}
        for op in kernel.walk():
            if isinstance(op, tile.Load | tile.Store):
                self._read(op, accesses[op])
            else:
                self._join_op(op)

    def walked_by(
        self, operand: SSAValue | tuple[Operation, int], place: int
    ) -> set[SSAValue | None]:
        """Returns the axes of the kernel that walk an axis of a value."""
        return self._kind((operand, place)).walked_by

    def shape(
        self, operand: SSAValue | tuple[Operation, int], whole: Mapping[Hashable, int]
    ) -> list[int]:
        """Returns the shape of a value when some axes are taken at once, with so many elements."""
        value = operand if isinstance(operand, SSAValue) else operand[0].operands[operand[1]]
        kind = value.type
        assert isinstance(kind, tile.Tile)
        found = list(kind.sizes)
        for place, n in enumerate(found):
            walking = self.walked_by(operand, place) if n != 1 else set[SSAValue | None]()
            found[place] = next((whole[axis] for axis in walking if axis in whole), n)
        return found

    def walks_one_axis_of_each(self, axis: SSAValue) -> bool:
        """Returns whether blocks along an axis are along no other, and no block is along it twice."""
        seen: set[SSAValue | tuple[Operation, int]] = set()
        for slot in self._parents:
            walking = self._kind(slot).walked_by
            if axis not in walking:
                continue
            if len(walking) > 1 or slot[0] in seen:
                return False
            seen.add(slot[0])
        return True

    def contracted_by(self, axis: SSAValue) -> set[Operation]:
        """Returns the ops that sum over, or otherwise mix, what stands along an axis."""
        kinds = self._kinds.values()
        return set[Operation]().union(*(k.contracted_by for k in kinds if axis in k.walked_by))

    # -- joining -------------------------------------------------------------------------------------------

    def _read(self, op: tile.Load | tile.Store, access: Access) -> None:
        block = op.result if isinstance(op, tile.Load) else operand_of(op, 0)
        if op.mask is not None:
            kind = op.result.type if isinstance(op, tile.Load) else op.value.type
            assert isinstance(kind, tile.Tile)
            self._join_spread(op, len(op.operands) - 1, block, kind.sizes)
        for along in access:
            if along.place is None:
                continue
            terms = () if along.start is None else along.start.terms.items()
            last = [axis for axis, weight in terms if weight == along.block]
            # An axis of one step may count the same elements as the one that walks them.
            last.sort(key=lambda axis: self._limits[axis] == 1)
            walking = last[0] if last and isinstance(last[0], SSAValue) else None
            self._kind((block, along.place)).walked_by.add(walking)

    def _join_op(self, op: Operation) -> None:
        if isinstance(op, tile.Map):
            self._join_map(op)
        elif isinstance(op, tile.Cast):
            self._join_all(operand_of(op, 0), op.result)
        elif isinstance(op, tile.Transpose):
            for place, source in enumerate(op.permutation.get_values()):
                self._join((operand_of(op, 0), source), (op.result, place))
        elif isinstance(op, tile.Reshape):
            kept = [
                [place for place, n in enumerate(_sizes(x)) if n != 1]
                for x in (op.source, op.result)
            ]
            for source, place in zip(*kept, strict=True):
                self._join((operand_of(op, 0), source), (op.result, place))
        elif isinstance(op, tile.Reduce | tile.Scan):
            self._join_along(op)
        elif isinstance(op, tile.Dot):
            self._join_dot(op)
        elif isinstance(op, tile.For):
            self._join_loop(op)

    def _join_map(self, op: tile.Map) -> None:
        out = _sizes(op.result)
        for number in range(len(op.operands)):
            self._join_spread(op, number, op.result, out)

    def _join_spread(
        self,
        op: Operation,
        number: int,
        result: SSAValue | tuple[Operation, int],
        sizes: Sequence[int],
    ) -> None:
        for place, n in enumerate(_sizes(op.operands[number])):
            if n == sizes[place] and n != 1:
                self._join((operand_of(op, number), place), (result, place))

    def _join_along(self, op: tile.Reduce | tile.Scan) -> None:
        along = op.axis.value.data
        self._kind((operand_of(op, 0), along)).contracted_by.add(op)
        for place in range(len(_sizes(op.source))):
            if place != along or isinstance(op, tile.Scan):
                self._join((operand_of(op, 0), place), (op.result, place))

    def _join_dot(self, op: tile.Dot) -> None:
        a, b = operand_of(op, 0), operand_of(op, 1)
        m, k = (1, 0) if is_true(op.transpose_a) else (0, 1)
        inner, n = (1, 0) if is_true(op.transpose_b) else (0, 1)
        self._join((a, m), (op.result, 0))
        self._join((b, n), (op.result, 1))
        self._join((a, k), (b, inner))
        self._kind((a, k)).contracted_by.add(op)
        if len(op.operands) == 3:
            self._join_all(operand_of(op, 2), op.result)

    def _join_loop(self, op: tile.For) -> None:
        end = op.body.block.last_op
        assert isinstance(end, tile.Yield)
        first = len(op.operands) - len(op.results)
        for number, (argument, result) in enumerate(
            zip(op.body.block.args[1:], op.results, strict=True)
        ):
            self._join_all(argument, result)
            self._join_all(operand_of(op, first + number), result)
            self._join_all(operand_of(end, number), result)

    def _join_all(self, one: SSAValue | tuple[Operation, int], result: SSAValue) -> None:
        for place in range(len(_sizes(result))):
            self._join((one, place), (result, place))

    def _join(self, one: Slot, other: Slot) -> None:
        root, second = self._root(one), self._root(other)
        if root == second:
            return
        gone, kept = self._kinds.pop(second), self._kinds[root]
        kept.walked_by |= gone.walked_by
        kept.contracted_by |= gone.contracted_by
        self._parents[second] = root

    def _kind(self, slot: Slot) -> _Kind:
        return self._kinds[self._root(slot)]

    def _root(self, slot: Slot) -> Slot:
        if slot not in self._parents:
            self._parents[slot] = slot
            self._kinds[slot] = _Kind()
        while self._parents[slot] != slot:
            slot = self._parents[slot]
        return slot


def operand_of(op: Operation, number: int) -> SSAValue | tuple[Operation, int]:
    """Returns an operand, or where it is read if it is made there: one zero serves blocks of all axes."""
    value = op.operands[number]
    return (op, number) if is_made(value) else value


def is_made(value: SSAValue) -> bool:
    """Returns whether a value is a constant block or positions, which are made where they are read."""
    owner = value.owner
    return isinstance(owner, MADE) and not owner.operands and isinstance(value.type, tile.Tile)


def is_true(attribute: Attribute | None) -> bool:
    """Returns whether an optional flag is set."""
    return isinstance(attribute, builtin.IntegerAttr) and bool(attribute.value.data)


def _sizes(value: SSAValue) -> tuple[int, ...]:
    return value.type.sizes if isinstance(value.type, tile.Tile) else ()


# -- which axes --------------------------------------------------------------------------------------------


def taken_at_once(
    kernel: tile.Func, indices: Indices, accesses: Mapping[Operation, Access], kinds: Kinds
) -> dict[Hashable, int]:
    """Returns the axes of grid and loops that can be taken at once, with how many elements they have."""
    sums: dict[SSAValue, tile.Dot] = {
        loop.body.block.args[0]: product for loop, product in _sums(kernel)
    }
    found: dict[Hashable, int] = {}
    for axis in (*indices.grid, *sums):
        size = _length(axis, indices, accesses)
        if size is None or not kinds.walks_one_axis_of_each(axis):
            continue
        if not kinds.contracted_by(axis) <= ({sums[axis]} if axis in sums else set()):
            continue
        if _only_counts_positions(axis, kernel, indices, accesses, kinds):
            found[axis] = size
    return found


def _sums(kernel: tile.Func) -> Iterator[tuple[tile.For, tile.Dot]]:
    for op in kernel.walk():
        if isinstance(op, tile.For) and not op.bounds and len(op.results) == 1:
            product = _summed(op.body.block)
            whole = (op.start is None or not op.start.value.data) and (
                op.step is None or op.step.value.data == 1
            )
            if product is not None and whole:
                yield op, product


def _summed(body: Block) -> tile.Dot | None:
    end, carried = body.last_op, body.args[1]
    product = end.operands[0].owner if end is not None else None
    if not isinstance(product, tile.Dot) or len(product.operands) != 3:
        return None
    alone = product.parent_block() is body and product.operands[2] is carried
    # What another product makes would be held for all of the axis: as scores are in attention's backward.
    if any(
        isinstance(op, tile.Store | tile.For | tile.Dot) and op is not product for op in body.ops
    ):
        return None
    return product if alone and len(list(carried.uses)) == 1 else None


def _length(axis: SSAValue, indices: Indices, accesses: Mapping[Operation, Access]) -> int | None:
    """Returns how many elements an axis walks, or None if accesses do not walk it in equal blocks."""
    limit, sizes = indices.limits[axis], set[int | None]()
    for access in accesses.values():
        walking = [along for along in access if axis in indices.axes(along.index)]
        if len(walking) > 1:
            return None
        for along in walking:
            start = along.start
            if start is None or start.constant or along.place is None or limit is None:
                return None
            others = [n for x, n in start.terms.items() if x != axis and indices.limits[x] != 1]
            if (
                start.terms.get(axis) != along.block
                or min(others, default=along.block) < along.block
            ):
                return None
            size = min(others, default=along.size)
            sizes.add(size if limit * along.block >= size else None)
    return sizes.pop() if len(sizes) == 1 else None


def _only_counts_positions(
    axis: SSAValue,
    kernel: tile.Func,
    indices: Indices,
    accesses: Mapping[Operation, Access],
    kinds: Kinds,
) -> bool:
    """Returns whether an index is used for nothing but accesses and positions along its own axis."""
    for op in kernel.walk():
        if isinstance(op, tile.For) and any(axis in indices.axes(bound) for bound in op.bounds):
            return False
        for number, value in enumerate(op.operands):
            maker = value.owner
            walks = isinstance(maker, tile.Iota) and axis in kinds.walked_by(
                (op, number), maker.axis.value.data
            )
            begins = _is_number_of(axis, value, indices)
            if (walks or begins) and not _adds_position(axis, op, indices, kinds):
                return False
    return True


def _is_number_of(axis: SSAValue, value: SSAValue, indices: Indices) -> bool:
    """Returns whether a value without axes is computed from an index, beyond the ways of indices."""
    if not isinstance(value.type, tile.Tile) or value.type.sizes:
        return False
    owner = value.owner
    if not isinstance(owner, tile.Cast | tile.Map):
        return False
    return any(
        isinstance(x.type, builtin.IndexType) and axis in indices.axes(x) for x in owner.operands
    )


def _adds_position(axis: SSAValue, op: Operation, indices: Indices, kinds: Kinds) -> bool:
    """Returns whether an op adds the start of a block to the positions in it."""
    if not isinstance(op, tile.Map) or op.function.data != "add":
        return False
    for number, value in enumerate(op.operands):
        owner, other = value.owner, op.operands[1 - number]
        if not isinstance(owner, tile.Iota):
            continue
        along, start = owner.axis.value.data, indices.affine(other)
        block = _sizes(value)[along]
        walked = kinds.walked_by((op, number), along) == {axis}
        return walked and start is not None and start.terms.get(axis) == block
    return False
