"""`op.fft`, `ifft`, `rfft`, `irfft`: discrete Fourier transforms over any axes, of sharded axes too.

    fft   X[k] = s sum_j x[j] exp(-2 pi i j k / n)      s = 1 (backward), 1/sqrt(n) (ortho), 1/n (forward)
    ifft  x[j] = t sum_k X[k] exp(+2 pi i j k / n)      t = 1/n (backward), 1/sqrt(n) (ortho), 1 (forward)

The adjoint of fft is n ifft under `backward` and ifft only under `ortho`: derivatives come from JAX, which
knows the scale. XLA gathers an axis that is split over devices before it transforms it. With `mesh=` the
devices exchange parts instead (the pencil form): all_to_all, so that the axis is whole and another one is
split; a local transform; all_to_all back. Source: D. Pekurovsky, P3DFFT, SIAM J. Sci. Comput. 34 (2012).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from tessera import dist
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, LaunchError
from tessera.core.operands import as_axis, as_integer, check_kind, to_array

NORMS = ("backward", "ortho", "forward")

Axes = int | Sequence[int]
Lengths = int | Sequence[int] | None


def fft(
    x: Any,
    *,
    axes: Axes = (-1,),
    normalize: str = "backward",
    n: Lengths = None,
    mesh: dist.Mesh | None = None,
    layout: dist.Layout | None = None,
) -> jax.Array:
    """Returns the discrete Fourier transform of x over axes, complex.

    `n` is the length of each transformed axis (one number, or one per axis): x is cropped or padded with
    zeros to it. `normalize` is "backward" (no scale here, 1/n in the inverse), "ortho" (1/sqrt(n) in both:
    the energy stays) or "forward" (1/n here). Reals, and floats narrower than fp32, are widened first.

    `mesh` selects the form that gathers nothing for axes that are split over devices. `layout` says how x
    lies on the mesh; an array that says so itself needs none. The result lies as x does. Another axis must
    take the split for the while: one whose part on a device the number of devices divides.

    Raises `E_GRAPH_INVALID` (normalize, an axis twice, `layout` without mesh), `E_SHAPE_MISMATCH` (no such
    axis, no points, no axis that can take the split), `E_LAUNCH_BAD_LAYOUT` (mesh, but no layout known) and
    `E_TARGET_CODEGEN` for what is no number.

    >>> import jax.numpy as jnp
    >>> fft(jnp.array([1.0, 0.0, 0.0, 0.0])).real.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return _transformed(_FFT, x, axes, normalize, n, mesh, layout)


