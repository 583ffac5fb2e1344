"""What each op runs on, and why, as its lowering would decide for this platform."""

from dataclasses import dataclass
from typing import Any

import jax

from tessera.core.op import Algorithm, Op


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
        return "XLA compiles the reference; the op has no other algorithm"
    if not usable:
        return "XLA compiles the reference; the op's algorithms are for other platforms"
    return "; ".join(f"{a.name} {_extent(op, a)}" for a in usable) + "; the reference elsewhere"


def _extent(op: Op[..., Any], algorithm: Algorithm) -> str:
    types = [(jax.eval_shape(lambda s=s: s.make(jax.random.key(0))), s) for s in op.samples]
    fits = [algorithm.when(*t, **{**op.statics, **s.statics}) for t, s in types]
    devices = "on any number of devices" if algorithm.partitions else "on one device"
    return f"fits {sum(fits)} of {len(fits)} samples, {devices}"
