"""What shapes are made of and asked about: vectors of numbers, and points."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pde.checks import require_points

AXES = "xyz"


def as_vector(op: str, name: str, values: Any) -> tuple[float, ...]:
    """Returns finite numbers as floats; raises `E_GRAPH_INVALID` for anything else.

    >>> as_vector("box", "lower", [0, 1.5])
    (0.0, 1.5)
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{op}: {name} is {values!r}, not a sequence of numbers."
        ) from error
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} is {values!r}; it must be finite numbers, one for each coordinate.",
            hints="(0.0, 1.0) has two coordinates, (0.0,) has one",
        )
    return tuple(array.tolist())


def as_points(op: str, points: Any, dimensions: int) -> np.ndarray:
    """Returns points `(..., d)` in float64; raises `E_SHAPE_MISMATCH` for another d."""
    array = np.asarray(points, np.float64)
    _require_dimensions(op, array.shape, dimensions)
    return array


def as_coordinates(op: str, points: Any, dimensions: int) -> list[jax.Array]:
    """Returns the d coordinates of float points `(..., d)`, each `(...)`, to be differentiated."""
    array = require_points(op, points)
    _require_dimensions(op, array.shape, dimensions)
    return [array[..., i] for i in range(dimensions)]


def axis_names(dimensions: int) -> Sequence[str]:
    """Returns x, y, z, or x1, x2, ... where there are more coordinates.

    >>> axis_names(2), axis_names(4)
    (['x', 'y'], ['x1', 'x2', 'x3', 'x4'])
    """
    if dimensions <= len(AXES):
        return list(AXES[:dimensions])
    return [f"x{i + 1}" for i in range(dimensions)]


def require_scipy(what: str) -> None:
    """Raises `ImportError`, naming the extra, where scipy is not installed; `what` is plural."""
    if importlib.util.find_spec("scipy") is None:
        raise ImportError(f"{what} need scipy: pip install 'tessera[training]'")


def _require_dimensions(op: str, shape: tuple[int, ...], dimensions: int) -> None:
    if not shape or shape[-1] != dimensions:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: points have shape {shape}; the last axis must be {dimensions} coordinates. "
            "Signature: *b d -> *b.",
        )
