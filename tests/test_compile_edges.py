"""`ts.compile(f)` is `f` at the edges: narrow labels, empty arrays, references in branches, meshes."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import tessera as ts
from tessera.core import numerics

DRAWN = np.random.default_rng(0)


def drawn(*sizes: int) -> jax.Array:
    return jnp.asarray(DRAWN.normal(size=sizes), jnp.float32)


def weighed(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Returns the sum of a function's result, every element with another weight."""

    def loss(*args: Any) -> jax.Array:
        y = function(*args)
        return jnp.sum(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape) * y)

    return loss


def assert_equal(got: Any, want: Any) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype
        if not jnp.issubdtype(b.dtype, jnp.floating):
            np.testing.assert_array_equal(a, b)
            continue
        top = float(np.max(np.abs(b), initial=1.0))
        # Of the largest element, times 10 for the sums of a few hundred terms in the gradients below.
        atol = 10 * numerics.tolerance(b.dtype)[1] * top
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=atol)


def assert_same(function: Callable[..., jax.Array], *args: Any, wrt: Any = None) -> None:
    """Compares a function, and its gradient taken outside and inside of the compiler, with plain JAX."""
    assert_equal(ts.compile(function)(*args), jax.jit(function)(*args))
    if wrt is not None:
        loss = weighed(function)
        want = jax.jit(jax.grad(loss, wrt))(*args)
        assert_equal(jax.grad(ts.compile(loss), wrt)(*args), want)
        assert_equal(ts.compile(jax.grad(loss, wrt))(*args), want)


