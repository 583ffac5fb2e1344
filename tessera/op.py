"""`tessera.op`, the short name of `tessera.ops`: importing it gives that module object."""

import sys

from tessera import ops
from tessera.ops import *  # noqa: F403 - type checkers read the names from here

sys.modules[__name__] = ops
