"""`op.spectral_filter`: a low-pass filter, or the product of a spectrum with another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, check_kind, to_array


def spectral_filter(x: Any, second: Any, *, axis: int = -1) -> jax.Array:
    """Returns a signal without its high frequencies, or a spectrum times another.

    A scalar `second` is the cutoff of a low-pass filter along `axis` of a signal x, as a fraction of the
    Nyquist frequency: modes up to and with it stay, the others are zero, and the mean always stays. The
    transform and its inverse are done here; a real x stays real, and shape and dtype stay. The cutoff has
    no gradient.

    An array `second` is multiplied with x, a spectrum, as NumPy broadcasts them.

    Raises `E_GRAPH_INVALID` (a cutoff outside [0, 1]), `E_SHAPE_MISMATCH` (no such axis, no points, shapes
    that do not broadcast) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> spectral_filter(jnp.array([3.0, 1.0, 3.0, 1.0]), 0.5).round(4).tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    signal, by = to_array("spectral_filter", "x", x), to_array("spectral_filter", "second", second)
    check_kind("spectral_filter", "x", signal, "number")
    check_kind("spectral_filter", "second", by, "number")
    if by.ndim:
        return _product(signal, by)
    _require_fraction(by, None if isinstance(second, Tracer) else second)
    return _low_pass(signal, by, axis)


def _product(x: jax.Array, by: jax.Array) -> jax.Array:
    try:
        shape = jnp.broadcast_shapes(x.shape, by.shape)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"spectral_filter: x {x.shape} and second {by.shape} do not broadcast.",
        ) from None
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(x, by)
    return jnp.broadcast_to(x, shape).astype(dtype) * jnp.broadcast_to(by, shape).astype(dtype)


def _require_fraction(cutoff: jax.Array, known: Any) -> None:
    if jnp.issubdtype(cutoff.dtype, jnp.complexfloating):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            "spectral_filter: a complex scalar is no cutoff; an array is a spectrum to multiply with.",
        )
    if known is not None and not 0 <= float(known) <= 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"spectral_filter: the cutoff {float(known):g} is no fraction of the Nyquist frequency.",
            hints="0 keeps the mean alone, 1 keeps all",
        )


def _low_pass(x: jax.Array, cutoff: jax.Array, axis: int) -> jax.Array:
    place = as_axis("spectral_filter", axis, x.ndim)
    size = x.shape[place]
    if size == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"spectral_filter: axis {place} of {x.shape} has no points."
        )
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.dtype(jnp.float32)
    wide = x.astype(numerics.accumulator(dtype))
    of_modes = np.fft.fftfreq if jnp.iscomplexobj(x) else np.fft.rfftfreq
    # As mode numbers, which are exact: 2 k <= cutoff n, with room for the rounding of the cutoff.
    modes = np.abs(np.rint(of_modes(size) * size)) * 2
    kept = jnp.asarray(modes, jnp.float32) <= cutoff.astype(jnp.float32) * size * (1 + 1e-6)
    kept = kept.reshape((1,) * place + kept.shape + (1,) * (x.ndim - place - 1))
    if jnp.iscomplexobj(x):
        found = jnp.fft.ifft(jnp.where(kept, jnp.fft.fft(wide, axis=place), 0), axis=place)
    else:
        modes_kept = jnp.where(kept, jnp.fft.rfft(wide, axis=place), 0)
        found = jnp.fft.irfft(modes_kept, n=size, axis=place)
    return found.astype(dtype)
