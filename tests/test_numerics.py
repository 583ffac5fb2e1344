"""Dtype words, accumulation, keys and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera.core import numerics
from tessera.core.errors import Code, CompileError, DistributedError, TesseraError
from tessera.core.random import as_key


def test_every_word_names_its_dtype(x64):
    for word, expected in (
        ("fp32", "float32"),
        ("bf16", "bfloat16"),
        ("fp64", "float64"),
        ("bool", "bool"),
    ):
        assert numerics.dtype(word).name == expected
    assert numerics.dtype(np.float16) == jnp.float16


@pytest.mark.parametrize("word", ["fp64", "int64", "complex128", np.float64])
def test_64_bit_dtypes_need_64_bit_mode(word):
    with pytest.raises(CompileError, match="needs 64-bit mode") as caught:
        numerics.dtype(word)
    assert caught.value.code is Code.E_TARGET_CODEGEN
    assert "jax_enable_x64" in str(caught.value)


def test_an_unknown_word_lists_the_known_ones():
    with pytest.raises(CompileError, match="unknown dtype 'fp31'; one of fp64, fp32"):
        numerics.dtype("fp31")


@pytest.mark.parametrize("narrow", [jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn])
def test_narrow_floats_accumulate_in_fp32(narrow):
    assert numerics.accumulator(narrow) == jnp.float32


def test_tolerances_tighten_with_precision():
    words = [jnp.float8_e5m2, jnp.bfloat16, jnp.float16, "tf32", jnp.float32, jnp.float64]
    relative = [numerics.tolerance(word)[0] for word in words]
    assert relative == sorted(relative, reverse=True)
    for word in (jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64):
        assert numerics.tolerance(word)[0] > jnp.finfo(word).eps  # no dtype can do better


def test_keys_and_seeds_name_the_same_stream():
    expected = jax.random.key_data(jax.random.key(5))
    for key in (5, np.int32(5), jax.random.key(5), jax.random.PRNGKey(5)):
        np.testing.assert_array_equal(jax.random.key_data(as_key("draw", key)), expected)


@pytest.mark.parametrize("key", [None, 1.5, "seed", True, jnp.ones(3)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(
        CompileError, match=r"draw: key is .* it must be a JAX key or an int seed"
    ) as caught:
        as_key("draw", key)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_an_error_shows_code_place_and_hints_and_is_a_builtin_kind():
    error = CompileError(Code.E_OOM, "too big", hints=["smaller", "another"], where="f")
    assert str(error) == "too big (in f) [E_OOM]\n  hint: smaller\n  hint: another"
    assert isinstance(error, ValueError)
    assert isinstance(DistributedError(Code.E_TOPOLOGY, "few"), RuntimeError)
    assert isinstance(error, TesseraError)


def test_code_aliases_are_the_same_member():
    assert Code.TS_ERR_OOM is Code.E_OOM
    assert Code.TS_ERR_INVALID_ARG is Code.E_GRAPH_INVALID
