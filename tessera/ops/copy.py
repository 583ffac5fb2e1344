"""`op.copy`: a second set of parameters, or of anything made of arrays."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


def copy(tree: T) -> T:
    """Returns the same structure with a copy of every array in it; what is no array is shared.

    The copy lives on when the original is donated or written over: a frozen reference of a model, say.
    `tree` is any pytree, such as a module or a dict of parameters. Derivatives pass through.

    >>> import jax.numpy as jnp
    >>> parameters = {"w": jnp.ones(2), "name": "layer"}
    >>> twin = copy(parameters)
    >>> twin["w"].tolist(), twin["name"], twin["w"] is parameters["w"]
    ([1.0, 1.0], 'layer', False)
    """
    return jax.tree.map(_copied, tree)


def _copied(leaf: object) -> object:
    if isinstance(leaf, jax.Array):
        return jnp.copy(leaf)
    return np.copy(leaf) if isinstance(leaf, np.ndarray) else leaf
