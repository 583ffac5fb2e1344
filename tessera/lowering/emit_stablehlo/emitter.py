"""Runs a tile program in JAX: blocks are arrays with the carried axes of the plan in front."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from xdsl.dialects import builtin
from xdsl.ir import Block as Body
from xdsl.ir import Operation, SSAValue

from tessera.core.operands import share_varying_axes
from tessera.ir import tile
from tessera.lowering.emit_stablehlo.blocks import Blocks
from tessera.lowering.emit_stablehlo.functions import (
    FUNCTIONS,
    INDEX_FUNCTIONS,
    REDUCE,
    SCAN,
    as_index,
    as_place,
    dtype_of,
    known,
    number_of,
)
from tessera.lowering.emit_stablehlo.plan import Part, Plan
from tessera.lowering.emit_stablehlo.reads import array_of
from tessera.lowering.emit_stablehlo.spread import is_made, is_true, operand_of

Values = dict[Hashable, Any]
Buffers = tuple[jax.Array, ...]


class Emitter:
    """A kernel as a function of arrays, by a plan."""

    def __init__(self, kernel: tile.Func, plan: Plan):
        self._kernel = kernel
        self._plan = plan
        self._outputs = list(kernel.written)
        self._rank = len(plan.carried)  # of a value without axes
        self._accesses = {op: Blocks(access, plan) for op, access in plan.accesses.items()}
        self._stores = _stores(kernel)

    def run(self, arrays: Sequence[jax.Array]) -> list[jax.Array]:
        """Returns what the kernel writes, for the arrays it reads."""
        arrays = share_varying_axes(arrays)
        self._like = arrays  # what loops carry varies over the mesh axes that any of these does
        given = dict(zip(self._kernel.arrays, arrays, strict=False))
        values: Values = {
            op: self._accesses[op].prepare(
                given[op.source], 0 if op.fill is None else number_of(op.fill)
            )
            for op in self._kernel.walk()
            if isinstance(op, tile.Load)
        }
        values |= self._grid_values()
        empty = [self._accesses[s].empty(dtype_of(array_of(s))) for s in self._stores]
        buffers = self._over_grid(self._plan.looped, values, self._varying(empty))
        return [
            self._accesses[store].finish(buffer)
            for store, buffer in zip(self._stores, buffers, strict=True)
        ]

    # -- when ----------------------------------------------------------------------------------------------

    def _over_grid(self, looped: Sequence[Part], values: Values, buffers: Buffers) -> Buffers:
        if not looped:
            values = {**values, **self._grid_indices(values)}
            return self._body(self._kernel.body.block, values, buffers)[1]
        part, *inner = looped

        def step(index: jax.Array, buffers: Buffers) -> Buffers:
            return self._over_grid(inner, {**values, part: index}, buffers)

        return lax.fori_loop(0, part.steps, step, buffers)

    def _grid_values(self) -> Values:
        """Returns the numbers of carried parts, along their axes, and of axes that stand at 0."""
        found: Values = dict.fromkeys(self._plan.indices.grid, 0)
        for place, part in enumerate(self._plan.carried):
            shape = [part.steps if i == place else 1 for i in range(self._rank)]
            found[part] = np.arange(part.steps, dtype=np.int32).reshape(shape)
        return found

    def _grid_indices(self, values: Values) -> Values:
        return {
            axis: sum(values[part] * factor for part, factor in parts)
            for axis, parts in self._plan.parts.items()
        }

    def _body(self, body: Body, values: Values, buffers: Buffers) -> tuple[list[Any], Buffers]:
        """Returns what a body yields, and the outputs after it; `values` grows by what it computes."""
        for op in body.ops:
            if isinstance(op, tile.Yield):
                return [self._operand(op, i, values) for i in range(len(op.operands))], buffers
            if isinstance(op, tile.For):
                buffers = self._loop(op, values, buffers)
            elif isinstance(op, tile.Store):
                buffers = self._store(op, values, buffers)
            elif not is_made(op.results[0]):
                values[op.results[0]] = COMPUTE[type(op)](self, op, values)
        raise AssertionError("a body ends in a yield")

    def _loop(self, op: tile.For, values: Values, buffers: Buffers) -> Buffers:
        first = len(op.bounds)
        initial = [self._operand(op, first + i, values) for i in range(len(op.results))]
        body = op.body.block
        index, *carried = body.args
        if index in self._plan.whole:
            inner = {**values, index: 0, **dict(zip(carried, initial, strict=True))}
            results, buffers = self._body(body, inner, buffers)
            values.update(zip(op.results, results, strict=True))
            return buffers
        start, count, step = _trips(op, values)

        def run(trip: Any, carry: tuple[list[Any], Buffers]) -> tuple[list[Any], Buffers]:
            given, outputs = carry
            at = {index: start + trip * step}
            results, outputs = self._body(
                body, {**values, **at, **dict(zip(carried, given, strict=True))}, outputs
            )
            return self._in_full(op, results), outputs

        outputs = buffers if any(isinstance(x, tile.Store) for x in op.walk()) else ()
        carry = (list(self._varying(self._in_full(op, initial))), outputs)
        once = known(count) and count == 1
        results, outputs = run(0, carry) if once else lax.fori_loop(0, count, run, carry)
        values.update(zip(op.results, results, strict=True))
        return outputs or buffers

    def _in_full(self, op: tile.For, carried: Sequence[Any]) -> list[jax.Array]:
        """Returns what a loop carries, with every carried axis in full, as it may be after a step."""
        batch = [part.steps for part in self._plan.carried]
        return [
            as_index(x)
            if isinstance(result.type, builtin.IndexType)
            else _spread(x, (*batch, *x.shape[self._rank :]))
            for x, result in zip(carried, op.results, strict=True)
        ]

    def _varying(self, arrays: Sequence[jax.Array]) -> Buffers:
        return tuple(share_varying_axes([*arrays, *self._like])[: len(arrays)])

    def _store(self, op: tile.Store, values: Values, buffers: Buffers) -> Buffers:
        place = self._stores.index(op)
        block = self._operand(op, 0, values)
        mask = self._mask(op, values)
        written = self._accesses[op].write(buffers[place], block, mask, values.__getitem__)
        return (*buffers[:place], written, *buffers[place + 1 :])

    # -- values --------------------------------------------------------------------------------------------

    def _operand(self, op: Operation, number: int, values: Values) -> Any:
        """Returns an operand: an index, or a block with carried axes in front."""
        value = op.operands[number]
        if not is_made(value):
            return values[value]
        kind = value.type
        assert isinstance(kind, tile.Tile)
        sizes = self._plan.kinds.shape(operand_of(op, number), self._plan.whole)
        shape, dtype = (*(1,) * self._rank, *sizes), dtype_of(kind)
        maker = value.owner
        if isinstance(maker, tile.Iota):
            return lax.broadcasted_iota(dtype, shape, self._rank + maker.axis.value.data)
        assert isinstance(maker, tile.Full)
        assert maker.value is not None
        return jnp.full(shape, number_of(maker.value), dtype)

    def _shape(self, value: SSAValue) -> list[int]:
        return self._plan.kinds.shape(value, self._plan.whole)

    def _load(self, op: tile.Load, values: Values) -> jax.Array:
        block = self._accesses[op].read(values[op], values.__getitem__, self._shape(op.result))
        mask = self._mask(op, values)
        if mask is None:
            return block
        assert op.fill is not None, "a masked load says what stands in the place of the masked"
        mask = mask.reshape(*mask.shape, *(1,) * (block.ndim - mask.ndim))
        shape = np.broadcast_shapes(mask.shape, block.shape)
        fill = jnp.full(shape, number_of(op.fill), block.dtype)
        return lax.select(_spread(mask, shape), _spread(block, shape), fill)

    def _mask(self, op: tile.Load | tile.Store, values: Values) -> Any:
        if op.mask is None:
            return None
        return self._block(self._operand(op, len(op.operands) - 1, values))

    def _map(self, op: tile.Map, values: Values) -> Any:
        xs = [self._operand(op, i, values) for i in range(len(op.operands))]
        name = op.function.data
        if all(isinstance(x.type, builtin.IndexType) for x in op.operands):
            found = INDEX_FUNCTIONS[name](*xs)
            return found if isinstance(op.result.type, builtin.IndexType) else self._block(found)
        rank = max(x.ndim for x in xs)
        xs = [x.reshape(*x.shape, *(1,) * (rank - x.ndim)) for x in xs]
        shape = np.broadcast_shapes(*(x.shape for x in xs))
        return FUNCTIONS[name](*(_spread(x, shape) for x in xs))

    def _dot(self, op: tile.Dot, values: Values) -> jax.Array:
        x, y, *added = (self._operand(op, i, values) for i in range(len(op.operands)))
        inner = 0 if is_true(op.transpose_a) else 1, 1 if is_true(op.transpose_b) else 0
        assert isinstance(op.result.type, tile.Tile)
        precision = None if op.precision is None else op.precision.data
        wanted = dtype_of(op.result.type)
        if _is_turned(op.operands[0]) or _is_turned(op.operands[1]):
            # XLA:CPU may fold the transpose into a product of bf16 that it then has no code for.
            x, y = x.astype(wanted), y.astype(wanted)
        found = _product(x, y, inner, wanted, precision)
        if not added:
            return found
        shape = np.broadcast_shapes(found.shape, added[0].shape)
        return lax.add(_spread(added[0], shape), _spread(found, shape))

    def _reduce(self, op: tile.Reduce, values: Values) -> jax.Array:
        x = self._operand(op, 0, values)
        axis = self._rank + op.axis.value.data
        return REDUCE[op.kind.data](x, axis=axis, keepdims=True).astype(x.dtype)

    def _scan(self, op: tile.Scan, values: Values) -> jax.Array:
        x = self._operand(op, 0, values)
        axis = self._rank + op.axis.value.data
        return SCAN[op.kind.data](x, axis=axis, reverse=is_true(op.reverse))

    def _full(self, op: tile.Full, values: Values) -> Any:
        if not op.operands:
            assert op.value is not None
            return number_of(op.value)
        x = values[op.operands[0]]
        sizes = self._shape(op.result)
        return _spread(x.reshape(*x.shape, *(1 for _ in sizes)), (*x.shape, *sizes))

    def _cast(self, op: tile.Cast, values: Values) -> Any:
        x = self._operand(op, 0, values)
        if isinstance(op.result.type, builtin.IndexType):
            return x if isinstance(op.source.type, builtin.IndexType) else as_index(x)
        assert isinstance(op.result.type, tile.Tile)
        return self._block(x).astype(dtype_of(op.result.type))

    def _transpose(self, op: tile.Transpose, values: Values) -> jax.Array:
        x = self._operand(op, 0, values)
        order = [self._rank + axis for axis in op.permutation.get_values()]
        return lax.transpose(x, [*range(self._rank), *order])

    def _reshape(self, op: tile.Reshape, values: Values) -> jax.Array:
        x = self._operand(op, 0, values)
        return x.reshape(*x.shape[: self._rank], *self._shape(op.result))

    def _block(self, x: Any) -> jax.Array:
        """Returns a number or an index as a value without axes."""
        x = jnp.asarray(x)
        return x.reshape((1,) * self._rank) if x.ndim == 0 else x


COMPUTE: Mapping[type[Operation], Callable[[Emitter, Any, Values], Any]] = {
    tile.Cast: Emitter._cast, tile.Dot: Emitter._dot, tile.Full: Emitter._full,
    tile.Load: Emitter._load, tile.Map: Emitter._map, tile.Reduce: Emitter._reduce,
    tile.Reshape: Emitter._reshape, tile.Scan: Emitter._scan, tile.Transpose: Emitter._transpose,
}  # fmt: skip


def _product(
    x: jax.Array,
    y: jax.Array,
    inner: tuple[int, int],
    dtype: Any,
    precision: Any,
) -> jax.Array:
    """Returns products of blocks: carried axes of both are batch axes, those of one are rows or columns.

    `inner` has the place among the axes of each tile of the one that is summed over.
    """
    rank = x.ndim - 2
    shared = [i for i in range(rank) if x.shape[i] > 1 and y.shape[i] > 1]
    mine, theirs = ([i for i in range(rank) if i not in shared and z.shape[i] > 1] for z in (x, y))
    x = _only(x, [*shared, *mine, rank, rank + 1])
    y = _only(y, [*shared, *theirs, rank, rank + 1])
    batch = range(len(shared))
    dimensions = (((x.ndim - 2 + inner[0],), (y.ndim - 2 + inner[1],)), (batch, batch))
    found = lax.dot_general(x, y, dimensions, precision=precision, preferred_element_type=dtype)
    axes = [*shared, *mine, rank, *theirs, rank + 1]
    found = lax.transpose(found, np.argsort(axes))
    return lax.expand_dims(found, [i for i in range(rank) if i not in axes])


def _is_turned(value: SSAValue) -> bool:
    """Returns whether a block is computed elementwise from a transposed one."""
    owner = value.owner
    if isinstance(owner, tile.Transpose):
        return True
    return isinstance(owner, tile.Map | tile.Cast) and any(map(_is_turned, owner.operands))


def _only(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Returns an array with these of its axes, in this order; the others have size 1."""
    others = [i for i in range(x.ndim) if i not in axes]
    return lax.squeeze(lax.transpose(x, [*others, *axes]), range(len(others)))


