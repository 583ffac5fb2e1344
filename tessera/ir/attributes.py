"""Between Python values and the attributes of ops."""

from typing import Any, TypeAlias

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DenseArrayBase, IntegerAttr, StringAttr
from xdsl.ir import Attribute

Whole: TypeAlias = IntegerAttr[builtin.I64]
Wholes: TypeAlias = DenseArrayBase[builtin.I64]
Real: TypeAlias = builtin.FloatAttr[builtin.Float64Type]

FLAGS = {flag: BoolAttr.from_bool(flag) for flag in (False, True)}


def to_attribute(value: Any) -> Attribute:
    """Returns the attribute for a Python value: bool, int (i64), float (f64), str, or a sequence of them.

    A sequence of integers becomes a dense array. An attribute stays as it is.

    >>> print(to_attribute((128, 64)), to_attribute(["dp"]), to_attribute(2))
    array<i64: 128, 64> ["dp"] 2 : i64
    """
    if isinstance(value, Attribute):
        return value
    if isinstance(value, bool):
        return FLAGS[value]
    if isinstance(value, int):
        return IntegerAttr(value, builtin.i64)
    if isinstance(value, float):
        return builtin.FloatAttr(value, builtin.f64)
    if isinstance(value, str):
        return StringAttr(value)
    if value and all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return DenseArrayBase.from_list(builtin.i64, list(value))
    return ArrayAttr([to_attribute(item) for item in value])


def integers(attribute: Wholes) -> tuple[int, ...]:
    """Returns the values of a dense array.

    >>> integers(to_attribute((128, 64)))
    (128, 64)
    """
    return tuple(attribute.get_values())
