"""`op.stft` and `op.istft`: spectra of overlapping windows of a signal, and the signal again.

Frame m is centred on sample m hop of a signal padded with zeros, so that every sample lies under as many
windows as in its middle. Where shifted copies of the window add up to a constant (constant overlap-add,
COLA), the frames determine the signal. Source: J. Allen and L. Rabiner, Proc. IEEE 65 (1977).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, check_kind, to_array

# Of the largest sum of windows: a float32 window adds up to a constant only to its own rounding.
COLA_TOLERANCE = 1e-5

Window = Any  # an integer, or an array of one axis


def stft(x: Any, win: Window, hop: int) -> jax.Array:
    """Returns the spectra of the windows of a real signal: (..., win // 2 + 1, frames), complex.

    `x` is (..., length). `win` is a length, of a periodic Hann window, or the window itself; `hop` is the
    distance of two windows. The signal is padded with zeros by half a window on both sides, and at its end
    to a whole number of hops. Scaled as in SciPy: a spectrum is divided by the sum of the window, so that
    a sine of amplitude a shows a/2.

    Raises `E_GRAPH_INVALID` (a window or hop that cannot be), `E_SHAPE_MISMATCH` (a signal shorter than the
    window) and `E_TARGET_CODEGEN` for a complex signal.

    >>> import jax.numpy as jnp
    >>> stft(jnp.ones(16), 8, 4).shape
    (5, 5)
    """
    window = _window("stft", win)
    hop = _hop("stft", hop, len(window))
    signal = to_array("stft", "x", x)
    check_kind("stft", "x", signal, "float")
    if signal.ndim == 0 or signal.shape[-1] < len(window):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"stft: x is {signal.shape} but a window has {len(window)} samples.",
            hints="pad the signal, or choose a shorter window",
        )
    wide = signal.astype(numerics.accumulator(signal.dtype))

    def run(of: jax.Array) -> jax.Array:
        return jax.scipy.signal.stft(of, **_settings(window, hop, wide.dtype))[2]

    return _of_any_batch(run, wide, rank=1)


def istft(X: Any, win: Window, hop: int, *, length: int | None = None) -> jax.Array:
    """Returns the signal (..., length) of which `stft` with the same window and hop made X.

    Without `length` the zeros that `stft` added at the end to fill a hop are part of it. The
    reconstruction is exact, to rounding, for a window that meets the COLA condition; any other is refused.

    Raises `E_GRAPH_INVALID` (a window or hop that cannot be, or breaks COLA), `E_SHAPE_MISMATCH` (X is not of
    this window, or has fewer frames than a signal of one window; a length X does not have) and
    `E_TARGET_CODEGEN` for an X that is not complex.

    >>> import jax.numpy as jnp
    >>> istft(stft(jnp.ones(16), 8, 4), 8, 4).round(5).tolist() == [1.0] * 16
    True
    """
    window = _window("istft", win)
    hop = _hop("istft", hop, len(window))
    _require_cola(window, hop)
    spectra = to_array("istft", "X", X)
    if not jnp.issubdtype(spectra.dtype, jnp.complexfloating):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"istft: argument 'X' is {spectra.dtype} but must be complex."
        )
    bins = len(window) // 2 + 1
    least = -(-2 * (len(window) // 2) // hop) + 1  # those of a signal as long as the window
    if spectra.ndim < 2 or spectra.shape[-2] != bins or spectra.shape[-1] < least:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"istft: X is {spectra.shape} but a window of {len(window)} samples every {hop} gives "
            f"(..., {bins}, frames), at least {least} frames.",
        )
    real = jnp.finfo(spectra.dtype).dtype
    settings = _settings(window, hop, real)

    def run(of: jax.Array) -> jax.Array:
        if hop == len(window):
            return _joined(of, settings["window"])
        # JAX finds the odd length of a frame only where it is said.
        return jax.scipy.signal.istft(of, nfft=len(window), **settings)[1]

    signal = _of_any_batch(run, spectra, rank=2)
    return signal if length is None else _cropped(signal, length)


def _window(op: str, win: Window) -> np.ndarray:
    if isinstance(win, Tracer):
        raise _invalid(op, "the window is traced, but COLA is checked before the call runs")
    found = np.asarray(win)
    if found.ndim == 0:
        size = as_integer(op, "win", win)
        if size < 2:
            raise _invalid(op, f"win={size} is no window; it has 2 samples or more")
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    if found.ndim != 1 or found.size < 2 or found.dtype.kind not in "fiu":
        raise _invalid(op, f"win of shape {found.shape} and dtype {found.dtype} is no window")
    return found.astype(np.float64)


def _hop(op: str, hop: int, size: int) -> int:
    found = as_integer(op, "hop", hop)
    if not 1 <= found <= size:
        raise _invalid(op, f"hop={found} must be 1 to the window's {size} samples")
    return found


def _settings(window: np.ndarray, hop: int, dtype: Any) -> dict[str, Any]:
    size = len(window)
    return {"window": jnp.asarray(window, dtype), "nperseg": size, "noverlap": size - hop}


def _require_cola(window: np.ndarray, hop: int) -> None:
    padded = np.concatenate([window, np.zeros(-len(window) % hop)])
    sums = padded.reshape(-1, hop).sum(axis=0)  # of the copies that meet in each sample of a hop
    spread, most = float(np.ptp(sums)), float(np.abs(sums).max())
    if most == 0 or spread > COLA_TOLERANCE * most:
        raise _invalid(
            "istft",
            f"windows of {len(window)} samples every {hop} add up to {sums.min():.3g} to "
            f"{sums.max():.3g}, not to a constant (COLA)",
            "a hop that divides half the window of a Hann window",
        )


def _of_any_batch(run: Callable[[jax.Array], jax.Array], x: jax.Array, *, rank: int) -> jax.Array:
    """Applies a function over leading axes, of which JAX's own takes no empty ones."""
    batch = x.shape[: x.ndim - rank]
    if 0 not in batch:
        return run(x)
    one = jax.eval_shape(run, jax.ShapeDtypeStruct(x.shape[x.ndim - rank :], x.dtype))
    return jnp.zeros((*batch, *one.shape), one.dtype)


def _joined(spectra: jax.Array, window: jax.Array) -> jax.Array:
    """Returns the signal of frames that do not overlap, which JAX takes for frames that overlap by half."""
    frames = jnp.fft.irfft(spectra, n=len(window), axis=-2) * jnp.sum(window)
    frames = jnp.swapaxes(frames, -2, -1)
    frames = frames / jnp.broadcast_to(window, frames.shape)
    padded = frames.reshape(*frames.shape[:-2], frames.shape[-2] * frames.shape[-1])
    half = len(window) // 2
    return padded[..., half : padded.shape[-1] - half]


def _cropped(signal: jax.Array, length: int) -> jax.Array:
    wanted = as_integer("istft", "length", length)
    if not 0 <= wanted <= signal.shape[-1]:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"istft: length={wanted} but the frames give {signal.shape[-1]} samples.",
        )
    return signal[..., :wanted]


def _invalid(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())
