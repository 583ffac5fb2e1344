"""jaxpr → Graph: one node per equation, calls opened, Tessera ops by name.

    { lambda ; x:f32[8,4]. let                 tessera.graph.func @f(%x) {
        y = tessera.softmax[axis=1] x     →      %y = tessera.graph.softmax %x {axis = 1}
        z = exp y                                %z = jax.exp %y
      in (z,) }                                  tessera.graph.return %z }

A `jit` without shardings or donation only calls, so its equations take its place. Control flow, checkpoints
and `shard_map` become nodes with regions that passes may rewrite; a function with a derivative rule of its
own (`custom_jvp`, `custom_vjp`) is shown and left as it is. Nothing is refused: what the compiler does not
know is opaque, and XLA compiles it.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jax.core import ShapedArray, Tracer
from jax.extend.core import Jaxpr, JaxprEqn, Literal
from xdsl.dialects import builtin
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from tessera.core import compat
from tessera.core.primitive import PREFIX
from tessera.ir.graph import (
    EFFECTS,
    JAX_PREFIX,
    OP_PREFIX,
    OPEN,
    REWRITABLE,
    SHOWN,
    Constant,
    Node,
    Return,
    effect_of,
    new_function,
    new_module,
    node_class,
)
from tessera.ir.types import type_of

LONGEST = 120  # characters of a parameter shown in the text
KERNEL = (
    f"{PREFIX}kernel"  # a group of a function compiled before, which is planned anew in this one
)

# Parameters that say nothing of what is computed; several differ between versions of JAX.
BOOKKEEPING = frozenset(
    "ft_in ft_out num_consts num_carry cond_nconsts body_nconsts unroll prevent_cse differentiated "
    "jvp jvp_jaxpr_fun symbolic_zeros fwd_jaxpr_thunk fwd bwd out_trees linear debug_info call "
    "call_jaxpr ctx_mesh in_shardings out_shardings in_layouts out_layouts donated_invars keep_unused inline "
    "compiler_options_kvs".split()
)

RANDOM = {"random_bits", "threefry2x32", "rng_uniform", "rng_bit_generator"}
MOVEMENT = {"device_put", "sharding_constraint", "reshard", "layout_constraint", "copy_to_host"}
COLLECTIVE = set(
    "psum psum2 psum_invariant pmax pmin ppermute pbroadcast all_gather all_gather_invariant "
    "all_to_all reduce_scatter psum_scatter ragged_all_to_all unreduced_psum pgather".split()
)


def capture(traced: compat.ClosedJaxpr, name: str = "main", names: Sequence[str] = ()) -> ModuleOp:
    """Returns the Graph module of a traced function, whose arguments the text calls by these names.

    >>> import jax, jax.numpy as jnp
    >>> module = capture(jax.make_jaxpr(jnp.sin)(1.0))
    >>> [op.name for op in module.walk()][2:]
    ['jax.sin', 'tessera.graph.return']
    """
    jaxpr, consts = compat.opened(traced)
    block = _block_of(jaxpr, consts, names)
    end = block.last_op
    assert end is not None
    function = new_function(_identifier(name), block, end.operand_types, jaxpr)
    return new_module(_identifier(name), function, level="graph")


def _block_of(
    jaxpr: Jaxpr, consts: Sequence[Any], names: Sequence[str] = (), may_close: bool = True
) -> Block:
    block = Block(arg_types=[type_of(v.aval) for v in jaxpr.invars])
    for arg, hint in zip(
        block.args,
        _argument_names(names or compat.argument_names(jaxpr), len(jaxpr.invars)),
        strict=True,
    ):
        arg.name_hint = hint
    results = _Importer(block, may_close).run(jaxpr, consts, block.args, None)
    block.add_op(Return.create(operands=results))
    return block


def add_equations(
    block: Block, jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[SSAValue]
) -> list[SSAValue]:
    """Adds a jaxpr's equations to the end of a block and returns its results."""
    return _Importer(block, may_close=True).run(jaxpr, consts, arguments, None)


