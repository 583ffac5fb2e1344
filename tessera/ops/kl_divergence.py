"""`op.kl_divergence`: the Kullback-Leibler divergence of two distributions over the last axis."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import levels, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op

REDUCTIONS = ("mean", "sum", "none")


@define_op("*b n, *b n -> *b", kinds="float")
def kl_divergence(
    p: jax.Array, q: jax.Array, *, log_p: bool = False, log_q: bool = False
) -> jax.Array:
    """Returns KL(p || q), the sum over the last axis of p (log p - log q).

    `p` and `q` are (..., n): probabilities, or their logarithms where `log_p` or `log_q` says so. Neither is
    normalised here. `reduction` over the leading axes is "mean", "sum" or "none" (shape (...)). 0 log 0 is 0,
    and there the derivative is 0 as well; p > 0 where q = 0 gives infinity. Sums are in at least fp32, the
    result has the promoted dtype. Raises `E_GRAPH_INVALID` for another reduction, `E_SHAPE_MISMATCH` if the
    shapes differ.

    >>> import jax.numpy as jnp
    >>> kl_divergence(jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.25, 0.5])).round(4).item()
    0.6931
    """
    wide = numerics.accumulator(p.dtype)
    a, b = p.astype(wide), q.astype(wide)
    there = a > -jnp.inf if log_p else a != 0
    safe = jnp.where(there, a, 0 if log_p else 1)
    weight, log_weight = (jnp.exp(safe), safe) if log_p else (safe, jnp.log(safe))
    # Where p is 0 the logarithm of q may be infinite, and times 0 its derivative is NaN.
    other = jnp.where(there, b, 0 if log_q else 1)
    log_other = other if log_q else jnp.log(other)
    terms = jnp.where(there, weight * (log_weight - log_other), 0)
    return jnp.sum(terms, axis=-1).astype(p.dtype)


@kl_divergence.def_call
def kl_divergence(
    p: Any, q: Any, *, log_p: bool = False, log_q: bool = False, reduction: str = "mean"
) -> jax.Array:
    if reduction not in REDUCTIONS:
        known = ", ".join(REDUCTIONS)
        raise CompileError(
            Code.E_GRAPH_INVALID, f"kl_divergence: unknown reduction {reduction!r}; one of {known}."
        )
    rows = kl_divergence.bind(p, q, log_p=bool(log_p), log_q=bool(log_q))
    if reduction == "none":
        return rows
    return _over_rows(rows, mean=reduction == "mean")


@levels.scoped
def _over_rows(rows: jax.Array, *, mean: bool) -> jax.Array:
    total = jnp.sum(rows.astype(numerics.accumulator(rows.dtype)))
    return (total / max(rows.size, 1) if mean else total).astype(rows.dtype)


kl_divergence.samples = (
    Sample(Sample.uniform((3, 5), 0.1, 1.0), Sample.uniform((3, 5), 0.1, 1.0)),
    Sample((2, 4), Sample.uniform((2, 4), 0.1, 1.0), log_p=True),
    Sample(Sample.uniform((4,), 0.1, 1.0), (4,), log_q=True),
    Sample((2, 3), (2, 3), log_p=True, log_q=True),
)
