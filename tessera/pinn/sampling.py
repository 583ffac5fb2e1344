"""Points to train at: samplers of the parts of a domain, and refinement where a residual is large.

Interior   Boundary   Initial   OppositeSides   Fixed      samplers: sampler.draw(generator) -> Sample
adapt      add                                             points where a residual is large
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.core.operands import as_integer, as_number
from tessera.pinn.geometry.shape import TOLERANCE, Shape, SideChoice, choose_sides
from tessera.pinn.geometry.slab import TimeSlab
from tessera.pinn.problem import Sample
from tessera.pinn.sequences import SEQUENCES

# Of numbers drawn for each point asked for; where fewer hit a shape, its bounds are too far around it.
MOST_TRIES = 10_000
# Candidates of `adapt` and `add` for each point they choose.
POOL = 10


@dataclass(frozen=True)
class Interior:
    """Draws `n` points of a shape, uniform by volume.

    `sequence` says how evenly: one of `SEQUENCES`. Where a shape is not a box, points are those of its
    bounds that are inside, in their order. Raises `E_GRAPH_INVALID` for bad arguments, and `draw` does for a
    shape without inside.

    >>> from tessera.pinn.geometry import l_shape
    >>> Interior(l_shape(), 100).draw(np.random.default_rng(0)).points.shape
    (100, 2)
    """

    shape: Shape
    n: int
    sequence: str = "sobol"

    def __post_init__(self):
        _check("interior", self, Shape)

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points `(n, d)`, the same for a generator in the same state."""
        lower, upper = self.shape.bounds

        def place(numbers: np.ndarray) -> tuple[np.ndarray, ...]:
            points = lower + (upper - lower) * numbers
            return points, self.shape.contains(points)

        dimensions = self.shape.dimensions
        (points,) = _accepted("interior", place, generator, self.sequence, self.n, dimensions)
        return Sample(points)


@dataclass(frozen=True)
class Boundary:
    """Draws `n` points of the boundary of a shape, uniform by length or area, with "normals".

    The normals, `(n, d)`, point outwards and have length 1. `side` chooses a side by name or number, or
    several; by default it is all of them, of a `TimeSlab` the walls, whose normals have no part in time.
    Raises `E_GRAPH_INVALID` for bad arguments, and `draw` does for sides that are not on the boundary.

    >>> from tessera.pinn.geometry import Rectangle
    >>> lid = Boundary(Rectangle((0, 1), (0, 1)), 2, side="y+").draw(np.random.default_rng(0))
    >>> lid.points[:, 1].tolist(), lid.arrays["normals"].tolist()
    ([1.0, 1.0], [[0.0, 1.0], [0.0, 1.0]])
    """

    shape: Shape
    n: int
    sequence: str = "sobol"
    side: SideChoice = None

    def __post_init__(self):
        _check("boundary", self, Shape)
        if self.side is not None:
            choose_sides(self.shape, self.side)

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points `(n, d)` and normals, the same for a generator in the same state."""

        def place(numbers: np.ndarray) -> tuple[np.ndarray, ...]:
            found = self.shape.boundary(numbers, self.side)
            return found.points, found.normals, found.kept

        dimensions = max(self.shape.dimensions - 1, 1)
        points, normals = _accepted("boundary", place, generator, self.sequence, self.n, dimensions)
        return Sample(points, {"normals": normals})


@dataclass(frozen=True)
class Initial:
    """Draws `n` points of a `TimeSlab` at its first time, uniform in space.

    >>> from tessera.pinn.geometry import Interval
    >>> start = Initial(TimeSlab(Interval(0, 1), 2, 3), 4)
    >>> start.draw(np.random.default_rng(0)).points[:, 1].tolist()
    [2.0, 2.0, 2.0, 2.0]
    """

    shape: TimeSlab
    n: int
    sequence: str = "sobol"

    def __post_init__(self):
        _check("initial", self, TimeSlab)

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points `(n, d)`, the same for a generator in the same state."""
        points = Boundary(self.shape, self.n, self.sequence, "t-").draw(generator).points
        return Sample(points)