class _Importer:
    """Adds equations to one block; a number met twice becomes one constant.

    Unless the block may close over arrays, a call that does so stays a call.
    """

    def __init__(self, block: Block, may_close: bool):
        self._block = block
        self._may_close = may_close
        self._constants: dict[Any, SSAValue] = {}

    def run(
        self, jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[SSAValue], caller: Any
    ) -> list[SSAValue]:
        values: dict[Any, SSAValue] = dict(zip(jaxpr.invars, arguments, strict=True))
        for var, array in zip(jaxpr.constvars, consts, strict=True):
            values[var] = self._constant(("array", id(array)), array, var.aval)

        def read(atom: Any) -> SSAValue:
            if isinstance(atom, Literal):
                return self._constant(_number_key(atom), atom, atom.aval)
            return values[atom]

        for equation in jaxpr.eqns:
            equation = _placed(equation, caller)
            operands = [read(atom) for atom in equation.invars]
            called = self._opened(equation)
            if called is not None:
                inner, inner_consts = compat.opened(called)
                results: Sequence[SSAValue] = self.run(inner, inner_consts, operands, equation)
            else:
                node = make_node(equation, operands)
                self._block.add_op(node)
                results = node.results
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _opened(self, equation: JaxprEqn) -> Any:
        """Returns the jaxpr whose equations stand for a call, or None for what is a node of its own."""
        if equation.primitive.name == KERNEL:
            called = equation.params["body"].reference
        elif compat.is_plain_call(equation):
            called = equation.params["jaxpr"]
        else:
            return None
        return called if self._may_close or not compat.opened(called)[1] else None

    def _constant(self, key: Any, atom: Any, aval: Any) -> SSAValue:
        if key not in self._constants:
            op = make_constant(atom, aval)
            self._block.add_op(op)
            self._constants[key] = op.result
        return self._constants[key]


def _number_key(literal: Literal) -> Any:
    """Returns what tells the number of a literal from others; its bits, as 0.0 equals -0.0."""
    held: Any = literal.val
    return type(held), np.asarray(held).tobytes(), literal.aval


def make_node(equation: JaxprEqn, operands: Sequence[SSAValue]) -> Node:
    """Returns the node of an equation."""
    name = equation.primitive.name
    is_op = name.startswith(PREFIX)
    jaxprs = list(_called(equation)) if not is_op else []
    closed = name not in OPEN
    blocks = [_block_of(*compat.opened(jaxpr), may_close=closed) for jaxpr in jaxprs]
    regions = [Region(block) for block in blocks]
    attributes = _statics(equation) if is_op else _parameters(equation)
    effect = _effect(equation, regions)
    if effect != "pure":
        attributes["effect"] = builtin.StringAttr(effect)
    full_name = OP_PREFIX + name.removeprefix(PREFIX) if is_op else JAX_PREFIX + name
    node = node_class(full_name).create(
        operands=operands,
        result_types=[type_of(v.aval) for v in equation.outvars],
        attributes=attributes,
        regions=regions,
    )
    node.equation = equation
    node.jaxprs = [compat.opened(jaxpr)[0] for jaxpr in jaxprs]
    return node


def make_constant(atom: Any, aval: Any) -> Constant:
    """Returns the constant of a jaxpr literal, or of an array that is closed over."""
    value = atom.val if isinstance(atom, Literal) else atom
    op = Constant.create(
        attributes={"value": _shown_value(value, aval)}, result_types=[type_of(aval)]
    )
    op.atom, op.aval = atom, aval
    return op


def _called(equation: JaxprEqn) -> Iterator[Any]:
    name = equation.primitive.name
    for key in (*REWRITABLE.get(name, ()), *SHOWN.get(name, ())):
        held = equation.params[key]
        yield from held if isinstance(held, tuple | list) else (held,)


def _placed(equation: JaxprEqn, caller: JaxprEqn | None) -> JaxprEqn:
    """Returns an equation with the scopes of the call it was found in put before its own."""
    if caller is None:
        return equation
    return compat.in_scope_of(equation, caller)


# -- what the text shows -------------------------------------------------------------------------------


