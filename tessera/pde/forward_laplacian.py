"""The forward Laplacian: a network's jaxpr run on jets instead of values."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal

from tessera.core.compat import ClosedJaxpr
from tessera.core.primitive import EXPANSIONS
from tessera.pde.jet import Jet, constant, laplacian_or_zeros, seed
from tessera.pde.rules import propagate

# Equations that only call another jaxpr, and the parameter that holds it.
CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}


def laplacian_at(network: ClosedJaxpr, point: jax.Array) -> jax.Array:
    """Returns the Laplacian, summed over the coordinates of one point `(d,)`, of a network's one result.

    >>> square = jax.make_jaxpr(lambda x: jnp.sum(x * x))(jnp.ones(3))
    >>> print(laplacian_at(square, jnp.ones(3)))
    6.0
    """
    (result,) = interpret(network.jaxpr, network.consts, [seed(point)])
    return laplacian_or_zeros(result)


def interpret(jaxpr: Jaxpr, consts: Sequence[Any], operands: Sequence[Jet]) -> list[Jet]:
    """Returns the jets of a jaxpr's results from the jets of its arguments."""
    jets: dict[Any, Jet] = dict(zip(jaxpr.constvars, map(constant, consts), strict=True))
    jets.update(zip(jaxpr.invars, operands, strict=True))

    def read(atom: Any) -> Jet:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return constant(jnp.asarray(atom.val, aval.dtype))
        return jets[atom]

    for equation in jaxpr.eqns:
        results = _evaluate(equation, [read(atom) for atom in equation.invars])
        jets.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _evaluate(equation: Any, operands: Sequence[Jet]) -> list[Jet]:
    apply = _as_function(equation)
    if not any(jet.varies for jet in operands):
        return [constant(y) for y in apply(*(jet.value for jet in operands))]
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        return interpret(inner.jaxpr, inner.consts, operands)
    if name == "checkpoint":
        return _interpret_checkpointed(equation, operands)
    if equation.primitive in EXPANSIONS:
        return _interpret_op(equation, operands)
    return propagate(equation, apply, operands)


def _interpret_checkpointed(equation: Any, operands: Sequence[Jet]) -> list[Jet]:
    params = equation.params
    run = partial(interpret, params["jaxpr"], ())
    return jax.checkpoint(run, prevent_cse=params["prevent_cse"], policy=params["policy"])(operands)


def _interpret_op(equation: Any, operands: Sequence[Jet]) -> list[Jet]:
    """A Tessera op is its reference, which the rules for the primitives in it know well."""
    reference = partial(EXPANSIONS[equation.primitive], **equation.params)
    inner = jax.make_jaxpr(reference)(*(jet.value for jet in operands))
    return interpret(inner.jaxpr, inner.consts, operands)


def _as_function(equation: Any) -> Callable[..., list[jax.Array]]:
    params = equation.primitive.get_bind_params(equation.params)

    def apply(*operands: Any) -> list[jax.Array]:
        with equation.ctx.manager:
            results = equation.primitive.bind(*operands, **params)
        return list(results) if equation.primitive.multiple_results else [results]

    return apply
