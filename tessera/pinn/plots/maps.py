"""Fields against the truth, and residuals, over a section of the domain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn import residuals as values_of
from tessera.pinn.plots.panels import image, limit, name_axes, panels
from tessera.pinn.plots.section import Pair, Section, dtype_of, pairs, section
from tessera.pinn.plots.style import (
    COLOURS,
    SEQUENTIAL,
    SIGNED_ERROR,
    Axes,
    Figure,
    colours,
    few_ticks,
    load,
    log_scale,
    scale_of,
    scientific,
    styled,
    symbol,
    unit_of,
    with_minus_sign,
)
from tessera.pinn.problem import Model, Problem, Sample, Term
from tessera.pinn.residuals import Objective

# Of the points, the part whose error the colours resolve; corners would wash out the rest.
RESOLVED = 0.995
# Of the points, the part whose residual is smaller than the least the colours resolve.
UNRESOLVED = 0.01
ZERO = {"color": "0.6", "linewidth": 0.6}


@styled
def fields(
    problem: Problem,
    model: Model,
    *,
    at: Mapping[str, float] | None = None,
    slices: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Returns a figure with a row for each field: the network, the truth, their difference and its error.

    Over a plane they are images, with points outside of the domain left grey; along one coordinate they are
    lines. `at` fixes coordinates, as `{"t": 0.5}`, each at the nearest number of the test grid; where more
    than two are left, the time is fixed at its end and others in their middle. `slices` adds a column of
    lines across the images, as `{"t": (0.25, 0.75)}`. Without truth only the network is shown.

    Errors are relative L2 distances on what is shown. Raises `E_GRAPH_INVALID` for names that are no
    coordinates, and `ImportError`, naming the extra, without matplotlib.

    >>> from tessera.pinn.problems import kovasznay
    >>> problem = replace(kovasznay.problem(widths=(4,)), grid=(np.linspace(0, 1, 5),) * 2)
    >>> figure = fields(problem, problem.network(jax.random.key(0)))
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['network', 'truth', 'network $-$ truth']
    """
    part = section(problem, at)
    found = pairs(part, model)
    if len(part.words) == 1:
        return _as_lines(part, found)
    return _as_images(part, found, _cuts(part, slices or {}))


@styled
def residuals(problem: Problem, model: Model, *, at: Mapping[str, float] | None = None) -> Figure:
    """Returns a figure of the magnitude of each residual in the interior, over the domain, in log colours.

    The magnitude is the root of the sum over components. Left out are terms that need arrays of a sample,
    which the points of the figure have not. `at` is that of `fields`.

    Raises `E_GRAPH_INVALID` if no term is left, and as `fields` does.
    """
    terms = tuple(term for term in problem.terms if term.on == "interior" and not term.uses)
    if not terms:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"plots: problem {problem.name!r} has no term on 'interior' without arrays.",
            hints="residuals() shows what can be taken at any point",
        )
    part = section(problem, at)
    magnitudes = [part.spread(values) for values in _magnitudes(part, terms, model)]
    if len(part.words) == 1:
        figure, grid = panels(part, 1, len(terms), bars=0)
        for axes, term, values in zip(grid[0], terms, magnitudes, strict=True):
            axes.plot(part.axes[0], values, color=COLOURS[0])
            log_scale(axes)
            axes.set_xlabel(part.label(part.words[0]))
            axes.set_ylabel(_of_residual(term))
            axes.grid(True)
    else:
        figure, grid = panels(part, 1, len(terms), bars=len(terms), sharey=True)
        for axes, term, values in zip(grid[0], terms, magnitudes, strict=True):
            drawn = image(axes, part, values, cmap=SEQUENTIAL, norm=_log_norm(values))
            figure.colorbar(drawn, ax=axes, label=_of_residual(term), pad=0.03, extend="both")
        name_axes(grid, part)
    figure.suptitle(part.title)
    return figure


# ---- images ----------------------------------------------------------------------------------------------


def _cuts(part: Section, slices: Mapping[str, Sequence[float]]) -> list[tuple[str, list[int]]]:
    """Which coordinate is cut at which places of its axis; none or one."""
    if len(slices) > 1 or any(word not in part.words for word in slices):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"plots: slices are across {', '.join(slices)}; one of {', '.join(part.words)} can be cut.",
            hints='slices={"t": (0.25, 0.75)}',
        )
    return [
        (word, [_nearest(part.axes[part.words.index(word)], x) for x in values])
        for word, values in slices.items()
    ]


def _nearest(axis: np.ndarray, value: float) -> int:
    return int(np.argmin(np.abs(axis - value)))


def _as_images(part: Section, found: list[Pair], cuts: list[tuple[str, list[int]]]) -> Figure:
    compared = any(pair.true is not None for pair in found)
    columns = 3 if compared else 1
    figure, grid = panels(
        part, len(found), columns + len(cuts), bars=2 if compared else 1, sharex=False
    )
    images = grid[:, :columns]
    for axes, pair in zip(images, found, strict=True):
        _draw_row(figure, axes, part, pair)
    titles = ("network", "truth", "network $-$ truth")[:columns]
    for axes, title in zip(images[0], titles, strict=True):
        axes.set_title(title)
    name_axes(images, part)
    for axes in images[:-1].ravel():
        axes.tick_params(labelbottom=False)
    for axes in images[:, 1:].ravel():
        axes.tick_params(labelleft=False)
    for word, places in cuts:
        for axes, pair in zip(grid[:, columns], found, strict=True):
            _draw_cuts(axes, part, pair, word, places)
        grid[0, columns].set_title("truth dashed" if compared else "slices")
        grid[0, columns].legend(loc="best", handlelength=1.2)
    figure.suptitle(part.title)
    return figure


