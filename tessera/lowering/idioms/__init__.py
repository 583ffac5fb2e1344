"""Plain JAX code that is a Tessera op: one file per idiom, each a rule with its traced forms as golden tests.

The order matters: an attention is found by its softmax, a fused product by its activation.
"""

from tessera.lowering.idioms.softmax import SOFTMAX
from tessera.lowering.rewrite import Rule

RULES: tuple[Rule, ...] = (SOFTMAX,)
