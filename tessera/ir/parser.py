"""How text becomes IR: MLIR's generic form, the assembly of `tessera.ir.printer`, and fragments of either.

Every op knows the line and column it was read from. An op line without its function type takes the types of
values that are defined, and `none` for the rest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from xdsl.context import Context
from xdsl.dialects import builtin
from xdsl.dialects.builtin import (
    FileLineColLoc,
    FunctionType,
    LocationAttr,
    ModuleOp,
    NoneType,
    StringAttr,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue, TypeAttribute
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.parser.generic_parser import ParserState
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input, Position, Span, Token
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

from tessera.ir import graph, schedule, tile, types
from tessera.ir.printer import ENDS, FUNCTIONS, GROUPS, MODULE_PREFIX

ALIASES = {
    "tgraph.": graph.OP_PREFIX,
    "tsched.": schedule.PREFIX,
    "ttile.": tile.PREFIX,
}
SHORT = {
    "module": ModuleOp.name,
    "func": "tessera.graph.func",
    "return": "tessera.graph.return",
}
CLASSES: Mapping[str, type[Operation]] = {
    kind.name: kind
    for kind in (
        ModuleOp, graph.Func, graph.Return, graph.Constant, *schedule.OPS, *tile.OPS
    )
}  # fmt: skip
TYPES: Mapping[str, type[TypeAttribute]] = {
    kind.name: kind for kind in (types.Key, types.Other, tile.Tile)
}


def full_name(name: str) -> str:
    """Returns the name of an op or type with its alias spelled out.

    >>> full_name("tsched.fuse")
    'tessera.schedule.fuse'
    """
    for alias, prefix in ALIASES.items():
        if name.startswith(alias):
            return prefix + name.removeprefix(alias)
    return SHORT.get(name, name)


class TextContext(Context):
    """Finds the ops and types of the three dialects, and any `jax.<primitive>`, by name."""

    def get_optional_op(
        self, name: str, *, dialect_stack: Sequence[str] = ()
    ) -> type[Operation] | None:
        """Returns the class of an op, or None where no dialect has it."""
        name = full_name(name)
        found = CLASSES.get(name)
        if found is None and name.startswith((graph.OP_PREFIX, graph.JAX_PREFIX)):
            return graph.node_class(name)
        return found

    def get_optional_type(self, name: str) -> type[TypeAttribute] | None:
        """Returns the class of a type, or None where no dialect has it."""
        return TYPES.get(full_name(name))


class TextLexer(MLIRLexer):
    """MLIR's tokens, beside names of `jax` ops, which may have dashes: `jax.scatter-add`.

    A quoted text of any alphabet is a string, and an open quote is found in linear time.
    """

    _dashed = re.compile(r"-[A-Za-z0-9_$.]+")

    # xdsl's own pattern repeats a repetition, which takes exponential time where no closing quote follows.
    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*"')

    def _lex_bare_identifier(self, start_pos: Position) -> MLIRToken:
        token = super()._lex_bare_identifier(start_pos)
        if not token.text.startswith(graph.JAX_PREFIX):
            return token
        while self._consume_regex(self._dashed) is not None:
            pass
        return self._form_token(MLIRTokenKind.BARE_IDENT, start_pos)

    def _lex_string_literal(self, start_pos: Position) -> MLIRToken:
        token = super()._lex_string_literal(start_pos)
        if token.kind == MLIRTokenKind.BYTES_LIT:
            try:
                StringLiteral.from_span(token.span).bytes_contents.decode()
            except UnicodeDecodeError:
                return token
            return Token(MLIRTokenKind.STRING_LIT, token.span)
        return token


class TextParser(Parser):
    """Reads a module, or a fragment that becomes one; remembers where each op stands."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(TextContext(), "", name)
        self._parser_state = ParserState(TextLexer(Input(text, name)))
        self.spans: dict[Operation, Span] = {}
        self._uses: dict[str, Span] = {}
        self._result_count = 0

    def parse_text(self) -> ModuleOp:
        """Returns the module that the whole input says; any fault is a `ParseError` with its place."""
        try:
            return self._parse_all()
        except VerifyException as error:  # an attribute or type that contradicts itself
            raise ParseError(self._current_token.span, str(error)) from None

    def _parse_all(self) -> ModuleOp:
        tops = self._parse_tops()
        loose = [op for op in tops if not isinstance(op, ModuleOp) and op.name not in FUNCTIONS]
        if loose and len(loose) < len(tops):
            self.raise_error(
                "an op stands beside a function or module; it belongs inside one",
                self.spans[loose[0]],
            )
        if loose:
            return self._module([self._fragment(loose)])
        self._check_all_defined()
        if len(tops) == 1 and isinstance(tops[0], ModuleOp):
            return tops[0]
        return self._module(tops)

    def _parse_tops(self) -> list[Operation]:
        tops: list[Operation] = []
        while self._current_token.kind != MLIRTokenKind.EOF:
            if self._current_token.kind in _ALIAS_TOKENS:
                self._parse_alias_def()
                continue
            op = self.parse_optional_operation()
            if op is None:
                self.raise_error("an operation is expected here")
            tops.append(op)
        if not tops:
            self.raise_error("the text has no operation")
        return tops

    def _module(self, ops: list[Operation]) -> ModuleOp:
        module = ModuleOp(ops, {"level": StringAttr(level_of(ops))})
        self.spans[module] = self.spans[ops[0]]
        module.location = ops[0].location
        return module

    def _check_all_defined(self) -> None:
        for name in self.forward_ssa_references:
            self.raise_error(f"%{name} is used but never defined", self._uses[name])

    def _fragment(self, ops: list[Operation]) -> Operation:
        """Returns a function around bare ops: undefined operands are arguments, unused results results."""
        span = self.spans[ops[0]]
        block = Block()
        for name, places in list(self.forward_ssa_references.items()):
            if set(places) != {0}:
                self.raise_error(f"%{name} is used but never defined", self._uses[name])
            argument = block.insert_arg(places[0].type, len(block.args))
            self._register_ssa_definition(name, (argument,), self._uses[name])
        results = [result for op in ops for result in op.results if not result.uses]
        block.add_ops(ops)
        if not isinstance(ops[-1], graph.Return):
            end = graph.Return.create(operands=results)
            self._place(end, span)
            block.add_op(end)
        outputs = cast(Operation, block.last_op).operand_types
        function = graph.new_function("fragment", block, outputs)
        self._place(function, span)
        return function

    def resolve_operand(
        self,
        operand: UnresolvedOperand,
        type: Attribute,  # noqa: A002 - the name in the base class
    ) -> SSAValue:
        """Returns the value an operand names, or a placeholder until it is defined."""
        if operand.operand_name not in self.ssa_values:
            self._uses.setdefault(operand.operand_name, operand.span)
        return super().resolve_operand(operand, type)

    def parse_operation(self) -> Operation:
        """Returns one op, in either form."""
        start = self._current_token.span
        bound = self._parse_op_result_list()
        self._result_count = sum(count for _, count in bound)
        token = self._parse_optional_token(MLIRTokenKind.BARE_IDENT)
        if token is not None:
            kind = self._kind(token.text, token.span)
            op = _FORMS.get(kind.name, _parse_plain)(self, kind)
        else:
            span = self._current_token.span
            name = self.expect(self.parse_optional_str_literal, "operation name expected")
            op = self._parse_generic_operation(self._kind(name, span))
        self._place(op, start, self.parse_optional_location())
        self._bind(op, bound, start)
        return op

    def _kind(self, name: str, span: Span) -> type[Operation]:
        kind = self.ctx.get_optional_op(name)
        if kind is not None:
            return kind
        prefix = full_name(name).rpartition(".")[0] + "."
        known = [each.removeprefix(prefix) for each in CLASSES if each.startswith(prefix)]
        dialects = (graph.OP_PREFIX, schedule.PREFIX, tile.PREFIX, graph.JAX_PREFIX)
        fix = f"known: {', '.join(known)}" if known else f"dialects: {', '.join(dialects)}"
        raise ParseError(span, f"there is no op {full_name(name)!r}; {fix}")

    def _bind(self, op: Operation, bound: list[tuple[Span, int]], start: Span) -> None:
        count = sum(size for _, size in bound)
        if count and count != len(op.results):
            self.raise_error(
                f"{op.name} has {len(op.results)} results, but {count} names are given", start
            )
        first = 0
        for span, size in bound:
            self._register_ssa_definition(span.text[1:], op.results[first : first + size], span)
            first += size

    def _place(self, op: Operation, span: Span, location: LocationAttr | None = None) -> None:
        self.spans[op] = span
        if location is None:
            place = span.get_location()
            location = FileLineColLoc(
                StringAttr(place.file), builtin.IntAttr(place.line), builtin.IntAttr(place.col)
            )
        op.location = location

    def _parse_generic_operation(self, op_type: type[Operation]) -> Operation:
        count = self._result_count
        operands = self.parse_op_args_list()
        if self._current_token.kind == MLIRTokenKind.L_SQUARE:
            self.raise_error("ops have no successor blocks here; control flow is regions")
        attributes = self.parse_optional_properties_dict()
        regions = self.parse_region_list()
        attributes = {**attributes, **self.parse_optional_attr_dict()}
        position = self._current_token.span.start
        kind = self.parse_type_of(operands, count)
        return self.make(op_type, operands, kind, attributes, regions, position)

    def parse_type_of(self, operands: Sequence[UnresolvedOperand], count: int) -> FunctionType:
        """Returns the function type that follows, or what can be known without one."""
        if self.parse_optional_punctuation(":") is not None:
            return self.parse_function_type()
        outputs = self.parse_outputs() or [NoneType()] * count
        return FunctionType.from_lists([self._known_type(o) for o in operands], outputs)

    def parse_outputs(self) -> list[Attribute]:
        """Returns the types after `->`, if it follows."""
        if self.parse_optional_punctuation("->") is None:
            return []
        several = self.parse_optional_comma_separated_list(self.Delimiter.PAREN, self.parse_type)
        return [self.parse_type()] if several is None else list(several)

    def _known_type(self, operand: UnresolvedOperand) -> Attribute:
        values = self.ssa_values.get(operand.operand_name, ())
        if operand.index < len(values):
            return values[operand.index].type
        forward = self.forward_ssa_references.get(operand.operand_name, {}).get(operand.index)
        return NoneType() if forward is None else forward.type

    def make(
        self,
        op_type: type[Operation],
        operands: Sequence[UnresolvedOperand],
        kind: FunctionType,
        attributes: Mapping[str, Attribute],
        regions: Sequence[Region],
        position: Position,
    ) -> Operation:
        """Returns the op, with each attribute where its class declares it."""
        values = self.resolve_operands(operands, kind.inputs.data, position)
        if op_type is ModuleOp:
            attributes = without_prefix(attributes)
        declared: frozenset[str] = frozenset()
        if issubclass(op_type, IRDLOperation):
            declared = frozenset(op_type.get_irdl_definition().properties)
        return op_type.create(
            operands=values,
            result_types=kind.outputs.data,
            attributes={name: a for name, a in attributes.items() if name not in declared},
            properties={name: a for name, a in attributes.items() if name in declared},
            regions=regions,
        )

    def parse_operands(self) -> list[UnresolvedOperand]:
        """Returns the operands that follow, separated by commas; none is fine."""
        first = self.parse_optional_unresolved_operand()
        if first is None:
            return []
        operands = [first]
        while self.parse_optional_punctuation(",") is not None:
            operands.append(self.parse_unresolved_operand())
        return operands

    def parse_regions(self) -> list[Region]:
        """Returns the regions that follow."""
        regions: list[Region] = []
        while (region := self.parse_optional_region()) is not None:
            regions.append(region)
        return regions

    def parse_block_argument(self) -> Parser.Argument:
        """Returns `%name: type`, with its location where it has one."""
        argument = self.parse_argument()
        argument.location = self.parse_optional_location()
        return argument


