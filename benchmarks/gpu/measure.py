"""Tile programs on this GPU against XLA, cuBLAS, cuDNN and torch, in turn; configurations tuned beside them.

    python benchmarks/gpu/measure.py --out measure.json --tune

A candidate is one compiled program that applies the op to several sets of operands, so that launches cost
little and no set stays in the cache. The candidates of a case take turns, round after round; figures are
medians. Ceilings are a large copy and a large product on the same machine, minutes apart at most.
"""

import argparse
import importlib
import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import (
    Attention,
    attention,
    bytes_of,
    cost_of_attention,
    grouped,
    is_float,
    normal,
    product,
    rows,
)  # fmt: skip
from check import run_tiles_everywhere

from tessera import ops
from tessera.core.op import registered_op
from tessera.ir.attributes import to_attribute
from tessera.ir.graph import jax_type
from tessera.lowering import SCHEDULE_PASSES, run_passes
from tessera.lowering.choose import groups_of
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.kernels import kernels_for
from tessera.lowering.rule import Context
from tessera.runtime import peaks

ROUNDS = 7
LEAST_SECONDS = 0.01  # of one timed call: several launches of each set
SETS = 24
SET_BYTES = 1 << 29  # operands of all sets together, at most; at least two sets

Function = Callable[..., Any]


@dataclass(frozen=True)
class Timed:
    """A case to time: what runs, on what, what it costs, and who else computes it."""

    name: str
    dtype: str
    operands: Callable[[jax.Array], tuple[Any, ...]]
    ways: dict[str, Function]
    flops: float = 0.0
    torch: str = ""  # the name of the peer in `peers.py`
    statics: dict[str, Any] = field(default_factory=dict[str, Any])
    tunes: tuple[dict[str, Any], ...] = ()
    op: str = ""


# -- cases ---------------------------------------------------------------------------------------------


def cases() -> Iterator[Timed]:
    yield from _grouped()
    yield from _segments()
    yield from _products()
    yield from _rows()
    yield from _attentions()


def _products() -> Iterator[Timed]:
    tunes = tuple(
        {"tile": (m, n), "inner": k, "warps": w, "depth": s}
        for m, n, k, w, s in (
            (128, 256, 64, 8, 3), (128, 256, 64, 8, 4), (128, 128, 64, 8, 3), (128, 128, 64, 4, 4),
            (256, 128, 64, 8, 3), (64, 128, 64, 4, 4),
        )
    )  # fmt: skip
    for n in (1024, 4096, 8192):
        case = product((n, n), (n, n), "bfloat16", "bias_gelu_residual")

        def plain(a: Any, b: Any, bias: Any, residual: Any) -> Any:
            y = jnp.matmul(a, b, preferred_element_type=jnp.float32)
            return (jax.nn.gelu(y + bias, approximate=False) + residual).astype(a.dtype)

        ways = {"xla": plain, "tile": case.run("tile")}
        gradients = {name: _backward(way) for name, way in ways.items()}
        name = f"matmul+bias+gelu+residual {n}^3 forward+backward"
        yield Timed(name, "bfloat16", case.make, gradients, 6.0 * n**3, "matmul grad", case.statics)
        yield Timed(
            f"matmul+bias+gelu+residual {n}^3", "bfloat16", case.make, ways, 2.0 * n**3, "matmul",
            case.statics, tunes, "matmul",
        )  # fmt: skip


def _grouped() -> Iterator[Timed]:
    tunes = tuple(
        {"tile": (m, n), "inner": k, "warps": w, "depth": s}
        for m, n, k, w, s in (
            (128, 128, 64, 8, 3), (128, 128, 64, 4, 3), (64, 128, 64, 4, 3), (64, 256, 64, 8, 3),
            (128, 256, 64, 8, 3), (64, 64, 64, 4, 4), (16, 64, 64, 4, 4),
        )
    )  # fmt: skip
    for n, inner, columns, groups in (
        (16384, 2048, 4096, 8), (16384, 2048, 1024, 64), (256, 2048, 1024, 64)
    ):  # fmt: skip
        share = np.random.default_rng(groups).dirichlet(np.full(groups, 4.0))
        sizes = np.random.default_rng(0).multinomial(n, share)
        case = grouped(n, inner, columns, tuple(map(int, sizes)), "bfloat16")
        ways = {"xla": jax.lax.ragged_dot, "tile": case.run("tile")}
        flops = 2.0 * n * inner * columns
        name = f"grouped matmul {n}x{inner}x{columns} of {groups} groups"
        yield Timed(
            name, "bfloat16", case.make, ways, flops, "grouped", {}, tunes, "grouped_matmul"
        )
        gradients = {name: _backward(way) for name, way in ways.items()}
        yield Timed(
            f"{name} forward+backward", "bfloat16", case.make, gradients, 3 * flops, "grouped grad"
        )


