"""Sparse matrices times dense ones, and dense products at chosen places.

    spmm     Y[i, n] = sum over entries e with row_e = i of value_e B[column_e, n]
    sddmm    y_e     = sum over k of A[row_e, k] B[k, column_e]

Each is the other's derivative: for a cotangent G of Y, dvalue = sddmm(G, B^T) and dB is the transposed spmm
of G. Entries are added in their order within a row (`segment_reduce`), never by atomics, whose order would
vary: the same input gives the same bits, in the derivatives too.

Sparse matrices are `jax.experimental.sparse.BCOO` and `BCSR`. That module takes longer to import than Tessera
may, and whoever holds such a matrix has loaded it: here it is looked up, not imported.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from tessera.core import compat, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Residuals, Sample, define_op, registered_op
from tessera.core.operands import to_array

SPARSE = "jax.experimental.sparse"
COO, CSR = "BCOO", "BCSR"
COO_KINDS = ("float", "integer", "integer", "float", "integer", "integer")


@define_op("*b e, *b e, *b e, [*b] k n, m, k -> *b m n", kinds=COO_KINDS)
def spmm_coo(
    values: jax.Array,
    rows: jax.Array,
    columns: jax.Array,
    dense: jax.Array,
    row_range: jax.Array,
    column_range: jax.Array,
) -> jax.Array:
    """Returns A @ B for a sparse matrix A, a `BCOO`, and a dense one.

    A is (m, k) and B is (k, n); both may have leading batch axes, or A alone. Entries at the same place add
    up; those outside the matrix, which pad a `BCOO`, are left out. Sums are in at least fp32, in the order
    of the entries; the result has the promoted dtype of both. Values and B have gradients, that of the
    values at the entries alone.

    Raises `E_GRAPH_INVALID` if A is no `BCOO` or has dense axes, `E_SHAPE_MISMATCH` if B does not fit.

    >>> import jax.numpy as jnp
    >>> from jax.experimental.sparse import BCOO
    >>> A = BCOO.fromdense(jnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> spmm_coo(A, jnp.array([[1.0, 10.0], [2.0, 20.0]])).tolist()
    [[4.0, 40.0], [3.0, 30.0]]
    """
    del column_range  # it states k, so that a B of another k is refused
    wide = numerics.accumulator(values.dtype)
    terms = values.astype(wide)[..., None] * _rows_at(dense, columns).astype(wide)
    total = registered_op("segment_reduce").bind(terms, rows, row_range, op="sum")
    return total.astype(values.dtype)


@spmm_coo.def_call
def spmm_coo(A: Any, B: Any) -> jax.Array:
    _require_format("spmm_coo", A, COO)
    return _spmm("spmm_coo", A, _matrix("spmm_coo", B))


@spmm_coo.def_vjp
def _backward(res: Residuals, ct: jax.Array) -> tuple[Any, ...]:
    values, rows, columns, dense, row_range, column_range = res.operands
    dvalues = sddmm.bind(ct, jnp.swapaxes(dense, -1, -2), rows, columns)
    ddense = spmm_coo.bind(values, columns, rows, ct, column_range, row_range)
    return dvalues, None, None, _summed_to(ddense, dense), None, None


def spmm_csr(A: Any, B: Any) -> jax.Array:
    """Returns A @ B for a sparse matrix A, a `BCSR`, and a dense one; the rest is as in `spmm_coo`.

    >>> import jax.numpy as jnp
    >>> from jax.experimental.sparse import BCSR
    >>> A = BCSR.fromdense(jnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> spmm_csr(A, jnp.array([[1.0, 10.0], [2.0, 20.0]])).tolist()
    [[4.0, 40.0], [3.0, 30.0]]
    """
    _require_format("spmm_csr", A, CSR)
    return _spmm("spmm_csr", A, _matrix("spmm_csr", B))


def spmm(A: Any, B: Any) -> jax.Array:
    """Returns A @ B for a sparse matrix A, `BCOO` or `BCSR`, and a dense one; the rest is as in `spmm_coo`.

    >>> import jax.numpy as jnp
    >>> from jax.experimental.sparse import BCSR
    >>> spmm(BCSR.fromdense(jnp.array([[0.0, 2.0], [3.0, 0.0]])), jnp.ones((2, 1))).tolist()
    [[2.0], [3.0]]
    """
    _require_format("spmm", A, COO, CSR)
    return _spmm("spmm", A, _matrix("spmm", B))


def spmv(A: Any, x: Any) -> jax.Array:
    """Returns A @ x for a sparse matrix A (m, k), `BCOO` or `BCSR`, and a vector (k); else as `spmm_coo`.

    >>> import jax.numpy as jnp
    >>> from jax.experimental.sparse import BCOO
    >>> spmv(BCOO.fromdense(jnp.array([[0.0, 2.0], [3.0, 0.0]])), jnp.array([1.0, 10.0])).tolist()
    [20.0, 3.0]
    """
    _require_format("spmv", A, COO, CSR)
    vector = to_array("spmv", "x", x)
    if vector.ndim == 0:
        raise _mismatch("spmv", A, vector)
    return jnp.squeeze(_spmm("spmv", A, vector[..., None]), -1)


@define_op(
    "*b m k, [*b] k n, [*b] e, [*b] e -> *b e", kinds=("float", "float", "integer", "integer")
)
def sddmm(A: jax.Array, B: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Returns A @ B at the places of a mask: a sampled dense-dense product.

    A is (..., m, k) and B is (..., k, n). `mask` is
      a bool array, (m, n) or with the leading axes of A: the result is (..., m, n), zero off the mask.
        XLA computes the whole product;
      an integer array (e, 2), or two arrays of e numbers, of rows and columns: the result is (..., e), in
        their order, and only these products are computed. A place outside the matrix gives 0.

    Sums are in at least fp32. For the scores of attention pass `K.T`. Raises `E_SHAPE_MISMATCH` if the
    shapes do not fit, `E_GRAPH_INVALID` for a mask of another kind.

    >>> import jax.numpy as jnp
    >>> A = B = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> sddmm(A, B, jnp.array([[1, 1], [0, 0]])).tolist()
    [22.0, 7.0]
    >>> sddmm(A, B, jnp.array([[True, False], [False, True]])).tolist()
    [[7.0, 0.0], [0.0, 22.0]]
    """
    wide = numerics.accumulator(A.dtype)
    places = (*A.shape[:-2], rows.shape[-1])
    rows, columns = (jnp.broadcast_to(x, places) for x in (rows, columns))
    left = _rows_at(A, rows).astype(wide)
    right = _rows_at(jnp.swapaxes(B, -1, -2), columns).astype(wide)
    return jnp.sum(left * right, axis=-1).astype(A.dtype)


@sddmm.def_call
def sddmm(A: Any, B: Any, mask: Any) -> jax.Array:
    a, b = _matrix("sddmm", A, "A"), _matrix("sddmm", B)
    if isinstance(mask, tuple | list) and len(mask) == 2:
        rows, columns = (to_array("sddmm", "mask", x) for x in mask)
        return sddmm.bind(a, b, rows, columns)
    where = to_array("sddmm", "mask", mask)
    if where.dtype == jnp.bool_:
        return _at_mask(a, b, where)
    if not jnp.issubdtype(where.dtype, jnp.integer) or where.ndim < 2 or where.shape[-1] != 2:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"sddmm: the mask is {where.dtype} of shape {where.shape}, neither bool nor a list of places.",
            hints="a bool array (m, n), or integers (e, 2): a row and a column each",
        )
    return sddmm.bind(a, b, where[..., 0], where[..., 1])


@sddmm.def_vjp
def _sampled_backward(res: Residuals, ct: jax.Array) -> tuple[Any, ...]:
    a, b, rows, columns = res.operands
    rows, columns = (jnp.broadcast_to(x, ct.shape) for x in (rows, columns))
    m, n = _range(a.shape[-2]), _range(b.shape[-1])
    da = spmm_coo.bind(ct, rows, columns, jnp.swapaxes(b, -1, -2), m, n)
    db = jnp.swapaxes(spmm_coo.bind(ct, columns, rows, a, n, m), -1, -2)
    return da, _summed_to(db, b), None, None


def _at_mask(a: jax.Array, b: jax.Array, mask: jax.Array) -> jax.Array:
    product = registered_op("matmul")(a, b)
    if mask.shape not in (product.shape, product.shape[-2:]):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"sddmm: the mask has shape {mask.shape} but A @ B has {product.shape}.",
        )
    where = jnp.broadcast_to(mask, product.shape)
    return jnp.where(where, product, jnp.zeros((), product.dtype))


