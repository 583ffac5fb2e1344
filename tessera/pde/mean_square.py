"""The mean of squares of a residual over points, with its gradient gathered chunk by chunk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Jaxpr

from tessera.core import compat, numerics
from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError
from tessera.pde.checks import Contract, require_callable, require_real, to_array, trace
from tessera.pde.chunks import FEWEST_POINTS, STORED_BYTES, choose_chunk, join, split, stored_bytes

# Points: one array or a tree of arrays that share their leading axis.
Points = Any

RESIDUAL = Contract("residual", takes="a chunk of points", returns="(c,) or (c, k), a row for each")


def mean_square(
    residual: Callable[[Points], jax.Array], points: Points, *, chunk_size: int | None = None
) -> jax.Array:
    """Returns the mean of `residual(points) ** 2`, a scalar.

    `points` is `(n, d)`, or a tree of arrays with n as leading axis (points and data, say), where a list of
    numbers or of such lists is an array; `residual` maps
    a chunk `(c, d)` of them to `(c,)` or `(c, k)`, each row from its own point only, and closes over the
    parameters. `jax.grad` of the result with respect to anything closed over, or to the points, takes one
    pass over the chunks: each chunk's gradient is taken at once and added up, so memory does not grow with
    n. Forward mode and higher derivatives work too; all need `residual` to allow reverse mode.
    Call it inside `jax.jit`.

    Raises `CompileError` if `residual` is not callable, fails on a chunk or does not return one real row for
    each point, or if there are no points.

    >>> points = jnp.arange(8.0).reshape(4, 2)
    >>> print(jax.grad(lambda w: mean_square(lambda x: x @ w, points))(jnp.array([1.0, 0.0])))
    [28. 34.]
    """
    require_callable("mean_square", residual, RESIDUAL)
    points = jax.tree.map(partial(to_array, "mean_square", "points"), points, is_leaf=_is_numbers)
    total = _count_points(points)
    # Traced on few points first, where the residual's own operators do not loop, to learn what one stores.
    probe = min(total, FEWEST_POINTS)
    network = _trace(residual, points, probe)
    bytes_per_point = stored_bytes(network.jaxpr) // probe
    chunk = min(
        total, choose_chunk("mean_square", chunk_size, total, bytes_per_point, STORED_BYTES)
    )
    if chunk != probe:
        network = _trace(residual, points, chunk)
    operands = (*network.consts, *jax.tree.leaves(points))
    plan = _Plan(network.jaxpr, len(network.consts), total, chunk)
    result = network.out_avals[0]
    entries = total * (result.size // chunk)
    return (_sum_of_squares(plan, operands) / entries).astype(result.dtype)


@dataclass(frozen=True)
class _Plan:
    """How the sum is taken. Operands are `constants` arrays the residual closes over, then points."""

    residual: Jaxpr
    constants: int
    total: int
    chunk: int


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sum_of_squares(plan: _Plan, operands: tuple[jax.Array, ...]) -> jax.Array:
    return _streamed(plan, operands)


def _streamed(plan: _Plan, operands: tuple[jax.Array, ...]) -> jax.Array:
    """The sum by plain operations: what JAX differentiates where the rule below does not apply."""
    consts, parts = _split(plan, operands)
    return jnp.sum(jax.lax.map(jax.checkpoint(partial(_chunk_sum, plan, consts)), parts))


def _chunk_sum(
    plan: _Plan, consts: Sequence[jax.Array], part: tuple[tuple[jax.Array, ...], jax.Array]
) -> jax.Array:
    points, kept = part
    (result,) = compat.evaluate(plan.residual, consts, *points)
    result = result.astype(numerics.accumulator(result.dtype))
    squares = jnp.sum((result * result).reshape(plan.chunk, -1), axis=1)
    return jnp.sum(squares if plan.total % plan.chunk == 0 else jnp.where(kept, squares, 0))


def _split(plan: _Plan, operands: tuple[jax.Array, ...]) -> tuple[Any, Any]:
    consts, points = operands[: plan.constants], operands[plan.constants :]
    kept = split(jnp.arange(-(-plan.total // plan.chunk) * plan.chunk) < plan.total, plan.chunk)
    return consts, (tuple(split(x, plan.chunk) for x in points), kept)


@partial(_sum_of_squares.defjvp, symbolic_zeros=True)
def _sum_of_squares_jvp(
    plan: _Plan, primals: tuple[tuple[jax.Array, ...]], tangents: tuple[tuple[Any, ...]]
) -> tuple[jax.Array, jax.Array]:
    """The tangent is the product of the gradient with the tangents of the operands that have one."""
    (operands,), (directions,) = primals, tangents
    moving = [i for i, t in enumerate(directions) if not isinstance(t, SymbolicZero)]
    along = tuple(directions[i] for i in moving)
    everywhere = frozenset[str]().union(*map(compat.varying_axes, operands))
    if any(compat.varying_axes(operands[i]) != everywhere for i in moving):
        # The gradient of a value shared by devices would come back summed over them.
        return jax.jvp(
            partial(_of_moving, plan, operands, moving), tuple(operands[i] for i in moving), along
        )
    value, gradients = _value_and_gradients(plan, operands, moving)
    products = [jnp.vdot(g, t).astype(value.dtype) for g, t in zip(gradients, along, strict=True)]
    return value, sum(products[1:], products[0])


def _value_and_gradients(
    plan: _Plan, operands: tuple[jax.Array, ...], moving: Sequence[int]
) -> tuple[jax.Array, list[jax.Array]]:
    """The sum and its gradient for each operand in `moving`, in one pass over the chunks."""
    consts, (points, kept) = _split(plan, operands)
    inner = [i for i in moving if i < plan.constants]
    outer = [i - plan.constants for i in moving if i >= plan.constants]

    def add_chunk(sums: Any, part: Any) -> tuple[Any, tuple[jax.Array, ...]]:
        points, kept = part

        def chunk_sum(some_consts: Any, some_points: Any) -> jax.Array:
            merged = _merge(points, outer, some_points)
            return _chunk_sum(plan, _merge(consts, inner, some_consts), (merged, kept))

        shares = tuple(consts[i] for i in inner), tuple(points[i] for i in outer)
        value, (to_consts, to_points) = jax.value_and_grad(chunk_sum, (0, 1))(*shares)
        return jax.tree.map(lambda a, b: a + b.astype(a.dtype), sums, (value, to_consts)), to_points

    zeros = tuple(_zeros_like(consts[i], operands) for i in inner)
    start = _zeros_like(jax.eval_shape(partial(_of_moving, plan, operands, ())), operands), zeros
    (value, to_consts), to_points = jax.lax.scan(add_chunk, start, (points, kept))
    gradients = [g.astype(consts[i].dtype) for i, g in zip(inner, to_consts, strict=True)]
    return value, gradients + [join(g, plan.total) for g in to_points]


def _of_moving(
    plan: _Plan, operands: tuple[jax.Array, ...], moving: Sequence[int], *values: jax.Array
) -> jax.Array:
    return _streamed(plan, _merge(operands, moving, values))


def _merge(whole: Sequence[Any], where: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...]:
    replaced = dict(zip(where, values, strict=True))
    return tuple(replaced.get(i, x) for i, x in enumerate(whole))


def _zeros_like(x: Any, operands: Sequence[jax.Array]) -> jax.Array:
    """Zeros to accumulate in, varying over every mesh axis that an operand varies over."""
    zeros = jnp.zeros(x.shape, numerics.accumulator(x.dtype))
    axes = frozenset[str]().union(*map(compat.varying_axes, operands))
    return jax.lax.pcast(zeros, tuple(sorted(axes)), to="varying") if axes else zeros


def _trace(residual: Callable[[Points], jax.Array], points: Points, count: int) -> ClosedJaxpr:
    part = jax.tree.map(lambda x: split(x, count)[0], points)
    network, shape = trace("mean_square", residual, RESIDUAL, part)
    if not isinstance(shape, jax.ShapeDtypeStruct):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"mean_square: residual returns a {type(shape).__name__}, not one array.",
            hints="concatenate several residuals as columns (c, k)",
        )
    if len(shape.shape) not in (1, 2) or shape.shape[0] != count:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"mean_square: residual returns shape {shape.shape} for {count} points; "
            f"it must be ({count},) or ({count}, k).",
            hints="residual is called with a chunk of points and returns one row for each",
        )
    require_real("mean_square", "residual", shape.dtype, parts="columns")
    return network


def _is_numbers(x: Any) -> bool:
    """Whether a node of the tree is an array written as lists."""
    return isinstance(x, list | tuple) and all(
        isinstance(entry, int | float) or _is_numbers(entry) for entry in x
    )


def _count_points(points: Points) -> int:
    counts = {x.shape[0] if x.ndim else 0 for x in jax.tree.leaves(points)}
    if len(counts) != 1 or 0 in counts:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"mean_square: leading axes of points are {sorted(counts)}; they must be one size above zero.",
            hints="every array in points has one row for each point",
        )
    return counts.pop()
