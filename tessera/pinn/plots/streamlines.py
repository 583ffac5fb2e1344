"""A plane flow: streamlines over its speed, and isobars."""

from collections.abc import Mapping

import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.plots.panels import image, name_axes, panels
from tessera.pinn.plots.section import Pair, Section, pairs, section
from tessera.pinn.plots.style import Axes, Figure, load, scale_of, styled, unit_of, with_minus_sign
from tessera.pinn.problem import Model, Problem

# About as many isobars.
ISOBARS = 12
# Of the largest speed, what colours the end of the scale; a jump at a corner would wash out the rest.
RESOLVED = 0.999


@styled
def flow(
    problem: Problem,
    model: Model,
    *,
    at: Mapping[str, float] | None = None,
    velocity: tuple[str, str] = ("u", "v"),
    pressure: str = "p",
) -> Figure:
    """Returns a figure of the streamlines over the speed and, for a model with a pressure, of the isobars.

    `velocity` and `pressure` name fields of the problem, `at` is that of `fields`. The mean of a pressure
    that is known up to a constant is removed.

    Raises `E_GRAPH_INVALID` if what is shown is no plane in space or the problem has no such velocity, and
    `ImportError`, naming the extra, without matplotlib.
    """
    part = section(problem, at)
    found = {pair.name: pair for pair in pairs(part, model)}
    if not part.is_plane or any(name not in found for name in velocity):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"plots: streamlines need fields {' and '.join(velocity)} on a plane; {problem.name!r} has "
            f"{', '.join(found)} over {', '.join(part.words)}.",
            hints="velocity= names the fields, at= fixes other coordinates",
        )
    shown = found.get(pressure)
    columns = 1 if shown is None else 2
    figure, grid = panels(part, 1, columns, bars=columns, sharey=True)
    _draw_streamlines(figure, grid[0, 0], part, *(found[name] for name in velocity))
    if shown is not None:
        _draw_isobars(figure, grid[0, 1], part, shown)
    name_axes(grid, part)
    figure.suptitle(part.title)
    return figure


def _draw_streamlines(figure: Figure, axes: Axes, part: Section, u: Pair, v: Pair) -> None:
    speed = np.hypot(u.ours, v.ours)
    inside = speed[np.isfinite(speed)]
    highest = float(np.quantile(inside, RESOLVED)) or 1.0
    drawn = image(axes, part, speed, cmap="viridis", vmin=0.0, vmax=highest)
    unit = unit_of(part.problem.units.get(u.name, "1"))
    figure.colorbar(drawn, ax=axes, label=r"speed $|\mathbf{u}|$" + unit, pad=0.03)
    across, up = (np.linspace(x[0], x[-1], len(x)) for x in part.axes)
    evenly = [_evenly(part, w.ours, across, up) for w in (u, v)]
    axes.streamplot(across, up, *evenly, color="white", linewidth=0.6, arrowsize=0.6, density=1.2)
    axes.set_title("streamlines")


def _evenly(part: Section, values: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Values `(up, across)` on equally spaced numbers, which streamlines need; zero outside of the domain."""
    whole = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    along = np.stack([np.interp(across, part.axes[0], column) for column in whole.T])
    return np.stack([np.interp(up, part.axes[1], row) for row in along.T]).T


def _draw_isobars(figure: Figure, axes: Axes, part: Section, pressure: Pair) -> None:
    colours, lowest, highest = scale_of(pressure.ours)
    drawn = image(axes, part, pressure.ours, cmap=colours, vmin=lowest, vmax=highest)
    name = part.label(pressure.name)
    figure.colorbar(drawn, ax=axes, label=f"pressure {name}", pad=0.03)
    inside = pressure.ours[np.isfinite(pressure.ours)]
    levels = load("matplotlib.ticker").MaxNLocator(ISOBARS).tick_values(inside.min(), inside.max())
    values = np.ma.masked_invalid(pressure.ours.T)
    line = "0.2" if colours == "RdBu_r" else "white"
    lines = axes.contour(*part.axes, values, levels=levels, colors=line, linewidths=0.6)
    axes.clabel(lines, lines.levels[::2], fontsize=7, fmt=with_minus_sign)
    axes.set_title("isobars")
