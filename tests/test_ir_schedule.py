import re

import pytest

from tessera.core.errors import Code, CompileError
from tessera.ir import parse, to_text
from tessera.ir.schedule import OPS, Fuse, Pipeline, group, to_attribute

MATRIX = "(tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>"
ONE = "(tensor<8x4xf32>) -> tensor<8x4xf32>"


def refused(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        parse(text)
    return caught.value


def in_a_mesh(op: str, mesh: str) -> str:
    return f"""
    module attributes {{level = "schedule"{mesh}}} {{
      func @f(%x: tensor<8x4xf32>) -> tensor<8x4xf32> {{
        %0 = {op}
        return %0 : tensor<8x4xf32>
      }}
    }}
    """


@pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)
def test_every_op_s_example_parses_verifies_and_round_trips(kind):
    found = re.search(r"```mlir\n(.*?)```", kind.__doc__ or "", re.DOTALL)
    assert found is not None
    module = parse(found[1])
    assert kind.name in [op.name for op in module.walk()]
    assert to_text(parse(to_text(module))) == to_text(module)


def test_attributes_stand_in_the_dictionary_and_not_in_properties():
    text = to_text(parse(f"%0 = tsched.pipeline(%a, %b) {{depth = 3}} : {MATRIX}"), generic=True)
    assert '"tessera.schedule.pipeline"(%a, %b) {depth = 3 : i64}' in text
    assert "<{" not in text


def test_a_group_made_in_python_prints_the_attributes_it_was_given():
    values = {"pattern": "matmul", "tile": (128, 64), "seconds": 2.5e-6, "flops": 10, "runs": "xla"}
    op = group(Fuse, [], [], **values)
    assert {name: op.attributes[name] for name in values} == {
        name: to_attribute(value) for name, value in values.items()
    }
    assert "array<i64: 128, 64>" in str(op)


@pytest.mark.parametrize(("attributes", "stages"), [({}, 2), ({"depth": 4}, 4), ({"depth": 1}, 1)])
def test_a_pipeline_has_two_stages_unless_it_says_otherwise(attributes, stages):
    op = group(Pipeline, [], [], **attributes)
    assert isinstance(op, Pipeline)
    assert op.stages == stages


@pytest.mark.parametrize(
    "attributes",
    [
        "tile = array<i64: 8, 2>",
        "tile = array<i64: 4, 1>",
        "tile = array<i64: 2>",
        "tile = array<i64: 3, 2>, padded = array<i64: 9, 2>",
        "tile = array<i64: 128, 128>, padded = array<i64: 128, 128>",
        "flops = 0, bytes = 0, seconds = 0.0 : f64",
        "",
    ],
)
def test_tiles_that_cover_the_padded_result_are_accepted(attributes):
    parse(f"%0 = tsched.fuse(%a, %b) {{{attributes}}} : {MATRIX}")


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ("tile = array<i64: 0, 2>", "at least 1"),
        ("tile = array<i64: -8>", "at least 1"),
        ("tile = array<i64: 3, 2>", "covers the padded result exactly"),
        ("tile = array<i64: 16, 2>", "covers the padded result exactly"),
        ("tile = array<i64: 4, 2>, padded = array<i64: 10, 2>", "covers the padded result exactly"),
        ("tile = array<i64: 4, 2>, padded = array<i64: 4, 2>", "never shrinks"),
        ("tile = array<i64: 4, 2>, padded = array<i64: 8>", "never shrinks"),
        ("tile = array<i64: 1, 8, 2>", "more axes"),
        ("tile = array<f32: 2.0>", "tile = array<f32"),
        ("double_buffer = 1", "double_buffer = 1"),
        ("pattern = 3", "pattern = 3"),
        ("depth = 0", "depth is at least 1, got 0"),
        ("depth = -2", "depth is at least 1, got -2"),
        ("depth = 1, double_buffer = true", "two stages"),
    ],
)
def test_what_cannot_be_scheduled_names_op_rule_and_values(attributes, rule):
    error = refused(f"%0 = tsched.pipeline(%a, %b) {{{attributes}}} : {MATRIX}")
    assert error.code is Code.E_SCHEDULE_FUSE_FAIL
    assert error.where == "schedule"
    assert "tessera.schedule.pipeline: " in error.message
    assert rule in error.message


