"""Determinism levels: what a scope or a call promises about the bits of its results.

    D0  nothing
    D1  the same bits run to run, on one machine with one set of versions
    D2  the same for every number of devices and every layout of processes
    D3  D2, and a row's bits do not depend on how many rows there are
    D4  the same on every IEEE machine, CPU or GPU, and in every version of JAX

A level includes those before it. `tessera.core.levels` says how an equation reaches one.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from tessera.core.errors import Code, CompileError, NumericsError

LEVELS = ("D0", "D1", "D2", "D3", "D4")
PROFILES = {"fast": "D0", "deterministic": "D1", "strict": "D4"}
# From here on an op is computed in another way than without a promise.
FIXED = ("D2", "D3", "D4")

REDUCE_TREES = ("binary", "flat", "ring")
SEND_ORDERS = ("lexicographic", "rank", "auto")

CPU_FLAG = "xla_cpu_enable_fast_math"
GPU_FLAGS = ("xla_gpu_deterministic_ops", "xla_gpu_exclude_nondeterministic_ops")

# Part of the key under which `jit` keeps programs.
_level = jax.make_user_context("")


@contextmanager
def deterministic(level: str = "D1") -> Iterator[None]:
    """Promises a determinism level for the Tessera operators called inside, and for their gradients.

    `level` is D0 to D4, or an older word for one: fast (D0), deterministic (D1), strict (D4). An operator
    that cannot keep the promise raises `E_NONDETERMINISTIC`, naming its highest level. The innermost scope
    counts; a function that is compiled is compiled once per level.

    What plain JAX computes between operators is left as it is: `numerics.report` names what breaks the
    promise there, and `numerics.reproducible` computes a whole function at a level.

    From D1 on XLA must not reorder arithmetic by itself: raises `E_NONDETERMINISTIC` if XLA_FLAGS has
    xla_cpu_enable_fast_math, or lacks xla_gpu_deterministic_ops where JAX runs on a GPU. Raises
    `E_GRAPH_INVALID` for another word.

    >>> with deterministic("D3"):
    ...     current_level()
    'D3'
    """
    found = as_level("deterministic", level)
    assert found is not None
    if at_least(found, "D1"):
        require_ordered_xla(os.environ.get("XLA_FLAGS", ""), jax.default_backend())
    with _level(found):
        yield


def profile(word: str) -> Any:
    """Returns the scope of a determinism profile: fast, deterministic or strict (see `deterministic`).

    >>> with profile("strict"):
    ...     current_level()
    'D4'
    """
    if word not in PROFILES:
        raise _invalid("profile", f"unknown word {word!r}", f"one of {', '.join(PROFILES)}")
    return deterministic(word)


def current_level() -> str | None:
    """Returns the level that is promised here, None where none is.

    >>> current_level() is None
    True
    """
    return _level.value or None


def as_level(where: str, value: Any) -> str | None:
    """Returns the level that a `deterministic=` stands for, None for None.

    A bool is D1 or D0; a dict has an entry deterministic, and reduce_tree and send_order, which change
    nothing here: every tree is binary, and every exchange ordered. `where` begins the message. Raises
    `E_GRAPH_INVALID` for anything else.

    >>> as_level("matmul", True), as_level("matmul", "strict")
    ('D1', 'D4')
    """
    if value is None or isinstance(value, bool):
        return None if value is None else "D1" if value else "D0"
    if isinstance(value, Mapping):
        return _of_entries(where, value)
    found = PROFILES.get(value, value) if isinstance(value, str) else None
    if found not in LEVELS:
        known = ", ".join([*LEVELS, *PROFILES])
        raise _invalid(where, f"deterministic is {value!r}", f"a bool, or one of {known}")
    return found


def at_least(level: str | None, other: str) -> bool:
    """Returns whether a level includes another.

    >>> at_least("D3", "D2"), at_least(None, "D1")
    (True, False)
    """
    return level is not None and LEVELS.index(level) >= LEVELS.index(other)


@contextmanager
def level_of_call(where: str, value: Any) -> Iterator[None]:
    """Sets the level of one call from its `deterministic=`; None leaves that of the scope."""
    found = as_level(where, value)
    if found is None:
        yield
        return
    with deterministic(found):
        yield


def require_ordered_xla(flags: str, backend: str) -> None:
    """Raises `E_NONDETERMINISTIC` if XLA_FLAGS let a backend reorder arithmetic by itself."""
    given = dict(re.findall(r"--(\w+)(?:=(\S+))?", flags))
    if _is_set(given, CPU_FLAG):
        raise NumericsError(
            Code.E_NONDETERMINISTIC,
            f"XLA_FLAGS has --{CPU_FLAG}, which reorders sums.",
            hints="remove it: it breaks every level from D1 on",
        )
    if backend == "gpu" and not any(_is_set(given, flag) for flag in GPU_FLAGS):
        raise NumericsError(
            Code.E_NONDETERMINISTIC,
            f"on a GPU XLA may add up in any order unless --{GPU_FLAGS[0]} is set.",
            hints=f"export XLA_FLAGS=--{GPU_FLAGS[0]}=true before Python starts",
        )


def _is_set(given: Mapping[str, str], flag: str) -> bool:
    return flag in given and given[flag].lower() not in ("false", "0")


def _of_entries(where: str, value: Mapping[str, Any]) -> str | None:
    allowed: dict[str, tuple[Any, ...]] = {
        "deterministic": (True, False, *LEVELS),
        "reduce_tree": REDUCE_TREES,
        "send_order": SEND_ORDERS,
    }
    for name, word in value.items():
        if name not in allowed:
            known = ", ".join(allowed)
            raise _invalid(where, f"deterministic has an unknown entry {name!r}", f"one of {known}")
        if word not in allowed[name]:
            words = ", ".join(map(str, allowed[name]))
            raise _invalid(where, f"deterministic: {name} is {word!r}", f"one of {words}")
    return as_level(where, value.get("deterministic"))


def _invalid(where: str, problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{where}: {problem}.", hints=fix)
