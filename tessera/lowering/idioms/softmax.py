"""Softmax: exp(x - max x) / sum exp(x - max x)  →  tessera.graph.softmax.

As `jax.nn.softmax`, Flax, Equinox and hand-written code have it: with or without the shift, whose maximum may
be clamped from below, have its gradient stopped or be taken of the transposed array; times the reciprocal of
the sum; or exp(log_softmax x).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import jax
from xdsl.ir import Operation, SSAValue

from tessera.core.op import registered_op
from tessera.ir.graph import Node, is_node, may_move
from tessera.lowering.axes import Axes, Labels, operand_labels, seen_through
from tessera.lowering.constants import constant_number
from tessera.lowering.idioms.row_statistics import holds
from tessera.lowering.match import dtype, is_floating, made_by, param, shape
from tessera.lowering.rule import Context, Replacement, Rule

ROOTS = frozenset({"jax.div", "jax.mul", "jax.exp"})
RAISED = "tessera.graph.softmax"


@dataclass(frozen=True)
class Softmax:
    """A softmax found: of what, along which axis, and the nodes that compute it, the last one first."""

    x: SSAValue
    axis: int
    stable: bool
    nodes: tuple[Node, ...]


def match_softmax(node: Node, context: Context) -> Replacement | None:
    """Returns softmax in the place of nodes that compute it."""
    del context
    found = find_softmax(node)
    if found is None or found.nodes == (node,):
        return None
    build = partial(_softmax, axis=found.axis, stable=found.stable)
    return Replacement(
        node.results[0],
        (found.x,),
        build,
        nodes=len(found.nodes),
        reason="one op, whose backward needs the result alone",
        shared=not closed(found.nodes, node),
    )


def find_softmax(node: Node) -> Softmax | None:
    """Returns the softmax a node ends, be it raised already or written out."""
    if node.name == RAISED:
        return Softmax(node.operands[0], param(node, "axis"), param(node, "stable"), (node,))
    if node.name not in ROOTS or not is_fixed_float(node.results[0]):
        return None
    if node.name == "jax.exp":
        return _from_logarithm(node)
    sides = [(0, 1), (1, 0)] if node.name == "jax.mul" else [(0, 1)]
    for i, j in sides:
        found = _normalised(node, node.operands[i], node.operands[j])
        if found is not None:
            return found
    return None


def is_fixed_float(value: SSAValue) -> bool:
    """Returns whether a value is real floating point, with neither a symbolic size nor an empty axis."""
    sizes = shape(value)
    return is_floating(dtype(value)) and all(isinstance(n, int) and n > 0 for n in sizes)


def narrows(nodes: Iterable[Node], value: SSAValue) -> bool:
    """Returns whether one of the nodes is a cast to fewer bits than a value has."""
    casts = [node for node in nodes if node.name == "jax.convert_element_type"]
    return not all(holds(dtype(cast.results[0]), dtype(value)) for cast in casts)


def closed(nodes: tuple[Node, ...], root: Node) -> bool:
    """Returns whether nobody but the nodes themselves reads what they compute, the root's result apart."""
    inside = set(nodes)
    return all(
        use.operation in inside or _is_dead(use.operation)
        for node in nodes
        if node is not root
        for result in node.results
        for use in result.uses
    )


def _is_dead(op: Operation) -> bool:
    return is_node(op) and may_move(op) and all(r.first_use is None for r in op.results)


# -- the quotient --------------------------------------------------------------------------------------


def _normalised(node: Node, over: SSAValue, under: SSAValue) -> Softmax | None:
    """Returns the softmax of over / under (or over * 1 / under): over is exp(z), under its sum."""
    weights = made_by(over, "exp")
    if weights is None or shape(over) != shape(node.results[0]):
        return None
    axes = Axes()
    labels = tuple(axes.label(n) for n in shape(over))
    nodes: list[Node] = [node, weights]
    divisor, at = under, operand_labels(labels, shape(under))
    if node.name == "jax.mul":
        inverse = _reciprocal(axes, divisor, at, nodes)
        if inverse is None:
            return None
        divisor, at = inverse
    axis = summed_axis(axes, divisor, at, over, labels, nodes)
    if axis is None or narrows(nodes, over):
        return None
    return _of_logits(axes, weights.operands[0], labels, axis, nodes)


def _of_logits(
    axes: Axes, logits: SSAValue, labels: Labels, axis: int, nodes: list[Node]
) -> Softmax:
    x = unshifted(axes, logits, labels, axis, nodes)
    stable = x is not logits
    return Softmax(x, axis, stable, tuple(dict.fromkeys(nodes)))


def _from_logarithm(node: Node) -> Softmax | None:
    """Returns the softmax of exp(log_softmax x)."""
    found = find_log_softmax(node.operands[0])
    if found is None:
        return None
    return Softmax(found.x, found.axis, found.stable, (node, *found.nodes))