def _segments() -> Iterator[Timed]:
    n, columns, segments = 1 << 18, 128, 1 << 14

    def make(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 2)
        return normal(keys[0], (n, columns), "float32"), jax.random.randint(
            keys[1], (n,), 0, segments
        )

    ways = {
        "xla": partial(jax.ops.segment_sum, num_segments=segments),
        "tile": partial(ops.segment_reduce, num_segments=segments),
    }
    yield Timed(f"segment sum {n}x{columns} into {segments}", "float32", make, ways, 0.0, "segment")

    def line(key: jax.Array) -> tuple[Any, ...]:
        return (normal(key, (1 << 24,), "float32"),)

    sums = {
        "xla": jnp.sum,
        "tree": ops.reduce_sum,
        "kahan": partial(ops.reduce_sum, method="kahan"),
    }
    yield Timed("sum of 2^24", "float32", line, sums)


def _rows() -> Iterator[Timed]:
    for shape in ((4096, 1024), (16384, 4096), (4096, 16384)):
        for case in rows(shape, "bfloat16"):
            plain = PLAIN[case.op]
            tunes = tuple(
                {"tile": (r, shape[1]), "warps": w}
                for r, w in ((1, 2), (1, 4), (1, 8), (1, 16), (2, 4), (4, 4), (4, 8))
                if r * shape[1] <= 2**15
            )
            size = f"{shape[0]}x{shape[1]}"
            ways = {"xla": plain, "tile": case.run("tile")}
            yield Timed(
                f"{case.op} {size}",
                "bfloat16",
                case.make,
                ways,
                0.0,
                case.op,
                case.statics,
                tunes,
                case.op,
            )
            ways = {"xla": _backward(plain), "tile": _backward(case.run("tile"))}
            yield Timed(
                f"{case.op} {size} forward+backward",
                "bfloat16",
                case.make,
                ways,
                0.0,
                f"{case.op} grad",
            )


def _attentions() -> Iterator[Timed]:
    sizes = (
        Attention(2, 16, 1, 4096, 4096, 128, {"causal": True}),
        Attention(4, 16, 1, 2048, 2048, 64, {"causal": True}),
        Attention(2, 16, 1, 4096, 4096, 128),
        Attention(2, 4, 4, 4096, 4096, 128, {"causal": True}),
        Attention(1, 16, 1, 8192, 8192, 128, {"causal": True}),
        Attention(8, 16, 1, 512, 512, 64, {"causal": True}),
        Attention(8, 16, 1, 256, 256, 64, {"causal": True}),
    )
    yield from _wide_attention(Attention(4, 16, 1, 2048, 2048, 64, {"causal": True}))
    tunes = tuple(
        {"tile": (q, None), "inner": k, "warps": w, "depth": s}
        for q, k, w, s in (
            (128, 64, 4, 3), (128, 64, 8, 3), (128, 128, 8, 2), (128, 128, 8, 3), (64, 64, 4, 3),
            (128, 64, 8, 2), (128, 32, 4, 4),
        )
    )  # fmt: skip
    for size in sizes:
        (case,) = attention(size, "bfloat16")
        label = f"attention {case.label}"
        cudnn = partial(_cudnn, causal=bool(size.statics.get("causal")))
        ways = {"xla": case.run("reference"), "tile": case.run("tile"), "cudnn": cudnn}
        if size.queries > 4096:
            del ways["xla"]  # its scores alone are 2 GB a head group
        fitted = tuple({**t, "tile": (t["tile"][0], size.depth)} for t in tunes)
        yield Timed(
            label, "bfloat16", case.make, ways, cost_of_attention(size, backward=False), "attention",
            {**case.statics}, fitted, "flash_attention",
        )  # fmt: skip
        ways = {"tile": _backward(case.run("tile")), "cudnn": _backward(cudnn)}
        flops = cost_of_attention(size, backward=False) + cost_of_attention(size, backward=True)
        yield Timed(
            f"{label} forward+backward",
            "bfloat16",
            case.make,
            ways,
            flops,
            "attention grad",
            {**case.statics},
        )


def _wide_attention(size: Attention) -> Iterator[Timed]:
    """Yields attention in float32, which XLA multiplies in TF32."""
    (case,) = attention(size, "float32")
    ways = {"xla": case.run("reference"), "tile": case.run("tile")}
    name = f"attention {case.label} float32"
    flops = cost_of_attention(size, backward=False)
    yield Timed(name, "float32", case.make, ways, flops, "attention", {**case.statics})


