"""What a group is called in a table and in a picture."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from tessera.lowering.graph_to_schedule import VIEWS
from tessera.view.report import GroupReport

PREFIXES = ("tessera.graph.", "jax.")
OPS_PREFIX = PREFIXES[0]
PLAIN = "no Tessera op in it"


def short(name: str) -> str:
    """Returns the name of a node without its dialect.

    >>> short("tessera.graph.matmul"), short("jax.exp")
    ('matmul', 'exp')
    """
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def steps(group: GroupReport, most: int) -> list[tuple[str, bool]]:
    """Returns the names of what a group computes and whether each is a Tessera op, at most `most`.

    Steps that only rearrange are left out unless there is nothing else; equal neighbours are counted.
    """
    moved = [n for n in group.nodes if short(n.name) not in VIEWS]
    runs = [
        (node, len(list(same)))
        for node, same in groupby(moved or group.nodes, lambda n: (n.name, n.extras))
    ]
    shown = [
        (step(name, extras) + (f" ×{count}" if count > 1 else ""), name.startswith(OPS_PREFIX))
        for (name, extras), count in runs
    ]
    if len(shown) <= most:
        return shown
    head = most // 2
    tail = most - head - 1
    middle = (f"… {len(shown) - head - tail} more", False)
    return [*shown[:head], middle, *shown[len(shown) - tail :]]


def step(name: str, extras: Sequence[str]) -> str:
    """Returns what a node computes.

    >>> step("tessera.graph.matmul", ["bias", "relu"])
    'matmul(bias, relu)'
    """
    return short(name) + (f"({', '.join(extras)})" if extras else "")


def label(group: GroupReport) -> str:
    """Returns a group's name in one line: its loop, its collective or its pattern."""
    if group.loop:
        return f"{group.loop}{trips(group)}"
    if group.axes:
        return f"{group.pattern} over {', '.join(group.axes)}"
    return group.pattern or "group"


def trips(group: GroupReport) -> str:
    """Returns how often the body of a loop runs, as a suffix."""
    if group.loop == "scan" or group.trips is None:
        return " ×?" if group.trips is None else f" ×{group.trips}"
    return ""


def bounded(text: str, exact: bool) -> str:
    """Returns a figure, marked as a lower bound where it is one."""
    return text if exact else f"≥ {text}"


def tiles(group: GroupReport) -> str:
    """Returns a group's tile, `128×64`, with the padding it needs."""
    tile = "×".join(map(str, group.tile))
    return f"{tile} (pad {'×'.join(map(str, group.padded))})" if group.padded else tile


def runs(group: GroupReport) -> str:
    """Returns what runs a group."""
    return "its body" if group.loop else group.runs or "not chosen"


def reasons(groups: Iterable[GroupReport]) -> Iterator[tuple[str, str, str]]:
    """Yields what runs, why, and the numbers of the groups of which that is true."""
    found: dict[tuple[str, str], list[int]] = {}
    for group in groups:
        if group.reason and not group.loop:
            found.setdefault((group.runs, reason(group)), []).append(group.index)
    for (what, why), members in found.items():
        yield what, why, numbers(members)


def reason(group: GroupReport) -> str:
    """Returns why a group runs as it does, without the list of primitives, which its own line has."""
    return PLAIN if group.reason.startswith(PLAIN) else group.reason


def numbers(members: Sequence[int], most: int = 8) -> str:
    """Returns numbers in few characters.

    >>> numbers([0, 1, 2, 5]), numbers([4])
    ('0–2, 5', '4')
    """
    stretches: list[list[int]] = []
    for n in members:
        if stretches and stretches[-1][1] == n - 1:
            stretches[-1][1] = n
        else:
            stretches.append([n, n])
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in stretches]
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
