"""Reading a graph backwards: what made a value, seen through the steps that only rearrange it.

A rule asks about every node of its roots, so what it asks looks back a bounded number of steps: over a
program of any length its work is linear, and no walk needs a stack as deep as the program.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from xdsl.ir import SSAValue

from tessera.ir.graph import Node, constant_of, jax_type, node_of

# Steps that change neither a value's elements nor their order, beside the axes of size 1 and repetition.
VIEWS = frozenset(
    {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "stop_gradient", "copy"}
)
NUMBER_VIEWS = VIEWS | {"convert_element_type"}  # behind which a number is still one number
MOST_VIEWS = 32  # steps looked through in a row; an idiom has a handful between two of its nodes
KEPT = 256  # dtypes that were asked about


def made_by(value: SSAValue, *names: str) -> Node | None:
    """Returns the node that made a value if it is `jax.<name>` for one of the names.

    For Tessera ops give the full name, `tessera.graph.softmax`.
    """
    node = node_of(value)
    if node is None:
        return None
    return node if (node.name if node.is_op else node.short_name) in names else None


def through(value: SSAValue, names: frozenset[str] = VIEWS) -> SSAValue:
    """Returns the value seen behind steps of these names, `MOST_VIEWS` of them at most."""
    for _ in range(MOST_VIEWS):
        node = node_of(value)
        if node is None or node.is_op or node.short_name not in names:
            break
        value = node.operands[0]
    return value


def number(value: SSAValue) -> float | None:
    """Returns the number a value is a constant (or a broadcast) of, or None if it is not one."""
    value = through(value, NUMBER_VIEWS)
    constant = constant_of(value)
    if constant is None:
        return None
    atom = constant.atom
    held = atom.val if isinstance(atom, Literal) else atom
    if held is None or isinstance(held, jax.Array) or np.shape(held) != ():
        return None
    if jnp.issubdtype(jax_type(value).dtype, jnp.complexfloating):
        return None
    return float(held)


def pair(node: Node, *names: str) -> tuple[Node, SSAValue] | None:
    """Returns (the operand made by `names`, the other operand) of a commutative node, in either order."""
    a, b = node.operands
    for one, other in ((a, b), (b, a)):
        found = made_by(one, *names)
        if found is not None:
            return found, other
    return None


def scaled(node: Node) -> tuple[SSAValue, float] | None:
    """Returns (x, c) if a node is x * c, c * x or x / c for a number c."""
    if node.name == "jax.mul":
        a, b = node.operands
        for x, c in ((a, number(b)), (b, number(a))):
            if c is not None:
                return x, c
    if node.name == "jax.div":
        c = number(node.operands[1])
        if c:
            return node.operands[0], 1.0 / c
    return None


def param(node: Node, name: str) -> Any:
    """Returns a parameter of the equation a node was captured from."""
    assert node.equation is not None, f"{node.name} has no equation"
    return node.equation.params[name]


def shape(value: SSAValue) -> tuple[Any, ...]:
    """Returns the shape of a value."""
    return jax_type(value).shape


def dtype(value: SSAValue) -> Any:
    """Returns the dtype of a value."""
    return jax_type(value).dtype


@lru_cache(KEPT)
def is_floating(of: Any) -> bool:
    """Returns whether a dtype is one of real floating-point numbers.

    >>> is_floating(jnp.dtype("bfloat16")), is_floating(jnp.dtype("complex64"))
    (True, False)
    """
    return bool(jnp.issubdtype(of, jnp.floating))


def nodes_between(node: Node, x: SSAValue, *others: SSAValue) -> list[Node]:
    """Returns the nodes that lead from x to a node, the node included, without looking behind `others`.

    They come in an order in which each stands after what it reads.
    """
    depends: dict[SSAValue, bool] = {**dict.fromkeys(others, False), x: True}
    found: list[Node] = []
    waiting: list[SSAValue] = [node.results[0]]
    while waiting:
        value = waiting[-1]
        owner = node_of(value)
        unknown = [] if owner is None else [v for v in owner.operands if v not in depends]
        if value not in depends and unknown:
            waiting += reversed(unknown)
            continue
        waiting.pop()
        if value not in depends:
            depends[value] = owner is not None and any(depends[v] for v in owner.operands)
            if owner is not None and depends[value]:
                found.append(owner)
    return found


def are_read_elsewhere(inside: Sequence[Node], node: Node) -> bool:
    """Returns whether a node outside reads a result of one of `inside` other than `node`."""
    members = set(inside)
    results = [r for inner in inside if inner is not node for r in inner.results]
    return any(use.operation not in members for r in results for use in r.uses)
