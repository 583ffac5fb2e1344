"""Runs every benchmark under both clocks and writes one report. This is what `make bench` does.

python benchmarks/run.py                       benchmarks/results/<platform>-jax-<version>.md
python benchmarks/run.py --clock cpu           one core only
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITES = ("ops", "tile", "pde", "compiler")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=("cpu", "wall"), help="only this clock")
    parser.add_argument("--out", type=Path, help="where the report goes")
    options = parser.parse_args()
    name = f"{platform.machine()}-cpu-jax-{metadata.version('jax')}.md"
    report = options.out or HERE / "results" / name
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for clock in (options.clock,) if options.clock else ("cpu", "wall"):
            for suite in SUITES:
                print(f"== {suite}, {clock} clock", flush=True)
                found.append(Path(folder) / f"{suite}-{clock}.json")
                # A process of its own: pinning and the allocator's state must not carry over.
                _start(f"{suite}.py", "--clock", clock, "--out", found[-1])
        _start("report.py", *found, "--out", report)


def _start(script: str, *arguments: str | Path) -> None:
    command = [sys.executable, HERE / script, *arguments]
    finished = subprocess.run([str(part) for part in command], check=False)
    if finished.returncode:
        raise SystemExit(f"{script} failed with exit code {finished.returncode}")


if __name__ == "__main__":
    main()
