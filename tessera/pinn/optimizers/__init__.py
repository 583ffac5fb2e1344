"""Optimizers: frozen settings with `init` and `step`, run in sequence by `tessera.pinn.training.train`.

LevenbergMarquardt   up to a few thousand parameters, to the accuracy of float64
GaussNewton          the same steps without the matrix, for networks of any size
LBFGS                quasi-Newton
Adam AdamW SOAP      first order, with minibatches; FirstOrder takes any rule of optax
"""

from tessera.pinn.optimizers.first_order import SOAP as SOAP
from tessera.pinn.optimizers.first_order import Adam as Adam
from tessera.pinn.optimizers.first_order import AdamW as AdamW
from tessera.pinn.optimizers.first_order import FirstOrder as FirstOrder
from tessera.pinn.optimizers.gauss_newton import GaussNewton as GaussNewton
from tessera.pinn.optimizers.lbfgs import LBFGS as LBFGS
from tessera.pinn.optimizers.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from tessera.pinn.optimizers.protocol import Info as Info
from tessera.pinn.optimizers.protocol import Optimizer as Optimizer
