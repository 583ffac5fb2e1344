"""Arithmetic whose bits are the same on every machine, platform and version of JAX (level D4).

Everything is made of operations that IEEE 754 defines to the last bit, in a fixed order: sums, products,
quotients and roots of float32 or float64, integers, comparisons and selects. Operands are not subnormal:
`flushed` makes them so. A product, quotient or root of magnitude <= 2^-126 (float64: 2^-1022) is a zero of
its sign, because CPUs run by XLA have no subnormal numbers and GPUs have, and because machines differ on
whether a result is tiny before or after it is rounded. A sum below 2^-126 is +0, that of -0 and -0 too: a
compiler that finds a zero in x + 0 drops it.

formats.py         the two formats as integers, and what keeps a compiler from contracting or rewriting
arithmetic.py      the operations of IEEE 754, and powers by repeated squaring
correction.py      quotients and roots of a platform that only approximates them, corrected by integers
remainder.py       rem
exponential.py     exp, exp2, expm1
saturating.py      tanh, logistic
logarithm.py       log, log1p, log2
power.py           x^y
cube_root.py       cbrt
trigonometric.py   sin, cos, tan
hyperbolic.py      sinh, cosh, asinh, acosh, atanh
error_function.py  erf, erfc
gamma.py           lgamma, digamma

inverse_trigonometric.py   atan, atan2, asin, acos
inverse_error_function.py  erf_inv
"""

from tessera.core.portable.arithmetic import add as add
from tessera.core.portable.arithmetic import divide as divide
from tessera.core.portable.arithmetic import flushed as flushed
from tessera.core.portable.arithmetic import integer_power as integer_power
from tessera.core.portable.arithmetic import multiply as multiply
from tessera.core.portable.arithmetic import normal as normal
from tessera.core.portable.arithmetic import reciprocal as reciprocal
from tessera.core.portable.arithmetic import rounded as rounded
from tessera.core.portable.arithmetic import rsqrt as rsqrt
from tessera.core.portable.arithmetic import sqrt as sqrt
from tessera.core.portable.arithmetic import square as square
from tessera.core.portable.arithmetic import subtract as subtract
from tessera.core.portable.cube_root import cbrt as cbrt
from tessera.core.portable.error_function import erf as erf
from tessera.core.portable.error_function import erfc as erfc
from tessera.core.portable.exponential import exp as exp
from tessera.core.portable.exponential import exp2 as exp2
from tessera.core.portable.exponential import expm1 as expm1
from tessera.core.portable.gamma import digamma as digamma
from tessera.core.portable.gamma import lgamma as lgamma
from tessera.core.portable.hyperbolic import acosh as acosh
from tessera.core.portable.hyperbolic import asinh as asinh
from tessera.core.portable.hyperbolic import atanh as atanh
from tessera.core.portable.hyperbolic import cosh as cosh
from tessera.core.portable.hyperbolic import sinh as sinh
from tessera.core.portable.inverse_error_function import erf_inv as erf_inv
from tessera.core.portable.inverse_trigonometric import acos as acos
from tessera.core.portable.inverse_trigonometric import asin as asin
from tessera.core.portable.inverse_trigonometric import atan as atan
from tessera.core.portable.inverse_trigonometric import atan2 as atan2
from tessera.core.portable.logarithm import log as log
from tessera.core.portable.logarithm import log1p as log1p
from tessera.core.portable.logarithm import log2 as log2
from tessera.core.portable.power import power as power
from tessera.core.portable.remainder import rem as rem
from tessera.core.portable.saturating import logistic as logistic
from tessera.core.portable.saturating import tanh as tanh
from tessera.core.portable.trigonometric import cos as cos
from tessera.core.portable.trigonometric import sin as sin
from tessera.core.portable.trigonometric import tan as tan
