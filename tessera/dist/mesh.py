"""`Mesh`: devices arranged on named axes, and the mesh that is current."""

import contextvars
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError, DistributedError, TesseraWarning

DEVICE_FLAG = "--xla_force_host_platform_device_count"

TIMES = " \N{MULTIPLICATION SIGN} "

JaxMesh = jax.sharding.Mesh

_entered: contextvars.ContextVar[tuple["Mesh", ...]] = contextvars.ContextVar("entered", default=())


@dataclass(frozen=True, init=False, repr=False)
class Mesh:
    """A named Cartesian arrangement of devices, over `jax.sharding.Mesh` with Auto axis types.

    `axes` are names, outermost first. `devices` are positions in `jax.devices()`, device objects,
    or nested lists of them, which fix the shape; without it, all devices. `shape` is a tuple, or
    a dict by axis name; without it the device count is factorised as evenly as it can be, and
    with two or more axes a warning says how. Meshes with equal axes, devices and shape are equal,
    so a mesh can be a static argument.

    `with mesh:` makes it the current mesh. A jitted function reads the current mesh when it is
    traced: pass `mesh=` where one function serves several meshes.

    Raises `E_TOPOLOGY` when there are fewer devices than the mesh needs and `E_GRAPH_INVALID` for
    duplicate axis names or devices and for a shape that does not fit.

    >>> Mesh(axes=["dp"], devices=range(1))
    dp mesh, 1
    """

    jax: JaxMesh

    def __init__(
        self,
        axes: Sequence[str],
        devices: Iterable[Any] | None = None,
        shape: Sequence[int] | Mapping[str, int] | None = None,
    ):
        names = _axis_names(axes)
        wanted = _wanted_shape(names, shape)
        grid = _device_grid(devices, wanted)
        if wanted is None:
            wanted = _shape_of_grid(names, grid)
        if grid.ndim > 1 and grid.shape != wanted:
            raise _invalid(
                f"devices are nested as {times(grid.shape)} but shape is {times(wanted)}"
            )
        if grid.size < math.prod(wanted):
            raise _too_few(math.prod(wanted), f"only {grid.size} were given")
        if grid.size > math.prod(wanted):
            raise _invalid(f"shape {times(wanted)} does not use all {grid.size} devices")
        kinds = (jax.sharding.AxisType.Auto,) * len(names)
        object.__setattr__(self, "jax", JaxMesh(grid.reshape(wanted), names, axis_types=kinds))

    @property
    def axes(self) -> tuple[str, ...]:
        """The axis names, outermost first."""
        return tuple(self.jax.axis_names)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axis sizes, in the order of `axes`."""
        return tuple(self.jax.axis_sizes)

    @property
    def topology(self) -> Mapping[str, int]:
        """The size of every axis, by name."""
        return MappingProxyType(dict(zip(self.axes, self.shape, strict=True)))

    @property
    def size(self) -> int:
        """The number of devices."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{TIMES.join(self.axes)} mesh, {times(self.shape)}"

    def __enter__(self) -> "Mesh":
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, *_exception: object) -> None:
        _entered.set(_entered.get()[:-1])


def current_mesh() -> Mesh | None:
    """Returns the mesh of the innermost `with mesh:` block, or None outside one.

    >>> with Mesh(axes=["dp"], devices=range(1)):
    ...     current_mesh()
    dp mesh, 1
    """
    entered = _entered.get()
    return entered[-1] if entered else None


def world_size() -> int:
    """Returns the number of devices of the current mesh, or of the whole program outside a mesh.

    >>> with Mesh(axes=["dp"], devices=range(1)):
    ...     world_size()
    1
    """
    mesh = current_mesh()
    return jax.device_count() if mesh is None else mesh.size


def reachable_mesh(mesh: Mesh | None, where: str) -> Mesh:
    """Returns `mesh`, or the current mesh where it is None; raises `E_COMM_INIT` without either."""
    found = current_mesh() if mesh is None else mesh
    if found is None:
        raise DistributedError(
            Code.E_COMM_INIT,
            f"{where}: the layout names mesh axes but no mesh is given and none is current.",
            hints="pass mesh=dist.Mesh(...), or call it inside `with mesh:`",
        )
    return found


