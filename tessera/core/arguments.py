"""What a call passes: arrays, which a program is compiled for by type, and the rest, which is fixed.

Arrays, NumPy scalars, references and Python numbers are traced, as `jax.jit` traces them. What is no number
(a function, a string) is static, and so is every leaf of an Equinox module that is no array: the
activation, the rate and the flags of a layer are part of the program.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tessera.core.errors import Code, CompileError

ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct, jax.Ref)
NUMBERS = (bool, int, float, complex)


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False)
class Static:
    """A value that is part of a pytree's structure, not a leaf of it."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and _key(self.value) == _key(other.value)

    def __hash__(self) -> int:
        return hash(_key(self.value))


def _key(value: Any) -> Any:
    """Returns what a static value is compared by: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return type(value), value, repr(value) if isinstance(value, float) else ""


class _Traced:
    def __repr__(self) -> str:
        return "traced"


_TRACED = _Traced()


@dataclass(frozen=True, eq=False)
class Structure:
    """A pytree without its arrays: hashable, so that programs can be found by it."""

    tree: Any
    leaves: tuple[Any, ...]  # _TRACED where an array goes, the value itself elsewhere

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> Any:
        return self.tree, tuple(map(_key, self.leaves))

    def fill(self, arrays: Sequence[Any]) -> Any:
        """Returns the pytree with arrays in their places."""
        rest = iter(arrays)
        return self.tree.unflatten(next(rest) if x is _TRACED else x for x in self.leaves)


def split(tree: Any, name: str) -> tuple[Structure, list[Any]]:
    """Returns the structure of a pytree and its arrays in order.

    Raises `E_GRAPH_INVALID` for a static leaf that has no hash; `name` is the function's, for the message.

    >>> structure, arrays = split({"x": np.ones(2), "word": "mean"}, "f")
    >>> arrays, structure.fill(arrays)["word"]
    ([array([1., 1.])], 'mean')
    """
    structure, arrays = _parted(tree)
    for leaf in structure.leaves:
        require_hash(leaf, f"{name}: an argument, which is no array, holds")
    return structure, arrays


def _parted(tree: Any) -> tuple[Structure, list[Any]]:
    is_module = _module_test()
    marks: list[Any] = []
    arrays: list[Any] = []
    for item in jax.tree.leaves(tree, is_leaf=is_module):
        inside = is_module is not None and is_module(item)
        for leaf in jax.tree.leaves(item) if inside else (item,):
            traced = isinstance(leaf, ARRAYS) or (isinstance(leaf, NUMBERS) and not inside)
            marks.append(_TRACED if traced else leaf)
            if traced:
                arrays.append(leaf)
    return Structure(jax.tree.structure(tree), tuple(marks)), arrays


def _module_test() -> Callable[[Any], bool] | None:
    """Returns a test for Equinox modules, or None while no program can hold one."""
    equinox = sys.modules.get("equinox")
    if equinox is None:
        return None
    kind = equinox.Module
    return lambda x: isinstance(x, kind)


def require_hash(value: Any, problem: str) -> None:
    """Raises `E_GRAPH_INVALID` for a value that cannot be part of a program's structure."""
    try:
        hash(value)
    except TypeError:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{problem} a {type(value).__name__}, which is not hashable.",
            hints="pass arrays, or hashable values",
        ) from None


def split_result(tree: Any) -> tuple[Structure, list[Any]]:
    """Returns the structure of a result and its arrays.

    Python numbers become arrays, as with `jax.jit`; those of an Equinox module stay what they are.
    """
    return _parted(tree)


def names_of(parameters: Sequence[str], tree: Any, traced: Structure) -> list[str]:
    """Returns a name for each array of `(args, kwargs)`: the parameter's, then the path inside it."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    kept = [p for p, leaf in zip(paths, traced.leaves, strict=True) if leaf is _TRACED]
    return [_name(parameters, path) for path in kept]


def _name(parameters: Sequence[str], path: Sequence[Any]) -> str:
    which, place, *inside = path
    if which.idx == 1:
        first = str(place.key)
    else:
        first = parameters[place.idx] if place.idx < len(parameters) else f"arg{place.idx}"
    return f"{first}{jax.tree_util.keystr(tuple(inside))}"
