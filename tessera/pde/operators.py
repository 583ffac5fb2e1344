"""The differential operators: of a function of one point, which give functions of many, and of Fields."""

import itertools
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.pde import field_operators
from tessera.pde.checks import (
    Contract,
    forward_derivatives,
    require_callable,
    require_field,
    require_points,
    require_vector,
    to_array,
    trace,
)
from tessera.pde.chunks import LAYER_BYTES, choose_chunk, map_points, widest_layer
from tessera.pde.evaluate import derivatives, one_point
from tessera.pde.field import Field
from tessera.pde.plan import Symbol, symbol, times
from tessera.pde.schemes import unit

# A function of one point `(d,)`.
Function = Callable[[jax.Array], jax.Array]
# A function of points `(..., d)`.
Operator = Callable[[jax.Array], jax.Array]

FIELD = Contract("u", takes="one point", returns="a scalar or (k,)")

# With more coordinates than this per component, one reverse pass costs less than a forward pass for each.
FORWARD_PASSES = 8


def laplacian_of(dimensions: int) -> Symbol:
    """Returns the symbol of the Laplacian along every coordinate."""
    squares = [unit(dimensions, i, i)[0] for i in range(dimensions)]
    return symbol(dict(squares))


def laplacian(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the Laplacian of a Field, or the function that gives it for `u`: the sum of second derivatives.

    A Field has it along the words `axes`, every coordinate but t by default. Otherwise `u` maps one point
    `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(...)` or `(..., k)`. Exact, by the
    cheapest scheme for the network and d; as a rule the forward Laplacian: value, first derivatives and
    Laplacian go through the network together, with one matrix product per layer (Li et al., Nature Machine
    Intelligence 6, 2024). Points go `chunk_size` at a time (None: as many as suit the platform).

    Every JAX transformation applies, to points and to whatever `u` closes over. Call it inside `jax.jit`:
    outside, each call traces `u` again. An index of a coordinate beyond d clamps, as everywhere in JAX.

    Raises `CompileError` if `u` is not callable, fails on a point, does not return a real scalar or vector,
    or calls a `jax.custom_vjp` function, which has no forward derivative; or if the points are not
    floating-point with a last axis.

    >>> print(laplacian(lambda x: x[0] ** 2 + 3 * x[1] ** 2)(jnp.ones((2, 2))))
    [8. 8.]
    """
    if holds_fields(u):
        _points_are_fixed("laplacian", chunk_size)
        return field_operators.laplacian(u, _words("laplacian", u, axes))
    _no_axes("laplacian", axes)
    return _by_symbols("laplacian", u, lambda d: [laplacian_of(d)], _only, chunk_size)


def biharmonic(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the Laplacian of the Laplacian of a Field, or the function that gives it for `u`.

    Arguments, shapes and errors as for `laplacian`. By Taylor mode the fourth derivatives are carried as
    their sum, and only the parts of them that are factors on their own.

    >>> print(biharmonic(lambda x: x[0] ** 4 + x[0] ** 2 * x[1] ** 2)(jnp.ones((2, 2))))
    [32. 32.]
    """
    if holds_fields(u):
        _points_are_fixed("biharmonic", chunk_size)
        return field_operators.biharmonic(u, _words("biharmonic", u, axes))
    _no_axes("biharmonic", axes)

    def symbols(d: int) -> list[Symbol]:
        return [times(laplacian_of(d), laplacian_of(d))]

    return _by_symbols("biharmonic", u, symbols, _only, chunk_size)


def partial(u: Any, *coordinates: Any, chunk_size: int | None = None) -> Any:
    """Returns a mixed derivative of any order: of a Field by words, or the function that gives it for `u`.

    `partial(field, "x", "x", "t")` differentiates every component twice along x and once along t;
    `partial(u, 0, 0, 2)` does so for a function of a point, by the numbers of coordinates. Their order makes
    no difference. Shapes and errors as for `laplacian`; also raises `CompileError` for a
    number that is no coordinate.

    >>> print(partial(lambda x: x[0] ** 3 * x[1], 0, 0, 1)(jnp.array([2.0, 5.0])))
    12.0
    """
    if holds_fields(u):
        _points_are_fixed("partial", chunk_size)
        return reduce(
            lambda v, word: field_operators.derivative(v, word, "partial"), coordinates, u
        )
    columns = [as_integer("partial", "coordinate", c) for c in coordinates]

    def symbols(d: int) -> list[Symbol]:
        beyond = [c for c in columns if not -d <= c < d]
        if beyond:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"partial: coordinate {beyond[0]} of points with {d}.",
                hints=f"coordinates are 0 to {d - 1}",
            )
        return [unit(d, *(c % d for c in columns))]

    return _by_symbols("partial", u, symbols, _only, chunk_size)


