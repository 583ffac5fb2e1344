"""`op.embedding`: a table with a row for each integer."""

from typing import Any

from tessera import modules


def embedding(V: int, D: int, *, key: Any = None, dtype: Any = "fp32") -> "modules.Embedding":
    """Returns a layer, an Equinox module, that maps integers (...) in [-V, V) to rows (..., D) of its weight.

    `weight` is (V, D), drawn Glorot uniform by `key`, a JAX key or an int seed. The layer reads it by the
    rules of `op.gather`, those for an integer out of range among them. Raises `E_GRAPH_INVALID` for a missing
    key, a size that is no positive integer or a dtype that is not of floats.

    >>> import jax.numpy as jnp
    >>> layer = embedding(10, 4, key=0)
    >>> bool((layer(jnp.array([[7, 2]])) == layer.weight[jnp.array([[7, 2]])]).all())
    True
    """
    return modules.Embedding(V, D, key=key, dtype=dtype)
