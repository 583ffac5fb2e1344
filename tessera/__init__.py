"""Fused JAX ops that stay closed under every transformation, and what is built on them.

Reading order:

    tessera.op        the operators, one file each; begin with `tessera/ops/rmsnorm.py`
    tessera.core.op   `define_op`: how one `jax.numpy` function becomes an op with every derivative
    tessera.pde       exact differential operators on functions of a point
    tessera.dist      meshes, shard specifications, sharded tensors
    tessera.numerics  what accumulates in which dtype, and the tolerance a dtype earns
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
    from tessera import dist, ops, pde
    from tessera import ops as op
    from tessera.core import errors, numerics

__version__ = "0.1.0"

__all__ = ["dist", "errors", "numerics", "op", "ops", "pde"]

_MODULES = {
    "dist": "tessera.dist",
    "errors": "tessera.core.errors",
    "numerics": "tessera.core.numerics",
    "op": "tessera.ops",
    "ops": "tessera.ops",
    "pde": "tessera.pde",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tessera' has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    globals()[name] = module
    return module


def __dir__() -> list[str]:
    return [*globals(), *(name for name in __all__ if name not in globals())]
