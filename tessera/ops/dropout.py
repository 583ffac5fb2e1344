"""`op.dropout`: random entries set to zero, by an explicit key."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number, to_array
from tessera.core.random import as_key


def dropout(x: Any, p: float, *, key: Any = None) -> jax.Array:
    """Returns x with each entry 0 with probability p, and the others scaled by 1 / (1 - p).

    The same key gives the same entries for an array of that shape, sharded or not; `key` is a JAX key or an
    int seed, and may be absent where p is 0. The result has the shape and dtype of x. Raises
    `E_GRAPH_INVALID` for a missing key or a p outside [0, 1], `E_TARGET_CODEGEN` if x is not of floats.
    Source: Srivastava et al. 2014.

    >>> import jax.numpy as jnp
    >>> y = dropout(jnp.ones(1000), 0.25, key=0)
    >>> sorted({round(v, 3) for v in y.tolist()}), abs(float(y.mean()) - 1) < 0.1
    ([0.0, 1.333], True)
    """
    array = to_array("dropout", "x", x)
    drop = as_number("dropout", "p", p)
    if not 0 <= drop <= 1:
        raise CompileError(Code.E_GRAPH_INVALID, f"dropout: p is {drop}, not in [0, 1].")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"dropout: x is {array.dtype} but must be of kind 'float'."
        )
    if drop == 0:
        return array
    if key is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"dropout: p is {drop} but there is no key; nothing is drawn from hidden state.",
            hints="key=jax.random.key(0) or key=0",
        )
    if drop == 1:
        return jnp.zeros_like(array)
    kept = jax.random.bernoulli(as_key("dropout", key), 1 - drop, array.shape)
    return jnp.where(kept, array * (1 / (1 - drop)), 0).astype(array.dtype)
