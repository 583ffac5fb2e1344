"""Every kernel on this GPU against float64, value and gradients, over a matrix of shapes and dtypes.

    python benchmarks/gpu/check.py --out check.json              all
    python benchmarks/gpu/check.py --shard 2/8 --out check.json  the third eighth: kernels compile on the CPU

An error is ‖found − reference‖ / ‖reference‖ of one array, which is taken to be no smaller than a hundredth
of the largest array beside it, entry by entry: a gradient that vanishes has no scale of its own. A NaN fails.
The reference is the op's jnp formulation in float64 on the operands as rounded.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import Case, checks, is_float

from tessera.core.op import TILE, registered_ops

# Of float32 sums in another order; of operands and results with 8 and 11 bits.
LIMITS = {"float32": 2e-5, "bfloat16": 1.2e-2, "float16": 2e-3}


def check(case: Case, seed: int) -> dict[str, Any]:
    """Returns the record of a case: the worst error of its result and of its gradients."""
    operands = case.make(jax.random.key(seed))
    found = _with_gradients(case, "tile", operands)
    with jax.enable_x64(True):
        wide = tuple(x.astype(jnp.float64) if is_float(x) else x for x in operands)
        wanted = _with_gradients(case, "reference", wide)
    wide_leaves = [np.asarray(b, np.float64) for b in jax.tree.leaves(wanted)]
    scale = 0.01 * max(float(np.sqrt(np.mean(b * b))) for b in wide_leaves)
    pairs = zip(jax.tree.leaves(found), wide_leaves, strict=True)
    errors = [_error(np.asarray(a, np.float64), b, scale) for a, b in pairs]
    worst = max(errors)
    return {
        "op": case.op,
        "case": case.label,
        "dtype": case.dtype,
        "errors": errors,
        "ok": bool(worst <= LIMITS[case.dtype]),
    }


def run_tiles_everywhere() -> None:
    """Makes tile programs run where a measurement prefers another formulation; never for the reference."""
    for op in registered_ops():
        if TILE in op.algorithms:
            op.def_tile(platforms=("cuda", "rocm"), when=lambda x, *_, **__: x.dtype.itemsize <= 4)


def _with_gradients(case: Case, algorithm: str, operands: tuple[Any, ...]) -> Any:
    """Returns the result and the gradients of <result, c> for a fixed smooth c."""
    run = case.run(algorithm)
    moving = [i for i, x in enumerate(operands) if is_float(x)]

    def of_moving(*xs: Any) -> Any:
        mixed = list(operands)
        for i, x in zip(moving, xs, strict=True):
            mixed[i] = x
        return run(*mixed)

    @jax.jit
    def both(*xs: Any) -> Any:
        out, pull = jax.vjp(of_moving, *xs)
        ct = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).astype(case.dtype)
        return out, pull(ct.reshape(out.shape).astype(out.dtype))

    return both(*(operands[i] for i in moving))


def _error(found: np.ndarray, wanted: np.ndarray, scale: float) -> float:
    if found.shape != wanted.shape or not np.all(np.isfinite(found)):
        return float("inf")
    size = max(float(np.linalg.norm(wanted)), scale * wanted.size**0.5)
    return float(np.linalg.norm(found - wanted)) / (size or 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shard", default="0/1", help="i/n: the cases i, i + n, ...")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    # XLA multiplies float32 in TF32 by default; the tile programs and the reference here do not.
    jax.config.update("jax_default_matmul_precision", "highest")
    run_tiles_everywhere()
    place, count = map(int, options.shard.split("/"))
    cases = [case for case in checks() if options.only in case.op][place::count]
    records = []
    for number, case in enumerate(cases):
        start = time.perf_counter()
        try:
            record = check(case, number)
        except Exception as error:  # noqa: BLE001 - one broken kernel must not hide the others
            words = f"{type(error).__name__}: {error}"[:600]
            record = {
                "op": case.op,
                "case": case.label,
                "dtype": case.dtype,
                "ok": False,
                "error": words,
            }
        records.append(record)
        if not record["ok"]:
            said = record.get("error") or ", ".join(f"{e:.1e}" for e in record["errors"])
            print(f"FAILED {case.op} {case.label} {case.dtype}: {said}", flush=True)
        record["seconds"] = round(time.perf_counter() - start, 2)
    good = sum(record["ok"] for record in records)
    print(f"shard {options.shard}: {good} of {len(records)} within their limits", flush=True)
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
