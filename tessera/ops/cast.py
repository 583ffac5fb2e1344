"""`op.cast`: an array in another dtype."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array


def cast(x: Any, dt: Any) -> jax.Array:
    """Returns x in the dtype of a word such as "bf16", or a NumPy or JAX dtype.

    Floats round to the nearest, ties to even; a float becomes an integer by dropping its fraction. What
    the dtype cannot hold becomes infinite, or NaN in "fp8_e4m3", which has no infinity. The cotangent is
    cast back.

    Raises `E_GRAPH_INVALID` (unknown dtype; a complex array to a real dtype, which would drop its
    imaginary part) and `E_TARGET_CODEGEN` for a 64-bit dtype while 64-bit mode is off.

    >>> import jax.numpy as jnp
    >>> cast(jnp.array([1.5, -2.7]), "int32").tolist()
    [1, -2]
    """
    array = to_array("cast", "x", x)
    wanted = numerics.dtype(dt, "cast")
    was_complex = jnp.issubdtype(array.dtype, jnp.complexfloating)
    if was_complex and not jnp.issubdtype(wanted, jnp.complexfloating) and wanted != jnp.bool_:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"cast: {array.dtype} to {wanted.name} would drop the imaginary part.",
            hints="jnp.real(x) or jnp.abs(x) first",
        )
    return array.astype(wanted)
