"""Signatures such as `"*b m k, [*b] k n -> *b m n"`: one line that checks shapes, batches and names axes.

    terms separated by commas     one per operand, then `->`, then one per output
    m k n                         named axes: one name is one size wherever it appears
    *b                            a group: any number of axes, the same ones wherever it appears
    3                             an axis of exactly that size
    ()                            a scalar
    [n]                           a term in brackets: the operand (or output) may be absent
    [*b] k n                      a group in brackets: absent from this operand when it is shared by the batch
    i|1                           the size of i, or 1: an operand that is broadcast along i
    *b n@axis *c                  the axis `n` stands where the static argument `axis` says (from the front)

The group that leads every output is the batch: `vmap` extends it and the op stays one op.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from tessera.core.errors import Code, CompileError

Shape = tuple[int, ...]
Binding = dict[str, int | Shape]

_AXIS = re.compile(
    r"(?P<open>\[)?(?P<star>\*)?(?P<name>[A-Za-z_]\w*|\d+)(?P<one>\|1)?(@(?P<at>\w+))?(?P<close>\])?"
)


@dataclass(frozen=True)
class Axis:
    """One entry of a term: a named axis, a fixed size, or (`group`) any number of axes."""

    name: str
    group: bool = False
    optional: bool = False
    at: str | None = None
    or_one: bool = False

    @property
    def fixed(self) -> int | None:
        """The size, if the axis is a number."""
        return int(self.name) if self.name.isdigit() else None

    def __str__(self) -> str:
        text = ("*" if self.group else "") + self.name + ("|1" if self.or_one else "")
        text += f"@{self.at}" if self.at else ""
        return f"[{text}]" if self.optional else text


@dataclass(frozen=True)
class Term:
    """The axes of one operand or output; `optional` when the whole array may be absent."""

    axes: tuple[Axis, ...]
    optional: bool = False

    @cached_property
    def at(self) -> Axis | None:
        """The axis whose position a static argument gives, if there is one."""
        return next((axis for axis in self.axes if axis.at), None)

    @cached_property
    def rank(self) -> int:
        """The number of axes without the groups."""
        return sum(not axis.group for axis in self.axes)

    @cached_property
    def has_groups(self) -> bool:
        """Whether any number of axes may stand here."""
        return any(axis.group for axis in self.axes)

    def leads_with(self, group: str) -> Axis | None:
        """Returns the leading axis if it is the group of that name."""
        first = self.axes[0] if self.axes else None
        return first if first is not None and first.group and first.name == group else None

    def split(self, shape: Shape, position: int) -> list[tuple[Axis, int | Shape]] | None:
        """Pairs every axis with its size (a shape for a group), or returns None if the rank cannot fit.

        `position` is the place of the `@` axis; other terms ignore it.
        """
        spare = len(shape) - self.rank
        if spare < 0 or (spare > 0 and not self.has_groups):
            return None
        if self.at is not None and not 0 <= position < len(shape):
            return None
        pairs: list[tuple[Axis, int | Shape]] = []
        start = 0
        for axis in self.axes:
            if not axis.group:
                pairs.append((axis, shape[start]))
                start += 1
                continue
            before_named = self.at is not None and not any(a.at for a, _ in pairs)
            width = min(position, spare) if before_named else spare
            pairs.append((axis, shape[start : start + width]))
            start += width
            spare -= width
        return pairs

    def __str__(self) -> str:
        text = " ".join(map(str, self.axes)) or "()"
        return f"[{text}]" if self.optional else text


@dataclass(frozen=True)
class Signature:
    """The operands and outputs of an op, parsed from text by `parse`."""

    operands: tuple[Term, ...]
    outputs: tuple[Term, ...]

    @cached_property
    def batch(self) -> str | None:
        """The group that leads every output, which `vmap` may extend."""
        leads = {
            out.axes[0].name if out.axes and out.axes[0].group else None for out in self.outputs
        }
        return leads.pop() if len(leads) == 1 else None

    def __str__(self) -> str:
        left, right = (", ".join(map(str, terms)) for terms in (self.operands, self.outputs))
        return f"{left} -> {right}"

    def bind(
        self,
        op: str,
        names: Sequence[str],
        shapes: Sequence[Shape | None],
        statics: Mapping[str, object],
    ) -> Binding:
        """Returns the size of every axis and group, or raises the `E_SHAPE_MISMATCH` that says what differs.

        `names` are the operands' names for the message; an absent operand has shape None.
        """
        sizes: Binding = {}
        source: dict[str, str] = {}
        for term, name, shape in zip(self.operands, names, shapes, strict=True):
            if shape is None:
                continue
            for axis, size in self._split(op, term, name, shape, statics):
                if (axis.optional and size == ()) or (axis.or_one and size == 1):
                    continue
                if axis.fixed is not None and size != axis.fixed:
                    raise self._error(op, f"an axis of {name!r} is {size} but must be {axis.fixed}")
                if axis.name in sizes and sizes[axis.name] != size:
                    what = "axes" if axis.group else "axis"
                    raise self._error(
                        op,
                        f"{what} {axis.name!r} {'are' if axis.group else 'is'} {sizes[axis.name]} in "
                        f"argument {source[axis.name]!r} but {size} in argument {name!r}",
                    )
                if axis.name not in sizes:
                    sizes[axis.name] = size
                    source[axis.name] = name
        return sizes

    def _split(
        self, op: str, term: Term, name: str, shape: Shape, statics: Mapping[str, object]
    ) -> list[tuple[Axis, int | Shape]]:
        position = statics[term.at.at] if term.at is not None and term.at.at is not None else 0
        assert isinstance(position, int)
        pairs = term.split(shape, position)
        if pairs is None:
            relation = "at least " if term.has_groups else ""
            raise self._error(
                op,
                f"argument {name!r} has shape {shape}, of rank {len(shape)}, but {term} needs "
                f"{relation}rank {term.rank}",
            )
        return pairs

    def _error(self, op: str, problem: str) -> CompileError:
        return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}. Signature: {self}.")


@cache
def parse(text: str) -> Signature:
    """Returns the signature a text describes.

    >>> parse("*b m k, [*b] k n, [n] -> *b m n").batch
    'b'
    """
    sides = text.split("->")
    if len(sides) != 2:
        raise _bad(text, "one '->' must separate operands from outputs")
    operands, outputs = map(parse_terms, sides)
    for term in operands:
        groups = sum(axis.group for axis in term.axes)
        if groups > 1 and not (groups == 2 and term.at is not None):
            raise _bad(text, f"{term} has {groups} groups; two need an axis n@axis between them")
    known = {axis.name for term in operands for axis in term.axes}
    unknown = {axis.name for term in outputs for axis in term.axes if axis.fixed is None} - known
    if unknown:
        raise _bad(text, f"output axis {sorted(unknown)[0]!r} appears in no operand")
    return Signature(operands, outputs)


def parse_terms(text: str) -> tuple[Term, ...]:
    """Returns the terms of a comma-separated list such as `"*b q, *b"`."""
    return tuple(_parse_term(term.strip(), text) for term in text.split(","))


def _parse_term(term: str, text: str) -> Term:
    if term == "()":
        return Term(())
    if not term:
        raise _bad(text, "a term is empty; write () for a scalar")
    optional = term[0] == "[" and term[-1] == "]" and term.count("[") == 1
    axes = tuple(_parse_axis(word, text) for word in (term[1:-1] if optional else term).split())
    return Term(axes, optional)


def _parse_axis(word: str, text: str) -> Axis:
    match = _AXIS.fullmatch(word)
    if match is None or bool(match["open"]) != bool(match["close"]):
        raise _bad(text, f"{word!r} is not an axis; use n, *b, [*b], n@axis or a size")
    return Axis(
        match["name"], bool(match["star"]), bool(match["open"]), match["at"], bool(match["one"])
    )


def _bad(text: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"dims {text!r}: {problem}.")
