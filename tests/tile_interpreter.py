"""Runs tile programs in NumPy, one grid point after another: what the text of a kernel means.

Low precision is computed in fp32 and rounded after every op. Whatever a kernel reads beyond an array without
saying what stands there is NaN, and every element of an output is written exactly once.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.extend.core import Literal

from tessera.ir import graph, schedule, tile
from tessera.ir.attributes import integers
from tessera.lowering.schedule_to_tile import closed_over

State = dict[Any, Any]  # what every value holds
DTYPES = {
    "f16": np.float16, "bf16": jnp.bfloat16, "f32": np.float32, "f64": np.float64, "i1": bool,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "ui8": np.uint8,
    "ui16": np.uint16, "ui32": np.uint32, "ui64": np.uint64,
}  # fmt: skip

UNARY = {
    "abs": np.abs, "ceil": np.ceil, "cos": np.cos, "erf": scipy.special.erf, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "floor": np.floor, "log": np.log, "log1p": np.log1p,
    "logistic": scipy.special.expit, "neg": np.negative, "not": np.invert,
    "relu": lambda x: np.where(x <= 0, 0, x), "rsqrt": lambda x: 1 / np.sqrt(x), "sign": np.sign,
    "sin": np.sin, "sqrt": np.sqrt, "square": np.square, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
BINARY = {
    "add": np.add, "and": np.bitwise_and, "atan2": np.arctan2, "div": np.divide, "max": np.maximum,
    "min": np.minimum, "mul": np.multiply, "or": np.bitwise_or, "pow": np.power, "rem": np.fmod,
    "sub": np.subtract, "eq": np.equal, "ge": np.greater_equal, "gt": np.greater,
    "le": np.less_equal, "lt": np.less, "ne": np.not_equal,
}  # fmt: skip
FUNCTIONS = {**UNARY, **BINARY, "where": np.where}
REDUCE = {"sum": np.sum, "max": np.max, "min": np.min}
SCAN = {"sum": np.cumsum, "max": np.maximum.accumulate, "min": np.minimum.accumulate}


def run_kernel(kernel: tile.Func, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns what a kernel writes, for the arrays it reads."""
    types = [value.type for value in kernel.written]
    outputs = [np.zeros(kind.sizes, dtype_of(kind)) for kind in types]
    writes = [np.zeros(kind.sizes, int) for kind in types]
    given = dict(zip(kernel.arrays, [*inputs, *outputs], strict=True))
    for x, value in given.items():
        assert (value.shape, value.dtype) == (x.type.sizes, dtype_of(x.type)), x.type
    count = dict(zip(kernel.written, writes, strict=True))
    for place in np.ndindex(*integers(kernel.grid)):
        indices = kernel.body.block.args[len(given) :]
        state = {**given, **dict(zip(indices, place, strict=True))}
        with np.errstate(all="ignore"):
            _run_block(kernel.body.block, state, count)
    for written in writes:
        assert np.all(written == 1), "an element is written once"
    return outputs


def run_schedule(
    module: Any, tiles: Any, arguments: Sequence[np.ndarray], *, all_tiled: bool = True
) -> list[np.ndarray]:
    """Returns the results of a Schedule module for its arguments.

    Every group has kernels; unless `all_tiled`, JAX computes those that have none.
    """
    tiled = {kernel.group.value.data for kernel in tiles.body.block.ops}
    function = graph.function_of(module)
    state: State = dict(zip(function.block.args, arguments, strict=True))
    index = 0
    for op in function.block.ops:
        if isinstance(op, schedule.Group):
            inputs = [state[x] for x in op.operands]
            if all_tiled or index in tiled:
                found = run_group(tiles, index, op, inputs)
            else:
                found = [np.asarray(x) for x in group_values(op, [jnp.asarray(x) for x in inputs])]
            state.update(zip(op.results, found, strict=True))
            index += 1
    end = function.block.last_op
    assert isinstance(end, graph.Return)
    return [state[x] for x in end.operands]


