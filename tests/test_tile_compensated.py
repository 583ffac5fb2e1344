"""A compensated sum in the kernel language: rounding errors must survive every emitter and compiler."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tile_kernels import kernel_of, registered
from triton_interpreter import Interpreter

import tessera as ts
from tessera import tile
from tessera.lowering import emit_pallas, emit_stablehlo
from tessera.lowering.emit_triton import source, unavailable
from tessera.lowering.emit_triton.module import write

LANES = 64
REASON = unavailable()
needs_triton = pytest.mark.skipif(REASON is not None, reason=REASON or "Triton is here")


def two_sum(a, b):
    """Returns the sum of two numbers and what rounding took from it. Source: Knuth, TAOCP 2, 4.2.2."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def program(x, totals, errors):
    def step(i, carried):
        total, error = carried
        total, lost = two_sum(total, tile.load(x, cols=tile.block(i, LANES)))
        return total, error + lost

    tile.grid(1)
    begin = (tile.zeros((LANES,)), tile.zeros((LANES,)))
    total, error = tile.fori_loop(0, tile.cdiv(x.shape[0], LANES), step, begin)
    tile.store(totals, total, cols=tile.whole(LANES))
    tile.store(errors, error, cols=tile.whole(LANES))


def reference(x, lanes):
    rows = jnp.pad(x, (0, -x.shape[0] % LANES)).reshape(-1, LANES)

    def step(carried, row):
        total, lost = two_sum(carried[0], row)
        return (total, carried[1] + lost), None

    return jax.lax.scan(step, (jnp.zeros_like(lanes), jnp.zeros_like(lanes)), rows)[0]


def kernel():
    def with_lanes(x, lanes, totals, errors):
        del lanes  # only its size matters: that of the results
        program(x, totals, errors)

    return registered(with_lanes, reference, "n, l -> l, l", platforms=("cpu", "cuda", "rocm"))


def terms(n=1000):
    """Returns numbers of mixed sign and magnitude, whose sum is far smaller than they are."""
    random = np.random.default_rng(0)
    x = random.standard_normal(n) * 10.0 ** random.integers(-3, 6, n)
    return np.concatenate([x, -x[::-1] * (1 + 1e-7)]).astype(np.float32)


def error_of(totals, errors, x):
    exact = math.fsum(float(a) for a in x)
    found = math.fsum([*np.asarray(totals, float), *np.asarray(errors, float)])
    return abs(found - exact) / math.fsum(abs(float(a)) for a in x)


def test_the_sum_and_its_errors_are_exact_to_rounding():
    x, lanes = terms(), jnp.zeros(LANES)
    totals, errors = jax.jit(kernel())(x, lanes)
    assert error_of(totals, errors, x) < 1e-13
    assert error_of(totals, np.zeros(LANES), x) > 1e-9  # what the errors are worth
    np.testing.assert_array_equal(totals, reference(x, lanes)[0])


@pytest.mark.parametrize("emit", [emit_stablehlo.emit, emit_pallas.emit], ids=["loops", "pallas"])
def test_no_emitter_simplifies_it_away(emit):
    x, lanes = terms(777), jnp.zeros(LANES)
    found = jax.jit(emit(kernel_of(kernel(), x, lanes)))(x, lanes)
    assert error_of(*found, x) < 1e-13


@needs_triton
def test_triton_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path))
    x, lanes = terms(777), np.zeros(LANES, np.float32)
    made = source(kernel_of(kernel(), x, lanes, target="cuda"))
    with Interpreter() as run:
        assert error_of(*run(made, write(made), x, lanes), x) < 1e-13
    text = ts.inspect(kernel(), "ptx", x, lanes, target="sm_90")
    assert text.count("add.f32") + text.count("sub.f32") + text.count("add.rn.f32") >= 6
    assert "fma" not in text
