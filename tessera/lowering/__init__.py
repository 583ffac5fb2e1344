"""The compiler on one screen: from a traced function to a traced function, through levels that can be read.

    jaxpr ─▶ Graph ─ GRAPH_PASSES ─▶ Graph ─ SCHEDULE_PASSES ─▶ Schedule ─▶ jaxpr ─▶ XLA
                                                                   └▶ Tile ─▶ StableHLO, Triton ┘

A pass is a small function of a module and a context. The driver verifies what a pass has made and names the
pass on failure; `TESSERA_DUMP=<pass>` or `TESSERA_DUMP=all` prints the module before and after.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from xdsl.dialects.builtin import ModuleOp

from tessera.core.errors import Code, CompileError
from tessera.ir.check import verify
from tessera.ir.text import to_text
from tessera.lowering.choose import choose, decides, pipeline_loads
from tessera.lowering.graph_to_schedule import group
from tessera.lowering.idioms import RULES
from tessera.lowering.kernels import check
from tessera.lowering.rewrite import Context, apply_rule
from tessera.lowering.simplify import cse, dce, fold

DUMP_VARIABLE = "TESSERA_DUMP"


@dataclass(frozen=True)
class Pass:
    """A named step that changes a module in place and returns whether it did."""

    name: str
    run: Callable[[ModuleOp, Context], bool]


SIMPLIFY = (Pass("fold", fold), Pass("cse", cse), Pass("dce", dce))
GRAPH_PASSES = (
    *SIMPLIFY,
    *(Pass(rule.name, partial(apply_rule, rule)) for rule in RULES),
    *SIMPLIFY,
)
SCHEDULE_PASSES = (
    Pass("fuse", group),
    Pass("choose-configs", choose),
    Pass("pipeline", pipeline_loads),
    Pass("check-tiles", check),
)
PASSES = {step.name: step for step in (*GRAPH_PASSES, *SCHEDULE_PASSES)}
# The passes that need no more than a text says; the others need the equations of a captured function.
TEXT_PASSES = ("cse", "dce", *(step.name for step in SCHEDULE_PASSES))


def run_passes(
    module: ModuleOp,
    context: Context,
    passes: Iterable[Pass],
    again: Callable[[], ModuleOp] | None = None,
) -> None:
    """Runs passes over a module in place, verifying what each has changed.

    With `again`, which makes the module anew, it is verified once, after all passes. Only if that fails are
    they run again, over a new module and one by one, to find the pass to name.

    Raises the `CompileError` of a broken rule, with the name of the pass that broke it, and
    `E_GRAPH_INVALID` if `TESSERA_DUMP` names no pass.
    """
    steps, wanted = tuple(passes), os.environ.get(DUMP_VARIABLE, "")
    if wanted not in ("", "all", *PASSES):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{DUMP_VARIABLE}={wanted}: there is no pass {wanted!r}.",
            hints=f"all, or one of {', '.join(PASSES)}",
        )
    if again is None or wanted:
        for step in steps:
            _run_verified(step, module, context, shown=wanted in ("all", step.name))
        return
    try:
        for step in steps:
            step.run(module, context)
        verify(module)
    except Exception:  # whatever a pass makes of a module that one before it broke
        run_passes(again(), Context(context.device, context.table), steps)
        raise


def _run_verified(step: Pass, module: ModuleOp, context: Context, *, shown: bool) -> None:
    before = to_text(module) if shown else ""
    changed = step.run(module, context)
    if shown:
        _dump(step.name, before, to_text(module))
    if not changed:
        return
    try:
        verify(module)
    except CompileError as error:
        raise CompileError(
            error.code,
            f"pass {step.name!r} broke the module: {error.message}",
            hints=error.hints,
            where=error.where,
        ) from error


def is_planned(module: ModuleOp, context: Context) -> bool:
    """Whether a Graph module must go through `SCHEDULE_PASSES` to be run, or someone wants to see them."""
    return bool(os.environ.get(DUMP_VARIABLE)) or decides(module, context)


def passes_named(names: Iterable[str]) -> list[Pass]:
    """Returns passes by name; raises `E_GRAPH_INVALID` naming the known ones for any other.

    >>> [step.name for step in passes_named(["cse", "fuse"])]
    ['cse', 'fuse']
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in PASSES]
    if unknown:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"there is no pass {unknown[0]!r}; passes: {', '.join(PASSES)}.",
        )
    return [PASSES[name] for name in wanted]


def _dump(name: str, before: str, after: str) -> None:
    if before == after:
        sys.stderr.write(f"// -- {name}: no change\n")
        return
    sys.stderr.write(f"// -- before {name}\n{before}\n// -- after {name}\n{after}\n")
