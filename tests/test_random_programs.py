"""The random programs are usable: bounded, and the same when XLA compiles them whole."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_programs
from hypothesis import given, settings
from random_programs import BOUND, RULES, Program, assert_same, build, example_of, scalar

pytestmark = pytest.mark.newest

# `soft` bounds most values; sums of two and a logarithm may add one more bound.
BOUNDED = 2 * BOUND + 1


def assert_bounded(result: Any) -> None:
    for leaf in jax.tree.leaves(result):
        values = np.asarray(leaf.astype(jnp.float32))
        assert np.isfinite(values).all()
        assert np.max(np.abs(values), initial=0.0) <= BOUNDED


def assert_finite(result: Any) -> None:
    assert all(np.isfinite(x.astype(jnp.float32)).all() for x in jax.tree.leaves(result))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_program_of_one_rule_is_bounded_and_jit_equals_eager(rule: str) -> None:
    for knob in (0, 3):
        program = example_of(rule, knob)
        eager = program.function(*program.args)
        assert_bounded(eager)
        assert_same(jax.jit(program.function)(*program.args), eager, program)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_the_derivative_it_is_said_to_have(rule: str) -> None:
    program = example_of(rule)
    gradient = jax.jit(jax.grad(scalar(program.function)))
    if program.differentiable:
        assert_finite(gradient(*program.args))
    else:
        with pytest.raises(ValueError, match=r"[Rr]everse-mode"):
            gradient(*program.args)


@settings(max_examples=6)
@given(random_programs.programs())
def test_programs_are_bounded_and_jit_equals_eager(program: Program) -> None:
    eager = program.function(*program.args)
    assert_bounded(eager)
    assert_same(jax.jit(program.function)(*program.args), eager, program)


@settings(max_examples=4)
@given(random_programs.programs().filter(lambda program: program.differentiable))
def test_gradients_are_finite_and_jit_equals_eager(program: Program) -> None:
    gradient = jax.grad(scalar(program.function))
    eager = gradient(*program.args)
    assert_finite(eager)
    assert_same(jax.jit(gradient)(*program.args), eager, program)


def test_a_callback_is_flagged_and_seen_once_per_call() -> None:
    step = random_programs.Step("callback", (0, 0))
    program = build((step,), (0,))
    assert program.effects
    jax.block_until_ready(jax.jit(program.function)(*program.args))
    jax.effects_barrier()
    np.testing.assert_allclose(program.seen, [jnp.sum(program.args[0]["a"])], rtol=1e-5)


def test_a_wrong_result_is_noticed() -> None:
    program = example_of("tanh")
    result = program.function(*program.args)
    wrong = jax.tree.map(lambda x: x * 1.01 if x.dtype == jnp.float32 else x, result)
    with pytest.raises(AssertionError):
        assert_same(wrong, result, program)


def test_dropping_a_custom_rule_changes_the_gradient() -> None:
    for rule, plain in (("custom_jvp", "jit"), ("custom_vjp", "jit")):
        program = example_of(rule)
        bare = build(tuple(_replaced(s, rule, plain) for s in program.steps), program.outputs)
        ours, other = (jax.grad(scalar(p.function))(*p.args) for p in (program, bare))
        with pytest.raises(AssertionError):
            assert_same(ours, other, program)


def _replaced(step: random_programs.Step, rule: str, other: str) -> random_programs.Step:
    name = other if step.rule == rule else step.rule
    return random_programs.Step(name, step.operands, step.knob, step.body)


@settings(max_examples=100)
@given(random_programs.programs())
def test_every_program_says_what_it_holds(program: Program) -> None:
    text = repr(program.steps)
    assert program.effects == ("'callback'" in text)
    assert (program.dtype == "bfloat16") == ("'bf16" in text)
