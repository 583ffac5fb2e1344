"""`op.grouped_matmul` and its tile programs; the contract is in test_contract, more shapes in tile_cases."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import tile_interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_cases import GROUPED, planned
from triton_interpreter import Interpreter

import tessera as ts
from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.lowering import emit_stablehlo
from tessera.lowering.emit_triton import source, unavailable
from tessera.lowering.emit_triton.module import write
from tessera.ops.grouped_matmul import grouped_matmul_bwd

REASON = unavailable()
needs_triton = pytest.mark.skipif(REASON is not None, reason=REASON or "Triton is here")


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def arguments(sizes, rows, inner=6, columns=5):
    return (
        array(rows, inner),
        array(len(sizes), inner, columns, seed=1),
        np.asarray(sizes, np.int32),
    )


def gradients(x, w, sizes, ct):
    return jax.jit(lambda x, w: jax.vjp(lambda x, w: op.grouped_matmul(x, w, sizes), x, w)[1](ct))(
        x, w
    )


def runs_tiles(f, *args):
    return "while" in jax.jit(f).lower(*args).as_text()


def test_value_and_gradients_run_as_loops_over_blocks():
    x, w, sizes = arguments([10, 0, 33, 5, 2], 70)
    ct = array(70, 5, seed=2)
    assert runs_tiles(op.grouped_matmul, x, w, sizes)
    assert runs_tiles(gradients, x, w, sizes, ct)
    np.testing.assert_allclose(
        op.grouped_matmul(x, w, sizes), oracles.grouped_matmul(x, w, sizes), atol=1e-5
    )
    for ours, exact in zip(
        gradients(x, w, sizes, ct), oracles.grouped_matmul_bwd(x, w, sizes, ct), strict=True
    ):
        np.testing.assert_allclose(ours, exact, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.integers(1, 40),
    st.sampled_from([1, 2, 5, 17]),
    st.sampled_from([1, 3, 16, 19]),
    st.sampled_from([(8, 8), (16, 32), (64, 16)]),
)
def test_any_groups_in_any_blocks(sizes, rows, inner, columns, tile):
    x, w, sizes = arguments(sizes, rows, inner, columns)
    ct = array(rows, columns, seed=2)
    exact = (
        oracles.grouped_matmul(x, w, sizes),
        *oracles.grouped_matmul_bwd(x, w, sizes, ct),
    )
    found = []
    for f, args in (
        (op.grouped_matmul, (x, w, sizes)),
        (grouped_matmul_bwd.bind, (x, w, sizes, ct)),
    ):
        schedule, tiles = planned(f, *args, tile=tile, inner=tile[0])
        found += tile_interpreter.run_schedule(schedule, tiles, args)
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_is_not_finite_stays_in_its_group():
    x, w, sizes = arguments([5, 3, 4], 14)
    ct = array(14, 5, seed=2)
    w[1] = np.inf
    x[3] = np.nan
    found = np.asarray(jax.jit(op.grouped_matmul)(x, w, sizes))
    assert np.isfinite(np.delete(found, [3, 5, 6, 7], axis=0)).all()
    dx, dw = gradients(x, w, sizes, ct)
    assert np.isfinite(np.delete(dx, [5, 6, 7], axis=0)).all()
    assert np.isfinite(np.asarray(dw)[1:]).all()


def test_memory_is_bounded_by_blocks():
    rows, inner, columns, groups = 4096, 64, 256, 8
    types = [jax.ShapeDtypeStruct(s, "float32") for s in ((rows, inner), (groups, inner, columns))]
    types.append(jax.ShapeDtypeStruct((groups,), "int32"))
    memory = jax.jit(op.grouped_matmul).lower(*types).compile().memory_analysis()
    assert (
        memory.temp_size_in_bytes < rows * columns * 4 / 2
    )  # the reference takes 16 times as much


def test_vmap_over_rows_and_sizes_stays_one_program():
    x, w, _ = arguments([0, 0, 0], 19)
    sizes = np.array([[3, 9, 2], [0, 19, 0]], np.int32)
    xs = np.stack([x, 2 * x])
    mapped = jax.vmap(op.grouped_matmul, (0, None, 0))
    assert runs_tiles(mapped, xs, w, sizes)
    np.testing.assert_allclose(
        mapped(xs, w, sizes), oracles.grouped_matmul(xs, w, sizes), atol=1e-5
    )
    weights = np.stack([w, 3 * w])  # of their own for each: the reference, mapped
    found = jax.vmap(op.grouped_matmul)(xs, weights, sizes)
    for i in range(2):
        exact = oracles.grouped_matmul(xs[i], weights[i], sizes[i])
        np.testing.assert_allclose(found[i], exact, atol=1e-4)


def test_sizes_of_any_whole_dtype():
    x, w, sizes = arguments([100, 100], 200)
    wanted = op.grouped_matmul(x, w, sizes)
    for dtype in ("int8", "uint8", "int16"):
        np.testing.assert_array_equal(op.grouped_matmul(x, w, sizes.astype(dtype)), wanted)
        bare = op.grouped_matmul.bind(x, w, sizes.astype(dtype), algorithm="reference")
        np.testing.assert_allclose(bare, wanted, atol=1e-4)


def test_an_epilogue_is_computed_before_the_store():
    x, w, sizes = arguments([5, 3, 4], 14)
    f = lambda x, w, s: op.silu(op.grouped_matmul(x, w, s))  # noqa: E731
    text = ts.inspect(ts.compile(f), "tile", x, w, sizes)
    assert text.count("tile.func") == 2
    assert "logistic" in text
    np.testing.assert_allclose(ts.compile(f)(x, w, sizes), f(x, w, sizes), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda x, w, s: (x, w, s[:2]), Code.E_SHAPE_MISMATCH, "group_sizes"),
        (lambda x, w, s: (x, w[0], s), Code.E_SHAPE_MISMATCH, "'w'"),
        (lambda x, w, s: (x[:, :2], w, s), Code.E_SHAPE_MISMATCH, "k"),
        (lambda x, w, s: (x, w, s.astype("f")), Code.E_TARGET_CODEGEN, "group_sizes"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, code, named):
    with pytest.raises(CompileError, match=named) as caught:
        op.grouped_matmul(*change(*arguments([5, 3, 4], 14)))
    assert caught.value.code is code


# -- Triton ------------------------------------------------------------------------------------------------


@needs_triton
def test_triton_computes_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path))
    names = ["empty groups", "tile±1", "batches", "backward, tile±1", "backward, batches"]
    with Interpreter() as run:
        monkeypatch.setattr(
            tile_interpreter,
            "run_kernel",
            lambda kernel, arrays: run(source(kernel), write(source(kernel)), *arrays),
        )
        for name in names:
            case = GROUPED[name]
            args = [np.asarray(x) for x in case.arguments("float32")]
            sizes = {**case.blocks, "warps": 4}
            schedule, tiles = planned(case.f, *args, **sizes)
            found = tile_interpreter.run_schedule(schedule, tiles, args)
            wanted = jax.tree.leaves(jax.jit(case.f)(*args))
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=name)


@needs_triton
@pytest.mark.parametrize("shape", [(16384, 2048, 4096, 8), (64, 2048, 1024, 64)], ids=str)
def test_default_configs_use_tensor_cores_without_spilling(shape):
    rows, inner, columns, groups = shape
    x, w, ct = (
        jax.ShapeDtypeStruct(s, "bfloat16")
        for s in ((rows, inner), (groups, inner, columns), (rows, columns))
    )
    sizes = jax.ShapeDtypeStruct((groups,), "int32")
    found = ts.inspect(op.grouped_matmul, "ptx", x, w, sizes, target="sm_90")
    found += ts.inspect(grouped_matmul_bwd.bind, "ptx", x, w, sizes, ct, target="sm_90")
    assert found.count("wgmma.mma_async") + found.count("mma.sync") > 0
    assert ".local" not in found  # where registers spill to


def test_the_loops_emitter_needs_no_copy_of_the_matrices():
    x, w, sizes = arguments([100, 0, 56, 100], 256, 32, 48)
    _, tiles = planned(op.grouped_matmul, x, w, sizes, tile=(16, 16))
    kernel = list(tiles.body.block.ops)[-1]
    read = [jnp.zeros(a.type.sizes, tile_interpreter.dtype_of(a.type)) for a in kernel.arrays]
    text = jax.jit(emit_stablehlo.emit(kernel)).lower(*read[:-1]).as_text()
    assert "stablehlo.pad" not in text
