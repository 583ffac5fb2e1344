"""relu(x @ w + b) + r  →  tessera.graph.matmul with bias, activation and residual.

The product may be a `dot_general` with its result transposed (Equinox multiplies from the left under `vmap`),
with several contracted axes (Flax's `DenseGeneral`), or a matmul raised before: each step of the rule takes
one word more into the node, in the order bias, activation, residual.

A product alone stays `jax.dot_general`: the op would hand XLA the same product, and the name tells less.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from xdsl.ir import SSAValue

from tessera.core import compat
from tessera.core.op import registered_op
from tessera.ir.graph import OP_PREFIX, Node, jax_type
from tessera.lowering.idioms.activations import activation_of
from tessera.lowering.idioms.row_statistics import (
    Seen,
    behind_views,
    constant,
    is_row,
    operands,
    whole,
)
from tessera.lowering.match import (
    are_read_elsewhere,
    dtype,
    made_by,
    nodes_between,
    param,
    shape,
)
from tessera.lowering.rule import Context, Replacement, Rule

MATMUL = OP_PREFIX + "matmul"
SHARDED = "an operand is sharded over Explicit axes, across which the op's form would reshape"
STAGES = ("bias", "activation", "residual")
STATICS = ("accumulate", "out_dtype", "precision", "tile_shape")  # that a product keeps


@dataclass(frozen=True)
class Layout:
    """How a `dot_general` is the product of a matrix of rows and one of columns.

    The first operand has its contracted axes last; `columns` is the permutation of the second that puts them
    first. `free` counts the axes of the result that come from the second, `batch` the leading axes both have.
    """

    columns: tuple[int, ...]
    contracted: int
    free: int
    batch: int


@dataclass(frozen=True)
class Product:
    """A product, plain or raised before, as part of an epilogue: its result, operands and what it has."""

    node: Node  # that makes `value`
    value: SSAValue
    rows: SSAValue
    columns: SSAValue
    layout: Layout | None  # None for a raised one
    bias: SSAValue | None = None
    activation: str | None = None
    residual: SSAValue | None = None
    statics: tuple[tuple[str, Any], ...] = ()

    @property
    def stage(self) -> int:
        """The number of the first word that can still be added."""
        has = (self.bias is not None, self.activation is not None, self.residual is not None)
        return max((i + 1 for i, given in enumerate(has) if given), default=0)


def match_epilogue(node: Node, context: Context) -> Replacement | None:
    """Returns a matmul in the place of a product and the bias, activation or residual that follows it."""
    if node.name == "jax.add":
        return _with_bias(node) or _with_residual(node)
    return _with_activation(node, context)


def _with_bias(node: Node) -> Replacement | None:
    for product, seen in _products(node):
        if product.stage > STAGES.index("bias"):
            continue
        bias = behind_views(seen, exact=True)
        over = _column_axes(product)
        if is_row(bias, over, shape(node.results[0])):
            return _replaced(node, product, "bias", extra=bias.value)
    return None


def _with_residual(node: Node) -> Replacement | None:
    for product, seen in _products(node):
        if product.stage > STAGES.index("residual"):
            continue
        if shape(seen.value) == shape(product.value):
            return _replaced(node, product, "residual", extra=seen.value)
    return None


def _with_activation(node: Node, context: Context) -> Replacement | None:
    found = _rectified(node) if node.name == "jax.max" else activation_of(node)
    if found is None:
        return None
    word, x = found
    product = _product(x)
    if product is None or product.stage > STAGES.index("activation"):
        return None
    if _is_read_outside(x, node):
        return None  # what follows a product that is read twice is no epilogue
    kept = ""
    if node.name == "jax.max":
        kept = (
            "the derivative of maximum(x, 0) at 0 is 1/2, that of a fused relu 0: use jax.nn.relu"
        )
    if word == "gelu" and context.device.platform == "cpu":
        kept = "the backward of a fused gelu computes erfc again: 0.95 of the speed on CPU"
    return _replaced(node, product, word, kept=kept)


def _rectified(node: Node) -> tuple[str, SSAValue] | None:
    """Returns ("relu", x) of max(x, 0)."""
    for x, other in (node.operands, reversed(node.operands)):
        if constant(other) == 0.0:
            return "relu", x
    return None


def _products(node: Node) -> list[tuple[Product, Seen]]:
    """Returns the operands of a sum that are products read only here, each with the other operand."""
    value = node.results[0]
    sides = list(operands(node, whole(value).axes))
    found: list[tuple[Product, Seen]] = []
    for one, other in ((0, 1), (1, 0)):
        product = _product(sides[one].value)
        if product is None or not product.value.has_one_use():
            continue
        if shape(product.value) == shape(value) and _same_dtype(product.value, value, sides[other]):
            found.append((product, sides[other]))
    return found


def _same_dtype(a: SSAValue, b: SSAValue, seen: Seen) -> bool:
    return dtype(a) == dtype(b) == dtype(seen.value)


def _is_read_outside(x: SSAValue, node: Node) -> bool:
    """Returns whether something beside an activation reads its argument, or a part of it."""
    inside = nodes_between(node, x)
    return are_read_elsewhere(inside, node) or any(u.operation not in inside for u in x.uses)


# -- products ------------------------------------------------------------------------------------------


def _product(value: SSAValue) -> Product | None:
    raised = made_by(value, MATMUL)
    if raised is not None:
        return _raised_product(raised)
    turned = made_by(value, "transpose")
    dot = made_by(value if turned is None else turned.operands[0], "dot_general")
    if dot is None or not _is_plain(dot) or len(shape(value)) < 2:
        return None
    if turned is not None and not dot.results[0].has_one_use():
        return None
    order = tuple(range(len(shape(value))))
    order = order if turned is None else tuple(int(a) for a in param(turned, "permutation"))
    a, b = dot.operands
    node = dot if turned is None else turned
    for swapped in (False, True):
        layout = _layout(dot, order, swapped)
        if layout is not None:
            rows, columns = (b, a) if swapped else (a, b)
            return Product(node, value, rows, columns, layout)
    return None


def _raised_product(node: Node) -> Product | None:
    if param(node, "algorithm") is not None:
        return None
    given = iter(node.operands)
    rows, columns, bias, residual = (
        next(given) if there else None for there in param(node, "present")
    )
    assert rows is not None
    assert columns is not None
    statics = tuple((name, param(node, name)) for name in STATICS)
    activation = param(node, "activation")
    if not jnp.issubdtype(dtype(node.results[0]), jnp.floating):
        return None
    return Product(node, node.results[0], rows, columns, None, bias, activation, residual, statics)


def _is_plain(dot: Node) -> bool:
    """Returns whether a product is of one float dtype throughout and asks for no precision of its own.

    A result wider than the operands is left alone: the backward of the op rounds to their dtype.
    """
    kinds = {dtype(x) for x in (*dot.operands, *dot.results)}
    if len(kinds) != 1 or not jnp.issubdtype(kinds.pop(), jnp.floating):
        return False
    return param(dot, "precision") in PLAIN and param(dot, "out_sharding") is None


PLAIN = (None, (lax.Precision.DEFAULT, lax.Precision.DEFAULT))


def _layout(dot: Node, order: tuple[int, ...], swapped: bool) -> Layout | None:
    """Returns the layout in which a product's axes, put in this order, are those of a matmul.

    Only the second matrix may be transposed, which costs nothing; `swapped` takes the left one for it.
    """
    contracted, batch = param(dot, "dimension_numbers")
    which = (1, 0) if swapped else (0, 1)
    sums = [tuple(int(a) for a in contracted[i]) for i in which]
    shared = [tuple(int(a) for a in batch[i]) for i in which]
    ranks = [len(shape(dot.operands[i])) for i in which]
    free = [
        [a for a in range(rank) if a not in (*s, *b)]
        for rank, s, b in zip(ranks, sums, shared, strict=True)
    ]
    if not sums[0] or not free[0] or not free[1]:
        return None
    if _result_order(len(shared[0]), free, swapped) != order:
        return None
    return _matrices(sums, shared, free)


def _result_order(batch: int, free: list[list[int]], swapped: bool) -> tuple[int, ...]:
    """Returns the axes of a dot's result as batch, then those of the rows, then those of the columns."""
    rows, columns = len(free[0]), len(free[1])
    if not swapped:
        return tuple(range(batch + rows + columns))
    first = range(batch + columns, batch + columns + rows)
    return (*range(batch), *first, *range(batch, batch + columns))


