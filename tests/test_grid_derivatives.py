"""`op.grad`, `laplacian`, `div` and `curl` of values on a grid, against exact derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fftpack

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.pde.grid import difference_weights

LENGTH = 3.0


def raised(call, code: Code) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code, caught.value
    return caught.value


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def periodic_points(n: int) -> np.ndarray:
    return np.arange(n) * LENGTH / n


@pytest.mark.parametrize("n", [1, 2, 7, 8, 15])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_periodic_derivative_is_that_of_scipy(n, axis, x64):
    x = values(n, n)
    expected = np.apply_along_axis(scipy.fftpack.diff, axis, x, order=1, period=LENGTH)
    found = op.grad(jnp.asarray(x), axis=axis, domain=LENGTH)
    np.testing.assert_allclose(found, expected, atol=1e-12 * max(1, np.abs(expected).max()))


def twice(x: np.ndarray, axis: int) -> np.ndarray:
    """Returns the second derivative along an axis; SciPy's drops the wave of n/2, which has one."""
    n = x.shape[axis]
    waves = np.exp(2j * np.pi * np.outer(np.arange(n), np.fft.fftfreq(n)))
    numbers = 2 * np.pi * np.fft.fftfreq(n, LENGTH / n)
    matrix = (waves * -(numbers**2)) @ np.linalg.inv(waves)
    return np.moveaxis(np.tensordot(matrix.real, x, (1, axis)), 0, axis)


