import re

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxlib.mlir.ir as mlir
import pytest

import tessera.op  # noqa: F401 - its ops register, so that their signatures are known
from tessera.core.errors import Code, CompileError
from tessera.ir import findings, fingerprint, parse, to_text, verify
from tessera.ir.graph import function_of
from tessera.lowering.jaxpr_to_graph import capture

GRAPH = """
module @demo attributes {level = "graph", profile = "deterministic", mesh = {dp = 4 : i64}} {
  tessera.graph.func @gemm(%A: tensor<8x4xf32>, %B: tensor<4x2xbf16>) -> (tensor<8x2xf32>, tensor<4x2xf32>) {
    %wide = jax.convert_element_type %B {params = "new_dtype=float32 ≤ \\22x\\22"}
      : (tensor<4x2xbf16>) -> tensor<4x2xf32>
    %0 = tessera.graph.matmul %A, %wide {accumulate = "fp32"}
      : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
    %1, %2 = jax.scan %0, %wide : (tensor<8x2xf32>, tensor<4x2xf32>) -> (tensor<8x2xf32>, tensor<4x2xf32>) {
    ^bb0(%x: tensor<8x2xf32>, %y: tensor<4x2xf32>):
      tessera.graph.return %x, %y : tensor<8x2xf32>, tensor<4x2xf32>
    }
    tessera.graph.return %1, %2 : tensor<8x2xf32>, tensor<4x2xf32>
  }
  tessera.graph.func @other(%A: tensor<3x!tessera.key<"fry">>, %r: !tessera.other<"Ref{float32[3]}">) {
    tessera.graph.return
  }
}
"""
SCHEDULE = """
%1 = tessera.schedule.pipeline(%a = %x, %b = %w) {double_buffer = true, seconds = 1.5e-06 : f64}
    : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32> {
  %2 = tessera.graph.matmul %a, %b : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
  %3 = tessera.graph.relu %2 : (tensor<8x2xf32>) -> tensor<8x2xf32>
  tessera.schedule.yield %3 : tensor<8x2xf32>
}
%4 = tessera.schedule.xla(%1) {pattern = "exp"} : (tensor<8x2xf32>) -> tensor<8x2xf32>
"""
TILE = """
ttile.func @double(%x: !ttile.tile<256xf32, hbm>, %y: !ttile.tile<256xf32, hbm>, %i: index)
    attributes {grid = array<i64: 2>, outputs = 1 : i64} {
  %0 = ttile.load %x, %i -> !ttile.tile<128xf32, shared>
  %1 = ttile.for %0 {stop = 2 : i64} -> !ttile.tile<128xf32, shared> {
  ^bb0(%k: index, %sum: !ttile.tile<128xf32, shared>):
    ttile.yield %sum : !ttile.tile<128xf32, shared>
  }
  ttile.store %1, %y, %i
  ttile.yield
}
"""
FRAGMENT = '%0 = "tessera.schedule.pipeline"(%A, %B) {double_buffer=true}'
SYMBOLIC = (
    '%0 = jax.exp %x : (tensor<?x?x64xf32, ["b", "n", 64]>) -> tensor<?x?x64xf32, ["b", "n", 64]>'
)
TEXTS = {
    "graph": GRAPH,
    "schedule": SCHEDULE,
    "tile": TILE,
    "fragment": FRAGMENT,
    "symbolic": SYMBOLIC,
}


DAMAGE = [
    "",
    " ",
    "0",
    "%",
    "{",
    "}",
    "(",
    ")",
    "<",
    ">",
    '"',
    ",",
    ":",
    "-",
    "x",
    "?",
    "^b",
    "!",
    "#",
    "@",
]


@pytest.fixture(params=TEXTS)
def module(request):
    return parse(TEXTS[request.param])


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("locations", [False, True])
def test_printed_text_parses_back_to_the_same_text(module, generic, locations):
    text = to_text(module, generic=generic, locations=locations)
    assert to_text(parse(text), generic=generic, locations=locations) == text


def test_the_two_forms_say_the_same(module):
    short, generic = to_text(module), to_text(module, generic=True)
    assert short != generic
    assert to_text(parse(generic)) == short
    assert to_text(parse(short), generic=True) == generic


