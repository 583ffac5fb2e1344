"""`op.spectral_conv`: the Fourier layer, of which only the kept modes are computed.

    X_k = sum_x x_x e^{-2 pi i k x / n}            for the kept k
    Y_k = X_k W_k                                  channels are mixed
    y_x = 1/N sum_k c_k Re(Y_k e^{2 pi i k x / n})

c_k is 2 for a mode of the last axis that stands for its conjugate too, 1 for its zero and Nyquist modes. The
backward has the same form, as the weights c_k / N of synthesis and analysis cancel:

    dx = spectral_conv(dy, W^H),   dW_k = c_k / N conj(X_k) C_k,   C the modes of dy

Source: Li et al. 2021, "Fourier neural operator for parametric partial differential equations". As a product
with real tables, an axis is transformed by its cosines and sines of k >= 0; modes of k < 0 are sums of the
same numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_integer, to_array

MOST_AXES = 3  # that XLA transforms at once
# Products with tables pay up to this many operations per grid point and log2 of the points. Measured on one
# core, fp32, forward: 1.1 to 7.9 times the speed of FFTs at 1.5 to 8; 1.02 to 1.56 at 12 to 14; 0.7 at 20;
# 0.3 at 50.
TABLE_OPERATIONS = 12.0

# The gradient of the weights is a sum of two products per entry of the batch; up to so many it is written
# element by element. Measured on one core at 256x256, 64 channels, 32 modes: 3.6 and 1.9 times the speed of a
# matrix product for a batch of 1 and 2, weights with channels first; the same for 4.
FEW_TERMS = 4

Parts = tuple[jax.Array, jax.Array]  # real and imaginary, each (K1, ..., Kd, batch, channels)
Gradients = tuple[jax.Array, jax.Array, jax.Array]

KINDS = ("float", "~float", "~float")


@define_op("*b i@axis *n, *k i o, *k i o -> *b o@axis *n", kinds=KINDS)
def spectral_conv(
    x: jax.Array, w_real: jax.Array, w_imag: jax.Array, *, axis: int = 1
) -> jax.Array:
    return _convolve(_by_fft, x, w_real, w_imag, axis)


@spectral_conv.def_call
def spectral_conv(
    x: jax.Array,
    w: jax.Array,
    *,
    modes: int | Sequence[int],
    channels: str = "first",
    weights: str = "channels_first",
) -> jax.Array:
    """Returns x convolved over its grid with a kernel given by its lowest Fourier modes.

    `x` is real, (..., in, n1, ..., nd) for `channels="first"` and (..., n1, ..., nd, in) for "last", with as
    many axes as there are `modes`, 1 to 3; the result has `out` in the place of `in`, and the dtype of x. `w`
    is complex, (in, out, K1, ..., Kd). For `weights="modes_first"` it is (K1, ..., Kd, in, out), the order it
    is used in, which saves a transpose of the weights and one of their gradient.

    The last axis keeps its first `modes[-1]` modes of `rfft` (Kd of them), every other axis its first m and
    its last m (K = 2m: zero and positive frequencies, then negative ones). The scale is that of
    `irfftn(w * rfftn(x))`.

    Raises `E_SHAPE_MISMATCH` if the grid has fewer modes or the shapes do not fit, `E_TARGET_CODEGEN` if x is
    not real or w not complex, and `E_GRAPH_INVALID` for another word or number of modes.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[[1.0, 2.0, 3.0, 6.0]]])
    >>> print(spectral_conv(x, jnp.ones((1, 1, 1), jnp.complex64), modes=1))  # the mean
    [[[3. 3. 3. 3.]]]
    """
    x, w = to_array("spectral_conv", "x", x), to_array("spectral_conv", "w", w)
    kept = _as_modes(modes)
    for name, word, words in (
        ("channels", channels, ("first", "last")),
        ("weights", weights, ("channels_first", "modes_first")),
    ):
        if word not in words:
            raise _error(Code.E_GRAPH_INVALID, f"{name}={word!r} is not one of {', '.join(words)}")
    if not jnp.issubdtype(w.dtype, jnp.complexfloating):
        raise _error(Code.E_TARGET_CODEGEN, f"w is {w.dtype}, not complex", "lax.complex(re, im)")
    if x.ndim < len(kept) + 1:
        raise _error(
            Code.E_SHAPE_MISMATCH,
            f"x has shape {x.shape}, too few axes for channels and {len(kept)} modes",
        )
    axis = x.ndim - 1 if channels == "last" else x.ndim - len(kept) - 1
    _require_shape(w.shape, kept, weights)
    real, imag = jnp.real(w), jnp.imag(w)
    if weights == "channels_first":
        order = (*range(2, w.ndim), 0, 1)
        real, imag = jnp.transpose(real, order), jnp.transpose(imag, order)
    return spectral_conv.bind(x, real, imag, axis=axis)


@spectral_conv.def_vjp
def _backward(res: Residuals, ct: jax.Array, *, axis: int) -> Gradients:
    return spectral_conv_bwd.bind(*res.operands, ct, axis=axis)


@define_op(
    "*b i@axis *n, *k i o, *k i o, *b o@axis *n -> *b i@axis *n, *k i o, *k i o",
    kinds=(*KINDS, "float"),
)
def spectral_conv_bwd(
    x: jax.Array, w_real: jax.Array, w_imag: jax.Array, ct: jax.Array, *, axis: int = 1
) -> Gradients:
    """Returns the gradients of a spectral convolution for x and both parts of w, given a cotangent.

    `x` has its channels at `axis` and the grid behind them, or before them if that is the last axis; the
    parts of w are (K1, ..., Kd, in, out). Each gradient has the shape and dtype of what it is for.

    >>> import jax.numpy as jnp
    >>> x, w, ct = jnp.ones((1, 4)), jnp.ones((1, 1, 1)), jnp.arange(4.0)[None]
    >>> dx, dreal, dimag = spectral_conv_bwd(x, w, 0 * w, ct, axis=0)
    >>> print(dx, dreal.sum(), dimag.sum())
    [[1.5 1.5 1.5 1.5]] 6.0 0.0
    """
    return _gradients(_by_fft, x, w_real, w_imag, ct, axis)


# -- the layer and its backward, whatever transforms ------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """The grid of an operand: its sizes, the modes kept of each axis, and whether channels come last."""

    sizes: tuple[int, ...]
    modes: tuple[int, ...]
    last: bool

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of each axis's table: a cosine and a sine of every k >= 0 that occurs."""
        return (*(2 * (m + 1) for m in self.modes[:-1]), 2 * self.modes[-1])

    @property
    def flat_axes(self) -> tuple[int, ...]:
        """The axes of the grid in an operand whose batch is one axis."""
        return tuple(range(1, 1 + self.rank) if self.last else range(2, 2 + self.rank))

    def weights(self, dtype: Any) -> jax.Array:
        """Returns c_k / N, in the place of the last axis among the modes."""
        own = 2 * np.arange(self.modes[-1]) % self.sizes[-1] == 0
        found = np.where(own, 1.0, 2.0) / math.prod(self.sizes)
        return jnp.asarray(found.reshape(*(1,) * (self.rank - 1), -1, 1, 1), dtype)


