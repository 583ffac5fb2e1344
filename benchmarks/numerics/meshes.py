"""Hashes of sums over meshes and process layouts: one per method, where `psum` has several.

    python benchmarks/numerics/meshes.py             1 process of 1, 2, 3, 4, 6, 8 devices; 2 and 4 processes
    python benchmarks/numerics/meshes.py --layouts 1x8 4x1

A layout PxD is P processes of D simulated devices each, on this machine. Every layout sums the same 24 chunks
by `dist.all_reduce` (tree, exact, and psum for contrast), takes the gradient of a function of it, sums the
same array by `op.reduce_sum`, multiplies it and trains on it at a level. Exits with an error if a method that
fixes its bits has two hashes.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, op, training

LAYOUTS = ("1x1", "1x2", "1x3", "1x4", "1x6", "1x8", "2x1", "4x1")
CHUNKS, SIZE = 24, 3001
SECONDS = 300
# psum adds in an order that depends on the layout.
FREE = "psum"


def terms(seed: int, *shape: int) -> np.ndarray:
    """Returns terms of many magnitudes and both signs: the order of adding them shows in the bits."""
    generator = np.random.default_rng(seed)
    spread = np.exp(3 * generator.standard_normal(shape))
    return (generator.standard_normal(shape) * spread).astype(np.float32)


def sums(mesh: jax.sharding.Mesh) -> dict[str, Callable[[jax.Array], Any]]:
    """Returns the functions of the sharded chunks (24, n) whose results are hashed."""

    def per_shard(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return jax.shard_map(function, mesh=mesh, in_specs=P("dp"), out_specs=P())

    found: dict[str, Callable[[jax.Array], Any]] = {
        FREE: per_shard(lambda x: jax.lax.psum(jnp.sum(x, axis=0), "dp"))
    }
    for method in ("tree", "exact"):
        reduce = per_shard(partial(dist.all_reduce, method=method, chunks=CHUNKS))
        found[f"all_reduce {method}"] = reduce
        found[f"its gradient, {method}"] = jax.grad(lambda x, f=reduce: jnp.sum(jnp.sin(f(x))))
    for method in ("tree", "compensated", "exact"):
        found[f"reduce_sum {method}"] = partial(op.reduce_sum, axis=0, method=method)
    found["matmul D2"] = lambda x: op.matmul(x, x[:8].T, deterministic="D2")
    found["its sum split, D2"] = lambda x: op.matmul(x[:, :64].T, x, deterministic="D2")
    found["softmax D3"] = partial(op.softmax, deterministic="D3")
    found["softmax D4, along the mesh"] = partial(op.softmax, axis=0, deterministic="D4")
    found["training, 50 steps, D2"] = partial(trained, dist.Mesh(["dp"], devices=mesh.devices))
    return found


def trained(mesh: dist.Mesh, x: jax.Array) -> jax.Array:
    """Returns the weights of a network of two layers after 50 steps of data-parallel gradient descent."""
    x = jnp.tanh(jnp.tile(x[:, :64], (8, 1)))
    y = jnp.sin(x[:, :1] + x[:, 1:2])

    def loss(weights: tuple[jax.Array, jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((jnp.tanh(x @ weights[0]) @ weights[1] - y) ** 2)

    gradient = training.data_parallel(loss, mesh=mesh, chunks=CHUNKS)

    def step(_: Any, weights: Any) -> Any:
        _, slopes = gradient(weights, x, y)
        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, slopes)

    first, second = (
        jnp.asarray(terms(seed, *shape)) / 50 for seed, shape in ((1, (64, 32)), (2, (32, 1)))
    )
    return jnp.concatenate([w.ravel() for w in jax.lax.fori_loop(0, 50, step, (first, second))])


def hashes() -> dict[str, str]:
    """Returns the hash of each result on all devices there are."""
    mesh = jax.make_mesh((jax.device_count(),), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    whole = terms(0, CHUNKS, SIZE)
    x = jax.make_array_from_callback(
        whole.shape, NamedSharding(mesh, P("dp")), lambda index: whole[index]
    )
    replicated = NamedSharding(mesh, P())
    found = {}
    for name, function in sums(mesh).items():
        result = jax.block_until_ready(jax.jit(function, out_shardings=replicated)(x))
        found[name] = hashlib.sha256(np.asarray(result).tobytes()).hexdigest()[:12]
    return found


def of_layout(layout: str) -> dict[str, str]:
    """Returns the hashes of a layout, found by processes of its own."""
    processes, _ = map(int, layout.split("x"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--layout", layout, "--port", str(port), "--rank"]
    started = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, start_new_session=True)
        for rank in range(processes)
    ]
    try:
        answers = [process.communicate(timeout=SECONDS)[0] for process in started]
    finally:
        for process in started:
            # JAX takes SIGTERM for a notice of preemption.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if any(process.returncode for process in started):
        raise SystemExit(f"{layout}: a process failed")
    # What gloo prints comes before.
    ranks = [json.loads(answer.splitlines()[-1]) for answer in answers]
    if any(rank != ranks[0] for rank in ranks):
        raise SystemExit(f"{layout}: processes disagree: {ranks}")
    return ranks[0]


def distinct(layouts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Returns for each result the hash on each layout."""
    found = {layout: of_layout(layout) for layout in layouts}
    names = found[layouts[0]]
    return {name: {layout: found[layout][name] for layout in layouts} for name in names}


def _answer(layout: str, port: int, rank: int) -> None:
    processes, devices = map(int, layout.split("x"))
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank)
    print(json.dumps(hashes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS)
    parser.add_argument("--layout", help="be a process of this layout")
    parser.add_argument("--port", type=int)
    parser.add_argument("--rank", type=int)
    options = parser.parse_args()
    if options.layout:
        _answer(options.layout, options.port, options.rank)
        return
    table = distinct(options.layouts)
    print("| sum | " + " | ".join(options.layouts) + " | distinct |")
    print("|---|" + "---|" * (len(options.layouts) + 1))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(row.values()) + f" | {len(set(row.values()))} |")
    if any(len(set(row.values())) > 1 for name, row in table.items() if name != FREE):
        raise SystemExit("a method that fixes its bits has more than one hash")


if __name__ == "__main__":
    main()
