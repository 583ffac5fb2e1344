"""Equations of one unknown: residuals vanish at exact solutions, conditions are met, training gets there."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core.errors import CompileError
from tessera.pinn import residuals
from tessera.pinn.evaluation import grid_points
from tessera.pinn.geometry import l_shape as l_shaped
from tessera.pinn.optimizers import Adam
from tessera.pinn.problem import Problem, Sample
from tessera.pinn.problems import allen_cahn, burgers, heat, helmholtz, l_shape, wave
from tessera.pinn.reference import exact
from tessera.pinn.residuals import Objective
from tessera.pinn.sampling import Boundary, Interior
from tessera.pinn.training import train

pytestmark = pytest.mark.newest

SMALL: dict[str, Callable[..., Problem]] = {
    "heat": lambda: heat.problem(widths=(8,), interior=40, initial=10, boundary=10),
    "wave": lambda: wave.problem(widths=(8,), interior=40, initial=10, boundary=10),
    "helmholtz": lambda: helmholtz.problem(widths=(8,), interior=40),
    "burgers": lambda: burgers.problem(widths=(8,), interior=40),
    "allen_cahn": lambda: allen_cahn.problem(widths=(8,), interior=40),
    "l_shape": lambda: l_shape.problem(widths=(8,), interior=40),
    "l_shape_plain": lambda: l_shape.problem(enriched=False, widths=(8,), interior=40),
}
TRAINED = [name for name in SMALL if name != "l_shape_plain"]
# Modes, speeds and waves other than the defaults.
EXACT: dict[str, tuple[Problem, Callable[[Any], Any]]] = {
    "heat": (
        heat.problem(diffusivity=0.2, modes=((2, 0.7),), interior=40),
        exact.heat(0.2, ((2, 0.7),)),
    ),
    "wave": (
        wave.problem(speed=1.5, modes=((2, 0.5, -0.3),), interior=40),
        exact.wave(1.5, ((2, 0.5, -0.3),)),
    ),
    "helmholtz": (
        helmholtz.problem(a1=2, a2=3, wavenumber=0.5, interior=40),
        exact.helmholtz(2, 3, 0.5),
    ),
}


def as_model(solution: Callable[[Any], Any]) -> Callable[[pde.Field], pde.Field]:
    """Returns what takes the place of a network whose only output is this function."""
    return lambda at: at.apply(lambda points: solution(points)[..., None])


def largest_residuals(problem: Problem, solution: Callable[[Any], Any]) -> list[float]:
    objective, generator = Objective.of(problem), np.random.default_rng(0)

    def of_part(part: str, points: jax.Array) -> Any:
        return residuals.columns(objective, as_model(solution), part, Sample(points))

    found = []
    for part in objective.parts:
        points = jnp.asarray(problem.samplers[part].draw(generator).points)
        columns = jax.jit(of_part, static_argnums=0)(part, points)
        found += [float(jnp.abs(column).max()) for column in columns]
    return found


@pytest.mark.usefixtures("x64", "compiled_quickly")
@pytest.mark.parametrize("name", EXACT)
def test_every_residual_vanishes_at_the_exact_solution(name: str):
    problem, solution = EXACT[name]
    found = largest_residuals(problem, lambda points: solution(points)["u"])
    assert len(found) == len(problem.terms)
    # Second derivatives are of order 100, in units of 1e-16.
    assert max(found) < 1e-11


@pytest.mark.usefixtures("x64", "compiled_quickly")
@pytest.mark.parametrize("name", EXACT)
def test_another_solution_leaves_a_residual_in_every_term(name: str):
    problem, solution = EXACT[name]
    found = largest_residuals(
        problem, lambda p: 1.1 * solution(p)["u"] + (p[..., 0] * p[..., 1]) ** 2
    )
    assert min(found) > 1e-3


@pytest.mark.usefixtures("x64", "compiled_quickly")
@pytest.mark.parametrize("solution", [exact.burgers_shock(0.02), exact.burgers_wave(0.02)])
def test_the_burgers_equation_has_its_shock_and_its_wave(solution: Any):
    problem = burgers.problem(viscosity=0.02, interior=40)
    # The shock's second derivative is of order 100.
    assert max(largest_residuals(problem, lambda points: solution(points)["u"])) < 1e-10


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_the_allen_cahn_equation_has_its_travelling_front():
    """u = (1 + tanh(a x + b t)) / 2 with a^2 = reaction / (8 diffusion), b = 3 reaction / 4."""
    a, b = math.sqrt(5.0 / (8 * 1e-4)), 3.75
    problem = allen_cahn.problem(interior=200)
    found = largest_residuals(
        problem, lambda p: (1 + jnp.tanh(a * p[..., 0] + b * (p[..., 1] - 0.5))) / 2
    )
    assert max(found) < 1e-12


@pytest.mark.usefixtures("x64", "compiled_quickly")
@pytest.mark.parametrize("power", [1, 2])
def test_the_equation_in_the_l_has_the_singular_functions_of_its_corner(power: int):
    def singular(points: Any) -> Any:
        real, imaginary = l_shape.corner(points)
        return {1: imaginary, 2: 2 * real * imaginary}[power] - points[..., 1] ** 2 / 2

    # Second derivatives grow like r^(-4/3), to some 1e3 at the nearest point.
    assert max(largest_residuals(l_shape.problem(interior=100), singular)) < 1e-9


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_the_corner_functions_are_both_parts_of_a_complex_power():
    points = Interior(l_shaped(), 200).draw(np.random.default_rng(0)).points
    z = points[:, 0] + 1j * points[:, 1]
    # With the angle of z from 0 to 2 pi: its cut is the edge along x.
    angle = np.mod(np.angle(z), 2 * math.pi)
    expected = np.abs(z) ** (2 / 3) * np.exp(2j / 3 * angle)
    real, imaginary = jax.jit(l_shape.corner)(points)
    np.testing.assert_allclose(real, expected.real, atol=1e-14)
    np.testing.assert_allclose(imaginary, expected.imag, atol=1e-14)


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_the_singular_factor_is_zero_on_the_edge_of_the_l_and_positive_inside():
    generator = np.random.default_rng(0)
    on, inside = (s(l_shaped(), 200).draw(generator).points for s in (Boundary, Interior))
    found = jax.jit(l_shape.vanishing)(np.concatenate([on, inside, np.zeros((1, 2))]))
    assert np.abs(found[:200]).max() < 1e-15
    assert found[200:400].min() > 0
    assert found[400] == 0


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_the_kink_of_the_start_is_rounded_as_diffusion_rounds_it():
    x, t = np.meshgrid([-0.999, -0.99, 0.97, 0.995, 1.0 - 1e-12], [1e-3, 0.1, 1.0])

    @jax.jit
    def residual_and_slope(points: jax.Array) -> list[jax.Array]:
        at = pde.coords(points, names=("x", "t"))
        u = at.apply(allen_cahn.start)
        added = u - at.apply(lambda p: p[..., 0] ** 2 * jnp.cos(math.pi * p[..., 0]))
        left = pde.grad(added, "t") - 1e-4 * pde.partial(added, "x", "x")
        return pde.values([left, pde.grad(u, "x")])

    left, slope = residual_and_slope(jnp.asarray(np.stack([x.ravel(), t.ravel()], axis=1)))
    assert np.abs(left).max() < 1e-12
    # The solution is even and smooth where the period closes: no slope at x = 1.
    assert np.abs(slope[x.ravel() > 0.9999]).max() < 1e-6


X = np.linspace(-1, 1, 9)
# At the first time, and on both ends at equal times.
EDGES = np.concatenate(
    [np.stack([X, 0 * X], axis=1)]
    + [np.stack([np.full(9, end), (X + 1) / 2], axis=1) for end in (-1.0, 1.0)]
)


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_start_and_ends_of_burgers_are_met_by_every_network():
    model = burgers.problem(widths=(8,)).network(jax.random.key(0))
    first, *ends = np.split(np.asarray(eqx.filter_jit(model)(jnp.asarray(EDGES)))[:, 0], 3)
    np.testing.assert_allclose(first, -np.sin(np.pi * X), atol=1e-15)
    np.testing.assert_allclose(ends, 0, atol=1e-15)


@pytest.mark.usefixtures("x64", "compiled_quickly")
def test_start_and_period_of_allen_cahn_are_met_by_every_network():
    model = allen_cahn.problem(widths=(8,)).network(jax.random.key(0))
    first, left, right = np.split(np.asarray(eqx.filter_jit(model)(jnp.asarray(EDGES)))[:, 0], 3)
    # The rounding of the kink begins a little before t = 0.
    np.testing.assert_allclose(first, X**2 * np.cos(np.pi * X), atol=3e-6)
    np.testing.assert_allclose(left, right, atol=1e-14)


@pytest.mark.parametrize("name", SMALL)
def test_equal_problems_share_their_compiled_functions(name: str):
    first, second = SMALL[name](), SMALL[name]()
    assert Objective.of(first) == Objective.of(second)
    key = jax.random.key(0)
    assert jax.tree.structure(first.network(key)) == jax.tree.structure(second.network(key))


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("name", TRAINED)
def test_a_few_steps_lower_the_loss_of_every_problem(name: str):
    result = train(
        replace(SMALL[name](), truth=None), optimizer=Adam(3, 1e-3), progress=False, dtype="float32"
    )
    assert result.loss < result.history[0].loss


@pytest.mark.parametrize("name", [name for name in SMALL if name != "allen_cahn"])
def test_the_truth_on_the_test_grid_vanishes_where_x_is_one(name: str):
    problem = SMALL[name]()
    assert problem.truth is not None
    points = grid_points(replace(problem, grid=tuple(axis[::20] for axis in problem.grid)))
    truth = problem.truth(points)
    assert set(problem.targets) == set(truth) == {"u"}
    assert problem.units.keys() == {*problem.coordinates, "u"}
    np.testing.assert_allclose(truth["u"][points[:, 0] == 1], 0, atol=1e-12)
    assert np.abs(truth["u"]).max() > 0.1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: heat.problem(diffusivity=-1.0), "diffusivity"),
        (lambda: heat.problem(end=0.0), "time slab"),
        (lambda: wave.problem(modes=((0, 1.0, 0.0),)), "modes"),
        (lambda: wave.problem(interior=0), "n is 0"),
        (lambda: helmholtz.problem(a1=1.5), "a1"),  # pyright: ignore[reportArgumentType]
        (lambda: burgers.problem(viscosity=0.0), "viscosity"),
    ],
)
def test_parameters_that_make_no_problem_are_named(make: Callable[[], Problem], words: str):
    with pytest.raises(CompileError, match=words):
        make()


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        heat.problem,
        wave.problem,
        helmholtz.problem,
        l_shape.problem,
        lambda: l_shape.problem(enriched=False),
        burgers.problem,
        allen_cahn.problem,
    ],
)
def test_training_reaches_the_target(make: Callable[[], Problem]):
    result = train(make(), errors_every=1000, progress=False)
    assert not result.missed, result.errors
