"""How IR is written down: short assembly for people, generic form for MLIR.

op          ::= results `=` name operands? attributes? `:` function-type region*
tile op     ::= results `=` name operands? attributes? (`->` types)? region*
end         ::= name operands? attributes? (`:` types)?                return and yield
group       ::= results `=` name `(` (%arg `=`)? operand, … `)` attributes? `:` function-type body?
function    ::= name `@`symbol `(` %arg `:` type, … `)` (`->` types)? (`attributes` dictionary)? body
module      ::= `module` `@`symbol? (`attributes` dictionary)? body

A tile op leaves out the types of its operands: a program is read from the top, and they stand there.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from xdsl.dialects.builtin import FunctionType, ModuleOp, StringAttr, UnknownLoc
from xdsl.ir import Attribute, BlockArgument, Operation, Region, SSAValue
from xdsl.printer import Printer

from tessera.ir import schedule, tile

FUNCTIONS = ("tessera.graph.func", "tessera.tile.func")
ENDS = ("tessera.graph.return", "tessera.schedule.yield", "tessera.tile.yield")
MODULE_PREFIX = (
    "tessera."  # MLIR's generic form wants a dialect before the name of a module's attribute
)
GROUPS = tuple(kind.name for kind in schedule.GROUPS)


class TextPrinter(Printer):
    """Prints a module in one of the two forms.

    A value keeps its name where it has one, and a suffix tells apart those that share it. With
    `names=False` values are numbered in the order they are printed.
    """

    def __init__(
        self, stream: io.StringIO, *, generic: bool, locations: bool, names: bool = True
    ) -> None:
        super().__init__(
            stream,
            print_generic_format=generic,
            print_properties_as_attributes=True,
            print_debuginfo=locations,
        )
        self._keeps_names = names
        self._taken: list[dict[str, int]] = [{}]
        self._texts: dict[Attribute, str] = {}
        self._texts_by_id: dict[int, tuple[Attribute, str]] = {}

    def print_attribute(self, attribute: Attribute) -> None:
        """Prints an attribute or type; one that was printed before costs a lookup."""
        # By identity first: hashing a type walks all of it. Kept, so that its id stays its own.
        found = self._texts_by_id.get(id(attribute))
        if found is None:
            text = self._texts.get(attribute)
            if text is None:
                text = self._texts[attribute] = attribute_text(attribute)
            found = self._texts_by_id[id(attribute)] = (attribute, text)
        self.print_string(found[1])

    def print_ssa_value(self, value: SSAValue) -> str:
        """Prints a value by the name that is its own here, and returns it."""
        name = self._ssa_values.get(value)
        if name is None:
            name = self._free_name(value.name_hint if self._keeps_names else None)
            self._ssa_values[value] = name
        self.print_string("%" + name)
        return name

    def _free_name(self, hint: str | None) -> str:
        if hint is None:
            return self._get_new_valid_name_id()
        taken = self._taken[-1]
        count = taken.get(hint, 0)
        name = hint if count == 0 else f"{hint}_{count}"
        while name in taken:
            count += 1
            name = f"{hint}_{count}"
        taken[hint] = count + 1
        taken.setdefault(name, 1)
        return name

    def enter_scope(self) -> None:
        """Starts a function, whose names are free again after it."""
        super().enter_scope()
        self._taken.append(dict(self._taken[-1]))

    def exit_scope(self) -> None:
        """Ends a function."""
        super().exit_scope()
        self._taken.pop()

    def print_op_attributes(
        self,
        attributes: Mapping[str, Attribute],
        *,
        reserved_attr_names: Iterable[str] = (),
        print_keyword: bool = False,
    ) -> bool:
        """Prints an op's attributes; in alphabetical order where values have no names either."""
        if not self._keeps_names:
            attributes = dict(sorted(attributes.items()))
        return super().print_op_attributes(
            attributes, reserved_attr_names=reserved_attr_names, print_keyword=print_keyword
        )

    def print_op(self, op: Operation) -> None:
        """Prints one op, with its regions."""
        scope = op.name in FUNCTIONS
        if scope:
            self.enter_scope()
        if isinstance(op, ModuleOp) and self.print_generic_format:
            self._print_generic_module(op)
        elif self.print_generic_format:
            super().print_op(op)
        else:
            self._print_assembly(op)
        if scope:
            self.exit_scope()

    def _print_generic_module(self, module: ModuleOp) -> None:
        attributes = all_attributes(module)
        name = attributes.pop("sym_name", None)
        named = {} if name is None else {"sym_name": name}
        self.print_string(f'"{module.name}"()')
        self.print_regions(module.regions)
        self.print_op_attributes({**named, **{MODULE_PREFIX + k: v for k, v in attributes.items()}})
        self.print_string(" : ")
        self.print_operation_type(module)

    def print_block_argument(self, arg: BlockArgument, print_type: bool = True) -> None:
        """Prints a block argument with its type, and its location where that is known."""
        self.print_ssa_value(arg)
        if print_type:
            self.print_string(": ")
            self.print_attribute(arg.type)
            if self.print_debuginfo and not isinstance(arg.location, UnknownLoc):
                self.print_string(" ")
                self.print_attribute(arg.location)

    def _print_assembly(self, op: Operation) -> None:
        self._print_results(op)
        _FORMS.get(op.name, _print_plain)(self, op)
        if self.print_debuginfo:
            self.print_string(" ")
            self.print_attribute(op.location)