def _plain_softmax(x: Any) -> Any:
    return jax.nn.softmax(x.astype(jnp.float32), axis=-1).astype(x.dtype)


def _plain_rmsnorm(x: Any, weight: Any) -> Any:
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + 1e-5)
    return (wide * scale * weight).astype(x.dtype)


def _plain_layernorm(x: Any, weight: Any, bias: Any) -> Any:
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, -1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred * centred, -1, keepdims=True) + 1e-5)
    return (centred * scale * weight + bias).astype(x.dtype)


PLAIN = {"softmax": _plain_softmax, "rmsnorm": _plain_rmsnorm, "layernorm": _plain_layernorm}


def _cudnn(q: Any, k: Any, v: Any, *_absent: Any, causal: bool) -> Any:
    b, g, r, i, d = q.shape
    heads = jnp.moveaxis(q.reshape(b, g * r, i, d), 1, 2)
    keys, values = (jnp.moveaxis(x, 1, 2) for x in (k, v))
    out = jax.nn.dot_product_attention(
        heads, keys, values, is_causal=causal, implementation="cudnn"
    )
    return jnp.moveaxis(out, 2, 1).reshape(b, g, r, i, d)


def _backward(function: Function) -> Function:
    """Returns the gradients of <f(x), ct> for all operands, ct being the first operand."""

    def run(*operands: Any) -> Any:
        moving = [i for i, x in enumerate(operands) if is_float(x)]

        def of(*xs: Any) -> Any:
            mixed = list(operands)
            for i, x in zip(moving, xs, strict=True):
                mixed[i] = x
            return function(*mixed)

        out, pull = jax.vjp(of, *(operands[i] for i in moving))
        ct = operands[0] if operands[0].shape == out.shape else jnp.ones_like(out)
        return out, pull(ct)

    return run


# -- timing --------------------------------------------------------------------------------------------


def over_sets(function: Function) -> Function:
    """Returns a function of several operand sets that applies another to each."""
    return lambda sets: [function(*operands) for operands in sets]


