"""A function compiled for given arguments: kept in a file, listed, checked, printed level by level."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from tessera import api
from tessera.core.errors import Code, CompileError
from tessera.graph.buckets import Bucketed
from tessera.graph.kernel import Kernel
from tessera.graph.module import Module
from tessera.graph.training_step import TrainingStep
from tessera.ir import findings, parse
from tessera.runtime.artifact import Program

LEVELS = ("captured", "graph", "schedule", "stablehlo")
_CHECKED = ("captured", "graph", "schedule")
_SHOW_THEMSELVES = (Bucketed, Kernel, Module, TrainingStep)


@dataclass(frozen=True)
class Artifact:
    """A function compiled for arguments of certain types; `lowered` is set once it has been lowered."""

    compiled: api.Compiled[..., Any]
    args: tuple[Any, ...]
    lowered: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the function returns, also for arguments of other types."""
        return self.compiled(*args, **kwargs)

    def lower(self) -> "Artifact":
        """Returns the same artifact with the program lowered to StableHLO, in `.lowered`."""
        return replace(self, lowered=self.compiled.lower(*self.args))

    def inspect(self, level: str) -> str:
        """Returns the text of a level."""
        return self.compiled.inspect(level, *self.args)

    def explain(self) -> Any:
        """Returns what was fused, where and why."""
        return self.compiled.explain(*self.args)

    def save(self, path: str | Path, *, platforms: Sequence[str] | None = None) -> Path:
        """Writes the program to a file, for other platforms too if they are named; returns the path."""
        self.compiled.save(path, *self.args, platforms=platforms)
        return Path(path)


