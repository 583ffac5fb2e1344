"""How well a trained model knows a number: Laplace's approximation of the posterior, by Gauss and Newton.

With the loss scaled so that each datum counts by its noise, the loss is minus twice the logarithm of a
posterior density: data with independent normal noise, and the other terms as what is known beforehand, an
equation say, which holds up to an independent error at each point whose size the weight says. Around its
minimum the density is taken to be normal, with the covariance

    (J^T J + 1 / prior^2)^-1

for the Jacobian J of the scaled residuals. Source: D. J. C. MacKay, Neural Computation 4 (1992) 415-447.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number
from tessera.pinn import jacobians, parameters, residuals
from tessera.pinn.problem import Model, Problem, Sample
from tessera.pinn.residuals import Batch, Objective
from tessera.pinn.training import draw


@dataclass(frozen=True)
class Estimate:
    """A number, its standard deviation, and the ends of the interval that holds it with the chosen chance.

    `noise` is the standard deviation of the data that was given or found.
    """

    value: float
    deviation: float
    lower: float
    upper: float
    noise: float


def confidence(
    problem: Problem,
    model: Model,
    quantity: Callable[[Model], Any],
    *,
    seed: int = 0,
    samples: Mapping[str, Sample] | None = None,
    term: str = "data",
    noise: float | None = None,
    level: float = 0.95,
    prior: float = 10.0,
) -> Estimate:
    """Returns `quantity(model)`, a scalar, with the uncertainty that noise of the data gives it.

    The model was trained until its loss was smallest, at the points that `train` draws for `seed`, or at
    `samples`. `term` is the term whose residuals are the errors of the data, each `noise` in size (a standard
    deviation in the term's unit; None for that of the residuals). `prior` is the standard deviation of every
    parameter beforehand, about where it is: it bounds those that the residuals leave free. What the network
    cannot represent is not accounted for, nor an equation that does not hold.

    Raises `E_GRAPH_INVALID` for an unknown term, a weight of zero, a level outside (0, 1), a noise or prior
    that are not positive, and a quantity that is not a scalar. Takes the Jacobian whole: residuals times
    parameters numbers.

    >>> from tessera.pinn.problem import Term
    >>> from tessera.pinn.sampling import Fixed
    >>> measured = Fixed([[0.0], [1.0], [2.0], [3.0]], {"y": [1.0, 1.2, 0.9, 0.9]})
    >>> data = Term("data", lambda model, at, y: model["mean"] - y, "data", uses=("y",))
    >>> problem = Problem("mean", "a mean", ("x",), {"data": measured}, (data,), dict, dict, (), ())
    >>> found = confidence(problem, {"mean": jnp.array(1.0)}, lambda m: m["mean"], noise=0.2)
    >>> found.value, round(found.deviation, 3)  # 0.2 / sqrt(4)
    (1.0, 0.1)
    """
    objective = Objective.of(problem)
    level, prior = as_number("confidence", "level", level), as_number("confidence", "prior", prior)
    if term not in objective.names or problem.terms[objective.names.index(term)].weight == 0:
        raise _invalid(
            f"the data are not term {term!r}; terms with a weight: "
            + ", ".join(t.name for t in problem.terms if t.weight)
        )
    if not (0 < level < 1 and 0 < prior < math.inf):
        raise _invalid(f"level is {level} and prior {prior}; they must be in (0, 1) and positive")
    place = objective.names.index(term)
    dtype = jax.tree.leaves(parameters.split(model)[0])[0].dtype
    with jax.enable_x64(dtype == jnp.float64):
        points = draw(problem, np.random.default_rng(seed), dtype) if samples is None else samples
        batch = Batch(
            jax.tree.map(lambda x: jnp.asarray(x, dtype), dict(points)), objective.weights(dtype)
        )
        value, slope = _value_and_slope(quantity, model)
        _, jacobian = jacobians.jacobian(objective, model, batch)
        found = residuals.values(objective, model, batch.samples)[place]
        if noise is None:
            noise = float(jnp.sqrt(jnp.mean(found * found)))
        if not 0 < as_number("confidence", "noise", noise) < math.inf:
            raise _invalid(f"noise is {noise}; it must be positive")
        # The loss has each datum with the factor weight / points instead of 1 / noise^2.
        scale = math.sqrt(found.shape[0] / problem.terms[place].weight) / noise
        deviation = float(_deviation(jacobian * scale, slope, prior))
    reach = deviation * statistics.NormalDist().inv_cdf((1 + level) / 2)
    return Estimate(value, deviation, value - reach, value + reach, noise)


def _value_and_slope(quantity: Callable[[Model], Any], model: Model) -> tuple[float, jax.Array]:
    params, rest = parameters.split(model)
    flat, unravel = ravel_pytree(params)

    def of_flat(flat: jax.Array) -> jax.Array:
        return jnp.asarray(quantity(parameters.join(unravel(flat), rest)))

    shape = jax.eval_shape(of_flat, flat).shape
    if shape != ():
        raise _invalid(f"the quantity has shape {shape}; it must be a scalar")
    value, slope = jax.value_and_grad(of_flat)(flat)
    return float(value), slope


@jax.jit
def _deviation(jacobian: jax.Array, slope: jax.Array, prior: Any) -> jax.Array:
    """The root of slope^T (J^T J + 1 / prior^2)^-1 slope, from a triangle R with R^T R in the brackets."""
    width = jacobian.shape[1]
    beforehand = jnp.eye(width, dtype=jacobian.dtype) / prior
    triangle = jnp.linalg.qr(jnp.concatenate([jacobian, beforehand]), mode="r")
    return jnp.linalg.norm(jax.scipy.linalg.solve_triangular(triangle, slope, trans="T"))


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"confidence: {problem}.")
