"""Kernels as users write them in `tessera.tile`, with their references, and ways to run one everywhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tessera as ts
from tessera import op, tile
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import to_tile
from tessera.ops.tile_kernel import TileKernels
from tessera.runtime import peaks

# -- a product with its epilogue ---------------------------------------------------------------------------


def gelu(x):
    return x * tile.sigmoid(1.702 * x)


def gemm_bias_gelu(a, b, bias, out):
    BM, BN, BK = tile.context()
    m, k = a.shape
    n = b.shape[1]
    i, j = tile.grid(tile.cdiv(m, BM), tile.cdiv(n, BN))
    rows, cols = tile.block(i, BM), tile.block(j, BN)

    def step(s, acc):
        inner = tile.block(s, BK)
        left = tile.load(a, rows=rows, cols=inner)
        return tile.dot(left, tile.load(b, rows=inner, cols=cols), acc)

    acc = tile.fori_loop(0, tile.cdiv(k, BK), step, tile.zeros((BM, BN)), stages=3)
    y = gelu(acc + tile.cast(tile.load(bias, cols=cols), acc.dtype))
    tile.store(out, tile.cast(y, out.dtype), rows=rows, cols=cols)


def gemm_reference(a, b, bias):
    y = jnp.matmul(a, b, preferred_element_type=jnp.float32)
    y = y + jnp.broadcast_to(bias.astype(jnp.float32), y.shape)
    return (y * jax.nn.sigmoid(1.702 * y)).astype(a.dtype)


# -- rows --------------------------------------------------------------------------------------------------


def softmax(x, out):
    (BM,) = tile.context()
    rows = tile.block(tile.grid(tile.cdiv(x.shape[0], BM)), BM)
    scores = tile.cast(tile.load(x, rows=rows, fill=float("-inf")), jnp.float32)
    weights = tile.exp(scores - tile.reduce(scores, "max", axis=1))
    y = weights / tile.reduce(weights, "sum", axis=1)
    tile.store(out, tile.cast(y, out.dtype), rows=rows)


def softmax_reference(x):
    return jax.nn.softmax(x.astype(jnp.float32)).astype(x.dtype)


def attention(q, k, v, out, *, scale=1.0):
    BM, BN = tile.context()
    n = q.shape[0]
    i = tile.grid(tile.cdiv(n, BM))
    queries = tile.block(i, BM)
    q_block = tile.load(q, rows=queries)

    def step(j, state):
        acc, top, total = state
        keys = tile.block(j, BN)
        scores = tile.dot(q_block, tile.load(k, rows=keys).T) * scale
        scores = tile.mask_causal(scores, queries, keys)
        weights, rescale, top, total = tile.softmax_online(scores, top, total)
        values = tile.load(v, rows=keys)
        return tile.softmax_accumulate(acc, rescale, weights, values), top, total

    start = (
        tile.zeros((BM, tile.whole(v.shape[1]).size)),
        tile.full((BM, 1), -np.inf),
        tile.zeros((BM, 1)),
    )
    stop = tile.minimum(tile.cdiv((i + 1) * BM, BN), tile.cdiv(n, BN))
    acc, _, total = tile.fori_loop(0, stop, step, start, stages=2)
    tile.store(out, tile.cast(acc / total, out.dtype), rows=queries)


def attention_reference(q, k, v, *, scale=1.0):
    q, k, v = (x.astype(jnp.float32) for x in (q, k, v))
    scores = jnp.einsum("...nd,...md->...nm", q, k) * scale
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    seen = jnp.broadcast_to(seen, scores.shape)
    return jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ v


# -- what is loaded decides --------------------------------------------------------------------------------


def experts(x, w, which, lengths, out):
    """Multiplies the first lengths[i] elements of row i by those rows of matrix which[i]."""
    BN, BK = tile.context()
    i, j = tile.grid(x.shape[0], tile.cdiv(w.shape[2], BN))
    cols = tile.block(j, BN)
    expert, length = tile.load(which, at=(i,)), tile.load(lengths, cols=i)

    def step(s, acc):
        inner = tile.block(s, BK)
        inside = inner.positions < length
        part = tile.load(x, at=(i, inner), mask=inside)
        rows = tile.load(w, at=(expert, inner, cols))
        return acc + tile.reduce(part[:, None] * rows, "sum", axis=0)

    acc = tile.fori_loop(0, tile.cdiv(length, BK), step, tile.zeros((1, BN), x.dtype))
    tile.store(out, acc[0], at=(i, cols))


def experts_reference(x, w, which, lengths):
    inside = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.einsum("mk,mkn->mn", jnp.where(inside, x, 0), w[which])


# -- running sums ------------------------------------------------------------------------------------------


def running(x, sums, tops):
    """Sums and maxima of all elements so far, block by block, with what came before carried along."""
    BM, BN = tile.context()
    rows = tile.block(tile.grid(tile.cdiv(x.shape[0], BM)), BM)

    def step(j, carried):
        cols = tile.block(j, BN)
        total, top = carried
        block = tile.load(x, rows=rows, cols=cols)
        tile.store(sums, tile.scan(block, "sum", axis=1) + total, rows=rows, cols=cols)
        high = tile.load(x, rows=rows, cols=cols, fill=-np.inf)
        tile.store(tops, tile.maximum(tile.scan(high, "max", axis=-1), top), rows=rows, cols=cols)
        later = tile.maximum(top, tile.reduce(high, "max", axis=1))
        return total + tile.reduce(block, "sum", axis=1), later

    start = tile.zeros((BM, 1), x.dtype), tile.full((BM, 1), -np.inf, x.dtype)
    tile.fori_loop(0, tile.cdiv(x.shape[1], BN), step, start)


def running_reference(x):
    return jnp.cumsum(x, -1), jax.lax.cummax(x, axis=x.ndim - 1)


# -- their names -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """A kernel, its reference, and what it is registered with."""

    program: Callable[..., None]
    reference: Callable[..., Any]
    settings: Mapping[str, Any]


KERNELS = {
    "gemm": Kernel(
        gemm_bias_gelu,
        gemm_reference,
        {"dims": "*b m k, [*b] k n, n -> *b m n", "tile": (32, 16, 16)},
    ),
    "softmax": Kernel(softmax, softmax_reference, {"dims": "*b m n -> *b m n", "tile": 8}),
    "attention": Kernel(
        attention,
        attention_reference,
        {"dims": "*b n d, *b n d, *b n e -> *b n e", "tile": (32, 16)},
    ),
    "experts": Kernel(
        experts, experts_reference, {"dims": "m k, e k n, m, m -> m n", "tile": (16, 8)}
    ),
    "running": Kernel(
        running, running_reference, {"dims": "*b m n -> *b m n, *b m n", "tile": (4, 16)}
    ),
}


def register(kernels: Any) -> None:
    """Registers every kernel here, as `case_<name>`."""
    for name, kernel in KERNELS.items():
        kernels.register(
            f"case_{name}", program=kernel.program, reference=kernel.reference, **kernel.settings
        )


register(op.tile_kernel)


def call(name: str, *operands: Any, **statics: Any) -> Any:
    """Applies a kernel to operands in order."""
    words = op.tile_kernel._kernels[f"case_{name}"].op.operand_names
    return op.tile_kernel(f"case_{name}", **dict(zip(words, operands, strict=True)), **statics)


def registered(program: Any, reference: Any, dims: str, **settings: Any) -> Callable[..., Any]:
    """Returns a kernel of its own registry, as a function of operands in order."""
    kernels = TileKernels()
    kernels.register("own", program=program, reference=reference, dims=dims, **settings)
    words = kernels._kernels["own"].op.operand_names
    return lambda *xs, **statics: kernels("own", **dict(zip(words, xs, strict=False)), **statics)


# -- running one everywhere --------------------------------------------------------------------------------


def kernel_of(f: Callable[..., Any], *args: Any, target: str = "cpu") -> Any:
    """Returns the one kernel of f, as it is cut for a platform."""
    schedule = ts.compile(f, target=target).plan(*args).schedule
    tiles = to_tile(schedule, Context(peaks.device(target)))
    assert "left_to_xla" not in tiles.attributes, tiles.attributes["left_to_xla"]
    (kernel,) = tiles.body.block.ops
    return kernel


def shapes_of(name: str) -> list[tuple[tuple[int, ...], ...]]:
    """Returns shapes of operands: 1, primes, a tile and one less and more."""
    return {
        "gemm": [
            ((m, k), (k, n), (n,))
            for m, k, n in [(1, 1, 1), (31, 37, 19), (33, 16, 15), (32, 17, 16), (64, 48, 32)]
        ] + [((2, 3, 7, 5), (5, 9), (9,)), ((3, 33, 17), (3, 17, 3), (3,))],
        "softmax": [((1, 1),), ((7, 37),), ((9, 64),), ((2, 8, 33),)],
        "attention": [
            ((n, d), (n, d), (n, e)) for n, d, e in [(1, 16, 16), (53, 16, 24), (49, 16, 16)]
        ] + [((2, 65, 16),) * 3],
        "experts": [((m, k), (3, k, n), (m,), (m,)) for m, k, n in [(1, 1, 1), (7, 19, 17), (5, 8, 16)]],
        "running": [((1, 1),), ((5, 37),), ((4, 48),), ((3, 3, 17),)],
    }[name]  # fmt: skip


def arrays_of(name: str, shapes: Any, dtype: Any) -> list[jax.Array]:
    """Returns operands of these shapes, products scaled to about 1."""
    random = np.random.default_rng(0)
    found = [random.normal(size=shape) for shape in shapes]
    if name == "gemm":
        found[1] = found[1] * shapes[1][-2] ** -0.5
    if name == "attention":
        found[0] = found[0] * shapes[0][-1] ** -0.5
    if name != "experts":
        return [jnp.asarray(x, dtype) for x in found]
    m, k = shapes[0]
    which, lengths = random.integers(0, 3, m), random.integers(0, k + 1, m)
    lengths[0] = k
    return [
        *(jnp.asarray(x, dtype) for x in found[:2]),
        jnp.asarray(which, jnp.int32), jnp.asarray(lengths, jnp.int32),
    ]  # fmt: skip
