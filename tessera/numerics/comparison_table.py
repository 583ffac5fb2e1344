"""A comparison in the terminal: as many columns as the width has room for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from tessera.numerics.error_measures import together
from tessera.numerics.operation import MEASURES, Operation, number

ROWS = 40  # of a longer program, the worst are shown
WIDE, WIDER = 100, 140  # columns from which more is shown
NONE = "–"
ILL = 1e4  # condition from which float32 keeps three digits or fewer


@dataclass(frozen=True)
class Column:
    """A column: its head, from which width it is there, if it counts what is rare, if it holds numbers."""

    head: str
    from_width: int = 0
    rare: bool = False
    right: bool = True


COLUMNS = (
    Column("#"),
    Column("operation", right=False),
    Column("local ulps"),
    Column("median", WIDE),
    Column("accumulated"),
    Column("median", WIDE),
    Column("relative", WIDER),
    Column("condition"),
    Column("over", rare=True),
    Column("under", rare=True),
    Column("NaN", rare=True),
    Column("result", WIDER, right=False),
    Column("written at", right=False),
)


@dataclass(frozen=True)
class Terminal:
    """A comparison as something rich can print at any width."""

    title: str
    lines: tuple[str, ...]
    operations: tuple[Operation, ...]
    findings: tuple[tuple[str, str], ...]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yields the parts."""
        del console
        yield Text(self.title, "bold")
        for line in self.lines:
            yield Text(line)
        shown = telling(self.operations)
        yield _table(shown, options.max_width)
        yield from (Text(line, "dim") for line in left_out(self.operations, shown))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for what, which in self.findings:
            table.add_row(Text(what, "" if what == "note" else "bold"), Text(which))
        yield table


def telling(operations: Sequence[Operation], count: int = ROWS) -> tuple[Operation, ...]:
    """Returns the operations to show, in program order: not those that only move data and lose nothing.

    Of more than `count` those written at one line with one result type are taken together, as if they were
    runs of one; then those are left that are the worst by one measure or another, first or last.
    """
    found = [o for o in operations if not o.is_exact_move] or list(operations)
    if len(found) > count:
        found = _by_line(found)
    if len(found) <= count:
        return tuple(found)
    orders = [sorted(found, key=key, reverse=True) for key in MEASURES.values()]
    orders.append([x for pair in zip(found, reversed(found), strict=True) for x in pair])
    kept: dict[int, Operation] = {}
    for rank in range(len(found)):
        for order in orders:
            if len(kept) < count:
                kept[order[rank].index] = order[rank]
    return tuple(kept[index] for index in sorted(kept))


def left_out(operations: Sequence[Operation], shown: Sequence[Operation]) -> tuple[str, ...]:
    """Returns a line that says how many operations a table leaves out, none if it has all."""
    lines = {_kind(o) for o in shown}
    missing = sum(_kind(o) not in lines for o in operations)
    return (f"{missing} more that lose nothing or lose less are not shown.",) if missing else ()


def _kind(o: Operation) -> tuple[Any, ...]:
    return o.label, o.where, o.shape, o.dtype


def _by_line(operations: Sequence[Operation]) -> list[Operation]:
    groups: dict[tuple[Any, ...], list[Operation]] = {}
    for o in operations:
        groups.setdefault(_kind(o), []).append(o)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Operation]) -> Operation:
    counts = ("runs", "overflows", "underflows", "nans", "breaks")
    return replace(
        group[0],
        local=together([o.local for o in group]),
        accumulated=together([o.accumulated for o in group]),
        condition=max((o.condition for o in group), key=lambda c: -1.0 if isnan(c) else c),
        increase=max(o.increase for o in group),
        **{name: sum(getattr(o, name) for o in group) for name in counts},
    )


def cells(o: Operation) -> tuple[str, ...]:
    """Returns the cells of an operation's row, one for each of `COLUMNS`."""
    runs = f" ×{o.runs}" if o.runs > 1 else ""
    return (
        str(o.index),
        o.label + runs,
        number(o.local.ulps),
        number(o.local.median_ulps),
        number(o.accumulated.ulps),
        number(o.accumulated.median_ulps),
        number(o.accumulated.relative),
        number(o.condition) if o.condition else NONE,
        *(str(n) if n else NONE for n in (o.overflows, o.underflows, o.nans)),
        f"{o.dtype}{list(o.shape)}".replace(" ", ""),
        o.place,
    )


def _table(operations: Sequence[Operation], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=False)
    rows = [cells(operation) for operation in operations]
    columns = [
        i
        for i, column in enumerate(COLUMNS)
        if width >= column.from_width and not (column.rare and all(row[i] == NONE for row in rows))
    ]
    for i in columns:
        right = COLUMNS[i].right
        table.add_column(
            COLUMNS[i].head, justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for operation, row in zip(operations, rows, strict=True):
        style = "red" if operation.breaks or operation.condition >= ILL else ""
        table.add_row(*(Text(row[i], style) for i in columns))
    return table
