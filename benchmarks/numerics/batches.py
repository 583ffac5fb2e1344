"""Hashes of one row over batch sizes: plain JAX has several, level D3 has one.

    python benchmarks/numerics/batches.py
    python benchmarks/numerics/batches.py --level D4

The row is the first of f(x[:B]) for B from 1 to 512, each compiled on its own. Exits with an error if an op
at the level has two hashes.
"""

import argparse
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import numerics, op

BATCHES = (1, 2, 3, 4, 5, 7, 8, 33, 128, 512)
Function = Callable[[jax.Array], jax.Array]


def cases() -> dict[str, tuple[Function, Function, tuple[int, ...]]]:
    """Returns by name the plain function, the operators, and the shape of a row."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(generator.standard_normal(shape) / np.sqrt(shape[0]), jnp.float32)

    square, odd = normal(1024, 1024), normal(300, 200)
    first, second = normal(512, 1024), normal(1024, 128)
    scale = normal(1024) + 1

    def plain_mlp(x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ first) @ second

    def mlp(x: jax.Array) -> jax.Array:
        return op.matmul(op.matmul(x, first, epilogue="tanh"), second)

    def plain_layernorm(x: jax.Array) -> jax.Array:
        centred = x - jnp.mean(x, -1, keepdims=True)
        return centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5) * scale

    def plain_rmsnorm(x: jax.Array) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale

    def plain_attention(x: jax.Array) -> jax.Array:
        heads = jnp.swapaxes(x, 1, 2)
        return jnp.swapaxes(jax.nn.dot_product_attention(heads, heads, heads), 1, 2)

    return {
        "matmul 1024x1024": (lambda x: x @ square, lambda x: op.matmul(x, square), (1024,)),
        "matmul 300x200": (lambda x: x @ odd, lambda x: op.matmul(x, odd), (300,)),
        "mlp 512-1024-128": (plain_mlp, mlp, (512,)),
        "softmax 1000": (jax.nn.softmax, op.softmax, (1000,)),
        "layernorm 1024": (plain_layernorm, lambda x: op.layernorm(x, weight=scale), (1024,)),
        "rmsnorm 1024": (plain_rmsnorm, lambda x: op.rmsnorm(x, weight=scale), (1024,)),
        "mean 777": (lambda x: x.mean(-1), lambda x: op.reduce_mean(x, axis=-1), (777,)),
        "norm 777": (
            lambda x: jnp.linalg.norm(x, axis=-1),
            lambda x: op.norm(x, axis=-1),
            (777,),
        ),
        "attention 4x64x32": (
            plain_attention,
            lambda x: op.flash_attention(x, x, x, causal=True),
            (4, 64, 32),
        ),
        "gelu 1024": (jax.nn.gelu, op.gelu, (1024,)),
    }


def groups(function: Function, row: tuple[int, ...], level: str | None) -> list[list[int]]:
    """Returns the batch sizes that share the bits of the first row."""
    generator = np.random.default_rng(1)
    x = jnp.asarray(generator.standard_normal((max(BATCHES), *row)), jnp.float32)
    found: dict[str, list[int]] = {}
    for batch in BATCHES:
        with numerics.deterministic(level or "D0"):
            first: Any = jax.jit(function)(x[:batch])[0]
        digest = hashlib.sha256(np.asarray(first).tobytes()).hexdigest()
        found.setdefault(digest, []).append(batch)
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--level", default="D3")
    level = parser.parse_args().level
    print(f"JAX {jax.__version__}, {jax.devices()[0].device_kind}; batches {BATCHES}")
    print(f"| op | plain: distinct | who shares | {level}: distinct |\n|---|---|---|---|")
    failed = False
    for name, (plain, own, row) in cases().items():
        free, fixed = groups(plain, row, None), groups(own, row, level)
        failed |= len(fixed) > 1
        shares = " ".join("{" + ",".join(map(str, group)) + "}" for group in free)
        print(f"| {name} | {len(free)} | {shares if len(free) > 1 else 'all'} | {len(fixed)} |")
    if failed:
        raise SystemExit(f"an op at {level} has more than one hash")


if __name__ == "__main__":
    main()
