"""Trains on one mesh, stops, goes on on another, and ends with the bits of an undisturbed run.

    python examples/elastic_bitwise.py --devices 8 --steps 25 --save half.npz
    python examples/elastic_bitwise.py --devices 2 --steps 25 --load half.npz
    python examples/elastic_bitwise.py --devices 1 --steps 50

The last two print the same SHA-256. With `--level D4` it is the same on every machine and in every version of
JAX too. Devices are simulated on the CPU.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tessera import dist, numerics, training

Tree = dict[str, jax.Array]


def loss(params: Tree, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the mean square of what a network of two layers misses."""
    hidden = jnp.sin(x @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - y) ** 2)


def numbers(seed: int, *shape: int) -> jax.Array:
    """Returns numbers between -1 and 1: random bits, of which no machine rounds any."""
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1.0)


def initial() -> Tree:
    """Returns the parameters and velocities to start from."""
    params = {"w1": numbers(1, 16, 64), "b1": jnp.zeros(64), "w2": numbers(2, 64, 1) / 8}
    return params | {f"{name}.velocity": jnp.zeros_like(x) for name, x in params.items()}


def moved(state: Tree, gradients: Tree) -> Tree:
    """Returns the state after a step of gradient descent with momentum."""
    velocity = {n: 0.9 * state[f"{n}.velocity"] - 0.05 * g for n, g in gradients.items()}
    params = {n: state[n] + v for n, v in velocity.items()}
    return params | {f"{n}.velocity": v for n, v in velocity.items()}


def train(state: Tree, mesh: dist.Mesh, steps: int, level: str) -> Tree:
    """Returns the state after some steps: all that a checkpoint holds."""
    gradient = training.data_parallel(loss, mesh=mesh, level=level)
    move = numerics.reproducible(moved, level)
    x = numbers(0, 512, 16)
    y = x[:, :1] * x[:, 1:2]

    @jax.jit
    def step(state: Tree) -> Tree:
        _, gradients = gradient({n: state[n] for n in ("w1", "b1", "w2")}, x, y)
        return move(state, gradients)

    for _ in range(steps):
        # Programs of simulated devices that wait in a queue can wait for each other.
        state = jax.block_until_ready(step(state))
    return jax.device_get(state)


def main() -> None:
    """Trains as the command line says, and prints the digest of the state."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1, help="1, 2, 4 or 8")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--level", default="D2", help="D2, D3 or D4")
    parser.add_argument("--load", type=Path, help="go on from here")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    state = initial()
    if options.load:
        state = dict(zip(sorted(state), np.load(options.load).values(), strict=True))
    mesh = dist.Mesh(axes=["dp"], devices=range(options.devices))
    state = train(state, mesh, options.steps, options.level)
    arrays = [np.asarray(state[name]) for name in sorted(state)]
    if options.save:
        np.savez(options.save, *arrays)
    digest = hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()
    sys.stdout.write(f"{options.devices} devices: {digest}\n")


if __name__ == "__main__":
    main()