def test_mlir_itself_reads_the_generic_form(module):
    with mlir.Context() as context:
        context.allow_unregistered_dialects = True
        theirs = mlir.Module.parse(to_text(module, generic=True, locations=True))
        assert theirs.operation.verify()
        names = []
        theirs.operation.walk(lambda op: (names.append(op.name), mlir.WalkResult.ADVANCE)[1])
    assert sorted(names) == sorted(op.name for op in module.walk())


def test_mlir_s_own_spelling_of_the_generic_form_parses(module):
    with mlir.Context() as context:
        context.allow_unregistered_dialects = True
        theirs = mlir.Module.parse(to_text(module, generic=True))
        text = str(theirs.operation.get_asm(print_generic_op_form=True))
    assert fingerprint(parse(text)) == fingerprint(module)


def test_what_xdsl_prints_of_a_module_parses_to_an_equal_module(module):
    assert parse(str(module)).is_structurally_equivalent(module)


@hypothesis.given(
    text=st.sampled_from(sorted(TEXTS.values())),
    place=st.floats(0, 1),
    damage=st.sampled_from(DAMAGE),
)
@hypothesis.example(text=SYMBOLIC, place=0.5, damage='"')
def test_damaged_text_is_refused_with_its_place_or_reads_as_ir_that_prints_back(
    text, place, damage
):
    cut = int(place * len(text))
    read = read_or_error(text[:cut] + damage + text[cut + 1 :])
    if isinstance(read, CompileError):
        assert re.match(r"in\.mlir:\d+:\d+: ", read.message)
    else:
        assert to_text(parse(to_text(read))) == to_text(read)


def read_or_error(text):
    try:
        return parse(text, "in.mlir")
    except CompileError as error:
        return error


def test_a_captured_function_prints_with_its_argument_names_and_parses_back():
    def attend(q, k):
        return jax.nn.softmax(q @ k.T)

    module = capture(jax.make_jaxpr(attend)(jnp.ones((3, 4)), jnp.ones((5, 4))), "attend")
    text = to_text(module)
    assert "@attend(%q: tensor<3x4xf32>, %k: tensor<5x4xf32>) -> tensor<3x5xf32>" in text
    assert to_text(parse(text)) == text
    assert fingerprint(parse(text)) == fingerprint(module)


def test_control_flow_captured_from_jax_round_trips_with_its_regions():
    def run(x):
        looped = jax.lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) + i, x)
        return jax.lax.cond(looped > 0, jnp.exp, jnp.tanh, looped)

    module = capture(jax.make_jaxpr(run)(1.0))
    text = to_text(module)
    assert to_text(parse(text)) == text


@pytest.mark.parametrize("generic", [False, True])
def test_an_op_of_jax_with_a_dash_in_its_name_reads_back(generic):
    def run(x, i, u):
        return x.at[i].add(u), x.at[i].mul(u)

    module = capture(jax.make_jaxpr(run)(jnp.ones(4), jnp.arange(2), jnp.ones(2)))
    text = to_text(module, generic=generic)
    assert "jax.scatter-add" in text
    read = parse(text)
    assert "jax.scatter-mul" in [op.name for op in read.walk()]
    assert to_text(read, generic=generic) == text
    assert fingerprint(read) == fingerprint(module)


def test_a_dash_ends_the_name_of_an_op_of_no_other_dialect():
    line = "%1 = tessera.graph.relu-add %x : (tensor<2xf32>) -> tensor<2xf32>"
    with pytest.raises(CompileError, match=r"in\.mlir:1:24"):
        parse(line, "in.mlir")


# -- fragments --------------------------------------------------------------------------------------------


def test_a_bare_line_becomes_a_function_of_its_undefined_operands():
    assert to_text(parse(FRAGMENT)).splitlines()[1:4] == [
        "  tessera.graph.func @fragment(%A: none, %B: none) -> none {",
        "    %0 = tessera.schedule.pipeline(%A, %B) {double_buffer = true} : (none, none) -> none",
        "    tessera.graph.return %0 : none",
    ]


def test_a_double_buffered_group_is_spelled_as_the_specification_spells_it():
    kind = "(tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>"
    text = to_text(parse(f"{FRAGMENT} : {kind}"), generic=True)
    spelled = '%0 = "tessera.schedule.pipeline"(%A, %B) {double_buffer = true} : ' + kind
    assert spelled in [line.strip() for line in text.splitlines()]


