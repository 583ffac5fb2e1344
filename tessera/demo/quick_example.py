"""The README's quick example on eight simulated devices, checked against plain `jax.numpy`."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tessera import dist, op
from tessera.core import numerics
from tessera.core.errors import Code, DistributedError

DEVICES = 8
SIZE = 1024


@dataclass(frozen=True)
class Verdict:
    """How the example ended.

    `difference` is the largest distance from plain `jax.numpy` on random data and `allowed` the largest
    rounding explains; `rows` gives for each device the rows of X and of Y it holds.
    """

    difference: float
    allowed: float
    rows: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]

    @property
    def problem(self) -> str | None:
        """Why the example is wrong, in one line, or None."""
        if not self.difference <= self.allowed:
            return f"quick example: Y is {self.difference:.1e} from jax.numpy, allowed {self.allowed:.1e}"
        if any(x != y for _, x, y in self.rows):
            return "quick example: the rows of Y do not lie where the rows of X lie"
        return None


def simulate_devices(count: int = DEVICES) -> None:
    """Gives this process `count` CPU devices. Only possible before JAX has started its backends.

    Raises `DistributedError` (E_TOPOLOGY) if JAX has started with fewer.
    """
    try:
        jax.config.update("jax_num_cpu_devices", count)
        jax.config.update("jax_platforms", "cpu")
    except RuntimeError:
        pass  # JAX has started; what it started with may do
    if len(jax.devices()) < count:
        raise DistributedError(
            Code.E_TOPOLOGY,
            f"the quick example needs {count} devices but JAX has started with {len(jax.devices())}.",
            hints="run the demo in a fresh process: tessera demo",
        )


def check() -> Verdict:
    """Runs the example as the README has it, then with random data against plain `jax.numpy`."""
    mesh = dist.Mesh(axes=["dp"], devices=range(DEVICES))
    layout = dist.ShardSpec(("row",), ("dp",))
    zeros = dist.tensor((SIZE, SIZE), layout=layout, mesh=mesh)
    data = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    random = dist.tensor(data, layout=layout, mesh=mesh)
    results = [_example(x) for x in (zeros, random)]
    differences = [
        _distance(y, x) for x, y in zip((np.zeros_like(data), data), results, strict=True)
    ]
    return Verdict(max(differences), _allowed(), _rows_held(random, results[1]))


def _example(x: jax.Array) -> jax.Array:
    return op.pipeline([op.matmul(x, x.T), op.relu, op.layernorm])


def _distance(found: jax.Array, x: np.ndarray) -> float:
    hidden = jax.nn.relu(jnp.matmul(x, x.T))
    centred = hidden - jnp.mean(hidden, axis=1, keepdims=True)
    expected = centred / jnp.sqrt(jnp.mean(jnp.square(centred), axis=1, keepdims=True) + 1e-5)
    return float(np.max(np.abs(np.asarray(found) - np.asarray(expected))))


def _allowed() -> float:
    # Y has unit variance per row and a largest entry near sqrt(SIZE), the diagonal of X X^T.
    relative, absolute = numerics.tolerance(jnp.float32)
    return absolute + relative * SIZE**0.5


def _rows_held(
    x: jax.Array, y: jax.Array
) -> tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]:
    tables = [dist.inspect(array).rows for array in (x, y)]
    return tuple(
        (device, ranges_x[0], ranges_y[0])
        for (device, ranges_x), (_, ranges_y) in zip(*tables, strict=True)
    )
