"""Three passes that every other one may rely on: fold, cse, dce. None of them changes a bit of a result."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from tessera.ir.graph import (
    Constant,
    Node,
    blocks_of,
    constant_of,
    effect_of,
    function_of,
    is_node,
    jax_type,
    ops_of,
)
from tessera.lowering.jaxpr_to_graph import make_constant
from tessera.lowering.match import made_by, number, param
from tessera.lowering.rule import Context, erase_if_dead


def fold(module: ModuleOp, context: Context) -> bool:
    """Replaces a node that returns one of its operands by that operand.

    transpose [1, 0] (transpose [1, 0] x)  →  x;  x * 1, x / 1, max(-inf, x), a cast or shape it has  →  x
    """
    del context
    return _over_blocks(fold_block, module)


def cse(module: ModuleOp, context: Context) -> bool:
    """Merges pure nodes that compute the same from the same.

    %1 = jax.exp %x;  %2 = jax.exp %x  →  %1 = jax.exp %x
    """
    del context
    return _over_blocks(merge_block, module)


def dce(module: ModuleOp, context: Context) -> bool:
    """Removes nodes nobody reads, unless they have an effect beyond drawing random bits."""
    del context
    return _over_blocks(prune_block, module)


def _over_blocks(change: Callable[[Block], bool], module: ModuleOp) -> bool:
    # A list: every block is to be changed, also after the first in which something was found.
    return True in [change(block) for block in tuple(blocks_of(function_of(module)))]


def fold_block(block: Block) -> bool:
    """Folds the nodes of one block; returns whether there was one to fold."""
    changed = False
    for op in ops_of(block):
        identity = IDENTITIES.get(op.name)
        if identity is None or not is_node(op) or op.equation is None:
            continue
        if op.name == "jax.convert_element_type" and _retyped(op):
            changed = True
            continue
        same = identity(op)
        if same is not None and jax_type(same) == jax_type(op.results[0]):
            op.results[0].replace_all_uses_with(same)
            erase_if_dead(op)
            changed = True
    return changed


def _retyped(op: Node) -> bool:
    """Replaces the cast of a number to a float, or to a strong type of its own dtype, by that number."""
    constant = constant_of(op.operands[0])
    wanted = jax_type(op.results[0])
    if constant is None or not isinstance(constant.atom, Literal):
        return False
    given = constant.aval
    exact = given.dtype == wanted.dtype or _becomes_float(given.dtype, wanted.dtype)
    if not exact or wanted.weak_type or wanted.shape != () or given.sharding != wanted.sharding:
        return False
    held = np.asarray(constant.atom.val, given.dtype)
    with np.errstate(all="ignore"):  # a number out of range becomes infinite
        number = held.astype(wanted.dtype)[()]  # of NumPy's, as Python's own would be weak
    strong = make_constant(Literal(number, wanted), wanted)
    Rewriter.insert_op(strong, InsertPoint.before(op))
    op.results[0].replace_all_uses_with(strong.result)
    erase_if_dead(op)
    return True


def _becomes_float(given: Any, wanted: Any) -> bool:
    real = not jnp.issubdtype(given, jnp.complexfloating)
    return real and jnp.issubdtype(wanted, jnp.inexact)  # both round to nearest, ties to even


# -- identities ----------------------------------------------------------------------------------------


def _operand(op: Node) -> SSAValue:
    return op.operands[0]


def _neutral(left: float | None, right: float) -> Callable[[Node], SSAValue | None]:
    """Returns a test for `right` as second operand or, for a commutative node, `left` as first."""

    def find(op: Node) -> SSAValue | None:
        a, b = op.operands
        if number(b) == right:
            return a
        return b if left is not None and number(a) == left else None

    return find


def _transposed_back(op: Node) -> SSAValue | None:
    inner = made_by(op.operands[0], "transpose")
    outer = param(op, "permutation")
    if inner is None:
        return op.operands[0] if tuple(outer) == tuple(range(len(outer))) else None
    before = param(inner, "permutation")
    composed = [before[i] for i in outer]
    return inner.operands[0] if composed == list(range(len(composed))) else None


# A node whose result has the type of an operand and provably its value. The types are compared afterwards.
IDENTITIES: Mapping[str, Callable[[Node], SSAValue | None]] = {
    "jax.convert_element_type": _operand,
    "jax.reshape": lambda op: op.operands[0] if len(op.operands) == 1 else None,
    "jax.broadcast_in_dim": lambda op: op.operands[0] if len(op.operands) == 1 else None,
    "jax.squeeze": _operand,
    "jax.transpose": _transposed_back,
    "jax.mul": _neutral(1.0, 1.0),
    "jax.div": _neutral(None, 1.0),
    "jax.max": _neutral(float("-inf"), float("-inf")),
    "jax.min": _neutral(float("inf"), float("inf")),
}


# -- common subexpressions -----------------------------------------------------------------------------


def prune_block(block: Block) -> bool:
    """Removes the dead nodes of one block; returns whether there was one."""
    changed = False
    for op in reversed(ops_of(block)):
        if op.parent is not None and (is_node(op) or isinstance(op, Constant)):
            erase_if_dead(op)
            changed = changed or op.parent is None
    return changed


def merge_block(block: Block) -> bool:
    """Merges the equal nodes of one block; returns whether there were any."""
    changed = False
    first: dict[Any, Operation] = {}
    for op in ops_of(block):
        key = key_of(op, op.operands)
        if key is None:
            continue
        earlier = first.setdefault(key, op)
        if earlier is op:
            continue
        for ours, theirs in zip(op.results, earlier.results, strict=True):
            ours.replace_all_uses_with(theirs)
        op.detach()
        op.erase()
        changed = True
    return changed


def key_of(op: Operation, inputs: Iterable[SSAValue]) -> Any:
    """Returns what tells a pure node that reads these inputs from others, None if it may not be merged."""
    if not is_node(op):
        return constant_key(op) if isinstance(op, Constant) else None
    if op.key is None:
        op.key = _key_of_function(op)
    return (op.key, *map(_identity, inputs)) if op.key is not UNLIKE_ANY else None


UNLIKE_ANY = ("unlike any",)  # the key of a node that may not be merged


def _key_of_function(node: Node) -> Any:
    """Returns what tells the function a node computes from others, whatever it reads."""
    if node.regions or effect_of(node) != "pure":
        return UNLIKE_ANY
    if node.equation is None:
        return (node.name, tuple(sorted(node.attributes.items())), tuple(node.result_types))
    key = (node.name, tuple(sorted(node.equation.params.items())), node.equation.ctx)
    try:
        hash(key)
    except TypeError:
        return UNLIKE_ANY
    return key


def _identity(value: SSAValue) -> Any:
    """Returns what tells a value from others; equal constants are one value."""
    constant = constant_of(value)
    return id(value) if constant is None else constant_key(constant)


def constant_key(op: Constant) -> Any:
    """Returns what tells a constant from others: a number's value, an array's identity, and the type."""
    if op.key is None:
        held = op.atom
        name = repr(np.asarray(held.val).item()) if isinstance(held, Literal) else id(held)
        op.key = ("constant", name, op.aval, None if held is not None else id(op))
    return op.key
