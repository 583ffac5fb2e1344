"""Random numbers: Philox's test vectors, their bits on any number of devices, and their distributions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.ops.rng.philox import philox

DRAWS = ["uniform", "normal", "lognormal", "bernoulli", "poisson"]
BY_INDEX = ["uniform", "normal", "lognormal", "bernoulli"]
POISSON = pytest.param("poisson", marks=pytest.mark.slow)  # its loop takes long to compile
rng = op.rng


def bits(x) -> bytes:
    return np.asarray(x).tobytes()


def refused(said, call):
    with pytest.raises(CompileError, match=said) as caught:
        call()
    return caught.value.code


# -- Philox -------------------------------------------------------------------------------------------------

# Random123's known answers for philox4x32 10: counter, key, words.
ANSWERS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text):
    return tuple(jnp.asarray(int(word, 16), jnp.uint32) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "answer"), ANSWERS)
def test_philox_gives_the_known_answers(counter, key, answer):
    for run in (philox, jax.jit(philox)):
        assert [int(word) for word in run(words(counter), words(key))] == [
            int(word) for word in words(answer)
        ]


def philox_in_integers(index: int, key: int) -> int:
    """The first word of the block of an index, in Python's integers."""
    c, k = [index % 2**32, index >> 32, 0, 0], [key % 2**32, key >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b % 2**32, (a >> 32) ^ c[3] ^ k[1], a % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[0]


@pytest.mark.parametrize("seed", [0, 7, 2**40 + 3, 2**64 - 1])
@pytest.mark.parametrize("counter", [0, 5, 2**32 - 2, 2**40])
def test_an_element_is_the_block_of_its_counter_and_index(seed, counter):
    found = rng.uniform((2, 3), key=seed, counter=counter)
    expected = [(philox_in_integers(counter + i, seed) >> 8) / 2**24 for i in range(6)]
    assert found.ravel().tolist() == expected
    key = {"key_hi": seed >> 32, "key_lo": seed % 2**32, "counter": counter}
    assert bits(rng.uniform((2, 3), key=key)) == bits(found)


# -- bits ---------------------------------------------------------------------------------------------------


@pytest.mark.newest
@pytest.mark.parametrize(
    "shape",
    [(16, 37), *(pytest.param(s, marks=pytest.mark.slow) for s in ((64,), (8, 3, 5), (8, 1001)))],
)
@pytest.mark.parametrize("name", [*BY_INDEX, POISSON])
def test_the_bits_do_not_depend_on_the_number_of_devices(name, shape):
    draw = functools.partial(getattr(rng, name), shape, key=3)
    found = {bits(draw()), bits(jax.jit(draw)())}
    for count in (1, 2, 4, 8):
        mesh = jax.make_mesh((count,), ("dp",), devices=jax.devices()[:count])
        compiled = jax.jit(draw, out_shardings=NamedSharding(mesh, P("dp"))).lower().compile()
        if name in BY_INDEX:
            assert "all-gather" not in compiled.as_text()
        found.add(bits(compiled()))
    assert len(found) == 1


@pytest.mark.parametrize("key", [11, jax.random.key(11)], ids=["philox", "jax"])
@pytest.mark.parametrize("name", ["random_normal", "random_uniform"])
def test_a_seeded_draw_of_the_operators_is_the_same_on_1_2_4_and_8_devices(name, key):
    draw = functools.partial(getattr(op, name), (16, 37), seed=key)
    found = {bits(draw())}
    for count in (1, 2, 4, 8):
        mesh = jax.make_mesh((count,), ("dp",), devices=jax.devices()[:count])
        found.add(bits(jax.jit(draw, out_shardings=NamedSharding(mesh, P("dp")))()))
    assert len(found) == 1


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_parameters_do_not_let_the_mesh_into_the_bits(count):
    def draw():
        x = rng.uniform((16, 37), 0.1, 0.7, key=3)
        return x, rng.normal((16, 37), 0.3, 1.7, key=3)

    mesh = jax.make_mesh((count,), ("dp",), devices=jax.devices()[:count])
    sharded = jax.jit(draw, out_shardings=NamedSharding(mesh, P("dp")))()
    assert list(map(bits, sharded)) == list(map(bits, draw()))


@pytest.mark.newest
@pytest.mark.parametrize("name", BY_INDEX)
def test_devices_that_draw_their_own_part_by_counter_draw_the_whole(name):
    draw = getattr(rng, name)
    mesh = jax.make_mesh((4,), ("dp",), devices=jax.devices()[:4])

    def part():
        return draw((6, 5), key=3, counter=jax.lax.axis_index("dp") * 30)

    whole = jax.jit(jax.shard_map(part, mesh=mesh, in_specs=(), out_specs=P("dp")))()
    assert bits(whole) == bits(draw((24, 5), key=3))


@pytest.mark.parametrize("name", BY_INDEX)
def test_a_draw_and_the_next_by_counter_are_one_draw(name):
    draw = functools.partial(getattr(rng, name), key=5)
    parts = [draw(10), draw((2, 5), counter=10).ravel(), draw((), counter=20)[None]]
    assert bits(jnp.concatenate(parts)) == bits(draw(21))


@pytest.mark.parametrize("name", [*BY_INDEX, POISSON])
def test_keys_and_counters_may_be_traced_and_batched(name):
    draw = getattr(rng, name)
    many = jax.jit(jax.vmap(lambda s, c: draw(7, key=s, counter=c)))
    found = many(jnp.array([1, 2]), jnp.array([3, 4], jnp.uint32))
    expected = np.stack([draw(7, key=s, counter=c) for s, c in ((1, 3), (2, 4))])
    if name == "lognormal":  # XLA's exp, of JAX 0.10, rounds its last bit as it vectorises it
        np.testing.assert_array_max_ulp(np.asarray(found), expected, maxulp=1)
    else:
        assert bits(found) == bits(expected)


@pytest.mark.parametrize("name", DRAWS)
def test_another_seed_or_counter_is_another_draw(name):
    draw = functools.partial(getattr(rng, name), 100)
    kinds = [{"key": 0}, {"key": 1}, {"key": 2**32}, {"key": 0, "counter": 100}]
    found = [bits(draw(**kind)) for kind in kinds]
    assert len(set(found)) == len(found)
    assert found[0] == bits(draw(key=0))


# -- distributions ------------------------------------------------------------------------------------------

N = 20_000
# A draw of this size strays from its distribution by more than this with probability 1e-6.
P_MIN = 1e-6
CONTINUOUS = {
    "uniform": ({"lo": -1.0, "hi": 3.0}, scipy.stats.uniform(-1, 4)),
    "normal": ({"mean": 2.0, "std": 0.5}, scipy.stats.norm(2, 0.5)),
    "lognormal": ({"mean": 0.3, "std": 0.7}, scipy.stats.lognorm(0.7, scale=np.exp(0.3))),
}


@pytest.mark.parametrize("key", [4, jax.random.key(4)], ids=["philox", "jax"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_draws_have_their_distribution(name, key):
    given, law = CONTINUOUS[name]
    x = getattr(rng, name)(N, **given, key=key)
    assert scipy.stats.kstest(np.asarray(x, np.float64), law.cdf).pvalue > P_MIN
    # The next one does not follow from the last.
    ranks = scipy.stats.spearmanr(x[:-1], x[1:])
    assert ranks.pvalue > P_MIN


@pytest.mark.parametrize("key", [4, jax.random.key(4)], ids=["philox", "jax"])
def test_discrete_draws_have_their_distribution(key):
    x = np.asarray(rng.bernoulli(N, 0.3, key=key))
    assert x.dtype == np.bool_
    assert scipy.stats.binomtest(int(x.sum()), N, 0.3).pvalue > P_MIN
    x = np.asarray(rng.poisson(N, 2.5, key=key))
    assert x.dtype == np.int32
    seen = [np.sum(x == k) for k in range(8)] + [np.sum(x >= 8)]
    law = scipy.stats.poisson(2.5)
    expected = N * np.array([*law.pmf(range(8)), law.sf(7)])
    assert scipy.stats.chisquare(seen, expected).pvalue > P_MIN


def test_normal_numbers_are_the_inverse_of_the_distribution():
    middle = [(2 * (philox_in_integers(i, 9) >> 8) + 1) / 2**25 for i in range(1000)]
    expected = scipy.special.ndtri(np.array(middle))
    np.testing.assert_allclose(rng.normal(1000, key=9), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize(("lo", "hi"), [(0.0, 1.0), (1.0, 1.01), (-3.0, -1.0), (16.0, 17.0)])
def test_uniform_numbers_never_reach_the_upper_end(dtype, lo, hi):
    x = rng.uniform(N, lo, hi, key=1, dtype=dtype)
    assert x.dtype == {"fp16": jnp.float16, "bf16": jnp.bfloat16, "fp32": jnp.float32}[dtype]
    end, least = jnp.asarray(hi, x.dtype), jnp.asarray(lo, x.dtype)
    if end > least:
        assert bool(jnp.all((x >= least) & (x < end)))


@pytest.mark.parametrize("name", ["uniform", "normal", "lognormal"])
def test_double_precision_fills_its_digits(name, x64):
    x = getattr(rng, name)(100, key=2, dtype="fp64")
    assert x.dtype == jnp.float64
    assert not np.any(np.asarray(x) == np.asarray(x, np.float32))
    narrow = getattr(rng, name)(100, key=2)
    np.testing.assert_allclose(x, narrow, rtol=1e-4, atol=1e-5)


def test_a_jax_key_draws_what_jax_draws():
    key = jax.random.key(8)
    assert bits(rng.uniform((3, 4), key=key)) == bits(jax.random.uniform(key, (3, 4)))
    assert bits(rng.normal((3, 4), key=key)) == bits(jax.random.normal(key, (3, 4)))
    old = jax.random.key_data(key)
    assert bits(rng.normal((3, 4), key=old)) == bits(jax.random.normal(key, (3, 4)))


def test_parameters_broadcast_and_carry_gradients():
    mean, std = jnp.array([0.0, 10.0]), jnp.array([[1.0], [2.0], [3.0]])
    x = rng.normal((3, 2), mean, std, key=0)
    assert bits(x) == bits(mean[None] + std * rng.normal((3, 2), key=0))
    standard = rng.normal((3, 2), key=0)
    gradient = jax.grad(lambda s: jnp.sum(rng.normal((3, 2), 0.0, s, key=0)))(std)
    np.testing.assert_allclose(gradient, standard.sum(axis=1, keepdims=True), rtol=1e-5)
    unit = rng.uniform(6, key=0)
    slopes = jax.grad(lambda lo, hi: jnp.sum(rng.uniform(6, lo, hi, key=0)), (0, 1))(0.0, 2.0)
    np.testing.assert_allclose(slopes, [jnp.sum(1 - unit), jnp.sum(unit)], rtol=1e-5)


@pytest.mark.parametrize("name", BY_INDEX)
@pytest.mark.parametrize("shape", [0, (), (0, 3), (1,), (3, 1, 7)])
def test_any_shape_is_drawn(name, shape):
    found = getattr(rng, name)(shape, key=0)
    assert found.shape == (shape if isinstance(shape, tuple) else (shape,))


# -- generators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [6, jax.random.key(6)], ids=["philox", "jax"])
@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_draws_what_its_key_draws(name, seed):
    generator = rng(seed=seed)
    expected = bits(getattr(rng, name)((3, 4), key=seed))
    assert bits(getattr(generator, name)((3, 4))) == expected
    assert bits(getattr(generator, name)((3, 4))) == expected  # it has no state that moves
    inside = jax.jit(lambda g: getattr(g, name)((3, 4)))
    assert bits(inside(generator)) == expected


@pytest.mark.parametrize("seed", [6, jax.random.key(6)], ids=["philox", "jax"])
def test_parts_of_a_generator_share_no_numbers(seed):
    root = rng(seed=seed)
    children = root.split(3)
    family = [root, *children, *children[0].split(3), *children[1].split(2)]
    found = [bits(g.uniform(8)) for g in family]
    assert len(set(found)) == len(found)
    assert found[1:4] == [bits(g.uniform(8)) for g in rng(seed=seed).split(3)]
    assert root.split(0) == ()


def test_a_draw_does_not_shift_the_parts():
    children = rng(seed=1).split(2)
    assert bits(children[0].uniform(4)) != bits(rng.uniform(4, key=1))
    assert bits(rng(seed=1).split(5)[0].uniform(4)) == bits(children[0].uniform(4))


# -- names and errors ---------------------------------------------------------------------------------------


def test_second_names_are_the_same_objects():
    assert op.random_uniform is op.rng_uniform is op.rng.uniform
    assert op.random_normal is op.rng_normal is op.rng.normal
    assert bits(op.rng_uniform(5, 1.0, 3.0, seed=2)) == bits(rng.uniform(5, lo=1.0, hi=3.0, key=2))
    assert bits(op.rng_normal(5, 1.0, 3.0, seed=2)) == bits(rng.normal(5, mean=1.0, std=3.0, key=2))


def test_a_missing_key_is_refused():
    for call in (lambda: op.random_normal(3), lambda: rng(), lambda: rng.uniform(3)):
        assert refused("key is missing", call) is Code.E_GRAPH_INVALID


def test_generators_with_hidden_state_are_not_offered():
    for word in ("xorwow", "sobol", "mt19937"):
        said = f"no generator '{word}'.*\n?.*philox"
        assert refused(said, lambda word=word: rng(seed=0, generator=word)) is Code.E_TARGET_CODEGEN
    rng(seed=0, generator="philox")


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("key and seed are one parameter", {"key": 1, "seed": 1}),
        ("key is a bool", {"key": True}),
        ("key is of type str", {"key": "1"}),
        ("key is an array of float32", {"key": jnp.ones(3)}),
        (r"seed is -1, not in \[0, 2\^64\)", {"key": -1}),
        (r"key_lo is 4294967296, not in \[0, 2\^32\)", {"key": {"key_hi": 0, "key_lo": 2**32}}),
        ("key has the entries", {"key": {"key_hi": 0}}),
        ("counter is -1", {"key": 0, "counter": -1}),
        ("counter is 0.5, not an integer", {"key": 0, "counter": 0.5}),
        ("a JAX key has no counter", {"key": jax.random.key(0), "counter": 1}),
        ("a size is 1.5, not an integer", {"key": 0, "shape": (2, 1.5)}),
        ("has a negative size", {"key": 0, "shape": (2, -1)}),
        (r"has over 2\^32 elements", {"key": 0, "shape": (2**17, 2**17)}),
        ("hi is 1.0 but must be above lo, 1.0", {"key": 0, "lo": 1.0, "hi": 1.0}),
        ("hi is inf but must be above lo", {"key": 0, "lo": 1.0, "hi": float("inf")}),
        ("unknown dtype 'fp31'", {"key": 0, "dtype": "fp31"}),
    ],
)
def test_bad_arguments_are_refused(said, given):
    call = functools.partial(rng.uniform, **{"shape": 3, **given})
    assert refused(f"rng.uniform.*{said}", call) is Code.E_GRAPH_INVALID


def test_bad_parameters_are_refused():
    assert refused("p is 1.5, not in", lambda: rng.bernoulli(3, 1.5, key=0)) is Code.E_GRAPH_INVALID
    assert refused("lam is -1", lambda: rng.poisson(3, -1.0, key=0)) is Code.E_GRAPH_INVALID
    assert refused("std is -1", lambda: rng.normal(3, std=-1.0, key=0)) is Code.E_GRAPH_INVALID
    code = refused(r"mean has shape \(2,\)", lambda: rng.normal(3, jnp.ones(2), key=0))
    assert code is Code.E_SHAPE_MISMATCH
    code = refused(r"mean has shape \(2, 3\)", lambda: rng.normal(3, jnp.ones((2, 3)), key=0))
    assert code is Code.E_SHAPE_MISMATCH


@pytest.mark.parametrize("dtype", ["int32", "complex64", "fp8_e4m3"])
def test_a_dtype_that_is_no_float_is_refused(dtype):
    code = refused("dtype is .*; one of float16", lambda: rng.uniform(3, key=0, dtype=dtype))
    assert code is Code.E_TARGET_CODEGEN


def test_double_precision_needs_64_bit_mode():
    said = "rng.normal: float64 needs 64-bit mode"
    assert refused(said, lambda: rng.normal(3, key=0, dtype="fp64")) is Code.E_TARGET_CODEGEN