def grad(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the gradient of a Field, or the function that gives it for `u` (of a vector, its Jacobian).

    Of a Field without components it is the Field of derivatives along the words `axes`, every coordinate
    but t by default; with one word, that derivative of every component. Otherwise `u` maps one
    point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(..., d)` or `(..., k, d)`.
    Arguments, transformations and errors as for `laplacian`. With more than eight coordinates per component
    the derivatives are taken by reverse mode, which `u` must then allow; it may then call `jax.custom_vjp`
    functions.

    >>> print(grad(lambda x: x[0] * x[1])(jnp.array([2.0, 5.0])))
    [5. 2.]
    """
    if holds_fields(u):
        _points_are_fixed("grad", chunk_size)
        return _gradient(u, axes)
    _no_axes("grad", axes)
    require_callable("grad", u, FIELD)

    def at_points(points: jax.Array) -> jax.Array:
        points = require_points("grad", points)
        network, d = _trace("grad", u, points), points.shape[-1]
        if _many(network, d):
            return _mapped("grad", jax.jacrev(_single(network)), points, network, 2, chunk_size)
        return _jacobian("grad", network, points, chunk_size)

    return at_points


def div(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the divergence of a vector field.

    Of a Field with components, or a list of Fields, along the words `axes`, every coordinate but t by
    default; of rows of Fields, such as `stress` gives, the list of the divergences of the rows. Otherwise
    `u` is a function and so is the result: `u` maps one point `(d,)` to `(d,)`, the result points `(..., d)`
    to `(...)`. For the rest as `laplacian`; raises `CompileError` if `u` returns anything but `(d,)`.

    >>> print(div(lambda x: x * x)(jnp.array([1.0, 3.0])))
    8.0
    """
    if holds_fields(u):
        _points_are_fixed("div", chunk_size)
        return _divergence(u, axes)
    _no_axes("div", axes)

    def trace_of(jacobian: jax.Array) -> jax.Array:
        return jnp.trace(jacobian, axis1=-2, axis2=-1)

    return _of_jacobian("div", u, trace_of, None, chunk_size)


def curl(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the curl of a vector field in two or three dimensions.

    Of a Field with components, or a list of Fields, along the words `axes`, every coordinate but t by
    default. Otherwise `u` is a function and so is the result: `u` maps one point `(d,)` to
    `(d,)`. For d = 2 the result maps points `(..., 2)` to the scalar
    `du_y/dx - du_x/dy`, shape `(...)`; for d = 3 to `(..., 3)`. Otherwise as `laplacian`; raises
    `CompileError` for any other d.

    >>> print(curl(lambda x: jnp.stack([-x[1], x[0]]))(jnp.zeros((3, 2))))
    [2. 2. 2.]
    """
    if holds_fields(u):
        _points_are_fixed("curl", chunk_size)
        return field_operators.curl(u, axes)
    _no_axes("curl", axes)

    def turn(jacobian: jax.Array) -> jax.Array:
        plane = jacobian.shape[-1] == 2
        return _curl_in_plane(jacobian) if plane else _curl_in_space(jacobian)

    return _of_jacobian("curl", u, turn, (2, 3), chunk_size)


def hessian(u: Any, axes: Any = None, *, chunk_size: int | None = None) -> Any:
    """Returns the matrix of second derivatives of a Field, or the function that gives it for `u`.

    Of a Field it is rows of Fields, along the words `axes`, every coordinate but t by default. Otherwise `u`
    maps one point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(..., d, d)` or
    `(..., k, d, d)`. Otherwise as `grad`.

    >>> print(hessian(lambda x: x[0] * x[1] ** 2)(jnp.array([1.0, 2.0])))
    [[0. 4.]
     [4. 2.]]
    """
    if holds_fields(u):
        _points_are_fixed("hessian", chunk_size)
        return field_operators.hessian(u, _words("hessian", u, axes))
    _no_axes("hessian", axes)
    require_callable("hessian", u, FIELD)

    def at_points(points: jax.Array) -> jax.Array:
        points = require_points("hessian", points)
        network, d = _trace("hessian", u, points), points.shape[-1]
        if _many(network, d):
            second = jax.jacfwd(jax.jacrev(_single(network)))
            rows = (d + 1) * (FORWARD_PASSES + 1)
            return _mapped("hessian", second, points, network, rows, chunk_size)
        pairs = list(itertools.combinations_with_replacement(range(d), 2))
        symbols = [unit(d, i, j) for i, j in pairs]
        found = dict(
            zip(pairs, derivatives("hessian", network, points, symbols, chunk_size), strict=True)
        )
        entries = [found[min(i, j), max(i, j)] for i in range(d) for j in range(d)]
        return _stack(entries, network, points).reshape(
            *points.shape[:-1], *network.out_avals[0].shape, d, d
        )

    return at_points


def hvp(
    u: Function, *, chunk_size: int | None = None
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Returns the function that gives products of the Hessian of `u` with vectors.

    `u` maps one point `(d,)` to a scalar or `(k,)`; the result takes points and vectors, both `(..., d)`
    (one vector for each point), and gives `(..., d)` or `(..., k, d)`. No Hessian is formed. Otherwise as
    `grad`; raises `CompileError` if the shapes or dtypes of points and vectors differ.

    >>> print(hvp(lambda x: x[0] * x[1])(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])))
    [0. 1.]
    """
    require_callable("hvp", u, FIELD)

    def at_points(points: jax.Array, vectors: jax.Array) -> jax.Array:
        points = require_points("hvp", points)
        vectors = to_array("hvp", "vectors", vectors)
        if (vectors.shape, vectors.dtype) != (points.shape, points.dtype):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"hvp: vectors are {vectors.dtype}{vectors.shape} but points {points.dtype}{points.shape}.",
                hints="give one vector of the same dtype for each point",
            )
        network = _trace("hvp", u, points)
        way = jax.jacrev if _many(network, points.shape[-1]) else jax.jacfwd
        first = way(_single(network))

        def at_point(point: jax.Array, vector: jax.Array) -> jax.Array:
            return jax.jvp(first, (point,), (vector,))[1]

        rows = 2 * FORWARD_PASSES
        return _mapped("hvp", at_point, points, network, rows, chunk_size, vectors)

    return at_points


