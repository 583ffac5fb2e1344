"""`tessera.compile` on unchanged models against plain `jax.jit`, interleaved; what compiling costs.

    python benchmarks/compiler.py --clock cpu --out compiler.json      one core, processor seconds
    python benchmarks/compiler.py --clock wall --only "Flax block"     all cores, elapsed seconds

A case is the value and gradient of a loss, compiled by Tessera before and after differentiation. Every
result is checked against plain JAX before it is timed.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

import tessera
from tessera.autotune.measure import CLOCKS, Timings, interleave
from tessera.core import primitive
from tessera.lowering import backward, cost, pattern, rewrite

Function = Callable[..., Any]
Model = tuple[Function, tuple[Any, ...]]
Record = dict[str, Any]

STOCK_MODELS = Path(__file__).resolve().parents[1] / "tests" / "stock_models.py"
TOLERANCE = 2e-4  # relative to the largest gradient; float32 sums of up to some thousand terms
LENGTHS = (1024, 2048)
DEPTHS = (4, 12)
COMPILE_LENGTHS = (
    256,
    1024,
)  # at the second, attention runs over tiles, which is the longer program
COMPILE_ROUNDS = 3
CAPTURED_EQUATIONS = 5000
IMPORT_ROUNDS = 7
BASELINE = "plain JAX"
# Tessera inside the derivative, as `jax.grad(tessera.compile(f))`, and around it.
ORDERS: dict[str, Callable[[Function], Function]] = {
    "grad of compiled": lambda loss: jax.value_and_grad(tessera.compile(loss)),
    "compiled grad": lambda loss: tessera.compile(jax.value_and_grad(loss)),
}
WAYS = {BASELINE: jax.value_and_grad} | ORDERS


@dataclass(frozen=True)
class Target:
    """What a case must reach: a ratio over its baseline, or milliseconds beyond it at most."""

    ratio: float | None = None
    extra_ms: float | None = None

    def met(self, record: Record) -> bool:
        """Returns whether a record reaches the target."""
        if self.ratio is not None and record["ratio"] < self.ratio:
            return False
        extra = record["candidate_ms"] - record["baseline_ms"]
        return self.extra_ms is None or extra <= self.extra_ms


# By how the name of the case begins; the first that fits counts.
TARGETS: tuple[tuple[str, Target], ...] = (
    ("Equinox block T=2048", Target(ratio=1.3)),
    ("Flax block T=2048", Target(ratio=1.3)),
    ("compile of T=256", Target(ratio=1 / 1.2)),
    ("capture of", Target(extra_ms=3000)),
    ("import tessera", Target(extra_ms=150)),
    ("model", Target(ratio=0.97)),
)


@dataclass(frozen=True)
class Case:
    """A name, what makes the loss and its arguments, and the rounds it is timed for."""

    name: str
    make: Callable[[], Model]
    rounds: int = 7


def cases() -> list[Case]:
    """Returns the stock models, then the transformer blocks by library, length and depth."""
    stock = _stock_models()
    found = [
        Case(f"model {name}", lambda make=make: make("bench"))
        for name, make in stock.MODELS.items()
    ]
    for library, make in stock.BLOCKS.items():
        for length in LENGTHS:
            for layers in DEPTHS:
                name = f"{library} block T={length} x{layers}"
                rounds = 5 if layers < max(DEPTHS) else 3
                found.append(Case(name, lambda m=make, t=length, n=layers: m(t, n), rounds))
    return found


def _stock_models() -> ModuleType:
    """Returns the models of the tests, which are no package a script could import."""
    spec = importlib.util.spec_from_file_location(STOCK_MODELS.stem, STOCK_MODELS)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no Python file at {STOCK_MODELS}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- time of a call -------------------------------------------------------------------------------------


def measure(case: Case, clock: str) -> list[Record]:
    """Returns the records of one case: each order of compiling and differentiating against plain JAX."""
    loss, arguments = case.make()
    ways = {name: _compile(make(loss), arguments) for name, make in WAYS.items()}
    expected = ways[BASELINE](*arguments)
    for order in ORDERS:
        _check(f"{case.name}, {order}", ways[order](*arguments), expected)
    calls = {name: (lambda way=way: way(*arguments)) for name, way in ways.items()}
    timings = interleave(calls, rounds=case.rounds, clock=clock)
    temporaries = {n: way.memory_analysis().temp_size_in_bytes / 2**20 for n, way in ways.items()}
    return [_record(f"{case.name}, {order}", timings, order, temporaries) for order in ORDERS]


def _compile(function: Function, arguments: tuple[Any, ...]) -> Any:
    return jax.jit(function).lower(*arguments).compile()


def _check(name: str, found: Any, expected: Any) -> None:
    """Stops the run unless value and gradients agree, on the scale of the largest gradient.

    A gradient that is zero but for rounding, as that of a bias the next norm removes, has no scale itself.
    """
    (value, gradients), (wanted, wanted_gradients) = found, expected
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(wanted_gradients))
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(wanted_gradients), strict=True)
    errors = [float(jnp.max(jnp.abs(a - b))) / scale for a, b in pairs]
    error = max(float(jnp.abs(value - wanted) / jnp.abs(wanted)), *errors)
    if not error < TOLERANCE:
        raise SystemExit(
            f"{name}: differs from plain JAX by {error:.1e}, more than {TOLERANCE:.0e}"
        )


def _record(
    name: str,
    timings: Timings,
    candidate: str,
    temporaries: Mapping[str, float] | None = None,
    baseline: str = BASELINE,
) -> Record:
    ratio = timings.speedup(candidate, baseline)
    return {
        "case": name,
        "baseline": baseline,
        "candidate": "tessera",
        "clock": timings.clock,
        "ratio": ratio.median,
        "lower": ratio.lower,
        "upper": ratio.upper,
        "baseline_ms": timings.median(baseline) * 1e3,
        "candidate_ms": timings.median(candidate) * 1e3,
        "baseline_temp_mb": temporaries[baseline] if temporaries else None,
        "candidate_temp_mb": temporaries[candidate] if temporaries else None,
    }


# -- time of compiling ----------------------------------------------------------------------------------


def compile_cases() -> dict[str, Callable[[], Model]]:
    """Returns the models whose compilation is timed, by name."""
    return {
        f"compile of T={length}, {max(DEPTHS)}-layer {library} transformer": (
            lambda make=make, length=length: make(length, max(DEPTHS))
        )
        for library, make in _stock_models().BLOCKS.items()
        for length in COMPILE_LENGTHS
    }


def measure_compilation(name: str, make: Callable[[], Model], clock: str) -> list[Record]:
    """Returns the records of trace, lowering and compilation, nothing cached, against plain JAX."""
    loss, arguments = make()
    types = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)

    def cold(way: Callable[[Function], Function]) -> Callable[[], Any]:
        # JAX's caches look functions up by identity: a wrapper made afresh is a function never seen.
        return lambda: _compile(way(lambda *operands: loss(*operands)), types)

    forward = {"plain forward": lambda loss: loss, "forward": tessera.compile}
    ways = {way: cold(make) for way, make in (WAYS | forward).items()}
    timings = _time_cold(ways, COMPILE_ROUNDS, clock)
    found = [_record(f"{name}, {order}", timings, order) for order in ORDERS]
    alone = _record(f"{name}, forward", timings, "forward", baseline="plain forward")
    return [*found, {**alone, "baseline": BASELINE, "candidate": "tessera"}]


def measure_capture(clock: str) -> list[Record]:
    """Returns the record of a long function's levels, all passes run, against JAX's trace of it."""
    x = jax.ShapeDtypeStruct((8,), jnp.float32)
    ways = {
        "trace": lambda: jax.make_jaxpr(_long_function())(x),
        "tessera": lambda: tessera.compile(_long_function()).plan(x),
    }
    timings = _time_cold(ways, COMPILE_ROUNDS, clock)
    name = f"capture of {CAPTURED_EQUATIONS} equations, every pass"
    return [_record(name, timings, "tessera", baseline="trace")]


def _long_function() -> Function:
    def function(x: jax.Array) -> jax.Array:
        for i in range(CAPTURED_EQUATIONS // 4):
            x = jnp.tanh(x * (1 + i / CAPTURED_EQUATIONS)) + x
            x = -x
        return x

    return function


def _time_cold(ways: Mapping[str, Callable[[], Any]], rounds: int, clock: str) -> Timings:
    """Returns the timings of calls before each of which JAX forgets what it compiled.

    The first round loads modules and is not counted.
    """
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, run in ways.items():
            _forget()
            start = now()
            run()
            seconds[name].append(now() - start)
    return Timings({name: tuple(times[1:]) for name, times in seconds.items()}, clock)


def _forget() -> None:
    """Empties JAX's caches and Tessera's, so that the next compilation does all of its work."""
    jax.clear_caches()
    caches = (rewrite._traced, backward._traced, pattern._block, primitive._compiled)
    for cache in (*caches, cost._flops_of_reference):
        cache.cache_clear()


def measure_import(clock: str) -> list[Record]:
    """Returns the records of importing Tessera, without and with its compiler, in fresh processes."""
    alone = "import jax"
    statements = {
        "import tessera": "import jax; import tessera",
        "first use of tessera.compile": "import jax; import tessera; tessera.compile",
    }
    seconds: dict[str, list[float]] = {alone: []} | {name: [] for name in statements}
    for _ in range(IMPORT_ROUNDS):
        for name, statement in ({alone: alone} | statements).items():
            seconds[name].append(_import_seconds(statement, clock))
    timings = Timings({name: tuple(times) for name, times in seconds.items()}, clock)
    return [_record(name, timings, name, baseline=alone) for name in statements]


def _import_seconds(statement: str, clock: str) -> float:
    now = CLOCKS[clock].__name__
    program = f"import time; t = time.{now}(); {statement}; print(time.{now}() - t)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


# -- the command ----------------------------------------------------------------------------------------


def run(only: str, clock: str) -> list[Record]:
    """Returns the records of the cases whose name contains `only`, and prints each as it comes."""
    records: list[Record] = []

    def take(found: Sequence[Record]) -> None:
        for record in found:
            _show(record)
        records.extend(found)

    for case in cases():
        if only in case.name:
            take(measure(case, clock))
            jax.clear_caches()
    for name, make in compile_cases().items():
        if only in name:
            take(measure_compilation(name, make, clock))
    if only in "capture":
        take(measure_capture(clock))
    if only in "import":
        take(measure_import(clock))
    return records


def target_of(record: Record) -> Target | None:
    """Returns the target of a record, or None if it has none."""
    return next((t for start, t in TARGETS if record["case"].startswith(start)), None)


def _show(record: Record) -> None:
    target = target_of(record)
    verdict = "" if target is None else ("  met" if target.met(record) else "  MISSED")
    print(
        f"{record['case']:<62} {record['baseline_ms']:9.2f} ms -> {record['candidate_ms']:9.2f} ms  "
        f"{record['ratio']:6.2f}x [{record['lower']:.2f}-{record['upper']:.2f}]{verdict}",
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
    records = run(options.only, options.clock)
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
