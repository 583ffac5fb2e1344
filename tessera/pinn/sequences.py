"""Evenly spread numbers in the unit cube, by the name of the sequence."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry.arguments import require_scipy


def _uniform(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    return generator.random((count, dimensions))


def _sobol(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    # A power of two of them is drawn: others are not balanced, and scipy warns.
    engine = _qmc().Sobol(dimensions, rng=generator)
    return engine.random_base2((count - 1).bit_length())[:count]


def _halton(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    return _qmc().Halton(dimensions, rng=generator).random(count)


def _latin(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    return _qmc().LatinHypercube(dimensions, rng=generator).random(count)


def _grid(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    cells, along = _cells(generator, count, dimensions)
    return (cells + 0.5) / along


def _stratified(generator: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    cells, along = _cells(generator, count, dimensions)
    return (cells + generator.random(cells.shape)) / along


def _cells(generator: np.random.Generator, count: int, dimensions: int) -> tuple[np.ndarray, int]:
    """Returns different cells of the smallest grid that has as many, in random order, and its side."""
    along = math.ceil(count ** (1 / dimensions))
    along += along**dimensions < count
    along -= (along - 1) ** dimensions >= count
    total = along**dimensions
    if total > np.iinfo(np.int64).max:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"grid: {count} points in {dimensions} dimensions; even two along each are too many.",
            hints='sequence="sobol" or "latin"',
        )
    chosen = generator.choice(total, count, replace=False)
    return np.column_stack(np.unravel_index(chosen, (along,) * dimensions)), along


def _qmc() -> Any:
    require_scipy("evenly spread sequences")
    import scipy.stats.qmc

    return scipy.stats.qmc


# (generator, how many, dimensions) -> numbers in [0, 1), (n, dimensions), of which the first are a fair part:
#   uniform      independent
#   sobol        in base 2, scrambled by random matrices and a shift; best for powers of two
#   halton       scrambled, in the bases 2, 3, 5, ...
#   latin        one in each of n slices along every axis
#   grid         the middles of the cells of a grid, all of them if n is k^d
#   stratified   a random point in each of those cells
SEQUENCES: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "uniform": _uniform,
    "sobol": _sobol,
    "halton": _halton,
    "latin": _latin,
    "grid": _grid,
    "stratified": _stratified,
}
