"""Conditions met exactly: bits on the boundary, periods, divergence that is no sum of rounding errors."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core.errors import CompileError
from tessera.nn import MLP
from tessera.pinn.constraints import (
    Chain,
    Dirichlet,
    Normalized,
    Periodic,
    stream_function,
    vector_potential,
)
from tessera.pinn.geometry import Disc, Interval, Rectangle, TimeSlab, l_shape
from tessera.pinn.sampling import Boundary, Initial, Interior

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

SQUARE = Rectangle((-1, 2), (0, 1))
SLAB = TimeSlab(Interval(0, 1), 0.5, 2)


def network(inputs: int, outputs: int = 1, seed: int = 0) -> MLP:
    return MLP(inputs, [8], outputs, activation="tanh", key=seed, dtype="fp64")


def points_of(sampler: Any) -> jax.Array:
    return jnp.asarray(sampler.draw(np.random.default_rng(0)).points)


def evaluate(model: Any, *points: jax.Array) -> Any:
    return jax.jit(lambda *at: jax.tree.map(model, at))(*points)


def wave(points: Any) -> Any:
    return jnp.sin(3 * points[..., 0]) + points[..., 1]


def test_values_on_the_boundary_of_a_box_have_their_bits():
    model = Dirichlet(network(2), SQUARE.distance, wave)
    at, within = points_of(Boundary(SQUARE, 50)), points_of(Interior(SQUARE, 50))
    found, free = evaluate(model, at, within)
    assert (found[:, 0] == jax.jit(wave)(at)).all()
    assert np.abs(free[:, 0] - wave(within)).max() > 1e-3


@pytest.mark.parametrize(
    "shape",
    [
        SQUARE - Disc((0, 0.5), 0.2),
        *(pytest.param(shape, marks=pytest.mark.slow) for shape in (l_shape(), Disc((0, 0), 1))),
    ],
)
def test_values_on_other_boundaries_are_met_to_rounding(shape: Any):
    model = Dirichlet(network(2), shape.distance, 2.5)
    (found,) = evaluate(model, points_of(Boundary(shape, 50)))
    np.testing.assert_allclose(found, 2.5, rtol=1e-14)


def test_initial_values_are_met_and_walls_with_them():
    start = points_of(Initial(SLAB, 20))
    early = Dirichlet(network(2), SLAB.elapsed, lambda p: jnp.sin(p[..., 0]))
    (found,) = evaluate(early, start)
    assert (found[:, 0] == jax.jit(jnp.sin)(start[:, 0])).all()
    both = Dirichlet(network(2), lambda p: SLAB.distance(p) * SLAB.elapsed(p))
    at = jnp.concatenate([start, points_of(Boundary(SLAB, 20))])
    (found,) = evaluate(both, at)
    assert (found == 0).all()


def test_a_component_with_the_distance_one_is_free():
    def columns(points: Any) -> jax.Array:
        near = SQUARE.distance(points)
        return jnp.stack([near, jnp.ones_like(near)], axis=-1)

    free = network(2, 2)
    at = points_of(Boundary(SQUARE, 20))
    found, expected = jax.jit(lambda at: (Dirichlet(free, columns)(at), free(at)))(at)
    assert (found[:, 0] == 0).all()
    np.testing.assert_array_equal(found[:, 1], expected[:, 1])


@pytest.mark.slow
def test_a_constrained_model_takes_a_field_and_is_differentiated():
    model = Dirichlet(network(2), SQUARE.distance, wave)
    at = points_of(Interior(SQUARE, 5))

    def of_field(at: jax.Array) -> jax.Array:
        field = model(pde.coords(at, names=("x", "y")))
        assert isinstance(field, pde.Field)
        return pde.laplacian(field, ("x", "y")).array[:, 0]

    def of_hessian(at: jax.Array) -> jax.Array:
        hessians = jax.vmap(jax.hessian(lambda point: model(point)[0]))(at)
        return jnp.trace(hessians, axis1=-2, axis2=-1)

    np.testing.assert_allclose(jax.jit(of_field)(at), jax.jit(of_hessian)(at), rtol=1e-10)


def test_only_the_network_has_parameters():
    free = network(2)
    model = Dirichlet(free, SQUARE.distance, wave)
    assert len(jax.tree.leaves(model)) == len(jax.tree.leaves(free))

    @eqx.filter_jit
    @eqx.filter_grad
    def slope(model: Dirichlet) -> jax.Array:
        return jnp.sum(model(points_of(Interior(SQUARE, 5))) ** 2)

    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope(model)))


@pytest.mark.parametrize("shape", [(2,), (3, 2), (0, 2), (2, 3, 2)])
@pytest.mark.parametrize("outputs", ["scalar", "vector"])
def test_points_have_any_leading_axes_and_values_components_or_none(
    shape: tuple[int, ...], outputs: str
):
    def free(points: jax.Array) -> jax.Array:
        return points[..., 0] if outputs == "scalar" else jnp.cos(points)

    points = jax.ShapeDtypeStruct(shape, jnp.float32)
    found = jax.eval_shape(Dirichlet(free, SQUARE.distance, wave), points)
    assert found.dtype == jnp.float32
    assert found.shape == (shape[:-1] if outputs == "scalar" else shape)


def test_a_periodic_embedding_has_the_sines_and_cosines_of_its_waves():
    at = points_of(Interior(SQUARE, 30))
    found = Periodic((3.0, None), waves=2)(at)
    x, y = np.asarray(at).T
    angles = [2 * np.pi * k * x / 3 for k in (1, 2)]
    expected = np.stack([*np.cos(angles), *np.sin(angles), y], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.slow
def test_a_model_of_periodic_coordinates_is_periodic_to_the_fourth_derivative():
    embedding = Periodic((3.0, 1.0), waves=2)
    model = Chain(embedding, lambda features: jnp.exp(features[..., 0] * features[..., 4]))
    near = points_of(Boundary(SQUARE, 6, side="x-"))

    def derivatives(points: jax.Array) -> list[jax.Array]:
        at = pde.coords(points, ("x", "y"))
        return [pde.partial(model(at), *"xxxx"[:order]).array for order in range(5)]

    far = near + jnp.array([[3.0, 1.0]])
    for found in jax.jit(derivatives)(jnp.concatenate([near, far])):
        scale = np.abs(found).max()
        assert scale > 1e-3
        # Each derivative multiplies the rounding of a coordinate by up to 2 pi waves.
        np.testing.assert_allclose(found[6:], found[:6], atol=1e-12 * scale, rtol=0)


def test_both_ends_of_a_period_have_the_same_bits():
    model = Chain(Periodic((0.3, 0.7), waves=4), network(16))
    ends = jnp.array([[0.0, 0.2], [0.3, 0.2], [-0.3, 0.2], [0.6, 0.2]])
    (found,) = evaluate(model, ends)
    assert len(np.unique(found)) == 1


def test_a_stream_function_has_no_divergence_before_anything_is_computed():
    @jax.jit
    def flow(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        at = pde.coords(points, ("x", "t"))
        u, v = stream_function(network(2, 2)(at)[..., 0], axes=("x", "t"))
        found = pde.div([u, v], ("x", "t"))
        assert [c for c, _ in found.terms] == [0]
        return found.array, u.array

    divergence, u = flow(points_of(Interior(SLAB, 7)))
    assert (divergence == 0).all()
    assert np.abs(u).max() > 1e-3


def test_a_stream_function_gives_the_velocity_of_taylor_and_green():
    xyt = jnp.asarray(np.random.default_rng(0).uniform(0, 3, (9, 3)))

    @jax.jit
    def velocity(xyt: jax.Array) -> list[jax.Array]:
        psi = pde.coords(xyt).apply(
            lambda p: jnp.cos(p[..., 0]) * jnp.cos(p[..., 1]) * jnp.exp(-p[..., 2])
        )
        return [component.array for component in stream_function(psi)]

    u, v = velocity(xyt)
    x, y, t = np.asarray(xyt).T
    np.testing.assert_allclose(u, -np.cos(x) * np.sin(y) * np.exp(-t), rtol=1e-12)
    np.testing.assert_allclose(v, np.sin(x) * np.cos(y) * np.exp(-t), rtol=1e-12)


@pytest.mark.slow
def test_a_vector_potential_has_no_divergence_before_anything_is_computed():
    points = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, 4)))
    potentials = network(4, 3)(pde.coords(points, ("x", "y", "z", "t")))
    velocity = vector_potential([potentials[..., i] for i in range(3)])
    found = pde.div(list(velocity), ("x", "y", "z"))
    assert [c for c, _ in found.terms] == [0]
    assert (found.array == 0).all()


def test_a_vector_potential_gives_a_rotation():
    points = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, 3)))

    @jax.jit
    def velocity(points: jax.Array) -> list[jax.Array]:
        xyz = pde.coords(points, ("x", "y", "z"))
        # The curl of (0, 0, -(x^2 + y^2) / 2) is (-y, x, 0).
        nothing = xyz["x"] * 0
        height = (xyz["x"] * xyz["x"] + xyz["y"] * xyz["y"]) * -0.5
        return [part.array for part in vector_potential([nothing, nothing, height])]

    x, y, _ = np.asarray(points).T
    np.testing.assert_allclose(velocity(points), [-y, x, 0 * x], atol=1e-15)


@pytest.mark.parametrize(
    "bounds",
    [
        SQUARE,
        pytest.param([(-1, 0), (2, 1)], marks=pytest.mark.slow),
        pytest.param(np.array([[-1, 0], [2, 1]]), marks=pytest.mark.slow),
    ],
)
def test_normalized_coordinates_go_from_minus_one_to_one(bounds: Any):
    corners = jnp.array([[-1.0, 0.0], [2.0, 1.0], [0.5, 0.25]])
    expected = [[-1, -1], [1, 1], [0, -0.5]]

    @jax.jit
    def normalized(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        field = Normalized(bounds)(pde.coords(points, ("x", "y")))
        assert isinstance(field, pde.Field)
        return Normalized(bounds)(points), pde.grad(field, "x").array[:, 0]

    found, slopes = normalized(corners)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(slopes, 2 / 3)


AT = pde.coords(np.ones((3, 2), np.float32), ("x", "y"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Dirichlet(jnp.cos, 1.0), "distance is a float, not a function of points"),
        (lambda: Dirichlet(jnp.cos, SQUARE.distance, "0"), "values are a str, not a number"),
        (
            lambda: Dirichlet(jnp.cos, lambda p: p[..., :1, 0])(jnp.ones((3, 2))),
            r"distance have shape \(1,\) where the network gives \(3, 2\)",
        ),
        (lambda: Periodic((0.0,)), "both must be positive"),
        (lambda: Periodic((1.0,), waves=0), "both must be positive"),
        (lambda: Periodic(()), "must be finite numbers"),
        (lambda: Periodic((1.0,), waves=1.5), "waves is 1.5, not an integer"),
        (lambda: Periodic((1.0,))(jnp.ones((3, 2))), "last axis must be 1 coordinates"),
        (lambda: Normalized(3.0), "bounds are a float, not a shape or two rows"),
        (lambda: Normalized([(0, 0), (1, 0)]), "each must be below"),
        (lambda: Normalized(SQUARE)(jnp.ones(3)), "last axis must be 2 coordinates"),
        (lambda: stream_function(np.ones(3)), "a potential is a ndarray, not a Field"),
        (lambda: stream_function(AT["x"], ("x", "z")), "no axis 'z'; it has: x, y"),
        (lambda: vector_potential([AT["x"]] * 2), "2 potentials, not three"),
        (lambda: vector_potential([AT["x"]] * 3), "no axis 'z'"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_an_error(call, message: str):
    with pytest.raises(CompileError, match=message):
        call()
