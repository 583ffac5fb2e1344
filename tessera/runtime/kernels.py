"""The tile program of an op, where the op is lowered: planned by the compiler as a group of one node."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import jax

from tessera.core.op import TILE
from tessera.core.primitive import Flat

CACHED = 4096  # combinations of op, types and parameters


def tile_program(
    primitive: Any, types: tuple[Any, ...], params: Mapping[str, Any], platform: str
) -> Flat | None:
    """Returns what runs an op's tile program for operands of these types on a platform, or None.

    None also where the programs of the platform cannot run on this installation.
    """
    bare = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types)
    return _tile_program(primitive, bare, tuple(sorted(params.items())), platform)


@lru_cache(CACHED)
def _tile_program(
    primitive: Any, types: tuple[Any, ...], params: tuple[tuple[str, Any], ...], platform: str
) -> Flat | None:
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
    if len(groups) != 1 or groups[0].runs is None or groups[0].runs.data != TILE:
        return None
    kernels = kernels_for(groups[0], platform)

    def run(*operands: Any, **_params: Any) -> list[jax.Array]:
        return kernels(*operands)

    return run
