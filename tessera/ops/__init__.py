"""The operators: one file each. `tessera.op` is this module."""

from tessera.core import op as _op
from tessera.ops.cross_entropy import cross_entropy as cross_entropy
from tessera.ops.flash_attention import flash_attention as flash_attention
from tessera.ops.gelu import gelu as gelu
from tessera.ops.grouped_matmul import grouped_matmul as grouped_matmul
from tessera.ops.layernorm import layernorm as layernorm
from tessera.ops.logic import logic_and as logic_and
from tessera.ops.logic import logic_not as logic_not
from tessera.ops.logic import logic_or as logic_or
from tessera.ops.logic import logic_xor as logic_xor
from tessera.ops.matmul import matmul as matmul
from tessera.ops.mse import mse as mse
from tessera.ops.pipeline import pipeline as pipeline
from tessera.ops.recursive import recursive as recursive
from tessera.ops.reduce_sum import reduce_sum as reduce_sum
from tessera.ops.relu import relu as relu
from tessera.ops.rmsnorm import rmsnorm as rmsnorm
from tessera.ops.segment_reduce import segment_reduce as segment_reduce
from tessera.ops.sigmoid import sigmoid as sigmoid
from tessera.ops.silu import silu as silu
from tessera.ops.sin import cos as cos
from tessera.ops.sin import sin as sin
from tessera.ops.softmax import softmax as softmax
from tessera.ops.spectral_conv import spectral_conv as spectral_conv
from tessera.ops.tanh import tanh as tanh
from tessera.ops.tile_kernel import tile_kernel as tile_kernel
from tessera.runtime import kernels as _kernels

_op.set_tile_programs(_kernels.tile_program)

# What is written with threads elsewhere, and the call on blocks that does it here.
_NOT_OFFERED = {
    "atomic_add": "tile.reduce in a program of op.tile_kernel",
    "barrier": "nothing: the blocks of a tile program are in order",
    "cp_async": "tile.load, with stages= of tile.fori_loop",
    "mma_sync": "tile.dot in a program of op.tile_kernel",
    "prefetch": "tile.fori_loop(..., stages=3)",
    "shared": "tile.load: blocks stand where their use wants them",
    "thread_id": "tile.grid in a program of op.tile_kernel",
    "tile_range": "tile.block(i, size), or tile.range_n(start, size)",
}


def __getattr__(name: str) -> object:
    """Raises `AttributeError`, naming the call on blocks for what is written with threads elsewhere.

    >>> __getattr__("prefetch")
    Traceback (most recent call last):
    AttributeError: module 'tessera.ops' has no attribute 'prefetch'; use tile.fori_loop(..., stages=3)
    """
    hint = f"; use {_NOT_OFFERED[name]}" if name in _NOT_OFFERED else ""
    raise AttributeError(f"module 'tessera.ops' has no attribute {name!r}{hint}")
