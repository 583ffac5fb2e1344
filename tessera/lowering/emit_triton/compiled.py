"""What Triton's compilers make of a kernel, and what the code needs, on a machine without that GPU."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.lowering.emit_triton.installed import triton_module
from tessera.lowering.emit_triton.module import function
from tessera.lowering.emit_triton.source import TritonSource

# Backend, architecture and threads of a warp, as Triton names them.
TARGETS: Mapping[str, tuple[str, int | str, int]] = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
BYTES_OF_A_REGISTER = 4
ALIGNED = (
    "D"  # Triton's word for a pointer that is a multiple of 16 bytes, as all arrays of XLA are
)


@dataclass(frozen=True)
class Compiled:
    """A kernel for one target: the text of every level, and what one thread or program of it needs.

    `assembly` is PTX or AMDGCN. `registers` and `spill_bytes` are of one thread, `shared_bytes` of one
    program of `warps` warps.
    """

    target: str
    ttir: str
    ttgir: str
    llvm: str
    assembly: str
    registers: int
    spill_bytes: int
    shared_bytes: int
    warps: int


@lru_cache(maxsize=256)
def compile_source(source: TritonSource, target: str) -> Compiled:
    """Returns what a kernel becomes for one of `TARGETS`.

    Raises `ImportError` without Triton, and `E_TARGET_CODEGEN` for an unknown target or a kernel its
    compiler refuses.
    """
    if target not in TARGETS:
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{source.name}: unknown target {target!r}.",
            hints=f"One of: {', '.join(TARGETS)}.",
            where="target",
        )
    found = _compile(source, target)
    nvidia = TARGETS[target][0] == "cuda"
    assembly = found.asm["ptx" if nvidia else "amdgcn"]
    registers, spills = _ptx_resources(assembly, target) if nvidia else _amd_resources(assembly)
    metadata = found.metadata
    return Compiled(
        target,
        found.asm["ttir"],
        found.asm["ttgir"],
        found.asm["llir"],
        assembly,
        registers,
        spills,
        metadata.shared,
        metadata.num_warps,
    )


def _compile(source: TritonSource, target: str) -> Any:
    triton = triton_module()
    compiler = triton_module("triton.compiler")
    kind = triton_module("triton.backends.compiler").GPUTarget(*TARGETS[target])
    kernel = function(source)
    names = kernel.arg_names
    attributes = compiler.make_backend(kind).parse_attr(ALIGNED)
    program = compiler.ASTSource(
        kernel,
        {name: array.signature for name, array in zip(names, source.arrays, strict=True)},
        attrs={(place,): attributes for place in range(len(names))},
    )
    options = {"num_warps": source.warps, "num_stages": source.stages}
    try:
        return triton.compile(program, target=kind, options=options)
    except (RuntimeError, triton.CompilationError) as error:
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{source.name}: Triton cannot compile it for {target}: {error}",
            hints="Use other blocks, or let XLA compile this group.",
            where="target",
        ) from error


def _ptx_resources(ptx: str, target: str) -> tuple[int, int]:
    """Returns registers and bytes of spilled stores and loads of one thread, as ptxas counts them."""
    architecture = TARGETS[target][1]
    compiler = triton_module("triton.backends.nvidia.compiler")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kernel.ptx"
        path.write_text(ptx)
        said = subprocess.run(
            [
                compiler.get_ptxas(architecture).path,
                "-v",
                f"--gpu-name={compiler.sm_arch_from_capability(architecture)}",
                str(path),
                "-o",
                str(path.with_suffix(".cubin")),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stderr
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    registers = re.search(r"Used (\d+) registers", said)
    assert spilled is not None, said
    assert registers is not None, said
    return int(registers.group(1)), int(spilled.group(1)) + int(spilled.group(2))


def _amd_resources(text: str) -> tuple[int, int]:
    """Returns vector registers and spilled bytes of one thread, as the metadata of the code says."""
    said = {
        name: int(count)
        for name, count in re.findall(r"\.(vgpr_count|vgpr_spill_count):\s*(\d+)", text)
    }
    return said["vgpr_count"], said["vgpr_spill_count"] * BYTES_OF_A_REGISTER
