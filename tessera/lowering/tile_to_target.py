"""Tile → Target: the text of every kernel at a level of its machine, on a computer that has no such machine.

    triton    the Triton source that is called
    ttir      what Triton makes of it: its own IR,
    ttgir     the same with layouts of threads,
    llvm      LLVM IR,
    ptx       NVIDIA's assembly (sm_80, sm_90, sm_100),
    amdgcn    AMD's (gfx942)

Above the text of a kernel stands what executes its group and, from `ttir` on, the registers, scratch and
spilled bytes its machine code needs.
"""

from collections.abc import Callable, Iterator, Mapping

from xdsl.dialects.builtin import ModuleOp, StringAttr

from tessera.core.errors import Code, CompileError
from tessera.ir.tile import Func
from tessera.lowering import emit_triton
from tessera.lowering.emit_triton import Compiled

# Which text of a compiled kernel a level is.
COMPILED: Mapping[str, Callable[[Compiled], str]] = {
    "ttir": lambda found: found.ttir,
    "ttgir": lambda found: found.ttgir,
    "llvm": lambda found: found.llvm,
    "ptx": lambda found: found.assembly,
    "amdgcn": lambda found: found.assembly,
}
LEVELS = ("triton", *COMPILED)
# Levels that only one maker's devices have, by how the names of their architectures begin.
MAKERS = {"ptx": "sm_", "amdgcn": "gfx"}
COMMENTS = {"triton": "#", "llvm": ";", "amdgcn": ";"}


def target_text(tiles: ModuleOp, level: str, architecture: str) -> str:
    """Returns the text of every kernel of a Tile module at one of `LEVELS`, for an architecture.

    Raises `E_TARGET_CODEGEN` for an architecture that has no such level, and `ImportError`, naming the extra,
    without Triton where it compiles.
    """
    wanted = MAKERS.get(level, "")
    if not architecture.startswith(wanted):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"inspect: {architecture} has no level {level!r}.",
            hints=f"a target whose name begins with {wanted}: {', '.join(emit_triton.TARGETS)}",
        )
    mark = COMMENTS.get(level, "//")
    parts = [_kernel_text(op, level, architecture, mark) for op in _kernels(tiles)]
    return "\n".join(parts) or f"{mark} no group has a tile program\n"


def _kernels(tiles: ModuleOp) -> Iterator[Func]:
    for op in tiles.body.block.ops:
        if isinstance(op, Func):
            yield op


def _kernel_text(kernel: Func, level: str, architecture: str, mark: str) -> str:
    runs = kernel.attributes.get("runs")
    by = f", run by {runs.data}" if isinstance(runs, StringAttr) and runs.data != "tile" else ""
    head = f"{mark} @{kernel.sym_name.data}{by}"
    try:
        source = emit_triton.source(kernel)
    except CompileError as error:
        if error.code is not Code.E_TILE_LOWERING:
            raise
        return f"{head}: {error.message}\n"
    if level == "triton":
        return f"{head}\n{source.text}"
    found = emit_triton.compile_source(source, architecture)
    needs = (
        f"{found.registers} registers, {found.shared_bytes} bytes of scratch, "
        f"{found.spill_bytes} bytes spilled"
    )
    return f"{head} on {architecture}: {needs}\n{COMPILED[level](found)}"
