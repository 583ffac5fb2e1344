"""Collectives: values of all shards combined, inside a function that runs once per shard.

rows, whole = dist.ShardSpec(("row",), ("dp",)), dist.Replicate()

@dist.spmd(mesh, in_specs=(rows, whole), out_specs=whole)
def sum_of_blocks(A, B):
    return dist.all_reduce(op.matmul(A, B), axis="dp")
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from tessera.core import compat, numerics
from tessera.core.errors import Code, CompileError, DistributedError
from tessera.core.exact_sum import exact_sum
from tessera.core.tree_sum import add_neighbours, divided, entries, rounded
from tessera.dist.mesh import Mesh
from tessera.dist.shard import ShardSpec

Spec = ShardSpec | PartitionSpec


def _product(x: jax.Array, axis: Any) -> jax.Array:
    # A sum of blocks that are zero elsewhere: unlike an all_gather, JAX knows it is the same on every shard.
    mine = (
        jnp.zeros((jax.lax.axis_size(axis), *x.shape), x.dtype).at[jax.lax.axis_index(axis)].set(x)
    )
    return jnp.prod(jax.lax.psum(mine, axis), axis=0)


REDUCTIONS: dict[str, Callable[[jax.Array, Any], jax.Array]] = {
    "sum": jax.lax.psum,
    "mean": jax.lax.pmean,
    "max": jax.lax.pmax,
    "min": jax.lax.pmin,
    "prod": _product,
}

TREE, EXACT = "tree", "exact"
METHODS = (TREE, EXACT)
SUMS = ("sum", "mean")


def all_reduce(
    x: jax.Array,
    axis: str | Sequence[str] = "dp",
    op: str = "sum",
    *,
    method: str | None = None,
    chunks: int | None = None,
) -> jax.Array:
    """Returns the shards' values of x combined over a mesh axis (or several), the same on every shard.

    `x` is the block of this shard, of any shape; the result has its shape. `op` is sum, mean, max, min or
    prod. A replicated value counts once per shard: the sum of ones over n devices is n.

    `method` fixes the bits of a sum or mean of floats, which else depend on how devices are spread over
    processes. Sums are in at least fp32.
      tree    the shards' values are the leaves of one binary tree, neighbours in mesh order added first and
              one left over added later: the same bits for any spread over processes
      exact   the true sum, rounded once: the same bits in any order
    With `chunks=C` x has a leading axis: the C chunks of all shards together, of which each shard holds a
    contiguous range in mesh order, are added as the leaves of one tree (or exactly), and the result has no
    such axis. So the bits do not depend on how many shards there are, for every number that divides C; the
    mean divides by C. What is sent is that of an all-reduce times the odd part of C/n (exact: times C/n).
    Without `chunks`, sums over 2, 4 and 8 shards agree where each shard adds up its part in the same tree.

    On 8 simulated devices of one busy host a tree of 4096 to 4M floats took 1.5 to 3.2 times as long as psum,
    an exact sum 2.3 to 14 times (`benchmarks/numerics/sums.py --collectives`). The gradient of a sum is a
    broadcast, the same bits for any mesh; forward mode sums tangents as `jax.lax.psum` does.

    Raises `E_COMM_INIT` outside `dist.spmd` and `jax.shard_map`, where a value is whole already,
    `E_GRAPH_INVALID` for another `op` or `method`, or one with the other, and `E_SHAPE_MISMATCH` for chunks
    that are not those of the shards.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> spmd(mesh, in_specs=ShardSpec(), out_specs=ShardSpec())(all_reduce)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """
    axes = _checked("all_reduce", axis, op, method, tuple(REDUCTIONS))
    if chunks is not None:
        _check_chunks(x, axes, chunks, method)
    x = _varying(x, axes)
    if method is None:
        return REDUCTIONS[op](x, axes)
    leaves = x if chunks is not None else x[None]
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        total = jax.lax.psum(jnp.sum(leaves, axis=0, dtype=x.dtype), axes)
    else:
        total = _sum_everywhere(leaves, axes, method)
    return total if op == "sum" else divided(total, chunks or jax.lax.axis_size(axes))


def reduce_scatter(
    x: jax.Array,
    axis: str | Sequence[str] = "dp",
    *,
    dim: int = 0,
    op: str = "sum",
    method: str | None = None,
) -> jax.Array:
    """Returns this shard's block, along `dim`, of the shards' values of x added up over a mesh axis.

    `x` has one shape on every shard; the result has the n-th part of it along `dim`, blocks in mesh order.
    Gathered along `dim` the results are what `all_reduce` gives. `op` is sum or mean; `method` and the
    gradient, an all-gather, are as there.

    Raises what `all_reduce` raises, and `E_SHAPE_MISMATCH` if n does not divide the axis `dim`.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> rows = ShardSpec(("row",), ("dp",))
    >>> spmd(mesh, in_specs=rows, out_specs=rows)(reduce_scatter)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """
    axes = _checked("reduce_scatter", axis, op, method, SUMS)
    count = jax.lax.axis_size(axes)
    if not -x.ndim <= dim < x.ndim or x.shape[dim] % count:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"reduce_scatter: dim {dim} of shape {x.shape} is not {count} equal blocks.",
        )
    dim = dim % x.ndim
    x = _varying(x, axes)
    if method is None or not jnp.issubdtype(x.dtype, jnp.inexact):
        total = jax.lax.psum_scatter(x, axes, scatter_dimension=dim, tiled=True)
    else:
        total = _sum_in_blocks(x, axes, dim, method)
    return total if op == "sum" else divided(total, count)


def _checked(
    name: str, axis: str | Sequence[str], op: str, method: str | None, known: Sequence[str]
) -> tuple[str, ...]:
    """Returns the mesh axes of a collective that may run here with these words."""
    for word, value, words in (("op", op, known), ("method", method, (None, *METHODS))):
        if value not in words:
            these = ", ".join(str(one) for one in words)
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{name}: {word}={value!r} is unknown.",
                hints=f"one of {these}",
            )
    if method is not None and op not in SUMS:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{name}: method={method!r} is for a sum or mean, not for op={op!r}.",
            hints="max and min have no order; leave method out",
        )
    axes = (axis,) if isinstance(axis, str) else tuple(axis)
    manual = compat.manual_axes()
    missing = [name for name in axes if name not in manual]
    if missing:
        inside = f"axes here: {', '.join(manual)}" if manual else "values here are whole already"
        raise DistributedError(
            Code.E_COMM_INIT,
            f"{name}: no shard of mesh axis {missing[0]!r} runs here; {inside}.",
            hints="call it inside a function decorated with @dist.spmd(mesh, in_specs, out_specs)",
        )
    return axes


def _check_chunks(x: jax.Array, axes: tuple[str, ...], chunks: int, method: str | None) -> None:
    if method is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"all_reduce: chunks={chunks} needs a method.",
            hints=f"one of {', '.join(METHODS)}",
        )
    count = jax.lax.axis_size(axes)
    if x.ndim == 0 or x.shape[0] * count != chunks:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"all_reduce: chunks={chunks}, but {count} shards have x of shape {x.shape}.",
            hints=f"a leading axis of {chunks} / {count} chunks on every shard",
        )


def _varying(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    replicated = tuple(name for name in axes if name not in compat.varying_axes(x))
    return jax.lax.pcast(x, replicated, to="varying") if replicated else x


# The transpose of a tree would be one of additions in another order. That of psum is a broadcast.
@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _sum_everywhere(leaves: jax.Array, axes: tuple[str, ...], method: str) -> jax.Array:
    """Returns the sum over the leading axis and all shards, whole on every shard."""
    shape = leaves.shape[1:]
    size = math.prod(shape)
    flat = leaves.reshape(leaves.shape[0], size)
    flat = jnp.pad(flat, ((0, 0), (0, -size % jax.lax.axis_size(axes))))
    mine = _sum_of_part(flat, axes, method)
    whole = jax.lax.all_gather(mine, axes, tiled=True, to="invarying")
    return whole[:size].reshape(shape)


@_sum_everywhere.defjvp
def _(
    axes: tuple[str, ...], method: str, primals: Any, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    tangent = jax.lax.psum(jnp.sum(tangents[0], axis=0), axes)
    return _sum_everywhere(*primals, axes, method), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _sum_in_blocks(x: jax.Array, axes: tuple[str, ...], dim: int, method: str) -> jax.Array:
    """Returns this shard's block along `dim` of the sum over all shards."""
    front = jnp.moveaxis(x, dim, 0)
    mine = _sum_of_part(front.reshape(1, x.size), axes, method)
    block = front.shape[0] // jax.lax.axis_size(axes)
    return jnp.moveaxis(mine.reshape(block, *front.shape[1:]), 0, dim)


