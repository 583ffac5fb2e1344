"""Graph or Schedule → jaxpr: every node gives back its equation, over the values it reads there.

The groups of a Schedule are opened: their nodes stand in the order the schedule put them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from jax.extend.core import JaxprEqn, Literal, Var
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.ir.graph import REWRITABLE, Constant, Node, Return, function_of
from tessera.ir.schedule import Group, Yield


def emit(module: ModuleOp) -> compat.ClosedJaxpr:
    """Returns the traced function a Graph or Schedule module stands for.

    Raises `E_GRAPH_INVALID` for a module that was parsed from text: an opaque node of it is only a name.

    >>> import jax, jax.numpy as jnp
    >>> from tessera.lowering.jaxpr_to_graph import capture
    >>> traced = emit(capture(jax.make_jaxpr(jnp.square)(3.0)))
    >>> jax.core.eval_jaxpr(traced.jaxpr, traced.consts, 3.0)
    [Array(9., dtype=float32, weak_type=True)]
    """
    function = function_of(module)
    if function.jaxpr is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"function @{function.sym_name.data} was parsed from text, which cannot be run.",
            hints="capture it from the JAX function with tessera.compile",
        )
    return emit_block(function.block, function.jaxpr)


def emit_block(block: Block, origin: Any) -> compat.ClosedJaxpr:
    """Returns a block as a closed jaxpr with the effects and names of the one it was captured from."""
    atoms: dict[SSAValue, Any] = {}
    invars = [Var(v.aval) for v in origin.invars]
    atoms.update(zip(block.args, invars, strict=True))
    constants: list[tuple[Var, Any]] = []
    equations: list[JaxprEqn] = []
    for op in _opened(block, atoms):
        if isinstance(op, Constant):
            atoms[op.result] = _constant(op, constants)
        elif isinstance(op, Node):
            equation = _equation(op, [atoms[x] for x in op.operands])
            equations.append(equation)
            atoms.update(zip(op.results, equation.outvars, strict=True))
        elif isinstance(op, Return):
            results = [atoms[x] for x in op.operands]
            return compat.closed_jaxpr(invars, results, equations, constants, origin)
    raise CompileError(Code.E_GRAPH_INVALID, "a block of the graph does not end in a return.")


def _opened(block: Block, atoms: dict[SSAValue, Any]) -> Iterator[Operation]:
    """Yields the ops of a block with groups opened; what a group reads and gives back is put into `atoms`."""
    for op in block.ops:
        if not isinstance(op, Group) or op.block is None:
            yield op
            continue
        atoms.update({a: atoms[x] for a, x in zip(op.block.args, op.operands, strict=True)})
        for inner in op.block.ops:
            if isinstance(inner, Yield):
                results = [atoms[x] for x in inner.operands]
                atoms.update(zip(op.results, results, strict=True))
            else:
                yield inner


def _constant(op: Constant, constants: list[tuple[Var, Any]]) -> Any:
    if isinstance(op.atom, Literal):
        return op.atom
    var = Var(op.aval)
    constants.append((var, op.atom))
    return var


def _equation(node: Node, operands: Sequence[Any]) -> JaxprEqn:
    if node.equation is None:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{node.name} was parsed from text, which cannot be run."
        )
    equation = node.equation
    outvars = [Var(v.aval) for v in equation.outvars]
    params = {**equation.params, **_called(node)}
    effects = compat.moved_effects(equation.effects, equation.invars, operands)
    return equation.replace(invars=list(operands), outvars=outvars, params=params, effects=effects)


def _called(node: Node) -> dict[str, Any]:
    """Returns the parameters of a node that hold jaxprs, made from its regions."""
    assert node.equation is not None
    names = REWRITABLE.get(node.equation.primitive.name, ())
    emitted = iter(
        emit_block(region.block, jaxpr)
        for region, jaxpr in zip(node.regions, node.jaxprs, strict=True)
    )
    found: dict[str, Any] = {}
    for name in names:
        held = node.equation.params[name]
        if isinstance(held, tuple | list):
            found[name] = tuple(compat.like(old, next(emitted)) for old in held)
        else:
            found[name] = compat.like(held, next(emitted))
    return found
