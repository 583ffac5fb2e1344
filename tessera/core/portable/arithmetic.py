"""Sums, products, quotients, roots and whole powers, each rounded once as IEEE 754 says."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core.portable.correction import corrected_quotient, corrected_root
from tessera.core.portable.formats import Format, marked, operand, operands


def flushed(x: Any) -> jax.Array:
    """Returns x with zeros of their sign for subnormal numbers.

    `x` is float32 or float64 of any shape; the result has its shape and dtype.

    >>> import numpy as np
    >>> flushed(np.float32([1e-40, -1e-40, 1.0]))
    Array([ 0., -0.,  1.], dtype=float32)
    """
    form, x = operand("flushed", x)
    return _zero_below(form, x, 0)


def normal(x: Any) -> jax.Array:
    """Returns x, rounded as by `rounded`, with +0 for subnormal numbers; its derivative is that of x.

    >>> import numpy as np
    >>> normal(np.float32([1e-40, -0.0, 1.0]))
    Array([ 0., -0.,  1.], dtype=float32)
    """
    form, x = operand("normal", x)
    above_zero = (form.bits(x) & form.magnitude) - form.word(1)  # zero wraps around to the largest
    return jnp.where(above_zero < form.leading - form.word(1), form.number(0), x)


def rounded(x: Any) -> jax.Array:
    """Returns x behind a select, so that the operation that made x is rounded before the next one.

    `x` is float32 or float64 of any shape. A compiler neither contracts a product seen through it nor
    rewrites the operations on both sides. NaN stays NaN, perhaps another one.

    >>> import numpy as np
    >>> a = np.float32(1 + 2**-12)
    >>> jax.jit(lambda a, b: rounded(a * a) - b)(a, a * a)
    Array(0., dtype=float32)
    """
    form, x = operand("rounded", x)
    return jnp.where(marked(form, x), form.number(float("nan")), x)


def multiply(x: Any, y: Any) -> jax.Array:
    """Returns x y, rounded to nearest; magnitudes <= 2^-126 (float64: 2^-1022) become zero.

    `x` and `y` are float32 or float64 of one shape and dtype, none subnormal; scalars broadcast.

    >>> multiply(jnp.float32(0.5), jnp.array([3.0, -2e-38]))
    Array([ 1.5, -0. ], dtype=float32)
    """
    form, x, y = operands("multiply", x, y)
    return _zero_below(form, x * y, 1)


def square(x: Any) -> jax.Array:
    """Returns x x, as `multiply` does.

    >>> square(jnp.array([3.0, -0.5]))
    Array([9.  , 0.25], dtype=float32)
    """
    return multiply(x, x)


def add(x: Any, y: Any) -> jax.Array:
    """Returns x + y, rounded to nearest; +0 for magnitudes below 2^-126 (float64: 2^-1022), -0 + -0 too.

    `x` and `y` are float32 or float64 of one shape and dtype, none subnormal; scalars broadcast.

    >>> add(jnp.array([1.0, -0.0]), 0.0)
    Array([1., 0.], dtype=float32)
    """
    form, x, y = operands("add", x, y)
    bits = form.bits(x + y)
    # One zero for all: XLA simplifies x + 0 to x, where it finds the zero, and so -0 + 0 to -0.
    small = _below(form, bits, 0)
    return form.floats(jnp.where(small, form.word(0), bits))


def subtract(x: Any, y: Any) -> jax.Array:
    """Returns x - y, as `add` does.

    >>> subtract(jnp.array([1.0, -0.5]), 1.0)
    Array([ 0. , -1.5], dtype=float32)
    """
    return add(x, -jnp.asarray(y))


def divide(x: Any, y: Any) -> jax.Array:
    """Returns x / y, rounded to nearest; magnitudes <= 2^-126 (float64: 2^-1022) become zero.

    `x` and `y` are float32 or float64 of one shape and dtype, none subnormal; scalars broadcast. CPUs divide;
    elsewhere XLA's quotient is an approximation and is corrected by an exact remainder.

    >>> divide(jnp.array([1.0, -1.0]), jnp.array([3.0, 0.0]))
    Array([0.33333334,       -inf], dtype=float32)
    """
    form, x, y = operands("divide", x, y)
    # XLA would multiply by the reciprocal of a constant, and by rsqrt for the quotient by a root.
    y = jnp.where(x == x, y, form.number(float("nan")))
    x = jnp.where(y == y, x, form.number(float("nan")))
    return _zero_below(form, quotient(x, y), 1)


def reciprocal(x: Any) -> jax.Array:
    """Returns 1 / x, as `divide` does.

    >>> reciprocal(jnp.array([4.0, -0.0]))
    Array([0.25, -inf], dtype=float32)
    """
    return divide(1.0, x)


def sqrt(x: Any) -> jax.Array:
    """Returns the square root of x, rounded to nearest; NaN below zero, -0 of -0.

    `x` is float32 or float64 of any shape, nowhere subnormal. CPUs take the root; elsewhere XLA's is an
    approximation and is corrected by an exact remainder.

    >>> sqrt(jnp.array([2.0, 0.0, -1.0]))
    Array([1.4142135, 0.       ,       nan], dtype=float32)
    """
    _, x = operand("sqrt", x)
    return rounded(lax.platform_dependent(x, cpu=lax.sqrt, default=corrected_root))


def rsqrt(x: Any) -> jax.Array:
    """Returns 1 / sqrt(x), rounded twice.

    >>> rsqrt(jnp.array([4.0, 0.0]))
    Array([0.5, inf], dtype=float32)
    """
    return reciprocal(sqrt(x))


def integer_power(x: Any, n: int) -> jax.Array:
    """Returns x^n by squaring and multiplying, from the lowest bit of |n| on; 1 / x^|n| for n < 0.

    `x` is float32 or float64 of any shape, nowhere subnormal. Each product is rounded as `multiply` does.

    >>> integer_power(jnp.array([3.0, -0.5]), 3)
    Array([27.   , -0.125], dtype=float32)
    >>> integer_power(jnp.array([3.0, -0.5]), -2)
    Array([0.11111111, 4.        ], dtype=float32)
    """
    _, x = operand("integer_power", x)
    if n < 0:
        return reciprocal(integer_power(x, -n))
    if n == 0:
        return jnp.ones_like(x)
    if n == 1:
        return x
    rest = integer_power(square(x), n // 2)
    return multiply(x, rest) if n % 2 else rest


def quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns x / y of arrays of one shape, neither a constant to XLA, where that is not near 2^-126."""
    return lax.platform_dependent(x, y, cpu=lax.div, default=corrected_quotient)


def _zero_below(form: Format, x: jax.Array, ulps: int) -> jax.Array:
    """Returns x, or a zero of its sign below the smallest normal number and `ulps` more."""
    bits = form.bits(x)
    return form.floats(jnp.where(_below(form, bits, ulps), bits & form.sign, bits))


def _below(form: Format, bits: jax.Array, ulps: int) -> jax.Array:
    """Returns where a magnitude is below the smallest normal number and `ulps` more.

    Integers compare: a compiler may take a comparison of floats with that number for one with zero.
    """
    limit = form.signed(form.leading) + form.integer(ulps)
    return form.signed(bits & form.magnitude) < limit
