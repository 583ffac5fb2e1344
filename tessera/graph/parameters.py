"""What of a pytree is trained: split into parameters and the rest, and put together again.

Parameters are the arrays with real or complex numbers. Integers, keys, functions and Python numbers are the
rest. Both parts have the structure of the whole with None in the other places, as `equinox.partition` gives
them.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Parts:
    """A pytree in two, each with None where the other has a value."""

    parameters: Any
    rest: Any


def split(tree: Any) -> Parts:
    """Returns a pytree split into what is trained and the rest.

    >>> import jax.numpy as jnp
    >>> parts = split({"w": jnp.ones(2), "step": jnp.array(3), "act": jnp.tanh})
    >>> sorted(name for name, leaf in parts.parameters.items() if leaf is not None)
    ['w']
    """
    return Parts(
        jax.tree.map(lambda x: x if is_parameter(x) else None, tree),
        jax.tree.map(lambda x: None if is_parameter(x) else x, tree),
    )


def combine(*trees: Any) -> Any:
    """Returns the pytree whose parts are given: at each place the value that is not None."""
    return jax.tree.map(_first, *trees, is_leaf=lambda x: x is None)


def is_array(x: Any) -> bool:
    """Returns whether a leaf is an array or the type of one."""
    return isinstance(x, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def is_parameter(x: Any) -> bool:
    """Returns whether a leaf can be trained: an array with real or complex numbers."""
    return is_array(x) and jnp.issubdtype(x.dtype, jnp.inexact)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
