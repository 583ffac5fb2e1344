"""Distribution over `jax.sharding`: meshes, layouts and arrays whose shards live on their devices.

mesh = dist.Mesh(axes=["dp"], devices=range(8))
x = dist.tensor((1024, 1024), layout=dist.ShardSpec(("row",), ("dp",)), mesh=mesh)

`reachable_mesh`, `layout_sharding`, `place` and `axes_of` are internal: they serve the ops that take
`layout=` and `mesh=`, and are not in `__all__`.
"""

from tessera.dist.collectives import all_reduce, reduce_scatter, spmd
from tessera.dist.mesh import Mesh, current_mesh, world_size
from tessera.dist.mesh import reachable_mesh as reachable_mesh
from tessera.dist.shard import Layout, Replicate, ShardSpec, shard
from tessera.dist.shard import axes_of as axes_of
from tessera.dist.shard import layout_sharding as layout_sharding
from tessera.dist.shard import place as place
from tessera.dist.tensor import ShardTable, inspect, sharding_valid, tensor, tensor_like

__all__ = [
    "Layout",
    "Mesh",
    "Replicate",
    "ShardSpec",
    "ShardTable",
    "all_reduce",
    "current_mesh",
    "inspect",
    "reduce_scatter",
    "shard",
    "sharding_valid",
    "spmd",
    "tensor",
    "tensor_like",
    "world_size",
]
