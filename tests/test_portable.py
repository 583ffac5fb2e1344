"""Portable arithmetic: the bits of a NumPy oracle, compiled, eagerly, mapped, over a mesh; and accuracy."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import portable_inverses_oracle as inverses
import portable_oracle as oracle
import pytest
import scipy.special
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec, use_abstract_mesh

from tessera.core import portable
from tessera.core.errors import CompileError
from tessera.core.portable.correction import corrected_quotient, corrected_root

UNARY = (
    "flushed square reciprocal sqrt rsqrt exp exp2 expm1 log log1p log2 tanh logistic sin cos tan erf erfc "
    "atan asin acos sinh cosh asinh acosh atanh cbrt erf_inv lgamma digamma"
).split()
BINARY = "multiply add subtract divide power atan2 rem".split()
ORACLE = vars(oracle) | {name: f for name, f in vars(inverses).items() if callable(f)}
ULPS = {
    "exp": (np.exp, 1),
    "exp2": (np.exp2, 1),
    "expm1": (np.expm1, 1.2),
    "tanh": (np.tanh, 1.6),
    "logistic": (scipy.special.expit, 2.4),
    "log": (np.log, 1),
    "log1p": (np.log1p, 1),
    "log2": (np.log2, 1.7),
    "sin": (np.sin, 0.9),
    "tan": (np.tan, 2.3),
    "atan": (np.arctan, 1.8),
    "asin": (np.arcsin, 1.8),
    "acos": (np.arccos, 1.3),
    "sinh": (np.sinh, 1.8),
    "cosh": (np.cosh, 1.4),
    "asinh": (np.arcsinh, 1.9),
    "acosh": (np.arccosh, 2.6),
    "atanh": (np.arctanh, 2),
    "cbrt": (np.cbrt, 0.9),
    "erf_inv": (scipy.special.erfinv, 2.8),
    "cos": (np.cos, 0.9),
    "erf": (scipy.special.erf, 2.5),
    "erfc": (scipy.special.erfc, 4.5),
}
WORDS = {np.float32: np.uint32, np.float64: np.uint64}
# Zeros, infinities, NaN, the ends of the format and of the range of exp, its halves, neighbours of 1.
SPECIAL = [
    *(
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        3.0,
        -3.0,
        0.55,
        1e-5,
        128.0,
        -126.0,
    ),
    *(1 + 2**-23, 1 - 2**-24, np.pi / 4, np.pi / 2, 88.72283, 88.7229, -87.33654, -87.3366),
    *(2.0**-126, -(2.0**-126), 2.0**-125, 3.4028235e38, -3.4028235e38, 709.0, -708.0, 2.0**24 + 2),
    *(89.415985, 89.42, 710.4758600739439, 710.48, 7.0, 8.0, -7.5, 2.0**28, 2.0**57),
]


def bits(x):
    """Words of an array, all NaN alike."""
    x = np.asarray(x)
    return np.where(np.isnan(x), x.dtype.type(np.nan), x).view(WORDS[x.dtype.type])


def assert_same_bits(found, expected, *operands):
    wrong = np.flatnonzero(bits(found) != bits(expected))
    values = [np.broadcast_to(x, np.shape(expected)).ravel()[wrong[:3]] for x in (*operands, found)]
    assert not wrong.size, f"{wrong.size} differ: {values}, not {np.ravel(expected)[wrong[:3]]}"


def inputs(dtype, seed=0, count=3000):
    """Random bit patterns, numbers of several sizes and signs, and the special values."""
    draw, word = np.random.default_rng(seed), WORDS[dtype]
    patterns = draw.integers(0, np.iinfo(word).max, count, dtype=word, endpoint=True).view(dtype)
    scaled = [draw.uniform(-scale, scale, count).astype(dtype) for scale in (1, 10, 100, 2000)]
    special = np.array(SPECIAL).astype(dtype)
    special = np.concatenate(
        [special, np.nextafter(special, dtype(0)), np.nextafter(special, dtype(9))]
    )
    return oracle.flushed(np.concatenate([patterns, *scaled, special]))


def pairs(dtype):
    x, y = inputs(dtype, 1), inputs(dtype, 2)
    special = oracle.flushed(np.array(SPECIAL).astype(dtype))
    return (
        np.concatenate([x, np.repeat(special, special.size), np.abs(x)]),
        np.concatenate([y, np.tile(special, special.size), np.roll(y, 5000)]),
    )


@pytest.mark.parametrize("name", UNARY)
def test_a_function_has_the_bits_of_the_oracle(name):
    x = inputs(np.float32)
    expected = ORACLE[name](x)
    assert_same_bits(jax.jit(getattr(portable, name))(x), expected, x)


@pytest.mark.parametrize("name", BINARY)
def test_an_operation_on_two_has_the_bits_of_the_oracle(name):
    x, y = pairs(np.float32)
    expected = ORACLE[name](x, y)
    assert_same_bits(jax.jit(getattr(portable, name))(x, y), expected, x, y)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_float64_has_the_bits_of_the_oracle(x64, name):
    operands = pairs(np.float64) if name in BINARY else (inputs(np.float64),)
    expected = ORACLE[name](*operands)
    assert_same_bits(jax.jit(getattr(portable, name))(*operands), expected, *operands)


@pytest.mark.parametrize("name", ["multiply", "divide", "rsqrt", "exp", "log1p", "tanh", "sin"])
def test_a_call_outside_jit_has_the_same_bits(name):
    operands = [x[-500:] for x in (pairs(np.float32) if name in BINARY else (inputs(np.float32),))]
    assert_same_bits(getattr(portable, name)(*operands), ORACLE[name](*operands), *operands)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (7, 5), (2, 3, 5)])
def test_any_shape_has_the_same_bits(shape):
    x = np.random.default_rng(0).uniform(0.1, 9, shape).astype(np.float32)

    def several(f):
        return f.divide(f.exp(x), f.add(f.log(x), f.sqrt(x)))

    assert_same_bits(jax.jit(lambda: several(portable))(), several(oracle))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 13, 64, -1, -3])
def test_whole_powers_multiply_squares_from_the_lowest_bit_on(n):
    x = inputs(np.float32, count=200)
    y = jax.jit(partial(portable.integer_power, n=n))(x)
    assert_same_bits(y, oracle.integer_power(x, n), x)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint32])
def test_powers_by_an_integer_array_are_exact_in_the_exponent(kind):
    draw, most = np.random.default_rng(0), np.iinfo(kind)
    x = np.concatenate([draw.uniform(-1.2, 1.2, 2000), np.array([1, -1, 0, -0.0, 1 - 2**-24])] * 2)
    x = x.astype(np.float32)
    wide = draw.integers(most.min, most.max, x.size // 2, dtype=kind, endpoint=True)
    y = np.concatenate([wide, draw.integers(0, 100, x.size // 2).astype(kind)])
    assert_same_bits(jax.jit(portable.power)(x, y), oracle.power(x, y), x, y)


def test_powers_of_a_decay_count_steps_beyond_the_digits_of_a_float():
    counts = np.array([2**24 + 1, 2**30 + 1, 2**20, 3], np.int32)
    x = np.float32(1 - 2**-24)
    expected = np.float64(x) ** counts.astype(np.float64)
    np.testing.assert_allclose(jax.jit(portable.power)(x, counts), expected, rtol=2e-7)


# -- accuracy ----------------------------------------------------------------------------------------------


def errors_in_ulp(y, expected):
    """Errors where the float32 result is a normal number, in units of its last place."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(np.float32)
        inside = (np.abs(expected) > 2.0**-125) & np.isfinite(rounded)
        spacing = np.spacing(np.abs(rounded)).astype(np.float64)
    return np.abs(np.asarray(y, np.float64)[inside] - expected[inside]) / spacing[inside]


