"""The body of a tile program as Triton statements, one per op.

    %2 = tessera.tile.dot %x_1, %w_1, %1      →     total = tl.dot(x_1, w_1, total)

Numbers without axes are written where they are used; indices and rows of offsets that are used twice are
computed once. A loop's carried values are variables: the body ends by giving them their next values, or
computes these in place where nothing reads the old one later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects import builtin
from xdsl.ir import Attribute, Block, Operation, SSAValue

from tessera.ir.attributes import integers
from tessera.ir.tile import (
    Cast,
    Dot,
    For,
    Full,
    Func,
    Iota,
    Load,
    Map,
    Reduce,
    Reshape,
    Scan,
    Store,
    Transpose,
    Yield,
    tile_error,
)  # fmt: skip
from tessera.lowering.emit_triton.access import Along, accessed, needs_int64
from tessera.lowering.emit_triton.elements import (
    ELEMENTS,
    LITERALS,
    NARROW,
    element_named,
    is_float,
    literal,
)
from tessera.lowering.emit_triton.functions import COMPARISONS, EXACT, INDICES, expression
from tessera.lowering.emit_triton.grid import placing
from tessera.lowering.emit_triton.intervals import interval
from tessera.lowering.emit_triton.names import Names
from tessera.lowering.emit_triton.values import (
    element_of,
    element_type,
    is_computed,
    is_set,
    number_of,
    only_spreads,
    replaces,
    sizes_of,
    spreads,
)

INDENT = "    "
# Combining functions of reductions and scans that keep a NaN, and their names in the source.
HELPERS: Mapping[str, str] = {"max": "larger", "min": "smaller"}


@dataclass
class _Scope:
    """A block that is being written, the line it begins at, and what is known in it of where blocks stand."""

    block: Block
    begin: int
    places: dict[tuple[SSAValue, int, bool, bool], str] = field(default_factory=dict)


class Writer:
    """Writes the statements of one kernel."""

    def __init__(self, kernel: Func):
        self.names = Names()
        self.helpers = {kind: self.names.fresh(name) for kind, name in HELPERS.items()}
        self.lines: list[str] = []
        self.parameters = [self.names.fresh(array.name_hint or "array") for array in kernel.arrays]
        self._depth = 1
        self._text: dict[SSAValue, str] = dict(zip(kernel.arrays, self.parameters, strict=True))
        self._scopes: list[_Scope] = []
        for statement in placing(kernel, self.names, self._text):
            self.add(f"{statement.name} = {statement.value}")
        self.body(kernel.body.block)

    # -- writing -------------------------------------------------------------------------------------------

    def add(self, line: str) -> None:
        """Adds a line."""
        self.lines.append(INDENT * self._depth + line)

    def body(self, block: Block, header: str | None = None) -> None:
        """Writes the ops of a block, under the header of a loop."""
        for op in block.ops:
            if isinstance(op, For):
                self._name_carried(op)
        self._scopes.append(_Scope(block, len(self.lines)))
        if header is not None:
            self.lines.append(INDENT * (self._depth - 1) + header)
        for op in block.ops:
            if not isinstance(op, Yield):
                WRITERS[type(op)](self, op)
        end = block.last_op
        if isinstance(end, Yield):
            self._carry(block.args[len(block.args) - len(end.operands) :], end.operands)
        self._scopes.pop()

    def _name_carried(self, loop: For) -> None:
        """Names the variables of a loop; what only begins one is computed into it."""
        for argument, first, result in zip(
            loop.body.block.args[1:], loop.initial, loop.results, strict=True
        ):
            hint = result.name_hint or argument.name_hint or "carried"
            name = self._text[argument] = self._text[result] = self.names.fresh(hint)
            if is_computed(first, loop.parent_block()) and len(list(first.uses)) == 1:
                self.rename(first, name)

    def assign(self, value: SSAValue, text: str, hint: str) -> None:
        """Writes the statement that computes a value, unless its name is known: then into that name."""
        name = self._text.get(value)
        if name is None:
            name = self._text[value] = self.names.fresh(value.name_hint or hint)
        self.add(f"{name} = {text}")

    def rename(self, value: SSAValue, text: str) -> None:
        """Lets text stand for a value, without a statement."""
        self._text[value] = text

    def text(self, value: SSAValue) -> str:
        """Returns the name of a value, or its number where that may stand for it among other blocks."""
        number = number_of(value)
        if number is None:
            return self._text[value]
        element = element_type(value)
        if element is None or str(element) in LITERALS:
            return literal(number, builtin.i32 if element is None else element)
        return self.block(value)

    def block(self, value: SSAValue) -> str:
        """Returns text for a value that Triton sees as a block with a dtype, numbers included."""
        number = number_of(value)
        if number is None:
            return self._text[value]
        element = element_type(value)
        assert element is not None, "an index is no block"
        return f"tl.full((), {literal(number, element)}, {ELEMENTS[str(element)].triton})"

    # -- loops ---------------------------------------------------------------------------------------------

    def loop(self, op: For) -> None:
        """Writes a loop, its carried values as variables that exist before it."""
        body = op.body.block
        end = body.last_op
        assert isinstance(end, Yield)
        carried = body.args[1:]
        for argument, first in zip(carried, op.initial, strict=True):
            name, value = self._text[argument], self.block(first)
            if name != value:
                self.add(f"{name} = {value}")
        index = self._text[body.args[0]] = self.names.fresh(body.args[0].name_hint or "k")
        for argument, following in zip(carried, end.operands, strict=True):
            if replaces(argument, following, end):
                self.rename(following, self._text[argument])
        header = f"for {index} in tl.range({self._range(op)}, num_stages={op.depth}):"
        self._depth += 1
        self.body(body, header)
        self._depth -= 1

    def _range(self, op: For) -> str:
        start = "0" if op.start is None else str(op.start.value.data)
        bounds = [self.text(value) for value in op.bounds]
        if len(bounds) == 2:
            start = bounds[0]
        stop = bounds[-1] if bounds else str(op.stop.value.data if op.stop is not None else 0)
        step = "" if op.step is None or op.step.value.data == 1 else f", {op.step.value.data}"
        return f"{start}, {stop}{step}"

    def _carry(self, carried: Sequence[SSAValue], following: Sequence[SSAValue]) -> None:
        """Gives carried values their next values, all at once."""
        pairs = [(self._text[a], self.block(b)) for a, b in zip(carried, following, strict=True)]
        pairs = [(name, value) for name, value in pairs if name != value]
        while pairs:
            (name, value), *rest = pairs
            if any(later == name for _, later in rest):
                kept = self.names.fresh(f"last_{name}")
                self.add(f"{kept} = {name}")
                rest = [(n, kept if later == name else later) for n, later in rest]
            self.add(f"{name} = {value}")
            pairs = rest

    # -- access --------------------------------------------------------------------------------------------

    def pointers(self, array: SSAValue, axes: Sequence[Along], sizes: Sequence[int]) -> str:
        """Returns the pointers of a block: the start of the array, what all share, what each adds."""
        steps: list[str] = []
        each: list[str] = []
        for axis in axes:
            place = f"{self._position(axis, axes)}{_expanded(axis.place, len(sizes))}"
            (steps if axis.place is None else each).append(_scaled(place, axis.stride))
        text = " + ".join([self._text[array], *(step for step in steps if step != "0")])
        if each:
            return f"{text} + ({' + '.join(each)})" if len(each) > 1 else f"{text} + {each[0]}"
        return f"{text} + tl.full({shape_text(sizes)}, 0, tl.int32)" if sizes else text

    def mask(
        self, axes: Sequence[Along], sizes: Sequence[int], given: SSAValue | None
    ) -> str | None:
        """Returns which elements of a block are touched: in the array, and in the mask if one is given."""
        conditions = [] if given is None else [self.block(given)]
        conditions += [
            f"({self._position(axis, axes)} {comparison}){_expanded(axis.place, len(sizes))}"
            for axis in axes
            for needed, comparison in (
                (axis.underruns, ">= 0"),
                (axis.overruns, f"< {axis.size}"),
            )
            if needed
        ]
        return " & ".join(conditions) or None

    def _position(self, axis: Along, axes: Sequence[Along]) -> str:
        """Returns which elements of an axis a block holds, or the one, as the offsets have it."""
        alike = [other for other in axes if (other.place is None) == (axis.place is None)]
        read = self._start if axis.place is None else self._places
        return read(axis, needs_int64(alike))

    def _places(self, axis: Along, wide: bool) -> str:
        """Returns the name of the elements that a block holds along one axis, computed once."""
        key = (axis.index, axis.block, axis.counts_blocks, wide)
        for scope in self._scopes:
            if key in scope.places:
                return scope.places[key]
        count = f"tl.arange(0, {axis.block})"
        start = self._start(axis, wide)
        if start == "0" and wide:
            count = f"{count}.to(tl.int64)"
        hint = axis.index.name_hint or "block"
        name = self.names.fresh("all" if start == "0" else f"at_{hint}")
        level = self._level(axis.index)
        self._add_in(level, f"{name} = {count if start == '0' else f'{start} + {count}'}")
        self._scopes[level].places[key] = name
        return name

    def _level(self, index: SSAValue) -> int:
        """Returns the innermost open scope that has to be entered before an index is known."""
        block = index.owner if isinstance(index.owner, Block) else index.owner.parent_block()
        return next(n for n, scope in enumerate(self._scopes) if scope.block is block)

    def _add_in(self, level: int, line: str) -> None:
        """Adds a line to an open scope: before the loop within it that is being written."""
        if level + 1 == len(self._scopes):
            self.add(line)
            return
        inner = self._scopes[level + 1 :]
        depth = self._depth - len(inner)
        self.lines.insert(inner[0].begin, INDENT * depth + line)
        for scope in inner:
            scope.begin += 1

    def _start(self, axis: Along, wide: bool) -> str:
        """Returns the first element of a block along one axis."""
        bounds = interval(axis.index)
        if bounds.low == bounds.high:
            return str(int(bounds.low) * (axis.block if axis.counts_blocks else 1))
        index = self.text(axis.index)
        index = f"tl.cast({index}, tl.int64)" if wide else index
        return _scaled(index, axis.block if axis.counts_blocks else 1)


# -- ops ---------------------------------------------------------------------------------------------------


def _load(writer: Writer, op: Load) -> None:
    sizes = sizes_of(op.result)
    axes = accessed(op)
    mask = writer.mask(axes, sizes, op.mask)
    arguments = [writer.pointers(op.source, axes, sizes)]
    if mask is not None:
        arguments.append(f"mask={mask}")
        if op.fill is not None:
            element = element_type(op.result)
            assert element is not None
            arguments.append(f"other={_filling(op.fill, element)}")
    writer.assign(op.result, f"tl.load({', '.join(arguments)})", "loaded")


def _filling(fill: Attribute, element: Attribute) -> str:
    text = literal(fill, element)
    if element == builtin.f64:  # a Python number would pass through fp32
        return f"tl.full((), {text}, tl.float64)"
    return str(int(text == "True")) if element == builtin.i1 else text


def _store(writer: Writer, op: Store) -> None:
    sizes = sizes_of(op.value)
    axes = accessed(op)
    mask = writer.mask(axes, sizes, op.mask)
    arguments = [writer.pointers(op.target, axes, sizes), writer.block(op.value)]
    if mask is not None:
        arguments.append(f"mask={mask}")
    writer.add(f"tl.store({', '.join(arguments)})")


def _dot(writer: Writer, op: Dot) -> None:
    factors = [
        f"tl.trans({writer.block(value)})" if is_set(turned) else writer.block(value)
        for value, turned in zip(op.operands[:2], (op.transpose_a, op.transpose_b), strict=True)
    ]
    element = element_type(op.operands[0])
    if len(op.operands) == 3:
        factors.append(writer.block(op.operands[2]))
    if element == builtin.f32:
        precision = "ieee" if op.precision is None else op.precision.data
        factors.append(f'input_precision="{precision}"')
    if element == builtin.f64:
        factors.append("out_dtype=tl.float64")
    writer.assign(op.result, f"tl.dot({', '.join(factors)})", "dot")


def _map(writer: Writer, op: Map) -> None:
    name = op.function.data
    if all(isinstance(kind, builtin.IndexType) for kind in op.operand_types):
        _index_map(writer, op)
        return
    if spreads(op):
        spread = (
            f"tl.broadcast_to({writer.block(op.operands[1])}, {shape_text(sizes_of(op.result))})"
        )
        writer.assign(op.result, spread, "spread")
        return
    element = element_type(op.operands[-1])
    assert element is not None
    template = expression(name, element)
    if template is None:
        raise tile_error(op, f"Triton has no {name} of {element}", hints="Cast first.")
    widened = str(element) in NARROW and name not in EXACT
    found = template.format(*_operands(writer, op, widened))
    if widened and name not in COMPARISONS:
        found = f"({found}).to({ELEMENTS[str(element)].triton})"
    writer.assign(op.result, found, name)


def _operands(writer: Writer, op: Map, widened: bool) -> list[str]:
    values = op.operands[1:] if op.function.data == "where" else op.operands
    # Triton computes with numbers alone in Python, in another precision.
    numbers_only = all(number_of(value) is not None for value in values)
    found: list[str] = []
    for value in op.operands:
        text = writer.block(value) if numbers_only else writer.text(value)
        is_name = numbers_only or number_of(value) is None
        found.append(f"{text}.to(tl.float32)" if widened and is_name else text)
    return found


def _index_map(writer: Writer, op: Map) -> None:
    name = op.function.data
    bounds = interval(op.result)
    if bounds.low == bounds.high and isinstance(op.result.type, builtin.IndexType):
        writer.rename(op.result, str(int(bounds.low)))
        return
    if name == "div" and (interval(op.operands[0]).low < 0 or interval(op.operands[1]).low < 0):
        raise tile_error(
            op,
            "an index is divided rounding down, Triton rounds towards zero: the operands are not "
            "known to be at least 0",
            hints="Bound them with max first.",
        )
    template = INDICES[name]
    writer.assign(op.result, template.format(*map(writer.text, op.operands)), name)


def _reduce(writer: Writer, op: Reduce) -> None:
    kind, axis = op.kind.data, op.axis.value.data
    source, narrow = _wide_source(writer, op.source)
    if kind == "sum":
        found = f"tl.sum({source}, axis={axis}, keep_dims=True)"
    elif is_float(element_of(op.result)):
        found = f"tl.reduce({source}, {axis}, {writer.helpers[kind]}, keep_dims=True)"
    else:
        found = f"tl.{kind}({source}, axis={axis}, keep_dims=True)"
    writer.assign(op.result, f"{found}{narrow}", kind if kind != "sum" else "total")


def _scan(writer: Writer, op: Scan) -> None:
    kind, axis = op.kind.data, op.axis.value.data
    source, narrow = _wide_source(writer, op.source)
    reverse = ", reverse=True" if is_set(op.reverse) else ""
    if kind == "sum":
        found = f"tl.cumsum({source}, axis={axis}{reverse})"
    else:
        found = f"tl.associative_scan({source}, {axis}, {writer.helpers[kind]}{reverse})"
    writer.assign(op.result, f"{found}{narrow}", f"running_{kind}")


def _wide_source(writer: Writer, source: SSAValue) -> tuple[str, str]:
    """Returns a block in the dtype it is summed in, and what brings the result back to its own."""
    element = element_of(source)
    text = writer.block(source)
    back = f".to({ELEMENTS[str(element)].triton})"
    if str(element) in NARROW:
        return f"{text}.to(tl.float32)", back
    # Triton sums short whole numbers as 32-bit ones.
    return text, "" if is_float(element) or str(element) in ("i32", "i64") else back


def _iota(writer: Writer, op: Iota) -> None:
    sizes, axis = sizes_of(op.result), op.axis.value.data
    found = f"tl.arange(0, {sizes[axis]}){_expanded(axis, len(sizes))}"
    element = element_named(element_of(op.result), op)
    if element.triton != "tl.int32":
        found = f"{found}.to({element.triton})"
    if any(n != 1 for place, n in enumerate(sizes) if place != axis):
        found = f"tl.broadcast_to({found}, {shape_text(sizes)})"
    writer.assign(op.result, found, "position")


def _full(writer: Writer, op: Full) -> None:
    if number_of(op.result) is not None or only_spreads(op):
        return  # written where it is used
    if isinstance(op.result.type, builtin.IndexType):
        writer.rename(op.result, writer.text(op.operands[0]))
        return
    element = element_of(op.result)
    if op.operands:
        value = writer.block(op.operands[0])
    else:
        assert op.value is not None
        value = literal(op.value, element)
    sizes, name = shape_text(sizes_of(op.result)), element_named(element, op).triton
    writer.assign(op.result, f"tl.full({sizes}, {value}, {name})", "full")


def _cast(writer: Writer, op: Cast) -> None:
    if isinstance(op.source.type, builtin.IndexType) and element_type(op.result) == builtin.i32:
        writer.rename(op.result, _index_text(writer, op.source))
        return
    if isinstance(op.result.type, builtin.IndexType):
        writer.rename(op.result, writer.text(op.source))
        return
    if isinstance(op.source.type, builtin.IndexType):
        source = f"tl.cast({writer.text(op.source)}, tl.int64)"
    else:
        source = writer.block(op.source)
    writer.assign(
        op.result, f"{source}.to({element_named(element_of(op.result), op).triton})", "cast"
    )


def _index_text(writer: Writer, index: SSAValue) -> str:
    text = writer.text(index)
    return f"tl.full((), {text}, tl.int32)" if text.lstrip("-").isdigit() else text


def _transpose(writer: Writer, op: Transpose) -> None:
    order = ", ".join(map(str, integers(op.permutation)))
    writer.assign(op.result, f"tl.trans({writer.block(op.source)}, {order})", "turned")


def _reshape(writer: Writer, op: Reshape) -> None:
    source, sizes = writer.block(op.source), sizes_of(op.result)
    if not sizes_of(op.source):
        writer.assign(op.result, f"tl.broadcast_to({source}, {shape_text(sizes)})", "block")
    elif sizes:
        writer.assign(op.result, f"tl.reshape({source}, {shape_text(sizes)})", "block")
    else:  # the sum of one element is that element, and no axis is left
        writer.assign(op.result, f"tl.sum({source})", "value")


WRITERS: Mapping[type[Operation], Callable[[Writer, Any], None]] = {
    Cast: _cast,
    Dot: _dot,
    For: Writer.loop,
    Full: _full,
    Iota: _iota,
    Load: _load,
    Map: _map,
    Reduce: _reduce,
    Reshape: _reshape,
    Scan: _scan,
    Store: _store,
    Transpose: _transpose,
}


# -- text -----------------------------------------------------------------------------------------------


def _scaled(text: str, by: int) -> str:
    if by == 1 or text == "0":
        return text
    return str(int(text) * by) if text.isdigit() else f"{text} * {by}"


def _expanded(place: int | None, rank: int) -> str:
    """Returns the index that puts one axis in its place among others of size 1."""
    if place is None or rank < 2:
        return ""
    return "[" + ", ".join(":" if axis == place else "None" for axis in range(rank)) + "]"


def shape_text(sizes: Sequence[int]) -> str:
    """Returns sizes as a tuple in Python.

    >>> shape_text((128, 64)), shape_text((8,))
    ('(128, 64)', '(8,)')
    """
    return str(tuple(sizes))
