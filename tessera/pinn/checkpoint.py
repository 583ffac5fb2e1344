"""A run of training in one file: what it is of, where it stands, and all arrays to go on from, bit for bit.

The file is one line of JSON, then the arrays as Equinox serialises leaves. It is written beside its place and
renamed into it, so that what is there is always whole.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from inspect import isroutine
from pathlib import Path
from typing import IO, Any

import equinox as eqx
import jax

from tessera.core.errors import Code, CompileError

FORMAT = 1

# What may change from a run to the one that goes on with it.
MAY_CHANGE = frozenset({"iterations", "tolerance"})


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept, and after how many iterations it is written; also once at its end."""

    path: str | Path
    every: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"Checkpoint: every is {self.every!r}; it must be a positive integer.",
            )


# JSON: what a run is of, and where it stands.
Header = dict[str, Any]


def save(path: str | Path, identity: Mapping[str, str], place: Header, arrays: Any) -> None:
    """Writes a run to a file, or leaves the file as it was.

    `identity` says what the run is of, `place` is any JSON, `arrays` a tree. Raises `OSError` if the place
    cannot be written to.

    >>> import jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/run", {"problem": "wave"}, {"iteration": 3}, jnp.arange(2.0))
    ...     with opened(folder + "/run", {"problem": "wave"}) as run:
    ...         print(run.place, run.arrays(jnp.zeros(2)))
    {'iteration': 3} [0. 1.]
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "identity": dict(identity), "place": place}
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            eqx.tree_serialise_leaves(file, jax.device_get(arrays))
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Opened:
    """A file whose header is read: where the run stands; its arrays are read next, once."""

    path: Path
    place: Header
    file: IO[bytes]

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.file.close()

    def arrays(self, like: Any) -> Any:
        """Returns the tree of arrays, shaped as `like`; raises `E_CACHE_IO` if they are shaped otherwise."""
        try:
            return eqx.tree_deserialise_leaves(self.file, like)
        except (RuntimeError, ValueError, TypeError, EOFError, OSError) as error:
            raise _unreadable(self.path, str(error).partition("\n")[0]) from error


def opened(path: str | Path, identity: Mapping[str, str]) -> Opened:
    """Returns a file of `save`, opened.

    Raises `E_CACHE_IO` for a file that is none, and `E_GRAPH_INVALID`, with both values, if it is of another
    run than `identity` says.
    """
    path = Path(path)
    file = path.open("rb")
    try:
        header = json.loads(file.readline())
        found, place = header["identity"], header["place"]
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']}, not {FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        file.close()
        raise _unreadable(path, str(error)) from error
    for word, wanted in identity.items():
        if found.get(word) != wanted:
            file.close()
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"train: the checkpoint {path} is of another {word}: {found.get(word)}; this is {wanted}.",
                hints="give another path, or resume=False to begin anew and replace it",
            )
    return Opened(path, place, file)


def described(value: Any) -> str:
    """Returns settings as text that is the same in every process: functions by name, without what may change.

    >>> from tessera.pinn.optimizers import LevenbergMarquardt
    >>> described(LevenbergMarquardt(60))
    'LevenbergMarquardt(damping=0.01, every=1)'
    """
    if is_dataclass(value) and not isinstance(value, type):
        words = [field.name for field in fields(value) if field.name not in MAY_CHANGE]
        inside = ", ".join(f"{word}={described(vars(value)[word])}" for word in words)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(described, value)) + ")"
    if isinstance(value, partial):
        return (
            f"partial({described(value.func)}, {described(value.args)}, {sorted(value.keywords)})"
        )
    if isroutine(value) or isinstance(value, type):
        return value.__qualname__
    return type(value).__name__ if callable(value) else repr(value)


def shape_of(model: Any) -> str:
    """Returns the places and shapes of all arrays of a model as text."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    return ", ".join(
        f"{jax.tree_util.keystr(place).removeprefix('.')} {leaf.dtype}{list(leaf.shape)}"
        for place, leaf in leaves
    )


def _unreadable(path: Path, why: str) -> CompileError:
    return CompileError(
        Code.E_CACHE_IO,
        f"train: {path} cannot be read as a checkpoint: {why}.",
        hints="give another path, or resume=False to begin anew and replace it",
    )
