"""`op.tensor`: an array of a shape, or of data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import dist
from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.notes import note
from tessera.core.operands import as_integer, to_array

# They say what the axes mean or how they lie in memory, which is XLA's: nothing moves.
LAYOUT_WORDS = ("row_major", "col_major", "nhwc", "nchw")
SHARDED = "sharded"


def tensor(
    shape_or_data: Any,
    *,
    dtype: Any = None,
    layout: dist.Layout | None = None,
    device: Any = None,
    requires_grad: bool | None = None,
) -> jax.Array:
    """Returns zeros of a shape, given as a tuple of integers, or an array of the data in a list or array.

    Without `dtype` (a word or a dtype) zeros and lists of floats are fp32, and arrays keep theirs.
    `device` is a `jax.Device`, or "cpu", "gpu:1" and the like. `layout` is a word (row_major, col_major,
    nhwc, nchw), which changes nothing, or a layout of `dist.tensor` over the current mesh. `requires_grad`
    is noted in the log and has no effect: `op.grad` says what is differentiated.

    Raises `E_GRAPH_INVALID` (a tuple that is no shape, unknown words, device with a mesh layout),
    `E_TARGET_CODEGEN` (64-bit data without 64-bit mode) and the errors of `dist.tensor`.

    >>> tensor((2, 3)).sum().item(), tensor([1.0, 2.0], dtype="bf16").dtype.name
    (0.0, 'bfloat16')
    """
    if requires_grad is not None:
        note("op", "tensor: requires_grad has no effect; op.grad says what is differentiated.")
    if isinstance(layout, str) and layout not in (*LAYOUT_WORDS, SHARDED):
        known = ", ".join([*LAYOUT_WORDS, SHARDED])
        hint = "how an array lies in memory is XLA's choice; op.pack makes tiles"
        raise _invalid(f"unknown layout {layout!r}; one of {known}, or a dist.ShardSpec", hint)
    if layout is None or layout in LAYOUT_WORDS:
        data = _data(shape_or_data, dtype)
        return data if device is None else jax.device_put(data, _device(device))
    if device is not None:
        raise _invalid("both a device and a layout over a mesh are given")
    return dist.tensor(shape_or_data, dtype=dtype, layout=layout)


def _data(given: Any, dtype: Any) -> jax.Array:
    wanted = None if dtype is None else numerics.dtype(dtype, "tensor")
    if isinstance(given, tuple):
        shape = tuple(as_integer("tensor", "a size of the shape", size) for size in given)
        if min(shape, default=0) < 0:
            raise _invalid(f"the shape {shape} has a negative size")
        return jnp.zeros(shape, jnp.float32 if wanted is None else wanted)
    array = to_array("tensor", "data", _from_list(given) if isinstance(given, list) else given)
    if wanted is None:
        return array
    if jnp.iscomplexobj(array) and not jnp.issubdtype(wanted, jnp.complexfloating):
        raise _invalid(f"complex data as {wanted.name} would lose its imaginary part")
    return array.astype(wanted)


def _from_list(given: list[Any]) -> np.ndarray:
    try:
        found = np.asarray(given)
    except (TypeError, ValueError):  # a traced value, or rows of different lengths
        raise _invalid("the list is no array of numbers", "jnp.stack for arrays") from None
    if found.dtype.kind not in "biufc":
        raise _invalid(f"a list of {found.dtype} is no data")
    narrow = {"float64": np.float32, "complex128": np.complex64}
    return found.astype(narrow.get(found.dtype.name, found.dtype))


def _device(device: Any) -> Any:
    if isinstance(device, jax.Device):
        return device
    platform, _, number = str(device).partition(":")
    try:
        return jax.devices(platform)[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        known = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
        raise _invalid(f"unknown device {device!r}", f"a jax.Device, or one of {known}") from None


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"tensor: {problem}.", hints=hint or ())
