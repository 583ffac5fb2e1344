"""`numerics.compare`: errors, conditions and counts are those of the definitions, whatever the equation."""

import dataclasses
import html.parser
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stock_models
from jax.sharding import NamedSharding

import tessera as ts
from tessera.core.errors import Code, CompileError
from tessera.numerics.against_float64 import compare

# No version of JAX changes it; the oldest is tried by the tests of levels and ops.
pytestmark = pytest.mark.newest

F32, BF16 = jnp.float32, jnp.bfloat16
ROUNDING = {F32: 2.0**-24, BF16: 2.0**-8}  # the largest relative error of one rounding


def wide(x):
    return np.asarray(x).astype(np.float64)


def drawn(*shape, dtype=F32, mean=0.0, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(mean, 1.0, shape), dtype)


def only(found, name):
    (operation,) = [o for o in found.operations if o.name == name]
    return operation


def naive_variance(x):
    return jnp.mean(x**2) - jnp.mean(x) ** 2


def unshifted_softmax(x):
    e = jnp.exp(x)
    return e / jnp.sum(e)


@pytest.fixture(scope="module")
def variance():
    return compare(naive_variance, drawn(100, mean=1000.0))


# -- what an error is ------------------------------------------------------------------------------------


def test_a_difference_that_cancels_is_exact_itself_and_has_lost_everything():
    found = compare(lambda x: (x + 1.0) - x, F32(1e8))
    last = only(found, "sub")
    assert last.local.ulps == 0
    assert last.accumulated.relative == 1
    assert last.condition == (1e8 + 1) + 1e8  # (|a| + |b|) / |a - b|, at the float64 operands
    assert found.worst == last
    assert [o.name for o in found.path] == ["add", "sub"]


def test_a_constant_is_no_source_of_error():
    found = compare(lambda x: (x + 1e8) - 1e8, F32(1.0))
    assert only(found, "sub").condition == 1e8 + 1  # |a| / |a - c|


def test_whole_numbers_in_floats_have_no_error():
    x = jnp.arange(12, dtype=F32).reshape(3, 4)
    found = compare(lambda x: jnp.sum((x @ x.T) * 2.0 - 3.0), x)
    assert all(o.local.ulps == o.accumulated.ulps == 0 for o in found.operations)
    assert found.error.ulps == 0
    assert found.worst is None
    assert found.exact == found.result == np.sum(wide(x) @ wide(x).T * 2 - 3)


@pytest.mark.parametrize("dtype", [F32, jnp.float16, BF16], ids=["fp32", "fp16", "bf16"])
def test_an_error_is_counted_in_units_in_the_last_place_of_the_dtype(dtype):
    x = drawn(64, dtype=dtype)
    found = compare(jnp.tanh, x)
    (operation,) = found.operations
    exact, digits = np.tanh(wide(x)), jnp.finfo(dtype).nmant
    off = np.abs(wide(found.result) - exact)
    ulps = off / 2.0 ** (np.floor(np.log2(np.abs(exact))) - digits)
    assert operation.dtype == jnp.dtype(dtype).name
    assert operation.local.ulps == pytest.approx(ulps.max())
    assert operation.local.median_ulps == pytest.approx(np.median(ulps))
    assert operation.local.relative == pytest.approx(off.max() / np.abs(exact).max())
    assert operation.accumulated == operation.local  # the operands have no error


def test_a_correctly_rounded_product_is_off_by_half_a_unit_at_most():
    found = compare(lambda x, y: x * y, drawn(1000), drawn(1000, seed=1))
    assert 0.4 < found.error.ulps <= 0.5


@pytest.mark.parametrize("dtype", [F32, BF16], ids=["fp32", "bf16"])
def test_the_error_of_a_product_of_matrices_is_within_the_bound(dtype):
    a, b = drawn(8, 64, dtype=dtype), drawn(64, 8, dtype=dtype, seed=1)
    found = compare(jnp.matmul, a, b)
    np.testing.assert_allclose(found.exact, wide(a) @ wide(b), rtol=1e-14)
    # Higham 2002, (3.13): k u |A||B| to first order.
    bound = 64 * ROUNDING[dtype] * (np.abs(wide(a)) @ np.abs(wide(b)))
    off = np.abs(wide(found.result) - found.exact)
    assert (off <= bound).all()
    assert 0 < found.error.relative <= bound.max() / np.abs(found.exact).max()


