"""The matrix product in integers: its bits, its accuracy, and what it makes of special values."""

import functools
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_product_oracle import above, exact, nearest, product
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tessera.core.errors import Code, CompileError
from tessera.core.exact_product import THIN, exact_product

SLOW = pytest.mark.slow


def mixed(*shape: int, seed: int = 0, spread: float = 3.0) -> np.ndarray:
    """Returns terms of many magnitudes and both signs, some 0."""
    generator = np.random.default_rng(seed)
    found = generator.standard_normal(shape) * np.exp(spread * generator.standard_normal(shape))
    return np.where(generator.random(shape) < 0.05, 0, found).astype(np.float32)


def level(*shape: int, seed: int = 0, binades: int = 6) -> np.ndarray:
    """Returns terms of both signs with all their bits, within a few powers of two of each other."""
    generator = np.random.default_rng(seed)
    magnitude = np.ldexp(1 + generator.random(shape), generator.integers(0, binades, shape))
    return (generator.choice([-1, 1], shape) * magnitude).astype(np.float32)


def bits(x) -> bytes:
    return np.asarray(x).tobytes()


def same_bits(found, wanted: np.ndarray) -> bool:
    return found.dtype == wanted.dtype and bits(found) == bits(wanted)


# -- the value ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 60, 6), (THIN + 3, 11, THIN + 1), (9, 40, 2)])
@pytest.mark.parametrize("spread", [0.5, 10.0])
def test_the_bits_are_those_of_arithmetic_in_long_integers(shape, spread):
    m, k, n = shape
    a, b = mixed(m, k, spread=spread), mixed(k, n, seed=1, spread=spread)
    assert same_bits(exact_product(a, b), product(a, b))


@pytest.mark.parametrize("dtypes", [("bfloat16",) * 2, ("float16",) * 2, ("bfloat16", "float32")])
def test_narrow_operands_give_the_bits_of_their_own_grid(dtypes):
    a, b = (
        np.asarray(jnp.asarray(mixed(*shape, seed=1, spread=1.0), dtype))
        for shape, dtype in zip([(6, 50), (50, 3)], dtypes, strict=True)
    )
    assert same_bits(exact_product(jnp.asarray(a), jnp.asarray(b)), product(a, b))


def test_subnormal_float16_are_numbers_like_others():
    a = jnp.asarray([[2.0**-24, 3 * 2.0**-24]], jnp.float16)
    assert exact_product(a, jnp.ones((2, 1), jnp.float16)).item() == 2.0**-22


def test_eight_bit_floats_of_e4m3_are_multiplied_exactly():
    every = np.arange(256, dtype=np.uint8).view(jnp.float8_e4m3fn).astype(np.float32)
    every = every[np.isfinite(every)].reshape(2, 127)
    operands = [jnp.asarray(x, jnp.float8_e4m3fn) for x in (every, every.T)]
    wanted = every.astype(np.float64) @ every.T.astype(np.float64)
    assert same_bits(exact_product(*operands), wanted.astype(np.float32))


def test_float64_has_the_bits_of_arithmetic_in_long_integers(x64):
    generator = np.random.default_rng(0)
    a, b = (x * np.exp(9 * x) for x in (generator.standard_normal(s) for s in ((3, 30), (30, 4))))
    assert same_bits(exact_product(a, b), product(a, b))


@pytest.mark.slow
def test_float64_times_float32_is_float64(x64):
    a, b = mixed(3, 30).astype(np.float64) / 3, mixed(30, 4)
    narrow = b.astype(np.float32)
    assert same_bits(exact_product(jnp.asarray(a), jnp.asarray(narrow)), product(a, narrow))


def test_well_scaled_products_are_correctly_rounded():
    a, b = level(5, 60), level(60, 6, seed=1)
    wanted = [[nearest(x, np.float32) for x in row] for row in exact(a, b)]
    assert same_bits(exact_product(a, b), np.array(wanted, np.float32))


def test_cancelled_terms_leave_what_is_small():
    a, b = level(5, 30, binades=1), level(30, 6, seed=1, binades=1)
    a, b = np.concatenate([a, a], 1), np.concatenate([b, -b])
    b[0] += b[0] / 64
    left = b[:1].astype(np.float64) + b[30:31]
    assert bits(exact_product(a, b)) == bits((a[:, :1] * left).astype(np.float32))


def test_the_error_stays_within_its_bound():
    a, b = mixed(5, 60, spread=4.0), mixed(60, 6, seed=1, spread=4.0)
    found = np.asarray(exact_product(a, b))
    for (i, row), (j, column) in itertools.product(enumerate(a), enumerate(b.T)):
        x, y = ([Fraction(float(v)) for v in values] for values in (row, column))
        A, B = above(x), above(y)
        grid = (A * sum(map(abs, y)) + B * sum(map(abs, x))) / 2**31 + 60 * A * B / 2**62
        half = Fraction(float(np.spacing(np.abs(found[i, j])))) / 2
        total = sum(map(Fraction.__mul__, x, y), Fraction())
        assert abs(Fraction(float(found[i, j])) - total) <= half + grid


