"""`@graph.kernel`: functions that write their results into arguments, compiled as pure functions.

    @graph.kernel
    def gemm(A, B, C):
        C[:] = op.matmul(A, B)

While the body is traced every output is an `Output`, which records what is written; the compiled function
is pure, and writing to a reference or a buffer happens after it.
"""

import functools
import inspect as python_inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, overload

import jax
import numpy as np
from jax.core import Tracer

from tessera import api
from tessera.core.errors import Code, CompileError
from tessera.core.notes import note
from tessera.core.numerics import require_x64
from tessera.graph.captured import WRAPPERS, Wrapper
from tessera.graph.drawing import write
from tessera.graph.outputs import Output, parameters_assigned_in
from tessera.graph.recording import record

HINT = "assign to an argument, as in `C[:] = ...`"


@dataclass(frozen=True)
class Declared:
    """What an output must be: its name, type, and whether it had contents before the call."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    has_contents: bool


class Kernel:
    """A function whose outputs are arguments: call it, differentiate it, look at its levels."""

    def __init__(
        self,
        function: Callable[..., None],
        outputs: Sequence[str] = (),
        static_argnames: Sequence[str] = (),
    ):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = python_inspect.signature(function)
        self._statics = self._parameters("static_argnames", static_argnames)
        self._compiled: dict[tuple[Declared, ...], api.Compiled[..., Any]] = {}
        self._last: api.Compiled[..., Any] | None = None
        self.assigned = {*self._parameters("outputs", outputs)} or (
            parameters_assigned_in(function) & set(self.signature.parameters)
        )

    __name__: str

    def __repr__(self) -> str:
        return f"<kernel {self.__name__}{self.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the value written, or a tuple of them in the order of the parameters."""
        arguments = self._bind(args, kwargs)
        inputs, outputs = self._split(arguments, abstract=False)
        compiled = self._compile_for(outputs)
        contents = {name: _contents(x) for name, x in outputs.items() if _has_contents(x)}
        written = compiled(*_ordered(inputs, contents))
        # Results of jit come with sorted keys; the parameters have the order the caller knows.
        values = {name: written[name] for name in outputs if name in written}
        for name, value in values.items():
            _store(self.__name__, name, outputs[name], value)
        result = tuple(values.values()) if len(values) > 1 else next(iter(values.values()))
        record(self, arguments, result)
        return result

    def around(self, function: Callable[..., None]) -> "Kernel":
        """Returns a kernel with the same outputs around another function."""
        return Kernel(function, tuple(self.assigned), self._statics)

    @property
    def trace_count(self) -> int:
        """How often the body was traced for compilation."""
        return sum(compiled.trace_count for compiled in self._compiled.values())

    def inspect(self, level: str, *args: Any, **options: Any) -> str:
        """Returns the text of a level for arguments, arrays or their types, or for the last call.

        Raises `E_GRAPH_INVALID` without arguments and without a call before.
        """
        compiled, operands = self._for_inspection(args)
        return compiled.inspect(level, *operands, **options)

    def explain(self, *args: Any) -> Any:
        """Returns what was fused, where and why, for arguments or for the last call."""
        compiled, operands = self._for_inspection(args)
        return compiled.explain(*operands)

    def export(self, path: str | Path, *args: Any, ir: str = "graph") -> Path:
        """Writes a level as a picture (`.dot`) or as data (`.json`), as `graph.module` does."""
        return write(lambda level: self.inspect(level, *args), Path(path), ir, self.__name__)

    def _parameters(self, keyword: str, names: Sequence[str]) -> tuple[str, ...]:
        listed = (names,) if isinstance(names, str) else tuple(names)
        for name in listed:
            if name not in self.signature.parameters:
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"kernel {self.__name__!r}: {keyword} has {name!r}, which is not a parameter.",
                    hints=f"parameters: {', '.join(self.signature.parameters)}",
                )
        return listed

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _split(
        self, arguments: dict[str, Any], abstract: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns inputs and outputs by name; with `abstract` an input may be given by its type."""
        outputs = {n: x for n, x in arguments.items() if self._is_output(n, x, abstract)}
        if not outputs:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {self.__name__!r}: no argument is assigned, as far as its source shows.",
                hints=(HINT, 'name the outputs: @graph.kernel(outputs=["C"])'),
            )
        inputs = {n: x for n, x in arguments.items() if n not in outputs}
        for name, value in outputs.items():
            if _is_template(value) and not abstract:
                note(
                    "graph",
                    f"kernel {self.__name__!r}: argument {name!r} is a plain array, which is only a "
                    "template for shape and dtype and keeps its contents.",
                )
        return inputs, outputs

    def _is_output(self, name: str, value: Any, abstract: bool) -> bool:
        if isinstance(value, jax.Ref):
            return True
        if isinstance(value, jax.ShapeDtypeStruct):
            return not (abstract and self.assigned) or name in self.assigned
        return name in self.assigned and isinstance(value, jax.Array | np.ndarray)

    def _compile_for(self, outputs: Mapping[str, Any]) -> api.Compiled[..., Any]:
        declared = tuple(self._declared(name, x) for name, x in outputs.items())
        if declared not in self._compiled:
            pure = _pure(self, declared)
            self._compiled[declared] = api.compile(pure, static_argnames=self._statics)
        self._last = self._compiled[declared]
        return self._last

    def _for_inspection(self, args: Sequence[Any]) -> tuple[api.Compiled[..., Any], list[Any]]:
        if args:
            inputs, outputs = self._split(self._bind(args, {}), abstract=True)
            types = {name: _type(x) for name, x in outputs.items() if _has_contents(x)}
            return self._compile_for(outputs), _ordered(inputs, types)
        if self._last is None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {self.__name__!r}: there was no call whose arguments could be used.",
                hints="call it first, or pass arguments: inspect(level, *args)",
            )
        return self._last, []

    def _declared(self, name: str, value: Any) -> Declared:
        dtype = np.dtype(value.dtype)
        require_x64(dtype, f"kernel {self.__name__!r}: output {name!r}")
        return Declared(name, tuple(value.shape), dtype, _has_contents(value))


@overload
def kernel(function: Callable[..., None], /) -> Kernel: ...
@overload
def kernel(
    *, outputs: Sequence[str] = (), static_argnames: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Kernel]: ...
def kernel(
    function: Any = None, /, *, outputs: Sequence[str] = (), static_argnames: Sequence[str] = ()
) -> Any:
    """Returns a `Kernel` of a function that assigns its results to arguments, `C[:] = ...`.

    The call returns the value written, or a tuple of values in the order of the parameters. An
    output may be a `jax.ShapeDtypeStruct` (nothing is allocated), a `jax.Ref` or a NumPy buffer
    (both are written), or a plain array, which gives shape and dtype, stays as it is and is noted
    in the log. An argument is an output if the body's source assigns to it by index; `outputs` names
    the outputs instead where the source cannot be read or another function assigns. A `Ref` and a
    `ShapeDtypeStruct` may always be assigned. Part of an output may be written
    (`C[0] = ...`); the rest keeps the contents of a `Ref` or buffer and is zero otherwise. What was
    written can be read (`C[...]`), as can the contents of a `Ref` or buffer.

    A kernel works under `jit`, `vmap` and every derivative with respect to its inputs; `.inspect`
    and `.explain` show what became of it. A NumPy buffer can only be written outside `jit`.
    `static_argnames` are arguments that are not arrays.

    Raises `E_GRAPH_INVALID` (nothing assigned, an output read before it is written, a value
    returned, a buffer that cannot be written) and `E_SHAPE_MISMATCH` where a value has another
    shape or dtype than its output; a Python number fills what it is assigned to.

    >>> import jax, jax.numpy as jnp
    >>> @kernel
    ... def scale(x, y):
    ...     y[:] = 2 * x
    >>> scale(jnp.arange(3), jax.ShapeDtypeStruct((3,), jnp.int32)).tolist()
    [0, 2, 4]
    """
    if function is None:
        return functools.partial(kernel, outputs=outputs, static_argnames=static_argnames)
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"kernel: got a {type(function).__name__}, not a function.",
            hints="@graph.kernel above a def",
        )
    return Kernel(cast(Callable[..., None], function), outputs, static_argnames)


def _pure(made: Kernel, declared: tuple[Declared, ...]) -> Callable[..., dict[str, Any]]:
    """Returns the function of the inputs, then of former contents, that gives what the body writes."""
    outputs = {d.name: d for d in declared}
    names = [name for name in made.signature.parameters if name not in outputs]
    names += [d.name for d in declared if d.has_contents]

    def run(*operands: Any) -> dict[str, Any]:
        given = dict(zip(names, operands, strict=True))
        recorders = {
            name: Output(made.__name__, name, d.shape, d.dtype, given.pop(name, None))
            for name, d in outputs.items()
        }
        given |= recorders
        call = made.signature.bind_partial()
        call.arguments.update({name: given[name] for name in made.signature.parameters})
        returned = made.function(*call.args, **call.kwargs)
        return _written(made.__name__, returned, recorders, outputs)

    functools.update_wrapper(run, made.function)
    run.__signature__ = python_inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [
            python_inspect.Parameter(name, python_inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in names
        ]
    )
    return run


def _written(
    kernel_name: str,
    returned: Any,
    recorders: Mapping[str, Output],
    declared: Mapping[str, Declared],
) -> dict[str, Any]:
    written = {name: out.value for name, out in recorders.items() if out.is_written}
    if returned is not None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"kernel {kernel_name!r}: the body returns a {type(returned).__name__}, but a kernel's "
            "results are what it assigns.",
            hints=f"{HINT}; @graph.module is for functions that return",
        )
    if not written:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"kernel {kernel_name!r}: no argument is assigned.", hints=HINT
        )
    for name, out in declared.items():
        if name not in written and not out.has_contents:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {kernel_name!r}: argument {name!r} is an output by its type, "
                "jax.ShapeDtypeStruct, but is never assigned.",
                hints=HINT,
            )
    return written


def _type(value: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(value.shape, value.dtype)


def _has_contents(value: Any) -> bool:
    return isinstance(value, jax.Ref | np.ndarray)


def _is_template(value: Any) -> bool:
    return isinstance(value, jax.Array) and not isinstance(value, jax.Ref)


def _contents(value: Any) -> Any:
    return value[...] if isinstance(value, jax.Ref) else value


def _ordered(inputs: Mapping[str, Any], contents: Mapping[str, Any]) -> list[Any]:
    return [*inputs.values(), *contents.values()]


def _store(kernel_name: str, name: str, target: Any, value: Any) -> None:
    """Writes a value to a reference or a buffer; a template and a type have nothing to write to."""
    if isinstance(target, jax.Ref):
        target[...] = value
    elif isinstance(target, np.ndarray):
        if isinstance(value, Tracer) or not target.flags.writeable:
            reason = "is read-only" if not target.flags.writeable else "cannot be written under jit"
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {kernel_name!r}: the NumPy buffer given for {name!r} {reason}.",
                hints="pass a jax.Ref (jax.new_ref) or a jax.ShapeDtypeStruct",
            )
        np.copyto(target, np.asarray(value))


WRAPPERS[Kernel] = Wrapper(lambda made: made.function, lambda made, function: made.around(function))
