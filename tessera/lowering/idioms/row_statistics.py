"""Reading means, variances and row vectors in a graph, with every axis followed through views.

A value of shape (a, b, 1) may be the mean of x[a, b, n] over its last axis, or over another axis of the same
size, put in its place by a reshape. Only the axes tell, so a value is read here together with where its axes
lie in the array that is looked at.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
from xdsl.ir import SSAValue

from tessera.core import numerics
from tessera.ir.graph import Node, constant_of, node_of
from tessera.lowering.match import (
    KEPT,
    MOST_VIEWS,
    NUMBER_VIEWS,
    dtype,
    is_floating,
    made_by,
    number,
    param,
    shape,
    through,
)

Axes = tuple[int | None, ...]

MOST_CLIPS = 8  # steps around a variance that cannot change it
MOST_COMPUTED = 8  # steps that compute a number, one behind the other
BROADCAST = frozenset({"broadcast_in_dim"})


@dataclass(frozen=True)
class Seen:
    """A value as it appears in an array: axis i of the array is axis `axes[i]` of the value.

    None stands for an axis along which the value is repeated.
    """

    value: SSAValue
    axes: Axes


@dataclass(frozen=True)
class Mean:
    """The mean of `of` over `over`, aligned with the other axes of `of`."""

    of: SSAValue
    over: tuple[int, ...]


def whole(value: SSAValue) -> Seen:
    """Returns a value seen as itself."""
    return Seen(value, tuple(range(len(shape(value)))))


def operands(node: Node, axes: Axes) -> Iterator[Seen]:
    """Yields the operands of an elementwise node seen with these axes; a scalar has none."""
    for x in node.operands:
        yield Seen(x, axes if shape(x) else (None,) * len(axes))


def behind_views(seen: Seen, *, exact: bool = False) -> Seen:
    """Returns what is seen behind casts of floats and steps that add, drop or repeat axes.

    `exact` stops at casts that round.
    """
    for _ in range(MOST_VIEWS):
        node = node_of(seen.value)
        read = None if node is None else VIEWED.get(node.name)
        if node is None or read is None:
            break
        inner = read(node)
        if inner is None or (exact and _rounds(node)):
            break
        seen = Seen(node.operands[0], tuple(None if a is None else inner[a] for a in seen.axes))
    return seen


def origin(value: SSAValue) -> SSAValue:
    """Returns the value seen behind casts that lose nothing, and behind `x - 0`."""
    for _ in range(MOST_VIEWS):
        node = made_by(value, "convert_element_type", "sub")
        if node is None or not _changes_nothing(node):
            break
        value = node.operands[0]
    return value


def _changes_nothing(node: Node) -> bool:
    if node.short_name == "convert_element_type":
        return holds(dtype(node.results[0]), dtype(node.operands[0]))
    return constant(node.operands[1]) == 0 and _same_type(node)


@lru_cache(KEPT)
def holds(wide: Any, narrow: Any) -> bool:
    """Returns whether every number of one float dtype is one of another.

    >>> holds(jnp.float32, jnp.bfloat16), holds(jnp.float16, jnp.bfloat16)
    (True, False)
    """
    both_float = is_floating(wide) and is_floating(narrow)
    return both_float and numerics.wider(wide, narrow) == jnp.dtype(wide)


def mean_of(seen: Seen) -> Mean | None:
    """Returns the mean a value is, if it lies over the other axes of the array it was taken of."""
    found = behind_views(seen)
    total = _times_number(found)
    if total is None:
        return None
    summed, scale = total
    summed = behind_views(summed)
    node = made_by(summed.value, "reduce_sum")
    if node is None:
        return None
    x = node.operands[0]
    over = tuple(sorted(int(a) for a in param(node, "axes")))
    sizes = [shape(x)[a] for a in over]
    if not all(isinstance(size, int) for size in sizes):
        return None
    if not _close(scale * math.prod(sizes), 1.0, dtype(found.value)):
        return None
    kept = [a for a in range(len(shape(x))) if a not in over]
    axes = [None if a is None else kept[a] for a in summed.axes]
    return Mean(x, over) if _aligned(axes, over, shape(x)) else None


def variance_of(seen: Seen) -> Mean | None:
    """Returns the array whose variance a value is, and the axes; clipped at 0 or not.

    Both the mean of squares of what is centred and E[x^2] - E[x]^2; the divisor is the number of elements.
    """
    seen = unclipped(seen)
    squared = mean_square_of(seen)
    if squared is not None:
        centred = centred_of(squared.of)
        return centred if centred is not None and centred.over == squared.over else None
    node = made_by(seen.value, "sub")
    if node is None:
        return None
    first, second = operands(node, seen.axes)
    squared, mean = mean_square_of(first), _squared(behind_views(second))
    mean = None if mean is None else mean_of(mean)
    if squared is None or mean is None or mean.over != squared.over:
        return None
    x = origin(squared.of)
    return Mean(x, mean.over) if origin(mean.of) is x else None


def mean_square_of(seen: Seen) -> Mean | None:
    """Returns the array whose mean of squares a value is, and the axes."""
    mean = mean_of(seen)
    if mean is None:
        return None
    squared = _squared(whole(origin(mean.of)))
    return None if squared is None else Mean(origin(squared.value), mean.over)


def centred_of(value: SSAValue) -> Mean | None:
    """Returns x and the axes if a value is x - mean(x)."""
    node = made_by(origin(value), "sub")
    if node is None:
        return None
    x, subtracted = operands(node, whole(node.results[0]).axes)
    mean = mean_of(subtracted)
    if mean is None or origin(mean.of) is not origin(x.value):
        return None
    return Mean(origin(x.value), mean.over)


def unclipped(seen: Seen) -> Seen:
    """Returns a variance as it was before what cannot change it.

    That is max(0, ...), and the test of `jnp.var` whether there are elements at all.
    """
    seen = behind_views(seen)
    for _ in range(MOST_CLIPS):
        node = made_by(seen.value, "max", "select_n")
        inner = None if node is None else _kept_side(node, seen.axes)
        if inner is None:
            break
        seen = behind_views(inner)
    return seen


def _kept_side(node: Node, axes: Axes) -> Seen | None:
    """Returns the operand that max(0, x), or a choice by a constant, gives back where x is a variance."""
    sides = list(operands(node, axes))
    if node.short_name == "max":
        zeros = [constant(side.value) == 0 for side in sides]
        return sides[1 - zeros.index(True)] if any(zeros) else None
    which = _constant_test(node.operands[0])
    return None if which is None or len(sides) != 3 else sides[1 + which]


def is_row(seen: Seen, over: tuple[int, ...], sizes: tuple[Any, ...]) -> bool:
    """Returns whether a value, seen behind its views, holds one number per element of the axes `over`."""
    held = shape(seen.value)
    axes = [None if a is None or held[a] == 1 else a for a in seen.axes]
    along = [axes[a] for a in over if sizes[a] != 1]
    across = [axes[a] for a in range(len(sizes)) if a not in over]
    if None in along or any(a is not None for a in across):
        return False
    return along == [i for i, size in enumerate(held) if size != 1]


# -- views ---------------------------------------------------------------------------------------------


def _of_broadcast(node: Node) -> list[int | None] | None:
    if len(node.operands) != 1:
        return None
    lengths, result = shape(node.operands[0]), shape(node.results[0])
    axes: list[int | None] = [None] * len(result)
    for i, a in enumerate(param(node, "broadcast_dimensions")):
        axes[a] = i if lengths[i] == result[a] else None
    return axes


def _of_reshape(node: Node) -> list[int | None] | None:
    """Returns where the axes come from if a reshape only adds or drops axes of size 1."""
    if len(node.operands) != 1:
        return None
    lengths, result = shape(node.operands[0]), shape(node.results[0])
    kept = [i for i, size in enumerate(lengths) if size != 1]
    if [lengths[i] for i in kept] != [size for size in result if size != 1]:
        return None
    rest = iter(kept)
    return [None if size == 1 else next(rest) for size in result]


def _of_squeeze(node: Node) -> list[int | None] | None:
    dropped = {int(a) for a in param(node, "dimensions")}
    return [i for i in range(len(shape(node.operands[0]))) if i not in dropped]


def _of_cast(node: Node) -> list[int | None] | None:
    # An integer or a flag has no place where a float was, and a float may have been cut off before.
    return _of_same(node) if is_floating(dtype(node.operands[0])) else None


def _rounds(node: Node) -> bool:
    before, after = dtype(node.operands[0]), dtype(node.results[0])
    return before != after and not holds(after, before)


def _of_same(node: Node) -> list[int | None] | None:
    return list(range(len(shape(node.results[0]))))


# For each step that only rearranges: the axis of its operand every axis of its result is.
VIEWED: dict[str, Callable[[Node], list[int | None] | None]] = {
    "jax.broadcast_in_dim": _of_broadcast,
    "jax.reshape": _of_reshape,
    "jax.squeeze": _of_squeeze,
    "jax.copy": _of_same,
    "jax.convert_element_type": _of_cast,
}


def _aligned(axes: list[int | None], over: tuple[int, ...], sizes: tuple[Any, ...]) -> bool:
    if len(axes) != len(sizes):
        return False
    expected = [None if a in over or size == 1 else a for a, size in enumerate(sizes)]
    return expected == [None if sizes[i] == 1 else a for i, a in enumerate(axes)]


# -- arithmetic ----------------------------------------------------------------------------------------


def _times_number(seen: Seen) -> tuple[Seen, float] | None:
    """Returns (x, c) if a value is x * c, c * x or x / c."""
    node = made_by(seen.value, "mul", "div")
    if node is None:
        return None
    a, b = operands(node, seen.axes)
    divisor = constant(b.value)
    if node.short_name == "div":
        return None if not divisor else (a, 1.0 / divisor)
    if divisor is not None:
        return a, divisor
    factor = constant(a.value)
    return None if factor is None else (b, factor)


def _squared(seen: Seen) -> Seen | None:
    node = made_by(seen.value, "square", "integer_pow", "mul")
    if node is None:
        return None
    if node.short_name == "integer_pow" and param(node, "y") != 2:
        return None
    sides = list(operands(node, seen.axes))
    if node.short_name == "mul" and origin(sides[0].value) is not origin(sides[1].value):
        return None
    return sides[0]


def constant(value: SSAValue, depth: int = MOST_COMPUTED) -> float | None:
    """Returns the number a value is a constant of, also where it is computed from constants."""
    value = through(value, NUMBER_VIEWS)
    node = node_of(value)
    if node is None:
        return number(value)
    compute = COMPUTED.get(node.name)
    if compute is None or depth == 0:
        return None
    held: list[float] = []
    for x in node.operands:
        found = constant(x, depth - 1)
        if found is None:
            return None  # mostly the first operand, so that a long sum costs `depth` steps
        held.append(found)
    try:
        return compute(*held)
    except ArithmeticError:
        return None


COMPUTED: dict[str, Callable[..., float]] = {
    "jax.add": lambda a, b: a + b,
    "jax.sub": lambda a, b: a - b,
    "jax.mul": lambda a, b: a * b,
    "jax.div": lambda a, b: a / b,
    "jax.max": max,
    "jax.neg": lambda a: -a,
    "jax.sqrt": lambda a: a**0.5 if a >= 0 else math.nan,
    "jax.rsqrt": lambda a: a**-0.5 if a > 0 else math.nan,
}


def _constant_test(value: SSAValue) -> int | None:
    """Returns 1 or 0 for a condition `a > b` of constants, or a constant condition."""
    value = through(value, BROADCAST)
    if constant_of(value) is not None:
        found = number(value)
        return None if found is None else int(bool(found))
    node = made_by(value, "gt")
    if node is None:
        return None
    a, b = (constant(x) for x in node.operands)
    return None if a is None or b is None else int(a > b)


def _close(found: float, wanted: float, of: Any) -> bool:
    """Returns whether a constant is another one, to its rounding in a dtype."""
    return abs(found - wanted) <= float(jnp.finfo(of).eps) * abs(wanted)


def _same_type(node: Node) -> bool:
    before, after = node.operands[0], node.results[0]
    return shape(before) == shape(after) and dtype(before) == dtype(after)
