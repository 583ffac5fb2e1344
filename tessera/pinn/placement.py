"""Points spread over the devices of a mesh, and everything else on all of them."""

from typing import Any

import jax

from tessera.core.errors import Code, CompileError
from tessera.dist import Mesh


def place_batch(mesh: Mesh | None, tree: Any) -> Any:
    """Returns a tree whose arrays are spread over the mesh by their first axis, scalars on all devices.

    Without a mesh it is returned as it is. Raises `E_SHAPE_MISMATCH` for a number of points that does not
    divide into equal parts.
    """
    return tree if mesh is None else jax.tree.map(lambda x: _spread(mesh, x), tree)


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """Returns a tree whose arrays are whole on every device of the mesh; as it is without a mesh."""
    if mesh is None:
        return tree
    everywhere = jax.sharding.NamedSharding(mesh.jax, jax.P())
    return jax.tree.map(
        lambda x: jax.device_put(x, everywhere) if isinstance(x, jax.Array) else x, tree
    )


def _spread(mesh: Mesh, x: Any) -> Any:
    if x.ndim == 0:
        return replicate(mesh, x)
    if x.shape[0] % mesh.size:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"train: {x.shape[0]} points do not divide over the {mesh.size} devices of the mesh.",
            hints="let every sampler draw a multiple of the number of devices",
        )
    return jax.device_put(x, jax.sharding.NamedSharding(mesh.jax, jax.P(mesh.axes)))
