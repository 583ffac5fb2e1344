"""What is checked and timed on a GPU: every op with a tile program, its sizes, its peers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tessera import ops as ops  # loading it registers them
from tessera.core.op import registered_op

DTYPES = ("float32", "bfloat16", "float16")

# Rows, inner axis, columns; batches before them.
PRODUCTS = (
    ((1, 70), (70, 1)),
    ((257, 33), (33, 9)),
    ((300, 200), (200, 250)),
    ((127, 129), (129, 128)),
    ((1024, 1024), (1024, 512)),
    ((3, 35, 70), (3, 70, 40)),
)
ROWS = ((1, 1), (3, 5), (37, 1000), (300, 4096), (2, 3, 777), (129, 128), (8, 20000))


@dataclass(frozen=True)
class Attention:
    """Sizes of an attention: batch, key heads, query heads per key head, queries, keys, depth."""

    batch: int
    groups: int
    shared: int
    queries: int
    keys: int
    depth: int
    statics: dict[str, Any] = field(default_factory=dict[str, Any])
    mask: bool = False
    sinks: bool = False


ATTENTIONS = (
    Attention(1, 1, 1, 1, 1, 16),
    Attention(1, 2, 1, 128, 128, 64),
    Attention(2, 2, 2, 300, 300, 64, {"causal": True}),
    Attention(1, 1, 4, 37, 129, 32, {"causal": True}),
    Attention(1, 2, 1, 513, 513, 128, {"causal": True, "window": 100}),
    Attention(1, 2, 1, 200, 333, 80, {}, mask=True),
    Attention(1, 2, 2, 255, 255, 64, {"causal": True}, sinks=True),
    Attention(1, 1, 2, 129, 65, 64, {"causal": True}),  # the first queries see nothing
)


# Rows, inner axis, columns, and the rows of each group.
GROUPED = (
    (2, 16, 16, (0, 2)),
    (300, 70, 130, (100, 0, 150, 30)),
    (257, 128, 256, (1,) * 100 + (157,)),
    (1024, 256, 512, (127, 129, 0, 256, 512)),
    (129, 64, 64, (0, 0, 129)),
)
# Rows, columns, and where each run of rows ends.
RUNS = (
    (1000, 70, (1, 500, 501, 1000)),
    (777, 1, tuple(range(7, 778, 7))),
    (4096, 256, (1, 2, 4000, 4096)),
)


@dataclass(frozen=True)
class Case:
    """One op at one size: operands (None where absent) drawn from a key, and static arguments."""

    op: str
    label: str
    dtype: str
    make: Callable[[jax.Array], tuple[Any, ...]]
    statics: dict[str, Any] = field(default_factory=dict[str, Any])

    def run(self, algorithm: str) -> Callable[..., Any]:
        """Returns the op by one of its formulations, as a function of the operands there are."""
        return partial(registered_op(self.op).bind, algorithm=algorithm, **self.statics)


def normal(key: jax.Array, shape: Sequence[int], dtype: str, scale: float = 1.0) -> jax.Array:
    return (scale * jax.random.normal(key, shape)).astype(dtype)


def checks() -> Iterator[Case]:
    """Yields the cases whose values are checked against float64."""
    for dtype in DTYPES:
        for left, right in PRODUCTS:
            yield product(left, right, dtype)
            yield product(left, right, dtype, "bias_gelu_residual")
        for shape in ROWS:
            yield from rows(shape, dtype)
        for sizes in ATTENTIONS:
            yield from attention(sizes, dtype)
        for n, inner, columns, sizes in GROUPED:
            yield grouped(n, inner, columns, sizes, dtype)
        for n, columns, ends in RUNS:
            for kind in ("sum", "max"):
                yield runs(n, columns, ends, kind, dtype)


def product(left: Sequence[int], right: Sequence[int], dtype: str, epilogue: str = "") -> Case:
    def make(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 4)
        a = normal(keys[0], left, dtype)
        b = normal(keys[1], right, dtype, right[-2] ** -0.5)
        if not epilogue:
            return a, b, None, None
        return (
            a,
            b,
            normal(keys[2], right[-1:], dtype),
            normal(keys[3], (*left[:-1], right[-1]), dtype),
        )

    words = {"activation": "gelu"} if epilogue else {}
    return Case("matmul", f"{left} x {right} {epilogue}".strip(), dtype, make, words)


def grouped(n: int, inner: int, columns: int, sizes: Sequence[int], dtype: str) -> Case:
    """Returns rows times the matrix of their group, the first `sizes[0]` times the first."""

    def make(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 2)
        x = normal(keys[0], (n, inner), dtype)
        w = normal(keys[1], (len(sizes), inner, columns), dtype, inner**-0.5)
        return x, w, jnp.asarray(sizes, jnp.int32)

    return Case("grouped_matmul", f"{n}x{inner}x{columns} of {len(sizes)} groups", dtype, make)


def runs(n: int, columns: int, ends: Sequence[int], kind: str, dtype: str) -> Case:
    """Returns sums or maxima of runs of rows."""

    def make(key: jax.Array) -> tuple[Any, ...]:
        return normal(key, (n, columns), dtype), jnp.asarray(ends, jnp.int32)

    label = f"{kind} of {n}x{columns} in {len(ends)} runs"
    return Case("run_reduce", label, dtype, make, {"op": kind})


def is_float(x: Any) -> bool:
    """Returns whether an operand is there and has a gradient."""
    return x is not None and jnp.issubdtype(x.dtype, jnp.floating)


def rows(shape: Sequence[int], dtype: str) -> Iterator[Case]:
    n = shape[-1]

    def x(key: jax.Array) -> jax.Array:
        return normal(key, shape, dtype, 2.0)

    def vector(key: jax.Array) -> jax.Array:
        return normal(key, (n,), dtype)

    def softmax(key: jax.Array) -> tuple[Any, ...]:
        return (x(key),)

    def rmsnorm(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 2)
        return x(keys[0]), vector(keys[1])

    def layernorm(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 3)
        return x(keys[0]), vector(keys[1]), vector(keys[2])

    label = str(tuple(shape))
    yield Case("softmax", label, dtype, softmax, {"axis": len(shape) - 1})
    yield Case("rmsnorm", label, dtype, rmsnorm, {"eps": 1e-5})
    yield Case("layernorm", label, dtype, layernorm, {"eps": 1e-5})


def attention(sizes: Attention, dtype: str) -> Iterator[Case]:
    b, g, r, i, j, d = (
        sizes.batch, sizes.groups, sizes.shared, sizes.queries, sizes.keys, sizes.depth
    )  # fmt: skip

    def make(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 5)
        mask = jax.random.bernoulli(keys[3], 0.8, (b, 1, 1, i, j)) if sizes.mask else None
        sinks = normal(keys[4], (g, r), dtype) if sizes.sinks else None
        return (
            normal(keys[0], (b, g, r, i, d), dtype),
            normal(keys[1], (b, g, j, d), dtype),
            normal(keys[2], (b, g, j, d), dtype),
            mask,
            sinks,
        )

    words = {"scale": d**-0.5, **sizes.statics}
    flags = [*sizes.statics, *(["mask"] if sizes.mask else []), *(["sinks"] if sizes.sinks else [])]
    label = f"b{b} g{g} r{r} {i}x{j} d{d} {' '.join(flags)}".strip()
    yield Case("flash_attention", label, dtype, make, words)


def cost_of_attention(sizes: Attention, *, backward: bool) -> float:
    """Returns the operations of attention as they are usually quoted: 4 (backward 10) per score and depth."""
    scores = sizes.queries * sizes.keys * (0.5 if sizes.statics.get("causal") else 1.0)
    heads = sizes.batch * sizes.groups * sizes.shared
    return (10 if backward else 4) * scores * heads * sizes.depth


def bytes_of(arrays: Any) -> int:
    """Returns the bytes of all arrays of a tree."""
    return sum(math.prod(x.shape) * jnp.dtype(x.dtype).itemsize for x in jax.tree.leaves(arrays))
