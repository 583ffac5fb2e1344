"""What training asks of an optimizer: settings, a state that is a tree of arrays, one iteration at a time."""

import importlib
import importlib.util
import math
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import jax

from tessera.core.errors import Code, CompileError
from tessera.pinn.problem import Model
from tessera.pinn.residuals import Batch, Objective


@dataclass(frozen=True)
class Info:
    """What one iteration tells: a loss, whether it was the last, whether all numbers were finite.

    The loss is that after the step, or before it where the optimizer does not know the one after.
    """

    loss: Any
    done: bool = False
    finite: bool = True


class Optimizer(Protocol):
    """Settings of an optimizer: `iterations` at most, and one record of the history `every` so many."""

    @property
    def iterations(self) -> int:
        """The most iterations."""
        ...

    @property
    def every(self) -> int:
        """The number of iterations from one record to the next."""
        ...

    def init(self, objective: Objective, model: Model, batch: Batch, key: Any) -> Any:
        """Returns the state to begin with, a tree of arrays; `key` is for what is drawn at random."""
        ...

    def refresh(self, state: Any) -> Any:
        """Returns the state for a loss that has changed, by its points or its weights."""
        ...

    def step(
        self, objective: Objective, model: Model, batch: Batch, state: Any
    ) -> tuple[Model, Any, Info]:
        """Returns the model and the state after one iteration; the model is the same if it was the last."""
        ...


def load_scipy_optimize() -> Any:
    """Returns `scipy.optimize`; raises `ImportError`, naming the extra, where it is not installed."""
    if importlib.util.find_spec("scipy") is None:
        raise ImportError("a line search needs scipy: pip install 'tessera[training]'")
    return importlib.import_module("scipy.optimize")


@contextmanager
def numpy_promotion() -> Iterator[None]:
    """Lets dtypes and ranks mix, as optax's rules do, where the program at large forbids it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def require_settings(
    settings: Any,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    counts: Sequence[str] = (),
) -> None:
    """Raises `E_GRAPH_INVALID` for counts that are none and numbers out of range."""
    name = type(settings).__name__
    for word, least in (("iterations", 0), ("every", 1), *((word, 1) for word in counts)):
        value = vars(settings)[word]
        if not _is_count(value) or value < least:
            raise _invalid(name, word, value, f"an integer of {least} or more")
    for word in positive:
        value = vars(settings)[word]
        if not (_is_number(value) and value > 0):
            raise _invalid(name, word, value, "a finite number above zero")
    for word in not_negative:
        value = vars(settings)[word]
        if not (_is_number(value) and value >= 0):
            raise _invalid(name, word, value, "a finite number of zero or more")


def _is_count(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _invalid(name: str, word: str, value: Any, rule: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{name}: {word} is {value!r}; it must be {rule}.")
