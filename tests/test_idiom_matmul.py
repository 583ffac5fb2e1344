"""A product with what follows it becomes one node; what would change its meaning or cost stays."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from golden_text import assert_golden
from jax import lax
from raising import names, raised, raised_with_records, run

import tessera.op as op
from tessera.core.numerics import tolerance
from tessera.lowering.idioms.activations import ACTIVATIONS
from tessera.lowering.idioms.matmul_epilogue import MATMUL_EPILOGUE, SHARDED

eqx = pytest.importorskip("equinox")

MATMUL = "tessera.graph.matmul"
RULES = (ACTIVATIONS, MATMUL_EPILOGUE)

Function = Callable[..., Any]
Arrays = tuple[jax.Array, ...]


def _arrays(dtype: Any = jnp.float32) -> Arrays:
    """Returns x (3, 7, 8), w (8, 6), b (6,), r (3, 7, 6)."""
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((3, 7, 8), (8, 6), (6,), (3, 7, 6))
    return tuple(
        jax.random.normal(k, shape).astype(dtype) for k, shape in zip(keys, shapes, strict=True)
    )


def _row(b: jax.Array) -> jax.Array:
    return b[None, None]


def _bias(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return x @ w + _row(b)


def _bias_first(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jnp.broadcast_to(b, r.shape) + jnp.einsum("btk,kn->btn", x, w)


def _relu(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.nn.relu(x @ w + _row(b))


def _relu_by_where(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    z = jnp.dot(x, w) + _row(b)
    return jnp.where(z <= 0, 0.0, z)


def _silu_residual(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return r + jax.nn.silu(x @ w + _row(b))


def _tanh(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jnp.tanh(lax.dot_general(x, w, (((2,), (0,)), ((), ()))) + _row(b))


def _sigmoid(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(jnp.tensordot(x, w, 1) + _row(b))


def _residual(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return x @ w + r


def _activation_alone(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.nn.silu(x @ w)


def _transposed_weight(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.nn.relu(jnp.einsum("btk,nk->btn", x, w.T) + _row(b)) + r


def _from_the_left(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.vmap(jax.vmap(lambda v: jnp.tanh(w.T @ v + b)))(x) + r


def _under_jit_and_scan(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    step = jax.jit(lambda row, s: jax.nn.relu(row @ w + b[None]) + s)
    return lax.scan(lambda c, rows: (c, step(*rows)), 0.0, (x, r))[1]


def _batched(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    weights = jnp.stack([w, 2 * w, 3 * w])
    return jax.nn.silu(jnp.einsum("btk,bkn->btn", x, weights) + _row(b))


def _raised_before(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return jax.nn.relu(op.matmul(x, w) + _row(b)) + r


def _raised_relu(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    return op.relu(op.matmul(x, w) + _row(b))


def _heads(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    split = w.reshape(8, 2, 3)
    y = jnp.einsum("btk,khd->bthd", x, split) + b.reshape(1, 1, 2, 3)
    return y.reshape(r.shape)


def _joined_heads(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    heads = x.reshape(3, 7, 2, 4)
    return jnp.einsum("bthd,hdn->btn", heads, w.reshape(2, 4, 6)) + _row(b) + r


def _linen(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    params = {"params": {"kernel": w, "bias": b}}
    return nn.relu(nn.Dense(6).apply(params, x)) + r  # pyright: ignore[reportArgumentType]


@functools.cache
def _linear() -> Any:
    return eqx.nn.Linear(8, 6, key=jax.random.key(0))


def _equinox(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
    with jax.ensure_compile_time_eval():
        layer = _linear()
    layer = eqx.tree_at(lambda m: (m.weight, m.bias), layer, (w.T, b))
    return jax.vmap(jax.vmap(lambda v: jax.nn.silu(layer(v))))(x)


FORMS: dict[Function, str] = {
    _bias: "bias",
    _bias_first: "bias",
    _relu: "bias_relu",
    _relu_by_where: "bias_relu",
    _silu_residual: "bias_silu_residual",
    _tanh: "bias_tanh",
    _sigmoid: "bias_sigmoid",
    _residual: "residual",
    _activation_alone: "silu",
    _transposed_weight: "bias_relu_residual",
    _from_the_left: "bias_tanh_residual",
    _under_jit_and_scan: "bias_relu_residual",
    _batched: "bias_silu",
    _raised_before: "bias_relu_residual",
    _raised_relu: "bias_relu",
    _heads: "bias",
    _joined_heads: "bias_residual",
    _linen: "bias_relu_residual",
    _equinox: "bias_silu",
}
every_form = pytest.mark.parametrize("function", FORMS, ids=lambda f: f.__name__)
LEFTOVERS = {"jax.add", "jax.custom_jvp_call", "jax.select_n", "jax.tanh", "jax.logistic"}


def _product_of(module: Any) -> Any:
    (node,) = (node for node in module.walk() if node.name == MATMUL)
    return node


@every_form
def test_a_product_and_its_epilogue_become_one_node(function: Function) -> None:
    module = raised(function, *_arrays(), rules=RULES)
    params = _product_of(module).equation.params
    has_bias, has_residual = params["present"][2:]
    words = [("bias", has_bias), (params["activation"], params["activation"])]
    words.append(("residual", has_residual))
    assert "_".join(word for word, there in words if there) == FORMS[function]
    assert not {"jax.dot_general", *LEFTOVERS} & set(names(module))


@every_form
def test_a_fused_product_has_the_value_and_the_gradients_of_the_original(
    function: Function,
) -> None:
    args = _arrays()
    module = raised(function, *args, rules=RULES)
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, *args), function(*args), rtol, 4 * atol)

    def loss(f: Function) -> Function:
        return lambda *args: jnp.sum(jnp.sin(f(*args)))

    ours = jax.grad(loss(lambda *args: run(module, *args)), range(4))(*args)
    theirs = jax.grad(loss(function), range(4))(*args)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol, 2e-5)  # sums of 21 terms of both signs


@every_form
def test_a_fused_product_in_bf16_is_no_less_accurate(function: Function) -> None:
    args = _arrays(jnp.bfloat16)
    module = raised(function, *args, rules=RULES)
    assert _product_of(module).results[0].type.get_shape()
    exact = np.asarray(function(*(x.astype(jnp.float32) for x in args)))
    ours, theirs = (np.asarray(y, np.float32) for y in (run(module, *args), function(*args)))
    # XLA may keep the whole chain in fp32 too; then both err by the last rounding, in either direction.
    assert np.linalg.norm(ours - exact) <= 1.1 * np.linalg.norm(theirs - exact)


def test_relu_of_a_matmul_and_a_bias_is_one_node_with_both() -> None:
    def pipeline(A: jax.Array, B: jax.Array, bias: jax.Array) -> jax.Array:
        return jax.nn.relu(op.matmul(A, B) + bias[None])

    module = raised(pipeline, jnp.ones((4, 5)), jnp.ones((5, 6)), jnp.ones(6), rules=RULES)
    nodes = [n for n in names(module) if n.startswith(("jax.", "tessera.graph."))]
    assert nodes == ["tessera.graph.func", MATMUL, "tessera.graph.return"]


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.float32])
@pytest.mark.parametrize("through", [jnp.int32, jnp.bfloat16])
def test_a_bias_is_what_its_casts_made_of_it(dtype: Any, through: Any) -> None:
    def cast(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return x @ w + b.astype(through).astype(x.dtype)[None]

    x, w, b = _square_arrays()
    args = (x, w, (3 * b).astype(dtype))
    module = raised(cast, *args, rules=RULES)
    assert _product_of(module).equation.params["present"][2]
    np.testing.assert_allclose(run(module, *args), cast(*args), *tolerance(jnp.float32))


def test_a_bias_rounded_to_the_dtype_of_a_product_has_a_gradient_of_its_own_dtype() -> None:
    x, w, b = _square_arrays()
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)

    def rounded(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return jax.nn.relu(x @ w + b.astype(jnp.bfloat16)[None])

    module = raised(rounded, x, w, b, rules=RULES)
    assert _product_of(module).equation.params["present"][2]
    ours = jax.grad(lambda b: jnp.sum(run(module, x, w, b)))(b)
    theirs = jax.grad(lambda b: jnp.sum(rounded(x, w, b)))(b)
    assert ours.dtype == b.dtype
    np.testing.assert_allclose(ours, theirs, *tolerance(jnp.bfloat16))


def _two_column_axes(x: jax.Array, w: jax.Array, r: jax.Array) -> jax.Array:
    return jnp.tensordot(x, w, 1) + r


def test_a_product_with_two_column_axes_may_have_no_rows() -> None:
    args = (jnp.zeros((0, 8)), jnp.ones((8, 2, 3)), jnp.zeros((0, 2, 3)))
    module = raised(_two_column_axes, *args, rules=RULES)
    assert _product_of(module) is not None
    assert run(module, *args).shape == (0, 2, 3)


def test_column_axes_that_are_explicitly_sharded_are_not_merged() -> None:
    mesh = jax.make_mesh((2,), ("m",), axis_types=(jax.sharding.AxisType.Explicit,))
    keys = jax.random.split(jax.random.key(4), 3)
    shapes = ((3, 8), (8, 2, 6), (3, 2, 6))
    x, w, r = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))
    with jax.set_mesh(mesh):
        split = jax.device_put(w, jax.P(None, None, "m"))
        module, (record,) = raised_with_records(_two_column_axes, x, split, r, rules=RULES)
        found = run(module, x, split, r)
    assert (record.applied, record.reason) == (False, SHARDED)
    np.testing.assert_allclose(found, _two_column_axes(x, w, r), *tolerance(jnp.float32))


# -- what stays ----------------------------------------------------------------------------------------


@jax.custom_jvp
def _straight_through(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0.0)


@_straight_through.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return jnp.maximum(primals[0], 0.0), tangents[0]


def _plain(x: jax.Array, w: jax.Array) -> jax.Array:
    return x @ w


def _bias_along_rows(x: jax.Array, w: jax.Array) -> jax.Array:
    return x @ w + w[:, :1]


def _outer_residual(x: jax.Array, w: jax.Array) -> jax.Array:
    return (x @ w)[None] + jnp.stack([x, w])


def _precise(x: jax.Array, w: jax.Array) -> jax.Array:
    return jnp.matmul(x, w, precision="highest") + w[0][None]


def _wider_result(x: jax.Array, w: jax.Array) -> jax.Array:
    narrow = (x.astype(jnp.bfloat16), w.astype(jnp.bfloat16))
    return jnp.matmul(*narrow, preferred_element_type=jnp.float32) + w[0][None]


def _columns_of_x(x: jax.Array, w: jax.Array) -> jax.Array:
    return jnp.einsum("km,nk->mn", x, w) + w[0][None]


def _vector(x: jax.Array, w: jax.Array) -> jax.Array:
    return w @ x[0] + x[1]


def _another_derivative(x: jax.Array, w: jax.Array) -> jax.Array:
    return _straight_through(x @ w)


def _leaky(x: jax.Array, w: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x @ w)


def _loses_nan(x: jax.Array, w: jax.Array) -> jax.Array:
    z = x @ w
    return jnp.where(z > 0, z, 0.0)


def _slope_one_at_zero(x: jax.Array, w: jax.Array) -> jax.Array:
    z = x @ w
    return jnp.where(z < 0, 0.0, z)


def _clipped_at_one(x: jax.Array, w: jax.Array) -> jax.Array:
    return jnp.maximum(x @ w, 1.0)


NEAR_MISSES = (
    _plain,
    _bias_along_rows,
    _outer_residual,
    _precise,
    _wider_result,
    _columns_of_x,
    _vector,
    _another_derivative,
    _leaky,
    _loses_nan,
    _slope_one_at_zero,
    _clipped_at_one,
)


@pytest.mark.parametrize("function", NEAR_MISSES, ids=lambda f: f.__name__)
def test_what_is_no_epilogue_stays(function: Function) -> None:
    keys = jax.random.split(jax.random.key(1))
    module = raised(function, *(jax.random.normal(k, (5, 5)) for k in keys), rules=RULES)
    assert MATMUL not in names(module)


def test_a_maximum_stays_and_says_that_its_derivative_differs() -> None:
    module, records = raised_with_records(
        lambda x, w: jnp.maximum(x @ w, 0.0), jnp.ones((4, 5)), jnp.ones((5, 6)), rules=RULES
    )
    assert MATMUL not in names(module)
    assert "1/2" in records[0].reason


def test_a_product_read_twice_takes_no_epilogue() -> None:
    def function(x: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = x @ w
        return jax.nn.relu(z), z

    module = raised(function, jnp.ones((4, 5)), jnp.ones((5, 6)), rules=RULES)
    assert MATMUL not in names(module)


def test_an_exact_gelu_stays_outside_on_cpu_and_says_why() -> None:
    def function(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
        return jax.nn.gelu(x @ w + _row(b), approximate=False)

    module, records = raised_with_records(function, *_arrays(), rules=RULES)
    assert [n for n in names(module) if n in (MATMUL, "tessera.graph.gelu")] == [
        MATMUL,
        "tessera.graph.gelu",
    ]
    (declined,) = (r for r in records if not r.applied)
    assert "erfc" in declined.reason


def test_the_activation_after_a_residual_stays_outside() -> None:
    def function(x: jax.Array, w: jax.Array, b: jax.Array, r: jax.Array) -> jax.Array:
        return jnp.tanh(x @ w + _row(b) + r) + _row(b)

    args = _arrays()
    module = raised(function, *args, rules=RULES)
    assert _product_of(module).equation.params["activation"] is None
    np.testing.assert_allclose(run(module, *args), function(*args), *tolerance(jnp.float32))


def test_nan_and_infinity_pass_a_fused_relu_as_they_pass_the_original() -> None:
    x, w, b, r = _arrays()
    x = x.at[0, 0, 0].set(jnp.nan).at[1, 1, 1].set(jnp.inf)
    module = raised(_relu, x, w, b, r, rules=RULES)
    np.testing.assert_allclose(run(module, x, w, b, r), _relu(x, w, b, r), *tolerance(jnp.float32))


GOLDEN = {
    "linen": _linen,
    "equinox": _equinox,
    "by_hand": _silu_residual,
    "heads": _heads,
    "op": _raised_before,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_raised_text_of_a_product(name: str) -> None:
    text = str(raised(GOLDEN[name], *_arrays(), rules=RULES))
    assert_golden(text, f"idioms/matmul.{name}.mlir")


# -- under other transformations -----------------------------------------------------------------------


def _layer(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return jax.nn.relu(x @ w + b[None]) + x


def _square_arrays() -> Arrays:
    keys = jax.random.split(jax.random.key(3), 3)
    shapes = ((8, 6), (6, 6), (6,))
    return tuple(jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))


def test_a_symbolic_batch_stays_symbolic() -> None:
    (rows,) = jax.export.symbolic_shape("rows")
    x = jax.ShapeDtypeStruct((rows, 6), jnp.float32)
    module = raised(_layer, x, *_square_arrays()[1:], rules=RULES)
    assert _product_of(module).equation.outvars[0].aval.shape[0] == rows


def test_second_derivatives_pass_through_a_fused_product() -> None:
    x, w, b = _square_arrays()
    module = raised(lambda x: jnp.tanh(_layer(x, w, b) @ w), x, rules=RULES)

    def curvature(f: Function) -> jax.Array:
        gradient = jax.grad(lambda x: jnp.sum(jnp.square(f(x))))
        return jax.jvp(gradient, (x,), (jnp.cos(x),))[1]

    theirs = curvature(lambda x: jnp.tanh(_layer(x, w, b) @ w))
    ours = curvature(lambda x: run(module, x))
    np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4)  # terms of size 10 cancel


def test_inside_shard_map_the_product_of_a_device_is_fused() -> None:
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = jax.P("rows"), jax.P()

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.nn.silu(x @ w) + x

    mapped = jax.shard_map(layer, mesh=mesh, in_specs=(rows, whole), out_specs=rows)
    args = _square_arrays()[:2]
    module = raised(mapped, *args, rules=RULES)
    assert _product_of(module).results[0].type.get_shape() == (1, 6)
    found = jax.jit(lambda *args: run(module, *args))(*args)
    np.testing.assert_allclose(found, layer(*args), *tolerance(jnp.float32))


def test_on_an_explicit_mesh_the_fused_product_keeps_its_sharding() -> None:
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Explicit,))
    x, w, b = _square_arrays()
    with jax.set_mesh(mesh):
        split = jax.device_put(x, jax.P("rows"))
        module = raised(_layer, split, w, b, rules=RULES)
        found = jax.jit(lambda *args: run(module, *args))(split, w, b)
    assert _product_of(module) is not None
    assert found.sharding.spec == jax.P("rows", None)
    np.testing.assert_allclose(found, _layer(x, w, b), *tolerance(jnp.float32))
