"""What is to be solved: points, residuals at them, a network, and what the solution is judged by.

Sampler    draws the points of one part of the domain, and arrays that go with them
Term       a residual at the points of a sampler, with its weight and its unit
Problem    samplers, terms, the network to begin with, the truth
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from tessera import pde

# An Equinox module, which gives a Field for the Field of coordinates: `model(at)`.
Model = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sample:
    """Points `(n, d)`, and arrays `(n, ...)` that go with them: normals, measured values."""

    points: Any
    arrays: dict[str, Any] = field(default_factory=dict)


class Sampler(Protocol):
    """Draws the points of one part of a domain."""

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points in float64; the same for a generator in the same state."""
        ...


@dataclass(frozen=True)
class Term:
    """One part of the loss: `weight` times the mean over its points of the squared residual.

    `residual(model, at, **arrays)` takes the model, the Field of the coordinates of the points (axis words
    as in `Problem.coordinates`) and those arrays of the sample that `uses` names, as keyword arguments. It
    returns a Field, an array `(n,)` or `(n, k)`, or a sequence of those, whose rows depend on their own
    point only; zero where the equation holds. `on` names a sampler, `unit` is the residual's.
    """

    name: str
    residual: Callable[..., Any]
    on: str = "interior"
    weight: float = 1.0
    unit: str = "1"
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A differential equation, ready to be trained on.

    `network(key)` makes the model to begin with. `fields(model, at)` gives what is solved for, by name, each
    a Field or an array `(n,)`. `truth(points)` gives the same names as float64 arrays for points `(n, d)` of
    the test grid; it must not come from a network. The test grid is the product of `grid`, one array of
    numbers for each coordinate, without the points where `inside` is False. Errors are relative L2 distances
    to the truth; fields named in `up_to_a_constant` are compared after removing their means. `judge(model)`,
    where given, returns further errors by name. `targets` are upper bounds of errors that `optimizer`, a
    sequence of optimizers to run in turn, is known to reach, with new points as `resample` (a `Resample`)
    says.
    """

    name: str
    title: str
    coordinates: tuple[str, ...]
    samplers: Mapping[str, Sampler]
    terms: tuple[Term, ...]
    network: Callable[[Any], Model]
    fields: Callable[[Model, pde.Field], Mapping[str, Any]]
    grid: tuple[np.ndarray, ...]
    optimizer: Sequence[Any]
    resample: Any = None
    truth: Callable[[np.ndarray], Mapping[str, np.ndarray]] | None = None
    inside: Callable[[np.ndarray], np.ndarray] | None = None
    judge: Callable[[Model], Mapping[str, float]] | None = None
    up_to_a_constant: frozenset[str] = frozenset()
    targets: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
