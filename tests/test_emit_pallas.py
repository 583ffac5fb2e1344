"""Tile → Pallas, interpreted: a second execution of every tile program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from tile_cases import CASES, assert_exact, kernel_of

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.lowering import emit_stablehlo
from tessera.lowering.emit_pallas import emit

pytestmark = pytest.mark.newest

QUICK = (
    "matmul of primes",
    "dot_general over three axes",
    "heads split off a product",
    "softmax tile+1",
    "layernorm in wide blocks",
    "views",
    "a number",
    "attention, causal window",
    "attention, mask and sinks",
)


def planned(name, dtype="float32"):
    args = CASES[name].arguments(dtype)
    return kernel_of(CASES[name].f, *args, **CASES[name].blocks), args


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_program_of_each_kind(name, dtype):
    assert_exact(emit, CASES[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_program(name, dtype):
    assert_exact(emit, CASES[name], dtype)


@pytest.mark.parametrize("name", QUICK[:1] + QUICK[-1:])
def test_programs_of_doubles(name, x64):
    assert_exact(emit, CASES[name], "float64")


def test_blocks_at_indices_of_the_grid_are_cut_out_by_pallas():
    kernel, args = planned("softmax tile+1")
    (call,) = (
        e for e in jax.make_jaxpr(emit(kernel))(*args).eqns if e.primitive.name == "pallas_call"
    )
    mapping = call.params["grid_mapping"]
    assert mapping.grid == (4, 2)
    assert [x.block_aval.shape for x in mapping.block_mappings] == [(1, 16, 31)] * 2


@pytest.mark.parametrize("name", ["matmul of primes", "attention, causal window"])
def test_both_emitters_compute_the_same_under_vmap(name):
    kernel, args = planned(name)
    stacked = [jnp.stack([x, -2 * x]) for x in args]
    ours, theirs = (
        jax.jit(jax.vmap(make(kernel)))(*stacked)[0] for make in (emit, emit_stablehlo.emit)
    )
    rtol, atol = numerics.tolerance("float32")
    np.testing.assert_allclose(ours, theirs, rtol=10 * rtol, atol=10 * atol)


def test_a_kernel_runs_on_each_shard():
    kernel, args = planned("softmax tile+1")
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("d")
    run = emit(kernel)

    def each(x):
        return run(x[0])[0][None]

    x = jnp.stack([(1 + i / 8) * args[0] for i in range(8)])
    sharded = jax.shard_map(each, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    np.testing.assert_allclose(jax.jit(sharded)(x), jax.nn.softmax(x), rtol=1e-5, atol=1e-6)


def test_arrays_of_another_type_are_refused():
    kernel, (x,) = planned("softmax tile+1")
    with pytest.raises(CompileError, match="argument 0 is f32") as caught:
        emit(kernel)(x[:3])
    assert caught.value.code is Code.E_SHAPE_MISMATCH
