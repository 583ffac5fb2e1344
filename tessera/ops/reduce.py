"""`op.reduce_mean`, `reduce_max`, `reduce_min`, `reduce_prod`; `op.reduce`, which is any of them or a fold.

The mean is the sum of `op.reduce_sum`, divided: its bits do not depend on how many devices hold the array.
Neither do those of the product, a tree fixed by the length of the axis: 8 chunks at most, which are shards on
1, 2, 4 or 8 devices, halved again and again. Maxima and minima have no order.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from tessera import dist
from tessera.core import compat, levels, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op, registered_op
from tessera.core.operands import as_axis, to_array
from tessera.core.tree_sum import divided, in_auto_mode

MAX_CHUNKS = 8
_FORMS = "reduce(x, 'sum', axis) of an array, or reduce(f, xs, init) of a function"

Axes = int | Sequence[int] | None


@levels.scoped
def reduce_mean(
    x_or_list: Any,
    axis: Axes = None,
    *,
    keepdims: bool = False,
    stable: bool = True,
    method: str | None = None,
    dtype: Any = None,
    layout: dist.Layout | None = None,
    mesh: dist.Mesh | None = None,
    deterministic: Any = None,
) -> jax.Array:
    """Returns the mean over one axis, several, or all (`axis=None`): the sum of `op.reduce_sum`, divided.

    Arguments are those of `op.reduce_sum`; a list is averaged entry by entry. The result has the dtype of x
    (integers and booleans give the default float) unless `dtype` names another. An exact sum is rounded to at
    least fp32, and once more when divided. Raises what `op.reduce_sum` raises, `E_SHAPE_MISMATCH` for the
    mean of nothing, and `E_GRAPH_INVALID` for a dtype that cannot hold it.

    >>> import jax.numpy as jnp
    >>> reduce_mean(jnp.array([[1, 2], [3, 5]]), axis=0).tolist()
    [2.0, 3.5]
    """
    del deterministic  # has been read
    if isinstance(x_or_list, list | tuple):
        terms = [_of_numbers("reduce_mean", f"x[{i}]", x) for i, x in enumerate(x_or_list)]
        operand, count = terms, len(terms)
    else:
        operand = _of_numbers("reduce_mean", "x", x_or_list)
        axes = _axes("reduce_mean", axis, operand.ndim)
        terms, count = [operand], math.prod(operand.shape[i] for i in axes)
    if count == 0:
        raise _of_nothing("reduce_mean")
    with jax.numpy_dtype_promotion("standard"):
        given = jnp.result_type(*terms)
    out = _mean_dtype(given, dtype)
    total = registered_op("reduce_sum")(
        operand,
        axis,
        keepdims=keepdims,
        stable=stable,
        method=method,
        dtype=numerics.wider(numerics.accumulator(given), numerics.accumulator(out)),
        layout=layout,
        mesh=mesh,
    )
    return divided(total, count).astype(out)


def reduce_max(
    x_or_list: Any,
    axis: Axes = None,
    *,
    keepdims: bool = False,
    layout: dist.Layout | None = None,
    mesh: dist.Mesh | None = None,
) -> jax.Array:
    """Returns the maximum over one axis, several, or all (`axis=None`), NaN if there is one.

    The result has the dtype of x. Elements that tie share the gradient equally. A list is reduced entry by
    entry; its arrays must have one shape. `layout` describes x on `mesh`, and the result is replicated over
    the mesh axes of what was reduced. Raises `E_SHAPE_MISMATCH` for the maximum of nothing, shapes that
    differ and an axis that is not there, `E_GRAPH_INVALID` for one named twice.

    >>> import jax.numpy as jnp
    >>> reduce_max(jnp.array([[1.0, 5.0], [3.0, 2.0]]), axis=1).tolist()
    [5.0, 3.0]
    """
    return _extreme("reduce_max", jnp.max, x_or_list, axis, keepdims, layout, mesh)


def reduce_min(
    x_or_list: Any,
    axis: Axes = None,
    *,
    keepdims: bool = False,
    layout: dist.Layout | None = None,
    mesh: dist.Mesh | None = None,
) -> jax.Array:
    """Returns the minimum over one axis, several, or all (`axis=None`). All else: `op.reduce_max`.

    >>> import jax.numpy as jnp
    >>> reduce_min(jnp.array([[1.0, 5.0], [3.0, 2.0]]), axis=1).tolist()
    [1.0, 2.0]
    """
    return _extreme("reduce_min", jnp.min, x_or_list, axis, keepdims, layout, mesh)


@define_op("*b n@axis *c -> *b 1@axis *c", kinds="number")
def reduce_prod(x: jax.Array, *, axis: int) -> jax.Array:
    """Returns the product over one axis, several, or all (`axis=None`); the product of nothing is 1.

    The result has the dtype of x; floats are multiplied in at least fp32, integers narrower than the default
    one in that, and booleans count as 0 or 1. The order is a tree fixed by the length of the axis, so bits
    are the same on 1, 2, 4 and 8 devices. Several axes go one after the other, the first axis first. A list
    is multiplied entry by entry; its arrays must have one shape. The gradient holds also where a factor is 0.
    A product of 0 has no sign. `layout`, `mesh`: as for `op.reduce_max`.

    Raises `E_SHAPE_MISMATCH` (no such axis, shapes that differ) and `E_GRAPH_INVALID` (an axis named twice,
    or without a known length).

    >>> import jax.numpy as jnp
    >>> reduce_prod(jnp.array([[1.0, 2.0], [3.0, 4.0]]), axis=0).tolist()
    [3.0, 8.0]
    """
    wide = x.astype(numerics.accumulator(x.dtype))
    if not jnp.issubdtype(x.dtype, jnp.inexact) or x.shape[axis] == 0:
        return jnp.prod(wide, axis=axis, keepdims=True, promote_integers=False).astype(x.dtype)
    if not isinstance(x.shape[axis], int):
        raise _invalid("reduce_prod", f"the tree needs a length; axis {axis} is {x.shape[axis]}")
    return in_auto_mode(lambda x: _tree_product(x, axis), [wide], axis).astype(x.dtype)


@reduce_prod.def_call
def reduce_prod(
    x_or_list: Any,
    axis: Axes = None,
    *,
    keepdims: bool = False,
    layout: dist.Layout | None = None,
    mesh: dist.Mesh | None = None,
) -> jax.Array:
    x, axes = _one_array("reduce_prod", x_or_list, axis)
    x, kept = _laid_out("reduce_prod", x, axes, keepdims, layout, mesh)
    out = x.dtype
    if not jnp.issubdtype(out, jnp.inexact):
        x = x.astype(_product_dtype(out))
        out = x.dtype
    found = x.astype(numerics.accumulator(out))
    for one in axes:
        found = reduce_prod.bind(found, axis=one)
    found = found if keepdims else jax.lax.squeeze(found, axes)
    return (found if kept is None else dist.place(found, kept)).astype(out)


reduce_prod.samples = (
    Sample((4, 24), axis=1),
    Sample((7, 5), axis=0),
    Sample((3, 6, 2), axis=1),
    Sample(Sample.integers((6, 5), -4, 4), axis=0),
)


def reduce(x: Any, *args: Any, **keywords: Any) -> Any:
    """Returns an array reduced by the word `op`, or the fold of a function.

    reduce(x, op="sum", axis=None, keepdims=False)   `op` is sum, mean, max, min or prod: what
        `op.reduce_sum` and its neighbours give.
    reduce(f, xs, init)   f(... f(f(init, x0), x1) ..., xn) along the leading axis of the pytree xs, as a
        loop (`jax.lax.scan`); init if there is no entry. f keeps the shapes and dtypes of init.

    Raises `E_GRAPH_INVALID` (unknown op, arguments of neither form), `E_SHAPE_MISMATCH` (leading sizes that
    differ, an f that changes a shape or dtype) and what the reductions raise.

    >>> import jax.numpy as jnp
    >>> reduce(jnp.array([1.0, 4.0, 3.0]), "max").item()
    4.0
    >>> reduce(lambda total, x: 10 * total + x, jnp.array([1, 2, 3]), 0).item()
    123
    """
    run = _fold if callable(x) else _by_word
    try:
        call = inspect.signature(run).bind(x, *args, **keywords)
    except TypeError as error:
        raise _invalid("reduce", f"{error}", _FORMS) from None
    return run(*call.args, **call.kwargs)


def _by_word(x: Any, op: str = "sum", axis: Axes = None, keepdims: bool = False) -> jax.Array:
    words: dict[str, Callable[..., jax.Array]] = {
        "sum": registered_op("reduce_sum"),
        "mean": reduce_mean,
        "max": reduce_max,
        "min": reduce_min,
        "prod": reduce_prod,
    }
    if not isinstance(op, str) or op not in words:
        raise _invalid("reduce", f"unknown op {op!r}; one of {', '.join(words)}", _FORMS)
    return words[op](x, axis, keepdims=keepdims)


def _fold(f: Callable[[Any, Any], Any], xs: Any, init: Any) -> Any:
    arrays = jax.tree.map(lambda x: to_array("reduce", "xs", x), xs)
    shapes = [x.shape for x in jax.tree.leaves(arrays)]
    if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"reduce: the arrays of xs {shapes} have no common leading size."
        )
    types: list[Any] = []

    def body(total: Any, x: Any) -> Any:
        types.clear()
        found = f(total, x)
        types[:] = [_kinds(total), _kinds(found)]
        return found, None

    try:
        return jax.lax.scan(body, init, arrays)[0]
    except TypeError as error:
        if not types or types[0] == types[1]:
            raise  # from f itself
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"reduce: f maps {types[0]} to {types[1]}; it must keep structure, shapes and dtypes.",
        ) from error


def _kinds(tree: Any) -> Any:
    """Returns a pytree with the dtype and shape of each array, in words."""
    types = jax.eval_shape(lambda given: given, tree)
    return jax.tree.map(lambda x: f"{x.dtype}[{','.join(str(n) for n in x.shape)}]", types)


def _extreme(
    name: str,
    function: Callable[..., jax.Array],
    x_or_list: Any,
    axis: Axes,
    keepdims: bool,
    layout: dist.Layout | None,
    mesh: dist.Mesh | None,
) -> jax.Array:
    x, axes = _one_array(name, x_or_list, axis)
    if any(x.shape[i] == 0 for i in axes):
        raise _of_nothing(name)
    x, kept = _laid_out(name, x, axes, keepdims, layout, mesh)
    found = function(x, axis=axes, keepdims=keepdims)
    return found if kept is None else dist.place(found, kept)


def _tree_product(x: jax.Array, axis: int) -> jax.Array:
    """Returns the product over an axis, which stays with size 1, as elementwise products alone."""
    chunks = math.gcd(x.shape[axis], MAX_CHUNKS)
    sizes = (*x.shape[:axis], chunks, x.shape[axis] // chunks, *x.shape[axis + 1 :])
    inner = _halved(x.reshape(sizes), axis + 1)
    found = _halved(jax.lax.squeeze(inner, (axis + 1,)), axis)
    # XLA hands parts of a split axis on by adding zeros to them, which turns -0 into 0. So does this.
    return found + (found != found).astype(found.dtype)


def _halved(x: jax.Array, axis: int) -> jax.Array:
    odd: list[jax.Array] = []
    while (length := x.shape[axis]) > 1:
        half = length // 2
        if length % 2:
            odd.append(jax.lax.slice_in_dim(x, length - 1, length, axis=axis))
        first, second = (
            jax.lax.slice_in_dim(x, i * half, (i + 1) * half, axis=axis) for i in (0, 1)
        )
        x = first * second
    return math.prod(odd, start=x)


def _one_array(name: str, x_or_list: Any, axis: Axes) -> tuple[jax.Array, tuple[int, ...]]:
    """Returns an array and the axes to reduce; a list is one array with a leading axis, reduced."""
    if not isinstance(x_or_list, list | tuple):
        array = _of_numbers(name, "x", x_or_list)
        return array, _axes(name, axis, array.ndim)
    if axis is not None:
        raise _invalid(name, "a list is reduced entry by entry and takes no axis")
    arrays = [_of_numbers(name, f"x[{i}]", x) for i, x in enumerate(x_or_list)]
    if not arrays:
        return jnp.zeros(0), (0,)
    other = next((i for i, x in enumerate(arrays) if x.shape != arrays[0].shape), None)
    if other is not None:
        shapes = f"x[0] is {arrays[0].shape} but x[{other}] is {arrays[other].shape}"
        raise CompileError(Code.E_SHAPE_MISMATCH, f"{name}: {shapes}.")
    with jax.numpy_dtype_promotion("standard"):
        return jnp.stack(arrays), (0,)


def _of_numbers(name: str, word: str, x: Any) -> jax.Array:
    array = to_array(name, word, x)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == jnp.bool_):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"{name}: argument {word!r} is {array.dtype}, not of numbers."
        )
    return array


def _axes(name: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    wanted = range(ndim) if axis is None else axis if isinstance(axis, list | tuple) else (axis,)
    axes = sorted(as_axis(name, one, ndim) for one in wanted)
    if len(set(axes)) < len(axes):
        raise _invalid(name, f"axis {axis} repeats an axis of an array of rank {ndim}")
    return tuple(axes)


def _laid_out(
    name: str,
    x: jax.Array,
    axes: Sequence[int],
    keepdims: bool,
    layout: dist.Layout | None,
    mesh: dist.Mesh | None,
) -> tuple[jax.Array, NamedSharding | None]:
    """Returns the operand brought to its layout, and the layout of the result."""
    if layout is None and mesh is None:
        return x, None
    mesh = dist.reachable_mesh(mesh, name)
    operand = dist.layout_sharding(layout, mesh, x.shape, name)
    entries = [*operand.spec, *(None,) * (x.ndim - len(operand.spec))]
    for one in reversed(axes):
        entries[one : one + 1] = [None] * keepdims
    return dist.place(x, operand), NamedSharding(mesh.jax, PartitionSpec(*entries))


def _mean_dtype(given: Any, wanted: Any) -> Any:
    """Returns the dtype of a mean: that of its terms, or the default float."""
    if wanted is None:
        floats = jnp.issubdtype(given, jnp.inexact)
        return given if floats else jnp.dtype(jnp.float64 if compat.x64_is_on() else jnp.float32)
    out = numerics.dtype(wanted, "reduce_mean")
    wanted_kind = jnp.complexfloating if jnp.issubdtype(given, jnp.complexfloating) else jnp.inexact
    if not jnp.issubdtype(out, wanted_kind):
        raise _invalid("reduce_mean", f"dtype {out.name} cannot hold a mean of {given}")
    return out


def _product_dtype(dtype: Any) -> Any:
    """Returns the dtype of a product of integers: theirs, at least the default integer."""
    bits = 64 if compat.x64_is_on() else 32
    if dtype == jnp.bool_ or jnp.dtype(dtype).itemsize * 8 < bits:
        return jnp.dtype(f"{'u' if jnp.dtype(dtype).kind == 'u' else ''}int{bits}")
    return dtype


def _of_nothing(name: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{name}: there is no element to reduce.")


def _invalid(name: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{name}: {problem}.", hints=hint or ())
