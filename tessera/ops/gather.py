"""`op.gather`: rows of an array by index, with the range check that XLA does not make.

XLA moves an index that is out of range to the nearest row, silently. Where the indices are known when the
call is made, or checks are on (`ts.checks`), it is an error here instead.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core import checks, errors
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, to_array


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
    array = to_array("gather", "x", x)
    place = as_axis("gather", axis, array.ndim)
    size = array.shape[place]
    wanted = to_array("gather", "indices", indices)
    if not jnp.issubdtype(wanted.dtype, jnp.integer):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"gather: indices are {wanted.dtype}, not integers."
        )
    if size == 0 and wanted.size:
        raise _outside("an index", size, place)
    known = wanted if isinstance(indices, Tracer) else np.asarray(indices)
    checks.require_range(known, -size, size, partial(_outside_at, size, place))
    if wanted.size == 0:
        return jnp.zeros(array.shape[:place] + wanted.shape + array.shape[place + 1 :], array.dtype)
    if wanted.dtype.itemsize < 4:
        wanted = wanted.astype(jnp.int32)  # the number of rows need not fit the indices' dtype
    if jnp.issubdtype(wanted.dtype, jnp.signedinteger):
        wanted = jnp.where(wanted < 0, wanted + size, wanted)
    return jnp.take(array, wanted, axis=place, mode="clip")


def _outside_at(size: int, axis: int, value: int, where: tuple[int, ...]) -> errors.RuntimeError:
    at = f" at {where if len(where) != 1 else where[0]}" if where else ""
    return _outside(f"index {value}{at}", size, axis)


def _outside(what: str, size: int, axis: int) -> errors.RuntimeError:
    return errors.RuntimeError(
        Code.E_ILLEGAL_ADDRESS,
        f"gather: {what} is outside [{-size}, {size}) of axis {axis}.",
        hints="XLA would clamp it silently; clip the indices if that is meant",
    )
