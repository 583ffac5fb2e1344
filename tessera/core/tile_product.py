"""Matrix products whose bits depend on neither the batch nor the mesh: levels D2 and D3.

A library chooses how it multiplies by the shape of the whole product, so the bits of one row depend on how
many rows there are, and on how many of them a device has. Here every row is computed in a tile of ROWS rows,
every column in a tile of columns, and the sum over k in up to CHUNKS chunks of equal length, which are added
in a tree. A tile is one product of one shape, in a loop that the compiler does not unroll; rows beyond the
last are zeros. On several devices each computes whole tiles, and partial sums over k meet in the same tree.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import levels, numerics
from tessera.core.dims import parse
from tessera.core.op import Op
from tessera.core.operands import share_varying_axes

ROWS = 32
COLUMNS = 1024
CHUNKS = 8
TILES = "tiles"


def _product(
    a: jax.Array, b: jax.Array, *, rows: int, columns: int, chunk: int, out: Any
) -> jax.Array:
    """Returns the matrix product of a (..., m, k) and b (..., k, n), in the dtype `out`.

    `rows` and `columns` are the tile of the result, and `chunk` divides k. How it is split over devices is
    read from here; its bits are those of the algorithm "tiles".
    """
    del rows, columns, chunk
    return jnp.matmul(a, b, preferred_element_type=out)


tile_product = Op(_product, parse("*b m k, *b k n -> *b m n"), "float", "tile_product")
levels.PINNED["tessera.tile_product", TILES] = "D3"


def in_tiles(a: jax.Array, b: jax.Array, out: Any) -> jax.Array:
    """Returns the matrix product of a (*b, m, k) and b (*b, k, n), accumulated in the dtype `out`.

    >>> import jax.numpy as jnp
    >>> in_tiles(jnp.ones((1, 3)), jnp.ones((3, 1)), jnp.float32).item()
    3.0
    """
    k, n = b.shape[-2:]
    kind = numerics.wider(a.dtype, b.dtype)
    tile = {
        "rows": ROWS,
        "columns": max(min(n, COLUMNS), 1),
        "chunk": max(k // math.gcd(k, CHUNKS), 1),
    }
    return tile_product.bind(a.astype(kind), b.astype(kind), **tile, out=out, algorithm=TILES)


@tile_product.def_algorithm(
    TILES,
    platforms=(),
    splits="*b m n k",
    tiles={"m": "rows", "n": "columns", "k": "chunk"},
    tree="k",
)
def _tiles(
    a: jax.Array, b: jax.Array, *, rows: int, columns: int, chunk: int, out: Any
) -> jax.Array:
    batch, (m, k), n = a.shape[:-2], a.shape[-2:], b.shape[-1]
    count = math.prod(batch)
    if min(count, m, n, k) == 0:
        return jnp.zeros((*batch, m, n), out)
    down, across = -(-m // rows), -(-n // columns)
    a = jnp.pad(a.reshape(count, m, k), ((0, 0), (0, down * rows - m), (0, 0)))
    b = jnp.pad(b.reshape(count, k, n), ((0, 0), (0, 0), (0, across * columns - n)))
    a = a.reshape(count, down * rows, k // chunk, chunk)
    b = b.reshape(count, k // chunk, chunk, across * columns)
    one = levels.opaque_one(
        a
    )  # a loop of one step would be unrolled, its product fused with what surrounds it

    def column(step: jax.Array, found: jax.Array) -> jax.Array:
        item, j = step // across, step % across
        right = lax.dynamic_slice(b, (item, 0, 0, j * columns), (1, k // chunk, chunk, columns))[0]

        def row(i: jax.Array, found: jax.Array) -> jax.Array:
            left = lax.dynamic_slice(a, (item, i * rows, 0, 0), (1, rows, k // chunk, chunk))[0]
            products = lax.dot_general(
                left, right, (((2,), (1,)), ((1,), (0,))), preferred_element_type=out
            )
            return lax.dynamic_update_slice(
                found, _added(products)[None], (item, i * rows, j * columns)
            )

        return lax.fori_loop(0, down * one, row, found)

    found, _ = share_varying_axes([jnp.zeros((count, down * rows, across * columns), out), a])
    found = lax.fori_loop(0, count * across * one, column, found)
    return found[:, :m, :n].reshape(*batch, m, n)


def _added(parts: jax.Array) -> jax.Array:
    """Returns the sum over the leading axis, a power of two, neighbours first."""
    while parts.shape[0] > 1:
        parts = parts[::2] + parts[1::2]
    return parts[0]
