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


def evaluate(*arrays: Any, traced: Any, level: str) -> list[Any]:
    """Returns the results of a traced function, each equation computed at a level."""
    if at_least(level, "D4"):
        arrays = tuple(flushed(x) for x in arrays)
    return _evaluate(*arrays, traced=traced, level=level)


def _evaluate(*arrays: Any, traced: Any, level: str) -> list[Any]:
    jaxpr, consts = compat.opened(traced)
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arrays, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if compat.is_literal(atom) else values[atom]

    for equation in jaxpr.eqns:
        with compat.context_of(equation):
            results = _run(equation, level, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _run(equation: Any, level: str, operands: Sequence[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name in CALLS:
        return _evaluate(*operands, traced=equation.params[CALLS[name]], level=level)
    if name in LOOPS:
        return _run_loop(equation, level, operands)
    hidden = compat.hidden_body(equation)
    if hidden is not None:
        return _evaluate(*operands, traced=hidden, level=level)
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
    run = functools.partial(_evaluate, traced=body, level=level)
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
