"""An explanation as HTML for a notebook: picture, table, what was raised and what was not.

The HTML loads nothing: style and picture are in it.
"""

from collections.abc import Iterable, Sequence
from html import escape

from tessera.lowering.rule import Record
from tessera.view.picture import draw
from tessera.view.report import Edge, GroupReport, Opaque
from tessera.view.style import CSS
from tessera.view.table import places, times
from tessera.view.tree import Item, depth_first
from tessera.view.units import amount, duration, full_place, place, share
from tessera.view.words import bounded, label, reason, reasons, runs, steps, tiles

KINDS = {
    "fuse": "holds a Tessera op",
    "pipeline": "its loads are planned ahead of its products",
    "xla": "plain JAX, left to XLA",
    "collective": "communication",
}
HEADS = (
    ("#", "the order of the program"),
    ("group", "what one kernel is planned to compute"),
    ("runs", "the formulation that runs here"),
    ("tile", "the block of the result one program computes"),
    ("FLOP", "floating-point operations, a product of (m, k) and (k, n) counted as 2mkn"),
    ("moved", "bytes read and written once"),
    ("results", "bytes of what the group makes"),
    ("roofline time", "the larger of FLOP / peak and moved / bandwidth"),
    ("bound", "which of the two is larger"),
    ("why", "why this runs, and why the group is not part of the one it reads from"),
)
NUMERIC = {"#", "FLOP", "moved", "results"}


def page(title: str, figures: Sequence[tuple[str, str]], notes: Sequence[str], *parts: str) -> str:
    """Returns the whole view: a title, the totals as (value, name), notes, and parts already in HTML."""
    numbers_shown = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in figures
    )
    small = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        f'<div class="ts-explain"><style>{CSS}</style><h3>{escape(title)}</h3>'
        f'<div class="ts-figures">{numbers_shown}</div>{small}{"".join(parts)}</div>'
    )


def graph(name: str, items: Sequence[Item], edges: Sequence[Edge], kinds: Iterable[str]) -> str:
    """Returns the picture of the program with a legend of the kinds in it."""
    present = set(kinds)
    legend = "".join(
        f'<span><i style="background:var(--ts-{kind});border-color:var(--ts-{kind}-line)"></i>'
        f"{kind}: {escape(what)}</span>"
        for kind, what in KINDS.items()
        if kind in present
    )
    return f'<div class="ts-legend">{legend}</div><div class="ts-scroll">{draw(name, items, edges)}</div>'


def group_table(items: Sequence[Item], whole: float) -> str:
    """Returns the table of groups; a group opens to its nodes and their source lines."""
    heads = "".join(
        f'<th title="{escape(meaning)}"{_numeric(head)}>{escape(head)}</th>'
        for head, meaning in HEADS
    )
    rows = "".join(_row(item, depth, whole) for item, depth in depth_first(items))
    return (
        f'<div class="ts-scroll ts-rows"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _numeric(head: str) -> str:
    return ' class="ts-n"' if head in NUMERIC else ""


def _row(item: Item, depth: int, whole: float) -> str:
    group = item.group
    indent = f"padding-left:{18 * depth}px!important"
    if group is None:
        span = len(HEADS) - 1
        return f'<tr><td></td><td colspan="{span}" style="{indent}"><i>{escape(item.title)}</i></td></tr>'
    cells = (
        f'<td class="ts-n">{group.index}</td>'
        f'<td style="{indent}">{_nodes(group)}</td>'
        f"<td><code>{escape(runs(group))}</code></td>"
        f"<td>{escape(tiles(group))}</td>"
        f'<td class="ts-n">{bounded(amount(group.flops, ""), group.exact)}</td>'
        f'<td class="ts-n">{bounded(amount(group.bytes, "B"), group.exact)}</td>'
        f'<td class="ts-n">{bounded(amount(group.memory, "B"), group.exact or bool(group.loop))}</td>'
        f'<td class="ts-time">{_time(group, whole)}</td>'
        f"<td>{'' if group.loop else group.bound}</td>"
        f'<td class="ts-why">{_why(group)}</td>'
    )
    return f"<tr>{cells}</tr>"


def _nodes(group: GroupReport) -> str:
    mark = (
        f'<i style="display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:6px;'
        f'background:var(--ts-{group.kind});border:1.4px solid var(--ts-{group.kind}-line)"></i>'
    )
    name = (
        escape(label(group))
        if group.loop or group.axes
        else ", ".join(
            f'<span class="ts-b">{escape(s)}</span>' if is_op else escape(s)
            for s, is_op in steps(group, 6)
        )
    )
    nodes = "".join(
        f'<li title="{escape(full_place(node.where))}"><code>{escape(node.name)}</code> '
        f"{escape(', '.join(node.types))} {escape(place(node.where))}</li>"
        for node in group.nodes
    )
    return f"<details><summary>{mark}{name}</summary><ul>{nodes}</ul></details>"


def _time(group: GroupReport, whole: float) -> str:
    text = escape(bounded(duration(group.seconds), group.exact))
    if group.parent is not None or whole <= 0:
        return text
    percent = round(100 * group.seconds / whole)
    bar = f'<div class="ts-bar" style="width:{percent}%"></div>' if percent else ""
    return f"{text} · {escape(share(group.seconds, whole))}{bar}"


def _why(group: GroupReport) -> str:
    parts = [] if group.loop else [reason(group)]
    parts += [f"apart from {group.beside}: {group.apart}"] if group.apart else []
    parts += [f"effect: {group.effect}"] if group.effect != "pure" else []
    return "<br>".join(escape(part) for part in parts if part)


# -- lists ---------------------------------------------------------------------------------------------


def records(title: str, found: Sequence[Record], good: bool) -> str:
    """Returns what rewrites did (`good`) or declined, each kind once with its source lines."""
    together: dict[tuple[str, str, int], list[str]] = {}
    for record in found:
        together.setdefault((record.name, record.reason, record.nodes), []).append(record.where)
    mark = '<span class="ts-good">✓</span>' if good else '<span class="ts-stop">–</span>'
    entries = [
        f"{mark} <b>{escape(times(name, len(at)))}</b> "
        f"{_sentence(why, f'{nodes} nodes' if nodes != 1 else '1 node', at)}"
        for (name, why, nodes), at in together.items()
    ]
    return _list(title, entries)


def opaque(found: Sequence[Opaque]) -> str:
    """Returns the constructs that were not fused with their neighbours, with reasons and source lines."""
    entries = [
        f"<b>{escape(times(item.name, len(item.places)))}</b> {_sentence(item.reason, '', item.places)}"
        for item in found
    ]
    return _list("Kept by itself", entries)


def choices(groups: Iterable[GroupReport]) -> str:
    """Returns why each formulation was chosen, and for which groups."""
    entries = [
        f"<code>{escape(what)}</code> {escape(why)}: {escape(members)}"
        for what, why, members in reasons(groups)
    ]
    return _list("Why each runs as it does", entries)


def _sentence(why: str, size: str, at: Sequence[str]) -> str:
    full = " ".join(dict.fromkeys(full_place(where) for where in at if where))
    where = f'<code title="{escape(full)}">{escape(places(at))}</code>' if places(at) else ""
    return "; ".join(filter(None, (escape(why), size, where)))


def _list(title: str, entries: Sequence[str]) -> str:
    if not entries:
        return ""
    rows = "".join(f"<li>{entry}</li>" for entry in entries)
    return f'<h4>{escape(title)}</h4><ul class="ts-list">{rows}</ul>'
