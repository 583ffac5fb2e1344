"""`op.assert_shape`: a statement about the shapes of arrays, checked while the program is traced."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from tessera.core.dims import Signature, Term, parse_terms
from tessera.core.errors import Code, CompileError

T = TypeVar("T")

Spec = str | Sequence[int | str | None]


def assert_shape(x: T, spec: Spec) -> T:
    """Returns x, after checking that it has the shape of a spec; nothing is left in the compiled program.

    `spec` is a text such as "*b n 3": a name is one size wherever it appears, `*b` any number of axes, a
    number a size. A tuple such as (None, "n", 3) is the same, None for any size. For a list of arrays the
    text has one term for each, separated by commas: assert_shape([a, b], "m k, k n").

    Raises `E_SHAPE_MISMATCH` if it does not hold, and `E_GRAPH_INVALID` for a spec that cannot be read.

    >>> import jax.numpy as jnp
    >>> assert_shape(jnp.zeros((4, 3)), "n 3").shape
    (4, 3)
    >>> assert_shape(jnp.zeros((4, 3)), "n n").shape
    Traceback (most recent call last):
    tessera.core.errors.CompileError: assert_shape: axis 'n' is 4 in argument 'x' but 3 in argument 'x'. \
Wanted: n n. [E_SHAPE_MISMATCH]
    """
    arrays: list[Any] = list(x) if isinstance(x, list | tuple) else [x]
    wanted = spec if isinstance(spec, str) else _text(spec)
    terms = _parsed(wanted)
    if len(terms) != len(arrays):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"assert_shape: {wanted!r} has {len(terms)} terms for {len(arrays)} arrays.",
        )
    if any(sum(a.group for a in t.axes) > 1 or t.at or t.optional for t in terms):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"assert_shape: {wanted!r} must be names, sizes and at most one *b for each array.",
        )
    several = isinstance(x, list | tuple)
    names = [f"x[{i}]" for i in range(len(arrays))] if several else ["x"]
    shapes = [tuple(np.shape(a)) for a in arrays]
    try:
        Signature(terms, ()).bind("assert_shape", names, shapes, {})
    except CompileError as error:
        problem = error.message.partition(" Signature: ")[0]
        raise CompileError(error.code, f"{problem} Wanted: {wanted}.") from None
    return x


def _parsed(wanted: str) -> tuple[Term, ...]:
    try:
        return parse_terms(wanted)
    except CompileError as error:
        raise CompileError(
            error.code, f"assert_shape: {error.message}", hints=error.hints
        ) from None


def _text(spec: Sequence[int | str | None]) -> str:
    """Returns the text of a tuple of sizes; every None is a name of its own."""
    if not isinstance(spec, list | tuple):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"assert_shape: the spec is a {type(spec).__name__}, neither text nor a tuple.",
            hints='"n 3", or ("n", 3)',
        )
    words = [f"_{i}" if size is None else str(size) for i, size in enumerate(spec)]
    return " ".join(words) or "()"
