"""What the operators ask of a function and of points, with the fix in every error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError, TesseraError


@dataclass(frozen=True)
class Contract:
    """What a function is called in its operator's signature, takes and returns."""

    name: str
    takes: str
    returns: str


def require_callable(op: str, function: Any, contract: Contract) -> None:
    """Raises `E_GRAPH_INVALID` if an operator's first argument is not a function."""
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {contract.name} is a {type(function).__name__}, not a function of {contract.takes}.",
            hints=f"pass a function that maps {contract.takes} to {contract.returns}",
        )


def trace(
    op: str, function: Callable[..., Any], contract: Contract, argument: Any
) -> tuple[ClosedJaxpr, Any]:
    """Returns a function's jaxpr and the tree of its results' types; its errors name the operator."""
    try:
        return jax.make_jaxpr(function, return_shape=True)(argument)
    except TesseraError:
        raise
    except (TypeError, ValueError) as error:
        shapes = ", ".join(str(x.shape) for x in jax.tree.leaves(argument))
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {contract.name} fails on {contract.takes} of shape {shapes}: "
            + str(error).partition("\n")[0],
            hints=f"{contract.name} must map {contract.takes} to {contract.returns}",
        ) from error


@contextmanager
def forward_derivatives(op: str) -> Iterator[None]:
    """Names the operator and the fix where JAX finds no forward derivative."""
    try:
        yield
    except (TypeError, NotImplementedError) as error:
        if not lacks_derivative(error):
            raise
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: u calls a jax.custom_vjp function, which has no forward derivative.",
            hints="write it with jax.custom_jvp, or use the tessera.ops function of that name",
        ) from error


def lacks_derivative(error: Exception) -> bool:
    """Returns whether JAX says with an error that a function has no derivative in forward or reverse mode."""
    # Of functions with a reverse rule alone, under two derivatives with the second name; of open-ended loops.
    reasons = ("custom_vjp", "custom_lin", "Reverse-mode differentiation does not work")
    return any(reason in str(error) for reason in reasons)


def to_array(op: str, name: str, values: Any) -> jax.Array:
    """Returns values as an array; raises `E_GRAPH_INVALID` if they are none."""
    try:
        return jnp.asarray(values)
    except (TypeError, ValueError) as error:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: {name} do not form an array: {error}",
            hints="pass an array, or a list of rows of equal length",
        ) from error


def require_points(op: str, points: Any) -> jax.Array:
    """Returns points as an array, which must be real, floating-point and have a last axis."""
    points = to_array(op, "points", points)
    if points.ndim == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: points are a scalar; their last axis must be the coordinates. "
            "Signature: *b d -> *b.",
            hints="for one-dimensional points add an axis: points[..., None]",
        )
    if not jnp.issubdtype(points.dtype, jnp.floating):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"{op}: points are {points.dtype}; derivatives need real floating-point coordinates.",
            hints="give real and imaginary parts as coordinates of their own"
            if jnp.iscomplexobj(points)
            else "points.astype(jnp.float32)",
        )
    return points


def require_vector(op: str, shape: Any) -> None:
    """Raises a `CompileError` unless a traced result is one real scalar or vector."""
    if not isinstance(shape, jax.ShapeDtypeStruct):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: u returns a {type(shape).__name__}, not one array.",
            hints="return a scalar or a vector (k,); jnp.stack the components",
        )
    if len(shape.shape) > 1:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: u returns shape {shape.shape} at one point; it must be a scalar or (k,).",
            hints="u is called with one point (d,), not with a batch; ravel a matrix of components",
        )
    require_real(op, "u", shape.dtype, parts="components")


def require_real(op: str, name: str, dtype: Any, parts: str) -> None:
    """Raises `E_TARGET_CODEGEN` unless a result is real and floating-point, made of `parts`."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"{op}: {name} returns {dtype}; it must return a real floating-point array.",
            hints=f"return real and imaginary parts as {parts}"
            if jnp.issubdtype(dtype, jnp.complexfloating)
            else "compute it in floating point: integers and booleans have no derivative",
        )


def require_field(op: str, network: ClosedJaxpr, d: int) -> None:
    """Raises `E_SHAPE_MISMATCH` unless a function maps a point `(d,)` to `(d,)`."""
    shape = network.out_avals[0].shape
    if shape != (d,):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: u maps a point ({d},) to {shape}; a vector field has as many components as "
            f"coordinates. Signature: d -> d.",
            hints=f"return {d} components",
        )
