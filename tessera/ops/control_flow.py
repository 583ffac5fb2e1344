"""`op.if_then_else`, `op.map`, `op.scan`: branches and loops that are traced once, by `jax.lax`."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_axis, to_array

INCLUSIVE, EXCLUSIVE = "inclusive_sum", "exclusive_sum"

_FORMS = "scan(x, 'inclusive_sum', axis) of an array, or scan(f, init, xs) of a function"


def if_then_else(pred: Any, t: Callable[..., Any], f: Callable[..., Any], *args: Any) -> Any:
    """Returns `t(*args)` where pred is true, else `f(*args)`: one branch runs (`jax.lax.cond`).

    `pred` is one boolean, traced or not; arguments and results are pytrees of arrays, the results of both
    branches of one structure, with the same shapes and dtypes. Under `vmap` over pred both branches run. The
    derivative is that of the branch taken.

    Raises `E_GRAPH_INVALID` (a branch that is no function, a pred that is no boolean) and `E_SHAPE_MISMATCH`
    (a pred of several elements, branches that differ).

    >>> import jax.numpy as jnp
    >>> if_then_else(jnp.array(3.0) > 2.0, jnp.sqrt, jnp.negative, jnp.array(9.0)).item()
    3.0
    """
    for name, branch in (("t", t), ("f", f)):
        if not callable(branch):
            raise _invalid(
                "if_then_else",
                f"{name} is a {type(branch).__name__}, not a function",
                "jnp.where(pred, a, b) chooses between values",
            )
    chosen = to_array("if_then_else", "pred", pred)
    if chosen.dtype != jnp.bool_:
        raise _invalid("if_then_else", f"pred is {chosen.dtype}, not a boolean", "pred != 0")
    if chosen.shape != ():
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"if_then_else: pred has shape {chosen.shape}, not one boolean.",
            hints="jnp.where(pred, a, b) chooses elementwise",
        )
    try:
        return jax.lax.cond(chosen, t, f, *args)
    except TypeError as error:
        of_t, of_f = (
            _kinds(jax.eval_shape(branch, *args)) for branch in (t, f)
        )  # raises what a branch raised
        if of_t == of_f:
            raise
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"if_then_else: t gives {of_t} but f gives {of_f}."
        ) from error


def map(f: Callable[[Any], Any], xs: Any) -> Any:  # noqa: A001 - its name
    """Returns f of each entry along the leading axis of xs, stacked, one after the other (`jax.lax.map`).

    `xs` is a pytree of arrays with one leading size n; f gets the pytree without that axis. Memory is that of
    one call at a time; `jax.vmap(f)` runs all at once. Raises `E_GRAPH_INVALID` if f is no function or xs has
    no array, `E_SHAPE_MISMATCH` for leading sizes that differ.

    >>> import jax.numpy as jnp
    >>> map(lambda row: row @ row, jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [5.0, 25.0]
    """
    if not callable(f):
        raise _invalid("map", f"f is a {type(f).__name__}, not a function", "map(f, xs)")
    return jax.lax.map(f, _with_leading_axis("map", xs))


def scan(x: Any, *args: Any, **keywords: Any) -> Any:
    """Returns the running sum of an array, or, of a function, what a loop carries and collects.

    scan(x, op="inclusive_sum", axis=0)   entry i is the sum of the entries up to i; "exclusive_sum" leaves
        entry i out. Floats accumulate in at least fp32 and keep their dtype; integers narrower than the
        default one are summed in that, booleans are counted.
    scan(f, init, xs)                     `f(carry, x) -> (carry, y)` along the leading axis of the pytree
        xs, from init (`jax.lax.scan`); gives the last carry and the ys, stacked.

    Raises `E_GRAPH_INVALID` (unknown op, arguments of neither form, f without a pair) and `E_SHAPE_MISMATCH`
    (no such axis, leading sizes that differ, a carry whose shape or dtype changes).

    >>> import jax.numpy as jnp
    >>> scan(jnp.arange(4)).tolist(), scan(jnp.arange(4), "exclusive_sum").tolist()
    ([0, 1, 3, 6], [0, 0, 1, 3])
    >>> last, ys = scan(lambda c, x: (c * x, c), 1.0, jnp.array([2.0, 3.0, 4.0]))
    >>> last.item(), ys.tolist()
    (24.0, [1.0, 2.0, 6.0])
    """
    run = _loop if callable(x) else _running
    try:
        call = inspect.signature(run).bind(x, *args, **keywords)
    except TypeError as error:
        raise _invalid("scan", f"{error}", _FORMS) from None
    return run(*call.args, **call.kwargs)


def _running(x: Any, op: str = INCLUSIVE, axis: int = 0) -> jax.Array:
    if op not in (INCLUSIVE, EXCLUSIVE):
        raise _invalid("scan", f"unknown op {op!r}; one of {INCLUSIVE}, {EXCLUSIVE}", _FORMS)
    array = to_array("scan", "x", x)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == jnp.bool_):
        raise CompileError(Code.E_TARGET_CODEGEN, f"scan: x is {array.dtype}, not of numbers.")
    place = as_axis("scan", axis, array.ndim)
    out = _sum_dtype(array.dtype)
    wide = array.astype(numerics.accumulator(out))
    if op == EXCLUSIVE and wide.shape[place]:
        before = jax.lax.slice_in_dim(wide, 0, wide.shape[place] - 1, axis=place)
        first = jnp.zeros_like(jax.lax.slice_in_dim(wide, 0, 1, axis=place))
        wide = jnp.concatenate([first, before], axis=place)
    return jnp.cumsum(wide, axis=place).astype(out)


def _sum_dtype(dtype: Any) -> Any:
    """Returns the dtype of a running sum: that of its terms, integers and booleans at least the default."""
    bits = 64 if compat.x64_is_on() else 32
    if jnp.dtype(dtype).kind not in "iub" or jnp.dtype(dtype).itemsize * 8 >= bits:
        return dtype
    return jnp.dtype(f"{'u' if jnp.dtype(dtype).kind == 'u' else ''}int{bits}")


def _loop(f: Callable[[Any, Any], Any], init: Any, xs: Any) -> Any:
    carries: list[Any] = []

    def body(carry: Any, x: Any) -> Any:
        carries.clear()
        found = f(carry, x)
        if not isinstance(found, tuple) or len(found) != 2:
            raise _invalid("scan", f"f returns a {type(found).__name__}, not (carry, y)")
        carries[:] = [_kinds(carry), _kinds(found[0])]
        return found

    xs = _with_leading_axis("scan", xs)
    try:
        return jax.lax.scan(body, init, xs)
    except TypeError as error:
        if not carries or carries[0] == carries[1]:
            raise  # from f itself
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"scan: f maps the carry {carries[0]} to {carries[1]}; "
            "it must keep structure, shapes and dtypes.",
        ) from error


def _with_leading_axis(name: str, xs: Any) -> Any:
    """Returns a pytree as one of arrays, whose leading sizes agree."""
    arrays = jax.tree.map(lambda x: to_array(name, "xs", x), xs)
    shapes = [x.shape for x in jax.tree.leaves(arrays)]
    if not shapes:
        raise _invalid(name, "xs has no array to go along")
    if () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{name}: the arrays of xs {shapes} have no common leading size."
        )
    return arrays


def _kinds(tree: Any) -> Any:
    """Returns a pytree with the dtype and shape of each array, in words."""
    types = jax.eval_shape(lambda given: given, tree)
    return jax.tree.map(lambda x: f"{x.dtype}[{','.join(str(n) for n in x.shape)}]", types)


def _invalid(name: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{name}: {problem}.", hints=hint or ())
