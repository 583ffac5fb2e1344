"""Attention scores cut into tiles: which blocks a block reaches, and which scores of a tile count.

Query i stands at position i + columns - rows among the keys. Tiles whose scores all count are told apart
from those at the edge of what may be seen, so that only the latter pay for a mask, and tiles in which nothing
counts are never visited.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

TILE_ELEMENTS = 2**19  # scores of all heads in one tile: 2 MB in fp32, as large as still pays
BLOCKS = (256, 128, 64)
LEAST_BLOCKS = 4  # along the longer side: fewer leave too much of the edge tiles unused


class Reach(NamedTuple):
    """The blocks one block reaches: [start, stop), of which it sees [clear_start, clear_stop) in full."""

    start: Any
    clear_start: Any
    clear_stop: Any
    stop: Any

    def visit(self, step: Callable[[bool, Any, Any], Any], carry: Any) -> Any:
        """Returns the carry after `step(partly_hidden, block, carry)` over the blocks."""
        before = self.clear_start - self.start
        edges = before + self.stop - self.clear_stop

        def edge(t: Any, carry: Any) -> Any:
            skipped = jnp.where(t < before, 0, self.clear_stop - self.clear_start)
            return step(True, self.start + t + skipped, carry)

        if not (isinstance(edges, int) and edges == 0):
            carry = lax.fori_loop(0, edges, edge, carry)
        return lax.fori_loop(self.clear_start, self.clear_stop, partial(step, False), carry)


@dataclass(frozen=True)
class ScoreTiles:
    """How the scores (rows, columns) of all heads are cut, and which of them count.

    `shared` is the number r of query heads per key head: a tile has their rows one after the other. `mask` is
    (B, g or 1, r or 1, rows or 1, columns or 1), in whole blocks. Flat arrays are (B, g, r, rows, d) for
    queries and (B, g, columns, d) for keys, in whole blocks too.
    """

    rows: int
    columns: int
    shared: int
    block_q: int
    block_k: int
    causal: bool
    window: int | None
    mask: jax.Array | None

    @property
    def offset(self) -> int:
        """The position of query 0 among the keys."""
        return self.columns - self.rows

    @property
    def row_blocks(self) -> int:
        """The number of query blocks, the last one perhaps partly filled."""
        return -(-self.rows // self.block_q)

    @property
    def column_blocks(self) -> int:
        """The number of key blocks, the last one perhaps partly filled."""
        return -(-self.columns // self.block_k)

    def rows_reached(self, j: Any) -> Reach:
        """Returns the query blocks that reach key block j."""
        first = j * self.block_k - self.offset
        low = first if self.causal else None
        high = None if self.window is None else first + self.window - 1
        reach = self._reach(low, high, self.block_k, self.rows, self.block_q)
        if self.columns % self.block_k == 0:
            return reach
        cut_off = (j + 1) * self.block_k > self.columns
        return reach._replace(clear_stop=jnp.where(cut_off, reach.clear_start, reach.clear_stop))

    def _reach(self, low: Any, high: Any, size: int, length: int, block: int) -> Reach:
        """`low` and `high` bound what the first of `size` entries sees; each later entry sees one further."""

        def clip(x: Any) -> Any:
            return jnp.clip(x, 0, length)

        start = 0 if low is None else clip(low) // block
        stop = -(-length // block) if high is None else -(-clip(high + size) // block)
        if self.mask is not None:
            return Reach(start, start, start, stop)
        clear_start = 0 if low is None else jnp.minimum(-(-clip(low + size - 1) // block), stop)
        clear_stop = length // block if high is None else clip(high + 1) // block
        if low is not None or high is not None:
            clear_stop = jnp.maximum(clear_start, jnp.minimum(clear_stop, stop))
        return Reach(start, clear_start, clear_stop, stop)

    def visible(self, i: Any, j: Any) -> jax.Array:
        """Returns which scores of tile (i, j) count: (B or 1, g or 1, r block_q, block_k)."""
        rows = np.tile(np.arange(self.block_q, dtype=np.int32), self.shared)[:, None]
        columns = np.arange(self.block_k, dtype=np.int32)[None, :] + j * self.block_k
        back = rows + (i * self.block_q + self.offset) - columns
        counts = (in_reach(back, self.causal, self.window) & (columns < self.columns))[None, None]
        if self.mask is None:
            return counts
        block = self.mask
        for axis, index, size in ((3, i, self.block_q), (4, j, self.block_k)):
            if block.shape[axis] > 1:
                block = lax.dynamic_slice_in_dim(block, index * size, size, axis)
        outer = block.shape[:2]
        block = jnp.broadcast_to(block, (*outer, self.shared, self.block_q, self.block_k))
        return block.reshape(*outer, self.shared * self.block_q, self.block_k) & counts

    def flat_rows(self, x: jax.Array) -> jax.Array:
        """Returns (*b, g, r, rows, d) as a flat array, padded with zeros to whole blocks."""
        return padded(x.reshape(-1, *x.shape[-4:]), 3, self.row_blocks * self.block_q)

    def flat_columns(self, x: jax.Array) -> jax.Array:
        """Returns (*b, g, columns, d) as a flat array, padded with zeros to whole blocks."""
        return padded(x.reshape(-1, *x.shape[-3:]), 2, self.column_blocks * self.block_k)

    def get_rows(self, x: jax.Array, i: Any) -> jax.Array:
        """Returns row block i of a flat array as (B, g, r block_q, d)."""
        block = lax.dynamic_slice_in_dim(x, i * self.block_q, self.block_q, 3)
        return block.reshape(*x.shape[:2], self.shared * self.block_q, x.shape[-1])

    def get_columns(self, x: jax.Array, j: Any) -> jax.Array:
        """Returns column block j of a flat array as (B, g, block_k, d)."""
        return lax.dynamic_slice_in_dim(x, j * self.block_k, self.block_k, 2)

    def set_columns(self, x: jax.Array, j: Any, block: jax.Array) -> jax.Array:
        """Returns a flat array with its column block j replaced."""
        return lax.dynamic_update_slice_in_dim(x, block, j * self.block_k, 2)


def cut_scores(
    q: jax.Array,
    k: jax.Array,
    mask: jax.Array | None,
    *,
    causal: bool,
    window: int | None,
    block_q: int | None,
    block_k: int | None,
) -> ScoreTiles:
    """Returns tiles for q (*b, g, r, i, d) and k (*b, g, j, d); block sizes that are None fit the cache."""
    rows, columns = q.shape[-2], k.shape[-2]
    largest = _largest_block(math.prod(q.shape[:-2]), max(rows, columns))
    block_q = even_block(rows, largest) if block_q is None else min(block_q, rows)
    block_k = even_block(columns, largest) if block_k is None else min(block_k, columns)
    if mask is not None:
        mask = mask.reshape(-1, *mask.shape[-4:])
        for axis, length, block in ((3, rows, block_q), (4, columns, block_k)):
            if mask.shape[axis] > 1:
                mask = padded(mask, axis, -(-length // block) * block)
    return ScoreTiles(rows, columns, q.shape[-3], block_q, block_k, causal, window, mask)


def _largest_block(heads: int, length: int) -> int:
    fitting = (b for b in BLOCKS if heads * b * b <= TILE_ELEMENTS and b * LEAST_BLOCKS <= length)
    return next(fitting, BLOCKS[-1])


def even_block(length: int, largest: int) -> int:
    """Returns the block size that cuts a length most evenly into as few blocks as `largest` allows.

    >>> even_block(300, 256)
    150
    """
    return -(-length // -(-length // largest))


def in_reach(back: Any, causal: bool, window: int | None) -> Any:
    """Returns whether a key `back` positions before the query may be seen."""
    near = jnp.full(back.shape, True) if window is None else back < window
    return near & (back >= 0) if causal else near


def padded(x: jax.Array, axis: int, size: int) -> jax.Array:
    """Returns an array padded with zeros at the end of one axis, or the array itself if it has that size."""
    if x.shape[axis] == size:
        return x
    return jnp.pad(x, [(0, size - n if i == axis else 0) for i, n in enumerate(x.shape)])
