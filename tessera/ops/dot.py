"""`op.dot`: sums of products of two arrays along an axis, as reproducible and as exact as asked."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.exact_sum import exact_dot
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_axis, to_array
from tessera.core.precision import current_reduction
from tessera.core.tree_sum import COMPENSATED, PLAIN, in_auto_mode, product_pair, rounded, tree_sum

NAIVE, TREE, COMPENSATION, EXACT = "naive", "tree", "compensated", "exact"
COMPENSATIONS = (COMPENSATION, "kahan", "neumaier")
METHODS = (TREE, *COMPENSATIONS, EXACT, NAIVE)


@define_op("*b n@axis *c, *b n@axis *c -> *b 1@axis *c")
def dot(x: jax.Array, y: jax.Array, *, axis: int, method: str = TREE) -> jax.Array:
    """Returns the sum of x y along one axis: a dot product, or one for each row of a batch.

    `x` and `y` are floats of one shape; the result has their promoted dtype and no such axis (with
    `keepdims`, of size 1). Products and sums are in at least fp32. `method` is one of those of
    `op.reduce_sum`:
      tree       products are rounded, then added in the tree of the axis length
      compensated, also called kahan and neumaier
                 what rounding takes from products and sums is carried along
      exact      no product is rounded, and the sum is rounded once, to the dtype of the result: the same bits
                 in any order. Products do not overflow or underflow. Subnormal factors count as 0, and a
                 sum that would be subnormal is 0. Up to fp32
      naive      XLA's own order
    All but naive have the same bits on any number of devices that `op.reduce_sum` names, and so have their
    gradients, which are rounded products. The sum of nothing is 0.

    Raises `E_GRAPH_INVALID` (unknown method), `E_SHAPE_MISMATCH` (shapes that differ, no such axis),
    `E_TARGET_CODEGEN` (an exact sum of products of fp64). Error-free products: see T. Ogita, S. M. Rump,
    S. Oishi, Accurate sum and dot product (2005).

    >>> import jax.numpy as jnp
    >>> x, y = jnp.array([1e20, 1.0, 1e20]), jnp.array([1e20, 3.0, -1e20])
    >>> dot(x, y, method="exact").item(), dot(x, x[::-1], axis=0).dtype.name
    (3.0, 'float32')
    """
    wide, out = numerics.accumulator(x.dtype), x.dtype
    if method == NAIVE or x.shape[axis] == 0:
        total = jnp.sum(x.astype(wide) * y.astype(wide), axis=axis, keepdims=True)
    elif method == EXACT:
        total = in_auto_mode(lambda x, y: exact_dot(x, y, axis, out), _widened(x, y, wide), axis)
    else:
        run = functools.partial(_tree_dot, axis=axis, method=method)
        total = in_auto_mode(run, _widened(x, y, wide), axis)
    return total.astype(out)


@dot.def_call
def dot(
    x: Any,
    y: Any,
    axis: int = -1,
    *,
    method: str | None = None,
    keepdims: bool = False,
    deterministic: Any = None,
) -> jax.Array:
    a, b = to_array("dot", "x", x), to_array("dot", "y", y)
    chosen = method or current_reduction() or TREE
    if chosen not in METHODS:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"dot: unknown method {method!r}; one of {', '.join(METHODS)}."
        )
    if chosen == EXACT and jnp.dtype(jnp.float64) in (a.dtype, b.dtype):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            "dot: an exact sum of products of float64 is not available.",
            hints="method='compensated', or operands of at most fp32",
        )
    along = as_axis("dot", axis, a.ndim)
    total = dot.bind(a, b, axis=along, method=chosen, deterministic=deterministic)
    return total if keepdims else jax.lax.squeeze(total, (along,))


@dot.def_vjp
def _(res: Residuals, ct: jax.Array, *, axis: int, method: str) -> tuple[jax.Array, jax.Array]:
    x, y = res.operands
    wide = numerics.accumulator(x.dtype)
    given = ct.astype(wide)
    # Rounded: what the gradient is added to must not depend on how XLA contracts it.
    dx, dy = (rounded(given * other.astype(wide)) for other in (y, x))
    return dx.astype(x.dtype), dy.astype(x.dtype)


@dot.def_taylor
def _(
    operands: Sequence[jax.Array], series: Sequence[Any], **statics: Any
) -> tuple[jax.Array, list[jax.Array]]:
    """The terms of a product of series: z_k = sum x_j y_(k-j)."""
    order = max(len(terms) for terms in series if terms is not None)
    xs, ys = (
        [first, *(terms or [None] * order)] for first, terms in zip(operands, series, strict=True)
    )
    run = functools.partial(dot.bind, **statics)
    found = []
    for k in range(order + 1):
        pairs = [(xs[j], ys[k - j]) for j in range(k + 1)]
        parts = [run(a, b) for a, b in pairs if a is not None and b is not None]
        found.append(functools.reduce(jax.lax.add, parts))
    return found[0], found[1:]


def _widened(x: jax.Array, y: jax.Array, wide: Any) -> list[jax.Array]:
    return [x.astype(wide), y.astype(wide)]


def _tree_dot(x: jax.Array, y: jax.Array, *, axis: int, method: str) -> jax.Array:
    if method in COMPENSATIONS:
        return tree_sum([x, y], axis, COMPENSATED, product_pair)
    return tree_sum([x, y], axis, PLAIN, lambda a, b: rounded(a * b))


dot.samples = (
    Sample((4, 24), (4, 24), axis=1),
    Sample((37, 5), (37, 5), axis=0, method=COMPENSATION),
    Sample((3, 70, 2), (3, 70, 2), axis=1, method=EXACT),
    Sample((4, 8), (4, 8), axis=1, method=NAIVE),
)
