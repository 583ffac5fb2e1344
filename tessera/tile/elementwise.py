"""Elementwise functions of blocks under their names in `jax.numpy`, made from those of the dialect."""

from collections.abc import Callable, Mapping
from typing import Any

from tessera.ir.tile import FUNCTIONS
from tessera.tile.values import apply

# The names of `jax.numpy` and `jax.nn` that differ from the dialect's.
NAMES: Mapping[str, str] = {
    "arctan2": "atan2", "fmod": "rem", "maximum": "max", "minimum": "min", "power": "pow",
    "sigmoid": "logistic",
}  # fmt: skip
# Functions that blocks have as operators, or that stand elsewhere.
OTHERWISE = frozenset("add and div eq ge gt le lt mul ne neg not or sub where".split())
SHOWN = {name: name for name in FUNCTIONS if name not in {*NAMES.values(), *OTHERWISE}} | dict(
    NAMES
)


def _made(name: str, function: str) -> Callable[..., Any]:
    def one(x: Any) -> Any:
        return apply(function, x, called=name)

    def two(x: Any, y: Any) -> Any:
        return apply(function, x, y, called=name)

    made = one if FUNCTIONS[function] == 1 else two
    made.__name__ = made.__qualname__ = name
    made.__module__ = "tessera.tile"
    of = "a block" if made is one else "blocks, numbers or indices"
    made.__doc__ = f"Returns `{name}` of {of}, element by element, in the operands' dtype."
    return made


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    name: _made(name, function) for name, function in sorted(SHOWN.items())
}
