"""Captures a function, applies rules to its graph and runs the result: what tests of idioms share."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

import tessera.op  # noqa: F401 - registers the ops that rules name
from tessera.core import compat
from tessera.lowering.cost import Device
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rewrite import Context, Record, Rule, apply_rule

CPU = Device("cpu", "test", 1e11, 1e10, 2**25)


def raised(function: Callable[..., Any], *args: Any, rules: Sequence[Rule]) -> Any:
    """Returns the graph of function(*args) after the rules, in order."""
    return raised_with_records(function, *args, rules=rules)[0]


def raised_with_records(
    function: Callable[..., Any], *args: Any, rules: Sequence[Rule], device: Device = CPU
) -> tuple[Any, list[Record]]:
    """Returns the graph of function(*args) after the rules, and what they did or declined."""
    module = capture(jax.make_jaxpr(function)(*args))
    context = Context(device)
    for rule in rules:
        apply_rule(rule, module, context)
    return module, context.records


def run(module: Any, *args: Any) -> Any:
    """Returns what a graph computes for the leaves of `args`: one array, or a list of several."""
    traced = emit(module)
    results = compat.evaluate(traced.jaxpr, traced.consts, *jax.tree.leaves(args))
    return results[0] if len(results) == 1 else results


def names(module: Any) -> list[str]:
    """Returns the names of all nodes of a graph, in order."""
    return [op.name for op in module.walk()]
