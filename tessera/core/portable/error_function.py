"""The error function and its complement, which x Phi(x) is made of.

Below 1/2 erf x is x times a polynomial of x^2. Above, erfc x is exp(-x^2) / (1 + 2x) times a polynomial of
q = (x - 2) / (x + 2) (Shepherd and Laframboise 1981), with what the square x x loses kept. Both are minimax,
to 2^-28 and 2^-26 of the result (float64: 2^-55 and 2^-52), roundings of coefficients counted.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.arithmetic import divide, quotient
from tessera.core.portable.exponential import exp
from tessera.core.portable.formats import (
    Elementwise,
    Format,
    exact_product,
    keeper,
    operand,
    polynomial,
)


@dataclass(frozen=True)
class _Table:
    near: tuple[Any, ...]  # erf x = x + x P(x^2), constant term first
    far: tuple[Any, ...]  # erfc x = exp(-x^2) / (1 + 2x) P((x - 2) / (x + 2))
    beyond: float  # erfc x is zero from here on


_TABLES = {
    "float32": _Table(
        tuple(map(np.float32, (0.12837917, -0.37612608, 0.1128281, -0.02675607, 0.00471518))),
        (
            *map(np.float32, (1.2769784, -0.09276378, -0.16603081, 0.16404937, -0.05421139)),
            *map(np.float32, (-0.008011848, 0.008659475, 0.0011685131, -0.0012655862)),
            np.float32(-0.00025145168),
        ),
        beyond=9.5,
    ),
    "float64": _Table(
        (
            *map(np.float64, (0.1283791670955126, -0.3761263890318375, 0.1128379167095485)),
            *map(np.float64, (-0.026866170644991142, 0.0052239776218254525)),
            *map(np.float64, (-0.0008548326486880509, 0.00012055284468119252)),
            *map(np.float64, (-1.4922930257893819e-05, 1.6369579369166968e-06)),
            np.float64(-1.460536276076477e-07),
        ),
        (
            *map(np.float64, (1.2769783815525286, -0.09276382658574396, -0.16603039761529348)),
            *map(np.float64, (0.16405128003312794, -0.05422000099162954, -0.008034015068241529)),
            *map(np.float64, (0.008722653858772729, 0.0012713386742671312)),
            *map(np.float64, (-0.0014568135846242493, -0.00045433757570361284)),
            *map(np.float64, (0.0002063628023813126, 0.00015101784057950065)),
            *map(np.float64, (-1.4776362049595512e-06, -3.633932000862947e-05)),
            *map(np.float64, (-1.3637376866201779e-05, 3.517925008634711e-06)),
            *map(np.float64, (5.61833157939907e-06, 1.7309001924334654e-06)),
            *map(np.float64, (-1.318369995616297e-06, -9.143409223975887e-07)),
            *map(np.float64, (2.402784754716654e-07, 1.03387634046665e-07)),
        ),
        beyond=27.0,
    ),
}


def erf(x: Any) -> jax.Array:
    """Returns 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, within 2.5 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> erf(jnp.array([0.5, -0.0, -9.0]))
    Array([ 0.5204999, -0.       , -1.       ], dtype=float32)
    """
    form, x = operand("erf", x)
    keep = keeper(form, x)
    far = form.number(1) - _complement(form, keep, jnp.abs(x))
    far = form.with_sign(far, x)
    return jnp.where(jnp.abs(x) < form.number(0.5), _near_zero(form, keep, x), far)


def erfc(x: Any) -> jax.Array:
    """Returns 1 - erf x within 4.5 ulp, small ones too; zero where it is at most 2^-126 (2^-1022).

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> erfc(jnp.array([0.5, 3.0, -9.0]))
    Array([4.7950011e-01, 2.2090495e-05, 2.0000000e+00], dtype=float32)
    """
    form, x = operand("erfc", x)
    keep = keeper(form, x)
    far = _complement(form, keep, jnp.abs(x))
    far = jnp.where(x < 0, form.number(2) - far, far)
    near = form.number(1) - _near_zero(form, keep, x)
    return jnp.where(jnp.abs(x) < form.number(0.5), near, far)


def _near_zero(form: Format, keep: Elementwise, x: jax.Array) -> jax.Array:
    # A power of two keeps the product of the smallest x from being subnormal.
    large = x * form.number(256)
    y = keep(large * polynomial(keep, _TABLES[form.name].near, keep(x * x))) + large
    return y * form.number(1 / 256)


def _complement(form: Format, keep: Elementwise, size: jax.Array) -> jax.Array:
    """Returns erfc of numbers of at least 1/2."""
    table, one, two = _TABLES[form.name], form.number(1), form.number(2)
    size = jnp.where(size > form.number(table.beyond), form.number(table.beyond), size)
    square, lost = exact_product(form, keep, size, size)
    factor = polynomial(keep, table.far, quotient(size - two, size + two))
    # exp(-lost) is 1 - lost; times the exponential, what is lost may be subnormal.
    factor = factor - keep(factor * lost)
    return divide(keep(exp(-square) * factor), size * two + one)
