"""Fields: a function together with the points it is taken at, and its exact derivatives there.

    xyt = coords(points, names=("x", "y", "t"))     the Field of the points themselves, (n, 3)
    psi = xyt.apply(network)                        network(points), which knows what it is a function of
    u, v = derivative(psi, "y"), -derivative(psi, "x")

A Field is a sum of derivatives of functions, each with a factor:

    sum_k  c_k  D^orders_k  Laplacian_k  f_k  +  offset

`+`, `-`, multiplication by numbers, indexing and derivatives only rewrite this sum. The orders of a
derivative are counts, so psi_xy and psi_yx are one term, and terms that cancel are gone before anything is
computed: the divergence of (psi_y, -psi_x) is 0, not small. Whatever else is done to a Field makes a function
of it, and a Field of one term; products keep their factors, for the product rule.

Values are computed together: of all that is wanted at the same points, the derivatives of one function are
found in one pass through it (`jointly`).
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pde.plan import Orders, Symbol, symbol
from tessera.pde.sources import Function, Points, Source, Term, demand, jointly


class Field:
    """Values at points that know the function they come from, so that they have derivatives.

    Made by `coords`, `Field.apply` and what is computed from those. `+ - * / **`, indexing of components
    and `concat` give Fields when the other operand is a Field at the same points or a scalar; a scalar that
    is an array stands on the right, `field * nu`. Anywhere else a Field is its values: in `jax.numpy`, beside
    an array, as an argument or a result of a transformed function. `field.array` names them.
    """

    __array_ufunc__ = None  # NumPy arrays and scalars leave the arithmetic to the Field

    def __init__(self, terms: tuple[tuple[Any, Term], ...], offset: Any = 0):
        self.terms = terms
        self.offset = offset
        # By the identity of a function, which is kept with what came of it: a network that is called twice
        # is one source, whose components are found together.
        self._applied: dict[int, tuple[Any, Field]] = {}

    @property
    def points(self) -> Points:
        """The points, and the names of their coordinates."""
        return self._first.points

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return self.points.names

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values: that of the points without coordinates, then of the components."""
        return self._first.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the values."""
        return self._first.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the values."""
        return len(self.shape)

    @property
    def array(self) -> jax.Array:
        """The values, as an array."""
        return self.at(self.points.array)

    def at(self, points: jax.Array) -> jax.Array:
        """Returns the values at other points."""
        return jointly(points, self._sum_at)

    def _sum_at(self, points: jax.Array) -> jax.Array:
        parts = [
            demand(source, symbol(weights), points)
            for source, weights in self._derivatives_by_source().items()
        ]
        others = [(c, term) for c, term in self.terms if not _is_summed(c, term)]
        parts += [_scaled(term.at(points), c) for c, term in others if not _is_zero(c)]
        if not parts:
            parts = [jnp.zeros(self._first.shape_at(points), self.dtype)]
        total = functools.reduce(operator.add, parts)
        return total if _is_zero(self.offset) else total + self.offset

    def _derivatives_by_source(self) -> dict[Source, dict[Orders, Any]]:
        """Of each source the sum of derivatives with numbers as factors: it is found as one."""
        found: dict[Source, dict[Orders, Any]] = {}
        for c, term in self.terms:
            if _is_summed(c, term) and not _is_zero(c):
                weights = found.setdefault(term.source, {})
                for orders, weight in term.symbol:
                    weights[orders] = weights.get(orders, 0) + c * weight
        return found

    def apply(self, function: Callable[[jax.Array], Any]) -> "Field":
        """Returns the Field of `function` of the values; it acts on each point alone.

        >>> from tessera.pde.coordinates import coords
        >>> xy = coords(jnp.ones((4, 2)), names=("x", "y"))
        >>> xy.apply(lambda p: p[..., 0] * p[..., 1]).shape
        (4,)
        """
        if id(function) not in self._applied:
            made = of_function(lambda points: function(self.at(points)), self.points)
            self._applied[id(function)] = function, made
        return self._applied[id(function)][1]

    def concat(self, *others: "Field") -> "Field":
        """Returns the Field of this one's components followed by those of others at the same points.

        >>> from tessera.pde.coordinates import coords
        >>> xy = coords(jnp.ones((4, 2)), names=("x", "y"))
        >>> xy["x"].concat(xy["y"], xy).shape
        (4, 4)
        """
        return join([self, *others])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return _coordinate(self, key)
        full = _expanded(key, self.ndim)
        lead = self.points.array.ndim - 1
        if any(k != slice(None) for k in full[:lead] if k is not None) or None in full[:lead]:
            return self.array[key]  # other points
        terms: tuple[tuple[Any, Term], ...] = ()
        offset = self.offset
        for c, term in self.terms:
            picked = _pick(term, full)
            terms += tuple((c * d, t) for d, t in picked.terms)
            offset = offset if _is_zero(picked.offset) else offset + c * picked.offset
        return Field(_collected(terms), offset)

    def __add__(self, other: Any) -> Any:
        if _is_scalar(other):
            return Field(self.terms, self.offset + other)
        if not isinstance(other, Field):
            return self.array + other
        require_same(self, other)
        if self.shape != other.shape:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"Field: shapes {self.shape} and {other.shape} do not add.",
                hints="make them alike: field[..., None] has one component, field[..., 0] none",
            )
        offset = self.offset if _is_zero(other.offset) else self.offset + other.offset
        return Field(_collected(self.terms + other.terms), offset)

    def __mul__(self, other: Any) -> Any:
        if _is_scalar(other):
            terms = tuple((c * other, term) for c, term in self.terms)
            return Field(terms, 0 if _is_zero(self.offset) else self.offset * other)
        return _together(operator.mul, self, other)

    def __neg__(self) -> "Field":
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, other: Any) -> Any:
        return self * (1 / other) if _is_scalar(other) else _together(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _together(operator.truediv, other, self)

    def __pow__(self, other: Any) -> Any:
        return _together(operator.pow, self, other)

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __jax_array__(self) -> jax.Array:
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array, dtype, copy=copy)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"Field: a Field of shape {self.shape} is not a sequence.",
            hints="field[..., i] is a component, field.array the values",
        )

    def __repr__(self) -> str:
        return f"Field({self.dtype}{list(self.shape)} of {', '.join(self.names)})"

    @property
    def _first(self) -> Source:
        return self.terms[0][1].source


