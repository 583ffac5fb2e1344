"""`op.silu`: the sigmoid-weighted linear unit."""

import jax

from tessera.core import activations
from tessera.core.op import Sample, define_op


@define_op("*b -> *b")
def silu(x: jax.Array) -> jax.Array:
    """Returns x / (1 + exp(-x)), elementwise.

    `x` is a float array of any shape; the result has its shape and dtype. bf16 and f16 are computed in
    fp32 and rounded once. Source: Elfwing, Uchibe and Doya 2017.

    >>> import jax.numpy as jnp
    >>> silu(jnp.array([-1.0, 0.0, 2.0])).round(3)
    Array([-0.269,  0.   ,  1.762], dtype=float32)
    """
    return activations.silu(x)


silu.samples = (Sample((4, 8)), Sample((2, 3, 5)), Sample(()))
