"""Ops against plain JAX as a user would write it, interleaved in one run.

    python benchmarks/ops.py --clock cpu --out ops.json      one core, processor seconds
    python benchmarks/ops.py --clock wall --only attention   all cores, elapsed seconds

Every candidate is checked against its baseline before it is timed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera import op
from tessera.autotune.measure import interleave

Function = Callable[..., Any]
TOLERANCE = 2e-4  # relative to the largest value; float32 sums of up to 4096 terms in another order
IMPORT_ROUNDS = 7
TESSERA_IMPORT = "import jax; from tessera import dist, op, pde"


@dataclass(frozen=True)
class Case:
    """A name, the arguments, and the same result from plain JAX and from Tessera."""

    name: str
    arguments: tuple[jax.Array, ...]
    baseline: Function
    candidate: Function


def cases() -> list[Case]:
    """Returns every case. The sines come first: their results must meet a heap that still keeps its pages."""
    groups = (_scalars, _attention, _norms, _others, _spectral, _grouped, _experts)
    return [case for group in groups for case in group()]


def _scalars() -> list[Case]:
    """Returns what XLA runs as a scalar routine per element on a CPU."""
    x, y = _normal(2048, 2048), _normal(2048, 2048)
    inside = jnp.clip(x / 4, -1, 1)
    return [
        Case("sin 16 MB", (30 * x,), jnp.sin, op.sin),
        Case("cos 16 MB", (30 * x,), jnp.cos, op.cos),
        Case("tan 16 MB", (30 * x,), jnp.tan, op.tan),
        Case("asin 16 MB", (inside,), jnp.arcsin, op.asin),
        Case("acos 16 MB", (inside,), jnp.arccos, op.acos),
        Case("atan2 16 MB", (y, x), jnp.arctan2, op.atan2),
        Case("cbrt 16 MB", (x,), jnp.cbrt, op.cbrt),
    ]


def _attention() -> list[Case]:
    q, k, v, ct = (_normal(1, 8, 2048, 64) for _ in range(4))
    candidate = partial(op.flash_attention, causal=True)
    return [
        Case("attention T=2048", (q, k, v), naive_attention, candidate),
        Case(
            "attention T=2048 forward+backward",
            (ct, q, k, v),
            with_gradients(naive_attention),
            with_gradients(candidate),
        ),
    ]


def _norms() -> list[Case]:
    def candidate(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return op.layernorm(x, weight=w, bias=b)

    found = []
    for rows in (512, 4096):
        x, ct, w, b = _normal(rows, 1024), _normal(rows, 1024), _normal(1024), _normal(1024)
        size = f"{rows}x1024"
        found += [
            Case(f"layernorm {size}", (x, w, b), plain_layernorm, candidate),
            Case(
                f"layernorm {size} forward+backward",
                (ct, x, w, b),
                with_gradients(plain_layernorm),
                with_gradients(candidate),
            ),
            Case(f"rmsnorm {size}", (x, w), plain_rmsnorm, lambda x, w: op.rmsnorm(x, weight=w)),
            Case(f"softmax {size}", (x,), jax.nn.softmax, op.softmax),
        ]
    return found


def _others() -> list[Case]:
    a, b = _normal(1024, 1024), _normal(1024, 1024)
    logits = _normal(2048, 4096)
    labels = jnp.asarray(np.random.default_rng(1).integers(0, 4096, 2048), jnp.int32)
    return [
        Case("matmul 1024x1024x1024", (a, b), jnp.matmul, op.matmul),
        Case("gelu 4 MB", (a,), partial(jax.nn.gelu, approximate=False), op.gelu),
        Case("cross_entropy 2048x4096", (logits, labels), plain_cross_entropy, op.cross_entropy),
    ]


def _spectral() -> list[Case]:
    found = []
    for rows, side, width, modes in ((8, 64, 32, 12), (4, 128, 64, 16), (1, 256, 64, 32)):
        x, ct = (_normal(rows, width, side, side) for _ in range(2))
        shape = (width, width, 2 * modes, modes)
        w = lax.complex(_normal(*shape), _normal(*shape)) / width
        for order, weights in (
            ("channels_first", w),
            ("modes_first", jnp.transpose(w, (2, 3, 0, 1))),
        ):
            name = f"spectral_conv {side}x{side}x{width} {order}"
            plain = partial(plain_spectral_conv, modes=modes, weights=order)
            candidate = partial(op.spectral_conv, modes=(modes, modes), weights=order)
            found += [
                Case(name, (x, weights), plain, candidate),
                Case(
                    f"{name} forward+backward",
                    (ct, x, weights),
                    with_gradients(plain),
                    with_gradients(candidate),
                ),
            ]
    return found


def _grouped() -> list[Case]:
    """Returns rows times the matrix of their group, against `lax.ragged_dot`; sizes of groups are random."""
    found = []
    rows, inner, columns = 4096, 512, 2048
    for groups in (8, 64):
        cuts = np.sort(np.random.default_rng(2).integers(0, rows + 1, groups - 1))
        sizes = jnp.asarray(np.diff(cuts, prepend=0, append=rows), jnp.int32)
        x, w = _normal(rows, inner), _normal(groups, inner, columns) / math.sqrt(inner)
        name = f"grouped matmul {rows}x{inner}x{columns}, {groups} groups"
        plain = partial(_ragged_dot, sizes)
        candidate = partial(_grouped_matmul, sizes)
        found.append(Case(name, (x, w), plain, candidate))
        if groups == 8:  # with 64 plain JAX takes 20 s a step
            name = f"{name} forward+backward"
            ct = _normal(rows, columns)
            pair = (with_gradients(plain), with_gradients(candidate))
            found.append(Case(name, (ct, x, w), *pair))
    return found


def _experts() -> list[Case]:
    """Returns top-2 mixtures of two-layer experts, against the same sort around `lax.ragged_dot`."""
    found = []
    width, hidden = 256, 1024
    # The temporaries of 2048 tokens, 36 MB, are those glibc returns to the kernel after each call.
    for experts, tokens in ((8, 2048), (64, 1024), (64, 2048)):
        x, scores = _normal(tokens, width), _normal(tokens, experts)
        up = _normal(experts, width, hidden) / math.sqrt(width)
        down = _normal(experts, hidden, width) / math.sqrt(hidden)
        operands = (x, scores, up, down)
        name = f"moe top-2 of {experts}, {tokens}x{width}x{hidden}"
        found.append(Case(name, operands, ragged_mixture, tessera_mixture))
        if experts == 8:  # with 64 plain JAX takes most of a minute a step
            pair = (with_gradients(ragged_mixture), with_gradients(tessera_mixture))
            found.append(Case(f"{name} forward+backward", (x, *operands), *pair))
    return found


def ragged_mixture(x: jax.Array, scores: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
    top, chosen = lax.top_k(scores, 2)
    gate = jax.nn.softmax(top, axis=-1)
    order = jnp.argsort(chosen.ravel(), stable=True)
    sizes = jnp.bincount(chosen.ravel(), length=scores.shape[1]).astype(jnp.int32)
    rows = x[order // 2]
    hidden = jax.nn.gelu(lax.ragged_dot(rows, up, sizes))
    weighed = lax.ragged_dot(hidden, down, sizes) * gate.ravel()[order][:, None]
    return jnp.zeros_like(x).at[order // 2].add(weighed)


def tessera_mixture(x: jax.Array, scores: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
    return op.moe(x, (_expert, (up, down)), k=2, scores=scores)


def _expert(params: tuple[jax.Array, jax.Array], rows: jax.Array) -> jax.Array:
    return op.matmul(op.gelu(op.matmul(rows, params[0]), approximate=True), params[1])


def _ragged_dot(sizes: jax.Array, x: jax.Array, w: jax.Array) -> jax.Array:
    return lax.ragged_dot(x, w, sizes)


def _grouped_matmul(sizes: jax.Array, x: jax.Array, w: jax.Array) -> jax.Array:
    return op.grouped_matmul(x, w, sizes)


def naive_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    length = q.shape[-2]
    scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    return jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores, axis=-1), v)


def plain_layernorm(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return centred * lax.rsqrt(variance + 1e-5) * w + b


def plain_rmsnorm(x: jax.Array, w: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5) * w


def plain_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=-1))


def plain_spectral_conv(x: jax.Array, w: jax.Array, *, modes: int, weights: str) -> jax.Array:
    last = weights == "channels_first"
    mix = "bixy,ioxy->boxy" if last else "bixy,xyio->boxy"
    full = jnp.fft.rfft2(x)
    out = jnp.zeros_like(full)
    for rows in (slice(None, modes), slice(-modes, None)):
        corner = w[:, :, rows] if last else w[rows]
        mixed = jnp.einsum(mix, full[:, :, rows, :modes], corner)
        out = out.at[:, :, rows, :modes].set(mixed)
    return jnp.fft.irfft2(out, s=x.shape[2:])


def with_gradients(function: Function) -> Function:
    """Returns the function's value and the gradients of all its operands, given a cotangent first."""

    def run(ct: jax.Array, *operands: jax.Array) -> tuple[Any, ...]:
        value, pull = jax.vjp(function, *operands)
        return value, *pull(ct)

    return run


