"""Correctly rounded sums and dot products, accumulated in integers: no order of the terms can change a bit.

A term is an integer, its significand, times a power of two. The powers of two are cut into limbs as wide as a
significand. The sum of what the terms have in one limb is a sum of integers, which XLA may order, vectorise
and spread over devices as it likes. Limbs are added one by one, the lowest that holds anything first, with a
carry to the next; so wide a range of magnitudes costs as many passes over the terms as it has limbs, and
ordinary data two or three. What is kept of the digits (three of them and the sign of the rest) is what
correct rounding needs.

The idea of a fixed-point sum over the whole range: U. Kulisch, Computer Arithmetic and Validity (2008).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.tree_sum import merge_axes, reshape_axis

# An axis split evenly over a number of devices that divides this is summed where it lies.
MAX_CHUNKS = 48
# A block of 128 entries is added as 8 rows of 16 lanes, one vector load each.
ROWS, LANES = 8, 16


@dataclass(frozen=True)
class Format:
    """A binary format: its dtype, that of its bits, and the widths of significand and word in bits."""

    real: Any
    word: Any
    precision: int
    size: int

    @property
    def most(self) -> int:
        """The largest exponent field: that of infinities and NaN."""
        return (1 << (self.size - self.precision)) - 1

    @property
    def mask(self) -> int:
        """The bits of a limb, which is as wide as a significand."""
        return (1 << self.precision) - 1

    @property
    def positive(self) -> int:
        """The flag of an infinite term above 0; with that of one below 0 it says NaN."""
        return 1 << (self.size - 3)

    @property
    def negative(self) -> int:
        """The flag of an infinite term below 0."""
        return 1 << (self.size - 2)


FORMATS = {
    "float32": Format(jnp.float32, jnp.int32, 24, 32),
    "float64": Format(jnp.float64, jnp.int64, 53, 64),
}


@dataclass(frozen=True)
class Terms:
    """Terms: pairs (significand, position of its last bit), and of each its sign, 0 or -1, and flags."""

    parts: Sequence[tuple[jax.Array, jax.Array]]
    sign: jax.Array
    flags: jax.Array


Spread = Callable[..., Terms]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def exact_sum(x: jax.Array, axis: int, out: Any) -> jax.Array:
    """Returns the sum of float32 or float64 over an axis, which stays with size 1, rounded once to `out`.

    It is the float nearest to the true sum, an even one if two are. Subnormal terms count as 0 and a sum of
    smaller magnitude than the least normal number is 0. Infinities and NaN give what IEEE addition gives;
    a finite sum is infinite only where the true one rounds to that. There are less than 2^30 terms.

    >>> exact_sum(jnp.array([1.0, 1e30, 1e-30, -1e30, 2.0**-24]), 0, jnp.float32).tolist()
    [1.0000001192092896]
    """
    form = FORMATS[x.dtype.name]
    least = -(form.most // 2 - 1) - (form.precision - 1)
    return _total((x,), axis, lambda x: _of_numbers(form, x), 1, least, form, out)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def exact_dot(x: jax.Array, y: jax.Array, axis: int, out: Any) -> jax.Array:
    """Returns the sum of the products of two float32 arrays over an axis, rounded once, as `exact_sum` does.

    No product is rounded, and none overflows or underflows.

    >>> x = jnp.array([1e30, 1.0, 1e30])
    >>> exact_dot(x, jnp.array([1e30, 3.0, -1e30]), 0, jnp.float32).tolist()
    [3.0]
    """
    form = FORMATS[x.dtype.name]
    least = 2 * (-(form.most // 2 - 1) - (form.precision - 1))
    return _total((x, y), axis, lambda x, y: _of_products(form, x, y), 2, least, form, out)


@exact_sum.defjvp
def _(axis: int, out: Any, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return exact_sum(*primals, axis, out), exact_sum(*tangents, axis, out)


@exact_dot.defjvp
def _(axis: int, out: Any, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x, y), (dx, dy) = primals, tangents
    moved = exact_dot(dx, y, axis, out) + exact_dot(x, dy, axis, out)
    return exact_dot(x, y, axis, out), moved


def _fields(form: Format, x: jax.Array) -> tuple[jax.Array, ...]:
    """Returns significand (0 for what is 0, subnormal or not finite), exponent, sign, infinite, NaN."""
    bits = jax.lax.bitcast_convert_type(x, form.word)
    fraction = bits & (form.mask >> 1)
    exponent = (bits >> (form.precision - 1)) & form.most
    normal = (exponent != 0) & (exponent != form.most)
    significand = jnp.where(normal, fraction | (1 << (form.precision - 1)), 0)
    special = exponent == form.most
    sign = bits >> (form.size - 1)
    return significand, exponent, sign, special & (fraction == 0), special & (fraction != 0)


def _flags(form: Format, sign: jax.Array, infinite: jax.Array, nan: jax.Array) -> jax.Array:
    both = form.positive | form.negative
    one = jnp.where(sign == 0, form.word(form.positive), form.word(form.negative))
    return jnp.where(nan, form.word(both), jnp.where(infinite, one, form.word(0)))


def _of_numbers(form: Format, x: jax.Array) -> Terms:
    significand, exponent, sign, infinite, nan = _fields(form, x)
    return Terms([(significand, exponent - 1)], sign, _flags(form, sign, infinite, nan))


def _of_products(form: Format, x: jax.Array, y: jax.Array) -> Terms:
    a, of_a, sign_a, infinite_a, nan_a = _fields(form, x)
    b, of_b, sign_b, infinite_b, nan_b = _fields(form, y)
    sign = sign_a ^ sign_b
    zero_a, zero_b = (m == 0 for m in (a, b))
    wrong = (infinite_a & zero_b & ~infinite_b) | (infinite_b & zero_a & ~infinite_a)
    flags = _flags(form, sign, infinite_a | infinite_b, nan_a | nan_b | wrong)
    # The product of two significands, by halves, as two.
    half = (form.precision + 1) // 2
    rest, low = form.precision - half, (1 << half) - 1
    a0, a1, b0, b1 = a & low, a >> half, b & low, b >> half
    middle = a0 * b1 + a1 * b0
    lower = a0 * b0 + ((middle & ((1 << rest) - 1)) << half)
    upper = ((a1 * b1) << (2 * half - form.precision)) + (middle >> rest)
    upper = upper + (lower >> form.precision)
    at = of_a + of_b - 2
    parts = [(lower & form.mask, at), (upper, at + form.precision)]
    return Terms(parts, sign, flags)


def _total(
    operands: tuple[jax.Array, ...],
    axis: int,
    spread: Spread,
    parts: int,
    least: int,
    form: Format,
    out: Any,
) -> jax.Array:
    """Returns the sum, rounded to `out`, of terms the last bit of which counts 2^least at position 0."""
    masks, _ = _kept(
        operands, axis, lambda *rows: _limbs_in_use(spread(*rows), form), jax.lax.bitwise_or
    )
    whole = _held(_united(masks, axis, form))
    first, last = _range(whole, form)

    def add_limb(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        limb = state[0]
        # Adds nothing. What does not depend on the limb would be taken out of the loop, into memory.
        none = jnp.minimum(limb, 0)

        def lift(*rows: jax.Array) -> jax.Array:
            return _digit(spread(*(_with_bits(x, none) for x in rows)), limb, form)

        kept, levels = _kept(operands, axis, lift, jax.lax.add)
        bound = form.precision + parts - 1 + levels * (ROWS.bit_length() - 1)
        low, high = (_held(part) for part in _summed(kept, axis, bound, form))
        return _push(state, low, high, least, form, out)

    zero = whole & 0
    start = (first, zero, zero, zero, zero, zero.astype(form.real))
    state = jax.lax.while_loop(lambda state: state[0] <= last, add_limb, start)
    for _ in range(2):  # what is carried is narrower than two limbs
        state = _push(state, zero, zero, least, form, out)
    total = _with_specials(state[-1], whole, form)
    return total.astype(out)


def _kept(
    operands: tuple[jax.Array, ...],
    axis: int,
    lift: Callable[..., jax.Array],
    reduce: Callable[[jax.Array, jax.Array], jax.Array],
) -> tuple[jax.Array, int]:
    """Returns integers lifted from the operands and reduced in part: (chunks, few) in place of the axis.

    With them comes how often at most 8 of them were reduced to one: twice, which leaves 2^6 of their range
    to the sum of 64.
    """
    length, word = operands[0].shape[axis], FORMATS[operands[0].dtype.name].word
    chunks = math.gcd(length, MAX_CHUNKS)
    split = [reshape_axis(x, axis, (chunks, length // chunks)) for x in operands]
    found: list[jax.Array] = []
    levels = 0
    while levels < 2:
        blocks, rest = _in_blocks(split, axis + 1)
        found += [] if rest is None else [lift(*rest)]
        if blocks is None:
            break
        rows = jax.lax.reduce(lift(*blocks), np.zeros((), word), reduce, (axis + 2,))
        split, lift, levels = [_held(merge_axes(rows, axis + 1))], _as_it_is, levels + 1
    else:
        found += split
    return (found[0] if len(found) == 1 else _held(jnp.concatenate(found, axis=axis + 1))), levels


def _in_blocks(
    xs: Sequence[jax.Array], axis: int
) -> tuple[list[jax.Array] | None, list[jax.Array] | None]:
    """Returns arrays with an axis in blocks of 8 rows of 16 lanes, and what is left over of it."""
    length = xs[0].shape[axis]
    whole = length - length % (ROWS * LANES)
    rest = [jax.lax.slice_in_dim(x, whole, length, axis=axis) for x in xs]
    sizes = (whole // (ROWS * LANES), ROWS, LANES)
    blocks = [reshape_axis(jax.lax.slice_in_dim(x, 0, whole, axis=axis), axis, sizes) for x in xs]
    return (blocks if whole else None), (rest if whole < length else None)


def _as_it_is(x: jax.Array) -> jax.Array:
    return x


def _with_bits(x: jax.Array, bits: jax.Array) -> jax.Array:
    whole = jax.lax.bitcast_convert_type(x, bits.dtype)
    return jax.lax.bitcast_convert_type(whole | bits, x.dtype)


def _held(x: jax.Array) -> jax.Array:
    # Else XLA computes it once for each of its readers, from all the terms.
    return jax.lax.optimization_barrier(x)


def _limbs_in_use(terms: Terms, form: Format) -> jax.Array:
    """Returns a bit for the limb in which each part of a term ends, and the flags."""
    by = (
        1 << 16
    ) // form.precision + 1  # position / precision, for positions to 2^11, as a product
    found = terms.flags
    for significand, position in terms.parts:
        bit = jax.lax.shift_left(jnp.ones_like(position), (position * by) >> 16)
        found = found | jnp.where(significand == 0, 0, bit)
    return found


def _united(masks: jax.Array, axis: int, form: Format) -> jax.Array:
    """Returns the union of masks over two axes, of which size 1 stays."""
    found = jax.lax.reduce(masks, np.zeros((), form.word), jax.lax.bitwise_or, (axis + 1,))
    # Entry by entry: XLA has no union of integers over devices.
    chunks = [jax.lax.slice_in_dim(found, i, i + 1, axis=axis) for i in range(found.shape[axis])]
    return functools.reduce(jax.lax.bitwise_or, chunks)


def _range(whole: jax.Array, form: Format) -> tuple[jax.Array, jax.Array]:
    """Returns the first and the last limb that holds anything; the last is below the first if none does."""
    used = whole & (form.positive - 1)
    high = form.size - 1 - jax.lax.clz(used)
    low = form.size - 1 - jax.lax.clz(used & -used)
    nothing = used == 0
    return jnp.min(jnp.where(nothing, form.size, low)), jnp.max(jnp.where(nothing, -2, high)) + 1


def _digit(terms: Terms, limb: jax.Array, form: Format) -> jax.Array:
    """Returns what terms have in a limb, with their sign."""
    found = jnp.zeros_like(terms.sign)
    for significand, position in terms.parts:
        by = position - limb * form.precision
        # A shift by more than the width, or by less than nothing, leaves 0.
        up = jax.lax.shift_left(significand, by)
        down = jax.lax.shift_right_logical(significand, -by)
        found = found + ((up | down) & form.mask)
    return (found ^ terms.sign) - terms.sign


def _summed(kept: jax.Array, axis: int, bound: int, form: Format) -> tuple[jax.Array, jax.Array]:
    """Returns the sum over two axes as (low, high): low + high 2^precision, low of a few bits more."""
    count = max(kept.shape[axis] * kept.shape[axis + 1] - 1, 1).bit_length()
    room = form.size - 1 - count
    width = room if room < bound else form.size
    offsets = range(0, form.size - 1, width)
    low = high = form.word(0)
    for offset in offsets:
        piece = kept >> offset
        if offset != offsets[-1]:
            piece = piece & ((1 << width) - 1)
        total = jnp.sum(piece, axis=(axis, axis + 1), keepdims=True, dtype=form.word)
        total = jax.lax.squeeze(total, (axis,))
        if offset > form.precision:
            high = high + (total << (offset - form.precision))
            continue
        inside = form.precision - offset
        low = low + ((total & ((1 << inside) - 1)) << offset)
        high = high + (total >> inside)
    return jnp.asarray(low), jnp.asarray(high)


def _push(
    state: tuple[jax.Array, ...],
    low: jax.Array,
    high: jax.Array,
    least: int,
    form: Format,
    out: Any,
) -> tuple[jax.Array, ...]:
    """Adds a limb: (limb, carry, its two lower digits, sign of the rest, the sum so far, rounded).

    Digits lie in [-B/2, B/2), B = 2^precision, so the highest that is not 0 has the sign of the sum.
    """
    limb, carry, second, third, rest, total = state
    here = low + (carry & form.mask)
    carry = high + (carry >> form.precision) + (here >> form.precision)
    digit = here & form.mask
    above = digit > form.mask >> 1
    digit = jnp.where(above, digit - (form.mask + 1), digit)
    carry = carry + above.astype(form.word)
    rounded = _rounded(digit, second, third, rest, limb, least, form, out)
    total = jnp.where(digit == 0, total, rounded)
    rest = jnp.where(third == 0, rest, jnp.sign(third))
    return limb + 1, carry, digit, second, rest, total


def _rounded(
    first: jax.Array,
    second: jax.Array,
    third: jax.Array,
    rest: jax.Array,
    limb: jax.Array,
    least: int,
    form: Format,
    out: Any,
) -> jax.Array:
    """Returns the float nearest to three digits and the sign of the rest; `first`, of a limb, is not 0."""
    width, minus = form.precision, first < 0
    first, second, third, rest = (jnp.where(minus, -d, d) for d in (first, second, third, rest))
    third = third - (rest < 0).astype(form.word)
    second = second + (third >> width)
    first = first + (second >> width)
    second, third = second & form.mask, third & form.mask
    # 1 followed by a digit below 0.
    short = first == 0
    first, second = jnp.where(short, second, first), jnp.where(short, third, second)
    third = jnp.where(short, 0, third)
    bits = form.size - jax.lax.clz(first)
    significand = (first << (width - bits)) | (second >> bits)
    half = form.word(1) << (bits - 1)
    left, beyond = second & (2 * half - 1), (third != 0) | (rest != 0)
    if jnp.dtype(out) != jnp.dtype(form.real):
        # Rounded to odd, a number that is rounded again to fewer bits is as if it had been rounded once.
        significand = significand | ((left != 0) | beyond).astype(form.word)
    else:
        up = (left > half) | ((left == half) & (beyond | (significand & 1 == 1)))
        significand = significand + up.astype(form.word)
    exponent = (limb - short.astype(form.word)) * width + bits
    exponent = exponent + (least - width + (width - 1) + form.most // 2)
    infinity = form.most << (width - 1)
    found = significand + ((exponent - 1) << (width - 1))
    found = jnp.where((exponent < 0) | (found < 1 << (width - 1)), 0, found)
    found = jnp.where(exponent >= form.most, infinity, found)
    found = found | jnp.where(minus, jnp.iinfo(form.word).min, 0)
    return jax.lax.bitcast_convert_type(found, form.real)


def _with_specials(total: jax.Array, whole: jax.Array, form: Format) -> jax.Array:
    positive, negative = whole & form.positive != 0, whole & form.negative != 0
    total = jnp.where(positive, np.inf, jnp.where(negative, -np.inf, total))
    return jnp.where(positive & negative, np.nan, total)
