"""Between the types of JAX values and the types of the IR.

An array is a `tensor`: its signed integers are signless (`i32`), unsigned ones `ui32`, booleans `i1`. What is
no array of numbers keeps its name: PRNG keys `!tessera.key<"fry">`, references, tokens.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from xdsl.dialects import builtin
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def

from tessera.core.errors import Code, CompileError

UNKNOWN = builtin.DYNAMIC_INDEX  # the size of an axis known by name only, or not at all


@irdl_attr_definition
class Key(ParametrizedAttribute, TypeAttribute):
    """The element type of a typed PRNG key array: `!tessera.key<"fry">`."""

    name = "tessera.key"
    algorithm: builtin.StringAttr = param_def()


@irdl_attr_definition
class Other(ParametrizedAttribute, TypeAttribute):
    """The type of a value that is no array, by JAX's name for it: `!tessera.other<"Ref{float32[3]}">`."""

    name = "tessera.other"
    text: builtin.StringAttr = param_def()


ELEMENTS: dict[str, Attribute] = {
    "bool": builtin.i1,
    "float16": builtin.f16,
    "bfloat16": builtin.bf16,
    "float32": builtin.f32,
    "float64": builtin.f64,
    "complex64": builtin.ComplexType(builtin.f32),
    "complex128": builtin.ComplexType(builtin.f64),
    "float8_e5m2": builtin.Float8E5M2Type(),
    "float8_e4m3": builtin.Float8E4M3Type(),
    "float8_e4m3fn": builtin.Float8E4M3FNType(),
    "float8_e5m2fnuz": builtin.Float8E5M2FNUZType(),
    "float8_e4m3fnuz": builtin.Float8E4M3FNUZType(),
    "float8_e4m3b11fnuz": builtin.Float8E4M3B11FNUZType(),
    "float8_e3m4": builtin.Float8E3M4Type(),
    "float8_e8m0fnu": builtin.Float8E8M0FNUType(),
    "float4_e2m1fn": builtin.Float4E2M1FNType(),
    **{f"int{n}": builtin.IntegerType(n) for n in (2, 4, 8, 16, 32, 64)},
    **{
        f"uint{n}": builtin.IntegerType(n, builtin.Signedness.UNSIGNED)
        for n in (2, 4, 8, 16, 32, 64)
    },
}
_DTYPES = {element: name for name, element in ELEMENTS.items()}


def type_of(aval: Any) -> Attribute:
    """Returns the IR type of a JAX type.

    >>> print(type_of(jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)))
    tensor<2x3xbf16>
    """
    if not isinstance(aval, ShapedArray | jax.ShapeDtypeStruct):
        return Other(builtin.StringAttr(str(aval)))
    return _tensor(tuple(aval.shape), aval.dtype)


@lru_cache(4096)
def _tensor(shape: tuple[Any, ...], dtype: Any) -> Attribute:
    element = element_of(dtype)
    if all(isinstance(n, int) for n in shape):
        return builtin.TensorType(element, shape)
    sizes = [n if isinstance(n, int) else UNKNOWN for n in shape]
    names = [
        builtin.IntegerAttr(n, 64) if isinstance(n, int) else builtin.StringAttr(str(n))
        for n in shape
    ]
    return builtin.TensorType(element, sizes, builtin.ArrayAttr(names))


def element_of(dtype: Any) -> Attribute:
    """Returns the element type of a dtype."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return Key(builtin.StringAttr(str(dtype).removeprefix("key<").removesuffix(">")))
    found = ELEMENTS.get(np.dtype(dtype).name)
    return Other(builtin.StringAttr(np.dtype(dtype).name)) if found is None else found


def aval_of(kind: Attribute) -> ShapedArray:
    """Returns the JAX type of a tensor type with known sizes.

    Raises `E_GRAPH_INVALID` for a type that no array has.

    >>> aval_of(type_of(jax.ShapeDtypeStruct((2,), jnp.uint8)))
    ShapedArray(uint8[2])
    """
    if isinstance(kind, builtin.TensorType) and UNKNOWN not in kind.get_shape():
        name = _DTYPES.get(kind.get_element_type())
        if name is not None:
            return ShapedArray(kind.get_shape(), jnp.dtype(name))
    raise CompileError(
        Code.E_GRAPH_INVALID, f"{kind} is not the type of an array with known sizes."
    )
