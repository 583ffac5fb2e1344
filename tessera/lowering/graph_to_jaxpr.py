"""Graph or Schedule → jaxpr: every node gives back its equation, over the values it reads there.

The groups of a Schedule are opened: their nodes stand in the order the schedule put them. One that runs as a
tile program can stay whole instead, as one equation.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jax.extend.core import JaxprEqn, Literal, Var
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.ir.graph import REWRITABLE, Constant, Node, Return, function_of, jax_type
from tessera.ir.schedule import Group, Yield

# Makes one equation of a group, or leaves it to be opened.
Whole = Callable[[Group], JaxprEqn | None]


def emit(module: ModuleOp, whole: Whole | None = None) -> compat.ClosedJaxpr:
    """Returns the traced function a Graph or Schedule module stands for.

    `whole` makes one equation of a group that is not to be opened.

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
    return _emit_block(function.block, function.jaxpr, whole)


def emit_group(group: Group) -> compat.ClosedJaxpr:
    """Returns the body of a group as a closed jaxpr of its operands."""
    assert group.block is not None
    invars = [Var(jax_type(x)) for x in group.operands]
    results, equations, constants = _emitted(group.block, invars, None)
    jaxpr = compat.new_jaxpr([var for var, _ in constants], invars, results, equations)
    return compat.closed(jaxpr, [array for _, array in constants])


def _emit_block(block: Block, origin: Any, whole: Whole | None) -> compat.ClosedJaxpr:
    """Returns a block as a closed jaxpr with the effects and names of the one it was captured from."""
    invars = [Var(v.aval) for v in origin.invars]
    results, equations, constants = _emitted(block, invars, whole)
    return compat.closed_jaxpr(invars, results, equations, constants, origin)


def _emitted(
    block: Block, invars: Sequence[Var], whole: Whole | None
) -> tuple[list[Any], list[JaxprEqn], list[tuple[Var, Any]]]:
    """Returns the results, equations and array constants of a block over these variables."""
    atoms: dict[SSAValue, Any] = dict(zip(block.args, invars, strict=True))
    constants: list[tuple[Var, Any]] = []
    equations: list[JaxprEqn] = []
    for op, given in _opened(block, atoms, whole):
        if isinstance(op, Constant):
            atoms[op.result] = _constant(op, constants)
        elif given is not None or isinstance(op, Node):
            operands = [atoms[x] for x in op.operands]
            equation = _equation(op, operands, whole) if given is None else _over(given, operands)
            equations.append(equation)
            atoms.update(zip(op.results, equation.outvars, strict=True))
        elif isinstance(op, Return | Yield):
            return [atoms[x] for x in op.operands], equations, constants
    raise CompileError(Code.E_GRAPH_INVALID, "a block of the graph does not end in a return.")


def _opened(
    block: Block, atoms: dict[SSAValue, Any], whole: Whole | None
) -> Iterator[tuple[Operation, JaxprEqn | None]]:
    """Yields the ops of a block with groups opened, or with the equation of a group that stays whole.

    What an opened group reads and gives back is put into `atoms`.
    """
    for op in block.ops:
        if not isinstance(op, Group) or op.block is None:
            yield op, None
            continue
        given = None if whole is None else whole(op)
        if given is not None:
            yield op, given
            continue
        atoms.update({a: atoms[x] for a, x in zip(op.block.args, op.operands, strict=True)})
        for inner in op.block.ops:
            if isinstance(inner, Yield):
                results = [atoms[x] for x in inner.operands]
                atoms.update(zip(op.results, results, strict=True))
            else:
                yield inner, None


def _constant(op: Constant, constants: list[tuple[Var, Any]]) -> Any:
    if isinstance(op.atom, Literal):
        return op.atom
    var = Var(op.aval)
    constants.append((var, op.atom))
    return var


def _over(equation: JaxprEqn, operands: Sequence[Any]) -> JaxprEqn:
    """Returns an equation of other operands, with results of its own."""
    outvars = [Var(v.aval) for v in equation.outvars]
    return equation.replace(invars=list(operands), outvars=outvars)


def _equation(node: Operation, operands: Sequence[Any], whole: Whole | None) -> JaxprEqn:
    assert isinstance(node, Node)
    if node.equation is None:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{node.name} was parsed from text, which cannot be run."
        )
    equation = node.equation
    params = {**equation.params, **_called(node, whole)}
    effects = compat.moved_effects(equation.effects, equation.invars, operands)
    return _over(equation, operands).replace(params=params, effects=effects)


def _called(node: Node, whole: Whole | None) -> dict[str, Any]:
    """Returns the parameters of a node that hold jaxprs, made from its regions."""
    assert node.equation is not None
    names = REWRITABLE.get(node.equation.primitive.name, ())
    emitted = iter(
        _emit_block(region.block, jaxpr, whole)
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