@dataclass(frozen=True)
class OppositeSides:
    """Draws `n` points where coordinate `axis` is lowest, and as "partner" those where it is highest.

    For conditions of periodicity: `shape` has sides called axis- and axis+, as a `Box` has and the
    `TimeSlab` of one.

    >>> from tessera.pinn.geometry import Rectangle
    >>> pairs = OppositeSides(Rectangle((0, 2), (0, 1)), 5, "x").draw(np.random.default_rng(0))
    >>> (pairs.arrays["partner"] - pairs.points)[0].tolist()
    [2.0, 0.0]
    """

    shape: Shape
    n: int
    axis: str
    sequence: str = "sobol"

    def __post_init__(self):
        _check("opposite sides", self, Shape)
        names = [one.name for one in self.shape.sides]
        if [names.count(f"{self.axis}{sign}") for sign in "-+"] != [1, 1]:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"opposite sides: {self.axis!r} has no two sides; the sides are {', '.join(names)}.",
                hints="axis is a coordinate of a Box, such as 'x'",
            )

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points `(n, d)` and their partners, the same for a generator in the same state."""
        sample = Boundary(self.shape, self.n, self.sequence, f"{self.axis}-").draw(generator)
        across = sample.arrays["normals"] < 0
        partner = np.where(across, self.shape.bounds[1], sample.points)
        gap = np.max(np.abs(self.shape.signed_distance(partner)))
        if gap > TOLERANCE * self.shape.extent:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"opposite sides: a partner is {gap:.2g} away from the boundary; side {self.axis}+ is "
                f"not {self.axis}- moved along {self.axis}.",
            )
        return Sample(sample.points, {"partner": partner})


@dataclass(frozen=True, eq=False)
class Fixed:
    """Gives the same points every time, with `arrays` that go with them: where something was measured.

    Raises `E_SHAPE_MISMATCH` unless points are `(n, d)` and every array has n rows, and `E_NAN_INF` for
    points that are not finite.

    >>> Fixed([[0.0, 1.0]], {"u": [0.5]}).draw(np.random.default_rng(0)).arrays["u"]
    array([0.5])
    """

    points: Any
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        points = np.array(self.points, np.float64)
        arrays = {name: np.array(values, np.float64) for name, values in self.arrays.items()}
        if points.ndim != 2 or points.size == 0:
            raise CompileError(
                Code.E_SHAPE_MISMATCH, f"fixed: points have shape {points.shape}, not (n, d)."
            )
        for name, values in arrays.items():
            if values.ndim == 0 or len(values) != len(points):
                raise CompileError(
                    Code.E_SHAPE_MISMATCH,
                    f"fixed: {name!r} has shape {values.shape} for {len(points)} points.",
                    hints="every array has one row for each point",
                )
        if not np.isfinite(points).all():
            raise NumericsError(Code.E_NAN_INF, "fixed: a coordinate of the points is not finite.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "arrays", arrays)

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns the points and their arrays; draws nothing."""
        return Sample(self.points, dict(self.arrays))


# Samplers whose number of points can be changed.
Random = Interior | Boundary | Initial | OppositeSides


def adapt(
    sampler: Random,
    generator: np.random.Generator,
    magnitude: Callable[[np.ndarray], Any],
    *,
    pool: int | None = None,
    power: float = 1.0,
    offset: float = 1.0,
) -> Sample:
    """Returns a sample of `sampler.n` points, more of them where a residual is large (RAD).

    `magnitude` maps points `(pool, d)` to the size of the residual at each, `(pool,)`. The points are chosen
    from `pool` points that the sampler draws (10 n by default), none twice, with probabilities in proportion
    to |r|^power / mean(|r|^power) + offset. Source: Wu, Zhu, Tan, Kartha and Lu, CMAME 403 (2023),
    arXiv:2207.10289.

    Raises `E_GRAPH_INVALID` for a pool smaller than the sample or a negative power or offset,
    `E_SHAPE_MISMATCH` for another shape of magnitudes and `E_NAN_INF` if one is not finite.

    >>> from tessera.pinn.geometry import Interval
    >>> line = Interior(Interval(0, 1), 200)
    >>> near_one = adapt(line, np.random.default_rng(0), lambda x: x[:, 0] ** 8, offset=0).points
    >>> bool(near_one.mean() > 0.7)
    True
    """
    return _chosen("adapt", sampler, generator, magnitude, sampler.n, pool, power, offset)


