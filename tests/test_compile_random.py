"""`ts.compile` on programs nobody wrote by hand: values and gradients are those of the program."""

import jax
import pytest
import random_programs
from hypothesis import given, settings
from random_programs import Program, assert_same, scalar

import tessera as ts

pytestmark = pytest.mark.newest

few_and_many = pytest.mark.parametrize(
    "count", [pytest.param(8, id="few"), pytest.param(40, id="many", marks=pytest.mark.slow)]
)


@few_and_many
def test_a_random_program_compiles_to_itself(count: int) -> None:
    @settings(max_examples=count)
    @given(random_programs.programs())
    def holds(program: Program) -> None:
        got = ts.compile(program.function)(*program.args)
        assert_same(got, program.function(*program.args), program)

    holds()


@few_and_many
def test_a_random_program_has_its_gradient(count: int) -> None:
    @settings(max_examples=count // 2)
    @given(random_programs.programs().filter(lambda program: program.differentiable))
    def holds(program: Program) -> None:
        loss = scalar(program.function)
        want = jax.grad(loss)(*program.args)
        assert_same(jax.grad(ts.compile(loss))(*program.args), want, program)
        assert_same(ts.compile(jax.grad(loss))(*program.args), want, program)

    holds()


@few_and_many
def test_the_levels_of_a_random_program_read_back(count: int) -> None:
    @settings(max_examples=count)
    @given(random_programs.programs())
    def holds(program: Program) -> None:
        for level in ("graph", "schedule"):
            text = ts.inspect(program.function, level, *program.args)
            assert ts.ir.to_text(ts.ir.parse(text)) == text

    holds()
