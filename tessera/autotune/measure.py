"""Interleaved timing: several candidates measured in one process, in random alternation.

A machine's speed drifts with its neighbours and its clock, so a time measured alone says little. Here every
round times every candidate once, in a fresh random order, and the figure reported is the median over rounds
of the ratio within a round.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Ratio:
    """How many times faster a candidate is than its baseline: median and quartiles over rounds."""

    median: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x [{self.lower:.2f}-{self.upper:.2f}]"


@dataclass(frozen=True)
class Timings:
    """Seconds per call of each candidate, one entry per round; entry i of all candidates is one round."""

    seconds: Mapping[str, tuple[float, ...]]
    clock: str

    def median(self, name: str) -> float:
        """Returns the median seconds per call of a candidate."""
        return statistics.median(self.seconds[name])

    def speedup(self, name: str, over: str) -> Ratio:
        """Returns how many times faster `name` is than `over`, from the ratios within each round."""
        pairs = zip(self.seconds[over], self.seconds[name], strict=True)
        ratios = sorted(base / ours for base, ours in pairs)
        if len(ratios) == 1:
            return Ratio(ratios[0], ratios[0], ratios[0])
        lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        return Ratio(statistics.median(ratios), lower, upper)


def interleave(
    candidates: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 7,
    round_seconds: float = 0.06,
    clock: str = "wall",
    seed: int = 0,
) -> Timings:
    """Returns the timings of zero-argument candidates measured in random alternation.

    Each candidate is called twice first (compilation, then a warm call that sets how many calls fill
    `round_seconds`). Every call is blocked until its result is ready. `clock="cpu"` counts the processor
    seconds of the whole process: pin the process to one core to compare work rather than luck.
    """
    now = CLOCKS[clock]
    calls = {name: _calls_per_round(run, round_seconds) for name, run in candidates.items()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    order = random.Random(seed)
    for _ in range(rounds):
        for name in order.sample(list(candidates), len(candidates)):
            run, count = candidates[name], calls[name]
            start = now()
            for _ in range(count):
                jax.block_until_ready(run())
            seconds[name].append((now() - start) / count)
    return Timings({name: tuple(times) for name, times in seconds.items()}, clock)


def _calls_per_round(run: Callable[[], Any], round_seconds: float) -> int:
    jax.block_until_ready(run())
    start = time.perf_counter()
    jax.block_until_ready(run())
    return max(1, round(round_seconds / max(time.perf_counter() - start, 1e-9)))
