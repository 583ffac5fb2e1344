"""gelu and silu, however they are written, become one node; what only resembles one stays."""

import functools
import math
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
from scipy import special

from tessera.core.numerics import tolerance
from tessera.lowering.idioms.activations import ACTIVATIONS

GELU, SILU = "tessera.graph.gelu", "tessera.graph.silu"
SLOPE = math.sqrt(2 / math.pi)

Function = Callable[..., Any]


def _x(dtype: Any = jnp.float32) -> jax.Array:
    return (3 * jax.random.normal(jax.random.key(1), (4, 33))).astype(dtype)


def _erf_left(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(x / math.sqrt(2)))


def _erf_right(x: jax.Array) -> jax.Array:
    return (1.0 + jax.scipy.special.erf(x * math.sqrt(0.5))) * x / 2


def _erf_spread(x: jax.Array) -> jax.Array:
    return x * (0.5 * lax.erf(x / 2**0.5) + 0.5)


def _erfc(x: jax.Array) -> jax.Array:
    return x * lax.erfc(-x / jnp.sqrt(2).astype(x.dtype)) * 0.5


def _tanh_cube(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(SLOPE * (x + 0.044715 * x**3)))


def _tanh_products(x: jax.Array) -> jax.Array:
    return x * 0.5 * (jnp.tanh(SLOPE * (x + 0.044715 * x * x * x)) + 1)


def _tanh_factored(x: jax.Array) -> jax.Array:
    return 0.5 * (x * (1.0 + jnp.tanh(x * SLOPE * (1 + 0.044715 * jnp.square(x)))))


def _tanh_spread(x: jax.Array) -> jax.Array:
    inner = 0.7978845608028654 * x + 0.035677408136300125 * x**3
    return x * (0.5 + 0.5 * jnp.tanh(inner))


