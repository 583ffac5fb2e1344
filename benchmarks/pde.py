"""Laplacians and PINN gradients against plain JAX, folx and Taylor mode, interleaved in one run.

    python benchmarks/pde.py --clock cpu --out pde.json      one core, processor seconds
    python benchmarks/pde.py --clock wall                    all cores, elapsed seconds

Every candidate is checked against `jax.hessian` before it is timed.
"""

import argparse
import importlib.util
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet

from tessera import op, pde
from tessera.autotune.measure import interleave

Network = list[tuple[jax.Array, jax.Array]]
# Laplacian at points (n, d) of a function of one point.
LaplacianOf = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]

# Float32, sums of some hundred terms of size one.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """A tanh network of `layers` hidden layers of 128 units, evaluated at `points` points."""

    dimensions: int
    layers: int
    points: int

    @property
    def name(self) -> str:
        return f"d={self.dimensions} {self.layers}x128 n={self.points}"


CASES = (Case(2, 4, 4096), Case(3, 6, 4096), Case(100, 4, 512))


def with_hessian(u: Any, points: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: jnp.trace(jax.hessian(u)(x)))(points)


def with_nested_jvp(u: Any, points: jax.Array) -> jax.Array:
    def at(x: jax.Array) -> jax.Array:
        def along(e: jax.Array) -> jax.Array:
            return jax.jvp(lambda y: jax.jvp(u, (y,), (e,))[1], (x,), (e,))[1]

        return jnp.sum(jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype)))

    return jax.vmap(at)(points)


def with_jet(u: Any, points: jax.Array) -> jax.Array:
    def at(x: jax.Array) -> jax.Array:
        def along(e: jax.Array) -> jax.Array:
            return jet(u, (x,), ((e, jnp.zeros_like(e)),))[1][1]

        return jnp.sum(jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype)))

    return jax.vmap(at)(points)


def with_folx(u: Any, points: jax.Array) -> jax.Array:
    from folx import forward_laplacian  # optional: timed only where it is installed

    return jax.vmap(lambda x: forward_laplacian(u)(x).laplacian)(points)


def with_tessera(u: Any, points: jax.Array) -> jax.Array:
    return pde.laplacian(u)(points)


def rivals() -> dict[str, LaplacianOf]:
    """Returns the other ways to a Laplacian that are installed, the baseline first."""
    found: dict[str, LaplacianOf] = {
        "jax.hessian": with_hessian,
        "nested jvp": with_nested_jvp,
        "jet": with_jet,
    }
    if importlib.util.find_spec("folx"):
        found["folx"] = with_folx
    return found


