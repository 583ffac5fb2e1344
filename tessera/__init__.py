"""Fused JAX ops that stay closed under every transformation, and what is built on them.

    ts.compile(f)                the function, compiled: same results, same derivatives
    ts.explain(f)(*args)         what was raised, fused and chosen in it, and why
    ts.inspect(f, level, *args)  the text of one level
    ts.export_mlir, ts.load      programs on disk
    ts.checks()                  indices are checked under `jit` too

Reading order:

    tessera.op        the operators, one file each; begin with `tessera/ops/rmsnorm.py`
    tessera.nn        layers: the Equinox modules that `op.linear`, `op.mlp` and others return
    tessera.tile      kernels of your own, written over blocks, for CPU and GPU
    tessera.core.op   `define_op`: how one `jax.numpy` function becomes an op with every derivative
    tessera.lowering  the compiler on one screen; `tessera.ir` are its levels
    tessera.graph     decorators: kernel, training_step, capture, stream
    tessera.autodiff  gradients, Jacobian products and adjoints of functions, gradients of your own
    tessera.pde       exact differential operators on functions of a point, and on Fields
    tessera.pinn      networks that are trained on differential equations
    tessera.dist      meshes, shard specifications, sharded tensors
    tessera.numerics  bits one can rely on, precision, tolerances, and the rounding error of a program
    tessera.training  loss scaling, and weights in narrow floats whose updates add up
    tessera.errors    every error, its code and its fix

`tessera.op` and `tessera.ops` are one module. Names load on first use, so importing Tessera costs nothing
beside importing JAX.

>>> import tessera as ts
>>> ts.op is ts.ops
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera import autodiff, dist, graph, ir, nn, numerics, ops, pde, pinn, tile, training
    from tessera import ops as op
    from tessera.api import compile, explain, export_mlir, inspect, load  # noqa: A004
    from tessera.core import errors
    from tessera.core.checks import checks

__version__ = "0.1.0"

__all__ = [
    "autodiff",
    "checks",
    "compile",
    "dist",
    "errors",
    "explain",
    "export_mlir",
    "graph",
    "inspect",
    "ir",
    "load",
    "nn",
    "numerics",
    "op",
    "ops",
    "pde",
    "pinn",
    "tile",
    "training",
]

_MODULES = {
    "autodiff": "tessera.autodiff",
    "dist": "tessera.dist",
    "errors": "tessera.core.errors",
    "graph": "tessera.graph",
    "ir": "tessera.ir",
    "nn": "tessera.nn",
    "numerics": "tessera.numerics",
    "op": "tessera.ops",
    "ops": "tessera.ops",
    "pde": "tessera.pde",
    "pinn": "tessera.pinn",
    "tile": "tessera.tile",
    "training": "tessera.training",
}
_FUNCTIONS = {
    "checks": "tessera.core.checks",
    "compile": "tessera.api",
    "explain": "tessera.api",
    "export_mlir": "tessera.api",
    "inspect": "tessera.api",
    "load": "tessera.api",
}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        found = getattr(importlib.import_module(_FUNCTIONS[name]), name)
    elif name in _MODULES:
        if name == "ir":
            importlib.import_module("tessera.ops")  # text is verified against the ops there are
        found = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'tessera' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name for name in __all__ if name not in globals())]
