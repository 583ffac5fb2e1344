"""Branches, loops, running sums and folds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core.errors import Code, CompileError

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def refused(said, call):
    with pytest.raises(CompileError, match=said) as caught:
        call()
    return caught.value.code


# -- branches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_the_branch_of_the_predicate_runs(transform):
    run = transform(lambda p, x, y: op.if_then_else(p, jnp.add, jnp.subtract, x, y))
    assert run(jnp.array(True), 3.0, 2.0).item() == 5.0
    assert run(jnp.array(False), 3.0, 2.0).item() == 1.0
    assert op.if_then_else(True, lambda: 1, lambda: 2).item() == 1
    assert op.if_then_else(np.bool_(False), lambda: 1, lambda: 2).item() == 2


def test_the_gradient_is_that_of_the_branch_taken():
    def root_or_zero(x):
        return op.if_then_else(x > 0, jnp.sqrt, jnp.zeros_like, x)

    assert jax.grad(root_or_zero)(4.0).item() == 0.25
    assert jax.grad(root_or_zero)(0.0).item() == 0.0  # of a select it would be NaN


def test_a_batch_of_predicates_chooses_entry_by_entry():
    found = jax.vmap(lambda p, x: op.if_then_else(p, jnp.negative, jnp.square, x))(
        jnp.array([True, False]), jnp.array([3.0, 3.0])
    )
    assert found.tolist() == [-3.0, 9.0]


def test_a_predicate_or_branch_of_another_kind_is_refused():
    one = jnp.ones(())
    code = refused(
        "t is a float, not a function", lambda: op.if_then_else(True, 1.0, jnp.negative, one)
    )
    assert code is Code.E_GRAPH_INVALID
    code = refused(
        "pred is float32, not a boolean", lambda: op.if_then_else(one, jnp.sin, jnp.cos, one)
    )
    assert code is Code.E_GRAPH_INVALID
    many = jnp.array([True, False])
    code = refused(
        r"pred has shape \(2,\), not one boolean",
        lambda: op.if_then_else(many, jnp.sin, jnp.cos, one),
    )
    assert code is Code.E_SHAPE_MISMATCH


def test_branches_that_differ_are_refused():
    code = refused(
        r"t gives float32\[2\] but f gives float32\[1\]",
        lambda: op.if_then_else(True, lambda x: x, lambda x: x[:1], jnp.ones(2)),
    )
    assert code is Code.E_SHAPE_MISMATCH


def test_an_error_in_a_branch_stays_what_it_is():
    def wrong(x):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        op.if_then_else(True, wrong, wrong, 1.0)


# -- map ----------------------------------------------------------------------------------------------------


def test_map_stacks_the_results():
    found = op.map(lambda row: (jnp.sum(row), row[0]), jnp.asarray(X))
    np.testing.assert_allclose(found[0], X.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found[1], X[:, 0])
    assert op.map(jnp.sin, jnp.zeros((0, 3))).shape == (0, 3)
    gradient = jax.grad(lambda x: jnp.sum(op.map(lambda row: row @ row, x)))(jnp.asarray(X))
    np.testing.assert_allclose(gradient, 2 * X, rtol=1e-6)


@pytest.mark.parametrize("loop", ["map", "scan", "reduce"])
def test_leading_sizes_that_differ_are_refused(loop):
    xs = (jnp.ones((2, 3)), jnp.ones(3))
    call = {
        "map": lambda: op.map(lambda x: x[0], xs),
        "scan": lambda: op.scan(lambda c, x: (c, x), 0.0, xs),
        "reduce": lambda: op.reduce(lambda c, x: c, xs, 0.0),
    }[loop]
    code = refused(
        rf"{loop}: the arrays of xs \[\(2, 3\), \(3,\)\] have no common leading size", call
    )
    assert code is Code.E_SHAPE_MISMATCH


def test_map_of_no_function_or_of_nothing_is_refused():
    assert refused("f is a int, not a function", lambda: op.map(3, X)) is Code.E_GRAPH_INVALID
    assert refused("xs has no array", lambda: op.map(jnp.sin, ())) is Code.E_GRAPH_INVALID
    assert refused("no common leading", lambda: op.map(jnp.sin, 1.0)) is Code.E_SHAPE_MISMATCH


# -- scan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_sums_equal_numpy(axis):
    expected = np.cumsum(X.astype(np.float64), axis=axis)
    for run in (op.scan, jax.jit(op.scan, static_argnums=(1, 2))):
        inclusive = run(jnp.asarray(X), "inclusive_sum", axis)
        np.testing.assert_allclose(inclusive, expected, rtol=1e-5, atol=1e-6)
        exclusive = run(jnp.asarray(X), "exclusive_sum", axis)
        np.testing.assert_allclose(exclusive, expected - X, rtol=1e-5, atol=1e-6)


def test_the_array_forms_take_keywords_and_default_to_the_leading_axis():
    np.testing.assert_array_equal(op.scan(X), op.scan(X, op="inclusive_sum", axis=0))
    np.testing.assert_array_equal(op.reduce(X, axis=1), op.reduce_sum(X, axis=1))


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("word", ["inclusive_sum", "exclusive_sum"])
def test_running_sums_of_few_entries(size, word):
    x = np.arange(1, size + 1)
    expected = np.cumsum(x) - (x if word == "exclusive_sum" else 0)
    np.testing.assert_array_equal(op.scan(x, word), expected)


def test_running_sums_accumulate_wide():
    ones = jnp.ones(1000, jnp.bfloat16)
    assert op.scan(ones).dtype == jnp.bfloat16
    assert op.scan(ones)[-1].item() == 1000.0
    assert op.scan(jnp.full(300, 100, jnp.int8))[-1].item() == 30000
    assert op.scan(jnp.array([True, True])).tolist() == [1, 2]


def test_the_gradient_of_a_running_sum_is_the_running_sum_from_behind():
    weights = jnp.array([1.0, 10.0, 100.0])
    gradient = jax.grad(lambda x: op.scan(x) @ weights)(jnp.ones(3))
    assert gradient.tolist() == [111.0, 110.0, 100.0]
    gradient = jax.grad(lambda x: op.scan(x, "exclusive_sum") @ weights)(jnp.ones(3))
    assert gradient.tolist() == [110.0, 100.0, 0.0]


def test_a_callable_makes_scan_a_loop():
    def step(carry, x):
        return carry * x, carry

    last, ys = jax.jit(functools.partial(op.scan, step))(1.0, jnp.array([2.0, 3.0, 4.0]))
    assert last.item() == 24.0
    assert ys.tolist() == [1.0, 2.0, 6.0]
    last, _ = op.scan(step, init=1.0, xs=jnp.array([5.0]))
    assert last.item() == 5.0


def test_arguments_of_neither_form_are_refused():
    for call in (
        lambda: op.scan(X, "inclusive_sum", 0, 0),
        lambda: op.scan(X, init=0),
        lambda: op.scan(jnp.add),
        lambda: op.reduce(jnp.add, X),
        lambda: op.reduce(X, "sum", init=0),
    ):
        assert refused("of an array, or", call) is Code.E_GRAPH_INVALID
    assert refused("unknown op 'max'; one of", lambda: op.scan(X, "max")) is Code.E_GRAPH_INVALID
    assert refused("unknown op 'xor'; one of", lambda: op.reduce(X, "xor")) is Code.E_GRAPH_INVALID
    assert refused("axis 2 of an array of rank 2", lambda: op.scan(X, axis=2)) is (
        Code.E_SHAPE_MISMATCH
    )


def test_a_carry_that_changes_is_refused():
    code = refused(
        r"scan: f maps the carry float32\[\] to float32\[3\]",
        lambda: op.scan(lambda c, x: (c + x, None), jnp.zeros(()), X),
    )
    assert code is Code.E_SHAPE_MISMATCH
    code = refused(
        r"reduce: f maps int32\[\] to float32\[3\]",
        lambda: op.reduce(lambda c, x: x, X, jnp.zeros((), jnp.int32)),
    )
    assert code is Code.E_SHAPE_MISMATCH
    code = refused("returns a .*, not .carry, y.", lambda: op.scan(lambda c, x: c, 0.0, X))
    assert code is Code.E_GRAPH_INVALID


def test_an_error_in_the_function_of_a_loop_stays_what_it_is():
    def wrong(carry, x):
        raise TypeError("mine")

    for call in (lambda: op.scan(wrong, 0.0, X), lambda: op.reduce(wrong, X, 0.0)):
        with pytest.raises(TypeError, match="mine"):
            call()


# -- folds --------------------------------------------------------------------------------------------------


def test_a_callable_makes_reduce_a_fold_from_the_left():
    found = op.reduce(lambda total, x: 10 * total + x, jnp.array([1, 2, 3]), 0)
    assert found.item() == functools.reduce(lambda total, x: 10 * total + x, [1, 2, 3], 0)
    pairs = (jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))
    assert op.reduce(lambda total, ab: total + ab[0] * ab[1], pairs, init=0.0).item() == 11.0
    assert op.reduce(jnp.add, jnp.zeros(0), 5.0).item() == 5.0


def test_the_gradient_of_a_fold_reaches_every_entry():
    gradient = jax.grad(lambda xs: op.reduce(jnp.multiply, xs, 1.0))(jnp.array([2.0, 3.0, 4.0]))
    assert gradient.tolist() == [12.0, 8.0, 6.0]
