"""Cross-entropy: log sum exp x - x[label]  →  tessera.graph.cross_entropy.

    logsumexp(x) - take(x, label)      the loss of every row; a mean or sum around it stays
    take(log_softmax x, label)         minus the loss
    sum(log_softmax x * y)             minus the loss of soft labels y, or of those y encodes

As optax, `jnp.take_along_axis`, indexing by `arange`, `vmap` of indexing and `jax.nn.one_hot` write it,
classes last. A label outside the classes keeps its meaning (NaN, the nearest class, or no loss) and gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import GatherScatterMode
from xdsl.ir import SSAValue

from tessera.core import compat, numerics
from tessera.core.op import registered_op
from tessera.ir.graph import Node, jax_type
from tessera.lowering.axes import Axes, Labels, seen_through
from tessera.lowering.constants import constant_number, constant_value
from tessera.lowering.idioms.softmax import (
    Softmax,
    closed,
    find_log_softmax,
    is_fixed_float,
    narrows,
    through_casts,
)
from tessera.lowering.match import dtype, made_by, param, shape
from tessera.lowering.rule import Context, Replacement, Rule

SHARDED = (
    "the logits or labels are sharded over Explicit axes, across which labels would be reshaped"
)

FEW_CLASSES = 32
MANY_LOGITS = 2**20

# What a label outside the classes gives.
OUTSIDE = {
    GatherScatterMode.FILL_OR_DROP: "nan",
    GatherScatterMode.CLIP: "nearest",
    # What XLA does with a broken promise: it reads the nearest and adds a gradient to none.
    GatherScatterMode.PROMISE_IN_BOUNDS: "fixed",
}


@dataclass(frozen=True)
class _Picked:
    """One element per row of `source`, taken along its last axis at `index`."""

    source: SSAValue
    index: SSAValue
    outside: str
    nodes: tuple[Node, ...]


def match_cross_entropy(node: Node, context: Context) -> Replacement | None:
    """Returns cross_entropy in the place of a difference, a look-up or a sum that computes it."""
    if not is_fixed_float(node.results[0]) or not is_fixed_float(node.operands[0]):
        return None
    found = FORMS[node.name](node)
    if found is None or found.kept_because or context.device.platform != "cpu":
        return found
    return replace(found, kept_because=_gains_nothing(node, found))


def _gains_nothing(node: Node, found: Replacement) -> str:
    """Returns why a form stays on CPU, where its gradient was measured against the op's on one core."""
    logits = shape(found.operands[0])
    if node.name == "jax.sub" and logits[-1] > FEW_CLASSES:
        return (
            f"the gradient of logsumexp(x) - x[label] over {logits[-1]} classes took 0.6 to 0.9 of the op's "
            f"time; the op pays up to {FEW_CLASSES}"
        )
    if dtype(found.operands[1]) == dtype(found.value) and _size(logits) < MANY_LOGITS:
        return (
            f"the gradient for {_size(logits)} logits and soft labels took 0.7 to 0.95 of the op's time; the "
            f"op pays from {MANY_LOGITS}"
        )
    return ""


# -- the three forms -----------------------------------------------------------------------------------


def _of_difference(node: Node) -> Replacement | None:
    """logsumexp(x) - x[label]."""
    picked = _picked(node.operands[1])
    if picked is None or shape(node.operands[0]) != shape(node.results[0]):
        return None
    normaliser = _log_sum_exp(node.operands[0], picked.source)
    if normaliser is None:
        return None
    nodes = (node, *picked.nodes, *normaliser)
    return _replacement(node, picked, 1, nodes)


def _of_look_up(node: Node) -> Replacement | None:
    """log_softmax(x)[label], which is minus the loss."""
    picked = _picked(node.results[0])
    if picked is None or picked.nodes[0] is not node:
        return None
    found = find_log_softmax(picked.source)
    if found is None or found.axis != len(shape(found.x)) - 1:
        return None
    of_logits = _Picked(found.x, picked.index, picked.outside, picked.nodes)
    return _replacement(node, of_logits, -1, (*picked.nodes, *found.nodes))


