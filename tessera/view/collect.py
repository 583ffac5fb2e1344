"""Schedule module → report: every group with its cost and reasons, and what flows between groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from tessera.core.op import registered_ops
from tessera.ir.graph import EFFECTS, REWRITABLE, Node, effect_of, function_of
from tessera.ir.schedule import PREFIX, Collective, Group, integers
from tessera.lowering.choose import nodes_of
from tessera.lowering.cost import Device, flops_of
from tessera.lowering.graph_to_schedule import kind_of
from tessera.view.causes import apart, opaque, place_of
from tessera.view.report import Edge, GroupReport, NodeReport, Opaque, Totals
from tessera.view.sizes import peak_of, size_of, text_of, type_text


@dataclass(frozen=True)
class Collected:
    """What `collect` found: the fields of an explanation that come from the module."""

    groups: tuple[GroupReport, ...]
    edges: tuple[Edge, ...]
    opaque: tuple[Opaque, ...]
    totals: Totals


@dataclass(frozen=True)
class _Cost:
    flops: int = 0
    bytes: int = 0
    seconds: float = 0.0
    exact: bool = True


def collect(module: ModuleOp, device: Device, arguments: Sequence[str] = ()) -> Collected:
    """Returns the groups of a Schedule module, what flows between them, and what was not opened.

    `arguments` are the names of the function's arguments, in order; without them the IR's names stand.
    """
    block = function_of(module).block
    walk = _Walk(device)
    names: dict[SSAValue, str] = {
        arg: arguments[i] if i < len(arguments) else f"%{arg.name_hint or i}"
        for i, arg in enumerate(block.args)
    }
    walk.visit(block, names, None, "")
    groups = tuple(walk.groups[index] for index in range(len(walk.groups)))
    cost = _sum(group for group in groups if group.parent is None)
    peak = sum(size_of(arg.type)[0] for arg in block.args) + peak_of(block)
    exact = cost.exact and all(size_of(arg.type)[1] for arg in block.args)
    totals = Totals(len(groups), cost.flops, cost.bytes, cost.seconds, peak, exact)
    return Collected(groups, tuple(walk.edges), opaque(walk.nodes), totals)


@dataclass
class _Walk:
    """Numbers groups in program order, those in a body after the group that holds the body."""

    device: Device
    groups: dict[int, GroupReport] = field(default_factory=dict[int, GroupReport])
    edges: list[Edge] = field(default_factory=list[Edge])
    nodes: list[Node] = field(default_factory=list[Node])
    count: int = 0

    def visit(
        self, block: Block, arguments: Mapping[SSAValue, str], parent: int | None, region: str
    ) -> _Cost:
        """Adds the groups of a block and returns the cost of one run of it."""
        home: dict[Operation, int] = {}
        found: list[GroupReport] = []
        for op in block.ops:
            if isinstance(op, Group):
                index, self.count = self.count, self.count + 1
                self._connect(op.operands, index, arguments, home)
                home[op] = index
                self.groups[index] = self._report(op, index, parent, region, home)
                found.append(self.groups[index])
        end = block.last_op
        if parent is None and end is not None:
            for place, value in enumerate(end.operands):
                self._connect([value], f"result {place}", arguments, home)
        return _sum(found)

    def _connect(
        self,
        values: Iterable[SSAValue],
        target: int | str,
        arguments: Mapping[SSAValue, str],
        home: Mapping[Operation, int],
    ) -> None:
        for value in values:
            owner = value.owner
            source = home.get(owner) if isinstance(owner, Operation) else arguments.get(value)
            if source is not None:
                self.edges.append(Edge(source, target, type_text(value.type)))

    def _report(
        self,
        op: Group,
        index: int,
        parent: int | None,
        region: str,
        home: Mapping[Operation, int],
    ) -> GroupReport:
        nodes = list(nodes_of(op))
        self.nodes += nodes
        holder = next((n for n in nodes if n.regions and n.short_name in REWRITABLE), None)
        cost = _own_cost(op, nodes) if holder is None else self._inside(holder, index)
        memory = [size_of(result.type) for result in op.results]
        beside, why_apart = apart(op, home)
        compute = cost.flops / self.device.flops_per_second
        return GroupReport(
            index=index,
            kind=op.name.removeprefix(PREFIX),
            pattern=text_of(op.pattern),
            nodes=tuple(_node_report(node) for node in nodes),
            runs=text_of(op.runs),
            reason=text_of(op.reason),
            beside=beside,
            apart=why_apart,
            where=_where(nodes),
            tile=_tile(op),
            padded=() if op.padded is None else integers(op.padded),
            axes=tuple(map(text_of, op.axes.data)) if isinstance(op, Collective) else (),
            flops=cost.flops,
            bytes=cost.bytes,
            seconds=cost.seconds,
            memory=sum(size for size, _ in memory),
            bound="compute" if compute > cost.bytes / self.device.bytes_per_second else "memory",
            exact=cost.exact and all(known for _, known in memory),
            effect=max((effect_of(n) for n in nodes), key=EFFECTS.index, default="pure"),
            loop="" if holder is None else holder.short_name,
            trips=1 if holder is None else _trips(holder),
            parent=parent,
            region=region,
        )

    def _inside(self, holder: Node, index: int) -> _Cost:
        """Adds the groups in the regions of a node and returns the cost of all their runs."""
        names = _region_names(holder)
        costs = [
            self.visit(region.block, {}, index, name)
            for region, name in zip(holder.regions, names, strict=True)
        ]
        if holder.short_name == "cond":  # one branch runs; which, only the run tells
            return _Cost(
                max(c.flops for c in costs),
                max(c.bytes for c in costs),
                max(c.seconds for c in costs),
                all(c.exact for c in costs),
            )
        total, trips = _sum(costs), _trips(holder)
        times = 1 if trips is None else trips
        return _Cost(
            total.flops * times,
            total.bytes * times,
            total.seconds * times,
            total.exact and trips is not None,
        )


def _sum(costs: Iterable[_Cost | GroupReport]) -> _Cost:
    found = list(costs)
    return _Cost(
        sum(c.flops for c in found),
        sum(c.bytes for c in found),
        sum(c.seconds for c in found),
        all(c.exact for c in found),
    )


def _own_cost(op: Group, nodes: Sequence[Node]) -> _Cost:
    counted = all(flops_of(n.equation)[1] for n in nodes if n.equation is not None)
    known = all(size_of(value.type)[1] for value in op.operands)
    return _Cost(_number(op.flops), _number(op.bytes), _number(op.seconds), counted and known)


def _number(attribute: Any) -> Any:
    return 0 if attribute is None else attribute.value.data


def _tile(op: Group) -> tuple[int, ...]:
    """Returns the block of a group, or what the program of a user's kernel is given."""
    found = op.blocks if op.tile is None else op.tile
    return () if found is None else integers(found)