def layer_norm(x: jax.Array, w: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * w[None]


def rms_norm(x: jax.Array, w: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * w[None]


# -- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "classes"), [(jnp.uint8, 256), (jnp.int8, 128), (jnp.int8, 10)])
def test_labels_as_narrow_as_the_classes_allow_keep_their_loss(dtype: Any, classes: int) -> None:
    labels = jnp.asarray([0, classes - 1, 3, 7], dtype)

    def loss(x: jax.Array, y: jax.Array) -> jax.Array:
        return -jnp.sum(jax.nn.log_softmax(x) * jax.nn.one_hot(y, classes), -1)

    assert_same(loss, drawn(4, classes), labels, wrt=0)


@pytest.mark.parametrize("label", [100, -100])
def test_a_label_outside_the_classes_keeps_its_gradient(label: int) -> None:
    def loss(x: jax.Array, y: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(x, y[:, None], -1)[:, 0]
        return jnp.sum(jnp.where(y == 1, jax.nn.logsumexp(x, axis=-1) - picked, 0.0))

    def unmasked(x: jax.Array, y: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(x, y[:, None], -1)[:, 0]
        return jnp.sum(jax.nn.logsumexp(x, axis=-1) - picked)

    x, y = drawn(3, 5), jnp.asarray([1, label, 1])
    for function in (loss, unmasked):
        assert_equal(jax.grad(ts.compile(function))(x, y), jax.grad(function)(x, y))
        assert_equal(ts.compile(jax.grad(function))(x, y), jax.grad(function)(x, y))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.bfloat16])
def test_a_weight_or_bias_that_is_cast_to_float_is_cast_in_the_op(dtype: Any) -> None:
    x, flags = drawn(6, 8), jnp.asarray(np.arange(8) % 2, dtype)
    assert_same(lambda x, w: layer_norm(x, w.astype(jnp.float32)), x, flags, wrt=0)
    assert_same(lambda x, w: rms_norm(x, w.astype(jnp.float32)), x, flags, wrt=0)
    ones = jnp.ones(8)
    assert_same(lambda x, b: layer_norm(x, ones) + b.astype(jnp.float32)[None], x, flags, wrt=0)
    square = drawn(8, 8)
    assert_same(lambda x, b: jax.nn.relu(x @ square + b.astype(jnp.float32)[None]), x, flags, wrt=0)


def test_a_product_with_several_column_axes_may_have_no_rows() -> None:
    def product(x: jax.Array, w: jax.Array, r: jax.Array) -> jax.Array:
        return jnp.tensordot(x, w, 1) + r

    assert_same(product, jnp.zeros((0, 8)), drawn(8, 2, 3), jnp.zeros((0, 2, 3)), wrt=(0, 1, 2))


def test_a_norm_over_two_axes_may_have_no_rows() -> None:
    def norm(x: jax.Array) -> jax.Array:
        centred = x - x.mean((1, 2), keepdims=True)
        return centred / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)

    assert_same(norm, jnp.zeros((0, 4, 4)), wrt=0)


@pytest.mark.parametrize("fill", [-1e9, 1e6])
def test_a_constant_cast_out_of_range_gives_no_warning(fill: float) -> None:
    def masked(x: jax.Array, m: jax.Array) -> jax.Array:
        return x + jnp.where(m, jnp.float32(0), jnp.float32(fill)).astype(jnp.float16)

    def added(x: jax.Array) -> jax.Array:
        return x + jnp.full(x.shape, fill, jnp.float32).astype(jnp.float16)

    x, m = drawn(4, 4).astype(jnp.float16), jnp.eye(4, dtype=bool)
    want = jax.jit(masked)(x, m), jax.jit(added)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = ts.compile(masked)(x, m), ts.compile(added)(x)
        ts.inspect(lambda x, m: jax.nn.softmax(masked(x @ x.T, m)) @ x, "graph", x, m)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("function", [jax.nn.silu, lambda x: x * jax.nn.sigmoid(x)])
def test_a_weak_type_stays_weak(function: Callable[..., jax.Array]) -> None:
    assert ts.compile(function)(2.0).weak_type == jax.jit(function)(2.0).weak_type


# -- gradients -------------------------------------------------------------------------------------------


def test_a_term_of_a_gradient_that_is_a_result_too_stays_what_it_is() -> None:
    def silu(x: jax.Array, c: jax.Array) -> Any:
        y, pull = jax.vjp(lambda x: x * jax.nn.sigmoid(x) + jnp.sin(x), x)
        return y, pull(c)[0], c * jax.nn.sigmoid(x)

    x, c = drawn(50), drawn(50)
    assert_equal(ts.compile(silu)(x, c), jax.jit(silu)(x, c))


def test_a_term_of_the_gradient_of_a_norm_that_is_a_result_too_stays_what_it_is() -> None:
    w = drawn(8)

    def norm(x: jax.Array, c: jax.Array) -> Any:
        y, pull = jax.vjp(lambda x: rms_norm(x, w) + jnp.sin(x), x)
        root = lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)
        return y, pull(c)[0], c * w[None] * root

    x, c = drawn(6, 8), drawn(6, 8)
    assert_equal(ts.compile(norm)(x, c), jax.jit(norm)(x, c))


def test_a_query_that_sees_nothing_through_an_added_mask_keeps_its_gradient() -> None:
    length = 384  # so that attention is raised
    visible = jnp.asarray(DRAWN.random((length, length)) > 0.3).at[:5].set(False)

    def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        scores = q @ k.T * 0.3 + jnp.where(visible, 0.0, -1e9)
        return jax.nn.softmax(scores) @ v

    def traced(q: jax.Array, k: jax.Array, v: jax.Array, m: jax.Array) -> jax.Array:
        return jax.nn.softmax(q @ k.T * 0.3 + jnp.where(m, 0.0, -1e9)) @ v

    q, k, v = drawn(length, 8), drawn(length, 8), drawn(length, 8)
    assert_same(attention, q, k, v, wrt=(0, 1, 2))
    assert_same(traced, q, k, v, visible, wrt=(0, 1, 2))


# -- references ------------------------------------------------------------------------------------------


def written_in_a_branch(ref: Any, x: jax.Array) -> jax.Array:
    lax.cond(x > 0, lambda: ref.__setitem__(0, x), lambda: ref.__setitem__(1, x))
    return ref[...]


def written_in_a_loop(ref: Any, x: jax.Array) -> jax.Array:
    def step(i: jax.Array, carry: jax.Array) -> jax.Array:
        ref[i] = carry
        return carry + ref[0]

    return lax.fori_loop(0, 3, step, x)


