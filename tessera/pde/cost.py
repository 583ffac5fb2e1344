"""What derivatives of a network cost, by scheme: operations counted in its jaxpr, without tracing anything.

The unit is one multiply-add of a matrix product; other operations are weighed by how much longer they take in
a fused loop (measured on CPU in float32, networks 64 to 256 wide). Only ratios within one network matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.extend.core import Jaxpr, Literal

from tessera.core.primitive import EXPANSIONS
from tessera.pde import kinds
from tessera.pde.interpreter import CALLS

FREE = frozenset(
    """broadcast_in_dim convert_element_type copy reshape squeeze split slice transpose pvary
    pcast""".split()
)
ENTRY = 4.0
FUNCTION = 60.0
FUNCTIONS = frozenset(
    """acos acosh asin asinh atan atan2 atanh cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1 lgamma
    log log1p log2 logistic pow sin sinh tan tanh""".split()
)
_BODIES = {**CALLS, "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr"}


@dataclass(frozen=True)
class Work:
    """What a scheme does for each value of a network, in operations on arrays of the value's shape.

    `rows` go through a linear operation, `chains` are the multiply-adds of an elementwise function,
    `products` those of a product of two varying values, and `passes` the evaluations of an operation
    without a rule.
    `overhead` is the time of its matrix products over that of one product of as many rows.
    """

    rows: float
    chains: float
    products: float
    passes: float
    overhead: float = 1.0


def cost(jaxpr: Jaxpr, work: Work) -> float:
    """Returns what the derivatives of a jaxpr cost that the work is done for.

    >>> import jax, jax.numpy as jnp
    >>> product = jax.make_jaxpr(lambda x: x @ jnp.ones((3, 5)))(jnp.ones(3))
    >>> cost(product.jaxpr, Work(4, 0, 0, 0))
    60.0
    """
    return _total(jaxpr, [True] * len(jaxpr.invars), work)


def _total(jaxpr: Jaxpr, depends: Sequence[bool], work: Work) -> float:
    varying = {var for var, yes in zip(jaxpr.invars, depends, strict=True) if yes}
    total = 0.0
    for equation in jaxpr.eqns:
        inputs = [not isinstance(x, Literal) and x in varying for x in equation.invars]
        if any(inputs):
            varying.update(equation.outvars)
            total += _of(equation, inputs, work)
    return total


def _of(equation: Any, inputs: Sequence[bool], work: Work) -> float:
    name = equation.primitive.name
    if name in _BODIES:
        body = equation.params[_BODIES[name]]
        return _total(body if name == "checkpoint" else body.jaxpr, inputs, work)
    once, plain = _once(equation), name.removeprefix("tessera.")
    if name in kinds.BILINEAR and sum(inputs) == 2:
        return once * work.products
    if name == "dot_general":
        return once * work.rows * work.overhead
    if name in kinds.LINEAR or name == "mul":
        return once * work.rows
    if plain in kinds.ELEMENTWISE and sum(inputs) == 1:
        return once + ENTRY * _size(equation) * work.chains
    if equation.primitive in EXPANSIONS:  # a Tessera op: products of an operand that varies, mostly
        return once * work.rows * work.overhead + ENTRY * _size(equation) * work.chains
    return once * work.passes


def _once(equation: Any) -> float:
    name, size = equation.primitive.name, _size(equation)
    if name in FREE:
        return 0.0
    if name == "dot_general":
        (left, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return float(size * math.prod(shape[i] for i in left))
    if name == "scan":
        body = equation.params["jaxpr"].jaxpr
        return equation.params["length"] * sum(map(_once, body.eqns))
    if name == "tessera.matmul":
        return float(size * equation.invars[0].aval.shape[-1])
    return size * (FUNCTION if name.removeprefix("tessera.") in FUNCTIONS else ENTRY)


def _size(equation: Any) -> int:
    return sum(math.prod(var.aval.shape) for var in equation.outvars)