def add(
    sample: Sample,
    sampler: Random,
    generator: np.random.Generator,
    magnitude: Callable[[np.ndarray], Any],
    *,
    points: int,
    pool: int | None = None,
    power: float = 2.0,
    offset: float = 0.0,
) -> Sample:
    """Returns `sample` with some `points` more where a residual is large (RAR-D).

    They are chosen as by `adapt`, from 10 candidates for each by default. Source and errors as there.

    >>> from tessera.pinn.geometry import Interval
    >>> line, generator = Interior(Interval(0, 1), 20), np.random.default_rng(0)
    >>> add(line.draw(generator), line, generator, lambda x: x[:, 0], points=5).points.shape
    (25, 1)
    """
    more = as_integer("add", "points", points)
    extra = _chosen("add", sampler, generator, magnitude, more, pool, power, offset)
    if sample.arrays.keys() != extra.arrays.keys():
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"add: the sample has arrays {sorted(sample.arrays)} and the sampler gives "
            f"{sorted(extra.arrays)}.",
        )
    return Sample(
        np.concatenate([sample.points, extra.points]),
        {name: np.concatenate([old, extra.arrays[name]]) for name, old in sample.arrays.items()},
    )


def _chosen(
    op: str,
    sampler: Random,
    generator: np.random.Generator,
    magnitude: Callable[[np.ndarray], Any],
    count: int,
    pool: int | None,
    power: float,
    offset: float,
) -> Sample:
    size = POOL * count if pool is None else as_integer(op, "pool", pool)
    if not 0 < count <= size:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{op}: {count} points do not come from a pool of {size}."
        )
    power, offset = as_number(op, "power", power), as_number(op, "offset", offset)
    if not (power >= 0 and 0 <= offset < math.inf):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: power {power} and offset {offset}; both must be at least 0.",
        )
    candidates = replace(sampler, n=size).draw(generator)
    weights = _weights(op, magnitude(candidates.points), size, power, offset)
    # The first to arrive of as many random processes, each at its rate: a draw without replacement. Those of
    # rate zero come last, in the order of the pool.
    waiting = generator.exponential(size=size)
    arrival = np.divide(waiting, weights, out=np.full(size, np.inf), where=weights > 0)
    rows = np.sort(np.argsort(arrival, kind="stable")[:count])
    arrays = {name: values[rows] for name, values in candidates.arrays.items()}
    return Sample(candidates.points[rows], arrays)


def _weights(op: str, magnitudes: Any, size: int, power: float, offset: float) -> np.ndarray:
    found = np.abs(np.asarray(magnitudes, np.float64))
    if found.shape != (size,):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: magnitude returns shape {found.shape} for {size} points; it must be ({size},).",
            hints="one number for each point: the norm of its residuals",
        )
    if not np.isfinite(found).all():
        raise NumericsError(
            Code.E_NAN_INF,
            f"{op}: the residual is not finite at {np.count_nonzero(~np.isfinite(found))} of {size} points.",
        )
    # The largest is made 1: powers of large residuals overflow.
    largest = float(found.max())
    powers = (found / largest) ** power if largest > 0 else np.ones(size)
    return powers / np.mean(powers) + offset


def _check(op: str, sampler: Any, kind: type) -> None:
    if not isinstance(sampler.shape, kind):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: shape is a {type(sampler.shape).__name__}, not a {kind.__name__}.",
        )
    if as_integer(op, "n", sampler.n) < 1:
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: n is {sampler.n}, not positive.")
    if sampler.sequence not in SEQUENCES:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: unknown sequence {sampler.sequence!r}; one of {', '.join(SEQUENCES)}.",
        )


def _accepted(
    op: str,
    place: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    generator: np.random.Generator,
    sequence: str,
    n: int,
    dimensions: int,
) -> list[np.ndarray]:
    """Returns the first n rows of what `place` makes of one set of a sequence where its last result is True.

    The set is drawn anew, larger, until it has as many, so it is always one evenly spread set.
    """
    count = n
    while count <= MOST_TRIES * max(n, 100):
        *arrays, kept = place(SEQUENCES[sequence](generator, count, dimensions))
        hits = np.count_nonzero(kept)
        if hits >= n:
            return [array[kept][:n] for array in arrays]
        count = math.ceil(count * min(max(1.1 * n / max(hits, 1), 1.2), 16))
    raise CompileError(
        Code.E_GRAPH_INVALID,
        f"{op}: fewer than {n} of {MOST_TRIES * max(n, 100)} points hit; there is nothing to draw from.",
        hints="check that the shape is not empty and that the side is on its boundary",
    )
