"""How a pass changes a graph: nodes are replaced by nodes traced from JAX code.

A rewrite names a value, the values it is to be computed from, and a function of them. The function is
traced with the types the values have, and the equations found go where the old node stood. So a rewrite
cannot make a node that JAX would not make, under whatever version of JAX is installed.
"""

from dataclasses import replace as changed
from functools import lru_cache
from typing import Any

import jax
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block
from xdsl.rewriter import InsertPoint, Rewriter

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.ir.graph import Node, blocks_of, function_of, is_node, jax_type, ops_of
from tessera.lowering.backward import Surroundings, replace_with_backward, steps_between
from tessera.lowering.jaxpr_to_graph import add_equations
from tessera.lowering.rule import (
    Build,
    Context,
    Record,
    Replacement,
    Rule,
    attribute_to,
    erase_if_dead,
    location_of,
)

TRACES = 4096  # traced replacements kept; a deep model repeats a few
SHARED = "a step of it is read elsewhere too"
WEAK = "its type is weak, and an op's is not"
LABELS = "its steps carry different labels, such as those of streams"
PER_SHARD = "it mixes values of one shard with values of all, inside shard_map"
WITH_BACKWARD = "with its backward"


def apply_rule(rule: Rule, module: ModuleOp, context: Context) -> bool:
    """Applies a rule everywhere in a module, and records each place it was applied or declined.

    Returns whether it was applied anywhere.
    """
    before = len(context.records)
    for block in blocks_of(function_of(module)):
        around = Surroundings(block)
        for op in ops_of(block):
            if op.name not in rule.roots or not is_node(op) or op.parent is None:
                continue
            if op.equation is None:
                continue  # text does not say enough to rewrite by
            found = rule.match(op, context)
            if found is not None:
                where = location_of(op)
                found = _applied(found, op, around)
                reason = found.kept_because or found.reason
                record = Record(rule.name, not found.kept_because, reason, where, found.nodes)
                context.records.append(record)
    return any(record.applied for record in context.records[before:])


def _applied(found: Replacement, op: Node, around: Surroundings) -> Replacement:
    """Makes a replacement unless it says not to, and returns it with what came of it."""
    if found.kept_because:
        return found
    if jax_type(found.value).weak_type:
        return changed(found, kept_because=WEAK)
    if not _share_a_label(found, op):
        return changed(found, kept_because=LABELS)
    assert op.equation is not None
    if compat.is_per_shard(op.equation):
        types = [jax_type(x) for x in found.operands]
        if not compat.varies_alike(_trace(found, op), types):
            return changed(found, kept_because=PER_SHARD)
    if not found.shared:
        replace(found, op)
        return found
    if replace_with_backward(found, op, around):
        return changed(found, reason=WITH_BACKWARD)
    return changed(found, kept_because=SHARED)


def _share_a_label(found: Replacement, op: Node) -> bool:
    """Whether the steps replaced have one context: no stream ends and no metadata changes among them."""
    assert op.equation is not None
    steps = steps_between(found.value, found.operands)
    contexts = [node.equation.ctx for node in steps if node.equation is not None]
    return all(context == op.equation.ctx for context in contexts)


def replace(found: Replacement, anchor: Node) -> None:
    """Puts what a replacement computes before a node, and its result in the place of the value."""
    jaxpr, consts = compat.opened(_trace(found, anchor))
    block = Block()
    (result,) = add_equations(block, jaxpr, consts, found.operands)
    for op in ops_of(block):
        op.detach()
        attribute_to(op, anchor)
        Rewriter.insert_op(op, InsertPoint.before(anchor))
    result.name_hint = result.name_hint or found.value.name_hint
    found.value.replace_all_uses_with(result)
    erase_if_dead(anchor)


def _trace(found: Replacement, anchor: Node) -> compat.ClosedJaxpr:
    assert anchor.equation is not None
    types = tuple(jax_type(x) for x in found.operands)
    wanted = jax_type(found.value)
    return _traced(Build.of(found.build), types, wanted, anchor.equation.ctx)


@lru_cache(TRACES)
def _traced(build: Build, types: tuple[Any, ...], wanted: Any, equation_context: Any) -> Any:
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