@dataclass(frozen=True)
class Listing:
    """The operators of a function, one per line, numbered; what a loop or call does is indented."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def print(self, file: TextIO | None = None) -> None:
        """Writes the lines to standard output, or to a file."""
        (sys.stdout if file is None else file).write(f"{self}\n")


def compile(function: Callable[..., Any], *args: Any, target: str | None = None) -> Artifact:  # noqa: A001 - the specification's name
    """Returns the function compiled for arguments, arrays or their types, as something to keep.

    `.save("x.tsr")` writes it, `graph.load_module` reads it, `.lower()`, `.inspect(level)` and
    `.explain()` look at it, and it can be called. A symbolic size, of `jax.export.symbolic_shape`,
    stays symbolic in the file. Modules that the function captures are constants of the program.
    `target` is the platform to plan for.

    Raises `E_GRAPH_INVALID` for what is not a function.

    >>> import jax, jax.numpy as jnp
    >>> artifact = compile(jnp.sin, jax.ShapeDtypeStruct((3,), jnp.float32)).lower()
    >>> "stablehlo.sine" in artifact.lowered.as_text()
    True
    """
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"compile: got a {type(function).__name__}, not a function."
        )
    return Artifact(api.compile(function, target=target), args)


def load_module(path: str | Path) -> Program:
    """Returns a program that `Artifact.save` wrote; it takes arguments of the types it was saved for.

    Raises `E_CACHE_IO` for a file that is damaged or no artifact, `E_LAUNCH_DEVICE_MISMATCH` for one of
    another version or platform, and at the call `E_LAUNCH_INVALID_SHAPE`.

    >>> import jax.numpy as jnp, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = compile(jnp.square, jnp.ones(2)).save(f"{folder}/square.tsr")
    ...     square = load_module(path)
    >>> square(jnp.array([2.0, 3.0])).tolist()
    [4.0, 9.0]
    """
    return api.load(path)


def export_mlir(
    function: Callable[..., Any],
    args: Sequence[Any],
    path: str | Path,
    dialect: str = "stablehlo",
) -> Path:
    """Writes the MLIR of one call, of arrays or their types, to a file and returns the path.

    Dialects: "stablehlo", "graph", "schedule"; `E_GRAPH_INVALID` for another.

    >>> import jax.numpy as jnp, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_mlir(jnp.sin, [jnp.ones(2)], f"{folder}/sin.mlir")
    ...     "stablehlo.sine" in path.read_text()
    True
    """
    api.export_mlir(function, args, path, dialect)
    return Path(path)


def explain(function: Callable[..., Any], *args: Any) -> Any:
    """Returns what became of a function for arguments, or their types: a table, or a picture in Jupyter.

    It has every fused group with its work, bytes, roofline time and reasons, and what was left as
    written and why.

    >>> import jax.numpy as jnp
    >>> [group.runs for group in explain(jnp.sin, jnp.ones(2)).groups]
    ['xla']
    """
    return _viewed(function).explain(*args)


def dump_ir(function: Callable[..., Any], *args: Any, level: str | None = None) -> str:
    """Returns the text of one level, or of all of them, each under a line that names it.

    Levels: captured (before any pass), graph, schedule, stablehlo, and those of `ts.inspect`.
    Raises `E_GRAPH_INVALID` for another.

    >>> import jax.numpy as jnp
    >>> text = dump_ir(jnp.sin, jnp.ones(2))
    >>> [line for line in text.splitlines() if line.startswith("// ")]
    ['// captured', '// graph', '// schedule', '// stablehlo']
    """
    view = _viewed(function)
    if level is not None:
        return view.inspect(level, *args)
    return "\n".join(f"// {name}\n{view.inspect(name, *args)}" for name in LEVELS)


def check(function: Callable[..., Any], *args: Any) -> list[CompileError]:
    """Returns what is wrong with a function for arguments, or their types, at any level; [] if nothing is.

    Each finding is the error that compiling would raise: it has a code, names op, rule and values, and
    hints at the fix.

    >>> import jax.numpy as jnp
    >>> from tessera import op
    >>> check(op.matmul, jnp.ones((2, 3)), jnp.ones((3, 2)))
    []
    >>> [error.code.value for error in check(op.matmul, jnp.ones((2, 3)), jnp.ones((4, 2)))]
    ['E_SHAPE_MISMATCH']
    """
    view = _viewed(function)
    found: list[CompileError] = []
    for level in _CHECKED:
        try:
            text = view.inspect(level, *args)
        except CompileError as error:
            return [*found, error]  # the levels below are made from this one
        found += [finding.error() for finding in findings(parse(text))]
    return found


def trace(function: Callable[..., Any], *args: Any) -> Listing:
    """Returns the numbered list of the operators of a function, as written, for arguments or their types.

    >>> import jax.numpy as jnp
    >>> trace(lambda x: jnp.sin(x) + 1.0, jnp.ones(2)).print()
    0 jax.sin x : tensor<2xf32>
    1 tessera.graph.constant : tensor<f32>
    2 jax.add 0, 1 : tensor<2xf32>
    """
    module = parse(_viewed(function).inspect("captured", *args))
    lines: list[str] = []
    numbers: dict[int, str] = {}
    for op, depth in _operators(module, 0):
        for block in (region.block for region in op.regions if region.blocks):
            numbers |= {id(x): x.name_hint or f"in{i}" for i, x in enumerate(block.args)}
        if op.name == "tessera.graph.func":
            continue
        number = str(len(lines))
        many = len(op.results) > 1
        numbers |= {id(x): f"{number}.{i}" if many else number for i, x in enumerate(op.results)}
        operands = ", ".join(numbers[id(x)] for x in op.operands)
        types = ", ".join(str(x.type) for x in op.results)
        lines.append(
            " ".join(
                ["  " * depth + number, op.name, *([operands] if operands else []), f": {types}"]
            )
        )
    return Listing(tuple(lines))


def _operators(op: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """Gives the operators inside an operator, in order, with how deep they are; returns are left out."""
    inner = depth if op.name in ("builtin.module", "tessera.graph.func") else depth + 1
    for region in op.regions:
        for block in region.blocks:
            for child in block.ops:
                if child.name != "tessera.graph.return":
                    yield child, inner
                    yield from _operators(child, inner)


def _viewed(function: Callable[..., Any]) -> Any:
    """Returns what can inspect and explain the function: itself, or the function compiled."""
    if isinstance(function, _SHOW_THEMSELVES):
        return function
    return api.compile(function)
