"""Level D4 against NumPy: the same bits from every JAX, on every device.

    python benchmarks/numerics/portable.py             compare here, and print hashes
    python benchmarks/numerics/portable.py --hashes    only the hashes, one line each, to compare machines

The oracle is NumPy float32 in the order Tessera documents (`tests/` has it for every function); here
it is written for sums, means, dot products, matrix products and a step of AdamW. Exits with an error if a bit
differs.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import numerics, op
from tessera.core import portable

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import exact_product_oracle
import portable_inverses_oracle
import portable_oracle

f32 = np.float32
ONE = (
    "sqrt rsqrt reciprocal exp exp2 expm1 log log1p log2 tanh logistic sin cos tan asin acos atan sinh cosh "
    "asinh acosh atanh erf erfc erf_inv cbrt lgamma digamma"
).split()
TWO = "divide power atan2 rem".split()


def tree(x: np.ndarray) -> np.ndarray:
    """Returns the sum over the first axis in the order of `op.reduce_sum`, as its docstring gives it."""

    def neighbours(rows: list[np.ndarray]) -> np.ndarray:
        while len(rows) > 1:
            pairs = [a + b for a, b in zip(rows[::2], rows[1::2], strict=False)]
            rows = pairs + rows[len(pairs) * 2 :]
        return rows[0]

    def within(chunk: np.ndarray) -> np.ndarray:
        length = len(chunk)
        if length <= 16:
            return neighbours(list(chunk))
        rest = length % 16
        whole = chunk[: length - rest]
        if length % 256:
            rows = list(whole.reshape(16, length // 16, *chunk.shape[1:]))
        else:
            blocks = whole.reshape(length // 256, 16, 16, *chunk.shape[1:])
            rows = [blocks[:, i].reshape(-1, *chunk.shape[1:]) for i in range(16)]
        total = within(neighbours(rows))
        return total + within(chunk[length - rest :]) if rest else total

    chunks = np.gcd(len(x), 8)
    return neighbours([within(chunk) for chunk in x.reshape(chunks, -1, *x.shape[1:])])


def adamw(p: Any, m: Any, v: Any, g: Any, t: Any) -> tuple[Any, Any, Any]:
    """Returns parameters and moments after a step of AdamW (Loshchilov and Hutter 2019), in JAX."""
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * (g * g)
    step = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p - 1e-3 * (step + 1e-2 * p), m, v


def numpy_adamw(p: Any, m: Any, v: Any, g: Any, t: Any) -> tuple[Any, Any, Any]:
    """Returns the same in NumPy, operation by operation."""
    power = portable_oracle.power
    m = f32(0.9) * m + f32(0.1) * g
    v = f32(0.999) * v + f32(0.001) * (g * g)
    debias_m, debias_v = (
        f32(1) - power(np.array([b], f32), np.array([t], np.int32)) for b in (0.9, 0.999)
    )
    step = (m / debias_m) / (np.sqrt(v / debias_v) + f32(1e-8))
    return p - f32(1e-3) * (step + f32(1e-2) * p), m, v


def cases() -> dict[str, tuple[Callable[..., Any], Callable[..., Any] | None, tuple[Any, ...]]]:
    """Returns by name the function at D4, the oracle and the operands."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) * 10).astype(f32)

    words = generator.integers(0, 2**32, 100_003, dtype=np.uint32)
    bits = words.view(f32)  # every magnitude, infinities and NaN
    x, y, a, b = normal(100_003), normal(100_003), normal(37, 301), normal(301, 29)
    moments = [np.abs(normal(5000)) for _ in range(4)]
    fix = numerics.reproducible
    return {
        "sum": (fix(jnp.sum), tree, (x,)),
        "mean": (fix(jnp.mean), lambda x: tree(x) / f32(x.size), (x,)),
        "dot": (fix(lambda x, y: jnp.sum(x * y)), lambda x, y: tree(x * y), (x, y)),
        "op.matmul": (
            lambda a, b: op.matmul(a, b, deterministic="D4"),
            exact_product_oracle.product,
            (a, b),
        ),
        "jnp.matmul": (fix(jnp.matmul), exact_product_oracle.product, (a, b)),
        "adamw": (fix(adamw), numpy_adamw, (*moments, np.int32(7))),
        **{
            f"{count} functions of one number": (one_argument, oracles_of_one, (x, bits, x / 20))
            for count in (len(ONE),)
        },
        "x / y, x^y, atan2, rem": (two_arguments, oracles_of_two, (x, y, bits[: len(x)])),
        "softmax": (fix(jax.nn.softmax), numpy_softmax, (a,)),
        "gradient of ops": (fix(jax.grad(loss_of_ops)), None, (b[:, :8] / 100, a)),
        "gradient of jnp": (fix(jax.grad(loss)), None, (b[:, :8] / 100, a)),
    }


