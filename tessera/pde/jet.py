"""A value together with its first derivatives and Laplacian along the directions of one point."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Jet:
    """A value of the network at one point, with what the Laplacian of anything computed from it needs.

    `rows` is `(d, *value.shape)`: the derivative along each coordinate of the point. `laplacian` has the
    shape of `value`. None stands for zero: a jet without rows does not depend on the point.
    """

    value: Any
    rows: jax.Array | None = None
    laplacian: jax.Array | None = None

    @property
    def varies(self) -> bool:
        """Whether the value depends on the point."""
        return self.rows is not None


def seed(point: jax.Array) -> Jet:
    """Returns the jet of the point itself: the identity as rows, no Laplacian."""
    return Jet(point, jnp.eye(point.shape[0], dtype=point.dtype))


def constant(value: Any) -> Jet:
    """Returns the jet of a value that does not depend on the point."""
    return Jet(value)


def laplacian_or_zeros(jet: Jet) -> jax.Array:
    """Returns the Laplacian of a jet as an array."""
    return jnp.zeros_like(jet.value) if jet.laplacian is None else jet.laplacian


def sum_over_rows(terms: jax.Array) -> jax.Array:
    """Returns the sum over the leading axis, written out when it is short.

    XLA on CPU vectorises a written-out sum over two or three rows, but not a reduction of that length.
    """
    if not 0 < terms.shape[0] <= 8:
        return jnp.sum(terms, axis=0)
    total = terms[0]
    for i in range(1, terms.shape[0]):
        total = total + terms[i]
    return total
