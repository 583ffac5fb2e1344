"""`op.gelu`: the Gaussian error linear unit."""

import jax

from tessera.core import activations
from tessera.core.op import Sample, define_op


@define_op("*b -> *b")
def gelu(x: jax.Array, *, approximate: bool = False) -> jax.Array:
    """Returns x Phi(x), elementwise, Phi being the standard normal distribution function.

    `x` is a float array of any shape; the result has its shape and dtype. bf16 and f16 are computed in fp32
    and rounded once. `approximate=True` uses the tanh formula instead of the error function (they differ by
    at most 5e-4). Source: Hendrycks and Gimpel 2016.

    >>> import jax.numpy as jnp
    >>> gelu(jnp.array([-1.0, 0.0, 2.0])).round(3)
    Array([-0.159,  0.   ,  1.954], dtype=float32)
    """
    return activations.gelu_tanh(x) if approximate else activations.gelu(x)


gelu.samples = (Sample((4, 8)), Sample((2, 3, 5), approximate=True), Sample(()))
