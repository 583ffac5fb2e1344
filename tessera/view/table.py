"""An explanation in the terminal: as many columns as the width has room for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from tessera.lowering.rule import Record
from tessera.view.report import GroupReport, Opaque
from tessera.view.tree import Item, depth_first
from tessera.view.units import amount, duration, place, share
from tessera.view.words import bounded, label, numbers, reasons, runs, steps, tiles

COLOURS = {"fuse": "blue", "pipeline": "magenta", "xla": "", "collective": "yellow"}
WIDE, WIDER = 100, 140  # columns from which more is shown
PLACES = 3  # source lines shown for one reason
SECTION = "bold"


@dataclass(frozen=True)
class Column:
    """A column: its head, from which width it is there, and whether it holds numbers."""

    head: str
    from_width: int = 0
    right: bool = False


COLUMNS = (
    Column("#", right=True),
    Column("group"),
    Column("runs"),
    Column("tile", WIDE),
    Column("FLOP", right=True),
    Column("moved", right=True),
    Column("results", WIDE, right=True),
    Column("time", right=True),
    Column("share", right=True),
    Column("bound", WIDER),
    Column("effect", WIDER),
    Column("written at", WIDER),
)


@dataclass(frozen=True)
class Terminal:
    """An explanation as something rich can print at any width."""

    title: str
    lines: tuple[str, ...]
    items: tuple[Item, ...]
    groups: tuple[GroupReport, ...]
    seconds: float
    raised: tuple[Record, ...]
    declined: tuple[Record, ...]
    opaque: tuple[Opaque, ...]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yields the parts."""
        del console
        yield Text(self.title, "bold")
        for line in self.lines:
            yield Text(line)
        if self.groups:
            yield group_table(self.items, self.seconds, options.max_width)
        yield from self._sections()

    def _sections(self) -> Iterator[RenderableType]:
        yield from section("Raised to Tessera ops", list(records(self.raised)))
        yield from section("Left as written", list(records(self.declined)))
        yield from section("Why each runs as it does", list(_why(self.groups)))
        yield from section(
            "Why groups are not part of the one they read from", list(_apart(self.groups))
        )
        yield from section("Kept by itself", list(_opaque(self.opaque)))


def group_table(items: Sequence[Item], whole: float, width: int) -> Table:
    """Returns one row per group, those of a loop or of a stretch that repeats under its title."""
    columns = [i for i, column in enumerate(COLUMNS) if width >= column.from_width]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=False)
    for i in columns:
        right = COLUMNS[i].right
        table.add_column(
            COLUMNS[i].head,
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    for item, depth in depth_first(items):
        cells = _cells(item, depth, whole)
        table.add_row(*(cells[i] for i in columns))
    return table


def _cells(item: Item, depth: int, whole: float) -> list[Text]:
    group = item.group
    indent = "  " * depth
    if group is None:
        return [Text(), Text(f"{indent}{item.title}", "italic"), *[Text()] * (len(COLUMNS) - 2)]
    name = label(group) if group.loop or group.axes else ", ".join(s for s, _ in steps(group, 6))
    cells = [
        str(group.index),
        indent + name,
        runs(group),
        tiles(group),
        bounded(amount(group.flops, ""), group.exact),
        bounded(amount(group.bytes, "B"), group.exact),
        bounded(amount(group.memory, "B"), group.exact or bool(group.loop)),
        bounded(duration(group.seconds), group.exact),
        share(group.seconds, whole) if group.parent is None else "",
        "" if group.loop else group.bound,
        "" if group.effect == "pure" else group.effect,
        place(group.where),
    ]
    styled = [Text(cell) for cell in cells]
    styled[1] = Text(cells[1], COLOURS[group.kind])
    return styled


# -- the sections --------------------------------------------------------------------------------------


def section(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[RenderableType]:
    """Yields a title and a table of two columns, nothing without rows."""
    if not rows:
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=False, overflow="fold", max_width=44)
    table.add_column(overflow="fold")
    for left, right in rows:
        table.add_row(Text("  " + left), Text(right))
    yield Text(title, SECTION)
    yield table
    yield Text()


def records(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yields what each rewrite did or declined, with the reason and the source lines."""
    together: dict[tuple[str, str, int], list[str]] = {}
    for record in found:
        together.setdefault((record.name, record.reason, record.nodes), []).append(record.where)
    for (name, reason, nodes), at in together.items():
        size = f"{nodes} node{'' if nodes == 1 else 's'}"
        yield times(name, len(at)), "; ".join(filter(None, (reason, size, places(at))))


def _why(groups: Sequence[GroupReport]) -> Iterator[tuple[str, str]]:
    for what, why, members in reasons(groups):
        yield what, f"{why}: {_groups(members)}"


def _apart(groups: Sequence[GroupReport]) -> Iterator[tuple[str, str]]:
    found: dict[str, list[int]] = {}
    for group in groups:
        if group.apart:
            found.setdefault(group.apart, []).append(group.index)
    for reason, members in found.items():
        yield reason, _groups(numbers(members))


def _groups(members: str) -> str:
    return f"group{'' if members.isdigit() else 's'} {members}"


def _opaque(found: Sequence[Opaque]) -> Iterator[tuple[str, str]]:
    for item in found:
        yield (
            times(item.name, len(item.places)),
            "; ".join(filter(None, (item.reason, places(item.places)))),
        )


def times(name: str, count: int) -> str:
    """Returns a name with its count, if it is there more than once."""
    return name if count == 1 else f"{name} ×{count}"


def places(found: Sequence[str]) -> str:
    """Returns source lines in few characters, each once."""
    shown = [place(where) for where in dict.fromkeys(found) if where]
    rest = f" and {len(shown) - PLACES} more" if len(shown) > PLACES else ""
    return ", ".join(shown[:PLACES]) + rest
