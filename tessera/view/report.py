"""The data of an explanation: groups, what flows between them, what was rewritten and what was not opened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeReport:
    """One equation: its name, `file:line:column (function)` of its source, the types of its results.

    `extras` are the optional operands a Tessera op has here, its activation and the flags that are set.
    """

    name: str
    extras: tuple[str, ...]
    where: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class GroupReport:
    """The nodes one kernel is planned to compute, what runs them, and what that should cost.

    `flops`, `bytes` and `seconds` are of one run of the group; where it holds others (`loop` names the
    construct, `trips` is how often its body runs, None where only the run tells) they are of all its runs of
    them. `exact` is False where a size or a count is not known: the figures are then lower bounds.
    `seconds` is the roofline time and `bound` says which ceiling gives it. `memory` is the size of the
    results. `beside` is the newest group this one read from when it was begun, and `apart` the reason it is
    not part of that.
    """

    index: int
    kind: str  # fuse, pipeline, xla, collective
    pattern: str
    nodes: tuple[NodeReport, ...]
    runs: str
    reason: str
    beside: int | None
    apart: str
    where: str
    tile: tuple[int, ...]
    padded: tuple[int, ...]
    axes: tuple[str, ...]  # of the mesh, for a collective
    flops: int
    bytes: int
    seconds: float
    memory: int
    bound: str  # compute or memory
    exact: bool
    effect: str
    loop: str  # scan, while, cond, ...; empty for a group that holds no others
    trips: int | None
    parent: int | None  # the index of the group this one is inside
    region: str  # which part of the parent: body, condition, branch 0, ...


@dataclass(frozen=True)
class Edge:
    """A value that flows: from a group or a named argument, to a group or a numbered result."""

    source: int | str
    target: int | str
    type: str


@dataclass(frozen=True)
class Opaque:
    """A construct the compiler did not fuse with its neighbours, why, and where each one was written."""

    name: str
    reason: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Totals:
    """Sums over the program. `peak` is the most bytes alive at once between groups, arguments included."""

    groups: int
    flops: int
    bytes: int
    seconds: float
    peak: int
    exact: bool
