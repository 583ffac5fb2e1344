"""`coords` and `coordinates`: points whose coordinates have names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import promote_floats
from tessera.pde.checks import require_points, to_array
from tessera.pde.field import Field, invalid, join, of_function
from tessera.pde.sources import Points


def coords(points: Any = None, names: Sequence[str] | None = None) -> Field:
    """Returns points as a Field of their coordinates, whose names are the axis words of `op.grad`.

    `points` is a float array `(..., d)`; `names` are d words, x, y, t if there are three and none are given.
    The Field has the shape of the points; `field["x"]` is one coordinate, `field.apply(network)` the network
    at the points. Without points they are those of the enclosing `with op.coordinates(...)`, and names
    choose among its words.

    Raises `E_SHAPE_MISMATCH` (another number of names), `E_GRAPH_INVALID` (no names, no points, a name
    twice) and `E_TARGET_CODEGEN` (points that are not real floats).

    >>> xyt = coords(jnp.ones((5, 3)), names=("x", "y", "t"))
    >>> xyt, xyt["t"].shape
    (Field(float32[5, 3] of x, y, t), (5,))
    """
    if points is None:
        return _enclosing(names)
    array = require_points("coords", points)
    d = array.shape[-1]
    if names is None:
        if d != 3:
            raise invalid(
                "coords", f"no names for {d} coordinates", 'names=("x", "y"), one for each'
            )
        names = ("x", "y", "t")
    words = (names,) if isinstance(names, str) else tuple(names)
    if any(not isinstance(word, str) for word in words) or len(set(words)) != len(words):
        raise invalid("coords", f"names {words} are not words, each once")
    if len(words) != d:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"coords: {len(words)} names, {', '.join(words)}, for points of {d} coordinates.",
        )
    return _of_points(Points(words, array))


@contextmanager
def coordinates(**arrays: Any) -> Iterator[Field]:
    """Gives words to arrays of coordinates inside a `with`: the Field of all of them.

    Each array has one number for each point; the shapes agree, and columns `(n, 1)` count as `(n,)`. Inside,
    `op.coords(names=("x", "y"))` is the Field of these coordinates, `op.coords(names="x")` of one.

    Raises `E_GRAPH_INVALID` for no arrays and `E_SHAPE_MISMATCH` for shapes that differ.

    >>> with coordinates(x=jnp.linspace(0, 1, 5), y=jnp.ones(5)) as xy:
    ...     u = coords(names="x") ** 2
    >>> u.array.tolist()
    [0.0, 0.0625, 0.25, 0.5625, 1.0]
    """
    if not arrays:
        raise invalid("coordinates", "no coordinates", "op.coordinates(x=..., y=...)")
    given = [to_array("coordinates", name, values) for name, values in arrays.items()]
    columns = [x[..., 0] if x.ndim > 1 and x.shape[-1] == 1 else x for x in given]
    shapes = [x.shape for x in columns]
    if len(set(shapes)) > 1:
        listed = ", ".join(f"{name} {x.shape}" for name, x in zip(arrays, given, strict=True))
        raise CompileError(Code.E_SHAPE_MISMATCH, f"coordinates: the shapes differ: {listed}.")
    alike = promote_floats(columns, ["number"] * len(columns), "coordinates")
    found = coords(jnp.stack(cast("list[jax.Array]", alike), axis=-1), tuple(arrays))
    token = _inside.set(found)
    try:
        yield found
    finally:
        _inside.reset(token)


def _of_points(points: Points) -> Field:
    ((c, term),) = of_function(lambda array: array, points).terms
    return Field(((c, replace(term, source=replace(term.source, is_points=True))),))


def _enclosing(names: Sequence[str] | None) -> Field:
    found = _inside.get()
    if found is None:
        raise invalid("coords", "no points", 'op.coords(points, names=("x", "y"))')
    if names is None:
        return found
    if isinstance(names, str):
        return found[names]
    return join([found[word] for word in names], "coords")


_inside: ContextVar[Field | None] = ContextVar("tessera_coordinates", default=None)
