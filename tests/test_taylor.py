"""Taylor mode through ops: no product with what does not vary, and coefficients by the tangent map."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.jet import jet

from tessera import op
from tessera.core.numerics import tolerance

pytestmark = pytest.mark.usefixtures("compiled_quickly")

KEYS = jax.random.split(jax.random.key(3), 8)
X, W, B, R = (
    jax.random.normal(key, shape)
    for key, shape in zip(KEYS, ((3, 4), (4, 5), (5,), (3, 5)), strict=False)
)


def products(function, *args):
    return str(jax.make_jaxpr(function)(*args)).count("dot_general")


def nested(function, operands, series):
    """Returns the derivatives of function along the curve of a series, by nested forward mode."""

    def on_curve(t):
        def point(x, terms):
            return x + sum(t ** (k + 1) / math.factorial(k + 1) * c for k, c in enumerate(terms))

        return function(*(point(x, s) for x, s in zip(operands, series, strict=True)))

    found, derivative = [], on_curve
    for _ in series[0]:
        derivative = slope(derivative)
        found.append(derivative(0.0))
    return found


def slope(function):
    return lambda t: jax.jvp(function, (t,), (1.0,))[1]


def curves(*operands, order=3):
    keys = jax.random.split(jax.random.key(8), order * len(operands)).reshape(len(operands), order)
    return [
        [jax.random.normal(k, x.shape) for k in row] for x, row in zip(operands, keys, strict=True)
    ]


@pytest.mark.parametrize("epilogue", ["", "bias", "bias_tanh_residual", "bias_gelu", "silu"])
def test_every_operand_of_a_product_may_vary(epilogue):
    words = {"epilogue": epilogue or None}
    words |= {"bias": B} if "bias" in epilogue else {}
    words |= {"residual": R} if "residual" in epilogue else {}
    extra = [x for name, x in (("bias", B), ("residual", R)) if name in words]

    def product(x, w, *more):
        return op.matmul(x, w, **words | dict(zip(list(words)[1:], more, strict=True)))

    operands = (X, W, *extra)
    series = curves(*operands)
    value, terms = jax.jit(lambda o, s: jet(product, o, s))(operands, series)
    np.testing.assert_allclose(value, product(*operands), *tolerance(jnp.float32))
    for found, expected in zip(terms, nested(product, operands, series), strict=True):
        np.testing.assert_allclose(
            found, expected, rtol=1e-4, atol=1e-4
        )  # sums of terms of size 100


def test_weights_that_do_not_vary_are_multiplied_once_per_coefficient():
    series = curves(X, order=2)

    def layer(x):
        return op.matmul(x, W, epilogue="bias_tanh", bias=B)

    def both(x, w):
        return op.matmul(x, w, epilogue="bias_tanh", bias=B)

    assert products(lambda x: jet(layer, (x,), series), X) == 3
    assert products(lambda x, w: jet(both, (x, w), (*series, *curves(W, order=2))), X, W) == 6
    assert (
        products(jax.jit(lambda x: jet(jax.vmap(layer), (x[None],), curves(x[None], order=2))), X)
        == 3
    )


def test_what_does_not_vary_is_told_from_what_does_in_any_nesting(x64):
    """A weight that depends on the input of Taylor mode inside an inner transformation varies."""
    w64, point = W.astype(jnp.float64), X.astype(jnp.float64)

    def inner_jit(x):
        return jax.jit(lambda w: op.matmul(x, w))(w64 * x.sum())

    def inner_jvp(x):
        return jax.jvp(lambda w: op.matmul(x, w * x[0, 0]), (w64,), (w64,))[1]

    def inner_grad(x):
        return jax.grad(lambda w: op.matmul(x, w, epilogue="tanh").sum())(w64 * x[0, 0])

    def closed_over(x):
        return jax.vmap(lambda row: op.matmul(row, w64 * x[0, 0]))(x)

    for function in (inner_jit, inner_jvp, inner_grad, closed_over):
        series = curves(point, order=2)
        _, terms = jet(function, (point,), series)
        for found, expected in zip(terms, nested(function, (point,), series), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_a_loss_of_a_taylor_coefficient_has_its_gradient():
    """As when a network is trained on a residual: outer reverse mode, weights constant to Taylor mode."""

    def loss(w):
        def layer(x):
            return op.matmul(op.sin(op.matmul(x, w, epilogue="bias", bias=B)), w.T)

        return jnp.sum(jet(layer, (X,), curves(X, order=2))[1][1] ** 2)

    def plain(w):
        def layer(x):
            return jnp.sin(x @ w + B) @ w.T

        (series,) = curves(X, order=2)
        return jnp.sum(nested(layer, (X,), [series])[1] ** 2)

    with jax.numpy_rank_promotion("allow"):
        np.testing.assert_allclose(jax.grad(loss)(W), jax.grad(plain)(W), rtol=1e-3)


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "asin", "acos", "cbrt"])
def test_a_tangent_map_gives_coefficients_to_order_four(name):
    function = getattr(op, name)
    x = jnp.array([0.3, 0.6, 0.8])
    (series,) = curves(x, order=4)
    series = [0.1 * term for term in series]
    _, terms = jet(function, (x,), (series,))
    for found, expected in zip(terms, nested(function, (x,), [series]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


SQUARE = jax.random.normal(KEYS[4], (4, 4))


def positive(a):
    return a @ a.T + 4 * jnp.eye(4)


def mixture(a):
    return op.moe(
        a, (lambda w, rows: op.tanh(rows @ w), jnp.stack([a, 2 * a])), scores=a[:, :2], k=1
    )


def doubled_until_large(a):
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1]) * a), (0, a))[
        1
    ]


WITHOUT_A_RULE_OF_JAX = {
    "cholesky": lambda a: op.cholesky(positive(a)),
    "cond": lambda a: op.if_then_else(a[0, 0] > 0, op.sin, op.cos, a),
    "moe": mixture,
    "norm": op.norm,
    "qr": lambda a: op.qr(a)[1],
    "reduce by a function": lambda a: op.reduce(lambda c, row: c * row, a, jnp.ones(4)),
    "reduce_prod": op.reduce_prod,
    "scan": lambda a: op.scan(lambda c, row: (c + row, c * row), a[0], a)[1],
    "solve": lambda a: op.solve(positive(a), a[0]),
    "solve by iterations": lambda a: op.solve(lambda v: positive(a) @ v, a[0], method="cg"),
    "svd": lambda a: op.svd(a)[1],
    "topk": lambda a: op.topk(a, 2)[1],
    "tri_solve": lambda a: op.tri_solve(positive(a), a),
    "while": doubled_until_large,
}


LONG = ("moe",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LONG else name
        for name in WITHOUT_A_RULE_OF_JAX
    ],
)
def test_what_jax_has_no_rule_for_has_one_by_forward_mode(name):
    function = WITHOUT_A_RULE_OF_JAX[name]
    series = [[0.1 * term for term in curves(SQUARE, order=2)[0]]]
    _, terms = jet(function, (SQUARE,), series)
    for found, expected in zip(terms, nested(function, (SQUARE,), series), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_an_integer_that_comes_of_what_varies_has_no_coefficients():
    def picked(a):
        return op.segment_reduce(W, (a[:, 0] > 0).astype(jnp.int32), num_segments=2)

    _, terms = jet(picked, (SQUARE,), curves(SQUARE, order=2))
    assert not any(np.any(term) for term in terms)
