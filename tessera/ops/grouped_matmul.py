"""`op.grouped_matmul`: every row times the matrix of its group, for rows sorted by group.

    y[t]  = x[t] w[group(t)]
    dx[t] = dy[t] w[group(t)]^T
    dw[g] = sum over rows t of g of x[t]^T dy[t]

The reference is one product over all groups at once, as XLA lowers `lax.ragged_dot` on CPU: its cost grows
with their number. The tile program walks blocks of rows and takes the groups in each, so that it does not.
Source of the idea: Gale et al. 2022 (MegaBlocks).
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.op import Residuals, Sample, define_op

KINDS = ("float", "float", "integer")


@define_op("*b t k, e k n, *b e -> *b t n", kinds=KINDS)
def grouped_matmul(x: jax.Array, w: jax.Array, group_sizes: jax.Array) -> jax.Array:
    """Returns y with y[t] = x[t] @ w[group(t)], for rows of x sorted by group.

    `x` has shape (..., rows, in), `w` (groups, in, out) and `group_sizes` (..., groups), whole numbers: the
    first `group_sizes[0]` rows belong to group 0, the next to group 1, and so on. A group may be empty; rows
    beyond the sum of the sizes give zeros, and no gradient. The result has shape (..., rows, out) and the
    common dtype of x and w; sums are in at least fp32. Raises `E_SHAPE_MISMATCH` if the shapes do not fit.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> grouped_matmul(x, jnp.array([[[10.0]], [[100.0]]]), jnp.array([1, 2])).ravel().tolist()
    [10.0, 200.0, 300.0, 0.0]
    """
    wide = numerics.accumulator(x.dtype)
    by_group = jnp.where(_members(x, group_sizes), x[..., :, None, :], 0)
    return jnp.einsum("...tgk,gkn->...tn", by_group, w, preferred_element_type=wide).astype(x.dtype)


@grouped_matmul.def_vjp
def _backward(res: Residuals, ct: jax.Array) -> tuple[jax.Array, jax.Array, None]:
    return (*grouped_matmul_bwd.bind(*res.operands, ct), None)


@define_op("*b t k, e k n, *b e, *b t n -> *b t k, e k n", kinds=(*KINDS, "float"))
def grouped_matmul_bwd(
    x: jax.Array, w: jax.Array, group_sizes: jax.Array, ct: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients of grouped_matmul for x and w, given a cotangent.

    They have the shapes of x and w, and 0 for rows of no group and for groups without rows.

    >>> import jax.numpy as jnp
    >>> x, w, ct = jnp.array([[1.0], [2.0]]), jnp.array([[[10.0]], [[100.0]]]), jnp.ones((2, 1))
    >>> [g.ravel().tolist() for g in grouped_matmul_bwd(x, w, jnp.array([1, 1]), ct)]
    [[10.0, 100.0], [1.0, 2.0]]
    """
    wide = numerics.accumulator(x.dtype)
    members = _members(x, group_sizes)
    mine = jnp.where(members, ct[..., :, None, :], 0)
    dx = jnp.einsum("...tgn,gkn->...tk", mine, w, preferred_element_type=wide)
    batch = "...tk,...tgn->...gkn"
    dw = jnp.einsum(batch, x, mine, preferred_element_type=wide)
    dw = dw.sum(tuple(range(dw.ndim - 3)))
    return dx.astype(x.dtype), dw.astype(w.dtype)


def _members(x: jax.Array, group_sizes: jax.Array) -> jax.Array:
    """Returns which row belongs to which group, of shape (..., rows, groups, 1)."""
    ends = jnp.cumsum(group_sizes, axis=-1, dtype=jnp.int32)
    rows = jnp.arange(x.shape[-2], dtype=jnp.int32).reshape((1,) * (x.ndim - 2) + (-1, 1))
    starts = ends - group_sizes.astype(jnp.int32)
    found = (rows >= starts[..., None, :]) & (rows < ends[..., None, :])
    return found[..., None]


def _has_groups(x: jax.Array, w: jax.Array, *_others: Any) -> bool:
    return w.shape[0] > 1


ANYWHERE = ("cpu", "cuda", "rocm")
grouped_matmul.def_tile(platforms=ANYWHERE, when=_has_groups, splits="*b n")
grouped_matmul_bwd.def_tile(platforms=ANYWHERE, when=_has_groups, splits="*b k", sums=True)
grouped_matmul.samples = (
    Sample((7, 3), (3, 3, 4), Sample.integers((3,), 0, 4)),
    Sample((2, 5, 3), (2, 3, 2), Sample.integers((2, 2), 0, 4)),
)
grouped_matmul_bwd.samples = (
    Sample((7, 3), (3, 3, 4), Sample.integers((3,), 0, 4), (7, 4)),
    Sample((2, 5, 3), (2, 3, 2), Sample.integers((2, 2), 0, 4), (2, 5, 2)),
)
