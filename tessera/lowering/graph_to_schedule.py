"""Graph → Schedule: every node goes into one group, the nodes one kernel may compute together.

    %0 = tessera.graph.matmul %x, %w      →   %0 = tessera.schedule.fuse(%a = %x, %b = %w, %c = %r)
    %1 = jax.add %0, %r                           {pattern = "matmul+add"} {
    %2 = jax.tanh %1                                %0 = tessera.graph.matmul %a, %b
                                                    %1 = jax.add %0, %c
                                                    %2 = jax.tanh %1
                                                    tessera.schedule.yield %2 }

Nodes are visited in order. One joins the newest of the groups its operands come from, if it is an epilogue
there (elementwise on what that group makes), or if it is a product or reduction and the group is a prologue
of it (elementwise, and read by nobody else). Since a node only joins the newest of its producers' groups,
every value flows from an older group to a newer one or within one: no cycle can arise. A node with an
effect is a group of its own, in program order, and so is one whose program a user wrote. What is made of
inputs alone, a broadcast bias, goes where its one reader goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, OpResult, SSAValue

from tessera.ir import schedule
from tessera.ir.graph import (
    Constant,
    Node,
    blocks_of,
    constant_of,
    effect_of,
    function_of,
    is_node,
    may_move,
    node_of,
    ops_of,
)
from tessera.lowering.rule import Context
from tessera.lowering.tile_programs.recorded import RECORDED

# Primitives that read and write each element once, in any order.
ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp complex conj "
    "convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt "
    "imag integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or "
    "one_minus_square population_count pow real reduce_precision rem round rsqrt select_n shift_left "
    "shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh "
    "xor bitcast_convert_type".split()
)
VIEWS = frozenset("broadcast_in_dim reshape squeeze expand_dims transpose iota rev".split())
REDUCTIONS = frozenset(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin cumsum cumprod "
    "cumlogsumexp cummax cummin".split()
)
PRODUCTS = frozenset("dot_general conv_general_dilated ragged_dot ragged_dot_general".split())
# Tessera ops that are elementwise; the others are kernels of their own.
ELEMENTWISE_OPS = frozenset(
    "gelu silu relu tanh sigmoid sin cos logic_and logic_or logic_xor logic_not".split()
)
KINDS = {
    **dict.fromkeys(ELEMENTWISE, "elementwise"),
    **dict.fromkeys(VIEWS, "view"),
    **dict.fromkeys(PRODUCTS, "product"),
    **dict.fromkeys(REDUCTIONS, "reduction"),
}
COLLECTIVES = {
    "psum": "all_reduce",
    "psum2": "all_reduce",
    "psum_invariant": "all_reduce",
    "pmax": "all_reduce",
    "pmin": "all_reduce",
    "all_gather": "all_gather",
    "all_gather_invariant": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "psum_scatter": "reduce_scatter",
    "all_to_all": "all_to_all",
    "ragged_all_to_all": "all_to_all",
    "ppermute": "permute",
    "pbroadcast": "broadcast",
}


@dataclass
class _Draft:
    """A group being formed: its nodes in order and the kind of its first that is not elementwise."""

    index: int
    nodes: list[Node] = field(default_factory=list[Node])
    anchor: Node | None = None
    closed: bool = False  # nothing may join
    members: set[Operation] = field(default_factory=set[Operation])
    read_outside: int = 0  # operands of other nodes that are results of these

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        self.members.add(node)
        self.read_outside += sum(1 for result in node.results for _ in result.uses)
        self.read_outside -= self.reads_of(node)

    def reads_of(self, node: Node) -> int:
        """Returns how many operands of a node are results of this group."""
        return sum(x.owner in self.members for x in node.operands)


def group(module: ModuleOp, context: Context) -> bool:
    """Puts every node of a Graph module into a group and makes it a Schedule module."""
    del context
    for block in tuple(blocks_of(function_of(module))):
        drafts = _draft(block)
        end = block.last_op
        assert end is not None
        for draft in drafts:
            block.insert_op_before(_group_op(draft), end)
        for op in ops_of(block):
            if isinstance(op, Constant) and op.result.first_use is None:
                op.detach()
                op.erase()
    module.attributes["level"] = builtin.StringAttr("schedule")
    return True


def kind_of(node: Node) -> str:
    """Returns what a node is to grouping: elementwise, view, product, reduction, op, recorded or other."""
    name = node.short_name
    if node.name in RECORDED:
        return "recorded"
    if node.is_op:
        return "elementwise" if name in ELEMENTWISE_OPS else "op"
    if node.regions or not may_move(node) or effect_of(node) == "random":
        return "other"
    return KINDS.get(name, "other")


# -- forming groups ------------------------------------------------------------------------------------


def _draft(block: Block) -> list[_Draft]:
    drafts: list[_Draft] = []
    home: dict[Operation, _Draft] = {}
    waiting: set[Operation] = set()  # made of inputs only: it goes where its reader goes
    for op in ops_of(block):
        if not is_node(op):
            continue
        kind = kind_of(op)
        if kind == "recorded":
            _add_apart(op, waiting, drafts, home)
            continue
        draft = _newest(op, home)
        if draft is None and kind in ("elementwise", "view") and _has_one_reader(op):
            waiting.add(op)
            continue
        if draft is None or not _joins(op, kind, draft):
            draft = _Draft(len(drafts), closed=kind == "other")
            drafts.append(draft)
        if kind not in ("elementwise", "view") and draft.anchor is None:
            draft.anchor = op
        for member in (*_waited_for(op, waiting), op):
            draft.add(member)
            home[member] = draft
    return drafts


def _add_apart(
    node: Node, waiting: set[Operation], drafts: list[_Draft], home: dict[Operation, _Draft]
) -> None:
    """Adds a node that a user's program computes, and before it, in other groups, what waited for it."""
    for member in (*_waited_for(node, waiting), node):
        alone = member is node
        draft = None if alone else _newest(member, home)
        if draft is None:
            draft = _Draft(len(drafts), closed=alone, anchor=node if alone else None)
            drafts.append(draft)
        draft.add(member)
        home[member] = draft


