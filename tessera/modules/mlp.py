"""`MLP`: affine maps with an activation between them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax

from tessera.core.activations import ACTIVATIONS
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.modules.initial import as_size, draw_keys
from tessera.modules.linear import Linear, affine
from tessera.pde.field import Field

# Those of an epilogue of `op.matmul`, and the sine of periodic networks (Sitzmann et al. 2020).
WORDS = (*ACTIVATIONS, "sin")


class MLP(eqx.Module):
    """Applies `layers` in turn, and the activation after each but the last."""

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        in_dim: int,
        hidden: int | Sequence[int],
        out_dim: int,
        activation: str = "gelu",
        *,
        key: Any = None,
        dtype: Any = "fp32",
    ):
        if activation not in WORDS:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"mlp: unknown activation {activation!r}; one of {', '.join(WORDS)}.",
            )
        widths = hidden if isinstance(hidden, list | tuple) else [hidden]
        sizes = [
            as_size("mlp", "in_dim", in_dim),
            *(as_size("mlp", "hidden", width) for width in widths),
            as_size("mlp", "out_dim", out_dim),
        ]
        keys = draw_keys("mlp", key, len(sizes) - 1)
        self.layers = tuple(
            Linear(din, dout, key=draw, dtype=dtype)
            for din, dout, draw in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.activation = activation

    def __call__(self, x: Any) -> Any:
        """Returns (..., out_dim) for x (..., in_dim), and a Field for a Field."""
        if isinstance(x, Field):
            return x.apply(self)
        for layer in self.layers[:-1]:
            x = self._activated(layer, x)
        return affine("mlp", self.layers[-1], x)

    def _activated(self, layer: Linear, x: Any) -> jax.Array:
        if self.activation in ACTIVATIONS:
            return affine("mlp", layer, x, self.activation)
        return registered_op(self.activation)(affine("mlp", layer, x))
