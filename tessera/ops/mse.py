"""`op.mse`: the mean squared error."""

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op
from tessera.core.operands import to_array


@define_op("*b, *b -> ()")
def mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean of (prediction - target)^2 over all elements, a scalar in the promoted input dtype.

    `target` is broadcast to the shape of `prediction`; a scalar such as 0.0 is allowed. The mean is
    accumulated in at least fp32. Raises `E_SHAPE_MISMATCH` if the target does not broadcast to the
    prediction or there is no element to average.

    >>> import jax.numpy as jnp
    >>> float(mse(jnp.array([1.0, 3.0]), 0.0))
    5.0
    """
    accumulate = numerics.accumulator(prediction.dtype)
    difference = prediction.astype(accumulate) - target.astype(accumulate)
    return jnp.mean(difference * difference).astype(prediction.dtype)


@mse.def_call
def mse(prediction: jax.Array, target: jax.Array | float) -> jax.Array:
    p = to_array("mse", "prediction", prediction)
    t = to_array("mse", "target", target)
    if p.size == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"mse: prediction has shape {p.shape}: no element."
        )
    try:
        t = jnp.broadcast_to(t, p.shape)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"mse: target of shape {t.shape} does not broadcast to prediction of shape {p.shape}.",
        ) from None
    return mse.bind(p, t)


mse.samples = (Sample((4, 8), (4, 8)), Sample((3,), (3,)))
