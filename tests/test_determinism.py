"""Determinism levels: the words, the scope, what a call promises, and who refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import numerics, op
from tessera.core import determinism
from tessera.core.errors import Code, CompileError, NumericsError
from tessera.core.op import registered_op

X = np.random.default_rng(0).standard_normal((4, 24)).astype(np.float32)


def test_the_innermost_scope_counts_and_ends():
    assert numerics.current_level() is None
    with numerics.deterministic("D3"):
        with numerics.profile("strict"):
            assert numerics.current_level() == "D4"
        with numerics.deterministic("fast"):
            assert numerics.current_level() == "D0"
        assert numerics.current_level() == "D3"
    assert numerics.current_level() is None


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (None, None),
        (True, "D1"),
        (False, "D0"),
        ("D2", "D2"),
        ("strict", "D4"),
        ({"deterministic": True, "reduce_tree": "ring"}, "D1"),
        ({"send_order": "rank"}, None),
    ],
)
def test_a_keyword_stands_for_a_level(value, level):
    assert determinism.as_level("op", value) == level


@pytest.mark.parametrize(
    "value", ["D5", "sometimes", 3, {"tree": "binary"}, {"reduce_tree": "star"}]
)
def test_an_unknown_level_is_refused_with_the_known_ones(value):
    with pytest.raises(CompileError, match=r"softmax: deterministic|one of") as caught:
        op.softmax(X, deterministic=value)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_profile_is_not_a_level():
    with pytest.raises(CompileError, match="profile: unknown word 'D2'"):
        numerics.profile("D2")


@pytest.mark.parametrize(
    ("flags", "backend", "problem"),
    [
        ("--xla_cpu_enable_fast_math=true", "cpu", "reorders sums"),
        ("--xla_cpu_enable_fast_math", "cpu", "reorders sums"),
        ("", "gpu", "in any order"),
        ("--xla_gpu_deterministic_ops=false", "gpu", "in any order"),
    ],
)
def test_xla_must_not_reorder_arithmetic_by_itself(flags, backend, problem):
    with pytest.raises(NumericsError, match=problem) as caught:
        determinism.require_ordered_xla(flags, backend)
    assert caught.value.code is Code.E_NONDETERMINISTIC


@pytest.mark.parametrize(
    ("flags", "backend"),
    [
        ("", "cpu"),
        ("--xla_cpu_enable_fast_math=false", "cpu"),
        ("--xla_gpu_deterministic_ops=true", "gpu"),
        ("--xla_dump_to=/tmp --xla_gpu_exclude_nondeterministic_ops=1", "gpu"),
    ],
)
def test_flags_that_keep_the_order_are_accepted(flags, backend):
    determinism.require_ordered_xla(flags, backend)


def test_fast_math_is_refused_from_d1_on_and_not_below(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    with numerics.deterministic("D0"):
        pass
    with pytest.raises(NumericsError, match="fast_math"), numerics.deterministic("D1"):
        pass


def test_a_compiled_function_is_compiled_once_per_level():
    traced = []

    @jax.jit
    def f(x):
        traced.append(numerics.current_level())
        return op.softmax(x)

    for level in ("D2", "D4", "D2", "D0", "D4"):
        with numerics.deterministic(level):
            f(X)
    assert traced == ["D2", "D4", "D0"]


def test_the_level_stands_in_the_graph_of_an_op():
    with numerics.deterministic("D3"):
        (equation,) = jax.make_jaxpr(op.softmax)(X).jaxpr.eqns
    assert equation.params["algorithm"] == "D3"
    (equation,) = jax.make_jaxpr(lambda x: op.softmax(x, deterministic="D4"))(X).jaxpr.eqns
    assert equation.params["algorithm"] == "D4"


def test_a_call_overrides_the_scope():
    with numerics.deterministic("D3"):
        (equation,) = jax.make_jaxpr(lambda x: op.softmax(x, deterministic=False))(X).jaxpr.eqns
    assert equation.params["algorithm"] is None


def test_an_op_that_cannot_reach_the_level_names_itself_its_highest_level_and_the_reason():
    for call, message in (
        (lambda: op.conv1d(jnp.ones((1, 8, 2)), jnp.ones((3, 2, 4))), "conv.*level is D1, not D2"),
        (lambda: op.fft(X), "fft: its highest determinism level is D1, not D2"),
    ):
        with numerics.deterministic("D2"), pytest.raises(NumericsError, match=message) as caught:
            call()
        assert caught.value.code is Code.E_NONDETERMINISTIC


def test_below_the_level_it_cannot_reach_an_op_works():
    with numerics.deterministic("D1"):
        np.testing.assert_array_equal(op.fft(X), jax.jit(jnp.fft.fft)(X))


def test_a_wrong_algorithm_is_still_refused():
    with pytest.raises(CompileError, match="has no algorithm 'D9'"):
        registered_op("softmax").bind(jnp.asarray(X), axis=1, stable=True, algorithm="D9")