# -- nodes ---------------------------------------------------------------------------------------------


def _node_report(node: Node) -> NodeReport:
    types = tuple(type_text(result.type) for result in node.results)
    return NodeReport(node.name, tuple(_extras(node)), place_of(node), types)


def _extras(node: Node) -> Iterator[str]:
    ops = {op.name: op for op in registered_ops()} if node.is_op else {}
    name = node.short_name.removesuffix("_forward")
    if node.equation is None or name not in ops:
        return
    op, params = ops[name], node.equation.params
    present = params.get("present", (True,) * len(op.operand_names))
    for operand, term, there in zip(op.operand_names, op.dims.operands, present, strict=True):
        if there and term.optional:
            yield operand
    for static, value in params.items():
        if static == "activation" and value is not None:
            yield str(value)
        elif value is True and op.statics.get(static) is False:
            yield static


def _where(nodes: Sequence[Node]) -> str:
    """Returns where the node that gives a group its character was written."""
    ordered = sorted(nodes, key=lambda node: kind_of(node) in ("view", "elementwise"))
    return next((where for node in ordered if (where := place_of(node))), "")


def _trips(holder: Node) -> int | None:
    """Returns how often the body of a node runs, or None where only the run tells."""
    if holder.short_name == "while":
        return None
    if holder.short_name != "scan":
        return 1
    length = None if holder.equation is None else holder.equation.params["length"]
    return length if isinstance(length, int) else None


def _region_names(holder: Node) -> list[str]:
    if holder.short_name == "while":
        return ["condition", "body"]
    if holder.short_name == "cond":
        return [f"branch {i}" for i in range(len(holder.regions))]
    return ["body"] * len(holder.regions)