def test_ties_go_to_the_even_neighbour():
    units = np.float32(2.0**24)
    a = np.array([[units, 1], [units, 3], [units, -1], [units, -3], [-units, 1]], np.float32)
    wanted = np.float32([units, units + 4, units - 1, units - 3, 1 - units])
    assert same_bits(exact_product(a, np.ones((2, 1), np.float32)), wanted[:, None])


@pytest.mark.parametrize(
    "k", [pytest.param(1 << 14, marks=SLOW), pytest.param((1 << 14) + 1, marks=SLOW), (1 << 17) + 5]
)
def test_sums_of_any_length_do_not_overflow(k):
    # Digits of -128, and a carry out of each.
    x = np.float32(0xFE0202 / 2**23)
    a, b = np.full((2, k), x), np.full((k, 1), -x)
    a[1, 0] = 1
    terms = [-k * Fraction(float(x)) ** 2, -(k - 1) * Fraction(float(x)) ** 2 - Fraction(float(x))]
    wanted = np.array([[nearest(total, np.float32)] for total in terms], np.float32)
    assert same_bits(exact_product(a, b), wanted)


@pytest.mark.slow
def test_long_sums_of_integers_are_exact():
    generator = np.random.default_rng(0)
    a, b = (generator.integers(-999, 1000, shape) for shape in ((3, 40_000), (40_000, 2)))
    found = exact_product(a.astype(np.float32), b.astype(np.float32))
    assert same_bits(found, (a @ b).astype(np.float32))


# -- special values -----------------------------------------------------------------------------------

SPECIAL = np.float32([np.inf, -np.inf, np.nan, 0.0, -0.0, 2.0, -3.0])


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_infinities_and_nan_are_those_of_the_ieee_sum():
    pairs = np.array(list(itertools.product(SPECIAL, SPECIAL)), np.float32)
    a, b = np.pad(pairs, ((0, 0), (0, 1)), constant_values=1), np.pad(pairs.T, ((0, 1), (0, 0)))
    wanted = np.sum(a[:, :, None] * b[None], axis=1)
    found = np.asarray(exact_product(a, b))
    np.testing.assert_array_equal(found, wanted)
    assert {bits(x) for x in found[np.isnan(found)]} == {bits(np.float32(np.nan))}


def test_an_infinity_changes_its_own_row_and_column_alone():
    a, b = mixed(5, 60), mixed(60, 6, seed=1)
    wanted = np.array(exact_product(a, b))
    a[2, 3], b[4, 1] = np.inf, np.nan
    found = np.array(exact_product(a, b))
    assert not np.isfinite(found[2]).any()
    assert np.isnan(found[:, 1]).all()
    rest = np.ix_([0, 1, 3, 4], [0, 2, 3, 4, 5])
    assert bits(found[rest]) == bits(wanted[rest])


def test_beyond_the_normal_numbers_are_infinity_and_zero():
    tiny = np.finfo(np.float32).tiny
    a = np.float32([[1e30, 1e30], [-1e30, 0], [1e-30, 0], [-1e-30, 0], [tiny, tiny], [tiny / 2, 1]])
    b = np.float32([[1e20, 1e-20], [1e20, 0]])
    assert same_bits(exact_product(a, b), product(a, b))
    least = np.float32([[1.5]]), np.float32([[tiny / 1.5]])
    assert same_bits(exact_product(*least), product(*least))


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_an_empty_axis_gives_zeros_or_nothing(shape):
    m, k, n = shape
    found = exact_product(jnp.ones((m, k)), jnp.ones((k, n)))
    assert same_bits(found, np.zeros((m, n), np.float32))


# -- the same bits ------------------------------------------------------------------------------------

ROWS, INNER, COLUMNS = 48, 72, 48


def operands() -> tuple[np.ndarray, np.ndarray]:
    return mixed(ROWS, INNER), mixed(INNER, COLUMNS, seed=1)


@functools.cache
def whole() -> bytes:
    return bits(exact_product(*operands()))


def test_a_row_is_the_same_alone_and_among_others():
    a, b = operands()
    every = np.asarray(exact_product(a, b))
    assert bits(every) == bits(product(a, b))
    for i in (0, ROWS - 1):
        assert bits(exact_product(a[i : i + 1], b)) == bits(every[i])
        assert bits(exact_product(a, b[:, i : i + 1])) == bits(every[:, i])


