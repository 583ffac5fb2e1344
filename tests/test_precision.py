"""Casting, precision recipes and the scopes around them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core import determinism, precision
from tessera.core.errors import Code, TesseraError, TesseraWarning
from tessera.core.precision import Policy

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def refused(call) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        call()
    return caught.value


# -- scopes -------------------------------------------------------------------------------------------------


def test_the_innermost_policy_counts_and_ends_with_its_scope():
    assert precision.current_policy() == "fp32"
    with precision.policy("fp8"):
        with precision.policy("mixed"):
            assert precision.current_policy() == "mixed"
        assert precision.current_policy() == "fp8"
    assert precision.current_policy() == "fp32"


def test_a_scope_ends_when_an_error_leaves_it():
    with pytest.raises(KeyError), precision.policy("fp8"), precision.casting("strict"):
        raise KeyError
    assert precision.current() == precision.Numerics(None, None, Policy(), "promote")


@pytest.mark.parametrize(
    ("enter", "read"),
    [
        (lambda i: precision.policy(("fp8", "mixed")[i]), precision.current_policy),
        (lambda i: precision.casting(("strict", "downcast")[i]), precision.current_casting),
        (lambda i: precision.reduction(("exact", "tree")[i]), precision.current_reduction),
    ],
)
def test_a_compiled_function_is_traced_once_for_each_setting(enter, read):
    found = []
    run = jax.jit(lambda x: found.append(read()) or x)
    for i in (0, 1, 1, 0):
        with enter(i):
            run(1.0)
    run(1.0)
    run(1.0)
    assert len(found) == len(set(found)) == 3


def test_a_word_sets_the_axis_that_owns_it_and_leaves_the_others():
    with precision.policy("mixed"), precision.policy("kahan_sum"), precision.policy("strict"):
        found = precision.current()
    assert found == precision.Numerics("D4", "kahan", Policy("bf16"), "promote")
    with precision.policy("deterministic"):
        assert determinism.current_level() == "D1"
    with precision.policy("D3"):
        assert precision.current().determinism == "D3"


def test_strict_is_casting_on_one_axis_and_determinism_on_the_other():
    with precision.casting("strict"):
        assert precision.current().determinism is None
    with precision.policy("strict"):
        assert precision.current().casting == "promote"


@pytest.mark.parametrize(
    ("preset", "recipe"), [("safe", "fp32"), ("standard", "mixed"), ("aggressive", "fp8")]
)
def test_a_preset_is_a_recipe(preset, recipe):
    with precision.policy(preset):
        assert precision.current_policy() == recipe
        as_preset = precision.current()
    with precision.policy(recipe):
        assert precision.current() == as_preset


def test_a_value_carries_its_determinism_level_into_the_scope():
    with precision.policy(op.numeric("bf16", deterministic=True)):
        assert precision.current().determinism == "D1"
        assert precision.current_policy() == "mixed"
    assert precision.current().determinism is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: precision.policy("fp4").__enter__(), "'fp4'; one of fp32, mixed, fp8, tf32, safe"),
        (lambda: precision.policy(3).__enter__(), "unknown word 3"),
        (lambda: precision.casting("loose").__enter__(), "promote, strict, downcast"),
        (lambda: precision.reduction("sorted").__enter__(), "naive, tree"),
        (lambda: op.numeric("fp4"), "tf32, fp64, fp32, bf16, fp16, fp8_e4m3"),
        (lambda: op.numeric("int8"), "unknown dtype 'int8'"),
        (lambda: op.numeric("bf16", accum="fp16"), "unknown accum"),
        (lambda: op.numeric("bf16", scale="per_tensor"), "of fp8_e4m3"),
        (lambda: op.numeric("fp8_e4m3", scale="per_row"), "per_tensor, per_channel"),
        (lambda: op.numeric(deterministic="D9"), "D9"),
    ],
)
def test_an_unknown_word_lists_the_known_ones(call, says):
    error = refused(call)
    assert error.code is Code.E_GRAPH_INVALID
    assert says in str(error)


def test_products_in_double_precision_need_64_bit_mode():
    error = refused(lambda: op.numeric("fp64"))
    assert error.code is Code.E_TARGET_CODEGEN
    assert "jax_enable_x64" in str(error)


# -- casting ------------------------------------------------------------------------------------------------

X, W = normal(3, 4), normal(4, 2)
MIXED = {
    "add": lambda: op.add(X, X.astype(jnp.bfloat16)),
    "einsum": lambda: op.einsum("ij,jk->ik", X, W.astype(jnp.float16)),
    "conv1d": lambda: op.conv1d(X[None], W[None].astype(jnp.bfloat16)),
    "gemm": lambda: op.gemm(X, W, jnp.ones((3, 2), jnp.bfloat16), beta=1.0),
    "matmul": lambda: op.matmul(X, W.astype(jnp.bfloat16)),
    "mse": lambda: op.mse(X, X.astype(jnp.bfloat16)),
    "solve": lambda: op.solve(jnp.eye(2), jnp.ones(2, jnp.bfloat16)),
    "tri_solve": lambda: op.tri_solve(jnp.eye(2), jnp.ones(2, jnp.bfloat16)),
    "factorized_matmul": lambda: op.factorized_matmul(X, W.astype(jnp.bfloat16), rank=1),
    "performer_attention": lambda: op.performer_attention(X, X, X.astype(jnp.bfloat16)),
    "flash_attention": lambda: op.flash_attention(X[None], X[None], X[None].astype(jnp.bfloat16)),
}


@pytest.mark.parametrize("name", MIXED)
def test_strict_casting_refuses_operands_of_two_dtypes_and_names_them(name):
    jax.eval_shape(MIXED[name])
    with precision.casting("strict"):
        error = refused(MIXED[name])
    assert error.code is Code.E_GRAPH_INVALID
    assert "float32" in str(error)
    assert "float16" in str(error)  # it is part of "bfloat16"
    assert "the casting policy is strict" in str(error)


def test_strict_casting_lets_alike_operands_and_python_scalars_pass():
    with precision.casting("strict"):
        found = op.add(op.mul(X, 2.0), X)
        narrow = op.layernorm(X.astype(jnp.bfloat16), weight=jnp.ones(4))
    np.testing.assert_array_equal(found, 3 * X)
    assert narrow.dtype == jnp.bfloat16


def test_casting_is_that_of_plain_jax_too():
    narrow = X.astype(jnp.bfloat16)
    with precision.casting("promote"):
        assert (X + narrow).dtype == jnp.float32
    with precision.casting("strict"), pytest.raises(Exception, match="promotion"):
        _ = X + narrow


def test_promotion_takes_the_dtype_that_holds_both():
    assert op.add(X.astype(jnp.float16), X).dtype == jnp.float32
    assert op.add(X.astype(jnp.float16), X.astype(jnp.bfloat16)).dtype == jnp.float32


def test_a_narrowing_cast_warns_where_narrowing_is_asked_to_be_told():
    op.cast(X, "bf16")
    with precision.casting("downcast"):
        with pytest.warns(TesseraWarning, match="cast: float32 is narrowed to bfloat16"):
            op.cast(X, "bf16")
        op.cast(X.astype(jnp.bfloat16), "fp32")
        op.cast(X, "int32")
        assert op.add(X, X.astype(jnp.bfloat16)).dtype == jnp.float32


# -- products that are no op --------------------------------------------------------------------------------


def rounded(x, dtype):
    return np.asarray(x.astype(dtype), np.float64)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_einsum_multiplies_operands_of_the_policy_and_keeps_the_sum(dtype):
    a, b = normal(5, 40), normal(40, 3)
    with precision.policy(op.numeric(dtype)):
        found = op.einsum("ij,jk->ik", a, b)
    kind = {"bf16": jnp.bfloat16, "fp16": jnp.float16}[dtype]
    assert found.dtype == jnp.float32
    # Products of operands of at most 11 bits are exact in fp32: 40 of them are added.
    np.testing.assert_allclose(found, rounded(a, kind) @ rounded(b, kind), rtol=0, atol=1e-5)
    assert np.max(np.abs(found - np.asarray(a, np.float64) @ np.asarray(b, np.float64))) > 1e-4


def test_a_convolution_multiplies_operands_of_the_policy_and_differentiates():
    x, w = normal(1, 9, 3), normal(3, 3, 2)

    def run(x, w):
        return op.conv1d(x, w)

    with precision.policy("mixed"):
        found = run(x, w)
        gradient = jax.grad(lambda x, w: jnp.sum(run(x, w)), (0, 1))(x, w)
        tangent = jax.jvp(run, (x, w), (x, w))[1]
    windows = np.lib.stride_tricks.sliding_window_view(rounded(x, jnp.bfloat16), 3, 1)
    expected = np.einsum("bpcs,sco->bpo", windows, rounded(w, jnp.bfloat16))
    assert found.dtype == tangent.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(tangent, 2 * found, rtol=0, atol=1e-5)
    assert [g.dtype for g in gradient] == [jnp.float32] * 2
    of_w = windows.sum((0, 1)).T[..., None]
    np.testing.assert_allclose(gradient[1], np.broadcast_to(of_w, w.shape), rtol=2**-8, atol=1e-2)


def test_a_scale_of_fp8_is_a_power_of_two_so_what_has_4_bits_stays():
    # Of 4 bits, so e4m3 holds them under any power of two.
    few = jnp.asarray(RNG.choice([0.0, 0.5, 1.0, 1.25, 1.5, -1.875], (4, 6)) * 1024, jnp.float32)
    with precision.policy("fp8"):
        cast = precision.for_product("einsum", [few], {})[0][0]
    assert cast is not None
    assert cast.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(cast, np.float32), few)


def test_operands_in_fp8_are_within_its_half_step():
    x = normal(64, 8) * jnp.exp2(jnp.arange(8.0))[None]
    for scale in ("per_tensor", "per_channel"):
        with precision.policy(op.numeric("fp8_e4m3", scale=scale)):
            cast = precision.for_product("matmul", [x.T, x], {})[0]
        for found, exact, axis in ((cast[0], x.T, 1), (cast[1], x, 0)):
            assert found is not None
            wide, exact = np.asarray(found, np.float64), np.asarray(exact, np.float64)
            most = np.max(
                np.abs(exact), axis=axis if scale == "per_channel" else None, keepdims=True
            )
            # Half a step: 2^-4 of the number, and at the bottom 2^-10 of a scale of at most most / 224.
            assert np.all(
                np.abs(wide - exact) <= np.maximum(np.abs(exact) / 16, most / 224 / 2**10)
            )


def test_what_is_not_finite_stays_so_in_fp8():
    x = jnp.array([[1.0, jnp.inf], [-jnp.inf, jnp.nan]])
    with precision.policy("fp8"):
        found = precision.for_product("einsum", [x], {})[0][0]
    np.testing.assert_array_equal(np.asarray(found, np.float32), x)


def test_rounding_to_fp8_counts_as_the_identity_in_derivatives():
    x = normal(3, 4)

    def f(x):
        return op.einsum("ij->i", x)

    with precision.policy("fp8"):
        np.testing.assert_allclose(jax.grad(lambda x: f(x).sum())(x), np.ones((3, 4)), rtol=2**-8)
        tangent = jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    np.testing.assert_array_equal(tangent, np.full(3, 4.0))


def test_narrowing_at_random_depends_on_the_operand_alone():
    x = normal(8, 16)
    with precision.policy(op.numeric("bf16", stochastic_round=True)):
        run = jax.jit(lambda x: precision.for_product("einsum", [x], {})[0][0])
        found, again, other = run(x), run(x), run(-2 * x)
    np.testing.assert_array_equal(found, again)
    assert np.any(np.asarray(other, np.float32) != -2 * np.asarray(found, np.float32))
    step = 2.0 ** (np.floor(np.log2(np.abs(np.asarray(x)))) - 7)
    assert np.all(np.abs(np.asarray(found, np.float32) - x) < step)
    with precision.policy(op.numeric("bf16", stochastic_round=True)):
        gradient = jax.grad(lambda x: jnp.sum(op.einsum("ij,ij->i", x, x)))(x)
    np.testing.assert_allclose(gradient, 2 * x, rtol=2**-6)


@pytest.mark.parametrize(("word", "how"), [("fp32", "HIGHEST"), ("tf32", "HIGH"), ("mixed", None)])
def test_products_of_fp32_are_formed_as_the_policy_says(word, how):
    def asked(f, *xs) -> str:
        with precision.policy(word):
            return str(jax.make_jaxpr(f)(*xs))

    for text in (
        asked(lambda a, b: op.einsum("ij,jk->ik", a, b), X, W),
        asked(lambda x, w: op.conv1d(x, w), X[None], W[None]),
    ):
        assert ("bf16" in text) == (word == "mixed")
        assert how is None or f"Precision.{how}" in text
    assert how is None or f"Precision.{how}" in asked(lambda a, b: a @ b, X, W)


def test_fp32_widens_narrow_operands_and_gives_their_dtype():
    a, b = X.astype(jnp.bfloat16), W.astype(jnp.bfloat16)
    with precision.policy("fp32"):
        text = str(jax.make_jaxpr(lambda a, b: op.einsum("ij,jk->ik", a, b))(a, b))
        assert op.einsum("ij,jk->ik", a, b).dtype == jnp.bfloat16
    assert "f32[3,4]" in text


def test_double_precision_products_are_rounded_once(x64):
    a, b = normal(6, 50), normal(50, 6)
    with precision.policy(op.numeric("fp64")):
        found = op.einsum("ij,jk->ik", a, b)
    exact = (np.asarray(a, np.float64) @ np.asarray(b, np.float64)).astype(np.float32)
    np.testing.assert_array_max_ulp(np.asarray(found), exact, maxulp=1)
    assert found.dtype == jnp.float32