class _AttributePrinter(Printer):
    """Prints attributes with letters of any alphabet as they are."""

    def print_string_literal(self, string: str) -> None:
        """Prints a string in quotes."""
        self.print_string('"' + _SPECIAL.sub(lambda m: f"\\{ord(m[0]):02X}", string) + '"')


_SPECIAL = re.compile(r'[\x00-\x1f\x7f"\\]')


def attribute_text(attribute: Attribute) -> str:
    """Returns the text of an attribute or type.

    >>> print(attribute_text(StringAttr("x ≤ 1")))
    "x ≤ 1"
    """
    stream = io.StringIO()
    _AttributePrinter(stream).print_attribute(attribute)
    return stream.getvalue()


def all_attributes(op: Operation) -> dict[str, Attribute]:
    """Returns what an op says of itself, kept as attributes or as properties."""
    return {**op.attributes, **op.properties}


def _print_plain(printer: TextPrinter, op: Operation) -> None:
    printer.print_string(op.name)
    _print_operands(printer, op.operands)
    printer.print_op_attributes(all_attributes(op))
    _print_type(printer, op)
    for region in op.regions:
        printer.print_string(" ")
        printer.print_region(region)


def _print_tile(printer: TextPrinter, op: Operation) -> None:
    if op.regions and not op.results:
        _print_plain(printer, op)
        return
    printer.print_string(op.name)
    _print_operands(printer, op.operands)
    printer.print_op_attributes(all_attributes(op))
    if op.results:
        printer.print_string(" -> ")
        _print_types(printer, op.result_types)
    for region in op.regions:
        printer.print_string(" ")
        printer.print_region(region)


def _print_end(printer: TextPrinter, op: Operation) -> None:
    printer.print_string(op.name)
    _print_operands(printer, op.operands)
    printer.print_op_attributes(all_attributes(op))
    if op.operands:
        printer.print_string(" : ")
        printer.print_list(op.operand_types, printer.print_attribute)


def _print_group(printer: TextPrinter, op: Operation) -> None:
    body = op.regions[0] if op.regions else None
    arguments = _arguments_for(op, body)
    printer.print_string(op.name)
    with printer.in_parens():
        for place, operand in enumerate(op.operands):
            printer.print_string(", " if place else "")
            if arguments:
                printer.print_ssa_value(arguments[place])
                printer.print_string(" = ")
            printer.print_ssa_value(operand)
    printer.print_op_attributes(all_attributes(op))
    _print_type(printer, op)
    for region in op.regions:
        printer.print_string(" ")
        printer.print_region(region, print_entry_block_args=not arguments)


def _arguments_for(op: Operation, body: Region | None) -> Sequence[SSAValue]:
    """Returns the body's arguments where they mirror the operands, which a wrong group may not do."""
    block = body.first_block if body is not None else None
    if block is None or len(block.args) != len(op.operands) or not block.first_op:
        return ()
    return block.args


def _print_function(printer: TextPrinter, op: Operation) -> None:
    attributes = all_attributes(op)
    name = cast(StringAttr, attributes.pop("sym_name"))
    kind = cast(FunctionType, attributes.pop("function_type"))
    printer.print_string(op.name + " ")
    printer.print_symbol_name(name.data)
    block = op.regions[0].first_block
    with printer.in_parens():
        printer.print_list(block.args if block else (), printer.print_block_argument)
    if kind.outputs.data:
        printer.print_string(" -> ")
        _print_types(printer, kind.outputs.data)
    printer.print_op_attributes(attributes, print_keyword=True)
    printer.print_string(" ")
    printer.print_region(op.regions[0], print_entry_block_args=False, print_empty_block=False)


def _print_module(printer: TextPrinter, op: Operation) -> None:
    attributes = all_attributes(op)
    name = attributes.pop("sym_name", None)
    printer.print_string("module")
    if isinstance(name, StringAttr):
        printer.print_string(" ")
        printer.print_symbol_name(name.data)
    printer.print_op_attributes(attributes, print_keyword=True)
    printer.print_string(" ")
    printer.print_region(op.regions[0], print_empty_block=False)


def _print_operands(printer: TextPrinter, operands: Sequence[SSAValue]) -> None:
    if operands:
        printer.print_string(" ")
        printer.print_list(operands, printer.print_ssa_value)


def _print_type(printer: TextPrinter, op: Operation) -> None:
    printer.print_string(" : ")
    printer.print_function_type(op.operand_types, op.result_types)


def _print_types(printer: TextPrinter, types: Sequence[Attribute]) -> None:
    if len(types) == 1 and not isinstance(types[0], FunctionType):
        printer.print_attribute(types[0])
        return
    with printer.in_parens():
        printer.print_list(types, printer.print_attribute)


_FORMS: Mapping[str, Callable[[TextPrinter, Operation], None]] = {
    ModuleOp.name: _print_module,
    **{kind.name: _print_tile for kind in tile.OPS},
    **dict.fromkeys(FUNCTIONS, _print_function),
    **dict.fromkeys(ENDS, _print_end),
    **dict.fromkeys(GROUPS, _print_group),
}
