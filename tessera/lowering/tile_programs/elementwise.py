"""Elementwise nodes as functions of blocks: `jax.exp` is the map of `exp`, an activation a few maps.

What follows a node in its group and is in this table is spliced into the program before its store; what
stands before it is computed on the loaded blocks.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from xdsl.dialects import builtin
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from tessera.ir.graph import Node, jax_type
from tessera.ir.types import element_of
from tessera.lowering.match import param
from tessera.lowering.tile_programs.builder import Builder, no_program, tile_of

Function = Callable[[Builder, Node, Sequence[SSAValue]], SSAValue]
Activation = Callable[[Builder, SSAValue], SSAValue]

# Primitives of JAX that the dialect has under the same name and with the same meaning.
SAME = frozenset(
    "abs add and ceil cos eq erf exp expm1 floor ge gt le log log1p logistic lt max min mul ne neg not or "
    "rsqrt sign sin sqrt square sub tan tanh".split()
)
# These mean something else for integers, or take them: JAX divides towards zero.
SAME_OF_FLOATS = frozenset("atan2 div pow rem".split())


def result_element(node: Node, place: int = 0) -> Attribute:
    """Returns the element type of a node's result; raises `E_TILE_LOWERING` if no block can hold it."""
    return block_element(element_of(jax_type(node.results[place]).dtype))


def block_element(element: Attribute) -> Attribute:
    """Returns an element type if blocks can hold it, else raises `E_TILE_LOWERING`."""
    if not isinstance(element, IntegerType | builtin.AnyFloat):
        raise no_program(f"a tile program does not compute with {element}")
    return element


def elementwise(node: Node) -> Function | None:
    """Returns the function of blocks for a node, or None if there is none."""
    name = node.short_name
    if node.is_op:
        return _activated if name in OPS else _same if name in SAME_OPS else None
    if name in SAME:
        return _same
    return _of_floats if name in SAME_OF_FLOATS else FUNCTIONS.get(name)


# -- primitives ----------------------------------------------------------------------------------------


def _same(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    return builder.map(node.short_name, *xs)


def _of_floats(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    kinds = [tile_of(x).element for x in xs]
    if any(isinstance(kind, IntegerType) for kind in kinds):
        raise no_program(f"{node.name} of integers has no tile function")
    return builder.map(node.short_name, *xs)


def _sum(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    del node
    return builder.map("add", *xs)


def _unchanged(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    del builder, node
    return xs[0]


def _choice(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    if len(xs) != 3 or tile_of(xs[0]).element != builtin.i1:
        raise no_program(f"{node.name} chooses among {len(xs) - 1} by an integer")
    return builder.map("where", xs[0], xs[2], xs[1])


def _clamped(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    del node
    low, x, high = xs
    return builder.map("min", builder.map("max", x, low), high)


def _converted(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    return cast(builder, xs[0], result_element(node))


def _integer_power(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    exponent = param(node, "y")
    if exponent == 0:
        return builder.full(1, tile_of(xs[0]).element)
    if exponent < 0 and isinstance(tile_of(xs[0]).element, IntegerType):
        raise no_program("a negative power of integers has no tile function")
    found = power(builder, xs[0], abs(exponent))
    if exponent > 0:
        return found
    return builder.map("div", builder.full(1, tile_of(found).element), found)


def _one_minus_square(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    del node
    one = builder.full(1, tile_of(xs[0]).element)
    return builder.map("sub", one, builder.map("mul", xs[0], xs[0]))


FUNCTIONS: Mapping[str, Function] = {
    "add_any": _sum,
    "clamp": _clamped,
    "convert_element_type": _converted,
    "copy": _unchanged,
    "integer_pow": _integer_power,
    "one_minus_square": _one_minus_square,
    "select_n": _choice,
    "stop_gradient": _unchanged,
}


def cast(builder: Builder, x: SSAValue, element: Attribute) -> SSAValue:
    """Returns a block in another dtype; a number is true where it is not 0."""
    kind = tile_of(x)
    if element == builtin.i1 and kind.element != builtin.i1:
        return builder.map("ne", x, builder.full(0, kind.element))
    return builder.cast(x, element)


def power(builder: Builder, x: SSAValue, exponent: int) -> SSAValue:
    """Returns x to a whole power of at least 1, by repeated squaring."""
    if exponent == 1:
        return x
    half = power(builder, x, exponent // 2)
    found = builder.map("mul", half, half)
    return builder.map("mul", found, x) if exponent % 2 else found


# -- activations ---------------------------------------------------------------------------------------


def _activated(builder: Builder, node: Node, xs: Sequence[SSAValue]) -> SSAValue:
    (x,) = xs
    name = node.short_name
    if name == "gelu" and param(node, "approximate"):
        name = "gelu_tanh"
    given = tile_of(x).element
    return builder.cast(activate(builder, name, widened(builder, x)), given)


def activate(builder: Builder, name: str, x: SSAValue) -> SSAValue:
    """Returns an activation of a block, in the block's dtype, by the word of an epilogue."""
    return ACTIVATIONS[name](builder, x)


def widened(builder: Builder, x: SSAValue) -> SSAValue:
    """Returns a block in the dtype its dtype is accumulated in.

    Raises `E_TILE_LOWERING` for a block that is not of floats.
    """
    return builder.cast(x, wide_element(tile_of(x).element))


def wide_element(element: Attribute) -> Attribute:
    """Returns the element type that floats of an element type are computed in.

    >>> print(wide_element(builtin.f16), wide_element(builtin.f64))
    f32 f64
    """
    if not isinstance(element, builtin.AnyFloat):
        raise no_program(f"{element} is no float")
    return builtin.f64 if element == builtin.f64 else builtin.f32


def _named(name: str) -> Activation:
    def run(builder: Builder, x: SSAValue) -> SSAValue:
        return builder.map(name, x)

    return run


def _gelu(builder: Builder, x: SSAValue) -> SSAValue:
    element = tile_of(x).element
    error = builder.map("erf", builder.map("mul", x, builder.full(math.sqrt(0.5), element)))
    share = builder.map("add", builder.full(1, element), error)
    return builder.map("mul", builder.map("mul", builder.full(0.5, element), x), share)


def _gelu_tanh(builder: Builder, x: SSAValue) -> SSAValue:
    element = tile_of(x).element
    cube = builder.map("mul", builder.full(0.044715, element), power(builder, x, 3))
    inner = builder.map(
        "mul", builder.full(math.sqrt(2 / math.pi), element), builder.map("add", x, cube)
    )
    share = builder.map("add", builder.full(1, element), builder.map("tanh", inner))
    return builder.map("mul", builder.map("mul", builder.full(0.5, element), x), share)


def _silu(builder: Builder, x: SSAValue) -> SSAValue:
    return builder.map("mul", x, builder.map("logistic", x))


ACTIVATIONS: Mapping[str, Activation] = {
    "cos": _named("cos"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": _named("relu"),
    "sigmoid": _named("logistic"),
    "silu": _silu,
    "sin": _named("sin"),
    "tanh": _named("tanh"),
}
OPS = frozenset("cos gelu relu sigmoid silu sin tanh".split())
SAME_OPS = frozenset(("atan2", "tan"))  # the dialect has a function of their name
