"""`op.batch_norm`: normalisation of each channel over the batch, with explicit statistics.

    y = (x - mean) / sqrt(var + eps) * weight + bias

Source: Ioffe and Szegedy 2015; the running variance is the unbiased one, as in PyTorch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number, to_array

CHANNEL = {"nhwc": -1, "nchw": 1}


class BatchStats(NamedTuple):
    """The running mean and variance of every channel, in at least fp32."""

    mean: jax.Array
    var: jax.Array


def batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    stats: tuple[Any, Any] | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    layout: str = "nhwc",
) -> Any:
    """Returns x normalised per channel; with `training=True` the pair (y, new statistics).

    `x` is (batch, ..., channels), or (batch, channels, ...) for `layout="nchw"`; weight and bias are
    (channels,) and may be None. `stats` is a pair (mean, var). Training uses the statistics of the batch, and
    returns (1 - momentum) old + momentum batch, old being (0, 1) where there is none. Otherwise `stats` are
    used, or those of the batch if there are none. Statistics are in at least fp32, the variance in two
    passes; y has the dtype of x.

    Raises `E_SHAPE_MISMATCH` for shapes that do not fit and for statistics of an empty batch,
    `E_GRAPH_INVALID` for another layout or a momentum outside [0, 1].

    >>> import jax.numpy as jnp
    >>> y, new = batch_norm(jnp.array([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    >>> y.ravel().tolist(), new.mean.round(2).tolist(), new.var.round(2).tolist()
    ([-1.0, 1.0], [0.2], [1.1])
    """
    array, axis = _checked(x, layout)
    momentum, eps = _as_numbers(momentum, eps)
    wide = numerics.accumulator(array.dtype)

    def row(name: str, vector: Any) -> jax.Array:
        found = to_array("batch_norm", name, vector)
        if found.shape != (array.shape[axis],):
            raise _mismatch(f"{name} has shape {found.shape} for {array.shape[axis]} channels")
        shape = tuple(n if i == axis else 1 for i, n in enumerate(array.shape))
        return found.astype(wide).reshape(shape)

    values = array.astype(wide)
    old = None if stats is None else BatchStats(*stats)
    if old is None or training:
        mean, var = _moments(values, axis)
    else:
        mean, var = old
    y = (values - row("mean", mean)) * jax.lax.rsqrt(row("var", var) + eps)
    y = y if weight is None else y * row("weight", weight)
    y = y if bias is None else y + row("bias", bias)
    y = y.astype(array.dtype)
    if not training:
        return y
    count = array.size // max(array.shape[axis], 1)
    unbiased = var * (count / max(count - 1, 1))
    before = BatchStats(jnp.zeros_like(mean), jnp.ones_like(var)) if old is None else old
    for name, vector in (("mean", before.mean), ("var", before.var)):
        row(name, vector)
    return y, BatchStats(
        *(
            (1 - momentum) * jnp.asarray(a, wide) + momentum * b
            for a, b in zip(before, (mean, unbiased), strict=True)
        )
    )


def _checked(x: Any, layout: str) -> tuple[jax.Array, int]:
    """Returns x as an array and its axis of channels."""
    array = to_array("batch_norm", "x", x)
    if layout not in CHANNEL:
        raise _invalid(f"unknown layout {layout!r}; one of {', '.join(CHANNEL)}")
    if array.ndim < 2 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise _mismatch(f"x is {array.dtype}{list(array.shape)}, not floats of rank 2 or more")
    return array, CHANNEL[layout] % array.ndim


def _as_numbers(momentum: Any, eps: Any) -> tuple[float, float]:
    found = as_number("batch_norm", "momentum", momentum)
    if not 0 <= found <= 1:
        raise _invalid(f"momentum is {found}, not in [0, 1]")
    return found, as_number("batch_norm", "eps", eps)


def _moments(values: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    others = tuple(i for i in range(values.ndim) if i != axis)
    if 0 in (values.shape[i] for i in others):
        raise _mismatch(f"x has shape {values.shape}: no element to take statistics of")
    mean = jnp.mean(values, axis=others, keepdims=True)
    return jnp.squeeze(mean, others), jnp.mean(jnp.square(values - mean), axis=others)


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"batch_norm: {problem}.")


def _mismatch(problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"batch_norm: {problem}.")
