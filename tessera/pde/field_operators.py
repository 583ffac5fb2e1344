"""Differential operators on Fields: derivatives along coordinates, and what physics makes of them."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.pde.field import (
    Field,
    Term,
    column_of,
    differentiated,
    invalid,
    is_source,
    join,
    of_function,
)

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

    return differentiated(u, tuple(int(i == column) for i in range(len(u.names))))


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


def biharmonic(u: Field, words: Sequence[str]) -> Field:
    """Returns the Laplacian of the Laplacian along coordinates.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> biharmonic(xy["x"] ** 4, ("x", "y")).array.tolist()
    [24.0]
    """
    return laplacian(laplacian(u, words), words)


def gradient(u: Field, words: Sequence[str]) -> Field:
    """Returns the Field of the derivatives of a Field without components, one component for each word.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> gradient(xy["x"] * xy["y"], ("x", "y")).array.tolist()
    [[3.0, 2.0]]
    """
    if u.ndim >= u.points.array.ndim:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"grad: a Field of shape {u.shape} has components.",
            hints="pde.grad(u[..., i]) of one, or pde.partial(u, 'x') of all along one coordinate",
        )
    return join([derivative(u, word) for word in words], "grad")


def hessian(u: Field, words: Sequence[str]) -> tuple[tuple[Field, ...], ...]:
    """Returns the second derivatives of a Field as rows; equal entries are one Field.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> [[float(e.array[0]) for e in row] for row in hessian(xy["x"] ** 2 * xy["y"], ("x", "y"))]
    [[6.0, 4.0], [4.0, 0.0]]
    """
    rows = [[derivative(derivative(u, a, "hessian"), b, "hessian") for b in words] for a in words]
    return tuple(
        tuple(rows[min(i, j)][max(i, j)] for j in range(len(rows))) for i in range(len(rows))
    )


def material_derivative(u: Any, velocity: Any, axes: Any = None, time: str | None = TIME) -> Any:
    """Returns du/dt + (velocity . grad) u: the rate of change that is felt when moving with a flow.

    `u` is a Field (each component changes alike) or a list of Fields, which gives a list; `velocity` a Field
    with components or a list of Fields, one for each of `axes` (default: every coordinate but t). `time`
    names the coordinate of time, None or a name that the points lack for a steady flow. In units of u per
    unit of time. Raises `E_SHAPE_MISMATCH` for another number of components than axes.

    >>> from tessera.pde.coordinates import coords
    >>> xt = coords(jnp.array([[2.0, 3.0]]), names=("x", "t"))
    >>> material_derivative(xt["x"] ** 2 + xt["t"], [xt["x"]]).array.tolist()
    [9.0]
    """
    if isinstance(u, list | tuple):
        return [material_derivative(part, velocity, axes, time) for part in u]
    flow = components("material_derivative", velocity)
    words = spatial("material_derivative", flow[0], axes)
    _require_as_many("material_derivative", flow, words)
    total = None
    if time is not None and time in u.names:
        total = derivative(u, time, "material_derivative")
    for speed, word in zip(flow, words, strict=True):
        carried = speed * derivative(u, word, "material_derivative")
        total = carried if total is None else total + carried
    return total


def strain(u: Any, axes: Any = None) -> tuple[tuple[Field, ...], ...]:
    """Returns the symmetric part of the gradient of a vector, (du_i/dx_j + du_j/dx_i) / 2, as rows.

    Of a displacement it is the (small) strain, of a velocity the rate of strain. `u` is a Field with
    components or a list of Fields, one for each of `axes` (default: every coordinate but t).

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> [[float(e.array[0]) for e in row] for row in strain([xy["y"] * 2, xy["y"] ** 2])]
    [[0.0, 1.0], [1.0, 6.0]]
    """
    parts = components("strain", u)
    words = spatial("strain", parts[0], axes)
    _require_as_many("strain", parts, words)
    count = len(parts)

    def entry(i: int, j: int) -> Field:
        if i == j:
            return derivative(parts[i], words[i], "strain")
        sum_of = derivative(parts[i], words[j], "strain") + derivative(parts[j], words[i], "strain")
        return sum_of * 0.5

    upper = {(i, j): entry(i, j) for i in range(count) for j in range(i, count)}
    return tuple(tuple(upper[min(i, j), max(i, j)] for j in range(count)) for i in range(count))


def stress(
    u: Any, pressure: Any = None, *, shear: Any, volume: Any = 0.0, axes: Any = None
) -> tuple[tuple[Field, ...], ...]:
    """Returns -pressure I + 2 shear strain(u) + volume div(u) I, as rows: the stress of a linear material.

    For a Newtonian fluid u is the velocity, `shear` the dynamic viscosity and `volume` the second viscosity;
    for an elastic solid u is the displacement, and they are Lame's mu and lambda. All in consistent units;
    numbers or scalar arrays. `pde.div` of the rows is the force per volume.

    >>> from tessera.pde.coordinates import coords
    >>> xy = coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> rows = stress([xy["y"], xy["x"] * 3], xy["x"], shear=0.5, volume=1.0)
    >>> [[float(e.array[0]) for e in row] for row in rows]
    [[-2.0, 2.0], [2.0, -2.0]]
    """
    rates = strain(u, axes)
    count = len(rates)
    expansion = functools.reduce(operator.add, [rates[i][i] for i in range(count)])

    def entry(i: int, j: int) -> Field:
        sheared = rates[i][j] * 2 * shear
        if i != j:
            return sheared
        total = sheared + expansion * volume
        return total if pressure is None else total - pressure

    upper = {(i, j): entry(i, j) for i in range(count) for j in range(i, count)}
    return tuple(tuple(upper[min(i, j), max(i, j)] for j in range(count)) for i in range(count))


def _require_as_many(op: str, parts: Sequence[Field], words: Sequence[Any]) -> None:
    if len(parts) != len(words):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: {len(parts)} components but {len(words)} axes, {', '.join(map(str, words))}.",
            hints="axes= has one word for each component",
        )


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
    _require_as_many("div", parts, axes)
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
