"""Tile → Pallas, in interpret mode: a kernel run point by point of its grid, as its text says.

    load at indices of the grid, in blocks      a BlockSpec: block shape and index map
    any other load                              the whole array, sliced where the program is
    store                                       likewise
    for                                         lax.fori_loop, with loads in its body

Nothing is batched, merged or reordered, so this is a second opinion on every program and on the emitters that
do. Pallas's own Triton backend is deprecated, so nothing here is compiled for a GPU.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from xdsl.dialects import builtin
from xdsl.ir import Block as Body
from xdsl.ir import Operation, SSAValue

from tessera.core.operands import share_varying_axes
from tessera.ir import tile
from tessera.ir.attributes import integers
from tessera.lowering.emit_stablehlo import check_arrays
from tessera.lowering.emit_stablehlo.functions import (
    FUNCTIONS,
    INDEX_FUNCTIONS,
    REDUCE,
    SCAN,
    as_index,
    dtype_of,
    known,
    number_of,
)
from tessera.lowering.emit_stablehlo.reads import array_of, units_of
from tessera.lowering.emit_stablehlo.spread import is_true

State = dict[Any, Any]  # what every value holds; what every load and store refers to


def emit(kernel: tile.Func) -> Callable[..., list[jax.Array]]:
    """Returns a JAX function of the arrays a kernel reads that gives the list of those it writes.

    It runs in Pallas's interpreter, on any platform, under `jit` and `vmap`; inside `shard_map` with
    `check_vma=False`, because the interpreter's own loops do not say over which mesh axes they vary. Raises
    `E_SHAPE_MISMATCH` when called with arrays that are not those of the kernel.
    """
    accesses = [op for op in kernel.walk() if isinstance(op, tile.Load | tile.Store)]
    windows: dict[Operation, _Window] = {op: _window(kernel, op) for op in accesses}
    loads = [op for op in accesses if isinstance(op, tile.Load)]
    stores = [op for op in accesses if isinstance(op, tile.Store)]

    def body(*refs: Any) -> None:
        grid = kernel.body.block.args[len(kernel.arrays) :]
        state: State = {index: pl.program_id(place) for place, index in enumerate(grid)}
        state.update(zip([*loads, *stores], refs, strict=True))
        _run(kernel.body.block, state, windows)

    def run(*arrays: jax.Array) -> list[jax.Array]:
        check_arrays(kernel, arrays)
        arrays = tuple(share_varying_axes(arrays))
        given = dict(zip(kernel.arrays, arrays, strict=False))
        operands = [windows[op].padded(given[op.source], _fill(op)) for op in loads]
        types = [
            jax.ShapeDtypeStruct(windows[op].padded_shape, dtype_of(array_of(op))) for op in stores
        ]
        found = pl.pallas_call(
            body,
            types,
            grid=integers(kernel.grid),
            in_specs=[windows[op].spec for op in loads],
            out_specs=[windows[op].spec for op in stores],
            interpret=True,
            name=kernel.sym_name.data,
        )(*operands)
        written = {op.target: windows[op].cropped(x) for op, x in zip(stores, found, strict=True)}
        return [written[array] for array in kernel.written]

    run.__name__ = kernel.sym_name.data
    return run


# -- blocks of arrays ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Where the block of a load or a store stands: `before` elements of padding precede the array.

    A block at indices of the grid is cut out by Pallas, by `spec`; any other is sliced by the program, out of
    an array that is padded by a block on both sides, so that no slice is moved.
    """

    op: tile.Load | tile.Store
    block: tuple[int, ...]
    before: tuple[int, ...]
    padded_shape: tuple[int, ...]
    spec: pl.BlockSpec

    def padded(self, array: jax.Array, fill: Any) -> jax.Array:
        sizes = zip(self.before, self.padded_shape, array.shape, strict=True)
        config = [(low, total - low - n, 0) for low, total, n in sizes]
        return lax.pad(array, jnp.asarray(fill, array.dtype), config)

    def cropped(self, array: jax.Array) -> jax.Array:
        sizes = array_of(self.op).sizes
        end = [low + n for low, n in zip(self.before, sizes, strict=True)]
        return lax.slice(array, self.before, end)

    def at(self, state: State) -> tuple[Any, ...]:
        """Returns the index of the block in its reference."""
        if any(self.before):
            return tuple(
                pl.ds(jnp.clip(as_index(state[index]) * unit, -n, size) + n, n)
                for index, unit, n, size in zip(
                    self.op.indices,
                    units_of(self.op, self.block),
                    self.block,
                    array_of(self.op).sizes,
                    strict=True,
                )
            )
        return (slice(None),) * len(self.block)


