"""What a step does to trees: adds updates, or keeps what was; and optax, loaded where it is used."""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from tessera.core import numerics

PyTree = Any


def apply_updates(params: PyTree, updates: PyTree) -> PyTree:
    """Returns parameters with their updates added, in the dtype of the parameters.

    As `optax.apply_updates`: a sum of two dtypes is formed in the wider one and rounded once; here also where
    JAX's implicit promotion is off.

    >>> x = jnp.array(1.0, jnp.bfloat16)
    >>> apply_updates(x, jnp.array(0.5)).dtype.name
    'bfloat16'
    """
    return jax.tree.map(_added, params, updates)


def select(condition: Array, chosen: PyTree, other: PyTree) -> PyTree:
    """Returns the first tree where a scalar condition holds, else the second, bit by bit.

    >>> select(jnp.array(False), {"x": jnp.ones(2)}, {"x": jnp.zeros(2)})["x"].tolist()
    [0.0, 0.0]
    """
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)


def _added(x: Any, update: Any) -> Array:
    dtype = jnp.asarray(x).dtype
    wide = numerics.wider(dtype, jnp.asarray(update).dtype)
    return (jnp.asarray(x, wide) + jnp.asarray(update, wide)).astype(dtype)


def load_optax() -> Any:
    """Returns the package optax; raises `ImportError`, naming the extra, where it is not installed."""
    if importlib.util.find_spec("optax") is None:
        raise ImportError("an optimiser needs optax: pip install 'tessera[training]'")
    import optax

    return optax
