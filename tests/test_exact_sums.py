"""Sums, means, dot products, norms and squared errors by method: correct rounding, bits, derivatives."""

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.jet import jet
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, op
from tessera.core.errors import Code, CompileError

# No version of JAX changes it; the oldest is tried by the tests of levels and ops.
pytestmark = pytest.mark.newest

LENGTH = 300
LEAST = Fraction(2) ** -126
FIXED = ["tree", "compensated", "exact"]

exact = jax.jit(functools.partial(op.reduce_sum, method="exact"))
exact_dot = jax.jit(functools.partial(op.dot, method="exact"))


def rounded(true: Fraction, digits: int = 24) -> float:
    """Rounds to the nearest float of so many binary digits, ties to even, as float32 with its range."""
    if true == 0:
        return 0.0
    exponent = abs(true).numerator.bit_length() - true.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > abs(true)
    unit = Fraction(2) ** (exponent - digits + 1)
    near = round(true / unit) * unit
    if abs(near) >= 2**128:
        return math.copysign(math.inf, near)
    return float(near) if abs(near) >= LEAST else 0.0


def true_sum(x: np.ndarray) -> Fraction:
    return sum(map(Fraction, x.astype(float).ravel().tolist()), Fraction(0))


def true_dot(x: np.ndarray, y: np.ndarray) -> Fraction:
    pairs = zip(x.astype(float).tolist(), y.astype(float).tolist(), strict=True)
    return sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))


def normal(x: np.ndarray) -> np.ndarray:
    """Returns 300 float32 numbers, none of them subnormal or infinite."""
    x = np.clip(np.resize(x, LENGTH), -3e38, 3e38).astype(np.float32)
    return np.where(np.abs(x) < float(LEAST), np.float32(0), x)


def cancelling(generator: np.random.Generator, condition: float) -> np.ndarray:
    """Returns terms of many magnitudes whose sum is about their size over `condition`."""
    half = generator.standard_normal(LENGTH // 2 - 4) * 10.0 ** generator.uniform(
        -3, 3, LENGTH // 2 - 4
    )
    half = half.astype(np.float32)
    left = np.abs(half).sum() / condition * (1 + generator.random(8))
    return generator.permutation(np.concatenate([half, -half, left.astype(np.float32)]))


