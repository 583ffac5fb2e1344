"""`op.gather`: rows of an array by index, with the range check that XLA does not make.

XLA moves an index that is out of range to the nearest row, silently. Where the indices are known when the
call is made, or checks are on (`ts.checks`), it is an error here instead.
"""

from typing import Any

import jax

from tessera.core.rows import take


def gather(x: Any, indices: Any, axis: int = 0) -> jax.Array:
    """Returns the entries of x along an axis at the given indices.

    `indices` is an integer array of any shape, which takes the place of the axis; -1 is the last entry. The
    gradient adds up what was taken more than once.

    Raises `E_ILLEGAL_ADDRESS`, naming the first index outside [-n, n), where the indices are known: eagerly,
    under `jit` for constants, and inside `ts.checks()` for all. Without checks an index known only at run
    time is clamped into the range. `E_GRAPH_INVALID` for indices that are no integers, `E_SHAPE_MISMATCH` for
    an axis x does not have.

    >>> import jax.numpy as jnp
    >>> gather(jnp.array([10.0, 20.0, 30.0]), jnp.array([2, 0, -1])).tolist()
    [30.0, 10.0, 30.0]
    """
    return take("gather", x, indices, axis)
