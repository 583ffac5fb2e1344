"""The differential operators: each takes a function of one point and returns a function of many."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError
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
from tessera.pde.forward_laplacian import laplacian_at

# A function of one point `(d,)`.
Field = Callable[[jax.Array], jax.Array]
# A function of points `(..., d)`.
Operator = Callable[[jax.Array], jax.Array]

FIELD = Contract("u", takes="one point", returns="a scalar or (k,)")

# With more coordinates than this per component, one reverse pass costs less than a forward pass for each.
FORWARD_PASSES = 8


def laplacian(u: Field, *, chunk_size: int | None = None) -> Operator:
    """Returns the function that gives the Laplacian of `u`, the sum of its second derivatives.

    `u` maps one point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(...)` or
    `(..., k)`. Exact, by the forward Laplacian: value, first derivatives and Laplacian go through the
    network together, with one matrix product per layer (Li et al., Nature Machine Intelligence 6, 2024).
    Points go through `chunk_size` at a time (None: as many as suit the platform).

    Every JAX transformation applies, to points and to whatever `u` closes over. Call it inside `jax.jit`:
    outside, each call traces `u` again. An index of a coordinate beyond d clamps, as everywhere in JAX.

    Raises `CompileError` if `u` is not callable, fails on a point, does not return a real scalar or vector,
    or calls a `jax.custom_vjp` function, which has no forward derivative; or if the points are not
    floating-point with a last axis.

    >>> print(laplacian(lambda x: x[0] ** 2 + 3 * x[1] ** 2)(jnp.ones((2, 2))))
    [8. 8.]
    """

    def at(network: ClosedJaxpr, d: int) -> Operator:
        return lambda point: laplacian_at(network, point)

    return _over_points("laplacian", u, at, lambda d: d + 2, chunk_size)


def grad(u: Field, *, chunk_size: int | None = None) -> Operator:
    """Returns the function that gives the gradient of `u` (of a vector, its Jacobian).

    `u` maps one point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(..., d)` or
    `(..., k, d)`. Arguments, transformations and errors as for `laplacian`. With more than eight
    coordinates per component the derivatives are taken by reverse mode, which `u` must then allow; it may
    then call `jax.custom_vjp` functions.

    >>> print(grad(lambda x: x[0] * x[1])(jnp.array([2.0, 5.0])))
    [5. 2.]
    """
    return _over_points("grad", u, _jacobian, lambda d: d + 1, chunk_size)


def div(u: Field, *, chunk_size: int | None = None) -> Operator:
    """Returns the function that gives the divergence of a vector field.

    `u` maps one point `(d,)` to `(d,)`; the result maps points `(..., d)` to `(...)`. Otherwise as
    `laplacian`; raises `CompileError` if `u` returns anything but `(d,)`.

    >>> print(div(lambda x: x * x)(jnp.array([1.0, 3.0])))
    8.0
    """

    def at(network: ClosedJaxpr, d: int) -> Operator:
        require_field("div", network, d)
        jacobian = jax.jacfwd(_single(network))
        return lambda point: jnp.trace(jacobian(point))

    return _over_points("div", u, at, lambda d: d + 1, chunk_size)


def curl(u: Field, *, chunk_size: int | None = None) -> Operator:
    """Returns the function that gives the curl of a vector field in two or three dimensions.

    `u` maps one point `(d,)` to `(d,)`. For d = 2 the result maps points `(..., 2)` to the scalar
    `du_y/dx - du_x/dy`, shape `(...)`; for d = 3 to `(..., 3)`. Otherwise as `laplacian`; raises
    `CompileError` for any other d.

    >>> print(curl(lambda x: jnp.stack([-x[1], x[0]]))(jnp.zeros((3, 2))))
    [2. 2. 2.]
    """

    def at(network: ClosedJaxpr, d: int) -> Operator:
        if d not in (2, 3):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"curl: a point has 2 or 3 coordinates, not {d}.",
                hints="the last axis of points is the coordinates",
            )
        require_field("curl", network, d)
        jacobian = jax.jacfwd(_single(network))
        turn = _curl_in_plane if d == 2 else _curl_in_space
        return lambda point: turn(jacobian(point))

    return _over_points("curl", u, at, lambda d: d + 1, chunk_size)


def hessian(u: Field, *, chunk_size: int | None = None) -> Operator:
    """Returns the function that gives the matrix of second derivatives of `u`.

    `u` maps one point `(d,)` to a scalar or `(k,)`; the result maps points `(..., d)` to `(..., d, d)` or
    `(..., k, d, d)`. Otherwise as `grad`.

    >>> print(hessian(lambda x: x[0] * x[1] ** 2)(jnp.array([1.0, 2.0])))
    [[0. 4.]
     [4. 2.]]
    """

    def at(network: ClosedJaxpr, d: int) -> Operator:
        return jax.jacfwd(_jacobian(network, d))

    return _over_points(
        "hessian", u, at, lambda d: (d + 1) * (min(d, FORWARD_PASSES) + 1), chunk_size
    )


def hvp(u: Field, *, chunk_size: int | None = None) -> Callable[[jax.Array, jax.Array], jax.Array]:
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
        first = _jacobian(network, points.shape[-1])

        def at_point(point: jax.Array, vector: jax.Array) -> jax.Array:
            return jax.jvp(first, (point,), (vector,))[1]

        return _apply(at_point, (points, vectors), network, 2 * FORWARD_PASSES, chunk_size, "hvp")

    return at_points


def _over_points(
    op: str,
    u: Field,
    at: Callable[[ClosedJaxpr, int], Operator],
    rows: Callable[[int], int],
    chunk_size: int | None,
) -> Operator:
    """`at` gives the operator at one point; `rows` counts the values it carries per value of `u`."""
    require_callable(op, u, FIELD)

    def at_points(points: jax.Array) -> jax.Array:
        points = require_points(op, points)
        d = points.shape[-1]
        network = _trace(op, u, points)
        return _apply(at(network, d), (points,), network, rows(d), chunk_size, op)

    return at_points


def _apply(
    at_point: Callable[..., jax.Array],
    arrays: tuple[jax.Array, ...],
    network: ClosedJaxpr,
    rows: int,
    chunk_size: int | None,
    op: str,
) -> jax.Array:
    *lead, d = arrays[0].shape
    total = math.prod(lead)
    chunk = choose_chunk(op, chunk_size, total, rows * widest_layer(network.jaxpr), LAYER_BYTES)
    with forward_derivatives(op):
        if not lead:
            return at_point(*arrays)
        results = map_points(at_point, tuple(x.reshape(total, d) for x in arrays), chunk)
    return results.reshape(*lead, *results.shape[1:])


def _trace(op: str, u: Field, points: jax.Array) -> ClosedJaxpr:
    # A sum over points has the type of one point, also for no points and inside shard_map.
    one = jnp.sum(points, axis=tuple(range(points.ndim - 1)))
    network, shape = trace(op, u, FIELD, one)
    require_vector(op, shape)
    return network


def _single(network: ClosedJaxpr) -> Field:
    run = jaxpr_as_fun(network)
    return lambda point: run(point)[0]


def _jacobian(network: ClosedJaxpr, d: int) -> Field:
    components = max(network.out_avals[0].size, 1)
    few = d <= FORWARD_PASSES * components
    return (jax.jacfwd if few else jax.jacrev)(_single(network))


def _curl_in_plane(jacobian: jax.Array) -> jax.Array:
    return jacobian[1, 0] - jacobian[0, 1]


def _curl_in_space(jacobian: jax.Array) -> jax.Array:
    ahead, behind = jnp.array([1, 2, 0]), jnp.array([2, 0, 1])
    return jacobian[behind, ahead] - jacobian[ahead, behind]
