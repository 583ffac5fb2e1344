"""Taylor rules for primitives of JAX that have none, by nested forward mode.

`jet` stops at a primitive without a rule: decompositions, solves, loops and branches, sorting, and functions
such as the arctangent. What has a `jvp` has all its Taylor coefficients too, in 2^n evaluations for order n.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive, primitives

from tessera.core import compat

Curve = Callable[[jax.Array], list[jax.Array]]

WITHOUT_RULE: tuple[Primitive, ...] = (
    primitives.acos_p,
    primitives.argmax_p,
    primitives.argmin_p,
    primitives.asin_p,
    primitives.atan_p,
    primitives.cbrt_p,
    primitives.cholesky_p,
    primitives.cond_p,
    primitives.digamma_p,
    primitives.eigh_p,
    primitives.householder_product_p,
    primitives.lgamma_p,
    primitives.linear_solve_p,
    primitives.lu_p,
    primitives.qr_p,
    primitives.reduce_and_p,
    primitives.reduce_or_p,
    primitives.reduce_precision_p,
    primitives.reduce_prod_p,
    primitives.remat_p,
    primitives.scan_p,
    primitives.scatter_mul_p,
    primitives.scatter_p,
    primitives.sharding_constraint_p,
    primitives.sort_p,
    primitives.svd_p,
    primitives.tan_p,
    primitives.top_k_p,
    primitives.triangular_solve_p,
    primitives.while_p,
)


def register() -> None:
    """Gives each of these primitives a rule, unless JAX has one."""
    for primitive in WITHOUT_RULE:
        compat.jet_rules.setdefault(primitive, partial(_by_forward_mode, primitive))


def _by_forward_mode(
    primitive: Primitive, primals: Sequence[Any], series: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    moves = [varies(x) for x in primals]

    def evaluate(*operands: Any) -> list[Any]:
        found: Any = primitive.bind(*operands, **params)
        return list(found) if primitive.multiple_results else [found]

    outs = evaluate(*primals)
    places = [i for i, y in enumerate(outs) if varies(y)]

    def curve(t: jax.Array) -> list[jax.Array]:
        at = [
            _point(x, terms, t) if m else x
            for m, x, terms in zip(moves, primals, series, strict=True)
        ]
        found = evaluate(*at)
        return [found[i] for i in places]

    terms = [compat.ZERO_SERIES] * len(outs)
    if any(moves) and places:
        found = zip(*_coefficients(curve, len(series[0])), strict=True)
        for place, coefficients in zip(places, found, strict=True):
            terms[place] = list(coefficients)
    return (outs, terms) if primitive.multiple_results else (outs[0], terms[0])


def _point(x: jax.Array, terms: Sequence[jax.Array], t: jax.Array) -> jax.Array:
    """Returns x + terms[0] t + terms[1] t^2 + ..."""
    along = t.astype(x.dtype)
    total = jnp.zeros_like(x)
    for term in reversed(terms):
        total = (total + term) * along
    return x + total


def _coefficients(curve: Curve, order: int) -> list[list[jax.Array]]:
    """Returns the Taylor coefficients of a curve at 0 from the first order on."""
    zero = jnp.zeros(())
    found = []
    for k in range(1, order + 1):
        curve = _slope(curve)
        found.append([y / math.factorial(k) for y in curve(zero)])
    return found


def _slope(curve: Curve) -> Curve:
    return lambda t: jax.jvp(curve, (t,), (jnp.ones_like(t),))[1]


def varies(x: Any) -> bool:
    """Returns whether an array is of numbers that can vary: floats or complex."""
    return jnp.issubdtype(x.dtype, jnp.inexact)
