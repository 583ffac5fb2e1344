"""The physics of the demo, against the exact solution computed elsewhere and against the equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera.demo import kovasznay, network

pytestmark = pytest.mark.newest

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
POINTS = np.random.default_rng(3).uniform(kovasznay.LOWER, kovasznay.UPPER, (50, 2))


def exact_stream(point: jax.Array) -> jax.Array:
    """The integral over y of the exact u, by hand."""
    x, y = point
    return y - jnp.exp(kovasznay.DECAY * x) * jnp.sin(2 * jnp.pi * y) / (2 * jnp.pi)


def random_network() -> network.Params:
    return network.initial(jax.random.key(1), (2, 9, 9, 2), jnp.float64)


def test_the_exact_solution_is_the_one_computed_with_forty_digits():
    with jax.enable_x64(True):
        points = jnp.asarray(REFERENCE[:, :2])
        velocity = jax.vmap(kovasznay.exact_velocity)(points)
        pressure = jax.vmap(kovasznay.exact_pressure)(points)
    np.testing.assert_allclose(np.asarray(velocity), REFERENCE[:, 2:4], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(np.asarray(pressure), REFERENCE[:, 4], rtol=1e-13, atol=1e-15)


def test_the_exact_solution_has_no_momentum_residual():
    with jax.enable_x64(True):
        velocity = kovasznay.flow(exact_stream)
        residual = jax.vmap(kovasznay.momentum(velocity, kovasznay.exact_pressure))(
            jnp.asarray(POINTS)
        )
    # Terms of the equation reach 10; their rounding adds up.
    np.testing.assert_allclose(np.asarray(residual), 0.0, atol=1e-12)


def test_a_wrong_pressure_leaves_a_momentum_residual():
    with jax.enable_x64(True):
        residual = jax.vmap(kovasznay.momentum(kovasznay.exact_velocity, lambda x: 0 * x[0]))
        expected = -jax.vmap(jax.grad(kovasznay.exact_pressure))(jnp.asarray(POINTS))
        np.testing.assert_allclose(
            np.asarray(residual(jnp.asarray(POINTS))), np.asarray(expected), atol=1e-12
        )


def test_the_exact_solution_meets_the_boundary_values():
    with jax.enable_x64(True):
        velocity = jax.vmap(kovasznay.flow(exact_stream))(jnp.asarray(POINTS))
        expected = jax.vmap(kovasznay.exact_velocity)(jnp.asarray(POINTS))
    np.testing.assert_allclose(np.asarray(velocity), np.asarray(expected), rtol=1e-12, atol=1e-14)


def test_the_flow_of_any_network_has_no_divergence():
    with jax.enable_x64(True):
        velocity = kovasznay.flow(kovasznay.fields(random_network())[0])
        jacobians = np.asarray(jax.vmap(jax.jacrev(velocity))(jnp.asarray(POINTS)))
    assert np.max(np.abs(np.trace(jacobians, axis1=1, axis2=2))) < 1e-13
    assert np.max(np.abs(jacobians)) > 0.1


def test_the_momentum_residual_is_the_one_of_finite_differences():
    with jax.enable_x64(True):
        stream, pressure = kovasznay.fields(random_network())
        velocity = kovasznay.flow(stream)
        point, h = np.array([0.3, 0.4]), 1e-3
        found = kovasznay.momentum(velocity, pressure)(jnp.asarray(point))
        around = {
            (i, j): np.asarray(velocity(jnp.asarray(point + h * np.array([i, j]))))
            for i, j in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
        }
        slopes = [
            float(pressure(jnp.asarray(point + h * e)) - pressure(jnp.asarray(point - h * e)))
            / (2 * h)
            for e in np.eye(2)
        ]
    along_x, along_y = (
        (around[1, 0] - around[-1, 0]) / (2 * h),
        (around[0, 1] - around[0, -1]) / (2 * h),
    )
    laplacian = (sum(around[k] for k in around if k != (0, 0)) - 4 * around[0, 0]) / h**2
    u, v = around[0, 0]
    expected = u * along_x + v * along_y + np.array(slopes) - laplacian / kovasznay.REYNOLDS
    # The differences are exact to h^2 times fourth derivatives.
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_network_keeps_its_dtype(dtype: jnp.dtype):
    params = network.initial(jax.random.key(0), (2, 4, 1), dtype)
    assert network.evaluate(params, jnp.zeros(2, dtype)).dtype == dtype