def find_log_softmax(value: SSAValue) -> Softmax | None:
    """Returns what `z - log sum exp z` is the logarithm of, where z is x or x - max x."""
    difference = made_by(value, "sub")
    if difference is None or shape(difference.operands[0]) != shape(value):
        return None
    logits, under = difference.operands
    weights = _exponential_of(logits)
    if weights is None or not is_fixed_float(value):
        return None
    axes = Axes()
    labels = tuple(axes.label(n) for n in shape(logits))
    nodes: list[Node] = [difference, weights]
    total, at = through_casts(axes, under, operand_labels(labels, shape(under)), nodes)
    logarithm = made_by(total, "log")
    if logarithm is None:
        return None
    nodes.append(logarithm)
    axis = summed_axis(axes, logarithm.operands[0], at, weights.results[0], labels, nodes)
    if axis is None or narrows(nodes, logits):
        return None
    return _of_logits(axes, logits, labels, axis, nodes)


def _exponential_of(value: SSAValue) -> Node | None:
    """Returns exp(value) where the graph computes it beside other uses of the value."""
    found = [use.operation for use in value.uses if use.operation.name == "jax.exp"]
    return found[0] if len(found) == 1 and isinstance(found[0], Node) else None


def _reciprocal(
    axes: Axes, value: SSAValue, labels: Labels, nodes: list[Node]
) -> tuple[SSAValue, Labels] | None:
    value, labels = through_casts(axes, value, labels, nodes)
    node = made_by(value, "div", "integer_pow")
    if node is None:
        return None
    nodes.append(node)
    if node.name == "jax.integer_pow":
        return (node.operands[0], labels) if param(node, "y") == -1 else None
    return (node.operands[1], labels) if constant_number(node.operands[0]) == 1.0 else None


# -- sums and maxima along an axis ---------------------------------------------------------------------


def summed_axis(
    axes: Axes,
    total: SSAValue,
    at: Labels,
    weights: SSAValue,
    labels: Labels,
    nodes: list[Node],
) -> int | None:
    """Returns the axis of `weights` that `total` is the sum along, None if it is not such a sum."""
    return _reduced_axis(axes, total, at, "reduce_sum", weights, labels, nodes)


def unshifted(
    axes: Axes, logits: SSAValue, labels: Labels, axis: int, nodes: list[Node]
) -> SSAValue:
    """Returns x of x - max(x) along an axis, or the value itself if it is not that."""
    shift = made_by(logits, "sub")
    if shift is None or shape(shift.operands[0]) != shape(logits):
        return logits
    x, top = shift.operands
    inner: list[Node] = [shift]
    top, at = through_casts(axes, top, operand_labels(labels, shape(top)), inner, {"stop_gradient"})
    clamp = made_by(top, "max")
    if clamp is not None:  # max(-inf, m) is m
        infinite = [constant_number(v) == float("-inf") for v in clamp.operands]
        if True in infinite:
            inner.append(clamp)
            top = clamp.operands[1 - infinite.index(True)]
    found = _reduced_axis(axes, top, at, "reduce_max", x, labels, inner)
    if found != axis:
        return logits
    nodes += inner
    return x


def _reduced_axis(
    axes: Axes,
    value: SSAValue,
    at: Labels,
    name: str,
    of: SSAValue,
    labels: Labels,
    nodes: list[Node],
) -> int | None:
    """Returns the axis of `of` that `value` reduces, adding the nodes passed only if there is one."""
    inner: list[Node] = []
    also = {"stop_gradient"} if name == "reduce_max" else set[str]()  # only the maximum cancels
    value, at = through_casts(axes, value, at, inner, also)
    reduction = made_by(value, name)
    if reduction is None or len(param(reduction, "axes")) != 1:
        return None
    inner.append(reduction)
    kept = {atom for atoms in at for atom in axes.resolved(atoms)}
    lost = [i for i, atoms in enumerate(labels) if atoms and not kept & set(axes.resolved(atoms))]
    if len(lost) != 1:
        return None
    (axis,) = lost
    (place,) = param(reduction, "axes")
    inside = (*at[:place], labels[axis], *at[place:])
    source, source_at = through_casts(axes, reduction.operands[0], inside, inner, also)
    base, base_at = through_casts(axes, of, labels, [])
    if source is not base or _resolved(axes, source_at) != _resolved(axes, base_at):
        return None
    nodes += inner
    return axis


def _resolved(axes: Axes, labels: Labels) -> Labels:
    return tuple(axes.resolved(atoms) for atoms in labels)


def through_casts(
    axes: Axes,
    value: SSAValue,
    labels: Labels,
    nodes: list[Node],
    also: set[str] | None = None,
) -> tuple[SSAValue, Labels]:
    """Returns the value behind moves, casts between floats and steps named `also`, and its labels."""
    while True:
        value, labels = seen_through(axes, value, labels, nodes)
        node = made_by(value, "convert_element_type", *(also or ()))
        if node is None or not is_floating(dtype(node.operands[0])):
            return value, labels
        nodes.append(node)
        value = node.operands[0]


def _softmax(x: jax.Array, *, axis: int, stable: bool) -> jax.Array:
    return registered_op("softmax")(x, axis=axis, stable=stable)


SOFTMAX = Rule("softmax", ROOTS, match_softmax)
