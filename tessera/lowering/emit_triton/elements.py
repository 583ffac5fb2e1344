"""Element types of tiles as Triton, JAX and a kernel's signature name them, and numbers as literals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from xdsl.dialects import builtin
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Operation

from tessera.ir.tile import tile_error


@dataclass(frozen=True)
class Element:
    """One element type: its name in Triton, in JAX and in a kernel's signature."""

    triton: str
    jax: str
    signature: str


ELEMENTS: Mapping[str, Element] = {
    "f64": Element("tl.float64", "float64", "fp64"),
    "f32": Element("tl.float32", "float32", "fp32"),
    "f16": Element("tl.float16", "float16", "fp16"),
    "bf16": Element("tl.bfloat16", "bfloat16", "bf16"),
    "f8E5M2": Element("tl.float8e5", "float8_e5m2", "fp8e5"),
    "f8E4M3FN": Element("tl.float8e4nv", "float8_e4m3fn", "fp8e4nv"),
    "i1": Element("tl.int1", "bool", "i1"),
    **{f"i{n}": Element(f"tl.int{n}", f"int{n}", f"i{n}") for n in (8, 16, 32, 64)},
    **{f"ui{n}": Element(f"tl.uint{n}", f"uint{n}", f"u{n}") for n in (8, 16, 32, 64)},
}
NARROW = frozenset(
    {"f16", "bf16", "f8E5M2", "f8E4M3FN"}
)  # computed in fp32, rounded after every op
# Triton gives a Python number the dtype of the block it meets; only these hold every literal as written.
LITERALS = frozenset({"f32", "i32", "i1"}) | NARROW


def element_named(element: Attribute, op: Operation) -> Element:
    """Returns how an element type is named; raises `E_TILE_LOWERING` for one Triton has not."""
    found = ELEMENTS.get(str(element))
    if found is None:
        raise tile_error(
            op, f"Triton has no {element}", hints=f"Cast to one of: {', '.join(ELEMENTS)}."
        )
    return found


def is_float(element: Attribute) -> bool:
    """Returns whether an element type holds floating-point numbers."""
    return isinstance(element, builtin.AnyFloat)


def is_unsigned(element: Attribute) -> bool:
    """Returns whether an element type holds whole numbers of at least 0."""
    return isinstance(element, IntegerType) and str(element).startswith("ui")


def literal(value: Attribute, element: Attribute) -> str:
    """Returns a number as Python text that reads back as the number rounded to an element type.

    >>> literal(FloatAttr(0.1, builtin.f32), builtin.f32)
    '0.1'
    >>> literal(FloatAttr(float("-inf"), builtin.f32), builtin.f32)
    '-float("inf")'
    """
    assert isinstance(value, FloatAttr | IntegerAttr), value
    number = value.value.data
    if element == builtin.i1:
        return str(bool(number))
    if not is_float(element):
        return str(int(number))
    rounded = np.asarray(number, jnp.dtype(ELEMENTS[str(element)].jax))
    wide = float(rounded)
    if math.isnan(wide):
        return 'float("nan")'
    if math.isinf(wide):
        return 'float("inf")' if wide > 0 else '-float("inf")'
    return str(rounded[()]) if element == builtin.f32 else repr(wide)
