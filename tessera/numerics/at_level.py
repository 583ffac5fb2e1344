"""`numerics.reproducible`: any JAX function computed at a determinism level."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tessera import ops as ops  # sets how sums and products keep a level
from tessera.core import determinism, levels
from tessera.core.errors import Code, CompileError

P = ParamSpec("P")
R = TypeVar("R")


def reproducible(function: Callable[P, R], level: str = "D4") -> Callable[P, R]:
    """Returns a function whose results have the bits that a determinism level promises.

    `function` takes and returns pytrees of arrays; what is no array is static. Every equation of it, those of
    plain JAX and of its loops included, is computed by a rule that keeps the level: sums as fixed trees,
    products in tiles (D2, D3) or exactly (D4), arithmetic without contraction, and in D4 correctly rounded
    operations and polynomials alone. In D4 numbers below 2^-126 count as zero, as they do on CPUs under XLA.
    D0 and D1 change nothing but what `deterministic` requires of XLA.

    Works under `jit`, `vmap` and every derivative, which have the same level. Taylor mode has the values but
    not the promise. Raises `E_NONDETERMINISTIC` when it is traced if an equation cannot reach the level,
    naming it and where it was written; `numerics.report` lists them all.

    >>> import jax.numpy as jnp
    >>> variance = reproducible(jnp.var)
    >>> variance(jnp.array([1.0, 2.0, 3.0, 6.0])).item()
    3.5
    """
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"reproducible: {type(function).__name__} is not a function.",
            hints='numerics.reproducible(f, "D4")(*args)',
        )
    wanted = determinism.as_level("reproducible", level)
    call = levels.calls_at(function, levels.name_of(function))

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with determinism.level_of_call("reproducible", wanted):
            if wanted not in determinism.FIXED:
                return function(*args, **kwargs)
            return call(args, kwargs, wanted)

    return run
