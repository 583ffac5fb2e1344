"""Between IR and text: `parse`, `to_text`, `fingerprint`."""

import hashlib
import io

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.utils.exceptions import ParseError
from xdsl.utils.lexer import Span

from tessera.core.errors import Code, CompileError
from tessera.ir.check import Finding, findings
from tessera.ir.parser import TextParser
from tessera.ir.printer import TextPrinter


def parse(text: str, name: str = "<string>") -> ModuleOp:
    """Returns the verified module that a text says, at any level, in either form.

    A text of bare ops is a fragment: it becomes a function whose arguments are the operands that nothing
    defines, with the types the ops state (`none` where they state none), and whose results are those that
    nothing uses.

    Raises `E_GRAPH_INVALID` for text that is no IR, and the code of the rule for IR that breaks one; the
    message begins with file, line and column and shows the line.

    >>> module = parse('%0 = "tsched.pipeline"(%A, %B) {double_buffer=true}')
    >>> print(to_text(module, generic=True).splitlines()[3].strip())
    %0 = "tessera.schedule.pipeline"(%A, %B) {double_buffer = true} : (none, none) -> none
    """
    try:
        parser = TextParser(text, name)
        module = parser.parse_text()
    except ParseError as error:
        raise _syntax_error(error) from None
    for finding in findings(module):
        raise _rule_error(finding, parser.spans.get(finding.op))
    return module


def to_text(module: Operation, *, generic: bool = False, locations: bool = False) -> str:
    """Returns the text of a module, or of one op: short assembly, or MLIR's generic form.

    >>> print(to_text(parse("%1 = tessera.graph.relu %x : (tensor<2xf32>) -> tensor<2xf32>")))
    module attributes {level = "graph"} {
      tessera.graph.func @fragment(%x: tensor<2xf32>) -> tensor<2xf32> {
        %0 = tessera.graph.relu %x : (tensor<2xf32>) -> tensor<2xf32>
        tessera.graph.return %0 : tensor<2xf32>
      }
    }
    """
    stream = io.StringIO()
    TextPrinter(stream, generic=generic, locations=locations).print_op(module)
    return stream.getvalue()


def fingerprint(module: ModuleOp) -> str:
    """Returns a hash of what a module says, whatever its values are called and wherever it was written.

    >>> one, other = (f"%b = jax.exp %{x} : (tensor<f32>) -> tensor<f32>" for x in "xy")
    >>> fingerprint(parse(one)) == fingerprint(parse(other))
    True
    """
    stream = io.StringIO()
    TextPrinter(stream, generic=True, locations=False, names=False).print_op(module)
    return hashlib.sha256(stream.getvalue().encode()).hexdigest()


def _syntax_error(error: ParseError) -> CompileError:
    # xdsl says only where in the grammar it was when a text ends too early.
    problem = error.msg if error.msg[:1] != " " else f"the text is incomplete{error.msg}"
    place = f"{error.span.get_location()}: {problem}{_excerpt(error.span)}"
    hint = "a module's attributes follow the word `attributes`" if "'level'" in problem else ()
    return CompileError(Code.E_GRAPH_INVALID, place, hints=hint, where="text")


def _rule_error(finding: Finding, span: Span | None) -> CompileError:
    if span is None:
        return finding.error()
    at = Finding(
        finding.code, finding.message, finding.hints, finding.level, finding.op,
        str(span.get_location()),
    )  # fmt: skip
    return at.error(_excerpt(span))


def _excerpt(span: Span[str] | Span[bytes]) -> str:
    source = str(span.input.content)
    first = source.rfind("\n", 0, span.start) + 1
    end = source.find("\n", span.start)
    line = source[first : len(source) if end < 0 else end]
    length = max(1, min(span.end - span.start, len(line) - (span.start - first)))
    return f"\n  {line}\n  {' ' * (span.start - first)}{'^' * length}"
