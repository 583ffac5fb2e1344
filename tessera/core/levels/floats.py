"""The rules of primitives on floats.

Up to D3 the four operations and roots are the machine's, each rounded before another reads it; in D4 they are
those of `core.portable`. Other functions are `core.portable`'s at every level.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import portable
from tessera.core.determinism import at_least
from tessera.core.levels.tables import ORDER, OWN, Run, def_rule


def as_it_is(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    """Computes an equation as XLA does."""
    del level
    return equation.primitive.bind(*operands, **equation.params)


def _rounded(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    """XLA's own formula, apart from what surrounds it."""
    del level
    apart = [_apart(x) if _is_array_of_floats(x) else x for x in operands]
    return _apart(equation.primitive.bind(*apart, **equation.params))


def _apart(x: Any) -> jax.Array:
    """Returns floats that no compiler contracts or rewrites with what makes or reads them."""
    if jnp.issubdtype(jnp.result_type(x), jnp.complexfloating):
        return lax.complex(_apart(lax.real(x)), _apart(lax.imag(x)))
    if jnp.result_type(x).itemsize < 4:
        return narrowed(portable.rounded(jnp.asarray(x).astype(jnp.float32)), x.dtype)
    return portable.rounded(x)


def _is_array_of_floats(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def _elementwise(portably: Callable[..., Any], below: Run) -> Run:
    """Returns the rule of an elementwise primitive: portable in D4, `below` it another."""

    def run(equation: Any, level: str, operands: Sequence[Any]) -> Any:
        if at_least(level, "D4"):
            return _in_wide(portably, equation, operands)
        return below(equation, level, operands)

    return run


def _everywhere(portably: Callable[..., Any]) -> Run:
    """Returns the rule of a primitive for which XLA's own formula keeps no level."""

    def run(equation: Any, level: str, operands: Sequence[Any]) -> Any:
        del level
        return _in_wide(portably, equation, operands)

    return run


def _rounded_once(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    return _apart(as_it_is(equation, level, operands))


def _quotient(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    """XLA's quotient, entry by entry: where one number divides all, XLA may multiply by its reciprocal."""
    x, y = (jnp.asarray(z) for z in operands)
    nan = jnp.asarray(jnp.nan, x.dtype)
    x = jnp.where(y == y, x, nan)
    y = jnp.where(x == x, y, nan)
    return _rounded_once(equation, level, [x, y])


def flushed(x: Any) -> Any:
    """Returns x with subnormals of its floats made zeros, as level D4 takes them."""
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        return x
    if jnp.result_type(x).itemsize >= 4:
        return portable.flushed(x)
    return narrowed(portable.flushed(x.astype(jnp.float32)), x.dtype)


def _in_wide(portably: Callable[..., Any], equation: Any, operands: Sequence[Any]) -> Any:
    """Computes in float32 what is narrower, and rounds it once."""
    out = equation.outvars[0].aval.dtype
    if out.itemsize >= 4:
        return portably(*operands)
    wide = [jnp.asarray(x).astype(jnp.float32) if _is_array_of_floats(x) else x for x in operands]
    return narrowed(portably(*wide), out)


def narrowed(x: jax.Array, dtype: Any) -> jax.Array:
    """Returns x rounded to a dtype. XLA may leave out a conversion to a narrower float and back."""
    limits = jnp.finfo(dtype)
    if limits.dtype == jnp.float16:
        return _behind_select(lax.convert_element_type(x, dtype))
    if limits.bits < jnp.finfo(x.dtype).bits and limits.bits >= 16:
        x = lax.reduce_precision(x, limits.nexp, limits.nmant)
    return lax.convert_element_type(x, dtype)


def _behind_select(x: jax.Array) -> jax.Array:
    """Returns a float16 that no compiler takes for the wider float it was; one NaN becomes another.

    `lax.reduce_precision` would make zeros of its subnormal numbers, which begin at 2^-14.
    """
    bits = lax.bitcast_convert_type(x, jnp.uint16)
    kept = jnp.where(bits == jnp.uint16(0x7E01), jnp.uint16(0x7E00), bits)
    return lax.bitcast_convert_type(kept, jnp.float16)


@def_rule(
    "convert_element_type", "D4", "a conversion to a narrower float may be left out.", native="D3"
)
def _convert(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    del level
    return narrowed(jnp.asarray(operands[0]), equation.params["new_dtype"])


def _one_minus_square(x: jax.Array) -> jax.Array:
    return portable.subtract(jnp.ones_like(x), portable.square(x))


DIFFERS = "machines round it differently."
INVERTED = "XLA may multiply by the reciprocal, of a divisor that is broadcast, say."
for _name, _portably, _below, _native, _reason in (
    ("add", portable.add, as_it_is, "D4", ""),
    ("add_any", portable.add, as_it_is, "D4", ""),
    ("sub", portable.subtract, as_it_is, "D4", ""),
    ("mul", portable.multiply, _rounded_once, "D4", ""),
    ("square", portable.square, _rounded_once, "D4", ""),
    ("div", portable.divide, _quotient, "D1", INVERTED),
    ("sqrt", portable.sqrt, _rounded_once, "D3", DIFFERS),
):
    def_rule(_name, "D4", _reason, native=_native)(_elementwise(_portably, _below))

for _name, _portably in {
    "rsqrt": portable.rsqrt,
    "exp": portable.exp,
    "exp2": portable.exp2,
    "expm1": portable.expm1,
    "log": portable.log,
    "log1p": portable.log1p,
    "tanh": portable.tanh,
    "logistic": portable.logistic,
    "sin": portable.sin,
    "cos": portable.cos,
    "pow": portable.power,
    "erf": portable.erf,
    "erfc": portable.erfc,
    "erf_inv": portable.erf_inv,
    "tan": portable.tan,
    "atan": portable.atan,
    "atan2": portable.atan2,
    "asin": portable.asin,
    "acos": portable.acos,
    "sinh": portable.sinh,
    "cosh": portable.cosh,
    "asinh": portable.asinh,
    "acosh": portable.acosh,
    "atanh": portable.atanh,
    "log2": portable.log2,
    "cbrt": portable.cbrt,
    "rem": portable.rem,
    "lgamma": portable.lgamma,
    "digamma": portable.digamma,
    "one_minus_square": _one_minus_square,
}.items():
    def_rule(_name, "D4", OWN)(_everywhere(_portably))


@def_rule("integer_pow", "D4", "", native="D4")
def _integer_pow(equation: Any, level: str, operands: Sequence[Any]) -> Any:
    if not at_least(level, "D4"):
        return _rounded(equation, level, operands)
    power = functools.partial(portable.integer_power, n=equation.params["y"])
    return _in_wide(power, equation, operands)


def _cumulative(combine: Callable[[str], Callable[..., Any]]) -> Run:
    def run(equation: Any, level: str, operands: Sequence[Any]) -> Any:
        axis, reverse = equation.params["axis"], equation.params["reverse"]
        return lax.associative_scan(combine(level), operands[0], reverse=reverse, axis=axis)

    return run


def _product(level: str) -> Callable[..., Any]:
    if at_least(level, "D4"):
        return portable.multiply
    return lambda a, b: _apart(a * b)


def_rule("cumsum", "D4", ORDER)(
    _cumulative(lambda level: portable.add if at_least(level, "D4") else jnp.add)
)
def_rule("cumprod", "D4", ORDER)(_cumulative(_product))
