"""Reading an attention backwards: from its last product to the operands of its first.

o = dot_general p v  ←  p = softmax s  ←  s = select m s -1e9  ←  s = c s  ←  s = dot_general q k
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from xdsl.ir import SSAValue

from tessera.ir.graph import Node, node_of
from tessera.lowering.axes import (
    MOVES,
    Atoms,
    Axes,
    Labels,
    dot_labels,
    operand_labels,
    seen_through,
)
from tessera.lowering.constants import constant_number
from tessera.lowering.idioms.masks import HIDES, Hidden, hidden_by_choice, hidden_by_sum
from tessera.lowering.idioms.softmax import RAISED, Softmax, find_softmax, is_fixed_float
from tessera.lowering.match import dtype, is_floating, made_by, shape, through

CHANGED = "the weights are changed (dropout?) before they meet the values"
BIASED = "a bias is added to the scores, which flash_attention does not take"

MOST_CHANGES = 4  # steps looked through between weights and values, as of a dropout
MOST_SCORED = 16  # that scale or mask the scores, one after the other
MOST_LOOKED_AT = 64  # values among which the product of scores is looked for, the nearest first
MOVED = MOVES | {"convert_element_type"}
MAKE_WEIGHTS = frozenset({"jax.exp", RAISED})
CHANGE_WEIGHTS = frozenset({"jax.mul", "jax.div", "jax.select_n"})
SCORED = frozenset(
    f"jax.{name}"
    for name in "transpose reshape squeeze broadcast_in_dim convert_element_type select_n mul div add "
    "sub".split()
)


@dataclass
class Reading:
    """What has been read of an attention, from its last product backwards."""

    axes: Axes
    nodes: list[Node]
    hidden: list[Hidden] = field(default_factory=list[Hidden])
    scale: float = 1.0
    problem: str = ""


@dataclass(frozen=True)
class Operand:
    """A value that enters one of the products, and what its axes are."""

    value: SSAValue
    labels: Labels


@dataclass(frozen=True)
class Found:
    """Both products of an attention, with one labelling of all their operands."""

    reading: Reading
    q: Operand
    k: Operand
    v: Operand
    keys: Atoms
    out: Labels


def read_attention(node: Node, side: int) -> Found | None:
    """Returns the attention that ends in a product whose operand `side` is its softmax weights, or None."""
    if not _may_be_weights(node.operands[side]):
        return None
    if not all(is_fixed_float(x) for x in (*node.results, *node.operands)):
        return None
    axes = Axes()
    out = tuple(axes.label(n) for n in shape(node.results[0]))
    labels = dot_labels(axes, node, out)
    reading = Reading(axes, [node])
    weights = _read_weights(reading, node.operands[side], labels[side])
    if weights is None:
        return None
    softmax, at = weights
    keys = at[softmax.axis]
    product = _read_scores(reading, softmax.x, at)
    if product is None:
        return None
    dot, at = product
    left, right = dot_labels(axes, dot, at)
    q, k = Operand(dot.operands[0], left), Operand(dot.operands[1], right)
    if set(axes.resolved(keys)) <= _atoms(axes, left):
        q, k = k, q
    v = Operand(node.operands[1 - side], labels[1 - side])
    q, k = _unscaled(reading, q), _unscaled(reading, k)
    return Found(reading, q, _unrepeated(axes, k), _unrepeated(axes, v), keys, out)


def _may_be_weights(value: SSAValue, depth: int = MOST_CHANGES + 1) -> bool:
    """Returns whether a softmax may lie behind a value, at a glance: axes are not followed."""
    node = node_of(through(value, MOVED))
    if node is None or node.name in MAKE_WEIGHTS:
        return node is not None
    return (
        depth > 0
        and node.name in CHANGE_WEIGHTS
        and any(_may_be_weights(x, depth - 1) for x in node.operands)
    )


def _read_weights(
    reading: Reading, value: SSAValue, labels: Labels, depth: int = MOST_CHANGES
) -> tuple[Softmax, Labels] | None:
    """Returns the softmax that made the weights, with the labels of its result."""
    value, labels = _through_casts(reading, value, labels)
    node = node_of(value)
    if node is None:
        return None
    softmax = find_softmax(node)
    if softmax is None:
        return _changed_weights(reading, node, labels, depth)
    reading.nodes += softmax.nodes
    return softmax, labels


def _changed_weights(
    reading: Reading, node: Node, labels: Labels, depth: int
) -> tuple[Softmax, Labels] | None:
    """Returns the softmax behind a step that multiplies or selects its weights, and notes the step."""
    if depth == 0 or node.name not in CHANGE_WEIGHTS:
        return None
    reading.problem = CHANGED
    reading.nodes.append(node)
    for operand in node.operands:
        if shape(operand) == shape(node.results[0]):
            found = _read_weights(reading, operand, labels, depth - 1)
            if found is not None:
                return found
    return None


def _read_scores(
    reading: Reading, value: SSAValue, labels: Labels, depth: int = MOST_SCORED
) -> tuple[Node, Labels] | None:
    """Returns the product that made the scores, with the labels of its result; reads scale and masks."""
    value, labels = _through_casts(reading, value, labels)
    node = node_of(value)
    if node is None or depth == 0:
        return None
    if node.name == "jax.dot_general":
        reading.nodes.append(node)
        return node, labels
    inner = _unmasked(reading, node, labels)
    if inner is None:
        return _biased_scores(reading, node, labels, depth)
    reading.nodes.append(node)
    return _read_scores(reading, inner, labels, depth - 1)


def _unmasked(reading: Reading, node: Node, labels: Labels) -> SSAValue | None:
    """Returns the scores before one step that scales or masks them, which it notes."""
    if node.name == "jax.select_n":
        chosen = hidden_by_choice(reading.axes, node, labels)
        return chosen[1] if chosen is not None and _hide(reading, [chosen[0]]) else None
    if node.name in ("jax.mul", "jax.div"):
        return _unscaled_step(reading, node)
    if node.name not in ("jax.add", "jax.sub"):
        return None
    sides = [(0, 1)] if node.name == "jax.sub" else [(0, 1), (1, 0)]
    for i, j in sides:
        scores, bias = node.operands[i], node.operands[j]
        if shape(scores) != shape(node.results[0]) or not _leads_to_product(scores):
            continue
        at = operand_labels(labels, shape(bias))
        found = hidden_by_sum(reading.axes, bias, at, -1 if node.name == "jax.sub" else 1)
        if found is not None:
            return scores if _hide(reading, found) else None
    return None


def _hide(reading: Reading, found: Sequence[Hidden]) -> bool:
    """Notes masks, whose fill is scaled by what follows, and returns whether they hide even so."""
    scaled = [replace(h, fill=h.fill * reading.scale) for h in found]
    reading.hidden += scaled
    return all(h.fill <= HIDES for h in scaled)


def _unscaled_step(reading: Reading, node: Node) -> SSAValue | None:
    sides = [(0, 1)] if node.name == "jax.div" else [(0, 1), (1, 0)]
    for i, j in sides:
        factor = constant_number(node.operands[j])
        if factor and math.isfinite(factor) and shape(node.operands[i]) == shape(node.results[0]):
            reading.scale *= factor if node.name == "jax.mul" else 1 / factor
            return node.operands[i]
    return None


def _biased_scores(
    reading: Reading, node: Node, labels: Labels, depth: int
) -> tuple[Node, Labels] | None:
    """Returns the product behind a general bias, and notes that there is one."""
    if reading.problem == BIASED or node.name not in ("jax.add", "jax.sub"):
        return None
    for operand in node.operands:
        if shape(operand) == shape(node.results[0]) and _leads_to_product(operand):
            reading.problem = BIASED
            return _read_scores(reading, operand, labels, depth - 1)
    return None


def _leads_to_product(value: SSAValue) -> bool:
    """Returns whether a product lies behind steps that move, cast, scale, mask or add."""
    waiting, looked_at = [value], 0
    while waiting and looked_at < MOST_LOOKED_AT:
        node, looked_at = node_of(waiting.pop(0)), looked_at + 1
        if node is not None and node.name == "jax.dot_general":
            return True
        if node is not None and node.name in SCORED:
            waiting += node.operands[1:] if node.name == "jax.select_n" else node.operands
    return False


def _through_casts(reading: Reading, value: SSAValue, labels: Labels) -> tuple[SSAValue, Labels]:
    while True:
        value, labels = seen_through(reading.axes, value, labels, reading.nodes)
        node = made_by(value, "convert_element_type")
        if node is None or not is_floating(dtype(node.operands[0])):
            return value, labels
        reading.nodes.append(node)
        value = node.operands[0]


def _unscaled(reading: Reading, operand: Operand) -> Operand:
    """Returns an operand of the first product before a number was multiplied to it, which it notes."""
    value, labels = seen_through(reading.axes, operand.value, operand.labels, [])
    node = made_by(value, "mul", "div")
    inner = None if node is None else _unscaled_step(reading, node)
    return operand if inner is None else Operand(inner, labels)


def _unrepeated(axes: Axes, operand: Operand) -> Operand:
    """Returns keys or values before they were repeated for several heads."""
    value, labels = seen_through(axes, operand.value, operand.labels, [])
    fewer = _atoms(axes, labels) < _atoms(axes, operand.labels)
    return Operand(value, labels) if fewer else operand


def _atoms(axes: Axes, labels: Labels) -> set[int]:
    return {atom for atoms in labels for atom in axes.resolved(atoms)}