def _has_one_reader(node: Node) -> bool:
    readers = {use.operation for result in node.results for use in result.uses}
    return len(readers) == 1 and is_node(readers.pop())


def _waited_for(node: Node, waiting: set[Operation]) -> list[Node]:
    """Returns the nodes a reader brings along, each after what it reads, and lets them wait no longer."""
    last_first: list[Node] = []
    brought = _makers(node, waiting)
    while brought:
        maker = brought.pop()
        waiting.remove(maker)
        last_first.append(maker)
        brought += _makers(maker, waiting)
    return last_first[::-1]


def _makers(node: Node, among: set[Operation]) -> list[Node]:
    """Returns the nodes among some that make the operands of a node, each once."""
    makers = dict.fromkeys(node_of(x) for x in node.operands)
    return [maker for maker in makers if maker is not None and maker in among]


def _newest(node: Node, home: dict[Operation, _Draft]) -> _Draft | None:
    producers = [home[x.op] for x in node.operands if isinstance(x, OpResult) and x.op in home]
    return max(producers, key=lambda draft: draft.index, default=None)


def _joins(node: Node, kind: str, draft: _Draft) -> bool:
    if draft.closed or kind == "other":
        return False
    if kind in ("elementwise", "view"):
        return True
    if draft.anchor is not None:
        return kind == "reduction" and _over_same_rows(draft.anchor, node)
    return draft.read_outside == draft.reads_of(
        node
    )  # nobody else reads it: it is the node's prologue


def _over_same_rows(one: Node, other: Node) -> bool:
    """Whether two reductions run over the same axes of arrays of one shape, as those of a softmax do."""
    if one.equation is None or other.equation is None or kind_of(one) != "reduction":
        return False
    axes = [node.equation.params.get("axes") for node in (one, other) if node.equation]
    shapes = [node.operands[0].type for node in (one, other)]
    return None not in axes and axes[0] == axes[1] and _shape(shapes[0]) == _shape(shapes[1])


def _shape(kind: Any) -> Any:
    return kind.get_shape() if isinstance(kind, builtin.TensorType) else None


# -- building the group ops ----------------------------------------------------------------------------


def _group_op(draft: _Draft) -> schedule.Group:
    """Moves the nodes of a draft into a new group and lets readers outside read its results."""
    inputs = list(dict.fromkeys(_inputs(draft)))
    outputs = [r for node in draft.nodes for r in node.results if _is_read_outside(r, draft)]
    body = Block(arg_types=[x.type for x in inputs])
    for node in draft.nodes:
        node.detach()
        body.add_op(node)
    inner = dict(zip(inputs, body.args, strict=True))
    for argument, value in zip(body.args, inputs, strict=True):
        argument.name_hint = value.name_hint
    _localise(body, inner)
    kind, attributes = _describe(draft)
    op = schedule.group(kind, inputs, [x.type for x in outputs], body, **attributes)
    for result, value in zip(op.results, outputs, strict=True):
        result.name_hint = value.name_hint
        value.replace_uses_with_if(result, lambda use: use.operation not in draft.members)
    body.add_op(schedule.Yield.create(operands=outputs))
    return op


def _inputs(draft: _Draft) -> Iterator[SSAValue]:
    for node in draft.nodes:
        for x in node.operands:
            if x.owner not in draft.members and constant_of(x) is None:
                yield x


def _localise(body: Block, inner: dict[SSAValue, Any]) -> None:
    """Makes nodes of a body read its arguments, and copies of the constants they need."""
    for node in ops_of(body):
        for place, x in enumerate(node.operands):
            replaced, constant = inner.get(x), constant_of(x)
            if replaced is None and constant is not None:
                copy = constant.clone()
                assert body.first_op is not None
                body.insert_op_before(copy, body.first_op)
                replaced = inner[x] = copy.results[0]
            if replaced is not None:
                node.operands[place] = replaced


def _is_read_outside(result: SSAValue, draft: _Draft) -> bool:
    return any(use.operation not in draft.members for use in result.uses)


def _describe(draft: _Draft) -> tuple[type[schedule.Group], dict[str, Any]]:
    anchor = draft.anchor
    pattern = "+".join(_pattern(draft.nodes))
    if anchor is not None and anchor.short_name in COLLECTIVES:
        axes = [str(a) for a in _axis_names(anchor)]
        return schedule.Collective, {"pattern": COLLECTIVES[anchor.short_name], "axes": axes}
    has_op = any(node.is_op for node in draft.nodes)
    return (schedule.Fuse if has_op else schedule.Xla), {"pattern": pattern}


def _pattern(nodes: Sequence[Node]) -> Iterator[str]:
    named = [n.short_name for n in nodes if kind_of(n) != "view"] or [n.short_name for n in nodes]
    shown = named if len(named) <= 6 else [*named[:3], f"{len(named) - 5} more", *named[-2:]]
    yield from shown


def _axis_names(node: Node) -> Sequence[Any]:
    assert node.equation is not None
    params = node.equation.params
    axes = params["axes"] if "axes" in params else params.get("axis_name", ())
    return axes if isinstance(axes, tuple | list) else (axes,)
