"""Amplitude spectra: which wave numbers of a field a model has learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.plots.section import TIME, Pair, Section, pairs, section
from tessera.pinn.plots.style import COLOURS, Axes, Figure, figure, log_scale, styled, symbol
from tessera.pinn.problem import Model, Problem

# Spacings of a grid that differ by less, relative to the largest, are one.
EQUAL = 1e-6
FEWEST_POINTS = 8
# Relative to the largest amplitude; what is smaller is rounding, or not worth a decade of the figure.
SMALLEST = 1e-10


@styled
def spectra(
    problem: Problem,
    model: Model,
    *,
    at: Mapping[str, float] | None = None,
    periods: Mapping[str, float] | None = None,
) -> Figure:
    """Returns a figure of the amplitudes of each field and of its error by wave number.

    Amplitudes are those of the Fourier transform along lines of the test grid, along each coordinate in
    turn, as root mean squares over all lines that lie in the domain. `periods` gives the periods of
    coordinates along which the fields repeat, the whole of which the grid must span; along others a line is
    weighted by a Hann window, which has less than 1e-3 of an amplitude leak further than seven wave numbers.
    The time is fixed at its end, or where `at` says. Left out are coordinates along which the grid has
    unequal spacings or less than 8 points.

    Raises `E_GRAPH_INVALID` if no coordinate is left, and `ImportError`, naming the extra, without
    matplotlib.
    """
    ends = {word: float(x[-1]) for word, x in zip(problem.coordinates, problem.grid, strict=True)}
    end = {word: x for word, x in ends.items() if word == TIME}
    part = section(problem, end | dict(at or {}), most=len(problem.coordinates))
    found = pairs(part, model)
    lines = {word: _spacing(part, word) for word in part.words}
    shown = [word for word, spacing in lines.items() if spacing is not None]
    shown = [word for word in shown if _lines(part, part.inside, word).size]
    if not shown:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"plots: along none of {', '.join(part.words)} the test grid of {problem.name!r} has "
            f"{FEWEST_POINTS} points of one spacing in the domain.",
            hints="spectra need lines of equally spaced points",
        )
    drawn = figure(0.5 + 3.4 * len(shown), 0.6 + 2.3 * len(found))
    grid = drawn.subplots(len(found), len(shown), squeeze=False, sharex="col", sharey="row")
    for row, pair in zip(grid, found, strict=True):
        highest = max(
            _draw(axes, part, pair, word, (periods or {}).get(word))
            for axes, word in zip(row, shown, strict=True)
        )
        if highest > 0:
            row[0].set_ylim(bottom=max(row[0].get_ylim()[0], SMALLEST * highest))
        row[0].set_ylabel("amplitude of " + part.label(pair.name))
    for axes, word in zip(grid[-1], shown, strict=True):
        axes.set_xlabel("wave number along " + symbol(word) + _per(problem.units.get(word, "1")))
    grid[0, 0].legend(loc="best")
    drawn.suptitle(part.title)
    return drawn


def amplitudes(
    lines: np.ndarray, spacing: float, period: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns wave numbers (radians per length) above zero and amplitudes, for lines `(m, n)` of values.

    A sine of amplitude a and of one of the wave numbers has amplitude a there. Without a `period`, lines are
    weighted by a Hann window, and their means, so weighted, are taken away.

    >>> x = np.linspace(0, 2 * np.pi, 65)
    >>> k, found = amplitudes(3 * np.sin(5 * x)[None], x[1], 2 * np.pi)
    >>> k[found > 1e-9], found[found > 1e-9]
    (array([5.]), array([3.]))
    """
    n = lines.shape[1]
    if period is not None:
        n = min(n, round(period / spacing))
        lines, window = lines[:, :n], np.ones(n)
    else:
        window = np.hanning(n + 2)[1:-1]
        lines = lines - np.average(lines, axis=1, weights=window)[:, None]
    found = np.abs(np.fft.rfft(lines * window, axis=1)) * 2 / window.sum()
    if n % 2 == 0:
        # The highest wave number of an even number of points has no other half.
        found[:, -1] /= 2
    numbers = 2 * np.pi * np.fft.rfftfreq(n, spacing)
    return numbers[1:], np.sqrt(np.mean(found**2, axis=0))[1:]


def _spacing(part: Section, word: str) -> float | None:
    axis = part.axes[part.words.index(word)]
    steps = np.diff(axis)
    if len(axis) < FEWEST_POINTS or np.ptp(steps) > EQUAL * np.abs(steps).max():
        return None
    return float(steps.mean())


def _lines(part: Section, values: np.ndarray, word: str) -> np.ndarray:
    """The lines along a coordinate that lie in the domain as a whole, `(m, n)`."""
    axis = part.words.index(word)
    whole = np.all(part.inside, axis=axis)
    return np.moveaxis(values, axis, -1)[whole]


def _draw(axes: Axes, part: Section, pair: Pair, word: str, period: float | None) -> float:
    """Draws the spectra of a field along a coordinate; returns the highest amplitude."""
    spacing = _spacing(part, word)
    assert spacing is not None
    curves: list[tuple[str, np.ndarray, Any]] = [("network", pair.ours, {"color": COLOURS[0]})]
    if pair.true is not None:
        curves = [
            ("truth", pair.true, {"color": "black", "linewidth": 2.2, "alpha": 0.4}),
            *curves,
            ("error", pair.difference, {"color": COLOURS[1]}),
        ]
    highest = 0.0
    for name, values, look in curves:
        numbers, found = amplitudes(_lines(part, values, word), spacing, period)
        highest = max([highest, *found[np.isfinite(found)]])
        axes.plot(numbers, found, label=name, **look)
    axes.set_xscale("log")
    log_scale(axes)
    axes.grid(True, which="major")
    return highest


def _per(unit: str) -> str:
    return " (rad)" if unit in ("", "1") else f" (rad/{unit})"