# The transforms of an operand with one batch axis: to its kept modes, and from modes to the grid, 1/N in it.
_Transform = tuple[
    Callable[[jax.Array, _Grid], Parts],
    Callable[[jax.Array, jax.Array, _Grid], jax.Array],
]


def _convolve(
    by: _Transform, x: jax.Array, w_real: jax.Array, w_imag: jax.Array, axis: int
) -> jax.Array:
    grid = _grid_of(x, w_real, axis)
    analyse, synthesise = by
    dtype = _wide(x, w_real, w_imag)
    mixed = _mix(analyse(_flat(x, grid, dtype), grid), w_real.astype(dtype), w_imag.astype(dtype))
    return _unflat(synthesise(*mixed, grid), x, axis)


def _gradients(
    by: _Transform,
    x: jax.Array,
    w_real: jax.Array,
    w_imag: jax.Array,
    ct: jax.Array,
    axis: int,
) -> Gradients:
    grid = _grid_of(x, w_real, axis)
    analyse, synthesise = by
    dtype = _wide(x, w_real, w_imag)
    # The modes of x are those of the forward: XLA computes them once where both are in one program.
    of_x, of_ct = analyse(_flat(x, grid, dtype), grid), analyse(_flat(ct, grid, dtype), grid)
    adjoint = w_real.astype(dtype), -w_imag.astype(dtype)
    dx = _unflat(synthesise(*_mix(of_ct, *adjoint, over=-1), grid), x, axis)
    real, imag = (part * grid.weights(dtype) for part in of_ct)
    dreal, dimag = (_outer(of_x, parts) for parts in ((real, imag), (imag, -real)))
    return dx, dreal.astype(w_real.dtype), dimag.astype(w_imag.dtype)


