"""The groups of a program and what flows between them, as SVG without anything from outside.

A box is a group, coloured by kind, with what it computes; a frame is a loop, a choice or a stretch that
repeats; an arrow is a value and carries its type.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tessera.view.layering import Box, Point, layers, layout
from tessera.view.report import Edge, GroupReport
from tessera.view.style import DARK, LIGHT, PLAIN, STYLE, variables
from tessera.view.tree import Item
from tessera.view.units import amount, duration, place
from tessera.view.words import bounded, label, numbers, runs, steps, tiles

CHARACTER = (
    6.7  # width of one at 11 px in every monospaced font that browsers fall back to, rounded up
)
LINE = 15.0
PADDING = 9.0
LONGEST = 34  # characters of a line
MOST_STEPS = 6
MOST_PILLS = 10  # arguments drawn by themselves; more are written into the boxes that read them
MOST_READS = 4
SMALLEST = 0.6  # how far a wide picture shrinks before it scrolls: text stays readable
FAR = 5  # layers
LABEL = 5.6  # width of a character of an arrow's type


@dataclass(frozen=True)
class _Part:
    """Something drawn, with its upper left corner at 0, 0."""

    box: Box
    body: str


def draw(name: str, items: Sequence[Item], edges: Sequence[Edge]) -> str:
    """Returns the SVG element of a program; its colours are the CSS properties `--ts-…` around it."""
    arguments = list(dict.fromkeys(e.source for e in edges if isinstance(e.source, str)))
    results = list(dict.fromkeys(e.target for e in edges if isinstance(e.target, str)))
    part = _graph(
        [*_pills(arguments), *items, *_pills(results if len(results) <= MOST_PILLS else [])],
        edges,
        near=len(arguments) <= MOST_PILLS,
    )
    width, height = part.box.width + 2 * PADDING, part.box.height + 2 * PADDING
    return (
        f'<svg class="ts-svg" role="img" aria-label="groups of {escape(name)}" '
        f'xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'style="max-width:100%;height:auto;min-width:{SMALLEST * width:.0f}px" '
        f'viewBox="{-PADDING:.0f} {-PADDING:.0f} {width:.0f} {height:.0f}">{part.body}</svg>'
    )


def _pills(names: Iterable[str]) -> list[Item]:
    return [Item(None, name, (), frozenset([name])) for name in names]


def document(name: str, items: Sequence[Item], edges: Sequence[Edge]) -> str:
    """Returns the picture as an SVG file with a background of its own, light or dark as the screen is.

    Every shape carries its light colours as attributes too, for viewers that drop style sheets.
    """
    style = (
        f"<style>svg{{background:var(--ts-paper);{variables(LIGHT)}}}"
        f"@media(prefers-color-scheme:dark){{svg{{{variables(DARK)}}}}}{STYLE}</style>"
    )
    picture = _CLASS.sub(lambda found: found[0] + PLAIN.get(found[1], ""), draw(name, items, edges))
    start = picture.index(">") + 1
    return picture[:start] + style + picture[start:]


_CLASS = re.compile(r'class="(ts-[a-z]+)"')


# -- one level -----------------------------------------------------------------------------------------


def _graph(items: Sequence[Item], edges: Sequence[Edge], near: bool = True) -> _Part:
    """Returns the picture of one level.

    A value that flows far is written where it is read, `from 4: 8×8 f32`, or lines would fill the picture; so
    are the arguments, unless `near`.
    """
    joined = _joined(items, edges)
    layer = layers(len(items), list(joined))
    drawn: dict[tuple[int, int], list[Edge]] = {}
    reads: dict[int, list[str]] = {}
    for (source, target), found in joined.items():
        named = isinstance(found[0].source, str)
        if layer[target] - layer[source] > FAR or (named and not near):
            reads.setdefault(target, []).append(_written(found))
        else:
            drawn[source, target] = found
    ends = {end for pair in drawn for end in pair}
    spoken_for = {source for source, _ in joined if source not in ends}
    shown = [i for i, item in enumerate(items) if i not in spoken_for or not _is_pill(item)]
    place_of = {i: place for place, i in enumerate(shown)}
    parts = [_item(items[i], edges, reads.get(i, ())) for i in shown]
    return _put_together(
        parts, {(place_of[a], place_of[b]): _types(found) for (a, b), found in drawn.items()}
    )


def _is_pill(item: Item) -> bool:
    return item.group is None and not item.inside


def _put_together(parts: Sequence[_Part], texts: Mapping[tuple[int, int], str]) -> _Part:
    placed = layout([part.box for part in parts], list(texts))
    boxes = [
        f'<g transform="translate({x - p.box.width / 2:.1f} {y - p.box.height / 2:.1f})">{p.body}</g>'
        for p, (x, y) in zip(parts, placed.centres, strict=True)
    ]
    arrows = [_arrow(route) for route in placed.routes]
    labels, right = _labels(placed.routes, list(texts.values()))
    return _Part(Box(max(placed.width, right), placed.height), "".join((*arrows, *boxes, *labels)))


def _joined(items: Sequence[Item], edges: Iterable[Edge]) -> dict[tuple[int, int], list[Edge]]:
    """Returns what flows between items of one level; in a repeat, what flows to the next copy is left out."""
    owner = {member: i for i, item in enumerate(items) for member in item.members}
    found: dict[tuple[int, int], list[Edge]] = {}
    for edge in edges:
        source, target = owner.get(edge.source), owner.get(edge.target)
        if source is not None and target is not None and source < target:
            found.setdefault((source, target), []).append(edge)
    return found


def _written(found: Sequence[Edge]) -> str:
    sources = list(dict.fromkeys(edge.source for edge in found))
    groups = numbers([source for source in sources if isinstance(source, int)], most=3)
    name = f"from {groups}" if groups else str(sources[0])
    return f"{name}: {_types(found)}"


def _types(found: Sequence[Edge]) -> str:
    counts = Counter(edge.type for edge in found)
    shown = [text if n == 1 else f"{n} of {text}" for text, n in counts.items()]
    return shown[0] if len(shown) == 1 else f"{shown[0]}, +{len(shown) - 1}"


# -- boxes ---------------------------------------------------------------------------------------------


def _item(item: Item, edges: Sequence[Edge], reads: Sequence[str]) -> _Part:
    if item.inside:
        title = item.title if item.group is None else _loop_title(item.group)
        return _frame([title, *_few(reads)], _graph(item.inside, edges))
    if item.group is None:
        is_result = bool(reads) and any(isinstance(member, str) for member in item.members)
        return _pill(f"{item.title} {reads[0]}" if is_result else item.title)
    return _card(item.group, _few(reads))


def _few(reads: Sequence[str]) -> list[str]:
    rest = [f"and {len(reads) - MOST_READS} more"] if len(reads) > MOST_READS else []
    return [*reads[:MOST_READS], *rest]


def _loop_title(group: GroupReport) -> str:
    time = bounded(duration(group.seconds), group.exact)
    return f"{group.index} · {label(group)} · {time}"


def _frame(lines: Sequence[str], inner: _Part) -> _Part:
    width = max(inner.box.width, *map(_width, lines)) + 2 * PADDING
    top = len(lines) * LINE + PADDING + 4
    height = top + inner.box.height + PADDING
    left = (width - inner.box.width) / 2
    body = (
        f'<rect class="ts-frame" width="{width:.1f}" height="{height:.1f}" rx="9"/>'
        f"{_lines(lines, ['ts-head', *['ts-soft'] * (len(lines) - 1)])}"
        f'<g class="ts-in" transform="translate({left:.1f} {top:.1f})">{inner.body}</g>'
    )
    return _Part(Box(width, height), body)


def _card(group: GroupReport, reads: Sequence[str]) -> _Part:
    head = f"{group.index} · {group.kind}" + (f" · {runs(group)}" if runs(group) != "xla" else "")
    head += f" over {', '.join(group.axes)}" if group.axes else ""
    figures = f"{amount(group.flops, 'FLOP')} · {bounded(duration(group.seconds), group.exact)}"
    names = steps(group, MOST_STEPS)
    extra = [*([f"tile {tiles(group)}"] if group.tile else []), *reads, figures]
    lines = [_cut(text) for text in (head, *(name for name, _ in names), *extra)]
    kinds = [
        "ts-head",
        *("ts-op" if is_op else "" for _, is_op in names),
        *["ts-soft"] * len(extra),
    ]
    width = max(map(_width, lines)) + 2 * PADDING
    height = len(lines) * LINE + 2 * PADDING - 3
    box = f'<rect class="ts-{group.kind}" width="{width:.1f}" height="{height:.1f}" rx="6"/>'
    title = f"<title>{escape(_tooltip(group))}</title>"
    return _Part(Box(width, height), title + box + _lines(lines, kinds))


def _lines(lines: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(
        f'<text class="{kind}" x="{PADDING}" y="{PADDING + 9 + i * LINE:.1f}">{escape(line)}</text>'
        for i, (line, kind) in enumerate(zip(lines, kinds, strict=True))
    )


def _tooltip(group: GroupReport) -> str:
    lines = [f"group {group.index}: {label(group)}", f"runs {runs(group)}: {group.reason}"]
    lines += [f"apart from {group.beside}: {group.apart}"] if group.apart else []
    lines += [f"{node.name}  {place(node.where)}".rstrip() for node in group.nodes[:20]]
    return "\n".join(lines)


def _pill(text: str) -> _Part:
    shown = _cut(text)
    width, height = _width(shown) + 20, 22.0
    body = (
        f"<title>{escape(text)}</title>"
        f'<rect class="ts-pill" width="{width:.1f}" height="{height}" rx="11"/>'
        f'<text class="ts-mid" x="{width / 2:.1f}" y="15">{escape(shown)}</text>'
    )
    return _Part(Box(width, height), body)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _width(text: str) -> float:
    return CHARACTER * _columns(text)


# -- arrows --------------------------------------------------------------------------------------------


def _arrow(route: Sequence[Point]) -> str:
    """Returns a smooth line through the points, vertical at each, with a head."""
    (x, y), *rest = route
    path = [f"M{x:.1f} {y:.1f}"]
    for i, (a, b) in enumerate(rest):
        stop = b - 5 if i == len(rest) - 1 else b
        middle = (y + stop) / 2
        path.append(f"C{x:.1f} {middle:.1f} {a:.1f} {middle:.1f} {a:.1f} {stop:.1f}")
        x, y = a, stop
    tip = f"M{x - 3.5:.1f} {y - 1:.1f}h7l-3.5 6z"
    return f'<path class="ts-arrow" d="{"".join(path)}"/><path class="ts-tip" d="{tip}"/>'


def _labels(routes: Sequence[Sequence[Point]], texts: Sequence[str]) -> tuple[list[str], float]:
    """Returns the types on arrows, where none covers another, and how far right they reach."""
    taken: list[tuple[float, float, float]] = []
    drawn: list[str] = []
    right = 0.0
    for route, text in zip(routes, texts, strict=True):
        shown = _cut(text)
        half = LABEL * _columns(shown) / 2 + 2
        x, y = _free(route, half, taken)
        taken.append((x, y, half))
        right = max(right, x + half)
        drawn.append(f'<text class="ts-type" x="{x:.1f}" y="{y + 3:.1f}">{escape(shown)}</text>')
    return drawn, right


def _free(
    route: Sequence[Point], half: float, taken: Sequence[tuple[float, float, float]]
) -> Point:
    """Returns a point on an arrow where a label of this half width covers no other, or its middle."""
    gaps = [(route[0], route[1]), (route[-2], route[-1])]
    points = [_on_curve(*gap, t) for gap in gaps for t in (0.5, 0.3, 0.7, 0.15, 0.85)]
    for x, y in points:
        if x - half < 0:
            continue
        if all(abs(x - a) >= half + h or abs(y - b) >= 11 for a, b, h in taken):
            return x, y
    return max(points[0][0], half), points[0][1]


def _on_curve(start: Point, stop: Point, t: float) -> Point:
    """Returns the point at `t` of the curve that `_arrow` draws between two points."""
    s = 1 - t
    near, far = s * s * (s + 3 * t), t * t * (t + 3 * s)
    middle = (start[1] + stop[1]) / 2
    y = s**3 * start[1] + 3 * s * t * middle + t**3 * stop[1]
    return near * start[0] + far * stop[0], y