def one_argument(*operands: Any) -> list[Any]:
    return [getattr(portable, name)(portable.flushed(x)) for name in ONE for x in operands]


def oracles_of_one(*operands: Any) -> list[Any]:
    return [oracle_of(name)(portable_oracle.flushed(x)) for name in ONE for x in operands]


def two_arguments(x: Any, y: Any, any_bits: Any) -> list[Any]:
    pairs = ((x, y), (portable.flushed(any_bits), x))
    return [getattr(portable, name)(*pair) for name in TWO for pair in pairs]


def oracles_of_two(x: Any, y: Any, any_bits: Any) -> list[Any]:
    pairs = ((x, y), (portable_oracle.flushed(any_bits), x))
    return [oracle_of(name)(*pair) for name in TWO for pair in pairs]


def oracle_of(name: str) -> Callable[..., Any]:
    """Returns the NumPy form of a function of `tessera.core.portable`."""
    found = portable_oracle if name in vars(portable_oracle) else portable_inverses_oracle
    return getattr(found, name)


def numpy_softmax(x: np.ndarray) -> np.ndarray:
    weights = portable_oracle.exp(x - x.max(-1, keepdims=True))
    return weights / tree(weights.T)[:, None]


def loss(w: Any, x: Any) -> Any:
    """Returns a loss in plain JAX, whose rules for derivatives may change from version to version."""
    return jnp.mean(jax.nn.logsumexp(jnp.tanh(x @ w) @ w.T, axis=-1))


def loss_of_ops(w: Any, x: Any) -> Any:
    """Returns a loss of operators; the derivative of tanh is JAX's, by a rule that 0.12 writes anew."""
    labels = jnp.arange(x.shape[0]) % w.shape[0]
    return op.cross_entropy(op.matmul(op.matmul(x, w, epilogue="tanh"), w.T), labels)


def digest(tree_: Any) -> str:
    # One NaN: which of them an operation gives is not part of the promise.
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree_)]
    data = b"".join(np.where(np.isnan(leaf), f32(np.nan), leaf).tobytes() for leaf in leaves)
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hashes", action="store_true")
    only_hashes = parser.parse_args().hashes
    if not only_hashes:
        print(f"JAX {jax.__version__}, {jax.devices()[0].device_kind}")
        print("| D4 | hash | NumPy |\n|---|---|---|")
    failed = False
    for name, (run, oracle, operands) in cases().items():
        traced = [jnp.asarray(x) for x in operands]
        found = jax.jit(run)(*traced)
        with np.errstate(all="ignore"):
            equal = None if oracle is None else digest(oracle(*operands)) == digest(found)
        failed |= equal is False
        if only_hashes:
            print(f"{name}: {digest(found)}")
        else:
            word = {None: "hash only", True: "equal", False: "DIFFERS"}[equal]
            print(f"| {name} | {digest(found)} | {word} |")
    if failed:
        raise SystemExit("a bit differs from NumPy's")


if __name__ == "__main__":
    main()
