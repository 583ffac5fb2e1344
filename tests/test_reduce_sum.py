"""Sums: their value, their bits on any number of devices, and their derivatives."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tile_interpreter
from jax.experimental.jet import jet
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads
from tile_cases import planned
from triton_interpreter import Interpreter

from tessera import dist
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, DistributedError, LaunchError
from tessera.lowering.emit_triton import source, unavailable
from tessera.lowering.emit_triton.module import write
from tessera.ops.reduce_sum import _by_levels, add_rows, reduce_sum

STABLE = ["tree", "kahan", "neumaier"]


def mixed(*shape: int, seed: int = 0) -> np.ndarray:
    """Returns terms of many magnitudes and both signs: the order of adding them shows in the bits."""
    generator = np.random.default_rng(seed)
    spread = np.exp(3 * generator.standard_normal(shape))
    return (generator.standard_normal(shape) * spread).astype(np.float32)


def line(count: int) -> dist.Mesh:
    return dist.Mesh(axes=["dp"], devices=range(count))


def bits(x) -> bytes:
    return np.asarray(x).tobytes()


def exact(x: np.ndarray) -> float:
    return math.fsum(x.astype(np.float64).ravel().tolist())


# -- bits ---------------------------------------------------------------------------------------------

LAID_OUT = [
    # shape, summed axes, axis that is split
    ((4096,), 0, 0),
    ((5, 48), 1, 1),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [
            ((480,), 0, 0),
            ((96, 40), 0, 0),
            ((96, 40), None, 0),
            ((48, 24), 0, 1),
            ((24, 24), None, 1),
            ((24 * 17, 3), 0, 0),
            ((2, 24, 2), (0, 1), 1),
        ]
    ),
]


@pytest.mark.parametrize("method", ["tree", "kahan"])
@pytest.mark.parametrize(("shape", "axis", "split"), LAID_OUT)
def test_the_bits_do_not_depend_on_the_number_of_devices(shape, axis, split, method):
    x = mixed(*shape)
    layout = dist.ShardSpec((split,), ("dp",))
    total = functools.partial(reduce_sum, axis=axis, method=method)
    found = {bits(total(x)), bits(jax.jit(total)(x))}
    for count in (1, 2, 3, 4, 6, 8):
        if shape[split] % count:
            continue
        mesh = line(count)
        placed = functools.partial(total, layout=layout, mesh=mesh)
        sharded = dist.tensor(x, layout=layout, mesh=mesh)
        found |= {bits(f(sharded)) for f in (total, jax.jit(total), jax.jit(placed))}
        found.add(bits(placed(x)))
    assert len(found) == 1


def test_the_order_of_these_terms_matters():
    assert len({bits(np.sum(mixed(4096)[::step])) for step in (1, -1)}) == 2


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_product_is_rounded_before_it_is_added(count):
    a, b = mixed(4096), mixed(4096, seed=1)
    layout = dist.ShardSpec((0,), ("dp",))
    placed = [dist.tensor(x, layout=layout, mesh=line(count)) for x in (a, b)]
    fused = jax.jit(lambda x, y: reduce_sum(x * y))(*placed)
    assert bits(fused) == bits(reduce_sum(a * b))


def halved(x: np.ndarray) -> np.float32:
    """The documented tree, in NumPy: float32 additions only."""

    def neighbours(rows):
        while len(rows) > 1:
            whole = len(rows) // 2
            rows = [rows[2 * i] + rows[2 * i + 1] for i in range(whole)] + rows[2 * whole :]
        return rows[0]

    def chunk(v):
        if len(v) <= 16:
            return neighbours(list(v))
        length = len(v) // 16
        if len(v) % 256 == 0:
            rows = list(v.reshape(-1, 16, 16).transpose(1, 0, 2).reshape(16, length))
        else:
            rows = list(v[: 16 * length].reshape(16, length))
        total, rest = chunk(neighbours(rows)), v[16 * length :]
        return total + chunk(rest) if len(rest) else total

    parts = math.gcd(len(x), 8)
    return neighbours([chunk(part) for part in x.reshape(parts, -1)])


@pytest.mark.parametrize("length", [1, 2, 7, 16, 17, 255, 256, 1000, 4096, 4099, 10000])
def test_the_tree_is_the_documented_one(length):
    x = mixed(length)
    assert bits(reduce_sum(x)) == bits(halved(x))


@pytest.mark.parametrize("method", STABLE)
def test_a_row_sums_to_the_same_bits_in_any_company(method):
    x = mixed(64, 1000)
    rows = bits(reduce_sum(x[:3], axis=1, method=method))
    assert bits(reduce_sum(x, axis=1, method=method)[:3]) == rows
    assert bits(reduce_sum(x.T, axis=0, method=method)[:3]) == rows
    assert bits(jax.vmap(lambda r: reduce_sum(r, method=method))(x)[:3]) == rows
    assert bits(np.stack([reduce_sum(r, method=method) for r in x[:3]])) == rows


# -- layout -------------------------------------------------------------------------------------------


def test_the_result_is_replicated_over_the_summed_mesh_axis_only():
    mesh = dist.Mesh(axes=["tp", "dp"], devices=range(8), shape=(4, 2))
    layout = dist.ShardSpec(("row", "col"), ("tp", "dp"))
    x = mixed(8, 6)
    over_rows = reduce_sum(x, axis=0, layout=layout, mesh=mesh)
    assert over_rows.sharding == NamedSharding(mesh.jax, P("dp"))
    kept = reduce_sum(x, axis=1, keepdims=True, layout=layout, mesh=mesh)
    assert kept.sharding.is_equivalent_to(NamedSharding(mesh.jax, P("tp", None)), 2)
    assert reduce_sum(x, layout=layout, mesh=mesh).sharding.is_fully_replicated


def test_the_current_mesh_serves_where_none_is_given():
    with line(4):
        total = reduce_sum(mixed(8), layout="sharded")
    assert total.sharding.device_set == set(jax.devices()[:4])


def test_a_layout_needs_a_mesh_and_a_mesh_a_layout():
    with pytest.raises(DistributedError) as without_mesh:
        reduce_sum(mixed(8), layout=dist.ShardSpec((0,), ("dp",)))
    assert without_mesh.value.code is Code.E_COMM_INIT
    with pytest.raises(LaunchError) as without_layout:
        reduce_sum(mixed(8), mesh=line(8))
    assert without_layout.value.code is Code.E_LAUNCH_BAD_LAYOUT


@pytest.mark.parametrize("method", ["tree", "kahan"])
def test_only_sums_of_chunks_travel_between_devices(method):
    layout = dist.ShardSpec((0,), ("dp",))
    x = dist.tensor(mixed(1024, 4), layout=layout, mesh=line(8))
    total = jax.jit(lambda v: reduce_sum(v, axis=0, method=method))
    text = total.lower(x).compile().as_text() or ""
    moved = re.findall(r"= \w+\[([\d,]*)\]\S* (?:all-|collective-)[\w-]+\(", text)
    assert moved
    assert all(math.prod(map(int, sizes.split(","))) <= 8 * 4 for sizes in moved)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("method", [*STABLE, "naive"])
def test_an_explicit_mesh_keeps_the_other_axes_in_the_type(axis, method):
    mesh = jax.make_mesh((4, 2), ("tp", "dp"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        x = jax.device_put(mixed(8, 6), NamedSharding(mesh, P("tp", "dp")))
        total = jax.jit(lambda v: reduce_sum(v, axis=axis, method=method))
        assert jax.typeof(total(x)).sharding.spec == P(("dp", "tp")[axis])
        if method != "naive":
            assert bits(total(x)) == bits(reduce_sum(mixed(8, 6), axis=axis, method=method))
        slope = jax.jit(jax.grad(lambda v: jnp.sum(total(v) ** 2)))(x)
    expected = 2 * np.sum(mixed(8, 6), axis=axis, keepdims=True) * np.ones((8, 6))
    np.testing.assert_allclose(slope, expected, rtol=1e-4)  # the square of a sum with cancellation


@pytest.mark.parametrize("method", STABLE)
def test_inside_shard_map_a_sum_is_that_of_the_block(method):
    mesh = line(4)
    local = jax.shard_map(
        lambda v: reduce_sum(v, axis=0, method=method, keepdims=True),
        mesh=mesh.jax,
        in_specs=P("dp"),
        out_specs=P("dp"),
    )
    x = mixed(32, 3)
    blocks = np.stack([np.asarray(reduce_sum(b, axis=0, method=method)) for b in np.split(x, 4)])
    assert bits(jax.jit(local)(x)) == bits(blocks)
    np.testing.assert_array_equal(jax.grad(lambda v: jnp.sum(local(v)))(x), np.ones_like(x))


# -- values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*STABLE, "naive"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (2, 0, 1), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_are_those_of_numpy(axis, keepdims, method):
    x = mixed(3, 20, 5)
    expected = np.sum(x.astype(np.float64), axis=axis, keepdims=keepdims)
    found = reduce_sum(x, axis, keepdims=keepdims, method=method)
    assert found.shape == expected.shape
    assert found.dtype == jnp.float32
    rtol, _ = numerics.tolerance(jnp.float32)
    # The rounding of a sum is relative to its terms, not to what is left of them.
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6 * np.abs(x).sum())


@pytest.mark.parametrize("length", [10, 1000, 4096, 100_003])
def test_the_error_of_the_tree_grows_with_the_logarithm_of_the_length(length):
    x = mixed(length)
    bound = (math.log2(length) + 8) * 2**-24 * float(np.abs(x).astype(np.float64).sum())
    assert abs(float(reduce_sum(x)) - exact(x)) <= bound


@pytest.mark.parametrize("method", ["kahan", "neumaier"])
@pytest.mark.parametrize("length", [10, 1000, 4096, 100_003, 2**18])
@pytest.mark.parametrize("jitted", [False, True])
def test_a_compensated_sum_is_rounded_once(method, length, jitted):
    x = mixed(length)
    total = functools.partial(reduce_sum, method=method)
    found = (jax.jit(total) if jitted else total)(x)
    assert float(found) == float(np.float32(exact(x)))


def test_a_plain_sum_of_such_terms_is_not_rounded_once():
    x = mixed(100_003)
    assert float(reduce_sum(x, method="naive")) != float(np.float32(exact(x)))


@pytest.mark.parametrize("method", ["kahan", "neumaier"])
@pytest.mark.parametrize(
    ("terms", "total"),
    [
        ([1.0, 1e30, 1.0, -1e30], 2.0),
        ([1e30, 1.0, -1e30], 1.0),
        ([1e8, *[1.0] * 9, -1e8], 9.0),
        ([2.0**24, 1.0, 1.0], 2.0**24 + 2),
    ],
)
def test_a_compensated_sum_loses_no_small_term(method, terms, total):
    assert float(jax.jit(lambda v: reduce_sum(v, method=method))(jnp.array(terms))) == total


def test_compensation_spans_several_axes():
    x = jnp.array([[1e8, 1.0], [1.0, 1.0], [1.0, -1e8]])
    assert float(reduce_sum(x, method="kahan")) == 4.0


@pytest.mark.parametrize("method", STABLE)
def test_infinities_and_nan_come_through(method):
    total = functools.partial(reduce_sum, method=method)
    assert float(total(jnp.array([1.0, jnp.inf, 2.0]))) == np.inf
    assert float(total(jnp.full(300, 3e38))) == np.inf
    assert np.isnan(total(jnp.array([jnp.inf, -jnp.inf])))
    assert np.isnan(total(jnp.array([1.0, jnp.nan] * 40)))


@pytest.mark.parametrize("method", [*STABLE, "naive"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_accumulates_in_fp32(method, dtype):
    ones = jnp.ones((64, 64), dtype)
    total = reduce_sum(ones, method=method)
    assert total.dtype == dtype
    assert float(total) == 4096
    third = jnp.full(3000, 1 / 3, dtype)
    wide = reduce_sum(third, method=method, dtype="fp32")
    assert wide.dtype == jnp.float32
    np.testing.assert_allclose(wide, 3000 * float(third[0]), rtol=1e-6)


@pytest.mark.parametrize("method", [*STABLE, "naive"])
def test_integers_sum_exactly_and_booleans_count(method):
    total = functools.partial(reduce_sum, method=method)
    for dtype, out in [
        (np.int8, np.int32),
        (np.uint8, np.uint32),
        (np.int32, np.int32),
        (np.uint16, np.uint32),
    ]:
        x = np.full(1000, 100, dtype)
        assert int(total(x)) == 100_000
        assert total(x).dtype == out
    assert int(total(np.arange(10) % 3 == 0)) == 4
    assert float(total(np.arange(4, dtype=np.int32), dtype="fp32")) == 6.0
    large = np.array([2**24, 1], np.int32)
    assert int(total(large)) == 2**24 + 1


def test_sixty_four_bits_are_kept(x64):
    terms = np.array([1.0, 1e-12, -1.0])
    assert reduce_sum(terms).dtype == jnp.float64
    assert float(reduce_sum(np.array([1e17, 1.0, -1e17]), method="kahan")) == 1.0
    wide = float(reduce_sum(terms.astype(np.float32), dtype="fp64"))
    assert abs(wide - 1e-12) < 2**-52  # one rounding at 1; in fp32 nothing would be left
    assert int(reduce_sum(np.array([2**40, 1]))) == 2**40 + 1
    assert reduce_sum(np.ones(3, np.int32)).dtype == jnp.int64


@pytest.mark.parametrize("method", STABLE)
def test_complex_numbers_sum_part_by_part(method):
    x = mixed(300) + 1j * mixed(300, seed=1)
    found = reduce_sum(x, method=method)
    assert bits(found.real) == bits(reduce_sum(x.real, method=method))
    assert bits(found.imag) == bits(reduce_sum(x.imag, method=method))


@pytest.mark.parametrize("method", [*STABLE, "naive"])
def test_the_sum_of_nothing_is_zero(method):
    total = functools.partial(reduce_sum, method=method)
    np.testing.assert_array_equal(total(jnp.ones((0, 3)), axis=0), np.zeros(3))
    assert total(jnp.ones((0, 3)), axis=1).shape == (0,)
    assert float(total([])) == 0.0


def test_a_list_is_added_in_its_order():
    a, b, c = (jnp.full(3, v, jnp.float32) for v in (1e8, -1e8, 1.0))
    np.testing.assert_array_equal(reduce_sum([a, b, c]), np.ones(3))
    np.testing.assert_array_equal(reduce_sum([a, c, b]), np.zeros(3))
    np.testing.assert_array_equal(reduce_sum([a, c, b], method="kahan"), np.ones(3))
    assert int(reduce_sum([1, 2, 3])) == 6
    assert reduce_sum([jnp.ones(2, jnp.bfloat16), a[:2]]).dtype == jnp.float32
    slopes = jax.grad(lambda x, y: jnp.sum(reduce_sum([x, y, x])), argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(slopes[0], np.full(3, 2.0))
    np.testing.assert_array_equal(slopes[1], np.ones(3))


# -- derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*STABLE, "naive"])
def test_every_derivative_is_that_of_a_sum(method):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 40)), jnp.float32)

    def f(v):
        return reduce_sum(jnp.sin(reduce_sum(v**2, axis=1, method=method)), method=method)

    # check_grads compares with float32 differences; the tolerances are its own for that dtype.
    check_grads(f, (x / 8,), order=2, modes=("fwd", "rev"), rtol=3e-2, atol=3e-2)
    slope = jax.grad(lambda v: reduce_sum(v, method=method))(x)
    np.testing.assert_array_equal(slope, np.ones((3, 40)))


@pytest.mark.parametrize("method", [*STABLE, "naive"])
def test_taylor_mode_sums_every_coefficient(method):
    x, rates = jnp.asarray(mixed(50)), jnp.asarray(mixed(50, seed=1))
    total = functools.partial(reduce_sum, method=method)
    first, (second, third) = jet(total, (x,), ((rates, 2 * rates),))
    expected = total(rates)
    np.testing.assert_allclose(first, total(x))
    np.testing.assert_allclose(second, expected, rtol=1e-5)
    np.testing.assert_allclose(third, 2 * expected, rtol=1e-5)


def test_the_gradient_keeps_the_layout_and_dtype_of_the_operand():
    x = dist.tensor(mixed(16, 4), layout=dist.ShardSpec((0,), ("dp",)), mesh=line(8), dtype="bf16")
    slope = jax.jit(jax.grad(lambda v: reduce_sum(v).astype(jnp.float32)))(x)
    assert slope.dtype == jnp.bfloat16
    np.testing.assert_array_equal(slope.astype(jnp.float32), np.ones((16, 4)))


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: reduce_sum(jnp.ones(3), method="ring"), Code.E_GRAPH_INVALID, "tree, compensated"),
        (lambda: reduce_sum(jnp.ones(3), method="chunked"), Code.E_GRAPH_INVALID, "naive"),
        (
            lambda: reduce_sum(jnp.ones(3), method="tree", stable=False),
            Code.E_GRAPH_INVALID,
            "tree",
        ),
        (lambda: reduce_sum(jnp.ones(3), axis=1), Code.E_SHAPE_MISMATCH, "rank 1"),
        (lambda: reduce_sum(jnp.ones((3, 2)), axis=(0, -2)), Code.E_GRAPH_INVALID, "repeats"),
        (lambda: reduce_sum(jnp.ones(3), dtype="int32"), Code.E_GRAPH_INVALID, "int32"),
        (lambda: reduce_sum(jnp.ones(3), dtype="fp64"), Code.E_TARGET_CODEGEN, "float64"),
        (lambda: reduce_sum("abc"), Code.E_GRAPH_INVALID, "str"),
        (lambda: reduce_sum([jnp.ones(3), jnp.ones(2)]), Code.E_SHAPE_MISMATCH, "(2,)"),
        (lambda: reduce_sum([jnp.ones(3)], axis=0), Code.E_GRAPH_INVALID, "list"),
    ],
)
def test_a_sum_that_cannot_be_says_why(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in caught.value.message


def test_an_unstable_sum_is_that_of_xla():
    x = mixed(1000)
    assert bits(reduce_sum(x, stable=False)) == bits(jnp.sum(x))


def test_a_nan_in_one_part_of_a_complex_number_leaves_the_other():
    total = reduce_sum(jnp.array([complex(float("nan"), 1), 2 + 3j], jnp.complex64))
    assert np.isnan(total.real)
    assert total.imag == 4.0


def test_a_complex_sum_is_not_cast_to_real():
    with pytest.raises(CompileError, match="cannot hold a sum of complex64"):
        reduce_sum(jnp.ones(2, jnp.complex64), dtype="fp32")


def test_a_real_sum_in_complex_has_a_real_gradient():
    gradient = jax.grad(lambda x: reduce_sum(x, dtype="complex64").real)(jnp.ones(3))
    np.testing.assert_array_equal(gradient, np.ones(3))


# -- level by level, as tile programs ----------------------------------------------------------------------

LENGTHS = [
    ((1,), 0),
    ((37, 5), 0),
    ((1000,), 0),
    ((2, 256 * 17), 1),
    ((12293,), 0),
    ((2, 2048, 7), 1),
]


@pytest.mark.parametrize("method", ["tree", "neumaier"])
@pytest.mark.parametrize(("shape", "axis"), LENGTHS)
def test_levels_and_their_tile_programs_give_the_bits_of_the_reference(shape, axis, method):
    random = np.random.default_rng(0)
    x = jnp.asarray(
        random.standard_normal(shape) * 10.0 ** random.integers(-3, 4, shape), jnp.float32
    )
    words = {"axis": axis, "method": method, "dtype": "float32"}
    wanted = reduce_sum.bind(x, **words, algorithm="reference")
    np.testing.assert_array_equal(reduce_sum.bind(x, **words, algorithm="levels"), wanted)
    tiled = jax.jit(functools.partial(_by_levels, **words, algorithm="tile"))
    np.testing.assert_array_equal(tiled(x), wanted)


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "Triton is here")
@pytest.mark.parametrize("compensated", [False, True])
def test_triton_gives_the_same_bits(compensated, tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path))
    random = np.random.default_rng(1)
    x, errors = (1e3 * random.standard_normal((5, 16, 33)).astype(np.float32) for _ in range(2))
    args = (x, errors) if compensated else (x,)
    f = functools.partial(add_rows.bind, compensated=compensated)
    schedule, tiles = planned(f, *args, tile=(4, 32))
    with Interpreter() as run:
        monkeypatch.setattr(
            tile_interpreter,
            "run_kernel",
            lambda kernel, arrays: run(source(kernel), write(source(kernel)), *arrays),
        )
        found = tile_interpreter.run_schedule(schedule, tiles, args)
    for ours, theirs in zip(found, jax.tree.leaves(f(*args)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
