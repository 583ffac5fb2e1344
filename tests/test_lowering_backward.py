"""A gradient that is compiled whole gets the ops' own backwards: `ts.compile(jax.grad(f))`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tessera as ts

B, T, H, D = 2, 512, 2, 16


def masked(q, k, v):
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / jnp.sqrt(D)
    scores = jnp.where(jnp.tril(jnp.ones((T, T), bool)), scores, -jnp.inf)
    return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(scores, -1), v)


def by_hand(q, k, v):
    scores = jnp.einsum("bthd,bshd->bhts", q * D**-0.5, k)
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    return jnp.einsum("bhts,bshd->bthd", weights / weights.sum(-1, keepdims=True), v)


def of_the_library(q, k, v):
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


def loss_of(attention):
    return lambda q, k, v: jnp.sum(jnp.sin(attention(q, k, v)))


@pytest.fixture(scope="module")
def operands():
    return tuple(jax.random.normal(jax.random.key(0), (3, B, T, H, D)))


ATTENTIONS = [masked, by_hand, of_the_library]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_is_raised_with_its_backward(attention, operands):
    step = jax.value_and_grad(loss_of(attention), argnums=(0, 1, 2))
    text = ts.inspect(step, "graph", *operands)
    assert text.count("tessera.graph.flash_attention_forward") == 1
    assert text.count("tessera.graph.flash_attention_bwd") == 1
    assert f"{T}x{T}" not in text  # no score matrix is left
    # Sums of 512 products in another order: a few hundred roundings of values of size one.
    for got, want in zip(
        jax.tree.leaves(ts.compile(step)(*operands)), jax.tree.leaves(step(*operands)), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_one_array_as_query_key_and_value_gets_the_gradient_of_all_three(attention, operands):
    step = jax.grad(lambda x: jnp.sum(jnp.sin(attention(x, x, x))))
    (x, *_) = operands
    assert "tessera.graph.flash_attention_bwd" in ts.inspect(step, "graph", x)
    np.testing.assert_allclose(ts.compile(step)(x), step(x), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_gradient_of_one_operand_is_enough(which, operands):
    step = jax.grad(loss_of(masked), argnums=which)
    assert "flash_attention_bwd" in ts.inspect(step, "graph", *operands)
    np.testing.assert_allclose(ts.compile(step)(*operands), step(*operands), rtol=1e-3, atol=2e-4)


def test_attention_whose_weights_are_read_elsewhere_stays(operands):
    def loss(q, k, v):
        scores = jnp.einsum("bthd,bshd->bhts", q, k)
        weights = jax.nn.softmax(scores, -1)
        out = jnp.einsum("bhts,bshd->bthd", weights, v)
        return jnp.sum(jnp.sin(out)) + jnp.sum(weights**2)

    text = ts.inspect(jax.grad(loss), "graph", *operands)
    assert "flash_attention" not in text
    np.testing.assert_allclose(
        ts.compile(jax.grad(loss))(*operands), jax.grad(loss)(*operands), rtol=1e-3, atol=2e-4
    )


def test_second_derivatives_of_a_compiled_gradient_are_those_of_the_function(operands):
    small = tuple(x[:1, :64] for x in operands)
    plain = jax.grad(lambda q, k, v: jnp.sum(jnp.sin(by_hand(q, k, v))))
    got = jax.jvp(ts.compile(plain), small, small)[1]
    np.testing.assert_allclose(got, jax.jvp(plain, small, small)[1], rtol=1e-3, atol=2e-4)


# -- a residual stream: its cotangent is one more term of the sum that a norm's gradient is ----------------


def layernorm(x, w):
    mean = x.mean(-1, keepdims=True)
    variance = (x * x).mean(-1, keepdims=True) - mean**2
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * w[None, None]


def rmsnorm(x, w):
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[None, None]


def before(norm):
    return lambda x, w, m: x + jnp.tanh(norm(x, w) @ m)


def between(norm):
    return lambda x, w, m: norm(x + jnp.tanh(x @ m), w) + x


def twice(norm):
    def run(x, w, m):
        x = x + jnp.tanh(norm(x, w) @ m)
        return x + jnp.tanh(norm(x, 2 * w) @ m)

    return run


@pytest.mark.parametrize("norm", [layernorm, rmsnorm])
@pytest.mark.parametrize("block", [before, between, twice])
def test_a_norm_in_a_residual_stream_is_raised_with_its_backward(block, norm):
    run = block(norm)
    keys = jax.random.split(jax.random.key(3), 3)
    shapes = ((4, 16, 32), (32,), (32, 32))
    args = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
    step = jax.grad(lambda *args: jnp.sum(jnp.sin(run(*args))), argnums=(0, 1, 2))
    text = ts.inspect(step, "graph", *args)
    count = 2 if block is twice else 1
    assert text.count(f"tessera.graph.{norm.__name__}_bwd") == count
    assert text.count(f"tessera.graph.{norm.__name__}_forward") == count
    for got, want in zip(ts.compile(step)(*args), step(*args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)  # sums of 64 rows reordered
