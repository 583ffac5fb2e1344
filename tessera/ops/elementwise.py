"""`op.exp`, `op.add`, `op.lt` and the like: functions of single elements, with NumPy's rules.

They are those of `jax.numpy`, with their derivatives, and Tessera's errors. Operands broadcast, and come to
one dtype also where JAX's implicit promotion is off; integers count as floats where the result is no integer.
An operand that is no array of numbers or booleans raises `E_TARGET_CODEGEN` or `E_GRAPH_INVALID`, shapes that
do not broadcast `E_SHAPE_MISMATCH`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array
from tessera.core.precision import require_one_dtype

Unary = Callable[[Any], jax.Array]
Binary = Callable[[Any, Any], jax.Array]


def _unary(
    name: str, function: Callable[..., jax.Array], says: str, call: str, gives: str
) -> Unary:
    def run(x: Any) -> jax.Array:
        return _applied(name, function, {"x": x})

    return _named(run, name, says, call, gives)


def _binary(
    name: str, function: Callable[..., jax.Array], says: str, call: str, gives: str
) -> Binary:
    def run(a: Any, b: Any) -> jax.Array:
        return _applied(name, function, {"a": a, "b": b})

    return _named(run, name, says, call, gives)


def _named(run: Any, name: str, says: str, call: str, gives: str) -> Any:
    run.__name__ = run.__qualname__ = name
    run.__doc__ = (
        f"{says}\n\nDtypes and errors: `tessera.ops.elementwise`.\n\n>>> {call}\n{gives}\n"
    )
    return run


def _applied(name: str, function: Callable[..., jax.Array], operands: dict[str, Any]) -> jax.Array:
    arrays = [_checked(name, word, x) for word, x in operands.items()]
    shapes = [x.shape for x in arrays]
    try:
        jnp.broadcast_shapes(*shapes)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{name}: shapes {shapes[0]} of 'a' and {shapes[1]} of 'b' do not broadcast.",
        ) from None
    require_one_dtype(name, arrays)
    try:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*arrays)
    except TypeError as error:  # subtraction of booleans, an integer to a negative power
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"{name}: {error}", hints="x.astype(jnp.float32)"
        ) from error


def _checked(name: str, word: str, x: Any) -> jax.Array:
    array = to_array(name, word, x)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == jnp.bool_):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"{name}: argument {word!r} is {array.dtype}, not of numbers."
        )
    return array


exp = _unary(
    "exp",
    jnp.exp,
    "Returns e to the power of x.",
    "exp(0.0).item()",
    "1.0",
)
log = _unary(
    "log",
    jnp.log,
    "Returns the natural logarithm: -inf of 0, NaN of a negative number.",
    "log(1.0).item()",
    "0.0",
)
sqrt = _unary(
    "sqrt",
    jnp.sqrt,
    "Returns the square root: NaN of a negative number.",
    "sqrt(9).item()",
    "3.0",
)
square = _unary(
    "square",
    jnp.square,
    "Returns x times x.",
    "square(-3.0).item()",
    "9.0",
)

add = _binary(
    "add",
    jnp.add,
    "Returns a + b; of booleans, a or b.",
    "add(jnp.arange(3), 0.5).tolist()",
    "[0.5, 1.5, 2.5]",
)
sub = _binary(
    "sub",
    jnp.subtract,
    "Returns a - b. Raises `E_TARGET_CODEGEN` for two booleans.",
    "sub(3, 1).item()",
    "2",
)
mul = _binary(
    "mul",
    jnp.multiply,
    "Returns a b, elementwise.",
    "mul(jnp.arange(3), jnp.ones((2, 1))).tolist()",
    "[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]",
)
pow = _binary(  # noqa: A001 - its name
    "pow",
    jnp.power,
    "Returns a to the power of b. Raises `E_TARGET_CODEGEN` for an integer to a negative one.",
    "pow(2.0, 3).item()",
    "8.0",
)
minimum = _binary(
    "minimum",
    jnp.minimum,
    "Returns the smaller of a and b, NaN if either is; where they tie each gets half the gradient.",
    "minimum(jnp.arange(3), 1).tolist()",
    "[0, 1, 1]",
)
maximum = _binary(
    "maximum",
    jnp.maximum,
    "Returns the larger of a and b, NaN if either is; where they tie each gets half the gradient.",
    "maximum(jnp.arange(3), 1).tolist()",
    "[1, 1, 2]",
)
pointwise_mul = mul

lt = _binary(
    "lt",
    jnp.less,
    "Returns whether a < b, as booleans without gradient.",
    "lt(jnp.arange(3), 1).tolist()",
    "[True, False, False]",
)
le = _binary(
    "le",
    jnp.less_equal,
    "Returns whether a <= b, as booleans without gradient.",
    "le(jnp.arange(3), 1).tolist()",
    "[True, True, False]",
)
gt = _binary(
    "gt",
    jnp.greater,
    "Returns whether a > b, as booleans without gradient.",
    "gt(jnp.arange(3), 1).tolist()",
    "[False, False, True]",
)
ge = _binary(
    "ge",
    jnp.greater_equal,
    "Returns whether a >= b, as booleans without gradient.",
    "ge(jnp.arange(3), 1).tolist()",
    "[False, True, True]",
)
eq = _binary(
    "eq",
    jnp.equal,
    "Returns whether a = b, as booleans without gradient; a NaN equals nothing.",
    "eq(jnp.arange(3), 1).tolist()",
    "[False, True, False]",
)
ne = _binary(
    "ne",
    jnp.not_equal,
    "Returns whether a and b differ, as booleans without gradient.",
    "ne(jnp.arange(3), 1).tolist()",
    "[True, False, True]",
)
