"""Gradients, products with Jacobians and adjoints: JAX's transforms, for any pytree, with our errors."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.autodiff.arguments import Which, find, replaced, require_function, split, varies
from tessera.core.errors import Code, CompileError

WhichArguments = Which | Sequence[Which]


def grad(f: Callable[..., Any], argnums: WhichArguments = 0) -> Callable[..., Any]:
    """Returns the function that gives the gradient of a scalar function.

    `argnums` is the number or the name of the argument to differentiate, or a tuple of them, for a tuple of
    gradients. A gradient has the structure of its argument, with None where there is nothing to
    differentiate.

    Raises `E_GRAPH_INVALID` (no function, no such argument, nothing in it that varies, a value that is not
    real) and `E_SHAPE_MISMATCH` (a value that is not a scalar).

    >>> import jax.numpy as jnp
    >>> grad(lambda w, x: jnp.sum(w * x), "x")(jnp.array([2.0, 3.0]), jnp.ones(2)).tolist()
    [2.0, 3.0]
    """
    both = _value_and_grad("grad", f, argnums)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(f: Callable[..., Any], argnums: WhichArguments = 0) -> Callable[..., Any]:
    """Returns the function that gives a scalar function's value and its gradient, in one pass.

    `op.autodiff` is this function. Arguments and errors are those of `grad`.

    >>> import jax.numpy as jnp
    >>> value, gradient = value_and_grad(lambda x: jnp.sum(x**2))(jnp.array([1.0, 2.0]))
    >>> value.item(), gradient.tolist()
    (5.0, [2.0, 4.0])
    """
    return _value_and_grad("autodiff", f, argnums)


def reverse(f: Callable[..., Any], inputs: Any) -> Any:
    """Returns the gradient of a scalar function at its inputs.

    `inputs` is a tuple of arguments, for a tuple of gradients, or a single argument. Errors as for `grad`.

    >>> reverse(lambda x, y: x * y, (2.0, 5.0))
    (Array(5., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))
    """
    if isinstance(inputs, tuple):
        return _value_and_grad("reverse", f, tuple(range(len(inputs))))(*inputs)[1]
    return _value_and_grad("reverse", f, 0)(inputs)[1]


def forward(f: Callable[..., Any], x: Any, tangents: Any = None) -> tuple[Any, Any]:
    """Returns (y, dy): the value of a function and its derivative along `tangents`.

    Without tangents the direction is 1 everywhere: the derivative of a function of a number, and of a
    function that acts on each entry alone. `x` is an argument, or a tuple of them, as in `jvp`.

    >>> import jax.numpy as jnp
    >>> y, dy = forward(jnp.square, jnp.array([1.0, 3.0]))
    >>> y.tolist(), dy.tolist()
    ([1.0, 9.0], [2.0, 6.0])
    """
    if tangents is None:
        parts = split(x)
        tangents = parts.gradients([jnp.ones_like(leaf) for leaf in parts.moving])
    return _push("forward", f, x, tangents)


def jvp(f: Callable[..., Any], inputs: Any, tangents: Any) -> tuple[Any, Any]:
    """Returns (y, dy): the value of a function and its derivative along `tangents`, in one forward pass.

    `inputs` is a tuple of arguments, or a single argument; `tangents` has its structure, shapes and dtypes,
    with None for what does not vary. Hessian-vector products are the `jvp` of a gradient.

    Raises `E_GRAPH_INVALID` for what is no function and `E_SHAPE_MISMATCH` for tangents that do not fit.

    >>> y, dy = jvp(lambda x, w: x * w, (2.0, 3.0), (1.0, None))
    >>> y.item(), dy.item()
    (6.0, 3.0)
    """
    return _push("jvp", f, inputs, tangents)


def vjp(f: Callable[..., Any], inputs: Any, *cotangents: Any) -> Any:
    """Returns (y, pullback), or with a cotangent of y what the pullback makes of it.

    `inputs` is a tuple of arguments, or a single argument, and so is what `pullback(cotangent)` returns,
    with None for what does not vary. The cotangent has the structure, shapes and dtypes of y.

    Raises `E_GRAPH_INVALID` for what is no function and `E_SHAPE_MISMATCH` for a cotangent that does not fit.

    >>> y, pullback = vjp(lambda x, w: x * w, (2.0, 3.0))
    >>> tuple(g.item() for g in pullback(1.0))
    (3.0, 2.0)
    >>> vjp(lambda x: x**2, 3.0, 1.0).item()
    6.0
    """
    if len(cotangents) > 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"vjp: {len(cotangents)} cotangents; y has one, a pytree if y is.",
        )
    y, pullback = _pull("vjp", f, inputs, {})
    return pullback(cotangents[0]) if cotangents else (y, pullback)


def adjoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function (*arguments, cotangent) -> gradients of an operator, or of any function.

    There is one gradient for each argument, a tuple if there are several; None for what does not vary.
    Keyword arguments go to the operator. What it draws at random it draws from the key it is given, so value
    and adjoint see the same numbers.

    Raises the errors of `vjp`.

    >>> import jax.numpy as jnp
    >>> A, B = jnp.ones((2, 3)), jnp.ones((3, 4))
    >>> dA, dB = adjoint(jnp.matmul)(A, B, jnp.ones((2, 4)))
    >>> dA.shape, dB.shape
    ((2, 3), (3, 4))
    """
    require_function("adjoint", f)

    def transposed(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 2:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"adjoint: {len(args)} arguments; the last one is the cotangent of the result.",
                hints="adjoint(op.matmul)(A, B, dC)",
            )
        *inputs, cotangent = args
        gradients = _pull("adjoint", f, tuple(inputs), kwargs)[1](cotangent)
        return gradients if len(inputs) > 1 else gradients[0]

    return transposed


