"""Verification: every rule a module must satisfy, at any level, before a pass or an emitter may trust it.

Beside what each op checks of itself: a value is defined before its use and where it can be seen, a function's
type is that of its body, and a returned value has the type the function states.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import FileLineColLoc, ModuleOp, StringAttr
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.irdl import IRDLOperation, VerificationContext
from xdsl.utils.exceptions import VerifyException

from tessera.core.errors import Code, CompileError
from tessera.ir import graph, schedule, tile

ISOLATED = (ModuleOp, graph.Func, schedule.Group, tile.Func)

LEVELS = ("graph", "schedule", "tile")
CODES = (
    (tile.PREFIX, Code.E_TILE_LOWERING, "tile"),
    (schedule.PREFIX, Code.E_SCHEDULE_FUSE_FAIL, "schedule"),
    ("", Code.E_GRAPH_INVALID, "graph"),
)


_USE_HINT = "Define it earlier; a group, function or kernel sees its own arguments only."


@dataclass(frozen=True)
class Finding:
    """One broken rule: its code, what it says, the fix, the level, the op and where the op was written."""

    code: Code
    message: str
    hints: tuple[str, ...]
    level: str
    op: Operation
    location: str

    def error(self, excerpt: str = "") -> CompileError:
        """Returns the finding as an error, with the source line below it where that is given."""
        place = f"{self.location}: " if self.location else ""
        return CompileError(
            self.code, place + self.message + excerpt, hints=self.hints, where=self.level
        )

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        return f"{place}{self.message} [{self.code.value}]"


def verify(module: ModuleOp) -> None:
    """Raises a `CompileError` for the first rule that a module breaks.

    The error names op, rule, values and fix, and where the op was written if that is known.

    >>> from tessera.ir.text import parse
    >>> verify(parse("%1 = tessera.graph.relu %0 : (tensor<2xf32>) -> tensor<2xf32>"))
    """
    for finding in _found(module):
        raise finding.error()


def findings(module: ModuleOp) -> tuple[Finding, ...]:
    """Returns every rule a module breaks, in the order of its ops.

    >>> from tessera.ir.text import parse
    >>> findings(parse("%1 = tessera.graph.relu %0 : (tensor<2xf32>) -> tensor<2xf32>"))
    ()
    """
    return tuple(_found(module))


def _found(module: ModuleOp) -> list[Finding]:
    walk = _Walk()
    walk.check(module)
    return walk.found


class _Walk:
    """Goes through a module in program order with the values that may be used at each place."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._visible: set[int] = set()  # ids: values are alive here, and hash through Python
        self._level = LEVELS[-1]

    def _enter(self, module: ModuleOp) -> None:
        _check_names(module)
        level = module.attributes.get("level")
        if level is None:
            return
        if not isinstance(level, StringAttr) or level.data not in LEVELS:
            known = ", ".join(LEVELS)
            raise _error(module, f"level {level} is unknown; levels: {known}")
        self._level = level.data

    def check(self, op: Operation) -> None:
        """Checks an op and what is inside it."""
        visible = self._visible
        for place, operand in enumerate(op.operands):
            if id(operand) not in visible:
                self._undefined(op, place, operand)
        if _was_checked(op):
            return
        try:
            if isinstance(op, ModuleOp):
                self._enter(
                    op
                )  # what it would check itself, what is visible where, is checked here
            else:
                op.verify(verify_nested_ops=False)
            _check_level(op, self._level)
            if isinstance(op, graph.Func):
                _check_function(op)
        except CompileError as error:
            self.found.append(_from_error(op, error))
        except VerifyException as error:
            self.found.append(_finding(op, _culprit(op) + str(error).rstrip("."), ""))
        if op.regions:
            self._check_regions(op)

    def _check_regions(self, op: Operation) -> None:
        outer = self._visible
        if isinstance(op, ISOLATED):
            self._visible = set()
        for region in op.regions:
            for block in region.blocks:
                self._check_block(block)
        self._visible = outer

    def _check_block(self, block: Block) -> None:
        visible, inside = self._visible, [id(x) for x in block.args]
        visible.update(inside)
        for op in graph.ops_of(block):
            self.check(op)
            for result in op.results:
                inside.append(id(result))
                visible.add(id(result))
        visible.difference_update(inside)

    def _undefined(self, op: Operation, place: int, operand: SSAValue) -> None:
        name = f" %{operand.name_hint}" if operand.name_hint else ""
        text = f"operand {place}{name} is not defined above its use, in this block or one around it"
        self.found.append(_finding(op, text, _USE_HINT))


