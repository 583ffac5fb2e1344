"""`op.norm`: vector and matrix norms whose gradient at 0 is 0."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import levels, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import as_axis, to_array
from tessera.core.precision import current_reduction

MATRIX_NORMS = ("fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf"))
KINKED = frozenset({1, -1, float("inf"), float("-inf")})  # made of |x| itself, not of its powers


@levels.scoped
def norm(
    x: Any,
    p: Any = 2,
    axis: int | Sequence[int] | None = None,
    *,
    method: str | None = None,
    deterministic: Any = None,
) -> jax.Array:
    """Returns the p-norm of vectors, or of matrices where `axis` names two axes.

    `axis` is one axis, two, or None: then x is one vector of all its elements. For vectors p is a number
    (inf, -inf and 0, which counts, too): (sum |x|^p)^(1/p). For matrices it is 2, the largest singular
    value, "fro", "nuc", 1 or inf, or their smallest counterparts -2, -1, -inf. Sums are in at least fp32;
    the result has the real dtype of x. Where all elements are 0 the gradient is 0, and so it is for an
    element that is 0 where p is 1 or infinite. The norm of no elements is 0.

    `method` says how the squares of real vectors are added where p is 2, as in `op.dot`: tree, compensated
    (kahan, neumaier), exact or naive. Without it, and a scope that names one, XLA adds them.
    `deterministic` is the determinism level of this call, up to D4 for vectors and D1 for the singular values
    of matrices (see `numerics.deterministic`).

    Raises `E_GRAPH_INVALID` for a p that is no norm, or that has no sum `method` could be of,
    `E_SHAPE_MISMATCH` if there is no such axis, `E_TARGET_CODEGEN` (a method for complex numbers).

    >>> import jax
    >>> import jax.numpy as jnp
    >>> norm(jnp.array([3.0, 4.0])).item(), norm(jnp.eye(3), "nuc", (0, 1)).round(4).item()
    (5.0, 3.0)
    >>> jax.grad(norm)(jnp.zeros(2)).tolist()
    [0.0, 0.0]
    """
    del deterministic  # has been read
    array = to_array("norm", "x", x)
    if not jnp.issubdtype(array.dtype, jnp.number):
        raise CompileError(Code.E_TARGET_CODEGEN, f"norm: x is {array.dtype}, not a number.")
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        array = array.astype(jnp.float32)
    narrow = jnp.finfo(array.dtype).dtype
    array, axes = _along(array, axis)
    power = _checked(p, len(axes))
    summable = power == 2 and len(axes) == 1 and jnp.issubdtype(array.dtype, jnp.floating)
    method = method or (current_reduction() if summable else None)
    if method is not None:
        _check_method(power, len(axes), array.dtype)
    wide = array.astype(numerics.accumulator(array.dtype))
    if any(wide.shape[i] == 0 for i in axes):
        return jnp.zeros([n for i, n in enumerate(wide.shape) if i not in axes], narrow)
    if power in KINKED:
        wide = jnp.where(wide == 0, 0, wide)  # JAX gives |x| the slope 1 at 0
    zero = jnp.all(wide == 0, axis=axes, keepdims=True)
    # Away from 0 before the norm: what a select discards must be finite for its gradient to be 0.
    safe = jnp.where(zero, jnp.ones((), wide.dtype), wide)
    if method is None:
        found = jnp.linalg.norm(safe, ord=power, axis=axes if len(axes) == 2 else axes[0])
    else:
        found = jnp.sqrt(registered_op("dot")(safe, safe, axes[0], method=method))
    return jnp.where(jnp.squeeze(zero, axes), jnp.zeros((), found.dtype), found).astype(narrow)


def _along(x: jax.Array, axis: int | Sequence[int] | None) -> tuple[jax.Array, tuple[int, ...]]:
    """Returns the array, flat if it is one vector, and its one or two axes."""
    if axis is None:
        return x.ravel(), (0,)
    listed = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    axes = tuple(as_axis("norm", one, x.ndim) for one in listed)
    if len(axes) not in (1, 2) or len(set(axes)) < len(axes):
        raise _invalid(f"axis is {axis}, neither one axis nor two different ones")
    return x, axes


def _checked(p: Any, axes: int) -> Any:
    if axes == 2:
        if isinstance(p, bool) or p not in MATRIX_NORMS:
            known = ", ".join(map(repr, MATRIX_NORMS))
            raise _invalid(f"p={p!r} is no norm of matrices; one of {known}")
        return p
    if isinstance(p, bool) or not isinstance(p, int | float):
        raise _invalid(f"p={p!r} is no norm of vectors", "a number; 'fro' and 'nuc' need two axes")
    return p


def _check_method(p: Any, axes: int, dtype: Any) -> None:
    if axes != 1 or p != 2:
        raise _invalid(
            f"method= is for the 2-norm of vectors, not for p={p!r} of {axes} axes",
            "op.reduce_sum takes it for any sum",
        )
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"norm: method= is for real numbers, not for {dtype}.",
            hints="stack real and imaginary parts",
        )


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"norm: {problem}.", hints=hint or ())
