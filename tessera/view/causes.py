"""Why groups are what they are: what stands apart, what is kept by itself, and where it was written."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from xdsl.ir import Operation, SSAValue

from tessera.ir.graph import Node, effect_of
from tessera.ir.schedule import Group
from tessera.lowering.choose import nodes_of
from tessera.lowering.graph_to_schedule import kind_of
from tessera.lowering.rule import location_of
from tessera.view.report import Opaque

CONSTRUCTS: Mapping[str, str] = {
    "scan": "a loop: its body is compiled like the rest, nothing is fused across its edge",
    "while": "a loop: its body is compiled like the rest, nothing is fused across its edge",
    "cond": "a choice made at run time: its branches are compiled, nothing is fused across their edge",
    "checkpoint": "computed again in the backward pass: nothing is fused across its edge",
    "remat2": "computed again in the backward pass: nothing is fused across its edge",
    "shard_map": "runs per device: its body is compiled like the rest, nothing is fused across its edge",
    "jit": "a call with shardings, donation or options of its own: nothing is fused across its edge",
    "custom_jvp_call": "has a derivative rule of its own, which a rewrite of its inside would not change",
    "custom_vjp_call": "has a derivative rule of its own, which a rewrite of its inside would not change",
    "custom_lin": "the linear part of a function with a derivative rule of its own",
    "pallas_call": "a kernel from elsewhere",
    "triton_kernel_call": "a kernel from elsewhere",
    "ffi_call": "a kernel from elsewhere",
    "pure_callback": "calls Python on the host",
}
BY_EFFECT: Mapping[str, str] = {
    "random": "draws random bits: not merged with its neighbours",
    "movement": "places an array on devices: stays where it is written",
    "state": "reads or writes a reference: stays in program order",
    "memory": "allocates or frees: stays in program order",
    "io": "has a side effect outside the program: stays in program order",
}
UNKNOWN = "no rule fuses it; XLA compiles it as written"
_JOINS = ("product", "reduction", "op")
_ALONE = ("other", "recorded")
# A node written in these folders is an op's own; the line of the caller is not in its record.
_OWN = tuple(
    str(Path(__file__).parents[1] / folder) for folder in ("core", "ops", "lowering", "tile")
)


def place_of(node: Node) -> str:
    """Returns `file:line:column (function)` of the user's code a node came from, empty where unknown."""
    return users_place(location_of(node))


def users_place(where: str) -> str:
    """Returns a place in the code, empty for one inside an op or a rewrite, which no user wrote."""
    return "" if where.startswith(_OWN) else where


def opaque(nodes: Iterable[Node]) -> tuple[Opaque, ...]:
    """Returns what grouping kept by itself, each name and reason once, constructs first."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if kind_of(node) == "other":
            found.setdefault((node.short_name, _why_opaque(node)), []).append(place_of(node))
    listed = [Opaque(name, reason, tuple(at)) for (name, reason), at in found.items()]
    return tuple(sorted(listed, key=lambda item: item.reason == UNKNOWN))


def _why_opaque(node: Node) -> str:
    known = CONSTRUCTS.get(node.short_name, "")
    by_effect = BY_EFFECT.get(effect_of(node), "")
    if effect_of(node) == "collective":
        by_effect = "communication over mesh axes: stays in program order"
    return "; ".join(filter(None, (known, by_effect))) or UNKNOWN


def apart(op: Group, home: Mapping[Operation, int]) -> tuple[int | None, str]:
    """Returns which group this one reads and was begun beside, and why; none if it began with arguments."""
    founder = next((n for n in nodes_of(op) if not _is_brought_along(n)), None)
    if founder is None or op.block is None:
        return None, ""
    outside: dict[SSAValue, SSAValue] = dict(zip(op.block.args, op.operands, strict=True))
    read = [outside[x].owner for x in founder.operands if x in outside]
    owners = [owner for owner in read if isinstance(owner, Group)]
    if not owners:
        return None, ""
    newest = max(owners, key=lambda owner: home[owner])
    theirs = list(nodes_of(newest))
    alone = next((n for n in (founder, *theirs) if kind_of(n) in _ALONE), None)
    if alone is not None:
        return home[newest], f"nothing is fused with {alone.short_name}"
    if any(kind_of(n) in _JOINS for n in theirs):
        return home[newest], "it has its one product, reduction or op"
    return home[newest], "what it makes is read elsewhere too"


def _is_brought_along(node: Node) -> bool:
    """Whether a node is made of arguments alone and went where its one reader went."""
    if kind_of(node) not in ("elementwise", "view"):
        return False
    block = node.parent
    group = None if block is None else block.parent_op()
    if not isinstance(group, Group) or block is None:
        return False
    outside: dict[SSAValue, SSAValue] = dict(zip(block.args, group.operands, strict=True))
    reads = [outside.get(x, x).owner for x in node.operands]
    if any(isinstance(owner, Group) for owner in reads):
        return False
    readers = {use.operation for result in node.results for use in result.uses}
    return len(readers) == 1 and isinstance(readers.pop(), Node)
