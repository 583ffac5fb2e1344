"""Correctly rounded quotients and roots from approximate ones, by exact remainders.

The digits of a float32 are an integer below 2^24, so what an approximate quotient q of two such leaves,
a 2^k - q b, is a small integer: its last 32 bits, which wrapping arithmetic gives, are all of it. The same
holds of M - q q for a root, and of float64 in 64 bits.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core.portable.formats import Format, operand, operands


def corrected_quotient(
    x: jax.Array, y: jax.Array, roughly: Callable[[jax.Array, jax.Array], jax.Array] = lax.div
) -> jax.Array:
    """Returns x / y rounded to nearest, given a quotient within 2 ulp of two numbers in [1, 4).

    `x` and `y` are float32 or float64 of one shape, none subnormal. Quotients of magnitude <= 2^-126
    (float64: 2^-1022) are zeros of their sign.

    >>> corrected_quotient(jnp.array([1.0, 2.0]), jnp.array([3.0, -0.0]))
    Array([0.33333334,       -inf], dtype=float32)
    """
    form, x, y = operands("corrected_quotient", x, y)
    a, b = (form.bits(z) & form.magnitude for z in (x, y))
    digits_a, digits_b = (z & form.digits | form.leading for z in (a, b))
    # Doubling the smaller dividend puts every quotient in [1, 2), where steps of a number are of one size.
    doubled = (digits_a < digits_b).astype(form.words)
    one = form.one + lax.shift_left(doubled, form.word(form.fraction))
    guess = roughly(form.floats(one + (a & form.digits)), _between_one_and_two(form, b))
    quotient = form.bits(guess) - form.one + form.leading
    dividend = lax.shift_left(digits_a, form.word(form.fraction) + doubled)
    twice = form.signed(lax.shift_left(dividend - quotient * digits_b, form.word(1)))
    quotient = form.signed(quotient)
    for odd in (1, 3, 5):
        limit = form.signed(digits_b) * form.integer(odd)
        quotient += (twice > limit).astype(form.integers) - (twice < -limit).astype(form.integers)
    exponent = _exponent(form, a) - _exponent(form, b) - form.signed(doubled)
    return _quotient_of_all(form, x, y, _assembled(form, quotient, exponent))


def corrected_root(x: jax.Array, roughly: Callable[[jax.Array], jax.Array] = lax.sqrt) -> jax.Array:
    """Returns the square root of x rounded to nearest, given a root within 2 ulp of a number in [1, 4).

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> corrected_root(jnp.array([2.0, -0.0, -1.0]))
    Array([ 1.4142135, -0.       ,        nan], dtype=float32)
    """
    form, x = operand("corrected_root", x)
    bits = form.bits(x)
    exponent = _exponent(form, bits & form.magnitude)
    odd = form.bits(exponent) & form.word(1)
    one = form.one + lax.shift_left(odd, form.word(form.fraction))
    guess = roughly(form.floats(one + (bits & form.digits)))
    root = form.bits(guess) - form.one + form.leading
    digits = bits & form.digits | form.leading
    square = lax.shift_left(digits, form.word(form.fraction) + odd)
    rest, root = form.signed(square - root * root), form.signed(root)
    for _ in range(3):  # each moves by one; the guess and its rounding below 1 are 3 off at most
        step = (rest > root).astype(form.integers) - (rest <= -root).astype(form.integers)
        rest -= step * (root + root + step)
        root += step
    half = lax.shift_right_arithmetic(exponent - form.signed(odd), form.integer(1))
    y = _assembled(form, root, half)
    y = jnp.where(x > 0, y, form.number(float("nan")))
    return jnp.where((x == 0) | (x == form.number(float("inf"))), x, y)


def _between_one_and_two(form: Format, bits: jax.Array) -> jax.Array:
    return form.floats(bits & form.digits | form.one)


def _exponent(form: Format, magnitude: jax.Array) -> jax.Array:
    """Returns e of numbers in [2^e, 2^(e + 1)), as signed integers."""
    field = lax.shift_right_logical(magnitude, form.word(form.fraction))
    return form.signed(field) - form.integer(form.bias)


def _assembled(form: Format, digits: jax.Array, exponent: jax.Array) -> jax.Array:
    """Returns the positive number of some digits and an exponent, zero or infinity beyond the format's."""
    field = exponent + form.integer(form.bias)
    shifted = lax.shift_left(field, form.integer(form.fraction))
    bits = shifted + (digits - form.signed(form.leading))
    smallest, infinity = form.signed(form.leading), form.signed(form.infinity)
    zero = (field < form.integer(1)) | (bits <= smallest)
    bits = jnp.where(zero, form.integer(0), bits)
    return form.floats(jnp.where(field > form.integer(2 * form.bias), infinity, bits))


def _quotient_of_all(form: Format, x: jax.Array, y: jax.Array, finite: jax.Array) -> jax.Array:
    """Returns a quotient of magnitudes with its sign, and what zeros, infinities and NaN have for one."""
    zero, infinity, nan = (form.number(value) for value in (0.0, float("inf"), float("nan")))
    size, other = jnp.abs(x), jnp.abs(y)
    quotient = jnp.where((size == zero) | (other == infinity), zero, finite)
    quotient = jnp.where((size == infinity) | (other == zero), infinity, quotient)
    undefined = (size == other) & ((size == zero) | (size == infinity))
    quotient = jnp.where(undefined | (x != x) | (y != y), nan, quotient)
    sign = (form.bits(x) ^ form.bits(y)) & form.sign
    return form.floats(form.bits(quotient) | sign)
