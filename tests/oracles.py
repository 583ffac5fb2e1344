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


def grouped_matmul(x, w, sizes):
    y = np.zeros((*x.shape[:-1], w.shape[-1]))
    for batch in np.ndindex(sizes.shape[:-1]):
        first = 0
        for group, count in enumerate(sizes[batch]):
            rows = slice(first, first + count)
            y[batch][rows] = x[batch][rows] @ w[group]
            first += count
    return y


def grouped_matmul_bwd(x, w, sizes, ct):
    dx, dw = grouped_matmul(ct, w.swapaxes(1, 2), sizes), np.zeros(w.shape)
    for batch in np.ndindex(sizes.shape[:-1]):
        first = 0
        for group, count in enumerate(sizes[batch]):
            rows = slice(first, first + count)
            dw[group] += x[batch][rows].T @ ct[batch][rows]
            first += count
    return dx, dw


def segment_reduce(x, ids, segments, *, op):
    num_segments = len(segments)
    least = np.finfo(np.float32).min if op == "max" else 0.0
    y = np.full((*x.shape[:-2], num_segments, x.shape[-1]), least)
    for batch in np.ndindex(x.shape[:-2]):
        for s in range(num_segments):
            rows = x[batch][ids[batch] == s]
            if len(rows):
                y[batch][s] = {"sum": np.sum, "max": np.max}[op](rows, axis=0)
    return y


def add_rows(x, errors=None, *, compensated=False):
    total = x.sum(-2)  # in float64 rounding takes next to nothing
    return (
        (total, np.zeros_like(total) if errors is None else errors.sum(-2))
        if compensated
        else (total, None)
    )


def run_reduce(x, ends, *, op):
    rows = np.broadcast_to(np.arange(x.shape[-2]), x.shape[:-1])
    ids = (rows[..., None] >= ends[..., None, :]).sum(-1)
    return segment_reduce(x, ids, range(ends.shape[-1]), op=op)


def mse(p, t, **_):
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


def rmsnorm_bwd(x, weight, scale, ct):
    normal = x * scale
    g = ct if weight is None else ct * weight
    dx = scale * (g - normal * np.mean(g * normal, axis=-1, keepdims=True))
    rows = tuple(range(x.ndim - 1))
    return (dx,) if weight is None else (dx, np.sum(ct * normal, axis=rows))


def layernorm_bwd(x, weight, bias, mean, scale, ct):
    rows = tuple(range(x.ndim - 1))
    normal = (x - mean) * scale
    g = ct if weight is None else ct * weight
    centred = g - g.mean(axis=-1, keepdims=True)
    dx = scale * (centred - normal * np.mean(g * normal, axis=-1, keepdims=True))
    dweight = [] if weight is None else [np.sum(ct * normal, axis=rows)]
    dbias = [] if bias is None else [np.sum(ct, axis=rows)]
    return (dx, *dweight, *dbias)


def _scores(q, k, mask, causal, window, scale):
    """Scores (..., g, r, i, j) with minus infinity where a key is hidden."""
    scores = scale * np.einsum("...grid,...gjd->...grij", q, k)
    rows, columns = scores.shape[-2:]
    back = np.arange(rows)[:, None] + (columns - rows) - np.arange(columns)[None, :]
    visible = np.ones((rows, columns), bool)
    visible &= (back >= 0) if causal else True
    visible &= (back < window) if window is not None else True
    visible = visible if mask is None else visible & mask
    return np.where(visible, scores, -np.inf)


def flash_attention(q, k, v, mask, sinks, *, causal, window, scale, **_):
    scores = _scores(q, k, mask, causal, window, scale)
    absent = np.full(scores.shape[-4:-2], -np.inf)
    sink = np.broadcast_to((absent if sinks is None else sinks)[..., None], scores.shape[:-1])
    top = np.maximum(scores.max(axis=-1), sink)
    top = np.where(np.isfinite(top), top, 0.0)[..., None]
    weights = np.exp(scores - top)
    total = weights.sum(axis=-1, keepdims=True) + np.exp(sink[..., None] - top)
    return np.einsum("...grij,...gje->...grie", weights / np.where(total == 0, 1, total), v)


