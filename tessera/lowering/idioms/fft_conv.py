"""A Fourier layer: irfft(corners of W_k rfft(x)_k, zero elsewhere)  →  tessera.graph.spectral_conv.

    f = rfft x;  y = dot_general f[:m] w;  z = 0.at[:m].set(y);  o = irfft z
        →  o = spectral_conv x w.real w.imag

The spectrum is read backwards from the inverse transform as boxes of values at places that are known, whether
scatter, dynamic_update_slice, concatenate, pad or a sum put them there. Each box must be a product of the
modes at its own place with weights of its own, that mixes channels. Channels may stand anywhere; where they
are last in memory the op computes with them last.

A spectrum multiplied as a whole (a filter) stays: nothing is left out there, and XLA's FFT is as fast as any.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax
from xdsl.ir import SSAValue

from tessera.core import compat
from tessera.core.op import registered_op
from tessera.ir.graph import Node, jax_type
from tessera.lowering.constants import constant_value
from tessera.lowering.idioms.fft_conv_reading import (
    Corner,
    Places,
    read_boxes,
    read_corner,
    read_filtered,
)
from tessera.lowering.idioms.softmax import closed
from tessera.lowering.match import dtype, made_by, param, shape
from tessera.lowering.rule import Context, Replacement, Rule

OP = "spectral_conv"
# The fewest elements of the input for which the op pays, measured on one core of a CPU, fp32, chains of four
# layers in one and two dimensions: at 512 it took twice the time of FFTs, at 4096 half to two thirds.
PAYS_FROM = 4096
FILTER = "a filter of the whole spectrum computes every mode, and XLA's FFT is as fast as any"
SHARDED = "operands are sharded over Explicit axes, across which the op's form would reshape"


@dataclass(frozen=True)
class FourierLayer:
    """Computes a Fourier layer that was found, from its input and the weights of each corner.

    `signs` has per corner whether it holds the negative frequencies of each axis but the last; a corner that
    is missing has weights zero. `parts` has per corner which operand its complex weights are, or which two
    its real and imaginary ones: corners may share them. `into` brings the input into the op's form, `back`
    the result out of it.
    """

    signs: tuple[tuple[bool, ...], ...]
    parts: tuple[Places, ...]
    weight_axes: tuple[Places, ...]
    into: Places
    back: Places
    axis: int

    def __call__(self, x: jax.Array, *weights: jax.Array) -> jax.Array:
        """Returns the layer of arrays of the types it was found with."""
        corners: dict[tuple[bool, ...], tuple[jax.Array, jax.Array]] = {}
        for sign, places, axes in zip(self.signs, self.parts, self.weight_axes, strict=True):
            held = [weights[i] for i in places]
            real, imag = held if len(held) == 2 else (jnp.real(held[0]), jnp.imag(held[0]))
            corners[sign] = jnp.transpose(real, axes), jnp.transpose(imag, axes)
        real, imag = (_joined({s: parts[i] for s, parts in corners.items()}) for i in (0, 1))
        y = registered_op(OP).bind(jnp.transpose(x, self.into), real, imag, axis=self.axis)
        return jnp.transpose(y, self.back)


def _joined(corners: dict[tuple[bool, ...], jax.Array]) -> jax.Array:
    """Returns the weights of all corners as one array, axis by axis; missing ones are zero."""
    some = next(iter(corners.values()))
    rank = len(next(iter(corners)))
    held = {
        sign: corners[sign] if sign in corners else jnp.zeros_like(some)
        for sign in product((False, True), repeat=rank)
    }
    for axis in reversed(range(rank)):
        held = {
            sign: jnp.concatenate([held[*sign, False], held[*sign, True]], axis=axis)
            for sign in product((False, True), repeat=axis)
        }
    return held[()]


def match_fft_conv(node: Node, context: Context) -> Replacement | None:
    """Returns a spectral convolution in the place of an inverse transform of mixed modes."""
    if param(node, "fft_type") != lax.FftType.IRFFT or not _is_fixed(node.results[0]):
        return None
    nodes = [node]
    boxes = read_boxes(node.operands[0], nodes)
    if boxes is None:
        return None
    filtered = read_filtered(boxes, node)
    if filtered is not None:
        return _kept(node, filtered, FILTER)
    corners = [read_corner(box, node, nodes) for box in boxes]
    found = [corner for corner in corners if corner is not None]
    if not found or len(found) < len(corners):
        return None
    signs = [_signs(corner, node) for corner in found]
    known = [sign for sign in signs if sign is not None]
    if len(known) < len(signs) or len(set(known)) < len(known) or not _are_alike(found):
        return None
    return _replacement(node, found, known, nodes, context)


def _replacement(
    node: Node,
    corners: Sequence[Corner],
    signs: Sequence[tuple[bool, ...]],
    nodes: list[Node],
    context: Context,
) -> Replacement:
    one = corners[0]
    x = one.forward.operands[0]
    d = len(one.modes)
    grid = tuple(range(len(shape(x)) - d, len(shape(x))))
    last = _channel_is_last(x, one.channel)
    into = (*one.batch, *grid, one.channel) if last else (*one.batch, one.channel, *grid)
    out = (
        (*one.out_batch, *grid, one.out_channel)
        if last
        else (*one.out_batch, one.out_channel, *grid)
    )
    parts = [_parts(corner.weights) for corner in corners]
    weights = list(dict.fromkeys(x for held in parts for x in held))
    build = FourierLayer(
        signs=tuple(signs),
        parts=tuple(tuple(map(weights.index, held)) for held in parts),
        weight_axes=tuple(corner.weight_axes for corner in corners),
        into=into,
        back=tuple(out.index(i) for i in range(len(out))),
        axis=len(into) - 1 if last else len(one.batch),
    )
    operands = (x, *weights)
    inside = tuple(dict.fromkeys(nodes))
    sharded = any(compat.explicitly_sharded(jax_type(v)) for v in operands)
    kept = math.prod(one.modes) * len(corners)
    return Replacement(
        node.results[0],
        operands,
        build,
        nodes=len(inside),
        kept_because=SHARDED if sharded else _gains_nothing(one, build, context),
        reason=f"only {kept} modes of {math.prod(shape(x)[-d:])} points are computed",
        shared=not closed(inside, node),
    )


def _gains_nothing(corner: Corner, build: FourierLayer, context: Context) -> str:
    """Returns why the op would not be faster here, as the op itself says."""
    platform = context.device.platform
    x = jax_type(corner.forward.operands[0])
    taken = jax.ShapeDtypeStruct(tuple(x.shape[i] for i in build.into), x.dtype)
    sizes = [shape(corner.weights)[i] for i in corner.weight_axes]
    kept = [2 * k for k in sizes[:-3]]
    weights = jax.ShapeDtypeStruct((*kept, *sizes[-3:]), x.dtype)
    if math.prod(taken.shape) < PAYS_FROM:
        return f"{math.prod(taken.shape)} elements are few: {OP} pays from {PAYS_FROM}"
    ways = [a for a in registered_op(OP).algorithms.values() if platform in a.platforms]
    if not ways:
        return f"{OP} has nothing faster than XLA's FFTs on {platform}"
    if any(way.when[platform](taken, weights, weights, axis=build.axis) for way in ways):
        return ""
    return f"{math.prod(corner.modes)} modes per corner are many: FFTs of the whole grid are faster"


def _kept(node: Node, x: SSAValue, reason: str) -> Replacement:
    return Replacement(node.results[0], (x,), _never, kept_because=reason)


def _never(x: jax.Array) -> jax.Array:
    raise AssertionError(f"a filter of {jax.typeof(x)} is kept as it is")


def _channel_is_last(x: SSAValue, channel: int) -> bool:
    """Whether a transform's channels are last in memory: JAX moves other axes behind them to transform."""
    moved = made_by(x, "transpose")
    return moved is not None and param(moved, "permutation")[channel] == len(shape(x)) - 1


