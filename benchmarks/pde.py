"""Differential operators and PINN gradients against plain JAX, folx and Taylor mode, interleaved in one run.

    python benchmarks/pde.py --clock cpu --out pde.json      one core, processor seconds
    python benchmarks/pde.py --clock wall                    all cores, elapsed seconds

Laplacians; the biharmonic operator; the momentum equations of a stream function (third derivatives) in the
plane; each alone and with the gradient of its mean square with respect to the parameters. Every candidate is
checked against the baseline before it is timed. Last the temporaries of a training step, by number of points.
"""

import argparse
import importlib.util
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    """A tanh network of `layers` hidden layers, 128 units wide by default, evaluated at `points` points."""

    dimensions: int
    layers: int
    points: int
    width: int = 128
    outputs: int = 1

    @property
    def name(self) -> str:
        return f"d={self.dimensions} {self.layers}x{self.width} n={self.points}"


CASES = (Case(2, 4, 4096), Case(3, 6, 4096), Case(100, 4, 512))
FOURTH_ORDER = (Case(2, 4, 2048, 64), Case(3, 4, 2048, 64))
FLOW = Case(3, 4, 2048, 64, outputs=2)  # x, y, t to a stream function and a pressure
VISCOSITY = 0.01


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
    sizes = [case.dimensions, *[case.width] * case.layers, case.outputs]
    return [
        (jnp.asarray(rng.normal(size=(a, b)) / np.sqrt(a), jnp.float32), jnp.zeros(b))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def points_for(case: Case) -> jax.Array:
    shape = case.points, case.dimensions
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def outputs(network: Network, x: jax.Array) -> jax.Array:
    for weight, bias in network[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = network[-1]
    return x @ weight + bias


def evaluate(network: Network, x: jax.Array) -> jax.Array:
    return outputs(network, x)[0]


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


# -- the biharmonic operator ------------------------------------------------------------------------------


def twice(laplacian: Callable[[Any], Any]) -> Callable[[Network, jax.Array], jax.Array]:
    """Returns the Laplacian of a Laplacian, each that of a function of one point."""

    def at_points(network: Network, points: jax.Array) -> jax.Array:
        return jax.vmap(laplacian(laplacian(lambda x: evaluate(network, x))))(points)

    return at_points


def by_hessian(u: Any) -> Any:
    return lambda x: jnp.trace(jax.hessian(u)(x))


def by_jvp(u: Any) -> Any:
    def at(x: jax.Array) -> jax.Array:
        units = jnp.eye(x.size, dtype=x.dtype)
        return jnp.sum(jnp.stack([second(u, x, e) for e in units]))

    def second(u: Any, x: jax.Array, e: jax.Array) -> jax.Array:
        return jax.jvp(lambda y: jax.jvp(u, (y,), (e,))[1], (x,), (e,))[1]

    return at


def biharmonic_with_jet(network: Network, points: jax.Array) -> jax.Array:
    """Fourth derivatives along x_i and x_i +- x_j: 12 u_iijj = D4(i + j) + D4(i - j) - 2 D4(i) - 2 D4(j)."""

    def at(x: jax.Array) -> jax.Array:
        def fourth(e: jax.Array) -> jax.Array:
            zero = jnp.zeros_like(e)
            return jet(lambda z: evaluate(network, z), (x,), ((e, zero, zero, zero),))[1][3]

        units = jnp.eye(x.size, dtype=x.dtype)
        alone = jax.vmap(fourth)(units)
        i, j = np.triu_indices(x.size, 1)
        pairs = jax.vmap(fourth)(units[i] + units[j]) + jax.vmap(fourth)(units[i] - units[j])
        mixed = (pairs - 2 * alone[i] - 2 * alone[j]) / 12
        return jnp.sum(alone) + 2 * jnp.sum(mixed)

    return jax.vmap(at)(points)


def biharmonic_with_tessera(network: Network, points: jax.Array) -> jax.Array:
    return pde.biharmonic(lambda x: evaluate(network, x))(points)


BIHARMONICS = {
    "jax.hessian twice": twice(by_hessian),
    "nested jvp": twice(by_jvp),
    "jet": biharmonic_with_jet,
    "tessera": biharmonic_with_tessera,
}


# -- the momentum equations of a stream function and a pressure ------------------------------------------


def momentum_nested(network: Network, points: jax.Array) -> jax.Array:
    """As a user of plain JAX writes it: gradients of the outputs, Jacobians and Hessians of the velocity."""

    def at(x: jax.Array) -> jax.Array:
        def velocity(x: jax.Array) -> jax.Array:
            slope = jax.grad(lambda x: outputs(network, x)[0])(x)
            return jnp.stack([slope[1], -slope[0]])

        push = jax.grad(lambda x: outputs(network, x)[1])(x)[:2]
        first, second = jax.jacfwd(velocity)(x), jax.jacfwd(jax.jacfwd(velocity))(x)
        friction = VISCOSITY * (second[:, 0, 0] + second[:, 1, 1])
        return first[:, 2] + first[:, :2] @ velocity(x) + push - friction

    return jax.vmap(at)(points)


def momentum_with_jvp(network: Network, points: jax.Array) -> jax.Array:
    """One forward derivative over another for each that occurs, of all points at once."""

    def along(f: Any, i: int) -> Any:
        unit = jnp.zeros(points.shape, points.dtype).at[:, i].set(1)
        return lambda x: jax.jvp(f, (x,), (unit,))[1]

    def psi(x: jax.Array) -> jax.Array:
        return outputs(network, x)[:, 0]

    def pressure(x: jax.Array) -> jax.Array:
        return outputs(network, x)[:, 1]

    u, minus_v = along(psi, 1), along(psi, 0)

    def v(x: jax.Array) -> jax.Array:
        return -minus_v(x)

    def component(w: Any, i: int) -> jax.Array:
        carried = u(points) * along(w, 0)(points) + v(points) * along(w, 1)(points)
        friction = along(along(w, 0), 0)(points) + along(along(w, 1), 1)(points)
        return along(w, 2)(points) + carried + along(pressure, i)(points) - VISCOSITY * friction

    return jnp.stack([component(u, 0), component(v, 1)], axis=-1)


def momentum_with_tessera(network: Network, points: jax.Array) -> jax.Array:
    at = pde.coords(points, names=("x", "y", "t"))
    found = at.apply(lambda x: outputs(network, x))
    psi, pressure = found[..., 0], found[..., 1]
    flow = [pde.partial(psi, "y"), -pde.partial(psi, "x")]
    residuals = [
        pde.material_derivative(w, flow)
        + pde.partial(pressure, axis)
        - pde.laplacian(w) * VISCOSITY
        for w, axis in zip(flow, ("x", "y"), strict=True)
    ]
    return jnp.stack(pde.values(residuals), axis=-1)


MOMENTA = {
    "nested autodiff": momentum_nested,
    "nested jvp": momentum_with_jvp,
    "tessera": momentum_with_tessera,
}


def with_gradients(ways: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Returns mean squares with their gradients, Tessera's by `pde.mean_square`."""

    def mean(way: Any) -> Callable[[Network, jax.Array], jax.Array]:
        return lambda network, points: jnp.mean(way(network, points) ** 2)

    def chunked(way: Any) -> Callable[[Network, jax.Array], jax.Array]:
        return lambda network, points: pde.mean_square(lambda part: way(network, part), points)

    return {
        name: jax.value_and_grad((chunked if name == "tessera" else mean)(way))
        for name, way in ways.items()
    }


def print_memory() -> None:
    """Prints the temporaries of a training step of the flow for numbers of points."""
    ways = with_gradients(MOMENTA)
    for points in (1_000, 10_000, 100_000):
        case = replace(FLOW, points=points)
        types = network_for(case), jax.ShapeDtypeStruct((points, 3), jnp.float32)
        sizes = {way: temporaries(jax.jit(f).lower(*types).compile()) for way, f in ways.items()}
        told = ", ".join(f"{way} {size:.0f} MB" for way, size in sizes.items())
        print(f"temporaries of a training step at {points:>7} points: {told}")


def measure(
    name: str, ways: Mapping[str, Callable[..., Any]], case: Case, baseline: str, clock: str
) -> list[dict[str, Any]]:
    """Returns one record for each candidate and each baseline that Tessera is compared with."""
    network, points = network_for(case), points_for(case)
    compiled = {way: jax.jit(f).lower(network, points).compile() for way, f in ways.items()}
    expected = compiled[baseline](network, points)
    for way, f in compiled.items():
        _check(way, baseline, f(network, points), expected)
    timings = interleave(
        {way: (lambda f=f: f(network, points)) for way, f in compiled.items()}, clock=clock
    )
    pairs = [(baseline, way) for way in ways if way != baseline]
    pairs += [(way, "tessera") for way in ways if way not in (baseline, "tessera")]
    records = []
    for before, after in pairs:
        ratio = timings.speedup(after, before)
        records.append(
            {
                "case": f"{name} {case.name}",
                "baseline": before,
                "candidate": after,
                "clock": clock,
                "ratio": ratio.median,
                "lower": ratio.lower,
                "upper": ratio.upper,
                "baseline_ms": timings.median(before) * 1e3,
                "candidate_ms": timings.median(after) * 1e3,
                "baseline_temp_mb": temporaries(compiled[before]),
                "candidate_temp_mb": temporaries(compiled[after]),
            }
        )
    for way, f in compiled.items():
        time = timings.median(way) * 1e3
        print(
            f"{name} {case.name:<20} {way:<18} {time:9.2f} ms  temporaries {temporaries(f):8.1f} MB"
        )
    return records


def temporaries(compiled: Any) -> float:
    """Returns the MB a compiled program needs beside its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes / 1e6


def _check(way: str, baseline: str, found: Any, expected: Any) -> None:
    def error(a: jax.Array, b: jax.Array) -> float:
        return float(jnp.max(jnp.abs(a - b)) / (jnp.max(jnp.abs(b)) + 1e-30))

    worst = max(jax.tree.leaves(jax.tree.map(error, found, expected)))
    if not worst < TOLERANCE:
        raise SystemExit(f"{way} differs from {baseline} by {worst:.1e}, more than {TOLERANCE:.0e}")


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
        records += measure("laplacian", laplacians(case), case, "jax.hessian", options.clock)
        gradients = parameter_gradients(case)
        records += measure("parameter gradient", gradients, case, "jax.hessian", options.clock)
    pairs = [("biharmonic", BIHARMONICS, case, "jax.hessian twice") for case in FOURTH_ORDER]
    for name, ways, case, baseline in [*pairs, ("momentum", MOMENTA, FLOW, "nested autodiff")]:
        records += measure(name, ways, case, baseline, options.clock)
        gradients = with_gradients(ways)
        records += measure(f"{name} gradient", gradients, case, baseline, options.clock)
    for r in records:
        print(
            f"{r['case']:<36} {r['candidate']:<18} over {r['baseline']:<18} "
            f"{r['ratio']:5.2f}x [{r['lower']:.2f}-{r['upper']:.2f}]"
        )
    print_memory()
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