def balanced_shape(count: int, axes: int, largest: int | None = None) -> tuple[int, ...] | None:
    """Returns the lexicographically smallest non-increasing factorisation of a device count.

    No factor exceeds `largest`; None if there is no such factorisation.

    >>> balanced_shape(48, 3), balanced_shape(72, 3)
    ((4, 4, 3), (6, 4, 3))
    """
    largest = count if largest is None else largest
    if axes == 1:
        return (count,) if count <= largest else None
    for first in range(1, min(count, largest) + 1):
        rest = None if count % first else balanced_shape(count // first, axes - 1, first)
        if rest is not None:
            return (first, *rest)
    return None


def times(shape: Sequence[int]) -> str:
    """Returns sizes joined by the multiplication sign."""
    return TIMES.join(map(str, shape))


def _axis_names(axes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(axes, str):
        raise _invalid(f"axes is the text {axes!r}, not a list of names", hint=f"axes=[{axes!r}]")
    names = tuple(axes)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise _invalid(f"axes must be one or more names, not {list(names)}")
    if len(set(names)) < len(names):
        raise _invalid(f"axis names repeat in {list(names)}")
    return names


def _wanted_shape(
    names: tuple[str, ...], shape: Sequence[int] | Mapping[str, int] | None
) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if isinstance(shape, Mapping):
        if set(shape) != set(names):
            raise _invalid(f"shape has sizes for {list(shape)} but the axes are {list(names)}")
        shape = [shape[name] for name in names]
    sizes = tuple(shape)
    if len(sizes) != len(names) or any(size < 1 for size in sizes):
        raise _invalid(f"shape {sizes} must give one positive size for each axis of {list(names)}")
    return sizes


def _device_grid(devices: Iterable[Any] | None, wanted: tuple[int, ...] | None) -> np.ndarray:
    """Returns the device objects in the nesting they were given in."""
    known = jax.devices()
    if devices is None:
        devices = range(len(known) if wanted is None else math.prod(wanted))
    listed = devices.tolist() if isinstance(devices, np.ndarray) else list(devices)
    grid = np.array(listed, dtype=object)
    if grid.size == 0:
        raise _invalid("no devices are given")
    needed = max([_position(entry) for entry in grid.ravel()]) + 1
    if needed > len(known):
        raise _too_few(needed, f"jax.devices() has {len(known)}")
    flat = [known[entry] if isinstance(entry, int) else entry for entry in grid.ravel()]
    repeated = sorted({device.id for device in flat if flat.count(device) > 1})
    if repeated:
        raise _invalid(f"device ids repeat: {repeated}")
    found = np.empty(grid.shape, dtype=object)
    found.ravel()[:] = flat
    return found


def _position(entry: Any) -> int:
    """Returns the position in `jax.devices()` an entry asks for, -1 for a device object."""
    if isinstance(entry, jax.Device):
        return -1
    if isinstance(entry, str):
        raise DistributedError(
            Code.E_TOPOLOGY,
            f"Mesh: device {entry!r} is a name; partitioned (MIG, vGPU) devices cannot be named.",
            hints="give positions in jax.devices() or device objects",
        )
    if not isinstance(entry, int) or isinstance(entry, bool) or entry < 0:
        raise _invalid(f"{entry!r} is not a device; nested lists must have equal lengths")
    return entry


def _shape_of_grid(names: tuple[str, ...], grid: np.ndarray) -> tuple[int, ...]:
    if grid.ndim > 1:
        if grid.ndim != len(names):
            raise _invalid(f"devices are nested {grid.ndim} deep but there are {len(names)} axes")
        return grid.shape
    shape = balanced_shape(grid.size, len(names))
    assert shape is not None, "every count is itself times ones"
    if len(names) > 1:
        warnings.warn(
            f"Mesh: {grid.size} devices arranged as {TIMES.join(names)} = {times(shape)}; "
            "pass shape= to choose.",
            TesseraWarning,
            stacklevel=3,
        )
    return shape


def _invalid(problem: str, hint: str | tuple[str, ...] = ()) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"Mesh: {problem}.", hints=hint)


def _too_few(needed: int, have: str) -> DistributedError:
    return DistributedError(
        Code.E_TOPOLOGY,
        f"Mesh: the mesh needs {needed} devices but {have}.",
        hints=f'for simulated devices set XLA_FLAGS="{DEVICE_FLAG}={needed}" before JAX starts',
    )
