"""Functions of pytrees at a level, traced once for arguments of one kind."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tessera.core.determinism import FIXED, current_level, level_of_call
from tessera.core.levels.function import at_level
from tessera.core.primitive import CACHED


def call_at(function: Callable[..., Any], args: Any, kwargs: Any, level: str, who: str) -> Any:
    """Returns what a function of pytrees gives, computed at a level; leaves that are no arrays are static."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    arrays = [leaf for leaf in leaves if _is_array(leaf)]
    fixed = tuple(_ARRAY if _is_array(leaf) else leaf for leaf in leaves)
    types = tuple((x.shape, x.dtype.name) for x in arrays)
    try:
        call = _flat_call(function, structure, fixed, types, level, who)
    except TypeError:  # a static leaf that cannot be hashed: traced anew every time
        call = _flat_call.__wrapped__(function, structure, fixed, types, level, who)
    outs = iter(call.run(*arrays))
    found = [next(outs) if y is _ARRAY else y for y in call.fixed]
    return jax.tree.unflatten(call.structure[0], found)


@functools.cache
def scoped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that is computed at the level of its `deterministic=` or the scope it is called in.

    One that is given a function does something with it, and is left as it is.
    """
    name = name_of(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with level_of_call(name, kwargs.pop("deterministic", None)):
            level = current_level()
            if level not in FIXED or any(callable(x) for x in args):
                return function(*args, **kwargs)
            return call_at(function, args, kwargs, level, name)

    return run


def name_of(function: Any) -> str:
    """Returns what to call a function in a message."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return function.__name__ if "__name__" in dir(function) else type(function).__name__


_ARRAY = object()  # stands for an array among leaves that are static


@dataclass(frozen=True)
class _FlatCall:
    """A function of the arrays of one call, and what tracing it has found of its results."""

    run: Callable[..., list[Any]]
    structure: list[Any]
    fixed: list[Any]


@functools.lru_cache(CACHED)
def _flat_call(
    function: Callable[..., Any], structure: Any, leaves: Any, types: Any, level: str, who: str
) -> _FlatCall:
    del types  # results may differ in structure by shape
    shape: list[Any] = []
    fixed: list[Any] = []

    def flat(*arrays: Any) -> list[Any]:
        given = iter(arrays)
        args, kwargs = jax.tree.unflatten(
            structure, [next(given) if leaf is _ARRAY else leaf for leaf in leaves]
        )
        found, found_shape = jax.tree.flatten(function(*args, **kwargs))
        shape[:] = [found_shape]
        fixed[:] = [_ARRAY if _is_array(y) else y for y in found]
        return [y for y in found if _is_array(y)]

    def run(*arrays: Any) -> list[Any]:
        return at_level(flat, level, who)(*arrays)

    return _FlatCall(jax.jit(run), shape, fixed)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)
