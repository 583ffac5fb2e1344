"""Tile → Triton: kernels for NVIDIA and AMD GPUs, as source text, as machine code, and as calls under `jit`.

source       a kernel as the text of one `@triton.jit` function
statements   its body, one statement per op; functions, access, grid, intervals, names, values and
             elements serve it
legality     what Triton asks of blocks
installed    whether Triton and jax-triton are there, in tested versions
module       a text as a function Triton can compile: a file in the cache directory
compiled     what Triton's compilers make of it, and what the code needs, on a machine without a GPU
call         a kernel as a function of JAX arrays
"""

from tessera.lowering.emit_triton.call import call
from tessera.lowering.emit_triton.compiled import TARGETS, Compiled, compile_source
from tessera.lowering.emit_triton.installed import unavailable
from tessera.lowering.emit_triton.source import ArrayType, TritonSource, source

__all__ = [
    "TARGETS",
    "ArrayType",
    "Compiled",
    "TritonSource",
    "call",
    "compile_source",
    "source",
    "unavailable",
]
