"""Independent values of every op: NumPy and SciPy in float64, written from the definitions.

Each takes the operands as float64 (or integer, bool) NumPy arrays, None where absent, and the
static arguments.
"""

import math
from typing import Any

import numpy as np
import scipy.special

ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
}


def gelu(x, approximate=False):
    if not approximate:
        return ACTIVATIONS["gelu"](x)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def matmul(a, b, bias=None, residual=None, *, activation=None, **_):
    z = np.einsum("...mk,...kn->...mn", a, b)
    z = z if bias is None else z + bias
    y = ACTIVATIONS[activation](z)
    return y if residual is None else y + residual


def mse(p, t):
    return np.mean((p - t) ** 2)


def cross_entropy(x, labels, soft, *, ignore_index=None):
    log_p = scipy.special.log_softmax(x, axis=-1)
    if soft is not None:
        return -np.sum(soft * log_p, axis=-1)
    losses = -np.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    return losses if ignore_index is None else np.where(labels == ignore_index, 0.0, losses)


def rmsnorm(x, weight=None, *, eps=1e-5):
    y = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    return y if weight is None else y * weight


def layernorm(x, weight=None, bias=None, *, eps=1e-5):
    y = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def softmax(x, *, axis, **_):
    return scipy.special.softmax(x, axis=axis)


VALUES: dict[str, Any] = {
    "cross_entropy": cross_entropy,
    "gelu": gelu,
    "layernorm": layernorm,
    "matmul": matmul,
    "mse": mse,
    "relu": ACTIVATIONS["relu"],
    "rmsnorm": rmsnorm,
    "sigmoid": ACTIVATIONS["sigmoid"],
    "silu": ACTIVATIONS["silu"],
    "softmax": softmax,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
}
