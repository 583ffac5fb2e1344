"""sin x  →  tessera.graph.sin,  atan2 y x  →  tessera.graph.atan2, where the op is faster than XLA's routine.

Likewise cos, tan, asin, acos and cbrt. The ops say so themselves: on CPU a polynomial takes the place of a
scalar routine for fp32, bf16 and f16 arrays, of some thousand elements for sin, cos and tan. Smaller ones,
fp64 and other platforms keep the plain node and leave no record.
"""

from functools import partial

import jax
import jax.numpy as jnp

from tessera.core.op import registered_op
from tessera.ir.graph import Node, jax_type
from tessera.lowering.match import shape
from tessera.lowering.rule import Context, Replacement, Rule


def match_trigonometry(node: Node, context: Context) -> Replacement | None:
    """Returns the op in the place of a function that it computes faster on the device."""
    sizes = [size for x in node.operands for size in shape(x)]
    if not all(isinstance(size, int) for size in sizes) or _names_an_accuracy(node):
        return None
    kinds = [jax_type(x) for x in node.operands]
    if not all(jnp.issubdtype(kind.dtype, jnp.floating) for kind in kinds):
        return None
    platform = context.device.platform
    found = registered_op(node.short_name).algorithms.values()
    faster = [a.name for a in found if platform in a.platforms and a.when[platform](*kinds)]
    if not faster:
        return None
    build = partial(_applied, name=node.short_name)
    reason = f"its {faster[0]} is faster than XLA's routine on {platform}"
    return Replacement(node.results[0], tuple(node.operands), build, reason=reason)


def _names_an_accuracy(node: Node) -> bool:
    assert node.equation is not None
    return node.equation.params.get("accuracy") is not None  # some of the primitives have none


def _applied(*operands: jax.Array, name: str) -> jax.Array:
    return registered_op(name)(*operands)


FUNCTIONS = ("sin", "cos", "tan", "asin", "acos", "atan2", "cbrt")
TRIGONOMETRY = Rule(
    "trigonometry", frozenset(f"jax.{name}" for name in FUNCTIONS), match_trigonometry
)
