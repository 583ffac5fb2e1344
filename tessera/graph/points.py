"""Points of modules for physics: arrays `(n, 3)` whose columns are x, y and t."""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.pde.coordinates import coords

# What the name of such a module begins with.
PHYSICS = "PINN"


def with_names(module: str | None, arguments: Any) -> Any:
    """Returns the arguments of a module; of one for physics float arrays `(n, 3)` as Fields of x, y, t.

    A Field is its values wherever it meets arrays, so data of three columns are unharmed.

    >>> with_names("PINN_heat", (jnp.ones((4, 3)), jnp.ones(3)))[0].names
    ('x', 'y', 't')
    """
    if module is None or not module.startswith(PHYSICS):
        return arguments
    return jax.tree.map(lambda x: coords(x) if _are_points(x) else x, arguments)


def _are_points(x: Any) -> bool:
    if not isinstance(x, jax.Array):
        return False
    return x.ndim == 2 and x.shape[1] == 3 and jnp.issubdtype(x.dtype, jnp.floating)
