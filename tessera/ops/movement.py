"""`op.reshape`, `transpose`, `concat`, `split`, `pad`, `slice`: arrays moved about, as in NumPy, with checks.

They are `jax.numpy` with Tessera's errors. XLA owns the physical layout, so most of them cost nothing in a
program.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, as_integer, to_array


def reshape(x: Any, shape: int | Sequence[int]) -> jax.Array:
    """Returns x in another shape of as many entries, in row-major order; one size may be -1.

    Raises `E_SHAPE_MISMATCH` if the numbers of entries differ, `E_GRAPH_INVALID` for sizes that are none.

    >>> import jax.numpy as jnp
    >>> reshape(jnp.arange(6), (2, -1)).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    array = to_array("reshape", "x", x)
    sizes = _integers("reshape", "shape", shape)
    if any(size < -1 for size in sizes) or sizes.count(-1) > 1:
        raise _invalid("reshape", f"shape {sizes} must be sizes, of which one may be -1")
    known = math.prod(size for size in sizes if size != -1)
    fits = known == array.size if -1 not in sizes else known > 0 and array.size % known == 0
    if not fits:
        raise _mismatch(
            "reshape", f"{array.shape} has {array.size} entries, which {sizes} cannot hold"
        )
    return jnp.reshape(array, sizes)


def transpose(x: Any, axes: Sequence[int] | None = None) -> jax.Array:
    """Returns x with axis i of the result being axis `axes[i]` of x; without axes, in reverse order.

    Raises `E_SHAPE_MISMATCH` (no such axis) and `E_GRAPH_INVALID` (not every axis once).

    >>> import jax.numpy as jnp
    >>> transpose(jnp.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    array = to_array("transpose", "x", x)
    if axes is None:
        return jnp.transpose(array)
    if not isinstance(axes, Sequence | np.ndarray):
        raise _invalid("transpose", f"axes is {axes!r}, not a list of axes")
    places = tuple(as_axis("transpose", axis, array.ndim) for axis in axes)
    if sorted(places) != list(range(array.ndim)):
        problem = f"axes {tuple(axes)} must name each of the {array.ndim} axes once"
        raise _invalid("transpose", problem)
    return jnp.transpose(array, places)


def concat(xs: Sequence[Any], axis: int = 0) -> jax.Array:
    """Returns arrays joined along an existing axis, in their common dtype.

    Raises `E_GRAPH_INVALID` (no arrays) and `E_SHAPE_MISMATCH` (no such axis, other sizes that differ).

    >>> import jax.numpy as jnp
    >>> concat([jnp.zeros((2, 1)), jnp.ones((2, 2))], axis=-1).shape
    (2, 3)
    """
    if not isinstance(xs, list | tuple):
        raise _invalid("concat", "xs is no list of arrays")
    if not xs:
        raise _invalid("concat", "no arrays")
    arrays = [to_array("concat", f"xs[{i}]", x) for i, x in enumerate(xs)]
    first = arrays[0]
    place = as_axis("concat", axis, first.ndim)
    for i, array in enumerate(arrays):
        rest = array.shape[:place] + array.shape[place + 1 :]
        if array.ndim != first.ndim or rest != first.shape[:place] + first.shape[place + 1 :]:
            problem = f"xs[0] is {first.shape} but xs[{i}] is {array.shape}"
            raise _mismatch("concat", f"{problem}; only axis {place} may differ")
    with jax.numpy_dtype_promotion("standard"):
        return jnp.concatenate(arrays, axis=place)


def split(x: Any, n: int | Sequence[int], axis: int = 0) -> list[jax.Array]:
    """Returns x in n equal parts along an axis, or cut before each of the given positions.

    Raises `E_SHAPE_MISMATCH` if n does not divide the axis or a position lies outside, `E_GRAPH_INVALID`
    for an n below 1 or positions that fall.

    >>> import jax.numpy as jnp
    >>> [part.tolist() for part in split(jnp.arange(5), [2, 3])]
    [[0, 1], [2], [3, 4]]
    """
    array = to_array("split", "x", x)
    place = as_axis("split", axis, array.ndim)
    size = array.shape[place]
    if isinstance(n, Sequence | np.ndarray):
        cuts = _integers("split", "n", n)
        if list(cuts) != sorted(cuts):
            raise _invalid("split", f"positions {cuts} must not fall")
        if cuts and not 0 <= cuts[0] <= cuts[-1] <= size:
            raise _mismatch("split", f"positions {cuts} leave axis {place} of length {size}")
        return jnp.split(array, np.array(cuts, int), axis=place)
    parts = as_integer("split", "n", n)
    if parts < 1:
        raise _invalid("split", f"n={parts} must be at least 1")
    if size % parts:
        problem = f"axis {place} has length {size}, which {parts} does not divide"
        raise _mismatch("split", problem, "give positions instead: split(x, [3, 6])")
    return jnp.split(array, parts, axis=place)


def pad(x: Any, pads: Any, value: Any = 0) -> jax.Array:
    """Returns x with entries of a value added around it.

    `pads` is a number for both ends of every axis, a pair (before, after) for every axis, or one pair for
    each. The value is cast to the dtype of x.

    Raises `E_GRAPH_INVALID` (negative, or no such form) and `E_SHAPE_MISMATCH` (another number of pairs, a
    value that is no scalar).

    >>> import jax.numpy as jnp
    >>> pad(jnp.ones((1, 2)), [(0, 1), (1, 0)]).tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    array = to_array("pad", "x", x)
    fill = to_array("pad", "value", value)
    if fill.ndim:
        raise _mismatch("pad", f"value has shape {fill.shape}, not that of a scalar")
    return lax.pad(
        array,
        fill.astype(array.dtype),
        [(before, after, 0) for before, after in _pairs(pads, array.ndim)],
    )


