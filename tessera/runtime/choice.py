"""What each op runs on, and why, as its lowering would decide for this platform."""

from dataclasses import dataclass
from typing import Any

import jax

from tessera.core.op import TILE, Algorithm, Op, Sample
from tessera.runtime import kernels


@dataclass(frozen=True)
class Choice:
    """One op: the formulations that may run, first choice first, and the reason."""

    op: str
    runs: tuple[str, ...]
    reason: str
    backward: str


def choose(op: Op[..., Any], platform: str) -> Choice:
    """Returns what an op runs on a platform: its own algorithms there, then the reference.

    Its tile program is not among them where the kernel language of the platform is missing.
    """
    usable = [a for a in op.algorithms.values() if platform in a.platforms]
    here = [a for a in usable if a.name != TILE or kernels.unavailable(platform) is None]
    backward = "hand-written" if op.has_backward else "transposed from the reference"
    reason = _reason(op, here, platform)
    if len(here) < len(usable):
        others = f"{reason}; " if here else ""
        reason = f"{others}its tile program cannot run: {kernels.unavailable(platform)}"
    return Choice(op.name, (*(a.name for a in here), "reference"), reason, backward)


def _reason(op: Op[..., Any], usable: list[Algorithm], platform: str) -> str:
    if not op.algorithms:
        return "it has no algorithm beside the reference"
    if not usable:
        return "its algorithms are for other platforms"
    return (
        "; ".join(f"{a.name} {_extent(op, a, platform)}" for a in usable)
        + "; the reference otherwise"
    )


def _extent(op: Op[..., Any], algorithm: Algorithm, platform: str) -> str:
    inputs = "any input" if _runs_on_samples(op, algorithm, platform) else "large inputs"
    devices = "any number of devices" if algorithm.partitions else "one device"
    if algorithm.splits.axes:
        devices = f"each device's part along {algorithm.splits}"
    return f"for {inputs} on {devices}"


def _runs_on_samples(op: Op[..., Any], algorithm: Algorithm, platform: str) -> bool:
    """Whether an algorithm applies to every sample. Samples are small: one that does not wants more."""
    return all(
        algorithm.when[platform](*_types(sample), **{**op.statics, **sample.statics})
        for sample in op.samples
    )


def _types(sample: Sample) -> tuple[Any, ...]:
    return jax.eval_shape(lambda: sample.make(jax.random.key(0)))
