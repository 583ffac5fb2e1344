"""Taylor mode for several derivatives at once: a network's jaxpr run on a value and the slots of a plan.

With f' the first derivative of an operation at its operands, x_s slot s of an operand, and the rest of what
makes a slot given by the plan (see plan.py),

    y_s = f'(x) x_s + sum of products and chains of other slots

A primitive in no table gets the general rule: nested forward mode along the polynomial whose derivatives are
the slots, which is exact for every primitive that has a forward derivative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Polynomial

from tessera.core import compat
from tessera.core.compat import ClosedJaxpr
from tessera.pde import kinds
from tessera.pde.interpreter import Algebra, interpret
from tessera.pde.kinds import Apply
from tessera.pde.plan import Orders, Plan, Symbol


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("value", "slots"),
    meta_fields=("is_linear",),
)
@dataclass(frozen=True)
class Series:
    """A value at one point, and the slots of a plan: arrays of the value's shape, None for zero.

    While the value is linear in the point, `is_linear`, the slots are the same at every point.
    """

    value: Any
    slots: tuple[Any, ...]
    is_linear: bool = False

    @property
    def varies(self) -> bool:
        """Whether the value depends on the point."""
        return any(x is not None for x in self.slots)


def derivatives_at(
    network: ClosedJaxpr, plan: Plan, point: jax.Array, directions: jax.Array | None = None
) -> list[jax.Array]:
    """Returns the results of a plan, of a network's one result, at one point `(d,)`.

    The plan's coordinates are those of the point, or lengths along `directions`, `(plan.dimensions, d)`.

    >>> from tessera.pde.plan import plan, symbol
    >>> cubic = jax.make_jaxpr(lambda x: x[0] ** 2 * x[1])(jnp.ones(2))
    >>> [float(y) for y in derivatives_at(cubic, plan(2, (symbol({(2, 1): 1}),)), jnp.ones(2))]
    [2.0]
    """
    algebra = Algebra(partial(_constant, plan), partial(_propagate, plan))
    (found,) = interpret(algebra, network.jaxpr, network.consts, [_seed(plan, point, directions)])
    return [_sum_of(found, result) for result in plan.results]


def _constant(plan: Plan, value: Any) -> Series:
    return Series(value, (None,) * len(plan.symbols))


def _seed(plan: Plan, point: jax.Array, directions: jax.Array | None) -> Series:
    units = directions
    if units is None:
        units = compat.varying_like(jnp.eye(plan.dimensions, dtype=point.dtype), point)

    def slot(symbol: Symbol) -> jax.Array | None:
        first = [(weight, units[o.index(1)]) for o, weight in symbol if sum(o) == 1]
        return _weighted(first)

    return Series(point, tuple(map(slot, plan.symbols)), is_linear=True)


def _sum_of(found: Series, result: Sequence[tuple[int, float]]) -> jax.Array:
    parts = [(found.value if i < 0 else found.slots[i], weight) for i, weight in result]
    total = _weighted([(weight, x) for x, weight in parts if x is not None])
    return jnp.zeros_like(found.value) if total is None else total


def _sum(terms: Sequence[tuple[float, jax.Array]]) -> jax.Array:
    return reduce(jnp.add, [x if weight == 1 else x * weight for weight, x in terms])


def _weighted(terms: Sequence[tuple[float, jax.Array]]) -> jax.Array | None:
    return _sum(terms) if terms else None


def _add(*parts: Any) -> Any:
    return _weighted([(1, x) for x in parts if x is not None])


# -- rules --------------------------------------------------------------------------------------------------


def _propagate(plan: Plan, equation: Any, apply: Apply, operands: Sequence[Series]) -> list[Series]:
    name = equation.primitive.name
    varying = [x for x in operands if x.varies]
    if name in kinds.FLAT:
        return [_constant(plan, y) for y in apply(*(x.value for x in operands))]
    if name == "dot_general" and len(varying) == 1:
        return [_dot(equation, apply, operands)]
    if name == "div":
        return [_divide(plan, apply, operands)]
    if name in kinds.BILINEAR and len(varying) == 2:
        return [_multiply(plan, apply, *operands)]
    if name in kinds.LINEAR or name in kinds.BILINEAR:
        return _linear(apply, operands)
    unary = kinds.is_unary(equation, [x.value for x in varying])
    run = _in_varying(apply, operands)
    if unary and (
        name in kinds.ELEMENTWISE
        or (name == "custom_jvp_call" and kinds.works_entry_by_entry(run, varying[0].value))
    ):
        return [_elementwise(plan, equation, run, varying[0])]
    return _general(plan, run, varying)


def _in_varying(apply: Apply, operands: Sequence[Series]) -> Apply:
    def run(*varying: jax.Array) -> list[jax.Array]:
        rest = iter(varying)
        return apply(*(next(rest) if x.varies else x.value for x in operands))

    return run


def _linear(apply: Apply, operands: Sequence[Series]) -> list[Series]:
    run, varying = _in_varying(apply, operands), [x for x in operands if x.varies]
    ys, push = jax.linearize(run, *(x.value for x in varying))
    count = len(varying[0].slots)
    pushed = []
    for i in range(count):
        along = [x.slots[i] for x in varying]
        if all(x is None for x in along):
            pushed.append([None] * len(ys))
        else:
            whole = [
                jnp.zeros_like(x.value) if t is None else t
                for x, t in zip(varying, along, strict=True)
            ]
            pushed.append(push(*whole))
    linear = all(x.is_linear for x in varying)
    return [Series(y, tuple(slot[k] for slot in pushed), linear) for k, y in enumerate(ys)]


def _dot(equation: Any, apply: Apply, operands: Sequence[Series]) -> Series:
    """One product of the constant operand with the value and all slots.

    Slots that are the same at every point stay out of the product that each point takes part in.
    """
    left, right = operands
    x, constant = (left, right.value) if left.varies else (right, left.value)
    places = [i for i, slot in enumerate(x.slots) if slot is not None]
    parts = [x.slots[i][None] for i in places]
    multiply = partial(kinds.multiply_stack, equation, apply, constant, left=left.varies)
    if x.is_linear:
        value, found = multiply([x.value[None]])[0][0], multiply(parts)
    else:
        first, *found = multiply([x.value[None], *parts])
        value = first[0]
    slots: list[Any] = [None] * len(x.slots)
    for i, y in zip(places, found, strict=True):
        slots[i] = y[0]
    return Series(value, tuple(slots), x.is_linear)


def _multiply(plan: Plan, apply: Apply, left: Series, right: Series) -> Series:
    def product(a: Any, b: Any) -> Any:
        return None if a is None or b is None else apply(a, b)[0]

    def slot(i: int) -> Any:
        crossed = [
            (term.weight, product(left.slots[term.left], right.slots[term.right]))
            for term in plan.products[i]
        ]
        whole = product(left.slots[i], right.value), product(left.value, right.slots[i])
        return _add(*whole, _weighted([(w, x) for w, x in crossed if x is not None]))

    value = apply(left.value, right.value)[0]
    return Series(value, tuple(slot(i) for i in range(len(plan.symbols))))


def _divide(plan: Plan, apply: Apply, operands: Sequence[Series]) -> Series:
    above, below = operands
    if not below.varies:
        return _linear(apply, operands)[0]
    one = jnp.ones_like(below.value)
    inverse = _elementwise_by(plan, below, *_derivatives(lambda x: [one / x], below.value, plan))
    value = apply(above.value, below.value)[0]
    if not above.varies:
        scaled = tuple(None if x is None else above.value * x for x in inverse.slots)
        return Series(value, scaled)
    return Series(value, _multiply(plan, lambda a, b: [a * b], above, inverse).slots)


def _elementwise(plan: Plan, equation: Any, run: Apply, x: Series) -> Series:
    rule = _CLOSED.get(equation.primitive.name)
    if rule is None:
        return _elementwise_by(plan, x, *_derivatives(run, x.value, plan))
    y = run(x.value)[0]
    return _elementwise_by(plan, x, y, rule(equation.params, x.value, y, plan.order))


def _elementwise_by(plan: Plan, x: Series, y: jax.Array, slopes: Sequence[Any]) -> Series:
    """`slopes[k - 1]` is the k-th derivative of the function; None where it is zero."""
    products: dict[tuple[int, ...], Any] = {}

    def product(slots: tuple[int, ...]) -> Any:
        if slots not in products:
            first, rest = x.slots[slots[0]], slots[1:]
            others = product(rest) if rest else None
            missing = first is None or (rest and others is None)
            products[slots] = None if missing else first if others is None else first * others
        return products[slots]

    def slot(i: int) -> Any:
        by_order: dict[int, list[tuple[float, Any]]] = {}
        if x.slots[i] is not None:
            by_order[1] = [(1, x.slots[i])]
        for chain in plan.chains[i]:
            if product(chain.slots) is not None:
                terms = by_order.setdefault(len(chain.slots), [])
                terms.append((chain.weight, product(chain.slots)))
        bent = {k: slopes[k - 1] for k in sorted(by_order)}
        return _add(*(f * _sum(by_order[k]) for k, f in bent.items() if f is not None))

    return Series(y, tuple(slot(i) for i in range(len(plan.symbols))))


def _derivatives(run: Apply, x: jax.Array, plan: Plan) -> tuple[jax.Array, list[jax.Array]]:
    """The value and derivatives of a function of each entry, by forward mode along ones.

    XLA merges what they share, so each function in them is evaluated once.
    """
    ones = jnp.ones_like(x)

    def slope(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda x: jax.jvp(f, (x,), (ones,))[1]

    functions: list[Callable[[jax.Array], jax.Array]] = [lambda x: run(x)[0]]
    for _ in range(plan.order):
        functions.append(slope(functions[-1]))
    y, *slopes = [f(x) for f in functions]
    return y, slopes


def _general(plan: Plan, run: Apply, varying: Sequence[Series]) -> list[Series]:
    values = tuple(x.value for x in varying)
    ys = run(*values)
    real = [k for k, y in enumerate(ys) if jnp.issubdtype(y.dtype, jnp.inexact)]

    def smooth(*xs: jax.Array) -> list[jax.Array]:
        found = run(*xs)
        return [found[k] for k in real]

    def slot(i: int) -> list[jax.Array]:
        along = [jnp.zeros_like(x.value) if x.slots[i] is None else x.slots[i] for x in varying]
        total = jax.jvp(smooth, values, tuple(along))[1]
        for orders, weight in plan.symbols[i]:
            if sum(orders) > 1:
                bent = _along_polynomial(plan, smooth, varying, orders)
                total = [a + weight * b for a, b in zip(total, bent, strict=True)]
        return total

    results = [_constant(plan, y) for y in ys]
    slots = [slot(i) for i in range(len(plan.symbols))]
    for place, k in enumerate(real):
        results[k] = Series(ys[k], tuple(found[place] for found in slots))
    return results


def _along_polynomial(
    plan: Plan, run: Apply, varying: Sequence[Series], orders: Orders
) -> list[jax.Array]:
    """The derivative of run(x(t)) at t = 0, x having the slots below `orders` as derivatives and no other."""
    below = [
        (i, part[0][0])
        for i, part in enumerate(plan.symbols)
        if len(part) == 1
        and part[0][1] == 1
        and part[0][0] != orders
        and all(a <= b for a, b in zip(part[0][0], orders, strict=True))
    ]
    directions = [j for j, n in enumerate(orders) for _ in range(n)]

    def at(*ts: jax.Array) -> list[jax.Array]:
        powers = {
            j: sum(t for t, k in zip(ts, directions, strict=True) if k == j) for j in directions
        }

        def curve(x: Series) -> jax.Array:
            total = x.value
            for i, part in below:
                if x.slots[i] is not None:
                    total = total + x.slots[i] * _monomial(powers, part, x.value.dtype)
            return total

        return run(*map(curve, varying))

    for place in range(len(directions)):
        at = _slope_in(at, place)
    return at(*([jnp.zeros(())] * len(directions)))


def _monomial(powers: Mapping[int, Any], part: Orders, dtype: Any) -> jax.Array:
    """The product of t_j^n / n! over the coordinates."""
    factors = [powers[j].astype(dtype) / (k + 1) for j, n in enumerate(part) for k in range(n)]
    return reduce(jnp.multiply, factors)


def _slope_in(at: Callable[..., list[jax.Array]], place: int) -> Callable[..., list[jax.Array]]:
    def slope(*ts: jax.Array) -> list[jax.Array]:
        def alone(t: jax.Array) -> list[jax.Array]:
            return at(*ts[:place], t, *ts[place + 1 :])

        return jax.jvp(alone, (ts[place],), (jnp.ones_like(ts[place]),))[1]

    return slope


# -- derivatives in closed form -----------------------------------------------------------------------------

# (parameters, x, y = f(x), n) -> the first n derivatives.
Closed = Callable[[Mapping[str, Any], jax.Array, jax.Array, int], list[Any]]


def _in_value(slope: Sequence[float]) -> Closed:
    """Of a function with y' = p(y), p a polynomial: every derivative is one, q -> q' p."""

    def derivatives(_: Any, __: jax.Array, y: jax.Array, n: int) -> list[jax.Array]:
        first = Polynomial(slope)
        polynomials = [first]
        for _ in range(n - 1):
            polynomials.append(polynomials[-1].deriv() * first)
        return [_horner(p.coef, y) for p in polynomials]

    return derivatives


def _horner(coefficients: np.ndarray, y: jax.Array) -> jax.Array:
    total = jnp.full_like(y, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * y + float(c) if c else total * y
    return total


def _power(power: int, x: jax.Array, n: int) -> list[Any]:
    found, factor = [], 1
    for k in range(1, n + 1):
        factor *= power - k + 1
        found.append(factor * jax.lax.integer_pow(x, power - k) if factor else None)
    return found


_CLOSED: dict[str, Closed] = {
    "tanh": _in_value((1.0, 0.0, -1.0)),
    "logistic": _in_value((0.0, 1.0, -1.0)),
    "exp": lambda _, __, y, n: [y] * n,
    "integer_pow": lambda params, x, _, n: _power(params["y"], x, n),
    "square": lambda _, x, __, n: _power(2, x, n),
}
