"""`Embedding`: a row of a table for each integer."""

from typing import Any

import equinox as eqx
import jax

from tessera.core.rows import take
from tessera.modules.initial import as_size, draw_keys, glorot_uniform


class Embedding(eqx.Module):
    """Returns rows of `weight`, which is (V, D), by the rules of `op.gather`."""

    weight: jax.Array

    def __init__(self, V: int, D: int, *, key: Any = None, dtype: Any = "fp32"):
        shape = as_size("embedding", "V", V), as_size("embedding", "D", D)
        (draw,) = draw_keys("embedding", key, 1)
        self.weight = glorot_uniform("embedding", draw, shape, dtype)

    def __call__(self, ids: Any) -> jax.Array:
        """Returns (..., D) for integers (...)."""
        return take("embedding", self.weight, ids, 0)
