"""`op.bsmm`: a dense matrix times a block-sparse one, `BSR`, whose pattern is static.

    Y[:, j] = sum over present blocks (i, j) of X[:, i] W[i, j]

One batched product over the present blocks, then a sum of each block column in a fixed order
(`segment_reduce`).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Residuals, Sample, define_op, registered_op
from tessera.core.operands import as_integer, to_array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values"],
    meta_fields=["block_m", "block_n", "mask"],
)
@dataclass(frozen=True)
class BSR:
    """A block-sparse matrix: blocks of `block_m` by `block_n`, present where the mask is true.

    `mask` is a 2-D bool array or nested sequence, one entry per block; it is static and part of the pytree's
    structure. `values` is (present blocks, block_m, block_n), row by row of the mask, and is the only leaf.
    The matrix is (rows of the mask * block_m, columns * block_n).

    >>> import jax.numpy as jnp
    >>> W = BSR(2, 3, [[True, False], [True, True]], jnp.ones((3, 2, 3)))
    >>> W.shape
    (4, 6)
    """

    block_m: int
    block_n: int
    mask: Any
    values: Any

    def __post_init__(self) -> None:
        if not isinstance(self.mask, tuple):
            rows = np.asarray(self.mask)
            if rows.ndim != 2 or rows.dtype != np.bool_:
                raise _invalid(
                    f"the mask is {rows.dtype} of rank {rows.ndim}, not a bool array of rank 2"
                )
            object.__setattr__(self, "mask", tuple(map(tuple, rows.tolist())))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        columns = len(self.mask[0]) if self.mask else 0
        return len(self.mask) * self.block_m, columns * self.block_n


@define_op(
    "*b r p, e p q, e, e, c -> *b c q", kinds=("float", "float", "integer", "integer", "integer")
)
def bsmm(
    x: jax.Array, blocks: jax.Array, rows: jax.Array, columns: jax.Array, places: jax.Array
) -> jax.Array:
    """Returns X @ W for a dense X (..., k) and a block-sparse W, a `BSR` of shape (k, n).

    The result is (..., n), in the promoted dtype; sums are in at least fp32 and in a fixed order. Columns
    without a block are 0. X and the values of W have gradients; absent blocks cost nothing in either.

    Raises `E_GRAPH_INVALID` if W is no `BSR`, `E_SHAPE_MISMATCH` if k differs or W's values do not fit its
    mask.

    >>> import jax.numpy as jnp
    >>> W = BSR(1, 2, [[True, False], [True, False]], jnp.array([[[1.0, 2.0]], [[3.0, 4.0]]]))
    >>> bsmm(jnp.array([[1.0, 10.0]]), W).tolist()
    [[31.0, 42.0, 0.0, 0.0]]
    """
    batch, (e, _, q) = x.shape[:-2], blocks.shape
    wide = numerics.accumulator(x.dtype)
    products = jnp.einsum(
        "...ep,epq->e...q", _blocks_at(x, rows), blocks, preferred_element_type=wide
    )
    flat = products.reshape(e, math.prod(batch) * q)
    total = registered_op("segment_reduce").bind(flat, columns, places, op="sum")
    total = jnp.moveaxis(total.reshape(places.shape[0], *batch, q), 0, -2)
    return total.astype(x.dtype)


@bsmm.def_call
def bsmm(X: Any, W: BSR) -> jax.Array:
    if not isinstance(W, BSR):
        raise _invalid(
            f"W is a {type(W).__name__}, not a BSR", "BSR(block_m, block_n, mask, values)"
        )
    x, values = to_array("bsmm", "X", X), to_array("bsmm", "W.values", W.values)
    m, n = (as_integer("bsmm", name, getattr(W, name)) for name in ("block_m", "block_n"))
    mask = np.asarray(W.mask, bool).reshape(len(W.mask), -1)
    rows, columns = (place.astype(np.int32) for place in np.nonzero(mask))
    if values.shape != (len(rows), m, n):
        raise _mismatch(
            f"W.values has shape {values.shape}, but {len(rows)} present blocks need {(len(rows), m, n)}"
        )
    if x.ndim == 0 or x.shape[-1] != W.shape[0]:
        raise _mismatch(f"X has shape {x.shape}, which does not multiply W of {W.shape}")
    in_blocks = x.reshape(*x.shape[:-1], mask.shape[0], m)
    places = jnp.arange(mask.shape[1], dtype=jnp.int32)  # of which only the number matters
    y = bsmm.bind(in_blocks, values, jnp.asarray(rows), jnp.asarray(columns), places)
    return y.reshape(*x.shape[:-1], W.shape[1])


@bsmm.def_vjp
def _backward(res: Residuals, ct: jax.Array) -> tuple[Any, ...]:
    x, blocks, rows, columns, _ = res.operands
    places = jnp.arange(x.shape[-2], dtype=jnp.int32)
    dx = bsmm.bind(ct, jnp.swapaxes(blocks, -1, -2), columns, rows, places)
    left, right = _blocks_at(x, rows), _blocks_at(ct, columns)
    wide = numerics.accumulator(x.dtype)
    dblocks = jnp.einsum("...ep,...eq->epq", left, right, preferred_element_type=wide)
    return dx, dblocks, None, None, None


def _blocks_at(x: jax.Array, places: jax.Array) -> jax.Array:
    """Returns blocks of x (..., r, p) at places (e), as (..., e, p); zeros where there is none."""
    size = x.shape[-2]
    if size == 0:
        return jnp.zeros((*x.shape[:-2], places.shape[0], x.shape[-1]), x.dtype)
    near = jnp.clip(places, 0, size - 1)
    there = (near == places)[:, None]
    return jnp.where(there, jnp.take(x, near, axis=-2, mode="clip"), jnp.zeros((), x.dtype))


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"bsmm: {problem}.", hints=hint or ())


def _mismatch(problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"bsmm: {problem}.")


bsmm.samples = (
    Sample(
        (4, 2, 3),
        (5, 3, 2),
        Sample.integers((5,), 0, 2),
        Sample.integers((5,), 0, 4),
        Sample.integers((4,), 0, 4),
    ),
    Sample(
        (3, 2, 3, 2),
        (4, 2, 1),
        Sample.integers((4,), 0, 3),
        Sample.integers((4,), 0, 3),
        Sample.integers((3,), 0, 3),
    ),
)
