"""Elementwise functions as Triton expressions.

`{0}`, `{1}` and `{2}` stand for operands, which are names or literals. Floats narrower than fp32 come widened
where a function computes, and the result is rounded to them.
"""

from collections.abc import Mapping

from xdsl.dialects import builtin
from xdsl.ir import Attribute

from tessera.lowering.emit_triton.elements import is_float, is_unsigned

# max and min of Triton drop a NaN unless told; those of XLA keep it.
KEEP_NAN = "propagate_nan=tl.PropagateNan.ALL"

COMPARISONS: Mapping[str, str] = {
    "eq": "{0} == {1}",
    "ge": "{0} >= {1}",
    "gt": "{0} > {1}",
    "le": "{0} <= {1}",
    "lt": "{0} < {1}",
    "ne": "{0} != {1}",
}
ANY: Mapping[str, str] = {
    "abs": "tl.abs({0})",
    "add": "{0} + {1}",
    "mul": "{0} * {1}",
    "square": "{0} * {0}",
    "sub": "{0} - {1}",
    "where": "tl.where({0}, {1}, {2})",
    **COMPARISONS,
}
FLOATS: Mapping[str, str] = {
    "atan2": "libdevice.atan2({0}, {1})",
    "ceil": "tl.ceil({0})",
    "cos": "tl.cos({0})",
    "div": "{0} / {1}",
    "erf": "tl.erf({0})",
    "exp": "tl.exp({0})",
    "exp2": "tl.exp2({0})",
    "expm1": "libdevice.expm1({0})",
    "floor": "tl.floor({0})",
    "log": "tl.log({0})",
    "log1p": "libdevice.log1p({0})",
    "logistic": "1.0 / (1.0 + tl.exp(-{0}))",
    "max": f"tl.maximum({{0}}, {{1}}, {KEEP_NAN})",
    "min": f"tl.minimum({{0}}, {{1}}, {KEEP_NAN})",
    "neg": "{0} * -1.0",  # Triton's minus is 0 - x, which loses the sign of 0
    "pow": "libdevice.pow({0}, {1})",
    "relu": f"tl.maximum({{0}}, 0.0, {KEEP_NAN})",
    "rem": "libdevice.fmod({0}, {1})",
    "rsqrt": "tl.rsqrt({0})",
    "sign": "tl.where({0} > 0.0, 1.0, tl.where({0} < 0.0, -1.0, {0}))",
    "sin": "tl.sin({0})",
    "sqrt": "tl.sqrt({0})",
    "tan": "libdevice.tan({0})",
    "tanh": "libdevice.tanh({0})",
}
INTEGERS: Mapping[str, str] = {
    "and": "{0} & {1}",
    "div": "{0} // {1}",
    "max": "tl.maximum({0}, {1})",
    "min": "tl.minimum({0}, {1})",
    "neg": "-{0}",
    "not": "~{0}",
    "or": "{0} | {1}",
    "relu": "tl.maximum({0}, 0)",
    "rem": "{0} % {1}",
    "sign": "tl.where({0} > 0, 1, tl.where({0} < 0, -1, {0}))",
}
UNSIGNED: Mapping[str, str] = {"relu": "{0}", "sign": "tl.where({0} > 0, 1, {0})"}
TRUTHS: Mapping[str, str] = {"max": "{0} | {1}", "min": "{0} & {1}"}  # i1 is -1 where it has a sign
INDICES: Mapping[str, str] = {
    **{name: ANY[name] for name in ("add", "mul", "sub", *COMPARISONS)},
    "div": "{0} // {1}",
    "max": "tl.maximum({0}, {1})",
    "min": "tl.minimum({0}, {1})",
    "rem": "{0} % {1}",
}

# These choose among their operands or clear a bit, so no precision is lost in the operands' own dtype.
EXACT = frozenset({"abs", "where"})


def expression(function: str, element: Attribute) -> str | None:
    """Returns a function of operands of an element type as an expression, or None if Triton has none.

    >>> expression("div", builtin.f32), expression("div", builtin.i32)
    ('{0} / {1}', '{0} // {1}')
    """
    if is_float(element):
        return FLOATS.get(function, ANY.get(function))
    if element == builtin.i1 and function in TRUTHS:
        return TRUTHS[function]
    if is_unsigned(element) and function in UNSIGNED:
        return UNSIGNED[function]
    return INTEGERS.get(function, ANY.get(function))