def flash_attention_bwd(q, k, v, mask, sinks, out, lse, ct, *, causal, window, scale, **_):
    weights = np.exp(_scores(q, k, mask, causal, window, scale) - lse[..., None])
    delta = np.sum(ct * out, axis=-1)
    dscores = weights * (np.einsum("...grie,...gje->...grij", ct, v) - delta[..., None])
    dq = scale * np.einsum("...grij,...gjd->...grid", dscores, k)
    dk = scale * np.einsum("...grij,...grid->...gjd", dscores, q)
    dv = np.einsum("...grij,...grie->...gje", weights, ct)
    if sinks is None:
        return dq, dk, dv
    return dq, dk, dv, -np.sum(np.exp(sinks[..., None] - lse) * delta, axis=-1)


def _as_modes(x, kept, axis):
    """The kept modes (K1, ..., Kd, ..., channels) of a grid, and how to sum modes over the grid again."""
    d = len(kept)
    grid = range(axis - d, axis) if axis == x.ndim - 1 else range(axis + 1, x.ndim)
    places = [*grid, axis], [*range(d), -1]
    z = np.moveaxis(x, *places)
    waves = []
    for j, (k, n) in enumerate(zip(kept, z.shape[:d], strict=True)):
        signed = np.arange(k) if j == d - 1 else np.r_[0 : k // 2, -(k // 2) : 0]
        waves.append(np.exp(-2j * np.pi * np.outer(signed, np.arange(n)) / n))
    for wave in waves:
        z = np.moveaxis(np.tensordot(wave, z, (1, 0)), 0, d - 1)
    # A mode of the last axis stands for its conjugate too, but for the zero and Nyquist modes.
    doubled = np.where(2 * np.arange(kept[-1]) % waves[-1].shape[1] == 0, 1, 2)
    scale = doubled / math.prod(wave.shape[1] for wave in waves)

    def over_grid(z):
        z = np.moveaxis(np.moveaxis(z, d - 1, -1) * scale, -1, d - 1)
        for wave in waves:
            z = np.moveaxis(np.tensordot(wave.conj(), z, (0, 0)), 0, d - 1)
        return np.moveaxis(np.real(z), *places[::-1])

    return z, scale, over_grid


def _mixed(z, w):
    d = w.ndim - 2
    rows = z.reshape(*z.shape[:d], math.prod(z.shape[d:-1]), z.shape[-1])
    return np.matmul(rows, w).reshape(*z.shape[:-1], w.shape[-1])


def spectral_conv(x, w_real, w_imag, *, axis):
    z, _, over_grid = _as_modes(x, w_real.shape[:-2], axis)
    return over_grid(_mixed(z, w_real + 1j * w_imag))


def spectral_conv_bwd(x, w_real, w_imag, ct, *, axis):
    d = w_real.ndim - 2
    of_x, scale, _ = _as_modes(x, w_real.shape[:-2], axis)
    of_ct, _, over_grid = _as_modes(ct, w_real.shape[:-2], axis)
    adjoint = np.swapaxes(w_real - 1j * w_imag, -1, -2)
    left, right = (z.reshape(*z.shape[:d], -1, z.shape[-1]) for z in (of_x, of_ct))
    dw = np.einsum("...bi,...bo->...io", left.conj(), right) * scale[:, None, None]
    return over_grid(_mixed(of_ct, adjoint)), dw.real, dw.imag


def reduce_sum(x, *, axis, **_):
    return np.sum(x, axis=axis, keepdims=True)


def spmm_coo(values, rows, columns, dense, row_range, column_range):
    assert len(column_range) == dense.shape[-2]
    y = np.zeros((*values.shape[:-1], len(row_range), dense.shape[-1]))
    for *batch, e in np.ndindex(values.shape):
        lead = tuple(batch)
        b = dense if dense.ndim == 2 else dense[lead]
        row, column = rows[(*lead, e)], columns[(*lead, e)]
        if 0 <= row < len(row_range) and 0 <= column < len(b):
            y[(*lead, row)] += values[(*lead, e)] * b[column]
    return y


def sddmm(a, b, rows, columns):
    product = a @ b
    m, n = product.shape[-2:]
    there = (rows >= 0) & (rows < m) & (columns >= 0) & (columns < n)
    places = (*product.shape[:-2], rows.shape[-1])
    flat = np.broadcast_to(np.where(there, rows * n + columns, 0), places)
    found = np.take_along_axis(product.reshape(*product.shape[:-2], m * n), flat, axis=-1)
    return np.where(there, found, 0.0)


def bsmm(x, blocks, rows, columns, places):
    y = np.zeros((*x.shape[:-2], len(places), blocks.shape[-1]))
    for block, row, column in zip(blocks, rows, columns, strict=True):
        y[..., column, :] += x[..., row, :] @ block
    return y


def threshold(x, t, *, mode="hard"):
    kept = np.abs(x) >= t
    return np.where(kept, x if mode == "hard" else x - t * np.sign(x), 0)


def _logic(exact, product, godel, lukasiewicz):
    degrees = {"product": product, "godel": godel, "lukasiewicz": lukasiewicz}

    def value(*operands, logic="product"):
        return (degrees[logic] if operands[0].dtype == np.float64 else exact)(*operands)

    return value


def _exclusive(conjunction, disjunction):
    return lambda a, b: disjunction(conjunction(a, 1 - b), conjunction(1 - a, b))


def _bold_and(a, b):
    return np.maximum(0.0, a + b - 1)


def _bold_or(a, b):
    return np.minimum(1.0, a + b)


LOGIC = {
    "logic_and": _logic(np.bitwise_and, np.multiply, np.minimum, _bold_and),
    "logic_or": _logic(np.bitwise_or, lambda a, b: a + b - a * b, np.maximum, _bold_or),
    "logic_xor": _logic(
        np.bitwise_xor,
        lambda a, b: a + b - 2 * a * b,
        _exclusive(np.minimum, np.maximum),
        _exclusive(_bold_and, _bold_or),
    ),
    "logic_not": _logic(np.bitwise_not, *[lambda a: 1 - a] * 3),
}


def topk(scores, ranks, *, softmax=True):
    index = np.argsort(-scores, axis=-1, kind="stable")[..., : len(ranks)]
    chosen = np.take_along_axis(scores, index, axis=-1)
    return index, scipy.special.softmax(chosen, axis=-1) if softmax else chosen


def rope(x, angles):
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def kl_divergence(p, q, *, log_p=False, log_q=False):
    p, q = np.exp(p) if log_p else p, np.exp(q) if log_q else q
    return (scipy.special.kl_div(p, q) + p - q).sum(-1)


VALUES: dict[str, Any] = {
    "bsmm": bsmm,
    "sddmm": sddmm,
    "spmm_coo": spmm_coo,
    "cross_entropy": cross_entropy,
    "gelu": gelu,
    "grouped_matmul": grouped_matmul,
    "grouped_matmul_bwd": grouped_matmul_bwd,
    "layernorm": layernorm,
    "matmul": matmul,
    "mse": mse,
    "relu": ACTIVATIONS["relu"],
    "rmsnorm": rmsnorm,
    "sigmoid": ACTIVATIONS["sigmoid"],
    "silu": ACTIVATIONS["silu"],
    "softmax": softmax,
    "threshold": threshold,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan2": np.arctan2,
    "cbrt": np.cbrt,
    "flash_attention": flash_attention,
    "flash_attention_bwd": flash_attention_bwd,
    "layernorm_bwd": layernorm_bwd,
    "dot": lambda x, y, *, axis, **_: np.sum(x * y, axis=axis, keepdims=True),
    "reduce_sum": reduce_sum,
    "reduce_prod": lambda x, *, axis: np.prod(x, axis=axis, keepdims=True),
    "rmsnorm_bwd": rmsnorm_bwd,
    "spectral_conv": spectral_conv,
    "spectral_conv_bwd": spectral_conv_bwd,
    "add_rows": add_rows,
    "run_reduce": run_reduce,
    "segment_reduce": segment_reduce,
    "kl_divergence": kl_divergence,
    "rope": rope,
    "topk": topk,
    **LOGIC,
}
