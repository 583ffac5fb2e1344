"""Points in chunks: how many at once, and the loop over them."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal

from tessera.core.errors import Code, CompileError
from tessera.pde.interpreter import CALLS

# Bytes that the largest layer's derivatives may take at the points of one chunk, and all values that reverse
# mode stores for it. On CPU a chunk should be small enough for the caches and large enough that each layer is
# worth two cores (measured, for networks 128 wide: Laplacians 512 points with 2 or 3 coordinates, 32 with
# 100; gradients 64 to 128, and 8, above which temporaries meet fresh pages). A GPU wants its lanes filled.
LAYER_BYTES = {"cpu": 2**21, "gpu": 2**28, "tpu": 2**28}
STORED_BYTES = {"cpu": 5 * 2**20, "gpu": 2**30, "tpu": 2**30}
FEWEST_POINTS = 8
MOST_POINTS = {"cpu": 512}


def map_points(function: Callable[..., Any], arrays: tuple[jax.Array, ...], chunk: int) -> Any:
    """Returns `function` of each point: `arrays` share a leading axis of points, `function` takes one point.

    The function returns an array or a tree of them. Points go `chunk` at a time. The chunks are strided, so
    that points sharded over devices stay where they are; the last chunk is filled with copies of the last
    point, whose results are dropped.
    """
    batched = jax.vmap(function)
    total = arrays[0].shape[0]
    if total <= chunk:
        return batched(*arrays)
    results = jax.lax.map(lambda part: batched(*part), tuple(split(x, chunk) for x in arrays))
    return jax.tree.map(lambda x: join(x, total), results)


def split(points: jax.Array, chunk: int) -> jax.Array:
    """Returns points `(n, ...)` as `(loops, chunk, ...)`, the last chunk filled with the last point."""
    total = points.shape[0]
    loops = -(-total // chunk)
    extra = loops * chunk - total
    if extra:
        copies = jnp.broadcast_to(points[-1:], (extra, *points.shape[1:]))
        points = jnp.concatenate([points, copies])
    return jnp.swapaxes(points.reshape(chunk, loops, *points.shape[1:]), 0, 1)


def join(chunks: jax.Array, total: int) -> jax.Array:
    """Returns the first `total` points of `(loops, chunk, ...)`: the inverse of `split`."""
    loops, chunk = chunks.shape[:2]
    return jnp.swapaxes(chunks, 0, 1).reshape(loops * chunk, *chunks.shape[2:])[:total]


def choose_chunk(
    op: str, chunk_size: int | None, total: int, bytes_per_point: int, allowed: Mapping[str, int]
) -> int:
    """Returns how many points go at once: the caller's choice, or what `allowed` bytes hold."""
    if chunk_size is not None:
        return _positive(op, chunk_size)
    platform = jax.default_backend()
    fitting = allowed.get(platform, allowed["gpu"]) // max(bytes_per_point, 1)
    target = max(min(fitting, MOST_POINTS.get(platform, fitting)), FEWEST_POINTS)
    # A loop of one or two turns saves less than it costs.
    return max(total, 1) if total <= 2 * target else _evenly(total, target)


def _positive(op: str, chunk_size: int) -> int:
    try:
        size = operator.index(chunk_size)
    except TypeError:
        size = 0
    if size < 1 or isinstance(chunk_size, bool):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: chunk_size is {chunk_size!r}; it must be a positive integer or None.",
            hints="leave chunk_size=None to let the platform decide",
        )
    return size


def _evenly(total: int, target: int) -> int:
    """Returns the size nearest below `target` that leaves the fewest copies in the last chunk."""
    sizes = range(target, max(target // 2, 1) - 1, -1)
    return min(sizes, key=lambda size: -total % size)


def widest_layer(jaxpr: Jaxpr) -> int:
    """Returns the bytes of the largest value that depends on the arguments."""
    return max(_sizes(jaxpr, [True] * len(jaxpr.invars)), default=0)


def stored_bytes(jaxpr: Jaxpr) -> int:
    """Returns the bytes of all values that depend on the arguments: what reverse mode may store."""
    return sum(_sizes(jaxpr, [True] * len(jaxpr.invars)))


def _sizes(jaxpr: Jaxpr, depends: Sequence[bool]) -> Iterator[int]:
    varying = {var for var, yes in zip(jaxpr.invars, depends, strict=True) if yes}
    yield from (_bytes(var) for var in varying)
    for equation in jaxpr.eqns:
        inputs = [not isinstance(x, Literal) and x in varying for x in equation.invars]
        if not any(inputs):
            continue
        varying.update(equation.outvars)
        yield from (_bytes(var) for var in equation.outvars)
        if equation.primitive.name in CALLS:
            yield from _sizes(equation.params[CALLS[equation.primitive.name]].jaxpr, inputs)


def _bytes(var: Any) -> int:
    return var.aval.size * var.aval.dtype.itemsize
