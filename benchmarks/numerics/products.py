"""The matrix product in integers against `jnp.matmul`, interleaved in one run.

    python benchmarks/numerics/products.py --clock cpu      one core, processor seconds
    python benchmarks/numerics/products.py --clock wall     all cores, elapsed seconds

Both products have float32 results. The errors are the largest, in units in the last place of the largest
entry of the result (entries that cancel say more of the data than of a product), and the share of entries
that are not correctly rounded. The fingerprint of the bits of `exact_product` must be the same everywhere.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.autotune.measure import interleave
from tessera.core.exact_product import exact_product

Product = Callable[[jax.Array, jax.Array], jax.Array]
PLAIN, EXACT = "jnp.matmul", "exact_product"
WAYS: dict[str, Product] = {
    PLAIN: partial(jnp.matmul, preferred_element_type=jnp.float32),
    EXACT: exact_product,
}
SIZES = [
    (512, 1024, 1024),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (1, 1024, 1024),
    (1024, 1024, 1),
]
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Case:
    """Operands of normally distributed entries."""

    sizes: tuple[int, int, int]
    dtype: str

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.sizes))} {self.dtype}"

    def operands(self) -> tuple[jax.Array, jax.Array]:
        m, k, n = self.sizes
        generator = np.random.default_rng(0)
        a, b = (generator.standard_normal(shape) for shape in ((m, k), (k, n)))
        return jnp.asarray(a, self.dtype), jnp.asarray(b, self.dtype)


def measure(case: Case, clock: str) -> dict[str, Any]:
    """Returns the record of one case."""
    a, b = case.operands()
    ways: dict[str, Any] = {name: jax.jit(run).lower(a, b).compile() for name, run in WAYS.items()}
    timings = interleave({n: (lambda f=f: f(a, b)) for n, f in ways.items()}, clock=clock)
    ratio = timings.speedup(PLAIN, EXACT)
    record: dict[str, Any] = {"case": str(case), "clock": clock}
    record |= {"times as long": ratio.median, "lower": ratio.lower, "upper": ratio.upper}
    for name, run in ways.items():
        record[name] = {
            "ms": timings.median(name) * 1e3,
            "temporaries_mb": run.memory_analysis().temp_size_in_bytes / 2**20,
            **_described(np.asarray(run(a, b)), a, b),
        }
    return record


def _described(found: np.ndarray, a: jax.Array, b: jax.Array) -> dict[str, Any]:
    true = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    unit = float(np.spacing(np.float32(np.abs(true).max())))
    return {
        "bits": hashlib.sha256(found.tobytes()).hexdigest()[:8],
        "largest_error_ulp": float(np.abs(found - true).max()) / unit,
        "not_correctly_rounded": float(np.mean(found != true.astype(np.float32))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--out", type=Path, help="write the records here as JSON")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    if options.clock == "cpu" and jax.default_backend() == "cpu":
        # One core: processor seconds then count work, not waiting.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cases = [Case(sizes, dtype) for sizes in SIZES for dtype in DTYPES]
    records = []
    for case in cases:
        if options.only in str(case):
            records.append(measure(case, options.clock))
            _show(records[-1])
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


def _show(record: dict[str, Any]) -> None:
    print(
        f"{record['case']:<26} {record['times as long']:6.2f} times as long "
        f"[{record['lower']:.2f}-{record['upper']:.2f}]"
    )
    for name in WAYS:
        of = record[name]
        print(
            f"    {name:<14} {of['ms']:9.3f} ms  {of['temporaries_mb']:7.1f} MB of temporaries  "
            f"{of['largest_error_ulp']:8.3f} ulp  {of['not_correctly_rounded']:7.2%} not correctly rounded  "
            f"{of['bits']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
