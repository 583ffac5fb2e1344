"""Which arrays of a model are trained: its floating-point arrays, but for those in a `Frozen`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tessera.core.errors import Code, CompileError
from tessera.pinn.problem import Model


class Frozen(eqx.Module):
    """An array of a model that training leaves as it is.

    >>> params, _ = split({"weight": jnp.ones(2), "frequency": Frozen(jnp.ones(3))})
    >>> [leaf.shape for leaf in jax.tree.leaves(params)]
    [(2,)]
    """

    value: Any


def split(model: Model) -> tuple[Any, Any]:
    """Returns the model with only its trained arrays, and with only the rest; None where the other has it."""
    return eqx.partition(model, eqx.is_inexact_array, is_leaf=_is_frozen)


def join(params: Any, rest: Any) -> Model:
    """Returns the model made of its two parts."""
    return eqx.combine(params, rest, is_leaf=_is_frozen)


@eqx.filter_jit
def move(model: Model, step: jax.Array) -> Model:
    """Returns the model with a step `(p,)` added to its trained arrays in one row.

    >>> print(move(jnp.array([1.0, 2.0]), jnp.array([0.0, 3.0])))
    [1. 5.]
    """
    params, rest = split(model)
    flat, unravel = ravel_pytree(params)
    return join(unravel(flat + step), rest)


def count(model: Model) -> int:
    """Returns the number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(split(model)[0]))


def cast(model: Model, dtype: Any) -> Model:
    """Returns the model with all its floating-point arrays in one dtype, as JAX arrays.

    Raises `E_GRAPH_INVALID` for a model without trained arrays and `E_TARGET_CODEGEN` for a complex one.
    """
    leaves = jax.tree.leaves(split(model)[0])
    if not leaves:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"train: the network, a {type(model).__name__}, has no floating-point arrays to train.",
            hints="problem.network(key) must return an Equinox module or another tree of arrays",
        )
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            "train: the network has complex parameters.",
            hints="give real and imaginary parts as two arrays",
        )
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype) if eqx.is_inexact_array(leaf) else leaf, model
    )


def _is_frozen(node: Any) -> bool:
    return isinstance(node, Frozen)
