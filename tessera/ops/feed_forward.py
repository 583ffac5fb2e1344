"""`op.ffn`, `op.fused_mlp` (`op.gated_ffn`), `op.gmlp_block`: the feed-forward parts of a block.

Each is a composition of `op.matmul`, whose epilogue takes biases and activations, and follows its precision
rules. Leading axes of x are free.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.activations import ACTIVATIONS
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import to_array


def ffn(
    x: Any,
    up: Any,
    down: Any,
    activation: str = "gelu",
    *,
    up_bias: Any = None,
    down_bias: Any = None,
) -> jax.Array:
    """Returns down(activation(x up + up_bias)) + down_bias.

    `x` is (..., d), `up` (d, f), `down` (f, n), the biases (f,) and (n,). Activations: relu, gelu, silu,
    tanh, sigmoid. Raises the errors of `op.matmul`, and `E_GRAPH_INVALID` for another activation.

    >>> import jax.numpy as jnp
    >>> ffn(jnp.array([[1.0, -1.0]]), jnp.eye(2), jnp.ones((2, 1)), "relu").item()
    1.0
    """
    _require_activation("ffn", activation)
    hidden = _product(x, up, activation, up_bias)
    return _product(hidden, down, None, down_bias)


def fused_mlp(x: Any, up: Any, gate: Any, down: Any, activation: str = "silu") -> jax.Array:
    """Returns ((activation(x gate)) * (x up)) down, a gated linear unit. Source: Shazeer 2020.

    `x` is (..., d), `up` and `gate` (d, f), `down` (f, n). Raises the errors of `op.matmul`, and
    `E_GRAPH_INVALID` for another activation than relu, gelu, silu, tanh, sigmoid.

    >>> import jax.numpy as jnp
    >>> x, one = jnp.array([[2.0]]), jnp.ones((1, 1))
    >>> fused_mlp(x, 3 * one, one, one, "relu").item()
    12.0
    """
    _require_activation("fused_mlp", activation)
    gated, linear = _product(x, gate, activation, None), _product(x, up, None, None)
    if gated.shape != linear.shape:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"fused_mlp: x gate has shape {gated.shape} but x up {linear.shape}.",
        )
    return _product(gated * linear, down, None, None)


gated_ffn = fused_mlp


def gmlp_block(x: Any, up: Any, spatial: Any, down: Any, *, spatial_bias: Any = None) -> jax.Array:
    """Returns x + (u * (spatial norm(v) + spatial_bias)) down, where (u, v) = gelu(norm(x) up).

    `x` is (..., length, d), `up` (d, 2 f), `spatial` (length, length), `spatial_bias` (length,), 1 where
    absent, and `down` (f, d); norm is `op.layernorm` without weights. Source: Liu et al. 2021. Raises
    `E_SHAPE_MISMATCH` if shapes do not fit.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 3.0], [2.0, 0.0]])
    >>> gmlp_block(x, jnp.zeros((2, 4)), jnp.zeros((2, 2)), jnp.zeros((2, 2))).tolist()
    [[1.0, 3.0], [2.0, 0.0]]
    """
    array, mix = to_array("gmlp_block", "x", x), to_array("gmlp_block", "spatial", spatial)
    norm = registered_op("layernorm")
    length = array.shape[-2] if array.ndim > 1 else None
    if length is None or mix.shape != (length, length):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"gmlp_block: spatial has shape {mix.shape} for x {array.shape}; it is (length, length).",
        )
    both = _product(norm(array), up, "gelu", None)
    if both.shape[-1] % 2:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"gmlp_block: up has {both.shape[-1]} columns, an odd number."
        )
    u, v = jnp.split(both, 2, axis=-1)
    moved = jnp.swapaxes(norm(v), -1, -2)  # tokens last, to be mixed by a matrix on the right
    shift = jnp.ones(length, moved.dtype) if spatial_bias is None else spatial_bias
    mixed = jnp.swapaxes(_product(moved, mix.T, None, shift), -1, -2)
    out = _product(u * mixed.astype(u.dtype), down, None, None)
    if out.shape != array.shape:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"gmlp_block: down gives shape {out.shape}, but the residual x is {array.shape}.",
        )
    return array + out.astype(array.dtype)


def _product(x: Any, w: Any, activation: str | None, bias: Any) -> jax.Array:
    words = [word for word in ("bias" if bias is not None else None, activation) if word]
    return registered_op("matmul")(x, w, epilogue="_".join(words) or None, bias=bias)


def _require_activation(name: str, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{name}: unknown activation {activation!r}; one of {', '.join(ACTIVATIONS)}.",
        )