def _of_a_sum(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(2.0 * x + 1.0, approximate=False)


def _sigmoid_first(x: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(x) * x


def _quotient(x: jax.Array) -> jax.Array:
    return x / (1 + jnp.exp(-x))


def _reciprocal(x: jax.Array) -> jax.Array:
    return x * (1 / (jnp.exp(-x) + 1))


EXACT = functools.partial(jax.nn.gelu, approximate=False)
LINEN = functools.partial(nn.gelu, approximate=False)

GELUS: dict[str, Function] = {
    "jax": EXACT,
    "linen": LINEN,
    "vmap": jax.vmap(EXACT),
    "jit": jax.jit(EXACT),
    "erf_left": _erf_left,
    "erf_right": _erf_right,
    "erf_spread": _erf_spread,
    "erfc": _erfc,
    "of_a_sum": _of_a_sum,
}
TANH_GELUS: dict[str, Function] = {
    "jax": jax.nn.gelu,
    "linen": nn.gelu,
    "cube": _tanh_cube,
    "products": _tanh_products,
    "factored": _tanh_factored,
    "spread": _tanh_spread,
}
SILUS: dict[str, Function] = {
    "jax": jax.nn.silu,
    "linen": nn.swish,
    "checkpoint": jax.checkpoint(jax.nn.silu),
    "sigmoid_first": _sigmoid_first,
    "quotient": _quotient,
    "reciprocal": _reciprocal,
}
CASES = [
    *((f"gelu_{k}", f, GELU) for k, f in GELUS.items()),
    *((f"tanh_{k}", f, GELU) for k, f in TANH_GELUS.items()),
    *((f"silu_{k}", f, SILU) for k, f in SILUS.items()),
]
every_case = pytest.mark.parametrize(
    ("function", "op"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
LEFTOVERS = {"jax.erf", "jax.erfc", "jax.tanh", "jax.logistic", "jax.exp", "jax.integer_pow"}


@every_case
def test_an_activation_becomes_one_node(function: Function, op: str) -> None:
    module = raised(function, _x(), rules=[ACTIVATIONS])
    assert names(module).count(op) == 1
    assert not LEFTOVERS & set(names(module))


@pytest.mark.parametrize("name", TANH_GELUS)
def test_the_tanh_formula_stays_the_tanh_formula(name: str) -> None:
    assert "approximate = true" in str(raised(TANH_GELUS[name], _x(), rules=[ACTIVATIONS]))


@every_case
def test_a_raised_activation_has_the_value_and_the_gradient_of_the_original(
    function: Function, op: str
) -> None:
    x = _x()
    module = raised(function, x, rules=[ACTIVATIONS])
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(run(module, x), function(x), rtol, 4 * atol)
    ours = jax.grad(lambda x: jnp.sum(jnp.sin(run(module, x))))(x)
    theirs = jax.grad(lambda x: jnp.sum(jnp.sin(function(x))))(x)
    np.testing.assert_allclose(ours, theirs, rtol, 4 * atol)


@every_case
def test_an_activation_in_bf16_is_no_less_accurate(function: Function, op: str) -> None:
    x = _x(jnp.bfloat16)
    module = raised(function, x, rules=[ACTIVATIONS])
    assert names(module).count(op) == 1
    exact = np.asarray(function(x.astype(jnp.float32)))
    ours, theirs = (np.asarray(y, np.float32) for y in (run(module, x), function(x)))
    assert np.linalg.norm(ours - exact) <= 1.05 * np.linalg.norm(theirs - exact)


def test_the_left_tail_of_a_raised_gelu_keeps_its_digits() -> None:
    x = jnp.linspace(-10.0, -4.0, 50)
    wide = np.asarray(x, np.float64)
    exact = 0.5 * wide * special.erfc(-wide / math.sqrt(2))
    found = run(raised(_erf_left, x, rules=[ACTIVATIONS]), x)
    # The argument's last bit, of relative size 2^-24, is squared in the exponent: 50 * 2^-24 in the result.
    np.testing.assert_allclose(found, exact, 1e-5)


def _wrong_half(x: jax.Array) -> jax.Array:
    return x * (1 + lax.erf(x / math.sqrt(2)))


def _wrong_scale(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(x))


def _wrong_cube(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(SLOPE * (x + 0.0447 * x**3)))


def _wrong_power(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(SLOPE * (x + 0.044715 * x**2)))


def _of_another(x: jax.Array) -> jax.Array:
    return 0.5 * jnp.sin(x) * (1 + lax.erf(x / math.sqrt(2)))


def _minus(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 - lax.erf(x / math.sqrt(2)))


def _quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _wrong_sign(x: jax.Array) -> jax.Array:
    return x / (1 + jnp.exp(x))


def _two_plus(x: jax.Array) -> jax.Array:
    return x / (2 + jnp.exp(-x))


def _lone_sigmoid(x: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(x)


def _rounded_inside(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(x.astype(jnp.bfloat16)).astype(x.dtype)


def _steep(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(0.715 * x))


def _flat(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(0.69 * x))


def _steep_tanh(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(0.81 * (x + 0.044715 * x**3)))


def _wide_cube(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(SLOPE * (x + 0.0455 * x**3)))


def _more_than_half(x: jax.Array) -> jax.Array:
    return 0.51 * x * (1 + lax.erf(x / math.sqrt(2)))


NEAR_MISSES = (
    _wrong_half,
    _wrong_scale,
    _wrong_cube,
    _wrong_power,
    _of_another,
    _minus,
    _quick_gelu,
    _wrong_sign,
    _two_plus,
    _lone_sigmoid,
    _rounded_inside,
    jnp.tanh,
    jax.nn.relu,
    jax.nn.elu,
    jax.nn.softplus,
)


@pytest.mark.parametrize("function", NEAR_MISSES, ids=lambda f: f.__name__)
def test_what_only_resembles_an_activation_stays(function: Function) -> None:
    module, records = raised_with_records(function, _x(), rules=[ACTIVATIONS])
    assert not {GELU, SILU} & set(names(module))
    assert not records


@every_case
def test_an_activation_in_f16_is_one_node_too(function: Function, op: str) -> None:
    assert names(raised(function, _x(jnp.float16), rules=[ACTIVATIONS])).count(op) == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("function", [_steep, _flat, _steep_tanh, _wide_cube, _more_than_half])
def test_a_constant_that_is_not_a_rounded_one_of_gelu_makes_another_function(
    function: Function, dtype: Any
) -> None:
    module = raised(function, _x(dtype), rules=[ACTIVATIONS])
    assert GELU not in names(module)


def test_an_activation_whose_sigmoid_is_read_elsewhere_stays_and_says_why() -> None:
    def function(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        gate = jax.nn.sigmoid(x)
        return x * gate, gate

    module, records = raised_with_records(function, _x(), rules=[ACTIVATIONS])
    assert SILU not in names(module)
    assert "elsewhere" in records[0].reason


GOLDEN = {
    "gelu_linen": LINEN,
    "gelu_by_hand": _erf_right,
    "tanh_jax": jax.nn.gelu,
    "silu_jax": jax.nn.silu,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_raised_text_of_an_activation(name: str) -> None:
    text = str(raised(GOLDEN[name], _x(), rules=[ACTIVATIONS]))
    assert_golden(text, f"idioms/activations.{name}.mlir")
