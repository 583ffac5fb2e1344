"""Distributed arrays: built shard by shard on their devices, and looked at."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.dist.mesh import Mesh, reachable_mesh
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

    A tuple of ints is a shape: zeros, or the values of `initializer(index, shape, dtype)`, called
    once per shard with the shard's index ranges, so that the values need not depend on the mesh.
    Anything else is data: lists of floats become fp32, arrays keep their dtype. `layout` (a
    `ShardSpec`, or "sharded") must be given; `mesh` defaults to the current mesh; `dtype` is a
    word or a dtype, fp32 for a shape. `abstract=True` returns a `jax.ShapeDtypeStruct` with the
    sharding and allocates nothing.

    Raises `E_LAUNCH_BAD_LAYOUT`, `E_SHAPE_MISMATCH` (an axis that does not divide, a shard of the
    wrong shape), `E_COMM_INIT` (no mesh), `E_GRAPH_INVALID` (an initializer for data). Warns when
    a large array is replicated without `dist.Replicate()`.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> tensor((4, 2), layout=ShardSpec(("row",), ("dp",)), mesh=mesh).sum().item()
    0.0
    """
    mesh = reachable_mesh(mesh, _WHERE)
    data = None if _is_shape(shape_or_data) else _data(shape_or_data, dtype)
    shape = tuple(shape_or_data) if data is None else tuple(data.shape)
    kind = numerics.dtype("fp32" if dtype is None else dtype) if data is None else data.dtype
    sharding = layout_sharding(layout, mesh, shape, _WHERE)
    if data is not None and initializer is not None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{_WHERE}: an initializer is given together with data of shape {shape}.",
            hints="give the shape as a tuple of ints, or drop initializer=",
        )
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
    return _build(tuple(t.shape), t.dtype, t.sharding, _zeros)


def sharding_valid(t: jax.Array) -> bool:
    """Returns whether an array lies on a mesh with every shard where its layout says, covering it.

    >>> sharding_valid(jnp.ones(3))
    False
    """
    sharding = t.sharding
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
    places = t.sharding.devices_indices_map(t.shape)
    held = sorted((device.id, _ranges(index, t.shape)) for device, index in places.items())
    return ShardTable(tuple(t.shape), tuple(held))


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in x
    )


def _data(x: Any, dtype: Any) -> np.ndarray | jax.Array:
    wanted = None if dtype is None else numerics.dtype(dtype)
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

    return jax.make_array_from_callback(shape, sharding, one_shard)


def _zeros(_index: Index, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.zeros(shape, dtype)


def _slices(data: np.ndarray) -> Initializer:
    return lambda index, _shape, _dtype: data[index]


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
