"""What the demo shows in the terminal and writes to summary.json."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from tessera.demo.comparison import HESSIAN, NESTED, OURS, Row
from tessera.demo.quick_example import SIZE, Verdict
from tessera.demo.settings import REYNOLDS, Settings
from tessera.pinn import output
from tessera.pinn.training import Record, Result


def sharding_table(verdict: Verdict) -> Table:
    """Returns which rows of X and Y each device of the mesh holds, as bars down the matrix."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("device", "rows of X", "rows of Y", "place in the matrix"):
        table.add_column(heading)
    cells = len(verdict.rows)
    for device, of_x, of_y in verdict.rows:
        first, last = (bound * cells // SIZE for bound in of_y)
        place = "·" * first + "█" * (last - first) + "·" * (cells - last)
        table.add_row(f"dp {device}", _range(of_x), _range(of_y), f"[cyan]{place}[/]")
    return table


def verdict_line(verdict: Verdict) -> str:
    """Returns the outcome of the quick example in one line."""
    if verdict.problem:
        return f"[red]✗[/] {verdict.problem}"
    return f"[green]✓[/] Y is within {verdict.difference:.0e} of plain jax.numpy and sharded like X"


def state_of(record: Record) -> str:
    """Returns the state of training as the progress bar shows it; the error is that of the velocity u."""
    residual = record.residuals["momentum"]
    return f"loss {record.loss:.0e}  residual {residual:.0e}  error u {record.errors['u']:.0e}"


def comparison_table(rows: Sequence[Row]) -> Table:
    """Returns the times of each way to the derivatives, and Tessera's speedup over plain JAX."""
    table = Table(box=None, padding=(0, 1), header_style="dim", caption_justify="left")
    # The median of ratios is not the ratio of medians.
    table.caption = "time: median over rounds; ratio: median over rounds"
    table.add_column("float32, wall clock")
    for heading in (OURS, HESSIAN, NESTED):
        table.add_column(heading, justify="right")
    for row in rows:
        ours = f"{row.seconds[OURS] * 1e3:.1f} ms"
        others = [
            f"{row.seconds[other] * 1e3:.1f} ms\n[bold]{row.speedup[other].median:.2f}x[/]"
            for other in (HESSIAN, NESTED)
        ]
        table.add_row(row.name, ours, *others)
    return table


def write_summary(
    path: Path,
    *,
    quick: bool,
    settings: Settings,
    verdict: Verdict,
    results: Sequence[Result],
    rows: Sequence[Row],
    problems: Sequence[str],
) -> None:
    """Writes every number of the run to a JSON file."""
    summary = {
        "passed": not problems,
        "problems": list(problems),
        "quick": quick,
        "versions": output.versions(),
        "quick_example": {**asdict(verdict), "devices": len(verdict.rows)},
        "kovasznay": {
            "reynolds": REYNOLDS,
            "optimizer": asdict(settings.optimizer),
            "targets": dict(settings.problem.targets),
            "units": dict(results[0].units),
            "seeds": [output.summary_of(result) for result in results],
        },
        "comparison": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _range(rows: tuple[int, int]) -> str:
    return f"{rows[0]:>4}:{rows[1]:<4}"