def _window(kernel: tile.Func, op: tile.Load | tile.Store) -> _Window:
    made = (op.result if isinstance(op, tile.Load) else op.value).type
    assert isinstance(made, tile.Tile)
    block = made.sizes if op.block_shape is None else integers(op.block_shape)
    sizes = array_of(op).sizes
    by_blocks = op.unit is None and all(_is_of_grid(kernel, index) for index in op.indices)
    if not by_blocks:
        shape = tuple(size + 2 * n for size, n in zip(sizes, block, strict=True))
        return _Window(op, block, block, shape, pl.BlockSpec())
    shape = tuple(-(-size // n) * n for size, n in zip(sizes, block, strict=True))

    def index_map(*places: Any) -> tuple[Any, ...]:
        grid = kernel.body.block.args[len(kernel.arrays) :]
        state: State = dict(zip(grid, places, strict=True))
        return tuple(_index(index, state) for index in op.indices)

    return _Window(op, block, (0,) * len(block), shape, pl.BlockSpec(block, index_map))


def _is_of_grid(kernel: tile.Func, index: SSAValue) -> bool:
    """Returns whether an index is computed from places in the grid alone."""
    if index.owner is kernel.body.block:
        return True
    if not isinstance(index.type, builtin.IndexType) or not isinstance(index.owner, Operation):
        return False
    makers = isinstance(index.owner, tile.Full | tile.Map)
    return makers and all(_is_of_grid(kernel, operand) for operand in index.owner.operands)


def _index(index: SSAValue, state: State) -> Any:
    if index in state:
        return state[index]
    maker = index.owner
    if isinstance(maker, tile.Full):
        assert maker.value is not None
        return number_of(maker.value)
    assert isinstance(maker, tile.Map)
    return INDEX_FUNCTIONS[maker.function.data](*(_index(x, state) for x in maker.operands))


def _fill(op: tile.Load) -> Any:
    return 0 if op.fill is None else number_of(op.fill)


# -- the body ------------------------------------------------------------------------------------------------


def _run(body: Body, state: State, windows: Mapping[Operation, _Window]) -> list[Any]:
    """Returns what a body yields; `state` grows by what it computes."""
    for op in body.ops:
        if isinstance(op, tile.Yield):
            return [state[x] for x in op.operands]
        if isinstance(op, tile.For):
            _loop(op, state, windows)
        elif isinstance(op, tile.Load):
            assert isinstance(op.result.type, tile.Tile)
            block = state[op][windows[op].at(state)].reshape(op.result.type.sizes)
            state[op.result] = _masked(op, state, block, jnp.full_like(block, _fill(op)))
        elif isinstance(op, tile.Store):
            window, place = windows[op], windows[op].at(state)
            block = state[op.value]
            if op.mask is not None:
                block = _masked(op, state, block, state[op][place].reshape(block.shape))
            state[op][place] = block.reshape(window.block)
        else:
            state[op.results[0]] = COMPUTE[type(op)](op, [state[x] for x in op.operands])
    raise AssertionError("a body ends in a yield")


def _masked(
    op: tile.Load | tile.Store, state: State, block: jax.Array, other: jax.Array
) -> jax.Array:
    if op.mask is None:
        return block
    return lax.select(_spread(state[op.mask], block.shape), block, other)


def _loop(op: tile.For, state: State, windows: Mapping[Operation, _Window]) -> None:
    bounds = [state[x] for x in op.bounds]
    start = bounds[0] if len(bounds) == 2 else (0 if op.start is None else number_of(op.start))
    assert bounds or op.stop is not None
    stop = number_of(op.stop) if op.stop is not None else bounds[-1]
    step = 1 if op.step is None else number_of(op.step)
    index, *arguments = op.body.block.args

    def run(trip: Any, carried: list[Any]) -> list[Any]:
        inner = {**state, index: start + trip * step, **dict(zip(arguments, carried, strict=True))}
        return [_fixed(x) for x in _run(op.body.block, inner, windows)]

    count = (stop - start + step - 1) // step
    found = lax.fori_loop(0, count, run, [_fixed(state[x]) for x in op.initial])
    state.update(zip(op.results, found, strict=True))


def _fixed(x: Any) -> jax.Array:
    return as_index(x) if known(x) else x


def _map(op: tile.Map, xs: Sequence[Any]) -> Any:
    name = op.function.data
    if all(isinstance(x.type, builtin.IndexType) for x in op.operands):
        return INDEX_FUNCTIONS[name](*xs)
    assert isinstance(op.result.type, tile.Tile)
    return FUNCTIONS[name](*(_spread(x, op.result.type.sizes) for x in xs))


def _spread(x: jax.Array, sizes: Sequence[int]) -> jax.Array:
    return lax.broadcast_in_dim(x, sizes, range(len(sizes) if x.ndim else 0))


def _dot(op: tile.Dot, xs: Sequence[jax.Array]) -> jax.Array:
    assert isinstance(op.result.type, tile.Tile)
    left, right = int(not is_true(op.transpose_a)), int(is_true(op.transpose_b))
    # Exact for narrow factors, and XLA:CPU has no product of bf16 for every order of axes.
    x, y = (factor.astype(dtype_of(op.result.type)) for factor in xs[:2])
    precision = None if op.precision is None else op.precision.data
    found = lax.dot_general(x, y, (((left,), (right,)), ((), ())), precision=precision)
    return found + xs[2] if len(xs) == 3 else found


def _reduce(op: tile.Reduce, xs: Sequence[jax.Array]) -> jax.Array:
    return REDUCE[op.kind.data](xs[0], axis=op.axis.value.data, keepdims=True).astype(xs[0].dtype)


def _scan(op: tile.Scan, xs: Sequence[jax.Array]) -> jax.Array:
    return SCAN[op.kind.data](xs[0], axis=op.axis.value.data, reverse=is_true(op.reverse))


def _full(op: tile.Full, xs: Sequence[jax.Array]) -> Any:
    if not isinstance(op.result.type, tile.Tile):
        assert op.value is not None
        return number_of(op.value)
    sizes = op.result.type.sizes
    if xs:
        return _spread(xs[0], sizes)
    assert op.value is not None
    return jnp.full(sizes, number_of(op.value), dtype_of(op.result.type))


def _iota(op: tile.Iota, xs: Sequence[Any]) -> jax.Array:
    del xs
    assert isinstance(op.result.type, tile.Tile)
    return lax.broadcasted_iota(dtype_of(op.result.type), op.result.type.sizes, op.axis.value.data)


def _cast(op: tile.Cast, xs: Sequence[Any]) -> Any:
    if not isinstance(op.result.type, tile.Tile):
        return as_index(xs[0])
    return jnp.asarray(xs[0]).astype(dtype_of(op.result.type))


def _transpose(op: tile.Transpose, xs: Sequence[jax.Array]) -> jax.Array:
    return lax.transpose(xs[0], integers(op.permutation))


def _reshape(op: tile.Reshape, xs: Sequence[jax.Array]) -> jax.Array:
    assert isinstance(op.result.type, tile.Tile)
    return xs[0].reshape(op.result.type.sizes)


COMPUTE: Mapping[type[Operation], Callable[[Any, Sequence[Any]], Any]] = {
    tile.Cast: _cast, tile.Dot: _dot, tile.Full: _full, tile.Iota: _iota, tile.Map: _map,
    tile.Reduce: _reduce, tile.Reshape: _reshape, tile.Scan: _scan, tile.Transpose: _transpose,
}  # fmt: skip
