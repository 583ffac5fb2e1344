"""The figure of a comparison: errors and condition numbers along the program."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.numerics.operation import Operation, number

# Okabe and Ito's colours, told apart by readers with any colour vision.
LOCAL, ACCUMULATED, CONDITION, BROKEN = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
LEAST = 2.0**-5  # an error below this in ulps is drawn here, with those of zero
LEAST_CONDITION = 1e-2
ABOVE = 3.0  # over the largest error, what is not finite is drawn
KINDS = ("median_ulps", "ulps")
NAMED = 40  # from more operations on, the axis counts them
LONGEST = 28  # characters of a name under the axis


def draw(
    name: str,
    operations: Sequence[Operation],
    path: Sequence[Operation],
    worst: Operation | None,
) -> Any:
    """Returns a figure with the local and accumulated errors in ulps above, the conditions below.

    Operations that only move data and lose nothing are left out. Drawn without pyplot: no display, no global
    state. Raises `E_GRAPH_INVALID` without operations.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the figure needs matplotlib: pip install 'tessera[viz]'")
    if not operations:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"compare: {name} computes nothing that a figure could show.",
            hints="compare a function with operations on floats",
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [o for o in operations if not o.is_exact_move] or list(operations)
    figure = Figure(figsize=(float(np.clip(0.32 * len(shown) + 3, 7.5, 14)), 5.2))
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    errors, conditions = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    height = _draw_errors(errors, shown, {o.index for o in path})
    if worst in shown:
        _point_at(errors, shown, worst, height)
    _draw_conditions(conditions, shown)
    _name_operations(conditions, shown)
    figure.suptitle(f"{name}: error against float64", x=0.01, ha="left", fontsize=11)
    return figure


def _draw_errors(axes: Any, shown: Sequence[Operation], path: set[int]) -> float:
    """Returns the height at which results that are not finite are drawn."""
    places, size = np.arange(len(shown)), 4.0 if len(shown) <= NAMED else 2.0
    own, most = (_bounded([getattr(o.local, k) for o in shown]) for k in KINDS)
    low, high = (_bounded([getattr(o.accumulated, k) for o in shown]) for k in KINDS)
    axes.vlines(places, low, high, color=ACCUMULATED, lw=size, alpha=0.3)
    axes.vlines(places, own, most, color=LOCAL, lw=0.3 * size)
    circle: Any = {"color": ACCUMULATED, "marker": "o"}
    axes.plot(places, low, **circle, ls="", ms=size, mfc="white", mew=0.7, label="accumulated")
    on = np.array([o.index in path for o in shown])
    label = "… on the result's way"
    axes.plot(places[on], low[on], **circle, ls="-", lw=0.25 * size, ms=1.3 * size, label=label)
    axes.plot(places, own, "s", color=LOCAL, ms=0.8 * size, label="local")
    highest = max(high.max(), most.max(), 1.0)
    broken = np.array([bool(o.overflows or o.nans) for o in shown])
    if broken.any():
        above = np.full(broken.sum(), ABOVE * highest)
        axes.plot(places[broken], above, "X", color=BROKEN, ms=9, mec="w", label="∞ or NaN")
    axes.axhline(0.5, color="0.5", lw=0.8, ls="--")
    for height, text in ((0.5, "½ ulp"), (LEAST, "exact")):
        at = axes.get_yaxis_transform()
        axes.text(1.005, height, text, transform=at, va="center", fontsize=8, color="0.35")
    axes.set_yscale("log", base=10)
    top = ABOVE * highest
    axes.set_ylim(LEAST / 2, top * (top / LEAST) ** 0.35)  # room for the label
    axes.set_ylabel("error (ulps)\nmedian to largest")
    axes.grid(axis="y", color="0.9", lw=0.6)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    _without_frame(axes)
    return top


def _bounded(ulps: Sequence[float]) -> np.ndarray:
    return np.maximum(np.array(ulps), LEAST)


def _point_at(axes: Any, shown: Sequence[Operation], worst: Operation, top: float) -> None:
    """Names the worst operation, on the side where there is room."""
    place = shown.index(worst)
    why = (
        f"{worst.breaks} infinite or NaN"
        if worst.breaks
        else f"condition {number(worst.condition)}"
    )
    at_right = place > len(shown) / 2
    axes.annotate(
        f"worst: {worst.label}, {why}\n{worst.place}",
        (place, top if worst.breaks else max(worst.accumulated.median_ulps, LEAST)),
        (0.99 if at_right else 0.01, 0.98),
        textcoords="axes fraction",
        ha="right" if at_right else "left",
        va="top",
        fontsize=9,
        arrowprops={"arrowstyle": "->", "color": "0.3", "lw": 0.8, "shrinkB": 5},
    )


def _draw_conditions(axes: Any, shown: Sequence[Operation]) -> None:
    known = [(i, o.condition) for i, o in enumerate(shown) if 0 < o.condition < np.inf]
    for place, condition in known:
        axes.plot((place, place), (1, condition), color=CONDITION, lw=1)
    size = 4 if len(shown) <= NAMED else 2
    axes.plot(*np.array(known).reshape(-1, 2).T, "o", color=CONDITION, ms=size)
    axes.axhline(1, color="0.5", lw=0.8)
    axes.set_yscale("log", base=10)
    highest = max((condition for _, condition in known), default=1.0)
    lowest = min((condition for _, condition in known), default=1.0)
    axes.set_ylim(float(np.clip(lowest / 2, LEAST_CONDITION, 0.3)), max(30.0, 3 * highest))
    axes.set_ylabel("condition")
    axes.grid(axis="y", color="0.9", lw=0.6)
    _without_frame(axes)


def _name_operations(axes: Any, shown: Sequence[Operation]) -> None:
    if len(shown) <= NAMED:
        axes.set_xticks(np.arange(len(shown)), [_short(o) for o in shown], rotation=60, ha="right")
        axes.tick_params(axis="x", labelsize=8, length=0)
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    else:
        axes.set_xlabel("operations, in program order")
    axes.set_xlim(-0.7, len(shown) - 0.3)


def _short(operation: Operation) -> str:
    label = f"{operation.index} {operation.name.removeprefix('tessera.')}"
    runs = f" ×{operation.runs}" if operation.runs > 1 else ""
    return label[: LONGEST - len(runs)] + runs


def _without_frame(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.minorticks_off()
