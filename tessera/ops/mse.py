"""`op.mse`: the mean squared error."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.exact_sum import exact_dot
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import to_array
from tessera.core.precision import current_reduction
from tessera.core.tree_sum import COMPENSATED, PLAIN, divided, rounded, tree_sum

NAIVE, TREE, COMPENSATION, EXACT = "naive", "tree", "compensated", "exact"
COMPENSATIONS = (COMPENSATION, "kahan", "neumaier")
METHODS = (TREE, *COMPENSATIONS, EXACT, NAIVE)


@define_op("*b, *b -> ()")
def mse(prediction: jax.Array, target: jax.Array, *, method: str = COMPENSATION) -> jax.Array:
    """Returns the mean of (prediction - target)^2 over all elements, a scalar in the promoted input dtype.

    `target` is broadcast to the shape of `prediction`; a scalar such as 0.0 is allowed. Differences, squares
    and their sum are in at least fp32. `method` says how the squares, in row-major order, are added, as in
    `op.reduce_sum`: compensated (the default; also called kahan and neumaier), tree, exact (the differences
    are rounded, their squares are not) or naive. All but naive have the same bits on any number of devices
    that `op.reduce_sum` names; a size not known until run time has no tree, so its squares are summed as by
    naive. The gradient is elementwise.

    Raises `E_SHAPE_MISMATCH` if the target does not broadcast to the prediction or there is no element to
    average, `E_GRAPH_INVALID` for an unknown method, `E_TARGET_CODEGEN` for an exact sum of fp64.

    >>> import jax.numpy as jnp
    >>> float(mse(jnp.array([1.0, 3.0]), 0.0))
    5.0
    """
    wide = numerics.accumulator(prediction.dtype)
    sizes = prediction.shape
    if method == NAIVE or 0 in sizes or not all(isinstance(n, int) for n in sizes):
        difference = prediction.astype(wide) - target.astype(wide)
        return jnp.mean(difference * difference).astype(prediction.dtype)
    total = _in_auto_mode(prediction.astype(wide), target.astype(wide), method)
    return divided(total, math.prod(sizes)).astype(prediction.dtype)


@mse.def_call
def mse(
    prediction: jax.Array,
    target: jax.Array | float,
    *,
    method: str | None = None,
    deterministic: Any = None,
) -> jax.Array:
    p = to_array("mse", "prediction", prediction)
    t = to_array("mse", "target", target)
    chosen = method or current_reduction() or COMPENSATION
    if chosen not in METHODS:
        raise _invalid(f"unknown method {method!r}; one of {', '.join(METHODS)}")
    if chosen == EXACT and jnp.dtype(jnp.float64) in (p.dtype, t.dtype):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            "mse: an exact sum of squares of float64 is not available.",
            hints="method='compensated', or operands of at most fp32",
        )
    if p.size == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"mse: prediction has shape {p.shape}: no element."
        )
    try:
        t = jnp.broadcast_to(t, p.shape)
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"mse: target of shape {t.shape} does not broadcast to prediction of shape {p.shape}.",
        ) from None
    return mse.bind(p, t, method=chosen, deterministic=deterministic)


@mse.def_vjp
def _(res: Residuals, ct: jax.Array, *, method: str) -> tuple[jax.Array, jax.Array]:
    del method
    prediction, target = res.operands
    wide = numerics.accumulator(prediction.dtype)
    slope = 2 * ct.astype(wide) / prediction.size
    gradient = slope * (prediction.astype(wide) - target.astype(wide))
    # Rounded: what the gradient is added to must not depend on how XLA contracts it.
    gradient = rounded(gradient).astype(prediction.dtype)
    return gradient, -gradient


@mse.def_taylor
def _(
    operands: Sequence[jax.Array], series: Sequence[Any], *, method: str
) -> tuple[jax.Array, list[jax.Array]]:
    """The terms of a square of a series d: z_k = mean d_j d_(k-j), all but the first summed by XLA."""
    order = max(len(terms) for terms in series if terms is not None)
    p, t = (
        [first, *(terms or [jnp.zeros_like(first)] * order)]
        for first, terms in zip(operands, series, strict=True)
    )
    wide = numerics.accumulator(operands[0].dtype)
    d = [(a.astype(wide) - b.astype(wide)) for a, b in zip(p, t, strict=True)]
    found = [
        jnp.mean(sum(d[j] * d[k - j] for j in range(k + 1))).astype(p[0].dtype)
        for k in range(1, order + 1)
    ]
    return mse.bind(*operands, method=method), found


def _in_auto_mode(prediction: jax.Array, target: jax.Array, method: str) -> jax.Array:
    kinds = [jax.typeof(x) for x in (prediction, target)]
    kind = next((kind for kind in kinds if compat.explicitly_sharded(kind)), None)
    if kind is None:
        return _sum_of_squares(prediction, target, method)
    whole = jax.sharding.NamedSharding(kind.sharding.mesh, jax.P())
    return compat.with_auto_axes(lambda p, t: _sum_of_squares(p, t, method), whole)(
        prediction, target
    )


def _sum_of_squares(prediction: jax.Array, target: jax.Array, method: str) -> jax.Array:
    p, t = prediction.ravel(), target.ravel()
    if method == EXACT:
        difference = p - t
        return exact_dot(difference, difference, 0, difference.dtype)[0]
    addition = COMPENSATED if method in COMPENSATIONS else PLAIN

    def lift(a: jax.Array, b: jax.Array) -> jax.Array:
        difference = a - b
        return addition.lift(rounded(difference * difference))

    return tree_sum([p, t], 0, addition, lift)[0]


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"mse: {problem}.")


mse.samples = (
    Sample((4, 8), (4, 8)),
    Sample((3,), (3,), method=NAIVE),
    Sample((3, 5), (3, 5), method=TREE),
    Sample((3, 5), (3, 5), method=EXACT),
)
