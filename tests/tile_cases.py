"""Functions whose groups have tile programs, at odd shapes, with what they give in float64.

Every emitter of tile programs is tested on them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import tile_interpreter

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.ir.attributes import to_attribute
from tessera.lowering.choose import groups_of
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import to_tile
from tessera.ops.grouped_matmul import grouped_matmul_bwd
from tessera.ops.reduce_sum import add_rows
from tessera.ops.segment_reduce import run_reduce
from tessera.runtime import peaks

Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A function, its arrays in float64, the exact result, and the blocks of its program.

    `keeps` are arguments that keep their dtype when a case runs in another: masks, weights in float32.
    `loose` multiplies the tolerance: sums of many terms round more than once.
    """

    f: Function
    arrays: tuple[np.ndarray, ...]
    exact: Function
    blocks: Mapping[str, Any]
    loose: float = 1.0

    def arguments(self, dtype: Any) -> list[jax.Array]:
        """Returns the arrays with floats in a dtype."""
        return [
            jnp.asarray(x, dtype if np.issubdtype(x.dtype, np.floating) else x.dtype)
            for x in self.arrays
        ]


def array(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Returns normal numbers, the same for the same shape and seed."""
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def planned(f: Function, *args: Any, **blocks: Any) -> tuple[Any, Any]:
    """Returns the Schedule of f, its tiled groups cut into these blocks, and its Tile module."""
    schedule = ts.compile(f).plan(*args).schedule
    for group in groups_of(schedule):
        if "tile" in group.attributes:
            for name in ("padded", *blocks):
                group.attributes.pop(name, None)
            for name, value in blocks.items():
                group.attributes[name] = to_attribute(value)
    tiles = to_tile(schedule, Context(peaks.device("cpu")))
    assert "left_to_xla" not in tiles.attributes, tiles.attributes["left_to_xla"]
    return schedule, tiles


def kernel_of(f: Function, *args: Any, **blocks: Any) -> Any:
    """Returns the one kernel of f."""
    (kernel,) = planned(f, *args, **blocks)[1].body.block.ops
    return kernel


def computed(emit: Function, f: Function, *args: Any, **blocks: Any) -> list[np.ndarray]:
    """Returns what the kernels of f compute through an emitter, each compiled by itself."""

    def run_kernel(kernel: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
        found = jax.jit(emit(kernel))(*(jnp.asarray(x) for x in inputs))
        return [np.asarray(x) for x in found]

    schedule, tiles = planned(f, *args, **blocks)
    with mock.patch.object(tile_interpreter, "run_kernel", run_kernel):
        return tile_interpreter.run_schedule(schedule, tiles, [np.asarray(x) for x in args])


def assert_exact(emit: Function, case: Case, dtype: Any) -> None:
    """Fails unless a case run in a dtype gives the exact result, rounded, for the arrays in that dtype."""
    args = case.arguments(dtype)
    found = computed(emit, case.f, *args, **case.blocks)
    wide = [x if x.dtype == bool else np.asarray(x, np.float64) for x in map(np.asarray, args)]
    wanted = case.exact(*wide)
    for ours, theirs in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == jnp.dtype(dtype)
        rtol, atol = numerics.tolerance(dtype)
        np.testing.assert_allclose(
            np.asarray(ours, np.float64), theirs, rtol=case.loose * rtol, atol=case.loose * atol
        )


# -- products ----------------------------------------------------------------------------------------------


def _product(left, right, activation, tile=(16, 16)) -> Case:
    arrays = (
        array(*left),
        array(*right, scale=right[-2] ** -0.5),
        array(right[-1], seed=1),
        array(*left[:-1], right[-1], seed=2),
    )

    def f(a, b, bias, residual):
        return op.matmul(a, b, bias=bias, residual=residual, epilogue=f"bias_{activation}_residual")

    exact = partial(oracles.matmul, activation=activation)
    return Case(f, arrays, exact, {"tile": tile}, loose=10)


def _turned_product(f, exact, left, right) -> Case:
    """A product that sums over the first axis of its left factor."""
    arrays = (array(*left), array(*right, seed=1, scale=left[0] ** -0.5))
    return Case(f, arrays, exact, {"tile": (16, 16)}, loose=10)


PRODUCTS = {
    "matmul 1x1x1": _product((1, 1), (1, 1), "relu"),
    "matmul of primes": _product((31, 37), (37, 41), "silu"),
    "matmul by one column": _product((17, 70), (70, 1), "tanh"),
    "matmul of one row": _product((1, 129), (129, 33), "gelu"),
    "matmul tile+1": _product((17, 65), (65, 17), "sigmoid"),
    "matmul tile-1": _product((15, 63), (63, 15), "gelu"),
    "matmul of a batch by one": _product((3, 17, 70), (70, 40), "relu"),
    "matmul of batches": _product((2, 3, 17, 33), (2, 3, 33, 18), "silu"),
    "matmul turned": _turned_product(
        lambda a, b: a.T @ b.T, lambda a, b: a.T @ b.T, (70, 33), (29, 70)
    ),
    "matmul after a prologue": _turned_product(
        lambda a, b: jnp.cos(a).T @ b, lambda a, b: np.cos(a).T @ b, (70, 33), (70, 29)
    ),
    "dot_general": Case(
        lambda a, b: jnp.einsum("bihd,bjhd->bhij", a, b),
        (array(2, 35, 3, 16, scale=0.25), array(2, 33, 3, 16, seed=1)),
        lambda a, b: np.einsum("bihd,bjhd->bhij", a, b),
        {"tile": (16, 16)},
        loose=10,
    ),
    "dot_general over three axes": Case(
        lambda a, b: jnp.tensordot(a, b, ((0, 1, 2), (0, 1, 2))),
        (array(3, 2, 35, 20, scale=1 / 14), array(3, 2, 35, 21, seed=1)),
        lambda a, b: np.tensordot(a, b, ((0, 1, 2), (0, 1, 2))),
        {"tile": (16, 16)},
        loose=10,
    ),
    "modes of a Fourier layer": Case(  # real and imaginary parts as rows, one product for each mode
        lambda x, w: jnp.einsum("mbi,mio->mbo", x, w),
        (array(12, 4, 35, scale=0.25), array(12, 35, 18, seed=1)),
        lambda x, w: np.einsum("mbi,mio->mbo", x, w),
        {"tile": (16, 16)},
        loose=10,
    ),
    "heads split off a product": Case(
        lambda x, w: op.matmul(x, w).reshape(2, 35, 4, 8).transpose(0, 2, 1, 3),
        (array(2, 35, 70), array(70, 32, scale=1 / 8)),
        lambda x, w: (x @ w).reshape(2, 35, 4, 8).transpose(0, 2, 1, 3),
        {"tile": (16, 8)},
        loose=10,
    ),
}


# -- grouped products --------------------------------------------------------------------------------------


def _grouped(
    sizes, rows, inner, columns, *, f=op.grouped_matmul, exact=oracles.grouped_matmul
) -> Case:
    sizes = np.asarray(sizes, np.int32)
    arrays = (
        array(*sizes.shape[:-1], rows, inner),
        array(sizes.shape[-1], inner, columns, seed=1, scale=inner**-0.5),
        sizes,
    )
    return Case(f, arrays, lambda x, w, s: exact(x, w, s.astype(int)), {"tile": (16, 16)}, loose=10)


def _grouped_backward(sizes, rows, inner, columns) -> Case:
    case = _grouped(sizes, rows, inner, columns)
    x, w, sizes = case.arrays
    ct = array(*x.shape[:-1], columns, seed=2, scale=0.25)

    def exact(x, w, s, ct):
        return oracles.grouped_matmul_bwd(x, w, s.astype(int), ct)

    return Case(
        grouped_matmul_bwd, (x, w, sizes, ct), exact, {"tile": (16, 16), "inner": 16}, loose=10
    )


RAGGED = {"one group": [33], "empty groups": [0, 20, 0, 0, 9, 0], "tile±1": [15, 16, 17, 1]}
GROUPED = {
    "one row": _grouped([0, 1, 0], 1, 5, 3),
    "one of each": _grouped([1], 1, 1, 1),
    "no rows in any group": _grouped([0, 0, 0], 19, 7, 18),
    "rows beyond the last group": _grouped([3, 0, 11], 37, 33, 17),
    "more than there are rows": _grouped([20, 40], 35, 16, 16),
    "small groups in one block": _grouped([1, 2, 0, 3, 1, 1, 2], 11, 18, 33),
    "batches": _grouped([[5, 0, 13], [0, 19, 0]], 19, 17, 33),
    "an epilogue": _grouped(
        [7, 9, 1],
        19,
        33,
        17,
        f=lambda x, w, s: op.silu(op.grouped_matmul(jnp.tanh(x), w, s)),
        exact=lambda x, w, s: oracles.ACTIVATIONS["silu"](oracles.grouped_matmul(np.tanh(x), w, s)),
    ),
    **{f"{name}": _grouped(sizes, sum(sizes) + 2, 37, 41) for name, sizes in RAGGED.items()},
    "backward, one row": _grouped_backward([0, 1, 0], 1, 5, 3),
    "backward, batches": _grouped_backward([[5, 0, 13], [0, 19, 0]], 19, 17, 33),
    "backward, one group of rows": _grouped_backward([0, 35, 0], 35, 1, 1),
    **{
        f"backward, {name}": _grouped_backward(sizes, sum(sizes) + 2, 37, 20)
        for name, sizes in RAGGED.items()
    },
}


# -- runs of rows ------------------------------------------------------------------------------------------


def _runs(ends, rows, columns, kind) -> Case:
    ends = np.asarray(ends, np.int32)
    arrays = (array(*ends.shape[:-1], rows, columns), ends)
    # In fp32 and narrower an empty run has a maximum that float64 has not.
    exact = partial(oracles.run_reduce, op=kind)
    return Case(
        lambda x, ends: run_reduce.bind(x, ends, op=kind),
        arrays,
        lambda x, ends: exact(x, ends.astype(int)),
        {"tile": (16, 16)},
        loose=4,
    )


RUNS = {
    "one row": _runs([1], 1, 1, "sum"),
    "empty runs": _runs([0, 3, 3, 20, 20, 33], 35, 17, "sum"),
    "no rows in any run": _runs([0, 0], 5, 3, "sum"),
    "batches": _runs([[5, 16], [0, 33]], 33, 1, "sum"),
    "maxima": _runs([1, 17, 33, 50], 50, 19, "max"),
    "maxima of batches": _runs([[5, 16], [1, 33]], 33, 2, "max"),
}


# -- trees of sums -----------------------------------------------------------------------------------------


def _level(*shape, compensated=False) -> Case:
    arrays = (array(*shape), 1e-3 * array(*shape, seed=1)) if compensated else (array(*shape),)
    f = partial(add_rows.bind, compensated=compensated)
    exact = partial(oracles.add_rows, compensated=compensated)
    return Case(
        lambda *xs: tuple(y for y in f(*xs) if y is not None),
        arrays,
        lambda *xs: tuple(y for y in exact(*xs) if y is not None),
        {"tile": (8, 16)},
        loose=4,
    )


TREES = {
    "one entry": _level(1, 2, 1),
    "a level": _level(2, 9, 16, 17),
    "three rows": _level(5, 3, 33),
}


# -- rows --------------------------------------------------------------------------------------------------


def _rows(f, exact, *shape, weights=0, blocks=None) -> Case:
    arrays = (array(*shape), *(array(shape[-1], seed=s) for s in range(1, weights + 1)))
    blocks = {"tile": (16, shape[-1])} if blocks is None else blocks
    return Case(f, arrays, exact, blocks if len(shape) > 1 else {}, loose=4)


_softmax = partial(oracles.softmax, axis=-1)
ROWS = {
    "softmax of a line": _rows(op.softmax, _softmax, 70),
    "softmax 5x1": _rows(op.softmax, _softmax, 5, 1),
    "softmax tile+1": _rows(op.softmax, _softmax, 4, 17, 31),
    "softmax tile-1": _rows(op.softmax, _softmax, 15, 129),
    "softmax in wide blocks": _rows(op.softmax, _softmax, 53, 70, blocks={"tile": (16, 128)}),
    "softmax inside a chain": _rows(
        lambda x: op.softmax(0.5 * x) * 3.0, lambda x: 3 * _softmax(x / 2), 53, 33
    ),
    "rmsnorm": _rows(lambda x, w: op.rmsnorm(x, weight=w), oracles.rmsnorm, 3, 17, 33, weights=1),
    "rmsnorm in wide blocks": _rows(
        op.rmsnorm, oracles.rmsnorm, 53, 70, blocks={"tile": (16, 128)}
    ),
    "layernorm": _rows(
        lambda x, w, b: op.layernorm(x, weight=w, bias=b), oracles.layernorm, 53, 33, weights=2
    ),
    "layernorm in wide blocks": _rows(
        op.layernorm, oracles.layernorm, 3, 17, 70, blocks={"tile": (16, 128)}
    ),
    "rmsnorm of merged heads": Case(
        lambda x, w: jnp.tanh(op.rmsnorm(x.transpose(0, 2, 1, 3), weight=w)),
        (array(2, 35, 3, 16), array(16, seed=1)),
        lambda x, w: np.tanh(oracles.rmsnorm(x.transpose(0, 2, 1, 3), w)),
        {"tile": (16, 16)},
        loose=4,
    ),
}


# -- elementwise chains ------------------------------------------------------------------------------------


def _views(x, row, column, scalar):
    turned = jnp.tanh(x).transpose(1, 0, 2)
    return turned * row + jnp.expand_dims(column, (1, 2)) - scalar


CHAINS = {
    "activations": Case(
        lambda x: op.gelu(x) + op.silu(x) * op.tanh(x),
        (array(33, 40),),
        lambda x: oracles.gelu(x) + x / (1 + np.exp(-x)) * np.tanh(x),
        {"tile": (16, 16)},
        loose=3,
    ),
    "choice": Case(
        lambda x: jnp.where((x > 0) & ~(x >= 1), x, jnp.clip(x, -0.5, 0.25)),
        (array(1500),),
        lambda x: np.where((x > 0) & ~(x >= 1), x, np.clip(x, -0.5, 0.25)),
        {},
    ),
    "a number": Case(lambda x: jnp.exp(x) + 1, (array(),), lambda x: np.exp(x) + 1, {}),
    "views": Case(
        _views,
        (array(4, 33, 150), array(1, 1, 150), array(33), array()),
        lambda x, r, c, s: np.tanh(x).transpose(1, 0, 2) * r + c[:, None, None] - s,
        {"tile": (4, 64)},
        loose=3,
    ),
    "an array beside its transpose": Case(
        lambda x: jnp.tanh(x) - x.T,
        (array(37, 37),),
        lambda x: np.tanh(x) - x.T,
        {"tile": (16, 16)},
        loose=3,
    ),
}


# -- attention ---------------------------------------------------------------------------------------------


def attention(
    rows, keys, *, heads=4, groups=2, depth=16, width=16, inner=16, extras=(), **statics
) -> Case:
    """Returns attention of 2 sequences, in blocks of 16 queries and `inner` keys."""
    arrays = [
        array(2, heads, rows, depth),
        array(2, groups, keys, depth, seed=1),
        array(2, groups, keys, width, seed=2),
    ]
    made = {
        "mask": array(2, 1, rows, keys, seed=3) > -0.5,
        "sinks": array(heads, seed=4),
    }
    arrays += [made[name] for name in extras]

    def f(q, k, v, *others):
        return op.flash_attention(q, k, v, **dict(zip(extras, others, strict=True)), **statics)

    def exact(q, k, v, *others):
        given = dict.fromkeys(("mask", "sinks")) | dict(zip(extras, others, strict=True))
        shared = heads // groups
        if given["mask"] is not None:
            given["mask"] = given["mask"][:, :, None]
        if given["sinks"] is not None:
            given["sinks"] = given["sinks"].reshape(groups, shared)
        settings = {"causal": False, "window": None, "scale": depth**-0.5} | statics
        q = q.reshape(2, groups, shared, rows, depth)
        out = oracles.flash_attention(q, k, v, **given, **settings)
        return out.reshape(2, heads, rows, width)

    return Case(f, tuple(arrays), exact, {"tile": (16, width), "inner": inner}, loose=5)


ATTENTION = {
    "whole": attention(48, 48),
    "one query": attention(1, 50, causal=True),
    "one key": attention(17, 1),
    "one of each": attention(1, 1, causal=True),
    "causal": attention(53, 53, causal=True),
    "causal, later queries": attention(31, 61, causal=True),
    "causal, queries that see nothing": attention(61, 31, causal=True),
    "window": attention(53, 53, window=7),
    "causal window": attention(53, 53, causal=True, window=20),
    "causal window, tile+1": attention(49, 65, causal=True, window=17),
    "mask": attention(35, 61, extras=("mask",)),
    "causal mask": attention(53, 53, causal=True, extras=("mask",)),
    "sinks": attention(35, 61, extras=("sinks",), causal=True),
    "mask and sinks": attention(17, 47, extras=("mask", "sinks")),
    "its own width": attention(35, 50, depth=12, width=20, heads=3, groups=3),
    "one group": attention(35, 50, heads=4, groups=1, causal=True, inner=8),
}


def _merged_attention(q, k, v):
    q, k, v = (x.reshape(2, -1, 4, 8).transpose(0, 2, 1, 3) for x in (q, jnp.tanh(k), v))
    out = op.flash_attention(q, k, v, causal=True)
    return out.transpose(0, 2, 1, 3).reshape(2, -1, 32)


def _exact_merged_attention(q, k, v):
    q, k, v = (x.reshape(2, -1, 4, 8).transpose(0, 2, 1, 3) for x in (q, np.tanh(k), v))
    out = oracles.flash_attention(
        q[:, :, None], k, v, None, None, causal=True, window=None, scale=8**-0.5
    )
    return out[:, :, 0].transpose(0, 2, 1, 3).reshape(2, -1, 32)


ATTENTION["merged heads"] = Case(
    _merged_attention,
    (array(2, 35, 32), array(2, 35, 32, seed=1), array(2, 35, 32, seed=2)),
    _exact_merged_attention,
    {"tile": (16, 8), "inner": 16},
    loose=5,
)

CASES: Mapping[str, Case] = {
    **PRODUCTS,
    **{f"grouped, {name}": case for name, case in GROUPED.items()},
    **{f"runs, {name}": case for name, case in RUNS.items()},
    **{f"tree, {name}": case for name, case in TREES.items()},
    **ROWS,
    **CHAINS,
    **{f"attention, {name}": case for name, case in ATTENTION.items()},
}
