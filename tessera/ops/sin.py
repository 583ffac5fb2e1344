"""`op.sin`, `op.cos` and `op.tan`: a polynomial on CPU, where XLA calls a scalar routine per element.

The quadrant n = round(2x/pi) is subtracted with pi/2 in four parts (Cody and Waite 1980). The first three
have 11 bits and |n| < 2^13 for |x| < 1e4, so every product n * part is exact whether or not the compiler
contracts it into a fused multiply-add. What the last subtractions round away is kept and added back to the
sine, so results are within 2 ulp, next to multiples of pi/2 too. In odd quadrants the tangent is -1 over that
of the remainder.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.float32 import SIGN, bits, coefficients, from_bits, polynomial
from tessera.core.op import Sample, define_op

Elementwise = Callable[[jax.Array], jax.Array]

LIMIT = np.float32(1e4)
SMALLEST_SIZE = 8192  # below it one kernel launch costs more than the scalar routine

TWO_OVER_PI = np.float32(2 / np.pi)
HALF_PI = tuple(
    np.float32(float.fromhex(part))
    for part in ("0x1.92p+0", "0x1.fb4p-12", "0x1.444p-24", "0x1.68c234p-39")
)
# Minimax in relative error on [-pi/4, pi/4] (4e-9 and 1.2e-10), fitted by Lawson's iteration:
# sin r = r + r^3 P(r^2) and cos r = 1 - r^2/2 + r^4 P(r^2), constant term first.
SINE = coefficients(-0.16666655, 0.0083321556, -0.00019514632)
COSINE = coefficients(0.041666646, -0.0013887309, 2.4432413e-05)
# tan r = r + r^3 P(r^2) there, by the same fit (1.3e-9).
TANGENT = coefficients(
    0.33333349, 0.13332675, 0.054058913, 0.021286208, 0.010827444, 9.8246674e-05, 0.0043726959
)
# Adding 1.5 * 2^23 rounds to an integer, whose bits are then the low bits of the sum. It is read from them:
# XLA may simplify (x + c) - c to x.
ROUND = np.float32(1.5 * 2**23)
ROUND_BITS = ROUND.view(np.int32)
# sin x = x to half an ulp below it; the polynomial would flush subnormal numbers and lose the sign of -0.
IDENTITY_BELOW = np.float32(2.0**-12)


@define_op("*b -> *b")
def sin(x: jax.Array) -> jax.Array:
    """Returns the sine of x in radians, elementwise.

    `x` is a float array of any shape; the result has its shape and dtype. On CPU, float32 arrays (and bf16
    and f16, computed in fp32) are within 2 ulp where every |x| < 1e4; an array with a larger, infinite or
    NaN element goes through `jnp.sin`, as do float64 and small arrays. sin(+-inf) is NaN, sin(-0) is -0.

    >>> import jax.numpy as jnp
    >>> sin(jnp.array([0.0, 1.5707964])).round(4)
    Array([0., 1.], dtype=float32)
    """
    return jnp.sin(x)


@define_op("*b -> *b")
def cos(x: jax.Array) -> jax.Array:
    """Returns the cosine of x in radians, elementwise.

    Shapes, dtypes and accuracy are those of `sin`: 2 ulp on CPU where every |x| < 1e4, `jnp.cos` otherwise.

    >>> import jax.numpy as jnp
    >>> cos(jnp.array([0.0, 1.0471976])).round(4)
    Array([1. , 0.5], dtype=float32)
    """
    return jnp.cos(x)


@define_op("*b -> *b")
def tan(x: jax.Array) -> jax.Array:
    """Returns the tangent of x in radians, elementwise.

    Shapes, dtypes and accuracy are those of `sin`: 2 ulp on CPU where every |x| < 1e4, `jnp.tan` otherwise.

    >>> import jax.numpy as jnp
    >>> tan(jnp.array([0.0, 0.7853982])).round(4)
    Array([0., 1.], dtype=float32)
    """
    return jnp.tan(x)


@sin.def_jvp
def _sin_tangent(operands: tuple[jax.Array], tangents: tuple[jax.Array]) -> jax.Array:
    return cos(operands[0]) * tangents[0]


@cos.def_jvp
def _cos_tangent(operands: tuple[jax.Array], tangents: tuple[jax.Array]) -> jax.Array:
    return -sin(operands[0]) * tangents[0]


@tan.def_jvp
def _tan_tangent(operands: tuple[jax.Array], tangents: tuple[jax.Array]) -> jax.Array:
    y = tan(operands[0])
    return (1 + y * y) * tangents[0]


def _polynomial_pays(x: jax.Array) -> bool:
    return x.dtype != jnp.float64 and x.size >= SMALLEST_SIZE


@sin.def_algorithm("polynomial", platforms=("cpu",), when=_polynomial_pays, partitions=True)
def _sin_polynomial(x: jax.Array) -> jax.Array:
    return _guarded(_sin_inside, jnp.sin, x)


@cos.def_algorithm("polynomial", platforms=("cpu",), when=_polynomial_pays, partitions=True)
def _cos_polynomial(x: jax.Array) -> jax.Array:
    return _guarded(_cos_inside, jnp.cos, x)


@tan.def_algorithm("polynomial", platforms=("cpu",), when=_polynomial_pays, partitions=True)
def _tan_polynomial(x: jax.Array) -> jax.Array:
    return _guarded(_tan_inside, jnp.tan, x)


def _guarded(inside: Elementwise, anywhere: Elementwise, x: jax.Array) -> jax.Array:
    """Applies `inside` if every |x| is below the limit, else `anywhere`."""
    wide = x.astype(jnp.float32)
    return lax.cond(_all_inside(wide), inside, anywhere, wide).astype(x.dtype)


def _all_inside(x: jax.Array) -> jax.Array:
    """Returns whether every |x| is below the limit, reading x once when its sums of squares say so.

    XLA's CPU maximum may drop a NaN and what came before it, so the sums, which cannot, must say that there
    is none. Plain reductions run at memory speed; one of `abs(x) < LIMIT` does not.
    """
    rows = jnp.atleast_1d(x)
    squares = jnp.sum(rows * rows, axis=-1)

    def by_extremes(x: jax.Array, no_nan: jax.Array) -> jax.Array:
        return no_nan & (jnp.max(x, initial=0) < LIMIT) & (jnp.min(x, initial=0) > -LIMIT)

    # Both branches return something of `squares`, so that they vary over the same mesh axes in shard_map.
    small, no_nan = jnp.all(squares < LIMIT * LIMIT), jnp.all(squares == squares)
    return lax.cond(small, lambda _, no_nan: no_nan, by_extremes, x, no_nan)


def _sin_inside(x: jax.Array) -> jax.Array:
    quadrant, sine, cosine = _reduced(x)
    y = _in_quadrant(quadrant, sine, cosine)
    return jnp.where(jnp.abs(x) < IDENTITY_BELOW, x, y)


def _cos_inside(x: jax.Array) -> jax.Array:
    quadrant, sine, cosine = _reduced(x)
    return _in_quadrant(quadrant + np.uint32(1), sine, cosine)


def _tan_inside(x: jax.Array) -> jax.Array:
    quadrant, r, tail = _remainder(x)
    z = r * r
    tangent = r + ((z * polynomial(TANGENT, z)) * r + (tail + tail * z))
    odd = (quadrant & np.uint32(1)) == np.uint32(1)
    one = np.float32(1)
    # One quotient of two choices: a second use of a quotient would keep XLA from making one loop of this.
    y = jnp.where(odd, -one, tangent) / jnp.where(odd, tangent, one)
    return jnp.where(jnp.abs(x) < IDENTITY_BELOW, x, y)


def _remainder(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the quadrant n, the remainder x - n pi/2, and what it lacks."""
    quadrant = lax.bitcast_convert_type(x * TWO_OVER_PI + ROUND, jnp.int32) - ROUND_BITS
    n = quadrant.astype(jnp.float32)
    exact = (x - n * HALF_PI[0]) - n * HALF_PI[1]
    third = n * HALF_PI[2]
    r = exact - third
    tail = ((exact - r) - third) - n * HALF_PI[3]
    return quadrant.astype(jnp.uint32), r, tail


def _reduced(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the quadrant n and the sine and cosine of x - n pi/2."""
    quadrant, r, tail = _remainder(x)
    z = r * r
    one, half = np.float32(1), np.float32(0.5)
    sine = r + ((polynomial(SINE, z) * z) * r + tail)
    curved = (polynomial(COSINE, z) * z) * z
    cosine = (one - half * z) + curved  # the tail would add at most 0.4 ulp here
    return quadrant, sine, cosine


def _in_quadrant(quadrant: jax.Array, sine: jax.Array, cosine: jax.Array) -> jax.Array:
    y = jnp.where((quadrant & np.uint32(1)) == np.uint32(0), sine, cosine)
    negate = (quadrant << np.uint32(30)) & SIGN  # bit 1 of the quadrant, moved to the sign
    return from_bits(bits(y) ^ negate)


sin.samples = (Sample((3, 4)), Sample((2, 3, 5)), Sample(()))
cos.samples = sin.samples
tan.samples = tuple(Sample(Sample.uniform(shape, -1.4, 1.4)) for shape in ((3, 4), (2, 3, 5), ()))
