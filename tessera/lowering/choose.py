"""Chooses what runs each group, plans its tile, and writes down what it should cost and why.

The roofline says what a group takes at best; a rule of the op, measured per platform, says which formulation
comes closest; a table of measurements, where there is one, overrules both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Operation

from tessera.core.op import REFERENCE, registered_op
from tessera.ir import schedule
from tessera.ir.graph import Node, function_of, pin
from tessera.ir.types import type_of
from tessera.lowering.cost import Cost, bytes_of, flops_of
from tessera.lowering.graph_to_schedule import kind_of
from tessera.lowering.rule import Context

LARGEST_TILE = 128  # rows and columns of a product's block
PRODUCTS = frozenset({"matmul", "dot_general"})


@dataclass(frozen=True)
class Choice:
    """What runs a group and why."""

    runs: str
    reason: str


def choose(module: ModuleOp, context: Context) -> bool:
    """Gives every group its `runs`, `reason`, tile and cost.

    tessera.schedule.fuse {pattern = "flash_attention"}
        →  {pattern = "flash_attention", runs = "tiles", reason = "…", tile = array<i64: 128, 64>, flops = …}
    """
    for group in groups_of(module):
        nodes = list(nodes_of(group))
        found = choice_for(nodes, context)
        attributes = {"runs": found.runs, "reason": found.reason, **_tile(group, nodes)}
        if all(node.equation is not None for node in nodes):
            cost = cost_of_group(group, nodes)
            attributes |= {"flops": cost.flops, "bytes": cost.bytes}
            attributes |= {"seconds": cost.seconds(context.device)}
        for name, value in attributes.items():
            group.attributes[name] = schedule.to_attribute(value)
    return True


def groups_of(module: ModuleOp) -> Iterator[schedule.Group]:
    """Yields the groups of a Schedule module, those in loops included."""
    for block in _blocks(module):
        for op in block.ops:
            if isinstance(op, schedule.Group):
                yield op


def _blocks(module: ModuleOp) -> Iterator[Any]:
    yield function_of(module).block
    for op in function_of(module).block.walk():
        if isinstance(op, Node):
            for region in op.regions:
                yield region.block


def nodes_of(group: schedule.Group) -> Iterator[Node]:
    """Yields the nodes of a group in order."""
    if group.block is not None:
        for op in group.block.ops:
            if isinstance(op, Node):
                yield op


def cost_of_group(group: schedule.Group, nodes: list[Node]) -> Cost:
    """Returns a group's cost: what its nodes compute, and what enters and leaves it once."""
    flops, exact = 0, True
    moved: dict[Any, int] = {}
    made = {id(v) for node in nodes if node.equation for v in node.equation.outvars}
    for node in nodes:
        if node.equation is None:
            continue
        count, known = flops_of(node.equation)
        flops, exact = flops + count, exact and known
        moved.update({id(v): bytes_of(v) for v in node.equation.invars if id(v) not in made})
    yielded = group.block.last_op if group.block is not None else None
    written = sum(_result_bytes(x.owner, x) for x in yielded.operands) if yielded else 0
    return Cost(flops, sum(moved.values()) + written, exact)


def _result_bytes(owner: Any, value: Any) -> int:
    if isinstance(owner, Node) and owner.equation is not None:
        return bytes_of(owner.equation.outvars[value.index])
    return 0


def choice_for(nodes: list[Node], context: Context) -> Choice:
    """Returns what runs a group: an algorithm of its op, or XLA."""
    main = next((n for n in nodes if n.is_op and kind_of(n) == "op"), None)
    main = main or next((n for n in nodes if n.is_op), None)
    if main is None:
        names = sorted({n.name for n in nodes})
        return Choice("xla", f"no Tessera op in it: {', '.join(names[:4])}")
    return _op_choice(main, context)


