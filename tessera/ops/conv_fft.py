"""`op.conv_fft`: circular convolution, by Fourier transforms.

    y[i] = sum_j K[j] X[(i - j) mod n] = ifft(fft(X) fft(K))    under the norm `backward`, and no other

Under `ortho` the product of two spectra would come back 1/sqrt(n) too small.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, check_kind, to_array


def conv_fft(X: Any, K: Any, *, axes: int | Sequence[int] = (-1,)) -> jax.Array:
    """Returns the circular convolution of X with a kernel along axes, in the shape of both broadcast.

    Along `axes`, counted in X, the kernel is padded with zeros to the length of X. The other axes
    broadcast as in NumPy; a kernel of lower rank gets leading axes. The result is real where both are, and
    has their common dtype; transforms are in at least fp32.

    Raises `E_SHAPE_MISMATCH` (a kernel longer than X, axes that do not broadcast, no such axis, no points),
    `E_GRAPH_INVALID` (an axis twice) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> conv_fft(jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.0, 1.0])).round(4).tolist()
    [4.0, 1.0, 2.0, 3.0]
    """
    x, kernel = to_array("conv_fft", "X", X), to_array("conv_fft", "K", K)
    check_kind("conv_fft", "X", x, "number")
    check_kind("conv_fft", "K", kernel, "number")
    listed = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    places = tuple(as_axis("conv_fft", axis, x.ndim) - x.ndim for axis in listed)
    if not places or len(set(places)) < len(places):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"conv_fft: axes={axes!r} must name one or more axes, each once.",
        )
    lengths = _lengths(x.shape, kernel.shape, places)
    rank = max(x.ndim, kernel.ndim)
    dtype = _common_dtype(x, kernel)
    wide = numerics.accumulator(dtype)
    x, kernel = (
        jnp.reshape(array, (1,) * (rank - array.ndim) + array.shape).astype(wide)
        for array in (x, kernel)
    )
    _require_broadcast(x.shape, kernel.shape, places)
    is_complex = jnp.issubdtype(wide, jnp.complexfloating)
    forward, back = (jnp.fft.fftn, jnp.fft.ifftn) if is_complex else (jnp.fft.rfftn, jnp.fft.irfftn)
    product = forward(x, s=lengths, axes=places) * forward(kernel, s=lengths, axes=places)
    return back(product, s=lengths, axes=places).astype(dtype)


def _lengths(x: Sequence[int], kernel: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    for place in places:
        if -place > len(kernel):
            problem = f"K is {tuple(kernel)} and lacks axis {place}"
        elif kernel[place] > x[place]:
            problem = f"K has {kernel[place]} entries along axis {place} but X has {x[place]}"
        elif 0 in (kernel[place], x[place]):
            problem = f"axis {place} has no points: X is {tuple(x)}, K is {tuple(kernel)}"
        else:
            continue
        raise CompileError(Code.E_SHAPE_MISMATCH, f"conv_fft: {problem}.")
    return tuple(x[place] for place in places)


def _require_broadcast(x: Sequence[int], kernel: Sequence[int], places: Sequence[int]) -> None:
    rank = len(x)
    for i in range(rank):
        if i - rank not in places and x[i] != kernel[i] and 1 not in (x[i], kernel[i]):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"conv_fft: X {tuple(x)} and K {tuple(kernel)} do not broadcast along axis {i - rank}.",
            )


def _common_dtype(x: jax.Array, kernel: jax.Array) -> Any:
    with jax.numpy_dtype_promotion("standard"):
        common = jnp.result_type(x, kernel)
        exact = not jnp.issubdtype(common, jnp.inexact)
        return jnp.promote_types(common, jnp.float32) if exact else common
