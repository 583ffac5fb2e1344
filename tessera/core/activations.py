"""Activation functions as plain `jax.numpy`, by the word that names them in an epilogue or a layer.

Each computes in at least fp32 and returns its input's dtype.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.dims import parse
from tessera.core.op import Op

Activation = Callable[[jax.Array], jax.Array]


def _accumulated(function: Activation) -> Activation:
    @functools.wraps(function)
    def run(x: jax.Array) -> jax.Array:
        return function(x.astype(numerics.accumulator(x.dtype))).astype(x.dtype)

    return run


def relu(x: jax.Array) -> jax.Array:
    """Returns max(x, 0), with derivative 0 at 0; NaN stays NaN."""
    # maximum(x, 0) would have derivative 1/2 at 0.
    return jnp.where(x <= 0, jnp.zeros_like(x), x)


@_accumulated
def gelu(x: jax.Array) -> jax.Array:
    """Returns x Phi(x), Phi the standard normal distribution function (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * _twice_normal_cdf(x)


@_accumulated
def gelu_tanh(x: jax.Array) -> jax.Array:
    """Returns the tanh approximation of gelu (Hendrycks and Gimpel 2016, section 2)."""
    slope = math.sqrt(2.0 / math.pi)
    return x * (0.5 * (1.0 + jnp.tanh(slope * (x + 0.044715 * x**3))))


@_accumulated
def silu(x: jax.Array) -> jax.Array:
    """Returns x sigmoid(x) (Elfwing et al. 2017)."""
    return x * jax.lax.logistic(x)


@_accumulated
def tanh(x: jax.Array) -> jax.Array:
    """Returns tanh x."""
    return jax.lax.tanh(x)


@_accumulated
def sigmoid(x: jax.Array) -> jax.Array:
    """Returns 1 / (1 + exp(-x))."""
    return jax.lax.logistic(x)


# Where the 1/2 stands decides what XLA keeps for the backward on CPU: with 0.5 * erfc(...) as a factor it
# computes erfc twice, and x * x * x costs a residual more than x**3.
def _twice_normal_cdf_reference(x: jax.Array) -> jax.Array:
    # 1 + erf would lose every digit of the left tail.
    return jax.lax.erfc(-x * math.sqrt(0.5))


# An op of its own, so that its derivative is the density: JAX 0.12.0 cannot differentiate erfc inside
# shard_map, and its Taylor mode cannot pass a custom_jvp.
_twice_normal_cdf = Op(_twice_normal_cdf_reference, parse("*b -> *b"), "float", "twice_normal_cdf")


@_twice_normal_cdf.def_jvp
def _twice_normal_cdf_tangent(operands: tuple[jax.Array], tangents: tuple[jax.Array]) -> jax.Array:
    (x,), (t,) = operands, tangents
    return t * jnp.exp(-0.5 * x * x) * math.sqrt(2.0 / math.pi)


ACTIVATIONS: dict[str, Activation] = {
    "relu": relu,
    "gelu": gelu,
    "silu": silu,
    "tanh": tanh,
    "sigmoid": sigmoid,
}
