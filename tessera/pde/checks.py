"""What the operators ask of a function and of points, with the fix in every error."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.compat import ClosedJaxpr
from tessera.core.errors import Code, CompileError


def require_callable(op: str, u: Any) -> None:
    """Raises `E_GRAPH_INVALID` if `u` is not a function."""
    if not callable(u):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: u is a {type(u).__name__}, not a function of one point.",
            hints="pass a function that maps one point (d,) to a scalar or (k,)",
        )


def require_points(op: str, points: Any, name: str = "points") -> jax.Array:
    """Returns points as an array, which must be real, floating-point and have a last axis."""
    points = jnp.asarray(points)
    if points.ndim == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: {name} are a scalar; their last axis must be the coordinates. "
            "Signature: *b d -> *b.",
            hints="for one-dimensional points add an axis: points[..., None]",
        )
    if not jnp.issubdtype(points.dtype, jnp.floating):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"{op}: {name} are {points.dtype}; derivatives need real floating-point coordinates.",
            hints=f"{name}.astype(jnp.float32)",
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
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"{op}: u returns {shape.dtype}; derivatives need a real floating-point result.",
            hints="return the real and imaginary parts as components",
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
