"""(x - mean x) / sqrt(var x + eps) w + b  →  graph.layernorm;  x / sqrt(mean x² + eps) w  →  graph.rmsnorm.

As Flax and Equinox write them and as people do: variance in one pass or two, clipped or not, the root as
`rsqrt`, as a quotient or as a power, the weight multiplied in anywhere. The factors of the product are
collected, the inverse root says which array was normalised, and what is left over must be a weight.

On one CPU core value and gradients together are 1.4 to 4 times as fast from 512 rows on. A forward alone
costs the same, except where the variance was computed in one pass (Flax): there the op reads x once more, and
keeps the digits that a mean far from 0 would cost.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np
from xdsl.ir import SSAValue

from tessera.core import compat, numerics
from tessera.core.op import registered_op
from tessera.ir.graph import Node, is_node, jax_type, node_of
from tessera.lowering.idioms.row_statistics import (
    VIEWED,
    Mean,
    Seen,
    behind_views,
    centred_of,
    constant,
    holds,
    is_row,
    mean_square_of,
    operands,
    origin,
    unclipped,
    variance_of,
    whole,
)
from tessera.lowering.match import (
    are_read_elsewhere,
    dtype,
    is_floating,
    made_by,
    nodes_between,
    param,
    shape,
    through,
)
from tessera.lowering.rule import Context, Replacement, Rule

CAST = "jax.convert_element_type"
SHARDED = "an operand is sharded over Explicit axes, across which the op's form would reshape"
FACTORS = 8  # a longer product is no norm
NESTED = 6  # products within products that are looked into
INVERSE_ROOTS = frozenset({"jax.rsqrt", "jax.sqrt", "jax.pow"})
PRODUCTS = frozenset({"jax.mul", "jax.div", "jax.integer_pow"})
VIEWED_NAMES = frozenset(name.removeprefix("jax.") for name in VIEWED)


@dataclass(frozen=True)
class Norm:
    """What a node computes: `op` of x over some axes, then weight and bias."""

    op: str
    x: SSAValue
    over: tuple[int, ...]
    eps: float
    weight: SSAValue | None = None
    bias: SSAValue | None = None


@dataclass(frozen=True)
class Factor:
    """One factor of a product, or divisor if `inverted`; `outer` is what its views were taken of."""

    seen: Seen
    outer: Seen
    inverted: bool


def match_norm(node: Node, context: Context) -> Replacement | None:
    """Returns layernorm or rmsnorm in the place of the last node of one."""
    del context
    if node.name in PRODUCTS and not _may_hold_root(node.results[0]):
        return None  # nearly all
    found = None if _goes_on(node) else _norm(node)
    if found is None:
        return None
    given = [x for x in (found.weight, found.bias) if x is not None]
    nodes = nodes_between(node, found.x, *given)
    widest = numerics.accumulator(dtype(node.results[0]))
    if not all(_keeps_precision(n, found, widest) for n in nodes):
        return None
    build = partial(
        _normalised,
        op=found.op,
        eps=found.eps,
        dtype=dtype(node.results[0]).name,
        count=len(found.over),
        has_weight=found.weight is not None,
        has_bias=found.bias is not None,
    )
    return Replacement(
        node.results[0],
        (found.x, *given),
        build,
        nodes=len(nodes),
        kept_because=_obstacle(node, found),
        reason="one pass over rows, with a backward of its own",
        shared=_is_shared(node, found, nodes),
    )


def _normalised(
    x: jax.Array,
    *given: jax.Array,
    op: str,
    eps: float,
    dtype: str,
    count: int,
    has_weight: bool,
    has_bias: bool,
) -> jax.Array:
    rest = iter(given)
    vectors = {}
    if has_weight:
        vectors["weight"] = next(rest).reshape(-1)
    if has_bias:
        vectors["bias"] = next(rest).reshape(-1)
    rows = x.astype(dtype)
    if count > 1:
        rows = rows.reshape(*x.shape[:-count], math.prod(x.shape[-count:]))
    return registered_op(op)(rows, eps=eps, **vectors).reshape(x.shape)


# -- what a node computes ------------------------------------------------------------------------------


def _norm(node: Node) -> Norm | None:
    value = node.results[0]
    if not is_floating(dtype(value)) or not shape(value):
        return None
    if node.short_name == "convert_element_type":
        inner = made_by(node.operands[0], "mul", "div", "add")
        found = None if inner is None else _norm(inner)
        if found is None or not holds(dtype(value), dtype(found.x)):
            return None
        kept = holds(numerics.accumulator(dtype(value)), dtype(node.operands[0]))
        return found if kept else None
    if node.short_name == "add":
        return _with_bias(node)
    return _product(node.results[0])


def _with_bias(node: Node) -> Norm | None:
    sides = list(operands(node, whole(node.results[0]).axes))
    for a, b in ((0, 1), (1, 0)):
        inner = made_by(_uncast(sides[a].value), "mul", "div")
        if inner is None or shape(inner.results[0]) != shape(node.results[0]):
            continue
        found = _product(inner.results[0])
        bias = behind_views(sides[b], exact=True)
        if found is None or found.op != "layernorm":
            continue
        if is_row(bias, found.over, shape(node.results[0])):
            return replace(found, bias=bias.value)
    return None


def _product(value: SSAValue) -> Norm | None:
    if not _may_hold_root(value):
        return None
    leaves = list(islice(_factors(whole(value), False, frozenset()), FACTORS + 1))
    for leaf in leaves if len(leaves) <= FACTORS else ():
        found = _normalises(leaf)
        if found is None:
            continue
        norm, normal = found
        weight = _weight(value, norm, leaf, normal)
        if weight is not None:
            return weight
    return None


def _may_hold_root(value: SSAValue, depth: int = NESTED) -> bool:
    """Returns whether a root is among the factors of a product, at a glance: axes are not followed."""
    node = node_of(through(value, VIEWED_NAMES))
    if node is None or node.name in INVERSE_ROOTS:
        return node is not None
    return (
        depth > 0
        and node.name in PRODUCTS
        and any(_may_hold_root(x, depth - 1) for x in node.operands)
    )


def _normalises(leaf: Factor) -> tuple[Norm, frozenset[SSAValue]] | None:
    """Returns the norm an inverse root is of, and the values it may be multiplied with."""
    root = made_by(leaf.seen.value, "sqrt" if leaf.inverted else "rsqrt", "pow")
    if root is None:
        return None
    if root.short_name == "pow" and constant(root.operands[1]) != (0.5 if leaf.inverted else -0.5):
        return None
    first = Seen(root.operands[0], leaf.seen.axes)
    inside, eps = _without_eps(behind_views(first))
    variance = variance_of(inside)
    if variance is not None:
        return _norm_of("layernorm", variance, eps), frozenset()
    squared = mean_square_of(unclipped(inside))
    if squared is None:
        return None
    return _norm_of("rmsnorm", squared, eps), frozenset([squared.of])


def _norm_of(op: str, statistic: Mean, eps: float) -> Norm:
    return Norm(op, statistic.of, statistic.over, eps)


def _without_eps(seen: Seen) -> tuple[Seen, float]:
    """Returns (v, eps) of v + eps; a sum without a number is v."""
    node = made_by(seen.value, "add")
    if node is None:
        return seen, 0.0
    sides = list(operands(node, seen.axes))
    for one, other in ((0, 1), (1, 0)):
        eps = constant(sides[other].value)
        if eps is not None:
            shortest = str(np.asarray(eps, dtype(sides[other].value)))
            return behind_views(sides[one]), float(shortest)
    return seen, 0.0


def _weight(value: SSAValue, norm: Norm, root: Factor, normal: frozenset[SSAValue]) -> Norm | None:
    """Returns the norm with its weight if the other factors are what is normalised and at most one row."""
    weight: SSAValue | None = None
    met = rooted = False
    stops = _Stops(norm, normal)
    for factor in _factors(whole(value), False, stops):
        if factor.seen == root.seen and factor.inverted == root.inverted and not rooted:
            rooted = True
        elif not factor.inverted and factor.outer.value in stops:
            if met or shape(factor.outer.value) != shape(value):
                return None
            met = True
        elif constant(factor.seen.value) == 1.0:
            continue
        elif weight is None and not factor.inverted:
            row = behind_views(factor.outer, exact=True)
            if not is_row(row, norm.over, shape(value)):
                return None
            weight = row.value
        else:
            return None
    return replace(norm, weight=weight) if met and rooted else None


@dataclass(frozen=True)
class _Stops:
    """The values that are what a norm divides: x itself for rmsnorm, x - mean(x) for layernorm."""

    norm: Norm
    normal: frozenset[SSAValue]
    known: dict[SSAValue, bool] = field(default_factory=dict[SSAValue, bool])

    def __contains__(self, value: SSAValue) -> bool:
        if value not in self.known:
            self.known[value] = self._is_divided(origin(value))
        return self.known[value]

    def _is_divided(self, value: SSAValue) -> bool:
        if self.norm.op == "rmsnorm":
            return value in self.normal
        centred = centred_of(value)
        return (
            centred is not None
            and centred.over == self.norm.over
            and centred.of is origin(self.norm.x)
        )


def _factors(
    seen: Seen, inverted: bool, stops: "_Stops | frozenset[SSAValue]", depth: int = NESTED
) -> Iterator[Factor]:
    """Yields the factors of a product, through views, down to the values in `stops`."""
    if seen.value in stops:
        yield Factor(seen, seen, inverted)
        return
    inner = behind_views(seen)
    if inner.value in stops and inner.axes == whole(inner.value).axes:
        yield Factor(inner, inner, inverted)
        return
    node = made_by(inner.value, "mul", "div", "integer_pow") if depth else None
    if node is None or (node.short_name == "integer_pow" and param(node, "y") != -1):
        yield Factor(inner, seen, inverted)
        return
    sides = list(operands(node, inner.axes))
    yield from _factors(sides[0], inverted != (node.short_name == "integer_pow"), stops, depth - 1)
    if len(sides) == 2:
        yield from _factors(sides[1], inverted != (node.short_name == "div"), stops, depth - 1)


def _uncast(value: SSAValue) -> SSAValue:
    cast = made_by(value, "convert_element_type")
    return value if cast is None else cast.operands[0]


# -- whether it should be raised -----------------------------------------------------------------------


def _goes_on(node: Node) -> bool:
    """Returns whether the only reader of a node ends a norm that the node is a step of."""
    value = node.results[0]
    use = value.get_unique_use()
    if use is None or use.operation.name not in ROOTS or not is_node(use.operation):
        return False
    longer = _norm(use.operation)
    return longer is not None and value not in (longer.x, longer.weight, longer.bias)


def _keeps_precision(node: Node, found: Norm, widest: Any) -> bool:
    """Returns whether a node of a norm is no narrower than x and no wider than the op accumulates."""
    kind = dtype(node.results[0])
    if not is_floating(kind):
        return True
    return holds(kind, dtype(found.x)) and holds(widest, kind)


def _obstacle(node: Node, found: Norm) -> str:
    """Returns why a norm stays as it is, empty if it does not."""
    rank = len(shape(node.results[0]))
    trailing = tuple(range(rank - len(found.over), rank))
    if found.over != trailing:
        axes = ", ".join(map(str, found.over))
        return (
            f"it runs over axis {axes} of {rank}, and {found.op} over the last: moving it copies x"
        )
    merged = [found.weight, found.bias] + [found.x] * (len(found.over) > 1)
    if any(x is not None and len(shape(x)) > 1 and _is_sharded(x) for x in merged):
        return SHARDED
    return ""


def _is_sharded(value: SSAValue) -> bool:
    return compat.explicitly_sharded(jax_type(value))


def _is_shared(node: Node, found: Norm, nodes: list[Node]) -> bool:
    # Two norms of one array share its cast.
    own = [n for n in nodes if n.name != CAST or n.operands[0] is not found.x]
    return are_read_elsewhere(own, node)


ROOTS = frozenset({"jax.mul", "jax.div", "jax.add", "jax.convert_element_type"})
NORMS = Rule("norm", ROOTS, match_norm)
