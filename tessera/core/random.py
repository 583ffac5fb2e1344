"""Keys: what a call that draws numbers takes for one, a JAX key or an int seed."""

import operator
from typing import Any

import jax

from tessera.core.compat import is_key
from tessera.core.errors import Code, CompileError


def as_key(op: str, key: Any) -> jax.Array:
    """Returns the typed JAX key that a key (typed or raw uint32 of shape (2,)) or an int seed stands for.

    Raises `E_GRAPH_INVALID` for anything else, a missing key (None) included: there is no hidden state.

    >>> bool((jax.random.key_data(as_key("dropout", 3)) == jax.random.key_data(jax.random.key(3))).all())
    True
    """
    if isinstance(key, jax.Array):
        if is_key(key):
            return key
        if key.dtype.name == "uint32" and key.shape == (2,):
            return jax.random.wrap_key_data(key)
        raise _bad(op, f"an array of {key.dtype.name} with shape {key.shape}")
    if isinstance(key, bool):
        raise _bad(op, "a bool")
    try:
        return jax.random.key(operator.index(key))
    except TypeError:
        raise _bad(op, "missing" if key is None else f"of type {type(key).__name__}") from None


def _bad(op: str, found: str) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"{op}: key is {found}; it must be a JAX key or an int seed.",
        hints="key=jax.random.key(0) or key=0",
    )
