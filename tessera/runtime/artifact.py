r"""Programs on disk: a JSON header and the bytes of `jax.export`.

    TESSERA\\0 · length of the header (8 bytes, little-endian) · header (JSON) · program

The header says what the program is and where it runs, and holds a hash of the program; all of it is checked
before anything of the program is read.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
from jax import export

from tessera.core.arguments import ARRAYS, NUMBERS
from tessera.core.errors import Code, LaunchError

MAGIC = b"TESSERA\0"
ABI = (1, 0)  # major: older programs cannot be read; minor: fields were added


@dataclass(frozen=True)
class Header:
    """What an artifact says of itself. `inputs` are types as text, `names` those of the arguments."""

    name: str
    platforms: tuple[str, ...]
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    ir_hash: str
    sha256: str
    versions: dict[str, str]
    abi: tuple[int, int] = ABI


class Program:
    """A loaded program: call it with arguments of the types it was saved for."""

    def __init__(self, header: Header, exported: Any):
        self.header = header
        self._exported = exported
        self._call = jax.jit(exported.call)

    def __repr__(self) -> str:
        return f"<program {self.header.name}({', '.join(self.header.inputs)})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program.

        Raises `E_LAUNCH_INVALID_SHAPE` if the arguments' types are not those it was saved for.
        """
        arrays = [x for x in jax.tree.leaves((args, kwargs)) if _is_array(x)]
        wanted = self._exported.in_avals
        if len(arrays) != len(wanted):
            raise self._misfit(f"takes {len(wanted)} arrays, not {len(arrays)}")
        for name, x, aval in zip(self.header.names, arrays, wanted, strict=True):
            given = jax.typeof(x)
            if given.dtype != aval.dtype or not _fits(given.shape, aval.shape):
                raise self._misfit(f"takes {aval.str_short()} for {name}, not {given.str_short()}")
        return self._call(*arrays)

    def as_text(self) -> str:
        """Returns the StableHLO text of the program."""
        return self._exported.mlir_module()

    def _misfit(self, problem: str) -> LaunchError:
        return LaunchError(Code.E_LAUNCH_INVALID_SHAPE, f"program {self.header.name} {problem}.")


def save(path: str | Path, exported: Any, *, name: str, names: Any, ir_hash: str, derivatives: int):
    """Writes an exported program with its header; it can be differentiated `derivatives` times."""
    program = bytes(exported.serialize(vjp_order=derivatives))
    header = Header(
        name=name,
        platforms=tuple(exported.platforms),
        inputs=tuple(aval.str_short() for aval in exported.in_avals),
        names=tuple(names),
        ir_hash=ir_hash,
        sha256=hashlib.sha256(program).hexdigest(),
        versions={"jax": jax.__version__},
    )
    text = json.dumps(asdict(header), sort_keys=True).encode()
    Path(path).write_bytes(MAGIC + len(text).to_bytes(8, "little") + text + program)


def load(path: str | Path) -> Program:
    """Returns the program in a file.

    Raises `E_CACHE_IO` if the file is no artifact or damaged, `E_LAUNCH_DEVICE_MISMATCH` if it was written
    by an incompatible version or holds nothing for this platform.
    """
    data = Path(path).read_bytes()
    header, program = _opened(data, str(path))
    if header.abi[0] != ABI[0]:
        raise LaunchError(
            Code.E_LAUNCH_DEVICE_MISMATCH,
            f"{path} has format {header.abi[0]}, and this version reads format {ABI[0]}.",
            hints="save it again with this version",
        )
    if hashlib.sha256(program).hexdigest() != header.sha256:
        raise LaunchError(
            Code.E_CACHE_IO,
            f"{path} is damaged: its hash is not the one it states.",
            hints="save it again",
        )
    here = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if here not in header.platforms:
        raise LaunchError(
            Code.E_LAUNCH_DEVICE_MISMATCH,
            f"{path} was saved for {', '.join(header.platforms)}, and this is {here}.",
        )
    return Program(header, export.deserialize(bytearray(program)))


def _opened(data: bytes, path: str) -> tuple[Header, bytes]:
    start = len(MAGIC) + 8
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise LaunchError(
            Code.E_CACHE_IO,
            f"{path} is not a program saved by Tessera.",
            hints='write one with tessera.compile(f).save("f.tsr", *types)',
        )
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    try:
        fields = json.loads(data[start:end])
        return Header(**{k: _frozen(v) for k, v in fields.items()}), data[end:]
    except (ValueError, TypeError) as error:
        raise LaunchError(
            Code.E_CACHE_IO, f"{path} has a header that cannot be read: {error}."
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_array(x: Any) -> bool:
    return isinstance(x, (*ARRAYS, *NUMBERS))


def _fits(given: Any, wanted: Any) -> bool:
    sizes = zip(given, wanted, strict=False)
    return len(given) == len(wanted) and all(not isinstance(n, int) or m == n for m, n in sizes)
