"""The passes one by one: what they change, that they keep values, and how the driver reports."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from golden_text import assert_golden
from raising import CPU, run

import tessera as ts
from tessera.core.errors import Code, CompileError
from tessera.ir import parse, to_text, verify
from tessera.ir.graph import Node, function_of
from tessera.ir.schedule import Group
from tessera.lowering import (
    GRAPH_PASSES,
    PASSES,
    SCHEDULE_PASSES,
    Pass,
    passes_named,
    run_passes,
)
from tessera.lowering.choose import groups_of, nodes_of, signature_of
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rule import Context

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def after(function, *args, passes):
    module = capture(jax.make_jaxpr(function)(*args), "f")
    run_passes(module, Context(CPU), passes_named(passes))
    return module


def names(module):
    return [op.name for op in module.walk() if isinstance(op, Node)]


def wasteful(x):
    """The same thing twice, steps that change nothing, and a result nobody reads."""
    jnp.cos(x)
    a, b = jnp.exp(x * 1.0), jnp.exp(x)
    return jnp.transpose(jnp.transpose(a + b)).astype(x.dtype)


@pytest.mark.parametrize(
    ("passes", "left"),
    [
        (["fold"], ["jax.cos", "jax.exp", "jax.exp", "jax.add"]),
        (["fold", "cse"], ["jax.cos", "jax.exp", "jax.add"]),
        (["fold", "cse", "dce"], ["jax.exp", "jax.add"]),
    ],
)
def test_simplifying_removes_what_changes_nothing(passes, left):
    module = after(wasteful, X, passes=passes)
    assert names(module) == left
    np.testing.assert_array_equal(run(module, X), wasteful(jnp.asarray(X)))


@pytest.mark.parametrize("name", ["fold", "cse", "dce"])
def test_the_text_after_a_simplification_is_as_written_down(name):
    passes = ["fold", "cse", "dce"][: ["fold", "cse", "dce"].index(name) + 1]
    assert_golden(to_text(after(wasteful, X, passes=passes)), f"passes/{name}.mlir")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 0.0,  # not the identity of -0
        lambda x: x * 0.0,  # not zero for NaN
        lambda x: x - x,
        lambda x: jnp.transpose(jnp.reshape(x, (4, 3))),
        lambda x: x.astype(jnp.bfloat16).astype(jnp.float32),
    ],
)
def test_a_step_that_may_change_a_bit_is_kept(function):
    kept = names(capture(jax.make_jaxpr(function)(X)))
    assert names(after(function, X, passes=["fold", "cse", "dce"])) == kept


def test_random_draws_are_not_merged_and_effects_not_removed():
    def function(key, x):
        jax.debug.callback(lambda _: None, x)
        return jax.random.bits(key) + jax.random.bits(key)

    module = after(function, jax.random.key(0), X, passes=["fold", "cse", "dce"])
    assert "jax.debug_callback" in names(module)
    assert names(module).count("jax.random_bits") == 2


def test_references_made_alike_stay_apart():
    def function(x):
        a, b = jax.new_ref(x), jax.new_ref(x)
        a[...] = x + 1
        return a[...] + b[...]

    compiled = ts.compile(function)
    np.testing.assert_allclose(compiled(X), 2 * X + 1, rtol=1e-6)


# -- groups --------------------------------------------------------------------------------------------


def scheduled(function, *args):
    module = capture(jax.make_jaxpr(function)(*args), "f")
    run_passes(module, Context(CPU), GRAPH_PASSES)
    run_passes(module, Context(CPU), SCHEDULE_PASSES)
    return module


def patterns(module):
    return [group.pattern.data for group in groups_of(module) if group.pattern]


def test_a_product_takes_its_epilogue_with_it():
    def function(x, w, r):
        return jnp.tanh(jnp.exp(ts.op.matmul(x, w)) * r)

    assert patterns(scheduled(function, X, X.T, np.ones((3, 3), np.float32))) == [
        "matmul+exp+mul+tanh"
    ]


def test_the_readme_epilogue_is_one_group():
    bias = np.ones(3, np.float32)
    module = scheduled(lambda x, w, b: ts.op.relu(ts.op.matmul(x, w) + b[None]), X, X.T, bias)
    (group,) = groups_of(module)
    assert [node.name for node in nodes_of(group)] == ["tessera.graph.matmul"]


def layer(x, w, r):
    """A prologue, a product with a long inner axis, an epilogue, and an op of whole rows."""
    y = ts.op.matmul(jnp.exp(x), w) * 2.0 + r
    return ts.op.softmax(y)


@pytest.mark.parametrize("name", [step.name for step in SCHEDULE_PASSES])
def test_the_text_after_a_pass_of_the_schedule_is_as_written_down(name):
    names_ = [step.name for step in SCHEDULE_PASSES]
    args = (np.ones((8, 96), np.float32), np.ones((96, 4), np.float32), np.ones((8, 4), np.float32))
    module = after(layer, *args, passes=names_[: names_.index(name) + 1])
    assert_golden(to_text(module), f"passes/{name}.mlir")
    np.testing.assert_allclose(run(module, *args), layer(*args), rtol=1e-6)


def test_a_tile_program_that_cannot_be_made_is_left_to_xla_with_the_reason():
    def softmax(x):
        return ts.op.softmax.bind(x, axis=1, algorithm="tile")

    n = jax.export.symbolic_shape("n")[0]
    module = scheduled(softmax, jax.ShapeDtypeStruct((4, n), jnp.float32))
    (group,) = groups_of(module)
    assert group.runs.data == "xla"
    assert "the size of an axis is known by name only" in group.reason.data


def test_a_long_inner_axis_makes_a_double_buffered_pipeline():
    a, b = np.ones((256, 512), np.float32), np.ones((512, 256), np.float32)
    text = to_text(scheduled(ts.op.matmul, a, b), generic=True)
    assert '"tessera.schedule.pipeline"(%' in text
    assert "double_buffer = true" in text
    assert "tile = array<i64: 128, 128>" in text


def test_groups_never_form_a_cycle():
    def function(x):
        a = jnp.exp(x)
        b = jnp.sum(a, axis=1, keepdims=True)
        c = jnp.cumsum(a / b, axis=0)
        return (a - c) @ (c + b).T

    module = scheduled(function, X)
    verify(module)  # values are defined before they are read
    np.testing.assert_allclose(run(module, X), function(X), rtol=1e-6)


def test_loops_have_groups_inside():
    def function(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c @ c.T @ c), None), x, None, length=3)[0]

    module = scheduled(function, X)
    inside = [g for g in groups_of(module) if isinstance(g.parent_op(), Node)]
    assert inside
    np.testing.assert_allclose(run(module, X), function(X), rtol=1e-5)


def test_collectives_are_groups_of_their_own():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def function(x):
        return jax.shard_map(
            lambda x: jax.lax.psum(jnp.exp(x), "d"), mesh=mesh, in_specs=spec("d"), out_specs=spec()
        )(x)

    text = to_text(scheduled(function, np.ones((8, 2), np.float32)))
    assert 'pattern = "all_reduce"' in text
    assert 'axes = ["d"]' in text


def test_flops_and_bytes_of_a_product_are_counted():
    module = scheduled(ts.op.matmul, np.ones((3, 4), np.float32), np.ones((4, 5), np.float32))
    (group,) = groups_of(module)
    assert isinstance(group, Group)
    assert group.flops is not None
    assert group.flops.value.data == 2 * 3 * 4 * 5
    assert group.bytes is not None
    assert group.bytes.value.data == 4 * (12 + 20 + 15)


def test_a_measured_choice_overrules_the_rule_and_is_what_runs():
    q = np.ones((1, 2, 512, 16), np.float32)
    module = capture(jax.make_jaxpr(ts.op.flash_attention)(q, q, q))
    (node,) = [op for op in module.walk() if op.name == "tessera.graph.flash_attention"]
    table = {signature_of(node, "cpu"): "reference"}
    for found, word in ((table, "xla"), ({}, "tile")):
        module = capture(jax.make_jaxpr(ts.op.flash_attention)(q, q, q))
        run_passes(module, Context(CPU, found), SCHEDULE_PASSES)
        runs = [g.runs.data for g in groups_of(module) if g.pattern.data == "flash_attention"]
        assert runs == [word]
        traced = emit(module)
        text = jax.jit(jax.extend.core.jaxpr_as_fun(traced)).lower(q, q, q).as_text()
        assert ("while" in text) == (word == "tile")


# -- the driver ----------------------------------------------------------------------------------------


def test_every_pass_leaves_a_module_that_verifies_and_reads_back():
    def function(x, w):
        return jax.nn.softmax(jax.nn.gelu(x @ w + 1.0))

    module = capture(jax.make_jaxpr(function)(X, X.T))
    context = Context(CPU)
    for step in (*GRAPH_PASSES, *SCHEDULE_PASSES):
        step.run(module, context)
        verify(module)
        assert to_text(parse(to_text(module))) == to_text(module), step.name
    np.testing.assert_allclose(run(module, X, X.T), function(X, X.T), rtol=1e-5)


def test_a_pass_that_breaks_a_module_is_named():
    def cut(module, context):
        block = function_of(module).block
        first, last = block.first_op, block.last_op
        first.detach()
        block.insert_op_before(first, last)
        return True

    module = capture(jax.make_jaxpr(lambda x: jnp.exp(jnp.sin(x)))(1.0))
    with pytest.raises(CompileError, match="pass 'cut' broke the module") as caught:
        run_passes(module, Context(CPU), [Pass("cut", cut)])
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_an_unknown_pass_names_the_known_ones():
    with pytest.raises(CompileError, match="no pass 'fuze'") as caught:
        passes_named(["fuze"])
    assert all(name in str(caught.value) for name in PASSES)


def test_dump_prints_a_pass_before_and_after(monkeypatch, capsys):
    monkeypatch.setenv("TESSERA_DUMP", "cse")
    after(wasteful, X, passes=["fold", "cse", "dce"])
    shown = capsys.readouterr().err
    assert shown.count("// -- before cse") == shown.count("// -- after cse") == 1
    assert "fold" not in shown
    before, _, rest = shown.partition("// -- after cse")
    assert before.count("jax.exp") == 2
    assert rest.count("jax.exp") == 1


def test_a_dump_of_no_pass_names_the_passes(monkeypatch):
    monkeypatch.setenv("TESSERA_DUMP", "fuze")
    with pytest.raises(CompileError, match="TESSERA_DUMP=fuze") as caught:
        after(wasteful, X, passes=["fold"])
    assert "choose-configs" in str(caught.value)


def test_a_module_read_from_text_cannot_be_run():
    module = parse("%1 = jax.exp %0 : (tensor<2xf32>) -> tensor<2xf32>")
    with pytest.raises(CompileError, match="parsed from text"):
        run(module, X)
