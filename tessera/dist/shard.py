"""`ShardSpec`: which axes of an array lie over which axes of a mesh; moving arrays to a layout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from tessera.core.errors import Code, CompileError, LaunchError
from tessera.dist.mesh import Mesh, as_integer, reachable_mesh

# What a word means at each rank; at rank 3 arrays are (B, N, D), at rank 4 (B, H, L, D).
DIM_OF_WORD: dict[int, dict[str, int]] = {
    1: {"row": 0, "batch": 0},
    2: {"row": 0, "batch": 0, "col": 1, "channel": 1},
    3: {"batch": 0, "row": 0, "seq": 1, "channel": 2, "col": 2},
    4: {"batch": 0, "head": 1, "seq": 2, "channel": 3},
}
DIM_AT_ANY_RANK = {"experts": 0}

SHARDED = "sharded"

ONE_AXIS_ONCE = "a mesh axis can split one axis of an array; split the other over another one"


@dataclass(frozen=True, repr=False)
class ShardSpec:
    """A layout: entry i of `partition`, an axis of the array, is split over `mesh_axes[i]`.

    Entries of `partition` are integers (negative from the end) or the words row, col, batch, seq,
    head, channel, experts, whose axis depends on the rank. Axes not named are replicated; an axis
    named twice is split over both mesh axes, the first outermost. `replicate=True`, with nothing
    partitioned, states that full replication is meant, however large the array.

    Raises `E_LAUNCH_BAD_LAYOUT`.

    >>> tuple(ShardSpec(("row",), ("dp",)).partition_spec(2))
    ('dp',)
    """

    partition: tuple[str | int, ...] = ()
    mesh_axes: tuple[str, ...] = ()
    replicate: bool = False

    def __init__(
        self,
        partition: Sequence[str | int] | str | int = (),
        mesh_axes: Sequence[str] | str = (),
        *,
        replicate: bool = False,
    ):
        object.__setattr__(self, "partition", tuple(map(_word_or_axis, _listed(partition))))
        object.__setattr__(self, "mesh_axes", _listed(mesh_axes))
        object.__setattr__(self, "replicate", replicate)
        self._check()

    def __repr__(self) -> str:
        if self.replicate and not self.partition:
            return "ShardSpec(replicate=True)"
        replicate = ", replicate=True" if self.replicate else ""
        return f"ShardSpec({self.partition}, {self.mesh_axes}{replicate})"

    def partition_spec(self, ndim: int) -> PartitionSpec:
        """Returns the JAX PartitionSpec for an array of `ndim` axes.

        Raises `E_LAUNCH_BAD_LAYOUT` for a word without meaning at that rank or an axis out of
        range.
        """
        entries: list[tuple[str, ...]] = [()] * ndim
        for where, axis in zip(self.partition, self.mesh_axes, strict=True):
            dim = self._dim(where, ndim)
            entries[dim] += (axis,)
        while entries and not entries[-1]:
            entries.pop()
        return PartitionSpec(*(_entry(axes) for axes in entries))

    def _dim(self, where: str | int, ndim: int) -> int:
        if isinstance(where, int):
            if not -ndim <= where < ndim:
                hint = f"axes run from {-ndim} to {ndim - 1}" if ndim else "dist.Replicate()"
                raise bad_layout(f"{self}: there is no axis {where} at rank {ndim}", hint)
            return where % ndim
        known = {**DIM_OF_WORD.get(ndim, {}), **DIM_AT_ANY_RANK}
        if where not in known or ndim == 0:
            words = f"the words are {', '.join(known)}; an axis may also be an integer"
            hint = words if ndim else "a scalar cannot be split: dist.Replicate()"
            raise bad_layout(f"{self}: {where!r} has no meaning at rank {ndim}", hint)
        return known[where]

    def _check(self) -> None:
        if len(self.partition) != len(self.mesh_axes):
            counts = f"{len(self.partition)} array axes but {len(self.mesh_axes)} mesh axes"
            raise bad_layout(f"{self} pairs {counts}", "name one mesh axis for each array axis")
        if self.replicate and self.partition:
            raise bad_layout(f"{self} both replicates and partitions", "drop replicate=True")
        for axis in self.mesh_axes:
            if not isinstance(axis, str):
                hint = 'mesh axes are names, as in ShardSpec(("row",), ("dp",))'
                raise bad_layout(f"{self}: {axis!r} is not the name of a mesh axis", hint)
        if len(set(self.mesh_axes)) < len(self.mesh_axes):
            raise bad_layout(f"{self} uses a mesh axis twice", ONE_AXIS_ONCE)
        words = {*DIM_AT_ANY_RANK}.union(*DIM_OF_WORD.values())
        for where in self.partition:
            if not (where in words if isinstance(where, str) else as_integer(where) is not None):
                hint = f"an integer or one of {', '.join(sorted(words))}"
                raise bad_layout(f"{self}: {where!r} is not an axis of an array", hint)


def Replicate() -> ShardSpec:  # noqa: N802 - reads as a kind of ShardSpec
    """Returns the layout that keeps a whole copy on every device.

    >>> tuple(Replicate().partition_spec(2))
    ()
    """
    return ShardSpec(replicate=True)


# A ShardSpec; the word "sharded" (the first axis that divides, over the first mesh axis); or, for
# each leading axis of the array, a mesh axis name or None.
Layout = ShardSpec | str | Sequence[str | None]

LAYOUTS = 'layout=dist.ShardSpec(("row",), ("dp",)), dist.Replicate() or "sharded"'


def layout_sharding(
    layout: Layout | None, mesh: Mesh, shape: Sequence[int], where: str
) -> NamedSharding:
    """Returns the JAX sharding a layout gives an array of that shape on a mesh.

    `where` is the name of the caller, for errors. Raises `E_LAUNCH_BAD_LAYOUT` for a missing
    layout, one of another kind, or a mesh axis that is not there or used twice, and
    `E_SHAPE_MISMATCH` for an array axis its mesh axes do not divide.
    """
    spec = _partition_spec(layout, mesh, shape, where)
    used = [axis for entry in spec for axis in axes_of(entry)]
    repeated = [axis for axis in used if used.count(axis) > 1]
    if repeated:
        raise bad_layout(f"{where}: layout uses mesh axis {repeated[0]!r} twice", ONE_AXIS_ONCE)
    for dim, entry in enumerate(spec):
        axes = axes_of(entry)
        missing = [axis for axis in axes if axis not in mesh.axes]
        if missing:
            problem = f"{where}: mesh axis {missing[0]!r} is not in the {mesh}"
            raise bad_layout(problem, f"its axes are {', '.join(mesh.axes)}")
        parts = math.prod(mesh.topology[axis] for axis in axes)
        if shape[dim] % parts:
            raise _indivisible(f"axis {dim} of {tuple(shape)}", shape[dim], parts, where)
    return NamedSharding(mesh.jax, spec)


def shard(x: Any, layout: Layout, *, mesh: Mesh | None = None) -> jax.Array:
    """Returns an array with its shards moved to the devices a layout says; values are unchanged.

    Inside `jit` it constrains the compiler to that layout. Differentiable; the cotangent passes
    through. `mesh` defaults to the current mesh. Raises as `layout_sharding`, and `E_COMM_INIT`
    without a mesh.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> x = shard(jax.numpy.ones((2, 3)), ShardSpec(("row",), ("dp",)), mesh=mesh)
    >>> tuple(x.sharding.spec)
    ('dp',)
    """
    mesh = reachable_mesh(mesh, "dist.shard")
    array = jax.numpy.asarray(x)
    return place(array, layout_sharding(layout, mesh, array.shape, "dist.shard"))


def place(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Returns an array under a sharding: moved if it is concrete, constrained if it is traced."""
    # device_put ignores the axis that vmap adds, and inside jit its sharding binds nothing: there
    # it returns a tracer, even of a concrete array.
    moved = x if isinstance(x, Tracer) else jax.device_put(x, sharding)
    if isinstance(moved, Tracer):
        return jax.lax.with_sharding_constraint(moved, sharding)
    return moved


