"""The operators against exact solutions, vector identities and `jax.hessian`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core import numerics
from tessera.core.errors import CompileError

pytestmark = pytest.mark.usefixtures("x64")

OPERATORS = (pde.laplacian, pde.grad, pde.div, pde.curl, pde.hessian)


def points(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1.0, 1.0, shape))


def mlp(d: int, k: int = 1, width: int = 16, seed: int = 0) -> Callable[[jax.Array], jax.Array]:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(d, width)), rng.normal(size=(width, width)) / 4
    last, shift = rng.normal(size=(width, k)), rng.normal(size=width)

    def u(x: jax.Array) -> jax.Array:
        hidden = jnp.tanh(x @ jnp.asarray(first) + jnp.asarray(shift))
        return jnp.tanh(hidden @ jnp.asarray(second)) @ jnp.asarray(last)

    return u


def gaussian(x: jax.Array) -> jax.Array:
    return jnp.exp(-jnp.sum(x**2))


def test_harmonic_functions_have_no_laplacian() -> None:
    def harmonic(x: jax.Array) -> jax.Array:
        polynomial = x[0] ** 3 - 3 * x[0] * x[1] ** 2
        return jnp.stack([polynomial, jnp.exp(x[0]) * jnp.sin(x[1]), jnp.log(jnp.sum(x**2))])

    assert np.abs(pde.laplacian(harmonic)(points(50, 2) + 2.0)).max() < 1e-13


def test_the_newtonian_potential_is_harmonic_in_three_dimensions() -> None:
    found = pde.laplacian(lambda x: 1 / jnp.linalg.norm(x))(points(50, 3) + 2.0)
    assert np.abs(found).max() < 1e-14


def test_derivatives_of_a_gaussian_are_exact() -> None:
    x = points(4, 5, 3)
    square, value = np.sum(np.asarray(x) ** 2, -1), np.exp(-np.sum(np.asarray(x) ** 2, -1))
    outer = np.asarray(x)[..., :, None] * np.asarray(x)[..., None, :]
    hessian = (4 * outer - 2 * np.eye(3)) * value[..., None, None]
    close: Any = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(pde.laplacian(gaussian)(x), (4 * square - 6) * value, **close)
    np.testing.assert_allclose(pde.grad(gaussian)(x), -2 * x * value[..., None], **close)
    np.testing.assert_allclose(pde.hessian(gaussian)(x), hessian, **close)
    np.testing.assert_allclose(
        pde.hvp(gaussian)(x, x), np.einsum("...ij,...j", hessian, x), **close
    )


def test_biharmonic_of_a_polynomial_is_exact() -> None:
    # u = x^4 y^2: laplacian 12 x^2 y^2 + 2 x^4, its laplacian 24 y^2 + 48 x^2.
    x = points(30, 2)
    found = pde.laplacian(pde.laplacian(lambda z: z[0] ** 4 * z[1] ** 2))(x)
    np.testing.assert_allclose(found, 24 * x[:, 1] ** 2 + 48 * x[:, 0] ** 2, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 9])
def test_operators_agree_with_jax_on_networks(d: int) -> None:
    x, u, scalar = points(6, d), mlp(d, 3), mlp(d)
    hessian = jax.jit(jax.vmap(jax.hessian(u)))(x)
    scalar_hessian = jax.jit(jax.vmap(jax.hessian(lambda z: scalar(z)[0])))(x)
    np.testing.assert_allclose(pde.hessian(u)(x), hessian, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(
        pde.laplacian(u)(x), np.trace(hessian, axis1=2, axis2=3), rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(
        pde.hessian(lambda z: scalar(z)[0])(x), scalar_hessian, rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(pde.grad(u)(x), jax.vmap(jax.jacrev(u))(x), rtol=1e-12, atol=1e-12)
    v = points(6, d, seed=1)
    np.testing.assert_allclose(
        pde.hvp(u)(x, v), np.einsum("nkij,nj->nki", hessian, v), rtol=1e-11, atol=1e-11
    )


def test_grad_of_a_scalar_and_of_a_vector_have_their_documented_shapes() -> None:
    x = points(2, 3, 4)
    assert pde.grad(gaussian)(x).shape == (2, 3, 4)
    assert pde.grad(mlp(4, 5))(x).shape == (2, 3, 5, 4)
    assert pde.hessian(mlp(4, 5))(x).shape == (2, 3, 5, 4, 4)
    assert pde.hvp(mlp(4, 5))(x, x).shape == (2, 3, 5, 4)
    assert pde.laplacian(mlp(4, 5))(x).shape == (2, 3, 5)


def test_a_skew_gradient_has_no_divergence() -> None:
    stream = mlp(2, width=32)

    def velocity(x: jax.Array) -> jax.Array:
        slope = pde.grad(lambda z: stream(z)[0])(x)
        return jnp.stack([slope[1], -slope[0]])

    # Second derivatives here are of size 10, so this is a few units in the last place.
    assert np.abs(jax.jit(pde.div(velocity))(points(500, 2))).max() < 1e-14


def test_curl_of_a_gradient_and_divergence_of_a_curl_vanish() -> None:
    x, potential, field = points(40, 3), mlp(3), mlp(3, 3)
    gradient = pde.grad(lambda z: potential(z)[0])
    assert np.abs(pde.curl(gradient)(x)).max() < 1e-13
    assert np.abs(pde.div(pde.curl(field))(x)).max() < 1e-13


def test_div_of_grad_is_the_laplacian_and_curl_of_curl_its_other_half() -> None:
    x, field = points(20, 3), mlp(3, 3)
    first = pde.grad(pde.div(field))(x) - pde.curl(pde.curl(field))(x)
    np.testing.assert_allclose(first, pde.laplacian(field)(x), rtol=1e-11, atol=1e-11)

    def scalar(z: jax.Array) -> jax.Array:
        return field(z)[0]

    np.testing.assert_allclose(
        pde.div(pde.grad(scalar))(x), pde.laplacian(scalar)(x), rtol=1e-11, atol=1e-11
    )


def test_rigid_rotation_has_constant_curl() -> None:
    def turn(x: jax.Array) -> jax.Array:
        return jnp.cross(jnp.array([1.0, 2.0, 3.0]), x)

    np.testing.assert_array_equal(pde.curl(turn)(points(5, 3)), np.tile([2.0, 4.0, 6.0], (5, 1)))
    plane = pde.curl(lambda x: jnp.stack([-x[1], x[0]]))(points(5, 2))
    np.testing.assert_array_equal(plane, np.full(5, 2.0))


@pytest.mark.parametrize("chunk_size", [1, 7, 22, 100])
def test_chunks_of_any_size_give_the_same_result(chunk_size: int) -> None:
    x, field = points(23, 3), mlp(3, 3)

    def every(size: int) -> list[jax.Array]:
        return jax.jit(lambda z: [operator(field, chunk_size=size)(z) for operator in OPERATORS])(x)

    for ours, whole in zip(every(chunk_size), every(1000), strict=True):
        # Matrix products of other sizes may round differently.
        np.testing.assert_allclose(ours, whole, rtol=1e-12, atol=1e-12)


def test_automatic_chunks_bound_the_temporaries() -> None:
    u, x = mlp(3, width=128), points(8192, 3)
    sizes: list[Any] = [
        jax.jit(pde.laplacian(u, chunk_size=c)).lower(x).compile().memory_analysis()
        for c in (None, 8192)
    ]
    chunked, whole = (size.temp_size_in_bytes for size in sizes)
    assert chunked < whole / 8


@pytest.mark.parametrize("lead", [(), (0,), (1,), (2, 0), (2, 1, 3)])
def test_any_leading_axes_are_kept(lead: tuple[int, ...]) -> None:
    x, field = points(*lead, 3), mlp(3, 3)
    for operator, reference in {
        pde.laplacian: lambda z: jnp.trace(jax.hessian(field)(z), axis1=1, axis2=2),
        pde.grad: jax.jacrev(field),
        pde.div: lambda z: jnp.trace(jax.jacrev(field)(z)),
    }.items():
        expected = jax.vmap(reference)(x.reshape(int(np.prod(lead)), 3))
        found = jax.jit(operator(field))(x)
        assert found.shape == lead + expected.shape[1:]
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_low_precision_stays_in_its_dtype_and_near_the_truth(dtype: Any) -> None:
    x = points(64, 2).astype(dtype)
    truth = np.asarray(x, np.float64)
    square = np.sum(truth**2, -1)
    expected = (4 * square - 4) * np.exp(-square)
    found = pde.laplacian(gaussian)(x)
    assert found.dtype == dtype
    rtol, atol = numerics.tolerance(dtype)
    # Ten roundings of terms of size 4, which nearly cancel where the Laplacian changes sign.
    np.testing.assert_allclose(
        np.asarray(found, np.float64), expected, rtol=4 * rtol, atol=8 * atol
    )


def test_operators_compose_with_jit_vmap_and_both_modes_of_differentiation() -> None:
    x, rng = points(10, 2), np.random.default_rng(3)
    weights = jnp.asarray(rng.normal(size=(4, 2, 8)))

    def total(weight: jax.Array, z: jax.Array, laplacian: Any) -> jax.Array:
        return jnp.sum(laplacian(lambda p: jnp.sum(jnp.sin(jnp.tanh(p @ weight))))(z) ** 2)

    def plainly(u: Any) -> Any:
        return jax.vmap(lambda p: jnp.trace(jax.hessian(u)(p)))

    for transform in (
        lambda f: f,
        lambda f: jax.grad(f, (0, 1)),
        lambda f: jax.jacfwd(jax.grad(f, 1), 1),
        jax.jacfwd,
    ):
        ours, theirs = (
            jax.jit(jax.vmap(transform(partial(total, laplacian=of)), in_axes=(0, None)))
            for of in (partial(pde.laplacian, chunk_size=4), plainly)
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
            ours(weights, x),
            theirs(weights, x),
        )


def test_sharded_points_stay_where_they_are() -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("x")
    u, x = mlp(2), points(64, 2)
    sharded = jax.device_put(x, jax.NamedSharding(mesh, spec))
    run = jax.jit(pde.laplacian(u, chunk_size=16)).lower(sharded).compile()
    np.testing.assert_allclose(run(sharded), pde.laplacian(u)(x), rtol=1e-12, atol=1e-12)
    assert "all-gather" not in str(run.as_text())


def test_operators_run_inside_shard_map() -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("x")
    field, x = mlp(3, 3), points(40, 3)

    def every(z: jax.Array) -> list[jax.Array]:
        return [operator(field, chunk_size=2)(z) for operator in OPERATORS]

    local = jax.jit(jax.shard_map(every, mesh=mesh, in_specs=spec, out_specs=spec))
    for ours, expected in zip(local(x), every(x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_bad_arguments_are_named_in_the_error() -> None:
    x = points(5, 3)
    with pytest.raises(CompileError, match=r"laplacian: u is a float"):
        pde.laplacian(3.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CompileError, match=r"hvp: u is a"):
        pde.hvp(x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CompileError, match=r"points are int64"):
        pde.grad(gaussian)(jnp.arange(6).reshape(2, 3))
    with pytest.raises(CompileError, match=r"points are complex128"):
        pde.grad(gaussian)(x.astype(complex))
    with pytest.raises(CompileError, match=r"points are a scalar"):
        pde.laplacian(gaussian)(jnp.array(1.0))
    with pytest.raises(CompileError, match=r"curl: a point has 2 or 3 coordinates, not 4"):
        pde.curl(lambda z: z)(points(5, 4))
    with pytest.raises(CompileError, match=r"div: u maps a point \(3,\) to \(2,\)"):
        pde.div(lambda z: z[:2])(x)
    with pytest.raises(CompileError, match=r"curl: u maps a point \(3,\) to \(\)"):
        pde.curl(gaussian)(x)
    with pytest.raises(CompileError, match=r"u returns shape \(3, 3\)"):
        pde.hessian(lambda z: z[:, None] * z[None])(x)
    with pytest.raises(CompileError, match=r"u returns complex128"):
        pde.laplacian(lambda z: jax.lax.complex(z[0], z[1]))(x)
    with pytest.raises(CompileError, match=r"u returns a tuple"):
        pde.laplacian(lambda z: (z, z))(x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        CompileError, match=r"vectors are float64\(5, 2\) but points float64\(5, 3\)"
    ):
        pde.hvp(gaussian)(x, x[:, :2])
    with pytest.raises(CompileError, match=r"chunk_size is 0"):
        pde.laplacian(gaussian, chunk_size=0)(x)


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_fails_at_a_point_names_the_operator_and_the_shape(operator: Any) -> None:
    name = operator.__name__
    with pytest.raises(
        CompileError, match=rf"{name}: u fails on one point of shape \(3,\): dot_gen"
    ):
        operator(lambda z: z @ jnp.ones((2, 4)))(points(5, 3))


@pytest.mark.parametrize("wrong", [None, [[1.0, 2.0], [3.0]]])
def test_points_that_form_no_array_are_named(wrong: Any) -> None:
    with pytest.raises(CompileError, match="laplacian: points do not form an array"):
        pde.laplacian(gaussian)(wrong)
    with pytest.raises(CompileError, match="hvp: vectors do not form an array"):
        pde.hvp(gaussian)(points(2, 2), wrong)


def test_hints_never_drop_an_imaginary_part() -> None:
    with pytest.raises(CompileError) as caught:
        pde.grad(gaussian)(points(5, 3).astype(complex))
    assert "imaginary parts" in caught.value.hints[0]
    with pytest.raises(CompileError, match="u returns int") as caught:
        pde.laplacian(lambda z: jnp.round(z[0]).astype(int))(points(5, 3))
    assert "floating point" in caught.value.hints[0]


def test_any_integer_is_a_chunk_size() -> None:
    x = points(5, 3)
    found = pde.laplacian(gaussian, chunk_size=np.int64(2))(x)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found, pde.laplacian(gaussian)(x), rtol=1e-12)
    for wrong in (True, 2.0, 0):
        with pytest.raises(CompileError, match="chunk_size is"):
            pde.laplacian(gaussian, chunk_size=wrong)(x)  # pyright: ignore[reportArgumentType]
