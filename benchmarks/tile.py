"""Tile programs on a CPU against plain JAX and against the op as it runs, interleaved.

    python benchmarks/tile.py --clock cpu --out tile.json      one core, processor seconds
    python benchmarks/tile.py --clock wall --only attention    all cores, elapsed seconds

A candidate is the op's tile program, cut into the blocks its name says, through loops of StableHLO. Every
candidate is checked against plain JAX before it is timed.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tessera
from tessera import op
from tessera.autotune.measure import CLOCKS, interleave
from tessera.ir.attributes import to_attribute
from tessera.lowering.choose import groups_of
from tessera.lowering.emit_stablehlo import emit
from tessera.lowering.schedule_to_tile import kernels_of

Function = Callable[..., Any]
Record = dict[str, Any]

TOLERANCE = 2e-4  # relative to the largest value; float32 sums of up to 2048 terms in another order
BASELINE, OP = "plain JAX", "op"
ROUNDS = 7


@dataclass(frozen=True)
class Blocks:
    """Rows and columns of a program's block, and of the axis it loops over where it has one."""

    rows: int
    columns: int
    inner: int | None = None

    def __str__(self) -> str:
        return f"{self.rows}x{self.inner or self.columns}"

    def attributes(self) -> dict[str, Any]:
        """Returns what a group of the schedule says of them."""
        found: dict[str, Any] = {"tile": (self.rows, self.columns), "inner": self.inner}
        return {name: to_attribute(x) for name, x in found.items() if x is not None}


@dataclass(frozen=True)
class Case:
    """A name, the arguments, the same result from plain JAX and from an op, and blocks to try."""

    name: str
    arguments: tuple[jax.Array, ...]
    baseline: Function
    candidate: Function
    blocks: Sequence[Blocks]


def cases() -> list[Case]:
    """Returns every case."""
    return [_attention(), *_rows(), _product()]


def _attention() -> Case:
    q, k, v = (_normal(1, 8, 2048, 64) for _ in range(3))
    sizes = [(128, 64), (128, 128), (256, 64), (256, 128), (256, 256), (512, 64)]
    blocks = [Blocks(rows, 64, keys) for rows, keys in sizes]
    candidate = partial(op.flash_attention, causal=True)
    return Case("attention T=2048", (q, k, v), _naive_attention, candidate, blocks)


def _rows() -> list[Case]:
    x, w, b = _normal(4096, 1024), _normal(1024), _normal(1024)
    blocks = [Blocks(rows, 1024) for rows in (16, 128)]
    return [
        Case("softmax 4096x1024", (x,), jax.nn.softmax, op.softmax, blocks),
        Case("layernorm 4096x1024", (x, w, b), _plain_layernorm, _layernorm, blocks),
        Case("rmsnorm 4096x1024", (x, w), _plain_rmsnorm, _rmsnorm, blocks),
    ]


def _product() -> Case:
    a, b, bias = _normal(1024, 1024), _normal(1024, 1024), _normal(1024)
    return Case(
        "matmul+bias+gelu 1024", (a, b, bias), _plain_product, _fused_product, [Blocks(128, 128)]
    )


def _normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


# -- plain JAX and the ops ---------------------------------------------------------------------------------


def _naive_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    scores = jnp.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    seen = jnp.tril(jnp.ones((q.shape[2], k.shape[2]), bool))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return jnp.einsum("bhij,bhjd->bhid", weights, v)


def _plain_layernorm(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * w + b


def _plain_rmsnorm(x: jax.Array, w: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * w


def _plain_product(a: jax.Array, b: jax.Array, bias: jax.Array) -> jax.Array:
    return jax.nn.gelu(a @ b + bias, approximate=False)


def _layernorm(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return op.layernorm(x, weight=w, bias=b)


def _rmsnorm(x: jax.Array, w: jax.Array) -> jax.Array:
    return op.rmsnorm(x, weight=w)


def _fused_product(a: jax.Array, b: jax.Array, bias: jax.Array) -> jax.Array:
    return op.matmul(a, b, bias=bias, epilogue="bias_gelu")


# -- measuring ---------------------------------------------------------------------------------------------


def tiled(function: Function, arguments: Sequence[jax.Array], blocks: Blocks) -> Function:
    """Returns what computes a function of one group by its tile program, cut into blocks."""
    (group,) = groups_of(tessera.compile(function).plan(*arguments).schedule)
    group.attributes.pop("padded", None)
    group.attributes.update(blocks.attributes())
    (kernel,) = kernels_of(group, 0)
    run = emit(kernel)
    return lambda *arrays: run(*arrays)[0]


def measure(case: Case, clock: str) -> list[Record]:
    """Returns the records of a case: the op and each tile program against plain JAX and against the op."""
    functions = {BASELINE: case.baseline, OP: case.candidate} | {
        f"tile {blocks}": tiled(case.candidate, case.arguments, blocks) for blocks in case.blocks
    }
    ways = {name: jax.jit(f).lower(*case.arguments).compile() for name, f in functions.items()}
    wanted = ways[BASELINE](*case.arguments)
    for name, way in ways.items():
        _check(f"{case.name}, {name}", way(*case.arguments), wanted)
    calls = {name: (lambda way=way: way(*case.arguments)) for name, way in ways.items()}
    timings = interleave(calls, rounds=ROUNDS, clock=clock)
    found: list[Record] = []
    for name in functions:
        if name == BASELINE:
            continue
        ratio, over_op = timings.speedup(name, BASELINE), timings.speedup(name, OP)
        found.append(
            {
                "case": f"{case.name}, {name}",
                "baseline": BASELINE,
                "candidate": "tessera",
                "clock": clock,
                "ratio": ratio.median,
                "lower": ratio.lower,
                "upper": ratio.upper,
                "ratio_over_op": over_op.median,
                "baseline_ms": timings.median(BASELINE) * 1e3,
                "candidate_ms": timings.median(name) * 1e3,
                "baseline_temp_mb": _temporary(ways[BASELINE]),
                "candidate_temp_mb": _temporary(ways[name]),
            }
        )
    return found


def _temporary(way: Any) -> float:
    return way.memory_analysis().temp_size_in_bytes / 2**20


def _check(name: str, found: jax.Array, expected: jax.Array) -> None:
    error = float(jnp.max(jnp.abs(found - expected)) / jnp.max(jnp.abs(expected)))
    if not error < TOLERANCE:
        raise SystemExit(
            f"{name}: differs from plain JAX by {error:.1e}, more than {TOLERANCE:.0e}"
        )


# -- the command -------------------------------------------------------------------------------------------


def _show(record: Record) -> None:
    print(
        f"{record['case']:<40} {record['baseline_ms']:8.2f} ms -> {record['candidate_ms']:8.2f} ms  "
        f"{record['ratio']:5.2f}x [{record['lower']:.2f}-{record['upper']:.2f}]  "
        f"over the op {record['ratio_over_op']:.2f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="cpu")
    parser.add_argument("--out", type=Path, help="write the records here as JSON")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    if options.clock == "cpu":
        # One core, before JAX starts its threads: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    records: list[Record] = []
    for case in cases():
        if options.only in case.name:
            found = measure(case, options.clock)
            for record in found:
                _show(record)
            records += found
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
