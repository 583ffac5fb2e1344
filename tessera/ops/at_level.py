"""How sums and products of plain JAX are computed at a determinism level: by ops that keep it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat, levels, numerics
from tessera.core.determinism import at_least
from tessera.core.exact_product import exact_product
from tessera.core.op import registered_op
from tessera.core.tile_product import in_tiles

PRODUCTS = "how many terms a library adds at a time depends on shapes and devices."


@levels.def_rule("reduce_sum", "D4", levels.ORDER)
def _reduce_sum(equation: Any, level: str, operands: Sequence[jax.Array]) -> jax.Array:
    return _one_by_one("reduce_sum", equation, level, operands[0], method="tree")


@levels.def_rule("reduce_prod", "D4", levels.ORDER)
def _reduce_prod(equation: Any, level: str, operands: Sequence[jax.Array]) -> jax.Array:
    return _one_by_one("reduce_prod", equation, level, operands[0])


def _one_by_one(name: str, equation: Any, level: str, x: jax.Array, **statics: Any) -> jax.Array:
    axes = tuple(int(axis) for axis in equation.params["axes"])
    if any(x.shape[axis] == 0 for axis in axes):  # of nothing: a constant
        return equation.primitive.bind(x, **equation.params)
    for axis in axes:
        x = registered_op(name).bind(x, axis=axis, algorithm=level, **statics)
    return jax.lax.squeeze(x, axes)


@levels.def_rule("dot_general", "D4", PRODUCTS)
def _dot_general(equation: Any, level: str, operands: Sequence[jax.Array]) -> jax.Array:
    """A product of any axes, as matrices: tiles up to D3, exact products in D4."""
    result = equation.outvars[0].aval

    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        return _as_matrices(equation, level, a, b)

    if any(compat.explicitly_sharded(v.aval) for v in equation.invars):
        return compat.with_auto_axes(run, result.sharding)(*operands)
    return run(*operands)


def _as_matrices(equation: Any, level: str, a: jax.Array, b: jax.Array) -> jax.Array:
    (of_a, of_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    free_a = [i for i in range(a.ndim) if i not in (*of_a, *batch_a)]
    free_b = [i for i in range(b.ndim) if i not in (*of_b, *batch_b)]
    batch = [a.shape[i] for i in batch_a]
    inner = math.prod(a.shape[i] for i in of_a)
    rows, columns = ([x.shape[i] for i in free] for x, free in ((a, free_a), (b, free_b)))
    left = jnp.transpose(a, (*batch_a, *free_a, *of_a)).reshape(*batch, math.prod(rows), inner)
    right = jnp.transpose(b, (*batch_b, *of_b, *free_b)).reshape(*batch, inner, math.prod(columns))
    out = equation.outvars[0].aval.dtype
    found = _product(left, right, level, out, _words(equation.params["precision"])).reshape(
        *batch, *rows, *columns
    )
    return found if jnp.iscomplexobj(found) else levels.narrowed(found, out)


def _words(precision: Any) -> str | None:
    """Returns the higher of the precisions of two operands, as a word; None for the backend's own."""
    both = precision if isinstance(precision, tuple) else (precision,)
    named = [p.name.lower() for p in both if p is not None]
    return next((word for word in ("highest", "high") if word in named), None)


def _product(a: jax.Array, b: jax.Array, level: str, out: Any, precision: str | None) -> jax.Array:
    if jnp.issubdtype(out, jnp.complexfloating):
        parts = [
            [x.real, x.imag] if jnp.iscomplexobj(x) else [x, jnp.zeros_like(x)] for x in (a, b)
        ]
        real = jnp.zeros((), out).real.dtype
        (rr, ri), (ir, ii) = (
            [_product(x, y, level, real, precision) for y in parts[1]] for x in parts[0]
        )
        return jax.lax.complex(rr - ii, ri + ir)
    if at_least(level, "D4"):
        return exact_product(a, b)
    return in_tiles(a, b, numerics.accumulator(out), precision, whole=at_least(level, "D3"))
