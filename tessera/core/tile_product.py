"""Matrix products whose bits depend on neither the batch nor the mesh: levels D2 and D3.

A library chooses how it multiplies by the shape of the whole product, so the bits of one row depend on how
many rows there are, and on how many of them a device has. Here every row is computed in a tile of ROWS rows,
every column in a tile of columns, and the sum over k in up to CHUNKS chunks of equal length, which are added
in a tree. A tile is one product of one shape, in a loop that the compiler does not unroll; rows beyond the
last are zeros. On several devices each computes whole tiles, and partial sums over k meet in the same tree.
On a GPU the tile program of `op.matmul` runs instead, with blocks of one shape.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import levels, numerics
from tessera.core.dims import parse
from tessera.core.op import Op, registered_op
from tessera.core.operands import share_varying_axes

ROWS = 32
COLUMNS = 512
WIDEST = 1024
CHUNKS = 8
BLOCKS = (64, 64, 32)  # rows, columns and terms of a block on GPUs
TILES = "tiles"


def _product(
    a: jax.Array,
    b: jax.Array,
    *,
    rows: int,
    columns: int,
    chunk: int,
    out: Any,
    precision: str | None,
) -> jax.Array:
    """Returns the matrix product of a (..., m, k) and b (..., k, n), in the dtype `out`.

    `rows` and `columns` are the tile of the result, and `chunk` divides k. How it is split over devices is
    read from here; its bits are those of the algorithm "tiles".
    """
    del rows, columns, chunk
    return jnp.matmul(a, b, precision=precision, preferred_element_type=out)


tile_product = Op(_product, parse("*b m k, *b k n -> *b m n"), "float", "tile_product")
levels.PINNED["tessera.tile_product", TILES] = "D3"


def in_tiles(
    a: jax.Array, b: jax.Array, out: Any, precision: str | None = None, *, whole: bool = False
) -> jax.Array:
    """Returns the matrix product of a (*b, m, k) and b (*b, k, n), accumulated in the dtype `out`.

    With `whole`, a column's bits do not depend on n either: tiles have COLUMNS columns, most of them zeros
    where n is small. Otherwise the tile of fewer columns is as wide as the product.

    `precision` says how products of fp32 are formed, in the words of `jax.lax.Precision`; by default as the
    backend likes.

    >>> import jax.numpy as jnp
    >>> in_tiles(jnp.ones((1, 3)), jnp.ones((3, 1)), jnp.float32).item()
    3.0
    """
    k, n = b.shape[-2:]
    kind = numerics.wider(a.dtype, b.dtype)
    kind = kind if jnp.issubdtype(kind, jnp.floating) else out
    tile = {
        "rows": ROWS,
        "columns": COLUMNS if whole else max(min(n, WIDEST), 1),
        "chunk": max(k // math.gcd(k, CHUNKS), 1),
    }
    return tile_product.bind(
        a.astype(kind), b.astype(kind), **tile, out=out, precision=precision, algorithm=TILES
    )


@tile_product.def_algorithm(
    TILES,
    platforms=(),
    splits="*b m n k",
    tiles={"m": "rows", "n": "columns", "k": "chunk"},
    tree="k",
)
def _tiles(
    a: jax.Array,
    b: jax.Array,
    *,
    rows: int,
    columns: int,
    chunk: int,
    out: Any,
    precision: str | None,
) -> jax.Array:
    if jax.default_backend() == "gpu" and a.dtype.itemsize <= 4:
        return _tile_kernel(a, b, out, precision)
    batch, (m, k), n = a.shape[:-2], a.shape[-2:], b.shape[-1]
    count = math.prod(batch)
    if min(count, m, n, k) == 0:
        return jnp.zeros((*batch, m, n), out)
    down, across = -(-m // rows), -(-n // columns)
    a = jnp.pad(a.reshape(count, m, k), ((0, 0), (0, down * rows - m), (0, 0)))
    b = jnp.pad(b.reshape(count, k, n), ((0, 0), (0, 0), (0, across * columns - n)))
    a = a.reshape(count, down * rows, k // chunk, chunk)
    b = b.reshape(count, k // chunk, chunk, across * columns)
    a, b = lax.optimization_barrier((a, b))  # XLA would fold constants, and add in another order
    # A loop of one step would be unrolled, and its product fused with what surrounds it.
    one = levels.opaque_one(a)
    zero = jnp.int32(0)  # indices have one type: in 64-bit mode 0 alone would be an int64

    def column(step: jax.Array, found: jax.Array) -> jax.Array:
        item, j = step // across, step % across
        right = lax.dynamic_slice(
            b, (item, zero, zero, j * columns), (1, k // chunk, chunk, columns)
        )[0]

        def row(i: jax.Array, found: jax.Array) -> jax.Array:
            left = lax.dynamic_slice(a, (item, i * rows, zero, zero), (1, rows, k // chunk, chunk))[
                0
            ]
            products = lax.dot_general(
                left,
                right,
                (((2,), (1,)), ((1,), (0,))),
                precision=precision,
                preferred_element_type=out,
            )
            return lax.dynamic_update_slice(
                found, _added(products)[None], (item, i * rows, j * columns)
            )

        return lax.fori_loop(0, down * one, row, found)

    found, _ = share_varying_axes([jnp.zeros((count, down * rows, across * columns), out), a])
    found = lax.fori_loop(0, count * across * one, column, found)
    return found[:, :m, :n].reshape(*batch, m, n)


def _tile_kernel(a: jax.Array, b: jax.Array, out: Any, precision: str | None) -> jax.Array:
    """Returns the product by the tile program of `op.matmul`, over whole blocks that no shape changes."""
    m, n = a.shape[-2], b.shape[-1]
    rows, columns, terms = BLOCKS
    whole = registered_op("matmul").bind(
        _padded(a, rows, terms),
        _padded(b, terms, columns),
        accumulate=out,
        out_dtype=out,
        precision=precision,
        tile_shape=BLOCKS,
        algorithm="tile",
    )
    return whole[..., :m, :n]


def _padded(x: jax.Array, *blocks: int) -> jax.Array:
    """Returns a matrix with zeros up to whole blocks."""
    whole = [
        max(-(-size // block), 1) * block for size, block in zip(x.shape[-2:], blocks, strict=True)
    ]
    more = [(0, to - size) for to, size in zip(whole, x.shape[-2:], strict=True)]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + more)


def _added(parts: jax.Array) -> jax.Array:
    """Returns the sum over the leading axis, a power of two, neighbours first."""
    while parts.shape[0] > 1:
        parts = parts[::2] + parts[1::2]
    return parts[0]
