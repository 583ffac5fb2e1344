"""Tile → StableHLO: a kernel as a traceable JAX function, for CPUs and what has no emitter of its own.

    grid, for       loops of XLA, or leading axes of every block, or nothing where one block holds an axis
    load, store     slices of arrays padded once, where blocks overrun them
    dot             a batched product, accumulated in the dialect's accumulator
    map, reduce …   the same in JAX

`plan` says which axes are loops, `spread` which can be taken at once, `blocks` how arrays are cut, `emitter`
runs the body. What is computed is what the text of the kernel says, up to the order of sums.
"""

from collections.abc import Callable

import jax

from tessera.core.errors import Code, CompileError
from tessera.ir import tile
from tessera.lowering.emit_stablehlo.emitter import Emitter
from tessera.lowering.emit_stablehlo.functions import dtype_of
from tessera.lowering.emit_stablehlo.plan import plan_of

__all__ = ["check_arrays", "emit", "plan_of"]


def emit(kernel: tile.Func) -> Callable[..., list[jax.Array]]:
    """Returns a JAX function of the arrays a kernel reads that gives the list of those it writes.

    The function traces under `jit`, `vmap` and `shard_map`; it has no derivative of its own that is worth
    taking. A kernel whose indices count blocks must stay within what it says its arrays are padded to; any
    other index may point anywhere. Raises `E_TILE_LOWERING` for a kernel in which two stores write one array,
    and when called `E_SHAPE_MISMATCH` for arrays that are not those of the kernel.
    """
    emitter = Emitter(kernel, plan_of(kernel))

    def run(*arrays: jax.Array) -> list[jax.Array]:
        check_arrays(kernel, arrays)
        return emitter.run(arrays)

    run.__name__ = kernel.sym_name.data
    return run


def check_arrays(kernel: tile.Func, arrays: tuple[jax.Array, ...]) -> None:
    """Raises `E_SHAPE_MISMATCH` unless arrays have the types of those a kernel reads."""
    count = len(kernel.arrays) - kernel.outputs.value.data
    kinds = [x.type for x in kernel.arrays[:count]]
    name = kernel.sym_name.data
    if len(arrays) != count:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{name}: the kernel reads {count} arrays, got {len(arrays)}."
        )
    for place, (array, kind) in enumerate(zip(arrays, kinds, strict=True)):
        assert isinstance(kind, tile.Tile)
        if array.shape != kind.sizes or array.dtype != dtype_of(kind):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"{name}: argument {place} is {kind.element}{list(kind.sizes)} in the kernel but "
                f"{array.dtype}{list(array.shape)} here.",
                hints="Compile the function for these arrays.",
            )