def axes_of(entry: Any) -> tuple[str, ...]:
    """Returns the mesh axes of one PartitionSpec entry."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)


def bad_layout(problem: str, hints: str | tuple[str, ...] = ()) -> LaunchError:
    """Returns the error for a layout that cannot be."""
    return LaunchError(Code.E_LAUNCH_BAD_LAYOUT, f"{problem}.", hints=hints)


def _listed(given: Any) -> tuple[Any, ...]:
    several = isinstance(given, Sequence) and not isinstance(given, str)
    return tuple(given) if several else (given,)


def _word_or_axis(entry: Any) -> Any:
    """Returns an entry of a partition with NumPy integers made ints, so that equal specs hash alike."""
    axis = as_integer(entry)
    return entry if axis is None else axis


def _partition_spec(
    layout: Layout | None, mesh: Mesh, shape: Sequence[int], where: str
) -> PartitionSpec:
    if layout is None:
        raise bad_layout(f"{where}: a distributed value needs a layout", LAYOUTS)
    if isinstance(layout, ShardSpec):
        return layout.partition_spec(len(shape))
    if isinstance(layout, str) and layout == SHARDED:
        return _first_divisible(mesh, shape, where)
    if isinstance(layout, str):
        hint = f"dist.ShardSpec((0,), ({layout!r},)) splits axis 0 over a mesh axis of that name"
        raise bad_layout(f"{where}: unknown layout word {layout!r}; the word is 'sharded'", hint)
    if not isinstance(layout, Sequence | PartitionSpec):
        raise bad_layout(f"{where}: layout is {layout!r}, not a layout", LAYOUTS)
    return _spec_of_names(tuple(layout), len(shape), where)


def _spec_of_names(names: tuple[Any, ...], ndim: int, where: str) -> PartitionSpec:
    for name in names:
        listed = name if isinstance(name, tuple) else (name,)
        if name is not None and not all(isinstance(axis, str) for axis in listed):
            hint = "give a mesh axis name or None for each axis of the array, as in ('dp', None)"
            raise bad_layout(f"{where}: layout has {name!r}, not the name of a mesh axis", hint)
    if len(names) > ndim:
        problem = f"{where}: layout has {len(names)} entries for an array of rank {ndim}"
        raise bad_layout(problem, "give at most one entry for each axis of the array")
    return PartitionSpec(*names)


def _first_divisible(mesh: Mesh, shape: Sequence[int], where: str) -> PartitionSpec:
    parts = mesh.shape[0]
    for dim, size in enumerate(shape):
        if size % parts == 0:
            return PartitionSpec(*(None,) * dim, mesh.axes[0])
    if not shape:
        raise bad_layout(f"{where}: a scalar cannot be sharded", "dist.Replicate()")
    raise _indivisible(f"every axis of {tuple(shape)}", shape[0], parts, where)


def _indivisible(what: str, size: int, parts: int, where: str) -> CompileError:
    padded = -(-size // parts) * parts
    return CompileError(
        Code.E_SHAPE_MISMATCH,
        f"{where}: {what} cannot be split into {parts} equal parts.",
        hints=f"pad that axis from {size} to {padded}",
    )


def _entry(axes: tuple[str, ...]) -> Any:
    if len(axes) == 1:
        return axes[0]
    return axes or None
