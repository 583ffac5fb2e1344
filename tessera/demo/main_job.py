"""`run`: the demo from start to exit code."""

import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from tessera.core.errors import Code, CompileError, TesseraError
from tessera.demo import figures, kovasznay, quick_example, report
from tessera.demo.comparison import Row, Size, compare
from tessera.demo.quick_example import Verdict
from tessera.demo.training import Errors, Outcome, Plan, Point, exact_fields, failures, train


@dataclass(frozen=True)
class Settings:
    """How much of everything a run does: training plan, number of seeds, sizes of the comparison."""

    plan: Plan
    seeds: int
    sizes: tuple[Size, ...]


FULL = Settings(
    plan=Plan(
        layers=(2, 20, 20, 20, 2),
        interior=(20, 26),
        side=40,
        iterations=60,
        loss=1e-6,
        targets=Errors(u=1e-3, v=5e-3, p=3e-3, divergence=1e-12),
    ),
    seeds=3,
    sizes=(Size(2, 4096, (128,) * 4, rounds=7), Size(3, 4096, (128,) * 6, rounds=5)),
)
QUICK = Settings(
    plan=replace(
        FULL.plan,
        iterations=40,
        loss=1e-4,
        targets=Errors(u=1e-2, v=5e-2, p=3e-2, divergence=1e-12),
    ),
    seeds=1,
    sizes=(Size(2, 2048, (128,) * 4, rounds=5),),
)


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
    _require_matplotlib()
    _require_writable(output)
    quick_example.simulate_devices()
    verdict = _show_quick_example(console)
    outcomes = _show_training(settings, seed, console)
    rows = _show_comparison(settings.sizes, console)
    targets = settings.plan.targets
    problems = [verdict.problem] if verdict.problem else []
    problems += [line for outcome in outcomes for line in failures(outcome, targets)]
    written = figures.write(outcomes, exact_fields(), targets, output)
    summary = output / "summary.json"
    report.write_summary(
        summary,
        quick=quick,
        plan=settings.plan,
        verdict=verdict,
        outcomes=outcomes,
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


def _require_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the figures need matplotlib: pip install 'tessera[viz]'")


def _require_writable(folder: Path) -> None:
    """Makes the directory and writes a file there that is gone at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError as error:
        raise OSError(f"{folder} is a file, not a directory") from error
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror}") from error


def _show_quick_example(console: Console) -> Verdict:
    _heading(console, "1  The README example on eight simulated devices")
    verdict = quick_example.check()
    console.print(report.sharding_table(verdict))
    console.print(report.verdict_line(verdict))
    return verdict


def _show_training(settings: Settings, seed: int, console: Console) -> list[Outcome]:
    _heading(console, f"2  Navier-Stokes: Kovasznay flow at Re = {kovasznay.REYNOLDS:.0f}")
    console.print(
        "A network learns the flow from the equations and boundary values alone.", style="dim"
    )
    with report.progress_bar(console) as bar:
        outcomes = [_train_live(seed + i, settings.plan, bar) for i in range(settings.seeds)]
    console.print(report.errors_table(outcomes, settings.plan.targets))
    return outcomes


def _train_live(seed: int, plan: Plan, bar: Progress) -> Outcome:
    task = bar.add_task(f"seed {seed}", total=plan.iterations, state="compiling")

    def show(point: Point) -> None:
        bar.update(task, completed=point.iteration, state=report.state_of(point))

    outcome = train(seed, plan, show)
    bar.update(task, total=outcome.history[-1].iteration)
    return outcome


def _show_comparison(sizes: Sequence[Size], console: Console) -> list[Row]:
    _heading(console, "3  Derivatives: Tessera against plain JAX, interleaved")
    with console.status("measuring"):
        rows = [row for size in sizes for row in compare(size)]
    console.print(report.comparison_table(rows))
    return rows


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]")
