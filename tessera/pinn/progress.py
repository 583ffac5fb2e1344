"""What training shows while it runs: one line that changes, or without a terminal one line now and then."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Between lines of a run whose output is no terminal.
SECONDS_BETWEEN_LINES = 30.0


class Recorded(Protocol):
    """What is shown of a record of the history."""

    @property
    def iteration(self) -> int:
        """How many iterations are done."""
        ...

    @property
    def loss(self) -> float:
        """The loss."""
        ...

    @property
    def residuals(self) -> Mapping[str, float]:
        """The root mean square residual of every term."""
        ...

    @property
    def errors(self) -> Mapping[str, float]:
        """The true errors, if known."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        ...


Show = Callable[[Any], None]


def state_of(record: Recorded) -> str:
    """Returns a record as one line: loss, the largest residual, the largest true error.

    >>> from tessera.pinn.training import Record
    >>> state_of(Record(3, 0.5, {"wave": 0.25, "wall": 0.5}, {"u": 0.02}, 1.0))
    'loss 5.0e-01  residual 5.0e-01 (wall)  error 2.0e-02 (u)'
    """
    parts = [f"loss {record.loss:.1e}", _largest("residual", record.residuals)]
    if record.errors:
        parts.append(_largest("error", record.errors))
    return "  ".join(parts)


def _largest(word: str, values: Mapping[str, float]) -> str:
    name = max(values, key=lambda name: values[name])
    return f"{word} {values[name]:.1e} ({name})"


@contextmanager
def reporter(
    progress: bool | Show, title: str, total: int, console: Console | None = None
) -> Iterator[Show]:
    """Gives the function to call with every record: shows nothing, a line, or calls the caller's function."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda record: None
    else:
        # Beside the output of a program, not in it.
        console = console or Console(stderr=True, highlight=False)
        if console.is_terminal:
            with progress_bar(console) as bar:
                task = bar.add_task(escape(title), total=total, state="compiling")
                yield lambda record: bar.update(
                    task, completed=record.iteration, state=escape(state_of(record))
                )
        else:
            yield _Lines(console, title, total)


def progress_bar(console: Console) -> Progress:
    """Returns a live display of training: one line of less than 80 columns for each task."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.completed:>2.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        console=console,
    )


@dataclass
class _Lines:
    """Prints a record if the last one printed is a while ago."""

    console: Console
    title: str
    total: int
    printed: float = float("-inf")

    def __call__(self, record: Recorded) -> None:
        now = time.monotonic()
        if now - self.printed < SECONDS_BETWEEN_LINES:
            return
        self.printed = now
        line = f"{self.title}: {record.iteration}/{self.total}  {state_of(record)}  {record.seconds:.0f} s"
        self.console.print(line, markup=False, soft_wrap=True)
