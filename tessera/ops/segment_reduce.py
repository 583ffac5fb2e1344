"""`op.segment_reduce`: the sum, mean or maximum of the rows of each segment, in an order that never varies.

    out[s] = sum over rows i with ids[i] = s of x[i]

Rows are sorted by segment, keeping their order within one, and each run of rows is reduced: no atomics, whose
order would change from run to run. The reference reduces runs by a segmented scan (Blelloch 1990), the tile
program by one loop per segment.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import checks, errors, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import to_array

SUM, MEAN, MAX = "sum", "mean", "max"


@define_op("*b n c, *b n, s -> *b s c", kinds=("float", "integer", "integer"))
def segment_reduce(
    x: jax.Array, ids: jax.Array, segments: jax.Array, *, op: str = SUM
) -> jax.Array:
    """Returns the sum, mean or maximum of the rows of x of each segment.

    `x` is a float array of shape (n, ...) and `ids` of shape (n,) has the segment of each row, in any order;
    the result has shape (num_segments, ...) and the dtype of x. Sums are in at least fp32, rows in the order
    of their index: the same input gives the same bits. A segment without rows gives 0, for `op="max"` the
    least finite number. A row whose id is not in [0, num_segments) is left out; inside `ts.checks()` it
    raises `E_ILLEGAL_ADDRESS`. The maximum of rows that are
    equal is the first one's, which alone gets the gradient; a NaN is kept.

    Raises `E_GRAPH_INVALID` for another `op` or a negative `num_segments`, `E_SHAPE_MISMATCH` if ids do not
    fit x.

    >>> import jax.numpy as jnp
    >>> x, ids = jnp.array([1.0, 2.0, 3.0]), jnp.array([2, 0, 2])
    >>> segment_reduce(x, ids, num_segments=3).tolist()
    [2.0, 0.0, 4.0]
    >>> segment_reduce(x, ids, "mean", num_segments=3).tolist()
    [2.0, 0.0, 2.0]
    """
    rows, ends = _sorted(x, ids, segments.size)
    return _runs_reduced(rows, ends, op)


@segment_reduce.def_call
def segment_reduce(x: Any, ids: Any, op: str = SUM, *, num_segments: int) -> jax.Array:
    if op not in (SUM, MEAN, MAX):
        raise _invalid(f"op is {SUM!r}, {MEAN!r} or {MAX!r}, not {op!r}")
    if not isinstance(num_segments, int) or num_segments < 0:
        raise _invalid(f"num_segments is a whole number of at least 0, not {num_segments!r}")
    x, ids = to_array("segment_reduce", "x", x), to_array("segment_reduce", "ids", ids)
    if x.ndim == 0 or ids.shape != x.shape[:1]:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"segment_reduce: one id per row of x: ids {list(ids.shape)} for x {list(x.shape)}.",
        )
    if checks.are_on():
        checks.require_range(ids, 0, num_segments, partial(_outside, num_segments))
    rows = x.reshape(x.shape[0], math.prod(x.shape[1:]))
    kind = SUM if op == MEAN else op
    segments = jnp.arange(num_segments, dtype=jnp.int32)  # of which only the number matters
    found = segment_reduce.bind(rows, ids, segments, op=kind)
    if op == MEAN:
        found = found / _counts(ids, num_segments)[:, None].astype(found.dtype)
    return found.reshape(num_segments, *x.shape[1:])


@segment_reduce.def_vjp
def _backward(res: Residuals, ct: jax.Array, *, op: str) -> tuple[jax.Array, None, None]:
    x, ids, segments = res.operands
    num_segments = segments.size
    inside = (ids >= 0) & (ids < num_segments)
    chosen = inside[..., None]
    if op == MAX:
        chosen = chosen & _is_first_largest(x, ids, segments, res.out)
    of_row = _rows_of(ct, ids)
    return jnp.where(chosen, of_row, 0).astype(x.dtype), None, None


@segment_reduce.def_algorithm("scatter", platforms=("cpu",))
def _scatter(x: jax.Array, ids: jax.Array, segments: jax.Array, *, op: str) -> jax.Array:
    """Rows one after another into their segments, as XLA does it on a CPU: in order."""
    num_segments = segments.size
    reduce = jax.ops.segment_max if op == MAX else jax.ops.segment_sum
    wide = x.astype(numerics.accumulator(x.dtype))
    # A negative id would count from the end.
    ids = jnp.where(ids < 0, num_segments, ids)

    def one(x: jax.Array, ids: jax.Array) -> jax.Array:
        return reduce(x, ids, num_segments)

    for _ in range(x.ndim - 2):
        one = jax.vmap(one)
    found = one(wide, ids)
    if op == MAX:
        least = jnp.asarray(_least(x.dtype), found.dtype)
        found = jnp.where(_counted(ids, num_segments)[..., None] > 0, found, least)
    return found.astype(x.dtype)


@segment_reduce.def_algorithm("sorted", platforms=("cuda", "rocm"))
def _by_runs(x: jax.Array, ids: jax.Array, segments: jax.Array, *, op: str) -> jax.Array:
    """Rows sorted by segment, then a tile program, or the scan of the reference, over the runs."""
    return run_reduce.bind(*_sorted(x, ids, segments.size), op=op)


@define_op("*b n c, *b s -> *b s c", kinds=("float", "integer"))
def run_reduce(x: jax.Array, ends: jax.Array, *, op: str = SUM) -> jax.Array:
    """Returns the sum or maximum of each run of rows of x: run s ends before row ends[s], where s + 1 begins.

    `x` has shape (..., n, c), `ends` (..., s), rising; the result (..., s, c). A run without rows gives 0 or
    the least finite number.

    >>> import jax.numpy as jnp
    >>> run_reduce(jnp.array([[1.0], [2.0], [3.0]]), jnp.array([1, 1, 3]), op="sum").ravel().tolist()
    [1.0, 0.0, 5.0]
    """
    return _runs_reduced(x, ends, op)


run_reduce.def_tile(platforms=("cuda", "rocm"))


def _sorted(x: jax.Array, ids: jax.Array, num_segments: int) -> tuple[jax.Array, jax.Array]:
    """Returns the rows sorted by segment, those of none last, and where the run of each segment ends."""
    ids = jnp.where((ids < 0) | (ids >= num_segments), num_segments, ids).astype(jnp.int32)
    order = jnp.argsort(ids, axis=-1, stable=True)
    rows = jnp.take_along_axis(x, order[..., None], axis=-2)
    return rows, jnp.cumsum(_counted(ids, num_segments), axis=-1, dtype=jnp.int32)


def _runs_reduced(x: jax.Array, ends: jax.Array, op: str) -> jax.Array:
    n = x.shape[-2]
    ends = jnp.minimum(ends.astype(jnp.int32), n)
    starts = jnp.concatenate([jnp.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    empty = jnp.asarray(_least(x.dtype) if op == MAX else 0, x.dtype)
    if n == 0:
        return jnp.full((*ends.shape, x.shape[-1]), empty)
    begins = (_counted(starts, n) > 0)[..., None]
    add = _larger if op == MAX else lax.add

    def joined(a: Any, b: Any) -> Any:
        return a[0] | b[0], jnp.where(b[0], b[1], add(a[1], b[1]))

    wide = x.astype(numerics.accumulator(x.dtype))
    _, running = lax.associative_scan(joined, (begins, wide), axis=x.ndim - 2)
    last = _rows_of(running, ends - 1).astype(x.dtype)
    return jnp.where((ends > starts)[..., None], last, empty)


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the larger, the first of equals, and a NaN if there is one."""
    return jnp.where((b > a) | jnp.isnan(b), b, a)


