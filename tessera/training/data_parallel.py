"""`training.data_parallel`: gradients over a mesh whose bits do not depend on the number of devices (D2).

The batch is cut into a fixed number of chunks, whatever the mesh. Every device computes its chunks one after
the other, each by the same loop body at the same shape; the gradients of all chunks are added in one tree.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec

from tessera import dist
from tessera import ops as ops  # sets how sums and products keep a level
from tessera.core import compat, determinism, levels
from tessera.core.errors import Code, CompileError

DEFAULT_CHUNKS = 8
NAME = "data_parallel"


def data_parallel(
    loss: Callable[..., jax.Array],
    *,
    mesh: dist.Mesh | None = None,
    axis: str = "dp",
    chunks: int = DEFAULT_CHUNKS,
    level: str = "D2",
) -> Callable[..., tuple[jax.Array, Any]]:
    """Returns a function `(params, *batch) -> (loss, gradients)` that splits the batch over a mesh axis.

    `loss(params, *batch)` is a scalar, the mean over the examples it is given. Every array of the batch has
    shape (B, ...), with one B that `chunks` divides; the number of devices along `axis` divides `chunks`. The
    result is the mean over the chunks, the same on every device, with the same bits for every such number of
    devices and every layout of processes: 1, 2, 4 and 8 with 8 chunks, also 3 and 6 with 24. `mesh` is the
    current mesh by default. The loss of a chunk and its gradient are computed at `level`
    (`numerics.reproducible`), D4 for the same bits on every machine. D1 leaves them as XLA compiles them, for
    losses that reach no more: the bits of one device may then differ from those of several.

    A device holds the gradients of its own chunks until they are added. The step that follows, of an
    optimiser, is elementwise and the same on every device. Sums are in the dtypes of the parameters. On JAX
    0.10.2 wait for each step where devices are simulated: steps in a queue can wait for each other.

    Raises `E_GRAPH_INVALID` for sizes that do not divide and arrays without an example, `E_COMM_INIT` without
    a mesh, and `E_NONDETERMINISTIC` for a loss that cannot reach the level.

    >>> mesh = dist.Mesh(axes=["dp"], devices=range(1))
    >>> step = data_parallel(lambda w, x: jnp.mean((x - w) ** 2), mesh=mesh, chunks=2)
    >>> step(jnp.float32(1.0), jnp.array([0.0, 1.0, 2.0, 3.0]))
    (Array(1.5, dtype=float32), Array(-1., dtype=float32))
    """
    if isinstance(chunks, bool) or not isinstance(chunks, int) or chunks < 1:
        raise _invalid(f"chunks is {chunks!r}, not a positive number")
    wanted = determinism.as_level(NAME, level)
    if not determinism.at_least(wanted, "D1"):
        raise _invalid(f"level is {level!r}", "D1 to D4; D0 is a plain jit over the mesh")
    found = jax.value_and_grad(loss)
    at_wanted = levels.calls_at(found, levels.name_of(loss))

    def of_chunk(params: Any, *batch: Any) -> Any:
        if wanted == "D1":
            return found(params, *batch)
        return at_wanted((params, *batch), {}, str(wanted))

    def run(params: Any, *batch: Any) -> tuple[jax.Array, Any]:
        on = dist.reachable_mesh(mesh, NAME)
        _check(on, axis, chunks, batch)
        cut = jax.tree.map(lambda x: x.reshape(chunks, x.shape[0] // chunks, *x.shape[1:]), batch)
        per_device = jax.shard_map(
            partial(_of_device, of_chunk, axis, chunks),
            mesh=on.jax,
            in_specs=(PartitionSpec(), PartitionSpec(axis)),
            out_specs=PartitionSpec(),
        )
        return per_device(params, cut)

    return run


def _of_device(
    of_chunk: Callable[..., Any], axis: str, chunks: int, params: Any, batch: Any
) -> tuple[jax.Array, Any]:
    """Returns the means over all chunks, from the chunks of one device."""
    # As values of this device: JAX would add the gradients of replicated parameters up itself.
    mine = jax.tree.map(partial(lax.pcast, axis_name=(axis,), to="varying"), params)
    first = jax.tree.map(lambda x: x[0], batch)
    types = jax.eval_shape(of_chunk, mine, *first)
    count = jax.tree.leaves(batch)[0].shape[0]
    partials = jax.tree.map(
        lambda t: lax.pcast(jnp.zeros((count, *t.shape), t.dtype), (axis,), to="varying"), types
    )

    def body(i: jax.Array, partials: Any) -> Any:
        chunk = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), batch)
        found = of_chunk(mine, *chunk)
        return jax.tree.map(
            lambda all_, one: lax.dynamic_update_index_in_dim(all_, one, i, 0), partials, found
        )

    # A loop of one step would be unrolled, and compiled differently.
    steps = count * levels.opaque_one(next(x for x in jax.tree.leaves(batch) if _holds_numbers(x)))
    partials = lax.fori_loop(0, steps, body, partials)
    return _mean(partials, axis, chunks)


def _holds_numbers(x: jax.Array) -> bool:
    return x.size > 0 and not compat.is_key(x)


def _mean(partials: Any, axis: str, chunks: int) -> Any:
    """Returns the mean over the leading axis of the chunks of all devices, one exchange per dtype."""
    leaves, structure = jax.tree.flatten(partials)
    by_dtype: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        by_dtype.setdefault(leaf.dtype, []).append(i)
    found: dict[int, jax.Array] = {}
    for places in by_dtype.values():
        some = [leaves[i] for i in places]
        flat = jnp.concatenate([x.reshape(x.shape[0], -1) for x in some], axis=1)
        total = dist.all_reduce(flat, axis, method="tree", chunks=chunks)
        _, unravel = ravel_pytree([jnp.zeros(x.shape[1:], x.dtype) for x in some])
        found.update(zip(places, unravel(total / chunks), strict=True))
    return jax.tree.unflatten(structure, [found[i] for i in range(len(leaves))])


def _check(mesh: dist.Mesh, axis: str, chunks: int, batch: Any) -> None:
    if axis not in mesh.topology:
        raise _invalid(f"the mesh has no axis {axis!r}; its axes: {', '.join(mesh.axes)}")
    if chunks % mesh.topology[axis]:
        raise _invalid(f"{chunks} chunks are not divided by {mesh.topology[axis]} devices")
    shapes = [jnp.shape(x) for x in jax.tree.leaves(batch)]
    if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise _invalid(f"the arrays of the batch, {shapes}, have no common leading size")
    if shapes[0][0] == 0 or shapes[0][0] % chunks:
        raise _invalid(f"a batch of {shapes[0][0]} is not divided into {chunks} chunks", "chunks=")


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{NAME}: {problem}.", hints=hint or ())