def network_for(case: Case) -> Network:
    rng = np.random.default_rng(0)
    sizes = [case.dimensions, *[128] * case.layers, 1]
    return [
        (jnp.asarray(rng.normal(size=(a, b)) / np.sqrt(a), jnp.float32), jnp.zeros(b))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def evaluate(network: Network, x: jax.Array) -> jax.Array:
    for weight, bias in network[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = network[-1]
    return (x @ weight + bias)[0]


def evaluate_ops(network: Network, x: jax.Array) -> jax.Array:
    rows = x[None]
    for weight, bias in network[:-1]:
        rows = op.matmul(rows, weight, epilogue="bias_tanh", bias=bias)
    weight, bias = network[-1]
    return op.matmul(rows, weight, epilogue="bias", bias=bias)[0, 0]


def laplacians(case: Case) -> dict[str, Callable[[Network, jax.Array], Any]]:
    """Returns the candidates for the Laplacian at every point."""

    def of(laplacian: LaplacianOf) -> Callable[[Network, jax.Array], Any]:
        return lambda network, points: laplacian(lambda x: evaluate(network, x), points)

    def jet_of_ops(network: Network, points: jax.Array) -> jax.Array:
        return with_jet(lambda x: evaluate_ops(network, x), points)

    ways = rivals() | {"tessera": with_tessera}
    found = {name: of(laplacian) for name, laplacian in ways.items()}
    return found | {"jet of Tessera ops": jet_of_ops}


def parameter_gradients(case: Case) -> dict[str, Callable[[Network, jax.Array], Any]]:
    """Returns the candidates for loss and gradient of the mean squared Laplacian."""

    def of(laplacian: LaplacianOf) -> Callable[[Network, jax.Array], Any]:
        def loss(network: Network, points: jax.Array) -> jax.Array:
            return jnp.mean(laplacian(lambda x: evaluate(network, x), points) ** 2)

        return jax.value_and_grad(loss)

    def chunked(network: Network, points: jax.Array) -> jax.Array:
        laplacian = pde.laplacian(lambda x: evaluate(network, x))
        return pde.mean_square(laplacian, points)

    ways = {name: of(laplacian) for name, laplacian in rivals().items()}
    return ways | {
        "tessera, jnp.mean": of(with_tessera),
        "tessera": jax.value_and_grad(chunked),
    }


def measure(
    name: str, ways: Mapping[str, Callable[..., Any]], case: Case, clock: str
) -> list[dict[str, Any]]:
    """Returns one record for each candidate and each baseline that Tessera is compared with."""
    network = network_for(case)
    points = jnp.asarray(
        np.random.default_rng(1).normal(size=(case.points, case.dimensions)), jnp.float32
    )
    compiled = {way: jax.jit(f).lower(network, points).compile() for way, f in ways.items()}
    expected = compiled["jax.hessian"](network, points)
    for way, f in compiled.items():
        _check(way, f(network, points), expected)
    timings = interleave(
        {way: (lambda f=f: f(network, points)) for way, f in compiled.items()}, clock=clock
    )
    pairs = [("jax.hessian", way) for way in ways if way != "jax.hessian"]
    pairs += [(way, "tessera") for way in ways if way not in ("jax.hessian", "tessera")]
    records = []
    for baseline, candidate in pairs:
        ratio = timings.speedup(candidate, baseline)
        records.append(
            {
                "case": f"{name} {case.name}",
                "baseline": baseline,
                "candidate": candidate,
                "clock": clock,
                "ratio": ratio.median,
                "lower": ratio.lower,
                "upper": ratio.upper,
                "baseline_ms": timings.median(baseline) * 1e3,
                "candidate_ms": timings.median(candidate) * 1e3,
            }
        )
    for way, f in compiled.items():
        memory: Any = f.memory_analysis()
        size = memory.temp_size_in_bytes / 2**20
        time = timings.median(way) * 1e3
        print(f"{name} {case.name:<20} {way:<18} {time:9.2f} ms  temporaries {size:8.1f} MiB")
    return records


def _check(way: str, found: Any, expected: Any) -> None:
    def error(a: jax.Array, b: jax.Array) -> float:
        return float(jnp.max(jnp.abs(a - b)) / (jnp.max(jnp.abs(b)) + 1e-30))

    worst = max(jax.tree.leaves(jax.tree.map(error, found, expected)))
    if not worst < TOLERANCE:
        raise SystemExit(
            f"{way} differs from jax.hessian by {worst:.1e}, more than {TOLERANCE:.0e}"
        )


def describe_machine() -> str:
    """Returns versions, processor and allocator setting: ratios depend on all of them."""
    allocator = {k: os.environ[k] for k in ("GLIBC_TUNABLES", "LD_PRELOAD") if k in os.environ}
    return (
        f"Python {platform.python_version()}, JAX {jax.__version__}, {_processor()}, "
        f"cores {sorted(os.sched_getaffinity(0))}, allocator {allocator or 'default'}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--out", type=Path, help="write the records here as JSON")
    options = parser.parse_args()
    if options.clock == "cpu":
        # One core, before JAX starts its threads: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(describe_machine())
    records = []
    for case in CASES:
        records += measure("laplacian", laplacians(case), case, options.clock)
        records += measure("parameter gradient", parameter_gradients(case), case, options.clock)
    for r in records:
        print(
            f"{r['case']:<36} {r['candidate']:<18} over {r['baseline']:<18} "
            f"{r['ratio']:5.2f}x [{r['lower']:.2f}-{r['upper']:.2f}]"
        )
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