def _was_checked(op: Operation) -> bool:
    """Returns whether an op has nothing left to check: JAX traced it, or the group it ends looks at it.

    Nodes that end a block or have regions are looked at.
    """
    if graph.is_node(op):
        return op.equation is not None and not op.regions and op.next_op is not None
    if isinstance(op, schedule.Yield):
        return not op.regions and op.next_op is None and isinstance(op.parent_op(), schedule.Group)
    return isinstance(op, graph.Constant) and op.atom is not None


def _check_names(module: ModuleOp) -> None:
    seen: set[str] = set()
    for op in module.ops:
        if isinstance(op, graph.Func | tile.Func):
            if op.sym_name.data in seen:
                raise _error(op, f"there is another function {op.sym_name.data!r} in the module")
            seen.add(op.sym_name.data)


def _check_level(op: Operation, level: str) -> None:
    """Raises if an op belongs to a level below that of its module."""
    own = next((word for word in LEVELS if op.name.startswith(f"tessera.{word}.")), level)
    if LEVELS.index(own) > LEVELS.index(level):
        raise _error(op, f"an op of level {own} in a module of level {level}")


def _check_function(op: graph.Func) -> None:
    block = op.body.block
    inputs, outputs = op.function_type.inputs.data, op.function_type.outputs.data
    end = block.last_op
    if not isinstance(end, graph.Return):
        raise _error(op, "a function ends in tessera.graph.return")
    if tuple(block.arg_types) != tuple(inputs):
        given = _words(block.arg_types)
        raise _error(
            op, f"function_type has the body's arguments: ({_words(inputs)}) and ({given})"
        )
    if tuple(end.operand_types) != tuple(outputs):
        given = _words(end.operand_types)
        raise _error(op, f"function_type has what is returned: ({_words(outputs)}) and ({given})")


def _culprit(op: Operation) -> str:
    """Returns the attribute an op's declaration refuses, for the message, or nothing if it is not one."""
    if not isinstance(op, IRDLOperation):
        return ""
    for name, declared in op.get_irdl_definition().attributes.items():
        given = op.attributes.get(name)
        try:
            if given is not None:
                declared.constr.verify(given, VerificationContext())
        except VerifyException:
            return f"{op.name}: {name} = {given}: "
    return ""


def _error(op: Operation, text: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op.name}: {text}.", where="graph")


def _finding(op: Operation, text: str, hint: str) -> Finding:
    code, level = next((c, level) for prefix, c, level in CODES if op.name.startswith(prefix))
    text = text if op.name in text else f"{op.name}: {text}"
    return Finding(code, text + ".", (hint,) if hint else (), level, op, location_of(op))


def _from_error(op: Operation, error: CompileError) -> Finding:
    return Finding(
        error.code, error.message, error.hints, error.where or "graph", op, location_of(op)
    )


def location_of(op: Operation) -> str:
    """Returns `file:line:column` of an op, or an empty string where that is unknown."""
    place = op.location
    if not isinstance(place, FileLineColLoc):
        return ""
    return f"{place.filename.data}:{place.line.data}:{place.column.data}"


def _words(types: Sequence[Attribute]) -> str:
    return ", ".join(map(str, types))
