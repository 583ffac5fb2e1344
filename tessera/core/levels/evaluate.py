"""Computes a traced function at a level: every equation by its rule, loops and calls entered."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from tessera.core import compat
from tessera.core.determinism import LEVELS, at_least
from tessera.core.levels.floats import as_it_is, flushed
from tessera.core.levels.tables import CALLS, LOOPS, rule_of
from tessera.core.primitive import PREFIX

# Ops, and primitives of JAX, that take subnormal numbers for zeros by themselves: a sum reads its operand in
# many places, so an operand rewritten before it would go through memory.
FLUSH_THEMSELVES = frozenset({"reduce_sum", "dot_general"})


def evaluate(*arrays: Any, traced: Any, level: str, flushes: bool = False) -> list[Any]:
    """Returns the results of a traced function, each equation computed at a level.

    In D4 subnormal numbers among the arrays are zeros, unless the function `flushes` them itself.
    """
    raw = [at_least(level, "D4") and not flushes] * len(arrays)
    return _evaluate(*arrays, traced=traced, level=level, raw=raw)


def _evaluate(*arrays: Any, traced: Any, level: str, raw: Sequence[bool]) -> list[Any]:
    """Returns the results; arrays that are `raw` are flushed where something reads them that does not."""
    jaxpr, consts = compat.opened(traced)
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arrays, strict=True))
    pending = {var for var, is_raw in zip(jaxpr.invars, raw, strict=True) if is_raw}

    def read(atom: Any, *, whatever: bool = False) -> Any:
        if compat.is_literal(atom):
            return atom.val
        if atom in pending and not whatever:
            values[atom] = flushed(values[atom])
            pending.remove(atom)
        return values[atom]

    for equation in jaxpr.eqns:
        name = equation.primitive.name
        itself = name in CALLS or name in FLUSH_THEMSELVES or name.startswith(PREFIX)
        operands = [read(atom, whatever=itself) for atom in equation.invars]
        still = [not compat.is_literal(atom) and atom in pending for atom in equation.invars]
        with compat.context_of(equation):
            if name in CALLS:
                body = equation.params[CALLS[name]]
                results = _evaluate(*operands, traced=body, level=level, raw=still)
            else:
                results = _run(equation, level, operands)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _inside(*arrays: Any, traced: Any, level: str) -> list[Any]:
    return _evaluate(*arrays, traced=traced, level=level, raw=[False] * len(arrays))


def _run(equation: Any, level: str, operands: Sequence[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name in LOOPS:
        return _run_loop(equation, level, operands)
    hidden = compat.hidden_body(equation)
    if hidden is not None:
        return _inside(*operands, traced=hidden, level=level)
    if name.startswith(PREFIX):
        return equation.primitive.bind(*operands, **_params_at(equation, level))
    run = rule_of(equation).run or as_it_is
    found = run(equation, level, operands)
    return found if equation.primitive.multiple_results else [found]


def _run_loop(equation: Any, level: str, operands: Sequence[Any]) -> Sequence[Any]:
    params = dict(equation.params)
    for name in LOOPS[equation.primitive.name]:
        held = params[name]
        listed = held if isinstance(held, tuple) else (held,)
        bodies = tuple(_body_at(body, level) for body in listed)
        params[name] = bodies if isinstance(held, tuple) else bodies[0]
    return equation.primitive.bind(*operands, **params)


def _body_at(body: Any, level: str) -> Any:
    types = [v.aval for v in compat.opened(body)[0].invars]
    run = functools.partial(_inside, traced=body, level=level)
    return compat.like(body, jax.make_jaxpr(run)(*types))


def _params_at(equation: Any, level: str) -> dict[str, Any]:
    """Returns the parameters of a Tessera primitive at a level; one that has a level keeps the higher."""
    params = equation.params
    if "level" in params:  # a function at a level
        return {**params, "level": max(params["level"], level)}
    if "algorithm" not in params:
        return params
    pinned = params["algorithm"]
    if pinned is None or pinned in LEVELS:
        return {**params, "algorithm": max(pinned or "", level)}
    return params
