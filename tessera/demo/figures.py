"""The figures of the demo: the flow, the fields against the exact solution, the history of training.

Drawn by matplotlib's Agg without pyplot: no display and no global state. matplotlib is an extra, imported
by what draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera.demo.training import Errors, Fields, Outcome, Point

DOTS_PER_INCH = 200

STYLE: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.linewidth": 0.7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "axes.formatter.use_mathtext": True,
    "contour.negative_linestyle": "solid",
    "lines.linewidth": 1.3,
}

# Okabe and Ito's colours, told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
LINE_STYLES = ("-", "--", ":")
ISOBARS = np.arange(-8, 4) / 10
# Of the points, the part whose error the colours resolve; corners would wash out the rest.
RESOLVED = 0.995


def write(outcomes: Sequence[Outcome], exact: Fields, targets: Errors, folder: Path) -> list[Path]:
    """Writes flow.png and fields.png of the first outcome and training.png of all; returns their paths."""
    import matplotlib

    first = outcomes[0]
    with matplotlib.rc_context(STYLE):
        drawings = {
            "flow.png": _draw_flow(first.fields),
            "fields.png": _draw_fields(first, exact),
            "training.png": _draw_training(outcomes, targets),
        }
        for name, figure in drawings.items():
            figure.savefig(folder / name, dpi=DOTS_PER_INCH)
    return [folder / name for name in drawings]


def _figure(width: float, height: float) -> Any:
    """Returns an empty matplotlib figure, sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="compressed")
    FigureCanvasAgg(figure)
    return figure


def _draw_flow(fields: Fields) -> Any:
    """Streamlines over the speed, and isobars over the pressure."""
    figure = _figure(7.4, 4.1)
    left, right = figure.subplots(1, 2, sharey=True)
    x, y = fields.x, fields.y
    speed = np.hypot(fields.u, fields.v)
    image = _colour(left, fields, speed, "viridis", 0.0, float(speed.max()))
    figure.colorbar(image, ax=left, label=r"speed $|\mathbf{u}|/U$", pad=0.03)
    left.streamplot(
        x, y, fields.u, fields.v, color="white", linewidth=0.6, arrowsize=0.6, density=1.3
    )
    left.set_title("streamlines of the network's flow")
    pressure = _centred(fields.p)
    limits = float(pressure.min()), float(pressure.max())
    image = _colour(right, fields, pressure, "cividis", *limits)
    figure.colorbar(image, ax=right, label=r"pressure $(p-\bar p)/\rho U^2$", pad=0.03)
    lines = right.contour(x, y, pressure, levels=ISOBARS, colors="white", linewidths=0.6)
    right.clabel(lines, lines.levels[::2], fontsize=7, fmt=_with_minus_sign)
    right.set_title("isobars of its pressure")
    for axes in (left, right):
        axes.set_xlabel("$x/L$")
    left.set_ylabel("$y/L$")
    return figure


@dataclass(frozen=True)
class _Row:
    """One field on the test grid, of the network and exact, and how to show it."""

    symbol: str
    ours: np.ndarray
    true: np.ndarray
    error: float
    colours: str