def _op_choice(node: Node, context: Context) -> Choice:
    name = node.short_name
    if node.equation is None:
        return Choice("xla", "read from text, which does not say every parameter")
    for suffix in ("_forward", "_tangent"):
        name = name.removesuffix(suffix)
    if node.short_name.endswith("_tangent"):
        return Choice("xla", "the tangent map of an op, linear")
    op = registered_op(name)
    measured = context.table.get(signature_of(node, context.device.platform))
    if measured is not None:
        pin(node, measured)
        return Choice("xla" if measured == REFERENCE else measured, "measured fastest here")
    types = [v.aval for v in node.equation.invars]
    found = op.algorithm_for(context.device.platform, types, node.equation.params, split=False)
    if found is not None:
        return Choice(found.name, f"{name} has it for these sizes on {context.device.platform}")
    if not op.algorithms:
        return Choice("xla", f"XLA's own lowering of {name} is the fastest known")
    others = ", ".join(op.algorithms)
    return Choice("xla", f"too small, or not on {context.device.platform}, for {name}'s {others}")


def signature_of(node: Node, platform: str) -> str:
    """Returns what a measurement of an op is filed under: its name, its operands' types, the platform."""
    assert node.equation is not None
    types = ", ".join(str(type_of(v.aval)) for v in node.equation.invars)
    return f"{node.short_name}({types}) on {platform}"


# -- tiles ---------------------------------------------------------------------------------------------


def _tile(group: schedule.Group, nodes: list[Node]) -> dict[str, Any]:
    """Returns the block of the result one program would compute, and the padding it needs."""
    product = any(n.short_name in PRODUCTS for n in nodes)
    shape = _shape(group)
    if not isinstance(group, schedule.Fuse | schedule.Pipeline) or len(shape) < 2:
        return {}
    rows, columns = shape[-2:]
    tile = (_block(rows), _block(columns)) if product else (_block(rows), columns)
    padded = tuple(-(-n // t) * t for n, t in zip((rows, columns), tile, strict=True))
    return {"tile": tile} if padded == (rows, columns) else {"tile": tile, "padded": padded}


def _shape(group: Operation) -> tuple[int, ...]:
    kinds = [r.type for r in group.results]
    shape = kinds[0].get_shape() if kinds and isinstance(kinds[0], TensorType) else ()
    return shape if all(n > 0 for n in shape) else ()


def _block(size: int) -> int:
    """The smallest power of two that holds an axis, at most the largest tile."""
    return min(LARGEST_TILE, 1 << max(size - 1, 0).bit_length())


def pipeline_loads(module: ModuleOp, context: Context) -> bool:
    """Turns a fused product that reads several blocks along its inner axis into a software pipeline.

    "tessera.schedule.fuse"(%A, %B) {pattern = "matmul"}
        →  "tessera.schedule.pipeline"(%A, %B) {double_buffer = true, pattern = "matmul"}

    While a block is multiplied the next one is loaded; two buffers hold them.
    """
    del context
    fused = [group for group in groups_of(module) if isinstance(group, schedule.Fuse)]
    long = [group for group in fused if any(map(_has_long_inner_axis, nodes_of(group)))]
    for group in long:
        _replace_by_pipeline(group)
    return bool(long)


def _has_long_inner_axis(node: Node) -> bool:
    if node.short_name != "matmul":
        return False
    kind = node.operands[0].type
    return isinstance(kind, TensorType) and kind.get_shape()[-1] > 64


def _replace_by_pipeline(group: schedule.Group) -> None:
    attributes = {"double_buffer": schedule.to_attribute(True), **group.attributes}
    pipeline = schedule.Pipeline.create(
        operands=group.operands,
        result_types=group.result_types,
        attributes=attributes,
        regions=[group.detach_region(0)],
    )
    block = group.parent
    assert block is not None
    block.insert_op_before(pipeline, group)
    for ours, theirs in zip(group.results, pipeline.results, strict=True):
        theirs.name_hint = ours.name_hint
        ours.replace_all_uses_with(theirs)
    group.detach()
    group.erase()
