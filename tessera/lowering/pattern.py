"""The backward of an idiom as JAX writes it: a block of nodes to be looked for in a graph.

The steps that compute a value from operands are put together into a function, from their own equations, and
JAX differentiates it. Two layers of a model have the same steps, so they share the block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
from jax.extend.core import JaxprEqn, Literal, Var
from xdsl.ir import Block, SSAValue

from tessera.core import compat
from tessera.ir.graph import Node, Return, constant_of, jax_type
from tessera.ir.types import type_of
from tessera.lowering.jaxpr_to_graph import add_equations
from tessera.lowering.simplify import constant_key, fold_block, merge_block, prune_block

KEPT = 256  # patterns, and traced derivatives of ops

# What an input of a step is: ("operand", index), ("step", index, result) or a constant.
Source = tuple[Any, ...]


@dataclass(frozen=True)
class Step:
    """One equation of an idiom and where its inputs come from; constants are compared by their value."""

    equation: JaxprEqn
    sources: tuple[Source, ...]
    key: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def pattern_of(
    steps: Sequence[Node], operands: Sequence[SSAValue], value: SSAValue, moving: tuple[int, ...]
) -> Block:
    """Returns the block of an idiom's value and gradients.

    Its arguments are the operands and the cotangent of the value; it ends in a return of the value, then the
    gradient of each operand of `moving`. It must not be changed.
    """
    places: dict[SSAValue, Source] = {x: ("operand", i) for i, x in enumerate(operands)}
    described: list[Step] = []
    for node in steps:
        described.append(_step(node, places))
        for k, result in enumerate(node.results):
            places[result] = ("step", len(described) - 1, k)
    types = tuple(map(jax_type, operands))
    context = described[-1].equation.ctx
    try:
        return _block(tuple(described), types, jax_type(value), places[value], moving, context)
    except TypeError:  # a parameter of an equation has no hash
        return _block.__wrapped__(
            tuple(described), types, jax_type(value), places[value], moving, context
        )


def _step(node: Node, places: dict[SSAValue, Source]) -> Step:
    assert node.equation is not None
    sources = tuple(_source(x, places) for x in node.operands)
    told = tuple(source[:2] if source[0] == "constant" else source for source in sources)
    params = tuple(sorted(node.equation.params.items()))
    return Step(node.equation, sources, (node.equation.primitive, params, told))


def _source(value: SSAValue, places: Mapping[SSAValue, Source]) -> Source:
    constant = constant_of(value)
    if constant is None:
        return places[value]
    return ("constant", constant_key(constant), constant.atom, constant.aval)


@lru_cache(KEPT)
def _block(
    steps: tuple[Step, ...],
    types: tuple[Any, ...],
    wanted: Any,
    value: Source,
    moving: tuple[int, ...],
    context: Any,
) -> Block:
    """Returns a traced derivative as a block, simplified as the graph it is looked for in has been."""
    with context.manager:
        forward = _as_function(steps, types, value)
        traced = jax.make_jaxpr(with_gradients(forward, moving))(types, wanted)
    jaxpr, consts = compat.opened(traced)
    block = Block(arg_types=[type_of(v.aval) for v in jaxpr.invars])
    results = add_equations(block, jaxpr, consts, block.args)
    block.add_op(Return.create(operands=results))
    fold_block(block)
    merge_block(block)
    prune_block(block)
    return block


def with_gradients(
    forward: Callable[..., Any], moving: Sequence[int]
) -> Callable[[Sequence[Any], Any], list[Any]]:
    """Returns a function of (operands, cotangent): the value, then a gradient for each of `moving`."""

    def run(operands: Sequence[Any], ct: Any) -> list[Any]:
        def of_moving(*xs: Any) -> Any:
            mixed = list(operands)
            for i, x in zip(moving, xs, strict=True):
                mixed[i] = x
            return forward(*mixed)

        value, pull = jax.vjp(of_moving, *(operands[i] for i in moving))
        return [value, *pull(ct)]

    return run


def _as_function(steps: Sequence[Step], types: Sequence[Any], value: Source) -> Callable[..., Any]:
    """Returns the steps as a function of the operands."""
    invars = [Var(aval) for aval in types]
    made: list[list[Var]] = []
    constants: list[tuple[Var, Any]] = []

    def atom(source: Source) -> Any:
        kind, first, *rest = source
        if kind == "operand":
            return invars[first]
        if kind == "step":
            return made[first][rest[0]]
        held, aval = rest
        if isinstance(held, Literal):
            return held
        constants.append((Var(aval), held))
        return constants[-1][0]

    equations: list[JaxprEqn] = []
    for step in steps:
        operands = [atom(source) for source in step.sources]
        made.append([Var(v.aval) for v in step.equation.outvars])
        equations.append(step.equation.replace(invars=operands, outvars=made[-1]))
    jaxpr = compat.new_jaxpr([v for v, _ in constants], invars, [atom(value)], equations)
    arrays = [array for _, array in constants]
    return lambda *xs: compat.evaluate(jaxpr, arrays, *xs)[0]
