"""A value together with its first derivatives and Laplacian along the directions of one point."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Up to this many rows, sums over rows are written out.
FEW_ROWS = 8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Jet:
    """A value of the network at one point, with what the Laplacian of anything computed from it needs.

    `rows` is `(d, *value.shape)`: the derivative along each coordinate of the point. `laplacian` has the
    shape of `value`. None stands for zero: a jet without rows does not depend on the point.
    """

    value: Any
    rows: Any = None
    laplacian: Any = None

    @property
    def varies(self) -> bool:
        """Whether the value depends on the point."""
        return self.rows is not None


def seed(point: jax.Array, columns: tuple[int, ...] | None = None) -> Jet:
    """Returns the jet of the point itself: rows of the identity, by default all, and no Laplacian."""
    units = jnp.eye(point.shape[0], dtype=point.dtype)
    return Jet(point, units if columns is None else units[np.array(columns)])


def constant(value: Any) -> Jet:
    """Returns the jet of a value that does not depend on the point."""
    return Jet(value)


def laplacian_or_zeros(jet: Jet) -> jax.Array:
    """Returns the Laplacian of a jet as an array."""
    return jnp.zeros_like(jet.value) if jet.laplacian is None else jet.laplacian


def unstack(array: jax.Array) -> list[jax.Array]:
    """Returns the entries along the leading axis.

    `split` and not indexing: its transpose is one concatenation, that of indexing a sum of padded arrays.
    """
    return [part[0] for part in jax.lax.split(array, (1,) * array.shape[0], axis=0)]


def sum_over_rows(terms: jax.Array) -> jax.Array:
    """Returns the sum over the leading axis, written out when it is short.

    XLA on CPU fuses and vectorises a written-out sum, but not a reduction over two or three entries.
    """
    if not 0 < terms.shape[0] <= FEW_ROWS:
        return jnp.sum(terms, axis=0)
    first, *rest = unstack(terms)
    return sum(rest, first)


@jax.custom_jvp
def scale_rows(slope: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns `slope` times each row.

    Its tangent is written so that the cotangent of `slope` is a `sum_over_rows`.
    """
    return slope[None] * rows


@scale_rows.defjvp
def _scale_rows_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (slope, rows), (d_slope, d_rows) = primals, tangents
    if not 0 < rows.shape[0] <= FEW_ROWS:
        bent = d_slope[None] * rows
    else:
        bent = jnp.stack([d_slope * row for row in unstack(rows)])
    return scale_rows(slope, rows), scale_rows(slope, d_rows) + bent
