"""Whether Triton and jax-triton are installed, in versions the kernels were tested with."""

import importlib
import importlib.metadata
import re
import warnings
from collections.abc import Mapping
from functools import cache
from types import ModuleType

from tessera.core import compat
from tessera.core.errors import TesseraWarning

# From this version up to, and without, that one.
TESTED: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "triton": ((3, 6), (3, 8)),
    "jax-triton": ((0, 4, 1), (0, 5)),
}
INSTALL = "pip install 'tessera[gpu]'"


def unavailable() -> str | None:
    """Returns why Triton kernels cannot be called here, or None if they can.

    It says nothing of whether there is a GPU: kernels lower without one.
    """
    for package in TESTED:
        reason = _missing(package) or _untested(package)
        if reason is not None:
            return reason
    return None


@cache
def load(module: str, package: str) -> ModuleType:
    """Returns a module of an optional package.

    Raises `ImportError` with the way to install it; warns once of a version that was not tested.
    """
    missing = _missing(package)
    if missing is not None:
        raise ImportError(missing)
    untested = _untested(package)
    if untested is not None:
        warnings.warn(untested, TesseraWarning, stacklevel=3)
    return importlib.import_module(module)


def triton_module(module: str = "triton") -> ModuleType:
    """Returns Triton or one of its modules; raises and warns like `load`."""
    load("triton", "triton")
    return importlib.import_module(module)


def jax_triton_module() -> ModuleType:
    """Returns jax-triton; raises and warns like `load`."""
    # jax-triton 0.4 takes this name from Triton, which has it from 3.7 on, and without it takes NVIDIA to be
    # missing. It is the type of a tensor descriptor, of which these kernels have none.
    driver = triton_module("triton.backends.nvidia.driver")
    vars(driver).setdefault("TMA_TF32", 0)
    found = load("jax_triton", "jax-triton")
    compat.forget_dead_code_rule(found.triton_lib.triton_kernel_call_p)
    return found


def _missing(package: str) -> str | None:
    if _version(package) is None:
        return f"{package} is not installed, which GPU kernels need: {INSTALL}"
    return None


def _untested(package: str) -> str | None:
    version = _version(package)
    assert version is not None
    first, after = TESTED[package]
    if first <= _numbers(version) < after:
        return None
    return (
        f"{package} {version} is outside the versions GPU kernels were tested with, "
        f">={_dotted(first)},<{_dotted(after)}: {INSTALL}"
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the release of a version: `3.6.0+git1` is (3, 6, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
