"""Plain JAX code that is a Tessera op: one file per idiom, each a rule with its traced forms as golden tests.

The order matters: an attention is found by its softmax, a fused product by its activation.
"""

from tessera.lowering.idioms.activations import ACTIVATIONS
from tessera.lowering.idioms.attention import ATTENTION
from tessera.lowering.idioms.cross_entropy import CROSS_ENTROPY
from tessera.lowering.idioms.fft_conv import FFT_CONV
from tessera.lowering.idioms.matmul_epilogue import MATMUL_EPILOGUE
from tessera.lowering.idioms.norms import NORMS
from tessera.lowering.idioms.softmax import SOFTMAX
from tessera.lowering.idioms.trigonometry import TRIGONOMETRY
from tessera.lowering.rule import Rule

RULES: tuple[Rule, ...] = (
    ATTENTION,
    CROSS_ENTROPY,
    SOFTMAX,
    NORMS,
    ACTIVATIONS,
    FFT_CONV,
    MATMUL_EPILOGUE,
    TRIGONOMETRY,
)
