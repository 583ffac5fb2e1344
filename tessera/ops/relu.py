"""`op.relu`: the rectifier."""

import jax

from tessera.core import activations
from tessera.core.op import Sample, define_op


@define_op("*b -> *b")
def relu(x: jax.Array) -> jax.Array:
    """Returns max(x, 0), elementwise.

    `x` is a float array of any shape; the result has its shape and dtype. bf16 and f16 are computed in
    fp32 and rounded once. The derivative at 0 is 0; NaN stays NaN.

    >>> import jax.numpy as jnp
    >>> relu(jnp.array([-1.0, 0.0, 2.0])).round(3).tolist()
    [0.0, 0.0, 2.0]
    """
    return activations.relu(x)


relu.samples = (Sample((4, 8)), Sample((2, 3, 5)), Sample(()))
