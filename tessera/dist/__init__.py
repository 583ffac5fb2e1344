"""Distribution over `jax.sharding`: meshes, layouts and arrays whose shards live on their devices.

mesh = dist.Mesh(axes=["dp"], devices=range(8))
x = dist.tensor((1024, 1024), layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)
"""

from tessera.dist.mesh import Mesh, current_mesh, reachable_mesh, world_size
from tessera.dist.shard import Layout, Replicate, ShardSpec, axes_of, layout_sharding, place, shard
from tessera.dist.tensor import ShardTable, inspect, sharding_valid, tensor, tensor_like

__all__ = [
    "Layout",
    "Mesh",
    "Replicate",
    "ShardSpec",
    "ShardTable",
    "axes_of",
    "current_mesh",
    "inspect",
    "layout_sharding",
    "place",
    "reachable_mesh",
    "shard",
    "sharding_valid",
    "tensor",
    "tensor_like",
    "world_size",
]
