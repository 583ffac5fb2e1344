"""What decorates your function: kernels, modules, training steps, streams, shape buckets.

Reading order:

    kernel         results are assigned to arguments, `C[:] = ...`
    module         a pure function with a graph to look at
    training_step  from a loss to (gradients, metrics); `backward` in the middle of one, `loss` checks one
    stream         a label on operations
    capture        shape buckets, and recordings that `launch` repeats
    checkpoint     what a backward keeps
    forward jvp hvp       derivatives along a direction
    compile load_module   a program for given arguments, in a file; export_mlir writes its MLIR
    explain dump_ir check trace   what became of a function, level by level

>>> import jax.numpy as jnp
>>> from tessera import graph, op
>>> @graph.kernel
... def gemm(A, B, C):
...     C[:] = op.matmul(A, B)
>>> C = jnp.zeros((2, 4))
>>> gemm(jnp.ones((2, 3)), jnp.ones((3, 4)), C).shape
(2, 4)
"""

from typing import Any

from tessera.graph.backward import backward
from tessera.graph.capture import capture
from tessera.graph.checkpoint import checkpoint
from tessera.graph.derivatives import forward, hvp, jvp
from tessera.graph.kernel import kernel
from tessera.graph.module import module
from tessera.graph.programs import (
    check,
    compile,  # noqa: A004 - the specification's name
    dump_ir,
    explain,
    export_mlir,
    load_module,
    trace,
)
from tessera.graph.recording import launch
from tessera.graph.stream import stream
from tessera.graph.training_step import backward_step, loss, training_step

__all__ = [
    "backward",
    "backward_step",
    "capture",
    "check",
    "checkpoint",
    "compile",
    "dump_ir",
    "explain",
    "export_mlir",
    "forward",
    "hvp",
    "jvp",
    "kernel",
    "launch",
    "load_module",
    "loss",
    "module",
    "stream",
    "trace",
    "training_step",
]

# Names other frameworks have here, and what Tessera has instead.
_INSTEAD = {
    "input": "the parameters of a function decorated with @graph.module are the inputs",
    "placeholder": "the parameters of a function decorated with @graph.module are the inputs",
    "dataset": "pass batches to the function decorated with @graph.training_step",
}


def __getattr__(name: str) -> Any:
    instead = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
    raise AttributeError(f"module 'tessera.graph' has no attribute {name!r}{instead}")
