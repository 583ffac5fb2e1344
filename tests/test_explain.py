"""`ts.explain`: what it reports is what was compiled, and every way to show it is well-formed."""

import dataclasses
import html.parser
import inspect
import io
import json
import math
import re
import xml.etree.ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.cells
import rich.console
import stock_models
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

import tessera as ts
from tessera.core.errors import CompileError
from tessera.lowering.rule import Record
from tessera.runtime import peaks
from tessera.view import layering, tree, units

F32 = jnp.float32
VOID = {"br", "img", "meta", "input", "hr", "link"}


def shaped(*shape, dtype=F32):
    return jax.ShapeDtypeStruct(shape, dtype)


# -- functions that are explained ----------------------------------------------------------------------


def dense(x, w, b):
    return jax.nn.relu(x @ w + b[None, :])


def readme(x):
    return ts.op.pipeline([ts.op.matmul(x, x.T), ts.op.relu, ts.op.layernorm])


def stacked(x, weights):
    def layer(x, w):
        return jnp.sort(x @ w), jnp.sum(x)

    return jax.lax.scan(layer, x, weights)


def halved(x):
    return jax.lax.while_loop(lambda z: jnp.sum(z) > 1, lambda z: z / 2, x)


def chosen(flag, x):
    return jax.lax.cond(flag, lambda x: jnp.sort(x @ x), lambda x: x, x)


def layers(count):
    def run(x, weights):
        for w in weights:
            x = jnp.sort(jnp.tanh(x @ w), axis=0)
        return x

    return run, (shaped(8, 8), [shaped(8, 8)] * count)


def of_model(loss, args):
    return jax.grad(loss), args


EXAMPLES = {
    "nothing": lambda: (lambda: None, ()),
    "identity": lambda: (lambda x: x, (shaped(3),)),
    "dense": lambda: (dense, (shaped(4, 8), shaped(8, 16), shaped(16))),
    "readme": lambda: (readme, (shaped(32, 32),)),
    "scan": lambda: (stacked, (shaped(2, 4), shaped(5, 4, 4))),
    "while": lambda: (halved, (shaped(3),)),
    "cond": lambda: (chosen, (shaped(dtype=bool), shaped(4, 4))),
    "many": lambda: layers(30),
    "irregular": lambda: of_model(*stock_models.pinn("small")),
    "equinox": lambda: of_model(*stock_models.equinox_block(8, 2, 16)),
    "flax": lambda: of_model(*stock_models.flax_block(8, 2, 16)),
}


@pytest.fixture(scope="module")
def explained():
    """Returns a function that explains an example, once."""
    found = {}

    def get(name):
        if name not in found:
            function, args = EXAMPLES[name]()
            found[name] = ts.explain(function)(*args)
        return found[name]

    return get


every_example = pytest.mark.parametrize("name", EXAMPLES)


# -- the figures ---------------------------------------------------------------------------------------


def test_a_product_counts_2mkn_operations_and_each_array_once():
    found = ts.explain(lambda x, y: x @ y)(shaped(6, 10), shaped(10, 7))
    (group,) = found.groups
    assert group.flops == found.totals.flops == 2 * 6 * 10 * 7
    assert group.bytes == 4 * (6 * 10 + 10 * 7 + 6 * 7)
    assert group.memory == 4 * 6 * 7
    assert found.totals.exact


@every_example
def test_the_time_of_a_group_is_the_larger_of_its_two_ceilings(name, explained):
    found = explained(name)
    for group in found.groups:
        if not group.loop:
            compute = group.flops / found.device.flops_per_second
            memory = group.bytes / found.device.bytes_per_second
            assert group.seconds == pytest.approx(max(compute, memory))
            assert group.bound == ("compute" if compute > memory else "memory")


@every_example
def test_totals_are_the_sums_over_the_outermost_groups(name, explained):
    found = explained(name)
    outer = [group for group in found.groups if group.parent is None]
    assert found.totals.flops == sum(group.flops for group in outer)
    assert found.totals.bytes == sum(group.bytes for group in outer)
    assert found.totals.seconds == pytest.approx(sum(group.seconds for group in outer))
    assert found.totals.groups == len(found.groups)


