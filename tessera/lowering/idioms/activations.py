"""x Phi(x)  →  tessera.graph.gelu;  x sigmoid(x)  →  tessera.graph.silu.

A gelu is a polynomial in x and in one of erf, erfc and tanh, whose argument is a polynomial in x. So
expressions are multiplied out and compared by coefficients: the order of the factors does not matter, nor
where the 1/2 stands.

An activation that is one node already (relu, tanh, sigmoid) gains nothing alone. `activation_of` names it for
the rule that puts it behind a matrix product.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Var
from xdsl.ir import Block, SSAValue

from tessera.core import compat
from tessera.core.op import registered_op
from tessera.ir.graph import JAX_PREFIX, OP_PREFIX, Node, Return, node_of
from tessera.lowering.idioms.row_statistics import constant
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.match import (
    are_read_elsewhere,
    dtype,
    is_floating,
    made_by,
    nodes_between,
    param,
    shape,
)
from tessera.lowering.rule import Context, Replacement, Rule

# Coefficients by the powers of x and of the transcendental function.
Polynomial = dict[tuple[int, int], float]

HALF = {(1, 0): 0.5, (1, 1): 0.5}  # x (1 + t) / 2
SLOPE = math.sqrt(2.0 / math.pi)
# For each function t(u): what x Phi(x) is in x and t, and what u is in x.
GELUS: Mapping[str, tuple[Polynomial, Polynomial, bool]] = {
    "erf": (HALF, {(1, 0): math.sqrt(0.5)}, False),
    "erfc": ({(1, 1): 0.5}, {(1, 0): -math.sqrt(0.5)}, False),
    "tanh": (HALF, {(1, 0): SLOPE, (3, 0): 0.044715 * SLOPE}, True),
}
BENDS = frozenset(JAX_PREFIX + name for name in GELUS)
DEPTH = 6  # of the products and sums looked into
DEGREE = 3  # that of the polynomial in tanh
X: Polynomial = {(1, 0): 1.0}
BEND: Polynomial = {(0, 1): 1.0}


def match_activation(node: Node, context: Context) -> Replacement | None:
    """Returns gelu or silu in the place of the last node of one."""
    del context
    found = _gelu(node) or _silu(node)
    if found is None:
        return None
    name, x, approximate = found
    inside = nodes_between(node, x)
    build = partial(_activated, name=name, approximate=approximate)
    return Replacement(
        node.results[0],
        (x,),
        build,
        nodes=len(inside),
        reason="one name for its steps",
        shared=are_read_elsewhere(inside, node),
    )


def activation_of(node: Node) -> tuple[str, SSAValue] | None:
    """Returns (its word in an epilogue, what it is applied to) of a node that is an activation.

    A relu must be one whose derivative at 0 is 0 and which keeps NaN, as that of the epilogue.
    """
    if node.name in OPS:
        if node.name == OP_PREFIX + "gelu" and param(node, "approximate"):
            return None
        return node.short_name, node.operands[0]
    if not is_floating(dtype(node.results[0])):
        return None
    if node.name in ("jax.tanh", "jax.logistic"):
        word = "tanh" if node.name == "jax.tanh" else "sigmoid"
        return (word, node.operands[0]) if param(node, "accuracy") is None else None
    if node.name == "jax.custom_jvp_call" and _is_relu(node):
        return "relu", node.operands[0]
    if node.name == "jax.select_n":
        x = _zero_where_not_positive(node)
        return None if x is None else ("relu", x)
    found = _silu(node) if node.name in ("jax.mul", "jax.div") else None
    return None if found is None else found[:2]


OPS = frozenset(OP_PREFIX + name for name in ("relu", "gelu", "silu", "tanh", "sigmoid"))


def _activated(x: jax.Array, *, name: str, approximate: bool) -> jax.Array:
    if name == "gelu":
        return registered_op("gelu")(x, approximate=approximate)
    return registered_op(name)(x)


# -- gelu and silu -------------------------------------------------------------------------------------


def _gelu(node: Node) -> tuple[str, SSAValue, bool] | None:
    value = node.results[0]
    if node.name not in ("jax.mul", "jax.div") or not _is_float(value):
        return None
    if not _may_hold_bend(value):
        return None
    leaves = list(_leaves(value))
    bends = [leaf for leaf in leaves if made_by(leaf, *GELUS) is not None]
    if len(bends) != 1:
        return None
    bend = made_by(bends[0], *GELUS)
    assert bend is not None
    outer, inner, approximate = GELUS[bend.short_name]
    for x in dict.fromkeys(_factors(value)):
        if shape(x) != shape(value) or dtype(x) != dtype(value):
            continue
        if not _same(_polynomial(value, {x: X, bends[0]: BEND}), outer, dtype(value)):
            continue
        if _same(_polynomial(bend.operands[0], {x: X}), inner, dtype(value)):
            return "gelu", x, approximate
    return None


def _silu(node: Node) -> tuple[str, SSAValue, bool] | None:
    value = node.results[0]
    if node.name not in ("jax.mul", "jax.div") or not _is_float(value):
        return None
    a, b = node.operands
    if node.name == "jax.div":
        return ("silu", a, False) if _argument_of_logit(b) is a else None
    for x, gate in ((a, b), (b, a)):
        if _argument_of_sigmoid(gate) is x:
            return "silu", x, False
    return None


def _argument_of_sigmoid(value: SSAValue) -> SSAValue | None:
    node = made_by(value, "logistic", "div")
    if node is None:
        return None
    if node.short_name == "logistic":
        return node.operands[0]
    return _argument_of_logit(node.operands[1]) if constant(node.operands[0]) == 1.0 else None


def _argument_of_logit(value: SSAValue) -> SSAValue | None:
    """Returns x if a value is 1 + exp(-x)."""
    total = made_by(value, "add")
    if total is None:
        return None
    for one, other in (total.operands, reversed(total.operands)):
        power = made_by(other, "exp") if constant(one) == 1.0 else None
        negative = None if power is None else made_by(power.operands[0], "neg")
        if negative is not None:
            return negative.operands[0]
    return None


# -- polynomials ---------------------------------------------------------------------------------------


def _may_hold_bend(value: SSAValue, depth: int = DEPTH, sums: int = 1) -> bool:
    """Returns whether erf, erfc or tanh is among the factors of a value, or in a sum among them."""
    node = node_of(value)
    if node is None or node.name in BENDS or depth == 0:
        return node is not None and node.name in BENDS
    if node.name == "jax.add":
        sums -= 1
    elif node.name not in ("jax.mul", "jax.div"):
        return False
    return sums >= 0 and any(_may_hold_bend(x, depth - 1, sums) for x in node.operands)


def _leaves(value: SSAValue, depth: int = DEPTH) -> Iterator[SSAValue]:
    """Yields what a value is a product and sum of, numbers left out."""
    node = made_by(value, "mul", "div", "add") if depth else None
    if node is None:
        if constant(value) is None:
            yield value
        return
    for x in node.operands:
        yield from _leaves(x, depth - 1)


def _factors(value: SSAValue, depth: int = DEPTH) -> Iterator[SSAValue]:
    """Yields every value that is multiplied in, a product before what it is made of."""
    node = made_by(value, "mul", "div") if depth else None
    if node is not None:
        for x in node.operands[: 1 if node.short_name == "div" else 2]:
            yield x
            yield from _factors(x, depth - 1)


def _polynomial(
    value: SSAValue, known: dict[SSAValue, Polynomial | None], depth: int = 2 * DEPTH
) -> Polynomial | None:
    """Returns a value as a polynomial in those known, which are added to, or None if it is none."""
    if value not in known:
        found = _read_polynomial(value, known, depth)
        small = found is not None and max(map(sum, found), default=0) <= DEGREE
        known[value] = found if small else None
    return known[value]


def _read_polynomial(
    value: SSAValue, known: dict[SSAValue, Polynomial | None], depth: int
) -> Polynomial | None:
    fixed = constant(value)
    if fixed is not None:
        return {(0, 0): fixed}
    node = made_by(value, *ARITHMETIC) if depth else None
    if node is None:
        return None
    sides: list[Polynomial] = []
    for operand in node.operands:
        side = _polynomial(operand, known, depth - 1)
        if side is None:
            return None
        sides.append(side)
    return _combined(node, sides)


ARITHMETIC = ("mul", "div", "add", "sub", "neg", "square", "integer_pow")


def _combined(node: Node, sides: list[Polynomial]) -> Polynomial | None:
    match node.short_name:
        case "mul":
            return _times(sides[0], sides[1])
        case "div":
            divisor = sides[1].get((0, 0), 0.0)
            plain = set(sides[1]) == {(0, 0)} and divisor != 0.0
            return _times(sides[0], {(0, 0): 1.0 / divisor}) if plain else None
        case "add":
            return _plus(sides[0], sides[1])
        case "sub":
            return _plus(sides[0], _times(sides[1], {(0, 0): -1.0}))
        case "neg":
            return _times(sides[0], {(0, 0): -1.0})
        case _:
            power = 2 if node.short_name == "square" else int(param(node, "y"))
            return _power(sides[0], power) if 1 <= power <= 3 else None


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    product: Polynomial = {}
    for (i, j), p in a.items():
        for (k, m), q in b.items():
            product[i + k, j + m] = product.get((i + k, j + m), 0.0) + p * q
    return product


def _plus(a: Polynomial, b: Polynomial) -> Polynomial:
    return {key: a.get(key, 0.0) + b.get(key, 0.0) for key in {**a, **b}}


def _power(a: Polynomial, exponent: int) -> Polynomial:
    result = a
    for _ in range(exponent - 1):
        result = _times(result, a)
    return result


def _same(found: Polynomial | None, wanted: Polynomial, of: Any) -> bool:
    """Returns whether two polynomials are equal, to the rounding of their constants in a dtype."""
    return found is not None and all(
        abs(found.get(key, 0.0) - wanted.get(key, 0.0))
        <= _rounding(key, of) * abs(wanted.get(key, 0.0))
        for key in {**found, **wanted}
    )


def _rounding(power: tuple[int, int], of: Any) -> float:
    """Returns by how much, relatively, rounding its constants to a dtype may change a coefficient."""
    eps = float(jnp.finfo(of).eps)
    if jnp.finfo(of).bits > 16:
        return 4 * eps  # people write as few digits as matter, and products are rounded once more
    return eps if power[0] == 3 else eps / 2  # that of the cube has two constants


# -- relu ----------------------------------------------------------------------------------------------


def _zero_where_not_positive(node: Node) -> SSAValue | None:
    """Returns x of `where(x <= 0, 0, x)`; `where(x > 0, x, 0)` would make NaN 0."""
    if len(node.operands) != 3:
        return None
    test = made_by(node.operands[0], "le")
    x, zero = node.operands[1], node.operands[2]
    if test is None or constant(zero) != 0.0:
        return None
    return x if test.operands[0] is x and constant(test.operands[1]) == 0.0 else None


def _is_relu(node: Node) -> bool:
    """Returns whether a call with a derivative of its own is max(x, 0) with derivative 0 at 0."""
    if len(node.operands) != 1 or len(node.regions) != 1 or node.equation is None:
        return False
    block = node.regions[0].block
    peak = _result_of(block, "max")
    if peak is None:
        return False
    x, other = peak.operands
    if x is not block.args[0]:
        x, other = other, x
    if x is not block.args[0] or constant(other) != 0.0:
        return False
    return _derivative_is_a_step(_Equation(node.equation))


class _Equation:
    """An equation as a key: equal to another that calls the same functions at the same types."""

    def __init__(self, equation: Any):
        self.equation = equation
        types = tuple(v.aval for v in equation.invars)
        self._key = (*(equation.params[k] for k in ("call_jaxpr", "jvp_jaxpr_fun")), types)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Equation) and self._key == other._key


@lru_cache(256)
def _derivative_is_a_step(held: _Equation) -> bool:
    """Returns whether the derivative of a call is select(x > 0, t, 0)."""
    equation = held.equation

    def tangent(x: Any, t: Any) -> Any:
        return jax.jvp(partial(_applied, equation), (x,), (t,))[1]

    (aval,) = (v.aval for v in equation.invars)
    block = _only_block(capture(jax.make_jaxpr(tangent)(aval, aval)))
    chosen = _result_of(block, "select_n")
    if chosen is None or len(chosen.operands) != 3:
        return False
    test = made_by(chosen.operands[0], "gt")
    zero, moved = chosen.operands[1:]
    x, t = block.args
    positive = test is not None and test.operands[0] is x and constant(test.operands[1]) == 0.0
    return positive and constant(zero) == 0.0 and moved is t


def _applied(equation: Any, x: Any) -> Any:
    argument, result = Var(equation.invars[0].aval), Var(equation.outvars[0].aval)
    call = equation.replace(invars=[argument], outvars=[result])
    origin, _ = compat.opened(equation.params["call_jaxpr"])
    traced = compat.closed_jaxpr([argument], [result], [call], [], origin)
    return compat.evaluate(traced.jaxpr, traced.consts, x)[0]


def _only_block(module: Any) -> Block:
    (function,) = module.body.block.ops
    return function.regions[0].block


def _result_of(block: Block, name: str) -> Node | None:
    """Returns the node of this name that makes the only result of a block."""
    end = block.last_op
    if not isinstance(end, Return) or len(end.operands) != 1:
        return None
    return made_by(end.operands[0], name)


# -- whether it should be raised -----------------------------------------------------------------------


def _is_float(value: SSAValue) -> bool:
    return is_floating(dtype(value))


ACTIVATIONS = Rule("activation", frozenset({"jax.mul", "jax.div"}), match_activation)
