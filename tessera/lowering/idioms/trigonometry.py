"""sin x  →  tessera.graph.sin,  cos x  →  tessera.graph.cos, where the op has something faster than XLA's.

The ops say so themselves: on CPU a polynomial takes the place of a scalar routine for fp32, bf16 and f16
arrays of some thousand elements. Smaller ones, fp64 and other platforms keep the plain node and leave no
record.
"""

from functools import partial

import jax
import jax.numpy as jnp

from tessera.core.op import registered_op
from tessera.ir.graph import Node, jax_type
from tessera.lowering.match import param, shape
from tessera.lowering.rule import Context, Replacement, Rule


def match_trigonometry(node: Node, context: Context) -> Replacement | None:
    """Returns the op in the place of a sine or cosine that it computes faster on the device."""
    (x,) = node.operands
    if not all(isinstance(size, int) for size in shape(x)) or param(node, "accuracy") is not None:
        return None
    kind = jax_type(x)
    if not jnp.issubdtype(kind.dtype, jnp.floating):
        return None
    platform = context.device.platform
    found = registered_op(node.short_name).algorithms.values()
    faster = [a.name for a in found if platform in a.platforms and a.when[platform](kind)]
    if not faster:
        return None
    build = partial(_applied, name=node.short_name)
    reason = f"its {faster[0]} is faster than XLA's routine on {platform}"
    return Replacement(node.results[0], (x,), build, reason=reason)


def _applied(x: jax.Array, *, name: str) -> jax.Array:
    return registered_op(name)(x)


TRIGONOMETRY = Rule("trigonometry", frozenset({"jax.sin", "jax.cos"}), match_trigonometry)
