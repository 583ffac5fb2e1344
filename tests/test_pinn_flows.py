"""Flows and an inverse problem: exact solutions leave no residual, and what is learnt of them is certain."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core.errors import CompileError
from tessera.pinn import parameters, residuals
from tessera.pinn.evaluation import evaluate, fields_at
from tessera.pinn.geometry import Interval
from tessera.pinn.navier_stokes import Known, flow
from tessera.pinn.problem import Problem, Sample, Term
from tessera.pinn.problems import cavity, kolmogorov, kovasznay, taylor_green, viscosity
from tessera.pinn.reference import exact
from tessera.pinn.residuals import Batch, Objective
from tessera.pinn.sampling import Fixed, Interior
from tessera.pinn.training import draw
from tessera.pinn.uncertainty import confidence

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly", "x64")]

GENERATOR = np.random.default_rng(7)


class Exact(eqx.Module):
    """Some fields of an exact solution as a model, with an array that training could change."""

    unused: jax.Array
    solution: Callable[[Any], Any] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True, default=("psi", "p"))

    def __call__(self, x: Any) -> Any:
        if isinstance(x, pde.Field):
            return x.apply(self)
        found = self.solution(x)
        return jnp.stack([found[name] for name in self.names], axis=-1)


@dataclass(frozen=True)
class Constant:
    """A network that gives the same everywhere."""

    outputs: int = 2

    def __call__(self, x: Any) -> Any:
        return jnp.zeros((*x.shape[:-1], self.outputs), x.dtype)


def random_points(d: int, count: int = 20) -> jax.Array:
    return jnp.asarray(np.random.default_rng(3).uniform(0.1, 0.9, (count, d)))


def values(make: Callable[[pde.Field], Any], points: jax.Array, names: str) -> list[np.ndarray]:
    """Evaluates the Fields that `make` gives for coordinates, compiled as one."""

    @jax.jit
    def found(points: jax.Array) -> list[jax.Array]:
        return pde.values(make(pde.coords(points, names=names.split())))

    return [np.asarray(x) for x in found(points)]


def begun(problem: Problem) -> Any:
    return parameters.cast(problem.network(jax.random.key(0)), "float64")


def mean_squares(problem: Problem, model: Any) -> np.ndarray:
    objective = Objective.of(problem)
    samples = draw(problem, np.random.default_rng(0), "float64")
    _, means = residuals.mean_squares(
        objective, model, Batch(samples, objective.weights("float64"))
    )
    return np.asarray(means)


@pytest.mark.parametrize(
    ("problem", "solution"),
    [
        (kovasznay.problem(interior=30, boundary=20), exact.kovasznay(40.0)),
        (
            taylor_green.problem(interior=30, initial=20, boundary=20, periodic=False),
            exact.taylor_green(0.01),
        ),
    ],
    ids=["kovasznay", "taylor_green"],
)
def test_the_exact_solution_leaves_no_residual_and_has_no_error(problem, solution):
    problem = replace(problem, grid=tuple(axis[::10] for axis in problem.grid))
    model = Exact(jnp.zeros(1), solution)
    assert np.sqrt(mean_squares(problem, model).max()) < 1e-10
    errors = evaluate(problem, model)
    assert errors.keys() == problem.targets.keys()
    assert max(errors.values()) < 1e-12


def test_decaying_vortices_need_no_force():
    model = Exact(jnp.zeros(1), exact.taylor_green(0.03), ("psi",))
    (found,) = values(
        lambda at: [kolmogorov.Transport(0.03, 0.0, 2)(model, at)], random_points(3), "x y t"
    )
    assert np.abs(found).max() < 1e-12


def test_a_force_that_friction_balances_makes_a_steady_stream():
    nu, force, waves = 0.1, 0.4, 2

    def stream(points: Any) -> dict[str, Any]:
        # u = force / (nu waves^2) sin(waves y), whose friction is -force sin(waves y).
        return {"psi": -force / (nu * waves**3) * jnp.cos(waves * points[..., 1])}

    model = Exact(jnp.zeros(1), stream, ("psi",))
    right, wrong = values(
        lambda at: [kolmogorov.Transport(nu, force, n)(model, at) for n in (waves, 3)],
        random_points(3),
        "x y t",
    )
    assert np.abs(right).max() < 1e-12
    assert np.abs(wrong).max() > 0.1


def test_a_travelling_shock_solves_the_equation_of_its_own_viscosity_only():
    shock = Exact(jnp.zeros(1), exact.burgers_shock(0.02), ("u",))

    def residuals_of(at: pde.Field) -> list[pde.Field]:
        models = [viscosity.Identified(shock, jnp.log(jnp.asarray(nu))) for nu in (0.02, 0.03)]
        return [viscosity.equation(model, at) for model in models]

    right, wrong = values(residuals_of, random_points(2), "x t")
    assert np.abs(right).max() < 1e-12
    assert np.abs(wrong).max() > 1e-3


def test_the_flow_in_the_corners_has_no_inertia_but_friction_and_pressure():
    nu = 0.01

    def forces(at: pde.Field) -> list[pde.Field]:
        u, v, p = flow(cavity.Enriched(Constant(), nu), at)
        friction = [pde.laplacian(w) * nu for w in (u, v)]
        return [pde.grad(p, a) - f for a, f in zip("xy", friction, strict=True)] + friction

    *total, along_x, along_y = values(forces, random_points(2), "x y")
    assert np.abs(total).max() < 1e-13
    assert min(np.abs(along_x).max(), np.abs(along_y).max()) > 1e-3


def test_the_flow_in_a_corner_carries_the_jump_from_the_wall_to_the_lid():
    apart = 1e-7
    places = [[apart, 1.0], [0.0, 1 - apart], [1 - apart, 1.0], [1.0, 1 - apart]]
    u, v, _ = values(
        lambda at: list(flow(cavity.Enriched(Constant(), 0.01), at)), jnp.asarray(places), "x y"
    )
    # The other corner's flow changes by as much as the places are apart.
    np.testing.assert_allclose(u[::2] - u[1::2], 1.0, atol=1e-5)
    np.testing.assert_allclose(v[::2] - v[1::2], 0.0, atol=1e-5)


def test_residuals_near_the_lids_corners_count_less():
    distances = cavity.corner_distance(jnp.asarray([[0.0, 0.97], [0.96, 0.97], [0.5, 0.0]]))
    np.testing.assert_allclose(distances, [0.03, 0.05, np.hypot(0.5, 1.0)], rtol=1e-12)
    at = pde.coords(jnp.asarray([[0.03, 1.0], [0.5, 0.5]]), names=("x", "y"))
    (weighted,) = cavity.Weighted(lambda _, at: [at["y"] * 2], 0.06, 2)(None, at)
    np.testing.assert_allclose(weighted.array, [0.5, 1.0], rtol=1e-12)


def test_only_the_lid_moves():
    found = cavity.wall_velocity(np.array([[0.3, 1.0], [0.3, 0.0], [0.0, 0.5], [1.0, 0.5]]))
    assert found["u"].tolist() == [1, 0, 0, 0]
    assert not found["v"].any()


def test_a_cavity_begins_with_a_finite_loss():
    problem = cavity.problem(widths=(6,), interior=30, boundary=20)
    means = mean_squares(problem, begun(problem))
    assert np.isfinite(means).all()
    assert (means > 0).all()


def test_a_cavity_can_begin_from_the_network_of_another():
    other = begun(cavity.problem(widths=(5,)))
    problem = cavity.problem(reynolds=400.0, start=other)
    model = problem.network(jax.random.key(0))
    assert model.network is other.network
    assert model.viscosity == 1 / 400
    plain = cavity.problem(start=other, enriched=False).network(jax.random.key(0))
    assert plain is other.network


def test_a_stirred_flow_begins_as_it_must_with_any_network():
    problem = kolmogorov.problem(widths=(6,), start=((2, 1, 3.0, 0.5),))
    points = np.random.default_rng(0).uniform(0, 6, (10, 3)) * [1, 1, 0]
    found = fields_at(problem, begun(problem), points)
    angle = 2 * points[:, 0] + points[:, 1] + 0.5
    # psi is the vorticity over 2^2 + 1^2, u its y and -v its x derivative.
    expected = {"omega": 3 * np.cos(angle), "u": -0.6 * np.sin(angle), "v": 1.2 * np.sin(angle)}
    for name in problem.targets:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12)


def test_the_loss_of_an_inverse_problem_pulls_at_the_viscosity():
    problem = viscosity.problem(widths=(6,), interior=20, shock=10, measurements=20)
    objective = Objective.of(problem)
    samples = draw(problem, GENERATOR, "float64")
    batch = Batch(samples, objective.weights("float64"))
    loss, gradient = residuals.loss_and_gradient(objective, begun(problem), batch)
    assert np.isfinite([loss, gradient.log_viscosity]).all()
    assert gradient.log_viscosity != 0


def test_a_viscosity_is_judged_relative_to_the_true_one():
    problem = viscosity.problem(viscosity=0.02)
    model = viscosity.Identified(None, jnp.log(jnp.asarray(0.021)))
    assert problem.judge is not None
    np.testing.assert_allclose(problem.judge(model)["viscosity"], 0.05, rtol=1e-9)


def test_problems_that_are_alike_share_what_is_compiled():
    one, other = (viscosity.problem(noise_seed=seed) for seed in (0, 1))
    assert Objective.of(one) == Objective.of(other)
    assert jax.tree.structure(begun(one)) == jax.tree.structure(begun(other))


def test_the_noise_is_as_large_as_asked_for_and_drawn_from_its_seed():
    quiet, loud, again, other = (
        viscosity.problem(noise=noise, noise_seed=seed).samplers["data"].draw(GENERATOR)
        for noise, seed in ((0.0, 0), (0.05, 0), (0.05, 0), (0.05, 1))
    )
    np.testing.assert_array_equal(loud.arrays["u"], again.arrays["u"])
    assert not np.array_equal(loud.points, other.points)
    # The deviation of 2000 draws is off by 1.6 % (one standard deviation).
    spread = np.std(loud.arrays["u"] - quiet.arrays["u"]) / np.std(quiet.arrays["u"])
    assert abs(spread / 0.05 - 1) < 0.08


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (kovasznay.problem, {"reynolds": 0.0}),
        (taylor_green.problem, {"viscosity": -1.0}),
        (cavity.problem, {"reynolds": 0.0}),
        (kolmogorov.problem, {"viscosity": float("nan")}),
        (viscosity.problem, {"noise": -0.1}),
        (viscosity.problem, {"viscosity": 0.0}),
    ],
)
def test_a_flow_that_cannot_be_is_an_error_that_names_why(make, options):
    (name,) = options
    with pytest.raises(CompileError, match=name):
        make(**options)


# ---- known fields at the points of a sampler -------------------------------------------------------------


def test_a_known_field_comes_with_its_points():
    sampler = Known(
        Interior(Interval(0, 1), 5),
        lambda p: {"a": p[:, 0], "b": 2 * p[:, 0]},
        (("ab", ("a", "b")),),
    )
    sample = sampler.draw(np.random.default_rng(0))
    np.testing.assert_array_equal(sample.arrays["ab"], sample.points * [1, 2])


def test_a_field_that_the_solution_lacks_is_an_error():
    sampler = Known(Interior(Interval(0, 1), 5), lambda p: {"a": p[:, 0]}, (("c", ("c",)),))
    with pytest.raises(CompileError, match="gives a, but not c"):
        sampler.draw(np.random.default_rng(0))


# ---- what a trained model knows, against the textbook's straight line ------------------------------------


def line(noise: float = 0.1) -> tuple[Problem, Any, np.ndarray, np.ndarray]:
    """A straight line through data, the model that fits them best, the data's x and y."""
    generator = np.random.default_rng(5)
    x = generator.uniform(0, 1, 40)
    y = 0.3 + 2 * x + noise * generator.standard_normal(40)
    problem = Problem(
        name="line",
        title="a line",
        coordinates=("x",),
        samplers={"data": Fixed(x[:, None], {"y": y})},
        terms=(Term("data", line_error, "data", 3.0, uses=("y",)),),
        network=lambda key: None,
        fields=lambda model, at: {},
        grid=(x,),
        optimizer=(),
    )
    slope, offset = np.polyfit(x, y, 1)
    return problem, {"offset": jnp.asarray(offset), "slope": jnp.asarray(slope)}, x, y


