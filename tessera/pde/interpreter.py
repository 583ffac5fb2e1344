"""A network's jaxpr run on derivatives instead of values, whatever algebra the derivatives form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal

from tessera.core.primitive import EXPANSIONS
from tessera.pde.kinds import Apply

# Equations that only call another jaxpr, and the parameter that holds it.
CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}


@dataclass(frozen=True)
class Algebra:
    """Values with their derivatives, which have `.value` and `.varies`, and how they pass an equation.

    `constant(value)` does not depend on the point; `propagate(equation, apply, operands)` gives the results
    of an equation, at least one of whose operands varies.
    """

    constant: Callable[[Any], Any]
    propagate: Callable[[Any, Apply, Sequence[Any]], list[Any]]


def interpret(
    algebra: Algebra, jaxpr: Jaxpr, consts: Sequence[Any], operands: Sequence[Any]
) -> list[Any]:
    """Returns the results of a jaxpr from its arguments, all of them values with derivatives."""
    found: dict[Any, Any] = dict(zip(jaxpr.constvars, map(algebra.constant, consts), strict=True))
    found.update(zip(jaxpr.invars, operands, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return algebra.constant(jnp.asarray(atom.val, aval.dtype))
        return found[atom]

    for equation in jaxpr.eqns:
        results = _evaluate(algebra, equation, [read(atom) for atom in equation.invars])
        found.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _evaluate(algebra: Algebra, equation: Any, operands: Sequence[Any]) -> list[Any]:
    apply = _as_function(equation)
    if not any(x.varies for x in operands):
        return [algebra.constant(y) for y in apply(*(x.value for x in operands))]
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        return interpret(algebra, inner.jaxpr, inner.consts, operands)
    if name == "checkpoint":
        return _interpret_checkpointed(algebra, equation, operands)
    if equation.primitive in EXPANSIONS:
        return _interpret_op(algebra, equation, operands)
    results = algebra.propagate(equation, apply, operands)
    return [
        x if jnp.issubdtype(x.value.dtype, jnp.inexact) else algebra.constant(x.value)
        for x in results
    ]


def _interpret_checkpointed(algebra: Algebra, equation: Any, operands: Sequence[Any]) -> list[Any]:
    params = equation.params
    run = partial(interpret, algebra, params["jaxpr"], ())
    return jax.checkpoint(run, prevent_cse=params["prevent_cse"], policy=params["policy"])(operands)


def _interpret_op(algebra: Algebra, equation: Any, operands: Sequence[Any]) -> list[Any]:
    """A Tessera op is its reference, which the rules for the primitives in it know well."""
    reference = partial(EXPANSIONS[equation.primitive], **equation.params)
    inner = jax.make_jaxpr(reference)(*(x.value for x in operands))
    return interpret(algebra, inner.jaxpr, inner.consts, operands)


def _as_function(equation: Any) -> Apply:
    params = equation.primitive.get_bind_params(equation.params)

    def apply(*operands: Any) -> list[jax.Array]:
        with equation.ctx.manager:
            results = equation.primitive.bind(*operands, **params)
        return list(results) if equation.primitive.multiple_results else [results]

    return apply
