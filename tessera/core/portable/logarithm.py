"""Logarithms: k ln 2 and an odd series in s = f / (2 + f) of the rest 1 + f in [sqrt(1/2), sqrt(2)).

log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), as Sun's libm of 1993 has it; R is minimax to 2^-30 and 2^-59 of
the result.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.portable.arithmetic import quotient
from tessera.core.portable.formats import Elementwise, Format, keeper, operand, polynomial


@dataclass(frozen=True)
class _Table:
    terms: tuple[Any, ...]  # R(z) / z, constant term first
    first: Any  # the first bits of ln 2: k times them is exact
    rest: Any  # what they lack


_TABLES = {
    "float32": _Table(
        tuple(map(np.float32, (0.66666776, 0.39977583, 0.29870796))),
        np.float32(float.fromhex("0x1.62e4p-1")),
        np.float32(float.fromhex("0x1.7f7d1cp-20")),
    ),
    "float64": _Table(
        tuple(
            map(
                np.float64,
                (
                    *(0.6666666666666734, 0.39999999999416636, 0.2857142874203011),
                    *(0.2222219860481604, 0.1818356286478936, 0.15314084484043722),
                    0.14795636940100693,
                ),
            )
        ),
        np.float64(float.fromhex("0x1.62e42fefp-1")),
        np.float64(float.fromhex("0x1.473de6af278edp-34")),
    ),
}


def log(x: Any) -> jax.Array:
    """Returns the natural logarithm of x within 1 ulp; -inf of zeros, NaN below.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> log(jnp.array([1.0, 10.0, 0.0]))
    Array([0.       , 2.3025851,      -inf], dtype=float32)
    """
    form, x = operand("log", x)
    k, f = split(form, x)
    y = _of_parts(form, keeper(form, x), k, f, form.number(0))
    return _of_positive(form, x, y)


def log2(x: Any) -> jax.Array:
    """Returns the logarithm of x to base 2 within 2 ulp, exact for powers of two; -inf of zeros, NaN below.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> log2(jnp.array([8.0, 10.0, 0.0]))
    Array([3.       , 3.321928 ,      -inf], dtype=float32)
    """
    form, x = operand("log2", x)
    (k, f), keep = split(form, x), keeper(form, x)
    natural = _of_parts(form, keep, jnp.zeros_like(k), f, form.number(0))
    return _of_positive(form, x, keep(natural * form.number(1 / np.log(2))) + k.astype(form.dtype))


def log1p(x: Any) -> jax.Array:
    """Returns log(1 + x) within 1 ulp; -inf of -1, NaN below.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> log1p(jnp.array([1e-6, -0.0, -1.0]))
    Array([ 9.999995e-07, -0.000000e+00,         -inf], dtype=float32)
    """
    form, x = operand("log1p", x)
    keep, one = keeper(form, x), form.number(1)
    u = keep(x + one)
    lost = jnp.where(x < one, x - (u - one), one - (u - x))
    k, f = split(form, u)
    # Far above 1 what u lost no longer counts, while 2^-k would be subnormal.
    limit = form.integer(2 * form.fraction)
    scale = form.scaled(jnp.ones_like(x), -jnp.where(k < limit, k, limit))
    small = lost * scale  # a power of two: exact
    small = keep(small * ((one - f) + keep(f * f)))  # over 1 + f
    y = _of_positive(form, u, _of_parts(form, keep, k, f, small))
    return jnp.where(x == 0, x, y)


def split(form: Format, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns k and f with |x| = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for normal x."""
    root = form.number(np.sqrt(0.5)).view(form.words)
    shifted = (form.bits(x) & form.magnitude) + (form.one - root)
    k = form.signed(lax.shift_right_logical(shifted, form.word(form.fraction)))
    rest = form.floats((shifted & form.digits) + root)
    return k - form.integer(form.bias), rest - form.number(1)


def _of_parts(form: Format, keep: Elementwise, k: jax.Array, f: jax.Array, small: Any) -> jax.Array:
    """Returns k ln 2 + log(1 + f) + small."""
    table, times = _TABLES[form.name], k.astype(form.dtype)
    s = quotient(f, f + form.number(2))
    z = keep(s * s)
    half = keep(f * f) * form.number(0.5)
    curved = keep(s * (half + keep(z * polynomial(keep, table.terms, z))))
    return (((curved + (keep(times * table.rest) + small)) - half) + f) + times * table.first


def _of_positive(form: Format, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns y where x is a positive number, else what the logarithm of x is."""
    y = jnp.where(x < form.number(np.inf), y, x)
    return jnp.where(x > 0, y, jnp.where(x == 0, form.number(-np.inf), form.number(np.nan)))
