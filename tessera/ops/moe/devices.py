"""A mixture whose experts lie on several devices: rows go to the device of their expert and come back.

Tokens are split over all axes of a mesh, experts over one of them, `ep`. What a device sends to another of
its line along `ep` are its rows for the experts there, by expert; they arrive in blocks of one size, which
must hold the worst case, and are sorted by expert again. The way back is the same way backwards.

    tokens -> blocks, one for each device -> all_to_all -> rows by expert -> experts
    sum over choices <- blocks <- all_to_all <- blocks <- rows by expert

Within an expert rows keep the order of their tokens on the mesh, so a capacity drops what it drops on one
device. Devices tell each other numbers of rows for this; neither tokens nor experts are gathered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from tessera import dist
from tessera.core import compat
from tessera.core.errors import Code, CompileError, DistributedError
from tessera.ops.moe.exchange import InverseRoute, Sorted, moe_combine, spread
from tessera.ops.moe.experts import EXPERT, Groups, Program
from tessera.ops.moe.routing import Route
from tessera.ops.moe.wire import sent

EP = "ep"


@dataclass(frozen=True)
class Places:
    """The devices of a mixture: a mesh, and the axis of it that experts are split over."""

    mesh: dist.Mesh
    ep: str

    @property
    def parts(self) -> int:
        """The number of devices that experts are split over."""
        return self.mesh.topology[self.ep]

    def exchange(self, blocks: jax.Array) -> jax.Array:
        """Returns of blocks, one for each device along `ep`, the blocks for this device."""
        return jax.lax.all_to_all(blocks, self.ep, split_axis=0, concat_axis=0, tiled=True)


def places(mesh: Any, experts: int) -> Places:
    """Returns where a number of experts lie on a mesh.

    Raises `E_COMM_INIT` if no axis is "ep" and there are several, `E_SHAPE_MISMATCH` if it does not divide
    the experts, `E_GRAPH_INVALID` for what is no mesh and inside `jax.shard_map`.
    """
    if isinstance(mesh, jax.sharding.Mesh):
        mesh = dist.Mesh(axes=mesh.axis_names, devices=mesh.devices)
    mesh = dist.reachable_mesh(mesh, "moe")
    if compat.manual_axes():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"moe: mesh= inside shard_map, whose axes {list(compat.manual_axes())} are manual already.",
            hints="call it outside; without mesh= each device runs a mixture of its own",
        )
    if EP not in mesh.axes and len(mesh.axes) > 1:
        raise DistributedError(
            Code.E_COMM_INIT,
            f"moe: the {mesh} has no axis {EP!r} for the experts.",
            hints='dist.Mesh(axes=["dp", "ep"], ...)',
        )
    found = Places(mesh, EP if EP in mesh.axes else mesh.axes[0])
    if experts % found.parts:
        padded = -(-experts // found.parts) * found.parts
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe: {experts} experts cannot be split over {found.parts} devices of axis {found.ep!r}.",
            hints=f"{padded} experts can",
        )
    return found


def spread_mixture(
    tokens: jax.Array,
    program: Program,
    route: Route,
    capacity: int | None,
    at: Places,
    packed: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the mixture of tokens (..., d), the number of assignments dropped, and the load."""
    assert route.experts is not None
    k, lead = route.index.shape[-1], tokens.shape[:-1]
    count, devices = math.prod(lead), at.mesh.size
    # A token that fills the last device goes to no expert.
    extra = -(-max(count, 1) // devices) * devices - count
    rows, index, gate = (
        jnp.pad(x.reshape(count, x.shape[-1]), ((0, extra), (0, 0)), constant_values=fill)
        for x, fill in ((tokens, 0), (route.index, -1), (route.gate, 0))
    )
    held = (*program.constants, *program.parameters)
    split, whole = PartitionSpec(at.mesh.axes), PartitionSpec()
    arrays = [rows, index, gate, *(h.array for h in held)]
    specs = [split] * 3 + [PartitionSpec(at.ep) if h.kind == EXPERT else whole for h in held]

    def of_device(
        rows: jax.Array, index: jax.Array, gate: jax.Array, *own: jax.Array
    ) -> tuple[jax.Array, ...]:
        here = _with_arrays(program, own)
        mine = Route(index, gate, None, route.experts)
        return _device_mixture(rows, here, mine, capacity, at, packed)

    # The program was traced outside, so what is in it does not say over which axes its values vary.
    run = jax.shard_map(
        of_device,
        mesh=at.mesh.jax,
        in_specs=tuple(specs),
        out_specs=(split, whole, whole),
        check_vma=False,
    )
    placed = (
        dist.place(x, NamedSharding(at.mesh.jax, spec))
        for x, spec in zip(arrays, specs, strict=True)
    )
    y, dropped, load = jax.jit(run)(*placed)
    return y[:count].reshape(*lead, y.shape[-1]), dropped - extra * k, load


def _with_arrays(program: Program, arrays: Sequence[jax.Array]) -> Program:
    """Returns a program with other arrays, those of the experts of one device."""
    held = zip((*program.constants, *program.parameters), arrays, strict=True)
    found = [replace(old, array=new) for old, new in held]
    count = len(program.constants)
    return replace(program, constants=tuple(found[:count]), parameters=tuple(found[count:]))


# -- what one device does --------------------------------------------------------------------------------


def _device_mixture(
    x: jax.Array, program: Program, route: Route, capacity: int | None, at: Places, packed: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    back = _departures(route, capacity, at, x.shape[0])
    room = back.source.shape[0] // at.parts
    blocks = spread(x, back.source, back.place).reshape(at.parts, room, x.shape[1])
    arrived = sent(blocks, at.exchange) if packed else at.exchange(blocks)
    counts = at.exchange(back.sizes.reshape(at.parts, -1))
    groups, source, place = _arrivals(counts, room, capacity)
    # Places and sources trade roles on the way back.
    rows = spread(arrived.reshape(-1, x.shape[1]), source, place[:, None])
    made = spread(program.run(rows, groups), place, source[:, None])
    width = made.shape[1]
    returned = at.exchange(made.reshape(at.parts, room, width)).reshape(-1, width)
    dropped = jnp.sum(back.place >= back.source.shape[0], dtype=jnp.int32)
    axes = at.mesh.axes
    return moe_combine(returned, back), jax.lax.psum(dropped, axes), jax.lax.psum(back.load, axes)


def _departures(route: Route, capacity: int | None, at: Places, tokens: int) -> InverseRoute:
    """Returns where the rows of this device go: as many blocks of one size as devices along `ep`."""
    experts, k = route.experts, route.index.shape[-1]
    assert experts is not None
    found = Sorted.of(route.index, experts)
    own, total = experts // at.parts, tokens * k
    sizes, room = found.load, total
    if capacity is not None:
        before = _load_before(found.load, at.mesh.axes)
        sizes = jnp.clip(capacity - before, 0, found.load)
        room = min(total, own * capacity)
    table = sizes.reshape(at.parts, own)
    begins = (jnp.cumsum(table, axis=1, dtype=jnp.int32) - table).ravel()
    expert = jnp.minimum(found.chosen, experts - 1)
    slot = expert // own * room + begins[expert] + found.within
    place = jnp.where(found.kept(sizes), slot, at.parts * room)
    column, within = _cells(table, room)
    block = jnp.arange(at.parts, dtype=jnp.int32)[:, None]
    source = jnp.where(column < own, found.at(block * own + column, within), total)
    shape = (tokens, k)
    return InverseRoute(
        sizes, found.load, source.ravel(), place.reshape(shape), route.gate, (tokens,)
    )


def _arrivals(
    counts: jax.Array, room: int, capacity: int | None
) -> tuple[Groups, jax.Array, jax.Array]:
    """Returns the groups of rows by expert, the slot each came from, and the row of each slot.

    `counts` (devices, experts) are the rows that arrived for the experts here, in blocks of `room` slots.
    """
    devices, own = counts.shape
    slots = devices * room
    rows = slots if capacity is None else min(slots, own * capacity)
    # Rows lie by expert, of one expert by device; slots lie by device, of one device by expert.
    by_expert = counts.T.ravel()
    ends = jnp.cumsum(by_expert, dtype=jnp.int32)
    starts = (ends - by_expert).reshape(own, devices).T
    begins = jnp.cumsum(counts, axis=1, dtype=jnp.int32) - counts
    row = jnp.arange(rows, dtype=jnp.int32)
    cell = jnp.searchsorted(ends, row, side="right").astype(jnp.int32)
    known = jnp.minimum(cell, own * devices - 1)
    member, device = known // devices, known % devices
    slot = device * room + begins[device, member] + row - starts[device, member]
    source = jnp.where(cell < own * devices, slot, slots)
    column, within = _cells(counts, room)
    near = jnp.minimum(column, own - 1)
    place = jnp.where(column < own, jnp.take_along_axis(starts, near, axis=1) + within, rows)
    return Groups(jnp.sum(counts, axis=0), member), source, place.ravel()


def _cells(table: jax.Array, room: int) -> tuple[jax.Array, jax.Array]:
    """Returns the column of every slot of every row of a table of counts, and the place in that column.

    A row of the table fills the first of `room` slots, column by column; the column of the others is the
    number of columns.
    """
    ends = jnp.cumsum(table, axis=1, dtype=jnp.int32)
    slot = jnp.arange(room, dtype=jnp.int32)
    column = jax.vmap(partial(jnp.searchsorted, v=slot, side="right"))(ends).astype(jnp.int32)
    starts = jnp.concatenate([jnp.zeros_like(ends[:, :1]), ends], axis=1)
    return column, slot[None, :] - jnp.take_along_axis(starts, column, axis=1)


def _load_before(load: jax.Array, axes: Sequence[str]) -> jax.Array:
    """Returns how many rows each expert gets from the devices whose tokens come before those here."""
    everyone = jax.lax.all_gather(load, tuple(axes))
    place = jnp.arange(everyone.shape[0], dtype=jnp.int32)
    before = place < jax.lax.axis_index(tuple(axes))
    return jnp.sum(jnp.where(before[:, None], everyone, 0), axis=0, dtype=jnp.int32)