def test_the_float64_run_is_numpys():
    x, w = drawn(5, 4), drawn(4, 3, seed=1)

    def net(x, w):
        y = jnp.exp(-jnp.sqrt(jnp.abs(x @ w)))
        return {"mean": jnp.mean(y, axis=0), "sorted": jnp.sort(jnp.log1p(y), axis=0)}

    found = compare(net, x, w=w)
    y = np.exp(-np.sqrt(np.abs(wide(x) @ wide(w))))
    np.testing.assert_allclose(found.exact["mean"], y.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.exact["sorted"], np.sort(np.log1p(y), 0), rtol=1e-14)
    assert found.result["mean"].dtype == F32
    assert found.exact["mean"].dtype == np.float64


def test_the_transform_of_a_signal_is_compared_as_complex_numbers():
    x = drawn(16)
    found = compare(jnp.fft.fft, x)
    np.testing.assert_allclose(found.exact, np.fft.fft(wide(x)), atol=1e-14)
    assert 0 < only(found, "fft").local.relative < 1e-6
    assert only(found, "fft").dtype == "complex64"


# -- overflow, underflow, NaN ----------------------------------------------------------------------------


def test_an_overflow_is_counted_where_it_arises_and_where_it_arrives():
    found = compare(unshifted_softmax, jnp.array([1.0, 100.0]))
    first, last = only(found, "exp"), only(found, "div")
    assert (first.overflows, first.breaks, first.nans) == (1, 1, 0)
    assert (last.overflows, last.nans, last.breaks) == (1, 1, 0)  # inf / inf
    assert found.worst == first
    assert found.totals.lost == 1
    np.testing.assert_allclose(found.exact, [np.exp(-99.0), 1.0], rtol=1e-14)


def test_a_softmax_with_a_shift_does_not_overflow():
    found = compare(jax.nn.softmax, jnp.array([1.0, 80.0, 81.0, 100.0]))
    assert found.totals.overflows == found.totals.nans == found.totals.lost == 0
    assert found.error.ulps < 4


def test_what_is_too_small_for_a_normal_number_is_counted_and_not_an_error():
    found = compare(lambda x, y: x * y, jnp.array([1e-30, 1.0]), jnp.array([1e-30, 0.1]))
    (operation,) = found.operations
    assert (operation.underflows, operation.overflows) == (1, 0)
    assert operation.local.ulps == 0


def test_infinities_that_float64_has_too_are_no_overflow():
    hidden = jnp.array([True, False, False])
    found = compare(lambda x: jax.nn.softmax(jnp.where(hidden, -jnp.inf, x)), drawn(3))
    assert found.totals.overflows == found.totals.nans == 0


# -- conditions ------------------------------------------------------------------------------------------


def test_the_condition_of_a_function_of_one_number_is_x_f_prime_over_f():
    for function, x, expected in (
        (jnp.log, 1.01, 1 / np.log(1.01)),
        (jnp.exp, -3.0, 3.0),
        (jnp.tan, 1.5, 1.5 / (np.cos(1.5) ** 2 * np.tan(1.5))),
        (jnp.sqrt, 7.0, 0.5),
    ):
        (operation,) = compare(function, F32(x)).operations
        assert operation.condition == pytest.approx(expected, rel=1e-4)


def test_the_condition_of_a_sum_and_of_a_product_is_that_of_higham():
    x, y = drawn(50), drawn(50, seed=1)
    sums, dots = compare(jnp.sum, x), compare(jnp.vdot, x, y)
    a, b = wide(x), wide(y)
    assert only(sums, "reduce_sum").condition == pytest.approx(np.abs(a).sum() / abs(a.sum()))
    assert only(dots, "dot_general").condition == pytest.approx(
        2 * np.abs(a * b).sum() / abs(a @ b)
    )


def test_the_condition_of_another_operation_is_estimated_from_below():
    x = drawn(6)
    (operation,) = compare(ts.op.softmax, x).operations
    assert operation.name == "tessera.softmax"
    p = np.exp(wide(x)) / np.exp(wide(x)).sum()
    amplified = np.abs(np.diag(p) - np.outer(p, p)) @ np.abs(wide(x))
    bound = amplified.max() / p.max()
    assert bound / np.sqrt(2 * x.size) <= operation.condition <= bound


