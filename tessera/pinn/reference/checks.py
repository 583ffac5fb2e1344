"""What the references ask of parameters and points, with the fix in every error."""

import math
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError


def require_reals(op: str, name: str, values: Any) -> np.ndarray:
    """Returns values as a float64 array, of any shape; they may be NaN.

    >>> require_reals("truth", "times", [0, 1])
    array([0., 1.])
    """
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "fiu":
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} do not form an array of real numbers.",
            hints=f"pass {name} as an array, or as lists of equal lengths",
        )
    return array.astype(np.float64)


def require_points(op: str, points: Any, names: tuple[str, ...]) -> np.ndarray:
    """Returns points as a finite float64 array `(n, d)` with one column for each name.

    >>> require_points("truth", [[0, 1]], ("x", "t")).shape
    (1, 2)
    """
    columns = ", ".join(names)
    array = require_reals(op, "points", points)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: points have the shape {array.shape}, not (n, {len(names)}).",
            hints=f"give one row for each point, with the columns {columns}",
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: point {row} is not finite: {array[row]}.",
            hints="remove points that are NaN or infinite",
        )
    return array


def require_inside(op: str, name: str, values: np.ndarray, lower: float, upper: float) -> None:
    """Raises `CompileError` (E_GRAPH_INVALID) if a value leaves `[lower, upper]` by more than rounding."""
    slack = 1e-12 * max(abs(lower), abs(upper), 1.0) if math.isfinite(upper) else 0.0
    outside = (values < lower - slack) | (values > upper + slack)
    if outside.any():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} = {values[outside][0]:g} is outside [{lower:g}, {upper:g}].",
            hints="keep the points within the domain of the solution",
        )


def require_number(op: str, name: str, value: Any, *, least: float = -math.inf) -> float:
    """Returns a finite number that is at least `least` as a float.

    >>> require_number("solve", "viscosity", 1, least=0.0)
    1.0
    """
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < least:
        bound = f", at least {least:g}" if math.isfinite(least) else ""
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} is {value!r}; it must be a finite number{bound}.",
            hints=f"pass {name} as a float",
        )
    return float(value)


def require_positive(op: str, name: str, value: Any) -> float:
    """Returns a finite number above zero as a float."""
    number = require_number(op, name, value)
    if number <= 0:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} is {number:g}; it must be above zero.",
            hints=f"pass a positive {name}",
        )
    return number


def require_count(op: str, name: str, value: Any, *, least: int, most: int) -> int:
    """Returns an integer within `[least, most]`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} is {value!r}; it must be an integer from {least} to {most}.",
            hints=f"choose {name} in that range",
        )
    return int(value)
