"""The allocator setting under which plain JAX on CPU stops paying for fresh pages.

XLA:CPU takes its large temporaries from malloc. By default glibc maps each one and hands it back after
the call, so every call faults all its pages in again: about 0.4 ms per MB on a virtual machine, far
more than streaming through the memory. The setting keeps freed memory in one arena of the process.
Programs with temporaries of tens of megabytes run 1.4 to 6 times faster; the price is that the
process keeps up to two gigabytes it has freed. glibc reads it once, when a process starts.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "GLIBC_TUNABLES"

SETTING: Mapping[str, str] = {
    "glibc.malloc.mmap_max": "0",  # no allocation gets a mapping of its own, however large
    "glibc.malloc.trim_threshold": "2147483648",  # bytes of free memory kept before any goes back
    "glibc.malloc.arena_max": "1",  # XLA allocates from many threads; both act on one arena
}


@dataclass(frozen=True)
class Allocator:
    """Whether the setting is on for a process, and why."""

    on: bool
    reason: str


def c_library() -> str:
    """Returns the name of the C library of this interpreter, empty where it is unknown."""
    return platform.libc_ver()[0]


def describe(environment: Mapping[str, str], library: str) -> Allocator:
    """Returns whether a process started with this environment on this C library has the setting on.

    >>> describe({}, "musl").reason
    'it is a setting of glibc, and this system has musl'
    """
    if library != "glibc":
        return Allocator(
            False, f"it is a setting of glibc, and this system has {library or 'none'}"
        )
    missing = SETTING.items() - _tunables(environment).items()
    if missing:
        return Allocator(False, "start a program with `tessera run script.py` to have it on")
    return Allocator(True, f"{VARIABLE} sets {', '.join(name.split('.')[-1] for name in SETTING)}")


def turned_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns a copy of an environment with the setting on and every other tunable kept."""
    tunables = {**_tunables(environment), **SETTING}
    return {**environment, VARIABLE: ":".join(f"{k}={v}" for k, v in tunables.items())}


def _tunables(environment: Mapping[str, str]) -> dict[str, str]:
    entries = (entry.partition("=") for entry in environment.get(VARIABLE, "").split(":"))
    return {name: value for name, _, value in entries if name}
