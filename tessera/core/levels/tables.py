"""What every primitive of JAX reaches: tables of names, and the rules that operators add.

A primitive that stands in no table reaches D1: nothing is known of how XLA computes it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from tessera.core import compat

# Computes the results of an equation from its operands, at a level.
Run = Callable[[Any, str, Sequence[Any]], Any]


@dataclass(frozen=True)
class Rule:
    """What a primitive on floats reaches: by its rule, and as XLA computes it, with the reason."""

    highest: str
    native: str
    reason: str
    run: Run | None = None


OWN = "XLA computes the last elements of an array by other code than the rest."
ORDER = "XLA chooses the order, by shape and by device."
OTHERS = "how it is computed is XLA's choice."

# Data movement, comparisons, integers and bits: nothing is rounded, and nothing depends on an order.
EXACT = frozenset(
    """abs all_gather all_gather_invariant all_to_all and argmax argmin axis_index bitcast_convert_type
    broadcast_in_dim broadcast_to ceil clamp clz complex concatenate conj copy copy_p create_token cummax
    cummin debug_callback debug_print device_put dynamic_slice dynamic_update_slice empty empty2 eq eq_to
    floor gather ge gt imag iota iota_2x32_shape is_finite layout_constraint le le_to lt lt_to max mesh_cast
    min name ne neg nextafter not opt_barrier optimization_barrier or pad pbroadcast pcast philox2x32
    philox4x32 pmax pmin population_count ppermute pvary random_bits random_clone random_fold_in random_seed
    random_split random_unwrap random_wrap real reduce_and reduce_max reduce_min reduce_or reduce_precision
    reduce_window_max reduce_window_min reduce_xor relayout reshape reshard rev rng_bit_generator round
    scatter scatter-max scatter-min select_and_scatter select_n sharding_constraint shift_left
    shift_right_arithmetic shift_right_logical sign slice sort split squeeze stack stop_gradient threefry2x32
    threefry4x32 tile top_k transpose unstack xor""".split()
)

# Exact on integers, rounded on floats.
ARITHMETIC = frozenset(
    """add add_any sub mul div rem integer_pow square pow reduce_sum reduce_prod cumsum cumprod dot_general
    scatter-add scatter-sub scatter-mul psum psum_invariant reduce_scatter reduce_window_sum mulhi
    select_and_scatter_add""".split()
)

# Elementwise, by XLA's own formulas; some have a portable one, and with it a rule.
ELEMENTWISE = frozenset(
    """acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma erf erf_inv erfc exp
    exp2 expm1 igamma igamma_grad_a igammac lgamma log log1p log2 logistic one_minus_square polygamma
    polynomial pow random_gamma regularized_incomplete_beta rem rsqrt sin sinh tan tanh zeta""".split()
)

# Bodies that are computed in place of the call.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
# Bodies that are computed by the equation.
LOOPS = {"scan": ("jaxpr",), "while": ("cond_jaxpr", "body_jaxpr"), "cond": ("branches",)}

_REASONS = {
    "scatter-add": "values with one index are added in an order of XLA's choice.",
    "fft": "XLA hands it to a library.",
    "conv_general_dilated": "how many terms are added at a time depends on the batch.",
    "psum": "devices are added in an order that depends on how many there are.",
    "psum_invariant": "devices are added in an order that depends on how many there are.",
    "reduce_scatter": "devices are added in an order that depends on how many there are.",
    "shard_map": "what every device computes depends on how many there are.",
    "pure_callback": "code of the host is not seen.",
    "io_callback": "code of the host is not seen.",
}

_RULES: dict[str, Rule] = {}


def def_rule(name: str, highest: str, reason: str, *, native: str = "D1") -> Callable[[Run], Run]:
    """Returns a decorator that sets how a primitive on floats is computed from D2 on."""

    def decorate(run: Run) -> Run:
        _RULES[name] = Rule(highest, native, reason, run)
        return run

    return decorate


def rule_of(equation: Any) -> Rule:
    """Returns the rule of an equation, for the dtypes it has."""
    name = equation.primitive.name
    if name == "rng_bit_generator" or (name.startswith("random_") and not _are_threefry(equation)):
        return Rule("D1", "D1", "a generator of the backend's own.")
    types = [*(v.aval for v in equation.invars), *(v.aval for v in equation.outvars)]
    rounds = any(jnp.issubdtype(t.dtype, jnp.inexact) for t in types if "dtype" in dir(t))
    complex_ = any(jnp.issubdtype(t.dtype, jnp.complexfloating) for t in types if "dtype" in dir(t))
    if complex_ and name in ("abs", "sign"):
        return _of_complex(name)
    if name in EXACT or (name in ARITHMETIC and not rounds):
        return Rule("D4", "D4", "")
    if name == "convert_element_type" and not narrows(equation):
        return Rule("D4", "D4", "")
    if complex_ and name not in _REASONS:
        return _of_complex(name)
    if name in _RULES:
        return _RULES[name]
    return Rule("D1", "D1", OWN if name in ELEMENTWISE else _REASONS.get(name, OTHERS))


def _of_complex(name: str) -> Rule:
    if name in ("dot_general", "reduce_sum", "mul", "add", "sub", "add_any"):
        return Rule("D3", "D1", "complex arithmetic is XLA's own.", _RULES[name].run)
    return Rule("D1", "D1", OTHERS)


def _are_threefry(equation: Any) -> bool:
    """Returns whether the keys an equation reads, if it does, are counters of Threefry."""
    kinds = [str(v.aval.dtype) for v in equation.invars if "dtype" in dir(v.aval)]
    return all("fry" in kind for kind in kinds if kind.startswith("key"))


def narrows(equation: Any) -> bool:
    """Returns whether a conversion is to a narrower float."""
    types = equation.invars[0].aval.dtype, equation.params["new_dtype"]
    return (
        all(jnp.issubdtype(t, jnp.floating) for t in types)
        and types[1].itemsize < types[0].itemsize
    )


def bodies_of(equation: Any) -> Iterator[Any]:
    """Yields the traced functions an equation calls or loops over."""
    name = equation.primitive.name
    hidden = compat.hidden_body(equation)
    if hidden is not None:
        yield hidden
    for parameter in (CALLS[name],) if name in CALLS else LOOPS.get(name, ()):
        held = equation.params[parameter]
        yield from held if isinstance(held, tuple) else (held,)
