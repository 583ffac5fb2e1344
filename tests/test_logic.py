"""Logic of booleans, bits and degrees of truth."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tessera.core.errors import Code, CompileError
from tessera.ops.logic import logic_and, logic_not, logic_or, logic_xor
from tessera.ops.recursive import recursive

LOGICS = ["product", "godel", "lukasiewicz"]
BINARY = {"and": logic_and, "or": logic_or, "xor": logic_xor}
DEGREES = np.linspace(0, 1, 5, dtype=np.float32)  # binary fractions: every formula is exact on them


def conjunction(a: float, b: float, logic: str) -> float:
    return {"product": a * b, "godel": min(a, b), "lukasiewicz": max(0.0, a + b - 1)}[logic]


def disjunction(a: float, b: float, logic: str) -> float:
    """By De Morgan's law, which holds in all three."""
    return 1 - conjunction(1 - a, 1 - b, logic)


def exclusion(a: float, b: float, logic: str) -> float:
    if logic == "product":  # the polynomial that agrees with xor on 0 and 1 and is linear in each
        return a * (1 - b) + b * (1 - a)
    either, other = conjunction(a, 1 - b, logic), conjunction(1 - a, b, logic)
    return disjunction(either, other, logic)


DEFINITIONS = {"and": conjunction, "or": disjunction, "xor": exclusion}


@pytest.mark.parametrize("word", BINARY)
@pytest.mark.parametrize("logic", LOGICS)
def test_degrees_of_truth_follow_their_logic(word, logic):
    table = BINARY[word](DEGREES[:, None], DEGREES, logic=logic)
    expected = [[DEFINITIONS[word](float(a), float(b), logic) for b in DEGREES] for a in DEGREES]
    np.testing.assert_array_equal(table, np.array(expected, np.float32))


@pytest.mark.parametrize("word", BINARY)
@pytest.mark.parametrize("logic", LOGICS)
def test_booleans_and_degrees_zero_and_one_are_classical(word, logic):
    python = {"and": lambda a, b: a and b, "or": lambda a, b: a or b, "xor": lambda a, b: a != b}
    for a, b in itertools.product([False, True], repeat=2):
        truth = python[word](a, b)
        found = BINARY[word](np.array(a), np.array(b), logic=logic)
        assert found.dtype == jnp.bool_
        assert bool(found) == truth
        assert float(BINARY[word](float(a), float(b), logic=logic)) == float(truth)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16])
def test_integers_are_bitwise(dtype):
    a, b = np.array([0, 1, 12, 93], dtype), np.array([7, 3, 10, 61], dtype)
    np.testing.assert_array_equal(logic_and(a, b), a & b)
    np.testing.assert_array_equal(logic_or(a, b), a | b)
    np.testing.assert_array_equal(logic_xor(a, b), a ^ b)
    np.testing.assert_array_equal(logic_not(jnp.asarray(a)), ~a)
    assert logic_not(jnp.asarray(a)).dtype == dtype


def test_negation_is_the_complement():
    np.testing.assert_array_equal(logic_not(jnp.asarray(DEGREES)), 1 - DEGREES)
    np.testing.assert_array_equal(logic_not(jnp.array([True, False])), [False, True])


@pytest.mark.parametrize("logic", LOGICS)
def test_degrees_are_clamped(logic):
    outside, inside = jnp.array([-3.0, 1.5]), jnp.array([0.0, 1.0])
    for op in BINARY.values():
        np.testing.assert_array_equal(op(outside, 0.25, logic=logic), op(inside, 0.25, logic=logic))
    np.testing.assert_array_equal(logic_not(outside), [1.0, 0.0])
    assert np.isnan(logic_and(jnp.nan, 0.5, logic=logic))


def test_inputs_broadcast_as_in_numpy():
    assert logic_and(jnp.ones((4, 1, 3)), jnp.ones((2, 1))).shape == (4, 2, 3)
    assert logic_or(jnp.ones((0, 3)), 1.0).shape == (0, 3)


def test_dtypes_meet_as_in_numpy_and_a_boolean_is_a_degree():
    half = jnp.array([0.5], jnp.bfloat16)
    assert logic_and(half, 0.5).dtype == jnp.bfloat16
    assert logic_and(half, jnp.ones(1)).dtype == jnp.float32
    assert logic_and(jnp.int8(1), jnp.int32(3)).dtype == jnp.int32
    mixed = logic_or(jnp.array([True, False]), jnp.array([0.25, 0.25]))
    np.testing.assert_array_equal(mixed, [1.0, 0.25])


@pytest.mark.parametrize("op", BINARY.values())
@pytest.mark.parametrize("logic", LOGICS)
def test_every_logic_is_differentiable(op, logic):
    # Away from the kinks of godel and lukasiewicz.
    a, b = jnp.array([0.21, 0.9, 0.6]), jnp.array([0.43, 0.77, 0.11])
    # Finite differences in float32 hold about three digits.
    check_grads(lambda x, y: op(x, y, logic=logic), (a, b), order=2, rtol=1e-2, atol=1e-2)


def test_a_degree_of_exactly_zero_or_one_has_its_whole_derivative():
    ends = jnp.array([-0.5, 0.0, 1.0, 1.5])
    slope = jax.grad(lambda x: jnp.sum(logic_and(x, 0.5)))(ends)
    np.testing.assert_array_equal(slope, [0.0, 0.5, 0.5, 0.0])
    np.testing.assert_array_equal(
        jax.grad(lambda x: jnp.sum(logic_not(x)))(ends), [0.0, -1.0, -1.0, 0.0]
    )


def test_booleans_carry_no_gradient():
    mask = jnp.array([True, False])
    slope = jax.grad(lambda x: jnp.sum(logic_and(x, mask)))(jnp.array([0.5, 0.5]))
    np.testing.assert_array_equal(slope, [1.0, 0.0])
    out, tangent = jax.jvp(logic_not, (mask,), (np.zeros(2, jax.dtypes.float0),))
    assert out.dtype == jnp.bool_
    assert tangent.dtype == jax.dtypes.float0


@pytest.mark.parametrize(
    ("x", "logic", "expected"),
    [
        (np.array([0.5, 0.25, 1.5, -1.0], np.float32), "product", [2**-4, 2**-8, 1.0, 0.0]),
        (np.array([0.5, 0.3], np.float32), "godel", np.array([0.5, 0.3], np.float32)),
        (np.array([True, False]), "product", [True, False]),
        (np.array([True, False]), "godel", [True, False]),
    ],
)
def test_and_with_itself_three_times_is_the_fourth_power_or_nothing(x, logic, expected):
    found = recursive(lambda y: logic_and(y, x, logic=logic), depth=3)(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: logic_and(0.5, 0.5, logic="fuzzy"), Code.E_GRAPH_INVALID, "product, godel"),
        (lambda: logic_or(jnp.int32(1), 0.5), Code.E_GRAPH_INVALID, "int32"),
        (lambda: logic_xor(jnp.int32(1), True), Code.E_GRAPH_INVALID, "bool"),
        (lambda: logic_and(jnp.ones(3), jnp.ones(2)), Code.E_SHAPE_MISMATCH, "(3,) and (2,)"),
        (lambda: logic_and(1j, 0.5), Code.E_TARGET_CODEGEN, "complex64"),
        (lambda: logic_not(jnp.ones(2, jnp.complex64)), Code.E_TARGET_CODEGEN, "complex64"),
        (lambda: logic_and("a", 0.5), Code.E_GRAPH_INVALID, "str"),
    ],
)
def test_what_has_no_logic_is_refused(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in caught.value.message
