"""What a rule is: it finds an idiom in a graph and says what should compute it instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
from xdsl.ir import Operation, SSAValue

from tessera.core import compat
from tessera.ir.graph import Node, may_move
from tessera.lowering.cost import Device


@dataclass(frozen=True)
class Record:
    """What a pass did, or found and left alone: `applied` tells which, `reason` why."""

    name: str
    applied: bool
    reason: str
    where: str
    nodes: int = 1


@dataclass
class Context:
    """What a pass may ask: the device compiled for, and what was measured. What it leaves: records.

    `table` has, by the signature of an op with its operands' types, the formulation found fastest.
    """

    device: Device
    table: Mapping[str, str] = field(default_factory=dict[str, str])
    records: list[Record] = field(default_factory=list[Record])


@dataclass(frozen=True)
class Replacement:
    """A value and what is to compute it: `build(*operands)`, a hashable function of arrays to one array.

    `nodes` counts the equations replaced. `kept_because` is the reason not to replace them, empty where there
    is none. `shared` says that something else reads what is between operands and value: then the replacement
    is made only if that is the derivative, whose place the op's own backward takes.
    """

    value: SSAValue
    operands: tuple[SSAValue, ...]
    build: Callable[..., jax.Array]
    nodes: int = 1
    kept_because: str = ""
    reason: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Build:
    """What a replacement computes: a partial that equals another of the same function and arguments."""

    function: Callable[..., jax.Array]
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    @staticmethod
    def of(build: Callable[..., jax.Array]) -> "Build":
        """Returns a callable, which may be a partial, as a value."""
        if isinstance(build, partial):
            return Build(build.func, build.args, tuple(sorted(build.keywords.items())))
        return Build(build)

    def __call__(self, *operands: jax.Array) -> jax.Array:
        """Computes it."""
        return self.function(*self.arguments, *operands, **dict(self.keywords))


# Finds what a node ends, or None.
Match = Callable[[Node, Context], Replacement | None]


@dataclass(frozen=True)
class Rule:
    """A named rewrite: `match` is asked about every node called one of `roots`."""

    name: str
    roots: frozenset[str]
    match: Match


def erase_if_dead(op: Operation) -> None:
    """Removes a node nobody reads, and then those only it read."""
    waiting = [op]
    while waiting:
        dead = waiting.pop()
        is_read = any(r.first_use is not None for r in dead.results)
        if dead.parent is None or is_read or not may_move(dead):
            continue
        owners = [x.owner for x in dead.operands]
        block = dead.parent
        dead.detach()
        dead.erase()
        waiting += [x for x in owners if isinstance(x, Operation) and x.parent is block]


def attribute_to(op: Operation, source: Node) -> None:
    """Gives a node made by a rewrite the source line and named scopes of one it replaces."""
    if isinstance(op, Node) and op.equation is not None and source.equation is not None:
        op.equation = op.equation.replace(source_info=source.equation.source_info)


def location_of(op: Operation) -> str:
    """Returns `file:line (function)` of the user's code a node came from, empty where unknown."""
    if isinstance(op, Node) and op.equation is not None:
        return compat.source_of(op.equation)
    return ""
