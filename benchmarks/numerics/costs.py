"""What determinism levels cost: time over that of plain JAX, interleaved in one run.

    python benchmarks/numerics/costs.py --clock cpu      one core, processor seconds
    python benchmarks/numerics/costs.py                  all cores, elapsed seconds
    python benchmarks/numerics/costs.py --only matmul

A ratio is how many times as long a level takes as plain JAX. The last case is a step of data-parallel
training on 4 simulated devices (8 chunks, Adam), against `jit` over the same mesh; on a GPU it is left out.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, numerics, op, training
from tessera.autotune.measure import interleave

Function = Callable[..., Any]
LEVELS = ("D3", "D4")
DEVICES = 4


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


def cases() -> Iterator[tuple[str, Function, Function, tuple[Any, ...]]]:
    """Yields the name, the plain function, what is computed at a level, and the operands."""
    square, scale = normal(1024, 1024), normal(1024)
    rows = normal(4096, 1024)

    def plain_layernorm(x: jax.Array) -> jax.Array:
        centred = x - jnp.mean(x, -1, keepdims=True)
        return centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5) * scale

    def plain_rmsnorm(x: jax.Array) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale

    def loss(product: Function, x: jax.Array, w: jax.Array) -> jax.Array:
        return op.reduce_sum(jnp.sin(product(x, w)))

    for m in (512, 2048):
        yield f"matmul {m}x1024x1024", jnp.matmul, op.matmul, (normal(m, 1024), square)
    yield "matmul 4096^3", jnp.matmul, op.matmul, (normal(4096, 4096), normal(4096, 4096))
    yield (
        "matmul 512x1024x1024 with gradient",
        jax.grad(partial(loss, jnp.matmul), (0, 1)),
        jax.grad(partial(loss, op.matmul), (0, 1)),
        (normal(512, 1024), square),
    )
    yield "softmax 4096x1024", jax.nn.softmax, op.softmax, (rows,)
    yield "layernorm 4096x1024", plain_layernorm, partial(op.layernorm, weight=scale), (rows,)
    yield "rmsnorm 4096x1024", plain_rmsnorm, partial(op.rmsnorm, weight=scale), (rows,)
    yield "sum of 16M", jnp.sum, op.reduce_sum, (normal(2**24),)
    q = normal(4, 8, 512, 64)
    yield "attention 4x8x512x64", op.flash_attention, op.flash_attention, (q, q, q)
    moments = [jnp.abs(normal(2**22)) for _ in range(4)]
    yield "adamw 4M", adamw, adamw, (*moments, jnp.int32(3))


def adamw(p: Any, m: Any, v: Any, g: Any, t: Any) -> tuple[Any, Any, Any]:
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * (g * g)
    step = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p - 1e-3 * (step + 1e-2 * p), m, v


def compiled(function: Function, level: str, operands: tuple[Any, ...]) -> Function:
    with numerics.deterministic(level):
        return jax.jit(function).lower(*operands).compile()


def training_step() -> tuple[dict[str, Function], tuple[Any, ...]]:
    """Returns a step of Adam on a network of 3 layers, by `jit` over a mesh and at D2, and its operands."""
    mesh = dist.Mesh(axes=["dp"], devices=range(DEVICES))
    sizes = (256, 1024, 1024, 256)
    weights = [normal(a, b) / np.sqrt(a) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    moments = jax.tree.map(jnp.zeros_like, weights)
    whole, split = NamedSharding(mesh.jax, P()), NamedSharding(mesh.jax, P("dp"))
    state = jax.device_put((weights, moments, moments), whole)
    x, y = (jax.device_put(normal(1024, 256), split) for _ in range(2))

    def loss(weights: Any, x: Any, y: Any) -> jax.Array:
        for w in weights[:-1]:
            x = jnp.tanh(x @ w)
        return jnp.mean((x @ weights[-1] - y) ** 2)

    def step(gradient: Function, state: Any, x: Any, y: Any) -> Any:
        value, slopes = gradient(state[0], x, y)
        new = [adamw(p, m, v, g, 3) for p, m, v, g in zip(*state, slopes, strict=True)]
        return value, tuple(zip(*new, strict=True))

    ways = {
        "plain": partial(step, jax.value_and_grad(loss)),
        "D2": partial(step, training.data_parallel(loss, mesh=mesh)),
    }
    return ways, (state, x, y)


def show(name: str, ways: dict[str, Function], operands: tuple[Any, ...], clock: str) -> None:
    timings = interleave({k: partial(run, *operands) for k, run in ways.items()}, clock=clock)
    print(f"| {name} | {timings.median('plain') * 1e3:.3f} ms |", end="")
    for level in ways:
        if level != "plain":
            ratio = timings.speedup("plain", level)
            print(f" {level} {ratio.median:.2f} [{ratio.lower:.2f}-{ratio.upper:.2f}] |", end="")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), default="wall")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    if options.clock == "cpu":
        # One core: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if os.environ.get("JAX_PLATFORMS", "") != "cuda":
        jax.config.update("jax_num_cpu_devices", DEVICES)
    kind, clock = jax.devices()[0].device_kind, options.clock
    print(
        f"JAX {jax.__version__}, {kind}, {clock} clock\n| case | plain | times as long |\n|---|---|---|"
    )
    for name, plain, own, operands in cases():
        if options.only in name:
            ways = {"plain": compiled(plain, "D0", operands)}
            for level in LEVELS:
                run = numerics.reproducible(own, level) if own is adamw else own
                ways[level] = compiled(run, level, operands)
            show(name, ways, operands, clock)
    name = "training step, 3 layers, batch 1024"
    if jax.device_count() >= DEVICES and options.only in name:
        ways, operands = training_step()
        show(name, {k: jax.jit(f) for k, f in ways.items()}, operands, clock)


if __name__ == "__main__":
    main()
