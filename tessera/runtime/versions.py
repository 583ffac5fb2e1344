"""Installed versions beside the ones the test suite has run on."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# A version is inside the matrix when it equals an entry or extends it by a component.
TESTED: Mapping[str, tuple[str, ...]] = {
    "python": ("3.11", "3.12"),
    "jax": ("0.10.2", "0.12.0"),
    "jaxlib": ("0.10.2", "0.12.0"),
    "numpy": ("2.4", "2.5"),
    "xdsl": ("0.74",),
    "triton": ("3.6", "3.7"),
    "jax-triton": ("0.4.1",),
}

# Looked for because GPU programs need it, in any version.
OPTIONAL = ("driver",)

DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/sys/module/amdgpu/version"))


@dataclass(frozen=True)
class Version:
    """One component: the version found, None where there is none, and the versions tested."""

    name: str
    found: str | None
    tested: tuple[str, ...]

    @property
    def inside(self) -> bool:
        """Whether the version found is one the test suite has run on."""
        return self.found is not None and any(_extends(self.found, known) for known in self.tested)


def installed_versions() -> tuple[Version, ...]:
    """Returns the versions of Python, the libraries Tessera stands on and the GPU driver."""
    names = (*TESTED, *OPTIONAL)
    return tuple(Version(name, _find(name), TESTED.get(name, ())) for name in names)


def driver_version(text: str) -> str | None:
    """Returns the version in the first line of a driver's version file, None if there is none.

    >>> driver_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19")
    '535.104.05'
    """
    match = re.search(r"\b\d+\.\d+(\.\d+)?\b", text.partition("\n")[0])
    return match.group() if match else None


def _find(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    if name == "driver":
        present = (file for file in DRIVER_FILES if file.exists())
        return next((driver_version(file.read_text()) for file in present), None)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extends(version: str, known: str) -> bool:
    return version == known or version.startswith(known + ".")
