"""`op.mlp`: affine layers with an activation between them."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from tessera import modules
from tessera.core.errors import Code, CompileError
from tessera.core.operands import promote_floats, to_array
from tessera.pde.field import Field, join

KINDS = ("number",)


def mlp(
    in_dim: Any,
    hidden: int | Sequence[int],
    out_dim: int,
    activation: str = "gelu",
    *,
    key: Any = None,
    dtype: Any = "fp32",
) -> Any:
    """Returns a network, an Equinox module, that maps (..., in_dim) to (..., out_dim).

    `hidden` is the width of its hidden layer, or a list of widths, one for each. Weights are drawn Glorot
    uniform by `key`, a JAX key or an int seed, and biases are 0. Activations: relu, gelu, silu, tanh,
    sigmoid, sin. Called with a Field the network gives a Field, with derivatives of every order.

    Where `in_dim` is a list of arrays or of Fields, returns the value of such a network: they are joined on
    the last axis, to which a Field of one component counts as one.

    Raises `E_GRAPH_INVALID` for a missing key, an unknown activation, a size that is no positive integer or
    an empty list, `E_SHAPE_MISMATCH` for arrays that do not join. The network raises it for a last axis that
    is not in_dim.

    >>> import jax.numpy as jnp
    >>> net = mlp(2, [16, 16], 1, "tanh", key=0)
    >>> net(jnp.ones((5, 2))).shape
    (5, 1)
    >>> from tessera import op
    >>> u = net(op.coords(jnp.ones((5, 2)), names=("x", "y")))
    >>> op.laplacian(u, axes=("x", "y")).shape
    (5, 1)
    >>> mlp([jnp.ones((5, 1)), jnp.ones((5, 2))], hidden=8, out_dim=4, key=0).shape
    (5, 4)
    """
    if not isinstance(in_dim, list | tuple):
        return modules.MLP(in_dim, hidden, out_dim, activation, key=key, dtype=dtype)
    x = _joined(in_dim)
    return modules.MLP(x.shape[-1], hidden, out_dim, activation, key=key, dtype=dtype)(x)


def _joined(inputs: Sequence[Any]) -> Any:
    if not inputs:
        raise CompileError(Code.E_GRAPH_INVALID, "mlp: the list of inputs is empty.")
    if any(isinstance(x, Field) for x in inputs):
        return join(inputs, "mlp")
    arrays = [to_array("mlp", f"inputs[{i}]", x) for i, x in enumerate(inputs)]
    if any(x.ndim == 0 or x.shape[:-1] != arrays[0].shape[:-1] for x in arrays):
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"mlp: inputs of shapes {shapes} do not join on the last axis.",
            hints="give each (..., n) with the same leading axes",
        )
    return jnp.concatenate(
        cast("list[jax.Array]", promote_floats(arrays, KINDS * len(arrays), "mlp")), -1
    )
