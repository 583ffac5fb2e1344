"""Merges JSON records of the benchmarks into one Markdown table with targets and environment.

python benchmarks/report.py ops-cpu.json ops-wall.json --out benchmarks/results/name.md
"""

import argparse
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Target:
    """What the one-core run of a case must reach: a ratio, a share of the temporaries, or extra time."""

    ratio: float | None = None
    temporaries: float | None = None
    extra_ms: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.ratio is not None:
            parts.append(f">= {self.ratio:g}x")
        if self.temporaries is not None:
            parts.append(f"temporaries <= {self.temporaries:g}")
        if self.extra_ms is not None:
            parts.append(f"<= +{self.extra_ms:g} ms")
        return ", ".join(parts)

    def met(self, record: Record) -> bool:
        """Returns whether a record reaches the target."""
        if self.ratio is not None and record["ratio"] < self.ratio:
            return False
        if self.temporaries is not None:
            allowed = self.temporaries * record["baseline_temp_mb"]
            if record["candidate_temp_mb"] > allowed:
                return False
        extra = record["candidate_ms"] - record["baseline_ms"]
        return self.extra_ms is None or extra <= self.extra_ms


# By baseline, then by how the name of the case begins; the first that fits counts.
TARGETS: dict[str, tuple[tuple[str, Target], ...]] = {
    "plain JAX": (
        ("attention T=2048 forward+backward", Target(2.2, 1 / 8)),
        ("attention T=2048", Target(2.8, 1 / 8)),
        ("sin", Target(10)),
        ("cos", Target(10)),
        ("layernorm 4096x1024 forward+backward", Target(3)),
        ("layernorm 512x1024 forward+backward", Target(1.25)),
        ("matmul", Target(0.95)),
        ("softmax", Target(0.95)),
        ("rmsnorm", Target(0.95)),
        ("spectral_conv 64x64x32 channels_first", Target(1.2)),
        ("spectral_conv 128x128x64 channels_first forward+backward", Target(2.4)),
        ("spectral_conv 128x128x64 channels_first", Target(1.7)),
        ("spectral_conv 256x256x64 channels_first forward+backward", Target(1)),
        ("spectral_conv 256x256x64 channels_first", Target(2)),
        ("moe top-2 of 8", Target(4)),
        ("moe top-2 of 64", Target(20)),
        ("Equinox block T=2048", Target(1.3)),
        ("Flax block T=2048", Target(1.3)),
        ("model", Target(0.97)),
        ("compile of T=256", Target(1 / 1.2)),
    ),
    "jax.hessian": (
        ("laplacian d=2 ", Target(1.5)),
        ("laplacian d=3 ", Target(2)),
        ("laplacian d=100 ", Target(2.5)),
        ("parameter gradient d=2 ", Target(1.6)),
        ("parameter gradient d=3 ", Target(3)),
    ),
    "folx": (("laplacian", Target(1.2)),),
    "jax.hessian twice": (("biharmonic", Target(2)),),
    "nested autodiff": (("momentum", Target(2)),),
    "trace": (("capture", Target(extra_ms=3000)),),
    "import jax": (("import", Target(extra_ms=150)),),
}
HEADER = (
    "case",
    "baseline",
    "candidate",
    "1 core: ms",
    "ratio",
    "target",
    "met",
    "all cores: ms",
    "ratio",
    "temporaries MB",
)


def target_of(record: Record) -> Target | None:
    """Returns the target of a record, or None if it has none."""
    if record["candidate"] != "tessera":
        return None
    targets = TARGETS.get(record["baseline"], ())
    return next((t for start, t in targets if record["case"].startswith(start)), None)


def table(records: Iterable[Record]) -> str:
    """Returns the Markdown table: one row for each comparison, both clocks side by side."""
    rows: dict[Key, dict[str, Record]] = {}
    for record in records:
        key = record["case"], record["baseline"], record["candidate"]
        rows.setdefault(key, {})[record["clock"]] = record
    lines = [HEADER, ("---",) * len(HEADER)]
    lines += [_row(key, clocks) for key, clocks in rows.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(key: Key, clocks: dict[str, Record]) -> tuple[str, ...]:
    cpu, wall = clocks.get("cpu"), clocks.get("wall")
    target = target_of(cpu) if cpu else None
    met = "" if cpu is None or target is None else ("yes" if target.met(cpu) else "**no**")
    temporaries = _temporaries(cpu or wall or {})
    return (*key, *_figures(cpu), str(target or ""), met, *_figures(wall), temporaries)


def _figures(record: Record | None) -> tuple[str, str]:
    if record is None:
        return "", ""
    times = f"{record['baseline_ms']:.3g} → {record['candidate_ms']:.3g}"
    return times, f"{record['ratio']:.2f}x [{record['lower']:.2f}–{record['upper']:.2f}]"


def _temporaries(record: Record) -> str:
    before, after = record.get("baseline_temp_mb"), record.get("candidate_temp_mb")
    return "" if before is None or after is None else f"{before:.3g} → {after:.3g}"


def environment() -> str:
    """Returns what the ratios depend on: versions, processor, cores and the allocator setting."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "numpy"))
    names = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_")
    setting = ", ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    setting = setting or f"default ({' '.join(platform.libc_ver())})"
    return "\n".join(
        (
            f"- Python {platform.python_version()}, {versions}",
            f"- {_processor()}, {len(os.sched_getaffinity(0))} cores",
            f"- allocator: {setting}",
        )
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def document(title: str, records: Iterable[Record]) -> str:
    """Returns the whole report."""
    return f"""# {title}

{environment()}

Time per call, baseline → candidate; ratio = baseline / candidate, median over rounds [quartiles], the
candidates of a case in random alternation in one process. "1 core" is processor time of a process pinned to
one core, and is what targets refer to; "all cores" is elapsed time. Temporaries are those of the compiled
program, as XLA reports them.

{table(records)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, help="JSON files of ops.py and pde.py")
    parser.add_argument("--out", type=Path, help="write the report here instead of printing it")
    options = parser.parse_args()
    records = [record for path in options.records for record in json.loads(path.read_text())]
    name = options.out.stem if options.out else "benchmarks"
    text = document(f"Results: {name}", records)
    if options.out is None:
        print(text)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
