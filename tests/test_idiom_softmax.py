"""A softmax, however it is written, becomes one node; what only resembles one stays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import linen as nn
from flax import nnx
from golden_text import assert_golden
from jax import lax
from raising import CPU, names, run

from tessera.core import compat
from tessera.core.numerics import tolerance
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.idioms.softmax import SOFTMAX
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rewrite import Context, apply_rule
from tessera.lowering.simplify import cse, dce, fold

OP = "tessera.graph.softmax"
DTYPES = [jnp.float32, jnp.bfloat16]

Array = jax.Array
Function = Callable[..., Any]


def _raised(function: Function, x: Array) -> Any:
    module = capture(jax.make_jaxpr(function)(x))
    context = Context(CPU)
    for step in (fold, cse, dce):
        step(module, context)
    apply_rule(SOFTMAX, module, context)
    for step in (fold, cse, dce):
        step(module, context)
    return module


def _x(dtype: Any = jnp.float32) -> Array:
    return (2 * jax.random.normal(jax.random.key(0), (3, 4, 5))).astype(dtype)


def by_hand(x: Array) -> Array:
    weights = jnp.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def without_shift(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def stopped_shift(x: Array) -> Array:
    weights = jnp.exp(x - lax.stop_gradient(x).max(-1, keepdims=True))
    return weights / weights.sum(-1)[..., None]


def times_reciprocal(x: Array) -> Array:
    weights = jnp.exp(x - x.max(-1, keepdims=True))
    return weights * (1 / weights.sum(-1, keepdims=True))


def times_power(x: Array) -> Array:
    weights = jnp.exp(x - x.max(-1, keepdims=True))
    return weights.sum(-1, keepdims=True) ** -1 * weights


def from_log_softmax(x: Array) -> Array:
    return jnp.exp(jax.nn.log_softmax(x))


def transposed(x: Array) -> Array:
    return jax.nn.softmax(jnp.transpose(x, (2, 0, 1)), axis=0).transpose(1, 2, 0)


def under_vmap(x: Array) -> Array:
    return jax.vmap(jax.nn.softmax, in_axes=1, out_axes=1)(x)


def under_checkpoint(x: Array) -> Array:
    return jax.checkpoint(jax.nn.softmax)(x)


SPELLINGS = {
    "jax_nn": jax.nn.softmax,
    "linen": nn.softmax,
    "nnx": nnx.softmax,
    **{
        f.__name__: f
        for f in (
            by_hand,
            without_shift,
            stopped_shift,
            times_reciprocal,
            times_power,
            from_log_softmax,
            transposed,
            under_vmap,
            under_checkpoint,
        )
    },
}


@pytest.mark.parametrize("dtype", DTYPES, ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_softmax_is_one_node(name, dtype):
    x = _x(dtype)
    module = _raised(SPELLINGS[name], x)
    found = names(module)
    assert found.count(OP) == 1
    assert not {"jax.exp", "jax.reduce_sum", "jax.div"} & set(found)
    rtol, atol = tolerance(dtype)
    wanted = scipy.special.softmax(np.asarray(x, np.float64), axis=-1)
    np.testing.assert_allclose(np.asarray(run(module, x), np.float64), wanted, rtol, atol)


@pytest.mark.parametrize("name", SPELLINGS)
def test_its_gradient_is_that_of_what_it_replaces(name):
    x = _x()
    traced = emit(_raised(SPELLINGS[name], x))
    weights = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    got = jax.grad(lambda x: jnp.sum(weights * compat.evaluate(traced.jaxpr, traced.consts, x)[0]))
    wanted = jax.grad(lambda x: jnp.sum(weights * SPELLINGS[name](x)))
    rtol, atol = tolerance(x.dtype)
    np.testing.assert_allclose(got(x), wanted(x), rtol, atol)


def test_large_logits_do_not_overflow_where_they_did_not():
    x = jnp.array([[1000.0, 1001.0], [-1000.0, -1001.0]])
    for name in ("jax_nn", "by_hand", "from_log_softmax"):
        got = run(_raised(SPELLINGS[name], x), x)
        np.testing.assert_allclose(got, SPELLINGS[name](x), *tolerance(x.dtype))


def sum_over_another_axis(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / weights.sum(1, keepdims=True).max(2, keepdims=True)


def sum_over_two_axes(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / weights.sum((1, 2), keepdims=True)


def sum_of_others(x: Array) -> Array:
    return jnp.exp(x) / jnp.exp(2 * x).sum(-1, keepdims=True)


def crossed_rows(x: Array) -> Array:
    weights = jnp.exp(x[:, :3, :3])
    return weights / weights.sum(-1)[:, None, :]


def stopped_sum(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / lax.stop_gradient(weights.sum(-1, keepdims=True))


def with_epsilon(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / (weights.sum(-1, keepdims=True) + 1e-3)


def summed_in_fewer_bits(x: Array) -> Array:
    weights = jnp.exp(x)
    total = weights.astype(jnp.bfloat16).sum(-1, keepdims=True)
    return weights / total.astype(x.dtype)


def logarithm_in_fewer_bits(x: Array) -> Array:
    total = jnp.exp(x).sum(-1, keepdims=True).astype(jnp.bfloat16)
    return jnp.exp(x - jnp.log(total).astype(x.dtype))


def powers_of_two(x: Array) -> Array:
    weights = jnp.exp2(x)
    return weights / weights.sum(-1, keepdims=True)


def weights_in_use(x: Array) -> Array:
    weights = jnp.exp(x)
    return weights / weights.sum(-1, keepdims=True) + weights


NEAR = [
    sum_over_another_axis,
    sum_over_two_axes,
    sum_of_others,
    crossed_rows,
    stopped_sum,
    with_epsilon,
    summed_in_fewer_bits,
    logarithm_in_fewer_bits,
    powers_of_two,
    weights_in_use,
]


@pytest.mark.parametrize("function", NEAR, ids=lambda f: f.__name__)
def test_what_only_resembles_a_softmax_stays(function):
    x = _x()
    module = _raised(function, x)
    assert OP not in names(module)
    np.testing.assert_allclose(run(module, x), function(x), *tolerance(x.dtype))


@pytest.mark.parametrize("name", ["jax_nn", "by_hand", "from_log_softmax"])
def test_the_raised_graph_reads_as_committed(name):
    assert_golden(str(_raised(SPELLINGS[name], _x())), f"idioms/softmax.{name}.mlir")
