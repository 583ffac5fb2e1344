"""Numerics: what is computed in which dtype, how far bits can be relied on, and what rounding takes.

    numerics.deterministic("D3")    a scope that promises a determinism level; also a `deterministic=` of ops
    numerics.report(f)(*args)       what in a function breaks a level, and the fix
    numerics.reproducible(f, "D4")  a whole function at a level, plain JAX included, with its derivatives
    numerics.compare(f, *args)      the rounding error of every operation against float64
    numerics.policy, casting        precision recipes, and how dtypes mix
    numerics.dtype, tolerance       dtype words, and what a dtype earns in a comparison

Levels, rules and dtypes are in `tessera.core`: determinism, levels, precision, numerics.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tessera.core.determinism import current_level as current_level
from tessera.core.determinism import deterministic as deterministic
from tessera.core.determinism import profile as profile
from tessera.core.numerics import TOLERANCES as TOLERANCES
from tessera.core.numerics import WORDS as WORDS
from tessera.core.numerics import accumulator as accumulator
from tessera.core.numerics import dtype as dtype
from tessera.core.numerics import require_x64 as require_x64
from tessera.core.numerics import tolerance as tolerance
from tessera.core.numerics import wider as wider
from tessera.core.precision import Numerics as Numerics
from tessera.core.precision import Policy as Policy
from tessera.core.precision import casting as casting
from tessera.core.precision import current as current
from tessera.core.precision import current_casting as current_casting
from tessera.core.precision import current_policy as current_policy
from tessera.core.precision import current_reduction as current_reduction
from tessera.core.precision import numeric as numeric
from tessera.core.precision import policy as policy
from tessera.core.precision import reduction as reduction

if TYPE_CHECKING:
    from tessera.numerics.against_float64 import compare as compare
    from tessera.numerics.at_level import reproducible as reproducible
    from tessera.numerics.comparison import Comparison as Comparison
    from tessera.numerics.level_report import Finding as Finding
    from tessera.numerics.level_report import Report as Report
    from tessera.numerics.level_report import report as report
    from tessera.numerics.same_bits import check_determinism as check_determinism
    from tessera.numerics.same_bits import validate_cross_hardware as validate_cross_hardware

# Loaded on first use: they print, and know the operators.
_LAZY = {
    "Comparison": "tessera.numerics.comparison",
    "compare": "tessera.numerics.against_float64",
    "Finding": "tessera.numerics.level_report",
    "Report": "tessera.numerics.level_report",
    "check_determinism": "tessera.numerics.same_bits",
    "report": "tessera.numerics.level_report",
    "reproducible": "tessera.numerics.at_level",
    "validate_cross_hardware": "tessera.numerics.same_bits",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tessera.numerics' has no attribute {name!r}")
    globals()[name] = found = getattr(importlib.import_module(_LAZY[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
