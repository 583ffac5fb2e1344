"""Exponentials: 2^n times a polynomial of what n ln 2 leaves of x.

The remainder r is taken with ln 2 in two parts (Cody and Waite 1980), the first of so few bits that its
product with n is exact. The polynomials are minimax on |r| <= ln 2 / 2, to 2^-28 and 2^-61 of the result.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.formats import Elementwise, Format, keeper, operand, polynomial

LOG2_E = 1 / np.log(2)
LN_2 = np.log(2)


@dataclass(frozen=True)
class _Table:
    terms: tuple[Any, ...]  # exp r = 1 + r + r^2 P(r), constant term first
    first: Any  # the first bits of ln 2
    rest: Any  # what they lack
    lowest: Any  # below it exp is less than the smallest normal number
    highest: Any  # above it exp is infinite
    highest_half: Any  # above it exp over 2 is infinite
    digits: int  # exp +-x is lost in 1 beyond it times ln 2


def _numbers(dtype: type, *values: float | str) -> tuple[Any, ...]:
    return tuple(
        dtype(float.fromhex(value) if isinstance(value, str) else value) for value in values
    )


_TABLES = {
    "float32": _Table(
        _numbers(np.float32, 0.5, 0.16666515, 0.041666575, 0.008369271, 0.0013924078),
        *_numbers(np.float32, "0x1.62e4p-1", "0x1.7f7d1cp-20", -87.33654, 88.72283, 89.415985),
        digits=26,
    ),
    "float64": _Table(
        _numbers(
            np.float64,
            *(0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326084),
            *(0.0013888888888883711, 0.0001984126987500228, 2.480158732567746e-05),
            *(2.755725517000089e-06, 2.755727347871858e-07, 2.5105312729622103e-08),
            2.09147553258932e-09,
        ),
        *_numbers(np.float64, "0x1.62e42fefp-1", "0x1.473de6af278edp-34"),
        *_numbers(np.float64, -708.396418532264, 709.782712893384, 710.4758600739439),
        digits=56,
    ),
}


def exp(x: Any) -> jax.Array:
    """Returns e^x within 1 ulp; zero where that is at most 2^-126 (float64: 2^-1022).

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> exp(jnp.array([0.0, 1.0, 100.0]))
    Array([1.       , 2.7182817,       inf], dtype=float32)
    """
    form, x = operand("exp", x)
    table = _TABLES[form.name]
    n, y = _power_and_factor(form, table, x)
    y = jnp.where(x < table.lowest, form.number(0), form.scaled(y, n))
    return _with_nan(form, x, jnp.where(x <= table.highest, y, form.number(np.inf)))


def half_exp(x: jax.Array) -> jax.Array:
    """Returns e^x / 2 within 1 ulp where x is not negative; e^x alone may overflow.

    >>> half_exp(jnp.array([0.0, 89.0]))
    Array([5.000000e-01, 2.244806e+38], dtype=float32)
    """
    form, x = operand("half_exp", x)
    table = _TABLES[form.name]
    n, y = _power_and_factor(form, table, x)
    y = form.scaled(y, n - form.integer(1))
    return _with_nan(form, x, jnp.where(x <= table.highest_half, y, form.number(np.inf)))


def exp2(x: Any) -> jax.Array:
    """Returns 2^x within 1 ulp; zero where that is at most 2^-126 (float64: 2^-1022).

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> exp2(jnp.array([0.5, -3.0, 128.0]))
    Array([1.4142135, 0.125    ,       inf], dtype=float32)
    """
    form, x = operand("exp2", x)
    table, keep = _TABLES[form.name], keeper(form, x)
    n = rounded_to_integer(form, keep, x)
    r = keep((x - n.astype(form.dtype)) * form.number(LN_2))
    y = form.scaled(_exp_near_zero(table, keep, r), n)
    # The smallest normal number is zero here, and half of what overflows is the largest power.
    lowest, highest = form.number(1.0 - form.bias), form.number(form.bias + 1.0)
    y = jnp.where(x > lowest, y, form.number(0))
    y = jnp.where(x < highest, y, form.number(np.inf))
    return _with_nan(form, x, y)


def _with_nan(form: Format, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns y, and NaN where x is. By bits: for x = -|z| a GPU's compiler takes x <= 1 for true."""
    return jnp.where((form.bits(x) & form.magnitude) > form.infinity, form.number(np.nan), y)