def test_a_scan_costs_its_body_times_its_length():
    found = ts.explain(stacked)(shaped(2, 4), shaped(5, 4, 4))
    (loop,) = [group for group in found.groups if group.loop]
    inside = [group for group in found.groups if group.parent == loop.index]
    assert (loop.loop, loop.trips, loop.exact) == ("scan", 5, True)
    assert any(group.flops == 2 * 2 * 4 * 4 for group in inside)
    assert loop.flops == 5 * sum(group.flops for group in inside)
    assert loop.seconds == pytest.approx(5 * sum(group.seconds for group in inside))


def test_loops_within_loops_multiply():
    def nested(x):
        def inner(x, _):
            return x @ x, None

        def outer(x, _):
            return jax.lax.scan(inner, x, length=3)[0], None

        return jax.lax.scan(outer, x, length=4)[0]

    assert ts.explain(nested)(shaped(5, 5)).totals.flops == 4 * 3 * 2 * 5**3


def test_where_only_the_run_tells_how_often_a_figure_is_a_lower_bound():
    found = ts.explain(halved)(shaped(3))
    (loop,) = [group for group in found.groups if group.loop]
    assert (loop.trips, loop.exact, found.totals.exact) == (None, False, False)
    assert {group.region for group in found.groups if group.parent is not None} == {
        "condition",
        "body",
    }
    assert "while ×?" in str(found)
    assert "≥" in str(found)


def test_of_a_choice_the_dearest_branch_counts():
    found = ts.explain(chosen)(shaped(dtype=bool), shaped(4, 4))
    (choice,) = [group for group in found.groups if group.loop]
    branches = {}
    for group in found.groups:
        if group.parent == choice.index:
            branches.setdefault(group.region, []).append(group.flops)
    assert choice.flops == max(map(sum, branches.values()))
    assert choice.flops >= 2 * 4**3


def test_a_symbolic_size_makes_figures_lower_bounds():
    (batch,) = jax.export.symbolic_shape("batch")
    found = ts.explain(lambda x: x @ x.T)(shaped(batch, 8))
    assert not found.totals.exact
    assert any(edge.type == "batch×8 f32" for edge in found.edges)


def test_the_peak_is_the_arguments_and_what_is_alive_between_groups():
    size = 4 * 100

    def chain(x):
        return jnp.sort(jnp.sort(jnp.sort(x)))

    # While the second sort runs, the argument, the first result and the second are there.
    assert ts.explain(chain)(shaped(100)).totals.peak == 3 * size


def test_results_that_are_kept_count_until_the_end():
    size = 4 * 100

    def fan(x):
        y = jnp.sort(x)
        z = jnp.sort(y)
        return y, z, jnp.sort(z)

    assert ts.explain(fan)(shaped(100)).totals.peak == 4 * size


# -- the content ---------------------------------------------------------------------------------------


def sorted_rows(x):
    y = x * 2
    return jax.lax.sort(y)


def test_groups_name_the_line_of_the_user_s_code():
    found = ts.explain(sorted_rows)(shaped(4, 8))
    lines, first = inspect.getsourcelines(sorted_rows)
    for name, code in (("jax.mul", "x * 2"), ("jax.sort", "lax.sort")):
        line = first + next(i for i, text in enumerate(lines) if code in text)
        (node,) = [n for group in found.groups for n in group.nodes if n.name == name]
        assert f"test_explain.py:{line}:" in node.where
        assert "(sorted_rows)" in node.where
        assert f"test_explain.py:{line} (sorted_rows)" in shown_text(found._repr_html_())


def test_what_is_raised_is_listed_with_its_place():
    found = ts.explain(lambda x: jax.nn.softmax(x, axis=-1))(shaped(256, 1024))
    assert [record.name for record in found.raised] == ["softmax"]
    assert all("test_explain.py" in record.where for record in found.raised)
    (group,) = [g for g in found.groups if g.kind in ("fuse", "pipeline")]
    assert "tessera.graph.softmax" in [node.name for node in group.nodes]
    assert group.runs
    assert group.reason