def _spread(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    if x.shape == tuple(shape):
        return x
    return lax.broadcast_in_dim(x, shape, range(len(shape)))


def _trips(op: tile.For, values: Mapping[Hashable, Any]) -> tuple[Any, Any, int]:
    """Returns start, number of trips and step of a loop."""
    bounds = [x if known(x) else as_place(x) for x in (values[bound] for bound in op.bounds)]
    start = bounds[0] if len(bounds) == 2 else (0 if op.start is None else number_of(op.start))
    if bounds:
        stop = bounds[-1]
    else:
        assert op.stop is not None
        stop = number_of(op.stop)
    step = 1 if op.step is None else number_of(op.step)
    count = (stop - start + step - 1) // step if step != 1 else stop - start
    return start, (max(count, 0) if known(count) else count), step


def _stores(kernel: tile.Func) -> list[tile.Store]:
    """Returns the store of each output."""
    found = [[op for op in _all_stores(kernel) if op.target is x] for x in kernel.written]
    for array, stores in zip(kernel.written, found, strict=True):
        if len(stores) != 1:
            raise tile.tile_error(
                kernel,
                f"on a CPU an output is written by one store, {array.name_hint} by {len(stores)}",
            )
    return [stores[0] for stores in found]


def _all_stores(kernel: tile.Func) -> Iterator[tile.Store]:
    for op in kernel.walk():
        if isinstance(op, tile.Store):
            yield op
