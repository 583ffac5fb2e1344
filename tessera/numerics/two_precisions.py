"""A program run equation by equation, each in its working precision and in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.numerics import error_measures as measures
from tessera.numerics.comparison import Operation
from tessera.numerics.error_measures import Measured
from tessera.numerics.widening import (
    CALLS,
    OPAQUE,
    PLACEMENT,
    Widening,
    as_list,
    is_inexact,
    value_of,
    widen,
)

# What changes memory, or runs on several devices at once.
REFUSED = frozenset(
    "new_ref ref get swap addupdate run_state freeze_ref shard_map pmap xla_pmap".split()
)
LIBRARIES = tuple(str(Path(module).parent) for module in (str(jax.__file__), compat.__file__))
Evaluate = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Value:
    """A value in the working precision, that value in float64, and what the float64 run has in its place.

    `relative` is its accumulated error, `step` the evaluation it comes from: None before the first error.
    """

    working: Any
    widened: Any
    exact: Any
    relative: float = 0.0
    step: int | None = None


@dataclass(frozen=True)
class Step:
    """One evaluation of an operation: by what its error grew, and the step most of it came from, if any."""

    key: tuple[int, ...]
    increase: float
    before: int | None


@dataclass(frozen=True)
class Place:
    """Where an equation stands: the calls and loops around it, and the line of the outermost library call."""

    calls: tuple[str, ...] = ()
    key: tuple[int, ...] = ()
    where: str = ""

    def inside(self, equation: Any, name: str, body: Any) -> "Place":
        """Returns the place of the equations of a body."""
        calls = (*self.calls, name) if name else self.calls
        where = self.source_of(equation) if _is_of_library(body) else ""
        return Place(calls, (*self.key, id(equation)), self.where or where)

    def source_of(self, equation: Any) -> str:
        """Returns the line of the user's code an equation comes from."""
        # JAX keeps the jaxpr of its own functions, with the lines of the first call.
        return self.where or compat.source_of(equation)


@dataclass
class _Row:
    equation: Any
    place: Place
    runs: list[Measured] = field(default_factory=list)


def start(x: Any) -> Value:
    """Returns an argument or constant, which is the same in both precisions."""
    wide = widen(x)
    return Value(x, wide, wide)


