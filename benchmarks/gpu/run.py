"""Checks every kernel on this GPU, tunes and times them, and writes the report.

    python benchmarks/gpu/run.py --out benchmarks/results/gpu        everything, in under 8 minutes
    python benchmarks/gpu/run.py --check-seconds 200 --no-tune

Kernels compile on the CPU, so the checks run in several processes at a time; then the timings run alone.
Writes NAME.json and NAME.md, NAME being the device and the JAX version.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    parser.add_argument("--check-seconds", type=float, default=180, help="0: no checks")
    parser.add_argument("--measure-seconds", type=float, default=240, help="0: no timings")
    parser.add_argument("--no-tune", action="store_true")
    options = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the processes share the device
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checks = check(Path(folder), options.check_seconds) if options.check_seconds else []
        timings = measure(Path(folder), options) if options.measure_seconds else {}
    report = {"checks": checks, **timings}
    stem = name_of(report.get("environment", {}))
    (options.out / f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / f"{stem}.md").write_text(as_markdown(report))
    bad = [record for record in checks if not record["ok"]]
    print(f"{len(checks) - len(bad)} of {len(checks)} kernels within their limits; {stem}")
    sys.exit(1 if bad else 0)


def check(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Returns the records of all checks that end in time, from a process for each core but two."""
    count = max(1, (os.cpu_count() or 1) - 2)
    outs = [folder / f"check-{i}.json" for i in range(count)]
    running = [
        subprocess.Popen(
            [sys.executable, HERE / "check.py", "--shard", f"{i}/{count}", "--out", out]
        )
        for i, out in enumerate(outs)
    ]
    deadline = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            print("a shard of the checks ran out of time", flush=True)
    return [r for out in outs if out.exists() for r in json.loads(out.read_text())]


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Returns environment, ceilings and records of the timings that begin in time."""
    out = folder / "measure.json"
    words = ["--seconds", str(options.measure_seconds), "--out", out]
    words += [] if options.no_tune else ["--tune"]
    subprocess.run([sys.executable, HERE / "measure.py", *map(str, words)], check=True)
    return json.loads(out.read_text())


def name_of(environment: dict[str, str]) -> str:
    """Returns a file's name for a device and a JAX version."""
    device = re.sub(r"[^A-Za-z0-9]+", "-", environment.get("device", "gpu")).strip("-").lower()
    return f"{device}-jax-{environment.get('jax', 'unknown')}"


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the report as a page: environment, ceilings, timings with ratios, checks."""
    lines = ["# GPU results", ""]
    lines += [f"- {name}: {value}" for name, value in report.get("environment", {}).items()]
    ceilings = report.get("ceilings", {})
    if ceilings:
        lines += [
            f"- ceilings measured in the same run: copy {ceilings['copy_bytes_per_second'] / 1e12:.2f} TB/s, "
            f"bf16 product 8192^3 {ceilings['dot_flops_per_second'] / 1e12:.0f} TFLOP/s",
        ]
    lines += [
        "",
        "Microseconds per application, medians of seven rounds, candidates in turn. A ratio is the peer's "
        "time over the tile program's: above 1 the tile program is faster. `tile` runs the default "
        "configuration, `tuned` the fastest of those tried. Of the ceiling: the product rate for those that "
        "count operations, the copy's for the others.",
        "",
        "| case | tile | tuned | XLA | cuDNN | torch | over XLA | over cuDNN | over torch | of the ceiling |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(record, ceilings) for record in report.get("cases", [])]
    tuned = [line for record in report.get("cases", []) for line in _configs(record)]
    if tuned:
        lines += ["", "Fastest configurations:", "", *tuned]
    lines += ["", *_checks(report.get("checks", []))]
    return "\n".join(lines) + "\n"


def _row(record: dict[str, Any], ceilings: dict[str, float]) -> str:
    times = record["seconds"]
    ours = times.get("tile")
    tuned = min((t for name, t in times.items() if name.startswith("tile")), default=None)
    peers = [times.get(name) for name in ("xla", "cudnn", "torch")]
    ratios = ["" if p is None or ours is None else f"{p / ours:.2f}" for p in peers]
    part = ""
    if ours is not None and record["flops"]:
        part = f"{record['flops'] / ours / ceilings['dot_flops_per_second']:.0%}"
    elif ours is not None and "backward" not in record["case"]:
        part = f"{record['bytes'] / ours / ceilings['copy_bytes_per_second']:.0%}"
    cells = [record["case"], *(_micro(t) for t in (ours, tuned, *peers)), *ratios, part]
    return "| " + " | ".join(cells) + " |"


def _micro(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.1f}"


def _configs(record: dict[str, Any]) -> list[str]:
    times = {name: t for name, t in record["seconds"].items() if name in record["configs"]}
    if not times:
        return []
    best = min(times, key=times.__getitem__)
    return [f"- {record['case']}: {json.dumps(record['configs'][best])}, {_micro(times[best])} us"]


def _checks(records: list[dict[str, Any]]) -> list[str]:
    if not records:
        return []
    worst: dict[tuple[str, str], float] = {}
    counts: dict[tuple[str, str], int] = {}
    for record in records:
        key = (record["op"], record["dtype"])
        counts[key] = counts.get(key, 0) + 1
        worst[key] = max(worst.get(key, 0.0), *record.get("errors", [float("inf")]))
    lines = [
        "Against float64, value and gradients, relative in norm (`check.py`):",
        "",
        "| op | dtype | cases | worst error |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {op} | {dtype} | {counts[op, dtype]} | {e:.1e} |"
        for (op, dtype), e in sorted(worst.items())
    ]
    lines += [
        f"\nFailed: {r['op']} {r['case']} {r['dtype']}: {r.get('error', r.get('errors'))}"
        for r in records
        if not r["ok"]
    ]
    return lines


if __name__ == "__main__":
    main()