def _is_fixed(value: SSAValue) -> bool:
    return all(isinstance(n, int) and n > 0 for n in shape(value))


def _are_alike(corners: Sequence[Corner]) -> bool:
    """Whether corners differ in nothing but their place and weights."""
    first = corners[0]
    same = [
        replace(c, start=first.start, weights=first.weights, weight_axes=first.weight_axes)
        for c in corners
    ]
    return all(c == first for c in same)


def _signs(corner: Corner, inverse: Node) -> tuple[bool, ...] | None:
    """Returns whether a corner holds negative frequencies, per axis but the last; None if it is no corner."""
    lengths = param(inverse, "fft_lengths")
    if corner.start[-1] != 0:
        return None
    signs: list[bool] = []
    for start, m, n in zip(corner.start[:-1], corner.modes[:-1], lengths[:-1], strict=True):
        if 2 * m > n or start not in (0, n - m):
            return None
        signs.append(start != 0)
    return tuple(signs)


# -- what weights are made of ---------------------------------------------------------------------------


def _parts(weights: SSAValue) -> tuple[SSAValue, ...]:
    """Returns the real and imaginary values weights were made of, or the weights themselves."""
    made = made_by(weights, "complex")
    if made is not None:
        return tuple(made.operands)
    made = made_by(weights, "add")
    if made is not None:
        for real, imag in (made.operands, made.operands[::-1]):
            a, b = _as_real(real), _times_i(imag)
            if a is not None and b is not None:
                return a, b
    return (weights,)


def _as_real(value: SSAValue) -> SSAValue | None:
    cast = made_by(value, "convert_element_type")
    if cast is None or not jnp.issubdtype(dtype(cast.operands[0]), jnp.floating):
        return None
    return cast.operands[0]


def _times_i(value: SSAValue) -> SSAValue | None:
    times = made_by(value, "mul")
    if times is None:
        return None
    for unit, rest in (times.operands, times.operands[::-1]):
        found = constant_value(unit)
        if found is not None and found.size == 1 and complex(found.reshape(())) == 1j:
            return _as_real(rest)
    return None


FFT_CONV = Rule("fft_conv", frozenset({"jax.fft"}), match_fft_conv)