def test_arguments_of_a_fragment_stand_in_the_order_of_their_first_use():
    text = to_text(parse("%2 = jax.sub %z, %a : (i32, i32) -> i32\n%3 = jax.neg %m : (i32) -> i32"))
    assert "@fragment(%z: i32, %a: i32, %m: i32) -> (i32, i32)" in text


def test_an_op_without_a_type_takes_the_types_of_values_that_are_defined():
    text = to_text(parse("%1 = jax.exp %x : (i32) -> i64\n%2 = jax.neg %1"))
    assert "jax.neg %1 : (i64) -> none" in text.replace("%0", "%1")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("tgraph.relu %x : (tensor<2xf32>) -> tensor<2xf32>", "tessera.graph.relu"),
        ("tsched.xla(%x) : (tensor<2xf32>) -> tensor<2xf32>", "tessera.schedule.xla"),
        (
            "ttile.cast %x : (!ttile.tile<f32, reg>) -> !ttile.tile<f16, reg>",
            "tessera.tile.cast %x -> !tessera.tile.tile<f16, reg>",
        ),
    ],
)
def test_short_dialect_names_are_read_and_never_written(line, name):
    text = to_text(parse(f"%0 = {line}"))
    assert name in text
    assert not any(short in text for short in ("tgraph.", "tsched.", "ttile."))


def test_values_that_share_a_name_stay_apart():
    text = "%x = jax.exp %a : (i32) -> i32\n%x_1 = jax.exp %x : (i32) -> i32"
    printed = to_text(parse(text))
    assert "%x_1 = jax.exp %x :" in printed
    assert to_text(parse(printed)) == printed


# -- the hash ---------------------------------------------------------------------------------------------


def test_the_fingerprint_ignores_names_places_and_the_order_of_attributes():
    one = "%a = jax.f %x {p = 1 : i64, q = 2 : i64} : (i32) -> i32"
    other = '\n\n%b = jax.f %y {q = 2 : i64, p = 1 : i64} : (i32) -> i32 loc("else":3:4)'
    assert fingerprint(parse(one)) == fingerprint(parse(other, "file"))


@pytest.mark.parametrize(
    "other",
    [
        "%a = jax.f %x {p = 2 : i64} : (i32) -> i32",
        "%a = jax.f %x {p = 1 : i64} : (i64) -> i32",
        "%a = jax.g %x {p = 1 : i64} : (i32) -> i32",
        "%a = jax.f %x, %x {p = 1 : i64} : (i32, i32) -> i32",
        "%a = jax.f %x, %y {p = 1 : i64} : (i32, i32) -> i32",
    ],
)
def test_the_fingerprint_sees_every_difference_of_meaning(other):
    assert fingerprint(parse(other)) != fingerprint(
        parse("%a = jax.f %x {p = 1 : i64} : (i32) -> i32")
    )


# -- errors -----------------------------------------------------------------------------------------------


