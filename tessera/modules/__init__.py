"""Equinox modules, the layers that `op.linear`, `op.mlp`, `op.embedding` and `op.transformer` make.

A module's arrays are its parameters and the leaves of its pytree; words and sizes are static. It calls ops by
name, so that it has their kernels and derivatives. Equinox is loaded with the first module that is made.

Reading order: initial, linear, mlp, embedding, config, transformer.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tessera.modules.config import TransformerConfig as TransformerConfig

if TYPE_CHECKING:
    from tessera.modules.embedding import Embedding
    from tessera.modules.linear import Linear
    from tessera.modules.mlp import MLP
    from tessera.modules.transformer import Transformer, TransformerBlock

__all__ = ["MLP", "Embedding", "Linear", "Transformer", "TransformerBlock", "TransformerConfig"]

_FILES = {
    "Embedding": "embedding",
    "Linear": "linear",
    "MLP": "mlp",
    "Transformer": "transformer",
    "TransformerBlock": "transformer",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'tessera.modules' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tessera.modules.{_FILES[name]}"), name)
