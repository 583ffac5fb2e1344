"""`op.tanh`: the hyperbolic tangent."""

import jax

from tessera.core import activations
from tessera.core.op import Sample, define_op


@define_op("*b -> *b")
def tanh(x: jax.Array) -> jax.Array:
    """Returns tanh x, elementwise.

    `x` is a float array of any shape; the result has its shape and dtype. bf16 and f16 are computed in
    fp32 and rounded once.

    >>> import jax.numpy as jnp
    >>> tanh(jnp.array([-1.0, 0.0, 2.0])).round(3)
    Array([-0.762,  0.   ,  0.964], dtype=float32)
    """
    return activations.tanh(x)


tanh.samples = (Sample((4, 8)), Sample((2, 3, 5)), Sample(()))
