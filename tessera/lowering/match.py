"""Reading a graph backwards: what made a value, seen through the steps that only rearrange it."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from xdsl.ir import OpResult, SSAValue

from tessera.ir.graph import JAX_PREFIX, Constant, Node, jax_type

# Steps that change neither a value's elements nor their order, beside the axes of size 1 and repetition.
VIEWS = frozenset(
    {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "stop_gradient", "copy"}
)


def made_by(value: SSAValue, *names: str) -> Node | None:
    """Returns the node that made a value if it is `jax.<name>` for one of the names.

    For Tessera ops give the full name, `tessera.graph.softmax`.
    """
    if not isinstance(value, OpResult) or not isinstance(value.op, Node):
        return None
    node = value.op
    short = node.name.removeprefix(JAX_PREFIX)
    return node if short in names else None


def through(value: SSAValue, names: frozenset[str] = VIEWS) -> SSAValue:
    """Returns the value seen behind steps of these names."""
    node = made_by(value, *names)
    while node is not None:
        value = node.operands[0]
        node = made_by(value, *names)
    return value


def number(value: SSAValue) -> float | None:
    """Returns the number a value is a constant (or a broadcast) of, or None if it is not one."""
    value = through(value, VIEWS | {"convert_element_type"})
    if not isinstance(value, OpResult) or not isinstance(value.op, Constant):
        return None
    atom = value.op.atom
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
    return tuple(jax_type(value).shape)


def dtype(value: SSAValue) -> Any:
    """Returns the dtype of a value."""
    return jax_type(value).dtype


def nodes_between(node: Node, x: SSAValue, *others: SSAValue) -> list[Node]:
    """Returns the nodes that lead from x to a node, the node included, without looking behind `others`."""
    depends: dict[SSAValue, bool] = {**dict.fromkeys(others, False), x: True}
    found: list[Node] = []

    def visit(value: SSAValue) -> bool:
        if value not in depends:
            owner = value.owner
            depends[value] = False
            if isinstance(owner, Node) and True in [visit(v) for v in owner.operands]:
                depends[value] = True
                found.append(owner)
        return depends[value]

    visit(node.results[0])
    return found


def are_read_elsewhere(inside: Sequence[Node], node: Node) -> bool:
    """Returns whether a node outside reads a result of one of `inside` other than `node`."""
    results = [r for inner in inside if inner is not node for r in inner.results]
    return any(use.operation not in inside for r in results for use in r.uses)