def run_group(
    tiles: Any, index: int, group: schedule.Group, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns what the kernels of a group write, one kernel after another, for its inputs."""
    values = dict(enumerate((*inputs, *closed_over(group))))
    first = len(values)
    for kernel in tiles.body.block.ops:
        if kernel.group.value.data == index:
            read = len(kernel.arrays) - len(kernel.written)
            found = run_kernel(kernel, [values[place] for place in kernel.places[:read]])
            values.update(zip(kernel.places[read:], found, strict=True))
    return [values[first + place] for place in range(len(group.results))]


def dtype_of(kind: Any) -> np.dtype:
    """Returns the NumPy dtype of a block's elements."""
    return np.dtype(DTYPES[str(kind.element)])


def _run_block(block: Any, state: State, writes: State) -> list[Any]:
    for op in block.ops:
        if isinstance(op, tile.Yield):
            return [state[x] for x in op.operands]
        if isinstance(op, tile.For):
            _run_loop(op, state, writes)
        elif isinstance(op, tile.Store):
            _store(op, state, writes)
        else:
            value = COMPUTE[type(op)](op, [state[x] for x in op.operands])
            _check(op, value)
            state[op.results[0]] = value
    raise AssertionError("a block ends in a yield")


def _check(op: Any, value: Any) -> None:
    kind = op.results[0].type
    if isinstance(kind, tile.Tile):
        assert (value.shape, value.dtype) == (kind.sizes, dtype_of(kind)), op
    else:
        assert isinstance(value, int), op


def _run_loop(op: Any, state: State, writes: State) -> None:
    bounds = [state[x] for x in op.bounds]
    start = bounds[0] if len(bounds) == 2 else (op.start.value.data if op.start else 0)
    stop = bounds[-1] if bounds else op.stop.value.data
    carried = [state[x] for x in op.initial]
    body = op.body.block
    for index in range(start, stop, op.step.value.data if op.step else 1):
        state[body.args[0]] = index
        state.update(zip(body.args[1:], carried, strict=True))
        carried = _run_block(body, state, writes)
    state.update(zip(op.results, carried, strict=True))


def _window(
    op: Any, sizes: Sequence[int], shape: Sequence[int], indices: Sequence[Any]
) -> tuple[Any, np.ndarray]:
    """Returns where the elements of a block stand in an array, and which of them do."""
    given = op.block_shape
    block = tuple(sizes) if given is None else integers(given)
    units = [x.data for x in op.unit.data] if op.unit else ["block"] * len(indices)
    starts = [
        int(i) * (n if unit == "block" else 1)
        for i, n, unit in zip(indices, block, units, strict=True)
    ]
    places = [start + np.arange(n) for start, n in zip(starts, block, strict=True)]
    inside = np.ones(block, bool)
    for axis, (place, n) in enumerate(zip(places, shape, strict=True)):
        along = [-1 if i == axis else 1 for i in range(len(block))]
        inside &= ((place >= 0) & (place < n)).reshape(along)
    clipped = [np.clip(place, 0, n - 1) for place, n in zip(places, shape, strict=True)]
    return np.ix_(*clipped) if clipped else (), inside


def _load(op: Any, xs: list[Any]) -> np.ndarray:
    array, *indices = xs
    kind = op.result.type
    mask = indices.pop() if op.mask is not None else True
    where, inside = _window(op, kind.sizes, array.shape, indices)
    inside = inside & np.broadcast_to(mask, kind.sizes).reshape(inside.shape)
    beyond = np.array(np.nan if op.fill is None else _number(op.fill)).astype(array.dtype)
    return np.asarray(np.where(inside, array[where], beyond), array.dtype).reshape(kind.sizes)


def _store(op: Any, state: State, writes: State) -> None:
    array, value = state[op.target], state[op.value]
    indices = [state[x] for x in op.indices]
    where, inside = _window(op, value.shape, array.shape, indices)
    mask = True if op.mask is None else state[op.mask]
    inside = inside & np.broadcast_to(mask, value.shape).reshape(inside.shape)
    block = value.reshape(inside.shape)
    here = tuple(np.broadcast_arrays(*where)) if len(where) else ()
    chosen = tuple(place[inside] for place in here) if here else ()
    array[chosen] = block[inside] if here else block
    np.add.at(writes[op.target], chosen, 1)


def _is_index(op: Any) -> bool:
    return not isinstance(op.results[0].type, tile.Tile)


def _number(value: Any) -> Any:
    return value.value.data


def _wide(x: np.ndarray) -> np.ndarray:
    low = x.dtype.kind not in "iub" and x.dtype.itemsize < 4
    return x.astype(np.float32) if low else x


def _map(op: Any, xs: list[Any]) -> Any:
    name = op.function.data
    if _is_index(op):
        return int(np.floor_divide(*xs) if name == "div" else FUNCTIONS[name](*xs))
    found = np.asarray(FUNCTIONS[name](*map(_wide, xs)))
    return found.astype(dtype_of(op.result.type))


def _dot(op: Any, xs: list[Any]) -> np.ndarray:
    wanted = dtype_of(op.result.type)
    a, b = (x.astype(wanted) for x in xs[:2])
    a = a.T if op.transpose_a and op.transpose_a.value.data else a
    b = b.T if op.transpose_b and op.transpose_b.value.data else b
    return a @ b + (xs[2] if len(xs) == 3 else np.zeros((), wanted))


def _reduce(op: Any, xs: list[Any]) -> np.ndarray:
    found = REDUCE[op.kind.data](_wide(xs[0]), axis=op.axis.value.data, keepdims=True)
    return found.astype(dtype_of(op.result.type))


def _scan(op: Any, xs: list[Any]) -> np.ndarray:
    axis, x = op.axis.value.data, _wide(xs[0])
    reverse = op.reverse is not None and op.reverse.value.data
    x = np.flip(x, axis) if reverse else x
    found = SCAN[op.kind.data](x, axis=axis)
    return (np.flip(found, axis) if reverse else found).astype(xs[0].dtype)


def _full(op: Any, xs: list[Any]) -> Any:
    value = xs[0] if xs else _number(op.value)
    if _is_index(op):
        return int(value)
    return np.full(op.result.type.sizes, value, dtype_of(op.result.type))


def _iota(op: Any, xs: list[Any]) -> np.ndarray:
    del xs
    sizes, axis = op.result.type.sizes, op.axis.value.data
    along = [-1 if i == axis else 1 for i in range(len(sizes))]
    found = np.arange(sizes[axis], dtype=dtype_of(op.result.type)).reshape(along)
    return np.broadcast_to(found, sizes)


def _cast(op: Any, xs: list[Any]) -> Any:
    if _is_index(op):
        return int(xs[0])
    return np.asarray(xs[0]).astype(dtype_of(op.result.type))


def _transpose(op: Any, xs: list[Any]) -> np.ndarray:
    return np.transpose(xs[0], integers(op.permutation))


def _reshape(op: Any, xs: list[Any]) -> np.ndarray:
    return np.reshape(xs[0], op.result.type.sizes)


COMPUTE: dict[type, Any] = {
    tile.Cast: _cast, tile.Dot: _dot, tile.Full: _full, tile.Iota: _iota, tile.Load: _load,
    tile.Map: _map, tile.Reduce: _reduce, tile.Reshape: _reshape, tile.Scan: _scan,
    tile.Transpose: _transpose,
}  # fmt: skip


def group_values(group: schedule.Group, inputs: Sequence[Any]) -> list[Any]:
    """Returns what the nodes of a group compute in JAX, one primitive after another."""
    state: State = dict(zip(group.block.args, inputs, strict=True))
    for op in group.block.ops:
        if isinstance(op, schedule.Yield):
            return [state[x] for x in op.operands]
        if isinstance(op, graph.Constant):
            value = op.atom.val if isinstance(op.atom, Literal) else op.atom
            state[op.result] = jnp.asarray(value, op.aval.dtype)
            continue
        found = op.equation.primitive.bind(*(state[x] for x in op.operands), **op.equation.params)
        found = found if op.equation.primitive.multiple_results else [found]
        state.update(zip(op.results, found, strict=True))
    raise AssertionError("a group ends in a yield")
