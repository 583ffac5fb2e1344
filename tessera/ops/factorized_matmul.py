"""`op.factorized_matmul`: a product with the best approximation of a matrix of given rank.

    A B ~ (A U_k S_k) V_k^H,   |A B - A B_k|_2 <= s_{k+1} |A|_2

Source: Eckart and Young 1936.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import as_integer, to_array
from tessera.core.precision import require_one_dtype


def factorized_matmul(
    A: Any, B: Any, rank: int | None = None, *, return_bound: bool = False
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Returns A @ B with B replaced by its best approximation of rank `rank`, in two thin products.

    A is (..., m, k) and B (k, n). B may also be the pair (U, V) of its factors, (k, r) and (r, n): then
    nothing is decomposed, the product is exact and `rank`, if given, is r. With `return_bound=True` the
    result is `(product, bound)`, where the bound, of shape (...), limits the spectral norm of the error:
    s_{k+1} |A|_2, in exact arithmetic. A whole matrix is decomposed in at least fp32 at every call:
    decompose a weight once and pass the pair.

    Raises `E_SHAPE_MISMATCH` if the shapes do not fit or B has no such rank, `E_GRAPH_INVALID` without a
    rank, `E_TARGET_CODEGEN` for a whole B of integers, whose factors are none.

    >>> import jax.numpy as jnp
    >>> B = jnp.diag(jnp.array([3.0, 2.0, 0.5]))
    >>> y, bound = factorized_matmul(jnp.eye(3), B, rank=2, return_bound=True)
    >>> bool(jnp.allclose(y, jnp.diag(jnp.array([3.0, 2.0, 0.0])), atol=1e-5)), bound.round(3).item()
    (True, 0.5)
    """
    a = to_array("factorized_matmul", "A", A)
    if isinstance(B, tuple | list):
        left, right, lost = *_given(B, rank), 0.0
        require_one_dtype("factorized_matmul", [a, left, right])
        of_b = numerics.wider(left.dtype, right.dtype)
    else:
        whole = to_array("factorized_matmul", "B", B)
        require_one_dtype("factorized_matmul", [a, whole])
        left, right, lost = _decomposed(whole, rank)
        of_b = whole.dtype
    if a.ndim < 2 or a.shape[-1] != left.shape[0]:
        raise _mismatch(f"A has shape {a.shape}, but B has {left.shape[0]} rows")
    matmul = registered_op("matmul")
    common = numerics.wider(a.dtype, of_b)
    # The thin product is kept in the accumulation dtype: it is rounded once, at the end.
    wide = numerics.accumulator(common)
    thin = matmul(a, left.astype(common), out_dtype=wide)
    y = matmul(thin, right.astype(wide), out_dtype=common)
    if not return_bound:
        return y
    largest = jnp.linalg.norm(a.astype(wide), ord=2, axis=(-2, -1))
    return y, lost * largest


def _given(pair: Any, rank: int | None) -> tuple[jax.Array, jax.Array]:
    if len(pair) != 2:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"factorized_matmul: B is {len(pair)} arrays, neither a matrix nor a pair (U, V).",
        )
    left, right = (to_array("factorized_matmul", "B", x) for x in pair)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise _mismatch(f"the factors of B have shapes {left.shape} and {right.shape}")
    if rank is not None and rank != left.shape[1]:
        raise _mismatch(f"rank is {rank} but the factors of B have {left.shape[1]}")
    return left, right


def _decomposed(b: jax.Array, rank: int | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    if rank is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "factorized_matmul: rank is missing.",
            hints="rank=k, or B as a pair (U, V)",
        )
    kept = as_integer("factorized_matmul", "rank", rank)
    if b.ndim != 2:
        raise _mismatch(f"B has shape {b.shape}, not that of a matrix")
    if not 1 <= kept <= min(b.shape):
        raise _mismatch(f"rank {kept} of B, a matrix of shape {b.shape}")
    if not jnp.issubdtype(b.dtype, jnp.inexact):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"factorized_matmul: B is {b.dtype}, whose factors are floats.",
            hints="B.astype(jnp.float32)",
        )
    wide = numerics.accumulator(b.dtype)
    u, s, vh = jnp.linalg.svd(b.astype(wide), full_matrices=False)
    lost = s[kept] if kept < s.shape[0] else jnp.zeros((), s.dtype)
    left, right = u[:, :kept] * s[None, :kept].astype(wide), vh[:kept]
    return left, right, lost  # as wide as they were found: A may be wider than B


def _mismatch(problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"factorized_matmul: {problem}.")
