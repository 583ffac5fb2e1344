"""How the loss, the residuals and the true errors fell, by iteration and by second."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.pinn.plots.style import (
    COLOURS,
    Axes,
    Figure,
    colours,
    figure,
    log_scale,
    styled,
    styles,
    symbol,
    unit_of,
)
from tessera.pinn.training import Record, Result

# A quantity of a record, None where the record does not have it.
Quantity = Callable[[Record], float | None]
CLOCKS: dict[str, Callable[[Record], float]] = {
    "iteration": lambda record: record.iteration,
    "seconds": lambda record: record.seconds,
}


@styled
def history(
    results: Result | Sequence[Result], targets: Mapping[str, float] | None = None
) -> Figure:
    """Returns a figure of the loss, the residuals and the errors, by iteration and by second.

    Residuals are root mean squares in the units of their terms. Each of several results, of one problem, has
    a line style. Thin lines are `targets`, by default those of the first result.

    Raises `E_GRAPH_INVALID` without a result, and `ImportError`, naming the extra, without matplotlib.

    >>> records = [Record(n, 0.1**n, {"wave": 0.5**n}, {"u": 0.2**n}, float(n)) for n in range(3)]
    >>> drawn = history(Result("wave", 0, None, tuple(records), {}, {"wave": "m/s^2"}))
    >>> [axes.get_title() for axes in drawn.axes[:3]]
    ['loss', 'residuals (rms)', 'errors']
    """
    results = [results] if isinstance(results, Result) else list(results)
    if not results:
        raise CompileError(
            Code.E_GRAPH_INVALID, "plots: there is no result.", hints="history([result, ...])"
        )
    columns = _columns(results[0], results[0].targets if targets is None else targets)
    drawn = figure(0.4 + 3.0 * len(columns), 5.2)
    grid = drawn.subplots(len(CLOCKS), len(columns), squeeze=False, sharex="row", sharey="col")
    for row, (word, clock) in zip(grid, CLOCKS.items(), strict=True):
        for axes, column in zip(row, columns, strict=True):
            _draw(axes, column, results, clock)
            axes.set_xlabel(word)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column.title)
        axes.legend(loc="best", handlelength=1.6)
    drawn.suptitle(results[0].problem)
    return drawn


@dataclass(frozen=True)
class _Column:
    """What one column of panels shows: quantities by label, with their targets."""

    title: str
    quantities: Mapping[str, Quantity]
    colours: Sequence[str]
    targets: Mapping[str, float]


def _columns(result: Result, targets: Mapping[str, float]) -> list[_Column]:
    last = result.history[-1]
    residuals = {
        name + unit_of(result.units.get(name, "1")): _residual(name) for name in last.residuals
    }
    columns = [
        _Column("loss", {"loss": lambda record: record.loss}, COLOURS[-1:], {}),
        _Column("residuals (rms)", residuals, colours(len(residuals)), {}),
    ]
    if last.errors:
        errors = {symbol(name): _error(name) for name in last.errors}
        bounds = {symbol(name): bound for name, bound in targets.items() if name in last.errors}
        title = "errors (thin lines: targets)" if bounds else "errors"
        columns.append(_Column(title, errors, colours(len(errors)), bounds))
    return columns


def _residual(name: str) -> Quantity:
    return lambda record: record.residuals.get(name)


def _error(name: str) -> Quantity:
    return lambda record: record.errors.get(name)


def _draw(
    axes: Axes, column: _Column, results: Sequence[Result], clock: Callable[[Record], float]
) -> None:
    for (shown, quantity), colour in zip(column.quantities.items(), column.colours, strict=True):
        for result, style in zip(results, styles(results), strict=True):
            known = [(clock(r), quantity(r)) for r in result.history if quantity(r) is not None]
            name: Any = shown if result is results[0] else None
            # Markers show a single record, which has no line.
            mark = "." if len(known) == 1 else None
            axes.plot(*zip(*known, strict=True), style, color=colour, label=name, marker=mark)
        if shown in column.targets:
            axes.axhline(column.targets[shown], color=colour, linewidth=0.5)
    if len(results) > 1:
        for result, style in zip(results, styles(results), strict=True):
            axes.plot([], [], style, color="0.4", label=f"seed {result.seed}")
    log_scale(axes)
    axes.set_xlim(left=0)
    axes.grid(True, which="major")
