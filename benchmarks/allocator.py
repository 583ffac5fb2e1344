"""What the allocator setting of `tessera run` does for plain `jax.numpy`: one core's time per call.

python benchmarks/allocator.py            prints a Markdown table

Each case runs in fresh processes, without and with the setting, in alternation.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tessera.runtime import allocator

ROUNDS = 3
CALLS = 5

Case = Callable[[], Callable[[], Any]]


def softmax() -> Callable[[], Any]:
    x = jax.random.normal(jax.random.key(0), (512, 16384))
    run = jax.jit(jax.nn.softmax)
    return lambda: run(x)


def increment() -> Callable[[], Any]:
    x = jnp.zeros(2**24)
    run = jax.jit(lambda x: x + 1)
    return lambda: run(x)


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    length = q.shape[-2]
    scores = jnp.einsum("hqd,hkd->hqk", q, k) / math.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    return jnp.einsum("hqk,hkd->hqd", jax.nn.softmax(scores, axis=-1), v)


def queries_keys_values() -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(key, (8, 2048, 64)) for key in keys]


def attention_forward() -> Callable[[], Any]:
    arrays = queries_keys_values()
    run = jax.jit(attention)
    return lambda: run(*arrays)


def attention_gradient() -> Callable[[], Any]:
    arrays = queries_keys_values()
    run = jax.jit(jax.value_and_grad(lambda *xs: jnp.sum(attention(*xs)), (0, 1, 2)))
    return lambda: run(*arrays)


CASES: Mapping[str, Case] = {
    "softmax of 512x16384": softmax,
    "`x + 1` on 64 MB": increment,
    "causal attention, 8 heads, 2048 tokens, forward": attention_forward,
    "the same with its gradient": attention_gradient,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--measure", action="store_true", help="measure in this process, print JSON"
    )
    if parser.parse_args().measure:
        print(json.dumps({name: milliseconds(case()) for name, case in CASES.items()}))
        return
    plain = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    settings = {"default": plain, "`tessera run`": allocator.turned_on(plain)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
    for _ in range(ROUNDS):
        for name, environment in settings.items():
            found[name].append(measured_under(environment))
    print("| float32, ms | " + " | ".join(settings) + " |\n|---|---|---|")
    for case in CASES:
        medians = [statistics.median(run[case] for run in runs) for runs in found.values()]
        print(f"| {case} | " + " | ".join(f"{ms:.3g}" for ms in medians) + " |")


def measured_under(environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def milliseconds(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(CALLS + 2):
        start = time.process_time()
        jax.block_until_ready(run())
        times.append((time.process_time() - start) * 1e3)
    return statistics.median(times[2:])


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