def _spmm(op: str, A: Any, dense: jax.Array) -> jax.Array:
    rows, columns = _places_coo(op, A) if _format(A) == COO else _places_csr(op, A)
    batch = A.shape[:-2]
    if dense.shape[-2] != A.shape[-1] or dense.shape[:-2] not in ((), batch):
        raise _mismatch(op, A, dense)
    # Along a batch axis a BCOO may hold one row for all.
    values, rows, columns = (
        jnp.broadcast_to(x, (*batch, x.shape[-1])) for x in (A.data, rows, columns)
    )
    m, k = map(_range, A.shape[-2:])
    return spmm_coo.bind(values, rows, columns, dense, m, k)


def _places_coo(op: str, A: Any) -> tuple[jax.Array, jax.Array]:
    if A.n_dense or A.n_sparse != 2:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: A has {A.n_sparse} sparse and {A.n_dense} dense axes, but a matrix has 2 and 0.",
            hints="BCOO.fromdense(x, n_batch=x.ndim - 2)",
        )
    return A.indices[..., 0], A.indices[..., 1]


def _places_csr(op: str, A: Any) -> tuple[jax.Array, jax.Array]:
    if A.n_dense:
        raise CompileError(Code.E_GRAPH_INVALID, f"{op}: A has {A.n_dense} dense axes.")

    def row_of_each(ends: jax.Array) -> jax.Array:
        return jnp.searchsorted(ends, jnp.arange(A.indices.shape[-1], dtype=ends.dtype), "right")

    for _ in range(A.indptr.ndim - 1):
        row_of_each = jax.vmap(row_of_each)
    return row_of_each(A.indptr[..., 1:]), A.indices


