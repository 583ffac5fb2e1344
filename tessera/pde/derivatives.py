"""Derivatives of Fields: along a coordinate, Laplacian, divergence, curl."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.pde.field import Field, Term, column_of, invalid, is_source, join, of_function

TIME = "t"  # the coordinate that is no axis of space unless a call names it


def derivative(u: Field, word: str, op: str = "grad") -> Field:
    """Returns the derivative of every component of a Field along a coordinate.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> derivative(xy["x"] * xy["y"], "x").array.tolist()
    [3.0]
    """
    column = column_of(u, word, op)
    if is_source(u) and u.terms[0][1].source.parts:
        return join([derivative(part, word, op) for part in u.terms[0][1].source.parts])

    def further(term: Term) -> Term:
        orders = list(term.orders)
        orders[column] += 1
        return replace(term, orders=tuple(orders))

    return Field(tuple((c, further(term)) for c, term in u.terms))


def laplacian(u: Field, words: Sequence[str]) -> Field:
    """Returns the sum of second derivatives along coordinates, by the forward Laplacian.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> laplacian(xy["x"] ** 2 * xy["y"], ("x", "y")).array.tolist()
    [6.0]
    """
    columns = tuple(sorted(column_of(u, word, "laplacian") for word in words))

    def further(term: Term) -> Term:
        return replace(term, laplacians=tuple(sorted((*term.laplacians, columns))))

    return Field(tuple((c, further(term)) for c, term in u.terms))


def in_double_precision(u: Field, op: str) -> Field:
    """Returns the Field computed in fp64 from its points on; raises `E_TARGET_CODEGEN` if x64 is off."""
    numerics.require_x64(np.dtype(np.float64), f"{op}: precision='fp64'")

    def widened(points: jax.Array) -> jax.Array:
        # Parameters in fp32 meet values in fp64.
        with jax.numpy_dtype_promotion("standard"):
            return u.at(points.astype(jnp.float64))

    return of_function(widened, u.points)


def divergence(u: Any, words: Sequence[str] | None) -> Field:
    """Returns the divergence of a Field with components, or of a list of Fields.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.ones((2, 2)), names=("x", "y"))
    >>> divergence([xy["x"] ** 2, xy["y"] * 3], None).array.tolist()
    [5.0, 5.0]
    """
    parts = components("div", u)
    axes = spatial("div", parts[0], words)
    if len(axes) != len(parts):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"div: {len(parts)} components but {len(axes)} axes, {', '.join(map(str, axes))}.",
            hints="axes= has one word for each component",
        )
    total = derivative(parts[0], axes[0], "div")
    for part, word in zip(parts[1:], axes[1:], strict=True):
        total = total + derivative(part, word, "div")
    return total


def curl(u: Any, words: Sequence[str] | None) -> Field:
    """Returns the curl of a Field with two components (a scalar) or three, or of a list of Fields.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.ones((2, 2)), names=("x", "y"))
    >>> curl([-xy["y"], xy["x"]], None).array.tolist()
    [2.0, 2.0]
    """
    parts = components("curl", u)
    axes = spatial("curl", parts[0], words)
    if len(parts) not in (2, 3) or len(axes) != len(parts):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"curl: {len(parts)} components and {len(axes)} axes, not 2 and 2 or 3 and 3.",
            hints="axes= has one word for each component",
        )

    def turn(i: int, j: int) -> Field:
        return derivative(parts[j], axes[i], "curl") - derivative(parts[i], axes[j], "curl")

    return turn(0, 1) if len(parts) == 2 else join([turn(1, 2), turn(2, 0), turn(0, 1)], "curl")


def components(op: str, u: Any) -> list[Field]:
    """Returns the components of a vector: the Fields of a list, or those along a Field's last axis."""
    if isinstance(u, list | tuple):
        if not u or not all(isinstance(part, Field) for part in u):
            kinds = ", ".join(type(part).__name__ for part in u) or "nothing"
            raise invalid(op, f"the components are {kinds}, not all Fields")
        return list(u)
    if u.ndim != u.points.array.ndim:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: a Field of shape {u.shape} has no components.",
            hints=f"op.{op}([u, v], axes), or one word for one derivative: op.div(u, 'x')",
        )
    return [u[..., i] for i in range(u.shape[-1])]


def spatial(op: str, u: Field, words: Any) -> tuple[Any, ...]:
    """Returns the coordinates an operator is along: those given, or all but t."""
    if words is None:
        return tuple(name for name in u.names if name != TIME)
    if isinstance(words, str | Field):
        return (words,)
    axes = tuple(words)
    for word in axes:
        column_of(u, word, op)
    if len(set(axes)) != len(axes) or not axes:
        raise invalid(op, f"axes {axes} are not words, each once")
    return axes
