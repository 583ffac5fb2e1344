"""The exact ways to the derivatives of a network at one point, and the choice of the cheapest.

forward Laplacian   value, first derivatives and one Laplacian, the first derivatives as one array
Taylor mode         any symbols, the slots of a plan (series.py)
nested jvp          forward mode over forward mode, once for every derivative
reverse mode        first derivatives from one pullback, second ones by forward mode over it
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from tessera.core.compat import ClosedJaxpr
from tessera.pde.cost import Work, cost
from tessera.pde.forward_laplacian import jet_at
from tessera.pde.jet import laplacian_or_zeros
from tessera.pde.plan import Orders, Symbol, plan, symbol
from tessera.pde.series import derivatives_at

# Slots or passes beyond which a scheme that writes each of them out is not tried: tracing takes too long.
MOST_WRITTEN_OUT = 64
# The time of a product of each slot on its own, over that of one product of all (CPU, 128 wide).
UNSTACKED = 1.4


@dataclass(frozen=True)
class Request:
    """Symbols that are wanted of a function of `dimensions` coordinates, which may have names.

    `outputs` is the number of values the function has.
    """

    dimensions: int
    symbols: tuple[Symbol, ...]
    names: tuple[str, ...] = ()
    outputs: int = 1

    @property
    def orders(self) -> set[Orders]:
        """The derivatives that occur."""
        return {orders for s in self.symbols for orders, _ in s}

    @property
    def order(self) -> int:
        """The highest order of a derivative."""
        return max(map(sum, self.orders), default=0)


# Gives the requested derivatives of a network's one result at one point.
AtPoint = Callable[[jax.Array], list[jax.Array]]


@dataclass(frozen=True)
class Scheme:
    """One way, and the work it is, which is None where it does not apply."""

    name: str
    work: Callable[[Request], Work | None]
    at: Callable[[ClosedJaxpr, Request], AtPoint]


@dataclass(frozen=True)
class Choice:
    """The scheme that was taken for a request, and what each candidate costs per point (see cost.py)."""

    request: Request
    scheme: Scheme
    costs: dict[str, float]

    @property
    def rows(self) -> int:
        """How many values are carried for each of the network's."""
        work = self.scheme.work(self.request)
        return 1 if work is None else int(work.rows)


def candidates(network: ClosedJaxpr, request: Request) -> list[Choice]:
    """Returns the schemes for the derivatives of a network, the cheapest first."""
    works = {s.name: (s, s.work(request)) for s in SCHEMES}
    able = {name: (s, work) for name, (s, work) in works.items() if work is not None}
    forced = _forced.get()
    if forced in able:
        able = {forced: able[forced]}
    costs = {name: cost(network.jaxpr, work) for name, (_, work) in able.items()}
    order = sorted(costs, key=lambda name: costs[name])
    return [Choice(request, able[name][0], costs) for name in order]


def announce(choice: Choice) -> None:
    """Tells those who listen which scheme was taken."""
    for heard in _listeners.get():
        heard.append(choice)


@contextlib.contextmanager
def listen() -> Iterator[list[Choice]]:
    """Gives the list that every choice inside is appended to."""
    heard: list[Choice] = []
    token = _listeners.set((*_listeners.get(), heard))
    try:
        yield heard
    finally:
        _listeners.reset(token)


@contextlib.contextmanager
def only(name: str) -> Iterator[None]:
    """Takes one scheme, by its name, wherever it applies: for comparisons."""
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


_listeners: ContextVar[tuple[list[Choice], ...]] = ContextVar("tessera_pde_choices", default=())
_forced: ContextVar[str | None] = ContextVar("tessera_pde_scheme", default=None)


# -- forward Laplacian --------------------------------------------------------------------------------------


def _laplacian_columns(request: Request) -> tuple[int, ...] | None:
    """The coordinates of the one Laplacian in a request for it, first derivatives along them and values."""
    found = None
    for s in request.symbols:
        if all(sum(orders) <= 1 for orders, _ in s):
            continue
        columns = tuple(sorted(int(np.argmax(orders)) for orders, _ in s))
        if (found is not None and columns != found) or any(
            weight != 1 or sum(orders) != 2 or max(orders) != 2 for orders, weight in s
        ):
            return None
        found = columns
    if found is None:
        return None
    first = {orders.index(1) for orders in request.orders if sum(orders) == 1}
    return found if first <= set(found) else None


def _forward_laplacian(network: ClosedJaxpr, request: Request) -> AtPoint:
    columns = _laplacian_columns(request)
    assert columns is not None

    def at(point: jax.Array) -> list[jax.Array]:
        jet = jet_at(network, point, columns)
        zeros = jnp.zeros_like(jet.value)

        def part(orders: Orders) -> jax.Array:
            if sum(orders) == 0:
                return jet.value
            return zeros if jet.rows is None else jet.rows[columns.index(orders.index(1))]

        def of(s: Symbol) -> jax.Array:
            if any(sum(orders) == 2 for orders, _ in s):
                return laplacian_or_zeros(jet)
            return sum((part(orders) * weight for orders, weight in s), zeros)

        return [of(s) for s in request.symbols]

    return at


def _work_of_laplacian(request: Request) -> Work | None:
    columns = _laplacian_columns(request)
    if columns is None:
        return None
    n = len(columns)
    return Work(rows=n + 2, chains=2 * n + 3, products=3 * n + 3, passes=3 * n + 2)


