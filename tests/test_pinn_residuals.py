"""A problem's residuals: the vector, the loss, the Jacobian and its products, against NumPy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from pinn_cases import (
    Points,
    Uniform,
    begins,
    decay,
    decays,
    linear,
    prepared,
    problem_of,
    small_network,
)

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.pinn import jacobians, parameters, residuals
from tessera.pinn.networks import MLP, Affine
from tessera.pinn.parameters import Frozen
from tessera.pinn.problem import Problem, Sample, Term
from tessera.pinn.residuals import Batch, Objective

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

CLOSE: Any = {"rtol": 1e-10, "atol": 1e-12}


def two_equations(model: Any, at: Any) -> Any:
    """A Field, an array and a column of them, from two coordinates."""
    u = model(at)[..., 0]
    return [op.grad(u, "x"), (u * at["y"]).array, model(at)[..., 1:] + 1.0]


def on_wall(model: Any, at: Any, wall: Any) -> Any:
    return model(at)[..., :2].array - wall


def plane(key: Any) -> MLP:
    return MLP(2, (3,), 3, key=key)


def flow(interior: int = 11) -> Problem:
    """Two terms on one sampler and one on another."""
    wall = np.random.default_rng(1).normal(size=(7, 2))
    return problem_of(
        [
            Term("flow", two_equations, weight=0.5),
            Term("walls", on_wall, on="walls", weight=3.0, uses=("wall",)),
            Term("level", lambda model, at: model(at)[..., 2], weight=2.0),
        ],
        {
            "walls": Points(np.random.default_rng(2).random((7, 2)), {"wall": wall}),
            "interior": Uniform(interior, 2),
        },
        plane,
        names=("x", "y"),
    )


def flat_vector(objective: Objective, model: Any, batch: Batch) -> tuple[jax.Array, Any]:
    params, rest = parameters.split(model)
    flat, unravel = ravel_pytree(params)
    return flat, lambda f: residuals.vector(objective, parameters.join(unravel(f), rest), batch)


@pytest.fixture(scope="module")
def evaluated() -> Any:
    with jax.enable_x64(True):
        objective, model, batch = prepared(flow())
        by_point = jnp.linspace(0.0, 2.0, 11)
        batch = Batch(batch.samples, (batch.weights[0], batch.weights[1], by_point))
        return objective, model, batch, residuals.vector(objective, model, batch)


@pytest.fixture(scope="module")
def case(evaluated) -> Any:
    objective, model, batch, vector = evaluated
    with jax.enable_x64(True):
        flat, function = flat_vector(objective, model, batch)
        return objective, model, batch, vector, jax.jit(jax.jacfwd(function))(flat)


def test_the_loss_is_the_weighted_sum_of_mean_squares(evaluated):
    objective, model, batch, vector = evaluated
    flow, walls, level = (np.asarray(v) for v in residuals.values(objective, model, batch.samples))
    assert flow.shape == (11, 4)
    expected = (
        0.5 * np.mean(np.sum(flow**2, 1))
        + 3.0 * np.mean(np.sum(walls**2, 1))
        + np.mean(np.linspace(0, 2, 11) * level[:, 0] ** 2)
    )
    loss, means = residuals.mean_squares(objective, model, batch)
    np.testing.assert_allclose(np.sum(np.asarray(vector) ** 2), expected, **CLOSE)
    np.testing.assert_allclose(loss, expected, **CLOSE)
    np.testing.assert_allclose(
        means, [np.mean(np.sum(x**2, 1)) for x in (flow, walls, level)], **CLOSE
    )


@pytest.mark.slow
def test_the_jacobian_is_that_of_forward_mode(case):
    objective, model, batch, vector, expected = case
    value, found = jacobians.jacobian(objective, model, batch)
    np.testing.assert_allclose(value, vector, **CLOSE)
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["along", "against", "normal"])
def test_products_are_those_with_the_jacobian_of_forward_mode(case, name):
    objective, model, batch, _, expected = case
    direction = jnp.cos(jnp.arange(expected.shape[1], dtype=float))
    cotangent = jnp.sin(jnp.arange(expected.shape[0], dtype=float))
    products = {
        "along": (jacobians.along, direction, expected @ direction),
        "against": (jacobians.against, cotangent, expected.T @ cotangent),
        "normal": (jacobians.normal_product, direction, expected.T @ (expected @ direction)),
    }
    product, given, wanted = products[name]
    np.testing.assert_allclose(product(objective, model, batch, given), wanted, **CLOSE)


def test_the_jacobian_of_linear_residuals_is_their_rows():
    rng = np.random.default_rng(3)
    rows, values = rng.normal(size=(5, 3)), rng.normal(size=5)
    # Chunks of two points: the last is filled.
    objective, model, batch = prepared(linear(rows, values, weight=2.0), chunk_size=2)
    expected, right = np.sqrt(2 / 5) * rows, -np.sqrt(2 / 5) * values
    vector, found = jacobians.jacobian(objective, model, batch)
    np.testing.assert_allclose(vector, right, **CLOSE)
    np.testing.assert_allclose(found, expected, **CLOSE)
    system = jacobians.normal_equations(objective, model, batch)
    np.testing.assert_allclose(np.tril(system.matrix), np.tril(expected.T @ expected), **CLOSE)
    pulled = jacobians.against(objective, model, batch, vector)
    loss, gradient = residuals.loss_and_gradient(objective, model, batch)
    np.testing.assert_allclose(loss, right @ right, **CLOSE)
    for found in (system.gradient, pulled, gradient / 2):
        np.testing.assert_allclose(found, expected.T @ right, **CLOSE)


def test_residuals_against_the_jacobian_are_the_right_side_of_the_normal_equations():
    objective, model, batch = prepared(decay())
    vector, _, gradient = jacobians.normal_equations(objective, model, batch)
    found = jacobians.against(objective, model, batch, vector)
    np.testing.assert_allclose(found, gradient, **CLOSE)


@pytest.mark.slow
def test_the_gradient_is_twice_the_residuals_times_the_jacobian(case):
    objective, model, batch, vector, expected = case
    loss, tree = residuals.loss_and_gradient(objective, model, batch)
    gradient = ravel_pytree(tree)[0]
    np.testing.assert_allclose(loss, jnp.vdot(vector, vector), **CLOSE)
    np.testing.assert_allclose(gradient, 2 * expected.T @ vector, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize(("points", "rows"), [(4, 3), (256, 64), (1, 1)])
def test_the_normal_equations_do_not_depend_on_the_chunks(case, monkeypatch, points, rows):
    objective, model, batch, vector, jacobian = case
    monkeypatch.setattr(jacobians, "POINTS_PER_PRODUCT", points)
    monkeypatch.setattr(jacobians, "POINTS_PER_JACOBIAN", rows)
    # A function of its own, for one that is compiled already does not see the sizes change.
    whole = eqx.filter_jit(lambda *given: jacobians.normal_equations.__wrapped__(*given))(
        objective, model, batch
    )
    np.testing.assert_allclose(whole.vector, vector, **CLOSE)
    np.testing.assert_allclose(np.tril(whole.matrix), np.tril(jacobian.T @ jacobian), **CLOSE)
    np.testing.assert_allclose(whole.gradient, jacobian.T @ vector, **CLOSE)


@pytest.mark.slow
def test_products_do_not_depend_on_the_chunk_size(case):
    objective, model, batch, vector, jacobian = case
    small = Objective(objective.coordinates, objective.terms, chunk_size=4)
    direction = jnp.ones(jacobian.shape[1])
    np.testing.assert_allclose(residuals.vector(small, model, batch), vector, **CLOSE)
    np.testing.assert_allclose(
        jacobians.against(small, model, batch, vector), jacobian.T @ vector, **CLOSE
    )
    np.testing.assert_allclose(
        jacobians.normal_product(small, model, batch, direction),
        jacobian.T @ (jacobian @ direction),
        **CLOSE,
    )


@pytest.mark.slow
def test_traces_and_norms_of_terms_are_those_of_their_own_jacobians(case):
    objective, model, batch, _, _ = case
    ones = tuple(jnp.ones(()) for _ in batch.weights)
    flat, function = flat_vector(objective, model, Batch(batch.samples, ones))
    vector, jacobian = np.asarray(function(flat)), np.asarray(jax.jacfwd(function)(flat))
    # Rows go sampler by sampler, point by point: the first sampler is the first term's.
    level = np.arange(11 * 5).reshape(11, 5)[:, 4]
    flow = np.arange(11 * 5).reshape(11, 5)[:, :4].ravel()
    blocks = [flow, np.arange(55, 69), level]
    traces = [np.sum(jacobian[rows] ** 2) for rows in blocks]
    norms = [np.linalg.norm(2 * jacobian[rows].T @ vector[rows]) for rows in blocks]
    np.testing.assert_allclose(
        jacobians.kernel_traces(objective, model, batch.samples), traces, **CLOSE
    )
    np.testing.assert_allclose(
        jacobians.gradient_norms(objective, model, batch.samples), norms, **CLOSE
    )


def test_frozen_arrays_and_integers_are_not_trained():
    model = {
        "w": jnp.ones(3),
        "frequency": Frozen(jnp.ones(2)),
        "order": jnp.arange(4),
        "name": "x",
    }
    assert parameters.count(model) == 3
    moved = parameters.move(model, jnp.ones(3))
    assert moved["w"].tolist() == [2.0] * 3
    assert moved["frequency"].value.tolist() == [1.0] * 2
    assert moved["name"] == "x"


def test_weights_are_constants_to_derivatives():
    objective, model, batch = prepared(linear(np.ones((4, 2)), np.ones(4)))
    weights = (jnp.full(4, 2.0),)

    def loss(scale: Any) -> Any:
        scaled = tuple(w * scale for w in weights)
        return residuals.loss(objective, model, Batch(batch.samples, scaled))

    assert float(jax.jit(jax.grad(loss))(1.0)) == 0.0


def vector_of(problem: Problem) -> jax.Array:
    return residuals.vector(*prepared(problem))


def raised(terms: Any, code: Code, match: str, **samplers: Any) -> None:
    problem = problem_of(terms, {"interior": Uniform(5), **samplers}, small_network)
    with pytest.raises(CompileError, match=match) as caught:
        vector_of(problem)
    assert caught.value.code is code


def test_errors_name_the_term_and_the_fix():
    invalid, shape = Code.E_GRAPH_INVALID, Code.E_SHAPE_MISMATCH
    raised(
        [Term("a", decays, on="edge")],
        invalid,
        "'a': there is no sampler 'edge'; there are: interior",
    )
    raised([Term("a", decays), Term("a", begins)], invalid, "two terms have one name")
    raised([], invalid, "has no terms")
    raised([Term("a", decays, weight=-1.0)], invalid, "'a': its weight is -1")
    raised([Term("a", decays, weight=float("nan"))], invalid, "'a': its weight is nan")
    raised(
        [Term("a", decays, uses=("normals",))], invalid, "gives no array normals; it gives: none"
    )
    raised(
        [Term("a", lambda model, at: [])], invalid, "'a': the residual returns an empty sequence"
    )
    raised([Term("a", lambda model, at: jnp.ones(3))], shape, r"shape \(3,\) for 5 points")
    raised([Term("a", lambda model, at: jnp.ones(()))], shape, r"shape \(\) for 5 points")
    raised([Term("a", lambda model, at: jnp.ones((5, 2, 2)))], shape, r"\(5, 2, 2\) for 5 points")
    raised([Term("a", lambda model, at: jnp.ones((5, 0)))], shape, r"\(5, 0\) for 5 points")
    integers = Code.TS_ERR_UNSUPPORTED_DTYPE
    raised([Term("a", lambda model, at: jnp.ones(5, int))], integers, "the residual is int64")


def test_one_point_and_one_parameter_are_enough():
    line = problem_of(
        [Term("a", lambda model, at: at["t"].array * model - 1.0)],
        {"interior": Points(np.full((1, 1), 2.0))},
        lambda key: jnp.ones(()),
    )
    objective, model, batch = prepared(line)
    vector, jacobian = jacobians.jacobian(objective, model, batch)
    assert (vector.tolist(), jacobian.tolist()) == ([1.0], [[2.0]])
    assert jacobians.normal_equations(objective, model, batch).matrix.tolist() == [[4.0]]


@pytest.mark.slow
def test_sampled_arrays_follow_their_points_through_chunks():
    points = np.linspace(0, 1, 10)[:, None]
    term = Term(
        "a", lambda model, at, square: at["t"].array ** 2 * model - square, uses=("square",)
    )
    case = problem_of(
        [term],
        {"interior": Points(points, {"square": points[:, 0] ** 2})},
        lambda key: jnp.ones(()),
    )
    objective, model, batch = prepared(case, chunk_size=3)
    assert float(jnp.abs(residuals.vector(objective, model, batch)).max()) == 0.0
    assert float(residuals.loss_and_gradient(objective, model, batch)[0]) == 0.0


def test_affine_layers_take_one_point_and_many():
    layer = Affine(jnp.ones((2, 3)), jnp.zeros(3))
    assert layer(jnp.ones(2)).shape == (3,)
    assert layer(jnp.ones((4, 5, 2))).shape == (4, 5, 3)


def test_samples_are_trees():
    sample = Sample(jnp.ones((2, 1)), {"a": jnp.zeros(2)})
    assert len(jax.tree.leaves(sample)) == 2
