"""`op.reduce_sum`: sums whose bits do not depend on how many devices hold the array.

The tree. An axis of length n = 2^k * odd is halved min(k, 3) times into contiguous chunks, so the
shards of 1, 2, 4 or 8 devices are whole subtrees. A chunk of m entries is laid out as 16 rows
that are added to one another entry by entry (neighbours first), again and again until one entry
is left; what does not fill the rows is a tree of its own, added last. Only elementwise additions
occur, so the compiler may place and vectorise them as it likes: it cannot change a bit. The tree
depends on n alone, not on the other axes, so a row's sum does not depend on how many rows there
are.

The compensated sums walk the same tree with pairs (sum, error) and an addition that loses nothing; the exact
ones are sums of integers (`core.exact_sum`).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from tessera import dist
from tessera.core import compat, numerics
from tessera.core.determinism import level_of_call
from tessera.core.errors import Code, CompileError
from tessera.core.exact_sum import exact_sum
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_axis, to_array
from tessera.core.precision import current_reduction
from tessera.core.tree_sum import (
    COMPENSATED,
    LANES,
    MAX_CHUNKS,
    PLAIN,
    ROWS,
    Addition,
    add_neighbours,
    entries,
    in_auto_mode,
    rounded,
    tree_sum,
)

NAIVE, TREE, COMPENSATION, EXACT = "naive", "tree", "compensated", "exact"


@define_op("*b n@axis *c -> *b 1@axis *c", kinds="number", linear=True)
def reduce_sum(x: jax.Array, *, axis: int, method: str = TREE, dtype: Any = None) -> jax.Array:
    """Returns the sum over one axis, several, or all (`axis=None`).

    The result has the dtype of `x` unless `dtype` names another; floats accumulate in fp32 or
    wider. Integers narrower than the default integer are summed, exactly, in that one (as in
    NumPy), and booleans are counted. The sum of nothing is 0. Several axes are summed one after
    the other, the first axis first; the compensated and exact methods sum them as one, in row-major order.
    A list is added up in its order; its arrays must have one shape.

    `method` is one of
      tree       pairwise, in a tree fixed by the axis length: error grows with log n, and the bits
                 are the same on 1, 2, 4 and 8 devices, sharded or not, jitted or not
      compensated, also called kahan and neumaier
                 the same tree with every rounding error carried along (two-sum), equally
                 reproducible. The error is half a unit in the last place and at most
                 (2^-24 log2 n)^2 sum |x| (2^-53 in fp64): correctly rounded, but for near ties, up to
                 a condition sum |x| / |sum x| of 10^6, and within some units at 10^8
      exact      the true sum, rounded once to the dtype of the result (ties to even), whatever its
                 condition: the same bits in any order of the terms and on any number of devices.
                 Subnormal terms count as 0, and a sum that would be subnormal is 0. The terms are
                 read once, and once more for every 24 bits (fp64: 53) that their exponents span
      naive      XLA's own; its bits depend on the device count. Also chosen by `stable=False`

    `layout` describes `x` on `mesh` (default: the current mesh): `x` is brought to it, and the
    result is replicated over the mesh axes that were summed. Where an axis is split in a number
    of parts that is no power of two it is gathered first: same bits, more traffic.

    `deterministic` is the determinism level of this call, up to D4 (see `numerics.deterministic`).

    Raises `E_GRAPH_INVALID` (unknown method, repeated axis), `E_SHAPE_MISMATCH` (no such axis,
    shapes that differ in a list), and the errors of `dist.layout_sharding`. The derivative
    spreads the cotangent over what was summed. Two-sum: D. Knuth, The Art of Computer Programming
    2, 4.2.2.

    >>> import jax.numpy as jnp
    >>> reduce_sum(jnp.array([[1.0, 2.0], [3.0, 4.0]]), axis=0).tolist()
    [4.0, 6.0]
    >>> reduce_sum(jnp.array([1.0, 1e8, 1.0, -1e8]), method="kahan").item()
    2.0
    """
    out = _sum_dtype(x.dtype) if dtype is None else jnp.dtype(dtype)
    wide = _accumulator(x.dtype, out)
    if method != NAIVE and not isinstance(x.shape[axis], int):
        raise _invalid(f"the tree of {method!r} needs a length; axis {axis} is {x.shape[axis]}")
    if method == NAIVE or x.shape[axis] == 0 or not jnp.issubdtype(out, jnp.inexact):
        total = jnp.sum(x, axis=axis, dtype=wide, keepdims=True)
    elif method == EXACT:
        run = functools.partial(_exact_sum, axis=axis, wide=wide, out=out)
        total = in_auto_mode(run, [x], axis)
    else:
        run = functools.partial(_tree_sum, axis=axis, addition=ADDITIONS[method], wide=wide)
        total = in_auto_mode(run, [x], axis)
    return jax.lax.convert_element_type(total, out)


@reduce_sum.def_call
def reduce_sum(
    x_or_list: Any,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    stable: bool = True,
    method: str | None = None,
    dtype: Any = None,
    layout: dist.Layout | None = None,
    mesh: dist.Mesh | None = None,
    deterministic: Any = None,
) -> jax.Array:
    method = _chosen_method(method, stable)
    if isinstance(x_or_list, list | tuple):
        if axis is not None or keepdims or layout is not None or mesh is not None:
            raise _invalid("a list is added entry by entry and takes no axis, keepdims or layout")
        with level_of_call("reduce_sum", deterministic):
            return _sum_list(x_or_list, method, dtype)
    x = to_array("reduce_sum", "x", x_or_list)
    x = x.astype(jnp.int32) if x.dtype == jnp.bool_ else x
    out = _checked_dtype(x.dtype, dtype)
    axes = _normal_axes(axis, x.ndim)
    x, kept = _laid_out(x, axes, keepdims, layout, mesh, method)
    # An exact sum is rounded once, to the result.
    dtype = out if method == EXACT else _accumulator(x.dtype, out)
    with level_of_call("reduce_sum", deterministic):
        total = _sum_axes(x, axes, method, dtype.name)
    total = total if keepdims else jax.lax.squeeze(total, axes)
    total = total if kept is None else dist.place(total, kept)
    return total if total.dtype == out else total.astype(out)


@reduce_sum.def_taylor
def _(operands: Sequence[jax.Array], series: Sequence[Any], **statics: Any) -> tuple[Any, Any]:
    run = functools.partial(reduce_sum.bind, **statics)
    return run(operands[0]), [run(term) for term in series[0]]


@reduce_sum.def_vjp
def _(res: Residuals, ct: jax.Array, *, axis: int, method: str, dtype: Any) -> tuple[jax.Array]:
    (x,) = res.operands
    return (jnp.broadcast_to(ct, x.shape),)


@define_op("*b q r l, [*b q r l] -> *b q l, [*b q l]", kinds=("float", "~float"))
def add_rows(
    x: jax.Array, errors: jax.Array | None = None, *, compensated: bool = False
) -> tuple[jax.Array, jax.Array | None]:
    """Returns one level of the tree: the rows of each block added entry by entry, neighbours first.

    `x` has shape (..., blocks, rows, entries) and the result (..., blocks, entries), in the dtype of x; sums
    are in at least fp32. With `compensated` it comes with what rounding took from it, those `errors` that x
    had among them.

    >>> import jax.numpy as jnp
    >>> add_rows(jnp.array([[[1.0], [1e8], [1.0]]]), compensated=True)
    (Array([[1.e+08]], dtype=float32), Array([[2.]], dtype=float32))
    """
    wide = numerics.accumulator(x.dtype)
    rows = [rounded(row.astype(wide)) for row in entries(x, x.ndim - 2)]
    rows = rows or [jnp.zeros((*x.shape[:-2], x.shape[-1]), wide)]
    if not compensated:
        return add_neighbours(rows, PLAIN.add).astype(x.dtype), None
    lost = [jnp.zeros_like(row) for row in rows]
    if errors is not None and errors.shape[-2]:
        lost = [row.astype(wide) for row in entries(errors, x.ndim - 2)]
    pairs = [jax.lax.complex(a, b) for a, b in zip(rows, lost, strict=True)]
    total = add_neighbours(pairs, COMPENSATED.add)
    return total.real.astype(x.dtype), total.imag.astype(x.dtype)


# Nothing chooses it yet: it has not been timed. On an H100 XLA's own lowering of the tree ran at 0.70 of the
# speed of jnp.sum, that of compensated sums at 0.42.
add_rows.def_tile(platforms=())
add_rows.samples = (
    Sample((2, 3, 16, 5), None),
    Sample((1, 2, 7, 3), (1, 2, 7, 3), compensated=True),
)


@reduce_sum.def_algorithm("levels", platforms=())
def _by_levels(
    x: jax.Array, *, axis: int, method: str, dtype: Any, algorithm: str | None = None
) -> jax.Array:
    """The tree level by level, each a call of `add_rows`: the same bits as the reference."""
    out = _sum_dtype(x.dtype) if dtype is None else jnp.dtype(dtype)
    wide = _accumulator(x.dtype, out)
    before, n, after = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    add = functools.partial(
        add_rows.bind, compensated=ADDITIONS[method].of_pairs, algorithm=algorithm
    )
    chunks = math.gcd(n, MAX_CHUNKS)
    first = x.reshape(before * chunks, n // chunks, after).astype(wide)
    pair = _levels(add, (first, None))
    pair = _level(add, tuple(a if a is None else a.reshape(before, chunks, after) for a in pair), 0)
    total, lost = pair
    if lost is not None:
        total = jnp.where(jnp.isfinite(total), total + lost, total)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return total.reshape(shape).astype(out)


def _levels(add: Callable[..., Any], pair: Any) -> Any:
    """Returns the sums (blocks, 1, entries) of (blocks, length, entries), and their errors."""
    length = pair[0].shape[1]
    if length <= ROWS:
        return _level(add, pair, 0)
    lanes = LANES if length % (ROWS * LANES) == 0 else length // ROWS
    rest = length % ROWS
    whole = tuple(a if a is None else a[:, : length - rest] for a in pair)
    total = _levels(add, _level(add, whole, lanes))
    if not rest:
        return total
    last = _level(add, tuple(a if a is None else a[:, length - rest :] for a in pair), 0)
    both = (
        None if a is None else jnp.concatenate([a, b], axis=1)
        for a, b in zip(total, last, strict=True)
    )
    return _level(add, tuple(both), 0)


def _level(add: Callable[..., Any], pair: Any, lanes: int) -> Any:
    """Adds sixteen rows of `lanes` neighbouring entries in every block of them; with 0, all entries."""
    blocks, length, entries = pair[0].shape
    rows, width = (ROWS, lanes) if lanes else (length, 1)
    shape = (blocks, length // (rows * width), rows, width * entries)
    found = add(*(None if a is None else a.reshape(shape) for a in pair))
    return tuple(None if a is None else a.reshape(blocks, -1, entries) for a in found)


reduce_sum.samples = (
    Sample((4, 24), axis=1),
    Sample((37, 5), axis=0),
    Sample((1000,), axis=0, method="kahan"),
    Sample((3, 70, 2), axis=1, method="neumaier"),
    Sample((3, 70, 2), axis=1, method=EXACT),
    Sample((4, 8), axis=1, method=NAIVE),
    Sample(Sample.integers((6, 16), -9, 9), axis=0),
)


ADDITIONS = {
    TREE: PLAIN,
    COMPENSATION: COMPENSATED,
    "kahan": COMPENSATED,
    "neumaier": COMPENSATED,
}
METHODS = (*ADDITIONS, EXACT, NAIVE)
AS_ONE = frozenset({*(name for name, addition in ADDITIONS.items() if addition.of_pairs), EXACT})


def _exact_sum(x: jax.Array, *, axis: int, wide: Any, out: Any) -> jax.Array:
    if jnp.issubdtype(wide, jnp.complexfloating):
        of_parts, narrow = (jnp.finfo(dtype).dtype for dtype in (wide, out))
        parts = (jnp.real(x), jnp.imag(x))
        sums = [_exact_sum(p, axis=axis, wide=of_parts, out=narrow) for p in parts]
        return jax.lax.complex(*sums)
    return exact_sum(x.astype(wide), axis, out)


def _tree_sum(x: jax.Array, *, axis: int, addition: Addition, wide: Any) -> jax.Array:
    if addition.of_pairs and jnp.issubdtype(wide, jnp.complexfloating):
        parts = (jnp.real(x), jnp.imag(x))
        sums = [_tree_sum(p, axis=axis, addition=addition, wide=p.dtype) for p in parts]
        return jax.lax.complex(*sums)
    return tree_sum([x], axis, addition, lambda row: addition.lift(rounded(row.astype(wide))))


def _sum_axes(x: jax.Array, axes: tuple[int, ...], method: str, dtype: str) -> jax.Array:
    """Sums axes, which stay with size 1."""
    if len(axes) > 1 and method in AS_ONE:
        # What the method keeps beyond one number would be rounded off before the next axis.
        kept = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
        front = jnp.moveaxis(x, axes, range(len(axes)))
        as_one = front.reshape(math.prod(x.shape[i] for i in axes), *front.shape[len(axes) :])
        return reduce_sum.bind(as_one, axis=0, method=method, dtype=dtype).reshape(kept)
    for axis in axes:
        x = reduce_sum.bind(x, axis=axis, method=method, dtype=dtype)
    return x


def _sum_list(items: Sequence[Any], method: str, dtype: Any) -> jax.Array:
    arrays = [to_array("reduce_sum", f"x[{i}]", item) for i, item in enumerate(items)]
    if not arrays:
        return jnp.zeros((), numerics.dtype("fp32" if dtype is None else dtype))
    other = next((i for i, x in enumerate(arrays) if x.shape != arrays[0].shape), None)
    if other is not None:
        shapes = f"x[0] is {arrays[0].shape} but x[{other}] is {arrays[other].shape}"
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"reduce_sum: {shapes}.", hints="a list is added entry by entry"
        )
    with jax.numpy_dtype_promotion("standard"):
        common = jnp.result_type(*arrays)
    out = _checked_dtype(common, dtype)
    wide = _accumulator(common, out)
    if not jnp.issubdtype(wide, jnp.inexact):
        return functools.reduce(jax.lax.add, [x.astype(wide) for x in arrays]).astype(out)
    if method == EXACT:
        stacked = jnp.stack([x.astype(common) for x in arrays])
        return jax.lax.squeeze(reduce_sum.bind(stacked, axis=0, method=method, dtype=out), (0,))
    addition = ADDITIONS.get(method, PLAIN)
    lifted = [addition.lift(rounded(x.astype(wide))) for x in arrays]
    return addition.finish(functools.reduce(addition.add, lifted)).astype(out)


def _chosen_method(method: str | None, stable: bool) -> str:
    if method is None:
        return (current_reduction() or TREE) if stable else NAIVE
    if method not in METHODS:
        raise _invalid(f"unknown method {method!r}; one of {', '.join(METHODS)}")
    if not stable and method != NAIVE:
        raise _invalid(f"stable=False is the method 'naive', but method is {method!r}")
    return method


def _normal_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    wanted = axis if isinstance(axis, list | tuple) else (axis,)
    wanted = range(ndim) if axis is None else wanted
    axes = sorted(as_axis("reduce_sum", one, ndim) for one in wanted)
    if len(set(axes)) < len(axes):
        raise _invalid(f"axis {axis} repeats an axis of an array of rank {ndim}")
    return tuple(axes)


def _sum_dtype(dtype: Any) -> Any:
    """Returns the dtype a sum has by default: that of its terms, integers at least the default."""
    bits = 64 if compat.x64_is_on() else 32
    kind = jnp.dtype(dtype).kind
    if kind not in "iu" or jnp.dtype(dtype).itemsize * 8 >= bits:
        return dtype
    return jnp.dtype(f"{'u' if kind == 'u' else ''}int{bits}")


def _checked_dtype(given: Any, wanted: Any) -> Any:
    if wanted is None:
        return _sum_dtype(given)
    out = numerics.dtype(wanted, "reduce_sum")
    kinds = (jnp.inexact, jnp.complexfloating)
    if any(jnp.issubdtype(given, k) and not jnp.issubdtype(out, k) for k in kinds):
        raise _invalid(f"dtype {out.name} cannot hold a sum of {jnp.dtype(given).name}")
    return out


@functools.cache
def _accumulator(given: Any, out: Any) -> Any:
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(numerics.accumulator(given), numerics.accumulator(out))


def _laid_out(
    x: jax.Array,
    axes: Sequence[int],
    keepdims: bool,
    layout: dist.Layout | None,
    mesh: dist.Mesh | None,
    method: str,
) -> tuple[jax.Array, NamedSharding | None]:
    """Returns the operand brought to its layout, and the layout of the result."""
    if layout is None and mesh is None:
        return x, None
    mesh = dist.reachable_mesh(mesh, "reduce_sum")
    spec = dist.layout_sharding(layout, mesh, x.shape, "reduce_sum").spec
    entries = [*spec, *(None,) * (x.ndim - len(spec))]
    for axis in axes:
        parts = math.prod(mesh.topology[name] for name in dist.axes_of(entries[axis]))
        if parts & (parts - 1) and method != EXACT:
            entries[axis] = None
    operand = dist.place(x, NamedSharding(mesh.jax, PartitionSpec(*entries)))
    return operand, NamedSharding(mesh.jax, _summed(spec, axes, x.ndim, keepdims))


def _summed(spec: PartitionSpec, axes: Sequence[int], ndim: int, keepdims: bool) -> PartitionSpec:
    """Returns a partition without its entries for the summed axes."""
    entries = [*spec, *(None,) * (ndim - len(spec))]
    for axis in reversed(axes):
        entries[axis : axis + 1] = [None] * keepdims
    return PartitionSpec(*entries)


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"reduce_sum: {problem}.")
