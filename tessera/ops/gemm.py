"""`op.gemm`, the BLAS product, and `op.batched_gemm`: `op.matmul` with BLAS's arguments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics, precision
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import to_array


def gemm(
    A: Any,
    B: Any,
    C: Any = None,
    *,
    alpha: Any = 1,
    beta: Any = 0,
    transA: bool = False,
    transB: bool = False,
    batch: int | None = None,
    out_dtype: Any = None,
) -> jax.Array:
    """Returns alpha op(A) op(B) + beta C, where op transposes the last two axes if `transA`, `transB` say so.

    op(A) is (..., m, k), op(B) (..., k, n), and C has the shape of the result or broadcasts to it; leading
    axes broadcast. `alpha` and `beta` are numbers or scalar arrays; with `beta=0`, a number, C is not read.
    `batch` states the number of products, which is checked. Sums are in at least fp32, and the result,
    rounded once, has the promoted dtype of A, B and C unless `out_dtype` names another.

    Raises `E_GRAPH_INVALID` for a beta without C and for lists of arrays (a pointer-array gemm),
    `E_SHAPE_MISMATCH` if the shapes do not fit.

    >>> import jax.numpy as jnp
    >>> A, B, C = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]), jnp.array([[1.0]])
    >>> gemm(A, B, C, alpha=2, beta=10, transB=True).tolist()
    [[32.0]]
    """
    reads_c = not (isinstance(beta, int | float | complex | np.generic) and beta == 0)
    if reads_c and C is None:
        raise _invalid("gemm", f"beta is {beta} but C is missing", "gemm(A, B, C, beta=...)")
    a, b = _operand("gemm", "A", A, transA), _operand("gemm", "B", B, transB)
    _require_fit("gemm", a, b)
    common = numerics.wider(a.dtype, b.dtype)
    c = _array("gemm", "C", C) if reads_c else None
    precision.require_one_dtype("gemm", [a, b] if c is None else [a, b, c])
    if c is not None:
        common = numerics.wider(common, c.dtype)
    wide = numerics.accumulator(common)
    product = registered_op("matmul")(a, b, out_dtype=wide)
    if batch is not None and (product.ndim < 3 or product.shape[0] != batch):
        raise _mismatch("gemm", f"batch is {batch} but the result has shape {product.shape}")
    total = product if _is_one(alpha) else _scalar("alpha", alpha, wide) * product
    if c is not None:
        try:
            added = jnp.broadcast_to(c, total.shape).astype(wide)
        except ValueError:
            raise _mismatch(
                "gemm", f"C has shape {c.shape} but the product {total.shape}"
            ) from None
        total = total + _scalar("beta", beta, wide) * added
    out = common if out_dtype is None else numerics.dtype(out_dtype, "gemm: out_dtype")
    return total.astype(out)


def batched_gemm(A: Any, B: Any, *, out_dtype: Any = None) -> jax.Array:
    """Returns the products of matrices A (..., m, k) and B (..., k, n) that share their leading axes.

    Each array holds all its matrices, and both have the same leading axes, at least one. Sums are in at least
    fp32. Raises `E_SHAPE_MISMATCH` if the shapes do not fit, `E_GRAPH_INVALID` for lists of arrays (a
    pointer-array gemm).

    >>> import jax.numpy as jnp
    >>> batched_gemm(jnp.ones((2, 1, 3)), jnp.ones((2, 3, 1))).ravel().tolist()
    [3.0, 3.0]
    """
    a, b = _matrices("batched_gemm", "A", A), _matrices("batched_gemm", "B", B)
    if a.ndim < 3 or a.shape[:-2] != b.shape[:-2]:
        raise _mismatch(
            "batched_gemm",
            f"A has shape {a.shape} and B {b.shape}; both need the same leading axes, at least one",
            "op.matmul broadcasts",
        )
    _require_fit("batched_gemm", a, b)
    return registered_op("matmul")(a, b, out_dtype=out_dtype)


def _operand(op: str, name: str, x: Any, transposed: bool) -> jax.Array:
    array = _matrices(op, name, x)
    return jnp.swapaxes(array, -1, -2) if transposed else array


def _matrices(op: str, name: str, x: Any) -> jax.Array:
    array = _array(op, name, x)
    if array.ndim < 2:
        raise _mismatch(op, f"{name} has shape {array.shape}, not that of a matrix")
    return array


def _array(op: str, name: str, x: Any) -> jax.Array:
    if isinstance(x, list | tuple):
        raise _invalid(
            op,
            f"{name} is a {type(x).__name__} of arrays",
            "one array (..., m, k) for all matrices, as jnp.stack(...) makes it",
        )
    return to_array(op, name, x)


def _require_fit(op: str, a: jax.Array, b: jax.Array) -> None:
    if a.shape[-1] != b.shape[-2]:
        raise _mismatch(
            op, f"k is {a.shape[-1]} in op(A) {a.shape} but {b.shape[-2]} in op(B) {b.shape}"
        )


def _is_one(alpha: Any) -> bool:
    return isinstance(alpha, int | float) and alpha == 1


def _scalar(name: str, x: Any, dtype: Any) -> jax.Array:
    array = to_array("gemm", name, x)
    if array.ndim:
        raise _mismatch("gemm", f"{name} has shape {array.shape}, not that of a scalar")
    if jnp.issubdtype(array.dtype, jnp.complexfloating) > jnp.issubdtype(
        dtype, jnp.complexfloating
    ):
        raise _invalid("gemm", f"{name} is complex but the product {dtype}", "A.astype(complex)")
    return array.astype(dtype)


def _invalid(op: str, problem: str, hint: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint)


def _mismatch(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}.", hints=hint or ())
