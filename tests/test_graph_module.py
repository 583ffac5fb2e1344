"""Graph modules: functions with a graph to look at and parameters that can be found."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import graph, ir, op
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import tolerance

eqx = pytest.importorskip("equinox")
RTOL, ATOL = tolerance(jnp.float32)


@graph.module
def affine(params, x):
    return jnp.tanh(op.matmul(x, params["w"])) + params["b"]


def operands():
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"w": (3, 4), "b": (2, 4)}
    params = {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=False)}
    return params, jax.random.normal(keys[2], (2, 3))


def exact(params, x):
    w, b, x = (np.asarray(a, np.float64) for a in (params["w"], params["b"], x))
    return np.tanh(x @ w) + b


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


def test_a_module_is_the_function_it_decorates():
    params, x = operands()
    np.testing.assert_allclose(affine(params, x), exact(params, x), RTOL, ATOL)
    np.testing.assert_allclose(jax.jit(affine)(params, x=x), exact(params, x), RTOL, ATOL)
    many = jax.vmap(affine, in_axes=(None, 0))(params, jnp.stack([x, 2 * x]))
    expected = np.stack([exact(params, x), exact(params, 2 * x)])
    np.testing.assert_allclose(many, expected, RTOL, ATOL)


def test_a_module_has_derivatives_of_every_order():
    params, x = operands()
    gradient = jax.grad(lambda p: affine(p, x).sum())(params)
    x64, w64 = np.asarray(x, np.float64), np.asarray(params["w"], np.float64)
    slope = 1 - np.tanh(x64 @ w64) ** 2
    np.testing.assert_allclose(gradient["w"], x64.T @ slope, RTOL, ATOL)
    hessian = jax.hessian(lambda s: affine(params, s * x).sum())(jnp.float32(1))
    u = x64 @ w64
    expected = (-2 * np.tanh(u) * (1 - np.tanh(u) ** 2) * u**2).sum()
    np.testing.assert_allclose(hessian, expected, 10 * RTOL)  # terms of both signs


def test_names_and_documentation_stay():
    @graph.module("head")
    def f(x):
        """Returns x."""
        return x

    assert f.name == "head"
    assert f.__doc__ == "Returns x."
    assert repr(f) == "<module head(x)>"
    assert graph.module(lambda x: x)(3) == 3


def test_arguments_that_are_no_arrays_are_part_of_the_program():
    @graph.module
    def apply(function, x, times=1):
        return function(x) * times

    x = jnp.arange(3.0)
    np.testing.assert_array_equal(apply(jnp.square, x, 1), x**2)
    np.testing.assert_array_equal(apply(jnp.negative, x, times=2), -2 * x)
    apply(jnp.square, x + 1, times=5)
    assert apply.trace_count == 2


def test_captured_modules_are_parameters():
    net = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    scale = jnp.float32(2)

    @graph.module
    def predict(x):
        return scale * net(x)

    x = jnp.ones(3)
    np.testing.assert_allclose(predict(x), 2 * net(x), RTOL, ATOL)
    found = predict.parameters()
    expected = eqx.filter(net, eqx.is_inexact_array)
    assert list(found) == ["net"]
    assert jax.tree.structure(found["net"]) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found["net"], expected)
    net = jax.tree.map(lambda leaf: leaf * 0 if eqx.is_array(leaf) else leaf, net)
    assert not predict(x).any()
    assert predict.trace_count == 1


def test_a_module_that_captures_nothing_has_no_parameters():
    assert affine.parameters() == {}


def test_modules_compose():
    net = eqx.nn.Linear(4, 1, key=jax.random.key(0))

    @graph.module
    def head(params, x):
        return jax.vmap(net)(affine(params, x))

    params, x = operands()
    np.testing.assert_allclose(head(params, x), jax.vmap(net)(affine(params, x)), RTOL, ATOL)
    assert list(head.parameters()) == ["net"]


def test_two_modules_of_one_name_are_refused():
    net = eqx.nn.Linear(1, 1, key=jax.random.key(0))

    def inner():
        net = eqx.nn.Linear(1, 1, key=jax.random.key(1))
        return lambda x: net(x)

    other = inner()
    error = raised(lambda: graph.module(lambda x: other(net(x)))(jnp.ones(1)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "'net'" in error.message


def test_one_module_under_two_names_is_one_parameter():
    net = eqx.nn.Linear(2, 2, key=jax.random.key(0))
    same = net
    both = graph.module(lambda x: same(net(x)))
    assert len(both.parameters()) == 1
    np.testing.assert_allclose(both(jnp.ones(2)), net(net(jnp.ones(2))), RTOL, ATOL)


# -- levels and export --------------------------------------------------------------------------------


def test_the_text_of_a_level_parses_and_shows_the_op():
    params, x = operands()
    text = affine.inspect("graph", params, x)
    assert text.count("tessera.graph.matmul") == 1
    assert str(ir.to_text(ir.parse(text))) == text
    assert raised(lambda: affine.inspect("grahp", params, x)).code is Code.E_GRAPH_INVALID


@pytest.mark.parametrize("level", ["graph", "schedule"])
def test_json_holds_every_operation_and_its_dataflow(tmp_path, level):
    params, x = operands()
    path = affine.export(tmp_path / "affine.json", params, x, ir=level)
    found = json.loads(path.read_text())
    (function,) = found["functions"]
    assert function["name"] == "affine"
    assert [found["types"][i] for i in function["inputs"]] == [
        "tensor<2x4xf32>",
        "tensor<3x4xf32>",
        "tensor<2x3xf32>",
    ]

    def walk(block, known):
        known = {*known, *block["inputs"]}
        for node in block["nodes"]:
            assert set(node["operands"]) <= known
            yield node["op"]
            for region in node["regions"]:
                yield from walk(region, known)
            known |= set(node["results"])
        assert set(block["results"]) <= known

    names = list(walk(function, set()))
    assert names.count("tessera.graph.matmul") == 1
    in_text = re.findall(
        r"(?:jax|tessera\.\w+)\.(?!return|yield|func)\w+(?=[ (])", affine.inspect(level)
    )
    assert sorted(names) == sorted(in_text)


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|\w+|[{}\[\]=;,]')


def parsed_dot(text):
    """Returns the labels of the nodes of a DOT graph by name, and its edges; follows DOT's grammar."""
    assert not re.sub(r"\s", "", TOKEN.sub("", text))
    tokens = iter(TOKEN.findall(text))
    nodes, edges = {}, []

    def expect(*wanted):
        for token in wanted:
            assert next(tokens) == token

    def attributes():
        found, token = {}, ","
        while token == ",":
            name = next(tokens)
            expect("=")
            found[name] = next(tokens)
            token = next(tokens)
        assert token == "]"
        expect(";")
        return found

    def statements():
        for token in tokens:
            if token == "}":
                return
            if token == "subgraph":
                assert next(tokens).startswith("cluster_")
                expect("{")
                statements()
                continue
            after = next(tokens)
            if after == "=":
                next(tokens)
                expect(";")
            elif after == "->":
                edges.append((token, next(tokens)))
                expect("[")
                attributes()
            else:
                assert after == "["
                nodes[token] = attributes().get("label", "")[1:-1]

    expect("digraph", "{")
    statements()
    assert next(tokens, None) is None
    del nodes["node"]  # the default attributes
    return nodes, edges


