"""The operators: one file each. `tessera.op` is this module."""

from tessera.ops.cross_entropy import cross_entropy as cross_entropy
from tessera.ops.gelu import gelu as gelu
from tessera.ops.matmul import matmul as matmul
from tessera.ops.mse import mse as mse
from tessera.ops.relu import relu as relu
from tessera.ops.sigmoid import sigmoid as sigmoid
from tessera.ops.silu import silu as silu
from tessera.ops.tanh import tanh as tanh
