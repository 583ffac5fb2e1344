"""Training networks on Kovasznay flow, live, and the figures of what they have learned."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tessera.demo import report
from tessera.demo.settings import Settings
from tessera.pinn import plots
from tessera.pinn.problem import Problem
from tessera.pinn.progress import progress_bar
from tessera.pinn.training import Record, Result, train


def train_all(settings: Settings, seed: int, console: Console) -> list[Result]:
    """Returns a result for each seed from the one given on, showing how they come about."""
    with progress_bar(console) as bar:
        return [_train_live(settings, seed + i, bar) for i in range(settings.seeds)]


def draw(problem: Problem, results: Sequence[Result], folder: Path) -> list[Path]:
    """Writes flow.png and fields.png of the first result and training.png of all; returns their paths."""
    model = results[0].model
    figures = {
        "flow.png": plots.flow(problem, model),
        "fields.png": plots.fields(problem, model),
        "training.png": plots.history(results),
    }
    return [plots.save(figure, folder / name) for name, figure in figures.items()]


def _train_live(settings: Settings, seed: int, bar: Progress) -> Result:
    task = bar.add_task(f"seed {seed}", total=settings.optimizer.iterations, state="compiling")

    def show(record: Record) -> None:
        bar.update(task, completed=record.iteration, state=report.state_of(record))

    result = train(settings.problem, seed=seed, optimizer=settings.optimizer, progress=show)
    bar.update(task, total=result.history[-1].iteration)
    return result