def test_the_hint_for_a_ragged_tile_is_padding_that_verifies():
    error = refused(f"%0 = tsched.fuse(%a, %b) {{tile = array<i64: 3, 4>}} : {MATRIX}")
    fix = re.search(r"padded = array<i64: [\d, ]+>", error.hints[0])
    assert fix is not None
    parse(f"%0 = tsched.fuse(%a, %b) {{tile = array<i64: 3, 4>, {fix[0]}}} : {MATRIX}")


def test_a_pipeline_without_inputs_has_nothing_to_load():
    error = refused("%0 = tsched.pipeline() : () -> tensor<2xf32>")
    assert error.code is Code.E_SCHEDULE_FUSE_FAIL
    assert error.hints == ("Use fuse.",)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            f"%0 = tsched.fuse(%a = %x) : {ONE} {{\n tsched.yield\n}}",
            "yielded values and results agree in number: 0 and 1",
        ),
        (
            f'%0 = "tsched.fuse"(%x) ({{\n^bb0(%a: i32):\n tsched.yield %a : i32\n}}) : {ONE}',
            "body arguments and operands agree in type: number 0 is i32",
        ),
        (
            f'%0 = "tsched.fuse"(%x) ({{\n tsched.yield %x : tensor<8x4xf32>\n}}) : {ONE}',
            "body arguments and operands agree in number: 0 and 1",
        ),
        (
            f"%0 = tsched.fuse(%a = %x) : {ONE} {{\n %1 = jax.neg %a : (tensor<8x4xf32>) -> i32\n"
            " tsched.yield %1 : i32\n}",
            "yielded values and results agree in type",
        ),
        (
            f"%0 = tsched.fuse(%a = %x) : {ONE} {{\n %1 = jax.neg %a : {ONE}\n}}",
            "the body of a group ends in tessera.schedule.yield",
        ),
        (f"%0 = tsched.fuse(%x) {{flops = -1}} : {ONE}", "flops = -1"),
        (f"%0 = tsched.fuse(%x) {{seconds = -1.0 : f64}} : {ONE}", "seconds = -1.0"),
        (
            '%0 = tsched.layout_cast %x {layout = "rows"} : (tensor<2xf32>) -> tensor<2xf64>',
            "keeps the type",
        ),
        (
            f'%0 = tsched.collective(%x) {{pattern = "gossip", axes = ["dp"]}} : {ONE}',
            "unknown pattern 'gossip'",
        ),
        (
            f'%0 = tsched.collective(%x) {{pattern = "all_reduce", axes = [3]}} : {ONE}',
            "an axis is a string",
        ),
    ],
)
def test_a_group_that_is_not_well_formed_is_refused(text, rule):
    error = refused(text)
    assert error.code is Code.E_GRAPH_INVALID
    assert rule in error.message


ALL_REDUCE = f'tsched.collective(%x) {{pattern = "all_reduce", axes = ["dp", "tp"]}} : {ONE}'


@pytest.mark.parametrize("mesh", ["", ", mesh = {tp = 2, dp = 4}"])
def test_a_collective_over_axes_of_the_mesh_is_accepted(mesh):
    text = to_text(parse(in_a_mesh(ALL_REDUCE, mesh)))
    assert to_text(parse(text)) == text


def test_a_collective_over_an_unknown_axis_names_the_axes_there_are():
    error = refused(in_a_mesh(ALL_REDUCE, ", mesh = {data = 8, tp = 2}"))
    assert error.code is Code.E_GRAPH_INVALID
    assert "axis 'dp' is not an axis" in error.message
    assert error.hints == ("The mesh has: data, tp.",)


def test_the_mesh_is_found_after_the_generic_form_too():
    module = parse(in_a_mesh(ALL_REDUCE, ", mesh = {tp = 2, dp = 4}"))
    generic = to_text(module, generic=True)
    assert "tessera.mesh = {" in generic
    refused(generic.replace("dp = 4", "qp = 4"))
