"""Equinox modules that a function captures, and the same function with other modules in their place.

A function captures what its closure holds and what its source names among the globals of its module,
directly, in lists, tuples and dicts, or through functions that it captures in turn. Attributes of other
objects are not searched, nor the globals of installed libraries: a module there is a constant.
"""

import dis
import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from tessera.core.errors import Code, CompileError


@dataclass(frozen=True)
class Wrapper:
    """How to look into a value that wraps a function: the function, and the value around another one."""

    function: Callable[[Any], Callable[..., Any]]
    around: Callable[[Any, Callable[..., Any]], Any]


# By class; the files of the classes register.
WRAPPERS: dict[type, Wrapper] = {}

# Functions that cannot be made again around other modules. The class of jitted ones has no public name.
_OPAQUE = (type(jax.jit(lambda: None)), jax.custom_jvp, jax.custom_vjp)

_LIBRARIES = tuple(
    sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)


def wrapped_in(function: Callable[..., Any]) -> list[Any]:
    """Returns the graph modules, losses and the like that a function captures."""
    return [part for _, part in _reached("", function, set()) if type(part) in WRAPPERS]


def captured_modules(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the Equinox modules a function captures, by name, in the order it first names them.

    A module in a container is named after it: `layers[0]`. A module that is known by two names is
    listed once, under the first. Two modules under one name, in two functions, are `E_GRAPH_INVALID`,
    as is a module inside a function of `jax.jit` or `jax.custom_vjp`, where it is a constant.
    """
    found: dict[str, Any] = {}
    known: set[int] = set()
    for name, module in _modules_in("", function, set()):
        if id(module) in known:
            continue
        if name in found:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"the name {name!r} stands for two captured modules.",
                hints="give the modules different names, or pass them as parameters",
            )
        known.add(id(module))
        found[name] = module
    return found


def with_modules(
    function: Callable[..., Any], replacements: Mapping[int, Any]
) -> Callable[..., Any]:
    """Returns the function with other modules in place of captured ones, given by `id`."""
    return _Substitution(replacements).of(function)


def with_captured(function: Callable[..., Any], modules: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns the function with other modules in place of those it captures under these names."""
    former = captured_modules(function) if modules else {}
    for name in modules:
        _refuse_hidden(name, former[name])
    return with_modules(function, {id(former[name]): module for name, module in modules.items()})


def named_like(
    run: Callable[..., Any], function: Callable[..., Any], first: str
) -> Callable[..., Any]:
    """Returns `run` with the name of a function and its parameters after a first one.

    What is compiled is `run`, and the levels show these names.
    """
    functools.update_wrapper(run, function)
    kind = inspect.Parameter.POSITIONAL_ONLY
    rest = [p for p in inspect.signature(function).parameters.values() if p.name != first]
    signature = inspect.Signature([inspect.Parameter(first, kind), *rest])
    run.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return run


def _modules_in(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    return ((at, part) for at, part in _reached(name, value, seen) if is_module(part))


def _reached(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Gives the modules and wrappers that a value leads to, by name."""
    if is_module(value):
        yield name, value
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, _OPAQUE):
        _refuse_opaque(name, value, seen)
    if type(value) in WRAPPERS:
        yield name, value
    for part_name, part in _parts(name, value):
        yield from _reached(part_name, part, seen)


def _parts(name: str, value: Any) -> list[tuple[str, Any]]:
    """Returns what a value consists of, as far as modules can be found in it."""
    match value:
        case list() | tuple():
            return [(f"{name}[{i}]", part) for i, part in enumerate(value)]
        case dict():
            return [(f"{name}[{key!r}]", part) for key, part in value.items()]
        case functools.partial():
            return [(name, value.func), (name, value.args), (name, value.keywords)]
        case types.MethodType():
            return [(name, value.__self__), (name, value.__func__)]
        case types.FunctionType():
            return [*_closure(value).items(), *_globals(value).items()]
        case _ if type(value) in WRAPPERS:
            return [(name, WRAPPERS[type(value)].function(value))]
        case _:
            return []


def _refuse_opaque(name: str, function: Any, seen: set[int]) -> None:
    for inside, _ in _modules_in(name, function.__wrapped__, seen):
        raise _constant(inside, name or function.__name__, f"a {type(function).__name__}")


def _refuse_hidden(name: str, module: Any) -> None:
    """Raises if a field of a module is a function that captures modules, as in `eqx.filter_jit(f)`."""
    for leaf in jax.tree.leaves(list(vars(module).values()), is_leaf=is_module):
        if is_module(leaf):
            _refuse_hidden(name, leaf)
            continue
        for inside, _ in _modules_in("", leaf, set()):
            raise _constant(inside, name, f"a {type(module).__name__} around a function")


def _constant(module: str, place: str, what: str) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"module {module!r} is captured inside {place!r}, {what}, where it is a constant.",
        hints=f"pass the module to {place!r} as an argument, or take the wrapper away",
    )


def _closure(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - the only way to ask; the cell of a later definition is empty
    except ValueError:
        return False
    return True


def _globals(function: types.FunctionType) -> dict[str, Any]:
    if _is_library(function):
        return {}
    scope = function.__globals__
    return {name: scope[name] for name in _names_in(function.__code__) if name in scope}


@functools.cache
def _names_in(code: types.CodeType) -> tuple[str, ...]:
    """Returns the globals a function reads, in order, those of inner functions after."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    reads = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"]
    return tuple(dict.fromkeys([*reads, *(name for const in inner for name in _names_in(const))]))


def _is_library(function: types.FunctionType) -> bool:
    is_own = (function.__module__ or "").partition(".")[0] == "tessera"
    return is_own or function.__code__.co_filename.startswith(_LIBRARIES)


def is_module(value: Any) -> bool:
    """Returns whether a value is an Equinox module."""
    # Where Equinox is not loaded there is no Equinox module, and nothing to load it for.
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(value, equinox.Module)


class _Substitution:
    """Rebuilds functions with other modules; what captures none of them stays the same object."""

    def __init__(self, replacements: Mapping[int, Any]):
        self._replacements = replacements
        self._rebuilt: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if id(value) in self._replacements:
            return self._replacements[id(value)]
        if is_module(value) or not _reaches(value, self._replacements):
            return value
        if id(value) not in self._rebuilt:
            self._rebuilt[id(value)] = self._rebuild(value)
        return self._rebuilt[id(value)]

    def _rebuild(self, value: Any) -> Any:
        match value:
            case list() | tuple():
                parts = [self.of(part) for part in value]
                is_named = isinstance(value, tuple) and type(value) is not tuple
                return type(value)(*parts) if is_named else type(value)(parts)
            case dict():
                return {key: self.of(part) for key, part in value.items()}
            case functools.partial():
                arguments = [self.of(part) for part in value.args]
                keywords = {key: self.of(part) for key, part in value.keywords.items()}
                return functools.partial(self.of(value.func), *arguments, **keywords)
            case types.MethodType():
                return types.MethodType(self.of(value.__func__), self.of(value.__self__))
            case types.FunctionType():
                return self._function(value)
            case _:
                wrapper = WRAPPERS[type(value)]
                return wrapper.around(value, self.of(wrapper.function(value)))

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        scope = dict(function.__globals__)
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(
            function.__code__, scope, function.__name__, function.__defaults__, cells
        )
        made.__kwdefaults__ = function.__kwdefaults__
        self._rebuilt[id(function)] = made  # before its parts: a function may name itself
        scope.update({name: self.of(value) for name, value in _globals(function).items()})
        for cell, former in zip(cells, function.__closure__ or (), strict=True):
            if _is_filled(former):
                cell.cell_contents = self.of(former.cell_contents)
        functools.update_wrapper(made, function)
        return made


def _reaches(value: Any, replacements: Mapping[int, Any]) -> bool:
    return any(id(module) in replacements for _, module in _modules_in("", value, set()))
