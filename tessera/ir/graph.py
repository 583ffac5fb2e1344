"""Graph IR: what a user's function computes, one node per JAX equation.

    tessera.graph.func      a function: its block's arguments are the inputs
    tessera.graph.constant  a number, or an array the function closes over
    tessera.graph.<op>      a Tessera op; its static arguments are attributes
    jax.<primitive>         any other equation, opaque to the compiler; what it calls are its regions
    tessera.graph.return    the results

A node captured from JAX remembers its equation, with every parameter; a parsed one has only what the text
says. Passes never edit a node: they replace it by nodes traced from JAX code, so a node is always its
equation.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, TypeGuard, cast

from jax.extend.core import Jaxpr, JaxprEqn
from xdsl.dialects import builtin
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, OpResult, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    irdl_op_definition,
    opt_attr_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.traits import IsTerminator, SymbolOpInterface

from tessera.core.dims import Signature
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, registered_op, registered_ops
from tessera.ir.types import aval_of

OP_PREFIX = "tessera.graph."
JAX_PREFIX = "jax."

EFFECTS = ("pure", "random", "movement", "state", "collective", "memory", "io")
MOVABLE = frozenset({"pure", "random"})


# xdsl lets the declaration of an op hold operands, results, regions and attributes only; what a captured node
# remembers stands in a subclass.


@irdl_op_definition
class _Func(IRDLOperation):
    name = "tessera.graph.func"
    sym_name = attr_def(builtin.StringAttr)
    function_type = attr_def(builtin.FunctionType)
    body = region_def("single_block")
    traits = traits_def(SymbolOpInterface())


class Func(_Func):
    """A function of the module; a captured one remembers its jaxpr."""

    jaxpr: Jaxpr | None = None

    def clone_without_regions(self, *args: Any, **kwargs: Any) -> "Func":
        """Returns a copy without its body."""
        copy = cast(Func, super().clone_without_regions(*args, **kwargs))
        copy.jaxpr = self.jaxpr
        return copy

    @property
    def block(self) -> Block:
        """The one block of the function."""
        return self.body.block


@irdl_op_definition
class Return(IRDLOperation):
    """Ends a function or a region: the values it gives back."""

    name = "tessera.graph.return"
    values = var_operand_def()
    traits = traits_def(IsTerminator())


@irdl_op_definition
class _Constant(IRDLOperation):
    name = "tessera.graph.constant"
    value = attr_def(Attribute)
    result = result_def()


class Constant(_Constant):
    """A number written in the program, or an array it closes over (then `value` is its description)."""

    atom: Any = None  # the Literal of a number, the array itself otherwise
    aval: Any = None
    key: Any = None  # what tells it from others, kept once it was asked for

    def clone_without_regions(self, *args: Any, **kwargs: Any) -> "Constant":
        """Returns a copy that stands for the same value."""
        copy = cast(Constant, super().clone_without_regions(*args, **kwargs))
        copy.atom, copy.aval = self.atom, self.aval
        return copy


@irdl_op_definition
class _Node(IRDLOperation):
    name = "tessera.graph.node"
    inputs = var_operand_def()
    outputs = var_result_def()
    bodies = var_region_def()
    effect = opt_attr_def(builtin.StringAttr)


class Node(_Node):
    """One equation. Its class carries the name; make one with `node_class(name).create(...)`."""

    equation: JaxprEqn | None = None
    jaxprs: Sequence[Jaxpr] = ()  # what the regions were captured from
    key: Any = None  # what tells the function it computes from others, kept once it was asked for
    is_op: ClassVar[bool] = False
    short_name: ClassVar[str] = "node"  # without its dialect: `matmul`, `exp`

    # By identity, as every op's, but without a call into Python: sets of nodes are what passes work on.
    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        """Does nothing: no attribute of a node has a default to fill in."""

    def clone_without_regions(self, *args: Any, **kwargs: Any) -> "Node":
        """Returns a copy that remembers the same equation."""
        copy = cast(Node, super().clone_without_regions(*args, **kwargs))
        copy.equation, copy.jaxprs = self.equation, self.jaxprs
        return copy

    def verify_(self) -> None:
        """Checks a parsed Tessera op against its signature; a captured one was checked when traced."""
        super().verify_()
        if self.is_op and self.equation is None and registered_ops():
            check_signature(self)


@cache
def node_class(name: str) -> type[Node]:
    """Returns the class of nodes of this name, `tessera.graph.<op>` or `jax.<primitive>`.

    >>> node_class("jax.exp").name
    'jax.exp'
    """
    fields = {
        "name": name,
        "short_name": name.removeprefix(OP_PREFIX).removeprefix(JAX_PREFIX),
        "is_op": name.startswith(OP_PREFIX),
        "__doc__": Node.__doc__,
    }
    found = type("Node_" + name.replace(".", "_"), (Node,), fields)
    _NODE_CLASSES.add(found)
    return found


# What `node_class` has made: the classes of all nodes there are.
_NODE_CLASSES: set[type[Any]] = set()


def is_node(op: object) -> TypeGuard[Node]:
    """Returns whether an op is a node, as `isinstance` would, at a tenth of its price for such a class.

    >>> is_node(node_class("jax.exp").create()), is_node(Return.create())
    (True, False)
    """
    return type(op) in _NODE_CLASSES


def node_of(value: SSAValue) -> Node | None:
    """Returns the node that made a value; None for an argument or a constant."""
    if type(value) is not OpResult:
        return None
    return value.op if is_node(value.op) else None


def constant_of(value: SSAValue) -> Constant | None:
    """Returns the constant a value is, or None."""
    owner = value.owner
    return owner if type(owner) is Constant else None  # `isinstance` is slow here where it says no


def ops_of(block: Block) -> list[Operation]:
    """Returns the ops of a block as a list, which stays as it is while the block changes."""
    found: list[Operation] = []
    op = block.first_op
    while op is not None:
        found.append(op)
        op = op.next_op
    return found


def check_signature(node: Node) -> None:
    """Raises `E_SHAPE_MISMATCH` if the types of a node do not fit the signature of its op.

    Raises `E_GRAPH_INVALID` if no op has its name, or for a number of operands no call of it has.
    """
    name = node.short_name
    if name.endswith(("_forward", "_tangent")):
        return  # they exist between passes only, made by JAX
    op = registered_op(name)
    _check_attributes(node, op)
    present = _presence(node, len(op.operand_names))
    if sum(present) != len(node.operands):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{node.name}: it has {len(node.operands)} operands but `present` names {sum(present)}.",
            hints=f"operands of {name}: {', '.join(op.operand_names)}",
        )
    for there, term, word in zip(present, op.dims.operands, op.operand_names, strict=True):
        if not there and not term.optional:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{node.name}: argument {word!r} is missing. Signature: {op.dims}.",
            )
    rest = iter(node.operands)
    shapes = [_shape(next(rest)) if there else None for there in present]
    statics = {**op.statics, **_integers(node)}
    op.dims.bind(node.name, op.operand_names, shapes, statics)
    if len(op.dims.outputs) == len(node.results):
        whole = Signature(op.dims.operands + op.dims.outputs, op.dims.outputs)
        names = [*op.operand_names, *(f"result {i}" for i in range(len(node.results)))]
        whole.bind(node.name, names, [*shapes, *map(_shape, node.results)], statics)


def _check_attributes(node: Node, op: Op[..., Any]) -> None:
    known = (*op.statics, "present", "algorithm", "effect")
    unknown = [name for name in node.attributes if name not in known]
    if unknown:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{node.name}: attribute {unknown[0]!r} is unknown.",
            hints=f"attributes: {', '.join(known)}",
        )
    given = {**op.statics, **_integers(node)}
    axes = {axis.at for term in op.dims.operands for axis in term.axes if axis.at}
    for name in sorted(axes):
        if not isinstance(given[name], int):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{node.name}: attribute {name!r} is not an integer.",
                hints=f"{name} = 1 : i64",
            )


def _presence(node: Node, count: int) -> list[bool]:
    given = node.attributes.get("present")
    if isinstance(given, builtin.ArrayAttr):
        return [isinstance(x, builtin.IntegerAttr) and x.value.data != 0 for x in given.data]
    return [i < len(node.operands) for i in range(count)]


def _shape(value: SSAValue) -> tuple[int, ...]:
    if not isinstance(value.type, builtin.TensorType):
        raise CompileError(Code.E_GRAPH_INVALID, f"{value.type} is not the type of an array.")
    return value.type.get_shape()


def _integers(node: Node) -> dict[str, int]:
    found = node.attributes.items()
    return {k: v.value.data for k, v in found if isinstance(v, builtin.IntegerAttr)}


def pin(node: Node, algorithm: str) -> None:
    """Fixes the formulation a Tessera op is lowered with: the one thing a pass sets on a node it keeps."""
    assert node.equation is not None
    params = {**node.equation.params, "algorithm": algorithm}
    node.equation, node.key = node.equation.replace(params=params), None
    node.attributes["algorithm"] = builtin.StringAttr(algorithm)


def function_of(module: ModuleOp) -> Func:
    """Returns the one function of a captured module."""
    functions = [op for op in module.body.block.ops if isinstance(op, Func)]
    if len(functions) != 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"the module has {len(functions)} functions where one is expected.",
        )
    return functions[0]


def effect_of(op: Operation) -> str:
    """Returns the effect of a node: one word of `EFFECTS`."""
    found = op.attributes.get("effect")
    return found.data if isinstance(found, builtin.StringAttr) else "pure"


def may_move(op: Operation) -> bool:
    """Returns whether a rewrite may reorder, duplicate or remove a node."""
    return effect_of(op) in MOVABLE


def jax_type(value: SSAValue) -> Any:
    """Returns the JAX type of a value: exact where it was captured, else what its IR type says."""
    if isinstance(value, OpResult):
        owner = value.op
        if is_node(owner) and owner.equation is not None:
            return owner.equation.outvars[value.index].aval
        if type(owner) is Constant and owner.aval is not None:
            return owner.aval
    elif isinstance(value, BlockArgument):
        jaxpr = _jaxpr_of(value.owner)
        if jaxpr is not None:
            return jaxpr.invars[value.index].aval
    return aval_of(value.type)


def _jaxpr_of(block: Block) -> Jaxpr | None:
    parent = block.parent_op()
    if isinstance(parent, Func):
        return parent.jaxpr
    region = block.parent_region()
    if isinstance(parent, Node) and parent.jaxprs and region is not None:
        return parent.jaxprs[parent.get_region_index(region)]
    return None


def blocks_of(function: Func) -> Iterator[Block]:
    """Yields the blocks of a function in which nodes may be replaced, outermost first."""
    yield from _open_blocks(function.block)


def _open_blocks(block: Block) -> Iterator[Block]:
    yield block
    for op in ops_of(block):
        if op.regions and is_node(op) and op.short_name in REWRITABLE:
            for region in op.regions:
                yield from _open_blocks(region.block)


# The parameters of each primitive that hold what it calls. Those of the second table carry a rule of their
# own for derivatives, so their inside is shown but stays as it is.
REWRITABLE: Mapping[str, tuple[str, ...]] = {
    "scan": ("jaxpr",),
    "while": ("cond_jaxpr", "body_jaxpr"),
    "cond": ("branches",),
    "checkpoint": ("jaxpr",),
    "remat2": ("jaxpr",),
    "shard_map": ("jaxpr",),
    "jit": ("jaxpr",),
}
# Those whose regions cannot hold an array, only read it as an argument.
OPEN = frozenset({"checkpoint", "remat2", "shard_map"})
SHOWN: Mapping[str, tuple[str, ...]] = {
    "custom_jvp_call": ("call_jaxpr",),
    "custom_vjp_call": ("call_jaxpr",),
}


def new_module(name: str, function: Func, **attributes: str) -> ModuleOp:
    """Returns a module that holds one function."""
    words = {key: builtin.StringAttr(value) for key, value in attributes.items()}
    module = ModuleOp([function], words)
    module.attributes["sym_name"] = builtin.StringAttr(name)
    return module


def new_function(name: str, block: Block, results: Sequence[Attribute], jaxpr: Any = None) -> Func:
    """Returns a function made of a block that ends in a return."""
    kind = builtin.FunctionType.from_lists([arg.type for arg in block.args], list(results))
    function = Func.create(
        attributes={"sym_name": builtin.StringAttr(name), "function_type": kind},
        regions=[Region(block)],
    )
    function.jaxpr = jaxpr
    return function
