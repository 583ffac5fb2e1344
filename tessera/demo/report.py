"""What the demo shows in the terminal and writes to summary.json."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tessera.demo import kovasznay
from tessera.demo.comparison import HESSIAN, NESTED, OURS, Row
from tessera.demo.quick_example import SIZE, Verdict
from tessera.demo.training import Errors, Outcome, Plan, Point


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


def progress_bar(console: Any) -> Progress:
    """Returns the live display of training: one line of less than 80 columns for each seed."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.completed:>2.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        console=console,
    )


def state_of(point: Point) -> str:
    """Returns the state of training as the progress bar shows it; the error is that of the velocity u."""
    return f"loss {point.loss:.0e}  residual {point.residual:.0e}  error u {point.errors.u:.0e}"


def errors_table(outcomes: Sequence[Outcome], targets: Errors) -> Table:
    """Returns the errors of each seed and, in the last row, their targets."""
    table = Table(
        box=None, padding=(0, 1), header_style="dim", show_footer=True, footer_style="dim"
    )
    bounds = {name: f"< {bound:.0e}" for name, bound in vars(targets).items()}
    table.add_column("L2 error", "target", no_wrap=True)
    for name, heading in (("u", "u"), ("v", "v"), ("p", "p"), ("divergence", "max |div|")):
        table.add_column(heading, bounds[name], justify="right")
    table.add_column("steps", justify="right")
    table.add_column("seconds", justify="right")
    for outcome in outcomes:
        cells = [
            _judged(value, vars(targets)[name]) for name, value in vars(outcome.errors).items()
        ]
        last = outcome.history[-1]
        table.add_row(f"seed {outcome.seed}", *cells, str(last.iteration), f"{outcome.seconds:.1f}")
    return table


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
    plan: Plan,
    verdict: Verdict,
    outcomes: Sequence[Outcome],
    rows: Sequence[Row],
    problems: Sequence[str],
) -> None:
    """Writes every number of the run to a JSON file."""
    summary = {
        "passed": not problems,
        "problems": list(problems),
        "quick": quick,
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "quick_example": {**asdict(verdict), "devices": len(verdict.rows)},
        "kovasznay": {
            "reynolds": kovasznay.REYNOLDS,
            "plan": asdict(plan),
            "seeds": [_summary_of(outcome) for outcome in outcomes],
        },
        "comparison": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _summary_of(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "errors": asdict(outcome.errors),
        "seconds": outcome.seconds,
        "history": [_point(point) for point in outcome.history],
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "iteration": point.iteration,
        "loss": point.loss,
        "residual": point.residual,
        "errors": asdict(point.errors),
        "seconds": point.seconds,
    }


def _range(rows: tuple[int, int]) -> str:
    return f"{rows[0]:>4}:{rows[1]:<4}"


def _judged(value: float, bound: float) -> str:
    colour = "green" if value < bound else "red"
    return f"[{colour}]{value:.1e}[/]"