# Through jit, vmap and the like a Field goes as its values, and comes out as an array.
def _values(_: None, children: Any) -> Any:
    return children[0]


jax.tree_util.register_pytree_node(Field, lambda f: ((f.array,), None), _values)


def join(fields: Sequence[Any], op: str = "concat") -> Field:
    """Returns the Field of the components of Fields at the same points; one without components is one."""
    if not fields or not all(isinstance(f, Field) for f in fields):
        kinds = ", ".join(type(f).__name__ for f in fields) or "nothing"
        raise invalid(op, f"joins Fields, not {kinds}", "field.apply makes one of a function")
    first = fields[0]
    lead = first.points.array.ndim - 1
    columns = [f[..., None] if f.ndim == lead else f for f in fields]
    for f in columns:
        require_same(first, f)
        if f.ndim != lead + 1:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"{op}: a Field of shape {f.shape} has more than one axis of components.",
            )

    def joined(points: jax.Array) -> jax.Array:
        return jnp.concatenate([f.at(points) for f in columns], axis=-1)

    width = sum(f.shape[-1] for f in columns)
    result = jax.ShapeDtypeStruct(
        (*first.points.array.shape[:-1], width), jnp.result_type(*(f.dtype for f in columns))
    )
    ((c, term),) = _of_fields(joined, first.points, result).terms
    scalars = all(f.ndim == lead for f in fields)
    parts = tuple(fields) if scalars else ()
    return Field(((c, replace(term, source=replace(term.source, parts=parts))),))


