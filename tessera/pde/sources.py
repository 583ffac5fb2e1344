"""What Fields are made of, and how all that is wanted at the same points is found together.

Points    coordinates with names
Source    a function of points
Term      a derivative of a source
jointly   runs a body twice, to learn which derivatives it takes of each source, and with the answers
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from tessera.pde.evaluate import derivatives, one_point
from tessera.pde.plan import Orders, Symbol, symbol, times
from tessera.pde.schemes import unit

Function = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True, eq=False)
class Points:
    """Points `(..., d)` and the names of their coordinates."""

    names: tuple[str, ...]
    array: jax.Array


@dataclass(frozen=True, eq=False)
class Source:
    """A function of points, the shape and dtype of its values, and where it comes from.

    `parts` are the Fields it is joined from, if any; `whole` the source and index it is a component by.
    `rule` gives its derivatives from those of other sources, if they are known so. `transparent`: made of
    other Fields, whose derivatives are found together with those of all others.
    """

    function: Function
    points: Points
    shape: tuple[int, ...]
    dtype: Any
    parts: tuple[Any, ...] = ()
    whole: "tuple[Source, Any] | None" = None
    rule: "Callable[[Symbol, jax.Array], jax.Array] | None" = None
    transparent: bool = False
    is_points: bool = False  # the values are the points
    column: int | None = None  # the values are this coordinate of the points
    picked: "dict[Any, Source]" = field(default_factory=dict)

    def shape_at(self, points: jax.Array) -> tuple[int, ...]:
        """Returns the shape of the values at other points."""
        return (*points.shape[:-1], *self.shape[self.points.array.ndim - 1 :])


@dataclass(frozen=True)
class Term:
    """A derivative of a source: how often along each coordinate, and its Laplacians, by their coordinates."""

    source: Source
    orders: Orders
    laplacians: tuple[tuple[int, ...], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is the source itself."""
        return not any(self.orders) and not self.laplacians

    @property
    def symbol(self) -> Symbol:
        """The derivative as a sum of single ones."""
        d = len(self.orders)
        found = symbol({self.orders: 1})
        for columns in self.laplacians:
            found = times(found, symbol({unit(d, i, i)[0][0]: 1 for i in columns}))
        return found

    def at(self, points: jax.Array) -> jax.Array:
        """Returns the values at other points, `(..., d)` with as many leading axes."""
        if self.is_plain and (self.source.transparent or self.source.is_points):
            return self.source.function(points)
        return demand(self.source, self.symbol, points)


def jointly(points: jax.Array, body: Callable[[jax.Array], Any]) -> Any:
    """Returns `body(points)`, with the derivatives that it takes of each function found in one pass.

    The body runs twice, abstractly to learn what it takes and then with the answers; it may make its Fields
    anew each time, in the same order.
    """
    frame = _frame.get()
    if frame is not None and frame.points is points:
        return body(points)
    wanted: list[dict[Symbol, None]] = []

    def learn(at: jax.Array) -> Any:
        with _inside(_Frame(at, wanted, learns=True)):
            return body(at)

    jax.eval_shape(learn, points)
    with _inside(_Frame(points, wanted)):
        return body(points)


@dataclass(frozen=True, eq=False)
class _Frame:
    """The points values are computed at, and what is wanted there of each source, in order of appearance.

    Either it learns that, or it knows and finds the derivatives of a source when it first appears.
    """

    points: jax.Array
    wanted: list[dict[Symbol, None]]
    learns: bool = False
    places: dict[Source, int] = field(default_factory=dict)
    found: dict[Source, dict[Symbol, jax.Array]] = field(default_factory=dict)

    def learn(self, source: Source, wanted: Symbol) -> jax.Array:
        """Notes what is wanted and returns something of its type."""
        if source not in self.places:
            self.places[source] = len(self.wanted)
            self.wanted.append({})
        self.wanted[self.places[source]][wanted] = None
        return jnp.zeros(source.shape_at(self.points), source.dtype)

    def answer(self, source: Source, wanted: Symbol) -> jax.Array:
        """Returns a derivative."""
        if source not in self.found:
            place = len(self.found)
            symbols = tuple(self.wanted[place]) if place < len(self.wanted) else ()
            found = _derivatives(source, self.points, symbols)
            self.found[source] = dict(zip(symbols, found, strict=True))
        if wanted not in self.found[source]:  # the body took another way than before
            self.found[source][wanted] = _derivatives(source, self.points, (wanted,))[0]
        return self.found[source][wanted]


_frame: ContextVar[_Frame | None] = ContextVar("tessera_fields", default=None)


@contextmanager
def _inside(frame: _Frame) -> Iterator[None]:
    token = _frame.set(frame)
    try:
        yield
    finally:
        _frame.reset(token)


def demand(source: Source, wanted: Symbol, points: jax.Array) -> jax.Array:
    """Returns a derivative of a source at points, found together with all others that are wanted there."""
    if source.whole is not None:
        whole, key = source.whole
        return demand(whole, wanted, points)[key]
    if source.rule is not None:
        return source.rule(wanted, points)
    frame = _frame.get()
    if frame is None or frame.points is not points:
        return _derivatives(source, points, (wanted,))[0]
    return frame.learn(source, wanted) if frame.learns else frame.answer(source, wanted)


def _derivatives(source: Source, points: jax.Array, symbols: tuple[Symbol, ...]) -> list[jax.Array]:
    """The derivatives of a source at points, in one pass."""
    if not symbols:
        return []
    zero = symbol({(0,) * points.shape[-1]: 1})
    if all(s == zero for s in symbols):
        return [source.function(points)] * len(symbols)
    *lead, d = points.shape
    single = (1,) * len(lead)

    def at_point(point: jax.Array) -> jax.Array:
        found = source.function(point.reshape(*single, d))
        return found.reshape(found.shape[len(lead) :])

    network = jax.make_jaxpr(at_point)(one_point(points))
    return derivatives("grad", network, points, symbols, names=source.points.names)
