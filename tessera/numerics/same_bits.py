"""Whether a function gives the same bits: run after run, and on every kind of device there is."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import determinism, numerics
from tessera.core.errors import Code, CompileError
from tessera.numerics.at_level import reproducible

BACKENDS = {"cpu": "cpu", "ptx": "cuda", "cuda": "cuda", "rocm": "rocm"}
SKIPPED = "skipped"


@dataclass(frozen=True)
class Verdict:
    """Whether runs gave the same bits; `differs` is the path of the first result that did not, "" if none."""

    equal: bool
    runs: int
    digests: tuple[str, ...]
    differs: str


@dataclass(frozen=True)
class CrossCheck:
    """What became of each backend: skipped, the reference, equal bits, within tolerance, or what differs."""

    outcomes: dict[str, str]
    by_bits: bool

    @property
    def passed(self) -> bool:
        """Whether no backend that is there differs."""
        return not any(word.startswith("differs") for word in self.outcomes.values())

    def __str__(self) -> str:
        how = "bit for bit" if self.by_bits else "within tolerance"
        lines = (f"{name:8} {outcome}" for name, outcome in self.outcomes.items())
        return "\n".join([f"forward and backward, {how}:", *lines])


def check_determinism(function: Callable[..., Any], *args: Any, runs: int = 5) -> Verdict:
    """Returns whether a function gives the same bits in every one of some runs, compiled anew for each.

    The level is that of the scope. Raises `E_GRAPH_INVALID` for fewer than two runs, and what the function
    raises.

    >>> check_determinism(jnp.sum, jnp.arange(4.0), runs=2).equal
    True
    """
    if runs < 2:
        raise _invalid(f"runs is {runs}; a comparison needs at least 2", "check_determinism")
    first: list[Any] = []
    digests: list[str] = []
    differs = ""
    for _ in range(runs):
        # A function of its own each time: `jit` keeps what it compiled by function.
        paths = jax.tree.leaves_with_path(jax.jit(lambda *xs: function(*xs))(*args))
        arrays = [np.asarray(x) for _, x in paths]
        first = first or arrays
        digests.append(_digest(arrays))
        if not differs:
            differs = _first_difference([p for p, _ in paths], first, arrays)
    return Verdict(len(set(digests)) == 1, runs, tuple(digests), differs)


def validate_cross_hardware(
    function: Callable[..., Any],
    *args: Any,
    backends: Sequence[str] = ("cpu", "ptx", "rocm"),
    level: str = "D4",
) -> CrossCheck:
    """Returns how the results and gradients of a function compare on the kinds of devices there are.

    `function` takes and returns pytrees of arrays. Each backend (cpu; ptx, which is CUDA; rocm) runs it and
    the product of its Jacobian, transposed, with ones; one that is not there is skipped. The first that is
    there is the reference. At level D4 the function is made `reproducible` and compared bit for bit; below,
    within `numerics.tolerance` of each dtype. Raises `E_GRAPH_INVALID` for a backend that is none.

    >>> print(validate_cross_hardware(jnp.exp, jnp.ones(3), backends=["cpu"]))
    forward and backward, bit for bit:
    cpu      reference
    """
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown:
        known = ", ".join(BACKENDS)
        raise _invalid(f"unknown backend {unknown[0]!r}; one of {known}", "validate_cross_hardware")
    by_bits = determinism.as_level("validate_cross_hardware", level) == "D4"
    fixed = reproducible(function, level)

    def both_ways(*xs: Any) -> Any:
        out, pullback = jax.vjp(fixed, *xs)
        return out, pullback(jax.tree.map(jnp.ones_like, out))

    outcomes: dict[str, str] = {}
    reference: list[np.ndarray] = []
    for name in backends:
        device = _device(BACKENDS[name])
        if device is None:
            outcomes[name] = SKIPPED
            continue
        placed = jax.device_put(args, device)
        paths = jax.tree.leaves_with_path(jax.jit(both_ways)(*placed))
        arrays = [np.asarray(x) for _, x in paths]
        if not reference:
            reference, outcomes[name] = arrays, "reference"
            continue
        found = _first_difference([p for p, _ in paths], reference, arrays, by_bits=by_bits)
        outcomes[name] = f"differs: {found}" if found else "equal"
    return CrossCheck(outcomes, by_bits)


def _device(platform: str) -> Any:
    try:
        return jax.devices(platform)[0]
    except RuntimeError:  # JAX has no such backend here
        return None


def _first_difference(
    paths: Sequence[Any], one: Sequence[Any], other: Sequence[Any], *, by_bits: bool = True
) -> str:
    """Returns the path of the first array that differs, "" if none does."""
    for path, x, y in zip(paths, one, other, strict=True):
        if x.tobytes() != y.tobytes() and (by_bits or not _close(x, y)):
            return jax.tree_util.keystr(path) or "the result"
    return ""


def _close(x: np.ndarray, y: np.ndarray) -> bool:
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return False
    relative, absolute = numerics.tolerance(jnp.finfo(x.dtype).dtype)
    wide = np.complex128 if np.iscomplexobj(x) else np.float64
    return np.allclose(x.astype(wide), y.astype(wide), relative, absolute, equal_nan=True)


def _digest(arrays: Sequence[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()[:16]


def _invalid(problem: str, where: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{where}: {problem}.")
