"""The devices JAX found."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class DeviceGroup:
    """Devices of one kind; `memory_bytes` is per device, None where the platform does not tell."""

    platform: str
    kind: str
    count: int
    memory_bytes: int | None


def device_groups() -> tuple[DeviceGroup, ...]:
    """Returns the devices of the default backend, those of one kind together."""
    counts = Counter((d.platform, d.device_kind, _memory_bytes(d)) for d in jax.devices())
    return tuple(
        DeviceGroup(platform, kind, count, memory)
        for (platform, kind, memory), count in counts.items()
    )


def _memory_bytes(device: Any) -> int | None:
    statistics = device.memory_stats()
    return statistics.get("bytes_limit") if statistics else None
