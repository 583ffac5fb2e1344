"""Shape buckets, and recordings of compiled calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import graph
from tessera.core.errors import Code, CompileError, LaunchError, TesseraError
from tessera.core.numerics import tolerance
from tessera.graph.buckets import bucket

RTOL, ATOL = tolerance(jnp.float32)
DIMS = {"seq_len": {"ids": 1}}


def raised(call, kind: type[TesseraError] = CompileError) -> TesseraError:
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def attention(ids, valid_len):
    """Returns causal-free self-attention of a sequence over its valid positions."""
    scores = ids @ ids.swapaxes(1, 2)
    inside = jnp.arange(ids.shape[1]) < valid_len
    return jax.nn.softmax(jnp.where(inside[None, None], scores, -jnp.inf), axis=-1) @ ids


def exact(ids):
    ids = np.asarray(ids, np.float64)
    scores = ids @ ids.swapaxes(1, 2)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ ids


def sequence(length, seed=0):
    return jax.random.normal(jax.random.key(seed), (2, length, 3))


# -- buckets ------------------------------------------------------------------------------------------


def test_a_bucketed_function_equals_the_function_at_every_length():
    run = graph.capture(attention, bucket_by=["seq_len"], dims=DIMS)
    for length in (1, 2, 3, 5, 7, 8, 9):
        found = run(sequence(length))
        assert found.shape == (2, length, 3)
        np.testing.assert_allclose(found, exact(sequence(length)), RTOL, 10 * ATOL)


def test_lengths_of_one_bucket_share_a_trace():
    traces = []

    @graph.capture(bucket_by=["seq_len"], dims=DIMS)
    def run(ids, valid_len):
        traces.append(ids.shape)
        return ids * valid_len

    counts = []
    for length in (5, 6, 8, 5, 9, 16, 12, 8):
        np.testing.assert_allclose(run(sequence(length)), sequence(length) * length, RTOL)
        counts.append((run.trace_count, len(traces)))
    assert [count for count, _ in counts] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert counts[0][1] == counts[3][1]
    assert counts[4][1] == counts[7][1]


def test_buckets_are_powers_of_two():
    assert [bucket(n) for n in range(10)] == [1, 1, 2, 4, 4, 8, 8, 8, 8, 16]


def test_an_empty_sequence_gives_an_empty_result():
    run = graph.capture(lambda ids: ids * 2, bucket_by="seq_len", dims=DIMS)
    assert run(sequence(0)).shape == (2, 0, 3)


def test_only_axes_that_are_the_dim_are_cropped():
    @graph.capture(bucket_by=["n"], dims={"n": {"x": 0}})
    def run(x, valid_len):
        gram = x @ x.T
        return {"rows": x[:, :2], "gram": gram, "total": x.sum(), "square": jnp.ones((4, 4))}

    x = jnp.ones((3, 4))
    found = run(x)
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {"rows": (3, 2), "gram": (3, 3), "total": (), "square": (4, 4)}
    assert found["total"] == 12


def test_two_dims_are_padded_and_cropped_apart():
    x, y, z = jnp.ones((3, 2)), jnp.ones((5, 2)), jnp.zeros((3, 5))
    run = graph.capture(
        lambda x, y, z, valid_len: (x @ y.T, z[0], valid_len),
        bucket_by=["q", "k"],
        dims={"q": {"x": 0}, "k": {"y": 0, "z": -1}},
    )
    product, row, lengths = run(x, y, z)
    assert product.tolist() == [[2.0] * 5] * 3
    assert row.shape == (5,)
    assert lengths == {"q": 3, "k": 5}


def test_pytrees_and_keywords_are_padded():
    @graph.capture(bucket_by=["n"], dims={"n": {"batch": 0}})
    def run(scale, batch, name="x"):
        return jax.tree.map(lambda leaf: leaf * scale, batch)

    batch = {"x": jnp.ones((3, 2)), "y": jnp.ones(3, jnp.bfloat16)}
    found = run(2.0, batch=batch)
    assert {name: value.shape for name, value in found.items()} == {"x": (3, 2), "y": (3,)}
    assert found["y"].dtype == jnp.bfloat16


def test_jaxtyping_annotations_name_the_axes():
    jaxtyping = pytest.importorskip("jaxtyping")
    array = jaxtyping.Float[jax.Array, "batch seq_len width"]
    trailing = jaxtyping.Float[jax.Array, "*batch seq_len 1"]

    @graph.capture(bucket_by=["seq_len"])
    def run(ids: array, mask: trailing, valid_len):
        return ids * mask

    assert run(sequence(5), jnp.ones((2, 5, 1))).shape == (2, 5, 3)
    assert run.dims == {"seq_len": {"ids": 1, "mask": -2}}


def test_a_bucketed_function_runs_under_jit_grad_and_vmap():
    run = graph.capture(attention, bucket_by=["seq_len"], dims=DIMS)
    ids = sequence(5)
    np.testing.assert_allclose(jax.jit(run)(ids), exact(ids), RTOL, 10 * ATOL)
    found = jax.grad(lambda ids: (run(ids) ** 2).sum())(ids)
    expected = jax.grad(lambda ids: (attention(ids, 5) ** 2).sum())(ids)
    np.testing.assert_allclose(found, expected, 10 * RTOL, 100 * ATOL)  # values of order 10
    many = jax.vmap(run)(jnp.stack([ids, 2 * ids]))
    np.testing.assert_allclose(many[1], exact(2 * ids), RTOL, 10 * ATOL)


def test_the_level_shown_is_that_of_the_bucket():
    run = graph.capture(attention, bucket_by=["seq_len"], dims=DIMS)
    assert "tensor<2x8x3xf32>" in run.inspect("graph", jax.ShapeDtypeStruct((2, 5, 3), jnp.float32))


def test_functions_with_a_smallest_or_a_largest_size_are_cropped_too():
    table = jnp.arange(8.0)
    for run, length in (
        (lambda x: x.reshape(x.shape[0] // 8, 8).sum(1).repeat(8), 7),  # blocks of 8
        (lambda x: x + table[: x.shape[0]], 7),  # 8 positions
        (lambda x: x[:1] * x, 1),
    ):
        found = graph.capture(run, bucket_by=["n"], dims={"n": {"x": 0}})(jnp.ones(length))
        assert found.shape == (length,)


def test_an_axis_joined_with_others_is_refused():
    for joined in (lambda x: x.reshape(-1), lambda x: jnp.concatenate([x, x[:1]])):
        run = graph.capture(joined, bucket_by=["n"], dims={"n": {"x": 0}})
        error = raised(lambda run=run: run(jnp.ones((3, 2))))
        assert error.code is Code.E_GRAPH_INVALID
        assert "cropped" in error.message


def test_two_sizes_of_one_dim_are_refused_with_both():
    run = graph.capture(lambda x, y: x, bucket_by=["n"], dims={"n": {"x": 0, "y": 0}})
    error = raised(lambda: run(jnp.ones(3), jnp.ones(4)))
    assert error.code is Code.E_SHAPE_MISMATCH
    assert "3 in 'x' but 4 in 'y'" in error.message


def test_an_axis_that_is_not_there_is_refused():
    run = graph.capture(lambda x: x, bucket_by=["n"], dims={"n": {"x": 2}})
    assert raised(lambda: run(jnp.ones((3, 2)))).code is Code.E_SHAPE_MISMATCH
    assert raised(lambda: run(3.0)).code is Code.E_GRAPH_INVALID


@pytest.mark.parametrize(
    ("bucket_by", "dims", "says"),
    [
        (["n"], None, "nothing says"),
        (["n"], {"n": {"y": 0}}, "'y'"),
        (["n"], {"n": {"valid_len": 0}}, "'valid_len'"),
        (["n"], {"n": {"x": 0}, "m": {"x": 1}}, "'m'"),
    ],
)
def test_a_capture_that_cannot_be_says_why(bucket_by, dims, says):
    def f(x, valid_len):
        return x

    error = raised(lambda: graph.capture(f, bucket_by=bucket_by, dims=dims))
    assert error.code is Code.E_GRAPH_INVALID
    assert says in error.message


def test_capture_needs_dims_or_nothing():
    for call in (
        lambda: graph.capture(lambda x: x),
        lambda: graph.capture(dims=DIMS),
        lambda: graph.capture(3, bucket_by=["n"], dims=DIMS),
    ):
        assert raised(call).code is Code.E_GRAPH_INVALID


def test_the_length_is_not_the_callers_to_give():
    run = graph.capture(attention, bucket_by=["seq_len"], dims=DIMS)
    with pytest.raises(TypeError, match="valid_len"):
        run(sequence(3), valid_len=3)


# -- recordings ---------------------------------------------------------------------------------------


@graph.module
def project(x, w):
    return x @ w


@graph.kernel
def shift(a, by, out):
    out[:] = a + by


def record():
    x, w = jnp.arange(6.0).reshape(2, 3), jnp.ones((3, 2))
    with graph.capture() as g:
        hidden = project(x, w)
        shift(hidden, jnp.ones((2, 2)), jax.ShapeDtypeStruct((2, 2), jnp.float32))
    return g, x, w


def test_a_recording_is_replayed_with_other_inputs():
    g, x, w = record()
    np.testing.assert_array_equal(graph.launch(g), x @ w + 1)
    np.testing.assert_array_equal(graph.launch(g, x=-x), -x @ w + 1)
    found = graph.launch(g, x=-x, w=2 * w, by=jnp.zeros((2, 2)))
    np.testing.assert_array_equal(found, -2 * x @ w)


def test_a_replay_traces_nothing():
    traces = []

    @graph.module
    def counted(x):
        traces.append(1)
        return x + 1

    with graph.capture() as g:
        counted(counted(jnp.zeros(3)))
    for value in range(3):
        assert graph.launch(g, x=jnp.full(3, float(value))).tolist() == [value + 2.0] * 3
    assert len(traces) == counted.trace_count == 1


def test_inputs_are_what_no_call_produced():
    g, x, _ = record()
    assert set(g.inputs) == {"x", "w", "by", "out"}
    assert g.inputs["x"] is x
    assert len(g) == 2
    assert repr(g) == "<recording of project, shift>"


def test_an_input_used_by_two_calls_is_replaced_in_both():
    x = jnp.arange(3.0)
    double = graph.module(lambda x: 2 * x)
    add = graph.module(lambda a, b: a + b)
    with graph.capture() as g:
        add(double(x), x)
    assert graph.launch(g, x=jnp.ones(3)).tolist() == [3.0] * 3


def test_training_steps_buckets_and_buffers_are_recorded():
    step = graph.training_step(lambda w, x: jnp.sum((w * x) ** 2))
    padded = graph.capture(lambda x: x * 2, bucket_by=["n"], dims={"n": {"x": 0}})
    buffer = np.zeros(3, np.float32)
    with graph.capture() as g:
        y = padded(jnp.arange(3.0))
        shift(y, jnp.ones(3), buffer)
        step(jnp.ones(3), y)
    gradient, metrics = graph.launch(g, x=jnp.array([1.0, 0.0, -1.0]))
    assert metrics["loss"] == 8
    assert gradient.tolist() == [8.0, 0.0, 8.0]
    assert buffer.tolist() == [3.0, 1.0, -1.0]


def test_calls_under_jit_are_not_recorded():
    with graph.capture() as g:
        jax.jit(project)(jnp.ones((2, 3)), jnp.ones((3, 2)))
    assert len(g) == 0
    error = raised(lambda: graph.launch(g))
    assert error.code is Code.E_GRAPH_INVALID
    assert "nothing was recorded" in error.message


def test_calls_after_the_block_are_not_recorded():
    g, x, w = record()
    project(x, w)
    assert len(g) == 2


def test_recordings_do_not_nest_and_end_with_an_error():
    with graph.capture(), pytest.raises(CompileError), graph.capture():
        pass
    with pytest.raises(ZeroDivisionError), graph.capture():
        1 / 0  # noqa: B018 - the error is the test
    with graph.capture() as g:
        project(jnp.ones((2, 3)), jnp.ones((3, 2)))
    assert len(g) == 1


@pytest.mark.parametrize(
    "value", [jnp.ones((3, 3)), jnp.ones((2, 3), jnp.bfloat16), [jnp.ones((2, 3))], 1.0]
)
def test_an_input_of_another_type_is_refused(value):
    g, _, _ = record()
    error = raised(lambda: graph.launch(g, x=value), LaunchError)
    assert error.code is Code.E_LAUNCH_INVALID_SHAPE
    assert "float32[2,3]" in error.message


def test_an_unknown_or_ambiguous_name_is_refused():
    g, _, _ = record()
    error = raised(lambda: graph.launch(g, z=1))
    assert error.code is Code.E_GRAPH_INVALID
    assert "'z'" in error.message
    double = graph.module(lambda x: 2 * x)
    with graph.capture() as twice:
        double(jnp.ones(2))
        double(jnp.zeros(2))
    assert "different values" in raised(lambda: graph.launch(twice, x=jnp.ones(2))).message


def test_only_recordings_are_launched():
    assert raised(lambda: graph.launch(3)).code is Code.E_GRAPH_INVALID
