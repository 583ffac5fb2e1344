"""What broke functions at a level once: custom derivatives, kept programs, odd operands, generators."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from tessera import dist, numerics, training
from tessera.core.errors import NumericsError

RNG = np.random.default_rng(0)


@jax.custom_vjp
def own(x):
    return jnp.sin(x)


# Twice the derivative there is, to see whose is used.
own.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * g * jnp.cos(x),))


@pytest.mark.parametrize("level", ["D3", "D4"])
def test_a_custom_backward_is_kept_and_computed_at_the_level(level):
    f = numerics.reproducible(own, level)
    np.testing.assert_allclose(jax.grad(f)(1.0), 2 * np.cos(1.0), rtol=1e-6)
    both = jax.vmap(jax.grad(f))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(both, 2 * np.cos([1.0, 2.0]), rtol=1e-6)


@pytest.mark.newest
def test_the_batch_may_be_the_columns_of_a_product():
    w = RNG.standard_normal((30, 100)).astype(np.float32)
    x = RNG.standard_normal((33, 100)).astype(np.float32)
    f = jax.jit(jax.vmap(numerics.reproducible(lambda x: w @ x, "D3")))
    assert len({np.asarray(f(x[:n])[0]).tobytes() for n in (1, 2, 8, 33)}) == 1


def test_equal_numbers_of_other_types_are_other_arguments():
    f = numerics.reproducible(lambda x, s: jnp.asarray(s), "D3")
    x = jnp.ones(1)
    assert [f(x, s).dtype.name for s in (2, 2.0)] == ["int32", "float32"]
    assert np.signbit(f(x, 0.0)) != np.signbit(f(x, -0.0))


def test_no_traced_value_is_kept():
    def outer(w):
        return numerics.reproducible(lambda x: x @ w, "D3")(jnp.ones((2, 3)))

    with jax.checking_leaks():
        jax.jit(outer)(jnp.ones((3, 2)))


def test_a_function_lives_no_longer_than_its_user_keeps_it():
    class Large:
        pass

    large = Large()
    seen = weakref.ref(large)
    numerics.reproducible(lambda x, large=large: x * 2, "D3")(jnp.ones(2))
    del large
    gc.collect()
    assert seen() is None


def test_generators_of_a_backend_keep_no_level():
    key = jax.random.key(0, impl="rbg")
    with pytest.raises(NumericsError, match="a generator of the backend's own"):
        numerics.reproducible(lambda k: jax.random.bits(k, (3,)), "D2")(key)


def test_modulus_and_sign_of_complex_numbers_are_not_exact():
    z = jnp.ones(3, jnp.complex64)
    assert not numerics.report(jnp.abs, "D4")(z).keeps
    assert not numerics.report(jnp.sign, "D4")(z).keeps


def test_negative_powers_are_quotients():
    assert not numerics.report(lambda x: x**-1, "D4")(jnp.ones(3)).keeps


def test_a_product_is_seen_through_calls_and_selects():
    x = jnp.ones(8)
    assert not numerics.report(lambda x: jax.jit(lambda a: a * a)(x) + x, "D2")(x).keeps
    assert not numerics.report(lambda x: jnp.where(x > 0, x * x, x) + x, "D2")(x).keeps
    assert numerics.report(lambda x: jax.jit(lambda a: a * a)(x), "D2")(x).keeps


def test_keys_and_empty_arrays_may_come_first_in_a_batch():
    def loss(w, keys, empty, x):
        del empty
        noise = jax.vmap(lambda k: jax.random.uniform(k, (1,)))(keys)
        return jnp.mean((x @ w + noise) ** 2)

    step = training.data_parallel(loss, mesh=dist.Mesh(axes=["dp"], devices=range(2)))
    keys = jax.random.split(jax.random.key(0), 16)
    value, _ = step(jnp.ones((5, 1)), keys, jnp.ones((16, 0)), jnp.ones((16, 5)))
    assert np.isfinite(value)


def test_gradients_of_products_keep_explicit_shardings():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    f = numerics.reproducible(lambda a, w: jnp.sum(jnp.tanh(a @ w)), "D3")
    a, w = np.ones((8, 4), np.float32), np.ones((4, 4), np.float32)
    with jax.set_mesh(mesh):
        placed = jax.device_put(a, P("d")), jax.device_put(w, P())
        found = jax.jit(jax.grad(f, (0, 1)))(*placed)
    for mine, theirs in zip(found, jax.grad(f, (0, 1))(a, w), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_integers_may_be_multiplied_as_floats():
    a = np.ones((2, 3), np.int8)
    f = numerics.reproducible(lambda a: lax.dot(a, a.T, preferred_element_type=jnp.float32), "D3")
    np.testing.assert_array_equal(f(a), np.full((2, 2), 3.0))
