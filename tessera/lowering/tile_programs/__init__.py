"""Tile programs: how kernels compute a group of nodes, block by block.

builder             writes the ops of a program one after another
config              how many elements a block holds
space               which block of which array a program looks at
reading             which axis of each value of a group is which
blocks              computes the block of a value a result needs, reading the group backwards
elementwise         elementwise nodes as functions of blocks
recorded            programs that users wrote, in the language of `tessera.tile`
program             what a program is: how it reads its node, and its kernels
product             matmul: blocks of rows and columns, a loop over the inner axis
grouped             grouped_matmul: blocks of rows, a loop over the groups in each
ragged              runs of rows, whose first and last row are known at run time
runs                run_reduce: a loop over the rows of each run
tree                add_rows: a level of a tree of sums, plain or compensated
rows                softmax, rmsnorm, layernorm, sums along rows: whole rows in one block
norm_backward       rmsnorm and layernorm: whole rows, then sums over rows
scores              which scores of a block of queries and keys count, and which blocks have any
attention           flash attention: a loop over blocks of keys
attention_backward  its gradients: a loop over blocks of queries for the keys, of keys for the queries

A node has a program if it has an entry in `PROGRAMS`. What stands before it in its group is computed on the
blocks it loads, what stands after it on the blocks it stores.
"""

from collections.abc import Mapping

from tessera.lowering.tile_programs.attention import ATTENTION
from tessera.lowering.tile_programs.attention_backward import ATTENTION_BACKWARD
from tessera.lowering.tile_programs.grouped import GROUPED, GROUPED_BACKWARD
from tessera.lowering.tile_programs.norm_backward import NORM_BACKWARD
from tessera.lowering.tile_programs.product import DOT_GENERAL, MATMUL
from tessera.lowering.tile_programs.program import Program
from tessera.lowering.tile_programs.reading import REDUCTIONS
from tessera.lowering.tile_programs.rows import LAYERNORM, REDUCTION, RMSNORM, SOFTMAX
from tessera.lowering.tile_programs.runs import RUNS
from tessera.lowering.tile_programs.tree import TREE

PROGRAMS: Mapping[str, Program] = {
    "tessera.graph.matmul": MATMUL,
    "tessera.graph.matmul_forward": MATMUL,
    "jax.dot_general": DOT_GENERAL,
    "tessera.graph.grouped_matmul": GROUPED,
    "tessera.graph.grouped_matmul_bwd": GROUPED_BACKWARD,
    "tessera.graph.run_reduce": RUNS,
    "tessera.graph.add_rows": TREE,
    "tessera.graph.softmax": SOFTMAX,
    "tessera.graph.rmsnorm": RMSNORM,
    "tessera.graph.rmsnorm_forward": RMSNORM,
    "tessera.graph.rmsnorm_bwd": NORM_BACKWARD,
    "tessera.graph.layernorm": LAYERNORM,
    "tessera.graph.layernorm_forward": LAYERNORM,
    "tessera.graph.layernorm_bwd": NORM_BACKWARD,
    "tessera.graph.flash_attention": ATTENTION,
    "tessera.graph.flash_attention_forward": ATTENTION,
    "tessera.graph.flash_attention_bwd": ATTENTION_BACKWARD,
    **{f"jax.{name}": REDUCTION for name in REDUCTIONS},
}
