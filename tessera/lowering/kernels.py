"""Groups that run as tile programs: one primitive per group, the kernels under it, the reference above it.

A group whose `runs` is "tile" becomes one equation. It is differentiated, mapped and lowered for platforms it
was not planned for through its reference, the equations of its nodes; on the platform it was planned for its
kernels run, each emitted from the same program:

    cpu          loops of StableHLO
    cuda, rocm   Triton, called through jax-triton
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn
from jax.interpreters import ad
from xdsl.dialects.builtin import ModuleOp

from tessera.core import compat
from tessera.core.dims import Signature
from tessera.core.errors import Code, CompileError
from tessera.core.op import TILE, jvp_of, transpose_of
from tessera.core.primitive import make_primitive
from tessera.ir.attributes import to_attribute
from tessera.ir.schedule import Group
from tessera.ir.tile import Func
from tessera.lowering import emit_stablehlo, emit_triton
from tessera.lowering.choose import groups_of
from tessera.lowering.graph_to_jaxpr import emit_group
from tessera.lowering.rule import Context
from tessera.lowering.schedule_to_tile import closed_over, kernels_of

Run = Callable[..., list[jax.Array]]
Emitter = Callable[[Func], Run]

EMITTERS: Mapping[str, Emitter] = {
    "cpu": emit_stablehlo.emit,
    "cuda": emit_triton.call,
    "rocm": emit_triton.call,
}
# Says, per platform, why no kernel can run there on this installation, or None.
UNAVAILABLE: Mapping[str, Callable[[], str | None]] = {
    "cuda": emit_triton.unavailable,
    "rocm": emit_triton.unavailable,
}
# Raises `E_TILE_LOWERING` for a kernel that the language of a platform cannot express.
CHECKS: Mapping[str, Callable[[Func], Any]] = {
    "cuda": emit_triton.source,
    "rocm": emit_triton.source,
}


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of a group in order, and how its values go through them."""

    programs: tuple[Func, ...]
    closed_over: tuple[np.ndarray, ...]
    platform: str
    results: int

    @cached_property
    def _calls(self) -> list[tuple[Func, Run]]:
        emit = EMITTERS[self.platform]
        return [(program, emit(program)) for program in self.programs]

    def __call__(self, *inputs: jax.Array) -> list[jax.Array]:
        """Runs the kernels and returns the results of the group."""
        values: dict[int, Any] = dict(enumerate((*inputs, *self.closed_over)))
        first = len(values)
        for program, call in self._calls:
            read = len(program.arrays) - len(program.written)
            found = call(*(values[place] for place in program.places[:read]))
            values.update(zip(program.places[read:], found, strict=True))
        return [values[first + i] for i in range(self.results)]


@dataclass(frozen=True, eq=False)
class Body:
    """What a group computes, as the equations of its nodes, and the kernels that compute it on a platform."""

    name: str
    reference: compat.ClosedJaxpr
    kernels: Kernels

    def __repr__(self) -> str:
        return f"<{self.name} on {self.kernels.platform}>"


def unavailable(platform: str) -> str | None:
    """Returns why no kernel can run on a platform on this installation, with the way out, or None."""
    return UNAVAILABLE[platform]() if platform in UNAVAILABLE else None


def kernels_for(group: Group, platform: str) -> Kernels:
    """Returns the kernels of a group on a platform.

    Raises `E_TILE_LOWERING`, with the reason, for a group that has none or none that can run there.
    """
    if platform not in EMITTERS:
        raise CompileError(
            Code.E_TILE_LOWERING,
            f"there is no emitter of tile programs for {platform}",
            where="tile",
        )
    reason = unavailable(platform)
    if reason is not None:
        raise CompileError(Code.E_TILE_LOWERING, reason, where="tile")
    programs = tuple(kernels_of(group, 0))
    for program in programs:
        CHECKS.get(platform, lambda _: None)(program)
    return Kernels(programs, tuple(closed_over(group)), platform, len(group.results))


def check(module: ModuleOp, context: Context) -> bool:
    """Leaves to XLA, with the reason, each group that should run as a tile program and cannot.

    tessera.schedule.fuse {pattern = "softmax", runs = "tile"}
        →  {pattern = "softmax", runs = "xla", reason = "the columns are sharded: …"}
    """
    changed = False
    for group in groups_of(module):
        if group.runs is None or group.runs.data != TILE:
            continue
        try:
            kernels_for(group, context.device.platform)
        except CompileError as error:
            if error.code is not Code.E_TILE_LOWERING:
                raise
            group.attributes["runs"] = to_attribute("xla")
            group.attributes["reason"] = to_attribute(f"no tile program: {error.message}")
            changed = True
    return changed


def equation_of(group: Group, platform: str) -> JaxprEqn:
    """Returns the equation that runs a group as its tile program."""
    reference = emit_group(group)
    name = "_".join((group.name if group.pattern is None else group.pattern.data).split("+"))
    body = Body(name, reference, kernels_for(group, platform))
    jaxpr, _ = compat.opened(reference)
    types = [v.aval for v in jaxpr.invars]
    with jaxpr.eqns[0].ctx.manager:  # of the mesh around it, whose axes types may name
        traced = jax.make_jaxpr(partial(KERNEL.bind, body=body))(*types)
    (equation,) = compat.opened(traced)[0].eqns
    return equation


def _reference(*operands: Any, body: Body) -> list[Any]:
    return compat.evaluate(*compat.opened(body.reference), *operands)


def _kernels(*operands: Any, body: Body) -> list[Any]:
    return body.kernels(*operands)


def _choose(ctx: Any, types: Sequence[Any], params: dict[str, Any]) -> Run:
    here = compat.platform_of(ctx) == params["body"].kernels.platform
    split = compat.devices_of(ctx) > 1 or any(map(compat.explicitly_sharded, types))
    return _kernels if here and not split else _reference


def _no_batch(_params: dict[str, Any]) -> Signature:
    return Signature((), ())


KERNEL = make_primitive("kernel", _reference, _no_batch, choose=_choose)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, body: Body) -> Any:
    return jvp_of(partial(_reference, body=body), primals, tangents)


def _transpose(cotangents: Sequence[Any], *xs: Any, body: Body) -> list[Any]:
    return transpose_of(partial(_reference, body=body), cotangents, xs)


ad.primitive_jvps[KERNEL] = _jvp
ad.primitive_transposes[KERNEL] = _transpose