def holds_fields(u: Any) -> bool:
    """Returns whether something is a Field or a list that begins with one, or with such a list."""
    if isinstance(u, list | tuple) and u:
        return holds_fields(u[0])
    return isinstance(u, Field)


def _words(op: str, u: Field, axes: Any) -> tuple[Any, ...]:
    return field_operators.spatial(op, u, axes)


def _gradient(u: Field, axes: Any) -> Field:
    if isinstance(axes, str):
        return field_operators.derivative(u, axes)
    return field_operators.gradient(u, _words("grad", u, axes))


def _divergence(u: Any, axes: Any) -> Any:
    if isinstance(u, list | tuple) and isinstance(u[0], list | tuple):
        return [field_operators.divergence(row, axes) for row in u]
    return field_operators.divergence(u, axes)


def _points_are_fixed(op: str, chunk_size: int | None) -> None:
    if chunk_size is not None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: chunk_size= is for functions of a point; a Field is at its points already.",
            hints="pde.mean_square takes the gradient of a loss chunk by chunk",
        )


def _no_axes(op: str, axes: Any) -> None:
    if axes is not None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: axes={axes!r} for a function, whose coordinates have no names.",
            hints="op.coords(points, names=...) gives them names",
        )


def _by_symbols(
    op: str,
    u: Function,
    symbols: Callable[[int], Sequence[Symbol]],
    assemble: Callable[[list[jax.Array]], jax.Array],
    chunk_size: int | None,
) -> Operator:
    require_callable(op, u, FIELD)

    def at_points(points: jax.Array) -> jax.Array:
        points = require_points(op, points)
        network = _trace(op, u, points)
        wanted = symbols(points.shape[-1])
        return assemble(derivatives(op, network, points, wanted, chunk_size))

    return at_points


