"""What physics makes of Fields, and how their derivatives are found together: laws and exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import op, pde
from tessera.core.errors import Code, CompileError
from tessera.pde.sources import jointly

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

POINTS = np.random.default_rng(0).uniform(-1, 1, (9, 3))
WEIGHTS = (
    np.random.default_rng(1).normal(size=(3, 16)),
    np.random.default_rng(2).normal(size=(16, 3)),
)


def network(x):
    first, second = (jnp.asarray(w) for w in WEIGHTS)
    return jnp.tanh(x @ first) @ second


def space(names=("x", "y", "z")):
    return pde.coords(jnp.asarray(POINTS), names=names)


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


# -- physics ------------------------------------------------------------------------------------------------


def test_strain_is_the_symmetric_part_of_the_jacobian():
    rows = pde.strain(space().apply(network))
    found = np.array([[entry.array for entry in row] for row in rows])
    jacobian = np.moveaxis(np.asarray(jax.vmap(jax.jacfwd(network))(jnp.asarray(POINTS))), 0, -1)
    np.testing.assert_allclose(found, (jacobian + jacobian.transpose(1, 0, 2)) / 2, rtol=1e-12)
    assert rows[0][1] is rows[1][0]


def test_the_divergence_of_an_elastic_stress_is_the_operator_of_navier():
    mu, lam = 0.7, 1.3
    u = space().apply(network)
    force = pde.div(pde.stress(u, shear=mu, volume=lam))
    parts = [u[..., i] for i in range(3)]
    for word, part, found in zip("xyz", parts, force, strict=True):
        expected = pde.laplacian(part) * mu + pde.partial(pde.div(parts), word) * (lam + mu)
        np.testing.assert_allclose(found.array, expected.array, rtol=1e-9, atol=1e-9)


def test_a_stationary_flow_between_plates_is_driven_by_its_pressure():
    # Poiseuille: u = y (1 - y) G / (2 mu), p = -G x; div(stress) = 0
    at = pde.coords(jnp.asarray(POINTS[:, :2]), names=("x", "y"))
    gradient, viscosity = 3.0, 0.2
    u = at.apply(lambda p: p[..., 1] * (1 - p[..., 1]) * (gradient / (2 * viscosity)))
    v = at.apply(lambda p: 0 * p[..., 1])
    pressure = at.apply(lambda p: -gradient * p[..., 0])
    for force in pde.div(pde.stress([u, v], pressure, shear=viscosity)):
        np.testing.assert_allclose(force.array, 0, atol=1e-12)


def test_the_vorticity_of_taylor_and_green_decays():
    nu = 0.3
    at = pde.coords(jnp.asarray(POINTS), names=("x", "y", "t"))
    psi = at.apply(lambda p: jnp.cos(p[..., 0]) * jnp.cos(p[..., 1]) * jnp.exp(-2 * nu * p[..., 2]))
    flow = [pde.partial(psi, "y"), -pde.partial(psi, "x")]
    vorticity = -pde.laplacian(psi)
    residual = pde.material_derivative(vorticity, flow) - pde.laplacian(vorticity) * nu
    np.testing.assert_allclose(residual.array, 0, atol=1e-12)
    np.testing.assert_allclose(vorticity.array, pde.curl(flow).array, atol=1e-12)


def test_a_steady_material_derivative_has_no_time():
    at = pde.coords(jnp.asarray(POINTS[:, :2]), names=("x", "y"))
    u, v = at["x"] * at["y"], at["y"] ** 2
    found = pde.material_derivative([u, v], [u, v])
    x, y = POINTS[:, 0], POINTS[:, 1]
    np.testing.assert_allclose(found[0].array, x * y * y + y**2 * x, rtol=1e-12)
    np.testing.assert_allclose(found[1].array, y**2 * 2 * y, rtol=1e-12)


def test_gradient_hessian_and_biharmonic_of_fields_are_those_of_functions():
    u = space().apply(lambda p: network(p)[..., 0])
    x = jnp.asarray(POINTS)
    scalar = lambda p: network(p)[0]  # noqa: E731
    np.testing.assert_allclose(pde.grad(u).array, pde.grad(scalar)(x), rtol=1e-12)
    rows = np.array([[entry.array for entry in row] for row in pde.hessian(u)])
    np.testing.assert_allclose(np.moveaxis(rows, -1, 0), pde.hessian(scalar)(x), rtol=1e-9)
    np.testing.assert_allclose(pde.biharmonic(u).array, pde.biharmonic(scalar)(x), rtol=1e-12)
    np.testing.assert_array_equal(pde.grad(u, "y").array, op.grad(u, "y").array)


# -- together -----------------------------------------------------------------------------------------------


def test_derivatives_of_one_network_are_found_in_one_pass():
    def residuals(points):
        found = pde.coords(points, names=("x", "y", "t")).apply(network)
        u, v, p = (found[..., i] for i in range(3))
        equations = [
            pde.material_derivative(w, [u, v]) + pde.partial(p, axis) - pde.laplacian(w) * 0.1
            for w, axis in ((u, "x"), (v, "y"))
        ]
        return pde.values([*equations, pde.div([u, v])])

    (choice,) = pde.explain(residuals)(jnp.asarray(POINTS)).choices
    assert choice.rows == 4  # value, x, y, and d/dt - (d/dx^2 + d/dy^2) / 10 as one
    one = [jax.jit(residuals)(jnp.asarray(POINTS[i : i + 1])) for i in range(9)]
    together = residuals(jnp.asarray(POINTS))
    for k in range(3):
        np.testing.assert_allclose(together[k], [float(r[k][0]) for r in one], rtol=1e-9)


def test_a_network_that_is_called_twice_is_found_once():
    def residual(points):
        at = pde.coords(points, names=("x", "y", "t"))
        u, p = at.apply(network)[..., 0], at.apply(network)[..., 1]
        return pde.values([pde.partial(u, "x", "x"), pde.partial(p, "y")])

    assert len(pde.explain(residual)(jnp.asarray(POINTS)).choices) == 1


def test_a_body_may_make_its_fields_anew():
    def body(points):
        u = pde.coords(points, names=("x", "y", "t")).apply(network)
        scale = jnp.max(points)  # closed over: of this run of the body alone
        scaled = pde.coords(points, names=("x", "y", "t")).apply(lambda p: network(p) * scale)
        return pde.partial(u, "x").array, (pde.partial(u, "x", "y") + u).array, scaled.array

    def found(points):
        return jointly(points, body)

    x = jnp.asarray(POINTS)
    assert len(pde.explain(found)(x).choices) == 1
    ours = jax.jit(found)(x)
    np.testing.assert_allclose(ours[0], pde.grad(network)(x)[..., 0], rtol=1e-9)
    mixed = pde.hessian(network)(x)[..., 0, 1]
    np.testing.assert_allclose(ours[1], mixed + network(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours[2], network(x) * POINTS.max(), rtol=1e-12)


def test_a_sum_with_numbers_is_carried_as_one():
    def heat(points):
        u = pde.coords(points, names=("x", "y", "t")).apply(lambda p: network(p)[..., 0])
        return (pde.partial(u, "t") - pde.laplacian(u) * 0.5).array

    (choice,) = pde.explain(heat)(jnp.asarray(POINTS)).choices
    assert choice.rows == 4  # value, x, y, and u_t - (u_xx + u_yy) / 2
    x = jnp.asarray(POINTS)
    second = pde.hessian(lambda p: network(p)[0])(x)
    slope = pde.grad(lambda p: network(p)[0])(x)
    expected = slope[:, 2] - 0.5 * (second[:, 0, 0] + second[:, 1, 1])
    np.testing.assert_allclose(heat(x), expected, rtol=1e-9)


def test_derivatives_of_products_follow_the_product_rule_to_any_order():
    at = space()
    u = at.apply(lambda p: network(p)[..., 0])
    v = at.apply(lambda p: jnp.sin(p[..., 1] * p[..., 2]))
    both = at.apply(lambda p: network(p)[..., 0] * jnp.sin(p[..., 1] * p[..., 2]))
    for words in ("x", "yyz"):
        found, expected = pde.partial(u * v, *words), pde.partial(both, *words)
        np.testing.assert_allclose(found.array, expected.array, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        pde.laplacian(u * v * u).array,
        pde.laplacian(
            at.apply(lambda p: network(p)[..., 0] ** 2 * jnp.sin(p[..., 1] * p[..., 2]))
        ).array,
        rtol=1e-9,
        atol=1e-9,
    )


def test_functions_of_fields_are_differentiated_through():
    at = space()
    u = at.apply(lambda p: network(p)[..., 0])
    found = pde.partial((u**2 + 1) / (u**2 + 2), "x", "y")
    whole = at.apply(lambda p: (network(p)[..., 0] ** 2 + 1) / (network(p)[..., 0] ** 2 + 2))
    np.testing.assert_allclose(found.array, pde.partial(whole, "x", "y").array, rtol=1e-9)


def test_terms_whose_sum_cancels_are_not_computed():
    u = space().apply(lambda p: network(p)[..., 0])
    nothing = pde.partial(u, "x", "y") * 2 - pde.partial(u, "y", "x") * 2
    assert not np.any(nothing.array)
    assert pde.explain(lambda: nothing.array)().choices == ()


def test_values_of_fields_keep_a_sharding():
    mesh = jax.make_mesh((8,), ("dp",))
    points = jax.device_put(jnp.asarray(np.tile(POINTS, (8, 1))), NamedSharding(mesh, P("dp")))

    @jax.jit
    def residual(points):
        u = pde.coords(points, names=("x", "y", "t")).apply(lambda p: network(p)[..., 0])
        return (pde.partial(u, "t") + u * pde.partial(u, "x") - pde.laplacian(u)).array

    found = residual(points)
    assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("dp")), 1)
    assert "all-gather" not in residual.lower(points).compile().as_text()
    np.testing.assert_allclose(np.asarray(found)[:9], residual(jnp.asarray(POINTS)), rtol=1e-9)


@pytest.mark.slow
def test_memory_of_a_training_step_is_that_of_a_chunk():
    def step(count):
        def loss(weight, points):
            def residual(part):
                u = pde.coords(part, names=("x", "y", "t")).apply(
                    lambda p: (jnp.tanh(jnp.tanh(p @ weight[:3]) @ weight))[..., 0]
                )
                return (pde.partial(u, "t") + u * pde.partial(u, "x") - pde.laplacian(u)).array

            return pde.mean_square(residual, points)

        types = (
            jax.ShapeDtypeStruct((32, 32), "float32"),
            jax.ShapeDtypeStruct((count, 3), "float32"),
        )
        compiled = jax.jit(jax.value_and_grad(loss)).lower(*types).compile()
        return compiled.memory_analysis().temp_size_in_bytes - types[1].size * 4

    small, large = step(4096), step(102400)
    assert large < small + 2**21  # beside a copy of the points, which is left out


# -- mistakes -----------------------------------------------------------------------------------------------


def test_calls_that_make_no_sense_are_named():
    u = space().apply(network)
    scalar = u[..., 0]
    cases = [
        (lambda: pde.grad(u), Code.E_SHAPE_MISMATCH, "has components"),
        (lambda: pde.strain(scalar), Code.E_SHAPE_MISMATCH, "has no components"),
        (lambda: pde.strain([scalar, scalar]), Code.E_SHAPE_MISMATCH, "2 components but 3 axes"),
        (lambda: pde.material_derivative(scalar, [scalar]), Code.E_SHAPE_MISMATCH, "but 3 axes"),
        (
            lambda: pde.laplacian(scalar, chunk_size=3),
            Code.E_GRAPH_INVALID,
            "at its points already",
        ),
        (lambda: pde.laplacian(network, ("x",)), Code.E_GRAPH_INVALID, "have no names"),
        (lambda: pde.partial(scalar, "w"), Code.E_GRAPH_INVALID, "it has: x, y, z"),
        (
            lambda: pde.values([scalar, space().apply(network)]),
            Code.E_GRAPH_INVALID,
            "different points",
        ),
    ]
    for call, code, text in cases:
        error = raised(call)
        assert error.code is code, error
        assert text in error.message, error
