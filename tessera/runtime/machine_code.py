"""What XLA makes of a program on a CPU: LLVM IR and the assembly of its own kernels.

XLA writes both to a folder while it compiles. Products, reductions and what else its libraries compute are
not in them: they call code that was compiled before.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

LEVELS = ("llvm", "asm")
OPTIONS = {"xla_dump_hlo_as_text": True, "xla_dump_emitter_re": ".*"}
NOTHING = "XLA compiled no kernel of its own for this function: its libraries compute all of it"


def text_of(lowered: Any, level: str) -> str:
    """Returns the LLVM IR ("llvm", optimised) or assembly ("asm") of what `jax.stages.Lowered` compiles to.

    Assembly is read back from object files by `objdump`; raises `FileNotFoundError` where it is missing.
    """
    disassemble = shutil.which("objdump") if level == "asm" else None
    if level == "asm" and disassemble is None:
        raise FileNotFoundError("inspect: level 'asm' needs objdump: install the package binutils.")
    with tempfile.TemporaryDirectory() as folder:
        lowered.compile(compiler_options={"xla_dump_to": folder, **OPTIONS})
        files = sorted(Path(folder).rglob("*.ir-with-opt.ll" if level == "llvm" else "*.o"))
        parts = [_part(file, disassemble) for file in files]
    return "\n".join(parts) or f"; {NOTHING}\n"


def _part(file: Path, disassemble: str | None) -> str:
    if disassemble is None:
        return (
            f"; {file.name.split('.', 2)[-1].removesuffix('.ir-with-opt.ll')}\n{file.read_text()}"
        )
    command = [disassemble, "-d", "--no-show-raw-insn", file]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name = file.name.split(".obj-file.", 1)[-1].removesuffix(".o")
    return f"; {name}\n{listing.split('Disassembly of section', 1)[-1]}"
