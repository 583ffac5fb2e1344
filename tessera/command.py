"""What the `tessera` command does with its words: functions and types by name, passes over text."""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from tessera import ops as ops  # the verifier checks text against the ops that are loaded
from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.ir import parse, to_text
from tessera.lowering import TEXT_PASSES, passes_named, run_passes
from tessera.lowering.rule import Context
from tessera.runtime import peaks


def find_function(text: str) -> Callable[..., Any]:
    """Returns the function that `module:function` or `file.py:function` names.

    Raises `E_GRAPH_INVALID` saying which part is not there.

    >>> find_function("jax.nn:relu").__name__
    'relu'
    """
    module_name, _, path = text.rpartition(":")
    if not module_name or not path:
        raise _invalid(f"{text!r} does not say module:function", "tessera inspect jax.nn:softmax")
    found: Any = _module(module_name)
    for name in path.split("."):
        if name not in dir(found):
            raise _invalid(
                f"{module_name} has no {path}", f"names with {name[:1]}: {_like(found, name)}"
            )
        found = getattr(found, name)
    if not callable(found):
        raise _invalid(f"{text} is a {type(found).__name__}, not a function")
    return found


def type_named(text: str) -> jax.ShapeDtypeStruct:
    """Returns the type that a word such as `8x128:bf16` stands for; fp32 where no dtype is given.

    Raises `E_GRAPH_INVALID` for a word that is no type.

    >>> type_named("8x128:bf16"), type_named("scalar").shape
    (ShapeDtypeStruct(shape=(8, 128), dtype=bfloat16), ())
    """
    sizes, _, word = text.partition(":")
    if sizes != "scalar" and not re.fullmatch(r"\d+([x,]\d+)*", sizes):
        raise _invalid(f"{text!r} is not a type", "8x128, 8x128:bf16, scalar, scalar:int32")
    shape = () if sizes == "scalar" else tuple(int(n) for n in re.split("[x,]", sizes))
    return jax.ShapeDtypeStruct(shape, numerics.dtype(word or "fp32", "inspect: --shape"))


def types_of(function: Callable[..., Any], texts: Sequence[str]) -> list[jax.ShapeDtypeStruct]:
    """Returns the types of a function's arguments from words; raises `E_GRAPH_INVALID` if there are none."""
    parameters = inspect.signature(function).parameters.values()
    if not texts and any(p.default is p.empty for p in parameters):
        names = ", ".join(p.name for p in parameters if p.default is p.empty)
        raise _invalid(f"no type is given for {names}", "--shape 8x128 for each, in order")
    return [type_named(text) for text in texts]


def run_passes_on_text(text: str, name: str, passes: Sequence[str], *, generic: bool) -> str:
    """Returns IR text after passes; errors name file, line and column, or the pass."""
    steps = passes_named(passes)
    beyond = [step.name for step in steps if step.name not in TEXT_PASSES]
    if beyond:
        raise _invalid(
            f"pass {beyond[0]!r} rewrites equations, of which a text does not say every parameter",
            f"passes over text: {', '.join(TEXT_PASSES)}; the others run in tessera inspect",
        )
    module = parse(text, name)
    run_passes(module, Context(peaks.device()), steps)
    return to_text(module, generic=generic)


def _module(name: str) -> Any:
    if name.endswith(".py"):
        return _module_in(Path(name))
    sys.path.insert(0, "")  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _invalid(f"there is no module {name} ({error})") from error
    finally:
        sys.path.remove("")


def _module_in(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise _invalid(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _like(found: Any, name: str) -> str:
    return ", ".join(n for n in dir(found) if n.startswith(name[:1]) and n[0] != "_") or "none"


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{problem}.", hints=hint or ())
