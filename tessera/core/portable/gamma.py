"""The logarithm of the gamma function and its derivative psi: Stirling's series far away, recurrences near.

With the fraction t of z and z0 = 0.46, the zero of psi(1 + z), they are

    log z!       t (t - 1) P(t - 1/2) + log(z (z - 1) ... (t + 1)), from 7 on
                 z (log z - 1) + (log z + log 2 pi) / 2 + R(1 / z^2) / z
    psi(1 + z)   (t - z0) Q(t - 1/2) + 1 / z + 1 / (z - 1) + ... + 1 / (t + 1), from 7 on
                 log z + 1 / (2 z) - S(1 / z^2) / z^2

for z = x - 1. Where x < 1 z is |x|, and log x and 1 / x are subtracted; below zero the values are
log(pi / |sin pi x|) - log z! and psi(1 + z) - pi / tan(pi x). The polynomials are minimax to 2^-24 of the
result (float64: 2^-53).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.portable.arithmetic import divide, reciprocal
from tessera.core.portable.formats import Elementwise, Format, keeper, operand, polynomial
from tessera.core.portable.logarithm import log
from tessera.core.portable.trigonometric import of_half_turns


@dataclass(frozen=True)
class _Table:
    factorial: tuple[Any, ...]  # P, constant term first
    factorial_far: tuple[Any, ...]  # R
    psi: tuple[Any, ...]  # Q
    psi_far: tuple[Any, ...]  # S
    zero: tuple[Any, Any]  # z0, and what it lacks


_TABLES = {
    "float32": _Table(
        (
            *map(np.float32, (0.48312896, -0.1459599, 0.06291105, -0.031308003, 0.016808258)),
            *map(np.float32, (-0.009436367, 0.0053249677, -0.003116459, 0.0024487975)),
            np.float32(-0.0015255491),
        ),
        (*map(np.float32, (0.08333318, -0.002754763)),),
        (
            *map(np.float32, (0.9510559, -0.4236275, 0.24054262, -0.14839877, 0.0949821)),
            *map(np.float32, (-0.062057216, 0.04087909, -0.025780262, 0.01698149, -0.016385455)),
            np.float32(0.011117058),
        ),
        (*map(np.float32, (0.083332576, -0.008219317)),),
        (np.float32(0.46163213), np.float32(1.243815e-08)),
    ),
    "float64": _Table(
        (
            *map(np.float64, (0.4831289505409809, -0.14595989591430594, 0.06291140107456435)),
            *map(np.float64, (-0.03130848750105422, 0.01679709863127968, -0.00942562244476263)),
            *map(np.float64, (0.005446457838839891, -0.003212074222757096, 0.0019229163202944067)),
            *map(np.float64, (-0.0011644113398789303, 0.0007115189547394521)),
            *map(np.float64, (-0.00043803554223625777, 0.00027131476909855967)),
            *map(np.float64, (-0.00016856944643699296, 0.00010534930228553506)),
            *map(np.float64, (-6.794593074756832e-05, 4.304754986994355e-05)),
            *map(np.float64, (-2.1470477653850818e-05, 1.3148502608585739e-05)),
            *map(np.float64, (-1.8542327277060968e-05, 1.2170103537543289e-05)),
        ),
        (
            *map(np.float64, (0.0833333333333295, -0.0027777777744606913, 0.0007936498002732823)),
            *map(np.float64, (-0.0005950977555289025, 0.0008314754079102747)),
            np.float64(-0.0015323267325799339),
        ),
        (
            *map(np.float64, (0.951055876031833, -0.4236274212814606, 0.24054248424077393)),
            *map(np.float64, (-0.1484049230538905, 0.09498872445497822, -0.061922133274663366)),
            *map(np.float64, (0.040760833810558186, -0.026975796692499464, 0.017907252487481637)),
            *map(np.float64, (-0.011908219392637824, 0.007926943932379155)),
            *map(np.float64, (-0.0052799466037582775, 0.003519012874921852)),
            *map(np.float64, (-0.002345417971912901, 0.0015565953900008598)),
            *map(np.float64, (-0.0010368564625618088, 0.0007234500941681415)),
            *map(np.float64, (-0.0004846856294023439, 0.00022700095892187166)),
            *map(np.float64, (-0.0001470556632289071, 0.0002598704675957922)),
            np.float64(-0.00017650474197367363),
        ),
        (
            *map(np.float64, (0.08333333333328835, -0.0083333332936214, 0.003968241901716039)),
            *map(np.float64, (-0.004164941635334727, 0.007447993753044827, -0.016232663494379143)),
        ),
        (np.float64(0.46163214496836236), np.float64(-1.5522348162858677e-17)),
    ),
}
HALF_LOG_TWO_PI = np.log(2 * np.pi) / 2
FACTORS = 6  # of the products and sums, at most


def lgamma(x: Any) -> jax.Array:
    """Returns log |Gamma(x)| within 6 ulp for x > 0; infinite of whole numbers <= 0 and of infinities.

    `x` is float32 or float64 of any shape, nowhere subnormal. Below zero the error is 6 ulp of the terms,
    which cancel near zeros of the function.

    >>> lgamma(jnp.array([0.5, 5.0, -1.0]))
    Array([0.5723649, 3.1780539,       inf], dtype=float32)
    """
    form, x = operand("lgamma", x)
    keep, size, one = keeper(form, x), jnp.abs(x), form.number(1)
    z = jnp.where(x < one, size, x - one)
    below, t, product, _ = _reduced(form, keep, z)
    logarithm = log(jnp.where(below, product, z))
    near = _log_factorial_of_fraction(form, keep, t) + logarithm
    factorial = jnp.where(below, near, _log_factorial_far(form, keep, z, logarithm))
    distance, _ = _distance_to_whole(form, size)
    sine, _ = of_half_turns(form, keep, distance)
    rest = log(jnp.where(x < 0, sine, jnp.where(x < one, x, one)))
    reflected = (form.number(np.log(np.pi)) - rest) - factorial
    y = jnp.where(x < 0, reflected, factorial - rest)
    return jnp.where(size == form.number(np.inf), size, y)


def digamma(x: Any) -> jax.Array:
    """Returns the derivative of log Gamma(x) within 6 ulp for x > 0; infinite of zeros.

    `x` is float32 or float64 of any shape, nowhere subnormal. It is NaN of whole numbers below zero. There
    the error is 6 ulp of the terms, which cancel near zeros of the function.

    >>> digamma(jnp.array([0.5, 5.0, -1.0]))
    Array([-1.9635099,  1.5061177,        nan], dtype=float32)
    """
    form, x = operand("digamma", x)
    keep, size, one, zero = keeper(form, x), jnp.abs(x), form.number(1), form.number(0)
    z = jnp.where(x < one, size, x - one)
    below, t, product, derivative = _reduced(form, keep, z)
    near = _psi_of_fraction(form, keep, t) + divide(derivative, product)
    y = jnp.where(below, near, _psi_far(form, keep, z))
    distance, above = _distance_to_whole(form, size)
    sine, cosine = of_half_turns(form, keep, distance)
    pi = jnp.where(above, form.number(-np.pi), form.number(np.pi))
    dividend = jnp.where(x < 0, keep(pi * cosine), jnp.where(x < one, -one, zero))
    rest = divide(dividend, jnp.where(x < 0, sine, jnp.where(x < one, x, one)))
    return jnp.where((x < 0) & (distance == 0), form.number(np.nan), y + rest)


def _reduced(
    form: Format, keep: Elementwise, z: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns where z is below 7, and there its fraction t, z (z - 1) ... (t + 1) and its derivative."""
    product, derivative, t = jnp.ones_like(z), jnp.zeros_like(z), z
    for k in range(FACTORS):
        more, factor = z >= form.number(k + 1), z - form.number(k)
        derivative = jnp.where(more, keep(derivative * factor) + product, derivative)
        product = jnp.where(more, keep(product * factor), product)
        t = jnp.where(more, z - form.number(k + 1), t)
    return z < form.number(FACTORS + 1), t, product, derivative


