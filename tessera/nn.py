"""`tessera.nn`: layers, and the calls of `tessera.op` that make them.

They are Equinox modules: pytrees, to be passed to a compiled function as an argument. `eqx.filter_jit`
compiles a module itself; `jax.jit` wants a function, which has a hash, around it.

>>> import jax, jax.numpy as jnp
>>> from tessera import op
>>> net = op.mlp(2, [8, 8], 1, "tanh", key=0)
>>> jax.jit(lambda net, x: net(x))(net, jnp.ones((5, 2))).shape
(5, 1)
>>> jax.grad(lambda net: op.mse(net(jnp.ones((5, 2))), 0.0))(net).layers[0].weight.shape
(2, 8)
"""

from tessera.modules import MLP as MLP
from tessera.modules import Embedding as Embedding
from tessera.modules import Linear as Linear
from tessera.modules import Transformer as Transformer
from tessera.modules import TransformerBlock as TransformerBlock
from tessera.modules import TransformerConfig as TransformerConfig
from tessera.ops import embedding as embedding
from tessera.ops import linear as linear
from tessera.ops import mlp as mlp
from tessera.ops import transformer as transformer
from tessera.ops import transformer_block as transformer_block
