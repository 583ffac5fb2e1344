"""Checkpointing and derivatives along a direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import graph, op
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import tolerance

RTOL, ATOL = tolerance(jnp.float32)
POLICIES = ["nothing", "products", "everything"]


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


def block(w, x):
    return jnp.sum(jnp.tanh(op.matmul(jnp.tanh(op.matmul(x, w)), w)))


def operands():
    a, b = jax.random.split(jax.random.key(0))
    return jax.random.normal(a, (4, 4)), jax.random.normal(b, (3, 4))


@pytest.mark.parametrize("policy", POLICIES)
def test_checkpointing_changes_no_value_and_no_derivative(policy):
    w, x = operands()
    kept = graph.checkpoint(policy=policy)(block)
    for transform in (
        lambda f: f,
        jax.grad,
        lambda f: jax.grad(lambda w, x: jax.grad(f)(w, x).sum()),
    ):
        np.testing.assert_allclose(transform(kept)(w, x), transform(block)(w, x), RTOL, 10 * ATOL)


def products_in_gradient(policy) -> int:
    f = block if policy is None else graph.checkpoint(block, policy=policy)
    return str(jax.make_jaxpr(jax.grad(f))(*operands())).count("tessera.matmul")


def test_what_is_kept_is_not_computed_again():
    plain = products_in_gradient(None)
    assert products_in_gradient("nothing") == plain + 2  # both products of the forward again
    assert products_in_gradient("products") == plain
    assert products_in_gradient("everything") == plain


def test_checkpoint_decorates():
    @graph.checkpoint
    def f(x):
        return jnp.sin(x)

    assert f.__name__ == "f"
    assert jax.grad(f)(0.0) == 1.0


def test_an_unknown_policy_is_refused():
    error = raised(lambda: graph.checkpoint(block, policy="some"))
    assert error.code is Code.E_GRAPH_INVALID
    assert "nothing, products, everything" in error.message
    assert raised(lambda: graph.checkpoint(3)).code is Code.E_GRAPH_INVALID


def test_forward_runs_and_pushes_tangents():
    w, x = operands()
    np.testing.assert_array_equal(graph.forward(op.matmul, (x, w)), op.matmul(x, w))
    y, dy = graph.forward(op.matmul, (x, w), (x, None))
    np.testing.assert_array_equal(y, op.matmul(x, w))
    np.testing.assert_array_equal(dy, y)
    assert graph.forward(jnp.square, jnp.float32(3)) == 9
    assert graph.forward(jnp.square, 3.0, 1.0) == (9, 6)


def test_jvp_of_a_pytree_is_linear_in_the_direction():
    point = {"a": jnp.float32(2), "b": [jnp.float32(3)], "n": jnp.int32(4)}

    def f(p):
        return p["a"] ** 2 * p["b"][0] * p["n"].astype(jnp.float32)

    assert graph.jvp(f, point, {"a": 1.0, "b": [None], "n": None}) == (48, 48)
    assert graph.jvp(f, point, {"a": 1.0, "b": [2.0], "n": None}) == (48, 80)


def test_hvp_is_the_hessian_times_the_direction():
    w, x = operands()
    v = jnp.ones_like(w)
    hessian = jax.hessian(block)(w, x).reshape(16, 16)
    expected = (hessian @ v.reshape(16)).reshape(4, 4)
    for wrt in (0, "w"):
        found = graph.hvp(block, wrt=wrt, dir=v, inputs=(w, x))
        np.testing.assert_allclose(found, expected, RTOL, 10 * ATOL)
    np.testing.assert_allclose(graph.hvp(lambda w: block(w, x), w, v), expected, RTOL, 10 * ATOL)


def test_hvp_of_an_equinox_module_has_its_structure():
    eqx = pytest.importorskip("equinox")
    net = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
    arrays = eqx.filter(net, eqx.is_inexact_array)

    def loss(net, x):
        return jnp.sum(net(x) ** 2)

    found = graph.hvp(loss, wrt="net", dir=arrays, inputs=(net, jnp.ones(2)))
    gradient = eqx.filter_grad(loss)
    _, expected = eqx.filter_jvp(gradient, (net, jnp.ones(2)), (arrays, jnp.zeros(2)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, RTOL, ATOL), found, expected)


@pytest.mark.parametrize(
    "direction", [jnp.ones(3), jnp.ones(2, jnp.bfloat16), [jnp.ones(2)], {"a": 1.0}]
)
def test_a_direction_that_does_not_fit_is_refused(direction):
    x = jnp.ones(2)
    for call in (
        lambda: graph.jvp(jnp.sin, x, direction),
        lambda: graph.forward(jnp.sin, (x,), (direction,)),
        lambda: graph.hvp(jnp.sum, x, direction),
    ):
        assert raised(call).code is Code.E_SHAPE_MISMATCH


def test_hvp_refuses_arguments_there_are_not_and_losses_that_are_no_scalars():
    for wrt in (2, "z", -1, 0.5):
        error = raised(lambda wrt=wrt: graph.hvp(block, wrt=wrt, dir=0.0, inputs=operands()))
        assert error.code is Code.E_GRAPH_INVALID
    assert (
        raised(lambda: graph.hvp(jnp.sin, jnp.ones(2), jnp.ones(2))).code is Code.E_SHAPE_MISMATCH
    )
