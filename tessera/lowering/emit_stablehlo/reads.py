"""What a load or a store touches along each axis of its array."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import SSAValue

from tessera.ir import tile
from tessera.ir.attributes import integers
from tessera.lowering.emit_stablehlo.indices import Affine, Indices

Access = tuple["Along", ...]


@dataclass(frozen=True)
class Along:
    """One axis of an array: `size` elements, of which a block has `block` from element `start` on.

    `start` is None for an index that is no sum over axes; `index` is the index as the program has it, in
    units of `unit` elements. `place` is the axis of the tile along it, None where the tile has none. An
    index that `counts_blocks` stays within the array; any other may lead anywhere.
    """

    size: int
    block: int
    index: SSAValue
    unit: int
    start: Affine | None
    place: int | None
    counts_blocks: bool


def access_of(op: tile.Load | tile.Store, indices: Indices) -> Access:
    """Returns what an op touches along each axis of its array."""
    made = (op.result if isinstance(op, tile.Load) else op.value).type
    assert isinstance(made, tile.Tile)
    block = made.sizes if op.block_shape is None else integers(op.block_shape)
    places = iter([place for place, n in enumerate(made.sizes) if n != 1])
    found: list[Along] = []
    for axis, (size, n, step, index) in enumerate(
        zip(array_of(op).sizes, block, units_of(op, block), op.indices, strict=True)
    ):
        affine = indices.affine(index)
        start = None if affine is None else affine.scaled(step)
        place = None if n == 1 else next(places)
        found.append(Along(size, n, index, step, start, place, _counts_blocks(op, axis)))
    return tuple(found)


def _counts_blocks(op: tile.Load | tile.Store, axis: int) -> bool:
    return op.unit is None or op.unit.data[axis] == StringAttr("block")


def array_of(op: tile.Load | tile.Store) -> tile.Tile:
    """Returns the type of the array that an op reads or writes."""
    kind = (op.source if isinstance(op, tile.Load) else op.target).type
    assert isinstance(kind, tile.Tile)
    return kind


def units_of(op: tile.Load | tile.Store, block: Sequence[int]) -> list[int]:
    """Returns how many elements each index counts by."""
    if op.unit is None:
        return list(block)
    return [
        n if unit == StringAttr("block") else 1 for n, unit in zip(block, op.unit.data, strict=True)
    ]


@dataclass(frozen=True)
class Digit:
    """An axis as one digit of a position: it counts `weight` elements, up to `period` of them."""

    axis: Hashable
    weight: int
    period: int


def digits_of(
    along: Along,
    start: Affine | None,
    limits: Mapping[Hashable, int | None],
    whole: Mapping[Hashable, int],
) -> tuple[Digit, ...] | None:
    """Returns the axes that walk an axis of an array, outermost first, or None where they overlap.

    Axes are the digits of a number: h * 8 + i with i below 8 visits every element once. The last counts
    whole blocks, and the first may reach beyond the array. An axis in `whole` is not walked but taken at
    once, with so many elements: only the last can be.
    """
    if start is None or start.constant < 0:
        return None
    walking = {axis: n for axis, n in start.terms.items() if limits[axis] != 1 or axis in whole}
    terms = sorted(walking.items(), key=lambda term: -term[1])
    if terms and start.constant:
        return None
    found: list[Digit] = []
    for place, (axis, weight) in enumerate(terms):
        last = place == len(terms) - 1
        if weight <= 0 or (last and weight != along.block) or (not last and axis in whole):
            return None
        period = terms[place - 1][1] if place else _first_period(along, weight, limits[axis])
        if axis in whole:
            if (period if place else along.size) != whole[axis]:
                return None
            period = whole[axis]
        elif place and _overlaps(limits[axis], weight, period):
            return None
        found.append(Digit(axis, weight, period))
    return tuple(found)


def _first_period(along: Along, weight: int, limit: int | None) -> int:
    covered = -(-along.size // weight)
    return weight * (covered if limit is None else max(covered, limit))


def _overlaps(limit: int | None, weight: int, period: int) -> bool:
    return limit is None or period % weight != 0 or limit * weight > period