def column_of(u: Field, word: Any, op: str) -> int:
    """Returns which coordinate a word is; raises `E_GRAPH_INVALID` listing the names there are."""
    if isinstance(word, Field):
        column = word.terms[0][1].source.column
        if column is None or not is_source(word):
            raise invalid(op, f"{word!r} is not a coordinate", 'pass its word: op.grad(u, "x")')
        require_same(u, word)
        return column
    if word not in u.names:
        raise invalid(op, f"the Field has no axis {word!r}; it has: {', '.join(u.names)}")
    return u.names.index(word)


def of_function(function: Function, points: Points) -> Field:
    """Returns the Field of a function of points."""
    values = jax.eval_shape(function, points.array)
    lead = points.array.shape[:-1]
    if not isinstance(values, jax.ShapeDtypeStruct) or values.shape[: len(lead)] != lead:
        found = getattr(values, "shape", type(values).__name__)
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"Field: the function returns {found} for points {points.array.shape}; "
            f"it must return one row for each point, {lead} first.",
            hints="a function of one point: field.apply(jax.vmap(f))",
        )
    source = Source(function, points, values.shape, values.dtype)
    return Field(((1, Term(source, (0,) * len(points.names))),))


def _of_fields(function: Function, points: Points, result: Any) -> Field:
    """Returns the Field of a function that computes with Fields at its points, given its result's type."""

    def at(places: jax.Array) -> jax.Array:
        return jointly(places, function)

    source = Source(at, points, result.shape, result.dtype, transparent=True)
    return Field(((1, Term(source, (0,) * len(points.names))),))


def values(fields: Sequence[Field]) -> list[jax.Array]:
    """Returns the values of several Fields at the same points, from one pass through each function.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> [v.tolist() for v in values([xy["x"] * xy["y"], xy["y"]])]
    [[6.0], [3.0]]
    """
    if not fields:
        return []
    for f in fields:
        require_same(fields[0], f)
    return jointly(fields[0].points.array, lambda at: [f._sum_at(at) for f in fields])