def test_the_worst_step_of_a_naive_variance_is_its_difference(variance):
    worst = variance.worst
    x = wide(drawn(100, mean=1000.0))
    assert worst.name == "sub"
    assert worst == variance.ranked("condition", 1)[0] == variance.ranked("error")[0]
    squares, square = np.mean(x**2), np.mean(x) ** 2
    assert worst.condition == pytest.approx((squares + square) / (squares - square), rel=1e-6)
    assert worst.local.ulps == 0
    assert variance.error.relative > 1e4 * ROUNDING[F32]
    assert variance.exact == pytest.approx(np.var(x), rel=1e-8)


def test_a_result_that_is_zero_but_for_rounding_does_not_hide_the_others():
    x = drawn(101, mean=10.0)
    found = compare(lambda x: (jnp.exp(-x), jnp.sum(x - jnp.mean(x))), x)
    assert found.error.relative < 1e-6
    assert found.worst.name == "exp"
    assert any("zero but for rounding" in note for note in found.notes)


# -- every kind of equation ------------------------------------------------------------------------------


def test_calls_and_their_names_are_entered():
    @jax.custom_vjp
    def doubled(x):
        return x * 2.0

    doubled.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (ct * 2.0,))

    @jax.jit
    def inner(x):
        return doubled(jax.checkpoint(jnp.sin)(jax.nn.relu(x))) * 3.0

    found = compare(lambda x: jnp.cos(inner(x)), drawn(4))
    assert [o.label for o in found.operations] == [
        "inner › relu › max",
        "inner › sin",
        "inner › mul",
        "inner › mul",
        "cos",
    ]


def test_a_tessera_op_is_one_operation():
    x = drawn(4, 6)
    found = compare(lambda x: ts.op.rmsnorm(ts.op.sin(x)), x)
    assert [o.name for o in found.operations] == ["tessera.sin", "tessera.rmsnorm"]
    y = np.sin(wide(x))
    exact = y / np.sqrt(np.mean(y**2, -1, keepdims=True) + np.float64(np.float32(1e-5)))
    np.testing.assert_allclose(found.exact, exact, rtol=1e-13)
    assert found.error.ulps < 4


def test_a_tessera_op_accumulates_in_float64():
    a, b = drawn(4, 32, dtype=BF16), drawn(32, 4, dtype=BF16, seed=1)
    found = compare(ts.op.matmul, a, b)
    np.testing.assert_allclose(found.exact, wide(a) @ wide(b), rtol=1e-14)
    assert only(found, "tessera.matmul").local.ulps <= 0.51  # fp32 sums, rounded once to bf16


def test_a_scan_is_run_step_by_step_and_its_steps_are_taken_together():
    x = drawn(7)
    found = compare(
        lambda x: jax.lax.scan(lambda c, a: (c * a + a, c * c), x[0], x, reverse=True), x
    )
    labels = {o.label: o.runs for o in found.operations if o.calls}
    assert labels == {"scan › mul": 7, "scan › add": 7}
    carry, squares = wide(x)[0], np.zeros(7)
    for i in range(6, -1, -1):
        carry, squares[i] = carry * wide(x)[i] + wide(x)[i], carry * carry
    np.testing.assert_allclose(found.exact[0], carry, rtol=1e-13)
    np.testing.assert_allclose(found.exact[1], squares, rtol=1e-13)


def test_a_loop_makes_the_steps_of_the_working_precision_and_says_if_float64_would_not():
    def halved_away(x):
        return jax.lax.while_loop(lambda z: z + 1.0 > 1.0, lambda z: z * 0.5, x)

    found = compare(halved_away, F32(1.0))
    assert found.result == 2.0**-24  # the first power of two that float32 loses beside 1
    assert only(found, "mul").runs == 24
    assert any("while" in note and "float64 would make more steps" in note for note in found.notes)


def test_a_branch_is_that_of_the_working_precision_and_says_if_float64_would_take_another():
    def branched(x):
        return jax.lax.cond((x + 1.0) - x > 0.5, jnp.sin, jnp.cos, x)

    found = compare(branched, F32(1e8))
    assert [o.label for o in found.operations][-1] == "cond[0] › cos"
    assert any("took branch 0, float64 would take branch 1" in note for note in found.notes)
    assert compare(branched, F32(1.0)).notes == ()


def test_an_answer_that_float64_gives_otherwise_is_noted():
    found = compare(lambda x: jnp.where((x + 1.0) - x > 0.5, x, -x), jnp.array([1e8, 1.0]))
    (note,) = found.notes
    assert note.startswith("gt at")
    assert "1 of 2 are different in float64" in note
    np.testing.assert_array_equal(found.exact, wide(np.float32([1e8, 1.0])))


