"""Levels of determinism on this GPU: bits against NumPy's, rows over batches, and what each level costs.

    python benchmarks/gpu/numerics.py --out benchmarks/results      in about five minutes

Runs the programs of `benchmarks/numerics` one after the other and writes what they print to NAME-numerics.md,
NAME being the device and the JAX version. Exits with an error if a bit differs, or a row with its batch.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[1] / "numerics"
FLAG = "--xla_gpu_deterministic_ops=true"
# What is run, the more important first: a program that does not end in time is cut off, the rest left out.
RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Level D4 against NumPy", ("portable.py",)),
    ("Rows over batches, D3", ("batches.py",)),
    ("Rows over batches, D4", ("batches.py", "--level", "D4")),
    ("Costs of levels", ("costs.py",)),
    ("Exact products", ("products.py",)),
    ("Sums", ("sums.py",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=PROGRAMS.parent / "results")
    parser.add_argument("--seconds", type=float, default=400)
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    environment = {**os.environ, "XLA_FLAGS": FLAG, "JAX_PLATFORMS": "cuda"}
    sections, failed = [], False
    for title, (program, *words) in RUNS:
        left = deadline - time.monotonic()
        if left < 5:
            break
        text, code = run([str(PROGRAMS / program), *words], environment, left)
        failed |= code not in (0, None)
        state = {0: "", None: " (cut off)"}.get(code, f" (failed: {code})")
        sections.append(f"## {title}{state}\n\n`python benchmarks/numerics/{program}`\n\n{text}\n")
        print(sections[-1], flush=True)
    stem = name_of(environment)
    options.out.mkdir(parents=True, exist_ok=True)
    heading = f"# Numerics on {stem}\n\nXLA_FLAGS={FLAG}\n\n"
    (options.out / f"{stem}-numerics.md").write_text(heading + "\n".join(sections))
    sys.exit(1 if failed else 0)


def run(command: list[str], environment: dict[str, str], seconds: float) -> tuple[str, int | None]:
    """Returns what a program printed and its exit status, None if its time was up."""
    with subprocess.Popen(
        [sys.executable, "-u", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            text, code = process.communicate(timeout=seconds)[0], process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            text, code = process.communicate()[0], None
    kept = [line for line in text.splitlines() if not re.match(r"[WIE]\d{4} ", line)]
    return "\n".join(kept[-60:]), code


def name_of(environment: dict[str, str]) -> str:
    """Returns the device and the JAX version as a file name."""
    program = "import jax; print(jax.devices()[0].device_kind, 'jax', jax.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return re.sub(r"[^a-z0-9.]+", "-", done.stdout.strip().splitlines()[-1].lower())


if __name__ == "__main__":
    main()