def test_an_op_is_shown_with_what_it_does_beyond_its_name():
    found = ts.explain(lambda x, w, b: ts.op.matmul(x, w, bias=b, epilogue="bias_relu"))(
        shaped(8, 4), shaped(4, 16), shaped(16)
    )
    (node,) = [node for group in found.groups for node in group.nodes]
    assert (node.name, node.extras) == ("tessera.graph.matmul", ("bias", "relu"))
    assert "matmul(bias, relu)" in str(found)
    assert "matmul(bias, relu)" in shown_text(found._repr_html_())


def test_what_a_rule_declined_is_shown_with_its_reason(explained):
    record = Record("flash_attention", False, "two <readers> of the scores", "/a/b.py:7:1 (f)", 9)
    found = dataclasses.replace(explained("dense"), declined=(record, record))
    assert "flash_attention ×2" in str(found)
    for text in ("two <readers> of the scores", "9 nodes", "b.py:7 (f)"):
        assert text in str(found)
        assert text in shown_text(found._repr_html_())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: jax.nn.relu6(x) + jax.nn.silu(x) + custom(x), "custom_jvp_call"),
        (lambda x: backward(x), "custom_vjp_call"),
        (lambda x: jax.lax.scan(lambda c, _: (jnp.sort(c), None), x, length=2)[0], "scan"),
        (lambda x: jax.lax.while_loop(lambda c: c[0] > 0, jnp.sort, x), "while"),
        (lambda x: jax.lax.cond(x[0] > 0, jnp.sort, jnp.negative, x), "cond"),
        (lambda x: jax.pure_callback(np.sin, jax.typeof(x), x), "pure_callback"),
        (lambda x: jnp.sort(x), "sort"),
    ],
)
def test_what_is_not_opened_is_listed_with_a_reason(function, name):
    found = ts.explain(function)(shaped(4))
    (item,) = [item for item in found.opaque if item.name == name]
    assert item.reason
    assert item.places
    assert name in str(found)
    assert item.reason in shown_text(found._repr_html_())


@jax.custom_jvp
def custom(x):
    return jnp.sin(x)


custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))


@jax.custom_vjp
def backward(x):
    return jnp.sin(x)


backward.defvjp(lambda x: (backward(x), x), lambda x, g: (g * jnp.cos(x),))


def test_a_side_effect_is_named_in_its_group_and_its_loop():
    def noisy(x):
        def step(x, _):
            jax.debug.print("x {x}", x=x)
            return x + 1, None

        return jax.lax.scan(step, x, length=3)[0]

    found = ts.explain(noisy)(1.0)
    effects = {group.pattern: group.effect for group in found.groups}
    assert effects["scan"] == effects["debug_print"] == "io"
    assert any("program order" in item.reason for item in found.opaque)


def test_a_collective_names_its_axis():
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def summed(x):
        return jax.shard_map(
            lambda x: jax.lax.psum(x, "dp"), mesh=mesh, in_specs=spec("dp"), out_specs=spec()
        )(x)

    found = ts.explain(summed)(shaped(16, 4))
    (group,) = [group for group in found.groups if group.kind == "collective"]
    assert (group.pattern, group.axes, group.effect) == ("all_reduce", ("dp",), "collective")
    assert "all_reduce over dp" in str(found)
    assert "shard_map" in [item.name for item in found.opaque]


@every_example
def test_every_group_says_what_runs_it_and_every_value_flows_forward(name, explained):
    found = explained(name)
    assert [group.index for group in found.groups] == list(range(len(found.groups)))
    for group in found.groups:
        assert group.runs
        assert group.reason
        assert group.kind in ("fuse", "pipeline", "xla", "collective")
        assert group.nodes
        assert group.parent is None or group.parent < group.index
    for edge in found.edges:
        if isinstance(edge.source, int) and isinstance(edge.target, int):
            assert edge.source < edge.target
    assert {edge.source for edge in found.edges if isinstance(edge.target, str)} <= {
        *range(len(found.groups)),
        *(edge.source for edge in found.edges if isinstance(edge.source, str)),
    }