class Comparing:
    """One comparison: runs jaxprs, and keeps what every equation showed."""

    def __init__(self) -> None:
        self._widening = Widening(compat.x64_is_on())
        self._rows: dict[tuple[int, ...], _Row] = {}
        self._steps: list[Step] = []
        self._notes: dict[str, int] = {}

    def run(
        self, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Value], place: Place
    ) -> list[Value]:
        """Returns the results of a jaxpr in both precisions."""
        values: dict[Any, Value] = dict(zip(jaxpr.constvars, map(self._start, consts), strict=True))
        values.update(zip(jaxpr.invars, operands, strict=True))

        def read(atom: Any) -> Value:
            return self._start(value_of(atom)) if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            results = self._equation(equation, [read(atom) for atom in equation.invars], place)
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def operations(self) -> tuple[Operation, ...]:
        """Returns the equations with floating-point results, in the order they first ran."""
        return tuple(_operation(i, row) for i, row in enumerate(self._rows.values()))

    def path(self, result: Value) -> list[tuple[int, float]]:
        """Returns what most of a result's error went through, from where it arose to the result.

        For each step that is the index of its operation and the increase of the error in it.
        """
        index = {key: i for i, key in enumerate(self._rows)}
        found: list[tuple[int, float]] = []
        place = result.step
        while place is not None:
            step = self._steps[place]
            found.append((index[step.key], step.increase))
            place = step.before
        return found[::-1]

    def notes(self) -> tuple[str, ...]:
        """Returns what float64 would have decided otherwise, and what could not be done in float64."""
        return tuple(n if count == 1 else f"{n} (×{count})" for n, count in self._notes.items())

    def _note(self, equation: Any, place: Place, text: str) -> None:
        at = place.source_of(equation)
        message = f"{equation.primitive.name}{f' at {at}' if at else ''}: {text}."
        self._notes[message] = self._notes.get(message, 0) + 1

    def _start(self, x: Any) -> Value:
        with jax.enable_x64(True):
            return start(x)

    # -- one equation ----------------------------------------------------------------------------------------

    def _equation(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        name = equation.primitive.name
        if name in REFUSED:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"compare: the function has {name!r}, which changes memory or runs per device.",
                hints="compare a pure function of arrays that runs on one device",
            )
        if name in CALLS:
            return self._call(equation, operands, place)
        enter = {"scan": self._scan, "while": self._while, "cond": self._cond}.get(name)
        return (
            self._operation(equation, operands, place)
            if enter is None
            else enter(equation, operands, place)
        )

    def _operation(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        found = _evaluate(equation, [x.working for x in operands])
        with jax.enable_x64(True):
            return self._beside_float64(equation, operands, found, place)

    def _beside_float64(
        self, equation: Any, operands: Sequence[Value], found: Sequence[Any], place: Place
    ) -> list[Value]:
        floats = any(is_inexact(y) for y in found)
        moved = any(x.exact is not x.widened for x in operands)
        if not found or equation.effects or not (floats or moved):
            return [start(y) for y in found]
        if equation.primitive.name in OPAQUE and moved:
            self._note(equation, place, "has no float64 form, so it ran in the working precision")
        exact = self._widening.evaluate(equation, [x.exact for x in operands])
        local = exact
        if floats and moved:
            local = self._widening.evaluate(equation, [x.widened for x in operands])
        results = [self._value(*x) for x in zip(found, exact, strict=True)]
        step = self._origin(equation, operands, results, local)
        if floats:
            measured = self._measure(equation, operands, results, local)
            key = (*place.key, id(equation))
            self._rows.setdefault(key, _Row(equation, place)).runs.append(measured)
            self._steps.append(Step(key, measured.increase, step))
            step = len(self._steps) - 1
        self._compare_decisions(equation, results, place)
        return [replace(y, step=step) for y in results]

    def _origin(
        self,
        equation: Any,
        operands: Sequence[Value],
        results: Sequence[Value],
        local: Sequence[Any],
    ) -> int | None:
        """Returns the step that most of the results' error comes from; None if it arises here."""
        exact = [y.exact for y in results]
        moved = [i for i, x in enumerate(operands) if x.exact is not x.widened]
        own = measures.distance([y.widened for y in results], local)
        if not moved or (own and own >= measures.distance(local, exact)):
            return None
        if len(moved) == 1:
            return operands[moved[0]].step

        def effect(place: int) -> float:
            mixed = [x.widened if i == place else x.exact for i, x in enumerate(operands)]
            return measures.distance(self._widening.evaluate(equation, mixed), exact)

        return operands[max(moved, key=effect)].step

    def _value(self, found: Any, exact: Any) -> Value:
        wide = widen(found)
        if not is_inexact(found):
            same = compat.is_key(found) or bool((np.asarray(found) == np.asarray(exact)).all())
            return Value(found, wide, wide if same else exact)
        relative = measures.error(measures.parts(wide), measures.parts(exact), found.dtype).relative
        return Value(found, wide, exact, relative)

    def _compare_decisions(self, equation: Any, results: Sequence[Value], place: Place) -> None:
        for y in results:
            if not is_inexact(y.working) and y.exact is not y.widened:
                differ = int((np.asarray(y.working) != np.asarray(y.exact)).sum())
                of = "it is" if y.working.size == 1 else f"{differ} of {y.working.size} are"
                self._note(equation, place, f"{of} different in float64")

    def _measure(
        self,
        equation: Any,
        operands: Sequence[Value],
        results: Sequence[Value],
        local: Sequence[Any],
    ) -> Measured:
        inexact = [
            (y, here) for y, here in zip(results, local, strict=True) if is_inexact(y.working)
        ]
        found = [
            (y.working.dtype, *map(measures.parts, (y.widened, here, y.exact)))
            for y, here in inexact
        ]
        accumulated = measures.together([measures.error(w, x, t) for t, w, _, x in found])
        return Measured(
            measures.together([measures.error(w, here, t) for t, w, here, _ in found]),
            accumulated,
            measures.condition(
                equation.primitive.name,
                lambda *xs: self._widening.evaluate(equation, xs),
                [x.exact for x in operands],
                [not isinstance(atom, Literal) for atom in equation.invars],
                [y.exact for y in results],
            ),
            min(1.0, max(y.relative for y in results)) - min(1.0, max_relative(operands)),
            sum(measures.overflows(w, x) for _, w, _, x in found),
            sum(measures.underflows(w, x, t) for t, w, _, x in found),
            sum(int((np.isnan(w) & ~np.isnan(x)).sum()) for _, w, _, x in found),
            sum(measures.overflows(w, here) for _, w, here, _ in found),
        )

    # -- calls and control flow ------------------------------------------------------------------------------

    def _call(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        name = equation.params["name"] if equation.primitive.name == "jit" else ""
        held = equation.params[CALLS[equation.primitive.name]]
        return self.run(*compat.opened(held), operands, place.inside(equation, name, held))

    def _cond(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        index, *rest = operands
        branches = equation.params["branches"]
        taken, exact = (
            int(np.clip(np.asarray(x), 0, len(branches) - 1)) for x in (index.working, index.exact)
        )
        if taken != exact:
            self._note(equation, place, f"took branch {taken}, float64 would take branch {exact}")
        inside = place.inside(equation, f"cond[{taken}]", branches[taken])
        return self.run(*compat.opened(branches[taken]), rest, inside)

    def _while(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        params = equation.params
        first, second = params["cond_nconsts"], params["body_nconsts"]
        tests, consts = operands[:first], operands[first : first + second]
        carry = list(operands[first + second :])
        test, body = params["cond_jaxpr"], params["body_jaxpr"]
        inside, testing = (
            place.inside(equation, "while", body),
            place.inside(equation, "while test", test),
        )
        noted = False
        while True:
            (goes_on,) = self.run(*compat.opened(test), [*tests, *carry], testing)
            if not noted and bool(goes_on.working) != bool(goes_on.exact):
                more = "fewer" if goes_on.working else "more"
                self._note(equation, place, f"float64 would make {more} steps")
                noted = True
            if not goes_on.working:
                return carry
            carry = self.run(*compat.opened(body), [*consts, *carry], inside)

    def _scan(self, equation: Any, operands: Sequence[Value], place: Place) -> list[Value]:
        params, body = equation.params, equation.params["jaxpr"]
        first, second = compat.scan_constants(equation), compat.scan_carries(equation)
        consts, carry = operands[:first], list(operands[first : first + second])
        rows, length = operands[first + second :], params["length"]
        inside = place.inside(equation, "scan", body)
        found: dict[int, list[Value]] = {}
        for step in reversed(range(length)) if params["reverse"] else range(length):
            row = [self._row(x, step) for x in rows]
            results = self.run(*compat.opened(body), [*consts, *carry, *row], inside)
            carry, found[step] = results[:second], results[second:]
        types = [var.aval for var in equation.outvars[second:]]
        steps = [found[step] for step in range(length)]
        return [*carry, *(self._stack([s[i] for s in steps], t) for i, t in enumerate(types))]

    def _row(self, x: Value, step: int) -> Value:
        working = _at(x.working, step)
        with jax.enable_x64(True):
            wide = _at(x.widened, step)
            exact = wide if x.exact is x.widened else _at(x.exact, step)
        return Value(working, wide, exact, x.relative, x.step)

    def _stack(self, steps: Sequence[Value], aval: Any) -> Value:
        if not steps:
            return self._start(jnp.zeros(aval.shape, aval.dtype))
        working = jnp.stack([x.working for x in steps])
        with jax.enable_x64(True):
            wide = jnp.stack([x.widened for x in steps])
            same = all(x.exact is x.widened for x in steps)
            exact = wide if same else jnp.stack([x.exact for x in steps])
        worst = max(steps, key=lambda x: x.relative)
        return Value(working, wide, exact, worst.relative, worst.step)


def _evaluate(equation: Any, operands: Sequence[Any]) -> list[Any]:
    if equation.primitive.name in PLACEMENT:
        return list(operands)
    params = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        return as_list(equation, equation.primitive.bind(*operands, **params))


def max_relative(values: Sequence[Value]) -> float:
    """Returns the largest relative error of values, 0 without one."""
    return max((x.relative for x in values), default=0.0)


def _at(x: Any, step: int) -> Any:
    return jax.lax.dynamic_index_in_dim(x, step, keepdims=False)  # one program for every step


def _is_of_library(body: Any) -> bool:
    """Returns whether a jaxpr was traced from a function of JAX or Tessera."""
    jaxpr, _ = compat.opened(body)
    source = jaxpr.debug_info.func_src_info or ""
    return source.partition(" at ")[2].startswith(LIBRARIES)


def _operation(index: int, row: _Row) -> Operation:
    types = [var.aval for var in row.equation.outvars]
    first = next(t for t in types if is_inexact(t))
    runs = row.runs
    conditions = [m.condition for m in runs if not np.isnan(m.condition)]
    return Operation(
        index,
        row.equation.primitive.name,
        row.place.calls,
        row.place.source_of(row.equation),
        tuple(first.shape),
        first.dtype.name,
        len(runs),
        measures.together([m.local for m in runs]),
        measures.together([m.accumulated for m in runs]),
        max(conditions, default=float("nan")),
        max(m.increase for m in runs),
        sum(m.overflows for m in runs),
        sum(m.underflows for m in runs),
        sum(m.nans for m in runs),
        sum(m.breaks for m in runs),
    )
