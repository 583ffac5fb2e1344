"""Folds a long list of groups into something a person can look at.

Groups inside a loop go under it. Where a level holds many groups, a stretch that repeats (the layers of a
model) becomes one copy marked with its count, and what is still too long keeps its most expensive part:

    a b c d b c d b c d e   →   a  [b c d] ×3  e
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tessera.view.report import GroupReport
from tessera.view.units import duration

MANY = 40  # groups of one level shown without folding
MOST = 60  # items of one level shown at all
LONGEST_PERIOD = 200


@dataclass(frozen=True)
class Item:
    """A group, a title over items, or a title alone.

    `members` are the groups of its level, or the argument or result, that it stands for.
    """

    group: GroupReport | None
    title: str
    inside: tuple["Item", ...]
    members: frozenset[int | str]


@dataclass(frozen=True)
class _Repeat:
    start: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count


def tree(groups: Sequence[GroupReport]) -> tuple[Item, ...]:
    """Returns the top-level groups as items, each with the groups inside it."""
    children: dict[int | None, list[GroupReport]] = {}
    for group in groups:
        children.setdefault(group.parent, []).append(group)
    return _level(children.get(None, []), children)


def depth_first(items: Sequence[Item], depth: int = 0) -> Iterator[tuple[Item, int]]:
    """Yields every item and how deep it lies, each before what is inside it."""
    for item in items:
        yield item, depth
        yield from depth_first(item.inside, depth + 1)


Children = dict[int | None, list[GroupReport]]


def _level(groups: Sequence[GroupReport], children: Children) -> tuple[Item, ...]:
    if len(groups) <= MANY:
        return tuple(_leaf(group, children) for group in groups)
    items: list[Item] = []
    place = 0
    for repeat in _repeats([_signature(g, children) for g in groups], 0):
        items += [_leaf(group, children) for group in groups[place : repeat.start]]
        items.append(_folded(groups[repeat.start : repeat.stop], repeat, children))
        place = repeat.stop
    items += [_leaf(group, children) for group in groups[place:]]
    return _dearest(tuple(items))


def _leaf(group: GroupReport, children: Children) -> Item:
    inside = children.get(group.index, [])
    regions = [(name, list(found)) for name, found in groupby(inside, lambda g: g.region)]
    if len(regions) < 2:
        return Item(group, "", _level(inside, children), frozenset([group.index]))
    parts = tuple(
        Item(None, name, _level(found, children), frozenset(g.index for g in found))
        for name, found in regions
    )
    return Item(group, "", parts, frozenset([group.index]))


def _folded(stretch: Sequence[GroupReport], repeat: _Repeat, children: Children) -> Item:
    once = tuple(_leaf(group, children) for group in stretch[: repeat.period])
    whole = duration(sum(group.seconds for group in stretch))
    title = f"{repeat.count} times the same, {whole} in all"
    return Item(None, title, once, frozenset(group.index for group in stretch))


def _signature(group: GroupReport, children: Children) -> tuple[object, ...]:
    inside = tuple(_signature(g, children) for g in children.get(group.index, []))
    types = tuple((node.name, node.types) for node in group.nodes)
    return (group.kind, group.runs, group.flops, group.bytes, types, inside)


# -- repetition ----------------------------------------------------------------------------------------


def _repeats(signatures: Sequence[object], offset: int) -> list[_Repeat]:
    """Returns the stretches that repeat, in order, none overlapping another."""
    found = _longest([*map(hash, signatures)])
    if found is None:
        return []
    before = _repeats(signatures[: found.start], offset)
    after = _repeats(signatures[found.stop :], offset + found.stop)
    return [*before, _Repeat(found.start + offset, found.period, found.count), *after]


def _longest(keys: Sequence[int]) -> _Repeat | None:
    """Returns the repeated stretch that saves the most items, or None where nothing repeats."""
    best, saved = None, 2  # a fold saves at least three items, or it hides more than it helps
    for period in range(1, min(len(keys) // 2, LONGEST_PERIOD) + 1):
        start = 0
        for place in range(len(keys) - period + 1):
            same = place + period < len(keys) and keys[place] == keys[place + period]
            if same:
                continue
            count = (place - start) // period + 1
            if count > 1 and (count - 1) * period > saved:
                best, saved = _Repeat(start, period, count), (count - 1) * period
            start = place + 1
    return best


# -- what is still too long ----------------------------------------------------------------------------


def _dearest(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Returns the most expensive run of items, with one item for what is left out on either side."""
    if len(items) <= MOST:
        return items
    costs = [_seconds(item) for item in items]
    window = sum(costs[:MOST])
    best, start = window, 0
    for place in range(1, len(items) - MOST + 1):
        window += costs[place + MOST - 1] - costs[place - 1]
        if window > best:
            best, start = window, place
    stop = start + MOST
    left_out = (_left_out(items[:start], "earlier"), _left_out(items[stop:], "later"))
    return (*left_out[0], *items[start:stop], *left_out[1])


def _left_out(items: Sequence[Item], side: str) -> tuple[Item, ...]:
    if not items:
        return ()
    members = frozenset(index for item in items for index in item.members)
    whole = duration(sum(map(_seconds, items)))
    return (Item(None, f"{len(members)} {side} groups, {whole}", (), members),)


def _seconds(item: Item) -> float:
    if item.group is not None:
        return item.group.seconds
    once = sum(_seconds(part) for part in item.inside)
    return once * (len(item.members) // len(item.inside)) if item.inside else once