def line_error(model: Any, at: pde.Field, y: Any) -> Any:
    return model["offset"] + model["slope"] * at["x"].array - y


def slope(model: Any) -> Any:
    return model["slope"]


def test_the_uncertainty_of_a_slope_is_that_of_linear_regression():
    problem, model, x, _ = line()
    found = confidence(problem, model, slope, noise=0.1, prior=1e6)
    deviation = 0.1 / np.sqrt(np.sum((x - x.mean()) ** 2))
    assert found.value == float(model["slope"])
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-6)
    np.testing.assert_allclose(
        [found.lower, found.upper],
        found.value + deviation * np.array([-1, 1]) * 1.959964,
        rtol=1e-6,
    )


def test_the_uncertainty_is_that_at_the_points_given():
    problem, model, x, _ = line()
    fewer = {"data": Sample(x[:10, None], {"y": np.zeros(10)})}
    found = confidence(problem, model, slope, samples=fewer, noise=0.1, prior=1e6)
    expected = 0.1 / np.sqrt(np.sum((x[:10] - x[:10].mean()) ** 2))
    np.testing.assert_allclose(found.deviation, expected, rtol=1e-6)


def test_noise_that_is_not_given_is_that_of_the_residuals():
    problem, model, x, y = line()
    found = confidence(problem, model, slope)
    left = float(model["offset"]) + float(model["slope"]) * x - y
    np.testing.assert_allclose(found.noise, np.sqrt(np.mean(left**2)), rtol=1e-10)


def test_what_the_data_leave_free_is_as_wide_as_the_prior():
    problem, model, _, _ = line()
    free = model | {"free": jnp.asarray(4.0)}
    found = confidence(problem, free, lambda m: m["free"], level=0.5, prior=7.0)
    np.testing.assert_allclose(found.deviation, 7.0, rtol=1e-9)
    # Half of a normal distribution is within 0.6745 deviations.
    np.testing.assert_allclose(found.upper, 4 + 7 * 0.67449, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"term": "nothing"}, "not term 'nothing'; terms with a weight: data"),
        ({"level": 1.0}, "level is 1.0"),
        ({"prior": 0.0}, "prior 0.0"),
        ({"noise": 0.0}, "noise is 0.0"),
        ({"noise": float("nan")}, "noise"),
        ({"quantity": lambda m: jnp.stack([m["slope"], m["offset"]])}, r"shape \(2,\)"),
    ],
)
def test_bad_arguments_are_named(options, message):
    problem, model, _, _ = line()
    with pytest.raises(CompileError, match=message):
        confidence(problem, model, **({"quantity": slope} | options))
