"""`op.tile_kernel`: kernels by name, each with a `jax.numpy` reference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.op import Op
from tessera.core.operands import to_array

Arrays = dict[str, Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Kernel:
    """A registered kernel; `impl`, `abstract` and `vjp` are None where the reference stands in.

    `program` and `settings` are those of a kernel written in `tessera.tile`, which is an op.
    """

    reference: Function
    impl: Function | None = None
    abstract: Function | None = None
    vjp: Callable[[Arrays, Any], Mapping[str, Any]] | None = None
    program: Function | None = None
    settings: tuple[Any, ...] = ()
    op: Op[..., Any] | None = field(default=None, compare=False)


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
        A kernel with a program is an op: it runs the program on CPU and GPUs, under every transformation.

        Raises `E_GRAPH_INVALID`, with the names there are, for an unknown one, and what the program raises.

        >>> import jax.numpy as jnp
        >>> tile_kernel("predicate_eval", input=jnp.array([0.0, 99.0])).tolist()
        [0.5, 1.0]
        """
        kernel = self._kernels.get(name)
        if kernel is None:
            known = ", ".join(sorted(self._kernels))
            raise _invalid(f"no kernel is named {name!r}; there are {known}")
        if kernel.op is not None:
            return _apply(name, kernel.op, kernel, arrays)
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
        program: Function | None = None,
        dims: str | None = None,
        kinds: str | Sequence[str] = "any",
        tile: int | Sequence[int] = (),
        warps: int = 4,
        platforms: Sequence[str] = ("cpu", "cuda", "rocm"),
        overwrite: bool = False,
    ) -> None:
        """Adds a kernel: functions of keyword arrays.

        `reference` is plain `jax.numpy` and defines the kernel. `impl`, with the same arguments and
        results, computes the value in its place. `abstract(**arrays)` gives the type of the result
        (`jax.ShapeDtypeStruct`), against which the reference is checked. `vjp(arrays, cotangent)`
        returns a dict of gradients by name and replaces the derivative of the reference; such a
        kernel has reverse mode only.

        `program` writes the kernel in blocks (`tessera.tile`): a function of the operands and then the
        outputs of one example. It runs on `platforms`; elsewhere the reference does. `dims` is the signature
        of the reference, one term per operand, as of any op: "*b m k, k n -> *b m n". A group such as `*b`
        that leads every output is a batch, which the program does not see and `vmap` extends. Keyword-only
        parameters of the reference are static, and the program has them too. `kinds` says which dtypes
        operands have, and brings those of one kind to one dtype: any, float, number, integer, bool. `tile`
        are the sizes `tile.context()` gives, `warps` how many warps run one program on a GPU. With a program
        `vjp` replaces the backward alone: forward mode is the reference's.

        Raises `E_GRAPH_INVALID` if the name stands for different functions already, unless `overwrite` puts
        these in their place, as when a cell of a notebook runs again; or for a program without dims; and
        `E_TILE_LOWERING` for a tile that no GPU among the platforms takes.

        >>> import jax.numpy as jnp
        >>> kernels = TileKernels()
        >>> kernels.register("twice", reference=lambda x: 2 * x)
        >>> kernels("twice", x=jnp.array(3.0)).item()
        6.0
        """
        settings = () if program is None else (dims, kinds, tile, warps, platforms)
        kernel = Kernel(reference, impl, abstract, vjp, program, settings)
        given = {"reference": reference, "impl": impl, "abstract": abstract, "vjp": vjp}
        given["program"] = program
        for word, function in given.items():
            if not callable(function) and (function is not None or word == "reference"):
                raise _invalid(f"{word} of {name!r} is a {type(function).__name__}, not a function")
        known = self._kernels.get(name)
        if known == kernel:
            return
        if known is not None and not overwrite:
            raise _invalid(
                f"{name!r} is registered already, with other functions; overwrite=True puts these "
                "in their place"
            )
        if program is not None:
            _require_signature(name, impl, dims)
            kernel = replace(kernel, op=_op_of(name, kernel))
        self._kernels[name] = kernel


def predicate_eval(input: jax.Array, k: Any = 1.0, theta: Any = 0.0) -> jax.Array:  # noqa: A002
    """Returns the degree of truth sigmoid(k (x - theta)) in [0, 1]; a boolean is 0 or 1 in fp32.

    >>> predicate_eval(jnp.array([True, False])).tolist()
    [1.0, 0.0]
    """
    if input.dtype == jnp.bool_:
        return input.astype(jnp.float32)
    x = input if jnp.issubdtype(input.dtype, jnp.floating) else input.astype(jnp.float32)
    return jax.nn.sigmoid(k * (x - theta))


def _require_signature(name: str, impl: Function | None, dims: str | None) -> None:
    if not name.isidentifier():
        raise _invalid(f"{name!r} names a kernel with a program, and is no Python identifier")
    if impl is not None:
        raise _invalid(f"{name!r} has both a program and an impl; the program computes its value")
    if dims is None:
        raise _invalid(
            f'{name!r} has a program but no dims, the axes of its operands and outputs: dims="*b m k, k n -> '
            '*b m n" for a product'
        )


def _op_of(name: str, kernel: Kernel) -> Op[..., Any]:
    # The compiler is slow to import, and only kernels that have a program need it.
    from tessera.tile.kernel import define

    dims, kinds, tile, warps, platforms = kernel.settings
    assert kernel.program is not None
    return define(
        name,
        kernel.program,
        kernel.reference,
        dims,
        kinds=kinds,
        tile=tile,
        warps=warps,
        platforms=platforms,
        vjp=kernel.vjp,
    )


def _apply(name: str, op: Op[..., Any], kernel: Kernel, given: Arrays) -> Any:
    """Applies a kernel that is an op to arrays and static arguments by name."""
    known = (*op.operand_names, *op.statics)
    unknown = [word for word in given if word not in known]
    if unknown:
        raise _invalid(f"{name!r} has no argument {unknown[0]!r}; it has {', '.join(known)}")
    statics = {word: x for word, x in given.items() if word in op.statics}
    operands = [given.get(word) for word in op.operand_names]
    if kernel.abstract is not None:
        arrays = {word: jnp.asarray(x) for word, x in given.items() if word in op.operand_names}
        bound = replace(kernel, reference=partial(kernel.reference, **statics))
        _check_result(name, "abstract", bound, partial(kernel.abstract, **statics), arrays)
    return op.bind(*operands, **statics)


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
