"""`ts.compile` on programs nobody wrote by hand: values and gradients are those of the program."""

import jax
import random_programs
from hypothesis import given, settings
from random_programs import Program, assert_same, scalar

import tessera as ts


@settings(max_examples=30)
@given(random_programs.programs())
def test_a_random_program_compiles_to_itself(program: Program) -> None:
    got = ts.compile(program.function)(*program.args)
    assert_same(got, program.function(*program.args), program)


@settings(max_examples=15)
@given(random_programs.programs().filter(lambda program: program.differentiable))
def test_a_random_program_has_its_gradient(program: Program) -> None:
    loss = scalar(program.function)
    want = jax.grad(loss)(*program.args)
    assert_same(jax.grad(ts.compile(loss))(*program.args), want, program)
    assert_same(ts.compile(jax.grad(loss))(*program.args), want, program)


@settings(max_examples=20)
@given(random_programs.programs())
def test_the_levels_of_a_random_program_read_back(program: Program) -> None:
    for level in ("graph", "schedule"):
        text = ts.inspect(program.function, level, *program.args)
        assert ts.ir.to_text(ts.ir.parse(text)) == text
