"""What the devices of this machine can do at best: the two ceilings of a roofline.

GPU figures are the makers' (dense float32 products as they run by default: TF32 on NVIDIA). A CPU's are
nominal: two 8-wide fused multiply-adds a cycle at 2.5 GHz on each core, and 10 GB/s a core up to four.
"""

import os
from collections.abc import Mapping

import jax

from tessera.core.errors import Code, CompileError
from tessera.lowering.cost import Device

CPU_FLOPS_PER_CORE = 80e9
CPU_BYTES_PER_CORE = 10e9
CPU_MEMORY_CORES = 4  # more cores do not load faster
CPU_CACHE_BYTES = 32 * 2**20

# flops/s, bytes/s, cache, multiprocessors, architecture
GPUS: Mapping[str, tuple[float, float, int, int, str]] = {
    "H100": (494e12, 3.35e12, 50 * 2**20, 132, "sm_90"),
    "H200": (494e12, 4.8e12, 50 * 2**20, 132, "sm_90"),
    "B200": (1125e12, 8.0e12, 126 * 2**20, 148, "sm_100"),
    "A100": (156e12, 2.0e12, 40 * 2**20, 108, "sm_80"),
    "MI300X": (163e12, 5.3e12, 256 * 2**20, 304, "gfx942"),
}
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
UNKNOWN_GPU = (20e12, 1.0e12, 4 * 2**20, 64, "")
# What a platform that this machine has not, or an architecture, is taken to be: the first GPU of its kind.
ASSUMED = {"cuda": "H100", "rocm": "MI300X"} | {
    gpu[-1]: name for name, gpu in reversed(list(GPUS.items()))
}


def device(target: str | None = None) -> Device:
    """Returns the device programs are compiled for: `target` ("cpu", "cuda", ...), or JAX's default.

    `target` may also be the architecture of a GPU ("sm_90", "gfx942"). Raises `E_TARGET_CODEGEN` for another
    name.

    >>> device("cpu").platform, device("sm_90").kind
    ('cpu', 'H100')
    """
    platform = target or _platform(jax.default_backend())
    if target in ASSUMED and target not in PLATFORMS:
        gpu = ASSUMED[target]
        return Device("rocm" if target.startswith("gfx") else "cuda", gpu, *GPUS[gpu])
    if platform not in PLATFORMS:
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"there is no platform {platform!r}.",
            hints=f"one of {', '.join((*PLATFORMS, *(name for name in ASSUMED if '_' in name)))}",
        )
    if platform == "cpu":
        cores = len(os.sched_getaffinity(0)) if _is_linux() else os.cpu_count() or 1
        rate = CPU_BYTES_PER_CORE * min(cores, CPU_MEMORY_CORES)
        flops = CPU_FLOPS_PER_CORE * cores
        return Device("cpu", f"{cores} cores", flops, rate, CPU_CACHE_BYTES, cores)
    local = platform == _platform(jax.default_backend())
    kind = jax.devices()[0].device_kind if local else ASSUMED.get(platform, platform)
    return Device(
        platform, kind, *next((p for name, p in GPUS.items() if name in kind), UNKNOWN_GPU)
    )


def _platform(backend: str) -> str:
    return "cuda" if backend == "gpu" else backend


def _is_linux() -> bool:
    return os.uname().sysname == "Linux"
