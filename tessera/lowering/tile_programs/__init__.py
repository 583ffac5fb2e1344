"""Tile programs: how one kernel computes a group of nodes, block by block.

builder      writes the ops of a program one after another
space        which block of which array a program looks at
blocks       computes the block of a value a result needs, reading the group backwards
elementwise  elementwise nodes as functions of blocks
product      matmul: blocks of rows and columns, a loop over the inner axis
rows         softmax, rmsnorm, layernorm: whole rows in one block
attention    flash attention: a loop over blocks of keys

An op has a program if it has an entry in `PROGRAMS`. What stands before it in its group is computed on the
blocks it loads, what stands after it on the block it stores.
"""

from collections.abc import Mapping

from tessera.lowering.tile_programs.attention import ATTENTION
from tessera.lowering.tile_programs.blocks import Program
from tessera.lowering.tile_programs.product import DOT_GENERAL, MATMUL
from tessera.lowering.tile_programs.rows import LAYERNORM, RMSNORM, SOFTMAX

PROGRAMS: Mapping[str, Program] = {
    "tessera.graph.matmul": MATMUL,
    "jax.dot_general": DOT_GENERAL,
    "tessera.graph.softmax": SOFTMAX,
    "tessera.graph.rmsnorm": RMSNORM,
    "tessera.graph.layernorm": LAYERNORM,
    "tessera.graph.flash_attention": ATTENTION,
}
