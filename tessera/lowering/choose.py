"""Chooses what runs each group, plans its tile, and writes down what it should cost and why.

The roofline says what a group takes at best; a rule of the op, measured per platform, says which formulation
comes closest; a table of measurements, where there is one, overrules both.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Operation

from tessera.core.op import REFERENCE, TILE, registered_op
from tessera.ir import schedule
from tessera.ir.graph import Node, function_of, jax_type, pin
from tessera.ir.types import type_of
from tessera.lowering import configs
from tessera.lowering.cost import Cost, Device, bytes_of, flops_of
from tessera.lowering.graph_to_schedule import kind_of
from tessera.lowering.rule import Context
from tessera.lowering.tile_programs.operands import operands_of
from tessera.lowering.tile_programs.recorded import planned_for, recorded_node

# What the tile programs of ops have in common: how they walk their results.
FAMILIES: Mapping[str, str] = {
    "matmul": "product",
    "dot_general": "product",
    "flash_attention": "attention",
    "grouped_matmul": "grouped",
    "run_reduce": "runs",
    "softmax": "rows",
    "rmsnorm": "rows",
    "layernorm": "rows",
}


@dataclass(frozen=True)
class Choice:
    """What runs a group and why."""

    runs: str
    reason: str


def choose(module: ModuleOp, context: Context) -> bool:
    """Gives every group its `runs`, `reason`, tile and cost.

    tessera.schedule.fuse {pattern = "flash_attention"}
        →  {pattern = "flash_attention", runs = "tile", reason = "…", tile = array<i64: 128, 64>, flops = …}
    """
    for group in groups_of(module):
        nodes = list(nodes_of(group))
        found = choice_for(nodes, context)
        attributes = {"runs": found.runs, "reason": found.reason, **_tile(group, nodes, context)}
        if all(node.equation is not None for node in nodes):
            cost = cost_of_group(group, nodes)
            attributes |= {"flops": cost.flops, "bytes": cost.bytes}
            attributes |= {"seconds": cost.seconds(context.device)}
        for name, value in attributes.items():
            group.attributes[name] = schedule.to_attribute(value)
    return True


def decides(module: ModuleOp, context: Context) -> bool:
    """Whether the plan of a Graph module changes what runs: by a measurement, or an op's tile program.

    The other formulations are chosen by the same rule where an op is lowered.
    """
    ops = [op for op in module.walk() if isinstance(op, Node) and op.is_op]
    return bool(ops) and (
        bool(context.table) or any(_op_choice(node, context).runs == TILE for node in ops)
    )


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
    if name == "kernel":
        return Choice("xla", "planned by the compiled function it is a group of")
    op = registered_op(name)
    measured = None
    if context.table:  # the text of every type costs more than all else here
        measured = context.table.get(signature_of(node, context.device.platform))
    if measured is not None:
        pin(node, measured)
        return Choice("xla" if measured == REFERENCE else measured, "measured fastest here")
    types = [v.aval for v in node.equation.invars]
    found = op.algorithm_for(context.device.platform, types, node.equation.params, split=False)
    if found is not None and found.name == TILE:
        return Choice(
            TILE, f"the tile program of {name} is for these sizes on {context.device.platform}"
        )
    if found is not None:
        return Choice(found.name, f"{name} has it for these sizes on {context.device.platform}")
    here = [a.name for a in op.algorithms.values() if context.device.platform in a.platforms]
    if not here:
        return Choice("xla", f"XLA's own lowering of {name} is the fastest known")
    return Choice("xla", f"{name}'s {', '.join(here)} would not pay for these sizes")


def signature_of(node: Node, platform: str) -> str:
    """Returns what a measurement of an op is filed under: its name, its operands' types, the platform."""
    assert node.equation is not None
    types = ", ".join(str(type_of(v.aval)) for v in node.equation.invars)
    return f"{node.short_name}({types}) on {platform}"


# -- tiles ---------------------------------------------------------------------------------------------


def _tile(group: schedule.Group, nodes: list[Node], context: Context) -> dict[str, Any]:
    """Returns the blocks one program of a group works on, and the padding they need."""
    recorded = recorded_node(nodes)
    if recorded is not None:
        return planned_for(recorded, context.device)
    if not isinstance(group, schedule.Fuse | schedule.Pipeline):
        return {}
    shape = _extent(_main(nodes), group)
    if len(shape) < 2:
        return {}
    main = _main(nodes)
    plan = _plan(main, shape, context.device)
    rows, columns = block_places(main)
    rank = min(2, len(_shape(main or group)))
    tile = [1] * max(rank, *(-place for place in (rows, columns) if place is not None))
    for place, size in zip((rows, columns), plan.tile, strict=True):
        if place is not None:
            tile[place] = size
    found: dict[str, Any] = {"tile": tuple(tile), "turns": plan.turns}
    found["padded"] = configs.padded(tile, _shape(main or group)[-len(tile) :])
    found |= {"inner": plan.inner, "warps": plan.warps}
    return {name: value for name, value in found.items() if value is not None}


def _main(nodes: list[Node]) -> Node | None:
    """Returns the node a group's program is for: its product or its op of whole rows."""
    return next((n for n in nodes if _family(n)), None)


