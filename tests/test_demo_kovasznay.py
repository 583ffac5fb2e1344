"""The physics of the demo, against the exact solution computed elsewhere and against the equations."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.demo.settings import REYNOLDS, flow, largest_divergence
from tessera.pinn import residuals
from tessera.pinn.evaluation import fields_at
from tessera.pinn.parameters import cast
from tessera.pinn.problem import Sample
from tessera.pinn.problems import kovasznay
from tessera.pinn.reference import exact
from tessera.pinn.residuals import Objective

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly")]

# (x, y, u, v, p) of the Kovasznay flow at Re = 40, evaluated with 40 digits and rounded to float64.
REFERENCE = np.array(
    [
        (-0.5, -0.5, 2.6190997292659626, 1.0266704934655243e-43, -0.8107419666545563),
        (
            -0.19999999999999996,
            -0.14999999999999997,
            0.28726493548605914,
            0.15046910794396742,
            -0.23517187550534624,
        ),
        (0.0, 0.15000000000000002, 0.412214747707527, -0.12409032048308659, 0.0),
        (0.25, 0.5, 1.7858926008343232, -4.983341851803502e-44, 0.19118640997693157),
        (
            0.5250000000000001,
            0.9500000000000002,
            0.42658500544643013,
            0.028577573178781242,
            0.31824120115992655,
        ),
        (1.0, 1.5, 1.3814633335317432, 2.614100046678325e-42, 0.42724286258542504),
        (-0.425, 1.1500000000000001, 0.11467802244941461, -0.1869048049376844, -0.6343187857783451),
    ]
)
POINTS = np.random.default_rng(3).uniform((-0.5, -0.5), (1.0, 1.5), (50, 2))
GRID = (np.linspace(-0.5, 1.0, 9), np.linspace(-0.5, 1.5, 9))
PROBLEM = replace(flow({}, widths=(9, 9), interior=8, boundary=8), grid=GRID)
DECAY = REYNOLDS / 2 - np.sqrt(REYNOLDS**2 / 4 + 4 * np.pi**2)


@dataclass(frozen=True)
class Exact:
    """A model that is the solution: the integral over y of the exact u, and the pressure, by hand."""

    pressure: float = 1.0

    def __call__(self, at: pde.Field) -> pde.Field:
        def values(points: jax.Array) -> jax.Array:
            x, y = points[..., 0], points[..., 1]
            psi = y - jnp.exp(DECAY * x) * jnp.sin(2 * jnp.pi * y) / (2 * jnp.pi)
            return jnp.stack([psi, self.pressure * (1 - jnp.exp(2 * DECAY * x)) / 2], axis=-1)

        return at.apply(values)


def network():
    with jax.enable_x64(True):
        return cast(PROBLEM.network(jax.random.key(1)), "float64")


def residuals_of(model, points: np.ndarray = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Returns the residuals of momentum at points inside, and of velocity at the boundary's."""
    with jax.enable_x64(True):
        boundary = PROBLEM.samplers["boundary"].draw(np.random.default_rng(0))
        samples = jax.tree.map(jnp.asarray, {"interior": Sample(points), "boundary": boundary})
        momentum, velocity = residuals.values(Objective.of(PROBLEM), model, samples)
        return np.asarray(momentum), np.asarray(velocity)


def test_the_exact_solution_is_the_one_computed_with_forty_digits():
    assert PROBLEM.truth is not None
    found = PROBLEM.truth(REFERENCE[:, :2])
    for name, column in (("u", 2), ("v", 3), ("p", 4)):
        np.testing.assert_allclose(found[name], REFERENCE[:, column], rtol=1e-13, atol=1e-15)


def test_the_exact_solution_leaves_no_residual():
    momentum, velocity = residuals_of(Exact())
    assert momentum.shape == (50, 2)
    # Terms of the equation reach 10; their rounding adds up.
    np.testing.assert_allclose(momentum, 0.0, atol=1e-12)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-14)


def test_a_wrong_pressure_leaves_its_gradient():
    momentum, _ = residuals_of(Exact(pressure=0.0))
    slope = DECAY * np.exp(2 * DECAY * POINTS[:, 0])
    np.testing.assert_allclose(momentum[:, 0], slope, atol=1e-12)
    np.testing.assert_allclose(momentum[:, 1], 0.0, atol=1e-12)


def test_the_flow_of_any_network_has_no_divergence():
    model = network()
    assert largest_divergence(PROBLEM)(model)["divergence"] < 1e-13
    assert np.ptp(fields_at(PROBLEM, model, POINTS)["u"]) > 0.1


def test_a_divergence_is_seen():
    def sheared(model, at):
        found = PROBLEM.fields(model, at)
        return {**found, "u": found["u"] + at["x"] * 2.0}

    judge = largest_divergence(replace(PROBLEM, fields=sheared))
    np.testing.assert_allclose(judge(network())["divergence"], 2.0)


def test_the_momentum_residual_is_the_one_of_finite_differences():
    model, h, centre = network(), 1e-3, POINTS

    def at(i: int, j: int) -> np.ndarray:
        found = fields_at(PROBLEM, model, centre + h * np.array([i, j]))
        return np.stack([found["u"], found["v"], found["p"]], axis=-1)

    found = residuals_of(model, centre)[0]
    around = {step: at(*step) for step in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))}
    along_x, along_y = (
        (around[1, 0] - around[-1, 0]) / (2 * h),
        (around[0, 1] - around[0, -1]) / (2 * h),
    )
    laplacian = (sum(around[k] for k in around if k != (0, 0)) - 4 * around[0, 0]) / h**2
    u, v = around[0, 0][:, :1], around[0, 0][:, 1:2]
    convection = (u * along_x + v * along_y)[:, :2]
    push = np.stack([along_x[:, 2], along_y[:, 2]], axis=-1)
    expected = convection + push - laplacian[:, :2] / REYNOLDS
    # The differences are exact to h^2 times fourth derivatives.
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_training_never_sees_the_points_it_is_judged_on():
    seen = kovasznay.problem().samplers["interior"].draw(np.random.default_rng(0)).points
    judged = np.stack(np.meshgrid(*kovasznay.problem().grid, indexing="ij"), axis=-1).reshape(-1, 2)
    assert np.abs(seen[:, None, :] - judged[None]).max(axis=-1).min() > 0.0


def test_the_decay_of_the_wake_is_that_of_the_reference():
    found = exact.kovasznay(REYNOLDS)(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(found["u"], 1 - np.exp(DECAY), rtol=1e-14)
