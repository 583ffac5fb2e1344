"""`tessera.numerics`, the short name of `tessera.core.numerics`: importing it gives that module object."""

import sys

from tessera.core import numerics
from tessera.core.numerics import *  # noqa: F403 - type checkers read the names from here

sys.modules[__name__] = numerics
