"""What a value or an op of a tile program is, as the writer of its statements asks."""

from collections.abc import Sequence

from xdsl.dialects.builtin import BoolAttr
from xdsl.ir import Attribute, Block, Operation, SSAValue

from tessera.ir.tile import Cast, For, Full, Map, Tile, Yield


def number_of(value: SSAValue) -> Attribute | None:
    """Returns the number a value without axes is everywhere, or None."""
    op = value.owner
    if not isinstance(op, Full) or op.value is None:
        return None
    return None if isinstance(value.type, Tile) and value.type.sizes else op.value


def replaces(argument: SSAValue, following: SSAValue, end: Yield) -> bool:
    """Returns whether the next value of a carried one can be computed into its variable.

    So it is where the loop's body computes it for the yield alone, and nothing later reads the old value.
    """
    body = end.parent_block()
    if not is_computed(following, body) or len(list(following.uses)) != 1:
        return False
    assert body is not None
    op = following.owner
    assert isinstance(op, Operation)
    ops = list(body.ops)
    place = ops.index(op)
    return all(
        _place_in(body, use.operation, ops) <= place and use.operation is not end
        for use in argument.uses
    )


def is_computed(value: SSAValue, block: Block | None) -> bool:
    """Returns whether a statement of a block computes a value: no number, loop or other name does."""
    op = value.owner
    if not isinstance(op, Operation) or op.parent_block() is not block:
        return False
    if isinstance(op, Cast | For) or not isinstance(value.type, Tile):
        return False
    return number_of(value) is None


def _place_in(body: Block, op: Operation, ops: Sequence[Operation]) -> int:
    while op.parent_block() is not body:
        outer = op.parent_op()
        assert outer is not None
        op = outer
    return ops.index(op)


def element_type(value: SSAValue) -> Attribute | None:
    """Returns the element type of a block, or None for an index."""
    return value.type.element if isinstance(value.type, Tile) else None


def element_of(value: SSAValue) -> Attribute:
    """Returns the element type of a block."""
    found = element_type(value)
    assert found is not None, "an index is no block"
    return found


def sizes_of(value: SSAValue) -> tuple[int, ...]:
    """Returns the sizes of a block."""
    assert isinstance(value.type, Tile)
    return value.type.sizes


def is_set(flag: BoolAttr | None) -> bool:
    """Returns whether a flag is given and true."""
    return flag is not None and bool(flag.value.data)


def spreads(op: Operation) -> bool:
    """Returns whether an op chooses everywhere between a value and itself, which repeats it along axes."""
    if not isinstance(op, Map) or op.function.data != "where":
        return False
    everywhere = op.operands[0].owner
    true = isinstance(everywhere, Full) and everywhere.value == BoolAttr.from_bool(True)
    return true and op.operands[1] is op.operands[2]


def only_spreads(op: Full) -> bool:
    """Returns whether a block serves only to repeat other values along axes."""
    return bool(list(op.result.uses)) and all(spreads(use.operation) for use in op.result.uses)
