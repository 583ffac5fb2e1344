"""The types of values in few characters, their bytes, and how many are alive at once."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from xdsl.dialects import builtin
from xdsl.ir import Attribute, Block, SSAValue

from tessera.ir.graph import REWRITABLE
from tessera.ir.schedule import Group
from tessera.ir.types import Key
from tessera.lowering.choose import nodes_of

KEY_BYTES = {"fry": 8, "rbg": 16, "urbg": 16}  # what a PRNG key of each algorithm takes


def text_of(attribute: Attribute | None) -> str:
    """Returns the text of a string attribute, empty for none."""
    if attribute is None:
        return ""
    return attribute.data if isinstance(attribute, builtin.StringAttr) else str(attribute)


def type_text(kind: Attribute) -> str:
    """Returns the type of a value in few characters.

    >>> type_text(builtin.TensorType(builtin.f32, [2, 3])), type_text(builtin.TensorType(builtin.i1, []))
    ('2×3 f32', 'i1')
    """
    if not isinstance(kind, builtin.TensorType):
        return str(kind).removeprefix("!tessera.")
    names = kind.encoding.data if isinstance(kind.encoding, builtin.ArrayAttr) else ()
    shown = [
        str(text_of(name) if isinstance(name, builtin.StringAttr) else size if size >= 0 else "?")
        for size, name in _paired(kind.get_shape(), names)
    ]
    element = str(kind.element_type).removeprefix("!tessera.")
    return f"{'×'.join(shown)} {element}" if shown else element


def _paired(sizes: Sequence[int], names: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    padded = names if len(names) == len(sizes) else [None] * len(sizes)
    yield from zip(sizes, padded, strict=True)


def size_of(kind: Attribute) -> tuple[int, bool]:
    """Returns the bytes of a value and whether they are known; tokens and references take none here.

    >>> size_of(builtin.TensorType(builtin.f32, [2, 3])), size_of(builtin.TensorType(builtin.f32, [-1, 3]))
    ((24, True), (0, False))
    """
    if not isinstance(kind, builtin.TensorType):
        return 0, True
    each = _element_bytes(kind.element_type)
    if each is None or any(n < 0 for n in kind.get_shape()):
        return 0, False
    return math.prod(kind.get_shape()) * each, True


def _element_bytes(element: Attribute) -> int | None:
    if isinstance(element, builtin.ComplexType):
        inner = _element_bytes(element.element_type)
        return None if inner is None else 2 * inner
    if isinstance(element, Key):
        return KEY_BYTES.get(element.algorithm.data)
    if not isinstance(element, builtin.FixedBitwidthType):
        return None
    return max(1, element.bitwidth // 8)  # JAX stores 1 to 7 bits in a byte


def peak_of(block: Block) -> int:
    """Returns the most bytes of values made in a block that are alive at once, bodies of loops included."""
    ops = list(block.ops)
    last: dict[SSAValue, int] = {}
    for place, op in enumerate(ops):
        last.update(dict.fromkeys(op.operands, place))
    live = peak = 0
    freed = [0] * (len(ops) + 1)
    for place, op in enumerate(ops):
        if isinstance(op, Group):
            for result in op.results:
                size = size_of(result.type)[0]
                live += size
                freed[last.get(result, place)] += size
            peak = max(peak, live + _peak_inside(op))
        live -= freed[place]
    return peak


def _peak_inside(op: Group) -> int:
    blocks = [r.block for n in nodes_of(op) if n.short_name in REWRITABLE for r in n.regions]
    return max(map(peak_of, blocks), default=0)
