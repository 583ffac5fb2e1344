"""`op.linear`: an affine layer."""

from typing import Any

from tessera import modules


def linear(
    din: int, dout: int, *, bias: bool = True, key: Any = None, dtype: Any = "fp32"
) -> "modules.Linear":
    """Returns a layer, an Equinox module, that maps x (..., din) to x weight + bias, (..., dout).

    `weight` is (din, dout), drawn Glorot uniform by `key`, a JAX key or an int seed; `bias` is 0, or None
    with `bias=False`. Called with an array the layer is `op.matmul`, whose precision rules it follows; called
    with a Field it gives a Field.

    Raises `E_GRAPH_INVALID` for a missing key, a size that is no positive integer or a dtype that is not of
    floats. The layer raises `E_SHAPE_MISMATCH` for an x whose last axis is not din.

    >>> import jax.numpy as jnp
    >>> layer = linear(3, 2, key=0)
    >>> layer.weight.shape, layer(jnp.ones((5, 4, 3))).shape
    ((3, 2), (5, 4, 2))
    """
    return modules.Linear(din, dout, bias=bias, key=key, dtype=dtype)