def _together(apply: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Returns `apply` of two operands, one of them a Field."""
    if isinstance(a, Field) and isinstance(b, Field):
        require_same(a, b)
        if a.ndim != b.ndim:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"Field: shapes {a.shape} and {b.shape} do not go together.",
                hints="make them alike: field[..., None] has one component, field[..., 0] none",
            )
        result = jax.eval_shape(apply, _type(a), _type(b))
        made = _of_fields(lambda at: apply(a._sum_at(at), b._sum_at(at)), a.points, result)
        return _by_product_rule(made, a, b) if apply is operator.mul else made
    if isinstance(a, Field):
        if not _is_scalar(b):
            return apply(a.array, b)
        result = jax.eval_shape(lambda x: apply(x, b), _type(a))
        return _of_fields(lambda at: apply(a._sum_at(at), b), a.points, result)
    if not _is_scalar(a):
        return apply(a, b.array)
    result = jax.eval_shape(lambda x: apply(a, x), _type(b))
    return _of_fields(lambda at: apply(a, b._sum_at(at)), b.points, result)


def _type(u: Field) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(u.shape, u.dtype)


def _by_product_rule(made: Field, a: Field, b: Field) -> Field:
    ((c, term),) = made.terms
    rule = functools.partial(_of_product, a, b)
    return Field(((c, replace(term, source=replace(term.source, rule=rule))),))


def _of_product(a: Field, b: Field, wanted: Symbol, points: jax.Array) -> jax.Array:
    """The derivatives of a product, by Leibniz's rule, from those of its factors."""
    terms = []
    for orders, weight in wanted:
        for part in itertools.product(*(range(n + 1) for n in orders)):
            rest = tuple(n - k for n, k in zip(orders, part, strict=True))
            ways = weight * math.prod(map(math.comb, orders, part))
            both = differentiated(a, part)._sum_at(points) * differentiated(b, rest)._sum_at(points)
            terms.append(both if ways == 1 else both * ways)
    return functools.reduce(operator.add, terms)


def differentiated(u: Field, orders: tuple[int, ...]) -> Field:
    """Returns the derivative of every component of a Field, so often along each coordinate."""

    def further(term: Term) -> Term:
        total = tuple(n + k for n, k in zip(term.orders, orders, strict=True))
        return replace(term, orders=total)

    offset = 0 if any(orders) else u.offset
    return Field(tuple((c, further(term)) for c, term in u.terms), offset)


def _collected(terms: tuple[tuple[Any, Term], ...]) -> tuple[tuple[Any, Term], ...]:
    """Returns terms with those of one derivative added up, and without those that cancel, but for one."""
    sums: dict[Term, Any] = {}
    for c, term in terms:
        sums[term] = sums[term] + c if term in sums else c
    left = tuple((c, term) for term, c in sums.items() if not _is_zero(c))
    return left or ((0, terms[0][1]),)


def _pick(term: Term, key: tuple[Any, ...]) -> Field:
    source = term.source
    last = key[-1]
    by_number = isinstance(last, int) and len(key) == len(source.shape)
    if source.parts and term.is_plain and by_number:
        return source.parts[last]
    found = source.picked.get(repr(key))
    if found is None:
        lead = source.points.array.ndim - 1
        inner = (slice(None),) * lead + key[lead:]
        whole = source.function
        made = of_function(lambda points: whole(points)[inner], source.points)
        found = replace(
            made.terms[0][1].source, whole=(source, inner), transparent=source.transparent
        )
        if source.is_points and by_number:
            found = replace(found, column=last % source.shape[-1])
        source.picked[repr(key)] = found
    return Field(((1, replace(term, source=found)),))


def _expanded(key: Any, ndim: int) -> tuple[Any, ...]:
    """Returns an index with an entry for every axis, and None for every new one."""
    entries = key if isinstance(key, tuple) else (key,)
    used = sum(entry is not None and entry is not Ellipsis for entry in entries)
    fill = (slice(None),) * max(ndim - used, 0)
    places = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if not places:
        return (*entries, *fill)
    return (*entries[: places[0]], *fill, *entries[places[0] + 1 :])


def _coordinate(u: Field, word: str) -> Field:
    if not is_source(u) or not u.terms[0][1].source.is_points:
        raise invalid("Field", f"only coordinates are named by words, not {u!r}", "field[..., 0]")
    return u[..., column_of(u, word, "Field")]


def is_source(u: Field) -> bool:
    """Returns whether a Field is one function itself: no sum, no derivative, no factor."""
    (c, term), *more = u.terms
    return not more and _is_one(c) and term.is_plain and _is_zero(u.offset)


def require_same(a: Field, b: Field) -> None:
    """Raises `E_GRAPH_INVALID` for Fields at different points."""
    if a.points is not b.points:
        raise invalid(
            "Field",
            f"two Fields are at different points, of {', '.join(a.names)} and {', '.join(b.names)}",
            "make both from one op.coords(...)",
        )


def _is_scalar(x: Any) -> TypeGuard[Any]:
    if isinstance(x, int | float):
        return True
    return isinstance(x, jax.Array | np.ndarray | np.generic) and x.ndim == 0


def _is_summed(c: Any, term: Term) -> bool:
    """Whether a factor is a number, and its term a derivative of a function from outside."""
    source = term.source
    known = source.transparent or source.is_points or source.rule is not None
    return isinstance(c, int | float) and not known


def _scaled(value: jax.Array, c: Any) -> jax.Array:
    return value if _is_one(c) else -value if _is_one(-c) else value * c


def _is_zero(c: Any) -> bool:
    return isinstance(c, int | float) and c == 0


def _is_one(c: Any) -> bool:
    return isinstance(c, int | float) and c == 1


def invalid(op: str, problem: str, hint: str = "") -> CompileError:
    """Returns the error for a call that makes no sense."""
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())
