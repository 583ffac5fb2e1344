"""`run`: the demo from start to exit code."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tessera.core.errors import Code, CompileError, TesseraError
from tessera.demo import quick_example, report, training
from tessera.demo.comparison import Row, Size, compare
from tessera.demo.quick_example import Verdict
from tessera.demo.settings import FULL, QUICK, Settings
from tessera.pinn.output import errors_table, misses, require_writable
from tessera.pinn.plots.style import load
from tessera.pinn.training import Result


def run(quick: bool, seed: int, output: Path) -> int:
    """Runs the demo and returns its exit code: 0 if every target was reached, otherwise 1.

    Writes figures and summary.json to `output` and prints where. Every failure is one line on stderr that
    says why. Raises `ImportError`, naming the extra, without matplotlib.
    `quick` trains one network instead of three, to errors ten times larger, and times smaller sizes.
    Runs on CPU, which it makes look like eight devices: call it in a process where JAX has not started,
    or has with eight devices.
    """
    return perform(QUICK if quick else FULL, quick, seed, output, Console(highlight=False))


def perform(settings: Settings, quick: bool, seed: int, output: Path, console: Console) -> int:
    """Does what `run` does, with settings and console of the caller's choice."""
    try:
        problems = _perform(settings, quick, seed, output, console)
    except (TesseraError, OSError) as error:
        problems = [" ".join(str(error).split())]
    errors = Console(stderr=True, highlight=False)
    for problem in problems:
        errors.print(f"[red]demo failed:[/] {escape(problem)}", soft_wrap=True)
    return 1 if problems else 0


def _perform(
    settings: Settings, quick: bool, seed: int, output: Path, console: Console
) -> list[str]:
    _require_seed(seed)
    # Before the training they would waste.
    load()
    require_writable(output)
    quick_example.simulate_devices()
    verdict = _show_quick_example(console)
    results = _show_training(settings, seed, console)
    rows = _show_comparison(settings.sizes, console)
    problems = [verdict.problem] if verdict.problem else []
    problems += [line for result in results for line in misses(result)]
    written = training.draw(settings.problem, results, output)
    summary = output / "summary.json"
    report.write_summary(
        summary,
        quick=quick,
        settings=settings,
        verdict=verdict,
        results=results,
        rows=rows,
        problems=problems,
    )
    names = ", ".join(path.name for path in (*written, summary))
    console.print(f"\nWritten to [bold]{escape(str(output))}/[/]: {names}", soft_wrap=True)
    return problems


def _require_seed(seed: int) -> None:
    if seed < 0:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"seed is {seed} but must not be negative.",
            hints="give a seed of 0 or more",
        )


def _show_quick_example(console: Console) -> Verdict:
    _heading(console, "1  The README example on eight simulated devices")
    verdict = quick_example.check()
    console.print(report.sharding_table(verdict))
    console.print(report.verdict_line(verdict))
    return verdict


def _show_training(settings: Settings, seed: int, console: Console) -> list[Result]:
    _heading(console, f"2  Navier-Stokes: {settings.problem.title}")
    console.print(
        "A network learns the flow from the equations and boundary values alone.", style="dim"
    )
    results = training.train_all(settings, seed, console)
    console.print(errors_table(results))
    return results


def _show_comparison(sizes: Sequence[Size], console: Console) -> list[Row]:
    _heading(console, "3  Derivatives: Tessera against plain JAX, interleaved")
    with console.status("measuring"):
        rows = [row for size in sizes for row in compare(size)]
    console.print(report.comparison_table(rows))
    return rows


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]")
