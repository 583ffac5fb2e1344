"""Training the network on Kovasznay flow: the points it sees, the loop, and the errors it is judged by."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.demo import kovasznay, network
from tessera.demo.levenberg_marquardt import Term, minimize

# Against the momentum residual: a wrong boundary value is felt in the whole domain.
BOUNDARY_WEIGHT = 30.0

# Points of the grid errors are taken on, along x and y. Training never sees them.
TEST_GRID = (91, 121)


@dataclass(frozen=True)
class Errors:
    """Relative L2 errors of velocity and pressure, and the largest |div u|; also used as upper bounds.

    The pressure is compared after removing its mean, the flow does not determine it.
    """

    u: float
    v: float
    p: float
    divergence: float


@dataclass(frozen=True)
class Plan:
    """How a network is trained and what it must reach.

    `interior` counts the cells along x and y that hold one training point each, `side` the points on
    each side of the domain. Training ends at `loss` or after `iterations`.
    """

    layers: tuple[int, ...]
    interior: tuple[int, int]
    side: int
    iterations: int
    loss: float
    targets: Errors


@dataclass(frozen=True)
class Point:
    """One point of the history: after `iteration`, `seconds` from the start.

    `residual` is the root of the mean squared momentum residual on the training points; `errors` are true.
    """

    iteration: int
    loss: float
    residual: float
    errors: Errors
    seconds: float


@dataclass(frozen=True)
class Fields:
    """The fields on the test grid, `u`, `v`, `p` and `divergence` of shape (points along y, along x)."""

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    p: np.ndarray
    divergence: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """A trained network: its history and its fields on the test grid."""

    seed: int
    history: tuple[Point, ...]
    fields: Fields

    @property
    def errors(self) -> Errors:
        """The errors after the last iteration."""
        return self.history[-1].errors

    @property
    def seconds(self) -> float:
        """Wall-clock seconds, the first compilation included."""
        return self.history[-1].seconds


def train(seed: int, plan: Plan, show: Callable[[Point], None]) -> Outcome:
    """Returns a trained network; `show` is called with the start and after every iteration.

    Runs in float64 and leaves the process's default alone. Raises `NumericsError` if the loss or its
    derivatives are not finite.
    """
    start = time.perf_counter()
    history: list[Point] = []
    with jax.enable_x64(True):
        params = network.initial(jax.random.key(seed), plan.layers, jnp.float64)
        terms = _terms(seed, plan)
        for step in minimize(terms, params, iterations=plan.iterations, tolerance=plan.loss):
            params = step.params
            errors = measure(fields_of(params))
            residual = math.sqrt(step.mean_squares[0])
            seconds = time.perf_counter() - start
            history.append(Point(step.iteration, step.loss, residual, errors, seconds))
            show(history[-1])
    return Outcome(seed, tuple(history), fields_of(params))


def failures(outcome: Outcome, targets: Errors) -> list[str]:
    """Returns one line for each target that was missed, a loss that is not finite among them."""
    found = vars(outcome.errors)
    return [
        f"seed {outcome.seed}: {name} is {found[name]:.1e} but must be below {bound:.1e}"
        f" (loss {outcome.history[-1].loss:.1e} after {outcome.history[-1].iteration} iterations)"
        for name, bound in vars(targets).items()
        if not found[name] < bound
    ]


def measure(fields: Fields) -> Errors:
    """Returns the errors of fields on the test grid against the exact solution."""
    exact = exact_fields()
    return Errors(
        u=_relative(fields.u, exact.u),
        v=_relative(fields.v, exact.v),
        p=_relative(fields.p - fields.p.mean(), exact.p - exact.p.mean()),
        divergence=float(np.max(np.abs(fields.divergence))),
    )


def fields_of(params: network.Params) -> Fields:
    """Returns the fields of a network on the test grid, in float64."""
    with jax.enable_x64(True):
        return _on_grid(_network_fields(params, _test_points()))


@cache
def exact_fields() -> Fields:
    """Returns the exact fields on the test grid, in float64."""
    with jax.enable_x64(True):
        return _on_grid(_exact_fields(_test_points()))


@jax.jit
def _network_fields(params: network.Params, points: jax.Array) -> tuple[jax.Array, ...]:
    stream, pressure = kovasznay.fields(params)
    velocity = kovasznay.flow(stream)
    # Differentiates the velocity like any other field: nothing here knows that a stream function made it.
    return (*_components(velocity, pressure, points), pde.div(velocity)(points))


@jax.jit
def _exact_fields(points: jax.Array) -> tuple[jax.Array, ...]:
    velocity = kovasznay.exact_velocity
    return (
        *_components(velocity, kovasznay.exact_pressure, points),
        pde.div(velocity)(points),
    )


def _components(
    velocity: kovasznay.Field, pressure: kovasznay.Field, points: jax.Array
) -> tuple[jax.Array, ...]:
    u, v = jax.vmap(velocity)(points).T
    return u, v, jax.vmap(pressure)(points)


def _on_grid(values: tuple[Any, ...]) -> Fields:
    x, y = _test_axes()
    return Fields(x, y, *(np.asarray(value).reshape(len(y), len(x)) for value in values))


def _test_axes() -> tuple[np.ndarray, np.ndarray]:
    x, y = (
        np.linspace(lower, upper, count)
        for lower, upper, count in zip(kovasznay.LOWER, kovasznay.UPPER, TEST_GRID, strict=True)
    )
    return x, y


def _test_points() -> np.ndarray:
    return np.stack(np.meshgrid(*_test_axes()), axis=-1).reshape(-1, 2)


def _relative(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _terms(seed: int, plan: Plan) -> list[Term]:
    generator = np.random.default_rng(seed)
    interior = _to_domain(_one_per_cell(generator, plan.interior))
    boundary = _to_domain(_perimeter(plan.side))
    return [
        Term(kovasznay.interior_residual, interior),
        Term(kovasznay.boundary_residual, boundary, BOUNDARY_WEIGHT),
    ]


def _one_per_cell(generator: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """One random point in each cell of the unit square: random, but without gaps."""
    corners = np.stack(np.meshgrid(*map(np.arange, cells)), axis=-1).reshape(-1, 2)
    return (corners + generator.random(corners.shape)) / np.array(cells)


def _perimeter(side: int) -> np.ndarray:
    """Evenly spaced points around the unit square, each corner once."""
    along, zero = np.arange(side) / side, np.zeros(side)
    edges = ((along, zero), (zero + 1, along), (1 - along, zero + 1), (zero, 1 - along))
    return np.concatenate([np.stack(edge, axis=-1) for edge in edges])


def _to_domain(unit: np.ndarray) -> jax.Array:
    lower, upper = np.array(kovasznay.LOWER), np.array(kovasznay.UPPER)
    return jnp.asarray(lower + unit * (upper - lower))