BAD = {
    "an unknown schedule op names the known ones": (
        "\n  %0 = tessera.schedule.fus(%a) : (i32) -> i32",
        "2:8",
        "known: fuse, pipeline",
    ),
    "an unknown dialect names the known ones": (
        "%0 = foo.bar %a",
        "1:6",
        "dialects: tessera.graph.",
    ),
    "an unknown type": ("%0 = jax.f %a : (!foo.bar) -> i32", "1:26", "'foo.bar' is not registered"),
    "an unknown space": (
        "%0 = jax.f %a : (!ttile.tile<2xf32, smem>) -> i32",
        "1:37",
        "known: hbm, shared, reg",
    ),
    "a missing bracket": ("%0 = jax.exp %x : (tensor<2xf32) -> i32", "1:32", "'>'"),
    "an open quote": ('%0 = jax.f %a {text = "' + "a" * 60 + "}", "1:23", "closing"),
    "no op at all": ("  ", "1:3", "no operation"),
    "a number too large for its type": (
        "%0 = jax.f %x {n = 300 : i4} : (i32) -> i32",
        "1:28",
        "300",
    ),
    "too few results": ("%0, %1 = jax.exp %x : (i32) -> i32", "1:1", "1 results, but 2 names"),
    "a name defined twice": (
        "%0 = jax.exp %x : (i32) -> i32\n%0 = jax.exp %x : (i32) -> i32",
        "2:1",
        "already defined",
    ),
    "two types for one value": (
        "%0 = jax.exp %x : (i32) -> i32\n%1 = jax.exp %0 : (i64) -> i32",
        "2:14",
        "i64",
    ),
    "a value nothing defines": (
        "func @f() -> i32 {\n  %1 = jax.exp %z : (i32) -> i32\n  return %1 : i32\n}",
        "2:16",
        "%z is used but never defined",
    ),
    "a value defined below its use": (
        "func @f(%x: i32) -> i32 {\n  %2 = jax.neg %1 : (i32) -> i32\n"
        "  %1 = jax.exp %x : (i32) -> i32\n  return %1 : i32\n}",
        "2:3",
        "not defined above its use",
    ),
    "a body that looks outside": (
        "%1 = tsched.xla(%a = %x) : (i32) -> i32 {\n  %2 = jax.neg %y : (i32) -> i32\n"
        "  tsched.yield %2 : i32\n}",
        "2:3",
        "%y is not defined",
    ),
    "a function without an end": ("func @f(%x: i32) {\n}", "1:1", "tessera.graph.func"),
    "a function of another type": (
        "func @f(%x: i32) -> i64 {\n  return %x : i32\n}",
        "1:1",
        "(i64) and (i32)",
    ),
    "an op beside a function": (
        "func @f() {\n  return\n}\n%0 = jax.f %a : (i32) -> i32",
        "4:1",
        "beside a function",
    ),
    "a successor block": ('"jax.br"()[^bb1] : () -> ()', "1:11", "successor"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_refused_with_its_place_and_line(case):
    text, place, says = BAD[case]
    with pytest.raises(CompileError) as caught:
        parse(text, "in.mlir")
    assert caught.value.code is Code.E_GRAPH_INVALID
    assert caught.value.message.startswith(f"in.mlir:{place}: ")
    assert says in caught.value.message
    line, column = map(int, place.split(":"))
    shown, caret = caught.value.message.splitlines()[-2:]
    assert shown == "  " + text.splitlines()[line - 1]
    assert caret.index("^") == column + 1


def test_shapes_that_contradict_an_op_s_signature_are_refused():
    with pytest.raises(CompileError, match="axis 'k' is 3 in argument 'A' but 4") as caught:
        parse("%0 = tgraph.matmul %a, %b : (tensor<2x3xf32>, tensor<4x2xf32>) -> tensor<2x2xf32>")
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_findings_lists_every_broken_rule_where_verify_raises_the_first():
    module = parse("%1 = jax.neg %0 : (i32) -> i32\n%2 = jax.neg %1 : (i32) -> i32", "a.mlir")
    assert findings(module) == ()
    function = function_of(module)
    first, second, _ = function.block.ops
    second.detach()
    function.block.insert_op_before(second, first)
    function.function_type = function_of(parse("func @g() {\n return\n}")).function_type
    found = findings(module)
    assert [(f.op.name, f.location) for f in found] == [
        ("tessera.graph.func", "a.mlir:1:1"),
        ("jax.neg", "a.mlir:2:1"),
    ]
    with pytest.raises(CompileError, match="function_type"):
        verify(module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('module attributes {level = "grph"} {}', 'level "grph" is unknown'),
        (
            'module attributes {level = "graph"} {\n'
            "  tessera.graph.func @f(%x: tensor<f32>) -> tensor<f32> {\n"
            "    %0 = tessera.schedule.xla(%x) : (tensor<f32>) -> tensor<f32>\n"
            "    tessera.graph.return %0 : tensor<f32>\n  }\n}",
            ":3:[0-9]+: .*level schedule in a module of level graph",
        ),
        (
            "module {\n"
            + 2
            * (
                "  tessera.graph.func @f(%x: tensor<f32>) -> tensor<f32> {\n"
                "    tessera.graph.return %x : tensor<f32>\n  }\n"
            )
            + "}",
            "another function 'f'",
        ),
        ("module @d {", "the text is incomplete"),
    ],
)
def test_a_module_that_is_not_one_is_refused(text, message):
    with pytest.raises(CompileError, match=message):
        parse(text)
