"""Collectives: values of all shards combined, inside a function that runs once per shard.

rows, whole = dist.ShardSpec(("row",), ("dp",)), dist.Replicate()

@dist.spmd(mesh, in_specs=(rows, whole), out_specs=whole)
def sum_of_blocks(A, B):
    return dist.all_reduce(op.matmul(A, B), axis="dp")
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from tessera.core import compat
from tessera.core.errors import Code, CompileError, DistributedError
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


def all_reduce(x: jax.Array, axis: str | Sequence[str] = "dp", op: str = "sum") -> jax.Array:
    """Returns the shards' values of x combined over a mesh axis (or several), the same on every shard.

    `x` is the block of this shard, of any shape; the result has its shape. `op` is sum, mean, max, min or
    prod. A replicated value counts once per shard: the sum of ones over n devices is n.

    Raises `E_COMM_INIT` outside `dist.spmd` and `jax.shard_map`, where a value is whole already, and
    `E_GRAPH_INVALID` for another `op`.

    >>> mesh = Mesh(axes=["dp"], devices=range(1))
    >>> spmd(mesh, in_specs=ShardSpec(), out_specs=ShardSpec())(all_reduce)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """
    if op not in REDUCTIONS:
        known = ", ".join(REDUCTIONS)
        raise CompileError(
            Code.E_GRAPH_INVALID, f"all_reduce: op={op!r} is unknown.", hints=f"one of {known}"
        )
    axes = (axis,) if isinstance(axis, str) else tuple(axis)
    manual = compat.manual_axes()
    missing = [name for name in axes if name not in manual]
    if missing:
        inside = f"axes here: {', '.join(manual)}" if manual else "values here are whole already"
        raise DistributedError(
            Code.E_COMM_INIT,
            f"all_reduce: no shard of mesh axis {missing[0]!r} runs here; {inside}.",
            hints="call it inside a function decorated with @dist.spmd(mesh, in_specs, out_specs)",
        )
    replicated = tuple(name for name in axes if name not in compat.varying_axes(x))
    if replicated:
        x = jax.lax.pcast(x, replicated, to="varying")
    return REDUCTIONS[op](x, axes)


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