def ifft(
    x: Any,
    *,
    axes: Axes = (-1,),
    normalize: str = "backward",
    n: Lengths = None,
    mesh: dist.Mesh | None = None,
    layout: dist.Layout | None = None,
) -> jax.Array:
    """Returns the inverse of `fft` over axes: complex, also where it stands for a real signal.

    Arguments and errors are those of `fft`.

    >>> import jax.numpy as jnp
    >>> ifft(jnp.array([4.0, 0.0, 0.0, 0.0])).real.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return _transformed(_IFFT, x, axes, normalize, n, mesh, layout)


def rfft(
    x: Any,
    *,
    axes: Axes = (-1,),
    normalize: str = "backward",
    n: Lengths = None,
    mesh: dist.Mesh | None = None,
    layout: dist.Layout | None = None,
) -> jax.Array:
    """Returns the half of the Fourier transform of a real x that determines the rest.

    The last of `axes` keeps n // 2 + 1 coefficients, the others all of theirs. Arguments and errors are
    those of `fft`; a complex x is `E_TARGET_CODEGEN`. With `mesh`, name an axis last that is whole on
    every device, unless n // 2 + 1 can be split as well.

    >>> import jax.numpy as jnp
    >>> rfft(jnp.array([1.0, 2.0, 3.0, 4.0])).shape
    (3,)
    """
    return _transformed(_RFFT, x, axes, normalize, n, mesh, layout)


def irfft(
    x: Any,
    *,
    axes: Axes = (-1,),
    normalize: str = "backward",
    n: Lengths = None,
    mesh: dist.Mesh | None = None,
    layout: dist.Layout | None = None,
) -> jax.Array:
    """Returns the real signal that `rfft` took apart.

    `n` is the length of the signal, without it 2 (m - 1) for m coefficients of the last of `axes`: an odd
    length must be said. Arguments and errors are those of `fft`.

    >>> import jax.numpy as jnp
    >>> irfft(rfft(jnp.array([1.0, 2.0, 3.0])), n=3).tolist()
    [1.0, 2.0, 3.0]
    """
    return _transformed(_IRFFT, x, axes, normalize, n, mesh, layout)


@dataclass(frozen=True)
class _Kind:
    """A transform: of one axis as JAX has it, and of the last axis where that one is real."""

    name: str
    each: Callable[..., jax.Array]
    last: Callable[..., jax.Array] | None = None
    real_first: bool = True  # a real signal is transformed first, and comes back last


_FFT = _Kind("fft", jnp.fft.fft)
_IFFT = _Kind("ifft", jnp.fft.ifft)
_RFFT = _Kind("rfft", jnp.fft.fft, jnp.fft.rfft)
_IRFFT = _Kind("irfft", jnp.fft.ifft, jnp.fft.irfft, real_first=False)
_WHOLE: dict[str, Callable[..., jax.Array]] = {
    "fft": jnp.fft.fftn,
    "ifft": jnp.fft.ifftn,
    "rfft": jnp.fft.rfftn,
    "irfft": jnp.fft.irfftn,
}


def _transformed(
    kind: _Kind,
    x: Any,
    axes: Axes,
    normalize: str,
    n: Lengths,
    mesh: dist.Mesh | None,
    layout: dist.Layout | None,
) -> jax.Array:
    if normalize not in NORMS:
        known = ", ".join(NORMS)
        raise _invalid(kind, f"unknown normalize {normalize!r}; one of {known}")
    x = _operand(kind, x)
    places = _places(kind, axes, x.ndim)
    lengths = _lengths(kind, n, places, x.shape)
    if mesh is None:
        if layout is not None:
            raise _invalid(kind, "layout is given but no mesh", "mesh=dist.Mesh(...)")
        return _WHOLE[kind.name](x, s=lengths, axes=places, norm=normalize)
    mesh = dist.reachable_mesh(mesh, kind.name)
    spec = _layout(kind, x, mesh, layout)
    x = dist.place(x, NamedSharding(mesh.jax, spec))
    return _pencil(kind, mesh, spec, places, lengths, normalize)(x)


def _operand(kind: _Kind, x: Any) -> jax.Array:
    array = to_array(kind.name, "x", x)
    check_kind(kind.name, "x", array, "number")
    if not jnp.issubdtype(array.dtype, jnp.complexfloating):
        array = array.astype(_float_for(array.dtype))
    elif kind.name == "rfft":
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"rfft: argument 'x' is {array.dtype} but must be real.",
            hints="op.fft, or jnp.real(x)",
        )
    return array


def _float_for(dtype: Any) -> Any:
    """Returns the float dtype in which a real operand is transformed."""
    if jnp.issubdtype(dtype, jnp.integer):
        return jnp.float32 if jnp.dtype(dtype).itemsize <= 4 else jnp.float64
    return numerics.accumulator(dtype)


def _places(kind: _Kind, axes: Axes, ndim: int) -> tuple[int, ...]:
    listed = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    places = tuple(as_axis(kind.name, axis, ndim) for axis in listed)
    if not places or len(set(places)) < len(places):
        raise _invalid(kind, f"axes={axes!r} must name one or more axes, each once")
    return places


def _lengths(
    kind: _Kind, n: Lengths, places: tuple[int, ...], shape: Sequence[int]
) -> tuple[int, ...]:
    """Returns the length of every transformed axis, on the side of the signal."""
    if n is None:
        lengths = [shape[place] for place in places]
        if kind.name == "irfft":
            lengths[-1] = 2 * (lengths[-1] - 1)
    else:
        given = tuple(n) if isinstance(n, Sequence) else (n,)
        lengths = [as_integer(kind.name, "n", one) for one in given]
    if len(lengths) != len(places):
        raise _invalid(kind, f"n={n!r} gives {len(lengths)} lengths for {len(places)} axes")
    empty = [p for p, length in zip(places, lengths, strict=True) if length < 1 or shape[p] < 1]
    if empty:
        hint = "an odd or short signal needs n=" if kind.name == "irfft" else ()
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{kind.name}: axis {empty[0]} of {tuple(shape)} has no points to transform.",
            hints=hint,
        )
    return tuple(lengths)


def _invalid(kind: _Kind, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{kind.name}: {problem}.", hints=hint or ())


# -- over devices -------------------------------------------------------------------------------------------


def _layout(
    kind: _Kind, x: jax.Array, mesh: dist.Mesh, layout: dist.Layout | None
) -> PartitionSpec:
    if layout is not None:
        return dist.layout_sharding(layout, mesh, x.shape, kind.name).spec
    known = None if isinstance(x, Tracer) else x.sharding
    if isinstance(known, NamedSharding) and known.mesh == mesh.jax:
        return dist.layout_sharding(tuple(known.spec), mesh, x.shape, kind.name).spec
    raise LaunchError(
        Code.E_LAUNCH_BAD_LAYOUT,
        f"{kind.name}: how x lies on the {mesh} is not known here.",
        hints='layout=dist.ShardSpec(("row",), ("dp",)); under jit an array does not say it itself',
    )


@functools.lru_cache(256)
def _pencil(
    kind: _Kind,
    mesh: dist.Mesh,
    spec: PartitionSpec,
    places: tuple[int, ...],
    lengths: tuple[int, ...],
    normalize: str,
) -> Callable[[jax.Array], jax.Array]:
    """Returns the transform of an array that lies as `spec` says, compiled once."""
    names = dict(enumerate(map(dist.axes_of, spec)))
    order = list(zip(places, lengths, strict=True))
    real = [(kind.last, *order.pop())] if kind.last is not None else []
    # Axes that are whole come first: while a split one is transformed, they may take the split.
    steps = [
        (kind.each, *step) for step in sorted(order, key=lambda step: bool(names.get(step[0])))
    ]
    steps = [*real, *steps] if kind.real_first else [*steps, *real]

    def of_parts(x: jax.Array) -> jax.Array:
        for transform, axis, length in steps:
            over = names.get(axis, ())
            parts = math.prod(mesh.topology[name] for name in over)
            run = functools.partial(transform, n=length, axis=axis, norm=normalize)
            x = run(x) if parts == 1 else _exchanged(kind, x, axis, over, parts, run)
        return x

    return jax.jit(jax.shard_map(of_parts, mesh=mesh.jax, in_specs=spec, out_specs=spec))


def _exchanged(
    kind: _Kind,
    x: jax.Array,
    axis: int,
    over: tuple[str, ...],
    parts: int,
    run: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Transforms an axis of which every device has a part."""
    others = [i for i in range(x.ndim) if i != axis]
    if not others:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{kind.name}: axis {axis} is split into {parts} parts and there is no other axis that "
            "can be split so meanwhile.",
            hints="without mesh= the axis is gathered",
        )
    swap = max(others, key=lambda i: (x.shape[i] % parts == 0, x.shape[i]))
    size = x.shape[swap]
    # Lines of zeros fill what cannot be split evenly: no other line sees them.
    filled = jnp.pad(x, [(0, -size % parts if i == swap else 0) for i in range(x.ndim)])
    whole = run(lax.all_to_all(filled, over, swap, axis, tiled=True))
    if whole.shape[axis] % parts:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{kind.name}: axis {axis} has {whole.shape[axis]} entries after the transform, which "
            f"cannot be split into {parts} equal parts again.",
            hints="name an axis last that is whole on every device, or choose another n=",
        )
    back = lax.all_to_all(whole, over, axis, swap, tiled=True)
    return lax.slice_in_dim(back, 0, size, axis=swap)