def test_a_group_begun_beside_another_says_why():
    found = ts.explain(lambda x: jnp.sort(x) @ x)(shaped(4, 4))
    product = next(g for g in found.groups if "dot_general" in g.pattern or "matmul" in g.pattern)
    assert product.beside is not None
    assert "sort" in found.groups[product.beside].pattern
    assert "sort" in product.apart


def test_the_device_and_its_peaks_are_named(explained):
    found = explained("dense")
    assert found.device == peaks.device()
    rate = units.amount(found.device.flops_per_second, "FLOP/s")
    for text in (str(found), shown_text(found._repr_html_())):
        assert found.device.kind in text
        assert rate in text
        assert "nominal peaks" in text


def test_a_program_can_be_explained_for_another_platform():
    found = ts.explain(dense, target="cuda")(shaped(4, 8), shaped(8, 16), shaped(16))
    assert found.device == peaks.device("cuda")


def test_static_arguments_stay_static_for_another_platform():
    run = ts.compile(lambda x, axis: jnp.sum(x, axis=axis), static_argnames="axis")
    found = ts.explain(run, target="cuda")(shaped(4, 8), 1)
    assert [edge.type for edge in found.edges if edge.target == "result 0"] == ["4 f32"]


def test_a_compiled_function_explains_its_last_call():
    run = ts.compile(dense)
    run(jnp.ones((4, 8)), jnp.ones((8, 16)), jnp.ones(16))
    shapes = (shaped(4, 8), shaped(8, 16), shaped(16))
    assert run.explain() == ts.explain(dense)(*shapes) == ts.explain(run)(*shapes)


@pytest.mark.parametrize("function", [lambda: None, lambda: 1.0, lambda: ()])
def test_a_function_without_arrays_has_nothing_to_explain(function):
    found = ts.explain(function)()
    assert found.groups == ()
    assert found.totals.flops == found.totals.peak == 0
    assert "Nothing is computed" in str(found)
    assert "Nothing is computed" in found._repr_html_()


# -- bad input -----------------------------------------------------------------------------------------


def test_what_is_no_function_is_refused():
    with pytest.raises(CompileError, match="explain: int is not a function"):
        ts.explain(3)


def test_arguments_are_asked_for_where_there_are_none():
    with pytest.raises(CompileError, match="has not been called"):
        ts.explain(dense)()


def test_the_wrong_number_of_arguments_is_the_function_s_own_error():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        ts.explain(dense)(shaped(4, 8), shaped(8, 16))


# -- HTML and SVG --------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Checks that elements close in order, and keeps tags, attributes and text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def parsed(text):
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def shown_text(text):
    return " ".join("".join(parsed(text).text).split())


@every_example
def test_the_html_is_well_formed_and_loads_nothing(name, explained):
    text = explained(name)._repr_html_()
    page = parsed(text)
    assert "script" not in page.tags
    assert not {"src", "href", "onclick", "onload"} & {key for key, _ in page.attributes}
    assert "@import" not in text
    assert "url(" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


@every_example
def test_the_picture_is_well_formed_xml_within_its_frame(name, explained):
    root = xml.etree.ElementTree.fromstring(explained(name).to_svg())
    x, y, width, height = map(float, root.attrib["viewBox"].split())
    space = "{http://www.w3.org/2000/svg}"
    corners = list(placed_boxes(root, space, 0.0, 0.0))
    assert bool(corners) == bool(explained(name).edges or explained(name).groups)
    for left, top, right, bottom in corners:
        assert x <= left
        assert right <= x + width
        assert y <= top
        assert bottom <= y + height


def placed_boxes(element, space, x, y):
    """Yields the rectangles of an SVG tree in the coordinates of its root."""
    move = re.fullmatch(r"translate\((\S+) (\S+)\)", element.attrib.get("transform", ""))
    if move:
        x, y = x + float(move[1]), y + float(move[2])
    if element.tag == f"{space}rect":
        width, height = float(element.attrib["width"]), float(element.attrib["height"])
        yield x, y, x + width, y + height
    for child in element:
        yield from placed_boxes(child, space, x, y)