def test_batches_are_products_of_their_own():
    a, b = mixed(1, 3, 5, 8), mixed(1, 3, 8, 4, seed=1)
    found = np.asarray(exact_product(a, b))
    shared = np.asarray(exact_product(a, b[0, 0]))
    for at in np.ndindex(1, 3):
        assert bits(found[at]) == bits(exact_product(a[at], b[at]))
        assert bits(shared[at]) == bits(exact_product(a[at], b[0, 0]))


def test_transformed_products_have_the_same_bits():
    a, b = mixed(3, 5, 8), mixed(3, 8, 4, seed=1)
    wanted = bits(exact_product(a, b))
    assert bits(jax.jit(exact_product)(a, b)) == wanted
    assert bits(jax.vmap(exact_product)(a, b)) == wanted
    columns = jax.vmap(exact_product, (None, 0), 1)(a[0], b)
    assert bits(columns[:, 0]) == bits(exact_product(a[0], b[0]))


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_special_values_pass_through_vmap():
    a, b = mixed(3, 5, 8), mixed(3, 8, 4, seed=1)
    a[1, 2, 3] = -np.inf
    assert bits(jax.vmap(exact_product)(a, b)) == bits(exact_product(a, b))


SPLITS = {
    "m": (P("x", None), P(None, None)),
    "k": (P(None, "x"), P("x", None)),
    "n": (P(None, None), P(None, "x")),
}
# The contracted axis split in a number of parts that is no power of two is the hardest.
CASES = [
    pytest.param(count, axis, marks=() if (count, axis) == (3, "k") else SLOW)
    for count in (1, 2, 3, 4, 6, 8)
    for axis in SPLITS
]


def placed(count: int, kind: AxisType, specs: tuple[P, P]) -> tuple[jax.Array, ...]:
    mesh = jax.make_mesh((count,), ("x",), axis_types=(kind,), devices=jax.devices()[:count])
    pairs = zip(operands(), specs, strict=True)
    return tuple(jax.device_put(x, NamedSharding(mesh, spec)) for x, spec in pairs)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize(("count", "axis"), CASES)
def test_the_bits_do_not_depend_on_the_mesh(count, axis, kind):
    a, b = placed(count, kind, SPLITS[axis])
    with jax.set_mesh(a.sharding.mesh):
        found = jax.jit(exact_product)(a, b)
    assert bits(found) == whole()


def test_rows_and_columns_of_an_explicit_mesh_stay_where_they_are():
    a, b = placed(8, AxisType.Explicit, (P("x", None), P(None, "x")))
    with jax.set_mesh(a.sharding.mesh):
        found = exact_product(a, b)
    assert jax.typeof(found).sharding.spec == P("x", None)
    assert bits(found) == whole()


def test_a_shard_multiplies_its_rows():
    a, b = placed(8, AxisType.Auto, (P("x", None), P(None, None)))
    run = jax.shard_map(exact_product, mesh=a.sharding.mesh, in_specs=SPLITS["m"], out_specs=P("x"))
    assert bits(jax.jit(run)(a, b)) == whole()


def test_a_shard_multiplies_long_rows():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    a, b = level(2, 20_000), level(20_000, 1, seed=1)
    run = jax.shard_map(exact_product, mesh=mesh, in_specs=SPLITS["m"], out_specs=P("x"))
    assert bits(jax.jit(run)(a, b)) == bits(exact_product(a, b))


def test_a_derivative_takes_it_for_a_constant():
    a, b = mixed(3, 8), mixed(8, 4, seed=1)
    found = jax.grad(lambda a, b: exact_product(a, b).sum(), (0, 1))(jnp.asarray(a), jnp.asarray(b))
    assert not any(np.any(x) for x in found)


# -- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes", [((2, 3), (4, 2)), ((3,), (3, 2)), ((2, 3), (1, 3, 2)), ((5, 2, 3), (4, 3, 2))]
)
def test_shapes_that_do_not_fit_raise(shapes):
    with pytest.raises(CompileError, match="Signature") as raised:
        exact_product(*(jnp.ones(shape) for shape in shapes))
    assert raised.value.code is Code.E_SHAPE_MISMATCH


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.complex64])
def test_other_dtypes_raise(dtype):
    with pytest.raises(CompileError, match="'b' is") as raised:
        exact_product(jnp.ones((2, 3)), jnp.ones((3, 2), dtype))
    assert raised.value.code is Code.E_TARGET_CODEGEN


def test_an_axis_longer_than_the_accumulators_hold_raises():
    long = jax.ShapeDtypeStruct((1, (1 << 28) + 1), jnp.float32)
    with pytest.raises(CompileError, match="268435456") as raised:
        jax.eval_shape(exact_product, long, jax.ShapeDtypeStruct(long.shape[::-1], jnp.float32))
    assert raised.value.code is Code.E_SHAPE_MISMATCH