def measure(case: Timed, tune: bool, peers: Any) -> dict[str, Any]:
    """Returns the record of one case: seconds per application of every candidate."""
    first = case.operands(jax.random.key(0))
    count = max(2, min(SETS, SET_BYTES // max(1, bytes_of(first))))
    sets = [case.operands(jax.random.key(i)) for i in range(count)]
    programs: dict[str, Callable[[], None]] = {}
    failed: dict[str, str] = {}
    configs: dict[str, dict[str, Any]] = {}
    ways = dict(case.ways)
    for number, config in enumerate(case.tunes if tune else ()):
        name = f"tile#{number}"
        configs[name] = config
        ways[name] = partial(_planned(case, first, config))
    for name, way in ways.items():
        try:
            compiled = jax.jit(over_sets(way)).lower(sets).compile()
            jax.block_until_ready(compiled(sets))
            programs[name] = partial(_jax_call, compiled, sets)
        except Exception as error:  # noqa: BLE001 - a candidate that cannot run is reported, not fatal
            failed[name] = f"{type(error).__name__}: {error}"[:300]
    if peers is not None and case.torch:
        try:
            programs["torch"] = peers.make(case.torch, sets, case.statics)
        except Exception as error:  # noqa: BLE001 - as above
            failed["torch"] = f"{type(error).__name__}: {error}"[:300]
    seconds = interleave(programs)
    medians = {name: statistics.median(times) / count for name, times in seconds.items()}
    moved = bytes_of(first) + bytes_of(jax.eval_shape(next(iter(case.ways.values())), *first))
    return {
        "case": case.name,
        "dtype": case.dtype,
        "op": case.op,
        "sets": count,
        "flops": case.flops,
        "bytes": moved,
        "seconds": medians,
        "spread": {n: [min(t) / count, max(t) / count] for n, t in seconds.items()},
        "configs": configs,
        "failed": failed,
    }


def _jax_call(compiled: Function, sets: Any, repeats: int = 1) -> None:
    out = None
    for _ in range(repeats):
        out = compiled(sets)
    jax.block_until_ready(out)


def interleave(programs: dict[str, Callable[..., None]]) -> dict[str, list[float]]:
    """Returns the seconds of one call of each program, round after round."""
    repeats: dict[str, int] = {}
    for name, run in programs.items():
        start = time.perf_counter()
        run(repeats=2)
        each = (time.perf_counter() - start) / 2
        repeats[name] = max(1, min(200, round(LEAST_SECONDS / max(each, 1e-6))))
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, run in programs.items():
            start = time.perf_counter()
            run(repeats=repeats[name])
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return seconds


def _planned(case: Timed, operands: tuple[Any, ...], config: dict[str, Any]) -> Function:
    """Returns the tile program of an op in a configuration of its own, as a function of the operands."""
    types = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in operands if x is not None]
    present = [x is not None for x in operands]

    def bound(*live: Any) -> Any:
        rest = iter(live)
        mixed = [next(rest) if there else None for there in present]
        return registered_op(case.op).bind(*mixed, algorithm="tile", **case.statics)

    module = capture(jax.make_jaxpr(bound)(*types), case.op)
    context = Context(peaks.device("cuda"))
    run_passes(module, context, SCHEDULE_PASSES)
    (group,) = groups_of(module)
    rows_, columns = jax_type(group.results[0]).shape[-2:]
    padded = tuple(-(-n // t) * t for n, t in zip((rows_, columns), config["tile"], strict=True))
    for name, value in {**config, "padded": padded}.items():
        group.attributes[name] = to_attribute(value)
    kernels = kernels_for(group, "cuda")

    def run(*given: Any) -> Any:
        return kernels(*(x for x in given if x is not None))

    return run


# -- ceilings and environment --------------------------------------------------------------------------


def ceilings() -> dict[str, float]:
    """Returns the bytes per second of a large copy and the operations per second of a large bf16 product."""
    x = jax.random.normal(jax.random.key(0), (1 << 28,), jnp.float32)
    copy = jax.jit(lambda x: x + 1.0).lower(x).compile()
    a, b = (jax.random.normal(jax.random.key(i), (8192, 8192)).astype(jnp.bfloat16) for i in (1, 2))
    dot = jax.jit(jnp.matmul).lower(a, b).compile()
    programs = {
        "copy": lambda repeats=1: _repeat(copy, (x,), repeats),
        "dot": lambda repeats=1: _repeat(dot, (a, b), repeats),
    }
    found = {name: statistics.median(times) for name, times in interleave(programs).items()}
    return {
        "copy_bytes_per_second": 2.0 * x.nbytes / found["copy"],
        "dot_flops_per_second": 2.0 * 8192**3 / found["dot"],
    }


def _repeat(compiled: Function, operands: Sequence[Any], repeats: int) -> None:
    out = None
    for _ in range(repeats):
        out = compiled(*operands)
    jax.block_until_ready(out)


def environment() -> dict[str, str]:
    """Returns the device and the versions of what ran."""
    found = {"device": jax.devices()[0].device_kind, "python": sys.version.split()[0]}
    for name in (
        "jax",
        "jaxlib",
        "jax-triton",
        "triton",
        "torch",
        "nvidia-cudnn-cu13",
        "nvidia-cublas",
    ):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    query = [
        "nvidia-smi",
        "--query-gpu=driver_version,clocks.max.sm,power.limit",
        "--format=csv,noheader",
    ]
    found["driver, clock, power"] = subprocess.run(
        query, capture_output=True, text=True, check=False
    ).stdout.strip()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--tune", action="store_true", help="time every configuration too")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no case after this long")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    peers = None
    if not options.no_torch:
        peers = importlib.import_module("peers")  # torch is needed by this alone
    run_tiles_everywhere()  # the backward of a candidate `tile` is one too
    begun = time.perf_counter()
    report: dict[str, Any] = {"environment": environment(), "ceilings": ceilings(), "cases": []}
    print(json.dumps({k: report[k] for k in ("environment", "ceilings")}), flush=True)
    for case in cases():
        if options.only not in case.name:
            continue
        if time.perf_counter() - begun > options.seconds:
            print(f"out of time before {case.name}", flush=True)
            break
        record = measure(case, options.tune, peers)
        report["cases"].append(record)
        _show(record)
        if options.out:
            options.out.write_text(json.dumps(report, indent=1) + "\n")


def _show(record: dict[str, Any]) -> None:
    times = record["seconds"]
    words = [f"{name} {t * 1e6:.1f}" for name, t in times.items() if "#" not in name]
    tuned = [(t, name) for name, t in times.items() if "#" in name]
    if tuned:
        best, name = min(tuned)
        words.append(f"best {best * 1e6:.1f} us {record['configs'][name]}")
    if "tile" in times:
        rate = (
            record["flops"] / times["tile"] / 1e12
            if record["flops"]
            else record["bytes"] / times["tile"] / 1e12
        )
        words.append(f"tile at {rate:.3g} T{'FLOP' if record['flops'] else 'B'}/s")
    failed = "".join(f"\n    {name}: {why}" for name, why in record["failed"].items())
    print(f"{record['case']}: {', '.join(words)}{failed}", flush=True)


if __name__ == "__main__":
    main()
