"""Streams: labels that reach the compiler and change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import api, dist, graph, op
from tessera.core.errors import Code, CompileError

ROWS = dist.ShardSpec(("row",), ("dp",))
MARK = 'tessera_stream = "{}"'


def two_streams(A, B):
    with graph.stream("compute"):
        out = op.matmul(A, B)
    with graph.stream("comm"):
        return jnp.tanh(out)


def without_streams(A, B):
    return jnp.tanh(op.matmul(A, B))


def operands():
    a, b = jax.random.split(jax.random.key(0))
    return jax.random.normal(a, (5, 3)), jax.random.normal(b, (3, 7))


@pytest.mark.newest
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, api.compile])
def test_streams_change_no_bit_of_values_and_derivatives(wrap):
    A, B = operands()
    np.testing.assert_array_equal(wrap(two_streams)(A, B), wrap(without_streams)(A, B))

    def gradient(f):
        return jax.grad(lambda A: wrap(f)(A, B).sum())(A)

    np.testing.assert_array_equal(gradient(two_streams), gradient(without_streams))


@pytest.mark.parametrize("wrap", [jax.jit, api.compile])
def test_streams_change_no_bit_on_a_mesh(wrap):
    mesh = dist.Mesh(axes=["dp"], devices=range(8))
    A = dist.tensor(jnp.arange(48.0).reshape(16, 3), layout=ROWS, mesh=mesh)
    with mesh:
        found = wrap(two_streams)(A, operands()[1])
        expected = wrap(without_streams)(A, operands()[1])
    np.testing.assert_array_equal(found, expected)
    assert found.sharding == expected.sharding


@pytest.mark.parametrize("wrap", [jax.jit, api.compile])
def test_streams_are_written_into_the_lowered_module(wrap):
    text = wrap(two_streams).lower(*operands()).as_text()
    assert MARK.format("compute") in text
    assert MARK.format("comm") in text
    assert "tessera_stream" not in wrap(without_streams).lower(*operands()).as_text()


@pytest.mark.parametrize("wrap", [jax.jit, api.compile])
def test_streams_survive_in_the_optimised_module(wrap):
    # Eager names the scope "stream.compute" in the metadata of what is left after fusion.
    text = wrap(two_streams).lower(*operands()).compile().as_text()
    assert "stream.compute" in text
    assert "stream.comm" in text


def test_a_stream_marks_what_is_inside_and_nothing_else():
    def partly(x):
        y = jnp.sin(x)
        with graph.stream("side"):
            y = jnp.cos(y)
        return jnp.exp(y)

    lines = jax.jit(partly).lower(1.0).as_text().splitlines()
    marked = [line for line in lines if MARK.format("side") in line]
    assert len(marked) == 1
    assert "stablehlo.cosine" in marked[0]


def test_the_innermost_stream_counts():
    def nested(x):
        with graph.stream("outer"), graph.stream("inner"):
            return jnp.cos(x)

    text = jax.jit(nested).lower(1.0).as_text()
    assert MARK.format("inner") in text
    assert MARK.format("outer") not in text


def test_a_stream_decorates_a_function():
    @graph.stream("side")
    def f(x):
        return jnp.cos(x)

    for _ in range(2):
        assert MARK.format("side") in jax.jit(f).lower(1.0).as_text()


@pytest.mark.parametrize("name", ["", "two words", 'quo"te', "a/b", 3, None])
def test_a_name_that_is_no_word_is_refused(name):
    with pytest.raises(CompileError) as caught, graph.stream(name):
        pass
    assert caught.value.code is Code.E_GRAPH_INVALID