def test_a_gradient_is_compared_and_keeps_its_structure():
    params = {"w": drawn(3, 2), "b": drawn(2, seed=1)}
    x = drawn(5, 3, seed=2)

    def loss(params, x):
        return jnp.sum((x @ params["w"] + params["b"][None]) ** 2)

    found = compare(jax.grad(loss), params, x)
    w, b, z = wide(params["w"]), wide(params["b"]), wide(x)
    residual = 2 * (z @ w + b)
    np.testing.assert_allclose(found.exact["w"], z.T @ residual, rtol=1e-13)
    np.testing.assert_allclose(found.exact["b"], residual.sum(0), rtol=1e-13)
    assert set(found.result) == {"w", "b"}


def test_a_mapped_function_is_one_program_over_the_batch():
    found = compare(jax.vmap(lambda x: jnp.sum(jnp.sin(x))), drawn(3, 4))
    assert only(found, "sin").shape == (3, 4)
    assert only(found, "reduce_sum").shape == (3,)


def test_keys_and_what_is_drawn_from_them_are_the_same_in_both_precisions():
    found = compare(lambda key: jax.random.uniform(key, (8,)) + 1.0, jax.random.key(0))
    assert found.error.ulps <= 0.5
    assert found.notes == ()


def test_what_reads_bits_runs_in_the_working_precision_and_is_noted():
    found = compare(lambda x: jnp.nextafter(x * x, F32(9.0)), F32(0.1))
    assert any("nextafter" in note and "no float64 form" in note for note in found.notes)


def test_an_update_at_indices_is_one_operation():
    x = drawn(5)
    found = compare(lambda x: jnp.zeros(3).at[jnp.array([0, 1, 0, 2, 0])].add(x), x)
    exact = [wide(x)[[0, 2, 4]].sum(), wide(x)[1], wide(x)[3]]
    np.testing.assert_allclose(found.exact, exact, rtol=1e-14)
    amplified = [np.abs(wide(x)[[0, 2, 4]]).sum(), abs(wide(x)[1]), abs(wide(x)[3])]
    largest = max(amplified) / np.abs(exact).max()
    assert only(found, "scatter-add").condition == pytest.approx(largest)


@pytest.mark.slow
def test_a_linear_system_is_one_operation():
    a, b = drawn(4, 4), drawn(4, seed=1)
    found = compare(jnp.linalg.solve, a, b)
    np.testing.assert_allclose(found.exact, np.linalg.solve(wide(a), wide(b)), rtol=1e-12)


def test_an_array_over_several_devices_is_compared_as_one():
    mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    x = drawn(4)
    placed = jax.device_put(x, NamedSharding(mesh, jax.P("i")))
    found, alone = compare(jnp.tanh, placed), compare(jnp.tanh, x)
    np.testing.assert_array_equal(found.exact, alone.exact)
    assert found.error == alone.error


def test_a_bfloat16_program_in_64_bit_mode_is_compared_too(x64):
    x = drawn(8, dtype=BF16)
    found = compare(lambda x: jnp.exp(x) * x, x)
    np.testing.assert_allclose(found.exact, np.exp(wide(x)) * wide(x), rtol=1e-14)


def test_numbers_functions_and_names_are_arguments_as_elsewhere():
    found = compare(lambda f, x, y: f(x) * y, jnp.sin, drawn(3, dtype=BF16), y=2.0)
    assert {o.dtype for o in found.operations} == {"bfloat16"}
    np.testing.assert_allclose(found.exact, np.sin(wide(drawn(3, dtype=BF16))) * 2, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "cnn", "gru", "pinn", "transformer", "moe"])
def test_the_float64_run_of_a_model_is_jaxs(name):
    loss, args = getattr(stock_models, name)("small")
    found = compare(jax.value_and_grad(loss), *args)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        exact = jax.value_and_grad(loss)(*jax.tree.map(widened, args))
        # The program's constants are those of float32.
        for x, y in zip(jax.tree.leaves(found.exact), jax.tree.leaves(exact), strict=True):
            size = np.abs(np.asarray(y)).max()
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-6 * size + 1e-12)


def widened(x):
    return jnp.asarray(wide(x)) if jnp.issubdtype(x.dtype, jnp.floating) else x