def written_in_a_while_loop(ref: Any, x: jax.Array) -> jax.Array:
    def step(i: jax.Array) -> jax.Array:
        ref[i] = x
        return i + 1

    return lax.while_loop(lambda i: i < 3, step, jnp.int32(0))


def written_in_a_scan(ref: Any, x: jax.Array) -> jax.Array:
    def step(carry: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        ref[i] = carry
        return carry + 1, ref[i]

    return lax.scan(step, x, jnp.arange(3))[1]


@pytest.mark.parametrize(
    "function",
    [written_in_a_branch, written_in_a_loop, written_in_a_while_loop, written_in_a_scan],
)
@pytest.mark.parametrize("start", [2.0, -2.0])
def test_what_a_branch_or_loop_writes_to_a_reference_is_written(
    function: Callable[..., Any], start: float
) -> None:
    got, want = jax.new_ref(jnp.zeros(3)), jax.new_ref(jnp.zeros(3))
    x = jnp.float32(start)
    np.testing.assert_array_equal(ts.compile(function)(got, x), jax.jit(function)(want, x))
    np.testing.assert_array_equal(got[...], want[...])

    def inside(x: jax.Array) -> Any:
        ref = jax.new_ref(jnp.zeros(3))
        return function(ref, x), ref[...]

    assert_equal(ts.compile(inside)(x), jax.jit(inside)(x))


# -- meshes ----------------------------------------------------------------------------------------------


def cross_entropy(x: jax.Array) -> jax.Array:
    labels = jnp.arange(x.shape[0]) % x.shape[-1]
    return jax.nn.logsumexp(x, axis=-1) - jnp.take_along_axis(x, labels[:, None], -1)[:, 0]


def given_cross_entropy(x: jax.Array) -> jax.Array:
    labels = jnp.argmax(x, -1)  # varies as x does
    return jax.nn.logsumexp(x, axis=-1) - jnp.take_along_axis(x, labels[:, None], -1)[:, 0]


@pytest.mark.parametrize(
    "function", [jax.nn.softmax, jax.nn.silu, cross_entropy, given_cross_entropy]
)
def test_an_idiom_inside_shard_map_has_its_gradient(function: Callable[..., jax.Array]) -> None:
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    sharded = jax.shard_map(function, mesh=mesh, in_specs=P("d"), out_specs=P("d"))
    assert_same(sharded, drawn(16, 8), wrt=0)

    def gradient(x: jax.Array) -> jax.Array:
        return jax.grad(weighed(function))(x)

    inside = jax.shard_map(gradient, mesh=mesh, in_specs=P("d"), out_specs=P("d"))
    assert_same(inside, drawn(16, 8))


def test_causal_attention_inside_shard_map_is_attention() -> None:
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    seen = np.tri(384, dtype=bool)[None]

    def attention(q: jax.Array) -> jax.Array:
        return jax.nn.softmax(jnp.where(seen, q @ q.mT * 0.3, -1e9)) @ q

    sharded = jax.shard_map(attention, mesh=mesh, in_specs=P("d"), out_specs=P("d"))
    assert_same(sharded, drawn(8, 384, 4), wrt=0)


def test_a_product_whose_column_axes_are_explicitly_sharded_is_not_reshaped() -> None:
    mesh = jax.make_mesh((4, 2), ("d", "m"), axis_types=(AxisType.Explicit,) * 2)

    def product(x: jax.Array, w: jax.Array, r: jax.Array) -> Any:
        return jnp.tensordot(x, w, 1) + r

    with jax.set_mesh(mesh):
        x = jax.device_put(drawn(16, 8), NamedSharding(mesh, P("d", None)))
        w = jax.device_put(drawn(8, 2, 6), NamedSharding(mesh, P(None, None, "m")))
        r = jax.device_put(drawn(16, 2, 6), NamedSharding(mesh, P("d", None, "m")))
        got, want = ts.compile(product)(x, w, r), jax.jit(product)(x, w, r)
    assert got.sharding.spec == want.sharding.spec
    assert_equal(got, want)


def test_the_number_of_classes_may_be_symbolic(tmp_path: Path) -> None:
    def loss(x: jax.Array, y: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(x, y[:, None], -1)[:, 0]
        return jax.nn.logsumexp(x, axis=-1) - picked

    (n,) = export.symbolic_shape("n")
    types = jax.ShapeDtypeStruct((6, n), jnp.float32), jax.ShapeDtypeStruct((6,), jnp.int32)
    ts.compile(loss).save(tmp_path / "loss.tsr", *types)
    x, y = drawn(6, 8), jnp.arange(6)
    assert_equal(ts.load(tmp_path / "loss.tsr")(x, y), loss(x, y))


# -- what is called, and how -----------------------------------------------------------------------------


@pytest.mark.parametrize("values", [(1, True, 1.0), (True, 1), (0.0, -0.0)])
def test_static_arguments_that_are_equal_but_not_the_same_have_their_own_programs(
    values: tuple[Any, ...],
) -> None:
    def filled(x: jax.Array, n: Any) -> jax.Array:
        del x
        return jnp.full((2,), n)

    compiled = ts.compile(filled, static_argnames="n")
    for value in values:
        got, want = compiled(jnp.zeros(2), value), filled(jnp.zeros(2), value)
        assert got.dtype == want.dtype
        assert str(got) == str(want)  # tells -0.0 from 0.0


class Dropped(eqx.Module):
    linear: eqx.nn.Linear
    dropout: eqx.nn.Dropout
    scale: float

    def __call__(self, x: jax.Array, key: jax.Array) -> jax.Array:
        return self.dropout(self.linear(x), key=key) * self.scale


def test_a_module_that_a_step_returns_can_be_given_to_the_next_step(key: jax.Array) -> None:
    def step(model: Dropped, x: jax.Array) -> Dropped:
        def loss(model: Dropped) -> jax.Array:
            return jnp.mean(jax.vmap(lambda row: model(row, key))(x) ** 2)

        slope = eqx.filter_grad(loss)(model)
        return eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, slope))

    first = Dropped(eqx.nn.Linear(4, 4, key=key), eqx.nn.Dropout(0.5), 2.0)
    x, compiled, plain = drawn(5, 4), ts.compile(step), eqx.filter_jit(step)
    got, want = compiled(compiled(first, x), x), plain(plain(first, x), x)
    assert (type(got.scale), got.dropout.inference) == (float, False)
    assert_equal(eqx.filter(got, eqx.is_array), eqx.filter(want, eqx.is_array))