def _value_and_grad(op: str, f: Any, argnums: WhichArguments) -> Callable[..., Any]:
    require_function(op, f)
    several = isinstance(argnums, tuple | list)
    wanted: Sequence[Any] = argnums if several else (argnums,)

    @functools.wraps(f)
    def both(*args: Any, **kwargs: Any) -> Any:
        places = [find(op, f, which, args, kwargs) for which in wanted]
        chosen = tuple(kwargs[p] if isinstance(p, str) else args[p] for p in places)
        parts = split(chosen)
        if not parts.moving:
            names = ", ".join(map(str, wanted))
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{op}: argument {names} holds no real or complex number to differentiate.",
                hints="cast integers: x.astype(jnp.float32)",
            )

        def scalar(moving: Any) -> Any:
            given, named = replaced(args, kwargs, places, parts.fill(moving))
            return _scalar(op, f(*given, **named))

        value, gradients = jax.value_and_grad(scalar)(parts.moving)
        found = parts.gradients(gradients)
        return value, found if several else found[0]

    return both


def _scalar(op: str, value: Any) -> Any:
    leaves = jax.tree.leaves(value)
    if len(leaves) != 1 or not (varies(leaves[0])) or jnp.iscomplexobj(leaves[0]):
        kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in leaves) or "nothing"
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: the function returns {kinds}, not one real number.",
            hints="other results have no gradient: leave them out, or use jax.grad(..., has_aux=True)",
        )
    if np.shape(leaves[0]) != ():
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: the function returns shape {np.shape(leaves[0])}; a gradient is that of a scalar.",
            hints=("jnp.mean(...)", "op.jvp and op.vjp take functions with any result"),
        )
    return jnp.asarray(leaves[0])


def _push(op: str, f: Any, inputs: Any, tangents: Any) -> tuple[Any, Any]:
    require_function(op, f)
    parts = split(inputs)
    moving = parts.moving
    along = _fitting(op, "tangent", parts.gradients(moving), tangents)

    def of_moving(*moving: Any) -> Any:
        given = parts.fill(moving)
        return f(*given) if isinstance(inputs, tuple) else f(given)

    return jax.jvp(of_moving, tuple(moving), tuple(along))


def _pull(op: str, f: Any, inputs: Any, kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
    require_function(op, f)
    parts = split(inputs)

    def of_moving(moving: Any) -> Any:
        given = parts.fill(moving)
        return f(*given, **kwargs) if isinstance(inputs, tuple) else f(given, **kwargs)

    y, transposed = jax.vjp(of_moving, parts.moving)

    def pullback(cotangent: Any) -> Any:
        leaves, structure = jax.tree.flatten(y)
        like = structure.unflatten([x if varies(x) else None for x in leaves])
        found = iter(_fitting(op, "cotangent", like, cotangent))
        full = [next(found) if varies(x) else _no_cotangent(x) for x in leaves]
        return parts.gradients(transposed(structure.unflatten(full))[0])

    return y, pullback


def _no_cotangent(x: Any) -> Any:
    return np.zeros(np.shape(x), jax.dtypes.float0)


def _fitting(op: str, name: str, like: Any, given: Any) -> list[jax.Array]:
    """Returns a direction's leaves: an array for every leaf that varies, None meaning zeros."""
    leaves, structure = jax.tree.flatten(like, is_leaf=lambda x: x is None)
    try:
        found = structure.flatten_up_to(given) if given is not None else [None] * len(leaves)
    except ValueError as error:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{op}: the {name} has another structure: {error}."
        ) from error
    pairs = zip(leaves, found, strict=True)
    return [_one(op, name, leaf, along) for leaf, along in pairs if leaf is not None]


def _one(op: str, name: str, leaf: Any, along: Any) -> jax.Array:
    if along is None:
        return jnp.zeros_like(leaf)
    if isinstance(along, int | float | complex):
        along = jnp.asarray(along, leaf.dtype)
    array = isinstance(along, jax.Array | np.ndarray | np.generic)
    if not array or (along.shape, along.dtype) != (leaf.shape, leaf.dtype):
        found = f"{along.dtype}{list(along.shape)}" if array else f"a {type(along).__name__}"
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: a {name} is {found} where the value is {leaf.dtype}{list(leaf.shape)}.",
        )
    return jnp.asarray(along)
