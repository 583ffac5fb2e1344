"""`tessera.errors`, the short name of `tessera.core.errors`: importing it gives that module object."""

import sys

from tessera.core import errors
from tessera.core.errors import *  # noqa: F403 - type checkers read the names from here

sys.modules[__name__] = errors
