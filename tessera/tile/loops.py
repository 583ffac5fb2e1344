"""Loops of a program, with what they carry."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from xdsl.ir import SSAValue

from tessera.ir.types import element_of
from tessera.lowering.emit_triton.intervals import Interval
from tessera.lowering.tile_programs.builder import tile_of
from tessera.tile.program import Program, current
from tessera.tile.values import Block, Index, as_block, as_index, as_number, describe

T = TypeVar("T")
# The dtype of a number that a loop begins with, where nothing else gives one.
DTYPES = {bool: jnp.bool_, int: jnp.int32, float: jnp.float32}


def fori_loop(start: Any, stop: Any, body: Callable[[Any, T], T], init: T, *, stages: int = 1) -> T:
    """Returns what `body(index, carried)` carries after every index from start below stop, in order.

    `start` and `stop` are numbers or indices, known or computed when the kernel runs. What is carried is any
    pytree of blocks; the body returns one of the same structure, shapes and dtypes. `stages` loads are in
    flight at once on a GPU.

        def step(k, acc):
            inner = tile.block(k, BK)
            return tile.dot(tile.load(a, rows=rows, cols=inner), tile.load(b, rows=inner, cols=cols), acc)

        acc = tile.fori_loop(0, tile.cdiv(a.shape[1], BK), step, tile.zeros((BM, BN)), stages=3)

    Raises `E_SHAPE_MISMATCH` for a body that changes what is carried, `E_GRAPH_INVALID` for `stages` below 1.
    """
    program = current("fori_loop")
    if not isinstance(stages, int) or stages < 1:
        raise program.misuse("fori_loop", f"has stages of at least 1, not {stages!r}")
    first, last = (as_index(program, x, "fori_loop") for x in (start, stop))
    leaves, structure = jax.tree.flatten(init)
    carried = [_begin(program, x).value for x in leaves]
    bounds = Interval(first.bounds.low, max(first.bounds.low, last.bounds.high - 1))

    def run(index: SSAValue, values: Any) -> list[SSAValue]:
        with program.inner():
            given = [Block(program, x) for x in values]
            found = body(Index(program, index, bounds), jax.tree.unflatten(structure, given))
            following, same = jax.tree.flatten(found)
            if same != structure:
                raise program.mismatch(
                    "fori_loop", f"carries {structure}, but its body returned {same}",
                    "the body returns all that is carried, in the same order",
                )  # fmt: skip
            pairs = zip(following, given, _paths(init), strict=True)
            return [_carried(program, x, like, path) for x, like, path in pairs]

    at_zero = first.bounds == Interval(0, 0)
    known = last.bounds.low == last.bounds.high
    results = program.builder.loop(
        run,
        carried,
        start=None if at_zero else first.value,
        stop=max(0, int(last.bounds.low)) if known and at_zero else last.value,
        stages=stages,
    )
    return jax.tree.unflatten(structure, [Block(program, x) for x in results])


def _paths(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def _begin(program: Program, x: Any) -> Block:
    number = as_number(x)
    element = None if number is None else element_of(jnp.dtype(DTYPES[type(number)]))
    return as_block(program, x, element, "fori_loop")


def _carried(program: Program, x: Any, like: Block, path: str) -> SSAValue:
    kind = tile_of(like.value)
    found = as_block(program, x, kind.element, "fori_loop")
    if as_number(x) is not None and kind.sizes:
        return program.builder.spread(found.value, kind.sizes)
    if found.value.type != like.value.type:
        raise program.mismatch(
            "fori_loop",
            f"carries {describe(like)}{f' at {path}' if path else ''}, but its body returned "
            f"{describe(found)}",
            "shapes and dtypes stay: tile.cast, or begin with what the body returns",
        )
    return found.value
