"""Functions of pytrees at a level, traced once for arguments of one kind."""

import functools
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tessera.core.determinism import FIXED, current_level, level_of_call
from tessera.core.levels.function import at_level
from tessera.core.primitive import CACHED


def calls_at(function: Callable[..., Any], who: str) -> Callable[[Any, Any, str], Any]:
    """Returns `(args, kwargs, level) ->` what a function of pytrees gives, computed at a level.

    Leaves that are no arrays are static. What was traced is kept as long as the returned function is.
    """
    kept = functools.lru_cache(CACHED)(functools.partial(_flat_call, function, who))

    def call(args: Any, kwargs: Any, level: str) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        arrays = [leaf for leaf in leaves if _is_array(leaf)]
        fixed = tuple(_ARRAY if _is_array(leaf) else leaf for leaf in leaves)
        try:
            run = kept(structure, fixed, tuple(map(_kind, fixed)), level)
        except TypeError:  # a static leaf that cannot be hashed: traced anew every time
            run = _flat_call(function, who, structure, fixed, (), level)
        found = run(*arrays)
        outs = iter(found.arrays)
        whole = [next(outs) if y is _ARRAY else y for y in found.fixed]
        return jax.tree.unflatten(found.structure, whole)

    return call


@functools.cache
def scoped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that is computed at the level of its `deterministic=` or the scope it is called in.

    One that is given a function does something with it, and is left as it is.
    """
    if function in _SCOPED:
        return function
    name = name_of(function)
    call = calls_at(function, name)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with level_of_call(name, kwargs.pop("deterministic", None)):
            level = current_level()
            if level not in FIXED or any(callable(x) for x in args):
                return function(*args, **kwargs)
            return call(args, kwargs, level)

    _SCOPED.add(run)
    return run


def name_of(function: Any) -> str:
    """Returns what to call a function in a message."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return function.__name__ if "__name__" in dir(function) else type(function).__name__


_SCOPED: set[Callable[..., Any]] = set()  # functions that `scoped` has made
_ARRAY = object()  # stands for an array among leaves that are static


@dataclass(frozen=True)
class _Found:
    """The arrays among the results of one call, its other results, and how they lie in a pytree."""

    arrays: Sequence[Any]
    fixed: Sequence[Any]
    structure: Any


jax.tree_util.register_pytree_node(
    _Found,
    lambda found: (found.arrays, (found.fixed, found.structure)),
    lambda rest, arrays: _Found(arrays, *rest),
)


def _flat_call(
    function: Callable[..., Any],
    who: str,
    structure: Any,
    leaves: Sequence[Any],
    kinds: Any,
    level: str,
) -> Callable[..., _Found]:
    del kinds  # part of the key

    def run(*arrays: Any) -> _Found:
        others: list[Any] = []

        def flat(*arrays: Any) -> list[Any]:
            given = iter(arrays)
            args, kwargs = jax.tree.unflatten(
                structure, [next(given) if leaf is _ARRAY else leaf for leaf in leaves]
            )
            found, shape = jax.tree.flatten(function(*args, **kwargs))
            others[:] = [tuple(_ARRAY if _is_array(y) else y for y in found), shape]
            return [y for y in found if _is_array(y)]

        return _Found(at_level(flat, level, who)(*arrays), *others)

    return jax.jit(run)


def _kind(leaf: Any) -> Any:
    """Returns what tells static leaves apart that are equal: 1, 1.0 and True, 0.0 and -0.0."""
    return (type(leaf), str(leaf)) if isinstance(leaf, numbers.Number) else type(leaf)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)