def exp2_of_sum(form: Format, keep: Elementwise, high: jax.Array, low: jax.Array) -> jax.Array:
    """Returns 2^(high + low) where that is a normal number and |low| far below 1."""
    table, ln_2 = _TABLES[form.name], form.number(LN_2)
    n = rounded_to_integer(form, keep, high)
    r = keep((high - n.astype(form.dtype)) * ln_2) + keep(low * ln_2)
    return form.scaled(_exp_near_zero(table, keep, r), n)


def expm1(x: Any) -> jax.Array:
    """Returns e^x - 1 within 1 ulp; -1 and e^x where the other is lost in them.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> expm1(jnp.array([1e-6, -0.0, -50.0]))
    Array([ 1.0000005e-06, -0.0000000e+00, -1.0000000e+00], dtype=float32)
    """
    form, x = operand("expm1", x)
    table, keep = _TABLES[form.name], keeper(form, x)
    lost = form.number(table.digits * LN_2)
    y = _expm1_above(form, table, keep, x)
    y = jnp.where(x < -lost, form.number(-1), y)
    y = jnp.where(x == 0, x, y)
    return _with_nan(form, x, jnp.where(x <= table.highest, y, form.number(np.inf)))


def rounded_to_integer(form: Format, keep: Elementwise, x: jax.Array) -> jax.Array:
    """Returns the integer nearest to x, ties to even, where |x| is far below 2^22 (float64: 2^51)."""
    # The low bits of x + 1.5 * 2^23 are the integer. They are read: XLA may simplify (x + c) - c to x.
    shift = form.number(1.5 * 2.0**form.fraction)
    return form.signed(x + shift) - shift.view(form.integers)


def _reduced(
    form: Format, table: _Table, keep: Elementwise, x: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns n, the integer nearest to x / ln 2, and two numbers whose difference is x - n ln 2."""
    n = rounded_to_integer(form, keep, keep(x * form.number(LOG2_E)))
    times = n.astype(form.dtype)
    return n, x - times * table.first, keep(times * table.rest)


def _power_and_factor(form: Format, table: _Table, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns n and y with e^x = 2^n y, y near [sqrt(1/2), sqrt(2)]."""
    keep = keeper(form, x)
    n, high, low = _reduced(form, table, keep, x)
    return n, ((_curved(table, keep, high - low) - low) + high) + form.number(1)


def _curved(table: _Table, keep: Elementwise, r: jax.Array) -> jax.Array:
    """Returns exp r - 1 - r."""
    return keep(keep(r * r) * polynomial(keep, table.terms, r))


def _exp_near_zero(table: _Table, keep: Elementwise, r: jax.Array) -> jax.Array:
    return (_curved(table, keep, r) + r) + r.dtype.type(1)


def _expm1_above(form: Format, table: _Table, keep: Elementwise, x: jax.Array) -> jax.Array:
    """Returns exp x - 1 where e^x is not lost in 1, and where its bits make a number; 0 of -0."""
    n, high, low = _reduced(form, table, keep, x)
    # 2^-n would be subnormal for the largest x, and is lost in 1 long before.
    lost = form.integer(table.digits)
    least = jnp.where(n < lost, n, lost)
    power = form.scaled(jnp.ones_like(x), -least)
    base = form.number(1) - power
    total = keep(base + high)
    rest = (high - (total - base)) - low
    return form.scaled((rest + _curved(table, keep, high - low)) + total, n)
