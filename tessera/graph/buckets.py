"""Shape buckets: axes padded to the next power of two, so that few sizes are compiled."""

import functools
import inspect as python_inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from tessera import api
from tessera.core.arguments import NUMBERS
from tessera.core.errors import Code, CompileError
from tessera.graph.captured import WRAPPERS, Wrapper
from tessera.graph.drawing import write
from tessera.graph.parameters import is_array
from tessera.graph.recording import record

LENGTH = "valid_len"  # the parameter that receives the true length

# For each named dim, the axis of each parameter that has it.
Dims = Mapping[str, Mapping[str, int]]
# For each leaf of a result, the dim of each of its axes, or None.
Axes = list[tuple[str | None, ...]]


class Bucketed:
    """A function compiled once for every bucket of lengths rather than for every length."""

    __name__: str

    def __init__(self, function: Callable[..., Any], bucket_by: Sequence[str], dims: Dims | None):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = python_inspect.signature(function)
        self.bucket_by = (bucket_by,) if isinstance(bucket_by, str) else tuple(bucket_by)
        self.dims = _dims_of(self.__name__, self.signature, self.bucket_by, dims or {})
        self._compiled = api.compile(function)
        self._axes: dict[Any, Axes] = {}

    def __repr__(self) -> str:
        return f"<{self.__name__} bucketed by {', '.join(self.bucket_by)}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the function returns, results cropped to the true lengths."""
        arguments = self._bind(args, kwargs)
        lengths = self._lengths(arguments)
        padded = self._padded(arguments, lengths)
        result = self._compiled(*padded.args, **padded.kwargs)
        result = _cropped(result, self._axes_of_result(padded, lengths), lengths)
        record(self, arguments, result)
        return result

    @property
    def trace_count(self) -> int:
        """How often the function was traced for compilation: once for every bucket."""
        return self._compiled.trace_count

    def inspect(self, level: str, *args: Any, **options: Any) -> str:
        """Returns the text of a level for arguments, padded to their bucket, or for the last call."""
        return self._compiled.inspect(level, *self._operands(args), **options)

    def explain(self, *args: Any) -> Any:
        """Returns what was fused, where and why, for arguments or for the last call."""
        return self._compiled.explain(*self._operands(args))

    def export(self, path: str | Path, *args: Any, ir: str = "graph") -> Path:
        """Writes a level as a picture (`.dot`) or as data (`.json`), as `graph.module` does."""
        return write(lambda level: self.inspect(level, *args), Path(path), ir, self.__name__)

    def _operands(self, args: Sequence[Any]) -> Sequence[Any]:
        if not args:
            return ()
        arguments = self._bind(args, {})
        return self._padded(arguments, self._lengths(arguments)).args

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments by name, without the length, which is not the caller's to give."""
        names = [name for name in self.signature.parameters if name != LENGTH]
        bound = self.signature.replace(
            parameters=[self.signature.parameters[name] for name in names]
        ).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _lengths(self, arguments: Mapping[str, Any]) -> dict[str, int]:
        """Returns the size of each dim; raises `E_SHAPE_MISMATCH` where two arguments disagree."""
        lengths: dict[str, int] = {}
        for dim, axes in self.dims.items():
            sizes = [
                (name, size)
                for name, axis in axes.items()
                for size in _sizes(self.__name__, name, arguments[name], dim, axis)
            ]
            for name, size in sizes:
                if size != sizes[0][1]:
                    raise CompileError(
                        Code.E_SHAPE_MISMATCH,
                        f"capture {self.__name__!r}: dim {dim!r} is {sizes[0][1]} in {sizes[0][0]!r} but "
                        f"{size} in {name!r}.",
                    )
            if not sizes:
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"capture {self.__name__!r}: no array was passed that has dim {dim!r}.",
                    hints=f"it is looked for in {', '.join(axes)}",
                )
            lengths[dim] = sizes[0][1]
        return lengths

    def _padded(
        self, arguments: Mapping[str, Any], lengths: Mapping[str, int]
    ) -> python_inspect.BoundArguments:
        """Returns the arguments with every dim padded to its bucket, and the true lengths beside."""
        sizes = {dim: bucket(length) for dim, length in lengths.items()}
        bound = self.signature.bind_partial()
        bound.arguments.update(self._resized(arguments, sizes, _pad))
        if LENGTH in self.signature.parameters:
            several = len(lengths) > 1
            bound.arguments[LENGTH] = dict(lengths) if several else next(iter(lengths.values()))
        names = list(self.signature.parameters)
        bound.arguments = dict(
            sorted(bound.arguments.items(), key=lambda item: names.index(item[0]))
        )
        return bound

    def _resized(
        self,
        arguments: Mapping[str, Any],
        sizes: Mapping[str, int],
        resize: Callable[[Any, int, int], Any],
    ) -> dict[str, Any]:
        resized = dict(arguments)
        for dim, axes in self.dims.items():
            for name, axis in axes.items():
                apply = functools.partial(_on_arrays, resize=resize, axis=axis, size=sizes[dim])
                resized[name] = jax.tree.map(apply, resized[name])
        return resized

    def _axes_of_result(
        self, padded: python_inspect.BoundArguments, lengths: Mapping[str, int]
    ) -> Axes:
        """Returns which axes of the result have which dim, found by looking at another bucket too."""
        sizes = {dim: bucket(length) for dim, length in lengths.items()}
        leaves, structure = jax.tree.flatten(padded.arguments)
        which = structure, tuple(_signature(leaf) for leaf in leaves)
        if which not in self._axes:
            here = self._result_types(padded.arguments)
            found: Axes = [(None,) * len(leaf.shape) for leaf in here]
            for dim, size in sizes.items():
                other, there = self._other_result_types(padded.arguments, sizes, dim)
                found = [
                    self._match(known, dim, a.shape, b.shape, size, other)
                    for known, a, b in zip(found, here, there, strict=True)
                ]
            self._axes[which] = found
        return self._axes[which]

    def _other_result_types(
        self, arguments: Mapping[str, Any], sizes: Mapping[str, int], dim: str
    ) -> tuple[int, list[Any]]:
        """Returns another size of a dim, and the types of the results with it."""
        half, twice = sizes[dim] // 2 or 2, 2 * sizes[dim]

        def types(size: int) -> list[Any]:
            return self._result_types(self._resized(arguments, {**sizes, dim: size}, _retyped))

        try:
            return half, types(half)
        except (TypeError, ValueError, IndexError, ZeroDivisionError):
            # Too small for the function, as for blocks of a fixed size. Twice the size is the second choice
            # because a table of positions may end at the bucket.
            return twice, types(twice)

    def _result_types(self, arguments: Mapping[str, Any]) -> list[Any]:
        bound = self.signature.bind_partial()
        bound.arguments.update(arguments)
        dynamic, rebuilt = _dynamic((bound.args, bound.kwargs))

        def run(arrays: Any) -> Any:
            args, kwargs = rebuilt(arrays)
            return [x for x in jax.tree.leaves(self.function(*args, **kwargs)) if is_array(x)]

        return jax.eval_shape(run, dynamic)

    def _match(
        self,
        known: tuple[str | None, ...],
        dim: str,
        here: tuple[int, ...],
        there: tuple[int, ...],
        size: int,
        other: int,
    ) -> tuple[str | None, ...]:
        matched = list(known)
        for axis, (a, b) in enumerate(zip(here, there, strict=True)):
            if a == b:
                continue
            if (a, b) != (size, other) or known[axis] is not None:
                raise CompileError(
                    Code.E_GRAPH_INVALID,
                    f"capture {self.__name__!r}: axis {axis} of a result of shape {here} grows with {dim!r} "
                    f"but is not {dim!r} alone: at {dim}={other} it is {b}, at {dim}={size} it is {a}. What "
                    "belongs to the padding cannot be cropped.",
                    hints="return the axis on its own, before it is joined with others or extended",
                )
            matched[axis] = dim
        return tuple(matched)