@pytest.mark.parametrize("n", [7, 8])
def test_a_periodic_laplacian_is_exact_and_inverts_poisson(n, x64):
    x = values(n, n)
    second = [twice(x, axis) for axis in (0, 1)]
    found = op.laplacian(jnp.asarray(x), domain=LENGTH)
    np.testing.assert_allclose(found, second[0] + second[1], rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(
        op.laplacian(jnp.asarray(x), axes=(1,), domain=LENGTH), second[1], rtol=1e-10, atol=1e-9
    )
    back = op.poisson(found, domain=(LENGTH, LENGTH))
    np.testing.assert_allclose(back, x - x.mean(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("bc", ["open", "periodic"])
def test_differences_converge_with_their_order(order, bc, x64):
    def errors(n):
        x = np.linspace(0, LENGTH, n, endpoint=bc == "open")
        k = 2 * np.pi / LENGTH
        u = jnp.sin(k * x)
        first = op.grad(u, axis=0, domain=LENGTH, bc=bc, order=order) - k * np.cos(k * x)
        second = op.laplacian(u, domain=LENGTH, bc=bc, order=order) + k**2 * np.sin(k * x)
        return np.array([np.abs(first).max(), np.abs(second).max()])

    coarse, fine = (49, 97) if bc == "open" else (24, 48)
    rate = np.log2(errors(coarse) / errors(fine))
    assert np.all(rate > order - 0.35), rate


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_differences_are_exact_for_polynomials_of_their_order(order, x64):
    x = np.linspace(-1.0, 1.0, 13)
    h = x[1] - x[0]
    u = np.polynomial.Polynomial(np.arange(1.0, order + 2) / 3)
    found = op.grad(jnp.asarray(u(x)), axis=0, spacing=h, order=order)
    np.testing.assert_allclose(found, u.deriv()(x), rtol=1e-9, atol=1e-9)
    found = op.laplacian(jnp.asarray(u(x)), spacing=h, order=order)
    np.testing.assert_allclose(found, u.deriv(2)(x), rtol=1e-7, atol=1e-7)


def test_second_order_differences_are_those_of_numpy():
    x = values(6, 5).astype(np.float32)
    for axis in (0, 1):
        expected = np.gradient(x, 0.5, axis=axis, edge_order=2)
        np.testing.assert_allclose(
            op.grad(x, axis=axis, spacing=0.5), expected, rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(op.grad(x, axis, spacing=0.5), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_the_known_ones():
    known = {
        ((-1, 0, 1), 1): [-1 / 2, 0, 1 / 2],
        ((-2, -1, 0, 1, 2), 1): [1 / 12, -2 / 3, 0, 2 / 3, -1 / 12],
        ((-2, -1, 0, 1, 2), 2): [-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12],
        ((0, 1, 2, 3), 2): [2, -5, 4, -1],
    }
    for (offsets, times), weights in known.items():
        np.testing.assert_allclose(difference_weights(offsets, times), weights, atol=1e-13)


def test_without_an_array_there_is_a_function_of_one():
    x = values(6, 5).astype(np.float32)
    along = op.grad(axis=0, order=2)
    np.testing.assert_array_equal(along(x, spacing=0.5), op.grad(x, axis=0, spacing=0.5))
    np.testing.assert_array_equal(
        op.grad(axis=1, domain=LENGTH)(x), op.grad(x, axis=1, domain=LENGTH)
    )
    np.testing.assert_array_equal(
        op.laplacian(order=4)(x[:, 0], spacing=1.0), op.laplacian(x[:, 0], spacing=1.0, order=4)
    )
    pair = [x, x]
    np.testing.assert_array_equal(
        op.div(axes=(0, 1), spacing=1.0)(pair), op.div(pair, axes=(0, 1), spacing=1.0)
    )
    np.testing.assert_array_equal(op.curl(spacing=1.0)(pair), op.curl(pair, spacing=1.0))
    u = op.coords(jnp.ones((2, 2)), names=("x", "y")).apply(lambda p: p[..., 0] ** 2)
    np.testing.assert_array_equal(op.grad(x="x")(u).array, [2.0, 2.0])


@pytest.mark.parametrize("options", [{"spacing": (0.5, 0.25)}, {"domain": (2.0, 3.0)}])
def test_divergence_and_curl_in_the_plane(options, x64):
    u, v = (jnp.asarray(a) for a in values(2, 9, 8))
    one = [{k: w[i] for k, w in options.items()} for i in (0, 1)]
    expected = op.grad(u, axis=0, **one[0]) + op.grad(v, axis=1, **one[1])
    np.testing.assert_allclose(op.div([u, v], axes=(0, 1), **options), expected, rtol=1e-12)
    np.testing.assert_allclose(op.div([u, v], (0, 1), **options), expected, rtol=1e-12)
    turn = op.grad(v, axis=0, **one[0]) - op.grad(u, axis=1, **one[1])
    np.testing.assert_allclose(op.curl([u, v], **options), turn, rtol=1e-12)
    psi = jnp.asarray(values(9, 8))
    flow = [op.grad(psi, axis=1, **one[1]), -op.grad(psi, axis=0, **one[0])]
    np.testing.assert_allclose(op.div(flow, (0, 1), **options), 0, atol=1e-11)


def test_curl_in_space_has_no_divergence(x64):
    field = [jnp.asarray(a) for a in values(3, 7, 8, 9)]
    turned = op.curl(field, axes=(0, 1, 2), domain=LENGTH)
    assert turned.shape == (7, 8, 9, 3)
    parts = [turned[..., i] for i in range(3)]
    np.testing.assert_allclose(op.div(parts, axes=(0, 1, 2), domain=LENGTH), 0, atol=1e-10)
    potential = field[0]
    slope = [op.grad(potential, axis=i, domain=LENGTH) for i in range(3)]
    np.testing.assert_allclose(op.curl(slope, domain=LENGTH), 0, atol=1e-10)


def test_one_axis_of_one_array_is_one_derivative():
    x = jnp.asarray(values(6, 5), jnp.float32)
    np.testing.assert_array_equal(op.div(x, axes=0, spacing=1.0), op.grad(x, axis=0, spacing=1.0))
    np.testing.assert_array_equal(
        op.laplacian(x, 1, spacing=1.0), op.laplacian(x.T, 0, spacing=1.0).T
    )


@pytest.mark.parametrize("options", [{"domain": LENGTH}, {"spacing": 0.3, "order": 4}])
def test_grid_derivatives_are_linear_maps_under_every_transformation(options):
    x, v = jnp.asarray(values(2, 3, 9), jnp.float32)
    f = lambda u: op.grad(u, axis=-1, **options)  # noqa: E731
    np.testing.assert_allclose(jax.jvp(f, (x,), (v,))[1], f(v), rtol=1e-5, atol=1e-5)
    back = op.adjoint(f)(x, v)
    np.testing.assert_allclose(jnp.vdot(back, x), jnp.vdot(v, f(x)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(f)(x), f(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=1e-5, atol=1e-5)
    if "domain" in options:  # a periodic derivative is skew
        np.testing.assert_allclose(back, -f(v), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("options", [{"domain": 1.0}, {"spacing": 0.125}])
def test_low_precision_is_computed_in_fp32(dtype, options):
    x = jnp.asarray(values(8), dtype)
    found = op.grad(x, axis=0, **options)
    expected = op.grad(x.astype(jnp.float32), axis=0, **options).astype(dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [7, 8])
def test_complex_values_differentiate_by_parts(n):
    real, imaginary = (jnp.asarray(x, jnp.float32) for x in values(2, n))
    z = jax.lax.complex(real, imaginary)
    for options in ({"domain": LENGTH}, {"spacing": 0.5}):
        found = op.grad(z, axis=0, **options)
        parts = [op.grad(x, axis=0, **options) for x in (real, imaginary)]
        np.testing.assert_allclose(found, jax.lax.complex(*parts), rtol=1e-4, atol=1e-4)


def test_edges():
    assert op.grad(jnp.zeros((0, 4)), axis=1, domain=1.0).shape == (0, 4)
    np.testing.assert_array_equal(op.grad(jnp.ones(1), axis=0, domain=1.0), [0.0])
    np.testing.assert_allclose(op.grad(jnp.arange(3.0), axis=0, spacing=2.0), 0.5)


def test_bad_calls_are_refused():
    x = jnp.ones((6, 5))
    invalid, mismatch = Code.E_GRAPH_INVALID, Code.E_SHAPE_MISMATCH
    cases = [
        (lambda: op.grad(x, axis=0), invalid, "does not know what it was computed from"),
        (lambda: op.grad(x, spacing=1.0), invalid, "no axis of the grid"),
        (lambda: op.grad(x, axis="x", spacing=1.0), invalid, "axis 'x' of an array"),
        (lambda: op.grad(x, axis=2, spacing=1.0), mismatch, "axis 2 of an array of rank 2"),
        (lambda: op.grad(x, 0, axis=0, spacing=1.0), invalid, "two spellings"),
        (lambda: op.grad(x, axis=0, spacing=1.0, domain=1.0), invalid, "both of spacing= and"),
        (lambda: op.grad(x, axis=0, spacing=0.0), invalid, "spacing is 0.0, not above 0"),
        (lambda: op.grad(x, axis=0, domain="1"), invalid, "domain is '1', not a number"),
        (lambda: op.grad(x, axis=0, domain=1.0, bc="wall"), invalid, "one of periodic, open"),
        (
            lambda: op.grad(x, axis=0, spacing=1.0, order=3),
            invalid,
            "order 3 is none of 2, 4, 6, 8",
        ),
        (lambda: op.grad(x, axis=1, spacing=1.0, order=6), mismatch, "5 points; differences of"),
        (
            lambda: op.grad(jnp.ones((5, 5), int), axis=0, spacing=1.0),
            Code.E_TARGET_CODEGEN,
            "int32",
        ),
        (lambda: op.laplacian(x, axes=(0, 0), spacing=1.0), invalid, "each axis once"),
        (lambda: op.laplacian(x, spacing=(1.0,)), mismatch, "spacing has 1 numbers for 2 axes"),
        (lambda: op.div([x, x], axes=(0,), spacing=1.0), mismatch, "2 components but 1 axes"),
        (lambda: op.div([x, x[:3]], axes=(0, 1), spacing=1.0), mismatch, "shapes (6, 5), (3, 5)"),
        (lambda: op.curl(x, spacing=1.0), invalid, "no list of 2 or 3 arrays"),
        (lambda: op.div(x, 2.0, spacing=1.0), invalid, "for values on a grid"),
    ]
    for call, code, text in cases:
        assert text in raised(call, code).message
