"""The arguments of a call: which of them are differentiated, and what in them can be."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, CompileError

Which = int | str


def require_function(op: str, f: Any) -> None:
    """Raises `E_GRAPH_INVALID` for what is no function."""
    if not callable(f):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: the first argument is a {type(f).__name__}, not a function.",
            hints=f"{op}(f) of a function f, then call what it returns",
        )


def varies(leaf: Any) -> bool:
    """Returns whether a leaf of an argument has a derivative: a real or complex array or number."""
    if isinstance(leaf, bool):
        return False
    if isinstance(leaf, float | complex):
        return True
    # `jax.Array` holds for tracers too.
    array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
    return array and jnp.issubdtype(leaf.dtype, jnp.inexact)


@dataclass(frozen=True)
class Split:
    """A pytree taken apart: the leaves that vary, and how to put it together again."""

    structure: Any
    leaves: tuple[Any, ...]

    @property
    def moving(self) -> list[jax.Array]:
        """The leaves that vary, as arrays."""
        return [jnp.asarray(leaf) for leaf in self.leaves if varies(leaf)]

    def fill(self, moving: Sequence[Any]) -> Any:
        """Returns the pytree with other values for the leaves that vary."""
        rest = iter(moving)
        return self.structure.unflatten(next(rest) if varies(x) else x for x in self.leaves)

    def gradients(self, moving: Sequence[Any]) -> Any:
        """Returns the pytree with gradients where leaves vary, and None elsewhere."""
        rest = iter(moving)
        return self.structure.unflatten(next(rest) if varies(x) else None for x in self.leaves)


def split(tree: Any) -> Split:
    """Returns a pytree taken apart.

    >>> parts = split({"w": jnp.ones(2), "step": 3})
    >>> len(parts.moving), parts.gradients([0.5])
    (1, {'step': None, 'w': 0.5})
    """
    leaves, structure = jax.tree.flatten(tree)
    return Split(structure, tuple(leaves))


def find(op: str, f: Callable[..., Any], which: Any, args: Any, kwargs: Any) -> Which:
    """Returns where an argument stands in a call: its place, or its name if it is given by name."""
    if isinstance(which, str):
        names = _names(f)
        if which in kwargs:
            return which
        if which in names and names.index(which) < len(args):
            return names.index(which)
        known = [*names[: len(args)], *(name for name in kwargs if name not in names[: len(args)])]
        raise _missing(op, which, known)
    if isinstance(which, bool) or not isinstance(which, int):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: an argument is named by {which!r}, which is neither a number nor a name.",
        )
    if not -len(args) <= which < len(args):
        raise _missing(op, which, [*range(len(args)), *kwargs])
    return which % len(args)


def replaced(args: Any, kwargs: Any, places: Sequence[Which], values: Any) -> tuple[Any, Any]:
    """Returns the arguments of a call with some of them replaced."""
    args, kwargs = list(args), dict(kwargs)
    for place, value in zip(places, values, strict=True):
        if isinstance(place, str):
            kwargs[place] = value
        else:
            args[place] = value
    return args, kwargs


def _names(f: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # a builtin says nothing of its parameters
        return []


def _missing(op: str, which: Which, known: Sequence[Any]) -> CompileError:
    listed = ", ".join(map(str, known)) or "none"
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"{op}: the call has no argument {which!r}; there are: {listed}.",
    )
