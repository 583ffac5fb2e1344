"""What a comparison of two precisions found, shown in a terminal, in Jupyter or as a figure."""

import io
import shutil
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType

from tessera.core.errors import Code, CompileError
from tessera.numerics import comparison_page, comparison_plot
from tessera.numerics.comparison_table import Terminal
from tessera.numerics.error_measures import Error
from tessera.numerics.operation import MEASURES, Operation, number

PIPED = (120, 40)  # columns and lines where no terminal sets them
NOTE = "Operations ran one by one. Compiled together, a product and a sum may be rounded once, not twice."


@dataclass(frozen=True)
class Totals:
    """Sums over the program: operations with floating-point results, their runs, and counts of elements.

    `lost` counts elements of the function's result that are infinite or NaN but finite in float64.
    """

    operations: int
    runs: int
    lost: int
    overflows: int
    underflows: int
    nans: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """A function run in its working precision and in float64, operation by operation.

    `operations` are in program order. `path` are those that most of the result's error went through, from the
    one where it arose; `worst` is the one on it where the relative error grows most, or, if the result has
    lost elements to infinity or NaN, the first where that happens; None if there is no error. `result` is
    what the function returned, `exact` the same in float64, `error` that of the result, without arrays that
    are zero but for rounding. `notes` say what float64 would have decided otherwise. It prints as a table and
    shows in Jupyter; `plot` draws it.
    """

    name: str
    operations: tuple[Operation, ...]
    worst: Operation | None
    path: tuple[Operation, ...]
    result: Any
    exact: Any
    error: Error
    totals: Totals
    notes: tuple[str, ...]

    def ranked(self, by: str, count: int = 3) -> tuple[Operation, ...]:
        """Returns the worst operations by growth of the "error", "local" error or "condition", worst first.

        Not all are to blame: what cancels to nothing is all error, and may be added to something large.

        Raises `E_GRAPH_INVALID` for another word.
        """
        if by not in MEASURES:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"compare: operations are not ranked by {by!r}.",
                hints=f"by: {', '.join(MEASURES)}",
            )
        return tuple(sorted(self.operations, key=MEASURES[by], reverse=True)[:count])

    def text(self, width: int) -> str:
        """Returns the table as plain text of at most this many columns."""
        out = io.StringIO()
        console = Console(
            file=out, width=width, color_system=None, force_terminal=False, force_jupyter=False
        )
        console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip()

    def __str__(self) -> str:
        return self.text(shutil.get_terminal_size(PIPED).columns)

    def __rich__(self) -> RenderableType:
        """Returns what rich prints, at the width of its console."""
        figures = " · ".join(f"{value} {name}" for value, name in self._figures())
        return Terminal(
            f"{self.name}, against float64", (figures,), self.operations, self._findings()
        )

    def _repr_html_(self) -> str:
        """Returns the view for Jupyter: self-contained HTML."""
        return comparison_page.page(
            self.name, self._figures(), self.operations, self._findings(), self.worst
        )

    def plot(self) -> Any:
        """Returns a matplotlib figure of the errors along the program, in ulps, and of the condition numbers.

        Raises `ImportError`, naming the extra, without matplotlib, and `E_GRAPH_INVALID` if nothing is
        computed.
        """
        return comparison_plot.draw(self.name, self.operations, self.path, self.worst)

    def _figures(self) -> list[tuple[str, str]]:
        """Returns the totals as (value, name)."""
        total = self.totals
        counts = {
            "lost to infinity or NaN": total.lost,
            "operations": total.operations,
            "overflows": total.overflows,
            "underflows": total.underflows,
            "NaN": total.nans,
        }
        return [
            (number(self.error.ulps), "ulps at most in the result"),
            (number(self.error.median_ulps), "in the median"),
            (number(self.error.relative), "relative error"),
            *((str(n), k.removesuffix("s") if n == 1 else k) for k, n in counts.items() if n),
        ]

    def _findings(self) -> tuple[tuple[str, str], ...]:
        """Returns what to look at, as (what, which operation and why)."""
        return (*_findings(self), *(("note", note) for note in self.notes), ("note", NOTE))


def _findings(found: Comparison) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    worst = found.worst
    if worst is not None and worst.breaks:
        rows.append(("breaks at", f"{_named(worst)}: {worst.breaks} finite only in float64"))
    elif worst is not None and found.error.ulps:
        by = f"relative error by {number(worst.increase)}, condition {number(worst.condition)}"
        if worst.increase > 0:
            rows.append(("error grows most at", f"{_named(worst)}: {by}"))
        first = found.path[0]
        own = f"{number(first.local.ulps)} ulps of its own"
        rows.append(("error arises at", f"{_named(first)}: {own}"))
    return rows


def _named(operation: Operation) -> str:
    at = f", {operation.place}" if operation.place else ""
    return f"#{operation.index} {operation.label}{at}"
