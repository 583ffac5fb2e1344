"""`op.tile_kernel`: kernels by name, each with a `jax.numpy` reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array

Arrays = dict[str, Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Kernel:
    """A registered kernel; `impl`, `abstract` and `vjp` are None where the reference stands in."""

    reference: Function
    impl: Function | None = None
    abstract: Function | None = None
    vjp: Callable[[Arrays, Any], Mapping[str, Any]] | None = None


class TileKernels:
    """The kernels by name: call it to apply one, `register` to add one.

    >>> import jax.numpy as jnp
    >>> tile_kernel("predicate_eval", input=jnp.array([0.0, 99.0])).tolist()
    [0.5, 1.0]
    """

    def __init__(self) -> None:
        self._kernels: dict[str, Kernel] = {}

    def __call__(self, name: str, **arrays: Any) -> Any:
        """Returns the result of the kernel of that name for keyword arrays.

        The value is that of the kernel's implementation, or of its reference where it has none;
        derivatives are those of the reference unless the kernel brings a backward. Built in:
        `predicate_eval(input, k=1.0, theta=0.0)`, the degree of truth sigmoid(k (x - theta)).

        Raises `E_GRAPH_INVALID`, with the names there are, for an unknown one.

        >>> import jax.numpy as jnp
        >>> tile_kernel("predicate_eval", input=jnp.array([0.0, 99.0])).tolist()
        [0.5, 1.0]
        """
        kernel = self._kernels.get(name)
        if kernel is None:
            known = ", ".join(sorted(self._kernels))
            raise _invalid(f"no kernel is named {name!r}; there are {known}")
        arrays = {word: to_array(f"tile_kernel {name!r}", word, x) for word, x in arrays.items()}
        for part, promise in (("abstract", kernel.abstract), ("impl", kernel.impl)):
            if promise is not None:
                _check_result(name, part, kernel, promise, arrays)
        if kernel.vjp is not None:
            return _with_backward(kernel, arrays)
        return kernel.reference(**arrays) if kernel.impl is None else _with_value(kernel, arrays)

    def register(
        self,
        name: str,
        *,
        reference: Function,
        impl: Function | None = None,
        abstract: Function | None = None,
        vjp: Callable[[Arrays, Any], Mapping[str, Any]] | None = None,
    ) -> None:
        """Adds a kernel: functions of keyword arrays.

        `reference` is plain `jax.numpy` and defines the kernel. `impl`, with the same arguments and
        results, computes the value in its place. `abstract(**arrays)` gives the type of the result
        (`jax.ShapeDtypeStruct`), against which the reference is checked. `vjp(arrays, cotangent)`
        returns a dict of gradients by name and replaces the derivative of the reference; such a
        kernel has reverse mode only.

        Raises `E_GRAPH_INVALID` if the name stands for different functions already.

        >>> import jax.numpy as jnp
        >>> kernels = TileKernels()
        >>> kernels.register("twice", reference=lambda x: 2 * x)
        >>> kernels("twice", x=jnp.array(3.0)).item()
        6.0
        """
        kernel = Kernel(reference, impl, abstract, vjp)
        given = {"reference": reference, "impl": impl, "abstract": abstract, "vjp": vjp}
        for word, function in given.items():
            if not callable(function) and (function is not None or word == "reference"):
                raise _invalid(f"{word} of {name!r} is a {type(function).__name__}, not a function")
        if self._kernels.setdefault(name, kernel) != kernel:
            raise _invalid(f"{name!r} is registered already, with other functions")


def predicate_eval(input: jax.Array, k: Any = 1.0, theta: Any = 0.0) -> jax.Array:  # noqa: A002
    """Returns the degree of truth sigmoid(k (x - theta)) in [0, 1]; a boolean is 0 or 1 in fp32.

    >>> predicate_eval(jnp.array([True, False])).tolist()
    [1.0, 0.0]
    """
    if input.dtype == jnp.bool_:
        return input.astype(jnp.float32)
    x = input if jnp.issubdtype(input.dtype, jnp.floating) else input.astype(jnp.float32)
    return jax.nn.sigmoid(k * (x - theta))


def _with_value(kernel: Kernel, arrays: Arrays) -> Any:
    """Applies the implementation with the derivatives, of every order and mode, of the reference."""

    @jax.custom_jvp
    def run(given: Arrays) -> Any:
        assert kernel.impl is not None
        return kernel.impl(**given)

    @run.defjvp
    def _(primals: tuple[Arrays], tangents: tuple[Arrays]) -> tuple[Any, Any]:
        tangent = jax.jvp(lambda given: kernel.reference(**given), primals, tangents)[1]
        return run(*primals), tangent

    return run(arrays)


def _with_backward(kernel: Kernel, arrays: Arrays) -> Any:
    compute = kernel.reference if kernel.impl is None else kernel.impl

    @jax.custom_vjp
    def run(given: Arrays) -> Any:
        return compute(**given)

    def forward(given: Arrays) -> tuple[Any, Arrays]:
        return run(given), given

    def backward(given: Arrays, cotangent: Any) -> tuple[Arrays]:
        assert kernel.vjp is not None
        return (dict(kernel.vjp(given, cotangent)),)

    run.defvjp(forward, backward)
    return run(arrays)


def _check_result(name: str, part: str, kernel: Kernel, promise: Function, arrays: Arrays) -> None:
    promised = jax.eval_shape(lambda given: promise(**given), arrays)
    found = jax.eval_shape(lambda given: kernel.reference(**given), arrays)
    if jax.tree.structure(promised) != jax.tree.structure(found) or any(
        (a.shape, a.dtype) != (b.shape, b.dtype)
        for a, b in zip(jax.tree.leaves(promised), jax.tree.leaves(found), strict=True)
    ):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"tile_kernel: {part} of {name!r} gives {promised} but its reference {found}.",
        )


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"tile_kernel: {problem}.")


tile_kernel = TileKernels()
tile_kernel.register("predicate_eval", reference=predicate_eval)
