"""`graph.forward`, `graph.jvp`, `graph.hvp`: values and derivatives along a direction."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.graph.backward import check_loss
from tessera.graph.captured import is_module
from tessera.graph.parameters import combine, is_array, split


def forward(f: Callable[..., Any], inputs: Any, tangents: Any = None) -> Any:
    """Returns `f(*inputs)`, or with tangents the pair (y, dy) of value and derivative along them.

    `inputs` is a tuple of arguments, or a single argument; `tangents` has the same structure,
    shapes and dtypes, and None for what does not vary. f is a function or a loaded program.

    Raises `E_SHAPE_MISMATCH` for tangents that do not fit.

    >>> import jax.numpy as jnp
    >>> y, dy = forward(lambda x, w: x * w, (jnp.array(2.0), jnp.array(3.0)), (jnp.array(1.0), None))
    >>> y.item(), dy.item()
    (6.0, 3.0)
    """
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    if tangents is None:
        return f(*arguments)
    along = tangents if isinstance(inputs, tuple) else (tangents,)
    return _push(lambda given: f(*given), arguments, along, "forward")


def jvp(f: Callable[[Any], Any], wrt: Any, dir: Any) -> tuple[Any, Any]:  # noqa: A002 - the specification's name
    """Returns (y, dy): the value of f at `wrt` and its derivative along `dir`.

    `wrt` is the argument of f, any pytree; `dir` has its structure, shapes and dtypes, with None for
    what does not vary. Raises `E_SHAPE_MISMATCH` for a direction that does not fit.

    >>> import jax.numpy as jnp
    >>> y, dy = jvp(lambda x: x**3, jnp.array(2.0), jnp.array(1.0))
    >>> y.item(), dy.item()
    (8.0, 12.0)
    """
    return _push(f, wrt, dir, "jvp")


def hvp(
    loss: Callable[..., Any],
    wrt: Any,
    dir: Any,  # noqa: A002 - the specification's name
    inputs: tuple[Any, ...] | None = None,
) -> Any:
    """Returns the Hessian of a scalar loss times a direction, forward over reverse: no matrix is formed.

    `hvp(loss, x, v)` is at the point x; with `inputs`, the tuple of all arguments, `wrt` is the
    number or name of the one to differentiate. The result has the structure of that argument, with
    None where there is no real or complex array, and so has `dir`.

    Raises `E_SHAPE_MISMATCH` (a direction that does not fit, a loss that is not a scalar) and
    `E_GRAPH_INVALID` for an argument there is not.

    >>> import jax.numpy as jnp
    >>> hvp(lambda x: jnp.sum(x**3), jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0])).tolist()
    [6.0, 12.0]
    """
    if inputs is None:
        function, point = loss, wrt
    else:
        index = _argument(loss, wrt, inputs)
        point = inputs[index]

        def function(x: Any) -> Any:
            return loss(*inputs[:index], x, *inputs[index + 1 :])

    parts = split(_numbers_as_arrays(point))

    def scalar(parameters: Any) -> Any:
        value = function(combine(parameters, parts.rest))
        check_loss("hvp", value)
        return value

    direction = _tangents(parts.parameters, dir, "hvp")
    return jax.jvp(jax.grad(scalar), (parts.parameters,), (direction,))[1]


def _push(f: Callable[[Any], Any], point: Any, direction: Any, where: str) -> tuple[Any, Any]:
    parts = split(_numbers_as_arrays(point))

    def of_parameters(parameters: Any) -> Any:
        return f(combine(parameters, parts.rest))

    along = _tangents(parts.parameters, direction, where)
    return jax.jvp(of_parameters, (parts.parameters,), (along,))


def _numbers_as_arrays(point: Any) -> Any:
    """Returns the pytree with floats as arrays, but those in an Equinox module, which are settings."""
    return jax.tree.map(
        lambda x: jnp.asarray(x) if isinstance(x, float | complex) else x, point, is_leaf=is_module
    )


def _tangents(parameters: Any, direction: Any, where: str) -> Any:
    """Returns a direction as `jax.jvp` takes it: an array of the same type for every parameter."""
    leaves, structure = jax.tree.flatten(parameters, is_leaf=lambda x: x is None)
    try:
        given = (
            structure.flatten_up_to(direction) if direction is not None else [None] * len(leaves)
        )
    except ValueError as error:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{where}: the direction has another structure: {error}."
        ) from error
    pairs = zip(leaves, given, strict=True)
    return structure.unflatten(_tangent(leaf, along, where) for leaf, along in pairs)


def _tangent(leaf: Any, along: Any, where: str) -> Any:
    if leaf is None:
        return None
    if along is None:
        return jnp.zeros_like(leaf)
    if isinstance(along, int | float | complex):
        along = jnp.asarray(along, leaf.dtype)
    if not is_array(along) or along.shape != leaf.shape or along.dtype != leaf.dtype:
        found = _type(along) if is_array(along) else f"a {type(along).__name__}"
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{where}: the direction is {found} where the point is {_type(leaf)}.",
        )
    return along


def _argument(loss: Callable[..., Any], wrt: Any, inputs: tuple[Any, ...]) -> int:
    names = list(inspect.signature(loss).parameters)[: len(inputs)]
    index = names.index(wrt) if wrt in names else wrt
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(inputs):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"hvp: wrt is {wrt!r}, which is neither the number nor the name of an argument.",
            hints=f"arguments: {', '.join(names)}",
        )
    return index


def _type(x: Any) -> str:
    return f"{x.dtype}[{','.join(map(str, x.shape))}]"
