"""`Mesh`: devices arranged on named axes, and the mesh that is current."""

import contextvars
import math
import operator
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
    duplicate axis names or devices, for a shape that does not fit and for arguments of another
    kind.

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
    """Returns `mesh`, or the current mesh where it is None.

    Raises `E_COMM_INIT` without either and `E_GRAPH_INVALID` for a mesh of another kind.
    """
    found = current_mesh() if mesh is None else mesh
    if found is None:
        raise DistributedError(
            Code.E_COMM_INIT,
            f"{where}: the layout names mesh axes but no mesh is given and none is current.",
            hints="pass mesh=dist.Mesh(...), or call it inside `with mesh:`",
        )
    if not isinstance(found, Mesh):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{where}: mesh is {found!r}, not a dist.Mesh.",
            hints="of a jax.sharding.Mesh m: dist.Mesh(axes=m.axis_names, devices=m.devices)",
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


def as_integer(x: Any) -> int | None:
    """Returns a Python or NumPy integer as an int, None for anything else; a bool is no integer."""
    try:
        return None if isinstance(x, bool) else operator.index(x)
    except TypeError:
        return None


def times(shape: Sequence[int]) -> str:
    """Returns sizes joined by the multiplication sign."""
    return TIMES.join(map(str, shape))


def _axis_names(axes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(axes, str):
        raise _invalid(f"axes is the text {axes!r}, not a list of names", hint=f"axes=[{axes!r}]")
    if not isinstance(axes, Iterable):
        raise _invalid(f"axes is {axes!r}, not a list of names", hint='axes=["dp"]')
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
    if not isinstance(shape, Iterable):
        raise _invalid(f"shape is {shape!r}, not a tuple of sizes", hint=f"shape=({shape!r},)")
    given = tuple(shape)
    sizes = tuple(size for size in map(as_integer, given) if size is not None and size > 0)
    if not len(sizes) == len(given) == len(names):
        problem = f"shape {given} must give one positive size for each axis of {list(names)}"
        raise _invalid(problem, hint="sizes are integers, as in shape=(4, 2)")
    return sizes


def _device_grid(devices: Iterable[Any] | None, wanted: tuple[int, ...] | None) -> np.ndarray:
    """Returns the device objects in the nesting they were given in."""
    known = jax.devices()
    if devices is None:
        devices = range(len(known) if wanted is None else math.prod(wanted))
    listed = devices.tolist() if isinstance(devices, np.ndarray) else devices
    if not isinstance(listed, Iterable):
        raise _invalid(f"devices is {listed!r}, not a list of devices", hint="devices=range(8)")
    grid = np.array(list(listed), dtype=object)
    if grid.size == 0:
        raise _invalid("no devices are given")
    positions = [_position(entry) for entry in grid.ravel()]
    needed = max(positions) + 1
    if needed > len(known):
        raise _too_few(needed, f"jax.devices() has {len(known)}")
    entries = zip(grid.ravel(), positions, strict=True)
    flat = [entry if position < 0 else known[position] for entry, position in entries]
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
    if isinstance(entry, list | tuple):
        raise _invalid("devices are nested in lists that do not have equal lengths")
    position = as_integer(entry)
    if position is None or position < 0:
        hint = "devices are positions in jax.devices(), counted from 0, or device objects"
        raise _invalid(f"devices has {entry!r}, which is not a device", hint)
    return position


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
