"""Distributed arrays: built shard by shard on their devices, and looked at."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.dist.mesh import Mesh, as_integer, reachable_mesh
from tessera.dist.shard import Layout, ShardSpec, layout_sharding, place

Index = tuple[slice, ...]
# (index, shape, dtype) -> values of one shard; `index` is its place in the whole array.
Initializer = Callable[[Index, tuple[int, ...], Any], Any]

WASTEFUL_BYTES = 64 * 2**20

_WHERE = "dist.tensor"


def tensor(
    shape_or_data: Any,
    *,
    layout: Layout | None = None,
    mesh: Mesh | None = None,
    dtype: Any = None,
    initializer: Initializer | None = None,
    abstract: bool = False,
) -> Any:
    """Returns a `jax.Array` whose shards live on the devices of a mesh.

    A tuple is a shape: zeros, or the values of `initializer(index, shape, dtype)`, called once
    per shard with the shard's index ranges, so that the values need not depend on the mesh.
    A list or an array is data: lists of floats become fp32, arrays keep their dtype. `layout` (a
    `ShardSpec`, or "sharded") must be given; `mesh` defaults to the current mesh; `dtype` is a
    word or a dtype, fp32 for a shape. `abstract=True` returns a `jax.ShapeDtypeStruct` with the
    sharding and allocates nothing. Inside `jit` the result is constrained to the layout.

    Raises `E_LAUNCH_BAD_LAYOUT`, `E_SHAPE_MISMATCH` (an axis that does not divide, a shard of the
    wrong shape), `E_COMM_INIT` (no mesh), `E_GRAPH_INVALID` (a tuple that is no shape, an initializer
    for data or one that cannot be called). Warns when a large array is replicated without
    `dist.Replicate()`.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> tensor((4, 2), layout=ShardSpec(("row",), ("dp",)), mesh=mesh).sum().item()
    0.0
    """
    mesh = reachable_mesh(mesh, _WHERE)
    given = _shape(shape_or_data)
    data = _data(shape_or_data, dtype) if given is None else None
    shape = tuple(data.shape) if data is not None else given or ()
    word = "fp32" if dtype is None else dtype
    kind = numerics.dtype(word, _WHERE) if data is None else data.dtype
    sharding = layout_sharding(layout, mesh, shape, _WHERE)
    if initializer is not None:
        _check_initializer(initializer, data)
    _warn_if_wasteful(layout, sharding, shape, kind)
    if abstract:
        return jax.ShapeDtypeStruct(shape, kind, sharding=sharding)
    if isinstance(data, jax.Array):
        return place(data, sharding)
    return _build(shape, kind, sharding, initializer or _zeros if data is None else _slices(data))


def tensor_like(t: Any) -> jax.Array:
    """Returns zeros with the shape, dtype and layout of a distributed array or its abstract form.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> x = tensor([1.0, 2.0], layout=ShardSpec(("row",), ("dp",)), mesh=mesh)
    >>> tensor_like(x).tolist(), tensor_like(x).sharding == x.sharding
    ([0.0, 0.0], True)
    """
    sharding = _sharding_of(t, "dist.tensor_like")
    return _build(tuple(t.shape), t.dtype, sharding, _zeros)


def sharding_valid(t: jax.Array) -> bool:
    """Returns whether an array lies on a mesh with every shard where its layout says, covering it.

    >>> sharding_valid(jnp.ones(3))
    False
    """
    sharding = _sharding_of(t, "dist.sharding_valid")
    if not isinstance(sharding, NamedSharding):
        return False
    expected = sharding.shard_shape(t.shape)
    places = sharding.addressable_devices_indices_map(t.shape)
    shards = {shard.device: shard for shard in t.addressable_shards}
    return shards.keys() == places.keys() and all(
        tuple(shard.data.shape) == tuple(expected)
        and _ranges(shard.index, t.shape) == _ranges(places[device], t.shape)
        for device, shard in shards.items()
    )


@dataclass(frozen=True)
class ShardTable:
    """The index ranges each device holds: rows of (device id, ((start, stop), ...))."""

    shape: tuple[int, ...]
    rows: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]

    def __str__(self) -> str:
        lines = [f"array {'x'.join(map(str, self.shape)) or 'scalar'}"]
        for device, ranges in self.rows:
            spans = ", ".join(f"{start}:{stop}" for start, stop in ranges)
            lines.append(f"  device {device:>3}  [{spans}]")
        return "\n".join(lines)


def inspect(t: Any) -> ShardTable:
    """Returns the table of index ranges held by each device, in the order of device ids.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> print(inspect(tensor((4, 2), layout=ShardSpec(("row",), ("dp",)), mesh=mesh)))
    array 4x2
      device   0  [0:4, 0:2]
    """
    places = _sharding_of(t, "dist.inspect").devices_indices_map(t.shape)
    held = sorted((device.id, _ranges(index, t.shape)) for device, index in places.items())
    return ShardTable(tuple(t.shape), tuple(held))


def _shape(x: Any) -> tuple[int, ...] | None:
    """Returns the shape a tuple gives, None for data."""
    if isinstance(x, int | np.integer) and not isinstance(x, bool):
        hint = "a shape is a tuple, as in (8,); data is a list or an array"
        raise _invalid(_WHERE, f"the integer {x} is neither a shape nor an array", hint)
    if not isinstance(x, tuple):
        return None
    sizes = tuple(size for size in map(as_integer, x) if size is not None and size >= 0)
    if len(sizes) < len(x):
        hint = "a tuple is a shape, of sizes from 0; data is a list or an array"
        raise _invalid(_WHERE, f"{x} is not a shape", hint)
    return sizes


def _check_initializer(initializer: Any, data: np.ndarray | jax.Array | None) -> None:
    if data is not None:
        problem = f"an initializer is given together with data of shape {data.shape}"
        raise _invalid(_WHERE, problem, "give the shape as a tuple of ints, or drop initializer=")
    if not callable(initializer):
        hint = "initializer=lambda index, shape, dtype: np.ones(shape, dtype)"
        raise _invalid(_WHERE, f"initializer is {initializer!r}, not a function", hint)


def _data(x: Any, dtype: Any) -> np.ndarray | jax.Array:
    wanted = None if dtype is None else numerics.dtype(dtype, _WHERE)
    if isinstance(x, jax.Array):
        return x if wanted is None else x.astype(wanted)
    array = np.asarray(x)
    if wanted is None and isinstance(x, np.ndarray):
        numerics.require_x64(array.dtype, _WHERE)
        return array
    if wanted is None:
        wanted = jnp.float32 if array.dtype.kind == "f" else jnp.asarray(array).dtype
    return array.astype(wanted)


def _build(shape: tuple[int, ...], dtype: Any, sharding: Any, values: Initializer) -> jax.Array:
    def one_shard(index: Index | None) -> np.ndarray:
        ranges = _ranges(index, shape)
        held = tuple(stop - start for start, stop in ranges)
        found = np.asarray(values(tuple(slice(a, b) for a, b in ranges), held, dtype))
        if found.shape != held:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"{_WHERE}: the initializer gave {found.shape} for a shard of shape {held}.",
                hints="return values of the shape it is given",
            )
        return found.astype(dtype)

    # Inside jit an array made on the spot is a constant, and loses its layout unless it is placed.
    return place(jax.make_array_from_callback(shape, sharding, one_shard), sharding)


def _zeros(_index: Index, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.zeros(shape, dtype)


def _slices(data: np.ndarray) -> Initializer:
    return lambda index, _shape, _dtype: data[index]


def _sharding_of(t: Any, where: str) -> Any:
    known = isinstance(t, jax.Array | jax.ShapeDtypeStruct) and not isinstance(t, Tracer)
    if not known or t.sharding is None:
        kind = "a traced array" if isinstance(t, Tracer) else f"a {type(t).__name__}"
        hint = "give an array made by dist.tensor, outside jit"
        raise _invalid(where, f"the argument is {kind} without a sharding", hint)
    return t.sharding


def _ranges(index: Any, shape: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns (start, stop) of each axis; JAX leaves out the ends of whole axes."""
    index = () if index is None else index
    padded = (*index, *(slice(None),) * (len(shape) - len(index)))
    return tuple(part.indices(size)[:2] for part, size in zip(padded, shape, strict=True))


def _warn_if_wasteful(
    layout: Layout | None, sharding: NamedSharding, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    meant = isinstance(layout, ShardSpec) and layout.replicate
    held = math.prod(shape) * dtype.itemsize
    if (
        meant
        or not sharding.is_fully_replicated
        or sharding.num_devices == 1
        or held < WASTEFUL_BYTES
    ):
        return
    warnings.warn(
        f"{_WHERE}: {held / 2**20:.0f} MiB are held by each of {sharding.num_devices} devices; "
        "shard it, or say dist.Replicate().",
        TesseraWarning,
        stacklevel=3,
    )


def _invalid(where: str, problem: str, hint: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{where}: {problem}.", hints=hint)