def _matrices(
    sums: list[tuple[int, ...]], shared: list[tuple[int, ...]], free: list[list[int]]
) -> Layout | None:
    batch, count = len(shared[0]), len(sums[0])
    rows = (*shared[0], *free[0], *sorted(sums[0]))
    if rows != tuple(range(len(rows))):
        return None  # transposing the rows would copy them
    if batch and (count, len(free[0]), len(free[1])) != (1, 1, 1):
        return None
    if batch and shared[1] != tuple(range(batch)):
        return None
    partner = [sums[1][sums[0].index(a)] for a in sorted(sums[0])]
    columns = (*shared[1], *partner, *free[1])
    return Layout(columns, count, len(free[1]), batch)


def _column_axes(product: Product) -> tuple[int, ...]:
    """Returns the axes of the result along which a bias varies."""
    rank = len(shape(product.value))
    free = 1 if product.layout is None else product.layout.free
    return tuple(range(rank - free, rank))


# -- what is built -------------------------------------------------------------------------------------


def _replaced(
    node: Node, product: Product, word: str, *, extra: SSAValue | None = None, kept: str = ""
) -> Replacement:
    bias = extra if word == "bias" else product.bias
    residual = extra if word == "residual" else product.residual
    activation = product.activation if word in ("bias", "residual") else word
    given = [x for x in (bias, residual) if x is not None]
    build = partial(
        _matmul,
        layout=product.layout,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
        statics=product.statics,
    )
    return Replacement(
        node.results[0],
        (product.rows, product.columns, *given),
        build,
        nodes=2,
        kept_because=SHARDED if _reshapes_shards(product, bias, residual) else kept,
        reason=f"{word} is applied where the product is written",
    )


