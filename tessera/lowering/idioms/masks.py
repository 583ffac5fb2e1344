"""What hides a score, read from a graph: where(mask, s, -1e9), s + (1 - mask) * -1e9, and what made the mask.

A mask is taken apart at its conjunctions, `where(m, n, False)` and casts, so that a causal part can be told
from a padding part.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from xdsl.ir import SSAValue

from tessera.ir.graph import Node, node_of
from tessera.lowering.axes import Axes, Labels, operand_labels, seen_through
from tessera.lowering.constants import constant_number, constant_value
from tessera.lowering.match import dtype, made_by, shape

# A score this low has weight 0 beside any score a model works with: exp(-1e4) is 0 in every dtype below fp64.
HIDES = -1e4
NESTED = 8  # steps of a mask, one behind the other, that are taken apart
RESHAPED = ("transpose", "reshape", "squeeze", "expand_dims")


@dataclass(frozen=True)
class Mask:
    """A value that shows a score where it is non-zero (`shows`) or where it is zero."""

    value: SSAValue
    labels: Labels
    shows: bool


@dataclass(frozen=True)
class Hidden:
    """One step that hides scores where one of its masks does; `fill` is what they become or are raised by."""

    masks: tuple[Mask, ...]
    fill: float
    added: bool
    alike: bool = True  # False: `fill` is the highest of several


@dataclass(frozen=True)
class Band:
    """The keys a query sees by position alone, counted as flash_attention counts them."""

    causal: bool
    window: int | None


def hidden_by_choice(axes: Axes, node: Node, labels: Labels) -> tuple[Hidden, SSAValue] | None:
    """Returns what `where(mask, scores, low)` hides, and the scores, for a node that computes it."""
    which, *cases = node.operands
    if len(cases) != 2 or not jnp.issubdtype(dtype(which), jnp.bool_):
        return None
    for shows, scores, low in ((True, cases[1], cases[0]), (False, cases[0], cases[1])):
        fill = constant_number(low)
        if fill is not None and fill <= HIDES and shape(scores) == shape(node.results[0]):
            at = operand_labels(labels, shape(which))
            return Hidden(tuple(conjuncts(axes, which, at, shows)), fill, False), scores
    return None


def hidden_by_sum(
    axes: Axes, bias: SSAValue, labels: Labels, sign: int, depth: int = NESTED
) -> list[Hidden] | None:
    """Returns what adding `sign * bias` hides, or None if the bias may do anything but hide."""
    bias, labels = seen_through(axes, bias, labels, [])
    held = constant_value(bias)
    if held is not None:
        return _hidden_by_constant(bias, labels, sign * held)
    node = made_by(bias, "add")
    if node is not None:
        return _hidden_by_terms(axes, node, labels, sign, depth)
    found = _two_valued(axes, bias, labels)
    if found is None:
        return None
    mask, at, off, on = found
    for shows, seen, low in ((True, sign * on, sign * off), (False, sign * off, sign * on)):
        if seen == 0 and low <= HIDES:
            return [Hidden(tuple(conjuncts(axes, mask, at, shows)), low, True)]
    return None


def _hidden_by_terms(
    axes: Axes, total: Node, labels: Labels, sign: int, depth: int
) -> list[Hidden] | None:
    hidden: list[Hidden] = []
    for x in total.operands if depth else ():
        part = hidden_by_sum(axes, x, operand_labels(labels, shape(x)), sign, depth - 1)
        if part is None:
            return None
        hidden += part
    return hidden if depth else None


def _hidden_by_constant(bias: SSAValue, labels: Labels, held: np.ndarray) -> list[Hidden] | None:
    low = held[held != 0]
    if not np.all(low <= HIDES):
        return None
    if low.size == 0:
        return []
    alike = bool(low.max() == low.min())
    return [Hidden((Mask(bias, labels, False),), float(low.max()), True, alike)]


def _two_valued(
    axes: Axes, value: SSAValue, labels: Labels, depth: int = NESTED
) -> tuple[SSAValue, Labels, float, float] | None:
    """Returns (mask, its labels, x where it is False, x where it is True) of a value x that has two."""
    value, labels = seen_through(axes, value, labels, [])
    if is_flag(value):
        return value, labels, 0.0, 1.0
    node = made_by(value, "convert_element_type", "select_n", "mul", "div", "add", "sub", "neg")
    if node is None or depth == 0:
        return None
    if node.name == "jax.select_n":
        which, *cases = node.operands
        numbers = [constant_number(x) for x in cases]
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            return None
        return which, operand_labels(labels, shape(which)), numbers[0], numbers[1]
    return _mapped(axes, node, labels, depth)


def _mapped(
    axes: Axes, node: Node, labels: Labels, depth: int
) -> tuple[SSAValue, Labels, float, float] | None:
    """Returns the two values of a number combined with something that has two values."""
    numbers = [constant_number(x) for x in node.operands]
    varying = [i for i, number in enumerate(numbers) if number is None]
    if len(varying) != 1:
        return None
    inner = node.operands[varying[0]]
    found = _two_valued(axes, inner, operand_labels(labels, shape(inner)), depth - 1)
    if found is None:
        return None
    mask, at, *both = found
    off, on = (_computed(node, [x if n is None else n for n in numbers]) for x in both)
    return mask, at, off, on


def _computed(node: Node, operands: list[float]) -> float:
    if node.name == "jax.convert_element_type":
        with np.errstate(all="ignore"):
            return float(np.asarray(operands[0]).astype(dtype(node.results[0])))
    if node.name == "jax.neg":
        return -operands[0]
    a, b = operands
    with np.errstate(all="ignore"):
        values = {
            "jax.mul": np.float64(a) * b,
            "jax.div": np.float64(a) / b,
            "jax.add": np.float64(a) + b,
            "jax.sub": np.float64(a) - b,
        }
    return float(values[node.name])


def conjuncts(
    axes: Axes, value: SSAValue, labels: Labels, shows: bool, depth: int = NESTED
) -> list[Mask]:
    """Returns masks that together show what `value` shows where it is non-zero (or zero, if not `shows`)."""
    value, labels = seen_through(axes, value, labels, [])
    node = node_of(value)
    parts = None if node is None or depth == 0 else _parts(node, shows)
    if parts is None:
        return [Mask(value, labels, shows)]
    return [
        mask
        for part, part_shows in parts
        for mask in conjuncts(
            axes, part, operand_labels(labels, shape(part)), part_shows, depth - 1
        )
    ]


def _parts(node: Node, shows: bool) -> list[tuple[SSAValue, bool]] | None:
    """Returns the (value, shows) whose conjunction a mask is, or None if it is not taken apart."""
    if not is_flag(node.results[0]):
        return None
    if node.name in (("jax.and", "jax.mul") if shows else ("jax.or",)):
        return [(x, shows) for x in node.operands]
    if node.name == "jax.not":
        return [(node.operands[0], not shows)]
    if node.name == "jax.convert_element_type":
        return [(node.operands[0], shows)] if is_flag(node.operands[0]) else None
    if node.name == "jax.select_n":
        return _chosen_parts(node, shows)
    if node.name in ("jax.ne", "jax.gt", "jax.eq"):
        flag, zero = node.operands
        if is_flag(flag) and constant_number(zero) == 0:
            return [(flag, shows != (node.name == "jax.eq"))]
    return None


def is_flag(value: SSAValue, depth: int = NESTED) -> bool:
    """Returns whether a value is known to be 0 or 1 everywhere, False and True among them."""
    if jnp.issubdtype(dtype(value), jnp.bool_):
        return True
    node = made_by(value, "convert_element_type", "mul", "select_n", "broadcast_in_dim", *RESHAPED)
    if node is None:
        return constant_number(value) in (0.0, 1.0)
    operands = node.operands[1:] if node.name == "jax.select_n" else node.operands
    return depth > 0 and all(is_flag(x, depth - 1) for x in operands)


def _chosen_parts(node: Node, shows: bool) -> list[tuple[SSAValue, bool]] | None:
    """where(a, b, False) is a and b, where(a, False, b) is b unless a; `not shows` swaps False for True."""
    which, *cases = node.operands
    if len(cases) != 2 or not jnp.issubdtype(dtype(which), jnp.bool_):
        return None
    for fixed, other, which_shows in ((cases[0], cases[1], True), (cases[1], cases[0], False)):
        if constant_number(fixed) == float(not shows):
            return [(which, which_shows), (other, shows)]
    return None


# -- masks by position ---------------------------------------------------------------------------------


def shown(mask: Mask) -> np.ndarray | None:
    """Returns which entries a mask shows if it depends on no input; an axis of no influence has size 1."""
    held = constant_value(mask.value)
    return None if held is None else (held != 0) == mask.shows


def band_of(visible: np.ndarray, rows: int, columns: int) -> Band | None:
    """Returns the band a visibility (rows or 1, columns or 1) is exactly, or None.

    >>> band_of(np.tri(3, dtype=bool), 3, 3)
    Band(causal=True, window=None)
    """
    visible = np.broadcast_to(visible, (rows, columns))
    if visible.all():
        return Band(False, None)
    last = int(visible[-1].sum())  # the last query sees the window in full, if it fits at all
    back = np.arange(rows, dtype=np.int32)[:, None] + (columns - rows)
    back = back - np.arange(columns, dtype=np.int32)[None, :]
    for band in (Band(True, None), Band(True, last), Band(False, last)):
        if (band.window is None or band.window > 0) and np.array_equal(
            visible, in_band(band, back)
        ):
            return band
    return None


def in_band(band: Band, back: np.ndarray) -> np.ndarray:
    """Returns whether a key `back` positions before the query is seen."""
    near = np.full(back.shape, True) if band.window is None else back < band.window
    return near & (back >= 0) if band.causal else near
