"""`op.wavelet` and `op.iwavelet`: the orthonormal periodic wavelet transform of an axis, and its inverse.

    approx[i] = sum_k h[k] x[2 i + k],   detail[i] = sum_k g[k] x[2 i + k],   g[k] = (-1)^k h[L - 1 - k]

with indices modulo the length; every level takes the approximation apart again. The transform is
orthogonal, so the inverse is its adjoint. Source: I. Daubechies, Ten Lectures on Wavelets, 1992, chapters
5 and 6.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, as_integer, check_kind, to_array


def _db3() -> np.ndarray:
    a, b = np.sqrt(10.0), np.sqrt(5 + 2 * np.sqrt(10.0))
    taps = [1 + a + b, 5 + a + 3 * b, 10 - 2 * a + 2 * b, 10 - 2 * a - 2 * b, 5 + a - 3 * b]
    return np.array([*taps, 1 + a - b]) / (16 * np.sqrt(2.0))


_ROOT = np.sqrt(3.0)
# The low-pass filters h: sum sqrt(2), and orthogonal to their own even shifts.
FILTERS: dict[str, np.ndarray] = {
    "haar": np.array([1.0, 1.0]) / np.sqrt(2.0),
    "db2": np.array([1 + _ROOT, 3 + _ROOT, 3 - _ROOT, 1 - _ROOT]) / (4 * np.sqrt(2.0)),
    "db3": _db3(),
}


def wavelet(
    x: Any,
    type: str = "haar",  # noqa: A002 - the specification's name
    levels: int = 1,
    *,
    axis: int = -1,
) -> tuple[jax.Array, list[jax.Array]]:
    """Returns the approximation of an axis of x and the details that were taken from it, finest first.

    `type` is "haar", "db2" or "db3" (Daubechies, with 2 and 3 vanishing moments), periodic. A length n
    that 2^levels divides becomes n / 2^levels in the approximation, and n / 2, n / 4, ... in the details.
    Energy is kept. `x` is a float array; the dtype stays, sums are in at least fp32.

    Raises `E_GRAPH_INVALID` (unknown type, negative levels), `E_SHAPE_MISMATCH` (a length that does not
    divide, no such axis) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> approx, details = wavelet(jnp.array([1.0, 1.0, 2.0, 0.0]), levels=1)
    >>> print(approx, details[0])
    [1.414 1.414] [0.    1.414]
    """
    array = to_array("wavelet", "x", x)
    check_kind("wavelet", "x", array, "float")
    place = as_axis("wavelet", axis, array.ndim)
    low, high = _filters("wavelet", type)
    depth = as_integer("wavelet", "levels", levels)
    if depth < 0:
        raise CompileError(Code.E_GRAPH_INVALID, f"wavelet: levels={depth} is negative.")
    size = array.shape[place]
    if size % 2**depth:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"wavelet: axis {place} has length {size}, which 2^{depth} does not divide.",
            hints=f"pad it to {-(-size // 2**depth) * 2**depth}, or take fewer levels",
        )
    approx = jnp.moveaxis(array.astype(numerics.accumulator(array.dtype)), place, -1)
    details = []
    for _ in range(depth):
        even, odd = approx[..., 0::2], approx[..., 1::2]
        details.append(_finished(_filtered(high, even, odd), place, array.dtype))
        approx = _filtered(low, even, odd)
    return _finished(approx, place, array.dtype), details


def iwavelet(
    approx: Any,
    details: Sequence[Any],
    type: str = "haar",  # noqa: A002 - the specification's name
    *,
    axis: int = -1,
) -> jax.Array:
    """Returns the array that `wavelet` with the same type and axis took apart.

    Raises `E_GRAPH_INVALID` (unknown type), `E_SHAPE_MISMATCH` (details whose sizes do not fit) and
    `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> iwavelet(*wavelet(jnp.array([1.0, 1.0, 2.0, 3.0]), levels=2)).round(3).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    array = to_array("iwavelet", "approx", approx)
    check_kind("iwavelet", "approx", array, "float")
    place = as_axis("iwavelet", axis, array.ndim)
    low, high = _filters("iwavelet", type)
    found = jnp.moveaxis(array.astype(numerics.accumulator(array.dtype)), place, -1)
    for level in range(len(details) - 1, -1, -1):
        given = to_array("iwavelet", f"details[{level}]", details[level])
        check_kind("iwavelet", f"details[{level}]", given, "float")
        wanted = jnp.moveaxis(found, -1, place).shape
        if given.shape != wanted:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"iwavelet: details[{level}] is {given.shape} but the approximation there is {wanted}.",
            )
        detail = jnp.moveaxis(given.astype(found.dtype), place, -1)
        found = _joined(low, high, found, detail)
    return _finished(found, place, array.dtype)


def _filters(op: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name not in FILTERS:
        known = ", ".join(FILTERS)
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: unknown type {name!r}; one of {known}.")
    low = FILTERS[name]
    return low, low[::-1] * (-1.0) ** np.arange(len(low))


def _filtered(taps: np.ndarray, even: jax.Array, odd: jax.Array) -> jax.Array:
    pairs = taps.reshape(-1, 2)
    terms = (
        float(a) * jnp.roll(even, -j, axis=-1) + float(b) * jnp.roll(odd, -j, axis=-1)
        for j, (a, b) in enumerate(pairs)
    )
    return sum(terms, jnp.zeros_like(even))


def _joined(low: np.ndarray, high: np.ndarray, approx: jax.Array, detail: jax.Array) -> jax.Array:
    """The transpose of both `_filtered`, which is their inverse."""

    def entries(parity: int) -> jax.Array:
        terms = (
            float(a) * jnp.roll(approx, j, axis=-1) + float(b) * jnp.roll(detail, j, axis=-1)
            for j, (a, b) in enumerate(zip(low[parity::2], high[parity::2], strict=True))
        )
        return sum(terms, jnp.zeros_like(approx))

    pairs = jnp.stack([entries(0), entries(1)], axis=-1)
    return pairs.reshape(*approx.shape[:-1], 2 * approx.shape[-1])


def _finished(x: jax.Array, place: int, dtype: Any) -> jax.Array:
    return jnp.moveaxis(x, -1, place).astype(dtype)