def test_the_picture_has_a_box_for_every_group_and_a_pill_for_every_argument(explained):
    found = explained("scan")
    picture = xml.etree.ElementTree.fromstring(found.to_svg())
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    for group in found.groups:
        assert any(word and word.startswith(f"{group.index} · ") for word in words)
    assert {"x", "weights", "result 0", "result 1"} <= set(words)
    assert "2×4 f32" in words


def test_names_from_users_are_escaped():
    evil = "</td><script>alert(1)</script>&amp;\"'"

    def function(tree):
        return {"[bold]": jnp.sort(tree[evil])}

    function.__name__ = evil
    found = ts.explain(function)({evil: shaped(3)})
    page = parsed(found._repr_html_())
    assert "script" not in page.tags
    assert evil in "".join(page.text)
    xml.etree.ElementTree.fromstring(found.to_svg())
    assert evil in str(found).replace("\n", "")
    assert json.loads(found.to_json())["name"] == evil
    assert evil in dot_parsed(found.to_dot())[0]


def test_square_brackets_in_names_are_text_not_markup():
    def function(x):
        return jnp.sort(x)

    function.__name__ = "[bold red]f[/]"
    assert "[bold red]f[/]" in str(ts.explain(function)(shaped(3)))


# -- text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@every_example
def test_the_text_fits_the_width_and_has_no_escape_codes(name, width, explained, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = explained(name).text(width)
    assert "\x1b" not in text
    assert max(map(rich.cells.cell_len, text.splitlines())) <= width


def test_printing_takes_the_width_of_the_terminal(explained, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    assert str(explained("dense")) == explained("dense").text(90)


def test_groups_of_a_loop_are_indented_under_it(explained):
    lines = explained("scan").text(120).splitlines()
    loop = next(i for i, line in enumerate(lines) if "scan ×5" in line)
    column = lines[loop].index("scan")
    inside = explained("scan").groups[1].index
    assert lines[loop + 1].split()[0] == str(inside)
    assert lines[loop + 1][column : column + 2] == "  "


def test_rich_prints_the_same_words_in_colour(explained):
    console = rich.console.Console(
        width=150, record=True, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    console.print(explained("readme"))
    plain = explained("readme").text(150)
    printed = [line.rstrip() for line in console.export_text().splitlines()]
    assert "\n".join(printed).rstrip() == plain


# -- what repeats is folded ----------------------------------------------------------------------------


def test_layers_that_repeat_are_shown_once_with_their_count():
    run, args = layers(30)
    found = ts.explain(run)(*args)
    assert len(found.groups) >= 60
    assert re.search(r"\b(29|30) times the same", str(found))
    assert len(str(found).splitlines()) < 40
    assert re.search(r"\b(29|30) times the same", found._repr_html_())


@every_example
def test_folding_loses_no_group(name, explained):
    groups = explained(name).groups
    top = [g.index for g in groups if g.parent is None]
    items = tree.tree(groups)
    assert sorted(member for item in items for member in item.members) == top
    assert len(items) <= tree.MOST + 2


def test_the_picture_of_500_groups_has_at_most_60_boxes():
    def run(x):
        for i in range(250):
            x = jnp.sort(x * float(i + 1) @ x[:, : i % 7 + 1] @ x[: i % 7 + 1])
        return x

    found = ts.explain(run)(shaped(8, 8))
    assert len(found.groups) >= 500
    picture = xml.etree.ElementTree.fromstring(found.to_svg())
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}rect"))) < 80
    assert len(str(found).splitlines()) < 120
    parsed(found._repr_html_())


# -- data ----------------------------------------------------------------------------------------------


@every_example
def test_the_json_holds_every_field(name, explained):
    found = explained(name)
    data = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert data["name"] == found.name
    assert len(data["groups"]) == len(found.groups)
    for group, entry in zip(found.groups, data["groups"], strict=True):
        assert entry.keys() == {field.name for field in dataclasses.fields(group)}
        assert entry["flops"] == group.flops
    assert data["totals"] == dataclasses.asdict(found.totals)


TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|->|[A-Za-z_]\w*|[{}\[\];=,])', re.DOTALL)


def dot_parsed(text):
    """Returns name, nodes and edges of a digraph, by the grammar of the DOT language."""
    tokens, place = [], 0
    while text[place:].strip():
        found = TOKEN.match(text, place)
        assert found, f"no DOT at {text[place : place + 30]!r}"
        tokens.append(found[1])
        place = found.end()
    nodes, edges = {}, []

    def take(*wanted):
        token = tokens.pop(0)
        assert not wanted or token in wanted, (token, wanted)
        return token

    def identifier():
        token = take()
        assert token[0] == '"' or token.isidentifier(), token
        return re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] == '"' else token

    def attributes():
        found = {}
        if tokens[0] == "[":
            take("[")
            while tokens[0] != "]":
                key = identifier()
                take("=")
                found[key] = identifier()
                if tokens[0] == ",":
                    take(",")
            take("]")
        return found

    def statements():
        take("{")
        while tokens[0] != "}":
            name = identifier()
            if name == "subgraph":
                identifier()
                statements()
            elif tokens[0] == "->":
                take("->")
                edges.append((name, identifier(), attributes()))
                take(";")
            elif tokens[0] == "=":
                take("=")
                identifier()
                take(";")
            else:
                nodes[name] = attributes()
                take(";")
        take("}")

    take("digraph")
    name = identifier()
    statements()
    assert tokens == []
    return name, nodes, edges


