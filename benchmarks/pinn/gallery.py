"""Writes `docs/gallery.md` from the runs in `benchmarks/results/pinn/`.

python benchmarks/pinn/gallery.py
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "pinn"
PAGE = ROOT / "docs" / "gallery.md"
PEERS = ("DeepXDE style", "jaxpi style")


def main() -> None:
    runs = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    parts = [introduction(runs.values()), table(runs), *(section(n, r) for n, r in runs.items())]
    PAGE.write_text("\n".join(parts))
    print(f"wrote {PAGE}")


def introduction(runs: Iterable[dict[str, Any]]) -> str:
    """Returns the head of the page."""
    environments = sorted({run["environment"] for run in runs})
    return f"""# Gallery

Every problem of `tessera.pinn`, trained by its own recipe: `tessera train pinn <problem>`.

- Errors are relative L2 distances to a truth that no network made (`tessera.pinn.reference`), on a grid that
  training never sees; of the cavity also the largest distance to the tables of Ghia, Ghia and Shin.
- Medians over three seeds, float64; seconds are of the wall clock, compilation included.
- Beside them two published formulations, written in plain JAX from the papers (`benchmarks/pinn/peers.py`),
  trained in float32 for as long, but at least a minute, one seed. They are made for hours on a GPU:
  published are 5.4e-5 for Allen-Cahn (by jaxpi's authors), and 5 to 18 % for Taylor-Green velocities after
  10 000 steps of Adam (with DeepXDE, at Re = 100).

Made by `python benchmarks/pinn/run.py` and `python benchmarks/pinn/gallery.py` on: {"; ".join(environments)}.
"""


def table(runs: dict[str, dict[str, Any]]) -> str:
    """Returns errors of all problems, and of the peers where they were trained."""
    lines = [
        f"| problem | error of | target | Tessera | worst seed | {' | '.join(PEERS)} | seconds |"
    ]
    lines.append("|---" * 8 + "|")
    for name, run in runs.items():
        for field, error in run["median"]["errors"].items():
            target = run["targets"].get(field)
            worst = max(seed["errors"][field] for seed in run["seeds"])
            others = [
                number(run["peers"].get(peer, {}).get("errors", {}).get(field)) for peer in PEERS
            ]
            cells = [
                f"[{name}](#{name})",
                field,
                "" if target is None else f"< {number(target)}",
                number(error),
                number(worst),
                *others,
                f"{run['median']['seconds']:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Returns a number with two digits; nothing for None."""
    return "" if value is None else f"{value:.1e}"


def section(name: str, run: dict[str, Any]) -> str:
    """Returns the figures of one problem."""
    options = "".join(f" --set {key}={value}" for key, value in run["options"].items())
    return f"""## {name}

{run["title"]}. {run["source"]}

`tessera train pinn {run["problem"]}{options}`
{intervals(run)}
![fields](../benchmarks/results/pinn/{name}.png)
![history](../benchmarks/results/pinn/{name}_history.png)
"""


def intervals(run: dict[str, Any]) -> str:
    """Returns what is said of an unknown coefficient, if there is one: its intervals over the true value."""
    found = run.get("intervals", [])
    told = "; ".join(f"{i['value']:.4f} [{i['lower']:.4f}, {i['upper']:.4f}]" for i in found)
    return (
        f"\nFound over true value, with its 95 % interval, for each seed: {told}.\n" if told else ""
    )


if __name__ == "__main__":
    main()
