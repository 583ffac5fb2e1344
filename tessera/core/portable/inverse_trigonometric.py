"""Angles of a tangent, of a point, of a sine and of a cosine: polynomials of a quotient or root of at most 1.

With q = min(|x|, |y|) / max(|x|, |y|) and a = atan q the angle of the point (x, y) has the size

    |y| <= |x|:  a for x > 0, pi - a for x < 0;   |y| > |x|:  pi/2 - a for x > 0, pi/2 + a for x < 0

and asin x is that of |x| <= 1/2, or pi/2 - 2 asin(sqrt((1 - x) / 2)). What the nearest numbers to pi and pi/2
lack is added before them. The polynomials are minimax to 2^-28 and 2^-27 of the result (float64: 2^-57 and
2^-56).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.arithmetic import divide, quotient, sqrt
from tessera.core.portable.formats import (
    Elementwise,
    Format,
    keeper,
    operand,
    operands,
    polynomial,
)
from tessera.core.portable.trigonometric import HALF_PI, HALF_PI_REST


@dataclass(frozen=True)
class _Table:
    tangent: tuple[Any, ...]  # atan q = q + q^3 P(q^2) on [0, 1], constant term first
    sine: tuple[Any, ...]  # asin x = x + x^3 P(x^2) on [0, 1/2]


_TABLES = {
    "float32": _Table(
        (
            *map(np.float32, (-0.333333, 0.1999853, -0.14264016, 0.109508775, -0.0839928)),
            *map(np.float32, (0.057880502, -0.031095523, 0.0108675165, -0.001782458)),
        ),
        tuple(map(np.float32, (0.16666752, 0.074953094, 0.04546915, 0.024184795, 0.042158324))),
    ),
    "float64": _Table(
        (
            *map(np.float64, (-0.3333333333333307, 0.19999999999951765, -0.14285714282586023)),
            *map(np.float64, (0.11111111007186071, -0.0909090700350679, 0.07692279823008129)),
            *map(np.float64, (-0.06666403770440654, 0.05880525312558385, -0.052535042859160254)),
            *map(np.float64, (0.0472226420509952, -0.04219003928263043, 0.03663791161294491)),
            *map(np.float64, (-0.029896873727009537, 0.02197552306975515, -0.013891099866617206)),
            *map(np.float64, (0.007189349235442616, -0.0028810105125279535)),
            *map(np.float64, (0.0008298652155896141, -0.00015182941615381193)),
            np.float64(1.319034844189829e-05),
        ),
        (
            *map(np.float64, (0.1666666666666541, 0.0750000000033664, 0.0446428568285012)),
            *map(np.float64, (0.030381959135163884, 0.022371757986225215, 0.017359706986188054)),
            *map(np.float64, (0.013885204647329471, 0.012169451382228556, 0.006526853623419266)),
            *map(np.float64, (0.019531392515351492, -0.0162290304871028, 0.031915337280762755)),
        ),
    ),
}


def atan(x: Any) -> jax.Array:
    """Returns the angle in [-pi/2, pi/2] whose tangent is x, in radians, within 2 ulp.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> atan(jnp.array([0.5, -0.0, -jnp.inf]))
    Array([ 0.4636476, -0.       , -1.5707964], dtype=float32)
    """
    form, x = operand("atan", x)
    size, one = jnp.abs(x), jnp.ones_like(x)
    steep = size > one
    q = quotient(jnp.where(steep, one, size), jnp.where(steep, size, one))
    keep = keeper(form, x)
    angle = _angle(form, keep, q)
    half, rest = form.number(HALF_PI), form.number(HALF_PI_REST[form.name])
    far = half + keep(rest - angle)  # XLA would add the constants first
    y = form.with_sign(jnp.where(steep, far, angle), x)
    return jnp.where(size < form.linear_below, x, y)


def atan2(y: Any, x: Any) -> jax.Array:
    """Returns the angle of the point (x, y) from the x axis, in radians in [-pi, pi], within 2 ulp.

    `y` and `x` are float32 or float64 of one shape and dtype, none subnormal; scalars broadcast. At zeros and
    infinities it is what C's atan2 is; angles of magnitude <= 2^-126 (float64: 2^-1022) are zeros.

    >>> atan2(jnp.array([1.0, -0.0, jnp.inf]), jnp.array([2.0, -1.0, jnp.inf]))
    Array([ 0.4636476, -3.1415927,  0.7853982], dtype=float32)
    """
    form, y, x = operands("atan2", y, x)
    number, high, wide = form.number, jnp.abs(y), jnp.abs(x)
    steep = high > wide
    small, large = jnp.where(steep, wide, high), jnp.where(steep, high, wide)
    # Two zeros have the angle of (1, 0), two infinities that of (1, 1).
    q = jnp.where(large == 0, number(0), jnp.where(small == large, number(1), divide(small, large)))
    keep = keeper(form, q)
    angle = _angle(form, keep, q)
    behind = form.signed(x) < form.integer(0)  # of -0 too
    turns = jnp.where(steep, number(1), jnp.where(behind, number(2), number(0)))
    angle = jnp.where(steep != behind, -angle, angle) + turns * number(HALF_PI_REST[form.name])
    angle = form.with_sign(turns * number(HALF_PI) + keep(angle), y)
    return jnp.where((x != x) | (y != y), number(np.nan), angle)


def asin(x: Any) -> jax.Array:
    """Returns the angle in [-pi/2, pi/2] whose sine is x, in radians, within 2 ulp; NaN beyond 1.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> asin(jnp.array([0.5, -0.0, -1.0]))
    Array([ 0.5235988, -0.       , -1.5707964], dtype=float32)
    """
    form, x = operand("asin", x)
    keep = keeper(form, x)
    near, s, rest = _arc(form, keep, x)
    half, half_rest = form.number(HALF_PI), form.number(HALF_PI_REST[form.name])
    far = half - ((s + s) + keep((rest + rest) - half_rest))
    return form.with_sign(jnp.where(near, s + rest, far), x)


def acos(x: Any) -> jax.Array:
    """Returns the angle in [0, pi] whose cosine is x, in radians, within 1.5 ulp; NaN beyond 1.

    `x` is float32 or float64 of any shape, nowhere subnormal.

    >>> acos(jnp.array([0.5, 1.0, -1.0]))
    Array([1.0471976, 0.       , 3.1415927], dtype=float32)
    """
    form, x = operand("acos", x)
    keep = keeper(form, x)
    near, s, rest = _arc(form, keep, x)
    number, negative = form.number, x < 0
    times = jnp.where(near, number(1), number(2))
    times = jnp.where(near != negative, -times, times)
    turns = jnp.where(near, number(1), jnp.where(negative, number(2), number(0)))
    lacking = turns * number(HALF_PI_REST[form.name])
    return turns * number(HALF_PI) + keep(times * s + keep(times * rest + lacking))


def _angle(form: Format, keep: Elementwise, q: jax.Array) -> jax.Array:
    z = keep(q * q)
    return q + keep(keep(z * polynomial(keep, _TABLES[form.name].tangent, z)) * q)


def _arc(form: Format, keep: Elementwise, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns whether |x| <= 1/2, and s and asin s - s: s is |x| there, sqrt((1 - |x|) / 2) elsewhere."""
    size = jnp.abs(x)
    near = size <= form.number(0.5)
    z = jnp.where(near, keep(x * x), (form.number(1) - size) * form.number(0.5))
    s = jnp.where(near, size, sqrt(z))
    return near, s, keep(s * keep(z * polynomial(keep, _TABLES[form.name].sine, z)))
