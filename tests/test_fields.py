"""Fields: functions at points, their exact derivatives, and where they become their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import jet

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


def one_point(f, *columns):
    """Returns the derivative of f along columns, by nested `jax.grad` of each component at each point."""

    def along(g, column):
        return lambda p: jax.grad(g)(p)[column]

    def component(i):
        g = lambda p: f(p)[i]  # noqa: E731 - nested below
        for column in columns:
            g = along(g, column)
        return jax.vmap(g)(POINTS)

    return jnp.stack([component(i) for i in range(2)], -1)


@pytest.mark.parametrize("words", ["x", "t", "xy", "yx", "xxt", "xyyt", "xxxx"])
def test_derivatives_to_order_four_are_those_of_nested_grad(words):
    u = at_points().apply(network)
    for word in words:
        u = op.grad(u, word)
    expected = one_point(network, *("xyt".index(word) for word in words))
    np.testing.assert_allclose(u.array, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())


def test_the_fourth_derivative_of_a_network_is_that_of_taylor_mode():
    f = lambda s: network(jnp.array([0.3, -0.2, 0.0]) + s * jnp.array([0.0, 1.0, 0.0]))  # noqa: E731
    one, zero = jnp.ones(()), jnp.zeros(())
    _, terms = jet.jet(f, (zero,), ((one, zero, zero, zero),))
    u = op.coords(jnp.array([[0.3, -0.2, 0.0]])).apply(network)
    for _ in range(4):
        u = op.grad(u, "y")
    np.testing.assert_allclose(u.array[0], terms[3], rtol=1e-4, atol=1e-4)


def test_the_fourth_derivative_of_a_sine_is_the_sine():
    x = jnp.linspace(-3.0, 3.0, 11)
    u = op.coords(x[:, None], names="x")["x"].apply(jnp.sin)
    fourth = op.grad(op.grad(op.grad(op.grad(u, "x"), "x"), "x"), "x")
    np.testing.assert_allclose(fourth.array, np.sin(np.asarray(x, np.float64)), atol=1e-6)


def test_an_axis_has_four_spellings_but_one_at_a_time():
    u = at_points().apply(network)
    expected = op.grad(u, "y").array
    for given in ({"x": "y"}, {"axis": "y"}, {"wrt": "y"}):
        np.testing.assert_array_equal(op.grad(u, **given).array, expected)
    error = raised(lambda: op.grad(u, "y", x="y"), Code.E_GRAPH_INVALID)
    assert "two spellings, along and x" in error.message


def test_a_coordinate_may_stand_for_its_word():
    xyt = at_points()
    u = xyt.apply(network)
    np.testing.assert_array_equal(op.grad(u, wrt=xyt["y"]).array, op.grad(u, "y").array)
    assert "is not a coordinate" in str(
        raised(lambda: op.grad(u, wrt=xyt["y"] * 2), Code.E_GRAPH_INVALID)
    )


def test_every_component_is_differentiated():
    u = at_points().apply(network)
    along = op.grad(u, x="t")
    assert along.shape == (7, 2)
    np.testing.assert_allclose(along.array, one_point(network, 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(op.grad(u[:, 1], "t").array, along[:, 1].array)


def test_an_unknown_axis_lists_the_names():
    u = at_points().apply(network)
    for call in (lambda: op.grad(u, "z"), lambda: op.laplacian(u, ("x", "z"))):
        assert "it has: x, y, t" in raised(call, Code.E_GRAPH_INVALID).message
    assert "no axis for a Field" in raised(lambda: op.grad(u), Code.E_GRAPH_INVALID).message


def test_arithmetic_gives_fields_with_the_derivatives_of_calculus():
    xyt = at_points()
    x, y, t = xyt["x"], xyt["y"], xyt["t"]
    px, py, pt = np.asarray(POINTS, np.float64).T
    cases = [
        (x * y + 3 * t - 1, py),
        (1 - x, -np.ones(7)),
        (x / (2 + y), 1 / (2 + py)),
        (1 / (2 + x), -1 / (2 + px) ** 2),
        (x**3, 3 * px**2),
        (-x / 4 + x * jnp.float32(2), np.full(7, 1.75)),
        (x + np.float32(2) * x, np.full(7, 3.0)),
        (x - x, np.zeros(7)),
        ((x * t).apply(jnp.sin), np.cos(px * pt) * pt),
    ]
    for u, expected in cases:
        assert isinstance(u, Field)
        np.testing.assert_allclose(op.grad(u, "x").array, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((1 - x + t * 2).array, 1 - px + 2 * pt, rtol=1e-6)


def test_indexing_keeps_points_and_picks_components():
    u = at_points().apply(network)
    for key in ((slice(None), 0), (..., 0), (..., slice(0, 1)), (..., None), (slice(None), [1, 0])):
        picked = u[key]
        assert isinstance(picked, Field)
        np.testing.assert_array_equal(picked.array, u.array[key])
        np.testing.assert_array_equal(op.grad(picked, "x").array, op.grad(u, "x").array[key])
    rows = u[2:4]
    assert isinstance(rows, jax.Array)
    np.testing.assert_array_equal(rows, u.array[2:4])
    with pytest.raises(CompileError, match="is not a sequence"):
        list(u)


def test_fields_join_along_components():
    xyt = at_points()
    u = xyt.apply(network)
    both = u.concat(u[..., 0], xyt["t"])
    assert both.shape == (7, 4)
    expected = np.concatenate([u.array, u.array[:, :1], POINTS[:, 2:]], 1)
    np.testing.assert_array_equal(both.array, expected)
    np.testing.assert_array_equal(op.grad(both, "t").array[:, 3], np.ones(7))
    matrix = u[..., None]
    assert "more than one axis" in raised(lambda: u.concat(matrix), Code.E_SHAPE_MISMATCH).message
    assert "joins Fields" in raised(lambda: u.concat(POINTS), Code.E_GRAPH_INVALID).message


def test_fields_at_different_points_do_not_mix():
    u, v = at_points().apply(network), at_points().apply(network)
    tupled = lambda: op.div((u[..., 0], v[..., 1]), ("x", "y"))  # noqa: E731
    for call in (lambda: u + v, lambda: u * v, lambda: u.concat(v), lambda: op.div([u, v]), tupled):
        assert "different points" in raised(call, Code.E_GRAPH_INVALID).message


def test_shapes_that_would_broadcast_points_against_points_are_refused():
    u = at_points().apply(stream)
    for call in (lambda: u + u[..., 0], lambda: u * u[..., 0]):
        error = raised(call, Code.E_SHAPE_MISMATCH)
        assert "(7, 1)" in error.message
        assert "(7,)" in error.message


def test_fields_are_their_values_wherever_an_array_is_wanted():
    u = at_points().apply(network)
    values = u.array
    found = [
        (jnp.mean(u**2), jnp.mean(values**2)),
        (jnp.sum(u), jnp.sum(values)),
        (jnp.tanh(u), jnp.tanh(values)),
        (u + values, values + values),
        (values * u, values * values),
        (np.asarray(values) - u, 0 * values),
        (u @ jnp.eye(2), values),
        (jnp.concatenate([u, u]), jnp.concatenate([values, values])),
        (jnp.asarray(u), values),
        (np.asarray(u), values),
        (jax.jit(lambda x: 2 * x)(u), 2 * values),
        (
            jax.jit(lambda p: op.grad(op.coords(p).apply(network), "x"))(POINTS),
            op.grad(u, "x").array,
        ),
        (jax.vmap(jnp.sum)(u), jnp.sum(values, 1)),
    ]
    for field, expected in found:
        assert not isinstance(field, Field)
        np.testing.assert_allclose(field, expected, rtol=1e-5, atol=1e-6)
    assert (len(u), u.ndim, u.shape, u.dtype) == (7, 2, (7, 2), jnp.float32)
    assert repr(u) == "Field(float32[7, 2] of x, y, t)"


def test_an_array_made_of_a_field_has_no_derivative_and_says_why():
    u = jnp.tanh(at_points())
    error = raised(lambda: op.grad(u, "x"), Code.E_GRAPH_INVALID)
    assert "does not know what it was computed from" in error.message
    assert "op.coords" in str(error)
    for call in (
        lambda: op.laplacian(u, ("x",)),
        lambda: op.div([u], ("x",)),
        lambda: op.curl([u, u]),
    ):
        assert "does not know" in raised(call, Code.E_GRAPH_INVALID).message


def residual(weights, points):
    xyt = op.coords(points, names=("x", "y", "t"))
    u = xyt.apply(lambda p: jnp.tanh(p @ weights) @ V)[..., 0]
    return op.grad(u, "t") + u * op.grad(u, "x") - op.laplacian(u, ("x", "y")) * 0.1


def test_a_residual_trains_inside_jit_and_equals_pde():
    def by_pde(weights):
        f = lambda p: (jnp.tanh(p @ weights) @ V)[..., 0]  # noqa: E731
        slopes = pde.grad(f)(POINTS)
        second = pde.hessian(f)(POINTS)
        diffusion = second[:, 0, 0] + second[:, 1, 1]
        values = slopes[:, 2] + f(POINTS) * slopes[:, 0] - 0.1 * diffusion
        return jnp.mean(values**2)

    loss = lambda weights: jnp.mean(residual(weights, POINTS) ** 2)  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(loss))(W)
    expected, slope = jax.value_and_grad(by_pde)(W)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)
    hvp = jax.jvp(jax.grad(loss), (W,), (jnp.ones_like(W),))[1]
    reference = jax.jvp(jax.grad(by_pde), (W,), (jnp.ones_like(W),))[1]
    np.testing.assert_allclose(hvp, reference, rtol=1e-3, atol=1e-3 * np.abs(reference).max())


def test_a_residual_of_fields_goes_into_mean_square():
    found = pde.mean_square(lambda points: residual(W, points), POINTS)
    np.testing.assert_allclose(found, jnp.mean(residual(W, POINTS) ** 2), rtol=1e-5)


def test_fields_go_under_vmap_over_parameters_and_over_points():
    weights = jnp.stack([W, 2 * W])
    together = jax.vmap(lambda w: residual(w, POINTS).array)(weights)
    alone = [residual(w, POINTS).array for w in weights]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    batched = jax.vmap(lambda p: residual(W, p).array)(POINTS.reshape(7, 1, 3))
    np.testing.assert_allclose(batched[:, 0], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lead", [(), (1,), (0,), (2, 3)])
def test_points_have_any_leading_axes(lead):
    points = jnp.ones((*lead, 3)) * 0.3
    u = op.coords(points).apply(network)
    assert u.shape == op.grad(u, "x").array.shape == op.laplacian(u).array.shape == (*lead, 2)
    assert op.div([u[..., 0], u[..., 1]], ("x", "y")).array.shape == lead


def test_a_sharded_field_stays_where_its_points_are():
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("dp"))
    points = jax.device_put(jax.random.normal(KEYS[3], (16, 3)), where)
    run = jax.jit(lambda p: residual(W, p).array)
    assert run(points).sharding.is_equivalent_to(where, 1)
    np.testing.assert_allclose(
        run(points), residual(W, np.asarray(points)).array, rtol=1e-4, atol=1e-5
    )
    per_device = jax.shard_map(
        lambda p: residual(W, p).array,
        mesh=mesh,
        in_specs=jax.sharding.PartitionSpec("dp"),
        out_specs=jax.sharding.PartitionSpec("dp"),
    )
    np.testing.assert_allclose(per_device(points), run(points), rtol=1e-4, atol=1e-5)


def test_low_precision_stays_in_its_dtype():
    u = op.coords(POINTS.astype(jnp.bfloat16)).apply(lambda p: p[..., 0] ** 2 * p[..., 1])
    along = op.grad(u, "x") * 0.5
    assert along.dtype == along.array.dtype == jnp.bfloat16
    expected = POINTS[:, 0] * POINTS[:, 1]
    np.testing.assert_allclose(along.array.astype(jnp.float32), expected, rtol=0.03, atol=0.01)


def test_double_precision_is_refused_without_x64():
    u = at_points().apply(network)
    error = raised(lambda: op.grad(u, "x", precision="fp64"), Code.E_TARGET_CODEGEN)
    assert "jax_enable_x64" in str(error)
    assert (
        "may be fp64"
        in raised(lambda: op.grad(u, "x", precision="fp8"), Code.E_GRAPH_INVALID).message
    )
    assert (
        "for a Field"
        in raised(
            lambda: op.grad(POINTS, axis=0, spacing=1.0, precision="fp64"), Code.E_GRAPH_INVALID
        ).message
    )


def test_double_precision_is_that_of_the_whole_subgraph(x64):
    u = op.coords(jnp.linspace(0.1, 1.0, 5, dtype=jnp.float32)[:, None], names="x")
    u = u.apply(lambda p: p[..., 0] ** 5)
    x = np.linspace(0.1, 1.0, 5).astype(np.float32).astype(np.float64)
    along = op.grad(op.grad(u, "x", precision="fp64"), "x")
    assert along.array.dtype == jnp.float64
    np.testing.assert_allclose(along.array, 20 * x**3, rtol=1e-14)
    np.testing.assert_allclose(op.laplacian(u, precision="fp64").array, 20 * x**3, rtol=1e-14)
    assert op.div([u], ("x",), precision="fp64").array.dtype == jnp.float64


def test_coordinates_give_words_inside_a_with():
    x, y = POINTS[:, 0], POINTS[:, 1]
    with op.coordinates(x=x, y=y[:, None]) as xy:
        u = op.coords(names="x") ** 2 * op.coords(names="y")
        both = op.coords(names=("y", "x"))
        assert both.shape == (7, 2)
        assert op.coords() is xy
    np.testing.assert_allclose(op.grad(u, "x").array, 2 * x * y, rtol=1e-6)
    np.testing.assert_array_equal(both.array, jnp.stack([y, x], 1))
    assert "no points" in raised(lambda: op.coords(names="x"), Code.E_GRAPH_INVALID).message


def test_bad_coordinates_are_refused():
    cases = [
        (lambda: op.coords(POINTS[:, :2]), Code.E_GRAPH_INVALID, "no names for 2 coordinates"),
        (lambda: op.coords(POINTS, names=("x", "y")), Code.E_SHAPE_MISMATCH, "2 names, x, y"),
        (lambda: op.coords(POINTS, names=("x", "x", "t")), Code.E_GRAPH_INVALID, "each once"),
        (lambda: op.coords(jnp.ones((2, 3), int)), Code.E_TARGET_CODEGEN, "points are int32"),
        (lambda: op.coords(jnp.ones(())), Code.E_SHAPE_MISMATCH, "points are a scalar"),
        (lambda: at_points().apply(jnp.sum), Code.E_SHAPE_MISMATCH, "one row for each point"),
        (lambda: at_points().apply(network)["x"], Code.E_GRAPH_INVALID, "only coordinates"),
        (lambda: at_points()["z"], Code.E_GRAPH_INVALID, "it has: x, y, t"),
    ]
    for call, code, text in cases:
        assert text in raised(call, code).message
    for given, code, text in (
        ({}, Code.E_GRAPH_INVALID, "no coordinates"),
        ({"x": POINTS[:, 0], "y": POINTS[:3, 0]}, Code.E_SHAPE_MISMATCH, "x (7,), y (3,)"),
    ):
        with pytest.raises(CompileError) as caught, op.coordinates(**given):
            pass
        assert caught.value.code is code
        assert text in caught.value.message


def test_a_network_without_forward_mode_has_two_derivatives_and_is_named_at_the_third():
    @jax.custom_vjp
    def f(x):
        return x

    f.defvjp(lambda x: (x, None), lambda _, ct: (ct,))
    u = at_points().apply(f)
    np.testing.assert_array_equal(op.grad(u, "x").array, np.eye(3)[[0] * 7])
    third = op.grad(op.grad(op.grad(u, "x"), "x"), "x")
    assert "custom_vjp" in raised(lambda: third.array, Code.E_GRAPH_INVALID).message


def test_ops_take_a_field_as_its_values():
    points = jnp.asarray(np.random.default_rng(0).uniform(size=(7, 2)), jnp.float32)
    x = op.coords(points, names=("x", "y"))
    u = x.apply(lambda p: jnp.sin(p[..., 0]) * p[..., 1])
    values = jnp.asarray(u)
    for call in (
        lambda a: op.mse(a, jnp.zeros(values.shape)),
        lambda a: op.reduce_sum(a),
        lambda a: op.tanh(a),
    ):
        np.testing.assert_array_equal(call(u), call(values))


def test_coordinates_of_several_dtypes_come_to_one():
    with op.coordinates(x=jnp.ones(3, jnp.bfloat16), y=jnp.ones(3)) as both:
        assert both.array.dtype == jnp.float32
        assert both.array.shape == (3, 2)
