"""`Linear`: an affine map of the last axis."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import to_array
from tessera.modules.initial import as_size, draw_keys, glorot_uniform
from tessera.pde.field import Field


class Linear(eqx.Module):
    """Returns x weight + bias, by `op.matmul`. `weight` is (din, dout), `bias` (dout,) or None."""

    weight: jax.Array
    bias: jax.Array | None

    def __init__(
        self, din: int, dout: int, *, bias: bool = True, key: Any = None, dtype: Any = "fp32"
    ):
        shape = as_size("linear", "din", din), as_size("linear", "dout", dout)
        (draw,) = draw_keys("linear", key, 1)
        self.weight = glorot_uniform("linear", draw, shape, dtype)
        self.bias = jnp.zeros(shape[1], self.weight.dtype) if bias else None

    def __call__(self, x: Any) -> Any:
        """Returns (..., dout) for x (..., din), and a Field for a Field."""
        return x.apply(self) if isinstance(x, Field) else affine("linear", self, x)


def affine(
    op: str, layer: Linear, x: Any, activation: str | None = None, residual: Any = None
) -> jax.Array:
    """Returns activation(x weight + bias) + residual, one product with its epilogue.

    `op` is named in the error for an x whose last axis does not fit the layer.
    """
    array = to_array(op, "x", x)
    din = layer.weight.shape[-2]
    if array.ndim == 0 or array.shape[-1] != din:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: x has shape {array.shape}, but the layer takes {din} on its last axis: (..., {din}).",
        )
    rows = array[None] if array.ndim == 1 else array  # a vector has no axis to add a bias along
    words = [
        "bias" if layer.bias is not None else "",
        activation or "",
        "residual" if residual is not None else "",
    ]
    y = registered_op("matmul")(
        rows,
        layer.weight,
        epilogue="_".join(word for word in words if word) or None,
        bias=layer.bias,
        residual=residual,
    )
    return y[0] if array.ndim == 1 else y