def _statics(equation: JaxprEqn) -> dict[str, Attribute]:
    params = dict(equation.params)
    if all(params.get("present", ())):
        params.pop("present", None)
    return {k: attribute_of(v) for k, v in params.items() if v is not None}


def _parameters(equation: JaxprEqn) -> dict[str, Attribute]:
    name = equation.primitive.name
    hidden = (*REWRITABLE.get(name, ()), *SHOWN.get(name, ()))
    shown = [
        f"{key}={_shown(value)}"
        for key, value in equation.params.items()
        if not (value is None or value is False or _is_empty(value))
        and key not in hidden
        and key not in BOOKKEEPING
    ]
    if name in SHOWN:
        shown.insert(0, f"name={compat.function_name(next(_called(equation)))}")
    return {"params": builtin.StringAttr(" ".join(shown))} if shown else {}


FLAGS = {flag: builtin.BoolAttr.from_bool(flag) for flag in (False, True)}


def attribute_of(value: Any) -> Attribute:
    """Returns a static argument as an attribute; what MLIR has no form for is text."""
    if isinstance(value, bool):
        return FLAGS[value]
    if isinstance(value, int):
        return builtin.IntegerAttr(value, 64)
    if isinstance(value, float):
        return builtin.FloatAttr(value, 64)
    if isinstance(value, tuple | list):
        return builtin.ArrayAttr([attribute_of(item) for item in value])
    return builtin.StringAttr(value if isinstance(value, str) else _shown(value))


def _shown(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value).name
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", type(value).__name__)
    text = " ".join(_ADDRESS.sub("", str(value)).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_empty(value: Any) -> bool:
    return isinstance(value, tuple) and not value


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def _shown_value(value: Any, aval: Any) -> Attribute:
    kind = type_of(aval)
    if isinstance(kind, builtin.TensorType) and aval.shape == () and not isinstance(value, Tracer):
        element = kind.element_type
        if isinstance(element, builtin.IntegerType):
            return builtin.IntegerAttr(int(value), element)
        if isinstance(element, builtin.AnyFloat) and math.isfinite(float(value)):
            return builtin.FloatAttr(float(value), element)
        return builtin.StringAttr(str(value))
    return builtin.StringAttr(f"captured {aval.str_short()}")


def _argument_names(known: Sequence[str | None], count: int) -> Iterator[str | None]:
    taken: set[str] = set()
    for i in range(count):
        name = _value_name(known[i] or "") if i < len(known) else ""
        fresh = name not in taken and (name[:1].isalpha() or name[:1] == "_")
        taken.add(name)
        yield name if fresh else None


def _value_name(text: str) -> str:
    """Returns an argument's name as one of the IR: `params[0]['w']` as `params.0.w`.

    A name that ends in _1 would lose that where it is printed, to number values of one name.
    """
    ascii_name = re.sub(r"\W+", ".", text, flags=re.ASCII).strip(".")
    return re.sub(r"_(\d+)$", r".\1", ascii_name)


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_") or "main"


# -- effects -------------------------------------------------------------------------------------------


def _effect(equation: JaxprEqn, regions: Sequence[Region]) -> str:
    own = _own_effect(equation, bool(regions))
    if not regions:
        return own
    inside = {effect_of(op) for region in regions for op in region.block.ops}
    return max((own, *inside), key=EFFECTS.index)


def _own_effect(equation: JaxprEqn, opened: bool) -> str:
    name = equation.primitive.name
    if name in COLLECTIVE:
        return "collective"
    if _touches_references(equation):
        return "state"
    if equation.effects:
        return "state" if opened and all(map(_is_state, equation.effects)) else "io"
    if name in RANDOM:
        return "random"
    return "movement" if name in MOVEMENT else "pure"


def _is_state(effect: Any) -> bool:
    return type(effect).__name__ in compat.INPUT_EFFECTS


def _touches_references(equation: JaxprEqn) -> bool:
    return any(
        type(atom.aval) is not ShapedArray and not isinstance(atom.aval, ShapedArray)
        for atoms in (equation.invars, equation.outvars)
        for atom in atoms
    )
