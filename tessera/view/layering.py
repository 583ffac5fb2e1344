"""Places boxes of a directed acyclic graph in layers, edges pointing down (Sugiyama, Tagawa and Toda 1981).

A box lies one layer below the lowest box it reads from. An edge across several layers passes each in a place
of its own, so that it bends around boxes. Boxes of a layer are ordered by where their neighbours lie; their
positions are then the least-squares fit to their neighbours' that keeps the order and the gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

SIDE_GAP = 26.0
LAYER_GAP = 46.0
SWEEPS = 6
FITS = 60
PORT_GAP = 24.0
BEND_WIDTH = 6.0
BOX_STIFFNESS = 6.0  # beside 1 of a bend

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """What is to be placed, by its size."""

    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Centres of the boxes, the points each edge passes from box to box, and the size of it all."""

    centres: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


@dataclass
class _Graph:
    """Boxes and bends: a bend stands for an edge in a layer it only crosses."""

    boxes: list[Box]
    layer: list[int]
    above: list[list[int]] = field(default_factory=list[list[int]])
    below: list[list[int]] = field(default_factory=list[list[int]])

    def bend(self, layer: int) -> int:
        self.boxes.append(Box(BEND_WIDTH, 0.0))
        self.layer.append(layer)
        self.above.append([])
        self.below.append([])
        return len(self.boxes) - 1

    def link(self, upper: int, lower: int) -> None:
        self.above[lower].append(upper)
        self.below[upper].append(lower)


def layout(boxes: Sequence[Box], edges: Sequence[tuple[int, int]]) -> Layout:
    """Returns where boxes lie and how edges run. Every edge goes from a box to a later one in the sequence.

    >>> placed = layout([Box(10, 4), Box(10, 4)], [(0, 1)])
    >>> placed.centres, placed.height
    (((5.0, 2.0), (5.0, 52.0)), 54.0)
    """
    if not boxes:
        return Layout((), (), 0.0, 0.0)
    graph = _Graph(list(boxes), layers(len(boxes), edges))
    graph.above = [[] for _ in boxes]
    graph.below = [[] for _ in boxes]
    chains = [_chain(graph, source, target) for source, target in edges]
    rows = _ordered(graph)
    xs = _positions(graph, rows)
    tops, heights = _rows_down(graph, rows)
    centres = [
        (xs[i], tops[graph.layer[i]] + heights[graph.layer[i]] / 2) for i in range(len(graph.boxes))
    ]
    leaves = _ports(graph, chains, centres, at=0)
    enters = _ports(graph, chains, centres, at=-1)
    routes = tuple(
        _route(graph, chain, centres, tops, heights, (leaves[i], enters[i]))
        for i, chain in enumerate(chains)
    )
    return Layout(
        tuple(centres[: len(boxes)]),
        routes,
        max(x + box.width / 2 for x, box in zip(xs, graph.boxes, strict=True)),
        tops[-1] + heights[-1],
    )


def layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Returns the layer of each box, 0 at the top."""
    layer = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layer[target] = max(layer[target], layer[source] + 1)
    readers: dict[int, list[int]] = {}
    for source, target in edges:
        readers.setdefault(source, []).append(target)
    fed = {target for _, target in edges}
    for box, found in readers.items():
        if box not in fed:  # a source goes next to its first reader
            layer[box] = min(layer[reader] for reader in found) - 1
    return layer


def _chain(graph: _Graph, source: int, target: int) -> list[int]:
    between = range(graph.layer[source] + 1, graph.layer[target])
    chain = [source, *(graph.bend(layer) for layer in between), target]
    for upper, lower in zip(chain, chain[1:], strict=False):
        graph.link(upper, lower)
    return chain


def _ordered(graph: _Graph) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(graph.layer) + 1)]
    for box, layer in enumerate(graph.layer):
        rows[layer].append(box)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = graph.above if down else graph.below
        for row in rows if down else reversed(rows):
            _sort_by_neighbours(row, rows, neighbours)
    return rows


def _sort_by_neighbours(row: list[int], rows: list[list[int]], neighbours: list[list[int]]) -> None:
    place = {box: i / max(len(r), 1) for r in rows for i, box in enumerate(r)}

    def centre(box: int) -> float:
        around = [place[other] for other in neighbours[box]]
        return sum(around) / len(around) if around else place[box]

    row.sort(key=centre)


# -- coordinates ---------------------------------------------------------------------------------------


def _positions(graph: _Graph, rows: list[list[int]]) -> list[float]:
    """Returns the horizontal centres, at least half a box from the left edge."""
    xs = [0.0] * len(graph.boxes)
    for row in rows:
        for box, offset in zip(row, _offsets(graph, row), strict=True):
            xs[box] = offset
    for sweep in range(FITS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            _fit(graph, row, xs)
    left = min(x - box.width / 2 for x, box in zip(xs, graph.boxes, strict=True))
    return [x - left for x in xs]


def _offsets(graph: _Graph, row: list[int]) -> list[float]:
    """Returns the centres of a row packed to the left, the first at 0."""
    steps = [
        (graph.boxes[a].width + graph.boxes[b].width) / 2 + SIDE_GAP
        for a, b in zip(row, row[1:], strict=False)
    ]
    return [0.0, *accumulate(steps)]


def _fit(graph: _Graph, row: list[int], xs: list[float]) -> None:
    """Moves the boxes of a row to the weighted mean of their neighbours, as far as order and gaps allow."""
    offsets = _offsets(graph, row)
    wanted, weights = [], []
    for box, offset in zip(row, offsets, strict=True):
        around = [*graph.above[box], *graph.below[box]]
        pulls = [_stiffness(graph, box) * _stiffness(graph, other) for other in around]
        total = sum(pulls)
        sides = sum(xs[other] * pull for other, pull in zip(around, pulls, strict=True))
        wanted.append((sides / total if total else xs[box]) - offset)
        weights.append(_stiffness(graph, box))
    for box, offset, found in zip(row, offsets, _increasing(wanted, weights), strict=True):
        xs[box] = found + offset


def _stiffness(graph: _Graph, box: int) -> float:
    """Boxes stay in line; it is the long edges that bend."""
    return 1.0 if graph.boxes[box].height == 0 else BOX_STIFFNESS


def _increasing(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Returns the non-decreasing sequence closest to `wanted`: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(wanted, weights, strict=True):
        mean, total, length = value, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, longer = pools.pop()
            mean = (mean * total + other * more) / (total + more)
            total, length = total + more, length + longer
        pools.append((mean, total, length))
    return [mean for mean, _, length in pools for _ in range(length)]


def _rows_down(graph: _Graph, rows: list[list[int]]) -> tuple[list[float], list[float]]:
    heights = [max((graph.boxes[box].height for box in row), default=0.0) for row in rows]
    tops = [0.0, *accumulate(height + LAYER_GAP for height in heights)][: len(rows)]
    return tops, heights


def _ports(
    graph: _Graph, chains: Sequence[Sequence[int]], centres: Sequence[Point], at: int
) -> list[float]:
    """Returns where each edge leaves its first box (`at=0`) or enters its last (`at=-1`), as they fan out."""
    edges_of: dict[int, list[int]] = {}
    for edge, chain in enumerate(chains):
        edges_of.setdefault(chain[at], []).append(edge)
    found = [0.0] * len(chains)
    for box, edges in edges_of.items():
        edges.sort(key=lambda edge: centres[chains[edge][1 if at == 0 else -2]][0])
        step = min(PORT_GAP, 0.8 * graph.boxes[box].width / len(edges))
        for i, edge in enumerate(edges):
            found[edge] = centres[box][0] + (i - (len(edges) - 1) / 2) * step
    return found


def _route(
    graph: _Graph,
    chain: Sequence[int],
    centres: Sequence[Point],
    tops: Sequence[float],
    heights: Sequence[float],
    ports: Point,
) -> tuple[Point, ...]:
    """Returns the points of an edge, from the lower side of a box to the upper side of another."""
    first, last = chain[0], chain[-1]
    points = [(ports[0], centres[first][1] + graph.boxes[first].height / 2)]
    for bend in chain[1:-1]:
        layer, x = graph.layer[bend], centres[bend][0]
        points += [(x, tops[layer]), (x, tops[layer] + heights[layer])]
    points.append((ports[1], centres[last][1] - graph.boxes[last].height / 2))
    return tuple(points)
