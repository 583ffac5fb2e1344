"""Functions at a level: values, bits that depend on neither batch nor mesh, and every derivative."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import numerics, op
from tessera.core import levels
from tessera.core.errors import Code, CompileError, NumericsError
from tessera.core.tile_product import COLUMNS, ROWS

RNG = np.random.default_rng(0)
A = RNG.standard_normal((96, 48)).astype(np.float32)
W = RNG.standard_normal((48, 72)).astype(np.float32)
G = RNG.standard_normal(48).astype(np.float32)
LABELS = np.arange(96) % 48
ROWWISE = {
    "matmul": lambda x: op.matmul(x, W),
    "matmul with gelu": lambda x: op.matmul(x, W, epilogue="bias_gelu", bias=W[0]),
    "softmax": op.softmax,
    "rmsnorm": lambda x: op.rmsnorm(x, weight=G),
    "layernorm": lambda x: op.layernorm(x, weight=G, bias=G),
    "mean": lambda x: op.reduce_mean(x, axis=1),
    "norm": lambda x: op.norm(x, axis=1),
    "attention": lambda x: op.flash_attention(*[x.reshape(-1, 2, 3, 8)] * 3),
}


def digest(tree) -> str:
    data = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(tree))
    return hashlib.sha256(data).hexdigest()


def at(level, f, *args):
    with numerics.deterministic(level):
        return jax.jit(f)(*args)


@pytest.mark.newest
@pytest.mark.parametrize("name", ROWWISE)
def test_a_row_has_the_same_bits_in_every_batch(name):
    f = ROWWISE[name]
    wide = np.tile(A, (2, 1))
    found = {digest(at("D3", f, wide[:rows])[0]) for rows in (1, 2, 3, 8, 33, 192)}
    assert len(found) == 1


@pytest.mark.parametrize("level", ["D2", "D3", "D4"])
@pytest.mark.parametrize("name", ROWWISE)
def test_a_level_changes_bits_and_not_values(name, level):
    f = ROWWISE[name]
    with jax.enable_x64(True):
        exact = f(A.astype(np.float64))
    np.testing.assert_allclose(at(level, f, A), exact, rtol=1e-5, atol=2e-5)


SPLIT = {
    "rows of a product": (lambda a, w: op.matmul(a, w), (A, W), (P("d"), P())),
    "the sum of a product": (lambda a, w: op.matmul(a, w), (A, W), (P(None, "d"), P("d"))),
    "columns of a product": (lambda a, w: op.matmul(a, w), (A, W), (P(), P(None, "d"))),
    "rows of a softmax": (op.softmax, (A,), (P("d"),)),
    "the axis of a softmax": (op.softmax, (A,), (P(None, "d"),)),
    "the axis of a norm": (lambda a, g: op.rmsnorm(a, weight=g), (A, G), (P(None, "d"), P("d"))),
    "a loss": (lambda a: op.cross_entropy(a, LABELS), (A,), (P("d"),)),
    "a mean": (op.reduce_mean, (A,), (P("d"),)),
}


def on_devices(count, args, specs):
    mesh = Mesh(np.array(jax.devices()[:count]), ("d",))
    return [jax.device_put(x, NamedSharding(mesh, s)) for x, s in zip(args, specs, strict=True)]


@pytest.mark.newest
@pytest.mark.parametrize("name", SPLIT)
def test_values_and_gradients_have_the_same_bits_on_every_mesh(name):
    f, args, specs = SPLIT[name]
    gradient = jax.value_and_grad(lambda *x: op.reduce_sum(op.sin(f(*x))), tuple(range(len(args))))
    found = {digest(at("D2", gradient, *on_devices(n, args, specs))) for n in (1, 2, 3, 4, 6, 8)}
    assert len(found) == 1


@pytest.mark.newest
def test_a_quotient_by_one_number_has_the_same_bits_on_every_device():
    gradient = numerics.reproducible(
        jax.grad(lambda x: jnp.sum((x / jnp.sum(x, axis=1, keepdims=True)) ** 2)), "D3"
    )

    def row_by_row(x):  # a row alone is divided by what XLA knows to be one number
        return jax.lax.map(lambda row: gradient(row[None])[0], x)

    x, found = A[:24, :5], set()
    for n in (1, 3, 8):
        mesh = Mesh(np.array(jax.devices()[:n]), ("d",))
        run = jax.shard_map(row_by_row, mesh=mesh, in_specs=P("d"), out_specs=P("d"))
        found.add(digest(jax.jit(run)(x)))
    assert len(found) == 1


@pytest.mark.newest
def test_a_product_of_whole_tiles_gathers_nothing_large():
    a, w = np.ones((8 * ROWS, 64), np.float32), np.ones((64, 32), np.float32)
    args = on_devices(8, (a, w), (P("d"), P()))
    with numerics.deterministic("D2"):
        text = jax.jit(op.matmul).lower(*args).compile().as_text()
    assert "all-gather" not in text
    assert f"f32[{8 * ROWS},64]" not in text


@pytest.mark.newest
def test_partial_sums_of_a_product_meet_in_the_tree_without_gathering_operands():
    a, w = np.ones((32, 512), np.float32), np.ones((512, 32), np.float32)
    args = on_devices(4, (a, w), (P(None, "d"), P("d")))
    with numerics.deterministic("D2"):
        text = jax.jit(op.matmul).lower(*args).compile().as_text()
    assert "all-gather" in text
    assert "f32[32,512]" not in text


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (33, 7, 5), (2, 9, COLUMNS + 3), (0, 3, 2), (3, 0, 2)]
)
def test_products_in_tiles_have_the_values_of_products(shape):
    m, k, n = shape
    a = RNG.integers(-8, 8, (m, k)).astype(np.float32)
    b = RNG.integers(-8, 8, (k, n)).astype(np.float32)
    np.testing.assert_array_equal(op.matmul(a, b, deterministic="D3"), a @ b)


@pytest.mark.newest
def test_a_product_of_constants_has_the_bits_of_one_of_arguments():
    a, b = A[:5, :5], W[:5, :5]
    f = numerics.reproducible(lambda a, b: jnp.tanh(2 * (a @ b) + 1), "D3")
    runs = (lambda a, b: f(a, b), lambda _, b: f(a, b), lambda a, _: f(a, b), lambda *_: f(a, b))
    assert len({digest(jax.jit(run)(a, b)) for run in runs}) == 1


def test_any_product_keeps_a_level():
    f = numerics.reproducible(lambda a, b: jnp.einsum("bik,jbk->bij", a, b), "D3")
    a = RNG.integers(-8, 8, (2, 3, 5)).astype(np.float32)
    b = RNG.integers(-8, 8, (4, 2, 5)).astype(np.float32)
    np.testing.assert_array_equal(f(a, b), np.einsum("bik,jbk->bij", a, b))


# -- any function -----------------------------------------------------------------------------------------


def program(w, x):
    """A function with loops, a branch, calls and library functions in plain JAX."""

    def step(c, _):
        c = jnp.tanh(c @ w)
        return c, c.sum()

    c, sums = jax.lax.scan(step, x, None, length=2)
    c = jax.lax.cond(sums[0] > 0, jnp.exp, lambda c: 2 * c, c)
    c = jax.lax.fori_loop(0, 3, lambda _, c: 1.1 * c + 0.1, c)
    return jnp.mean(jax.nn.silu(c) ** 2) + jax.nn.logsumexp(sums) + jnp.std(c)


SQUARE = RNG.standard_normal((6, 6)).astype(np.float32) / 2
ROW = RNG.standard_normal((4, 6)).astype(np.float32)


@pytest.mark.parametrize("level", ["D0", "D2", "D3", "D4"])
def test_any_function_and_its_derivatives_have_their_values_at_a_level(level, compiled_quickly):
    f = numerics.reproducible(program, level)
    np.testing.assert_allclose(f(SQUARE, ROW), program(SQUARE, ROW), rtol=1e-5)
    for transform in (jax.grad, jax.hessian):
        found, exact = transform(f)(SQUARE, ROW), transform(program)(SQUARE, ROW)
        np.testing.assert_allclose(found, exact, rtol=2e-4, atol=2e-5)
    _, tangent = jax.jvp(lambda x: f(SQUARE, x), (ROW,), (ROW,))
    _, exact = jax.jvp(lambda x: program(SQUARE, x), (ROW,), (ROW,))
    np.testing.assert_allclose(tangent, exact, rtol=1e-4)
    both = jax.vmap(jax.grad(f), (None, 0))(SQUARE, np.stack([ROW, 2 * ROW]))
    np.testing.assert_allclose(both[1], jax.grad(program)(SQUARE, 2 * ROW), rtol=2e-4, atol=2e-5)


@pytest.mark.newest
def test_jitted_or_not_a_function_has_the_same_bits():
    f = numerics.reproducible(jax.grad(program), "D4")
    assert digest(f(SQUARE, ROW)) == digest(jax.jit(f)(SQUARE, ROW))


def test_results_and_arguments_may_be_pytrees_and_hold_what_is_no_array():
    f = numerics.reproducible(lambda p, scale: {"y": p["x"] * scale, "word": p["word"], "n": 3})
    found = f({"x": jnp.ones(2), "word": "kept"}, 2.0)
    assert found["word"] == "kept"
    assert found["n"] == 3
    np.testing.assert_array_equal(found["y"], [2.0, 2.0])


def test_a_function_may_close_over_traced_values():
    def outer(w):
        return numerics.reproducible(lambda x: x @ w, "D3")(jnp.ones((2, 3)))

    np.testing.assert_allclose(jax.jit(outer)(jnp.ones((3, 2))), 3 * np.ones((2, 2)))
    gradient = jax.grad(lambda w: outer(w).sum())(jnp.ones((3, 2)))
    np.testing.assert_allclose(gradient, 2 * np.ones((3, 2)))


def test_integers_and_movement_pass_unchanged():
    f = numerics.reproducible(lambda x: jnp.cumsum(x)[::2].at[0].add(5) @ jnp.arange(4), "D4")
    x = jnp.arange(8)
    assert f(x) == (np.cumsum(np.arange(8))[::2] + np.array([5, 0, 0, 0])) @ np.arange(4)


def test_random_draws_are_the_same_at_a_level():
    draw = lambda key: jax.random.uniform(key, (5,))  # noqa: E731
    key = jax.random.key(3)
    np.testing.assert_array_equal(numerics.reproducible(draw, "D4")(key), draw(key))


def test_complex_arithmetic_reaches_d3():
    z = (A[:3, :3] + 1j * A[3:6, :3]).astype(np.complex64)
    f = lambda z: jnp.sum(z * z + z)  # noqa: E731
    np.testing.assert_allclose(numerics.reproducible(f, "D3")(z), f(z), rtol=1e-5)
    with pytest.raises(NumericsError, match="D3, not D4"):
        numerics.reproducible(f, "D4")(z)


def test_narrow_floats_are_rounded_once_per_operation():
    x = jnp.asarray(A[0], jnp.bfloat16)
    found = numerics.reproducible(lambda x: x * x + x, "D4")(x)
    wide = np.asarray(x, np.float32)
    square = np.asarray(jnp.asarray(wide * wide, jnp.bfloat16), np.float32)
    np.testing.assert_array_equal(found, jnp.asarray(square + wide, jnp.bfloat16))


@pytest.mark.parametrize("level", ["D2", "D4"])
def test_float16_keeps_its_subnormal_numbers(level):
    x = np.array([1e-5, -3e-6, 6e-8, 2e-8, 1.0], np.float32)
    found = numerics.reproducible(lambda x: x.astype(jnp.float16), level)(x)
    np.testing.assert_array_equal(found, x.astype(np.float16))
    y = x.astype(np.float16)
    product = numerics.reproducible(lambda y: y * y[::-1], level)(y)
    np.testing.assert_array_equal(product, y * y[::-1])


def test_products_in_tiles_work_in_64_bit_mode(x64):
    a = RNG.integers(-8, 8, (33, 7)).astype(np.float64)
    b = RNG.integers(-8, 8, (7, 5)).astype(np.float64)
    np.testing.assert_array_equal(op.matmul(a, b, deterministic="D3"), a @ b)


def test_what_cannot_keep_a_level_is_named_with_its_line():
    def f(x):
        return jnp.zeros(3).at[jnp.array([0, 0])].add(x)

    message = r"f: its highest .* D1, not D2. scatter-add: .*test_levels"
    with pytest.raises(NumericsError, match=message):
        numerics.reproducible(f, "D2")(jnp.ones(2))


def test_a_sum_over_devices_in_any_order_is_refused():
    mesh = Mesh(np.array(jax.devices()[:2]), ("d",))
    f = jax.shard_map(lambda x: jax.lax.psum(x, "d"), mesh=mesh, in_specs=P("d"), out_specs=P())
    with pytest.raises(NumericsError, match="what every device computes depends on how many"):
        numerics.reproducible(f, "D2")(jnp.ones(2))


def test_what_is_no_function_is_refused():
    with pytest.raises(CompileError, match="reproducible: int is not a function") as caught:
        numerics.reproducible(3)  # pyright: ignore[reportArgumentType]
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_level_works_inside_shard_map():
    mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
    f = numerics.reproducible(lambda x: jax.nn.softmax(x @ W[:, :8]), "D3")
    run = jax.shard_map(f, mesh=mesh, in_specs=P("d"), out_specs=P("d"))
    np.testing.assert_array_equal(jax.jit(run)(A), jax.jit(f)(A))


def test_a_level_keeps_explicit_shardings():
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(A, P("d"))
        with numerics.deterministic("D3"):
            y = jax.jit(op.softmax)(x)
        assert jax.typeof(y).sharding.spec == P("d", None)
    np.testing.assert_array_equal(y, at("D3", op.softmax, A))


def test_the_rules_know_every_primitive_once():
    assert not levels.EXACT & levels.ARITHMETIC
    assert not levels.EXACT & levels.ELEMENTWISE
    assert not levels.ARITHMETIC & (levels.ELEMENTWISE - {"pow", "rem"})