def _reshapes_shards(product: Product, bias: SSAValue | None, residual: SSAValue | None) -> bool:
    """Returns whether axes are merged of which one is, or of a result would be, split over devices."""
    layout = product.layout
    merged = [] if bias is None or len(shape(bias)) < 2 else [bias]
    if layout is not None and (layout.contracted > 1 or layout.free > 1):
        merged += [product.rows, product.columns, *([] if residual is None else [residual])]
    return any(compat.explicitly_sharded(jax_type(x)) for x in merged)


def _matmul(
    rows: jax.Array,
    columns: jax.Array,
    *given: jax.Array,
    layout: Layout | None,
    has_bias: bool,
    has_residual: bool,
    activation: str | None,
    statics: tuple[tuple[str, Any], ...],
) -> jax.Array:
    rest = iter(given)
    bias = next(rest).reshape(-1) if has_bias else None
    residual = next(rest) if has_residual else None
    result = None
    if layout is not None:
        rows, columns, result = _as_matrices(rows, columns, layout)
        residual = (
            None if residual is None else residual.reshape(*rows.shape[:-1], columns.shape[-1])
        )
    more = dict(statics or (("accumulate", jnp.dtype("float32")),))
    op = registered_op("matmul")
    y = op.bind(rows, columns, bias, residual, activation=activation, **more)
    return y if result is None else y.reshape(result)


def _as_matrices(
    rows: jax.Array, columns: jax.Array, layout: Layout
) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Returns the operands of a matmul, and the shape of the result before axes were merged."""
    columns = columns.transpose(layout.columns)
    lead = rows.shape[: rows.ndim - layout.contracted]
    tail = columns.shape[columns.ndim - layout.free :]
    total = math.prod(rows.shape[rows.ndim - layout.contracted :])
    if layout.contracted > 1:
        rows = rows.reshape(*lead, total)
    if layout.contracted > 1 or layout.free > 1:
        columns = columns.reshape(*columns.shape[: layout.batch], total, math.prod(tail))
    return rows, columns, (*lead, *tail)


ROOTS = frozenset(
    {
        *(f"jax.{name}" for name in ("add", "custom_jvp_call", "select_n", "logistic", "tanh")),
        *("jax.mul", "jax.div", "jax.max"),
        *(OP_PREFIX + name for name in ("relu", "gelu", "silu", "tanh", "sigmoid")),
    }
)
MATMUL_EPILOGUE = Rule("matmul_epilogue", ROOTS, match_epilogue)