@jax.tree_util.register_pytree_node_class
class Scale:
    def __init__(self, factor: jax.Array):
        self.factor = factor

    def tree_flatten(self) -> tuple[tuple[jax.Array], None]:
        return (self.factor,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[jax.Array]) -> "Scale":
        return cls(*children)

    @ts.compile
    def applied(self, x: jax.Array) -> jax.Array:
        return self.factor * x


def test_a_compiled_method_gets_its_instance() -> None:
    assert float(Scale(jnp.float32(2)).applied(jnp.float32(3))) == 6.0
    assert float(Scale.applied(Scale(jnp.float32(2)), jnp.float32(3))) == 6.0


class Busy:
    """A callable whose attributes have the names of what a compiled function offers."""

    def __init__(self) -> None:
        self.plan, self.inspect, self.lower, self.explain, self.save = 3.0, "", 0, 0, 0

    def __call__(self, x: float) -> Any:
        return x + self.plan


def test_attributes_of_a_callable_hide_nothing_of_the_compiled_function() -> None:
    compiled = ts.compile(Busy())
    assert float(compiled(1.0)) == 4.0
    assert "jax.add" in compiled.inspect("graph", 1.0)
    assert compiled.explain(1.0).groups


def test_an_argument_may_be_called_self() -> None:
    def total(**named: float) -> float:
        return named["self"] + named["args"]

    assert float(ts.compile(total)(self=1.0, args=2.0)) == 3.0


def test_without_jit_a_function_may_look_at_its_values() -> None:
    def branch(x: jax.Array) -> jax.Array:
        return x + 1 if x > 0 else x

    with jax.disable_jit():
        assert float(ts.compile(branch)(jnp.float32(1))) == 2.0
