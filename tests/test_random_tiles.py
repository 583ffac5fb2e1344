"""Tile programs at random shapes in random blocks, through the loops of a CPU and through Pallas."""

from functools import partial

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_cases import Case, array, assert_exact, attention

from tessera import op
from tessera.lowering import emit_pallas, emit_stablehlo

pytestmark = pytest.mark.newest

EMITTERS = {"loops": emit_stablehlo.emit, "pallas": emit_pallas.emit}
SIZES = st.integers(1, 40)
BLOCKS = st.sampled_from([4, 8, 16, 32, 64])
DTYPES = st.sampled_from(["float32", "bfloat16", "float16"])


@st.composite
def products(draw):
    m, k, n = (draw(SIZES) for _ in range(3))
    batch = draw(st.sampled_from([(), (2,), (2, 3)]))
    arrays = (
        array(*batch, m, k),
        array(k, n, scale=k**-0.5, seed=1),
        array(n, seed=2),
        array(*batch, m, n, seed=3),
    )
    activation = draw(st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid"]))

    def f(a, b, bias, residual):
        return op.matmul(a, b, bias=bias, residual=residual, epilogue=f"bias_{activation}_residual")

    blocks = {"tile": (draw(BLOCKS), draw(BLOCKS)), "inner": draw(BLOCKS)}
    return Case(f, arrays, partial(oracles.matmul, activation=activation), blocks, loose=10)


@st.composite
def rows(draw):
    m, n = draw(SIZES), draw(SIZES)
    x, w, b = array(m, n), array(n, seed=1), array(n, seed=2)
    name = draw(st.sampled_from(["softmax", "rmsnorm", "layernorm"]))
    f, exact, arrays = {
        "softmax": (op.softmax, partial(oracles.softmax, axis=-1), (x,)),
        "rmsnorm": (lambda x, w: op.rmsnorm(x, weight=w), oracles.rmsnorm, (x, w)),
        "layernorm": (
            lambda x, w, b: op.layernorm(x, weight=w, bias=b), oracles.layernorm, (x, w, b)
        ),
    }[name]  # fmt: skip
    width = draw(st.sampled_from([n, 64]))
    return Case(f, arrays, exact, {"tile": (draw(BLOCKS), width)}, loose=6)


@st.composite
def attentions(draw):
    queries, keys = draw(SIZES), draw(SIZES)
    groups = draw(st.sampled_from([1, 2]))
    causal = draw(st.booleans())
    statics = {"causal": causal, "window": draw(st.none() | st.integers(1, 20))}
    extras = draw(st.sampled_from([(), ("mask",), ("sinks",), ("mask", "sinks")]))
    depth, width = draw(st.sampled_from([(16, 16), (12, 20), (8, 1)]))
    found = attention(
        queries, keys, heads=2, groups=groups, depth=depth, width=width, extras=extras, **statics
    )
    blocks = {"tile": (draw(BLOCKS), width), "inner": draw(BLOCKS)}
    return Case(found.f, found.arrays, found.exact, blocks, loose=6)


KINDS = {"products": products(), "rows": rows(), "attention": attentions()}


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_random_programs(kind, emitter):
    run(kind, emitter, 6)


@pytest.mark.slow
@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_programs(kind, emitter):
    run(kind, emitter, 60)


def run(kind, emitter, examples):
    @settings(max_examples=examples, deadline=None)
    @given(KINDS[kind], DTYPES)
    def check(case, dtype):
        with np.errstate(all="ignore"):
            assert_exact(EMITTERS[emitter], case, dtype)

    check()
