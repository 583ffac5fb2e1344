"""`op.segment_reduce`: what the generated contract does not say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.ops.segment_reduce import run_reduce

EMPTY = np.finfo(np.float32).min


def exact(x, ids, kind, count):
    rows = [x[ids == s] for s in range(count)]
    empty = EMPTY if kind == "max" else 0.0
    of = {"sum": np.sum, "mean": np.mean, "max": np.max}[kind]
    return np.stack([of(r, axis=0) if len(r) else np.full(x.shape[1:], empty) for r in rows])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-3, 9), max_size=40),
    st.sampled_from([(), (1,), (3,), (2, 2)]),
    st.integers(1, 8),
    st.sampled_from(["sum", "mean", "max"]),
)
def test_any_ids(ids, shape, count, kind):
    ids = np.asarray(ids, np.int32)
    x = np.random.default_rng(len(ids)).standard_normal((len(ids), *shape)).astype(np.float32)
    wanted = exact(x.astype(np.float64), ids, kind, count)
    found = op.segment_reduce(x, ids, kind, num_segments=count)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_formulations_agree_and_order_does_not_matter_to_the_count():
    rng = np.random.default_rng(0)
    x, ids = rng.standard_normal((500, 7)).astype(np.float32), rng.integers(0, 40, 500)
    segments = jnp.arange(40)
    words = {"op": "sum"}
    bind = op.segment_reduce.bind
    found = [
        bind(x, ids, segments, algorithm=a, **words) for a in ("reference", "scatter", "sorted")
    ]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[2], bind(x, ids, segments, algorithm="sorted", **words))


def test_the_first_of_equal_maxima_has_the_gradient():
    x, ids = jnp.array([1.0, 3.0, 3.0, 2.0, 2.0]), jnp.array([0, 0, 0, 1, 1])
    run = lambda x: op.segment_reduce(x, ids, "max", num_segments=3)[:2].sum()  # noqa: E731
    assert jax.grad(run)(x).tolist() == [0, 1, 0, 1, 0]
    assert jax.jvp(run, (x,), (jnp.arange(5.0),))[1] == 1 + 3


def test_a_nan_is_kept_in_its_segment():
    x, ids = jnp.array([1.0, jnp.nan, 2.0, 5.0]), jnp.array([0, 0, 1, 1])
    for kind in ("sum", "mean", "max"):
        found = np.isnan(op.segment_reduce(x, ids, kind, num_segments=2))
        assert found.tolist() == [True, False]


def test_whole_numbers_and_low_precision():
    ids = jnp.zeros(3000, jnp.int8)
    found = op.segment_reduce(jnp.ones(3000, jnp.bfloat16), ids, num_segments=1)
    assert found.dtype == jnp.bfloat16
    assert found[0] == 3008  # 3000 rounded to bf16; counted in bf16 it would stop at 256


def test_vmap_and_grad_of_the_mean():
    x = jnp.arange(12.0).reshape(2, 6)
    ids = jnp.array([[0, 0, 1, 1, 1, 2], [2, 2, 2, 2, 2, 2]])
    mean = jax.vmap(lambda x, i: op.segment_reduce(x, i, "mean", num_segments=3))
    wanted = np.stack(
        [exact(np.asarray(a), np.asarray(i), "mean", 3) for a, i in zip(x, ids, strict=True)]
    )
    np.testing.assert_allclose(mean(x, ids), wanted, rtol=1e-6)
    slope = jax.grad(lambda x: mean(x, ids)[1, 2])(x)
    np.testing.assert_allclose(slope, [[0] * 6, [1 / 6] * 6], rtol=1e-6)


def test_memory_grows_with_rows_and_not_with_rows_times_segments():
    types = [jax.ShapeDtypeStruct(s, d) for s, d in (((4096, 4), "float32"), ((4096,), "int32"))]
    for algorithm in ("reference", "scatter", "sorted"):
        run = lambda x, ids, a=algorithm: op.segment_reduce.bind(  # noqa: E731
            x, ids, jnp.arange(2048), op="sum", algorithm=a
        )
        memory = jax.jit(run).lower(*types).compile().memory_analysis()
        assert memory.temp_size_in_bytes < 2**21


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (lambda: op.segment_reduce(jnp.ones(3), jnp.zeros(3, int), "min", num_segments=1),
         Code.E_GRAPH_INVALID, "'sum', 'mean' or 'max'"),
        (lambda: op.segment_reduce(jnp.ones(3), jnp.zeros(3, int), num_segments=-1),
         Code.E_GRAPH_INVALID, "at least 0"),
        (lambda: op.segment_reduce(jnp.ones(3), jnp.zeros(2, int), num_segments=1),
         Code.E_SHAPE_MISMATCH, "one id per row"),
        (lambda: op.segment_reduce(jnp.ones(()), jnp.zeros((), int), num_segments=1),
         Code.E_SHAPE_MISMATCH, "one id per row"),
        (lambda: op.segment_reduce(jnp.ones(3), jnp.zeros(3), num_segments=1),
         Code.E_TARGET_CODEGEN, "ids"),
    ],
)  # fmt: skip
def test_wrong_calls_say_why(call, code, words):
    with pytest.raises(CompileError, match=words) as caught:
        call()
    assert caught.value.code is code


def test_runs_are_reduced_like_segments():
    x = jnp.arange(10.0).reshape(5, 2)
    found = run_reduce.bind(x, jnp.array([2, 2, 9]), op="sum")
    assert found.tolist() == [[2, 4], [0, 0], [18, 21]]
