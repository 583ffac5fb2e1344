"""What has to be carried through a network to give some derivatives of it, and how it combines.

A *symbol* is a sum of derivatives, `{orders: weight}`: the Laplacian in the plane is {(2, 0): 1, (0, 2): 1}.
A *slot* is one derivative that is carried: a single one, or a weighted sum of those that no other slot needs
as a factor, which is then carried as one (collapsed Taylor mode: Dangel et al., arXiv:2505.13644; with the
Laplacian alone it is the forward Laplacian). For slots of x, and with b < a for "less in some order, more in
none",

    D^a (x y)  = sum over b <= a of  binomial(a, b)  D^b x  D^(a-b) y                           (Leibniz)
    D^a f(x)   = sum over partitions {b_1 ... b_k} of a of  n  f^(k)(x)  D^b_1 x ... D^b_k x    (Faa di Bruno)

where n counts the ways to form the blocks from a's single differentiations. In both, what is taken once and
whole, D^a x, enters linearly, so sums of slots obey the same rules.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

Orders = tuple[int, ...]
# Sorted pairs of orders and weight.
Symbol = tuple[tuple[Orders, float], ...]


@dataclass(frozen=True)
class Product:
    """`weight` times slot `left` of one factor times slot `right` of the other."""

    weight: float
    left: int
    right: int


@dataclass(frozen=True)
class Chain:
    """`weight` times the k-th derivative of a function times k slots of its argument."""

    weight: float
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The slots to carry, in order; what makes each of a product and of a function; the results.

    `symbols[i]` is what slot i is. `products[i]` and `chains[i]` leave out the terms that are linear in slot
    i itself. A result is a sum of slots, `{slot: weight}`, with slot -1 for the value.
    """

    dimensions: int
    symbols: tuple[Symbol, ...]
    products: tuple[tuple[Product, ...], ...]
    chains: tuple[tuple[Chain, ...], ...]
    results: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def order(self) -> int:
        """The highest total order of a derivative."""
        return max((sum(orders) for symbol in self.symbols for orders, _ in symbol), default=0)


def symbol(weights: Mapping[Orders, float]) -> Symbol:
    """Returns a symbol in its one form: sorted, without zeros.

    >>> symbol({(0, 2): 1, (1, 1): 0, (2, 0): 1})
    (((0, 2), 1), ((2, 0), 1))
    """
    return tuple(sorted((orders, weight) for orders, weight in weights.items() if weight))


def times(left: Symbol, right: Symbol) -> Symbol:
    """Returns the symbol of one differential operator applied to another.

    >>> laplacian = symbol({(2, 0): 1, (0, 2): 1})
    >>> times(laplacian, laplacian)
    (((0, 4), 1), ((2, 2), 2), ((4, 0), 1))
    """
    total: defaultdict[Orders, float] = defaultdict(int)
    for a, v in left:
        for b, w in right:
            total[tuple(i + j for i, j in zip(a, b, strict=True))] += v * w
    return symbol(total)


@cache
def plan(dimensions: int, symbols: tuple[Symbol, ...]) -> Plan:
    """Returns the plan that gives some symbols, of functions of `dimensions` coordinates.

    >>> laplacian = symbol({(2, 0): 1, (0, 2): 1})
    >>> plan(2, (laplacian,)).symbols == (symbol({(0, 1): 1}), symbol({(1, 0): 1}), laplacian)
    True
    """
    zero = (0,) * dimensions
    wanted = {orders for s in symbols for orders, _ in s if orders != zero}
    single = {part for orders in wanted for part in _below(orders)}
    single |= {s[0][0] for s in symbols if len(s) == 1 and s[0][0] != zero}
    sums = {symbol({a: w for a, w in s if a not in single and a != zero}) for s in symbols} - {()}
    tops = {orders for s in sums for orders, _ in s}
    if len(sums) >= len(tops):  # sums would be no fewer than what they add up
        single, sums = single | tops, set[Symbol]()
    slots = [symbol({a: 1}) for a in sorted(single, key=lambda a: (sum(a), a))] + sorted(sums)
    place = {s[0][0]: i for i, s in enumerate(slots) if len(s) == 1 and s[0][1] == 1}
    return Plan(
        dimensions,
        tuple(slots),
        tuple(tuple(_products(s, place)) for s in slots),
        tuple(tuple(_chains(s, place)) for s in slots),
        tuple(_result(s, slots, place, zero) for s in symbols),
    )


def _below(orders: Orders) -> Iterator[Orders]:
    """Every part of some orders but nothing and all."""
    parts: list[Orders] = [()]
    for order in orders:
        parts = [(*part, i) for part in parts for i in range(order + 1)]
    return (part for part in parts if any(part) and part != orders)


def _products(slot: Symbol, place: Mapping[Orders, int]) -> Iterator[Product]:
    weights: defaultdict[tuple[int, int], float] = defaultdict(int)
    for orders, weight in slot:
        for part in _below(orders):
            rest = _minus(orders, part)
            ways = math.prod(map(math.comb, orders, part))
            weights[place[part], place[rest]] += weight * ways
    return (Product(w, i, j) for (i, j), w in weights.items())


def _chains(slot: Symbol, place: Mapping[Orders, int]) -> Iterator[Chain]:
    weights: defaultdict[tuple[int, ...], float] = defaultdict(int)
    for orders, weight in slot:
        for blocks in _partitions(orders, orders):
            if len(blocks) > 1:
                key = tuple(sorted(place[block] for block in blocks))
                weights[key] += weight * _ways(orders, blocks)
    return (Chain(w, slots) for slots, w in sorted(weights.items()))


def _partitions(orders: Orders, largest: Orders) -> Iterator[tuple[Orders, ...]]:
    """The ways to write orders as a sum of nonzero ones, none above `largest`, in falling order."""
    if not any(orders):
        yield ()
        return
    blocks = [*_below(orders), orders]
    for block in blocks:
        if block <= largest:
            for rest in _partitions(_minus(orders, block), block):
                yield (block, *rest)


def _ways(orders: Orders, blocks: Sequence[Orders]) -> int:
    """In how many ways a set of differentiations with these orders falls into blocks of those."""
    ways = _factorial(orders)
    for block, count in Counter(blocks).items():
        ways //= _factorial(block) ** count * math.factorial(count)
    return ways


def _factorial(orders: Iterable[int]) -> int:
    return math.prod(map(math.factorial, orders))


def _minus(a: Orders, b: Orders) -> Orders:
    return tuple(i - j for i, j in zip(a, b, strict=True))


def _result(
    wanted: Symbol, slots: Sequence[Symbol], place: Mapping[Orders, int], zero: Orders
) -> tuple[tuple[int, float], ...]:
    alone = [(-1 if a == zero else place[a], w) for a, w in wanted if a == zero or a in place]
    together = symbol({a: w for a, w in wanted if a != zero and a not in place})
    if together:
        alone.append((slots.index(together), 1))
    return tuple(alone)


def describe(of: Symbol, names: Sequence[str]) -> str:
    """Returns a symbol as people write it.

    >>> describe(symbol({(2, 1): 1, (0, 3): -2}), ("x", "y"))
    '-2 yyy + xxy'
    """
    total = ""
    for orders, weight in of:
        word = "".join(name * n for name, n in zip(names, orders, strict=True)) or "value"
        sign = "-" if weight < 0 else "+"
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        first = "-" if weight < 0 else ""
        total += f" {sign} {size}{word}" if total else f"{first}{size}{word}"
    return total
