"""A program as an op: what runs it, when it is checked, and what is given to the user's function."""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from xdsl.dialects.builtin import ModuleOp, StringAttr

from tessera.core.dims import Signature, Term, parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op
from tessera.ir.check import verify
from tessera.ir.graph import OP_PREFIX
from tessera.ir.tile import Func, Tile
from tessera.ir.types import element_of
from tessera.lowering import emit_triton
from tessera.lowering.configs import GPUS
from tessera.lowering.tile_programs import recorded
from tessera.lowering.tile_programs.recorded import Call, Operand, Recorded
from tessera.tile import program as programs
from tessera.tile.access import Array
from tessera.tile.program import Program

PREFIX = "tile_kernel."
# A node with one of these ends is a part of an op; a kernel may have such a name all the same.
PARTS = ("_forward", "_tangent", "_bwd")
CHECKED = 4096  # combinations of types and static arguments that are not checked again
Backward = Callable[[dict[str, Any], Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Written:
    """A kernel as its user wrote it: the program, what it equals, and where and how it runs."""

    name: str
    program: Callable[..., None]
    reference: Callable[..., Any]
    dims: Signature
    blocks: tuple[int, ...]
    platforms: tuple[str, ...]


def define(
    name: str,
    program: Callable[..., None],
    reference: Callable[..., Any],
    dims: str,
    *,
    kinds: str | Sequence[str],
    tile: int | Sequence[int],
    warps: int,
    platforms: Sequence[str],
    vjp: Backward | None,
) -> Op[..., Any]:
    """Returns the op of a kernel: it runs the program where it can, and is the reference everywhere else."""
    blocks = (tile,) if isinstance(tile, int) else tuple(tile)
    written = Written(name, program, reference, parse(dims), blocks, tuple(platforms))
    _check_blocks(written)
    own = _own_name(name)

    @functools.wraps(reference)
    def checked(*operands: Any, **statics: Any) -> Any:
        out = reference(*operands, **statics)
        given = tuple(None if x is None else _Type(x.shape, x.dtype) for x in operands)
        outs = out if isinstance(out, tuple) else (out,)
        types = tuple(_Type(x.shape, x.dtype) for x in outs)
        _check(written, given, types, tuple(sorted(statics.items())))
        return out

    checked.__signature__ = _signature(reference, len(written.dims.operands))  # type: ignore[attr-defined]
    op = Op(checked, written.dims, kinds, own)
    _check_parameters(written, op)
    op.def_tile(platforms=written.platforms)
    if vjp is not None:
        op.def_vjp(functools.partial(_backward, name, op.operand_names, vjp))
    write = functools.partial(_write, written, op.operand_names)
    recorded.RECORDED[OP_PREFIX + own] = Recorded(write, blocks, warps)
    return op


def _signature(reference: Callable[..., Any], operands: int) -> inspect.Signature:
    """Returns the parameters a kernel has: without those after its operands that have a default.

    >>> _signature(lambda x, axis=-1, *, scale=1: x, 1)
    <Signature (x, *, scale=1)>
    """
    parameters = list(inspect.signature(reference).parameters.values())
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    extra = [p for p in positional[operands:] if p.default is not p.empty]
    return inspect.Signature([p for p in parameters if p not in extra])


def _own_name(name: str) -> str:
    own = PREFIX + (f"{name}_kernel" if name.endswith(PARTS) else name)
    names = itertools.chain([own], (f"{own}_{n}" for n in itertools.count(2)))
    return next(each for each in names if OP_PREFIX + each not in recorded.RECORDED)


# -- writing a kernel ----------------------------------------------------------------------------------


def _write(written: Written, names: Sequence[str], call: Call) -> Func:
    """Returns the kernel of one call: what the user's function writes for its arrays."""
    call = replace(call, name=written.name)
    present = call.params["present"]
    outputs = tuple(_output_names(written, len(names)))
    batch, hidden = _batch(written.dims, names, present, call)
    program = Program(call, batch)
    rest = zip(call.operands, hidden, strict=False)
    inputs = [
        Array(program, name, *next(rest)) if there else None
        for name, there in zip(names, present, strict=True)
    ]
    results = [
        Array(program, name, result, hidden[-1], place)
        for place, (name, result) in enumerate(zip(outputs, call.results, strict=True))
    ]
    statics = {k: v for k, v in call.params.items() if k not in ("present", "algorithm")}
    arrays = [x for x in (*inputs, *results) if x is not None]
    program.names = {x.operand.place: x.name for x in arrays if x.operand.place is not None}
    return programs.write(program, lambda: written.program(*inputs, *results, **statics), outputs)


def _batch(
    dims: Signature, names: Sequence[str], present: Sequence[bool], call: Call
) -> tuple[tuple[int, ...], list[int]]:
    """Returns the axes of the batch, and how many of them each operand has, then each output."""
    if dims.batch is None:
        return (), [0] * (len(call.operands) + 1)
    live = iter(call.operands)
    types = [next(live).type if there else None for there in present]
    statics = {k: v for k, v in call.params.items() if k not in ("present", "algorithm")}
    shapes = [None if kind is None else kind.sizes for kind in types]
    batch = dims.bind(call.name, names, shapes, statics).get(dims.batch, ())
    assert isinstance(batch, tuple)
    hidden = [
        len(batch) if _has_batch(term, dims.batch, kind) else 0
        for term, kind in zip(dims.operands, types, strict=True)
        if kind is not None
    ]
    return batch, [*hidden, len(batch)]


def _has_batch(term: Term, group: str, kind: Tile) -> bool:
    lead = term.leads_with(group)
    return lead is not None and not (lead.optional and len(kind.sizes) == term.rank)


def _output_names(written: Written, operands: int) -> Iterator[str]:
    """Yields the names that the program gives the outputs."""
    parameters = [
        p.name
        for p in inspect.signature(written.program).parameters.values()
        if p.kind is not p.KEYWORD_ONLY
    ]
    yield from parameters[operands:]


# -- checking ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Type:
    shape: tuple[Any, ...]
    dtype: Any


@functools.lru_cache(CHECKED)
def _check(
    written: Written,
    operands: tuple[_Type | None, ...],
    results: tuple[_Type, ...],
    statics: tuple[tuple[str, Any], ...],
) -> None:
    """Raises what is wrong with the program for operands of these types, for a GPU as for a CPU.

    It says so where the kernel is called, on any machine. Sizes known by name only are checked when known.
    """
    present = tuple(x is not None for x in operands)
    live = [x for x in operands if x is not None]
    if not all(isinstance(n, int) and n > 0 for x in (*live, *results) for n in x.shape):
        return
    types = [recorded.array_type(x.shape, element_of(x.dtype)) for x in (*live, *results)]
    each = [Operand(kind, place) for place, kind in enumerate(types)]
    call = Call(
        name=written.name,
        arrays=tuple(types),
        outputs=len(results),
        operands=tuple(each[: len(live)]),
        results=tuple(each[len(live) :]),
        params={"present": present, "algorithm": None, **dict(statics)},
        blocks=written.blocks,
        padded=False,
        said={},
    )
    names = _signature(written.reference, len(written.dims.operands)).parameters
    names = tuple(p.name for p in names.values() if p.kind is not p.KEYWORD_ONLY)
    on_gpu = any(platform in GPUS for platform in written.platforms)
    for padded in (False, True) if on_gpu else (False,):
        kernel = _write(written, names, replace(call, padded=padded))
        verify(ModuleOp([kernel], {"level": StringAttr("tile")}))
        if padded:
            emit_triton.source(kernel)


def _check_blocks(written: Written) -> None:
    for axis, size in enumerate(written.blocks):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise invalid(
                f"tile of {written.name!r} has sizes of at least 1, but entry {axis} is {size!r}"
            )
        nearest = 1 << (size - 1).bit_length()
        if size != nearest and any(platform in GPUS for platform in written.platforms):
            legal = tuple(1 << (n - 1).bit_length() for n in written.blocks)
            raise CompileError(
                Code.E_TILE_LOWERING,
                f"{written.name}: an axis of a block has a power of two elements on GPUs, but entry "
                f"{axis} of tile {written.blocks} is {size}.",
                hints=f"The nearest legal tile is {legal}; platforms=('cpu',) allows any.",
                where="tile",
            )


def _check_parameters(written: Written, op: Op[..., Any]) -> None:
    outputs = len(list(_output_names(written, len(op.operand_names))))
    given = list(inspect.signature(written.program).parameters)
    if outputs != len(written.dims.outputs):
        raise invalid(
            f"the program of {written.name!r} takes ({', '.join(given)}), but the operands of the reference "
            f"({', '.join(op.operand_names)}) and {len(written.dims.outputs)} outputs of {written.dims} come "
            f"to {len(op.operand_names) + len(written.dims.outputs)} parameters"
        )


def invalid(problem: str) -> CompileError:
    """Returns the error of a kernel that cannot be registered."""
    return CompileError(Code.E_GRAPH_INVALID, f"tile_kernel: {problem}.")


# -- the backward --------------------------------------------------------------------------------------


def _backward(
    name: str,
    names: Sequence[str],
    vjp: Backward,
    residuals: Any,
    cotangent: Any,
    **statics: Any,
) -> list[jax.Array | None]:
    """Returns the gradients that a kernel's own backward gives, one per operand."""
    operands = dict(zip(names, residuals.operands, strict=True))
    arrays = {word: x for word, x in operands.items() if x is not None}
    found = vjp({**arrays, **statics}, cotangent)
    wanted = [word for word, x in arrays.items() if jnp.issubdtype(x.dtype, jnp.inexact)]
    missing = [word for word in wanted if word not in found]
    if missing:
        raise invalid(
            f"vjp of {name!r} gave no gradient for {missing[0]!r}, but for {', '.join(found) or 'nothing'}"
        )
    return [found[word] if word in wanted else None for word in names]