def _of_sum(node: Node) -> Replacement | None:
    """sum(log_softmax(x) * y) over the classes, and perhaps over rows: minus the loss."""
    last = len(shape(node.operands[0])) - 1
    if last not in param(node, "axes"):
        return None
    passed: list[Node] = [node]
    terms = _through_casts(node.operands[0], passed)
    product = made_by(terms, "mul", "select_n")
    if product is None:
        return None
    if product.name == "jax.select_n":
        return _of_chosen_sum(node, product, passed)
    for i in (0, 1):
        behind = list(passed)
        found = _log_softmax_of_rows(_through_casts(product.operands[i], behind))
        soft = product.operands[1 - i]
        if found is None or shape(soft) != shape(found.x):
            continue
        nodes = (*behind, product, *found.nodes)
        index = _label_of_one_hot(soft)
        if index is not None:
            return _replacement(node, _Picked(found.x, index, "none", ()), -1, nodes)
        if dtype(soft) == dtype(product.results[0]):
            build = partial(_soft_loss, rows=_rows_summed(node), dtype=_dtype_of(node))
            return _replaced(node, (found.x, soft), build, nodes)
    return None


def _of_chosen_sum(node: Node, chosen: Node, passed: list[Node]) -> Replacement | None:
    """sum(where(y == classes, log_softmax(x), 0)), which is minus the loss."""
    which, other, log_p = chosen.operands[0], chosen.operands[1], chosen.operands[-1]
    found = _log_softmax_of_rows(log_p)
    index = _label_compared(which)
    if found is None or index is None or constant_number(other) != 0:
        return None
    nodes = (*passed, chosen, *found.nodes)
    return _replacement(node, _Picked(found.x, index, "none", ()), -1, nodes)


def _log_softmax_of_rows(value: SSAValue) -> Softmax | None:
    found = find_log_softmax(value)
    return found if found is not None and found.axis == len(shape(found.x)) - 1 else None


def _through_casts(value: SSAValue, passed: list[Node]) -> SSAValue:
    node = made_by(value, "convert_element_type")
    while node is not None and is_fixed_float(node.operands[0]):
        passed.append(node)
        value = node.operands[0]
        node = made_by(value, "convert_element_type")
    return value


def _rows_summed(node: Node) -> tuple[int, ...]:
    """Returns the axes, beside the classes, that a sum goes over."""
    last = len(shape(node.operands[0])) - 1
    return tuple(int(a) for a in param(node, "axes") if a != last) if node.name in SUMS else ()


def _dtype_of(node: Node) -> str:
    return str(dtype(node.results[0]))


SUMS = ("jax.reduce_sum",)
FORMS: dict[str, Callable[[Node], Replacement | None]] = {
    "jax.sub": _of_difference,
    "jax.gather": _of_look_up,
    "jax.reduce_sum": _of_sum,
}


def _replacement(node: Node, picked: _Picked, sign: int, nodes: tuple[Node, ...]) -> Replacement:
    build = partial(
        _loss,
        sign=sign,
        outside=picked.outside,
        rows=_rows_summed(node),
        out=tuple(shape(node.results[0])),
        dtype=_dtype_of(node),
    )
    return _replaced(node, (picked.source, picked.index), build, nodes)


def _replaced(
    node: Node,
    operands: tuple[SSAValue, ...],
    build: Callable[..., jax.Array],
    nodes: tuple[Node, ...],
) -> Replacement:
    nodes = tuple(dict.fromkeys(nodes))
    sharded = any(compat.explicitly_sharded(jax_type(x)) for x in operands)
    return Replacement(
        node.results[0],
        operands,
        build,
        nodes=len(nodes),
        kept_because=SHARDED if sharded else "",
        reason="log-probabilities are never whole in memory",
        shared=not closed(nodes, node),
    )


def _loss(
    x: jax.Array,
    index: jax.Array,
    *,
    sign: int,
    outside: str,
    rows: tuple[int, ...],
    out: tuple[int, ...],
    dtype: str,
) -> jax.Array:
    labels, classes = _wide(index).reshape(x.shape[:-1]), x.shape[-1]
    inside = (labels >= 0) & (labels < classes)
    # The op's gradient of a label outside is NaN even where the loss is masked away afterwards.
    nearest = jnp.clip(labels, 0, classes - 1)
    x = x.astype(numerics.wider(x.dtype, dtype))
    loss = registered_op("cross_entropy")(x, nearest, reduction="none")
    if sign == 1 and outside in ("nan", "fixed"):
        loss = loss + _without_label(OUTSIDE_ADDS[outside], x, jnp.where(inside, -1, nearest))
    elif outside == "fixed":
        loss = jnp.where(inside, loss, jax.lax.stop_gradient(loss))
    elif outside != "nearest":
        loss = jnp.where(inside, loss, jnp.asarray(OUTSIDE_ADDS[outside], loss.dtype))
    loss = jnp.sum(loss, axis=rows) if rows else loss
    return (loss if sign == 1 else -loss).reshape(out).astype(dtype)


