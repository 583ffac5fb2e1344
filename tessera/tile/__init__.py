"""The language of kernels: a program over blocks of arrays, written as a Python function.

>>> import jax.numpy as jnp
>>> from tessera import op, tile
>>> def scaled_rows(x, by, out):
...     (BM,) = tile.context()
...     rows = tile.block(tile.grid(tile.cdiv(x.shape[0], BM)), BM)
...     factors = tile.load(by, cols=rows)[:, None]
...     tile.store(out, tile.load(x, rows=rows) * factors, rows=rows)
>>> op.tile_kernel.register(
...     "scaled_rows", program=scaled_rows, reference=lambda x, by: x * by[..., None],
...     dims="*b m n, *b m -> *b m n", tile=64,
... )
>>> op.tile_kernel("scaled_rows", x=jnp.ones((2, 3)), by=jnp.array([1.0, 2.0])).tolist()
[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]

The function is called when the kernel is compiled, with a handle for every operand and output of one example:
no batch axes. It writes down one program, which runs at every point of its grid: as loops on a CPU, as a
Triton kernel on NVIDIA and AMD GPUs. Sizes are Python numbers; blocks and indices are known when it runs.

    where   grid · context · cdiv                        what this program works on
    axes    block · range_n · whole                      which elements of an axis
    memory  load · store                                 blocks of operands in, blocks of outputs out
    values  + - * / comparisons & | ~ · x.T · x[:, None] zeros · full · cast · where · exp, maximum, …
    sums    dot · reduce · scan · fori_loop              products, along an axis, over blocks
    pieces  softmax_online · softmax_accumulate · mask_causal

What a program cannot do is an error where it does it, on a machine without a GPU too.
"""

from collections.abc import Mapping
from typing import Any

from tessera.tile.access import Array as Array
from tessera.tile.access import Range as Range
from tessera.tile.access import block as block
from tessera.tile.access import cdiv as cdiv
from tessera.tile.access import context as context
from tessera.tile.access import grid as grid
from tessera.tile.access import load as load
from tessera.tile.access import range_n as range_n
from tessera.tile.access import store as store
from tessera.tile.access import whole as whole
from tessera.tile.attention import mask_causal as mask_causal
from tessera.tile.attention import softmax_accumulate as softmax_accumulate
from tessera.tile.attention import softmax_online as softmax_online
from tessera.tile.compute import cast as cast
from tessera.tile.compute import dot as dot
from tessera.tile.compute import full as full
from tessera.tile.compute import logical_not as logical_not
from tessera.tile.compute import reduce as reduce
from tessera.tile.compute import scan as scan
from tessera.tile.compute import where as where
from tessera.tile.compute import zeros as zeros
from tessera.tile.elementwise import ELEMENTWISE as _ELEMENTWISE
from tessera.tile.loops import fori_loop as fori_loop
from tessera.tile.values import Block as Block
from tessera.tile.values import Index as Index
from tessera.tile.values import transpose as transpose

# What is written with threads elsewhere, and the call on blocks that does it here.
NOT_OFFERED: Mapping[str, str] = {
    **dict.fromkeys(("cp_async", "ldmatrix", "tma_load"), "tile.load, with stages= of tile.fori_loop"),
    **dict.fromkeys(("prefetch", "commit_group", "wait_group"), "tile.fori_loop(..., stages=3)"),
    **dict.fromkeys(("mma_sync", "wgmma", "mfma", "tensor_core"), "tile.dot"),
    **dict.fromkeys(("thread_id", "lane_id", "warp_id", "block_id", "program_id"), "tile.grid"),
    **dict.fromkeys(("tile_range", "arange"), "tile.block(i, size).positions"),
    **dict.fromkeys(("shuffle", "shfl_sync", "ballot"), "tile.reduce or tile.scan"),
    **dict.fromkeys(("atomic_add", "atomic_max", "atomic_cas"), "tile.reduce, and one tile.store per output"),
    **dict.fromkeys(("barrier", "syncthreads", "fence", "membar"), "nothing: a program is in order"),
    **dict.fromkeys(("shared", "alloc_shared", "local"), "nothing: blocks stand where their use wants them"),
    "cluster": "tile.grid",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ELEMENTWISE:
        return _ELEMENTWISE[name]
    hint = f"; use {NOT_OFFERED[name]}" if name in NOT_OFFERED else ""
    raise AttributeError(f"module 'tessera.tile' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ELEMENTWISE})
