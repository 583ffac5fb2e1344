"""`op.moe`: a mixture of experts, with the routing before it and its parts.

    y[t] = sum_j gate[t, j] expert_index[t, j](x[t])

routing.py      which experts a token goes to
exchange.py     rows sorted by expert, and back
experts.py      one expert's function for the rows of all
mixture.py      `op.moe` itself
"""

from tessera.ops.moe.exchange import moe_combine as moe_combine
from tessera.ops.moe.exchange import moe_dispatch as moe_dispatch
from tessera.ops.moe.mixture import moe as moe
from tessera.ops.moe.mixture import moe_apply as moe_apply
from tessera.ops.moe.routing import Route as Route
from tessera.ops.moe.routing import Router as Router
from tessera.ops.moe.routing import aux_loss as aux_loss
from tessera.ops.moe.routing import router as router
