"""The operands of a Tessera op by name, those that are there."""

from xdsl.dialects.builtin import ArrayAttr, IntegerAttr
from xdsl.ir import SSAValue

from tessera.core.op import registered_op
from tessera.ir.graph import Node


def operands_of(node: Node) -> dict[str, SSAValue]:
    """Returns the operands of a node by the parameter names of its op; an absent one has no entry."""
    names = registered_op(node.short_name).operand_names
    present = node.attributes.get("present")
    if isinstance(present, ArrayAttr):
        there = [isinstance(x, IntegerAttr) and x.value.data != 0 for x in present.data]
        names = tuple(name for name, is_there in zip(names, there, strict=True) if is_there)
    return dict(zip(names, node.operands, strict=False))
