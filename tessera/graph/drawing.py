"""A level of IR as a picture, in DOT, or as data, in JSON."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.ir import parse

LEVELS = ("graph", "schedule")

_FUNCTION = "tessera.graph.func"
_RETURNS = ("tessera.graph.return", "tessera.schedule.yield")
# Shown of an attribute; a large constant would hide the graph.
_SHOWN = 60


def write(text_of: Callable[[str], str], path: Path, level: str, name: str) -> Path:
    """Writes a level, whose text `text_of` gives, as the suffix of the path says; returns the path.

    Raises `E_GRAPH_INVALID` for another level or suffix; `name` is that of what is exported.
    """
    if level not in LEVELS:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"export of {name!r}: ir={level!r} cannot be drawn.",
            hints=f"levels: {', '.join(LEVELS)}; .inspect(level) gives the text of others",
        )
    if path.suffix not in FORMATS:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"export of {name!r}: unknown suffix {path.suffix!r}.",
            hints=f"suffixes: {', '.join(FORMATS)}",
        )
    path.write_text(FORMATS[path.suffix](text_of(level)), encoding="utf-8")
    return path


def to_json(text: str) -> str:
    """Returns the functions of Graph or Schedule text as JSON.

    A function has `name`, `inputs`, `nodes` and `results`. A node has `op`, `operands` and
    `results`, which are values, `attributes` as text, and `regions`, each again with inputs, nodes
    and results. A value is a number; `types` gives the type of each.

    >>> text = '''module {
    ...   tessera.graph.func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
    ...     tessera.graph.return %x : tensor<2xf32>
    ...   }
    ... }'''
    >>> json.loads(to_json(text))["functions"][0]["inputs"]
    [0]
    """
    values = _Values()
    functions = [
        {"name": function.sym_name.data, **_block(function.body.block, values)}
        for function in _functions(text)
    ]
    return json.dumps({"functions": functions, "types": values.types}, indent=1)


def to_dot(text: str) -> str:
    """Returns Graph or Schedule text as a DOT graph: nodes are operations, edges values with their types.

    An operation with regions, such as a fused group or a loop, is a frame around what it computes.

    >>> text = '''module {
    ...   tessera.graph.func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
    ...     tessera.graph.return %x : tensor<2xf32>
    ...   }
    ... }'''
    >>> print(to_dot(text).splitlines()[0])
    digraph {
    """
    drawing = _Drawing()
    for function in _functions(text):
        drawing.frame(f"func {function.sym_name.data}", function.body.block, ())
    return "\n".join(["digraph {", "  node [shape=box];", *drawing.lines, "}", ""])


FORMATS: dict[str, Callable[[str], str]] = {".dot": to_dot, ".json": to_json}


class _Values:
    """Numbers the values of a module."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is only good while its object lives

    def of(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.types)
            self._kept.append(value)
            self.types.append(str(value.type))
        return self._numbers[id(value)]

    def all(self, values: Sequence[Any]) -> list[int]:
        return [self.of(value) for value in values]


def _functions(text: str) -> Iterator[Any]:
    return (op for op in parse(text).ops if op.name == _FUNCTION)


def _block(block: Any, values: _Values) -> dict[str, Any]:
    inputs = values.all(block.args)
    nodes = [_node(op, values) for op in block.ops if op.name not in _RETURNS]
    return {"inputs": inputs, "nodes": nodes, "results": values.all(_returned(block))}


def _node(op: Any, values: _Values) -> dict[str, Any]:
    return {
        "op": op.name,
        "operands": values.all(op.operands),
        "results": values.all(op.results),
        "attributes": {name: str(attribute) for name, attribute in op.attributes.items()},
        "regions": [_block(region.block, values) for region in op.regions if region.blocks],
    }


def _returned(block: Any) -> Sequence[Any]:
    last = block.last_op
    return last.operands if last is not None and last.name in _RETURNS else ()


class _Drawing:
    """Collects the lines of a DOT graph."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0
        self._source: dict[int, str] = {}  # the DOT node that makes a value
        self._kept: list[Any] = []

    def frame(self, label: str, block: Any, operands: Sequence[Any]) -> list[str]:
        """Draws a block in a frame and returns the DOT nodes of its results.

        A block that takes exactly the operands of its operation is drawn as if it used them itself.
        """
        self.lines += [f"  subgraph cluster_{self._next()} {{", f"  label={_quoted(label)};"]
        for index, argument in enumerate(block.args):
            if len(operands) == len(block.args):
                self._set(argument, self._source[id(operands[index])])
            else:
                self._set(argument, self._point(argument.name_hint or f"arg{index}", "ellipse"))
        for op in block.ops:
            if op.name not in _RETURNS:
                self._operation(op)
        if block.parent_op().name == _FUNCTION:
            end = self._point("return", "ellipse")
            for value in _returned(block):
                self._edge(value, end)
        self.lines.append("  }")
        return [self._source[id(value)] for value in _returned(block)]

    def _operation(self, op: Any) -> None:
        blocks = [region.block for region in op.regions if region.blocks]
        if not blocks:
            self._set_all(op.results, [self._box(op)] * len(op.results))
            return
        inside = [self.frame(_label(op), block, op.operands) for block in blocks]
        if len(blocks) == 1 and len(inside[0]) == len(op.results):
            self._set_all(op.results, inside[0])
        else:
            self._set_all(op.results, [self._box(op)] * len(op.results))

    def _box(self, op: Any) -> str:
        box = self._point(_label(op), "box")
        for value in op.operands:
            self._edge(value, box)
        return box

    def _point(self, label: str, shape: str) -> str:
        name = f"n{self._next()}"
        self.lines.append(f"  {name} [label={_quoted(label)}, shape={shape}];")
        return name

    def _edge(self, value: Any, end: str) -> None:
        self.lines.append(
            f"  {self._source[id(value)]} -> {end} [label={_quoted(str(value.type))}];"
        )

    def _set(self, value: Any, source: str) -> None:
        self._source[id(value)] = source
        self._kept.append(value)

    def _set_all(self, values: Sequence[Any], sources: Sequence[str]) -> None:
        for value, source in zip(values, sources, strict=True):
            self._set(value, source)

    def _next(self) -> int:
        self._count += 1
        return self._count


def _label(op: Any) -> str:
    name = op.name.removeprefix("tessera.graph.").removeprefix("tessera.")
    attributes = [f"{key} = {_short(str(value))}" for key, value in op.attributes.items()]
    return "\n".join([name, *attributes])


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