def _wide(labels: jax.Array) -> jax.Array:
    # The number of classes itself need not fit: 256 classes have labels of 8 bits.
    return labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _without_label(value: float, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns what to add to the loss of rows with a label: a value, and the gradient of x[label].

    Of logsumexp(x) - x[label] with a label outside, the first term alone has a gradient. Rows of label
    -1 get 0.
    """
    return jnp.where(labels >= 0, value, 0.0).astype(x.dtype)


@_without_label.defjvp
def _without_label_jvp(
    value: float, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    x, labels = primals
    classes = jax.lax.broadcasted_iota(labels.dtype, x.shape, x.ndim - 1)
    chosen = classes == jnp.expand_dims(labels, -1)
    return _without_label(value, x, labels), jnp.sum(jnp.where(chosen, tangents[0], 0.0), axis=-1)


def _soft_loss(x: jax.Array, soft: jax.Array, *, rows: tuple[int, ...], dtype: str) -> jax.Array:
    op, wide = registered_op("cross_entropy"), numerics.wider(x.dtype, dtype)
    loss = op(x.astype(wide), soft.astype(wide), reduction="none")
    return -(jnp.sum(loss, axis=rows) if rows else loss).astype(dtype)


OUTSIDE_ADDS = {"nan": float("nan"), "none": 0.0, "fixed": 0.0}


# -- one element per row -------------------------------------------------------------------------------


def _picked(value: SSAValue) -> _Picked | None:
    """Returns what a value picks from the rows of another, seen through axes of size 1."""
    passed: list[Node] = []
    node = made_by(value, *LEAVES_OUT, "gather")
    while node is not None and _only_drops_axes(node):
        passed.append(node)
        value = node.operands[0]
        node = made_by(value, *LEAVES_OUT, "gather")
    if node is None or node.name != "jax.gather" or param(node, "mode") not in OUTSIDE:
        return None
    index = _label_index(node) if is_fixed_float(node.operands[0]) else None
    if index is None:
        return None
    mode = OUTSIDE[param(node, "mode")]
    if mode == "nan" and param(node, "fill_value") is not None:
        mode = "nan" if np.isnan(param(node, "fill_value")) else ""
    return _Picked(node.operands[0], index, mode, (*passed, node)) if mode else None


LEAVES_OUT = ("reshape", "squeeze")


def _only_drops_axes(node: Node) -> bool:
    """Returns whether a node only drops axes of size 1: a reshape, or x[..., 0]."""
    before = shape(node.operands[0])
    if node.name != "jax.gather":
        return [n for n in before if n != 1] == [n for n in shape(node.results[0]) if n != 1]
    at = constant_value(node.operands[1])
    return (
        at is not None
        and not at.any()
        and tuple(param(node, "slice_sizes")) == before
        and [n for n in before if n != 1] == [n for n in shape(node.results[0]) if n != 1]
    )


def _label_index(gather: Node) -> SSAValue | None:
    """Returns the index of a gather of one element per row of its operand, along the last axis."""
    source, indices = gather.operands
    numbers, rows = param(gather, "dimension_numbers"), shape(source)[:-1]
    last = len(rows)
    if any(n != 1 for n in param(gather, "slice_sizes")) or last < 0:
        return None
    if tuple(numbers.start_index_map) == (last,):
        batches = tuple(range(last))
        aligned = (
            tuple(numbers.operand_batching_dims) == batches
            and tuple(numbers.start_indices_batching_dims) == batches
        )
        return indices if aligned and _size(shape(indices)) == _size(rows) else None
    if tuple(numbers.start_index_map) != tuple(range(last + 1)):
        return None
    return _last_column(indices, rows)


def _last_column(indices: SSAValue, rows: tuple[int, ...]) -> SSAValue | None:
    """Returns the last part of (i, j, ..., label) if the others are the row's own numbers."""
    joined = made_by(indices, "concatenate")
    if joined is None or param(joined, "dimension") != len(rows):
        return None
    *own, label = joined.operands
    if len(own) != len(rows) or any(shape(x) != (*rows, 1) for x in joined.operands):
        return None
    for axis, value in enumerate(own):
        held = constant_value(value)
        count = np.arange(rows[axis]).reshape(
            [-1 if i == axis else 1 for i in range(len(rows) + 1)]
        )
        if held is None or not np.array_equal(np.broadcast_to(held, count.shape), count):
            return None
    return label


def _label_of_one_hot(soft: SSAValue) -> SSAValue | None:
    """Returns the labels of which a value is the one-hot encoding along its last axis."""
    cast = made_by(soft, "convert_element_type")
    return None if cast is None else _label_compared(cast.operands[0])


def _label_compared(flags: SSAValue) -> SSAValue | None:
    """Returns the labels of `labels[..., None] == arange(classes)`."""
    equal = made_by(flags, "eq")
    if equal is None:
        return None
    *rows, classes = shape(flags)
    for i in (0, 1):
        label, held = equal.operands[1 - i], constant_value(equal.operands[i])
        if held is None or held.ndim == 0 or held.size != classes or held.shape[-1] != classes:
            continue
        counts = np.array_equal(held.ravel(), np.arange(classes))
        if counts and shape(label) == (*rows, 1) and jnp.issubdtype(dtype(label), jnp.integer):
            return label
    return None


def _size(sizes: tuple[int, ...]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


# -- log sum exp ---------------------------------------------------------------------------------------


def _log_sum_exp(value: SSAValue, x: SSAValue) -> tuple[Node, ...] | None:
    """Returns the nodes that make a value log sum exp(x) along the last axis of x, None if it is not that."""
    axes = Axes()
    rows: Labels = tuple(axes.label(n) for n in shape(x)[:-1])
    labels = axes.regrouped(rows, shape(value))
    if labels is None:
        return None
    nodes: list[Node] = []
    total, at = through_casts(axes, value, labels, nodes)
    shift: tuple[SSAValue, Labels] | None = None
    node = made_by(total, "add")
    if node is not None:
        nodes.append(node)
        side = next((i for i in (0, 1) if _ends_in_log(axes, node.operands[i], at)), None)
        if side is None:
            return None
        shift = seen_through(axes, node.operands[1 - side], at, nodes)
        total, at = through_casts(axes, node.operands[side], at, nodes)
    logarithm = made_by(total, "log")
    if logarithm is None:
        return None
    nodes.append(logarithm)
    return _summed_exponentials(axes, logarithm.operands[0], at, x, rows, shift, nodes)


def _ends_in_log(axes: Axes, value: SSAValue, labels: Labels) -> bool:
    return made_by(through_casts(axes, value, labels, [])[0], "log") is not None


def _summed_exponentials(
    axes: Axes,
    total: SSAValue,
    at: Labels,
    x: SSAValue,
    rows: Labels,
    shift: tuple[SSAValue, Labels] | None,
    nodes: list[Node],
) -> tuple[Node, ...] | None:
    """Returns the nodes of sum exp(x - shift) along the last axis of x, with those given."""
    total, at = through_casts(axes, total, at, nodes, {"abs"})  # of a sum of exponentials: itself
    reduction = made_by(total, "reduce_sum")
    last = len(rows)
    if reduction is None or tuple(param(reduction, "axes")) != (last,):
        return None
    if [axes.resolved(a) for a in at] != [axes.resolved(a) for a in rows]:
        return None
    nodes.append(reduction)
    labels = (*rows, axes.label(shape(x)[-1]))
    inner, labels = through_casts(axes, reduction.operands[0], labels, nodes)
    weights = made_by(inner, "exp")
    if weights is None:
        return None
    nodes.append(weights)
    if shift is None:
        return tuple(nodes) if weights.operands[0] is x and not narrows(nodes, x) else None
    difference = made_by(weights.operands[0], "sub")
    if difference is None or difference.operands[0] is not x:
        return None
    nodes.append(difference)
    keyed = (*(rows if shape(difference.operands[1]) else ()), ())[
        : len(shape(difference.operands[1]))
    ]
    taken, taken_at = seen_through(axes, difference.operands[1], keyed, nodes)
    same = [axes.resolved(a) for a in taken_at] == [axes.resolved(a) for a in shift[1]]
    same = same and taken is shift[0]
    return tuple(nodes) if same and not narrows(nodes, x) else None


CROSS_ENTROPY = Rule("cross_entropy", frozenset(FORMS), match_cross_entropy)
