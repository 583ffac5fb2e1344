"""What each op runs on, and why, as its lowering would decide for this platform."""

from dataclasses import dataclass
from typing import Any

import jax

from tessera.core.op import Algorithm, Op, Sample

# Samples are small; a rule that asks for large operands is met by enlarging their axes.
ENLARGEMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


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
    devices = "any number of devices" if algorithm.partitions else "one device"
    return f"{_smallest_fit(op, algorithm)}, {devices}"


def _smallest_fit(op: Op[..., Any], algorithm: Algorithm) -> str:
    """Says at which shape, a sample's or one enlarged, the algorithm is first chosen."""
    for factor in ENLARGEMENTS:
        for sample in op.samples:
            types = _enlarged(sample, factor)
            if algorithm.when(*types, **{**op.statics, **sample.statics}):
                first = next(t for t in types if t is not None)
                return "from shapes like " + "x".join(map(str, first.shape))
    return "at no shape tried"


def _enlarged(sample: Sample, factor: int) -> tuple[Any, ...]:
    """Returns the types of a sample's operands with every axis longer by a factor."""
    types = jax.eval_shape(lambda: sample.make(jax.random.key(0)))
    return jax.tree.map(
        lambda t: jax.ShapeDtypeStruct(tuple(n * factor for n in t.shape), t.dtype), types
    )
