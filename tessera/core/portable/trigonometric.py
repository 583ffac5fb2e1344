"""Sine, cosine, tangent: polynomials of what multiples of pi/2 leave of x, by integers (Payne, Hanek 1983).

x is M 2^e with a whole M. Those bits of 2/pi that stand far left of the point give multiples of four
quadrants, which count for nothing, and those far right vanish. M times the three words between, modulo their
size, is x in quadrants with 62 bits (float64: 126) after the point: every finite x is reduced alike.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.portable.arithmetic import quotient
from tessera.core.portable.formats import (
    Elementwise,
    Format,
    exact_product,
    keeper,
    operand,
    polynomial,
)

HALF_PI = np.pi / 2
# What the nearest number to pi/2 lacks.
HALF_PI_REST = {
    "float32": HALF_PI - float(np.float32(HALF_PI)),
    "float64": 6.123233995736766e-17,
}
# The integer part of 2/pi * 2^1280.
TWO_OVER_PI = int(
    "A2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561"
    "B7246E3A424DD2E006492EEA09D1921CFE1DEB1CB129A73EE88235F52EBB4484"
    "E99C7026B45F7E413991D639835339F49C845F8BBDF9283B1FF897FFDE05980F"
    "EF2F118B5A0A6D1F6D367ECF27CB09B74F463F669E5FEA2D7527BAC7EBE5F17B"
    "3D0739F78A5292EA6BFB5FB11F8D5D0856033046FC7B6BABF0CFBC209AF4361D",
    16,
)
TWO_OVER_PI_BITS = 1280


@dataclass(frozen=True)
class _Table:
    sine: tuple[Any, ...]  # sin r = r + r^3 P(r^2), constant term first
    cosine: tuple[Any, ...]  # cos r = 1 - r^2/2 + r^4 P(r^2)


# Minimax on |r| <= pi/4, to 2^-28 and 2^-58 of the result.
_TABLES = {
    "float32": _Table(
        tuple(map(np.float32, (-0.16666655, 0.008332191, -0.00019518599))),
        tuple(map(np.float32, (0.041666646, -0.0013887301, 2.443067e-05))),
    ),
    "float64": _Table(
        (
            *map(np.float64, (-0.16666666666666632, 0.008333333333322472)),
            *map(np.float64, (-0.0001984126982983567, 2.7557313697326927e-06)),
            *map(np.float64, (-2.5050758485763578e-08, 1.5896796040173508e-10)),
        ),
        (
            *map(np.float64, (0.0416666666666666, -0.0013888888888874457)),
            *map(np.float64, (2.4801587289652868e-05, -2.7557314393874654e-07)),
            *map(np.float64, (2.087572811227799e-09, -1.135986509245498e-11)),
        ),
    ),
}


def sin(x: Any) -> jax.Array:
    """Returns the sine of x in radians within 1 ulp, for every x; NaN of infinity.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> sin(jnp.array([0.5, -0.0, 1e30]))
    Array([ 0.47942555, -0.        , -0.79116344], dtype=float32)
    """
    form, x = operand("sin", x)
    quadrant, sine, cosine = _reduced(form, x)
    y = _in_quadrant(form, quadrant, sine, cosine)
    y = form.floats(form.bits(y) ^ (form.bits(x) & form.sign))
    return _of_finite(form, x, jnp.where(x == 0, x, y))


def cos(x: Any) -> jax.Array:
    """Returns the cosine of x in radians within 1 ulp, for every x; NaN of infinity.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> cos(jnp.array([0.5, -0.0, 1e30]))
    Array([ 0.87758255,  1.        , -0.6116048 ], dtype=float32)
    """
    form, x = operand("cos", x)
    quadrant, sine, cosine = _reduced(form, x)
    y = _in_quadrant(form, quadrant + form.word(1), sine, cosine)
    return _of_finite(form, x, y)


def tan(x: Any) -> jax.Array:
    """Returns the tangent of x in radians within 2.5 ulp, for every x; NaN of infinity.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> tan(jnp.array([0.5, -0.0, 1e30]))
    Array([ 0.5463025, -0.       ,  1.293586 ], dtype=float32)
    """
    form, x = operand("tan", x)
    quadrant, sine, cosine = _reduced(form, x)
    odd = (quadrant & form.word(1)) == form.word(1)
    y = quotient(jnp.where(odd, -cosine, sine), jnp.where(odd, sine, cosine))
    y = form.floats(form.bits(y) ^ (form.bits(x) & form.sign))
    return _of_finite(form, x, jnp.where(jnp.abs(x) < form.linear_below, x, y))


def of_half_turns(form: Format, keep: Elementwise, turns: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the sine and the cosine of pi times numbers in [0, 1/2]."""
    steep = turns > form.number(0.25)
    r = keep(jnp.where(steep, form.number(0.5) - turns, turns) * form.number(np.pi))
    sine, cosine = _near_zero(form, keep, r, jnp.zeros_like(r))
    return jnp.where(steep, cosine, sine), jnp.where(steep, sine, cosine)


def _of_finite(form: Format, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(x) < form.number(np.inf), y, form.number(np.nan))


def _in_quadrant(
    form: Format, quadrant: jax.Array, sine: jax.Array, cosine: jax.Array
) -> jax.Array:
    odd = (quadrant & form.word(1)) == form.word(1)
    half = lax.shift_right_logical(quadrant, form.word(1))
    negate = lax.shift_left(half, form.word(form.width - 1))  # the second bit, moved to the sign
    return form.floats(form.bits(jnp.where(odd, cosine, sine)) ^ negate)


