"""Checks of values that only a running program knows, such as an index under `jit`: `ts.checks()`.

A check costs a pass over what it checks, so programs have none unless they are asked for: inside
`with ts.checks():`, or in the whole process with TESSERA_KERNEL_ASSERT=1. The setting is part of the key
under which `jit` keeps programs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core.errors import TesseraError

VARIABLE = "TESSERA_KERNEL_ASSERT"

_on = jax.make_user_context(os.environ.get(VARIABLE, "0") not in ("", "0"))
# What was found in the programs of each open block, the innermost last. A callback that raises would fail the
# program with an error of JAX's own, once more when the process ends; so it does only outside a block.
_found: list[list[TesseraError]] = []


@contextmanager
def checks(on: bool = True) -> Iterator[None]:
    """Turns the checks of run-time values on, or off, for the calls made inside.

    With them on, `op.gather`, `op.segment_reduce`, `op.cross_entropy` and `op.kvcache_update` raise
    `E_ILLEGAL_ADDRESS` for an index outside its range. Under `jit` the error comes when the block is left,
    which waits for the programs started in it. `TESSERA_KERNEL_ASSERT=1` turns them on for a process; outside
    a block the error is then JAX's own, whose text ends in ours.

    >>> import jax, jax.numpy as jnp
    >>> from tessera import op
    >>> with checks():
    ...     y = jax.jit(op.gather)(jnp.arange(3.0), jnp.array([5]))
    Traceback (most recent call last):
    tessera.core.errors.RuntimeError: gather: index 5 at 0 is outside [-3, 3) of axis 0. [E_ILLEGAL_ADDRESS]
      hint: XLA would clamp it silently; clip the indices if that is meant
    """
    _found.append([])
    try:
        with _on(on):
            yield
        jax.effects_barrier()
    finally:
        found = _found.pop()
    if found:
        raise found[0]


def are_on() -> bool:
    """Returns whether values that only a running program knows are checked."""
    return bool(_on.value)


Complaint = Callable[[int, tuple[int, ...]], TesseraError]


def require_range(values: Any, low: int, high: int, complaint: Complaint) -> None:
    """Raises complaint(value, place) for the first of the integers outside [low, high).

    Known values are looked at here; traced ones when the program runs, if checks are on.
    """
    if not isinstance(values, Tracer):
        known = np.asarray(values)
        error = _error(*_first_outside(np, known, low, high), known.shape, complaint)
        if error is not None:
            raise error
    elif are_on() and values.size:
        value, place = _first_outside(jnp, values, low, high)
        shape = values.shape
        jax.debug.callback(lambda v, p: _report_any(_error(v, p, shape, complaint)), value, place)


def report(error: TesseraError) -> None:
    """Raises what a running program found: here, or, inside a block of `checks`, where the block is left."""
    if not _found:
        raise error
    _found[-1].append(error)


def _first_outside(numpy: Any, values: Any, low: int, high: int) -> tuple[Any, Any]:
    """Returns the first value outside and its flat place, which is -1 if there is none."""
    if values.size == 0:
        return 0, -1
    flat = values.reshape(-1)
    outside = _below(flat, low) | ~_below(flat, high)
    place = numpy.argmax(outside)
    return flat[place], numpy.where(outside[place], place, -1)


def _below(values: Any, bound: int) -> Any:
    """Returns where values are below a bound that their dtype need not hold."""
    limits = jnp.iinfo(values.dtype)
    if bound > limits.max:
        return values == values
    return values < max(bound, int(limits.min))


def _error(
    value: Any, place: Any, shape: tuple[int, ...], complaint: Complaint
) -> TesseraError | None:
    if int(place) < 0:
        return None
    where = np.unravel_index(int(place), shape)
    return complaint(int(value), tuple(int(i) for i in where))


def _report_any(error: TesseraError | None) -> None:
    if error is not None:
        report(error)
