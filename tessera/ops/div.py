"""`op.div`: the quotient of two arrays, elementwise."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array


def div(a: Any, b: Any) -> jax.Array:
    """Returns a / b, elementwise, with NumPy broadcasting and IEEE division: x / 0 is inf, 0 / 0 NaN.

    Operands come to one dtype; integers and booleans count as floats. Raises `E_SHAPE_MISMATCH` for shapes
    that do not broadcast, `E_TARGET_CODEGEN` for what is no array of numbers or booleans.

    >>> import jax.numpy as jnp
    >>> div(jnp.array([1, -1, 4]), jnp.array([0, 0, 8])).tolist()
    [inf, -inf, 0.5]
    """
    first, second = _checked("a", a), _checked("b", b)
    try:
        jnp.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"div: shapes {first.shape} of 'a' and {second.shape} of 'b' do not broadcast.",
        ) from None
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return jnp.divide(first, second)


def _checked(word: str, x: Any) -> jax.Array:
    array = to_array("div", word, x)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == jnp.bool_):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"div: argument {word!r} is {array.dtype}, not of numbers."
        )
    return array