def _rows_of(x: jax.Array, places: jax.Array) -> jax.Array:
    """Returns the rows of x at some places, that of the nearest row where there is none."""
    if x.shape[-2] == 0:
        return jnp.zeros((*places.shape, x.shape[-1]), x.dtype)
    near = jnp.clip(places, 0, x.shape[-2] - 1)
    return jnp.take_along_axis(x, near[..., None], axis=-2)


def _is_first_largest(
    x: jax.Array, ids: jax.Array, segments: jax.Array, out: jax.Array
) -> jax.Array:
    """Returns which elements are the first in their segment that is its maximum."""
    largest = _rows_of(out, ids)
    alike = (x == largest) | (jnp.isnan(x) & jnp.isnan(largest))
    n = x.shape[-2]
    place = jnp.arange(n, dtype=jnp.float32).reshape((1,) * (x.ndim - 2) + (n, 1))
    before = jnp.where(alike, -place, -jnp.inf)
    first = segment_reduce.bind(lax.stop_gradient(before), ids, segments, op=MAX)
    return alike & (_rows_of(first, ids) == before)


def _counted(places: jax.Array, size: int) -> jax.Array:
    """Returns how many of some places (..., n) are 0, 1, ..., as (..., size) whole numbers."""

    def count(places: jax.Array) -> jax.Array:
        # A negative place would count from the end.
        outside = jnp.where(places < 0, size, places.astype(jnp.int32))
        return jnp.zeros(size, jnp.int32).at[outside].add(1, mode="drop")

    for _ in range(places.ndim - 1):
        count = jax.vmap(count)
    return count(places)


def _counts(ids: jax.Array, num_segments: int) -> jax.Array:
    """Returns how many rows each segment has, at least 1."""
    return jnp.maximum(_counted(ids, num_segments), 1)


def _least(dtype: Any) -> Any:
    return jnp.finfo(dtype).min


def _outside(num_segments: int, value: int, where: tuple[int, ...]) -> errors.RuntimeError:
    return errors.RuntimeError(
        Code.E_ILLEGAL_ADDRESS,
        f"segment_reduce: id {value} at {where[0]} is outside [0, {num_segments}).",
    )


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"segment_reduce: {problem}.")


# The least finite number, which an empty segment has as its maximum, differs by dtype: no sample has one.
segment_reduce.samples = (
    Sample((7, 3), Sample.integers((7,), -1, 5), Sample.integers((4,), 0, 4), op=SUM),
    Sample((2, 5, 2), Sample.integers((2, 5), 0, 1), Sample.integers((1,), 0, 1), op=MAX),
)
run_reduce.samples = (
    Sample((2, 7, 3), Sample.integers((2, 1), 0, 8), op=SUM),
    Sample((2, 5, 2), Sample.integers((2, 1), 5, 6), op=MAX),
)