@every_example
def test_the_dot_text_parses_and_joins_declared_nodes(name, explained):
    found = explained(name)
    _, nodes, edges = dot_parsed(found.to_dot())
    assert {f"g{group.index}" for group in found.groups} <= nodes.keys()
    assert len(edges) == len(found.edges)
    for source, target, label in edges:
        assert source in nodes
        assert target in nodes
        assert label["label"]


# -- placing boxes -------------------------------------------------------------------------------------


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    sizes = st.tuples(st.floats(5, 200), st.floats(5, 90))
    boxes = [layering.Box(*draw(sizes)) for _ in range(count)]
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return boxes, edges


@given(graphs())
def test_boxes_do_not_overlap_and_edges_go_down(graph):
    boxes, edges = graph
    placed = layering.layout(boxes, edges)
    rectangles = [
        (x - b.width / 2, y - b.height / 2, x + b.width / 2, y + b.height / 2)
        for b, (x, y) in zip(boxes, placed.centres, strict=True)
    ]
    slack = 1e-6  # of positions up to a few thousand
    for i, a in enumerate(rectangles):
        assert a[0] >= -slack
        assert a[2] <= placed.width + slack
        assert a[1] >= -slack
        assert a[3] <= placed.height + slack
        for b in rectangles[:i]:
            beside = a[2] <= b[0] + slack or b[2] <= a[0] + slack
            assert beside or a[3] <= b[1] + slack or b[3] <= a[1] + slack
    for (source, target), route in zip(edges, placed.routes, strict=True):
        assert route[0][1] == pytest.approx(rectangles[source][3])
        assert route[-1][1] == pytest.approx(rectangles[target][1])
        assert all(a[1] <= b[1] + slack for a, b in zip(route, route[1:], strict=False))


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.5, 6)), min_size=1, max_size=20))
def test_positions_are_the_isotonic_regression(pairs):
    wanted, weights = map(list, zip(*pairs, strict=True))
    found = layering._increasing(wanted, weights)
    np.testing.assert_allclose(
        found, isotonic_regression(wanted, weights=weights).x, atol=1e-9 * 100
    )


# -- units ---------------------------------------------------------------------------------------------


@given(st.floats(1, 1e18))
def test_an_amount_is_right_to_three_digits(value):
    number, prefix = units.amount(value, "").split(" ")
    scale = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[prefix]
    assert float(number) < 1000
    assert math.isclose(float(number) * 10.0**scale, value, rel_tol=0.5e-2)


@given(st.floats(1e-9, 1e5))
def test_a_time_is_right_to_three_digits(seconds):
    number, unit = units.duration(seconds).split(" ")
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert math.isclose(float(number) * scale, seconds, rel_tol=0.5e-2)
