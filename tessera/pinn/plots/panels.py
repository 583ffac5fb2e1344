"""What several figures draw on one pair of axes: an image of a section, a colour bar, their sizes."""

from typing import Any

import numpy as np

from tessera.pinn.plots.section import TIME, Section
from tessera.pinn.plots.style import Axes, Figure, few_ticks, figure

# Inches. A panel that keeps proportions has this area, others this width and height.
AREA = 4.2
WIDTH, HEIGHT = 2.5, 1.75
COLOUR_BAR = 1.0
NARROWEST, WIDEST = 1.3, 3.6


def sideways(part: Section) -> tuple[int, int]:
    """Returns which coordinates run to the right and upwards: time to the right, else the first."""
    return (1, 0) if part.words[1] == TIME else (0, 1)


def panel_size(part: Section) -> tuple[float, float]:
    """Returns the inches of a panel for an image of a section or for lines along it."""
    if not part.is_plane:
        return WIDTH, HEIGHT
    across, up = (float(np.ptp(x)) or 1.0 for x in part.axes)
    width = float(np.clip((AREA * across / up) ** 0.5, NARROWEST, WIDEST))
    return width, float(np.clip(width * up / across, NARROWEST, WIDEST))


def panels(part: Section, rows: int, columns: int, bars: int, **options: Any) -> tuple[Figure, Any]:
    """Returns a figure and its axes `(rows, columns)`, with room for so many colour bars beside each row."""
    width, height = panel_size(part)
    layout = "compressed" if part.is_plane else "constrained"
    drawn = figure(0.6 + columns * width + bars * COLOUR_BAR, 0.75 + rows * (height + 0.12), layout)
    return drawn, drawn.subplots(rows, columns, squeeze=False, **options)


def image(axes: Axes, part: Section, values: np.ndarray, **colours: Any) -> Any:
    """Draws values of a section in colours and returns what a colour bar is made for.

    Values that are not finite are left grey; `colours` are matplotlib's cmap, vmin, vmax or norm.
    """
    right, up = sideways(part)
    smooth = bool(np.all(np.isfinite(values)))
    if not smooth:
        axes.set_facecolor("0.9")
    drawn = axes.pcolormesh(
        part.axes[right],
        part.axes[up],
        np.ma.masked_invalid(values.T if right == 0 else values),
        shading="gouraud" if smooth else "nearest",
        rasterized=True,
        **colours,
    )
    if part.is_plane:
        axes.set_aspect("equal")
    limit(axes.set_xlim, part.axes[right])
    limit(axes.set_ylim, part.axes[up])
    few_ticks(axes)
    return drawn


def limit(set_limits: Any, numbers: np.ndarray) -> None:
    """Ends an axis where its numbers end."""
    if numbers[0] != numbers[-1]:
        set_limits(numbers[0], numbers[-1])


def name_axes(grid: Any, part: Section) -> None:
    """Names the coordinates below and to the left of a grid of images."""
    right, up = sideways(part)
    for axes in grid[-1]:
        axes.set_xlabel(part.label(part.words[right]))
    for row in grid:
        row[0].set_ylabel(part.label(part.words[up]))
