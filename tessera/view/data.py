"""An explanation as data for other programs: JSON, and DOT for graph tools."""

import re
from collections.abc import Iterable, Sequence

from tessera.view.report import Edge, GroupReport
from tessera.view.units import amount, duration
from tessera.view.words import bounded, label, runs, steps

FILLS = {"fuse": "#dbeafe", "pipeline": "#ede4ff", "xla": "#f3f4f6", "collective": "#ffedd5"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def to_dot(name: str, groups: Sequence[GroupReport], edges: Iterable[Edge]) -> str:
    """Returns the graph in the DOT language; groups inside a loop stand in a cluster."""
    edges = list(edges)
    children: dict[int | None, list[GroupReport]] = {}
    for group in groups:
        children.setdefault(group.parent, []).append(group)
    ends = [end for edge in edges for end in (edge.source, edge.target)]
    pills = dict.fromkeys(end for end in ends if isinstance(end, str))
    lines = [
        f"digraph {_quoted(name)} {{",
        "  node [shape=box, style=filled, fontname=monospace];",
        *(f"  {_quoted(pill)} [style=rounded];" for pill in pills),
        *_statements(None, children, "  "),
        *(f"  {_id(e.source)} -> {_id(e.target)} [label={_quoted(e.type)}];" for e in edges),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _statements(
    parent: int | None, children: dict[int | None, list[GroupReport]], indent: str
) -> Iterable[str]:
    for group in children.get(parent, []):
        text = [f"{group.index} {label(group)}", *(s for s, _ in steps(group, 8)), runs(group)]
        text.append(
            f"{amount(group.flops, 'FLOP')}, {bounded(duration(group.seconds), group.exact)}"
        )
        style = f"fillcolor={_quoted(FILLS[group.kind])}"
        yield f"{indent}{_id(group.index)} [label={_quoted(*text)}, {style}];"
        if group.index in children:
            yield f"{indent}subgraph {_quoted(f'cluster_{group.index}')} {{"
            yield f"{indent}  label={_quoted(f'inside {group.index} {label(group)}')};"
            yield from _statements(group.index, children, indent + "  ")
            yield f"{indent}}}"


def _id(end: int | str) -> str:
    return f"g{end}" if isinstance(end, int) else _quoted(end)


def _quoted(*lines: str) -> str:
    """Returns lines as one quoted DOT string."""
    safe = [_CONTROL.sub(" ", line).replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(safe) + '"'
