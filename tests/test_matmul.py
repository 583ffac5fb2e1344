"""`op.matmul`: epilogues, shapes and accumulation against NumPy in float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraError

KEYS = jax.random.split(jax.random.key(3), 4)
A = jax.random.normal(KEYS[0], (6, 5))
B = jax.random.normal(KEYS[1], (5, 4))
BIAS = jax.random.normal(KEYS[2], (4,))
RESIDUAL = jax.random.normal(KEYS[3], (6, 4))
Z = np.asarray(A, np.float64) @ np.asarray(B, np.float64)


def test_the_word_form_equals_numpy():
    z = Z + np.asarray(BIAS)
    expected = z * scipy.special.expit(z) + np.asarray(RESIDUAL)
    actual = op.matmul(A, B, epilogue="bias_silu_residual", bias=BIAS, residual=RESIDUAL)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_word_form_and_dict_form_give_equal_results():
    words = op.matmul(A, B, epilogue="bias_gelu_residual", bias=BIAS, residual=RESIDUAL)
    entries = {
        "add_bias": True,
        "bias": BIAS,
        "activation": "gelu",
        "add_residual": True,
        "residual": RESIDUAL,
    }
    np.testing.assert_array_equal(words, op.matmul(A, B, epilogue=entries))
    mixed = {"add_bias": True, "activation": "gelu", "add_residual": True}
    np.testing.assert_array_equal(
        words, op.matmul(A, B, epilogue=mixed, bias=BIAS, residual=RESIDUAL)
    )


def test_a_bias_and_a_residual_without_an_epilogue_are_added():
    actual = op.matmul(A, B, bias=BIAS, residual=RESIDUAL)
    np.testing.assert_allclose(actual, Z + np.asarray(BIAS) + np.asarray(RESIDUAL), rtol=1e-5)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5,), (5,)),
        ((5,), (5, 4)),
        ((6, 5), (5,)),
        ((2, 3, 6, 5), (3, 5, 4)),
        ((6, 5), (2, 5, 4)),
        ((3, 1, 6, 5), (2, 5, 4)),
    ],
)
def test_ranks_and_batches_act_as_in_numpy(left, right):
    a = jax.random.normal(KEYS[0], left)
    b = jax.random.normal(KEYS[1], right)
    expected = np.matmul(np.asarray(a, np.float64), np.asarray(b, np.float64))
    np.testing.assert_allclose(op.matmul(a, b), expected, rtol=1e-5, atol=1e-6)


def test_low_precision_is_summed_in_fp32():
    k = 4096
    a = jnp.full((1, k), 1.0, jnp.bfloat16)
    b = jnp.full((k, 1), 1.0, jnp.bfloat16)
    # Ones summed one after the other in bf16 would stop at 256.
    assert float(op.matmul(a, b, out_dtype="fp32")[0, 0]) == k
    assert op.matmul(a, b).dtype == jnp.bfloat16


def test_the_epilogue_of_low_precision_runs_in_fp32():
    a = A.astype(jnp.bfloat16)
    b = B.astype(jnp.bfloat16)
    z = np.asarray(a, np.float64) @ np.asarray(b, np.float64) + np.asarray(BIAS, np.float64)
    actual = op.matmul(a, b, epilogue="bias_tanh", bias=BIAS, out_dtype="fp32")
    np.testing.assert_allclose(actual, np.tanh(z), rtol=1e-5, atol=1e-6)


def test_integers_multiply_exactly():
    a = jnp.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(
        op.matmul(a, a.T), np.arange(6).reshape(2, 3) @ np.arange(6).reshape(2, 3).T
    )


def test_complex_products_equal_numpy():
    a = jax.lax.complex(A, A[::-1])
    np.testing.assert_allclose(op.matmul(a, B), np.asarray(a) @ np.asarray(B), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epilogue": "bias_swish", "bias": BIAS}, "unknown epilogue word 'swish'"),
        ({"epilogue": "relu_bias", "bias": BIAS}, "out of order"),
        ({"epilogue": "bias_bias", "bias": BIAS}, "out of order"),
        ({"epilogue": ""}, "unknown epilogue word ''"),
        ({"epilogue": "bias_relu"}, "bias= is missing"),
        ({"epilogue": "relu_residual"}, "residual= is missing"),
        ({"epilogue": "relu", "bias": BIAS}, "does not use it"),
        ({"epilogue": {"activation": "swish"}}, "unknown activation 'swish'"),
        ({"epilogue": {"act": "relu"}}, "unknown epilogue entry 'act'"),
        ({"epilogue": ["bias", "relu"]}, "the epilogue is a list"),
        ({"epilogue": 3}, "the epilogue is a int"),
        ({"bias": BIAS.astype(jnp.complex64)}, "bias is complex64 but the product float32"),
        ({"epilogue": {"bias": BIAS}, "bias": BIAS}, "given twice"),
        ({"accumulate": "fp33"}, "unknown dtype 'fp33'"),
        ({"precision": "fp33"}, "unknown precision 'fp33'"),
        ({"precision": "int8"}, "precision is int8, no float"),
        ({"tile_shape": (8, 8)}, r"tile_shape is \(8, 8\), not \(BM, BN, BK\)"),
        ({"tile_shape": (8, 0, 8)}, "with a size below 1"),
    ],
)
def test_a_bad_argument_is_refused(arguments, words):
    with pytest.raises(CompileError, match=words) as caught:
        op.matmul(A, B, **arguments)
    assert caught.value.code is Code.E_GRAPH_INVALID


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (A, A, "'k' is 5 in argument 'A' but 6 in argument 'B'"),
        (jnp.ones((2, 6, 5)), jnp.ones((3, 5, 4)), "do not broadcast"),
        (jnp.ones(()), B, "a scalar has no axis"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(a, b, words):
    with pytest.raises(CompileError, match=words) as caught:
        op.matmul(a, b)
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_what_an_integer_product_cannot_hold_is_refused():
    ones = jnp.ones((2, 2), jnp.int32)
    for name in ("bias", "residual"):
        with pytest.raises(CompileError, match=f"{name} is float32 but the product int32"):
            op.matmul(ones, ones, **{name: jnp.full((2,) if name == "bias" else (2, 2), 0.5)})


def test_an_activation_looks_at_the_promoted_dtype():
    ones = jnp.ones((2, 2), jnp.int32)
    for a, b in ((ones, ones.astype(jnp.float32)), (ones.astype(jnp.float32), ones)):
        np.testing.assert_allclose(op.matmul(a, b, epilogue="relu"), 2.0)


def test_an_activation_of_integers_is_refused():
    with pytest.raises(CompileError, match="needs floats"):
        op.matmul(jnp.ones((2, 2), jnp.int32), jnp.ones((2, 2), jnp.int32), epilogue="gelu")


def test_gradients_sum_over_a_shared_right_operand():
    a = jax.random.normal(KEYS[0], (2, 3, 5))
    gradient = jax.grad(lambda b: op.matmul(a, b).sum())(B)
    expected = np.repeat(np.asarray(a, np.float64).sum((0, 1))[:, None], 4, axis=1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


# -- precision, tiles, redundancy ----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["bf16", "fp16", "fp32", "tf32"])
def test_a_precision_is_the_dtype_of_the_operands(word):
    dtype = jnp.float32 if word == "tf32" else numerics.dtype(word)
    a, b = (np.asarray(jnp.asarray(x).astype(dtype), np.float64) for x in (A, B))
    found = op.matmul(A, B, precision=word)
    assert found.dtype == jnp.float32
    rtol, atol = numerics.tolerance("tf32" if word == "tf32" else jnp.float32)
    np.testing.assert_allclose(found, a @ b, rtol, atol)


def test_fp64_is_computed_where_it_is_on_and_refused_elsewhere():
    with pytest.raises(CompileError, match="64-bit mode") as caught:
        op.matmul(A, B, precision="fp64")
    assert caught.value.code is Code.E_TARGET_CODEGEN
    with jax.enable_x64(True):
        wide = op.matmul(A, B, precision="fp64", out_dtype="fp64")
        np.testing.assert_allclose(wide, Z, 1e-14, 1e-14)


def test_a_precision_is_that_of_the_backward_and_of_the_program():
    def product(a, b):
        return op.matmul(a, b, precision="fp32", epilogue="relu").sum()

    text = jax.jit(jax.grad(product, (0, 1))).lower(A, B).as_text()
    assert text.count("precision = [HIGHEST, HIGHEST]") == text.count("stablehlo.dot_general") == 3
    narrow = jax.grad(lambda a: op.matmul(a, B, precision="bf16").sum())(A)
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, np.tile(np.asarray(B).sum(1), (6, 1)), 2e-2, 2e-2)


def test_integers_have_no_precision():
    with pytest.raises(CompileError, match="is of floats, but the product is int32"):
        op.matmul(jnp.ones((2, 2), jnp.int32), jnp.ones((2, 2), jnp.int32), precision="fp32")


def test_a_tile_shape_is_the_tile_of_the_program_and_stays_with_an_epilogue():
    a, b, c = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((256, 128), (128, 256), (1, 256)))

    def layer(a, b, c):
        return jax.nn.relu(op.matmul(a, b, tile_shape=[32, 64, 16]) + c)

    for target in ("cpu", "cuda"):
        text = ts.inspect(layer, "schedule", a, b, c, target=target)
        assert text.count("tile = array<i64: 32, 64>") == text.count("inner = 16") == 1
    assert 'activation = "relu"' in ts.inspect(layer, "graph", a, b, c)


def test_a_redundant_product_is_the_product_and_keeps_its_derivatives():
    def product(a, b, redundant):
        return op.matmul(a, b, bias=BIAS, epilogue="bias_gelu", redundant=redundant)

    np.testing.assert_array_equal(product(A, B, True), product(A, B, False))
    pulled = [jax.grad(lambda a, r=r: product(a, B, r).sum())(A) for r in (True, False)]
    np.testing.assert_array_equal(*pulled)
    mapped = jax.vmap(lambda a: op.matmul(a, B, redundant=True))(jnp.stack([A, 2 * A]))
    np.testing.assert_allclose(mapped[1], 2 * Z, rtol=1e-5, atol=1e-6)


@pytest.mark.newest
def test_xla_computes_both_evaluations():
    compiled = jax.jit(lambda a, b: op.matmul(a, b, redundant=True)).lower(A, B).compile()
    text = compiled.as_text()
    body = re.search(r"body=%([\w.-]+)", text)
    assert body is not None
    turn = text[text.index(f"%{body[1]} (") :].partition("\n}")[0]
    assert " dot(" in turn or "calls=%fused" in turn  # not moved out of the loop, which turns twice
    assert '"known_trip_count":{"n":"2"' in text
    np.testing.assert_array_equal(compiled(A, B), op.matmul(A, B))


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eagerly", "under jit"])
def test_a_wrong_bit_is_an_error_with_both_digests(run, monkeypatch):
    bind, times = op.matmul.bind, []

    def flip_the_second_time(y):
        times.append(1)
        bits = y.copy().view(np.uint32)
        bits[0, 0] ^= len(times) == 2
        return bits.view(np.float32)

    def faulty(*operands, **statics):
        y = bind(*operands, **statics)
        return jax.pure_callback(lambda y: flip_the_second_time(np.asarray(y)), y, y)

    monkeypatch.setattr(op.matmul, "bind", faulty)
    with (
        pytest.raises(TesseraError, match=r"differ in 1 words.* \w{8} and \w{8}") as caught,
        ts.checks(),
    ):
        run(lambda a: op.matmul(a, B, redundant=True))(A)
    assert caught.value.code is Code.E_DRIVER
    digests = re.findall(r"\b[0-9a-f]{8}\b", str(caught.value))
    assert len(set(digests)) == 2
