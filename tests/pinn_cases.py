"""Small problems that the tests of training share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx  # noqa: TID253 - its models are Equinox modules
import jax
import jax.numpy as jnp
import numpy as np

from tessera import op, pde
from tessera.pinn import parameters
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Sample, Term
from tessera.pinn.residuals import Batch, Objective


@dataclass(frozen=True)
class Points:
    """The same points each time."""

    points: Any
    arrays: dict[str, Any] = field(default_factory=dict)

    def draw(self, generator: np.random.Generator) -> Sample:
        return Sample(np.asarray(self.points, np.float64), self.arrays)


@dataclass(frozen=True)
class Uniform:
    """Random points of the unit cube, others each time."""

    n: int
    d: int = 1

    def draw(self, generator: np.random.Generator) -> Sample:
        return Sample(generator.random((self.n, self.d)))


def problem_of(
    terms: Any,
    samplers: dict[str, Any],
    network: Callable[[Any], Any],
    names: Any = ("t",),
    **more: Any,
) -> Problem:
    rest: dict[str, Any] = {"grid": (np.linspace(0, 1, 11),) * len(names)} | more
    return Problem(
        name="case",
        title="A case",
        coordinates=tuple(names),
        samplers=samplers,
        terms=tuple(terms),
        network=network,
        fields=rest.pop("fields", lambda model, at: {"u": model(at)[..., 0]}),
        optimizer=rest.pop("optimizer", (LevenbergMarquardt(20),)),
        **rest,
    )


# ---- u' + u = 0 on [0, 1], u(0) = 1: exp(-t) -------------------------------------------------------------


def decays(model: Any, at: Any) -> Any:
    u = model(at)[..., 0]
    return op.grad(u, "t") + u


def begins(model: Any, at: Any) -> Any:
    return model(at)[..., 0] - 1.0


class Exponentials(eqx.Module):
    """A sum of exponentials of the first coordinate: as nonlinear as a network, and quickly compiled."""

    rates: Any
    heights: Any

    def __call__(self, x: Any) -> Any:
        if isinstance(x, pde.Field):
            return x.apply(self)
        return jnp.exp(x[..., :1] * self.rates[None]) @ self.heights


def small_network(key: Any, size: int = 4) -> Exponentials:
    rates, heights = jax.random.normal(key, (2, size))
    return Exponentials(0.3 * rates - 1.0, heights[:, None])


def decay(**more: Any) -> Problem:
    rest: dict[str, Any] = {
        "truth": lambda points: {"u": np.exp(-points[:, 0])},
        "targets": {"u": 1e-3},
    } | more
    terms = (Term("decay", decays, unit="1/s"), Term("start", begins, on="start", weight=2.0))
    samplers = rest.pop("samplers", {"interior": Uniform(24), "start": Points(np.zeros((8, 1)))})
    return problem_of(
        rest.pop("terms", terms), samplers, rest.pop("network", small_network), **rest
    )


# ---- least squares, whose model is an array --------------------------------------------------------------


def misses(model: Any, at: Any, row: Any, value: Any) -> Any:
    """Row times the parameters minus the value: linear least squares."""
    return row @ model - value


def linear(rows: np.ndarray, values: np.ndarray, weight: float = 1.0, **more: Any) -> Problem:
    points = Points(np.zeros((len(rows), 1)), {"row": rows, "value": values})
    term = Term("miss", misses, weight=weight, uses=("row", "value"))
    return problem_of([term], {"interior": points}, lambda key: jnp.zeros(rows.shape[1]), **more)


# ---- what optimizers take --------------------------------------------------------------------------------


def prepared(
    problem: Problem, dtype: str = "float64", **options: Any
) -> tuple[Objective, Any, Batch]:
    """Returns the objective, the first model and the batch of a problem, as `train` makes them."""
    objective = Objective.of(problem, **options)
    generator = np.random.default_rng(0)
    samples = {
        name: jax.tree.map(lambda x: jnp.asarray(x, dtype), sampler.draw(generator))
        for name, sampler in problem.samplers.items()
    }
    model = parameters.cast(problem.network(jax.random.key(0)), dtype)
    return objective, model, Batch(samples, objective.weights(dtype))


def iterate(
    optimizer: Any, problem: Problem, iterations: int, **options: Any
) -> tuple[Any, list[float]]:
    """Returns the model after some iterations and the loss that each of them told."""
    objective, model, batch = prepared(problem, **options)
    state = optimizer.init(objective, model, batch, jax.random.key(1))
    losses = []
    for _ in range(iterations):
        model, state, info = optimizer.step(objective, model, batch, state)
        losses.append(float(info.loss))
        if info.done:
            break
    return model, losses