_ALIAS_TOKENS = (MLIRTokenKind.HASH_IDENT, MLIRTokenKind.EXCLAMATION_IDENT)


def level_of(ops: Sequence[Operation]) -> str:
    """Returns the lowest level at which any of the ops, or of those inside them, stands."""
    names = [inner.name for op in ops for inner in op.walk()]
    for level, prefix in (("tile", tile.PREFIX), ("schedule", schedule.PREFIX)):
        if any(name.startswith(prefix) for name in names):
            return level
    return "graph"


def without_prefix(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Returns a module's attributes by their own names: MLIR wants them prefixed by a dialect.

    >>> sorted(without_prefix({"tessera.level": StringAttr("graph"), "sym_name": StringAttr("demo")}))
    ['level', 'sym_name']
    """
    return {name.removeprefix(MODULE_PREFIX): value for name, value in attributes.items()}


def _parse_plain(parser: TextParser, kind: type[Operation]) -> Operation:
    count = parser._result_count
    operands = parser.parse_operands()
    attributes = parser.parse_optional_attr_dict()
    position = parser.pos
    function_type = parser.parse_type_of(operands, count)
    regions = parser.parse_regions()
    return parser.make(kind, operands, function_type, attributes, regions, position)


def _parse_end(parser: TextParser, kind: type[Operation]) -> Operation:
    operands = parser.parse_operands()
    attributes = parser.parse_optional_attr_dict()
    position = parser.pos
    if parser.parse_optional_punctuation(":") is not None:
        given = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        function_type = FunctionType.from_lists(given, [])
    else:
        function_type = parser.parse_type_of(operands, 0)
    return parser.make(kind, operands, function_type, attributes, (), position)


def _parse_group(parser: TextParser, kind: type[Operation]) -> Operation:
    count = parser._result_count
    names: list[Span] = []
    operands: list[UnresolvedOperand] = []

    def parse_input() -> None:
        operand = parser.parse_unresolved_operand()
        if parser.parse_optional_punctuation("=") is not None:
            names.append(operand.span)
            operand = parser.parse_unresolved_operand()
        operands.append(operand)

    parser.parse_comma_separated_list(parser.Delimiter.PAREN, parse_input)
    attributes = parser.parse_optional_attr_dict()
    position = parser.pos
    function_type = parser.parse_type_of(operands, count)
    if names and len(names) != len(function_type.inputs.data):
        parser.raise_error("name every input of a group for its body, or none", names[0])
    arguments = list(map(Parser.Argument, names, function_type.inputs.data))
    body = parser.parse_optional_region(arguments if names else None)
    regions = [] if body is None else [body]
    return parser.make(kind, operands, function_type, attributes, regions, position)


def _parse_function(parser: TextParser, kind: type[Operation]) -> Operation:
    position = parser.pos
    name = parser.parse_symbol_name()
    arguments = parser.parse_comma_separated_list(
        parser.Delimiter.PAREN, parser.parse_block_argument
    )
    outputs = parser.parse_outputs()
    given = parser.parse_optional_attr_dict_with_keyword(("sym_name", "function_type"))
    inputs = [argument.type for argument in arguments]
    attributes: dict[str, Attribute] = {
        "sym_name": name,
        "function_type": FunctionType.from_lists(inputs, outputs),
        **({} if given is None else given.data),
    }
    region = parser.parse_region(arguments)
    nothing = FunctionType.from_lists([], [])
    return parser.make(kind, (), nothing, attributes, [region], position)


def _parse_module(parser: TextParser, _kind: type[Operation]) -> Operation:
    module = ModuleOp.parse(parser)
    module.attributes = without_prefix(module.attributes)
    return module


_FORMS: Mapping[str, Callable[[TextParser, type[Operation]], Operation]] = {
    ModuleOp.name: _parse_module,
    **dict.fromkeys(FUNCTIONS, _parse_function),
    **dict.fromkeys(ENDS, _parse_end),
    **dict.fromkeys(GROUPS, _parse_group),
}
