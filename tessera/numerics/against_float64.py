"""`numerics.compare`: where a function loses its digits, operation by operation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core import compat
from tessera.core.arguments import Structure, split, split_result
from tessera.core.errors import Code, CompileError
from tessera.numerics import error_measures as measures
from tessera.numerics.comparison import Comparison, Totals
from tessera.numerics.operation import Operation
from tessera.numerics.two_precisions import Comparing, Place, Value, start
from tessera.numerics.widening import is_inexact

# A relative error from which float64, with 29 bits more than float32, is no more than rounding itself.
VANISHES = 2.0**24


def compare(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Comparison:
    """Returns how far a function's operations are from float64, for arguments of any pytrees.

    The function is traced, and each operation runs on its own in the precision it has and in float64: on the
    operands it got, which shows its own (local) error, and on those of a run that is all in float64, which
    shows the accumulated one. Errors are in units in the last place of the result's dtype. Bodies of calls,
    scans, loops and branches are entered, with steps and branches as the working precision takes them; a
    Tessera op is one operation. Constants are those the program holds: 0.1 in float32 is not 0.1.
    Conditions, and what is counted, are described in `tessera.numerics.operation.Operation`.

    It takes three runs and a derivative of every operation: seconds for a thousand operations, more for long
    loops. What the compiler would fuse or contract is not fused here.

    Raises `E_GRAPH_INVALID` for what is not a function, for a float64 argument, which has no wider precision
    to be compared with, for types in the place of arrays, for a function with no floating-point result, and
    for one that changes memory or runs per device.

    >>> found = compare(lambda x: (x + 1.0) - x, jnp.float32(1e8))
    >>> [(o.name, o.local.ulps, o.condition) for o in found.operations]
    [('add', 0.125, 1.0), ('sub', 0.0, 200000001.0)]
    >>> found.worst.name, found.error.relative
    ('sub', 1.0)
    """
    if not callable(function):
        raise _invalid(
            f"{type(function).__name__} is not a function",
            "compare(f, *args): the function first, then its arguments",
        )
    name = function.__name__ if "__name__" in dir(function) else type(function).__name__
    structure, arrays = split((args, kwargs), name)
    _require_values(arrays)
    jaxpr, result = _trace(function, structure, arrays)
    if not any(is_inexact(aval) for aval in jaxpr.out_avals):
        raise _invalid(f"{name} has no floating-point result", "return the values to look at")
    run = Comparing()
    with jax.enable_x64(True):
        values = [start(x) for x in arrays]
    found = run.run(*compat.opened(jaxpr), values, Place())
    return _comparison(name, run, result, found)


def _require_values(arrays: list[Any]) -> None:
    """Puts JAX arrays in the place of other values; raises for what has no value, or no wider dtype."""
    for i, x in enumerate(arrays):
        if isinstance(x, jax.ShapeDtypeStruct | Tracer | jax.Ref):
            raise _invalid(
                f"an argument is a {type(x).__name__}, which has no value", "pass arrays"
            )
        array = jnp.asarray(x)
        if array.dtype in (np.float64, np.complex128):
            raise _invalid(
                f"an argument is {array.dtype}, and there is no wider precision to compare with",
                "x.astype(jnp.float32)",
            )
        # How an array is laid out over devices is no business of its error.
        arrays[i] = array if len(array.devices()) == 1 else jnp.asarray(np.asarray(array))


def _trace(
    function: Callable[..., Any], structure: Structure, arrays: Sequence[Any]
) -> tuple[Any, Structure]:
    found: list[Structure] = []

    def flat(*operands: Any) -> list[Any]:
        args, kwargs = structure.fill(operands)
        result, leaves = split_result(function(*args, **kwargs))
        found.append(result)
        return leaves

    return jax.make_jaxpr(flat)(*arrays), found[0]


def _comparison(name: str, run: Comparing, result: Structure, found: Sequence[Value]) -> Comparison:
    floats = [x for x in found if is_inexact(x.working)]
    pairs = [(x.working.dtype, measures.parts(x.widened), measures.parts(x.exact)) for x in floats]
    operations = run.operations()
    told = [i for i, x in enumerate(floats) if x.relative < VANISHES] or range(len(floats))
    lost = sum(measures.overflows(w, x) for _, w, x in pairs)
    furthest = max((floats[i] for i in told), key=lambda x: x.relative)
    path = run.path(furthest) if furthest.relative or lost else []
    return Comparison(
        name,
        operations,
        _first_break(operations) if lost else _where_it_grows(operations, path),
        tuple(operations[i] for i in dict.fromkeys(i for i, _ in path)),
        result.fill([x.working for x in found]),
        result.fill([_on_host(x.exact) for x in found]),
        measures.together([measures.error(w, x, t) for t, w, x in (pairs[i] for i in told)]),
        Totals(
            len(operations),
            sum(o.runs for o in operations),
            lost,
            sum(o.overflows for o in operations),
            sum(o.underflows for o in operations),
            sum(o.nans for o in operations),
        ),
        (*run.notes(), *_vanishing(len(floats) - len(told))),
    )


def _vanishing(count: int) -> tuple[str, ...]:
    are = "array of the result is" if count == 1 else "arrays of the result are"
    return (f"{count} {are} zero but for rounding, and left out of its error.",) if count else ()


def _first_break(operations: Sequence[Operation]) -> Operation | None:
    return next((o for o in operations if o.breaks), None)


def _where_it_grows(
    operations: Sequence[Operation], path: Sequence[tuple[int, float]]
) -> Operation | None:
    return operations[max(path, key=lambda step: step[1])[0]] if path else None


def _on_host(x: Any) -> Any:
    """Returns an array that 64-bit mode off does not truncate."""
    return x if compat.is_key(x) else np.asarray(x)


def _invalid(problem: str, hint: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"compare: {problem}.", hints=hint)
