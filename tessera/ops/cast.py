"""`op.cast`: an array in another dtype."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics, precision, stochastic
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.core.operands import to_array
from tessera.core.random import as_key


def cast(x: Any, dt: Any, *, stochastic_round: bool = False, key: Any = None) -> jax.Array:
    """Returns x in the dtype of a word such as "bf16", or a NumPy or JAX dtype.

    Floats round to the nearest, ties to even; a float becomes an integer by dropping its fraction. What
    the dtype cannot hold becomes infinite, or NaN in "fp8_e4m3", which has no infinity. The cotangent is
    cast back.

    With `stochastic_round=True` and a `key`, a JAX key or an int seed, a float of at most 32 bits becomes one
    of its two neighbours in bf16, fp16, fp8_e4m3 or fp8_e5m2, by chance, so that its mean is x; the cotangent
    is that of a plain cast. The same key rounds alike under any sharding.

    Raises `E_GRAPH_INVALID` (unknown dtype; a complex array to a real dtype, which would drop its
    imaginary part; a key that is missing or has no use) and `E_TARGET_CODEGEN` for a 64-bit dtype while
    64-bit mode is off, and for dtypes that are not rounded at random. Warns of a narrower float under the
    casting policy downcast.

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
    if precision.current_casting() == "downcast" and _narrows(array.dtype, wanted):
        warnings.warn(
            f"cast: {array.dtype} is narrowed to {wanted.name}.", TesseraWarning, stacklevel=2
        )
    if stochastic_round:
        return stochastic.rounded(array, wanted, as_key("cast", key))
    if key is not None:
        raise CompileError(Code.E_GRAPH_INVALID, "cast: a key without stochastic_round=True.")
    return array.astype(wanted)


def _narrows(given: Any, wanted: Any) -> bool:
    floats = all(jnp.issubdtype(x, jnp.inexact) for x in (given, wanted))
    return floats and jnp.finfo(wanted).bits < jnp.finfo(given).bits
