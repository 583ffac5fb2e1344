"""`op.poisson` and `op.helmholtz`: the Laplacian of a box, by Fourier and sine transforms.

    periodic    n points x_i = i L / n,            waves e^(2 pi i k x / L),   eigenvalue -(2 pi k / L)^2
    dirichlet   n points x_i = (i + 1) L / (n + 1), waves sin(pi k x / L),     eigenvalue -(pi k / L)^2

Along each axis the Laplacian multiplies a wave by its eigenvalue: exact for what the grid can represent.
The sine transform is a Fourier transform of the odd extension of length 2 (n + 1).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number, to_array

PERIODIC, DIRICHLET = "periodic", "dirichlet"
Lengths = float | Sequence[float]


def poisson(rhs: Any, *, domain: Lengths, bc: str = PERIODIC) -> jax.Array:
    """Returns u with (Laplacian of u) = rhs on the grid of a box.

    `domain` has the length of the box along each of the last axes of `rhs`, those before being a batch; one
    number is the length along every axis. With `bc="periodic"` the grid begins at 0 and ends a step before
    the length; u has zero mean, and so has the part of rhs that is solved for: a periodic Laplacian has no
    mean. With `bc="dirichlet"` the grid holds the interior points, and u is 0 on the boundary, which it
    leaves out. rhs is real or complex; it is solved in at least fp32.

    Raises `E_GRAPH_INVALID` for another `bc` or a length that is not positive, `E_SHAPE_MISMATCH` if rhs
    has too few axes.

    >>> import jax.numpy as jnp
    >>> x = jnp.linspace(0.0, 2 * jnp.pi, 8, endpoint=False)
    >>> u = poisson(-4 * jnp.sin(2 * x), domain=2 * jnp.pi)
    >>> bool(jnp.allclose(u, jnp.sin(2 * x), atol=1e-6))
    True
    """
    x, lengths = _checked("poisson", "rhs", rhs, domain, bc)

    def inverted(eigenvalues: np.ndarray) -> np.ndarray:
        mean = eigenvalues == 0
        return np.where(mean, 0.0, 1 / np.where(mean, 1.0, eigenvalues))

    return _on_waves(x, lengths, bc, inverted)


def helmholtz(X: Any, k: Any, *, domain: Lengths, bc: str = PERIODIC) -> jax.Array:
    """Returns (Laplacian of X) + k^2 X on the grid of a box.

    Grid, `domain` and `bc` are those of `poisson`; k is a number or a scalar array, complex if X is. The
    Laplacian is that of the trigonometric interpolant.

    Raises the errors of `poisson`, and `E_SHAPE_MISMATCH` for a k that is no scalar.

    >>> import jax.numpy as jnp
    >>> x = jnp.linspace(0.0, 2 * jnp.pi, 8, endpoint=False)
    >>> bool(jnp.allclose(helmholtz(jnp.sin(2 * x), 3.0, domain=2 * jnp.pi), 5 * jnp.sin(2 * x), atol=1e-5))
    True
    """
    x, lengths = _checked("helmholtz", "X", X, domain, bc)
    number = to_array("helmholtz", "k", k)
    if number.ndim:
        raise _mismatch("helmholtz", f"k has shape {number.shape}, not that of a scalar")
    if jnp.iscomplexobj(number) and not jnp.iscomplexobj(x):
        raise _invalid("helmholtz", f"k is {number.dtype} but X {x.dtype}", "X.astype(complex)")
    wide = numerics.accumulator(x.dtype)
    squared = jnp.square(number.astype(wide))
    laplacian = _on_waves(x.astype(wide), lengths, bc, lambda eigenvalues: eigenvalues)
    return (laplacian + squared * x.astype(wide)).astype(x.dtype)


def _on_waves(
    x: jax.Array, lengths: tuple[float, ...], bc: str, weigh: Callable[[np.ndarray], np.ndarray]
) -> jax.Array:
    """Returns x with each of its waves times a weight, given the eigenvalues of the Laplacian."""
    wide = x.astype(numerics.accumulator(x.dtype))
    if x.size == 0:
        return x
    axes = tuple(range(x.ndim - len(lengths), x.ndim))
    sizes = [x.shape[i] for i in axes]
    weights = weigh(_eigenvalues(lengths, sizes, bc))
    if bc == DIRICHLET:
        weights = weights * math.prod(2 / (n + 1) for n in sizes)
        return _sines(_weighed(_sines(wide, axes), weights), axes).astype(x.dtype)
    if jnp.iscomplexobj(wide):
        waves = _weighed(jnp.fft.fftn(wide, axes=axes), weights)
        return jnp.fft.ifftn(waves, axes=axes).astype(x.dtype)
    half = weights[..., : sizes[-1] // 2 + 1]
    waves = _weighed(jnp.fft.rfftn(wide, axes=axes), half)
    return jnp.fft.irfftn(waves, s=sizes, axes=axes).astype(x.dtype)


def _weighed(waves: jax.Array, weights: np.ndarray) -> jax.Array:
    full = weights.reshape((1,) * (waves.ndim - weights.ndim) + weights.shape)
    return waves * jnp.asarray(full, waves.dtype)


def _eigenvalues(lengths: tuple[float, ...], sizes: Sequence[int], bc: str) -> np.ndarray:
    """Returns the eigenvalue of the Laplacian for every wave, over the grid's axes, in float64."""
    total = np.zeros(())
    for axis, (length, n) in enumerate(zip(lengths, sizes, strict=True)):
        if bc == PERIODIC:
            waves = 2 * np.pi / length * np.fft.fftfreq(n, 1 / n)
        else:
            waves = np.pi / length * np.arange(1, n + 1)
        shape = [1] * len(sizes)
        shape[axis] = n
        total = total - waves.reshape(shape) ** 2
    return total


def _sines(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Returns the sums over i of x_i sin(pi (i + 1) k / (n + 1)), k = 1 ... n, along each axis."""
    for axis in axes:
        n = x.shape[axis]
        last = jnp.moveaxis(x, axis, -1)
        none = jnp.zeros_like(last[..., :1])
        odd = jnp.concatenate([none, last, none, -jnp.flip(last, -1)], axis=-1)
        if jnp.iscomplexobj(x):
            found = 0.5j * jnp.fft.fft(odd)[..., 1 : n + 1]
        else:
            found = -0.5 * jnp.imag(jnp.fft.rfft(odd)[..., 1 : n + 1])
        x = jnp.moveaxis(found.astype(x.dtype), -1, axis)
    return x


def _checked(
    op: str, name: str, x: Any, domain: Any, bc: str
) -> tuple[jax.Array, tuple[float, ...]]:
    """Returns the array and the lengths of its last axes."""
    array = to_array(op, name, x)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: argument {name!r} is {array.dtype}, neither float nor complex.",
            hints=f"{name}.astype(...)",
        )
    if bc not in (PERIODIC, DIRICHLET):
        raise _invalid(op, f"unknown bc {bc!r}; one of {PERIODIC}, {DIRICHLET}")
    listed = domain if isinstance(domain, list | tuple) else (domain,) * array.ndim
    lengths = tuple(as_number(op, "a length of the domain", length) for length in listed)
    if not 1 <= len(lengths) <= array.ndim:
        raise _mismatch(
            op, f"{name} has shape {array.shape}, but domain has {len(lengths)} lengths"
        )
    if not all(0 < length < math.inf for length in lengths):
        raise _invalid(op, f"domain is {domain}: not positive lengths")
    return array, lengths


def _invalid(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())


def _mismatch(op: str, problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}.")
