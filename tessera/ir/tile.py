"""Tile IR: one kernel as a program over blocks, the same for every backend.

A function runs once per point of its grid. It loads blocks of the arrays it gets, computes on them, and
stores blocks of the arrays it writes; nothing else has an effect.

    func        a kernel: arrays, then one block index per grid axis; those of one group run in order
    for         a loop with carried values; `stages` loads are in flight
    load store  a block of an array, at block or element indices, where a mask is true
    dot         matrix product of two blocks, into an accumulator
    map         an elementwise function by name, `where` among them
    reduce scan along one axis, in a fixed tree
    iota full   positions along an axis; one value everywhere
    cast transpose reshape
    yield       ends a loop's body or a function

A type is `!tessera.tile.tile<128x64xbf16, shared>`: sizes, element, and where it lives: `hbm` (an array),
`shared` (scratch of one program) or `reg`. Loop and block indices are `index`. Axes of size 1 and values
without axes spread over the others in `map`.

    tessera.tile.func @double(%x: !tessera.tile.tile<256xf32, hbm>, %y: !tessera.tile.tile<256xf32, hbm>,
                              %i: index) attributes {grid = array<i64: 2>, outputs = 1 : i64} {
      %0 = tessera.tile.load %x, %i -> !tessera.tile.tile<128xf32, reg>
      %1 = tessera.tile.map %0, %0 {function = "add"} -> !tessera.tile.tile<128xf32, reg>
      tessera.tile.store %1, %y, %i
      tessera.tile.yield
    }
"""

from xdsl.irdl import IRDLOperation

from tessera.ir.tile_compute import (
    ACCUMULATORS,
    FUNCTIONS,
    Cast,
    Dot,
    Full,
    Iota,
    Map,
    Reduce,
    Reshape,
    Scan,
    Transpose,
)
from tessera.ir.tile_kernel import DEFAULT_SHARED_LIMIT, For, Func, Load, Store, Yield, kernel_of
from tessera.ir.tile_types import PREFIX, SPACES, Tile, TileOp, is_index, tile_error

__all__ = [
    "ACCUMULATORS", "DEFAULT_SHARED_LIMIT", "FUNCTIONS", "OPS", "PREFIX", "SPACES", "Cast", "Dot", "For",
    "Full", "Func", "Iota", "Load", "Map", "Reduce", "Reshape", "Scan", "Store", "Tile", "TileOp",
    "Transpose", "Yield", "is_index", "kernel_of", "tile_error",
]  # fmt: skip

OPS: tuple[type[IRDLOperation], ...] = (
    Func, For, Load, Store, Dot, Map, Reduce, Scan, Iota, Full, Cast, Transpose, Reshape, Yield
)  # fmt: skip