def slice(x: Any, starts: Any, sizes: int | Sequence[int]) -> jax.Array:  # noqa: A001 - its name
    """Returns the block of x with the given sizes that begins at `starts`, one for each axis.

    Starts may be known only at run time (an array, or a list of scalars); sizes are static. A negative start
    counts from the end. What is known when the call is made is checked: a block that is not inside x is
    `E_SHAPE_MISMATCH`. A start known only at run time is clamped, so that the block is inside.

    >>> import jax.numpy as jnp
    >>> slice(jnp.arange(10), 3, 4).tolist()
    [3, 4, 5, 6]
    """
    array = to_array("slice", "x", x)
    lengths = _integers("slice", "sizes", sizes)
    begins = _starts(starts)
    if len(lengths) != array.ndim or len(begins) != array.ndim:
        problem = f"{len(begins)} starts and {len(lengths)} sizes for {array.ndim} axes"
        raise _mismatch("slice", problem)
    for i, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
        size = array.shape[i]
        known = not isinstance(begin, Tracer)
        first = int(begin) + (size if int(begin) < 0 else 0) if known else 0
        if length < 0 or first < 0 or first + length > size:
            where = f"{length} entries from {int(begin)}" if known else f"{length} entries"
            raise _mismatch("slice", f"{where} are not inside axis {i} of length {size}")
    return lax.dynamic_slice(array, [jnp.asarray(begin) for begin in begins], lengths)


def _starts(starts: Any) -> list[Any]:
    """Returns a start per axis, an integer or an integer scalar."""
    listed = list(starts) if isinstance(starts, list | tuple) else [starts]
    if len(listed) == 1 and isinstance(listed[0], jax.Array | np.ndarray) and listed[0].ndim == 1:
        listed = list(listed[0])
    for start in listed:
        scalar = to_array("slice", "starts", start)
        if scalar.ndim or not jnp.issubdtype(scalar.dtype, jnp.integer):
            raise _invalid(
                "slice", f"a start is {scalar.dtype} of shape {scalar.shape}, not an integer"
            )
    return listed


def _integers(op: str, name: str, given: Any) -> tuple[Any, ...]:
    listed = given if isinstance(given, Sequence | np.ndarray) else (given,)
    # A size that an exported program leaves open is a symbol.
    return tuple(
        one if jax.export.is_symbolic_dim(one) else as_integer(op, name, one) for one in listed
    )


def _pairs(pads: Any, ndim: int) -> list[tuple[int, int]]:
    try:
        found = np.asarray(pads)
    except ValueError:  # rows of different lengths
        found = np.zeros((), object)
    if ndim == 0 and found.size == 0:
        return []
    shaped = found.ndim == 0 or found.shape == (2,) or (found.ndim == 2 and found.shape[1:] == (2,))
    if not shaped or found.dtype.kind not in "iu" or (found < 0).any():
        problem = (
            f"pads={pads!r} must be numbers of at least 0: one, a pair, or a pair for each axis"
        )
        raise _invalid("pad", problem)
    if found.ndim == 2 and len(found) != ndim:
        raise _mismatch("pad", f"{len(found)} pairs for {ndim} axes")
    return [(int(a), int(b)) for a, b in np.broadcast_to(found, (ndim, 2))]


def _invalid(op: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.")


def _mismatch(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}.", hints=hint or ())
