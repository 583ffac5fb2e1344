"""`op.dct` and `op.idct`: the orthonormal discrete cosine transform (type II) and its inverse.

    y[k] = c_k sum_j x[j] cos(pi k (2 j + 1) / (2 n)),   c_0 = sqrt(1/n),  c_k = sqrt(2/n)

The matrix is orthogonal, so idct (type III) is the adjoint of dct as well as its inverse.
Source: N. Ahmed, T. Natarajan, K. Rao, IEEE Trans. Computers C-23 (1974).
"""

from collections.abc import Callable
from typing import Any

import jax

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, check_kind, to_array


def dct(x: Any, *, axis: int = -1) -> jax.Array:
    """Returns the orthonormal cosine transform of a float array along an axis, in its shape and dtype.

    Computed in at least fp32. Raises `E_SHAPE_MISMATCH` (no such axis, no points) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> dct(jnp.array([1.0, 1.0, 1.0, 1.0])).round(4).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    return _along("dct", jax.scipy.fft.dct, x, axis)


def idct(x: Any, *, axis: int = -1) -> jax.Array:
    """Returns the inverse of `dct`, which is its adjoint too. Arguments and errors are those of `dct`.

    >>> import jax.numpy as jnp
    >>> idct(jnp.array([2.0, 0.0, 0.0, 0.0])).round(4).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return _along("idct", jax.scipy.fft.idct, x, axis)


def _along(op: str, transform: Callable[..., jax.Array], x: Any, axis: int) -> jax.Array:
    array = to_array(op, "x", x)
    check_kind(op, "x", array, "float")
    place = as_axis(op, axis, array.ndim)
    if array.shape[place] == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{op}: axis {place} of {array.shape} has no points."
        )
    wide = array.astype(numerics.accumulator(array.dtype))
    return transform(wide, axis=place, norm="ortho").astype(array.dtype)
