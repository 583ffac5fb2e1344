"""`op.pack`, `op.unpack`, `op.tile_view`: the matrices of an array as a grid of tiles.

    (M, N)  ->  (ceil(M / BM), ceil(N / BN), BM, BN)

`pack` fills the last tiles with zeros and remembers the shape; a reduction belongs after `unpack`, which
crops them.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array

_TILE = re.compile(r"tile\(\s*(\d+)\s*,\s*(\d+)\s*\)")


@partial(jax.tree_util.register_dataclass, data_fields=["tiles"], meta_fields=["shape"])
@dataclass(frozen=True)
class Packed:
    """Tiles (..., rows, columns, BM, BN) and the shape (M, N) of the matrices they were made of."""

    tiles: jax.Array
    shape: tuple[int, int]


def pack(x: Any, layout: str) -> Packed:
    """Returns the matrices of x, (..., M, N), as tiles of a layout "tile(BM,BN)", padded with zeros.

    The result is a pytree: its `tiles` are (..., ceil(M/BM), ceil(N/BN), BM, BN), its `shape` is (M, N).

    Raises `E_GRAPH_INVALID` for another layout and `E_SHAPE_MISMATCH` for fewer than two axes.

    >>> import jax.numpy as jnp
    >>> pack(jnp.ones((5, 8)), "tile(4,4)").tiles.shape
    (2, 2, 4, 4)
    """
    array = to_array("pack", "x", x)
    match = _TILE.fullmatch(layout.strip()) if isinstance(layout, str) else None
    if match is None or "0" in (match[1].lstrip("0") or "0", match[2].lstrip("0") or "0"):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"pack: unknown layout {layout!r}; it is 'tile(BM,BN)', with sizes of at least 1.",
            hints="how an array lies in memory is XLA's choice; op.layout_cast for nhwc and nchw",
        )
    if array.ndim < 2:
        raise CompileError(Code.E_SHAPE_MISMATCH, f"pack: x is {array.shape}, no matrix.")
    sizes = int(match[1]), int(match[2])
    m, n = array.shape[-2:]
    ends = [(0, 0)] * (array.ndim - 2) + [(0, -m % sizes[0]), (0, -n % sizes[1])]
    return Packed(_tiles(jnp.pad(array, ends), sizes), (m, n))


def unpack(x: Packed) -> jax.Array:
    """Returns the array that was packed, without the zeros that filled its last tiles.

    Raises `E_GRAPH_INVALID` for what `pack` did not make.

    >>> import jax.numpy as jnp
    >>> unpack(pack(jnp.ones((5, 8)), "tile(4,4)")).shape
    (5, 8)
    """
    if not isinstance(x, Packed):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"unpack: x is a {type(x).__name__}, not what op.pack returns.",
        )
    *batch, rows, columns, bm, bn = x.tiles.shape
    whole = jnp.swapaxes(x.tiles, -3, -2).reshape(*batch, rows * bm, columns * bn)
    m, n = x.shape
    return whole[..., :m, :n]


def tile_view(x: Any, BM: int, BN: int, BK: int | None = None) -> jax.Array:
    """Returns the last two axes of x, or three with BK, as a grid of tiles: (..., M/BM, N/BN, BM, BN).

    Nothing is padded. Raises `E_SHAPE_MISMATCH` where a tile does not divide its axis or there are too few
    axes, and `E_GRAPH_INVALID` for a size below 1.

    >>> import jax.numpy as jnp
    >>> tile_view(jnp.arange(16).reshape(4, 4), 2, 2)[0, 1].tolist()
    [[2, 3], [6, 7]]
    """
    array = to_array("tile_view", "x", x)
    named = {"BM": BM, "BN": BN} if BK is None else {"BM": BM, "BN": BN, "BK": BK}
    sizes = tuple(as_integer("tile_view", name, size) for name, size in named.items())
    if min(sizes) < 1:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"tile_view: a tile of {sizes} has a size below 1."
        )
    axes = array.shape[max(array.ndim - len(sizes), 0) :]
    if len(axes) < len(sizes) or any(a % s for a, s in zip(axes, sizes, strict=True)):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"tile_view: tiles of {sizes} do not divide the last axes {axes} of x.",
            hints="op.pack pads, and remembers the shape",
        )
    return _tiles(array, sizes)


def _tiles(x: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    lead, count = x.ndim - len(sizes), len(sizes)
    pairs = [
        part
        for axis, size in zip(x.shape[lead:], sizes, strict=True)
        for part in (axis // size, size)
    ]
    apart = jnp.reshape(x, (*x.shape[:lead], *pairs))
    grid = [lead + 2 * i for i in range(count)]
    return jnp.transpose(apart, [*range(lead), *grid, *(i + 1 for i in grid)])