def _reduced(form: Format, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the quadrant n, the sine and the cosine of |x| - n pi/2."""
    keep = keeper(form, x)
    quadrant, r, tail = _remainder(form, keep, x)
    return quadrant, *_near_zero(form, keep, r, tail)


def _near_zero(
    form: Format, keep: Elementwise, r: jax.Array, tail: Any
) -> tuple[jax.Array, jax.Array]:
    """Returns the sine and the cosine of r + tail where |r| <= pi/4."""
    table, z = _TABLES[form.name], keep(r * r)
    sine = keep(keep(z * polynomial(keep, table.sine, z)) * r)
    # The tail times cos r, and times -sin r, to as many digits as count.
    sine = (sine + (tail - keep(tail * z) * form.number(0.5))) + r
    half = z * form.number(0.5)
    cosine = keep(keep(z * polynomial(keep, table.cosine, z)) * z) - keep(r * tail)
    one = form.number(1)
    top = keep(one - half)
    return sine, (((one - top) - half) + cosine) + top


def _remainder(
    form: Format, keep: Elementwise, x: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the quadrant n nearest to |x| / (pi/2), |x| - n pi/2, and what that lacks."""
    high, low = _in_quadrants(form, x)
    quadrant = lax.shift_right_logical(
        high + form.word(1 << (form.width - 3)), form.word(form.width - 2)
    )
    negative, first, rest = _signed_fraction(form, keep, high, low)
    r, tail = _times_half_pi(form, keep, first, rest)
    size, sign = jnp.abs(x), jnp.where(negative, form.number(-1), form.number(1))
    small = size < form.number(np.pi / 4)
    return (
        jnp.where(small, form.word(0), quadrant),
        jnp.where(small, size, r * sign),
        jnp.where(small, form.number(0), tail * sign),
    )


def _in_quadrants(form: Format, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns |x| / (pi/2) modulo 4 as two words, the point after two bits, for finite |x| >= 1/2."""
    bits = form.bits(x) & form.magnitude
    field = lax.shift_right_logical(bits, form.word(form.fraction))
    # The place of the first bit of 2/pi that counts, in words that begin `width` bits left of the point.
    place = field - form.word(form.bias + form.fraction + 1 - form.width)
    first, second, third = _three_words(form, place)
    digits = bits & form.digits | form.leading
    carried = _high_half(form, digits, third)
    low = digits * second + carried
    carry = (low < carried).astype(form.words)
    return digits * first + _high_half(form, digits, second) + carry, low


def _three_words(form: Format, place: jax.Array) -> list[jax.Array]:
    """Returns three words of 2/pi from a place on."""
    width = form.width
    last = (form.bias - form.fraction - 1 + width) // width
    words = [
        form.word((TWO_OVER_PI >> (TWO_OVER_PI_BITS + 1 - width * k)) % (1 << width))
        for k in range(last + 4)
    ]
    index = lax.shift_right_logical(place, form.word(width.bit_length() - 1))
    shift = place & form.word(width - 1)
    back = form.word(width - 1) - shift
    four = [jnp.full_like(place, words[offset]) for offset in range(4)]
    for k in range(1, last + 1):
        here = index == form.word(k)
        four = [jnp.where(here, words[k + i], word) for i, word in enumerate(four)]
    # Two steps to the right, because one of the whole width is undefined.
    return [
        lax.shift_left(a, shift)
        | lax.shift_right_logical(lax.shift_right_logical(b, form.word(1)), back)
        for a, b in zip(four, four[1:], strict=False)
    ]


def _high_half(form: Format, a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the high word of a product of two words."""
    half = form.word(form.width // 2)
    mask = form.word((1 << (form.width // 2)) - 1)
    a_high, a_low = lax.shift_right_logical(a, half), a & mask
    b_high, b_low = lax.shift_right_logical(b, half), b & mask
    cross, other = a_high * b_low, a_low * b_high
    middle = lax.shift_right_logical(a_low * b_low, half) + (cross & mask) + (other & mask)
    highs = [lax.shift_right_logical(part, half) for part in (cross, other, middle)]
    return a_high * b_high + (highs[0] + highs[1] + highs[2])


def _signed_fraction(
    form: Format, keep: Elementwise, high: jax.Array, low: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the signed fraction of two words with the point after two bits: sign, number, what it lacks."""
    width, digits = form.width, form.fraction + 1
    high = lax.shift_left(high, form.word(2)) | lax.shift_right_logical(low, form.word(width - 2))
    low = lax.shift_left(low, form.word(2))
    negative = form.signed(high) < form.integer(0)
    borrow = (low == form.word(0)).astype(form.words)
    high = jnp.where(negative, ~high + borrow, high)
    low = jnp.where(negative, ~low + form.word(1), low)
    # Three numbers of as many bits as a number holds: the words cut after digits and twice as many.
    spare, rest = width - digits, 2 * (width - digits)
    middle = lax.shift_left(high & form.word((1 << spare) - 1), form.word(digits - spare))
    parts = (
        (lax.shift_right_logical(high, form.word(spare)), digits),
        (middle | lax.shift_right_logical(low, form.word(rest)), 2 * digits),
        (low & form.word((1 << rest) - 1), 2 * width),
    )
    a, b, c = (
        form.signed(part).astype(form.dtype) * form.number(2.0**-place) for part, place in parts
    )
    first = keep(a + b)
    return negative, first, (b - (first - a)) + c


def _times_half_pi(
    form: Format, keep: Elementwise, first: jax.Array, rest: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns (first + rest) pi/2 as a number and what it lacks."""
    half_pi = form.number(HALF_PI)
    product, lost = exact_product(form, keep, first, half_pi)
    lost += keep(first * form.number(HALF_PI_REST[form.name])) + keep(rest * half_pi)
    r = keep(product + lost)
    return r, lost - (r - product)
