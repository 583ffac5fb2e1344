"""The tile program of an op, where the op is lowered: planned by the compiler as a group of one node."""

import warnings
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import jax

from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.core.op import TILE
from tessera.core.primitive import PREFIX, Flat

CACHED = 4096  # combinations of op, types and parameters
_said: set[str] = set()  # what a warning was given of in this process


def unavailable(platform: str) -> str | None:
    """Returns why no kernel can run on a platform on this installation, with the way out, or None."""
    from tessera.lowering import kernels  # the compiler: slow to import

    return kernels.unavailable(platform)


def tile_program(
    primitive: Any, types: tuple[Any, ...], params: Mapping[str, Any], platform: str
) -> Flat | str:
    """Returns what runs an op's tile program for operands of these types on a platform, or why nothing can.

    Where the programs of the platform cannot run on this installation, a call that asks for them by name is
    `E_TILE_LOWERING`, and any other a warning, once for each reason.
    """
    reason = unavailable(platform)
    if reason is not None:
        name = primitive.name.removeprefix(PREFIX)
        if params["algorithm"] == TILE:
            raise CompileError(
                Code.E_TILE_LOWERING, f"{name}: no tile program on {platform}: {reason}"
            )
        _warn_once(f"{name} runs without its tile program on {platform}: {reason}", reason)
        return reason
    bare = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types)
    return _tile_program(primitive, bare, tuple(sorted(params.items())), platform)


def _warn_once(text: str, reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        warnings.warn(text, TesseraWarning, stacklevel=2)


@lru_cache(CACHED)
def _tile_program(
    primitive: Any, types: tuple[Any, ...], params: tuple[tuple[str, Any], ...], platform: str
) -> Flat | str:
    # The compiler is slow to import and needed by this alone.
    from tessera.lowering import SCHEDULE_PASSES, run_passes
    from tessera.lowering.choose import groups_of
    from tessera.lowering.jaxpr_to_graph import capture
    from tessera.lowering.kernels import kernels_for
    from tessera.lowering.rule import Context
    from tessera.runtime import peaks

    traced = jax.make_jaxpr(partial(primitive.bind, **dict(params)))(*types)
    module = capture(traced, primitive.name)
    run_passes(module, Context(peaks.device(platform)), SCHEDULE_PASSES)
    groups = list(groups_of(module))
    if len(groups) != 1:
        return "it is no op of its own to the compiler"
    (group,) = groups
    if group.runs is None or group.runs.data != TILE:
        return "" if group.reason is None else group.reason.data.removeprefix("no tile program: ")
    kernels = kernels_for(group, platform)

    def run(*operands: Any, **_params: Any) -> list[jax.Array]:
        return kernels(*operands)

    return run
