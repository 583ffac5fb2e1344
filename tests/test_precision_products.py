"""What a precision policy does to operators: to their products, and to nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core import numerics, precision
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op

# No version of JAX changes it; the oldest is tried by the tests of levels and ops.
pytestmark = pytest.mark.newest

RNG = np.random.default_rng(1)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def exact(x) -> np.ndarray:
    return np.asarray(x, np.float64)


def in_bf16(x) -> np.ndarray:
    return exact(x.astype(jnp.bfloat16))


X, W, BIAS = normal(5, 64), normal(64, 3), normal(3)
SIZES = jnp.array([2, 3])
Q = normal(2, 7, 8)

# The result as a function of operands, which the policy rounds.
PRODUCTS = {
    "matmul": (lambda x, w: op.matmul(x, w, bias=BIAS), (X, W)),
    "gemm": (lambda x, w: op.gemm(x, w, alpha=2.0), (X, W)),
    "batched_gemm": (op.batched_gemm, (X[None], W[None])),
    "einsum": (lambda x, w: op.einsum("ij,jk->ik", x, w), (X, W)),
    "grouped_matmul": (lambda x, w: op.grouped_matmul(x, w, SIZES), (X, jnp.stack([W, -W]))),
    "bsmm": (lambda x, w: op.bsmm(x, op.BSR(64, 3, [[True]], w)), (X, W[None])),
    "flash_attention": (lambda q, k: op.flash_attention(q, k, k), (Q, normal(2, 6, 8))),
    "conv1d": (lambda x, w: op.conv1d(x[None], w[None]), (X, W)),
}
QUICK = {"matmul", "flash_attention", "conv1d"}
SOME = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PRODUCTS]
# Their results are cast back from bf16: rounded once.
ROUNDED = {"grouped_matmul", "bsmm", "flash_attention"}


@pytest.mark.parametrize("name", PRODUCTS)
def test_mixed_computes_a_product_of_operands_in_bf16_and_gives_fp32(name):
    run, operands = PRODUCTS[name]
    plain = run(*(x.astype(jnp.bfloat16).astype(jnp.float32) for x in operands))
    with precision.policy("mixed"):
        found = run(*operands)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, plain, rtol=2.0**-8 if name in ROUNDED else 0, atol=2e-5)
    assert np.max(np.abs(exact(found) - exact(run(*operands)))) > 1e-4


@pytest.mark.parametrize("name", SOME)
def test_derivatives_of_a_mixed_product_have_the_dtype_of_its_operands(name):
    run, operands = PRODUCTS[name]

    def loss(*operands):
        return jnp.sum(jnp.sin(run(*operands)))

    plain = jax.grad(loss, (0, 1))(*operands)
    with precision.policy("mixed"):
        found = jax.jit(jax.grad(loss, (0, 1)))(*operands)
    for a, b in zip(found, plain, strict=True):
        assert a.dtype == jnp.float32
        # bf16 has 8 bits, and the sine of a result of size 10 moves by what that loses.
        assert np.linalg.norm(exact(a - b)) <= 0.1 * np.linalg.norm(exact(b))


def test_a_product_keeps_its_sum_of_fp32_unrounded():
    with precision.policy("mixed"):
        found = op.matmul(X, W)
    np.testing.assert_allclose(found, in_bf16(X) @ in_bf16(W), rtol=0, atol=1e-4)
    assert bool(jnp.any(found != found.astype(jnp.bfloat16).astype(jnp.float32)))


def test_a_bias_and_a_residual_are_not_rounded():
    bias, zero = jnp.full(3, 1 + 2.0**-20), jnp.zeros((5, 3))
    with precision.policy("mixed"):
        found = op.matmul(jnp.zeros((5, 64)), W, bias=bias, residual=zero + 2.0**-21)
    np.testing.assert_array_equal(found, np.full((5, 3), 1 + 2.0**-20 + 2.0**-21, np.float32))


OTHERS = {
    "softmax": lambda: op.softmax(X),
    "layernorm": lambda: op.layernorm(X),
    "rmsnorm": lambda: op.rmsnorm(X),
    "reduce_sum": lambda: op.reduce_sum(X),
    "mse": lambda: op.mse(X, 2 * X),
    "cross_entropy": lambda: op.cross_entropy(X, jnp.arange(5)),
    "gelu": lambda: op.gelu(X),
}


@pytest.mark.parametrize(
    "word", ["fp8", *(pytest.param(w, marks=pytest.mark.slow) for w in ("mixed", "tf32"))]
)
def test_what_is_no_product_is_as_without_a_policy(word):
    plain = {name: call() for name, call in OTHERS.items()}
    with precision.policy(word):
        for name, call in OTHERS.items():
            np.testing.assert_array_equal(call(), plain[name], err_msg=name)


def test_parameters_of_a_layer_stay_in_fp32_and_its_gradients_too():
    layer = op.linear(64, 3, key=0)
    with precision.policy("mixed"):
        gradient = jax.grad(lambda layer: jnp.sum(layer(X)))(layer)
    assert layer.weight.dtype == gradient.weight.dtype == jnp.float32
    np.testing.assert_allclose(gradient.bias, np.full(3, 5.0))
    columns = in_bf16(X).sum(0)[:, None]
    np.testing.assert_allclose(gradient.weight, np.broadcast_to(columns, (64, 3)), rtol=2**-8)


def test_the_operator_argument_counts_before_the_scope():
    plain = op.matmul(X, W, precision="fp32")
    with precision.policy("mixed"):
        np.testing.assert_array_equal(op.matmul(X, W, precision="fp32"), plain)
        np.testing.assert_array_equal(op.matmul(X, W, policy="fp32"), plain)
        mixed = op.matmul(X, W)
    np.testing.assert_array_equal(op.matmul(X, W, policy="mixed"), mixed)
    np.testing.assert_array_equal(op.matmul(X, W, policy=op.numeric("bf16")), mixed)
    assert bool(jnp.any(mixed != plain))


def test_wide_and_narrow_operands_keep_their_dtype_under_a_mixed_policy(x64):
    wide = X.astype(jnp.float64), W.astype(jnp.float64)
    narrow = X.astype(jnp.float16), W.astype(jnp.float16)
    for operands in (wide, narrow):
        plain = op.matmul(*operands)
        with precision.policy("mixed"):
            np.testing.assert_array_equal(op.matmul(*operands), plain)


@pytest.mark.parametrize("scale", ["per_tensor", "per_channel"])
def test_products_in_fp8_are_as_good_as_8_bits(scale):
    with precision.policy(op.numeric("fp8_e4m3", scale=scale)):
        found = op.matmul(X, W)
        a, b = precision.for_product("matmul", [X, W], {})[0]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact(a) @ exact(b), rtol=0, atol=1e-4)
    # Each operand is within 2^-4 of itself.
    bound = (2 / 16 + 1 / 256) * (np.abs(exact(X)) @ np.abs(exact(W)))
    assert np.all(np.abs(exact(found) - exact(X) @ exact(W)) <= bound)


def test_a_scale_per_channel_holds_rows_of_any_size_in_fp8():
    rows = jnp.array([2.0**-16, 1, 4, 2.0**10, 2.0**16])[:, None] * X

    def product(scale):
        with precision.policy(op.numeric("fp8_e4m3", scale=scale)):
            return exact(op.matmul(rows, W))

    error = np.abs(product("per_channel") - exact(rows) @ exact(W))
    assert np.all(error <= (2 / 16 + 1 / 256) * (np.abs(exact(rows)) @ np.abs(exact(W))))
    assert not product("per_tensor")[0].any()  # 18 bits below the largest e4m3 has nothing


def test_gradients_of_fp8_go_through_rounding():
    with precision.policy("fp8"):
        found = jax.grad(lambda x: jnp.sum(op.matmul(x, W)))(X)
        tangent = jax.jvp(lambda x: op.matmul(x, W), (X,), (jnp.ones_like(X),))[1]
        a, b = precision.for_product("matmul", [X, W], {})[0]
    rows = exact(b).sum(1)[None, :]
    np.testing.assert_allclose(found, np.broadcast_to(rows, X.shape), rtol=2**-8, atol=1e-6)
    np.testing.assert_allclose(tangent, np.ones(X.shape) @ exact(b), rtol=1e-5, atol=1e-5)
    assert a is not None


@pytest.mark.parametrize("word", ["fp8", pytest.param("mixed", marks=pytest.mark.slow)])
def test_a_product_of_a_policy_is_closed_under_transformation(word):
    def f(x):
        return op.matmul(jnp.sin(x), W)

    with precision.policy(word):
        hessian = jax.jit(jax.hessian(lambda x: jnp.sum(f(x)[0] ** 2)))(X[:1])
        mapped = jax.vmap(f)(jnp.stack([X, 2 * X]))
        whole = f(X)
    assert hessian.shape == (1, 64, 1, 64)
    assert bool(jnp.all(jnp.isfinite(hessian)))
    np.testing.assert_allclose(mapped[0], whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("word", "how"), [("fp32", "HIGHEST"), ("tf32", "HIGH")])
def test_ops_hand_the_way_of_multiplying_on(word, how):
    def lowered(f, *xs) -> str:
        with precision.policy(word):
            return jax.jit(f).lower(*xs).as_text()

    for f, xs in ((op.matmul, (X, W)), (lambda q: op.flash_attention(q, q, q), (Q,))):
        text = lowered(f, *xs)
        assert f"precision = [{how}, {how}]" in text
        assert "bf16" not in text


def test_a_narrow_accumulator_is_taken_where_it_is_asked_for():
    with precision.policy(op.numeric("bf16", accum="bf16")):
        text = jax.jit(op.matmul).lower(X, W).as_text()
        found = op.matmul(X, W)
    assert "-> tensor<5x3xbf16>" in text
    assert found.dtype == jnp.float32


def test_every_product_of_the_table_is_an_operator():
    for name in set(precision.PRODUCTS) - {"einsum", "conv"}:
        assert len(precision.PRODUCTS[name]) <= len(registered_op(name).operand_names)


def test_strict_casting_names_the_op():
    with (
        precision.casting("strict"),
        pytest.raises(CompileError, match="matmul: operands") as caught,
    ):
        op.matmul(X, W.astype(jnp.bfloat16))
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_the_mixed_result_is_within_the_tolerance_of_bf16():
    relative, absolute = numerics.tolerance("bfloat16")
    with precision.policy("mixed"):
        found = op.matmul(X / 8, W)
    np.testing.assert_allclose(found, exact(X / 8) @ exact(W), rtol=relative, atol=absolute * 2)