def bucket(length: int) -> int:
    """Returns the next power of two, at least 1.

    >>> [bucket(n) for n in (0, 1, 5, 8)]
    [1, 1, 8, 8]
    """
    return 1 << max(length - 1, 0).bit_length()


def _cropped(result: Any, axes: Axes, lengths: Mapping[str, int]) -> Any:
    rest = iter(axes)

    def crop(leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        dims = next(rest)
        if all(dim is None for dim in dims):
            return leaf
        return leaf[tuple(slice(None if dim is None else lengths[dim]) for dim in dims)]

    return jax.tree.map(crop, result)


def _sizes(function: str, name: str, value: Any, dim: str, axis: int) -> list[int]:
    arrays = [leaf for leaf in jax.tree.leaves(value) if is_array(leaf)]
    for array in arrays:
        if not -len(array.shape) <= axis < len(array.shape):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"capture {function!r}: dim {dim!r} is axis {axis} of {name!r}, which has shape "
                f"{array.shape}.",
            )
    return [array.shape[axis] for array in arrays]


def _on_arrays(leaf: Any, *, resize: Callable[[Any, int, int], Any], axis: int, size: int) -> Any:
    return resize(leaf, axis, size) if is_array(leaf) else leaf


def _pad(array: Any, axis: int, size: int) -> Any:
    shape = list(array.shape)
    missing, shape[axis] = size - shape[axis], size
    if isinstance(array, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(tuple(shape), array.dtype)
    if missing == 0:
        return array
    widths = [(0, 0)] * len(shape)
    widths[axis] = (0, missing)
    return jnp.pad(array, widths)


def _retyped(array: Any, axis: int, size: int) -> Any:
    shape = list(array.shape)
    shape[axis] = size
    return jax.ShapeDtypeStruct(tuple(shape), array.dtype)


def _signature(leaf: Any) -> Any:
    if is_array(leaf):
        return leaf.shape, leaf.dtype
    return type(leaf) if isinstance(leaf, NUMBERS) else leaf


def _dynamic(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Returns the arrays and numbers of a pytree, and how to put others in their place."""
    leaves, structure = jax.tree.flatten(tree)
    places = [i for i, x in enumerate(leaves) if is_array(x) or isinstance(x, NUMBERS)]

    def rebuilt(arrays: Sequence[Any]) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return jax.tree.unflatten(structure, filled)

    return [leaves[i] for i in places], rebuilt


def _dims_of(
    function: str, signature: python_inspect.Signature, bucket_by: tuple[str, ...], dims: Dims
) -> dict[str, dict[str, int]]:
    """Returns the axes of every dim to bucket by: as given, or as the annotations say."""
    found = {dim: dict(dims.get(dim, {})) or _annotated(signature, dim) for dim in bucket_by}
    for dim in dims:
        if dim not in bucket_by:
            raise _invalid(function, f"dims has {dim!r}, which bucket_by has not")
    for dim, axes in found.items():
        if not axes:
            raise _invalid(function, f"nothing says which arguments have dim {dim!r}")
        for name in axes:
            if name not in signature.parameters or name == LENGTH:
                raise _invalid(function, f"dim {dim!r} names {name!r}, which is no parameter")
    return found


def _annotated(signature: python_inspect.Signature, dim: str) -> dict[str, int]:
    """Returns the axes that jaxtyping annotations give a dim: `Float[Array, "batch seq_len"]`."""
    jaxtyping = sys.modules.get("jaxtyping")
    if jaxtyping is None:  # then no annotation can be one of its
        return {}
    found: dict[str, int] = {}
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
            words: list[str] = annotation.dim_str.split()
            if dim in words:
                found[name] = _axis_of(dim, words)
    return found


def _axis_of(dim: str, words: list[str]) -> int:
    index = words.index(dim)
    before = any(word.startswith(("*", "...")) for word in words[:index])
    return index - len(words) if before else index


def _invalid(function: str, problem: str) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"capture {function!r}: {problem}.",
        hints='graph.capture(bucket_by=["seq_len"], dims={"seq_len": {"ids": 1}})',
    )


WRAPPERS[Bucketed] = Wrapper(
    lambda made: made.function,
    lambda made, function: Bucketed(function, made.bucket_by, made.dims),
)
