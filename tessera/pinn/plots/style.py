"""The look of all figures: fonts, colours, labels with units, colour scales."""

import functools
import importlib
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np

DOTS_PER_INCH = 200

STYLE: Any = {
    # Names of fonts rather than of a family: a family is looked up when a figure is saved.
    "font.family": ["STIXGeneral", "DejaVu Serif"],
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
    "legend.fontsize": 8.5,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "contour.negative_linestyle": "solid",
    "lines.linewidth": 1.3,
    "grid.linewidth": 0.3,
    "grid.alpha": 0.7,
}

# Okabe and Ito's colours, told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")
SEQUENTIAL, SIGNED, SIGNED_ERROR = "viridis", "RdBu_r", "PuOr_r"

GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi"
    " omega".split()
)

# Between marks, times a power of ten.
STEPS = (1, 2, 2.5, 5, 10)

# matplotlib's Figure and Axes, which is an extra.
Figure = Any
Axes = Any

P = ParamSpec("P")


def load(module: str = "matplotlib") -> Any:
    """Returns a module of matplotlib; raises `ImportError`, naming the extra, where it is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("figures need matplotlib: pip install 'tessera[viz]'")
    return importlib.import_module(module)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Returns a function that draws in the style of all figures."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with load().rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


def figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """Returns an empty figure, sizes in inches."""
    empty = load("matplotlib.figure").Figure(figsize=(width, height), layout=layout)
    load("matplotlib.backends.backend_agg").FigureCanvasAgg(empty)
    return empty


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure into a file of the format that its ending names; returns the path."""
    with load().rc_context(STYLE):
        figure.savefig(path, dpi=DOTS_PER_INCH)
    return Path(path)


def symbol(name: str) -> str:
    r"""Returns the name of a field or a coordinate as matplotlib shows it: letters and Greek in italics.

    >>> symbol("u"), symbol("omega"), symbol("wall")
    ('$u$', '$\\omega$', 'wall')
    """
    if name in GREEK:
        return rf"$\{name}$"
    return f"${name}$" if len(name) == 1 and name.isalpha() else name.replace("$", r"\$")


def unit_of(unit: str) -> str:
    """Returns a unit in parentheses after a space, nothing for none.

    >>> unit_of("U^2/L"), unit_of("1")
    (' (U$^{2}$/L)', '')
    """
    if unit in ("", "1"):
        return ""
    shown = re.sub(r"\^(-?\d+(?:\.\d+)?)", r"$^{\1}$", unit.replace("$", r"\$"))
    return f" ({shown})"


def label(name: str, unit: str = "1") -> str:
    """Returns a name with its unit.

    >>> label("x", "L")
    '$x$ (L)'
    """
    return symbol(name) + unit_of(unit)


def scientific(value: float) -> str:
    r"""Returns a number with two digits, for use inside dollars.

    >>> scientific(0.00123)
    '1.2\\times 10^{-3}'
    """
    if not np.isfinite(value) or value == 0:
        return rf"\mathrm{{{value:g}}}"
    digits, power = f"{value:.1e}".split("e")
    return rf"{digits}\times 10^{{{int(power)}}}"


def with_minus_sign(value: float) -> str:
    """Returns a number in few digits, with a minus sign rather than a hyphen."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def few_ticks(axes: Axes, most: int = 5) -> None:
    """Keeps at most so many marks on both axes."""
    ticker = load("matplotlib.ticker")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(most, steps=STEPS))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(most, steps=STEPS))


def log_scale(axes: Axes) -> None:
    """Makes the scale upwards logarithmic if there is anything to show on it."""
    values = [np.asarray(line.get_ydata(), np.float64) for line in axes.get_lines()]
    if any(np.any(np.isfinite(own) & (own > 0)) for own in values):
        axes.set_yscale("log")


def colours(count: int) -> list[str]:
    """Returns so many colours, the first ones again if there are not enough."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def styles(items: Sequence[Any]) -> list[str]:
    """Returns a line style for each item, the first ones again if there are not enough."""
    return [LINE_STYLES[i % len(LINE_STYLES)] for i in range(len(items))]


def scale_of(values: np.ndarray) -> tuple[str, float, float]:
    """Returns the colours of a field and their limits; where it has both signs, white means zero.

    >>> scale_of(np.array([-1.0, 2.0])), scale_of(np.array([-0.1, 2.0]))
    (('RdBu_r', -2.0, 2.0), ('viridis', -0.1, 2.0))
    """
    finite = values[np.isfinite(values)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if min(-lowest, highest) > 0.4 * max(-lowest, highest):
        highest = max(-lowest, highest)
        return SIGNED, -highest, highest
    if not lowest < highest:
        lowest, highest = lowest - 0.5, highest + 0.5
    return SEQUENTIAL, lowest, highest
