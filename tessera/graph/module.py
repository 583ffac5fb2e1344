"""`@graph.module`: a pure function, captured as a graph; the Equinox modules it uses are its parameters."""

import functools
import inspect as python_inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from tessera import api
from tessera.core.errors import Code, CompileError
from tessera.graph.captured import WRAPPERS, Wrapper, captured_modules, named_like, with_captured
from tessera.graph.drawing import write
from tessera.graph.parameters import split
from tessera.graph.points import with_names
from tessera.graph.recording import record


class Module:
    """A compiled pure function: call it, transform it, look at its levels, export its graph."""

    __name__: str

    def __init__(self, function: Callable[..., Any], name: str | None = None):
        functools.update_wrapper(self, function)
        self.function = function
        self.name = self.__name__ if name is None else name
        self.signature = python_inspect.signature(function)
        self._compiled = api.compile(self._as_pure_function())

    def __repr__(self) -> str:
        return f"<module {self.name}{self.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the function returns."""
        bound = self.signature.bind(*args, **kwargs)
        result = self._compiled(self._captured(), *bound.args, **bound.kwargs)
        record(self, bound.arguments, result)
        return result

    @property
    def trace_count(self) -> int:
        """How often the function was traced for compilation."""
        return self._compiled.trace_count

    def parameters(self) -> dict[str, Any]:
        """Returns the arrays of the captured Equinox modules by name, in the structure of each module.

        What is not a real or complex array is None there. A function whose parameters are arguments
        captures none, and the dict is empty.
        """
        return split(self._captured()).parameters

    def inspect(self, level: str, *args: Any, **options: Any) -> str:
        """Returns the text of a level for arguments, arrays or their types, or for the last call."""
        return self._compiled.inspect(level, *self._operands(args), **options)

    def explain(self, *args: Any) -> Any:
        """Returns what was fused, where and why, for arguments or for the last call."""
        return self._compiled.explain(*self._operands(args))

    def export(self, path: str | Path, *args: Any, ir: str = "graph") -> Path:
        """Writes a level as a picture (`.dot`) or as data (`.json`) and returns the path.

        The arguments are arrays or types; without any those of the last call are taken. Raises
        `E_GRAPH_INVALID` for another suffix, for a level that is not "graph" or "schedule", and
        without arguments and without a call before.
        """
        return write(lambda level: self.inspect(level, *args), Path(path), ir, self.name)

    def _captured(self) -> dict[str, Any]:
        return captured_modules(self.function)

    def _operands(self, args: Sequence[Any]) -> list[Any]:
        return [self._captured(), *args] if args else []

    def _as_pure_function(self) -> Callable[..., Any]:
        """Returns the function of the captured modules and the arguments."""

        def run(modules: Mapping[str, Any], /, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = with_names(self.name, (args, kwargs))
            return with_captured(self.function, modules)(*args, **kwargs)

        return named_like(run, self.function, "modules")


@overload
def module(function: Callable[..., Any], /) -> Module: ...
@overload
def module(name: str | None = None, /) -> Callable[[Callable[..., Any]], Module]: ...
def module(function: Any = None, /) -> Any:
    """Returns a pure function captured as a graph: `@graph.module` or `@graph.module("name")`.

    It is called like the function and works under every JAX transformation; arguments are pytrees of
    arrays and numbers, and what else is in them, such as the functions in an Equinox module, is part of
    the program. Parameters are best passed explicitly. Equinox modules that the function captures,
    from its closure or the globals it names, are looked up at each call and are parameters too:
    `.parameters()` returns them, and `graph.training_step` finds them. `.inspect(level)`,
    `.explain()` and `.export(path)` show the graph, `.trace_count` counts traces. In a module whose name
    begins with PINN float arrays `(n, 3)` are points with coordinates x, y, t, for `op.grad(u, x="y")`.

    Raises `E_GRAPH_INVALID` for something that is not a function, and for `with graph.module(...)`.

    >>> import jax.numpy as jnp
    >>> @module("affine")
    ... def f(params, x):
    ...     return params["w"] * x + params["b"]
    >>> f({"w": jnp.array(2.0), "b": jnp.array(1.0)}, jnp.array([1.0, 2.0])).tolist()
    [3.0, 5.0]
    """
    if function is None or isinstance(function, str):
        return _Decorator(function)
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"module: got a {type(function).__name__}, not a function or a name.",
            hints='@graph.module or @graph.module("name") above a def',
        )
    return Module(function)


@dataclass(frozen=True)
class _Decorator:
    name: str | None

    def __call__(self, function: Callable[..., Any]) -> Module:
        return Module(module(function).function, self.name)

    def __enter__(self) -> Any:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"module: {self.name!r} is not built inside a with block.",
            hints='decorate a function: @graph.module("name")',
        )

    def __exit__(self, *_: object) -> None: ...


# What is around them is compiled as a whole, so the function alone is enough.
WRAPPERS[Module] = Wrapper(lambda made: made.function, lambda _, function: function)
WRAPPERS[api.Compiled] = Wrapper(
    lambda made: vars(made)["__wrapped__"], lambda _, function: function
)