def _draw_row(figure: Figure, axes: Sequence[Any], part: Section, pair: Pair) -> None:
    colours, lowest, highest = scale_of(pair.ours if pair.true is None else pair.true)
    scale = {"cmap": colours, "vmin": lowest, "vmax": highest}
    drawn = image(axes[0], part, pair.ours, **scale)
    if pair.true is not None:
        image(axes[1], part, pair.true, **scale)
    beside = axes[0] if pair.true is None else list(axes[:2])
    figure.colorbar(drawn, ax=beside, label=part.label(pair.name), pad=0.02)
    if pair.true is None:
        for unused in axes[1:]:
            unused.set_axis_off()
        return
    largest = _largest(pair.difference)
    drawn = image(axes[2], part, pair.difference, cmap=SIGNED_ERROR, vmin=-largest, vmax=largest)
    bar = figure.colorbar(
        drawn, ax=axes[2], pad=0.04, extend="both", label="error of " + part.label(pair.name)
    )
    bar.formatter.set_powerlimits((0, 0))
    _note_error(axes[2], pair)


def _note_error(axes: Axes, pair: Pair) -> None:
    axes.annotate(
        rf"relative $L_2$: ${scientific(pair.error)}$",
        (0.5, 0.03),
        xycoords="axes fraction",
        ha="center",
        fontsize=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _largest(difference: np.ndarray) -> float:
    sizes = np.abs(difference[np.isfinite(difference)])
    return (float(np.quantile(sizes, RESOLVED)) if sizes.size else 0.0) or 1.0


def _draw_cuts(axes: Axes, part: Section, pair: Pair, word: str, places: list[int]) -> None:
    cut = part.words.index(word)
    along = 1 - cut
    for place, colour in zip(places, colours(len(places)), strict=True):
        where = f"{symbol(word)} = {with_minus_sign(part.axes[cut][place])}"
        line = part.axes[along], np.take(pair.ours, place, axis=cut)
        axes.plot(*line, color=colour, label=where)
        if pair.true is not None:
            true = np.take(pair.true, place, axis=cut)
            axes.plot(part.axes[along], true, "--", color="black", linewidth=0.8)
    limit(axes.set_xlim, part.axes[along])
    axes.set_xlabel(part.label(part.words[along]))
    axes.set_ylabel(part.label(pair.name))
    few_ticks(axes)


# ---- lines -----------------------------------------------------------------------------------------------


def _as_lines(part: Section, found: list[Pair]) -> Figure:
    compared = any(pair.true is not None for pair in found)
    figure, grid = panels(part, len(found), 2 if compared else 1, bars=0, sharex=True)
    for row, pair in zip(grid, found, strict=True):
        row[0].plot(part.axes[0], pair.ours, color=COLOURS[0], label="network")
        row[0].set_ylabel(part.label(pair.name))
        if pair.true is not None:
            row[0].plot(part.axes[0], pair.true, "--", color="black", linewidth=0.8, label="truth")
            row[1].axhline(0.0, **ZERO)
            row[1].plot(part.axes[0], pair.difference, color=COLOURS[1])
            row[1].set_ylabel("error of " + part.label(pair.name))
            row[1].set_title(rf"relative $L_2$: ${scientific(pair.error)}$", fontsize=9)
        for axes in row:
            limit(axes.set_xlim, part.axes[0])
            few_ticks(axes)
    for axes in grid[-1]:
        axes.set_xlabel(part.label(part.words[0]))
    grid[0, 0].legend()
    figure.suptitle(part.title)
    return figure


# ---- residuals -------------------------------------------------------------------------------------------


def _magnitudes(part: Section, terms: tuple[Term, ...], model: Model) -> list[np.ndarray]:
    dtype = dtype_of(model)
    objective = replace(Objective.of(part.problem), terms=terms)
    with jax.enable_x64(dtype == np.float64):
        points = jnp.asarray(part.points[part.inside.ravel()], dtype)
        found = values_of.values(objective, model, {"interior": Sample(points)})
        return [np.linalg.norm(np.asarray(values, np.float64), axis=1) for values in found]


def _of_residual(term: Term) -> str:
    return f"|residual|, {term.name.replace('$', chr(92) + '$')}{unit_of(term.unit)}"


def _log_norm(values: np.ndarray) -> Any:
    log_norm = load("matplotlib.colors").LogNorm
    sizes = values[np.isfinite(values) & (values > 0)]
    if not sizes.size:
        return log_norm(1e-16, 1.0)
    lowest, highest = np.quantile(sizes, (UNRESOLVED, RESOLVED))
    # A residual that is the same everywhere still needs two ends of the scale.
    return log_norm(lowest, max(highest, lowest * 1.01))