def _mix(modes: Parts, w_real: jax.Array, w_imag: jax.Array, over: int = -2) -> Parts:
    """Returns modes times weights, summed over axis `over` of the weights.

    Both parts are rows of one operand, so that two real products do.
    """
    rank = w_real.ndim - 2
    both = jnp.stack(modes, axis=rank)
    each = tuple(range(rank))
    dims = ((both.ndim - 1,), (w_real.ndim + over,)), (each, each)
    by_real, by_imag = (lax.dot_general(both, w, dims) for w in (w_real, w_imag))
    (rr, ir), (ri, ii) = (
        [lax.index_in_dim(part, j, axis=rank, keepdims=False) for j in (0, 1)]
        for part in (by_real, by_imag)
    )
    return rr - ii, ri + ir


def _outer(one: Parts, other: Parts) -> jax.Array:
    """Returns the sum over batch and parts of products of channels: (K1, ..., Kd, channels, channels)."""
    rank = one[0].ndim - 2
    each, summed = tuple(range(rank)), (rank, rank + 1)
    if 2 * one[0].shape[rank] <= FEW_TERMS:
        # Element by element, so that XLA writes the sum where and in what order it is wanted.
        pairs = [
            jnp.expand_dims(a, -1) * jnp.expand_dims(b, -2)
            for left, right in zip(one, other, strict=True)
            for a, b in zip(_along(left, rank), _along(right, rank), strict=True)
        ]
        return sum(pairs[1:], pairs[0])
    left, right = (jnp.stack(parts, axis=rank) for parts in (one, other))
    return lax.dot_general(left, right, ((summed, summed), (each, each)))


def _along(x: jax.Array, axis: int) -> list[jax.Array]:
    return [lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]


def _wide(x: jax.Array, w_real: jax.Array, w_imag: jax.Array) -> np.dtype:
    dtype = numerics.wider(x.dtype, numerics.wider(w_real.dtype, w_imag.dtype))
    return numerics.accumulator(dtype)


def _flat(x: jax.Array, grid: _Grid, dtype: Any) -> jax.Array:
    kept = x.shape[x.ndim - grid.rank - 1 :]
    return x.reshape(math.prod(x.shape[: x.ndim - len(kept)]), *kept).astype(dtype)


def _unflat(y: jax.Array, like: jax.Array, axis: int) -> jax.Array:
    channels = y.shape[-1] if axis == like.ndim - 1 else y.shape[1]
    shape = (*like.shape[:axis], channels, *like.shape[axis + 1 :])
    return y.reshape(shape).astype(like.dtype)


