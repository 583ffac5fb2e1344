"""The program that is being written down: its kernel so far, and which values may be used where."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xdsl.ir import SSAValue, Use
from xdsl.rewriter import Rewriter

from tessera.core.errors import Code, CompileError
from tessera.ir.tile import Dot, For, Func, Load, Store, Tile, Yield
from tessera.lowering.tile_programs.builder import Builder
from tessera.lowering.tile_programs.recorded import Call

_CURRENT: ContextVar["Program | None"] = ContextVar("tessera.tile program", default=None)


class Program:
    """A kernel that a user's function writes, one call of `tessera.tile` after another.

    The kernel begins when the grid is declared. `batch` are the axes in front of the grid that the function
    does not see. What is made inside a loop is known in it only: `open` lists the bodies around what is being
    written, outermost first.
    """

    def __init__(self, call: Call, batch: Sequence[int]):
        self.call = call
        self.batch = tuple(batch)
        self.open: list[object] = [object()]
        self.stored: set[int] = set()
        self.names: dict[int, str] = {}  # of arrays, after the parameters of the function
        self._builder: Builder | None = None

    @property
    def builder(self) -> Builder:
        """What writes the ops; raises `E_GRAPH_INVALID` before the grid is declared."""
        if self._builder is None:
            raise self.misuse(
                "grid",
                "is not declared yet",
                "begin with tile.grid(...), or tile.grid() for one program",
            )
        return self._builder

    @property
    def padded(self) -> bool:
        """Whether blocks are powers of two, as a GPU wants them."""
        return self.call.padded

    def begin(self, grid: Sequence[int]) -> Sequence[SSAValue]:
        """Starts the kernel; returns the indices along the axes of its grid that the function sees."""
        if self._builder is not None:
            raise self.misuse("grid", "is declared twice", "call it once, with every axis")
        self._builder = Builder(self.call.arrays, (*self.batch, *grid), self.call.outputs)
        for place, name in self.names.items():
            self._builder.arrays[place].name_hint = name
        places = self._builder.places
        for place, name in zip(places[len(self.batch) :], "ijkl", strict=False):
            place.name_hint = name
        for place in places[: len(self.batch)]:
            place.name_hint = "h"
        return places[len(self.batch) :]

    @contextmanager
    def inner(self) -> Iterator[None]:
        """Opens the body of a loop."""
        self.open.append(object())
        yield
        self.open.pop()

    def finish(self, outputs: Sequence[str]) -> Func:
        """Returns the kernel; raises `E_GRAPH_INVALID` where an output is not stored."""
        builder = self.builder
        missing = [name for place, name in enumerate(outputs) if place not in self.stored]
        if missing:
            raise self.misuse(
                "store", f"is missing for the output {missing[0]!r}",
                f"end with tile.store({missing[0]}, ...)",
            )  # fmt: skip
        symbol = f"{self.call.name}_{self.call.said.get('group', 0)}"
        kernel = builder.finish(symbol, **self.call.said)
        _drop_unused(kernel)
        if self.padded:
            _use_scratch(kernel)
        return kernel

    # -- errors --------------------------------------------------------------------------------------------

    def misuse(self, function: str, problem: str, hint: str = "") -> CompileError:
        """Returns the error of a call that no program may make where it stands."""
        return self._error(Code.E_GRAPH_INVALID, function, problem, hint)

    def mismatch(self, function: str, problem: str, hint: str = "") -> CompileError:
        """Returns the error of blocks whose shapes do not fit."""
        return self._error(Code.E_SHAPE_MISMATCH, function, problem, hint)

    def refused(self, function: str, problem: str, hint: str = "") -> CompileError:
        """Returns the error of what no tile program computes."""
        return self._error(Code.E_TILE_LOWERING, function, problem, hint)

    def _error(self, code: Code, function: str, problem: str, hint: str) -> CompileError:
        text = f"{self.call.name}: tile.{function} {problem}."
        return CompileError(code, text, hints=hint or (), where="tile")


def current(function: str) -> Program:
    """Returns the program being written; raises `E_GRAPH_INVALID` outside of one."""
    found = _CURRENT.get()
    if found is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"tile.{function} was called outside a program.",
            hints="tile functions describe a kernel: call them in the function given to "
            "op.tile_kernel.register(name, program=...)",
            where="tile",
        )
    return found


def write(program: Program, function: Callable[[], Any], outputs: Sequence[str]) -> Func:
    """Returns the kernel that a function writes by calling `tessera.tile`."""
    token = _CURRENT.set(program)
    try:
        given = function()
        if given is not None:
            raise program.misuse(
                "store", f"gives a kernel its results, but the program returned {type(given).__name__}",
                "store into the outputs and return nothing",
            )  # fmt: skip
        return program.finish(outputs)
    finally:
        _CURRENT.reset(token)


# -- what is done to a kernel once it is whole -------------------------------------------------------------


def _drop_unused(kernel: Func) -> None:
    """Drops what is computed and never used."""
    for op in reversed(list(kernel.walk())):
        has_effect = isinstance(op, Func | For | Store | Yield)
        if not has_effect and not any(result.first_use for result in op.results):
            op.detach()
            op.erase()


def _use_scratch(kernel: Func) -> None:
    """Lets blocks that are loaded for a product alone stand in a GPU's scratch, where products read them."""
    for op in list(kernel.walk()):
        if isinstance(op, Load) and all(map(_is_factor, op.result.uses)):
            kind = op.result.type
            assert isinstance(kind, Tile)
            Rewriter.replace_value_with_new_type(
                op.result, Tile.of(kind.sizes, kind.element, "shared")
            )


def _is_factor(use: Use) -> bool:
    return isinstance(use.operation, Dot) and use.index < 2