@pytest.mark.parametrize("name", ULPS)
def test_the_error_is_what_the_docstring_says(name):
    reference, limit = ULPS[name]
    draw = np.random.default_rng(0)
    x = [draw.uniform(-scale, scale, 200_000) for scale in (1, 20, 90)]
    x = np.concatenate([*x, 2.0 ** draw.uniform(-120, 120, 200_000)]).astype(np.float32)
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.float64))
    assert errors_in_ulp(jax.jit(getattr(portable, name))(x), expected).max() <= limit


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (f, _) in ULPS.items() if f in vars(np).values()])
def test_the_error_in_float64_is_that_of_float32(x64, name):
    if np.finfo(np.longdouble).nmant < 60:
        pytest.skip("NumPy has no wider float here")
    reference, limit = ULPS[name]
    draw = np.random.default_rng(0)
    x = [draw.uniform(-scale, scale, 100_000) for scale in (1, 20, 700)]
    x = np.concatenate(
        [*x, 2.0 ** draw.uniform(-900, 900, 100_000), 1 + 2.0 ** draw.uniform(-50, 0, 1000)]
    )
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.longdouble))
        inside = (np.abs(expected) > 2.0**-1000) & np.isfinite(expected.astype(np.float64))
        spacing = np.spacing(np.abs(expected.astype(np.float64)))[inside]
    y = np.asarray(jax.jit(getattr(portable, name))(x))[inside]
    assert (np.abs(y - expected[inside]) / spacing).max() <= limit


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_multiples_of_half_pi_lose_no_digits(name):
    nearest = (np.arange(1, 200_000, 7) * (np.pi / 2)).astype(np.float32)
    expected = ULPS[name][0](nearest.astype(np.float64))
    assert errors_in_ulp(jax.jit(getattr(portable, name))(nearest), expected).max() <= 0.9


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_gamma_functions_of_positive_numbers_are_within_six_ulp_next_to_their_zeros_too(name):
    draw = np.random.default_rng(0)
    x = [draw.uniform(0, scale, 100_000) for scale in (1, 3, 10, 1000)]
    x = np.concatenate([*x, 2.0 ** draw.uniform(-100, 100, 100_000)])
    near_zeros = [zero + draw.normal(size=1000) * 1e-3 for zero in (1.0, 2.0, 1.4616321449683623)]
    x = np.concatenate([x, *near_zeros]).astype(np.float32)
    # SciPy's loggamma keeps its digits next to its zeros; its digamma has a zero of its own.
    reference = {
        "lgamma": lambda x: scipy.special.loggamma(x).real,
        "digamma": scipy.special.digamma,
    }
    expected = reference[name](x.astype(np.float64))
    assert errors_in_ulp(jax.jit(getattr(portable, name))(x), expected).max() <= 6


