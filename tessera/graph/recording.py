"""A list of compiled calls and its replay: `with graph.capture() as g`, then `graph.launch(g, x=...)`."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from tessera.core.errors import Code, CompileError, LaunchError


@dataclass(frozen=True)
class Call:
    """One recorded call: what was called, its arguments by parameter, what came out."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """The name of the function called."""
        return self.function.__name__


class Recording:
    """The compiled calls made inside `with graph.capture() as g`, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._token: Token[Recording | None] | None = None

    def __enter__(self) -> "Recording":
        if _active.get() is not None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                "capture: a capture is being recorded already, and recordings do not nest.",
                hints="close the outer `with graph.capture()` first",
            )
        self.calls.clear()
        self._token = _active.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _active.reset(self._token)

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        return f"<recording of {', '.join(call.name for call in self.calls) or 'nothing'}>"

    @property
    def inputs(self) -> dict[str, Any]:
        """What `launch` can replace: arguments that no recorded call produced, by parameter name.

        A name under which different calls took different values is not among them.
        """
        named: dict[str, list[Any]] = {}
        for _, name, value in self._free_arguments():
            named.setdefault(name, []).append(value)
        return {name: values[0] for name, values in named.items() if _all_same(values)}

    def _free_arguments(self) -> list[tuple[int, str, Any]]:
        """Returns call index, parameter and value of every argument that came from outside."""
        produced: set[int] = set()
        free: list[tuple[int, str, Any]] = []
        for index, call in enumerate(self.calls):
            for name, value in call.arguments.items():
                if not any(id(leaf) in produced for leaf in jax.tree.leaves(value)):
                    free.append((index, name, value))
            produced |= {id(leaf) for leaf in jax.tree.leaves(call.result)}
        return free


def launch(recording: Recording, **inputs: Any) -> Any:
    """Returns the result of the last recorded call, all calls replayed in order with other inputs.

    An input is named by the parameter it was passed to and replaces that value wherever a recorded
    call used it; every argument that is not given keeps its recorded value, also one that Python or
    eager JAX computed between the calls. Results of recorded calls flow into later calls, and
    references and buffers that were written are written again. Nothing is traced: an input must
    have the structure, shapes and dtypes it was recorded with.

    Raises `E_GRAPH_INVALID` (an empty recording; an unknown name, or one that stood for different
    values) and `E_LAUNCH_INVALID_SHAPE` for another structure, shape or dtype.

    >>> import jax.numpy as jnp
    >>> from tessera import graph
    >>> double = graph.module(lambda x: 2 * x)
    >>> with graph.capture() as g:
    ...     y = double(double(jnp.arange(3)))
    >>> graph.launch(g, x=jnp.array([5, 6, 7])).tolist()
    [20, 24, 28]
    """
    if not isinstance(recording, Recording) or not recording.calls:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "launch: nothing was recorded; only calls of kernels, modules, training steps and "
            "bucketed functions outside jit are.",
            hints="with graph.capture() as g: ...; then graph.launch(g, x=...)",
        )
    known = recording.inputs
    for name, value in inputs.items():
        _check(recording, known, name, value)
    inputs = {name: jax.tree.map(_strong, value) for name, value in inputs.items()}
    replaced = _replacements(known, inputs)
    result = None
    for call in recording.calls:
        arguments = {
            name: inputs[name]
            if name in inputs and _same(value, known[name])
            else _renewed(value, replaced)
            for name, value in call.arguments.items()
        }
        result = call.function(**arguments)
        replaced |= _pairs(call.result, result)
    return result


def record(function: Callable[..., Any], arguments: Mapping[str, Any], result: Any) -> None:
    """Adds a call to the recording in force, if there is one and the values are concrete."""
    recording = _active.get()
    if recording is None:
        return
    leaves = jax.tree.leaves((dict(arguments), result))
    if not any(isinstance(leaf, Tracer) for leaf in leaves):
        recording.calls.append(Call(function, dict(arguments), result))


_active: ContextVar[Recording | None] = ContextVar("tessera_graph_recording", default=None)


def _check(recording: Recording, known: Mapping[str, Any], name: str, value: Any) -> None:
    if name not in known:
        twice = any(name == other for _, other, _ in recording._free_arguments())
        why = "stood for different values in the calls" if twice else "is no input of the calls"
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"launch: {name!r} {why}.",
            hints=f"inputs: {', '.join(known) or 'none'}",
        )
    before, after = _types(known[name]), _types(value)
    if before != after:
        raise LaunchError(
            Code.E_LAUNCH_INVALID_SHAPE,
            f"launch: {name!r} was recorded as {before[1]} but is {after[1]}.",
            hints="record again for other shapes; graph.capture(bucket_by=...) takes many lengths",
        )


def _replacements(known: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[int, Any]:
    pairs: dict[int, Any] = {}
    for name, value in inputs.items():
        pairs |= _pairs(known[name], value)
    return pairs


def _pairs(before: Any, after: Any) -> dict[int, Any]:
    """Returns what stands for each array of `before`; numbers are no identities and are left out."""
    both = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return {id(old): new for old, new in both if isinstance(old, jax.Array | np.ndarray)}


def _renewed(value: Any, replaced: Mapping[int, Any]) -> Any:
    return jax.tree.map(lambda leaf: replaced.get(id(leaf), leaf), value)


def _strong(leaf: Any) -> Any:
    """Returns an array that is not weakly typed, as `jnp.full(3, 1.0)` is: it would be traced anew."""
    weak = isinstance(leaf, jax.Array) and leaf.weak_type
    return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf


def _same(first: Any, second: Any) -> bool:
    one, other = jax.tree.leaves(first), jax.tree.leaves(second)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _all_same(values: list[Any]) -> bool:
    return all(_same(values[0], value) for value in values)


def _types(tree: Any) -> tuple[Any, list[str]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [_type(leaf) for leaf in leaves]


def _type(leaf: Any) -> str:
    if isinstance(leaf, jax.Array | np.ndarray):
        return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
    return type(leaf).__name__
