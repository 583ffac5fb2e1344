"""`op.cross_entropy`: softmax cross-entropy with integer or soft labels."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import checks, errors, levels, numerics
from tessera.core.determinism import level_of_call
from tessera.core.errors import Code, CompileError
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import to_array

REDUCTIONS = ("mean", "sum", "none")


@define_op("*b v, [*b], [*b v] -> *b", kinds=("float", "integer", "~float"))
def cross_entropy(
    logits: jax.Array,
    labels: jax.Array | None = None,
    soft: jax.Array | None = None,
    *,
    ignore_index: int | None = None,
) -> jax.Array:
    """Returns the cross-entropy of softmax(logits) against labels.

    `logits` is (..., v). `labels` is either integer, of shape (...), a class each, or float, of shape
    (..., v), a weight per class. `reduction` is "mean" (over the rows whose label is not `ignore_index`; 0
    if there is none), "sum" or "none" (shape (...)). The result has the dtype of the logits; the
    log-sum-exp is computed in at least fp32.

        loss = sum_j y_j (log sum_i exp(x_i) - x_j),   d loss / d x = softmax(x) sum(y) - y

    A label outside [0, v) gives NaN; inside `ts.checks()` it raises `E_ILLEGAL_ADDRESS`. Raises
    `E_GRAPH_INVALID` for an unknown reduction or `ignore_index` with soft labels, `E_SHAPE_MISMATCH` if the
    shapes do not fit.

    >>> import jax.numpy as jnp
    >>> float(cross_entropy(jnp.zeros((2, 4)), jnp.array([1, 3])).round(4))
    1.3863
    """
    return _forward(logits, labels, soft, ignore_index=ignore_index)[0]


@cross_entropy.def_forward(saves="*b")
def _forward(
    logits: jax.Array, labels: jax.Array | None, soft: jax.Array | None, *, ignore_index: int | None
) -> tuple[jax.Array, jax.Array]:
    x = logits.astype(numerics.accumulator(logits.dtype))
    total = jax.nn.logsumexp(x, axis=-1)
    if soft is not None:
        below = jnp.expand_dims(total, -1) - x
        # A class of weight 0 may have logit -inf.
        loss = jnp.sum(jnp.where(soft == 0, 0.0, soft.astype(x.dtype) * below), axis=-1)
        return loss.astype(logits.dtype), total
    assert labels is not None
    picked = jnp.sum(jnp.where(_chosen(x, labels), x, 0.0), axis=-1)
    loss = (total - picked) * _nan_outside(labels, x)
    if ignore_index is not None:
        loss = jnp.where(labels == ignore_index, 0.0, loss)
    return loss.astype(logits.dtype), total


@cross_entropy.def_vjp
def _backward(res: Residuals, ct: jax.Array, *, ignore_index: int | None):
    logits, labels, soft = res.operands
    (total,) = res.saved
    x = logits.astype(total.dtype)
    scale = jnp.expand_dims(ct.astype(total.dtype), -1)
    log_p = x - jnp.expand_dims(total, -1)
    if soft is not None:
        y = soft.astype(total.dtype)
        dx = scale * (jnp.exp(log_p) * jnp.sum(y, axis=-1, keepdims=True) - y)
        return dx, None, jnp.where(soft == 0, 0.0, scale * -log_p)
    scale = scale * jnp.expand_dims(_nan_outside(labels, x), -1)
    if ignore_index is not None:
        scale = jnp.where(jnp.expand_dims(labels, -1) == ignore_index, 0.0, scale)
    return scale * (jnp.exp(log_p) - _chosen(x, labels).astype(x.dtype)), None, None


@cross_entropy.def_algorithm("gather", platforms=("cpu",))
def _gather(
    logits: jax.Array, labels: jax.Array | None, soft: jax.Array | None, *, ignore_index: int | None
) -> tuple[jax.Array, jax.Array]:
    """Reads one logit per row instead of comparing every class with the label."""
    if labels is None:
        return _forward(logits, labels, soft, ignore_index=ignore_index)
    x = logits.astype(numerics.accumulator(logits.dtype))
    top = jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.squeeze(top, -1) + jnp.log(jnp.sum(jnp.exp(x - top), axis=-1))
    index = jnp.expand_dims(labels, -1)
    picked = jnp.squeeze(jnp.take_along_axis(x, index, axis=-1, mode="clip"), -1)
    loss = (total - picked) * _nan_outside(labels, x)
    if ignore_index is not None:
        loss = jnp.where(labels == ignore_index, 0.0, loss)
    return loss.astype(logits.dtype), total


def _chosen(x: jax.Array, labels: jax.Array) -> jax.Array:
    classes = jax.lax.broadcasted_iota(labels.dtype, x.shape, x.ndim - 1)
    return classes == jnp.expand_dims(labels, -1)


def _nan_outside(labels: jax.Array, x: jax.Array) -> jax.Array:
    inside = (labels >= 0) & (labels < x.shape[-1])
    return jnp.where(inside, 1.0, jnp.nan).astype(x.dtype)


@cross_entropy.def_call
def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    reduction: str = "mean",
    ignore_index: int | None = None,
    deterministic: Any = None,
) -> jax.Array:
    if reduction not in REDUCTIONS:
        known = ", ".join(REDUCTIONS)
        raise CompileError(
            Code.E_GRAPH_INVALID, f"cross_entropy: unknown reduction {reduction!r}; one of {known}."
        )
    y = to_array("cross_entropy", "labels", labels)
    if jnp.issubdtype(y.dtype, jnp.integer) and y.dtype.itemsize < 4:
        y = y.astype(jnp.int32)  # a class index need not fit the dtype the labels are stored in
    if jnp.issubdtype(y.dtype, jnp.floating):
        if ignore_index is not None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                "cross_entropy: ignore_index needs integer labels, not soft ones.",
            )
        operands = (logits, None, y)
    else:
        if checks.are_on():
            _require_classes(logits, y, ignore_index)
        operands = (logits, y, None)
    with level_of_call("cross_entropy", deterministic):
        losses = cross_entropy.bind(*operands, ignore_index=ignore_index)
        return _reduce(losses, y, reduction, ignore_index)


def _require_classes(logits: jax.Array, labels: jax.Array, ignore_index: int | None) -> None:
    classes = jnp.shape(logits)[-1] if jnp.ndim(logits) else 0

    def outside(label: int, where: tuple[int, ...]) -> errors.RuntimeError:
        return errors.RuntimeError(
            Code.E_ILLEGAL_ADDRESS,
            f"cross_entropy: label {label} at {where} is outside [0, {classes}).",
        )

    counted = labels if ignore_index is None else jnp.where(labels == ignore_index, 0, labels)
    checks.require_range(counted, 0, classes, outside)


@levels.scoped
def _reduce(
    losses: jax.Array, labels: jax.Array, reduction: str, ignore_index: int | None
) -> jax.Array:
    if reduction == "none":
        return losses
    total = jnp.sum(losses.astype(numerics.accumulator(losses.dtype)))
    if reduction == "mean":
        rows = jnp.asarray(losses.size, total.dtype)
        if ignore_index is not None:
            rows = jnp.sum(labels != ignore_index).astype(total.dtype)
        total = total / jnp.maximum(rows, 1)
    return total.astype(losses.dtype)


cross_entropy.samples = (
    Sample((4, 7), Sample.integers((4,), 0, 7), None),
    Sample((2, 3, 5), Sample.integers((2, 3), 0, 5), None, ignore_index=2),
    Sample((4, 7), None, Sample.uniform((4, 7), 0.1, 1.0)),
)
