"""Rows of an array by index, with the range check that XLA does not make."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from tessera.core import checks, compat, errors
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, to_array


def take(op: str, x: Any, indices: Any, axis: int) -> jax.Array:
    """Returns the entries of x along an axis at the given indices, by the rules of `op.gather`.

    `op` is named in the errors.
    """
    array = to_array(op, "x", x)
    place = as_axis(op, axis, array.ndim)
    size = array.shape[place]
    wanted = to_array(op, "indices", indices)
    if not jnp.issubdtype(wanted.dtype, jnp.integer):
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: indices are {wanted.dtype}, not integers.")
    if size == 0 and wanted.size:
        raise _outside(op, size, place, "an index")
    known = wanted if isinstance(indices, Tracer) else np.asarray(indices)
    checks.require_range(known, -size, size, partial(_outside_at, op, size, place))
    if wanted.size == 0:
        return jnp.zeros(array.shape[:place] + wanted.shape + array.shape[place + 1 :], array.dtype)
    if wanted.dtype.itemsize < 4:
        wanted = wanted.astype(jnp.int32)  # the number of rows need not fit the indices' dtype
    if jnp.issubdtype(wanted.dtype, jnp.signedinteger):
        wanted = jnp.where(wanted < 0, wanted + size, wanted)
    return _taken(array, wanted, place)


def _taken(array: jax.Array, indices: jax.Array, axis: int) -> jax.Array:
    run = partial(jnp.take, axis=axis, mode="clip")
    kinds = jax.typeof(array), jax.typeof(indices)
    explicit = [kind.sharding for kind in kinds if compat.explicitly_sharded(kind)]
    if not explicit:
        return run(array, indices)
    rows, columns = (list(kind.sharding.spec) for kind in kinds)
    # The indices keep their axes of the mesh; those of the array that they use too are gathered.
    taken = {name for entry in columns for name in _mesh_axes(entry)}
    rows = [None if taken & set(_mesh_axes(entry)) else entry for entry in rows]
    spec = PartitionSpec(*rows[:axis], *columns, *rows[axis + 1 :])
    return compat.with_auto_axes(run, NamedSharding(explicit[0].mesh, spec))(array, indices)


def _mesh_axes(entry: Any) -> tuple[str, ...]:
    """Returns the mesh axes in an entry of a partition spec."""
    return () if entry is None else entry if isinstance(entry, tuple) else (entry,)


def _outside_at(
    op: str, size: int, axis: int, value: int, where: tuple[int, ...]
) -> errors.RuntimeError:
    at = f" at {where if len(where) != 1 else where[0]}" if where else ""
    return _outside(op, size, axis, f"index {value}{at}")


def _outside(op: str, size: int, axis: int, what: str) -> errors.RuntimeError:
    return errors.RuntimeError(
        Code.E_ILLEGAL_ADDRESS,
        f"{op}: {what} is outside [{-size}, {size}) of axis {axis}.",
        hints="XLA would clamp it silently; clip the indices if that is meant",
    )