@_sum_in_blocks.defjvp
def _(
    axes: tuple[str, ...], dim: int, method: str, primals: Any, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    tangent = jax.lax.psum_scatter(tangents[0], axes, scatter_dimension=dim, tiled=True)
    return _sum_in_blocks(*primals, axes, dim, method), tangent


def _sum_of_part(leaves: jax.Array, axes: tuple[str, ...], method: str) -> jax.Array:
    """Returns this shard's part of the sum of all shards' leaves (m, size): one of size/n."""
    if jnp.iscomplexobj(leaves):
        real, imag = (_sum_of_part(part, axes, method) for part in (leaves.real, leaves.imag))
        return jax.lax.complex(real, imag)
    wide, count = numerics.accumulator(leaves.dtype), jax.lax.axis_size(axes)
    sent = leaves
    if method == TREE:
        # Aligned segments of 2^k leaves, the largest a shard's range is made of, are nodes of the tree.
        segments = leaves.shape[0] // (leaves.shape[0] & -leaves.shape[0])
        parts = leaves.reshape(segments, -1, leaves.shape[1])
        if parts.shape[1] > 1:
            rows = [rounded(row.astype(wide)) for row in entries(parts, 1)]
            sent = add_neighbours(rows, jax.lax.add)
    sent = sent.reshape(sent.shape[0], count, -1)
    there = jax.lax.all_to_all(sent, axes, split_axis=1, concat_axis=0, tiled=True)
    if method == EXACT:
        return exact_sum(there[:, 0].astype(wide), 0, leaves.dtype)[0]
    rows = [row.astype(wide) for row in entries(there[:, 0], 0)]
    return add_neighbours(rows, jax.lax.add).astype(leaves.dtype)


def spmd(
    mesh: Mesh, in_specs: Spec | tuple[Spec, ...], out_specs: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a decorator that runs a function once per shard of a mesh, on the blocks of its arguments.

    `in_specs` has one layout per argument (a `ShardSpec` or `PartitionSpec`), or one for all; `out_specs` is
    one layout, or a tuple of them for a function that returns a tuple. It is `jax.shard_map` that takes
    ShardSpecs.

    Raises `E_LAUNCH_BAD_LAYOUT` for a layout that does not fit an argument.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> rows = ShardSpec(("row",), ("dp",))
    >>> spmd(mesh, in_specs=rows, out_specs=rows)(lambda x: 2 * x)(jnp.ones((2, 1))).shape
    (2, 1)
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any) -> Any:
            given = in_specs if isinstance(in_specs, tuple) else (in_specs,) * len(args)
            if len(given) != len(args):
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"spmd: in_specs has {len(given)} layouts for {len(args)} arguments.",
                )
            places = tuple(_placed(s, jnp.ndim(x)) for s, x in zip(given, args, strict=True))
            per_shard = functools.partial(jax.shard_map, function, mesh=mesh.jax, in_specs=places)
            ranks = jax.eval_shape(per_shard(out_specs=PartitionSpec(), check_vma=False), *args)
            return per_shard(out_specs=_placed_results(out_specs, ranks))(*args)

        return run

    return decorate


def _placed(spec: Spec, ndim: int) -> PartitionSpec:
    return spec.partition_spec(ndim) if isinstance(spec, ShardSpec) else spec


def _placed_results(specs: Any, results: Any) -> Any:
    if isinstance(specs, tuple) and not isinstance(specs, PartitionSpec):
        return tuple(_placed_results(s, r) for s, r in zip(specs, results, strict=True))
    return jax.tree.map(lambda r: _placed(specs, r.ndim), results)
