"""Navier-Stokes as a captured module and a training step: what a paper writes, as it is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import graph, op
from tessera.pinn.reference import exact

pytestmark = pytest.mark.newest

NU = 0.01
psi_net = op.mlp(3, [8], 1, "tanh", key=0)


@graph.module("PINN_NavierStokes")
def residuals(xyt):
    psi = psi_net(xyt)[..., 0]
    u, v = op.grad(psi, x="y"), -op.grad(psi, x="x")
    omega = -op.laplacian(psi, axes=("x", "y"))
    vorticity = (
        op.grad(omega, x="t")
        + u * op.grad(omega, x="x")
        + v * op.grad(omega, x="y")
        - op.laplacian(omega, axes=("x", "y")) * NU
    )
    return vorticity, op.div([u, v], axes=("x", "y")), u, v


@graph.training_step(module="PINN_NavierStokes")
def step(batch):
    inside, edge, flow = batch
    vorticity, divergence, _, _ = residuals(inside)
    _, _, u, v = residuals(edge)
    loss = op.mse(vorticity, 0.0) + op.mse(u, flow[:, 0]) + op.mse(v, flow[:, 1])
    metrics = {"divergence": jnp.max(jnp.abs(divergence))}
    return graph.backward(loss), metrics


def batch():
    generator = np.random.default_rng(0)
    inside, edge = generator.uniform(0, 1, (2, 16, 3)).astype(np.float32)
    found = exact.taylor_green(NU)(edge)
    flow = np.stack([found["u"], found["v"]], axis=1).astype(np.float32)
    return jnp.asarray(inside), jnp.asarray(edge), jnp.asarray(flow)


def test_a_step_over_a_captured_module_gives_the_gradients_of_plain_jax():
    inside, edge, flow = batch()

    def plain(net):
        def psi(x):
            return net(x[None])[0, 0]

        def omega(x):
            second = jax.hessian(psi)(x)
            return -(second[0, 0] + second[1, 1])

        def residual(x):
            slope, first, second = jax.grad(psi)(x), jax.grad(omega)(x), jax.hessian(omega)(x)
            carried = first[2] + slope[1] * first[0] - slope[0] * first[1]
            return carried - NU * (second[0, 0] + second[1, 1])

        slopes = jax.vmap(jax.grad(psi))(edge)
        miss = (slopes[:, 1] - flow[:, 0]) ** 2 + (-slopes[:, 0] - flow[:, 1]) ** 2
        return jnp.mean(jax.vmap(residual)(inside) ** 2) + jnp.mean(miss)

    gradients, metrics = step(batch())
    (found,) = gradients.values()
    loss, expected = jax.jit(jax.value_and_grad(plain))(psi_net)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
    assert metrics["divergence"] == 0.0  # exactly
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected
    )


def test_explicit_parameters_train():
    @graph.training_step
    def explicit(net, batch):
        points, flow = batch
        at = op.coords(points, names=("x", "y", "t"))
        psi = net(at)[..., 0]
        u, v = op.grad(psi, x="y"), -op.grad(psi, x="x")
        return op.mse(u, flow[:, 0]) + op.mse(v, flow[:, 1])

    _, edge, flow = batch()
    net, losses = psi_net, []
    for _ in range(30):
        gradients, metrics = explicit(net, (edge, flow))
        net = jax.tree.map(lambda p, g: p - 0.03 * g, net, gradients)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0] / 2


def test_points_have_names_only_in_modules_for_physics():
    @graph.module("other")
    def plain(x):
        return x * 2

    assert isinstance(plain(jnp.ones((4, 3))), jax.Array)

    @graph.module("PINN_scaled")
    def scaled(points, scale, labels):
        assert points.names == ("x", "y", "t")
        return points["t"] * scale, labels

    t, labels = scaled(jnp.ones((4, 3)), 2.0, jnp.ones((4, 3), int))
    np.testing.assert_array_equal(t, 2.0)
    assert labels.dtype == jnp.int32


def test_the_exact_vortices_leave_no_residual():
    with jax.enable_x64(True):
        points = jnp.asarray(np.random.default_rng(1).uniform(0, 6, (32, 3)))
        at = op.coords(points, names=("x", "y", "t"))
        psi = at.apply(lambda p: exact.taylor_green(NU)(p)["psi"])
        u, v = op.grad(psi, x="y"), -op.grad(psi, x="x")
        omega = -op.laplacian(psi, axes=("x", "y"))
        left = op.grad(omega, x="t") + u * op.grad(omega, x="x") + v * op.grad(omega, x="y")
        np.testing.assert_allclose((left - op.laplacian(omega) * NU).array, 0, atol=1e-12)
