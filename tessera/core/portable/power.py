"""x^y as 2^(y log2 |x|), with the logarithm and its product with y in two numbers of the format."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.portable.arithmetic import quotient
from tessera.core.portable.exponential import exp2_of_sum
from tessera.core.portable.formats import (
    Elementwise,
    Format,
    exact_product,
    keeper,
    operand,
    polynomial,
)
from tessera.core.portable.logarithm import split

Pair = tuple[Any, Any]  # a number and what it lacks


@dataclass(frozen=True)
class _Table:
    third: Pair  # 1/3
    terms: tuple[Any, ...]  # atanh s = s + s^3 (1/3 + z P(z)), z = s^2, constant term first
    twice_log2_e: Pair


_TABLES = {
    "float32": _Table(
        (np.float32(1 / 3), np.float32(1 / 3 - float(np.float32(1 / 3)))),
        tuple(np.float32(1 / n) for n in range(5, 14, 2)),
        (np.float32(2 / np.log(2)), np.float32(2 / np.log(2) - float(np.float32(2 / np.log(2))))),
    ),
    "float64": _Table(
        (np.float64(1 / 3), np.float64(2.0**-54 / 3)),
        tuple(np.float64(1 / n) for n in range(5, 30, 2)),
        (
            np.float64(float.fromhex("0x1.71547652b82fep+1")),
            np.float64(float.fromhex("0x1.777d0ffda0d24p-55")),
        ),
    ),
}


def power(x: Any, y: Any) -> jax.Array:
    """Returns x^y within 2 ulp; zero where its magnitude is at most 2^-126 (float64: 2^-1022).

    `x` is float32 or float64 of any shape, nowhere subnormal, and `y` of the same shape and dtype, or of any
    integer dtype; scalars broadcast. Zeros, infinities and NaN give what C's pow gives; a negative x has
    powers by whole y alone, NaN for others.

    >>> power(jnp.array([2.0, -2.0, -8.0]), jnp.array([0.5, 3.0, 0.3]))
    Array([ 1.4142135, -8.       ,        nan], dtype=float32)
    >>> power(0.999, jnp.arange(3))
    Array([1.       , 0.999    , 0.9980011], dtype=float32)
    """
    if jnp.issubdtype(jnp.result_type(y), jnp.integer) and not isinstance(y, int):
        form, x = operand("power", x)
        exponent = _of_integers(form, jnp.asarray(y))
    else:
        dtype = jnp.result_type(x, y)
        form, x = operand("power", jnp.asarray(x, dtype))
        exponent = _of_numbers(form, jnp.asarray(y, dtype))
    return _power(form, x, *exponent)


def _of_integers(form: Format, y: jax.Array) -> tuple[Pair, jax.Array, jax.Array]:
    """Returns integers as sums of two numbers, where they are whole and where odd."""
    odd = (y & y.dtype.type(1)) == y.dtype.type(1)
    most = np.iinfo(form.integers).max  # where every power but those of 1 is zero or infinite
    if np.iinfo(y.dtype).max > most:
        y = jnp.minimum(y, y.dtype.type(most))
        y = jnp.maximum(y, y.dtype.type(-most)) if y.dtype.kind == "i" else y
    y = y.astype(form.integers)
    bits = form.integer((form.fraction + 1) // 2)
    high = lax.shift_left(lax.shift_right_arithmetic(y, bits), bits)
    first, rest = high.astype(form.dtype), (y - high).astype(form.dtype)
    total = first + rest
    return (total, rest - (total - first)), jnp.ones_like(odd), odd


def _of_numbers(form: Format, y: jax.Array) -> tuple[Pair, jax.Array, jax.Array]:
    half = y * form.number(0.5)
    whole, even = lax.floor(y) == y, lax.floor(half) == half
    return (y, jnp.zeros_like(y)), whole, whole & ~even


def _power(form: Format, x: jax.Array, y: Pair, whole: jax.Array, odd: jax.Array) -> jax.Array:
    size, number, inf, nan = jnp.abs(x), form.number, form.number(np.inf), form.number(np.nan)
    result = _power_of_size(form, keeper(form, x), size, y)
    sign = jnp.where((form.signed(x) < form.integer(0)) & odd, form.sign, form.word(0))
    result = form.floats(form.bits(result) | sign)
    undefined = ((x < 0) & ~whole & (size < inf)) | (x != x) | (y[0] != y[0])
    return jnp.where((y[0] == 0) | (x == 1), number(1), jnp.where(undefined, nan, result))


def _power_of_size(form: Format, keep: Elementwise, size: jax.Array, y: Pair) -> jax.Array:
    number, inf = form.number, form.number(np.inf)
    logarithm = _log2(form, keep, size)
    rough = keep(y[0] * logarithm[0])
    high, low = _product(form, keep, y, logarithm)
    high = jnp.where(jnp.abs(rough) < number(4.0 * form.bias), high, rough)
    high = jnp.where(size == 0, y[0] * -inf, jnp.where(size == inf, y[0] * inf, high))
    result = exp2_of_sum(form, keep, high, low)
    highest = number(form.bias + 1.0)
    result = jnp.where((high > highest) | ((high == highest) & ~(low < 0)), inf, result)
    result = jnp.where(high <= number(1.0 - form.bias), number(0), result)
    return jnp.where(size == 1, number(1), result)


def _log2(form: Format, keep: Elementwise, size: jax.Array) -> Pair:
    """Returns log2 of positive numbers to about one and a half times their digits."""
    table, (k, f) = _TABLES[form.name], split(form, size)
    two, one = form.number(2), form.number(1)
    divisor = keep(f + two)
    s = quotient(f, divisor)
    product, lost = exact_product(form, keep, s, divisor)
    rest = ((f - product) - lost) - keep(s * (f - (divisor - two)))
    s_pair = (s, quotient(rest, divisor))
    z = _product(form, keep, s_pair, s_pair)
    tail = keep(z[0] * polynomial(keep, table.terms, z[0]))
    series = _sum(keep, table.third[0], tail, table.third[1])
    factor = _sum(keep, one, *_product(form, keep, z, series))
    natural = _product(form, keep, s_pair, factor)
    fraction = _product(form, keep, natural, table.twice_log2_e)
    return _sum(keep, k.astype(form.dtype), *fraction)


def _sum(keep: Elementwise, large: Any, small: jax.Array, rest: Any) -> Pair:
    """Returns large + small + rest, where large is zero or above small."""
    total = keep(large + small)
    return total, (small - (total - large)) + rest


def _product(form: Format, keep: Elementwise, x: Pair, y: Pair) -> Pair:
    product, lost = exact_product(form, keep, x[0], y[0])
    lost = lost + (keep(x[0] * y[1]) + keep(x[1] * y[0]))
    total = keep(product + lost)
    return total, lost - (total - product)