def test_powers_are_within_two_ulp():
    draw = np.random.default_rng(0)
    x = np.concatenate([2.0 ** draw.uniform(-10, 10, 100_000), draw.uniform(0.9, 1.1, 100_000)])
    y = np.concatenate([draw.uniform(-12, 12, 100_000), draw.uniform(-800, 800, 100_000)])
    x, y = x.astype(np.float32), y.astype(np.float32)
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64))
    assert errors_in_ulp(jax.jit(portable.power)(x, y), expected).max() <= 1.3


# -- quotients and roots where the platform only approximates them -----------------------------------------


def off_by_two(function):
    """The function's results, up to two units of the last place wrong."""

    def wrong(*operands):
        words = jax.lax.bitcast_convert_type(function(*operands), jnp.uint32)
        noise = (words * np.uint32(2654435761)) >> np.uint32(29)
        return jax.lax.bitcast_convert_type(
            words + noise % np.uint32(5) - np.uint32(2), jnp.float32
        )

    return wrong


def test_a_quotient_two_ulp_off_is_corrected():
    x, y = pairs(np.float32)
    found = jax.jit(partial(corrected_quotient, roughly=off_by_two(jax.lax.div)))(x, y)
    assert_same_bits(found, oracle.divide(x, y), x, y)


def test_quotients_next_to_the_middle_of_two_numbers_are_corrected():
    # q = n + 1/2 +- a little: dividends next to (n + 1/2) b have the remainders that decide.
    draw = np.random.default_rng(0)
    b = draw.integers(2**23, 2**24, 100_000)
    middle = ((draw.integers(2**23, 2**24, b.size) * 2 + 1) * b) >> 24
    x = (middle + draw.integers(-1, 2, b.size)).astype(np.float32)
    y = b.astype(np.float32)
    found = jax.jit(partial(corrected_quotient, roughly=off_by_two(jax.lax.div)))(x, y)
    assert_same_bits(found, oracle.divide(x, y), x, y)


def test_a_root_two_ulp_off_is_corrected():
    squares = np.arange(1, 4096, dtype=np.float32) ** 2
    x = np.concatenate([inputs(np.float32), squares, np.nextafter(squares, np.float32(0))])
    found = jax.jit(partial(corrected_root, roughly=off_by_two(jax.lax.sqrt)))(x)
    assert_same_bits(found, oracle.sqrt(x), x)


def test_other_platforms_than_the_cpu_get_the_corrected_quotient_and_root():
    device = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    with use_abstract_mesh(AbstractMesh((1,), ("x",), abstract_device=device)):
        x = jax.ShapeDtypeStruct((8,), jnp.float32)
        traced = jax.jit(lambda x, y: portable.sqrt(portable.divide(x, y))).trace(x, x)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "shift_right_arithmetic" in text  # of the corrected root


# -- what a compiler may not do -----------------------------------------------------------------------------


def test_constants_survive_the_simplifier():
    x = inputs(np.float32, count=1000)
    big, third = np.float32(2**23), np.full_like(x, 3)

    def several(f):
        moved = f.subtract(f.add(x, big + 0 * third), big + 0 * third)
        scaled = f.multiply(f.multiply(moved, third), f.divide(np.ones_like(x), third))
        return f.add(f.divide(scaled, third), f.divide(x, f.sqrt(third)))

    def constants(x):
        moved = portable.subtract(portable.add(x, big), big)
        scaled = portable.multiply(portable.multiply(moved, 3.0), portable.divide(1.0, 3.0))
        return portable.add(portable.divide(scaled, 3.0), portable.divide(x, portable.sqrt(3.0)))

    assert_same_bits(jax.jit(constants)(x), several(oracle), x)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_sum_with_zero_is_never_a_negative_zero(zero):
    x = np.array([0.0, -0.0], np.float32)
    found = jax.jit(lambda x: portable.add(x, np.float32(zero)))(x)
    assert_same_bits(found, np.zeros(2, np.float32))


