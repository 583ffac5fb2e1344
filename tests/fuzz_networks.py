"""Calls of products, attention, blocks of networks, mixtures of experts and losses, for `test_fuzz_ops`."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import oracles
import scipy.special
from fuzz_source import (
    ALL_FINITE,
    LARGE,
    Call,
    Case,
    Entry,
    Operand,
    Shape,
    Source,
    UnsaidError,
    at_least_fp32,
    broadcastable,
    call_first,
    common,
    require,
)
from numpy.lib.stride_tricks import sliding_window_view

from tessera import nn, op
from tessera.core import numerics

ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "sigmoid")

# -- products ------------------------------------------------------------------------------------


def matmul(s: Source) -> Call:
    m, k, n = s.size(), s.size(), s.size()
    batch = s.batch()
    a_shape = s.pick((*batch, m, k), (k,), (m, k))
    b_shape = s.pick((*batch, s.near(k), n), (s.near(k), n), (s.near(k),), ())
    a, b = s.array(*a_shape), s.array(*b_shape)
    activation = s.pick(None, None, *ACTIVATIONS)
    bias = s.pick(None, s.array(s.near(n)))
    words: dict[str, Any] = {} if bias is None else {"bias": bias}
    if activation is not None:
        words["epilogue"] = activation if bias is None else f"bias_{activation}"
    if s.rarely():
        words["epilogue"] = s.pick("relu_bias", "swish", "bias_residual", "", 3)
    if s.rarely():
        words["out_dtype"] = s.pick("fp32", "bf16", "fp64")

    def want() -> Any:
        require(a_shape and b_shape)
        z = np.matmul(a.value, b.value)
        if "out_dtype" in words:
            require(words["out_dtype"] != "fp64" or s.x64)
        if words.get("epilogue") in ("relu_bias", "swish", "bias_residual", "", 3):
            if words["epilogue"] == "":
                raise UnsaidError
            require(False)
        if bias is not None:
            if min(len(a_shape), len(b_shape)) < 2:
                raise UnsaidError
            require(bias.shape == (z.shape[-1],))
            z = z + bias.value
        return oracles.ACTIVATIONS[activation](z)

    named = {"fp32": "float32", "bf16": "bfloat16", "fp64": "float64"}
    xs = [a, b] if bias is None else [a, b, bias]
    return Call((a, b), words, want, named.get(words.get("out_dtype", ""), common(*xs)))


def gemm(s: Source) -> Call:
    m, k, n, batch = s.size(), s.size(), s.size(), s.batch()
    words = {
        "alpha": s.pick(1, 2.5, 0),
        "transA": s.pick(False, True),
        "transB": s.pick(False, True),
    }
    a_shape = (k, m) if words["transA"] else (m, k)
    b_shape = (n, s.near(k)) if words["transB"] else (s.near(k), n)
    a, b = s.array(*batch, *a_shape), s.array(*s.pick(batch, ()), *b_shape)
    c = s.pick(None, s.array(*batch, m, n), s.array(s.near(n)))
    words["beta"] = s.pick(0, 0.5)
    if s.rarely():
        words["batch"] = s.pick(math.prod(batch), 99)
    args = (a, b) if c is None else (a, b, c)

    def want() -> Any:
        require(c is not None or words["beta"] == 0)
        left = np.swapaxes(a.value, -1, -2) if words["transA"] else a.value
        right = np.swapaxes(b.value, -1, -2) if words["transB"] else b.value
        z = left @ right
        if "batch" in words:
            require(words["batch"] == math.prod(z.shape[:-2]))
        if c is not None and words["beta"]:
            require(np.broadcast_shapes(c.shape, z.shape) == z.shape)
        z = words["alpha"] * z
        return z + words["beta"] * c.value if c is not None and words["beta"] else z

    read = args if words["beta"] else (a, b)
    return Call(args, words, want, common(*read))


def batched_gemm(s: Source) -> Call:
    m, k, n, batch = s.size(), s.size(), s.size(), s.batch()
    a, b = s.array(*batch, m, k), s.array(*s.pick(batch, batch, (2,)), s.near(k), n)

    def want() -> Any:
        require(a.shape[:-2] == b.shape[:-2] != ())
        return a.value @ b.value

    return Call((a, b), {}, want, common(a, b))


SPECS = (
    "ij,jk->ik",
    "ij,jk",
    "i,i->",
    "ii->i",
    "ij->ji",
    "...ij,...jk->...ik",
    "ij,kj,j->ik",
    "i->",
    ",->",
)
BROKEN = ("ij,jk->iz", "ij->k,j", "i j!", "ij,jk->ikk", "", "->", "a")


def einsum(s: Source) -> Call:
    spec = s.off(s.pick(*SPECS), *BROKEN)
    sizes = {label: s.size() for label in "ijk"}
    lead = s.batch()
    terms = spec.split("->")[0].split(",")
    xs = [
        s.array(*(lead if "..." in t else ()), *(s.near(sizes[c]) for c in t if c in sizes))
        for t in terms
    ]
    xs = s.off(xs, xs[1:], [*xs, xs[0]])

    def want() -> Any:
        labels: dict[str, int] = {}
        for t, x in zip(terms, xs, strict=True):
            own = t.replace("...", "")
            for label, n in zip(own, x.shape[len(x.shape) - len(own) :], strict=True):
                require(labels.setdefault(label, n) == n)
        return np.einsum(spec, *(x.value for x in xs))

    return Call((spec, *xs), {}, want, common(*xs) if xs else None)


def factorized_matmul(s: Source) -> Call:
    m, k, n = s.size(), s.size(), s.size()
    a, b = s.array(*s.batch(), m, k), s.array(s.near(k), n)
    rank = s.off(min(k, n), 0, 1, 99, None, 1.5)
    words = {"return_bound": s.pick(False, True)}

    def want() -> Any:
        require(isinstance(rank, int) and 1 <= rank <= min(b.shape))
        product = a.value @ b.value
        whole = rank == min(b.shape)
        found = product if whole and s.mode == "tame" else Shape(product.shape)
        return (found, Shape(product.shape[:-2])) if words["return_bound"] else found

    dtype = common(a, b)
    dtypes = (dtype, numerics.accumulator(dtype)) if words["return_bound"] else dtype
    return Call((a, b, rank), words, want, dtypes)


def grouped_matmul(s: Source) -> Call:
    batch, rows, inner, outer, groups = s.batch(), s.size(), s.some(), s.some(), s.some()
    x, w = s.array(*batch, rows, inner), s.array(groups, s.near(inner), outer)
    sizes = s.indices(*batch, s.near(groups), below=rows // groups + 1)

    def want() -> Any:
        require(inner == w.shape[1] and sizes.shape == (*batch, groups))
        return oracles.grouped_matmul(x.value, w.value, sizes.value)

    return Call((x, w, sizes), {}, want, common(x, w))


# -- attention -----------------------------------------------------------------------------------


def qkv(s: Source) -> tuple[list[Operand], tuple[int, int]]:
    """Queries, keys and values, with heads or without; and the key heads and query heads of each."""
    b, lq, lk, d, e = s.some(), s.size(), s.size(), s.some(), s.some()
    if s.pick(False, True):
        return [s.array(b, lq, d), s.array(b, lk, s.near(d)), s.array(b, s.near(lk), e)], (1, 1)
    g, r = s.some(), s.some()
    h = s.near(g * r)
    shapes = (b, h, lq, d), (b, g, lk, s.near(d)), (s.near(b), g, lk, e)
    return [s.array(*shape) for shape in shapes], (g, r)


def attention(s: Source) -> Call:
    (q, k, v), (g, r) = qkv(s)
    heads = len(q.shape) == 4
    causal, window = s.pick(False, True), s.off(None, 1, 3, 0, -1)
    words: dict[str, Any] = {"causal": causal, "window": window}
    mask = sinks = None
    if s.pick(False, False, True):
        batch = q.shape[0], *((g * r,) if heads else ())
        mask = s.array(
            *s.pick((), batch), q.shape[-2], s.near(k.shape[-2]), kind="bool", plain=True
        )
        words["mask"] = mask
    if heads and s.pick(False, False, True):
        sinks = words["sinks"] = s.array(s.near(g * r), plain=True)
    scale = s.pick(None, 0.5)
    if scale is not None:
        words["scale"] = scale

    def want() -> Any:
        b, d, lq, lk = q.shape[0], q.shape[-1], q.shape[-2], k.shape[-2]
        require(window is None or window >= 1)
        require(k.shape[-1] == d and v.shape[:-1] == k.shape[:-1] and k.shape[0] == b)
        require(not heads or q.shape[1] == g * r)
        if mask is not None:
            np.broadcast_to(mask.value, (*q.shape[:-1], lk))
        require(sinks is None or sinks.shape == (g * r,))
        out = (*q.shape[:-1], v.shape[-1])
        if not lk:
            return np.zeros(out)
        of_mask = None
        if mask is not None:
            of_mask = np.broadcast_to(mask.value, (*q.shape[:-1], lk)).reshape(b, g, r, lq, lk)
        found = oracles.flash_attention(
            q.value.reshape(b, g, r, lq, d),
            k.value.reshape(b, g, lk, d),
            v.value.reshape(b, g, lk, -1)
            if v.data.size
            else v.value.reshape(b, g, lk, v.shape[-1]),
            of_mask,
            None if sinks is None else sinks.value.reshape(g, r),
            causal=causal,
            window=window,
            scale=scale if scale is not None else 1 / math.sqrt(d),
        )
        return found.reshape(out)

    return Call((q, k, v), words, want, common(q, k, v))


def attention_fp8(s: Source) -> Call:
    call, scale = attention(s), s.off("amax_dynamic", "static", 0.5)
    whole = cast("Callable[[], Any]", call.want)
    words = {name: x for name, x in call.words.items() if name != "scale"} | {"scale": scale}

    def want() -> Any:
        require(scale == "amax_dynamic")
        return Shape(np.shape(whole()))

    return replace(call, words=words, want=want)


def multi_query(s: Source) -> Call:
    b, h, lq, lk, d, e = s.some(), s.some(), s.size(), s.size(), s.some(), s.some()
    q, k, v = s.array(b, h, lq, d), s.array(b, lk, s.near(d)), s.array(b, s.near(lk), e)
    causal = s.pick(False, True)

    def want() -> Any:
        require(k.shape[-1] == d and v.shape[-2] == lk)
        if not lk:
            return np.zeros((b, h, lq, e))
        return oracles.flash_attention(
            q.value[:, None],
            k.value[:, None],
            v.value[:, None],
            None,
            None,
            causal=causal,
            window=None,
            scale=1 / math.sqrt(d),
        )[:, 0]

    return Call((q, k, v), {"causal": causal}, want, common(q, k, v))


def performer(s: Source) -> Call:
    batch, lq, lk, d, e = s.batch(), s.size(), s.some(), s.some(), s.some()
    q, k, v = s.array(*batch, lq, d), s.array(*batch, lk, s.near(d)), s.array(*batch, s.near(lk), e)
    kernel = s.off("relu", "elu", "softplus")

    def want() -> Any:
        require(kernel in ("relu", "elu") and k.shape[-1] == d and v.shape[-2] == lk)
        f = (
            (lambda x: np.maximum(x, 0) + 0.001)
            if kernel == "relu"
            else lambda x: np.where(x > 0, x, np.expm1(x)) + 1
        )
        weights = f(q.value) @ np.swapaxes(f(k.value), -1, -2)
        return weights @ v.value / weights.sum(-1, keepdims=True)

    return Call((q, k, v), {"kernel": kernel}, want, common(q, k, v))


def qkv_projection(s: Source) -> Call:
    d, n = s.size(), s.some()
    x, w = s.array(*s.batch(), s.size(), d), s.array(s.near(d), s.near(3 * n))

    def want() -> Any:
        require(w.shape[1] % 3 == 0)
        return tuple(np.split(x.value @ w.value, 3, -1))

    return Call((x, w), {}, want, common(x, w))


def split_heads(s: Source) -> Call:
    b, n, h, d = s.size(), s.size(), s.some(), s.some()
    x = s.array(b, n, s.near(3 * h * d))
    heads = s.off(h, 0, -1)

    def want() -> Any:
        require(x.shape[-1] == 3 * heads * d and heads > 0)
        return tuple(t.reshape(b, n, h, d).swapaxes(1, 2) for t in np.split(x.value, 3, -1))

    return Call((x, heads, d), {}, want, x.dtype)


def rope(s: Source) -> Call:
    shape = (*s.shape(0, 2), s.size(), s.near(2 * s.some()))
    x = s.array(*shape)
    theta = s.off(10000.0, 100, 0.0, -1.0)
    words = (
        {"positions": s.indices(*s.pick(shape[:-1], shape[-2:-1]), below=9)} if s.rarely() else {}
    )

    def want() -> Any:
        require(shape[-1] % 2 == 0 and theta > 0)
        half = shape[-1] // 2
        places = words["positions"].value if words else np.arange(shape[-2])
        angles = places[..., None] * float(theta) ** (-np.arange(half) / max(half, 1))
        return oracles.rope(x.value, np.broadcast_to(angles, (*shape[:-1], half)))

    return Call((x, theta), words, want, x.dtype)


def speculative(s: Source) -> Call:
    batch, n, v = s.batch(), s.size(), s.some()
    logits = s.array(*batch, s.near(n + 1), v)
    tokens = s.indices(*batch, n, below=v)
    probs = s.array(*batch, n, s.near(v), within=(0.1, 1))
    key, temperature = s.off(0, None), s.off(1.0, 0, 0.5, -1.0)
    words = {"key": key, "temperature": temperature}

    def want() -> Any:
        require(temperature >= 0 and (key is not None or temperature == 0))
        require(logits.shape[-2] == n + 1 and probs.shape[-1] == v)
        return Shape((*batch, n + 1)), Shape(batch)

    return Call((logits, tokens, probs), words, want, "int32")


def cache_init(s: Source) -> Call:
    layers, heads, dim = s.off(1, 0), s.off(2, -1), s.off(3, 1.5)
    words = {
        "batch": s.off(1, 0),
        "max_len": s.off(4, 1),
        "kind": s.off("append", "ring", "list"),
        "dtype": s.off("fp32", "bf16", "floaty"),
    }

    def want() -> Any:
        require(
            min(layers, heads, dim, words["batch"], words["max_len"]) >= 1 and isinstance(dim, int)
        )
        require(words["kind"] != "list" and words["dtype"] != "floaty")
        shape = (layers, words["batch"], heads, words["max_len"], dim)
        return Shape(shape), Shape(shape), Shape((layers,))

    dtype = {"fp32": "float32", "bf16": "bfloat16"}.get(words["dtype"], "float32")
    return Call((layers, heads, dim), words, want, (dtype, dtype, "int32"))


def cache_update(s: Source) -> Call:
    kind, length, new = s.pick("append", "ring"), s.some(), s.some()
    k, v = (s.array(2, 1, new, s.near(3), plain=True) for _ in range(2))
    layer = s.off(0, 1, 2, -3, 0.5)
    fits = k.shape == v.shape == (2, 1, new, 3)

    def run(layer: Any, k: Any, v: Any) -> Any:
        cache = op.kvcache_init(2, 1, 3, batch=2, max_len=length, kind=kind)
        return op.kvcache_update(cache, layer, k, v)

    def want() -> Any:
        require(fits and layer in (0, 1))
        require(kind == "ring" or new <= length)
        shape = (2, 2, 1, length, 3)
        return Shape(shape), Shape(shape), Shape((2,))

    return Call((run, layer, k, v), {}, want, ("float32", "float32", "int32"))


def cache_read(s: Source) -> Call:
    layer = s.off(0, 1, 2, -3, 0.5)

    def run(layer: Any) -> Any:
        return op.kvcache_read(op.kvcache_init(2, 1, 3, batch=2, max_len=4), layer)

    def want() -> Any:
        require(layer in (0, 1))
        return np.zeros((2, 1, 4, 3)), np.zeros((2, 1, 4, 3)), np.full(4, -1)

    return Call((run, layer), {}, want, ("float32", "float32", "int32"))


# -- blocks of networks --------------------------------------------------------------------------


def windows(x: Any, w: Any, stride: tuple[int, ...], pads: list[Any], groups: int) -> Any:
    """A convolution with the channels last: one product over windows for each group of channels."""
    space = x.ndim - 2
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    seen = sliding_window_view(x, w.shape[:space], tuple(range(1, 1 + space)))
    seen = seen[(slice(None), *(slice(None, None, step) for step in stride))]
    inner, outer = w.shape[-2], w.shape[-1] // groups
    parts = []
    for g in range(groups):
        mine = seen[(..., slice(g * inner, (g + 1) * inner), *(slice(None),) * space)]
        kernel = np.moveaxis(w[..., g * outer : (g + 1) * outer], -2, 0)
        parts.append(np.tensordot(mine, kernel, space + 1))
    return np.concatenate(parts, -1)


def _same(n: int, k: int, step: int) -> tuple[int, int]:
    total = max((-(-n // step) - 1) * step + k - n, 0)
    return total // 2, total - total // 2


def padded(padding: Any, sizes: Any, kernel: Any, stride: Any) -> list[Any]:
    """The pads of every axis of space, as NumPy takes them."""
    if padding == "same":
        return [_same(*three) for three in zip(sizes, kernel, stride, strict=True)]
    each = {"valid": 0}.get(padding, padding) if isinstance(padding, str) else padding
    listed = each if isinstance(each, tuple) else (each,) * len(sizes)
    require(len(listed) == len(sizes))
    found = [p if isinstance(p, tuple) else (p, p) for p in listed]
    require(all(isinstance(q, int) and q >= 0 for p in found for q in p))
    return found


def conv(space: int, *, depthwise: bool = False) -> Case:
    def case(s: Source) -> Call:
        groups = 1 if depthwise else s.off(1, 2, 0, -1)
        inner, outer = s.some(), s.some()
        if depthwise:
            inner, groups = 1, s.some()
        channels = inner * max(groups, 1)
        outer = outer * max(groups, 1)
        sizes = tuple(s.pick(5, 3, 1, 2, 0, 8) for _ in range(space))
        kernel = tuple(s.pick(2, 1, 3) for _ in range(space))
        stride = s.off(1, 2, (1,) * space, 0, (1,) * (space + 1), "a")
        padding = s.off(
            0, 1, "same", "valid", (1,) * space, ((1, 0),) * space, -1, "full", (1,) * (space + 1)
        )
        layout = s.off("nhwc", "nchw", "hwcn")
        first = layout == "nchw"
        batch, width = s.pick(2, 1, 0), s.near(channels)
        x = s.array(batch, *((width, *sizes) if first else (*sizes, width)))
        w_shape = (outer, inner, *kernel) if first else (*kernel, inner, outer)
        w = s.array(*w_shape)
        words: dict[str, Any] = (
            {"layout": layout} if depthwise else {"layout": layout, "groups": groups}
        )
        if s.rarely():
            words |= {"epilogue": s.pick("bias_relu", "bias", "relu_bias"), "bias": s.array(outer)}

        def want() -> Any:
            steps = stride if isinstance(stride, tuple) else (stride,) * space
            count = width if depthwise else groups
            require(count >= 1 and layout in ("nhwc", "nchw") and outer % count == 0)
            require(width == count * inner)
            require(len(steps) == space and all(isinstance(n, int) and n >= 1 for n in steps))
            pads = padded(padding, sizes, kernel, steps)
            require(words.get("epilogue") != "relu_bias")
            if any(n + sum(p) < k for n, p, k in zip(sizes, pads, kernel, strict=True)):
                raise UnsaidError
            a, b = x.value, w.value
            if first:
                a, b = np.moveaxis(a, 1, -1), np.moveaxis(b, (0, 1), (-1, -2))
            y = windows(a, b, steps, pads, count)
            if "bias" in words:
                y = y + words["bias"].value
                y = np.maximum(y, 0) if "relu" in words["epilogue"] else y
            return np.moveaxis(y, -1, 1) if first else y

        return Call((x, w, stride, padding), words, want, common(x, w))

    return case


def separable(s: Source) -> Call:
    channels, m, outer = s.some(), s.some(), s.some()
    x = s.array(s.pick(2, 0, 1), s.some(), s.some(), channels)
    each, mix = s.array(1, 2, 1, m * channels), s.array(1, 1, s.near(m * channels), outer)
    padding = s.off(0, "same", 1, -1)

    def want() -> Any:
        pads = padded(padding, x.shape[1:3], (1, 2), (1, 1))
        require(mix.shape[2] == m * channels)
        if x.shape[2] + sum(pads[1]) < 2 or x.shape[1] + sum(pads[0]) < 1:
            raise UnsaidError
        return windows(x.value, each.value, (1, 1), pads, channels) @ mix.value[0, 0]

    return Call((x, each, mix, 1, padding), {}, want, common(x, each, mix))


def dropout(s: Source) -> Call:
    x, p, key = s.array(*s.shape()), s.off(0.5, 0.0, 1.0, 1, -0.1, 1.5, "x"), s.off(0, None)

    def want() -> Any:
        require(0 <= p <= 1 and (key is not None or p == 0))
        return (
            x.value
            if p == 0
            else np.zeros(x.shape)
            if p == 1 and s.mode == "tame"
            else Shape(x.shape)
        )

    return Call((x, p), {"key": key}, want, x.dtype)


def ffn(s: Source) -> Call:
    d, f, n = s.size(), s.size(), s.size()
    x, up, down = s.array(*s.batch(), d), s.array(s.near(d), f), s.array(s.near(f), n)
    activation = s.off(s.pick(*ACTIVATIONS), "swish")
    words = {"up_bias": s.array(s.near(f))} if s.rarely() else {}

    def want() -> Any:
        z = x.value @ up.value
        if words:
            require(words["up_bias"].shape == (f,))
            z = z + words["up_bias"].value
        return oracles.ACTIVATIONS[activation](z) @ down.value

    return Call((x, up, down, activation), words, want, common(x, up, down))


def fused_mlp(s: Source) -> Call:
    d, f, n = s.size(), s.size(), s.size()
    x, up, gate, down = (
        s.array(*s.batch(), d),
        s.array(d, f),
        s.array(s.near(d), f),
        s.array(s.near(f), n),
    )
    activation = s.off(s.pick(*ACTIVATIONS), "swish")

    def want() -> Any:
        return (
            oracles.ACTIVATIONS[activation](x.value @ gate.value)
            * (x.value @ up.value)
            @ down.value
        )

    return Call((x, up, gate, down, activation), {}, want, common(x, up, gate, down))


def gmlp(s: Source) -> Call:
    n, d, f = s.size(), s.size(), s.size()
    x, up = s.array(*s.batch(), n, d), s.array(s.near(d), s.near(2 * f))
    spatial, down = s.array(n, s.near(n)), s.array(f, d)
    words = {"spatial_bias": s.array(s.near(n))} if s.rarely() else {}

    def want() -> Any:
        require(up.shape == (d, 2 * f) and spatial.shape == (n, n))
        require(not words or words["spatial_bias"].shape == (n,))
        if 0 in (n, d, f):
            return Shape(x.shape)
        u, v = np.split(oracles.gelu(oracles.layernorm(x.value) @ up.value), 2, -1)
        bias = words["spatial_bias"].value[:, None] if words else 1
        return x.value + (u * (spatial.value @ oracles.layernorm(v) + bias)) @ down.value

    return Call((x, up, spatial, down), words, want, common(x, up, spatial, down))


def linear(s: Source) -> Call:
    din, dout, bias = s.off(3, 1, 0, -1, 1.5), s.off(2, 1, 0), s.pick(True, False)
    x = s.array(*s.batch(), s.near(3))

    def run(x: Any) -> Any:
        return op.linear(din, dout, bias=bias, key=0)(x)

    def want() -> Any:
        require(isinstance(din, int) and din >= 1 and dout >= 1 and x.shape[-1] == din)
        return Shape((*x.shape[:-1], dout))

    return Call((run, x), {}, want, numerics.wider(x.dtype, "float32"))


def mlp(s: Source) -> Call:
    hidden, out, activation = (
        s.off(4, [3, 2], [], 0, [2, -1], "x"),
        s.off(2, 0),
        s.off("gelu", "tanh", "softplus"),
    )
    parts = [s.array(*s.batch(), s.some()) for _ in range(s.pick(1, 2))]
    joined = s.pick(True, False)

    def run(*xs: Any) -> Any:
        if joined:
            return op.mlp(list(xs), hidden, out, activation, key=0)
        return op.mlp(3, hidden, out, activation, key=0)(xs[0])

    def want() -> Any:
        widths = hidden if isinstance(hidden, list) else [hidden]
        require(all(isinstance(n, int) and n >= 1 for n in widths))
        require(out >= 1 and activation != "softplus")
        if not widths:
            raise UnsaidError
        if joined:
            z = np.concatenate([x.value for x in parts], -1)
        else:
            z = parts[0].value
            require(z.shape[-1] == 3)
        return Shape((*z.shape[:-1], out))

    used = parts if joined else parts[:1]
    return Call((run, *parts), {}, want, numerics.wider(common(*used), "float32"))


def embedding(s: Source) -> Call:
    rows, width = s.off(3, 1, 0, 1.5), s.off(2, 1, -1)
    index = s.indices(*s.shape(0, 3), below=3, stray=1)

    def run(index: Any) -> Any:
        return op.embedding(rows, width, key=0)(index)

    def want() -> Any:
        require(isinstance(rows, int) and rows >= 1 and width >= 1)
        require(((index.value >= -rows) & (index.value < rows)).all())
        return Shape((*index.shape, width))

    return Call((run, index), {}, want, "float32")


def transformer_block(s: Source) -> Call:
    heads, depth = s.off(2, 1, 3, 0), s.off(1, 0, 2, -1, 1.5)
    config = {"heads": heads, "ffn_width": s.off(3, 0)} | s.off({}, {"gated": True}, {"wings": 2})
    x = s.array(*s.batch(), s.pick(3, 1, 0), s.near(4))

    def run(x: Any) -> Any:
        params = nn.TransformerBlock(4, config=config, key=0)
        return op.transformer_block(x, config=config, params=params, depth=depth)

    def want() -> Any:
        require(heads in (1, 2) and config["ffn_width"] >= 1 and "wings" not in config)
        require(isinstance(depth, int) and depth >= 0 and x.shape[-1] == 4)
        return Shape(x.shape)

    return Call((run, x), {}, want, x.dtype)


def transformer(s: Source) -> Call:
    layers, config = (
        s.off(1, 0, 2, -1),
        {"heads": s.off(2, 3), "ffn_width": 3} | s.off({"vocabulary": 5}, {}),
    )
    tokens = s.indices(*s.batch(), s.pick(3, 1, 0), below=5, stray=1)

    def run(tokens: Any) -> Any:
        return op.transformer(4, layers, config=config, key=0)(tokens)

    def want() -> Any:
        require(layers >= 0 and config["heads"] == 2 and "vocabulary" in config)
        require(((tokens.value >= -5) & (tokens.value < 5)).all())
        if layers == 0:
            raise UnsaidError
        return Shape((*tokens.shape, 5))

    return Call((run, tokens), {}, want, "float32")


# -- mixture of experts --------------------------------------------------------------------------


def topk(s: Source) -> Call:
    x = s.array(*s.shape(s.off(1, 0)))
    n = x.shape[-1] if x.shape else 0
    k, soft = s.off(s.pick(1, 2), n, n + 1, 0, -1, 1.5), s.pick(True, False)

    def want() -> Any:
        require(isinstance(k, int) and 1 <= k <= n)
        if s.mode != "tame":
            return Shape((*x.shape[:-1], k)), Shape((*x.shape[:-1], k))
        return oracles.topk(x.value, range(k), softmax=soft)

    return Call((x, k), {"softmax": soft}, want, ("int32", x.dtype))


def route(
    s: Source, batch: tuple[int, ...], experts: int, stray: int = 0
) -> tuple[Operand, Operand]:
    k = s.off(1, 2, 3)
    return s.indices(*batch, k, below=experts, stray=stray), s.array(*batch, k, within=(0, 1))


def moe_apply(s: Source) -> Call:
    batch, d = (*s.batch(), s.size()), s.some()
    z, count = s.array(*batch, d), s.some()
    index, gate = route(s, s.off(batch, (*batch, 1)), count, stray=2)
    experts = [functools.partial(lambda i, x: (i + 1) * x, i) for i in range(count)]

    def want() -> Any:
        require(index.shape[:-1] == batch)
        scale = np.where((index.value >= 0) & (index.value < count), index.value + 1, 0)
        return np.sum(scale * gate.value, -1, keepdims=True) * z.value

    return Call((z, experts, index, gate), {}, want, z.dtype)


def moe(s: Source) -> Call:
    batch, d, e, n = (*s.batch(), s.size()), s.some(), s.some(), s.some()
    x, w = s.array(*batch, d), s.array(e, d, n)
    scores = s.array(*batch, s.near(e), plain=True)
    k = s.off(1, 2, 99, 0)

    def run(x: Any, w: Any, scores: Any, k: Any) -> Any:
        return op.moe(x, (lambda w, rows: op.matmul(rows, w), w), router="topk", scores=scores, k=k)

    def want() -> Any:
        require(scores.shape[-1] == e and 1 <= k <= e)
        return Shape((*batch, n))

    return Call((run, x, w, scores, k), {}, want, common(x, w))


def moe_round(s: Source) -> Call:
    batch, d, e = (*s.batch(), s.size()), s.some(), s.some()
    x = s.array(*batch, d)
    index, gate = route(s, s.off(batch, (*batch, 1)), e)
    reduce = s.off("sum", "mean", "max")

    def run(x: Any, index: Any, gate: Any) -> Any:
        rows, back = op.moe_dispatch(x, op.Route(jnp.asarray(index), jnp.asarray(gate), experts=e))
        return op.moe_combine(rows, back, reduce=reduce)

    def want() -> Any:
        require(reduce in ("sum", "mean") and index.shape[:-1] == batch)
        total = gate.value.sum(-1, keepdims=True) * x.value
        return total if reduce == "sum" else x.value

    return Call((run, x, index, gate), {}, want, x.dtype)


def aux_loss(s: Source) -> Call:
    batch, e = (*s.batch(), s.size()), s.some()
    k = min(s.pick(1, 2), e)
    scores = s.array(*batch, e, plain=True)

    def want() -> Any:
        return Shape(())

    def run(scores: Any) -> Any:
        return op.aux_loss(op.router(e, k=k).choose(scores))

    return Call((run, scores), {}, want, at_least_fp32(scores))


def recursive_mixture(s: Source) -> Call:
    x, depth = s.array(*s.shape(0, 2)), s.off(2, 0, 1, -1, 1.5)
    gate = s.pick(None, s.array(s.near(2)))

    def run(gate: Any, x: Any) -> Any:
        experts = [lambda y: y * 2, lambda y: y]
        return op.recursive_mixture(experts, depth, gate=gate)(x)

    def want() -> Any:
        require(isinstance(depth, int) and depth >= 0)
        require(gate is None or gate.shape == (2,))
        g = scipy.special.softmax(np.zeros(2) if gate is None else gate.value)
        return x.value * (2 * g[0] + g[1]) ** depth

    return Call((run, gate, x), {}, want, x.dtype)


# -- losses --------------------------------------------------------------------------------------


REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}


def cross_entropy(s: Source) -> Call:
    shape = s.shape(1, 3)
    x = s.array(*shape)
    v = shape[-1]
    soft = s.pick(False, True)
    labels = (
        s.array(*shape, within=(0, 1))
        if soft
        else s.indices(*s.off(shape[:-1], shape), below=max(v, 1))
    )
    reduction = s.off("mean", "sum", "none", "max")
    words = {"reduction": reduction} | ({"ignore_index": s.pick(0, -1)} if s.rarely() else {})

    def want() -> Any:
        require(reduction in REDUCTIONS)
        ignored = words.get("ignore_index")
        require(not (soft and ignored is not None))
        require(soft or labels.shape == shape[:-1])
        if v == 0:
            raise UnsaidError
        if soft:
            losses = oracles.cross_entropy(x.value, None, labels.value)
        else:
            losses = oracles.cross_entropy(x.value, labels.value, None, ignore_index=ignored)
        kept = np.sum(labels.value != ignored) if ignored is not None else losses.size
        return (
            np.sum(losses) / max(kept, 1) if reduction == "mean" else REDUCTIONS[reduction](losses)
        )

    return Call((x, labels), words, want, x.dtype)


def mse(s: Source) -> Call:
    shape = s.shape()
    p, t = s.array(*shape), s.array(*broadcastable(s, shape), scalars=True)

    def want() -> Any:
        require(np.broadcast_shapes(p.shape, t.shape) == shape and p.data.size)
        return oracles.mse(p.value, t.value)

    words = {"method": s.pick(None, "tree", "kahan", "naive")}
    return Call((p, t), words, want, p.dtype if t.layout == "python" else common(p, t))


def kl_divergence(s: Source) -> Call:
    shape = s.shape(s.off(1, 0), 3)
    p, q = (s.array(*s.off(shape, (*shape, 2)), within=(0.1, 1)) for _ in range(2))
    words = {"log_p": s.pick(False, True), "log_q": s.pick(False, True)}
    reduction = s.off("mean", "sum", "none", "max")

    def want() -> Any:
        require(p.shape == q.shape and p.shape and reduction in REDUCTIONS)
        if 0 in p.shape[:-1] and reduction == "mean":
            raise UnsaidError
        return REDUCTIONS[reduction](oracles.kl_divergence(p.value, q.value, **words))

    return Call((p, q), {**words, "reduction": reduction}, want, common(p, q))


# -- the table -------------------------------------------------------------------------------------


ENTRIES: dict[str, Entry] = {
    "matmul": Entry(matmul),
    "gemm": Entry(gemm, says=("matmul",)),
    "batched_gemm": Entry(batched_gemm, says=("matmul",)),
    "einsum": Entry(einsum),
    "factorized_matmul": Entry(factorized_matmul, slack=8, says=("matmul",)),
    "grouped_matmul": Entry(grouped_matmul),
    "flash_attention": Entry(attention, finite=LARGE),
    "scaled_dot_product_attention": Entry(attention, finite=LARGE, says=("flash_attention",)),
    "flash_attention_fp8": Entry(attention_fp8, says=("flash_attention",)),
    "multi_query_attention": Entry(multi_query, finite=LARGE, says=("flash_attention",)),
    "performer_attention": Entry(performer, slack=4),
    "qkv_projection": Entry(qkv_projection, says=("matmul",)),
    "split_heads": Entry(split_heads, "any"),
    "rope": Entry(rope, slack=2),
    "speculative_step": Entry(speculative, few=True),
    "kvcache_init": Entry(cache_init),
    "kvcache_update": Entry(cache_update, run=call_first, traces=False),
    "kvcache_read": Entry(cache_read, run=call_first),
    "conv1d": Entry(conv(1), slack=4),
    "conv2d": Entry(conv(2), slack=4),
    "conv3d": Entry(conv(3), slack=4),
    "depthwise_conv": Entry(conv(2, depthwise=True), slack=4),
    "separable_conv": Entry(separable, slack=4),
    "dropout": Entry(dropout),
    "ffn": Entry(ffn, slack=8, says=("matmul",)),
    "fused_mlp": Entry(fused_mlp, slack=16, says=("matmul",)),
    "gmlp_block": Entry(gmlp, slack=32, says=("matmul", "layernorm")),
    "linear": Entry(linear, run=call_first, says=("matmul",)),
    "mlp": Entry(mlp, run=call_first, says=("matmul",), few=True),
    "embedding": Entry(embedding, run=call_first, says=("gather",), traces=False),
    "transformer_block": Entry(
        transformer_block, run=call_first, says=("TransformerBlock", "rmsnorm"), few=True
    ),
    "transformer": Entry(transformer, run=call_first, says=("embedding",), traces=False, few=True),
    "topk": Entry(topk, finite=ALL_FINITE),
    "moe": Entry(moe, run=call_first, says=("topk", "matmul", "router"), few=True),
    "moe_apply": Entry(moe_apply, says=("moe_dispatch", "moe_gather"), slack=4),
    "moe_dispatch": Entry(
        moe_round, run=call_first, says=("moe_combine", "Route"), slack=4, few=True
    ),
    "moe_combine": Entry(
        moe_round, run=call_first, says=("moe_dispatch", "Route"), slack=4, few=True
    ),
    "aux_loss": Entry(aux_loss, run=call_first, few=True),
    "recursive_mixture": Entry(recursive_mixture, run=call_first, slack=4),
    "cross_entropy": Entry(cross_entropy, slack=4),
    "mse": Entry(mse, slack=4),
    "kl_divergence": Entry(kl_divergence, slack=4),
}
