"""Sums as trees of additions fixed by the length of the axis: `op.reduce_sum` says which trees.

Only elementwise additions occur, so the compiler may place and vectorise them as it likes: it cannot change a
bit. Where every rounding error is carried along, pairs (sum, error) travel as complex numbers: XLA:CPU has no
loop with two results, and would read the operands once for the sums and once more for the errors.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from tessera.core import compat, portable

MAX_CHUNKS = 8
ROWS = 16
# Where it fits, a row is 16 lanes of a block of 256 entries: one vector load each, all from L1.
LANES = 16

# Makes the row of a sum from the rows of its operands.
Lift = Callable[..., jax.Array]
Add = Callable[[jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True)
class Addition:
    """How a method adds: what a row becomes, how two rows are added, what the total is."""

    lift: Lift
    add: Add
    finish: Callable[[jax.Array], jax.Array]
    of_pairs: bool = False


def _as_it_is(x: jax.Array) -> jax.Array:
    return x


def _pair(x: jax.Array) -> jax.Array:
    return jax.lax.complex(x, jnp.zeros_like(x))


def _add_pairs(a: jax.Array, b: jax.Array) -> jax.Array:
    """Adds sums in the real parts; the imaginary parts collect what rounding took from them."""
    total = a.real + b.real
    of_b = total - a.real
    lost = (a.real - (total - of_b)) + (b.real - of_b)
    return jax.lax.complex(total, lost + (a.imag + b.imag))


def _close(pair: jax.Array) -> jax.Array:
    # The errors of an infinite sum are NaN.
    return jnp.where(jnp.isfinite(pair.real), pair.real + pair.imag, pair.real)


PLAIN = Addition(_as_it_is, jax.lax.add, _as_it_is)
COMPENSATED = Addition(_pair, _add_pairs, _close, of_pairs=True)


def tree_sum(operands: Sequence[jax.Array], axis: int, addition: Addition, lift: Lift) -> jax.Array:
    """Returns the sum over an axis, which stays with size 1, of what `lift` makes of the operands' rows.

    `lift` is elementwise and gives real or complex numbers, or the pairs of `COMPENSATED`.

    >>> tree_sum([jnp.array([1.0, 1e8, 1.0])], 0, COMPENSATED, COMPENSATED.lift)
    Array([1.e+08], dtype=float32)
    """
    length = operands[0].shape[axis]
    chunks = math.gcd(length, MAX_CHUNKS)
    split = [reshape_axis(x, axis, (chunks, length // chunks)) for x in operands]
    sums = _sum_range(split, axis + 1, lift, addition.add)
    total = addition.finish(add_neighbours(entries(sums, axis), addition.add))
    return jnp.expand_dims(total, axis)


def in_auto_mode(run: Lift, operands: Sequence[jax.Array], axis: int) -> jax.Array:
    """Returns what `run` makes of operands over an axis, which stays with size 1, on any mesh.

    On an Explicit mesh the result is split as the operands are, but not along the axis.
    """
    kinds = [jax.typeof(x) for x in operands]
    kind = next((kind for kind in kinds if compat.explicitly_sharded(kind)), None)
    if kind is None:
        return run(*operands)
    split = [None if i == axis else entry for i, entry in enumerate(kind.sharding.spec)]
    out = NamedSharding(kind.sharding.mesh, PartitionSpec(*split))
    return compat.with_auto_axes(run, out)(*operands)


def add_neighbours(rows: list[jax.Array], add: Add) -> jax.Array:
    """Returns the sum of rows, neighbours first."""
    while len(rows) > 1:
        pairs = [add(a, b) for a, b in zip(rows[::2], rows[1::2], strict=False)]
        rows = pairs + rows[len(pairs) * 2 :]
    return rows[0]


def rounded(x: jax.Array) -> jax.Array:
    """Returns x, rounded where it is a product, with zeros for subnormal numbers.

    A product summed in the loop that makes it may become a multiply-add, which does not round it; whether it
    does depends on the partition. The select prevents it. CPUs run by XLA have no subnormal numbers.
    """
    if jnp.iscomplexobj(x):
        return jax.lax.complex(rounded(x.real), rounded(x.imag))
    return portable.normal(x)


def divided(total: jax.Array, count: int) -> jax.Array:
    """Returns a sum divided by the number of its terms, where XLA would multiply by a rounded 1 / count."""
    return total / jnp.where(total == total, jnp.asarray(count, total.dtype), jnp.nan)


def product_pair(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the rounded product in the real part and what rounding took from it in the imaginary part.

    The halves of a significand have 12 bits each, so that their products are exact, contracted or not; in
    float64 27 and 26. T. J. Dekker, A floating-point technique for extending the available precision (1971).
    """
    product = rounded(x * y)
    (a, b), (c, d) = _halves(x), _halves(y)
    lost = (((a * c - product) + a * d) + b * c) + b * d
    return jax.lax.complex(product, jnp.where(jnp.isfinite(product), lost, 0))


def entries(x: jax.Array, axis: int) -> list[jax.Array]:
    """Returns the entries of an axis, one by one."""
    return [jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]


def reshape_axis(x: jax.Array, axis: int, sizes: tuple[int, ...]) -> jax.Array:
    """Splits an axis."""
    return x.reshape(x.shape[:axis] + sizes + x.shape[axis + 1 :])


def merge_axes(x: jax.Array, axis: int) -> jax.Array:
    """Merges an axis with the next."""
    merged = x.shape[axis] * x.shape[axis + 1]
    return x.reshape(*x.shape[:axis], merged, *x.shape[axis + 2 :])


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the upper half of the significand, cut off, and the rest."""
    word, low = {4: (jnp.int32, 12), 8: (jnp.int64, 26)}[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(x, word)
    upper = jax.lax.bitcast_convert_type(bits & (-1 << low), x.dtype)
    return upper, x - upper


def _sum_range(xs: Sequence[jax.Array], axis: int, lift: Lift, add: Add) -> jax.Array:
    """Sums an axis that lies within one shard."""
    length = xs[0].shape[axis]
    if length <= ROWS:
        return add_neighbours(_lifted(xs, functools.partial(entries, axis=axis), lift), add)
    # The rows are lifted one by one: a lifted whole would have 16 readers and be written to memory.
    sums = add_neighbours(_lifted(xs, functools.partial(_rows, axis=axis), lift), add)
    total = _sum_range([sums], axis, _as_it_is, add)
    rest = length % ROWS
    if rest:
        last = [jax.lax.slice_in_dim(x, length - rest, length, axis=axis) for x in xs]
        total = add(total, _sum_range(last, axis, lift, add))
    return total


def _lifted(
    xs: Sequence[jax.Array], parts: Callable[[jax.Array], list[jax.Array]], lift: Lift
) -> list[jax.Array]:
    return [lift(*rows) for rows in zip(*map(parts, xs), strict=True)]


def _rows(x: jax.Array, axis: int) -> list[jax.Array]:
    """Splits an axis into 16 rows: interleaved within blocks that fill it, else end to end."""
    length = x.shape[axis] // ROWS
    if x.shape[axis] % (ROWS * LANES):
        return [
            jax.lax.slice_in_dim(x, i * length, (i + 1) * length, axis=axis) for i in range(ROWS)
        ]
    blocks = reshape_axis(x, axis, (length // LANES, ROWS, LANES))
    return [merge_axes(row, axis) for row in entries(blocks, axis + 1)]
