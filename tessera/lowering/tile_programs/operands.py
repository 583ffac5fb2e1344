"""What a node reads: the operands of a Tessera op by name, and the numbers among them."""

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntegerAttr, StringAttr
from xdsl.ir import SSAValue

from tessera.core.op import registered_op
from tessera.ir.graph import Constant, Node


def operands_of(node: Node) -> dict[str, SSAValue]:
    """Returns the operands of a node by the parameter names of its op; an absent one has no entry.

    `<op>_forward`, which gives back what a backward needs too, has the operands of its op.
    """
    names = registered_op(node.short_name.removesuffix("_forward")).operand_names
    present = node.attributes.get("present")
    if isinstance(present, ArrayAttr):
        there = [isinstance(x, IntegerAttr) and x.value.data != 0 for x in present.data]
        names = tuple(name for name, is_there in zip(names, there, strict=True) if is_there)
    return dict(zip(names, node.operands, strict=False))


def number_of(constant: Constant) -> float | None:
    """Returns the number a constant is, or None for an array and for what is no real number."""
    value = constant.value
    if isinstance(value, FloatAttr | IntegerAttr):
        return value.value.data
    if not isinstance(value, StringAttr):
        return None
    try:
        return float(value.data)  # inf and nan, which MLIR has no digits for
    except ValueError:
        return None