def _rows_at(x: jax.Array, places: jax.Array) -> jax.Array:
    """Returns rows of x (k, n), or (..., k, n), at places (..., e); zeros where there is none."""
    size = x.shape[-2]
    if size == 0:
        return jnp.zeros((*places.shape, x.shape[-1]), x.dtype)
    near = jnp.clip(places, 0, size - 1)
    shared = x.ndim == 2
    found = _shared_rows(x, near) if shared else jnp.take_along_axis(x, near[..., None], axis=-2)
    return jnp.where((near == places)[..., None], found, jnp.zeros((), x.dtype))


def _shared_rows(x: jax.Array, places: jax.Array) -> jax.Array:
    """Returns x[places]; on an Explicit mesh the result has the sharding of the places."""
    kind = jax.typeof(places)
    if not compat.explicitly_sharded(kind):
        return x[places]
    spec = PartitionSpec(
        *kind.sharding.spec, *(None,) * (places.ndim + 1 - len(kind.sharding.spec))
    )
    out = NamedSharding(kind.sharding.mesh, spec)
    return compat.with_auto_axes(lambda x, places: x[places], out)(x, places)


def _range(size: int) -> jax.Array:
    """Returns an operand of which only the size matters."""
    return jnp.arange(size, dtype=jnp.int32)


def _summed_to(x: jax.Array, like: jax.Array) -> jax.Array:
    """Returns the sum over the leading axes that another array lacks."""
    return jnp.sum(x, axis=tuple(range(x.ndim - like.ndim)))


def _format(A: Any) -> str:
    known = sys.modules.get(SPARSE)
    if known is not None and isinstance(A, known.BCOO):
        return COO
    return CSR if known is not None and isinstance(A, known.BCSR) else type(A).__name__


def _require_format(op: str, A: Any, *wanted: str) -> None:
    found = _format(A)
    if found in wanted:
        return
    if found in (COO, CSR):
        hint = f"op.spmm takes either, op.spmm_{'coo' if found == COO else 'csr'} this one"
    elif isinstance(A, jax.Array | np.ndarray):
        found, hint = "a dense array", f"jax.experimental.sparse.{wanted[0]}.fromdense(A)"
    else:
        hint = f"jax.experimental.sparse has {' and '.join(wanted)}"
    raise CompileError(
        Code.E_GRAPH_INVALID, f"{op}: A is {found}, not {' or '.join(wanted)}.", hints=hint
    )


def _matrix(op: str, x: Any, name: str = "B") -> jax.Array:
    array = to_array(op, name, x)
    if array.ndim < 2:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: {name} has shape {array.shape}, not that of a matrix.",
            hints="op.spmv takes a vector" if op.startswith("spmm") else (),
        )
    return array


def _mismatch(op: str, A: Any, dense: jax.Array) -> CompileError:
    shape = dense.shape[:-1] if op == "spmv" and dense.ndim else dense.shape
    return CompileError(
        Code.E_SHAPE_MISMATCH,
        f"{op}: A has shape {tuple(A.shape)}, which does not multiply {shape}.",
    )


spmm_coo.samples = (
    Sample(
        (7,),
        Sample.integers((7,), 0, 4),
        Sample.integers((7,), 0, 3),
        (3, 5),
        Sample.integers((4,), 0, 4),
        Sample.integers((3,), 0, 3),
    ),
    Sample(
        (2, 6),
        Sample.integers((2, 6), -1, 4),
        Sample.integers((2, 6), -1, 4),
        (2, 3, 2),
        Sample.integers((3,), 0, 3),
        Sample.integers((3,), 0, 3),
    ),
)
sddmm.samples = (
    Sample((4, 3), (3, 5), Sample.integers((6,), 0, 4), Sample.integers((6,), 0, 5)),
    Sample((2, 4, 3), (2, 3, 5), Sample.integers((6,), -1, 5), Sample.integers((2, 6), -1, 6)),
)