def block_places(main: Node | None) -> tuple[int | None, int | None]:
    """Returns which axes of a program's result are the rows and the columns of its block, from the end.

    None stands for an axis that the result has not: a matrix times a vector has rows only.
    """
    if main is None or main.equation is None:
        return -2, -1
    rank, params = len(_shape(main)), main.equation.params
    if main.short_name == "softmax" and rank > 1:
        columns = params["axis"] - rank
        return (-1 if columns != -1 else -2), columns
    if main.short_name != "dot_general":
        return -2, -1
    (over, _), (batch, _) = params["dimension_numbers"]
    ends = jax_type(main.operands[0]).ndim - len(over)  # the last axis of the left factor
    rows = ends - 1 - rank if ends > len(batch) else None
    return rows, (-1 if rank > ends else None)


def _family(node: Node) -> str:
    name = node.short_name.removesuffix("_forward").removesuffix("_bwd")
    return FAMILIES.get(name, "")


def _extent(main: Node | None, group: schedule.Group) -> tuple[int, ...]:
    """Returns the shape a program's grid walks: rows and columns last, empty where a size is not known."""
    if main is None:
        return _shape(group)
    shape = _shape(main)
    if not shape or (_family(main) != "product" and len(shape) < 2):
        return shape
    rows, columns = (1 if place is None else shape[place] for place in block_places(main))
    return (math.prod(shape) // max(1, rows * columns), rows, columns)


def _plan(main: Node | None, shape: Sequence[int], on: Device) -> configs.Plan:
    family = "" if main is None else _family(main)
    if main is None or not family:
        return configs.elementwise(shape, on)
    rows, columns = shape[-2:]
    types = [jax_type(x) for x in main.operands]
    each = types[0].dtype.itemsize
    if family == "product":
        inner = _inner_size(main, types[0].shape)
        batch, saving = math.prod(shape[:-2]), len(main.results) > 1
        plan = configs.product(rows, columns, inner, batch, each, on, saving=saving)
        hint = _hint(main, "tile_shape")
        return plan if hint is None else configs.hinted_product(plan, hint, rows, columns, on)
    if family == "grouped":
        names = operands_of(main)
        groups, *_ = jax_type(names["w"]).shape
        inner = jax_type(names["ct" if "ct" in names else "x"]).shape[-1]
        return configs.grouped(rows, columns, inner, groups, each, on)
    if family == "runs":
        return configs.runs(types[0].shape[-2] // max(1, rows), columns, on)
    if family == "attention":
        keys, depth, width = types[1].shape[-2], types[1].shape[-1], types[2].shape[-1]
        backward = main.short_name.endswith("_bwd")
        plan = configs.attention(rows, keys, depth, width, each, on, backward=backward)
        return configs.hinted_attention(
            plan, rows, keys, _hint(main, "block_q"), _hint(main, "block_k"), on
        )
    summing = main.short_name.endswith("_bwd") and len(main.results) > 1
    batch, turned = math.prod(shape[:-2]), block_places(main)[0] == -1
    return configs.whole_rows(rows, columns, batch, on, summing=summing, turned=turned)


def _hint(node: Node, name: str) -> Any:
    return None if node.equation is None else node.equation.params.get(name)


def _inner_size(product: Node, left: Sequence[int]) -> int:
    """Returns the length of the axis a product's program loops over, the last contracted one."""
    if product.short_name != "dot_general" or product.equation is None:
        return left[-1]
    (over, _), _ = product.equation.params["dimension_numbers"]
    return left[over[-1]] if over else 1


def _shape(op: Operation) -> tuple[int, ...]:
    kinds = [r.type for r in op.results]
    shape = kinds[0].get_shape() if kinds and isinstance(kinds[0], TensorType) else ()
    return shape if all(n > 0 for n in shape) else ()


def pipeline_loads(module: ModuleOp, context: Context) -> bool:
    """Turns a fused product that reads several blocks along its inner axis into a software pipeline.

    "tessera.schedule.fuse"(%A, %B) {pattern = "matmul"}
        →  "tessera.schedule.pipeline"(%A, %B) {double_buffer = true, pattern = "matmul"}

    While a block is multiplied the next one is loaded; two buffers hold them.
    """
    changed = False
    for group in tuple(groups_of(module)):
        main = _main(list(nodes_of(group)))
        shape = () if main is None else _extent(main, group)
        if not isinstance(group, schedule.Fuse) or main is None or len(shape) < 2:
            continue
        stages = _plan(main, shape, context.device).stages
        if stages is not None or _has_long_inner_axis(main):
            _replace_by_pipeline(group, stages)
            changed = True
    return changed


def _has_long_inner_axis(node: Node) -> bool:
    if node.short_name != "matmul":
        return False
    kind = node.operands[0].type
    return isinstance(kind, TensorType) and kind.get_shape()[-1] > 64


def _replace_by_pipeline(group: schedule.Group, stages: int | None) -> None:
    attributes = {"double_buffer": schedule.to_attribute(True), **group.attributes}
    if stages is not None:
        attributes["depth"] = schedule.to_attribute(stages)
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
