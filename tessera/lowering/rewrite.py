"""How a pass changes a graph: nodes are replaced by nodes traced from JAX code.

A rewrite names a value, the values it is to be computed from, and a function of them. The function is
traced with the types the values have, and the equations found go where the old node stood. So a rewrite
cannot make a node that JAX would not make, under whatever version of JAX is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.ir.graph import Node, blocks_of, function_of, jax_type, may_move
from tessera.lowering.cost import Device
from tessera.lowering.jaxpr_to_graph import add_equations

TRACES = 4096  # traced replacements kept; a deep model repeats a few


@dataclass(frozen=True)
class Record:
    """What a pass did, or found and left alone: `applied` tells which, `reason` why."""

    name: str
    applied: bool
    reason: str
    where: str
    nodes: int = 1


@dataclass
class Context:
    """What a pass may ask: the device compiled for. What it leaves: records."""

    device: Device
    records: list[Record] = field(default_factory=list[Record])


@dataclass(frozen=True)
class Replacement:
    """A value and what is to compute it: `build(*operands)`, a hashable function of arrays to one array.

    `pays` is empty if the replacement should be made, else the reason to keep what is there. `nodes` counts
    the equations replaced.
    """

    value: SSAValue
    operands: tuple[SSAValue, ...]
    build: Callable[..., jax.Array]
    nodes: int = 1
    kept_because: str = ""
    reason: str = ""


# Finds what a node ends, or None.
Match = Callable[[Node, Context], Replacement | None]


@dataclass(frozen=True)
class Rule:
    """A named rewrite: `match` is asked about every node called one of `roots`."""

    name: str
    roots: frozenset[str]
    match: Match


def apply_rule(rule: Rule, module: ModuleOp, context: Context) -> None:
    """Applies a rule everywhere in a module, and records each place it was applied or declined."""
    for block in blocks_of(function_of(module)):
        for op in tuple(block.ops):
            if not isinstance(op, Node) or op.name not in rule.roots or op.parent is None:
                continue
            if op.equation is None:
                continue  # text does not say enough to rewrite by
            found = rule.match(op, context)
            if found is None:
                continue
            where = location_of(op)
            if not found.kept_because:
                replace(found, op)
            reason = found.kept_because or found.reason
            context.records.append(
                Record(rule.name, not found.kept_because, reason, where, found.nodes)
            )


def replace(found: Replacement, anchor: Node) -> None:
    """Puts what a replacement computes before a node, and its result in the place of the value."""
    types = tuple(jax_type(x) for x in found.operands)
    wanted = jax_type(found.value)
    assert anchor.equation is not None
    traced = _traced(found.build, types, wanted, anchor.equation.ctx)
    jaxpr, consts = compat.opened(traced)
    block = Block()
    (result,) = add_equations(block, jaxpr, consts, found.operands)
    for op in tuple(block.ops):
        op.detach()
        Rewriter.insert_op(op, InsertPoint.before(anchor))
    result.name_hint = result.name_hint or found.value.name_hint
    found.value.replace_all_uses_with(result)
    erase_if_dead(anchor)


@lru_cache(TRACES)
def _traced(
    build: Callable[..., Any], types: tuple[Any, ...], wanted: Any, equation_context: Any
) -> Any:
    def run(*operands: Any) -> Any:
        result = build(*operands)
        if result.shape != wanted.shape or result.dtype != wanted.dtype:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"a rewrite gives {jax.typeof(result)} in the place of {wanted}.",
            )
        return result

    with equation_context.manager:  # the mesh around the equation, its compute type, its metadata
        return jax.make_jaxpr(run)(*types)


def erase_if_dead(op: Operation) -> None:
    """Removes a node nobody reads, and then those only it read."""
    waiting = [op]
    while waiting:
        dead = waiting.pop()
        if dead.parent is None or any(r.uses for r in dead.results) or not may_move(dead):
            continue
        owners = [x.owner for x in dead.operands]
        block = dead.parent
        dead.detach()
        dead.erase()
        waiting += [x for x in owners if isinstance(x, Operation) and x.parent is block]


def location_of(op: Operation) -> str:
    """Returns `file:line (function)` of the user's code a node came from, empty where unknown."""
    if isinstance(op, Node) and op.equation is not None:
        return compat.source_of(op.equation)
    return ""