def _draw_fields(outcome: Outcome, exact: Fields) -> Any:
    """One row for each field: the network, the exact solution, their difference."""
    figure = _figure(6.6, 6.2)
    grid = figure.subplots(3, 3, sharex=True, sharey=True)
    found, errors = outcome.fields, outcome.errors
    rows = (
        _Row("u/U", found.u, exact.u, errors.u, "viridis"),
        _Row("v/U", found.v, exact.v, errors.v, "RdBu_r"),
        _Row(r"(p-\bar p)/\rho U^2", _centred(found.p), _centred(exact.p), errors.p, "cividis"),
    )
    for axes, row in zip(grid, rows, strict=True):
        _draw_row(figure, axes, exact, row)
    for axes, title in zip(grid[0], ("network", "exact", "network $-$ exact"), strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("$x/L$")
    return figure


def _draw_row(figure: Any, axes: Sequence[Any], grid: Fields, row: _Row) -> None:
    lowest, highest = float(row.true.min()), float(row.true.max())
    if row.colours == "RdBu_r":  # white must mean zero
        lowest, highest = -max(highest, -lowest), max(highest, -lowest)
    _colour(axes[0], grid, row.ours, row.colours, lowest, highest)
    image = _colour(axes[1], grid, row.true, row.colours, lowest, highest)
    figure.colorbar(image, ax=axes[:2], label=f"${row.symbol}$", pad=0.02)
    error = row.ours - row.true
    largest = float(np.quantile(np.abs(error), RESOLVED))
    image = _colour(axes[2], grid, error, "PuOr_r", -largest, largest)
    bar = figure.colorbar(
        image, ax=axes[2], pad=0.04, extend="both", label=f"error of ${row.symbol}$"
    )
    bar.formatter.set_powerlimits((0, 0))
    axes[2].annotate(
        rf"relative $L_2$: ${_scientific(row.error)}$",
        (0.5, 0.03),
        xycoords="axes fraction",
        ha="center",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )
    axes[0].set_ylabel("$y/L$")


def _draw_training(outcomes: Sequence[Outcome], targets: Errors) -> Any:
    """Loss, residual and errors by iteration; a colour for each quantity, a line style for each seed."""
    figure = _figure(7.4, 3.3)
    left, right = figure.subplots(1, 2)
    losses = {"loss": lambda at: at.loss, r"momentum residual (rms)": lambda at: at.residual}
    errors = {
        "$u$": lambda at: at.errors.u,
        "$v$": lambda at: at.errors.v,
        "$p$": lambda at: at.errors.p,
    }
    _draw_curves(left, outcomes, losses, COLOURS[:2])
    _draw_curves(right, outcomes, errors, COLOURS[2:])
    for name, colour in zip(("u", "v", "p"), COLOURS[2:], strict=True):
        right.axhline(vars(targets)[name], color=colour, linewidth=0.5)
    left.set_title("loss and residual")
    right.set_title("relative $L_2$ error (thin lines: targets)")
    return figure


def _draw_curves(
    axes: Any,
    outcomes: Sequence[Outcome],
    quantities: dict[str, Callable[[Point], float]],
    colours: Sequence[str],
) -> None:
    for (label, value), colour in zip(quantities.items(), colours, strict=True):
        for outcome, style in zip(outcomes, LINE_STYLES * len(outcomes), strict=False):
            iterations = [at.iteration for at in outcome.history]
            values = [value(at) for at in outcome.history]
            shown = label if outcome is outcomes[0] else None
            axes.plot(iterations, values, style, color=colour, label=shown)
    if len(outcomes) > 1:
        _name_seeds(axes, outcomes)
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("Levenberg–Marquardt iteration")
    axes.grid(True, which="major", linewidth=0.3, alpha=0.7)
    axes.legend(fontsize=8.5)


def _name_seeds(axes: Any, outcomes: Sequence[Outcome]) -> None:
    """Empty lines, for the legend: one in the style of each seed."""
    for outcome, style in zip(outcomes, LINE_STYLES * len(outcomes), strict=False):
        axes.plot([], [], style, color="0.4", label=f"seed {outcome.seed}")


def _colour(
    axes: Any, grid: Fields, values: np.ndarray, colours: str, lowest: float, highest: float
) -> Any:
    image = axes.pcolormesh(
        *(grid.x, grid.y, values),
        cmap=colours,
        vmin=lowest,
        vmax=highest,
        shading="gouraud",
        rasterized=True,
    )
    axes.set_aspect("equal")
    axes.set_xlim(grid.x[0], grid.x[-1])
    axes.set_xticks(np.arange(grid.x[0], grid.x[-1] + 0.1, 0.5))
    axes.set_ylim(grid.y[0], grid.y[-1])
    return image


def _centred(pressure: np.ndarray) -> np.ndarray:
    return pressure - pressure.mean()


def _with_minus_sign(value: float) -> str:
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def _scientific(value: float) -> str:
    digits, power = f"{value:.1e}".split("e")
    return rf"{digits}\times 10^{{{int(power)}}}"