_RANDOM = np.random.default_rng(0)


def _normal(*shape: int) -> jax.Array:
    return jnp.asarray(_RANDOM.normal(size=shape), jnp.float32)


def measure(case: Case, clock: str) -> dict[str, Any]:
    """Returns the record of one case."""
    ways = {
        name: jax.jit(function).lower(*case.arguments).compile()
        for name, function in (("plain JAX", case.baseline), ("tessera", case.candidate))
    }
    _check(case, *(run(*case.arguments) for run in ways.values()))
    timings = interleave(
        {n: (lambda f=f: f(*case.arguments)) for n, f in ways.items()}, clock=clock
    )
    ratio = timings.speedup("tessera", "plain JAX")
    temporaries = {name: _temporary_mb(run) for name, run in ways.items()}
    return {
        "case": case.name,
        "baseline": "plain JAX",
        "candidate": "tessera",
        "clock": clock,
        "ratio": ratio.median,
        "lower": ratio.lower,
        "upper": ratio.upper,
        "baseline_ms": timings.median("plain JAX") * 1e3,
        "candidate_ms": timings.median("tessera") * 1e3,
        "baseline_temp_mb": temporaries["plain JAX"],
        "candidate_temp_mb": temporaries["tessera"],
    }


def _temporary_mb(compiled: Any) -> float:
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def _check(case: Case, expected: Any, found: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        error = float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
        if not error < TOLERANCE:
            raise SystemExit(
                f"{case.name}: differs from plain JAX by {error:.1e} of the largest value"
            )


def measure_import(clock: str) -> dict[str, Any]:
    """Returns the record of JAX with Tessera's modules against JAX alone, in fresh processes, alternated."""
    seconds: dict[str, list[float]] = {"import jax": [], TESSERA_IMPORT: []}
    for _ in range(IMPORT_ROUNDS):
        for statement, found in seconds.items():
            found.append(_import_seconds(statement, clock))
    alone, together = seconds.values()
    ratios = [a / b for a, b in zip(alone, together, strict=True)]
    lower, median, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "case": "import of every module",
        "baseline": "import jax",
        "candidate": "tessera",
        "clock": clock,
        "ratio": median,
        "lower": lower,
        "upper": upper,
        "baseline_ms": statistics.median(alone) * 1e3,
        "candidate_ms": statistics.median(together) * 1e3,
        "baseline_temp_mb": None,
        "candidate_temp_mb": None,
    }


def _import_seconds(statement: str, clock: str) -> float:
    now = {"cpu": "process_time", "wall": "perf_counter"}[clock]
    program = f"import time; t = time.{now}(); {statement}; print(time.{now}() - t)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--out", type=Path, help="write the records here as JSON")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    if options.clock == "cpu":
        # One core, before JAX starts its threads: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    records = []
    for case in cases():
        if options.only in case.name:
            records.append(measure(case, options.clock))
            _show(records[-1])
    if options.only in "import":
        records.append(measure_import(options.clock))
        _show(records[-1])
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


def _show(record: dict[str, Any]) -> None:
    print(
        f"{record['case']:<36} {record['baseline_ms']:9.2f} ms -> {record['candidate_ms']:9.2f} ms  "
        f"{record['ratio']:6.2f}x [{record['lower']:.2f}-{record['upper']:.2f}]",
        flush=True,
    )


if __name__ == "__main__":
    main()
