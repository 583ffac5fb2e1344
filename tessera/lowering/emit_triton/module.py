"""The text of a kernel as a function Triton can compile.

Triton reads a kernel's source from the file it stands in, so the text is written to the cache directory,
named by its content: `TESSERA_CACHE_DIR`, or `~/.cache/tessera`.
"""

import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.lowering.emit_triton.installed import triton_module
from tessera.lowering.emit_triton.source import TritonSource

CACHE_VARIABLE = "TESSERA_CACHE_DIR"
DEFAULT_CACHE = "~/.cache/tessera"
LONGEST_NAME = 100  # characters of a kernel's name in that of its file

_functions: dict[tuple[str, str], Any] = {}


def function(source: TritonSource) -> Any:
    """Returns the `@triton.jit` function of a kernel, made once.

    Raises `ImportError` without Triton, and `E_CACHE_IO` where its file cannot be written.
    """
    path = write(source)
    key = (source.digest, str(path))
    if key not in _functions:
        triton_module()
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        exec(compile(source.text, str(path), "exec"), vars(module))
        _functions[key] = vars(module)[source.name]
    return _functions[key]


def write(source: TritonSource) -> Path:
    """Returns the file that holds the text of a kernel, and writes it where it does not."""
    directory = cache_directory()
    path = directory / f"{source.name[:LONGEST_NAME]}_{source.digest}.py"
    try:
        if not path.exists() or path.read_text() != source.text:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, source.text)
    except OSError as error:
        raise CompileError(
            Code.E_CACHE_IO,
            f"{source.name}: its source cannot be written to {path}: {error.strerror}.",
            hints=f"Set {CACHE_VARIABLE} to a directory that can be written.",
            where="target",
        ) from error
    return path


def cache_directory() -> Path:
    """Returns the directory that holds the text of kernels."""
    return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser() / "triton"


def _replace(path: Path, text: str) -> None:
    """Writes a file at once, so that no other process reads half of it; only its owner can read it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
