"""`tessera.training`: what training in narrow floats, or with reproducible bits, needs beside optax.

loss_scaling.py   a loss scaled so that gradients in fp16 do not vanish: double, halve, skip
masters.py        weights in bf16 or fp16 whose updates add up in fp32, or are rounded at random
apply.py          `apply_updates`, which adds in the wider dtype, and `select` of two states
data_parallel.py  gradients over a mesh whose bits do not depend on the number of devices

State is explicit, and everything compiles under `jit`.

>>> import jax, jax.numpy as jnp, optax
>>> from tessera import training
>>> optimizer = training.master_weights(training.scaled(optax.sgd(0.5), init=4.0))
>>> params = jnp.array([1.0, 2.0], jnp.bfloat16)
>>> state = optimizer.init(params)
>>> def loss(params, state):
...     return training.scale_loss(jnp.sum(params.astype(jnp.float32) ** 2), state.inner.scaling)
>>> updates, state = optimizer.update(jax.grad(loss)(params, state), state, params)
>>> training.apply_updates(params, updates).tolist()
[0.0, 0.0]
"""

from tessera.training.apply import apply_updates as apply_updates
from tessera.training.apply import select as select
from tessera.training.data_parallel import data_parallel as data_parallel
from tessera.training.loss_scaling import LossScale as LossScale
from tessera.training.loss_scaling import Scaled as Scaled
from tessera.training.loss_scaling import check as check
from tessera.training.loss_scaling import loss_scaling as loss_scaling
from tessera.training.loss_scaling import scale_loss as scale_loss
from tessera.training.loss_scaling import scaled as scaled
from tessera.training.loss_scaling import unscale_and_update as unscale_and_update
from tessera.training.masters import Masters as Masters
from tessera.training.masters import StochasticWeights as StochasticWeights
from tessera.training.masters import master_weights as master_weights
from tessera.training.masters import stochastic_weights as stochastic_weights
