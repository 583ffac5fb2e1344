"""Problems with independent truth, each a function of its physical parameters and sizes.

    problem("kovasznay", reynolds=20.0)     the problem of that name
    module("kovasznay")                     its file
    NAMES                                   the names

One file each; every file has one function `problem(**options)`.
"""

import importlib
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.pinn.problem import Problem

NAMES = (
    "allen_cahn",
    "burgers",
    "cavity",
    "heat",
    "helmholtz",
    "kolmogorov",
    "kovasznay",
    "l_shape",
    "taylor_green",
    "viscosity",
    "wave",
)


def problem(name: str, **options: Any) -> Problem:
    """Returns a problem by its name; `options` are those of the function `problem` in its file.

    Raises `E_GRAPH_INVALID` for a name that is not in `NAMES`.

    >>> problem("heat").coordinates
    ('x', 't')
    """
    return module(name).problem(**options)


def module(name: str) -> Any:
    """Returns the module of a problem; raises `E_GRAPH_INVALID` for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"there is no problem {name!r}.",
            hints=f"problems: {', '.join(NAMES)}",
        )
    return importlib.import_module(f"{__name__}.{name}")
