"""What stands for an output while a kernel's body is traced, and which parameters a body assigns."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core.errors import Code, CompileError
from tessera.graph.traces import current_trace


class Output:
    """Records what a kernel writes: `C[:] = x`, `C[0] = x`; reads back as `C[...]`."""

    def __init__(
        self, kernel: str, name: str, shape: tuple[int, ...], dtype: np.dtype, contents: Any = None
    ):
        self.kernel = kernel
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.is_written = False
        self._trace = current_trace()
        self._value: jax.Array | None = None if contents is None else jnp.asarray(contents)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def value(self) -> jax.Array:
        """The contents: what was written, or what a `Ref` or buffer held before.

        Raises `E_GRAPH_INVALID` where there are none.
        """
        if self._value is None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {self.kernel!r}: output {self.name!r} is read before it is written.",
                hints=f"write {self.name}[:] first, or pass a jax.Ref or a NumPy buffer, which have contents",
            )
        return self._value

    def __repr__(self) -> str:
        return f"Output({self.name}: {_type_text(self)})"

    def __len__(self) -> int:
        return self.shape[0]

    def __jax_array__(self) -> jax.Array:
        return self.value

    def __getitem__(self, index: Any) -> jax.Array:
        return self.value[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if current_trace() != self._trace:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"kernel {self.kernel!r}: output {self.name!r} is assigned inside a jit, vmap or loop "
                "within the body.",
                hints=f"assign what it returns: {self.name}[:] = jax.lax.fori_loop(...)",
            )
        fitting = self._fitting(value, self._shape_at(index))
        if _is_everything(index):
            self._value = fitting
        else:
            before = jnp.zeros(self.shape, self.dtype) if self._value is None else self._value
            self._value = before.at[index].set(fitting)
        self.is_written = True

    def _shape_at(self, index: Any) -> tuple[int, ...]:
        if isinstance(index, slice) and index == slice(None):
            return self.shape  # also of a scalar, where NumPy has no such index
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(index)):
            whole = jax.ShapeDtypeStruct(self.shape, self.dtype)
            return jax.eval_shape(lambda x: x[index], whole).shape
        # JAX drops writes out of range without a word; NumPy raises IndexError.
        return np.broadcast_to(np.empty((), self.dtype), self.shape)[index].shape

    def _fitting(self, value: Any, shape: tuple[int, ...]) -> jax.Array:
        """Returns the value as an array of exactly the type of the place it is written to."""
        if isinstance(value, Output):
            value = value.value
        if isinstance(value, bool | int | float | complex) and _holds(self.dtype, value):
            return jnp.full(shape, value, self.dtype)
        found = jnp.asarray(value)
        if found.weak_type:
            with jax.numpy_dtype_promotion("standard"):
                fits = jnp.result_type(found, self.dtype) == self.dtype
            found = jax.lax.convert_element_type(found, self.dtype if fits else found.dtype)
        if found.shape != shape or found.dtype != self.dtype:
            takes = jax.ShapeDtypeStruct(shape, self.dtype)
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"kernel {self.kernel!r}: output {self.name!r} takes {_type_text(takes)} but is assigned "
                f"{_type_text(found)}.",
                hints=f"declare {self.name!r} as {_type_text(found)}, or reshape or cast the value",
            )
        return found


def parameters_assigned_in(function: Callable[..., Any]) -> set[str]:
    """Returns the names a function assigns by index (`C[...] = `, `C[:] += `), from its source.

    Without a source (a function made by `exec`) the set is empty: then a `Ref` and a
    `ShapeDtypeStruct` are outputs, and arrays are inputs.

    >>> def double(x, y): y[:] = 2 * x
    >>> parameters_assigned_in(double)
    {'y'}
    """
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return set()
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=targets):
                names.update(*map(_indexed_names, targets))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                names |= _indexed_names(target)
            case _:
                pass
    return names


def _indexed_names(target: ast.expr) -> set[str]:
    match target:
        case ast.Subscript(value=ast.Name(id=name)):
            return {name}
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return set().union(*map(_indexed_names, parts))
        case _:
            return set()


def _holds(dtype: np.dtype, number: complex) -> bool:
    """Returns whether a Python number can be a value of a dtype without change of kind."""
    match number:
        case bool():
            return True
        case int() if jnp.issubdtype(dtype, jnp.integer):
            return int(jnp.iinfo(dtype).min) <= number <= int(jnp.iinfo(dtype).max)
        case complex():
            return jnp.issubdtype(dtype, jnp.complexfloating)
        case _:
            return jnp.issubdtype(dtype, jnp.inexact)


def _is_everything(index: Any) -> bool:
    if isinstance(index, tuple):
        return all(map(_is_everything, index))
    return index is Ellipsis or (isinstance(index, slice) and index == slice(None))


def _type_text(x: Any) -> str:
    return f"{np.dtype(x.dtype).name}[{','.join(map(str, x.shape))}]"
