"""What a layer is made of: sizes, keys and random weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.core.random import as_key


def as_size(op: str, name: str, value: Any) -> int:
    """Returns the size of an axis as an int; raises `E_GRAPH_INVALID` if it is no positive integer."""
    size = as_integer(op, name, value)
    if size < 1:
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: {name} is {size}, not positive.")
    return size


def draw_keys(op: str, key: Any, count: int) -> list[jax.Array]:
    """Returns keys to draw parameters with; raises `E_GRAPH_INVALID` for a missing key."""
    if key is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: there is no key; nothing is drawn from hidden state.",
            hints="key=jax.random.key(0) or key=0",
        )
    return list(jax.random.split(as_key(op, key), count))


def as_float_dtype(op: str, dtype: Any) -> np.dtype:
    """Returns the dtype of parameters; raises `E_GRAPH_INVALID` for one that is not of floats."""
    wanted = numerics.dtype(dtype, f"{op}: dtype")
    if not jnp.issubdtype(wanted, jnp.floating):
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: dtype is {wanted}, not a float dtype.")
    return wanted


def glorot_uniform(op: str, key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
    """Returns a matrix with entries uniform in +-sqrt(6 / (rows + columns)). Source: Glorot, Bengio 2010.

    A matrix of a narrow dtype is the fp32 one, rounded.
    """
    wanted = as_float_dtype(op, dtype)
    wide = numerics.accumulator(wanted)
    return jax.nn.initializers.glorot_uniform()(key, shape, wide).astype(wanted)
