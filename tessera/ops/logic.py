"""`op.logic_and`, `logic_or`, `logic_xor`, `logic_not`: logic of truth values, bits and degrees of truth."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op
from tessera.core.operands import to_array

Binary = Callable[[jax.Array, jax.Array], jax.Array]


@define_op("*b, *b -> *b", kinds="any")
def logic_and(a: jax.Array, b: jax.Array, *, logic: str = "product") -> jax.Array:
    """Returns a and b, elementwise, with NumPy broadcasting.

    Booleans: exact. Integers: bitwise. Floats are degrees of truth, clamped to [0, 1]; `logic` is one of

      logic         and              or              xor
      product       a b              a + b - a b     a + b - 2 a b
      godel         min(a, b)        max(a, b)       (a and not b) or (not a and b)
      lukasiewicz   max(0, a+b-1)    min(1, a+b)     (a and not b) or (not a and b)

    A boolean with a float counts as 0 or 1; integers combine only with integers. The clamp has
    derivative 1 on [0, 1] and 0 outside; where min and max tie both arguments get one half; a bound of
    lukasiewicz has derivative 0. Booleans and integers carry no gradient.

    Raises `E_GRAPH_INVALID` (unknown logic, an integer with a boolean or float) and `E_SHAPE_MISMATCH`.
    Source: P. Hajek, Metamathematics of Fuzzy Logic, 1998 (the three basic t-norms and their duals).

    >>> import jax.numpy as jnp
    >>> logic_and(jnp.array([0.5, 1.0]), jnp.array([0.5, 0.25])).tolist()
    [0.25, 0.25]
    """
    return _apply("and", a, b, logic)


@logic_and.def_call
def logic_and(a: Any, b: Any, *, logic: str = "product") -> jax.Array:
    return logic_and.bind(*_operands("logic_and", a, b, logic), logic=logic)


@define_op("*b, *b -> *b", kinds="any")
def logic_or(a: jax.Array, b: jax.Array, *, logic: str = "product") -> jax.Array:
    """Returns a or b, elementwise, with NumPy broadcasting. Kinds, logics and errors: `logic_and`.

    >>> import jax.numpy as jnp
    >>> logic_or(jnp.array([0.5, 1.0]), jnp.array([0.5, 0.25])).tolist()
    [0.75, 1.0]
    """
    return _apply("or", a, b, logic)


@logic_or.def_call
def logic_or(a: Any, b: Any, *, logic: str = "product") -> jax.Array:
    return logic_or.bind(*_operands("logic_or", a, b, logic), logic=logic)


@define_op("*b, *b -> *b", kinds="any")
def logic_xor(a: jax.Array, b: jax.Array, *, logic: str = "product") -> jax.Array:
    """Returns either a or b, elementwise, with NumPy broadcasting. Kinds, logics, errors: `logic_and`.

    >>> import jax.numpy as jnp
    >>> logic_xor(jnp.array([True, True]), jnp.array([True, False])).tolist()
    [False, True]
    """
    return _apply("xor", a, b, logic)


@logic_xor.def_call
def logic_xor(a: Any, b: Any, *, logic: str = "product") -> jax.Array:
    return logic_xor.bind(*_operands("logic_xor", a, b, logic), logic=logic)


@define_op("*b -> *b", kinds="any")
def logic_not(a: jax.Array) -> jax.Array:
    """Returns not a, elementwise: 1 - a for a degree of truth, bits inverted for an integer.

    Degrees are clamped to [0, 1] with the derivative described at `logic_and`; the result keeps
    shape and dtype. Raises `E_GRAPH_INVALID` for a dtype that has no logic.

    >>> import jax.numpy as jnp
    >>> logic_not(jnp.array([0.25, 1.0])).tolist()
    [0.75, 0.0]
    """
    if _is_degree(a.dtype):
        return 1 - _clamp(a)
    _check_kind("logic_not", a)
    return jnp.invert(a)


_binary_samples = (
    Sample(Sample.uniform((4, 8), 0, 1), Sample.uniform((4, 8), 0, 1)),
    Sample(Sample.uniform((7,), 0, 1), Sample.uniform((7,), 0, 1), logic="godel"),
    Sample(Sample.uniform((2, 9), 0, 1), Sample.uniform((2, 9), 0, 1), logic="lukasiewicz"),
    Sample(Sample.booleans((3, 5)), Sample.booleans((3, 5))),
    Sample(Sample.integers((6,), -99, 99), Sample.integers((6,), -99, 99)),
)
logic_and.samples = _binary_samples
logic_or.samples = _binary_samples
logic_xor.samples = _binary_samples
logic_not.samples = (
    Sample(Sample.uniform((4, 8), 0, 1)),
    Sample(Sample.booleans((3, 5))),
    Sample(Sample.integers((6,), -99, 99)),
)

BITWISE: dict[str, Binary] = {
    "and": jnp.bitwise_and,
    "or": jnp.bitwise_or,
    "xor": jnp.bitwise_xor,
}


def _lukasiewicz_and(a: jax.Array, b: jax.Array) -> jax.Array:
    excess = a + b - 1
    return jnp.where(excess <= 0, jnp.zeros_like(excess), excess)  # NaN stays


def _lukasiewicz_or(a: jax.Array, b: jax.Array) -> jax.Array:
    total = a + b
    return jnp.where(total >= 1, jnp.ones_like(total), total)


def _exclusive(conjunction: Binary, disjunction: Binary) -> Binary:
    return lambda a, b: disjunction(conjunction(a, 1 - b), conjunction(1 - a, b))


DEGREES: dict[str, dict[str, Binary]] = {
    "product": {
        "and": lambda a, b: a * b,
        "or": lambda a, b: a + b - a * b,
        "xor": lambda a, b: a + b - 2 * a * b,
    },
    "godel": {
        "and": jnp.minimum,
        "or": jnp.maximum,
        "xor": _exclusive(jnp.minimum, jnp.maximum),
    },
    "lukasiewicz": {
        "and": _lukasiewicz_and,
        "or": _lukasiewicz_or,
        "xor": _exclusive(_lukasiewicz_and, _lukasiewicz_or),
    },
}


def _apply(word: str, a: jax.Array, b: jax.Array, logic: str) -> jax.Array:
    if not _is_degree(a.dtype):
        return BITWISE[word](a, b)
    wide = numerics.accumulator(a.dtype)
    clamped = (_clamp(x).astype(wide) for x in (a, b))
    return DEGREES[logic][word](*clamped).astype(a.dtype)


def _clamp(x: jax.Array) -> jax.Array:
    # jnp.clip halves the derivative at its bounds, and most degrees of truth are 0 or 1.
    return jnp.where(x < 0, jnp.zeros_like(x), jnp.where(x > 1, jnp.ones_like(x), x))


def _operands(op: str, a: Any, b: Any, logic: str) -> tuple[jax.Array, jax.Array]:
    """Returns both operands in one shape and dtype."""
    if logic not in DEGREES:
        known = ", ".join(DEGREES)
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: unknown logic {logic!r}; one of {known}.")
    first, second = to_array(op, "a", a), to_array(op, "b", b)
    dtype = _common_dtype(op, first, second)
    try:
        shape = jnp.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: shapes {first.shape} and {second.shape} do not broadcast. "
            "Signature: *b, *b -> *b.",
        ) from None
    a, b = (jnp.broadcast_to(x.astype(dtype), shape) for x in (first, second))
    return a, b


def _common_dtype(op: str, a: jax.Array, b: jax.Array) -> Any:
    _check_kind(op, a)
    _check_kind(op, b)
    mixed = jnp.issubdtype(a.dtype, jnp.integer) != jnp.issubdtype(b.dtype, jnp.integer)
    if mixed:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: 'a' is {a.dtype} but 'b' is {b.dtype}; the bits of an integer combine only with an "
            "integer's.",
            hints="compare the integer with something, or cast it to a float degree of truth",
        )
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(a, b)


def _check_kind(op: str, x: jax.Array) -> None:
    if not (_is_degree(x.dtype) or jnp.dtype(x.dtype).kind in "biu"):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: {x.dtype} has no logic; booleans, integers and real floats have.",
        )


def _is_degree(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)