# -- where it was written --------------------------------------------------------------------------------


def twice(x):
    a = jnp.var(x)
    return a + jnp.var(x + 1.0)


def test_an_operation_has_the_line_of_the_users_code():
    found = compare(twice, drawn(5))
    first = inspect.getsourcelines(twice)[1]
    lines = [int(re.search(r"test_compare\.py:(\d+)", o.where)[1]) for o in found.operations]
    # JAX traces its own functions once; the second call is not at the line of the first.
    sums = [n for n, o in zip(lines, found.operations, strict=True) if o.name == "reduce_sum"]
    assert sums == [first + 1] * 2 + [first + 2] * 2
    assert found.operations[0].place == f"test_compare.py:{first + 1} (twice)"


# -- how it shows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_the_table_fits_and_names_the_worst_line(variance, width):
    text = variance.text(width)
    assert max(map(len, text.splitlines())) <= width
    joined = "".join(text.split())
    assert "".join(f"#{variance.worst.index} sub, {variance.worst.place}".split()) in joined
    if width > 60:  # below, names are folded
        assert all(o.name in text for o in variance.operations)


def test_the_table_has_counts_only_where_something_was_counted(variance):
    assert "over" not in variance.text(120).replace("overflow", "")
    assert re.search(r"\bover\b", compare(unshifted_softmax, jnp.array([1.0, 100.0])).text(120))


def test_a_long_program_shows_its_worst_lines():
    def deep(x):
        for i in range(50):
            x = jnp.sin(x * (1.0 + i))
        return jnp.sum(x) - jnp.sum(x + 0.001)

    found = compare(deep, drawn(3))
    text = found.text(120)
    assert len(text.splitlines()) < 60
    assert "sin ×50" in text
    assert re.search(rf"{found.operations[-1].index} +sub", text)


class Balanced(html.parser.HTMLParser):
    """Counts the tags that are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_jupyter_shows_balanced_html_with_the_worst_row_marked(variance):
    page = variance._repr_html_()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert page.count('class="ts-worst"') == 1
    assert variance.worst.place in page
    assert "http" not in page


def test_the_figure_has_the_errors_of_every_operation_and_names_the_worst(variance):
    figure = variance.plot()
    errors, conditions = figure.axes
    assert errors.get_yscale() == conditions.get_yscale() == "log"
    drawn_errors = next(line for line in errors.lines if line.get_label() == "accumulated")
    expected = [o.accumulated.median_ulps for o in variance.operations]
    heights = drawn_errors.get_ydata()
    assert heights[-1] == max(expected)
    assert [h for h, e in zip(heights, expected, strict=True) if h == e]  # all but the exact
    assert any(text.get_text().startswith("worst: sub") for text in errors.texts)
    figure.canvas.draw()


def test_a_program_of_nothing_shows_as_that():
    found = compare(lambda x: x, F32(1.0))
    assert found.operations == found.path == ()
    assert found.worst is None
    assert "0 ulps" in str(found)
    assert "<table>" in found._repr_html_()
    with pytest.raises(CompileError, match="nothing that a figure could show"):
        found.plot()


def test_a_comparison_is_frozen(variance):
    with pytest.raises(dataclasses.FrozenInstanceError):
        variance.name = "other"


# -- refusals --------------------------------------------------------------------------------------------


def reference(x):
    ref = jax.new_ref(x)
    ref[...] = x * 2.0
    return ref[...]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare(drawn(3)), "is not a function"),
        (lambda: compare(jnp.argmax, drawn(3)), "argmax has no floating-point result"),
        (lambda: compare(jnp.sin, jax.ShapeDtypeStruct((3,), F32)), "which has no value"),
        (lambda: jax.jit(lambda x: compare(jnp.sin, x).exact)(drawn(3)), "which has no value"),
        (lambda: compare(reference, drawn(3)), "changes memory"),
        (lambda: compare(jnp.sin, drawn(3)).ranked("size"), "not ranked by 'size'"),
    ],
    ids=["array", "integers", "type", "traced", "reference", "rank"],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(CompileError, match=re.escape(message)) as caught:
        call()
    assert caught.value.code is Code.E_GRAPH_INVALID
    assert caught.value.hints


def test_float64_has_no_wider_precision(x64):
    with pytest.raises(CompileError, match="float64, and there is no wider precision"):
        compare(jnp.sin, jnp.ones(3, jnp.float64))
