"""What each op runs on, and why, as its lowering would decide for this platform."""

from dataclasses import dataclass
from typing import Any

import jax

from tessera.core.op import Algorithm, Op, Sample


@dataclass(frozen=True)
class Choice:
    """One op: the formulations that may run, first choice first, and the reason."""

    op: str
    runs: tuple[str, ...]
    reason: str
    backward: str


def choose(op: Op[..., Any], platform: str) -> Choice:
    """Returns what an op runs on a platform: its own algorithms there, then the reference."""
    usable = [a for a in op.algorithms.values() if platform in a.platforms]
    backward = "hand-written" if op.has_backward else "transposed from the reference"
    return Choice(op.name, (*(a.name for a in usable), "reference"), _reason(op, usable), backward)


def _reason(op: Op[..., Any], usable: list[Algorithm]) -> str:
    if not op.algorithms:
        return "it has no algorithm beside the reference"
    if not usable:
        return "its algorithms are for other platforms"
    return "; ".join(f"{a.name} {_extent(op, a)}" for a in usable) + "; the reference otherwise"


def _extent(op: Op[..., Any], algorithm: Algorithm) -> str:
    inputs = "any input" if _runs_on_samples(op, algorithm) else "large inputs"
    devices = "any number of devices" if algorithm.partitions else "one device"
    return f"for {inputs} on {devices}"


def _runs_on_samples(op: Op[..., Any], algorithm: Algorithm) -> bool:
    """Whether an algorithm applies to every sample. Samples are small: one that does not wants more."""
    return all(
        algorithm.when(*_types(sample), **{**op.statics, **sample.statics}) for sample in op.samples
    )


def _types(sample: Sample) -> tuple[Any, ...]:
    return jax.eval_shape(lambda: sample.make(jax.random.key(0)))
