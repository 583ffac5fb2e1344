"""Layer and RMS norms, however they are written, become one node; what only resembles one stays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from golden_text import assert_golden
from jax import lax
from raising import names, raised, raised_with_records, run

from tessera.core.numerics import tolerance
from tessera.lowering.idioms.norms import NORMS, SHARDED

eqx = pytest.importorskip("equinox")

LAYER, RMS = "tessera.graph.layernorm", "tessera.graph.rmsnorm"
N = 8

Function = Callable[..., Any]


def _x(dtype: Any = jnp.float32, *shape: int) -> jax.Array:
    shape = shape or (4, 6, N)
    return (2 * jax.random.normal(jax.random.key(1), shape) + 1).astype(dtype)


def _vectors(dtype: Any = jnp.float32, n: int = N) -> tuple[jax.Array, jax.Array]:
    keys = jax.random.split(jax.random.key(2))
    w, b = (jax.random.normal(key, (n,)).astype(dtype) for key in keys)
    return 1 + w, b


def _row(vector: jax.Array) -> jax.Array:
    return vector[None, None, :]


# -- spellings -----------------------------------------------------------------------------------------


def _moments(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * _row(w) + _row(b)


def _scale_first(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = jnp.mean(x, axis=2, keepdims=True)
    var = jnp.mean((x - mean) ** 2, axis=2, keepdims=True)
    return _row(b) + _row(w) * (x - mean) * lax.rsqrt(var + 1e-5)


def _centred_once(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, -1)[..., None]
    power = (centred * centred).sum(-1) / N
    return centred * (1 / jnp.sqrt(power + 1e-5))[..., None] * _row(w) + _row(b)


def _one_pass(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = jnp.mean(x, -1, keepdims=True)
    var = jnp.maximum(jnp.mean(x * x, -1, keepdims=True) - mean**2, 0.0)
    return (x - mean) * (lax.rsqrt(var + 1e-5) * _row(w)) + _row(b)


def _to_the_power(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = x.sum(-1, keepdims=True) * (1 / N)
    var = jnp.square(x - mean).sum(-1, keepdims=True) * (1 / N)
    return _row(w) * ((x - mean) * (var + 1e-5) ** -0.5) + _row(b)


def _by_vmap(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    def one(v: jax.Array) -> jax.Array:
        return w * ((v - v.mean()) / jnp.sqrt(v.var() + 1e-5)) + b

    return jax.vmap(jax.vmap(one))(x)


def _reciprocal(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * jnp.reciprocal(jnp.sqrt(jnp.var(x, -1, keepdims=True) + 1e-5)) * _row(
        w
    ) + _row(b)


def _no_vectors(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    del w, b
    return (x - x.mean(-1, keepdims=True)) / jnp.std(x, axis=-1, keepdims=True)


def _only_bias(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    del w
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) + _row(b)


def _one_plus_weight(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * _row(1 + w) + _row(b)


def _under_jit_and_checkpoint(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return jax.checkpoint(jax.jit(_moments))(x, w, b)


def _in_scan(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return lax.scan(lambda c, _: (_moments(c, w, b), None), x, None, length=2)[0]


LAYER_SPELLINGS = (
    _moments,
    _scale_first,
    _centred_once,
    _one_pass,
    _to_the_power,
    _by_vmap,
    _reciprocal,
    _no_vectors,
    _only_bias,
    _one_plus_weight,
    _under_jit_and_checkpoint,
    _in_scan,
)


def _rms(x: jax.Array, w: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * _row(w)


def _rms_weight_first(x: jax.Array, w: jax.Array) -> jax.Array:
    return _row(w) * (x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5))


def _rms_summed(x: jax.Array, w: jax.Array) -> jax.Array:
    scale = 1.0 / jnp.sqrt(jnp.sum(jnp.square(x), -1) / N + 1e-5)
    return x * scale[..., None] * _row(w)


def _rms_llama(x: jax.Array, w: jax.Array) -> jax.Array:
    wide = x.astype(jnp.float32)
    normal = wide * lax.rsqrt(jnp.mean(wide**2, -1, keepdims=True) + 1e-5)
    return _row(w) * normal.astype(x.dtype)


def _rms_gemma(x: jax.Array, w: jax.Array) -> jax.Array:
    return x * (jnp.mean(x * x, -1, keepdims=True) + 1e-5) ** -0.5 * _row(1 + w)


def _rms_by_vmap(x: jax.Array, w: jax.Array) -> jax.Array:
    return jax.vmap(jax.vmap(lambda v: v / jnp.sqrt(jnp.mean(v * v) + 1e-5) * w))(x)


def _rms_bare(x: jax.Array, w: jax.Array) -> jax.Array:
    del w
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)


RMS_SPELLINGS = (
    _rms,
    _rms_weight_first,
    _rms_summed,
    _rms_llama,
    _rms_gemma,
    _rms_by_vmap,
    _rms_bare,
)


# -- libraries -----------------------------------------------------------------------------------------


def _linen(module: nn.Module) -> Function:
    def apply(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
        params = {"scale": w} if b is None else {"scale": w, "bias": b}
        with jax.numpy_dtype_promotion("standard"):  # Flax promotes bf16 to fp32
            return module.apply({"params": params}, x)  # pyright: ignore[reportReturnType]

    return apply


def _nnx(make: Callable[..., Any]) -> Function:
    structure, state = nnx.split(make(N, rngs=nnx.Rngs(0)))

    def apply(x: jax.Array, *vectors: jax.Array) -> jax.Array:
        leaves, tree = jax.tree.flatten(state)  # bias, scale
        assert len(leaves) == len(vectors)
        with jax.numpy_dtype_promotion("standard"):  # Flax promotes bf16 to fp32
            return nnx.merge(structure, jax.tree.unflatten(tree, vectors[::-1]))(x)

    return apply


def _equinox(layer: Any) -> Function:
    def apply(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
        set_to = eqx.tree_at(lambda m: m.weight, layer, w)
        if b is not None:
            set_to = eqx.tree_at(lambda m: m.bias, set_to, b)
        return jax.vmap(jax.vmap(set_to))(x)

    return apply


LAYER_LIBRARIES = {
    "linen": _linen(nn.LayerNorm()),
    "linen_two_pass": _linen(nn.LayerNorm(use_fast_variance=False)),
    "nnx": _nnx(nnx.LayerNorm),
    "equinox": _equinox(eqx.nn.LayerNorm(N)),
}
RMS_LIBRARIES = {
    "linen": _linen(nn.RMSNorm()),
    "nnx": _nnx(nnx.RMSNorm),
    "equinox": _equinox(eqx.nn.RMSNorm(N, use_bias=False)),
}
CASES = [
    *((f, LAYER) for f in LAYER_SPELLINGS),
    *((f, LAYER) for f in LAYER_LIBRARIES.values()),
    *((f, RMS) for f in RMS_SPELLINGS),
    *((f, RMS) for f in RMS_LIBRARIES.values()),
]
IDS = [
    *(f.__name__ for f in LAYER_SPELLINGS),
    *(f"layer_{name}" for name in LAYER_LIBRARIES),
    *(f.__name__ for f in RMS_SPELLINGS),
    *(f"rms_{name}" for name in RMS_LIBRARIES),
]


def _arguments(op: str, dtype: Any = jnp.float32) -> tuple[jax.Array, ...]:
    vectors = _vectors(dtype)
    return (_x(dtype), *(vectors if op == LAYER else vectors[:1]))


def _reductions(module: Any) -> int:
    return names(module).count("jax.reduce_sum")


@pytest.mark.parametrize(("function", "op"), CASES, ids=IDS)
def test_a_norm_becomes_one_node(function: Function, op: str) -> None:
    module = raised(function, *_arguments(op), rules=[NORMS])
    assert names(module).count(op) == 1
    assert _reductions(module) == 0
    assert not {"jax.rsqrt", "jax.sqrt", "jax.pow"} & set(names(module))


@pytest.mark.parametrize(("function", "op"), CASES, ids=IDS)
def test_a_raised_norm_has_the_value_and_the_gradients_of_the_original(
    function: Function, op: str
) -> None:
    args = _arguments(op)
    module = raised(function, *args, rules=[NORMS])
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, *args), function(*args), rtol, 4 * atol)

    def loss(function: Function) -> Function:
        return lambda *args: jnp.sum(jnp.sin(function(*args)))

    ours = jax.grad(loss(lambda *args: run(module, *args)), range(len(args)))(*args)
    theirs = jax.grad(loss(function), range(len(args)))(*args)
    for a, b in zip(ours, theirs, strict=True):
        # Sums of 24 rows of opposite signs, each correct to rtol: the terms are of size 10.
        np.testing.assert_allclose(a, b, rtol, 1e-4)


@pytest.mark.parametrize(("function", "op"), CASES, ids=IDS)
def test_a_norm_in_bf16_is_no_less_accurate(function: Function, op: str) -> None:
    args = _arguments(op, jnp.bfloat16)
    module = raised(function, *args, rules=[NORMS])
    assert names(module).count(op) == 1
    exact = np.asarray(function(*(x.astype(jnp.float32) for x in args)))
    ours, theirs = (np.asarray(y, np.float32) for y in (run(module, *args), function(*args)))
    assert np.linalg.norm(ours - exact) <= 1.05 * np.linalg.norm(theirs - exact)


# -- what stays ----------------------------------------------------------------------------------------


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(-1, keepdims=True)


def _unbiased(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) * lax.rsqrt(x.var(-1, ddof=1, keepdims=True) + 1e-5)


def _eps_outside(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) / (x.std(-1, keepdims=True) + 1e-5)


def _clipped_variance(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) * lax.rsqrt(jnp.maximum(x.var(-1, keepdims=True), 1e-5))


def _mean_of_another_axis(x: jax.Array) -> jax.Array:
    return (x - x.mean(0, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def _variance_of_another_axis(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) * lax.rsqrt(x.var(0, keepdims=True) + 1e-5)


def _variance_of_another_array(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) * lax.rsqrt(jnp.sin(x).var(-1, keepdims=True) + 1e-5)


def _sum_for_mean(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-5)


def _transposed_statistic(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x * x, -1) + 1e-5)[None, :]


def _not_centred(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def _gradient_stopped(x: jax.Array) -> jax.Array:
    return (x - lax.stop_gradient(_mean(x))) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def _rounded_inside(x: jax.Array) -> jax.Array:
    centred = (x - _mean(x)).astype(jnp.bfloat16).astype(jnp.float32)
    return centred * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def _divided_twice(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) / (x.var(-1, keepdims=True) + 1e-5)


def _cubed(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x**3, -1, keepdims=True) + 1e-5)


def _eps_of_every_row(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + x[:, :1])


def _normalised_squared(x: jax.Array) -> jax.Array:
    scale = lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)
    return (x * scale) * (x * scale)


NEAR_MISSES = (
    _unbiased,
    _eps_outside,
    _clipped_variance,
    _mean_of_another_axis,
    _variance_of_another_axis,
    _variance_of_another_array,
    _sum_for_mean,
    _transposed_statistic,
    _not_centred,
    _gradient_stopped,
    _rounded_inside,
    _divided_twice,
    _cubed,
    _eps_of_every_row,
)


@pytest.mark.parametrize("function", NEAR_MISSES, ids=lambda f: f.__name__)
def test_what_only_resembles_a_norm_stays(function: Function) -> None:
    module = raised(function, _x(jnp.float32, N, N), rules=[NORMS])
    assert not {LAYER, RMS} & set(names(module))


def test_a_product_of_a_norm_with_itself_keeps_its_value() -> None:
    x = _x(jnp.float32, N, N)
    module = raised(_normalised_squared, x, rules=[NORMS])
    np.testing.assert_allclose(run(module, x), _normalised_squared(x), *tolerance(jnp.float32))


def test_a_weight_per_row_stays_outside() -> None:
    def function(x: jax.Array, w: jax.Array) -> jax.Array:
        return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * w[:, None]

    x, (w, _) = _x(jnp.float32, N, N), _vectors()
    module = raised(function, x, w, rules=[NORMS])
    assert names(module).count(RMS) == 1
    np.testing.assert_allclose(run(module, x, w), function(x, w), *tolerance(jnp.float32))


def test_a_norm_over_the_last_two_axes_is_one_over_their_product() -> None:
    layer = eqx.nn.LayerNorm((6, N))
    w = jax.random.normal(jax.random.key(3), (6, N))
    layer = eqx.tree_at(lambda m: m.weight, layer, w)
    module = raised(jax.vmap(layer), _x(), rules=[NORMS])
    assert names(module).count(LAYER) == 1
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, _x()), jax.vmap(layer)(_x()), rtol, 4 * atol)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.bfloat16])
@pytest.mark.parametrize(("function", "op"), [(_moments, LAYER), (lambda x, w, b: _rms(x, w), RMS)])
def test_a_weight_and_bias_may_be_cast_before(function: Function, op: str, dtype: Any) -> None:
    def cast(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return function(x, w.astype(x.dtype), b.astype(x.dtype))

    args = (_x(), *((3 * v).astype(dtype) for v in _vectors()))
    module = raised(cast, *args, rules=[NORMS])
    assert names(module).count(op) == 1
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, *args), cast(*args), rtol, 4 * atol)


@pytest.mark.parametrize("through", [jnp.int32, jnp.bfloat16])
@pytest.mark.parametrize(("function", "op"), [(_moments, LAYER), (lambda x, w, b: _rms(x, w), RMS)])
def test_a_weight_and_bias_stay_rounded_where_they_were(
    function: Function, op: str, through: Any
) -> None:
    def rounded(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return function(x, *(v.astype(through).astype(x.dtype) for v in (w, b)))

    args = (_x(), *_vectors())
    module = raised(rounded, *args, rules=[NORMS])
    assert names(module).count(op) == 1
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, *args), rounded(*args), rtol, 4 * atol)


def _over_two_axes(x: jax.Array) -> jax.Array:
    centred = x - x.mean((1, 2), keepdims=True)
    return centred / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)


def test_a_norm_over_two_axes_may_have_no_rows() -> None:
    x = jnp.zeros((0, 4, 4))
    module = raised(_over_two_axes, x, rules=[NORMS])
    assert LAYER in names(module)
    assert run(module, x).shape == x.shape


def test_a_norm_over_two_axes_that_are_explicitly_sharded_stays_and_says_why() -> None:
    mesh = jax.make_mesh((2,), ("m",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(_x(), jax.NamedSharding(mesh, jax.P(None, "m")))
        module, (record,) = raised_with_records(_over_two_axes, x, rules=[NORMS])
        found = run(module, x)
    assert (record.applied, record.reason) == (False, SHARDED)
    np.testing.assert_allclose(found, _over_two_axes(_x()), *tolerance(jnp.float32))


def test_a_norm_over_another_axis_stays_and_says_why() -> None:
    def batch_norm(x: jax.Array) -> jax.Array:
        return (x - x.mean(0)[None]) * lax.rsqrt(x.var(0)[None] + 1e-5)

    module, records = raised_with_records(batch_norm, _x(jnp.float32, 5, N), rules=[NORMS])
    assert LAYER not in names(module)
    assert [r.applied for r in records] == [False]
    assert "axis 0" in records[0].reason


def test_a_norm_whose_statistic_is_read_elsewhere_stays_and_says_why() -> None:
    def function(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        scale = lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)
        return x * scale, scale

    module, records = raised_with_records(function, _x(), rules=[NORMS])
    assert RMS not in names(module)
    assert "elsewhere" in records[0].reason


def test_a_normalised_array_read_twice_is_raised_without_its_weight() -> None:
    def function(x: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        normal = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)
        return normal * _row(w), normal

    x, (w, _) = _x(), _vectors()
    module = raised(function, x, w, rules=[NORMS])
    assert names(module).count(RMS) == 1
    assert _reductions(module) == 0
    for ours, theirs in zip(run(module, x, w), function(x, w), strict=True):
        np.testing.assert_allclose(ours, theirs, *tolerance(jnp.float32))


def test_an_infinite_and_a_nan_element_spoil_the_same_rows() -> None:
    x, (w, b) = _x().at[0, 0, 1].set(jnp.inf).at[1, 1, 2].set(jnp.nan), _vectors()
    module = raised(_moments, x, w, b, rules=[NORMS])
    np.testing.assert_array_equal(np.isnan(run(module, x, w, b)), np.isnan(_moments(x, w, b)))


def test_two_norms_in_a_row_are_two_nodes() -> None:
    def function(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return _rms(_moments(x, w, b), w)

    args = (_x(), *_vectors())
    module = raised(function, *args, rules=[NORMS])
    assert [n for n in names(module) if n in (LAYER, RMS)] == [LAYER, RMS]
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, *args), function(*args), rtol, 4 * atol)


GOLDEN = {
    "layer_linen": (LAYER_LIBRARIES["linen"], LAYER),
    "layer_equinox": (LAYER_LIBRARIES["equinox"], LAYER),
    "layer_by_hand": (_moments, LAYER),
    "rms_nnx": (RMS_LIBRARIES["nnx"], RMS),
    "rms_by_hand": (_rms_gemma, RMS),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_raised_text_of_a_norm(name: str) -> None:
    function, op = GOLDEN[name]
    text = str(raised(function, *_arguments(op), rules=[NORMS]))
    assert_golden(text, f"idioms/norms.{name}.mlir")


def test_a_symbolic_number_of_rows_stays_symbolic_and_a_symbolic_axis_is_left_alone() -> None:
    (size,) = jax.export.symbolic_shape("size")
    rows = raised(_mean_free, jax.ShapeDtypeStruct((size, N), jnp.float32), rules=[NORMS])
    axis = raised(_mean_free, jax.ShapeDtypeStruct((N, size), jnp.float32), rules=[NORMS])
    assert LAYER in names(rows)
    assert LAYER not in names(axis)


def _mean_free(x: jax.Array) -> jax.Array:
    return (x - _mean(x)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
