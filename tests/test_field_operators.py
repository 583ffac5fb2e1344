"""`op.laplacian`, `op.div` and `op.curl` of Fields: exact laws, and agreement with `tessera.pde`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op, pde
from tessera.core.errors import Code, CompileError
from tessera.pde.field import Field

KEYS = jax.random.split(jax.random.key(0), 4)
W = jax.random.normal(KEYS[0], (3, 8))
V = jax.random.normal(KEYS[1], (8, 2)) / 3
POINTS = jax.random.uniform(KEYS[2], (7, 3), minval=-1.0)


def network(points):
    return jnp.tanh(points @ W) @ V


def stream(points):
    return network(points)[..., :1]


def at_points() -> Field:
    return op.coords(POINTS, names=("x", "y", "t"))


def raised(call, code: Code) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code, caught.value
    return caught.value


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_the_divergence_of_a_stream_function_is_exactly_zero(transform):
    def divergence(points):
        psi = op.coords(points).apply(stream)
        u, v = op.grad(psi, "y"), -op.grad(psi, "x")
        return op.div([u, v], ("x", "y")).array

    assert not np.any(transform(divergence)(POINTS))


def test_the_divergence_of_joined_components_is_exactly_zero():
    psi = at_points().apply(stream)[..., 0]
    velocity = op.grad(psi, "y").concat(-op.grad(psi, "x"))
    assert velocity.shape == (7, 2)
    assert not np.any(op.div(velocity, ("x", "y")).array)
    assert not np.any(op.div(velocity).array)  # every coordinate but t
    again = op.grad(op.grad(velocity, "x")[..., 0], "y") + op.grad(
        op.grad(velocity, "y")[..., 1], "y"
    )
    assert not np.any(again.array)


def test_a_gradient_has_no_curl_and_a_curl_no_divergence():
    names = ("x", "y", "z")
    u = op.coords(POINTS, names=names).apply(network)
    gradient = [op.grad(u[..., 0], name) for name in names]
    assert not np.any(op.curl(gradient).array)
    vector = [u[..., 0], u[..., 1], u[..., 0] * u[..., 1]]
    assert not np.any(op.div(op.curl(vector)).array)
    plane = op.curl(gradient[:2], ("x", "y"))
    assert plane.shape == (7,)
    assert not np.any(plane.array)


def test_divergence_and_curl_are_those_of_pde():
    f = lambda p: jnp.tanh(p @ W) @ jnp.concatenate([V, V[:, :1] ** 2], 1)  # noqa: E731
    u = op.coords(POINTS, names=("x", "y", "z")).apply(f)
    np.testing.assert_allclose(op.div(u).array, pde.div(f)(POINTS), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(op.curl(u).array, pde.curl(f)(POINTS), rtol=1e-4, atol=1e-5)
    parts = [u[..., i] for i in range(3)]
    np.testing.assert_array_equal(op.div(parts, ("x", "y", "z")).array, op.div(u).array)


def test_laplacian_is_the_sum_of_second_derivatives():
    u = at_points().apply(network)
    second = [op.grad(op.grad(u, word), word).array for word in "xyt"]
    np.testing.assert_allclose(
        op.laplacian(u, ("x", "y")).array, second[0] + second[1], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        op.laplacian(u, ("x", "y", "t")).array, sum(second), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(op.laplacian(u).array, op.laplacian(u, ("x", "y")).array)
    np.testing.assert_allclose(op.laplacian(u, "x").array, second[0], rtol=1e-4, atol=1e-5)


def test_laplacians_nest_and_commute_with_derivatives():
    u = op.coords(POINTS[:, :2], names=("x", "y")).apply(lambda p: p[..., 0] ** 4 * p[..., 1] ** 2)
    x, y = np.asarray(POINTS[:, 0], np.float64), np.asarray(POINTS[:, 1], np.float64)
    biharmonic = op.laplacian(op.laplacian(u))
    np.testing.assert_allclose(biharmonic.array, 24 * y**2 + 48 * x**2, rtol=1e-4, atol=1e-4)
    one, other = op.grad(op.laplacian(u), "x"), op.laplacian(op.grad(u, "x"))
    assert not np.any((one - other).array)
    np.testing.assert_allclose(one.array, 24 * x * y**2 + 8 * x**3, rtol=1e-4, atol=1e-4)


def test_bad_vectors_are_refused():
    u = at_points().apply(network)
    cases = [
        (lambda: op.div(u[..., 0]), Code.E_SHAPE_MISMATCH, "has no components"),
        (lambda: op.div(u, ("x", "y", "t")), Code.E_SHAPE_MISMATCH, "2 components but 3 axes"),
        (lambda: op.div([u[..., 0], 3.0]), Code.E_GRAPH_INVALID, "not all Fields"),
        (lambda: op.div(u, u), Code.E_GRAPH_INVALID, "axes of a Field are words"),
        (lambda: op.div(u, axes=(0, 1)), Code.E_GRAPH_INVALID, "axes of a Field are words"),
        (lambda: op.div(u, ("x", "x")), Code.E_GRAPH_INVALID, "each once"),
        (lambda: op.curl(u, ("x", "y", "t")), Code.E_SHAPE_MISMATCH, "2 components and 3 axes"),
        (lambda: op.grad(u, "x", spacing=1.0), Code.E_GRAPH_INVALID, "for values on a grid"),
        (lambda: op.grad(u, "x", order=2), Code.E_GRAPH_INVALID, "for values on a grid"),
    ]
    for call, code, text in cases:
        assert text in raised(call, code).message


def test_div_is_a_divergence_only_where_there_is_something_to_diverge():
    u = at_points().apply(network)[..., 0]
    np.testing.assert_array_equal(op.div(u, "x").array, op.grad(u, "x").array)
    np.testing.assert_array_equal(op.div(jnp.array([1.0, 9.0]), 2.0), [0.5, 4.5])
    assert "no axes and no divisor" in raised(lambda: op.div(POINTS), Code.E_GRAPH_INVALID).message