def _only(found: list[jax.Array]) -> jax.Array:
    (one,) = found
    return one


def _of_jacobian(
    op: str,
    u: Function,
    assemble: Operator,
    dimensions: tuple[int, ...] | None,
    chunk_size: int | None,
) -> Operator:
    require_callable(op, u, FIELD)

    def at_points(points: jax.Array) -> jax.Array:
        points = require_points(op, points)
        d = points.shape[-1]
        if dimensions is not None and d not in dimensions:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"{op}: a point has 2 or 3 coordinates, not {d}.",
                hints="the last axis of points is the coordinates",
            )
        network = _trace(op, u, points)
        require_field(op, network, d)
        return assemble(_jacobian(op, network, points, chunk_size))

    return at_points


def _jacobian(
    op: str, network: ClosedJaxpr, points: jax.Array, chunk_size: int | None
) -> jax.Array:
    d = points.shape[-1]
    symbols = [unit(d, i) for i in range(d)]
    return _stack(derivatives(op, network, points, symbols, chunk_size), network, points)


def _stack(parts: Sequence[jax.Array], network: ClosedJaxpr, points: jax.Array) -> jax.Array:
    """Stacks on a last axis; of no coordinates an empty one."""
    if parts:
        return jnp.stack(parts, axis=-1)
    result = network.out_avals[0]
    return jnp.zeros((*points.shape[:-1], *result.shape, 0), result.dtype)


def _mapped(
    op: str,
    at_point: Callable[..., jax.Array],
    points: jax.Array,
    network: ClosedJaxpr,
    rows: int,
    chunk_size: int | None,
    *more: jax.Array,
) -> jax.Array:
    """`at_point` at every point; it carries `rows` values per value of the network."""
    *lead, d = points.shape
    total = reduce(lambda a, b: a * b, lead, 1)
    chunk = choose_chunk(op, chunk_size, total, rows * widest_layer(network.jaxpr), LAYER_BYTES)
    with forward_derivatives(op):
        if not lead:
            return at_point(points, *more)
        flat = tuple(x.reshape(total, d) for x in (points, *more))
        results = map_points(at_point, flat, chunk)
    return results.reshape(*lead, *results.shape[1:])


def _trace(op: str, u: Function, points: jax.Array) -> ClosedJaxpr:
    network, shape = trace(op, u, FIELD, one_point(points))
    require_vector(op, shape)
    return network


def _single(network: ClosedJaxpr) -> Function:
    run = jaxpr_as_fun(network)
    return lambda point: run(point)[0]


def _many(network: ClosedJaxpr, d: int) -> bool:
    """Whether there are so many coordinates for each component that reverse mode is cheaper."""
    return d > FORWARD_PASSES * max(network.out_avals[0].size, 1)


def _curl_in_plane(jacobian: jax.Array) -> jax.Array:
    return jacobian[..., 1, 0] - jacobian[..., 0, 1]


def _curl_in_space(jacobian: jax.Array) -> jax.Array:
    ahead, behind = jnp.array([1, 2, 0]), jnp.array([2, 0, 1])
    return jacobian[..., behind, ahead] - jacobian[..., ahead, behind]
