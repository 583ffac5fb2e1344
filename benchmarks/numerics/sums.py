"""Reproducible sums, dot products, squared errors and collectives against plain JAX, interleaved in one run.

    python benchmarks/numerics/sums.py --clock cpu       one core, processor seconds
    python benchmarks/numerics/sums.py --clock wall      all cores, elapsed seconds
    python benchmarks/numerics/sums.py --collectives     8 simulated devices against psum and psum_scatter

A ratio is how many times as long a method takes as what is plain. Errors are in units in the last place of
the true sum of the case, from `math.fsum`.
"""

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from tessera import dist, op
from tessera.autotune.measure import interleave

Function = Callable[..., Any]
METHODS = ("tree", "compensated", "exact")
DEVICES = 8


@dataclass(frozen=True)
class Case:
    """Operands, the plain function first, and the true value where there is one."""

    name: str
    ways: Mapping[str, Function]
    operands: tuple[jax.Array, ...]
    true: float | None = None


def cases() -> list[Case]:
    """Returns the sums of 1M and 16M float32, in the order of the report."""
    found = []
    for size, word in ((2**20, "1M"), (2**24, "16M")):
        generator = np.random.default_rng(0)
        x, y = (generator.standard_normal(size).astype(np.float32) for _ in range(2))
        both = (jnp.asarray(x), jnp.asarray(y))
        true = math.fsum(x.astype(float).tolist())
        found.append(Case(f"sum of {word}", _ways(jnp.sum, op.reduce_sum), both[:1], true))
        wide = x * np.exp(6 * generator.standard_normal(size)).astype(np.float32)
        true = math.fsum(wide.astype(float).tolist())
        found.append(
            Case(f"sum of {word}, mixed", _ways(jnp.sum, op.reduce_sum), (jnp.asarray(wide),), true)
        )
        true = math.fsum((x.astype(float) * y).tolist())
        found.append(Case(f"dot of {word}", _ways(jnp.vdot, op.dot), both, true))
        found.append(Case(f"mse of {word}", _ways(_plain_mse, op.mse), both))
        gradients = {n: jax.value_and_grad(f) for n, f in _ways(_plain_mse, op.mse).items()}
        found.append(Case(f"mse of {word} with gradient", gradients, both))
    rows = jnp.asarray(np.random.default_rng(1).standard_normal((4096, 1024)), jnp.float32)
    for axis in (0, 1):
        ways = _ways(partial(jnp.sum, axis=axis), partial(op.reduce_sum, axis=axis))
        found.append(Case(f"sum of 4096x1024 over axis {axis}", ways, (rows,)))
    return found


def collectives() -> list[Case]:
    """Returns all-reduces and reduce-scatters of a block per device."""
    mesh = dist.Mesh(axes=["dp"], devices=range(DEVICES))
    found = []
    for size, word in ((2**12, "4096"), (2**20, "1M"), (2**22, "4M")):
        x = jnp.asarray(np.random.default_rng(0).standard_normal((DEVICES, size)), jnp.float32)
        x = dist.tensor(x, layout=dist.ShardSpec((0,), ("dp",)), mesh=mesh)
        for name, function, out in (
            ("all_reduce", dist.all_reduce, P()),
            ("reduce_scatter", dist.reduce_scatter, P("dp")),
        ):
            ways = {
                "psum" if method is None else method: jax.shard_map(
                    lambda x, f=function, m=method: f(x[0], method=m),
                    mesh=mesh.jax,
                    in_specs=P("dp"),
                    out_specs=out,
                )
                for method in (None, "tree", "exact")
            }
            found.append(Case(f"{name} of {word}", ways, (x,)))
    return found


def _ways(plain: Function, ours: Function) -> dict[str, Function]:
    return {"plain": plain, **{method: partial(ours, method=method) for method in METHODS}}


def _plain_mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(prediction - target))


def measure(case: Case, clock: str) -> dict[str, Any]:
    """Returns the record of one case."""
    ways = {name: jax.jit(run).lower(*case.operands).compile() for name, run in case.ways.items()}
    calls = {name: partial(run, *case.operands) for name, run in ways.items()}
    timings = interleave(calls, clock=clock)
    plain, *others = ways
    record: dict[str, Any] = {"case": case.name, "clock": clock, "against": plain}
    for name in ways:
        record[name] = {"ms": timings.median(name) * 1e3}
        if case.true is not None:
            unit = float(np.spacing(np.float32(abs(case.true))))
            record[name]["ulp"] = abs(float(ways[name](*case.operands)) - case.true) / unit
    for name in others:
        ratio = timings.speedup(plain, name)
        record[name] |= {"ratio": ratio.median, "lower": ratio.lower, "upper": ratio.upper}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), default="wall")
    parser.add_argument("--collectives", action="store_true", help="those instead of the sums")
    parser.add_argument("--out", type=Path, help="write the records here as JSON")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    if options.clock == "cpu":
        # One core: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.collectives:
        jax.config.update("jax_num_cpu_devices", DEVICES)
    records = []
    for case in collectives() if options.collectives else cases():
        if options.only in case.name:
            records.append(measure(case, options.clock))
            _show(records[-1])
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


def _show(record: dict[str, Any]) -> None:
    print(record["case"])
    for name in (record["against"], *METHODS):
        if name not in record:
            continue
        of = record[name]
        ratio = f"{of['ratio']:7.2f} [{of['lower']:.2f}-{of['upper']:.2f}]" if "ratio" in of else ""
        error = f"{of['ulp']:9.2f} ulp" if "ulp" in of else ""
        print(f"    {name:<12} {of['ms']:9.3f} ms {error} {ratio}", flush=True)


if __name__ == "__main__":
    main()