def _log_factorial_of_fraction(form: Format, keep: Elementwise, t: jax.Array) -> jax.Array:
    curved = polynomial(keep, _TABLES[form.name].factorial, t - form.number(0.5))
    return keep(keep(t * (t - form.number(1))) * curved)


def _log_factorial_far(
    form: Format, keep: Elementwise, z: jax.Array, logarithm: jax.Array
) -> jax.Array:
    inverse, half = reciprocal(z), form.number(0.5)
    terms = _TABLES[form.name].factorial_far
    rest = keep(inverse * polynomial(keep, terms, keep(inverse * inverse)))
    rest = keep(rest + form.number(HALF_LOG_TWO_PI)) + logarithm * half
    return keep(z * (logarithm - form.number(1))) + rest


def _psi_of_fraction(form: Format, keep: Elementwise, t: jax.Array) -> jax.Array:
    table = _TABLES[form.name]
    first, rest = table.zero
    distance = keep(t - first) - rest  # XLA would add the constants
    return keep(distance * polynomial(keep, table.psi, t - form.number(0.5)))


def _psi_far(form: Format, keep: Elementwise, z: jax.Array) -> jax.Array:
    inverse = reciprocal(z)
    square = keep(inverse * inverse)
    curved = keep(square * polynomial(keep, _TABLES[form.name].psi_far, square))
    return (log(z) + inverse * form.number(0.5)) - curved


def _distance_to_whole(form: Format, size: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the distance to the nearest whole number, and whether that is above."""
    fraction = size - lax.floor(size)
    above = fraction > form.number(0.5)
    return jnp.where(above, form.number(1) - fraction, fraction), above
