"""What `tessera doctor` shows, as tables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from tessera.core.op import Op
from tessera.runtime import allocator, choice, device, versions


def doctor(environment: Mapping[str, str], ops: Iterable[Op[..., Any]]) -> Iterator[RenderableType]:
    """Yields the parts of the report on the process that has this environment, and on these ops."""
    yield version_table(versions.installed_versions())
    yield device_table(device.device_groups())
    state = allocator.describe(environment, allocator.c_library())
    yield f"[bold]Allocator setting[/bold]: {'on' if state.on else 'off'}; {state.reason}"
    platform = jax.default_backend()
    yield op_table(platform, (choice.choose(op, platform) for op in ops))


def version_table(found: Iterable[versions.Version]) -> Table:
    """Returns one row per component: the version found, and whether it is in the tested matrix."""
    table = Table("component", "version", "tested matrix", "tested with", title="Versions")
    for version in found:
        tested = ", ".join(version.tested) or "any"
        table.add_row(version.name, version.found or "none", _verdict(version), tested)
    return table


def device_table(groups: Iterable[device.DeviceGroup]) -> Table:
    """Returns one row per kind of device."""
    table = Table("platform", "kind", "count", "memory each", title="Devices")
    for group in groups:
        memory = (
            "unknown" if group.memory_bytes is None else f"{group.memory_bytes / 2**30:.1f} GiB"
        )
        table.add_row(group.platform, group.kind, str(group.count), memory)
    return table


def op_table(platform: str, choices: Iterable[choice.Choice]) -> Table:
    """Returns one row per op: what it runs on, why, and where its backward comes from."""
    table = Table("op", "runs", "why", "backward", title=f"Ops on {platform}")
    for found in choices:
        # A bracket, as in the name of an extra, is not markup.
        table.add_row(found.op, ", else ".join(found.runs), escape(found.reason), found.backward)
    return table


def _verdict(version: versions.Version) -> str:
    if version.found is None:
        return "not installed"
    return "[green]inside[/green]" if version.inside else "[yellow]outside[/yellow]"
