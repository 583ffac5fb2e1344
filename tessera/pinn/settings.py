"""The arguments of `train`: each as what a run takes, or an error that names it."""

import math
from typing import Any

from tessera.core.errors import Code, CompileError
from tessera.pinn.checkpoint import Checkpoint
from tessera.pinn.optimizers.protocol import Optimizer
from tessera.pinn.problem import Problem
from tessera.pinn.resampling import Resample
from tessera.pinn.weighting import Weighting

DTYPES = ("float64", "float32")


def stages_of(optimizer: Any) -> tuple[Optimizer, ...]:
    """Returns one optimizer, or a sequence of them, as the stages of a run."""
    stages = tuple(optimizer) if isinstance(optimizer, list | tuple) else (optimizer,)
    if not stages:
        raise _invalid("there is no optimizer", "optimizer=LevenbergMarquardt(iterations=100)")
    return stages


def resample_of(problem: Problem, given: Any, weighting: Weighting | None) -> Resample | None:
    """Returns how points are drawn anew, None for never.

    `given` may be the number of iterations between, 0 for never.
    Raises `E_GRAPH_INVALID` for adaptive samplers that the problem lacks, and beside weights of points.
    """
    if given is None or given == 0:
        return None
    resample = given if isinstance(given, Resample) else Resample(given)
    unknown = [name for name in resample.adaptive if name not in problem.samplers]
    if unknown:
        raise _invalid(
            f"there is no sampler {', '.join(unknown)}; there are: {', '.join(problem.samplers)}",
            "Resample(adaptive=...) names samplers of the problem",
        )
    if weighting is not None and weighting.by_point:
        raise _invalid(
            f"{type(weighting).__name__} has weights of single points, which resampling would replace",
            "leave out one of weighting= and resample=",
        )
    return resample


def checkpoint_of(given: Any) -> Checkpoint | None:
    """Returns the checkpoint that a path, or a checkpoint, stands for."""
    return given if given is None or isinstance(given, Checkpoint) else Checkpoint(given)


def known_dtype(dtype: Any) -> str:
    """Returns a dtype that training can run in."""
    if dtype not in DTYPES:
        raise CompileError(
            Code.TS_ERR_UNSUPPORTED_DTYPE,
            f"train: dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}.",
        )
    return dtype


def count(name: str, value: Any, least: int) -> int:
    """Returns a count; raises `E_GRAPH_INVALID`, naming it, for what is no integer of `least` or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _invalid(f"{name} is {value!r}", f"give an integer of {least} or more")
    return value


def seconds_of(given: Any) -> float:
    """Returns a time limit in seconds, infinite for None."""
    if given is None:
        return math.inf
    if not isinstance(given, int | float) or not given > 0:
        raise _invalid(f"max_seconds is {given!r}", "give a positive number of seconds, or None")
    return float(given)


def _invalid(problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"train: {problem}.", hints=fix)
