"""From what a user passes to what an op takes: arrays of the right kind, dtype and varying axes."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import require_x64
from tessera.core.precision import require_one_dtype

KINDS: dict[str, Callable[[Any], bool]] = {
    "float": lambda dtype: jnp.issubdtype(dtype, jnp.floating),
    "number": lambda dtype: jnp.issubdtype(dtype, jnp.number),
    "integer": lambda dtype: jnp.issubdtype(dtype, jnp.integer),
    "bool": lambda dtype: jnp.issubdtype(dtype, jnp.bool_),
    "key": lambda dtype: jnp.issubdtype(dtype, jax.dtypes.prng_key),
    "any": lambda dtype: True,
}


def to_array(op: str, name: str, x: Any) -> jax.Array:
    """Returns an operand as a JAX array; a Python scalar becomes a weakly typed one.

    What stands for an array, by `__jax_array__`, as a Field does, is taken as that array.
    """
    if isinstance(x, jax.Array):
        return x
    stands_for = getattr(x, "__jax_array__", None)
    if stands_for is not None and not isinstance(x, type):
        return stands_for()
    if isinstance(x, np.ndarray | np.generic):
        x = _fitting_integers(x)
        require_x64(x.dtype, f"{op}: argument {name!r}")
    elif not isinstance(x, bool | int | float | complex):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: argument {name!r} is a {type(x).__name__}, not an array.",
            hints="jnp.asarray(...)",
        )
    return jnp.asarray(x)


def _fitting_integers(x: Any) -> Any:
    """Returns 64-bit integers, NumPy's default, as 32-bit ones if 64-bit mode is off and they all fit."""
    narrow = {"int64": np.int32, "uint64": np.uint32}.get(x.dtype.name)
    if narrow is None or compat.x64_is_on():
        return x
    bounds = np.iinfo(narrow)
    fits = x.size == 0 or (x.min() >= bounds.min and x.max() <= bounds.max)
    return x.astype(narrow) if fits else x


def check_kind(op: str, name: str, array: jax.Array, kind: str) -> None:
    """Raises `E_TARGET_CODEGEN` if an operand's dtype is not of the kind an op takes."""
    if not KINDS[kind.removeprefix("~")](array.dtype):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: argument {name!r} is {array.dtype} but must be of kind {kind.removeprefix('~')!r}.",
            hints=f"{name}.astype(...)",
        )


def promote_floats(
    arrays: Sequence[jax.Array | None], kinds: Sequence[str], op: str
) -> list[jax.Array | None]:
    """Brings the operands of kind float to one dtype, and those of kind number; `~float` keeps its own.

    Raises `E_GRAPH_INVALID`, naming the op, where they differ and the casting policy is strict.
    """
    found = list(arrays)
    for kind in ("float", "number"):
        places = [i for i, x in enumerate(found) if x is not None and kinds[i] == kind]
        live = [x for i in places if (x := found[i]) is not None]
        if not live:
            continue
        require_one_dtype(op, live)
        with jax.numpy_dtype_promotion("standard"):
            common = jnp.result_type(*live)
        for i, x in zip(places, live, strict=True):
            if x.dtype != common or x.weak_type:
                found[i] = jax.lax.convert_element_type(x, common)
    return found


def share_varying_axes(arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """Marks every operand as varying over the manual mesh axes over which any of them varies."""
    varying = [compat.varying_axes(x) for x in arrays]
    every = frozenset().union(*varying)
    return [
        jax.lax.pcast(x, tuple(sorted(every - own)), to="varying") if every - own else x
        for x, own in zip(arrays, varying, strict=True)
    ]


def as_axis(op: str, axis: Any, ndim: int) -> int:
    """Returns an axis counted from the front; raises if it is no integer or there is no such axis."""
    place = as_integer(op, "axis", axis)
    if not -ndim <= place < ndim:
        raise CompileError(Code.E_SHAPE_MISMATCH, f"{op}: axis {place} of an array of rank {ndim}.")
    return place % ndim


def as_integer(op: str, name: str, value: Any) -> int:
    """Returns a static argument that must be an integer (NumPy's count) as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise _not_a(op, name, value, "an integer") from None


def as_number(op: str, name: str, value: Any, hint: str = "") -> float:
    """Returns a static argument that must be a real number as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise _not_a(op, name, value, "a number", hint)
    return float(value)


def _not_a(op: str, name: str, value: Any, wanted: str, hint: str = "") -> CompileError:
    shown = "an array" if isinstance(value, jax.Array | np.ndarray) else repr(value)
    return CompileError(
        Code.E_GRAPH_INVALID, f"{op}: {name} is {shown}, not {wanted}.", hints=hint or ()
    )
