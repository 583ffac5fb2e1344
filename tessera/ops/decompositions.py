"""Decompositions of matrices: `cholesky`, `qr`, `svd`, and `tri_solve`, the solution with a triangular one.

XLA has them on every platform; the adjoints are JAX's. bf16 and fp16 are computed in fp32 and rounded at
the end.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array
from tessera.core.precision import require_one_dtype


def tri_solve(A: Any, b: Any, lower: bool = True) -> jax.Array:
    """Returns x with A x = b for a triangular A, lower unless `lower=False`; its other triangle is not read.

    A is (..., n, n) and b (..., n, m), or (..., n), with the same leading axes. Raises `E_SHAPE_MISMATCH`
    if they do not fit. A zero on the diagonal gives inf or NaN.

    >>> import jax.numpy as jnp
    >>> tri_solve(jnp.array([[2.0, 9.0], [1.0, 1.0]]), jnp.array([4.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    a, right = _square("tri_solve", A), to_array("tri_solve", "b", b)
    vector = right.shape == a.shape[:-1]
    if not vector and (right.ndim != a.ndim or right.shape[:-1] != a.shape[:-1]):
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"tri_solve: A has shape {a.shape} but b {right.shape}."
        )
    require_one_dtype("tri_solve", [a, right])
    common = numerics.wider(a.dtype, _inexact("tri_solve", "b", right).dtype)
    wide = numerics.accumulator(common)
    right = right.astype(wide)
    x = lax.linalg.triangular_solve(
        a.astype(wide), right[..., None] if vector else right, left_side=True, lower=lower
    )
    return (x[..., 0] if vector else x).astype(common)


def cholesky(A: Any) -> jax.Array:
    """Returns the lower triangular L with L L^H = A for a Hermitian positive definite A (..., n, n).

    A is replaced by (A + A^H) / 2, so its gradient is symmetric. A matrix that is not positive definite gives
    NaN. Raises `E_SHAPE_MISMATCH` unless A is square.

    >>> import jax.numpy as jnp
    >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    a = _square("cholesky", A)
    return jnp.linalg.cholesky(_widened(a)).astype(a.dtype)


def qr(A: Any) -> tuple[jax.Array, jax.Array]:
    """Returns Q (..., m, r) with orthonormal columns and R (..., r, n), upper triangular, with Q R = A.

    A is (..., m, n) and r the smaller of m and n. The derivative needs the first r columns to be independent.

    >>> import jax.numpy as jnp
    >>> Q, R = qr(jnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> (Q @ R).round(4).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    a = _matrix("qr", A)
    wide, r = _widened(a), min(a.shape[-2:])
    # JAX differentiates matrices that are not wide; the columns beyond are Q's coordinates of A's.
    q, triangle = jnp.linalg.qr(wide[..., :r])
    if a.shape[-1] > r:
        rest = jnp.matmul(jnp.conj(jnp.swapaxes(q, -1, -2)), wide[..., r:])
        triangle = jnp.concatenate([triangle, rest], axis=-1)
    return q.astype(a.dtype), triangle.astype(a.dtype)


def svd(A: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns U (..., m, r), S (..., r) and Vh (..., r, n) with U diag(S) Vh = A, S falling.

    A is (..., m, n) and r the smaller of m and n: the thin decomposition, whose third result is V^H. The
    derivative of U and Vh exists where the singular values differ, that of S everywhere but at 0.

    >>> import jax.numpy as jnp
    >>> svd(jnp.array([[0.0, 2.0], [3.0, 0.0]]))[1].round(4).tolist()
    [3.0, 2.0]
    """
    a = _matrix("svd", A)
    u, s, vh = jnp.linalg.svd(_widened(a), full_matrices=False)
    narrow = s.dtype if jnp.iscomplexobj(a) else a.dtype
    return u.astype(a.dtype), s.astype(narrow), vh.astype(a.dtype)


def _matrix(op: str, A: Any) -> jax.Array:
    a = _inexact(op, "A", to_array(op, "A", A))
    if a.ndim < 2:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{op}: A has shape {a.shape}, not that of a matrix."
        )
    return a


def _square(op: str, A: Any) -> jax.Array:
    a = _matrix(op, A)
    if a.shape[-1] != a.shape[-2]:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{op}: A has shape {a.shape}, which is not square."
        )
    return a


def _inexact(op: str, name: str, x: jax.Array) -> jax.Array:
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: argument {name!r} is {x.dtype}, neither float nor complex.",
            hints=f"{name}.astype(...)",
        )
    return x


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(numerics.accumulator(x.dtype))
