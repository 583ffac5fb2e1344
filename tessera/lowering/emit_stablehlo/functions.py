"""What the computing ops of a tile program are in JAX: elementwise functions, reductions, dtypes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from xdsl.dialects import builtin
from xdsl.ir import Attribute

from tessera.core.op import registered_op
from tessera.ir.tile import Tile
from tessera.ir.types import aval_of

Function = Callable[..., jax.Array]


def _op(name: str) -> Function:
    """Returns a Tessera op, which on a CPU may have a formulation faster than XLA's."""
    return lambda *operands: registered_op(name).bind(*operands)


def _relu(x: jax.Array) -> jax.Array:
    return lax.max(x, lax.full_like(x, 0))


# By name in the dialect; operands have one shape. `rem` has the sign of its first operand.
FUNCTIONS: Mapping[str, Function] = {
    "abs": lax.abs, "add": lax.add, "and": lax.bitwise_and, "atan2": _op("atan2"), "ceil": lax.ceil,
    "cos": _op("cos"), "div": lax.div, "eq": lax.eq, "erf": lax.erf, "exp": lax.exp,
    "exp2": lax.exp2, "expm1": lax.expm1,
    "floor": lax.floor, "ge": lax.ge, "gt": lax.gt, "le": lax.le, "log": lax.log, "log1p": lax.log1p,
    "logistic": lax.logistic, "lt": lax.lt, "max": lax.max, "min": lax.min, "mul": lax.mul,
    "ne": lax.ne, "neg": lax.neg, "not": lax.bitwise_not, "or": lax.bitwise_or, "pow": lax.pow,
    "relu": _relu, "rem": lax.rem, "rsqrt": lax.rsqrt, "sign": lax.sign, "sin": _op("sin"),
    "sqrt": lax.sqrt, "square": lax.square, "sub": lax.sub, "tan": _op("tan"), "tanh": lax.tanh,
    "where": lax.select,
}  # fmt: skip

# Of indices: Python numbers where they are known, else arrays.
INDEX_FUNCTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "div": lambda a, b: a // b,
    "max": lambda a, b: max(a, b) if known(a, b) else jnp.maximum(a, b),
    "min": lambda a, b: min(a, b) if known(a, b) else jnp.minimum(a, b),
    "mul": lambda a, b: a * b,
    "rem": lambda a, b: a % b if known(a, b) else lax.rem(*map(as_index, (a, b))),
    "sub": lambda a, b: a - b,
    "eq": lambda a, b: as_index(a) == as_index(b),
    "ge": lambda a, b: as_index(a) >= as_index(b),
    "gt": lambda a, b: as_index(a) > as_index(b),
    "le": lambda a, b: as_index(a) <= as_index(b),
    "lt": lambda a, b: as_index(a) < as_index(b),
    "ne": lambda a, b: as_index(a) != as_index(b),
}

REDUCE: Mapping[str, Function] = {"sum": jnp.sum, "max": jnp.max, "min": jnp.min}
SCAN: Mapping[str, Function] = {"sum": lax.cumsum, "max": lax.cummax, "min": lax.cummin}


def known(*indices: Any) -> bool:
    """Returns whether indices are numbers at trace time."""
    return all(isinstance(index, int) for index in indices)


def as_index(index: Any) -> jax.Array:
    """Returns an index as a 32-bit array."""
    return jnp.asarray(index, jnp.int32)


def as_place(index: Any) -> jax.Array:
    """Returns an index that is the same along all carried axes as a number."""
    return as_index(index).reshape(())


def dtype_of(kind: Tile) -> Any:
    """Returns the JAX dtype of a block's elements."""
    return aval_of(builtin.TensorType(kind.element, [])).dtype


def number_of(value: Attribute) -> Any:
    """Returns the number of an attribute."""
    assert isinstance(value, builtin.IntegerAttr | builtin.FloatAttr), value
    return value.value.data