# -- Taylor mode --------------------------------------------------------------------------------------------


def _taylor(network: ClosedJaxpr, request: Request) -> AtPoint:
    return partial(derivatives_at, network, plan(request.dimensions, request.symbols))


def _work_of_taylor(request: Request) -> Work | None:
    if len(request.orders) > MOST_WRITTEN_OUT:
        return None
    made = plan(request.dimensions, request.symbols)
    if len(made.symbols) > MOST_WRITTEN_OUT:
        return None
    chains = sum(len(c.slots) for chains in made.chains for c in chains)
    return Work(
        rows=len(made.symbols) + 1,
        chains=chains + len(made.symbols) + made.order,
        products=2 * len(made.symbols) + 1 + sum(map(len, made.products)),
        passes=_nested_passes(request),
    )


# -- nested forward mode ------------------------------------------------------------------------------------


def _nested(network: ClosedJaxpr, request: Request) -> AtPoint:
    run = _single(network)

    def at(point: jax.Array) -> list[jax.Array]:
        units = jnp.eye(request.dimensions, dtype=point.dtype)
        derivatives: dict[Orders, Callable[[jax.Array], jax.Array]] = {(0,) * len(units): run}

        def derivative(orders: Orders) -> Callable[[jax.Array], jax.Array]:
            if orders not in derivatives:
                place = next(i for i, n in enumerate(orders) if n)
                less = tuple(n - (i == place) for i, n in enumerate(orders))
                inner = derivative(less)
                derivatives[orders] = lambda x: jax.jvp(inner, (x,), (units[place],))[1]
            return derivatives[orders]

        found = {orders: derivative(orders)(point) for orders in sorted(request.orders)}
        return [_weighted(found, s) for s in request.symbols]

    return at


def _work_of_nested(request: Request) -> Work | None:
    """Of Taylor mode without sums, as XLA merges equal values, with its products taken one by one."""
    separate = {symbol({orders: 1}) for orders in request.orders}
    work = _work_of_taylor(Request(request.dimensions, tuple(sorted(separate))))
    if work is None or _nested_passes(request) > 4 * MOST_WRITTEN_OUT:
        return None
    return replace(work, overhead=UNSTACKED)


def _nested_passes(request: Request) -> int:
    return sum(2 ** sum(orders) for orders in request.orders)


# -- reverse mode -------------------------------------------------------------------------------------------


def _reverse(network: ClosedJaxpr, request: Request) -> AtPoint:
    run = _single(network)
    pairs = sorted({_pair(orders) for orders in request.orders if sum(orders) == 2})
    rows = sorted({i for i, _ in pairs})

    def slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, pull = jax.vjp(run, x)
        ones = jnp.eye(value.size, dtype=value.dtype).reshape(value.size, *value.shape)
        return value, jax.vmap(lambda t: pull(t)[0])(ones).reshape(*value.shape, x.size)

    def at(point: jax.Array) -> list[jax.Array]:
        value, jacobian = slope(point)
        found = {(0,) * request.dimensions: value}
        found |= {o: jacobian[..., o.index(1)] for o in request.orders if sum(o) == 1}
        if rows:
            units = jnp.eye(request.dimensions, dtype=point.dtype)[np.array(rows)]
            bent = jax.vmap(lambda e: jax.jvp(lambda x: slope(x)[1], (point,), (e,))[1])(units)
            for orders in request.orders:
                if sum(orders) == 2:
                    i, j = _pair(orders)
                    found[orders] = bent[rows.index(i)][..., j]
        return [_weighted(found, s) for s in request.symbols]

    return at


def _pair(orders: Orders) -> tuple[int, int]:
    first, *second = [i for i, n in enumerate(orders) for _ in range(n)]
    return first, second[0]


def _work_of_reverse(request: Request) -> Work | None:
    """A pullback of each output costs two evaluations; each of `rows` directions twice all that."""
    rows = {_pair(orders)[0] for orders in request.orders if sum(orders) == 2}
    if request.order > 2 or not request.order:
        return None
    passes = (1.0 + 2.0 * request.outputs) * (1.0 + 2.0 * len(rows))
    return Work(passes, 2 * passes, 2 * passes, passes, overhead=UNSTACKED)


def _single(network: ClosedJaxpr) -> Callable[[jax.Array], jax.Array]:
    run = jaxpr_as_fun(network)
    return lambda point: run(point)[0]


def _weighted(found: dict[Orders, jax.Array], of: Symbol) -> jax.Array:
    parts = [found[orders] if w == 1 else found[orders] * w for orders, w in of]
    return sum(parts[1:], parts[0])


def unit(dimensions: int, *columns: int) -> Symbol:
    """Returns the symbol of one derivative, by the coordinates it is taken along.

    >>> unit(3, 0, 2, 0)
    (((2, 0, 1), 1),)
    """
    return symbol({tuple(columns.count(i) for i in range(dimensions)): 1})


SCHEMES: Sequence[Scheme] = (
    Scheme("forward Laplacian", _work_of_laplacian, _forward_laplacian),
    Scheme("Taylor mode", _work_of_taylor, _taylor),
    Scheme("nested jvp", _work_of_nested, _nested),
    Scheme("reverse mode", _work_of_reverse, _reverse),
)