def _grid_of(x: Any, w: Any, axis: int) -> _Grid:
    """Returns the grid of an operand, of which only the shape counts; raises if it has too few modes."""
    kept = tuple(w.shape[:-2])
    last = axis == x.ndim - 1
    rank = len(kept)
    place = x.ndim - 1 if last else x.ndim - rank - 1
    if not 1 <= rank <= MOST_AXES or axis != place or x.ndim < rank + 1:
        raise _error(
            Code.E_SHAPE_MISMATCH,
            f"x of shape {x.shape} with channels at axis {axis} has no grid for modes {kept}",
        )
    sizes = tuple(x.shape[axis - rank : axis] if last else x.shape[axis + 1 :])
    modes = (*(k // 2 for k in kept[:-1]), kept[-1])
    for i, (size, k) in enumerate(zip(sizes, kept, strict=True)):
        most = size // 2 + 1 if i == rank - 1 and size else size
        even = i == rank - 1 or k % 2 == 0
        if not 0 < k <= most or not even:
            what = "an axis" if i < rank - 1 else "the last axis"
            raise _error(
                Code.E_SHAPE_MISMATCH,
                f"w keeps {k} modes of {what} of size {size}, which has {most}"
                + ("" if even else "; of every axis but the last it keeps as many k >= 0 as k < 0"),
            )
    return _Grid(sizes, modes, last)


# -- by FFT -----------------------------------------------------------------------------------------------


def _modes_by_fft(x: jax.Array, grid: _Grid) -> Parts:
    full = jnp.fft.rfftn(x, axes=grid.flat_axes)
    full = jnp.moveaxis(full, grid.flat_axes, range(grid.rank))
    kept = full[..., : grid.modes[-1], :, :]
    for i, m in enumerate(grid.modes[:-1]):
        size = kept.shape[i]
        ends = (lax.slice_in_dim(kept, a, b, axis=i) for a, b in ((0, m), (size - m, size)))
        kept = jnp.concatenate(list(ends), axis=i)
    return jnp.real(kept), jnp.imag(kept)


def _grid_by_fft(real: jax.Array, imag: jax.Array, grid: _Grid) -> jax.Array:
    full = lax.complex(real, imag)
    for i, (m, size) in enumerate(zip(grid.modes, grid.sizes, strict=True)):
        if i == grid.rank - 1:
            full = _padded(full, i, 0, size // 2 + 1 - m)
        else:
            ends = [lax.slice_in_dim(full, a, b, axis=i) for a, b in ((0, m), (m, 2 * m))]
            full = _padded(ends[0], i, 0, size - m) + _padded(ends[1], i, size - m, 0)
    full = jnp.moveaxis(full, range(grid.rank), grid.flat_axes)
    return jnp.fft.irfftn(full, s=grid.sizes, axes=grid.flat_axes)


def _padded(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    # Not a concatenation with zeros: under an Explicit mesh those would have to name their sharding.
    return jnp.pad(x, [(before, after) if i == axis else (0, 0) for i in range(x.ndim)])


_by_fft: _Transform = (_modes_by_fft, _grid_by_fft)


# -- by products with tables of cosines and sines -----------------------------------------------------------


def _modes_by_dft(x: jax.Array, grid: _Grid) -> Parts:
    tables = _tables(grid, x.dtype)
    if not grid.last:
        # The operand comes first: XLA transposes a second one whose last axis is contracted.
        for i, table in enumerate(reversed(tables)):
            x = lax.dot_general(x, table, (((x.ndim - 1 - i,), (1,)), ((), ())))
        order = (*reversed(range(2, x.ndim)), 0, 1)
        return _signed(jnp.transpose(x, order), grid)
    batch, *_, channels = x.shape
    for i, table in enumerate(tables):
        x = _apply(table, x, math.prod(x.shape[: i + 1]))
        x = x.reshape(batch, *(len(t) for t in tables[: i + 1]), *grid.sizes[i + 1 :], channels)
    return _signed(jnp.moveaxis(x, 0, -2), grid)


def _grid_by_dft(real: jax.Array, imag: jax.Array, grid: _Grid) -> jax.Array:
    tables = _tables(grid, real.dtype)
    weights = grid.weights(real.dtype)
    y = _unsigned(real * weights, imag * weights, grid)
    if not grid.last:
        for table in tables:
            y = lax.dot_general(y, table, (((0,), (0,)), ((), ())))
        return y
    y = jnp.moveaxis(y, -2, 0)
    batch, *_, channels = y.shape
    for i, table in reversed(tuple(enumerate(tables))):
        y = _apply(table.T, y, math.prod(y.shape[: i + 1]))
        y = y.reshape(batch, *(len(t) for t in tables[:i]), *grid.sizes[i:], channels)
    return y


_by_dft: _Transform = (_modes_by_dft, _grid_by_dft)


def _apply(table: jax.Array, x: jax.Array, batch: int) -> jax.Array:
    """Returns table @ x, of as many matrices as the leading axes make.

    The table is repeated: a product with one shared by the batch would end in a transpose.
    """
    matrices = x.reshape(batch, table.shape[1], math.prod(x.shape) // (batch * table.shape[1]))
    return jnp.matmul(jnp.broadcast_to(table, (batch, *table.shape)), matrices)


def _tables(grid: _Grid, dtype: Any) -> list[jax.Array]:
    pairs = zip(grid.rows, grid.sizes, strict=True)
    return [jnp.asarray(_table(*pair), dtype) for pair in pairs]


@lru_cache(64)
def _table(rows: int, n: int) -> np.ndarray:
    """Returns the cosines of k = 0, 1, ... on n points, then the sines: (rows, n)."""
    turns = np.outer(np.arange(rows // 2), np.arange(n)) % n  # reduced while exact
    angles = turns * (2 * np.pi / n)
    return np.concatenate([np.cos(angles), np.sin(angles)])


def _signed(x: jax.Array, grid: _Grid) -> Parts:
    """Returns the complex modes from products with cosines and sines along every axis."""
    i = grid.rank - 1
    cosines, sines = jnp.split(x, 2, axis=i)
    real, imag = cosines, -sines
    while i > 0:
        i -= 1
        m = grid.modes[i]
        (rc, rs), (ic, is_) = (jnp.split(part, 2, axis=i) for part in (real, imag))
        real = _both_signs(rc + is_, rc - is_, m, i)
        imag = _both_signs(ic - rs, ic + rs, m, i)
    return real, imag


def _unsigned(real: jax.Array, imag: jax.Array, grid: _Grid) -> jax.Array:
    """The transpose of `_signed`, which is real and linear."""
    last = grid.rank - 1
    for i, m in enumerate(grid.modes[:-1]):
        (rp, rn), (ip, in_) = (_each_sign(part, m, i) for part in (real, imag))
        real = jnp.concatenate([rp + rn, in_ - ip], axis=i)
        imag = jnp.concatenate([ip + in_, rp - rn], axis=i)
    return jnp.concatenate([real, -imag], axis=last)


def _both_signs(positive: jax.Array, negative: jax.Array, m: int, axis: int) -> jax.Array:
    """Returns values for k = 0 ... m-1, then -m ... -1, from two arrays for |k| = 0 ... m."""
    first = lax.slice_in_dim(positive, 0, m, axis=axis)
    second = lax.slice_in_dim(negative, 1, m + 1, axis=axis)
    return jnp.concatenate([first, jnp.flip(second, axis)], axis=axis)


def _each_sign(both: jax.Array, m: int, axis: int) -> Parts:
    """The transpose of `_both_signs`."""
    first = lax.slice_in_dim(both, 0, m, axis=axis)
    second = jnp.flip(lax.slice_in_dim(both, m, 2 * m, axis=axis), axis)
    return _padded(first, axis, 0, 1), _padded(second, axis, 1, 0)


# -- which of the two ---------------------------------------------------------------------------------------


def _few_modes(x: Any, w_real: Any, *_: Any, axis: int) -> bool:
    """Returns whether products with tables beat FFTs."""
    grid = _grid_of(x, w_real, axis)
    points = math.prod(grid.sizes)
    axes = tuple(zip(grid.rows, grid.sizes, strict=True))
    operations, left = 0.0, 1.0
    for rows, size in axes if grid.last else reversed(axes):
        operations += 2 * rows * left
        left *= rows / size
    return operations <= TABLE_OPERATIONS * math.log2(max(points, 2))


@spectral_conv.def_algorithm("dft", platforms=("cpu",), when=_few_modes, partitions=True)
def _convolve_by_dft(x: jax.Array, w_real: jax.Array, w_imag: jax.Array, *, axis: int) -> jax.Array:
    """Truncated transforms as matrix products: only kept modes are computed."""
    return _convolve(_by_dft, x, w_real, w_imag, axis)


@spectral_conv_bwd.def_algorithm("dft", platforms=("cpu",), when=_few_modes, partitions=True)
def _gradients_by_dft(
    x: jax.Array, w_real: jax.Array, w_imag: jax.Array, ct: jax.Array, *, axis: int
) -> Gradients:
    """Truncated transforms as matrix products: only kept modes are computed."""
    return _gradients(_by_dft, x, w_real, w_imag, ct, axis)


# -- the public arguments -----------------------------------------------------------------------------------


def _as_modes(modes: int | Sequence[int]) -> tuple[int, ...]:
    given = modes if isinstance(modes, Sequence) else (modes,)
    kept = tuple(as_integer("spectral_conv", "modes", m) for m in given)
    if not 1 <= len(kept) <= MOST_AXES or min(kept) < 1:
        raise _error(
            Code.E_GRAPH_INVALID, f"modes={modes!r} is not 1 to {MOST_AXES} positive numbers"
        )
    return kept


def _require_shape(shape: tuple[int, ...], modes: tuple[int, ...], weights: str) -> None:
    wanted = (*(2 * m for m in modes[:-1]), modes[-1])
    first = weights == "modes_first"
    found = shape[: len(shape) - 2] if first else shape[2:]
    if len(shape) != len(wanted) + 2 or found != wanted:
        kept = " ".join(map(str, wanted))
        order = f"({kept} in out)" if first else f"(in out {kept})"
        raise _error(Code.E_SHAPE_MISMATCH, f"w has shape {shape}, but modes={modes} needs {order}")


def _error(code: Code, problem: str, hint: str = "") -> CompileError:
    message = f"spectral_conv: {problem}. Signature: {spectral_conv.dims}."
    return CompileError(code, message, hints=hint or ())


spectral_conv.samples = (
    Sample((2, 8, 7), (4, 3, 2, 3), (4, 3, 2, 3), axis=0),
    Sample((3, 9, 2), (5, 2, 3), (5, 2, 3), axis=2),
    Sample((2, 4, 5, 6), (4, 2, 4, 2, 2), (4, 2, 4, 2, 2), axis=0),
    Sample((2, 6, 8, 2), (4, 5, 2, 1), (4, 5, 2, 1), axis=3),
)
spectral_conv_bwd.samples = (
    Sample((2, 8, 7), (4, 3, 2, 3), (4, 3, 2, 3), (3, 8, 7), axis=0),
    Sample((2, 6, 8, 2), (4, 5, 2, 1), (4, 5, 2, 1), (2, 6, 8, 1), axis=3),
)