DATA = {
    "normal": lambda g: g.standard_normal(LENGTH),
    "1e-30 to 1e30": lambda g: g.standard_normal(LENGTH) * 10.0 ** g.uniform(-30, 30, LENGTH),
    "the whole range": lambda g: g.standard_normal(LENGTH) * 10.0 ** g.uniform(-38, 39, LENGTH),
    "few digits": lambda g: np.ldexp(g.integers(-3, 4, LENGTH), g.integers(-60, 60, LENGTH)),
    "ties": lambda g: np.concatenate(
        [[2.0 ** g.integers(20, 30)], np.ldexp([1.0, 1.0], g.integers(-30, 6, 2)), np.zeros(297)]
    ),
    "condition 1e8": lambda g: cancelling(g, 1e8),
    "condition 1e12": lambda g: cancelling(g, 1e12),
    "nothing": lambda g: np.concatenate([(x := g.standard_normal(LENGTH // 2)), -x]),
}


@pytest.mark.parametrize("kind", DATA)
def test_an_exact_sum_is_the_true_one_rounded_once(kind):
    for seed in range(20):
        x = normal(DATA[kind](np.random.default_rng(seed)))
        assert float(exact(x)) == rounded(true_sum(x))


@pytest.mark.parametrize("kind", DATA)
def test_an_exact_dot_product_is_the_true_one_rounded_once(kind):
    for seed in range(10):
        generator = np.random.default_rng(seed)
        x = normal(DATA[kind](generator))
        y = normal(DATA["1e-30 to 1e30" if seed % 2 else "normal"](generator))
        assert float(exact_dot(x, y)) == rounded(true_dot(x, y))


@pytest.mark.parametrize(("dtype", "digits"), [(jnp.bfloat16, 8), (jnp.float16, 11)])
def test_sums_of_narrow_floats_are_rounded_once_too(dtype, digits):
    run = jax.jit(functools.partial(op.reduce_sum, method="exact"))
    for seed in range(20):
        generator = np.random.default_rng(seed)
        x = jnp.asarray(cancelling(generator, 10) / 256).astype(dtype)
        x = jnp.where(jnp.abs(x) < 2.0**-14, jnp.zeros_like(x), x)
        assert float(run(x)) == rounded(true_sum(np.asarray(x)), digits)


def test_double_precision_is_exact_as_well(x64):
    run = jax.jit(functools.partial(op.reduce_sum, method="exact"))
    for seed in range(10):
        generator = np.random.default_rng(seed)
        x = generator.standard_normal(LENGTH) * 10.0 ** generator.uniform(-150, 150, LENGTH)
        x = np.concatenate([x, -x, generator.standard_normal(8)]) if seed % 2 else x
        assert float(run(x)) == math.fsum(x.tolist())
        narrow = op.reduce_sum(jnp.asarray(x), method="exact", dtype="fp32")
        assert float(narrow) == rounded(true_sum(x))


BIG = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("terms", "want"),
    [
        ([BIG, BIG, -BIG], BIG),
        ([BIG, BIG], math.inf),
        ([BIG, 2.0**102], BIG),
        ([BIG, 2.0**103], math.inf),
        ([-BIG, -(2.0**103)], -math.inf),
        ([math.inf, -1.0], math.inf),
        ([-math.inf, BIG], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([1e-40, 1e-45], 0.0),
        ([2.0**-126, -(2.0**-125), 2.0**-126], 0.0),
        ([2.0**-126 * 1.5, -(2.0**-126)], 0.0),
        ([-0.0, -0.0], 0.0),
    ],
)
def test_the_ends_of_the_range(terms, want):
    found = float(
        exact(
            np.resize(np.array([*terms, *[0.0] * (LENGTH - len(terms))]), LENGTH).astype(np.float32)
        )
    )
    np.testing.assert_equal(found, want)


@pytest.mark.parametrize(
    ("x", "y", "want"),
    [
        ([1e30, 3.0, 1e30], [1e30, 2.0, -1e30], 6.0),
        ([1e-30, 1e-30], [1e-30, 1e-30], 0.0),
        ([2.0**-80, 2.0**-80], [2.0**-47, 2.0**-47], 2.0**-126),
        ([math.inf, 1.0], [-2.0, 1.0], -math.inf),
        ([math.inf, 1.0], [0.0, 1.0], math.nan),
        ([math.nan, 1.0], [0.0, 1.0], math.nan),
    ],
)
def test_the_ends_of_the_range_of_products(x, y, want):
    x, y = (np.array(v + [0.0] * (LENGTH - len(v)), np.float32) for v in (x, y))
    np.testing.assert_equal(float(exact_dot(x, y)), want)


@pytest.mark.parametrize("length", [1, 7, 127, 128, 129, 1024, 1500, 6144])
def test_any_length_is_summed(length):
    generator = np.random.default_rng(length)
    x = (generator.standard_normal(length) * np.exp(9 * generator.standard_normal(length))).astype(
        np.float32
    )
    assert float(op.reduce_sum(x, method="exact")) == rounded(true_sum(x))


@pytest.mark.slow
def test_carries_of_many_large_terms_are_kept():
    count = 2**24 + 48
    run = jax.jit(functools.partial(op.reduce_sum, method="exact"))
    assert float(run(np.full(count, 16777215, np.float32))) == rounded(Fraction(16777215 * count))
    signs = np.random.default_rng(0).choice(np.array([-BIG, BIG], np.float32), count)
    signs[0] = BIG if np.sum(np.sign(signs[1:])) == 0 else signs[0]
    want = rounded(Fraction(BIG) * int(np.sum(np.sign(signs.astype(float)))))
    assert float(run(signs)) == want


def test_axes_lists_and_rows_are_summed_exactly():
    x = normal(DATA["1e-30 to 1e30"](np.random.default_rng(0))).reshape(3, 10, 10)
    got = op.reduce_sum(x, (0, 2), method="exact")
    want = [rounded(true_sum(x[:, i])) for i in range(10)]
    assert got.tolist() == want
    assert op.reduce_sum(list(x.swapaxes(1, 2).reshape(30, 10)), method="exact").tolist() == want
    rows = jax.vmap(functools.partial(op.reduce_sum, method="exact"))(x.swapaxes(0, 1))
    assert rows.tolist() == want
    both = op.reduce_sum(jax.lax.complex(x, -x), (0, 2), method="exact")
    assert both.real.tolist() == want
    assert (-both.imag).tolist() == want


# -- compensated sums ---------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6, 1e8])
def test_a_compensated_sum_is_within_its_bound(condition):
    """Half a unit, and what the sum of the rounding errors loses: (u log2 n)^2 times the magnitudes."""
    run = jax.jit(functools.partial(op.reduce_sum, method="compensated"))
    for seed in range(20):
        x = cancelling(np.random.default_rng(seed), condition)
        true = math.fsum(x.astype(float).tolist())
        bound = (2.0**-24 * math.log2(len(x))) ** 2 * np.abs(x.astype(float)).sum()
        assert abs(float(run(x)) - true) <= np.spacing(np.float32(abs(true))) / 2 + bound


def test_the_words_for_compensation_mean_one_thing():
    x = cancelling(np.random.default_rng(0), 1e6)
    found = {float(op.reduce_sum(x, method=word)) for word in ("compensated", "kahan", "neumaier")}
    assert found == {rounded(true_sum(x))}


def test_a_compensated_dot_product_keeps_what_rounding_takes_from_products():
    run = {m: jax.jit(functools.partial(op.dot, method=m)) for m in ("compensated", "tree")}
    worst = dict.fromkeys(run, 0.0)
    for seed in range(10):
        generator = np.random.default_rng(seed)
        x = generator.standard_normal(LENGTH).astype(np.float32)
        y = generator.standard_normal(LENGTH).astype(np.float32)
        y[-1] = -float(true_dot(x[:-1], y[:-1])) / x[-1]  # cancels to a rounding error
        size = np.abs(x.astype(float) * y).sum()
        for method, dot in run.items():
            error = abs(float(dot(x, y)) - float(true_dot(x, y))) / size
            worst[method] = max(worst[method], error)
    assert worst["compensated"] <= (2.0**-24 * math.log2(LENGTH)) ** 2
    assert worst["tree"] > 1e-9


# -- bits on any mesh ---------------------------------------------------------------------------------


def placed(x: np.ndarray, count: int, axis: int) -> jax.Array:
    mesh = dist.Mesh(axes=["dp"], devices=range(count))
    return dist.tensor(x, layout=dist.ShardSpec((axis,), ("dp",)), mesh=mesh)


X = normal(DATA["1e-30 to 1e30"](np.random.default_rng(5)))
X = np.resize(X, 24 * 24).reshape(24, 24) * np.float32(1e-9)
Y = np.random.default_rng(6).standard_normal(X.shape).astype(np.float32)

OPS = {
    "reduce_sum": lambda m: lambda x, y: op.reduce_sum(x * y, 0, method=m),
    "reduce_mean": lambda m: lambda x, y: op.reduce_mean(x * y, method=m),
    "dot": lambda m: lambda x, y: op.dot(x, y, 0, method=m),
    "norm": lambda m: lambda x, y: op.norm(y, 2, 0, method=m),
    "mse": lambda m: lambda x, y: op.mse(y, x, method=m),
}


# Not computed in the program: what XLA makes of a cosine may depend on how it is split.
WEIGHTS = np.cos(np.arange(24, dtype=np.float32))


def value_and_gradient(function, x, y):

    def scalar(x, y):
        found = function(x, y)
        return op.reduce_sum(found * WEIGHTS[: found.size].reshape(found.shape)), found

    (_, found), gradient = jax.value_and_grad(scalar, (0, 1), has_aux=True)(x, y)
    return found, *gradient


@pytest.mark.parametrize("axis", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(
            name,
            m,
            marks=() if (name, m) == ("dot", "compensated") else pytest.mark.slow,
        )
        for name in OPS
        for m in FIXED
    ],
)
def test_values_and_gradients_have_the_same_bits_on_any_number_of_devices(name, method, axis):
    run = jax.jit(functools.partial(value_and_gradient, OPS[name](method)))
    found = set()
    for count in (1, 2, 3, 4, 6, 8):
        results = run(placed(X, count, axis), placed(Y, count, axis))
        found.add(b"".join(np.asarray(r).tobytes() for r in results))
    assert len(found) == 1


def test_an_exact_sum_has_the_same_bits_on_three_and_eight_devices_in_any_order():
    run = jax.jit(functools.partial(op.reduce_sum, axis=0, method="exact"))
    want = [rounded(true_sum(column)) for column in X.T]
    for x, count in ((X, 3), (X[::-1], 8)):
        assert np.asarray(run(placed(x, count, 0))).tolist() == want


def test_exact_sums_know_explicit_meshes_and_shards():
    want = [rounded(true_sum(column)) for column in X.T]
    mesh = jax.make_mesh((4,), ("dp",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        for spec in (P("dp"), P(None, "dp")):
            x = jax.device_put(X, NamedSharding(mesh, spec))
            found = jax.jit(functools.partial(op.reduce_sum, axis=0, method="exact"))(x)
            assert np.asarray(found).tolist() == want
    line = dist.Mesh(axes=["dp"], devices=range(3)).jax
    per_shard = jax.shard_map(
        functools.partial(op.reduce_sum, axis=0, method="exact"),
        mesh=line,
        in_specs=P(None, "dp"),
        out_specs=P("dp"),
    )
    assert np.asarray(jax.jit(per_shard)(X)).tolist() == want


def test_no_terms_are_gathered_for_an_exact_sum():
    run = jax.jit(functools.partial(op.reduce_sum, axis=0, method="exact"))
    text = run.lower(placed(np.zeros((24 * 128, 24), np.float32), 3, 0)).compile().as_text()
    gathered = [line for line in str(text).splitlines() if " all-gather(" in line]
    assert all("1024,24" not in line.split(" all-gather(")[0] for line in gathered)


# -- derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["compensated", "exact"])
def test_derivatives_are_those_of_the_plain_sum(method):
    x, y = (
        jnp.asarray(np.random.default_rng(i).standard_normal((3, 40)), jnp.float32) for i in (0, 1)
    )

    def ours(x, y):
        return op.dot(x, jnp.sin(y), method=method).sum() + op.reduce_sum(x * x, method=method)

    def plain(x, y):
        return jnp.sum(x * jnp.sin(y)) + jnp.sum(x * x)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    for got, want in zip(jax.grad(ours, (0, 1))(x, y), jax.grad(plain, (0, 1))(x, y), strict=True):
        close(got, want)
    close(jax.jvp(ours, (x, y), (y, x))[1], jax.jvp(plain, (x, y), (y, x))[1])

    def along(f):
        return lambda t: f(x + t * y, y - t)

    def twice(f):
        return jax.grad(jax.grad(along(f)))(jnp.float32(0.3))

    close(twice(ours), twice(plain))
    series = [
        jet(along(f), (jnp.float32(0.3),), ((jnp.float32(1), jnp.float32(0)),))
        for f in (ours, plain)
    ]
    close(series[0][1], series[1][1], rtol=1e-3)


# -- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.dot(X, Y, method="ring"), Code.E_GRAPH_INVALID, "compensated"),
        (lambda: op.dot(X, Y[:3]), Code.E_SHAPE_MISMATCH, "dot"),
        (
            lambda: op.mse(jnp.asarray(X), 0.0, method="ring"),
            Code.E_GRAPH_INVALID,
            "compensated",
        ),
        (lambda: op.norm(X, 1, 0, method="exact"), Code.E_GRAPH_INVALID, "p=1"),
        (lambda: op.norm(X, "fro", (0, 1), method="exact"), Code.E_GRAPH_INVALID, "'fro'"),
        (lambda: op.norm(X + 1j, 2, 0, method="exact"), Code.E_TARGET_CODEGEN, "complex64"),
    ],
)
def test_what_has_no_such_sum_says_why(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in str(caught.value)


def test_an_exact_product_of_doubles_is_refused(x64):
    wide = jnp.asarray(X.astype(float))
    for call in (op.dot, op.mse):
        with pytest.raises(CompileError, match="float64") as caught:
            call(wide, wide, method="exact")
        assert caught.value.code is Code.E_TARGET_CODEGEN