@pytest.mark.parametrize("level", ["graph", "schedule"])
def test_a_picture_has_a_node_for_every_operation_and_edges_between_nodes(tmp_path, level):
    params, x = operands()
    affine(params, x)
    nodes, edges = parsed_dot(affine.export(tmp_path / "affine.dot", ir=level).read_text())
    assert {end for edge in edges for end in edge} <= set(nodes)
    into_matmul = [nodes[a] for a, b in edges if nodes[b].startswith("matmul")]
    assert into_matmul == ["x", "params.w", "params.b"]
    into_return = [nodes[a].partition("\\n")[0] for a, b in edges if nodes[b] == "return"]
    assert into_return == ["matmul"]


@pytest.mark.parametrize("level", ["graph", "schedule"])
def test_loops_and_branches_are_drawn(tmp_path, level):
    @graph.module
    def looping(x):
        y, _ = jax.lax.scan(lambda c, a: (jnp.sin(c) + a, c), x[0], x)
        return jax.lax.cond(y.sum() > 0, jnp.exp, jnp.cos, y)

    path = looping.export(tmp_path / "loop.dot", jnp.ones((3, 2)), ir=level)
    nodes, edges = parsed_dot(path.read_text())
    heads = {label.partition("\\n")[0] for label in nodes.values()}
    assert {"jax.sin", "jax.exp", "jax.cos", "jax.cond"} <= heads
    assert {end for edge in edges for end in edge} <= set(nodes)


@pytest.mark.parametrize(
    ("name", "level", "says"), [("a.png", "graph", ".png"), ("a.dot", "tile", "tile")]
)
def test_what_cannot_be_exported_says_so(tmp_path, name, level, says):
    error = raised(lambda: affine.export(tmp_path / name, *operands(), ir=level))
    assert error.code is Code.E_GRAPH_INVALID
    assert says in error.message


def test_without_a_call_there_is_nothing_to_show(tmp_path):
    fresh = graph.module(lambda x: x)
    for look in (lambda: fresh.inspect("graph"), lambda: fresh.export(tmp_path / "a.json")):
        assert raised(look).code is Code.E_GRAPH_INVALID


# -- what is not offered ------------------------------------------------------------------------------


def test_a_module_is_no_context():
    with pytest.raises(CompileError) as caught, graph.module("net"):
        pass
    assert caught.value.code is Code.E_GRAPH_INVALID
    assert '@graph.module("name")' in str(caught.value)


@pytest.mark.parametrize("name", ["input", "placeholder", "dataset"])
def test_names_that_are_not_offered_name_the_replacement(name):
    with pytest.raises(AttributeError, match=f"{name}.*@graph"):
        getattr(graph, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'modul'"):
        graph.modul  # noqa: B018 - the access is the test


@pytest.mark.parametrize("name", graph.__all__)
def test_every_public_name_has_an_example(name):
    assert ">>>" in getattr(graph, name).__doc__


def test_only_functions_are_modules():
    assert raised(lambda: graph.module(3)).code is Code.E_GRAPH_INVALID
