"""A plain network from points of a rectangle to a few fields: tanh layers, then a linear one."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

# Weights and biases of each layer.
Params = list[tuple[jax.Array, jax.Array]]

# Spread of the first layer, over Glorot's: fields that oscillate need features steeper than the domain, and
# biases that place them over all of it.
FIRST_LAYER_GAIN = 2.0
BIAS_SPREAD = 0.5


def initial(key: Any, sizes: Sequence[int], dtype: Any) -> Params:
    """Returns random parameters of a network with the given layer sizes, inputs first.

    >>> [weights.shape for weights, _ in initial(jax.random.key(0), (2, 8, 3), jnp.float32)]
    [(2, 8), (8, 3)]
    """
    params = []
    for layer, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        of_weights, of_biases = jax.random.split(jax.random.fold_in(key, layer))
        gain = (FIRST_LAYER_GAIN if layer == 0 else 1.0) * (2 / (inputs + outputs)) ** 0.5
        weights = gain * jax.random.normal(of_weights, (inputs, outputs), dtype)
        params.append((weights, BIAS_SPREAD * jax.random.normal(of_biases, (outputs,), dtype)))
    return params


def evaluate(params: Params, point: jax.Array) -> jax.Array:
    """Returns the fields `(k,)` of the network at one point `(d,)`."""
    hidden = point
    for weights, biases in params[:-1]:
        hidden = jnp.tanh(hidden @ weights + biases)
    weights, biases = params[-1]
    return hidden @ weights + biases
