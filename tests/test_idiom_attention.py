"""Attention, however it is written, becomes one node; what only resembles it stays and says why."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from golden_text import assert_golden
from jax import lax
from raising import CPU, names, run

from tessera.core import compat
from tessera.core.numerics import tolerance
from tessera.ir.graph import Node
from tessera.lowering.cost import Device
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.idioms.attention import ADDED, ATTENTION, NARROW, SHARDED, UNLIKE
from tessera.lowering.idioms.attention_reading import BIASED, CHANGED
from tessera.lowering.idioms.softmax import SOFTMAX
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rewrite import SHARED, Context, Record, apply_rule
from tessera.lowering.simplify import cse, dce, fold

OP = "tessera.graph.flash_attention"
B, H, T, D = 2, 2, 384, 4  # T so that tiles pay: every path below is the one that is raised
SIMPLIFY = (fold, cse, dce)

Array = jax.Array
Function = Callable[..., Any]


def _raised(function: Function, *args: Any, device: Device = CPU) -> tuple[Any, list[Record]]:
    """Returns the graph after the passes a compiler runs around the rule, and its records."""
    module = capture(jax.make_jaxpr(function)(*args))
    context = Context(device)
    for step in SIMPLIFY:
        step(module, context)
    apply_rule(ATTENTION, module, context)
    for step in SIMPLIFY:
        step(module, context)
    return module, context.records


def _op(module: Any) -> Node | None:
    found = [op for op in module.walk() if op.name == OP]
    assert len(found) <= 1
    return found[0] if found else None  # type: ignore[return-value]


def _statics(module: Any) -> dict[str, Any]:
    node = _op(module)
    assert node is not None, module
    assert node.equation is not None
    return node.equation.params


def _callable(module: Any) -> Function:
    traced = emit(module)
    return lambda *args: compat.evaluate(traced.jaxpr, traced.consts, *jax.tree.leaves(args))[0]


def _assert_equal(got: Any, wanted: Any, dtype: Any) -> None:
    rtol, atol = tolerance(dtype)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=rtol, atol=atol
        )


def _loss_gradient(function: Function, args: tuple[Any, ...]) -> Any:
    weights = jnp.cos(jnp.arange(jax.eval_shape(function, *args).size, dtype=jnp.float32))

    def loss(*args: Any) -> Array:
        return jnp.sum(function(*args).astype(jnp.float32).ravel() * weights)

    floats = [i for i, x in enumerate(args) if jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)]
    return jax.jit(jax.grad(loss, floats))(*args)


def _assert_computes_the_same(module: Any, function: Function, args: tuple[Any, ...]) -> None:
    dtype = args[0].dtype
    _assert_equal(run(module, *args), function(*args), dtype)
    _assert_equal(_loss_gradient(_callable(module), args), _loss_gradient(function, args), dtype)


def _arrays(*shapes: tuple[int, ...], dtype: Any = jnp.float32) -> tuple[Array, ...]:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return tuple(
        jax.random.normal(key, shape).astype(dtype) for key, shape in zip(keys, shapes, strict=True)
    )


def _length_first(dtype: Any = jnp.float32) -> tuple[Array, ...]:
    return _arrays((B, T, H, D), (B, T, H, D), (B, T, H, D), dtype=dtype)


def _heads_first(dtype: Any = jnp.float32) -> tuple[Array, ...]:
    return _arrays((B, H, T, D), (B, H, T, D), (B, H, T, D), dtype=dtype)


def _padding() -> Array:
    """Returns which of T positions are real; the second row of the batch has few, and not the first."""
    positions = jnp.arange(T)
    return jnp.stack([positions < T - 7, (positions > 50) & (positions < 90)])


def _causal() -> Array:
    return jnp.tril(jnp.ones((T, T), bool))[None, None]


def _scores(q: Array, k: Array) -> Array:
    return jnp.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(D)


# -- libraries -----------------------------------------------------------------------------------------


def jax_nn(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="xla")


def jax_nn_window(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.dot_product_attention(
        q, k, v, is_causal=True, local_window_size=(63, 0), implementation="xla"
    )


def jax_nn_grouped(q: Array, k: Array, v: Array) -> Array:
    k, v = k[:, :, :1], v[:, :, :1]
    return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="xla")


def linen(q: Array, k: Array, v: Array) -> Array:
    mask = nn.make_causal_mask(jnp.ones((B, T)))
    return nn.dot_product_attention(q, k, v, mask=mask)


def flax_nnx(q: Array, k: Array, v: Array) -> Array:
    return nnx.dot_product_attention(q, k, v, mask=nnx.make_causal_mask(jnp.ones((B, T))))


def equinox_layer(x: Array) -> Array:
    layer = eqx.nn.MultiheadAttention(H, 2 * D, key=jax.random.key(3))
    mask = jnp.tril(jnp.ones((T, T), bool))
    return jax.vmap(lambda x: layer(x, x, x, mask=mask))(x)


# -- by hand -------------------------------------------------------------------------------------------


def textbook(q: Array, k: Array, v: Array) -> Array:
    scores = jnp.where(_causal(), _scores(q, k), -jnp.inf)
    return jax.nn.softmax(scores, axis=-1) @ v


def scaled_query_added_triangle(q: Array, k: Array, v: Array) -> Array:
    scores = (q * jnp.asarray(D**-0.5, q.dtype)) @ k.swapaxes(-1, -2)
    hidden = jnp.triu(jnp.full((T, T), -1e9, q.dtype), 1)[None, None]
    weights = jnp.exp(scores + hidden - (scores + hidden).max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)) @ v


def one_minus_mask(q: Array, k: Array, v: Array) -> Array:
    i = jnp.arange(T)
    mask = (i[:, None] >= i[None, :]).astype(q.dtype)[None, None]
    weights = jax.nn.softmax(_scores(q, k) - 1e10 * (1 - mask))
    return jnp.einsum("bhij,bhjd->bihd", weights, v).reshape(B, T, H * D)


def keys_in_front(q: Array, k: Array, v: Array) -> Array:
    scores = jnp.einsum("bhid,bhjd->bhji", q, k) * 0.3
    seen = _causal().swapaxes(2, 3)
    weights = jax.nn.softmax(jnp.where(seen, scores, -1e30), axis=2)
    return jnp.einsum("bhjd,bhji->bhdi", v, weights)


def one_head_under_vmap(q: Array, k: Array, v: Array) -> Array:
    def head(q: Array, k: Array, v: Array) -> Array:
        i = jnp.arange(T)
        scores = jnp.where(i[:, None] < i[None, :], -1e9, q @ k.T / 8.0)
        return jax.nn.softmax(scores) @ v

    return jax.vmap(jax.vmap(head))(q, k, v)


def repeated_heads(q: Array, k: Array, v: Array) -> Array:
    q = jnp.concatenate([q, -q], 1)
    return textbook(q, jnp.repeat(k, 2, axis=1), jnp.repeat(v, 2, axis=1))


def tiled_heads(q: Array, k: Array, v: Array) -> Array:
    q = jnp.concatenate([q, -q], 1)
    return textbook(q, jnp.tile(k, (1, 2, 1, 1)), jnp.tile(v, (1, 2, 1, 1)))


def grouped_heads(q: Array, k: Array, v: Array) -> Array:
    q = jnp.concatenate([q, -q], 1).reshape(B, H, 2, T, D)
    scores = jnp.einsum("bgrid,bgjd->bgrij", q, k) / 3
    scores = jnp.where(_causal()[None], scores, jnp.finfo(scores.dtype).min)
    out = jnp.einsum("bgrij,bgjd->bigrd", jax.nn.softmax(scores), v)
    return out.reshape(B, T, 2 * H * D)


def in_float32(q: Array, k: Array, v: Array) -> Array:
    scores = jnp.einsum("bhid,bhjd->bhij", q, k, preferred_element_type=jnp.float32)
    scores = jnp.where(_causal(), scores * D**-0.5, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores).astype(v.dtype) @ v


def under_checkpoint(q: Array, k: Array, v: Array) -> Array:
    mask = _causal()

    def inner(q: Array, k: Array, v: Array) -> Array:
        return jax.nn.softmax(jnp.where(mask, _scores(q, k), -1e9)) @ v

    return jax.checkpoint(inner)(q, k, v)


def under_scan(q: Array, k: Array, v: Array) -> Array:
    mask = _causal()

    def step(carry: Array, xs: Any) -> tuple[Array, Array]:
        q, k, v = (x[None] for x in xs)
        return carry, jax.nn.softmax(jnp.where(mask, _scores(q, k), -1e9)) @ v

    return lax.scan(step, jnp.zeros(()), (q, k, v))[1]


def under_shard_map(q: Array, k: Array, v: Array) -> Array:
    mesh = jax.make_mesh((B,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("data")
    return jax.shard_map(textbook, mesh=mesh, in_specs=spec, out_specs=spec)(q, k, v)


CAUSAL = {
    f.__name__: (f, make)
    for make, group in (
        (_length_first, (jax_nn, jax_nn_grouped, linen, flax_nnx)),
        (
            _heads_first,
            (
                textbook,
                scaled_query_added_triangle,
                one_minus_mask,
                keys_in_front,
                one_head_under_vmap,
                repeated_heads,
                tiled_heads,
                grouped_heads,
                in_float32,
                under_checkpoint,
                under_scan,
                under_shard_map,
            ),
        ),
    )
    for f in group
}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_attention_is_one_node_that_skips_tiles(name):
    function, make = CAUSAL[name]
    module, _ = _raised(function, *make())
    statics = _statics(module)
    assert statics["causal"]
    assert not statics["present"][3], "the mask is passed beside causal=True"
    assert "jax.exp" not in names(module)
    assert "jax.dot_general" not in names(module)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("jax_nn", "grouped_heads") else pytest.mark.slow)
        for name in CAUSAL
    ],
)
def test_a_raised_causal_attention_has_the_values_and_gradients_of_what_was_written(name):
    function, make = CAUSAL[name]
    args = make()
    module, _ = _raised(function, *args)
    assert _op(module) is not None
    _assert_computes_the_same(module, function, args)


def test_the_equinox_layer_becomes_one_node():
    args = _arrays((B, T, 2 * D))
    module, _ = _raised(equinox_layer, *args)
    assert _statics(module)["causal"]
    assert "jax.exp" not in names(module)
    _assert_computes_the_same(module, equinox_layer, args)


def test_a_causal_window_is_a_window():
    args = _length_first()
    module, _ = _raised(jax_nn_window, *args)
    assert (_statics(module)["causal"], _statics(module)["window"]) == (True, 64)
    _assert_computes_the_same(module, jax_nn_window, args)


@pytest.mark.parametrize("name", ["repeated_heads", "tiled_heads", "grouped_heads"])
def test_repeated_keys_are_not_repeated(name):
    function, make = CAUSAL[name]
    node = _op(_raised(function, *make())[0])
    assert node is not None
    assert node.operands[1].type.get_shape() == (B, H, T, D)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["textbook", "linen", "jax_nn"])
def test_an_attention_is_found_behind_a_raised_softmax(name):
    function, make = CAUSAL[name]
    args = make()
    module = capture(jax.make_jaxpr(function)(*args))
    for rule in (SOFTMAX, ATTENTION):
        apply_rule(rule, module, Context(CPU))
    assert _statics(module)["causal"]
    _assert_equal(run(module, *args), function(*args), jnp.float32)


def test_low_precision_attention_comes_closer_to_the_truth():
    q, k, v = (x.repeat(2, axis=2) for x in _heads_first(jnp.bfloat16))
    assert q.shape[2] == 2 * T

    def attend(q: Array, k: Array, v: Array) -> Array:
        seen = jnp.tril(jnp.ones((2 * T, 2 * T), bool))[None, None]
        return jax.nn.softmax(jnp.where(seen, _scores(q, k), -jnp.inf)) @ v

    module, _ = _raised(attend, q, k, v)
    assert _op(module) is not None
    exact = np.asarray(attend(*(x.astype(jnp.float32) for x in (q, k, v))), np.float64)

    def error(x: Array) -> float:
        return float(np.abs(np.asarray(x, np.float64) - exact).max())

    assert error(run(module, q, k, v)) <= error(attend(q, k, v))


# -- masks that are only known at run time -------------------------------------------------------------


def padded_minus_infinity(q: Array, k: Array, v: Array, real: Array) -> Array:
    seen = real[:, None, None, :] & real[:, None, :, None]
    return jax.nn.softmax(jnp.where(seen, _scores(q, k), -jnp.inf)) @ v


def padded_finite(q: Array, k: Array, v: Array, real: Array) -> Array:
    seen = real[:, None, None, :] & real[:, None, :, None]
    return jax.nn.softmax(jnp.where(seen, _scores(q, k), -1e9)) @ v


def padded_added(q: Array, k: Array, v: Array, real: Array) -> Array:
    hidden = jnp.where(real[:, None, None, :], 0.0, -1e10)
    return jax.nn.softmax(_scores(q, k) + hidden) @ v


def padded_one_minus_mask(q: Array, k: Array, v: Array, real: Array) -> Array:
    hidden = (1.0 - real.astype(q.dtype))[:, None, None, :] * jnp.finfo(q.dtype).min
    return jax.nn.softmax(_scores(q, k) + hidden) @ v


def padded_linen(q: Array, k: Array, v: Array, real: Array) -> Array:
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    mask = nn.combine_masks(nn.make_causal_mask(real), nn.make_attention_mask(real, real))
    return nn.dot_product_attention(q, k, v, mask=mask)


def padded_and_causal_as_floats(q: Array, k: Array, v: Array, real: Array) -> Array:
    mask = jnp.tril(jnp.ones((T, T)))[None] * real[:, None, :].astype(jnp.float32)
    return jax.nn.softmax(jnp.where(mask[:, None] == 0, -1e9, _scores(q, k))) @ v


PADDED = [
    padded_minus_infinity,
    padded_finite,
    padded_linen,
    padded_and_causal_as_floats,
]


@pytest.mark.parametrize("function", PADDED, ids=lambda f: f.__name__)
def test_a_row_that_sees_nothing_keeps_its_value(function):
    args = (*_heads_first(), _padding())
    module, _ = _raised(function, *args)
    assert _statics(module)["present"][3]
    _assert_equal(run(module, *args), function(*args), jnp.float32)  # equal_nan is the default


@pytest.mark.parametrize("function", PADDED[1:], ids=lambda f: f.__name__)
def test_the_gradient_of_a_padded_attention_is_kept(function):
    args = (*_heads_first(), _padding())
    module, _ = _raised(function, *args)
    wanted = _loss_gradient(function, args)
    _assert_equal(_loss_gradient(_callable(module), args), wanted, jnp.float32)


@pytest.mark.parametrize("function", [padded_added, padded_one_minus_mask])
def test_a_row_whose_scores_an_added_mask_may_all_hide_keeps_their_gradient(function):
    args = (*_heads_first(), jnp.zeros_like(_padding()))
    module, records = _raised(function, *args)
    assert [(r.applied, r.reason) for r in records] == [(False, ADDED)]
    got, wanted = _loss_gradient(_callable(module), args), _loss_gradient(function, args)
    assert jnp.any(wanted[0] != 0), (
        "rounding would have to take the gradient of q for the op to fit"
    )
    _assert_equal(got, wanted, jnp.float32)


@pytest.mark.parametrize("function", [padded_linen, padded_and_causal_as_floats])
def test_the_causal_part_of_a_mask_is_told_from_its_padding(function):
    module, _ = _raised(function, *_heads_first(), _padding())
    assert _statics(module)["causal"]


def test_a_constant_mask_that_is_no_band_is_passed_without_a_correction():
    def blocks(q: Array, k: Array, v: Array) -> Array:
        part = jnp.arange(T) // 100
        seen = (part[:, None] == part[None, :])[None, None]
        return jax.nn.softmax(jnp.where(seen, _scores(q, k), -1e9)) @ v

    args = _heads_first()
    module, _ = _raised(blocks, *args)
    assert _statics(module)["present"][3]
    assert "jax.reduce_or" not in names(module), "every row sees its block, which is known"
    _assert_computes_the_same(module, blocks, args)


def test_top_left_and_bottom_right_causal_masks_are_told_apart():
    q, k, v = _arrays((1, 1, 300, D), (1, 1, 500, D), (1, 1, 500, D))

    def attend(offset: int) -> Function:
        def run_it(q: Array, k: Array, v: Array) -> Array:
            seen = jnp.tril(jnp.ones((300, 500), bool), offset)[None, None]
            return jax.nn.softmax(jnp.where(seen, _scores(q, k), -1e9)) @ v

        return run_it

    for offset, causal in ((200, True), (0, False), (199, False), (201, False)):
        module, _ = _raised(attend(offset), q, k, v)
        assert _statics(module)["causal"] is causal
        _assert_equal(run(module, q, k, v), attend(offset)(q, k, v), jnp.float32)


# -- what stays ----------------------------------------------------------------------------------------


def weights_returned(q: Array, k: Array, v: Array) -> Array:
    weights = jax.nn.softmax(_scores(q, k))
    return weights @ v + weights.sum(-1, keepdims=True)


def dropout(q: Array, k: Array, v: Array) -> Array:
    weights = jax.nn.softmax(_scores(q, k))
    keep = jax.random.bernoulli(jax.random.key(1), 0.9, weights.shape)
    return jnp.where(keep, weights / 0.9, 0.0) @ v


def position_bias(q: Array, k: Array, v: Array) -> Array:
    i = jnp.arange(T, dtype=jnp.float32)
    return jax.nn.softmax(_scores(q, k) - 0.1 * jnp.abs(i[:, None] - i[None, :])[None, None]) @ v


def squeezed_scores(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(_scores(q, k).astype(jnp.bfloat16).astype(jnp.float32)) @ v


def unlike_fills(q: Array, k: Array, v: Array) -> Array:
    seen = (q.sum(-1) > 0)[:, :, None, :]
    scores = jnp.where(_causal(), _scores(q, k), -jnp.inf)
    return jax.nn.softmax(jnp.where(seen, scores, -1e9)) @ v


def half_hearted_mask(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(_scores(q, k) + jnp.where(_causal(), 0.0, -5.0)) @ v


KEPT = {
    weights_returned: SHARED,
    dropout: CHANGED,
    position_bias: BIASED,
    half_hearted_mask: BIASED,
    squeezed_scores: NARROW,
    unlike_fills: UNLIKE,
}


@pytest.mark.parametrize("function", KEPT, ids=lambda f: f.__name__)
def test_what_the_op_cannot_express_stays_with_the_reason(function):
    args = _heads_first()
    module, records = _raised(function, *args)
    assert _op(module) is None
    assert [(r.applied, r.reason) for r in records] == [(False, KEPT[function])]
    _assert_equal(run(module, *args), function(*args), jnp.float32)


def over_queries(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(_scores(q, k), axis=-2) @ v


def weighted_before_the_product(q: Array, k: Array, v: Array) -> Array:
    return jnp.tanh(jax.nn.softmax(_scores(q, k))) @ v


def capped(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(20 * jnp.tanh(_scores(q, k) / 20)) @ v


def flipped_after_the_mask(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(-0.5 * jnp.where(_causal(), _scores(q, k), -1e9)) @ v


def softened_mask(q: Array, k: Array, v: Array) -> Array:
    return jax.nn.softmax(1e-9 * jnp.where(_causal(), _scores(q, k), -1e9)) @ v


def stopped_sum(q: Array, k: Array, v: Array) -> Array:
    weights = jnp.exp(_scores(q, k))
    return (weights / lax.stop_gradient(weights.sum(-1, keepdims=True))) @ v


@pytest.mark.parametrize(
    "function",
    [
        over_queries,
        weighted_before_the_product,
        capped,
        stopped_sum,
        flipped_after_the_mask,
        softened_mask,
    ],
)
def test_what_only_resembles_an_attention_stays(function):
    module, records = _raised(function, *_heads_first())
    assert _op(module) is None
    assert not records


@pytest.mark.parametrize(
    ("length", "dtype", "applied"),
    [(128, jnp.float32, False), (384, jnp.bfloat16, False), (384, jnp.float32, True)],
)
def test_few_scores_stay_whole(length, dtype, applied):
    shape = (1, 1, length, D)
    args = _arrays(shape, shape, shape, dtype=dtype)
    _, (record,) = _raised(lambda q, k, v: jax.nn.softmax(_scores(q, k)) @ v, *args)
    assert record.applied is applied


def test_operands_sharded_over_explicit_axes_stay_as_they_are():
    mesh = jax.make_mesh((2,), ("heads",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharding = jax.NamedSharding(mesh, jax.P(None, "heads"))
    with jax.set_mesh(mesh):
        args = tuple(jax.device_put(x, sharding) for x in _heads_first())

        def attend(q: Array, k: Array, v: Array) -> Array:
            return jax.nn.softmax(_scores(q, k)) @ v

        module, (record,) = _raised(attend, *args)
        assert (record.applied, record.reason) == (False, SHARDED)
        _assert_equal(run(module, *args), attend(*args), jnp.float32)


def test_a_platform_without_tiles_keeps_the_program():
    device = Device("tpu", "test", 1e14, 1e12, 2**25)
    _, (record,) = _raised(textbook, *_heads_first(), device=device)
    assert not record.applied
    assert "tpu" in record.reason


@pytest.mark.parametrize("name", ["jax_nn", "linen", "flax_nnx", "textbook"])
def test_the_raised_graph_reads_as_committed(name):
    function, make = CAUSAL[name]
    assert_golden(str(_raised(function, *make())[0]), f"idioms/attention.{name}.mlir")