def test_products_of_what_is_never_nan_or_never_negative_are_not_contracted():
    # For integers made floats, and for absolute values, compilers know more of the bits.
    n = np.random.default_rng(0).integers(-999, 999, 5000).astype(np.int32)
    x, third = n.astype(np.float32), np.float32(1 / 3)
    found = jax.jit(lambda n: portable.multiply(n.astype(jnp.float32), third) + third)(n)
    assert_same_bits(found, x * third + third, x)
    found = jax.jit(lambda x: portable.rounded(jnp.abs(x) * third) + third)(x)
    assert_same_bits(found, np.abs(x) * third + third, x)
    found = jax.jit(lambda n: portable.rounded(n.astype(jnp.float32) * third) + third)(n)
    assert_same_bits(found, x * third + third, x)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh", "sin"])
def test_functions_of_absolute_values_and_of_integers_have_the_bits_of_the_oracle(name):
    f, n = getattr(portable, name), np.arange(-3000, 3000, dtype=np.int32)
    x = n.astype(np.float32)
    third = x * np.float32(1 / 3)
    assert_same_bits(jax.jit(lambda n: f(n.astype(jnp.float32)))(n), ORACLE[name](x), x)
    size = -np.abs(third)
    assert_same_bits(jax.jit(lambda x: f(-jnp.abs(x)))(third), ORACLE[name](size), size)


UNDER_OTHER_FLAGS = """
import jax
import numpy as np
import portable_oracle as oracle
from test_portable import ORACLE, UNARY, assert_same_bits
from tessera.core import portable

def several(f, x):
    y = [f[name](x) for name in UNARY]
    return [*y, f["add"](f["multiply"](x, x), y[0]), f["power"](x, f["square"](x))]

x = np.random.default_rng(0).uniform(-20, 20, 4099)
x = np.concatenate([x, x / 20]).astype(np.float32)
results = jax.jit(lambda x: several(vars(portable), x))(x)
for found, expected in zip(results, several(ORACLE, x), strict=True):
    assert_same_bits(found, expected, x)
"""


def test_a_processor_without_fused_operations_gives_the_same_bits():
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_cpu_max_isa=AVX"
    subprocess.run([sys.executable, "-c", UNDER_OTHER_FLAGS], env=environment, check=True)


# -- transformations and meshes -----------------------------------------------------------------------------


def chain(f, x):
    return f.add(f.divide(f.exp(x), f.sqrt(f.add(f.square(x), np.float32(1) + 0 * x))), f.tanh(x))


def test_vmap_and_scan_keep_the_bits():
    x = np.random.default_rng(0).uniform(-5, 5, (6, 8)).astype(np.float32)
    expected = chain(oracle, x)
    f = partial(chain, portable)
    assert_same_bits(jax.jit(jax.vmap(f))(x), expected, x)
    stepped = jax.jit(lambda x: jax.lax.scan(lambda carry, row: (carry, f(row)), 0, x)[1])(x)
    assert_same_bits(stepped, expected, x)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_mesh_keeps_the_bits(kind):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(kind,))
    x = np.random.default_rng(0).uniform(-5, 5, (16, 4)).astype(np.float32)
    spec, f = PartitionSpec("x"), partial(chain, portable)
    with jax.set_mesh(mesh):
        placed = jax.device_put(x, NamedSharding(mesh, spec))
        y = jax.jit(f)(placed)
        assert y.sharding.spec[0] == "x"
        assert_same_bits(y, chain(oracle, x), x)
        mapped = jax.jit(jax.shard_map(f, in_specs=spec, out_specs=spec))(placed)
        assert_same_bits(mapped, chain(oracle, x), x)


def test_a_python_number_and_a_weak_type_take_the_dtype_of_the_other():
    x = jnp.arange(1, 4, dtype=jnp.float32)
    assert portable.divide(x, 3).dtype == jnp.float32
    assert portable.multiply(jnp.asarray(0.5), x).dtype == jnp.float32
    assert jax.jit(portable.power)(x, 0.5).dtype == jnp.float32
    assert portable.add(1.0, x).weak_type is False


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32", "complex64"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(CompileError, match=f"exp: {dtype}"):
        portable.exp(jnp.ones(3, dtype))
