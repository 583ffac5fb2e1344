"""What a traced function reaches, equation by equation: by the rules, and as it stands."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.determinism import LEVELS, at_least
from tessera.core.errors import Code, NumericsError
from tessera.core.levels.tables import bodies_of, rule_of
from tessera.core.primitive import EXPANSIONS, PREFIX

# The level that an op with a pinned algorithm reaches.
PINNED: dict[tuple[str, str], str] = {}
# The function of a primitive that interpreters must not look into, for its level alone.
WRITTEN: dict[Any, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Reach:
    """The level of one equation: by its rule, and as it stands; and the user's line it comes from."""

    equation: Any
    highest: str
    native: str
    reason: str
    where: str


def reaches(traced: Any, where: str = "") -> Iterator[Reach]:
    """Yields what every equation of a traced function reaches, those of its loops and calls included.

    `where` is the line of the call: inside functions of JAX that are compiled, equations have none.
    """
    jaxpr, _ = compat.opened(traced)
    contracted = _contracted(jaxpr)
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        place = compat.source_of(equation) or where
        bodies = list(bodies_of(equation))
        if bodies:
            for body in bodies:
                yield from reaches(body, place)
        elif name.startswith(PREFIX):
            yield _reach_of_op(equation, place)
        else:
            rule = rule_of(equation)
            native, reason = rule.native, rule.reason
            if id(equation) in contracted:
                native, reason = "D1", "a product that meets a sum may be contracted, or not (FMA)."
            yield Reach(equation, rule.highest, native, reason, place)


def require(traced: Any, level: str, who: str) -> None:
    """Raises `E_NONDETERMINISTIC` if an equation of a traced function cannot reach a level."""
    found = list(reaches(traced))
    highest = min((r.highest for r in found), default="D4")
    if at_least(highest, level):
        return
    worst = next(r for r in found if r.highest == highest)
    name = worst.equation.primitive.name.removeprefix(PREFIX)
    raise NumericsError(
        Code.E_NONDETERMINISTIC,
        f"{who}: its highest determinism level is {highest}, not {level}. {name}: {worst.reason}",
        where=worst.where,
        hints=f'promise "{highest}", or compute it outside the scope',
    )


def _reach_of_op(equation: Any, where: str) -> Reach:
    params, primitive = equation.params, equation.primitive
    if "level" in params:
        found = list(reaches(params["traced"]))
        native = params["level"]
    elif params.get("algorithm") not in (None, *LEVELS):
        highest = PINNED.get((primitive.name, params["algorithm"]), "D1")
        return Reach(
            equation, highest, highest, f"its algorithm {params['algorithm']!r} is pinned.", where
        )
    else:
        plain = {**params, "algorithm": None} if "algorithm" in params else params
        function = EXPANSIONS.get(primitive) or WRITTEN[primitive]
        run = functools.partial(function, **plain)
        found = list(reaches(jax.make_jaxpr(run)(*(v.aval for v in equation.invars))))
        own = params.get("algorithm")
        native = own if own in LEVELS else min((r.native for r in found), default="D4")
    highest = min((r.highest for r in found), default="D4")
    lowest = min((r.native for r in found), default="D4")
    worst = next((r for r in found if r.native == lowest), None)
    reason = "" if worst is None else f"{worst.equation.primitive.name}: {worst.reason}"
    return Reach(equation, highest, min(native, highest), reason, where)


def _contracted(jaxpr: Any) -> set[int]:
    """Returns the ids of float products whose result a sum reads, seen through data movement."""
    sums = {"add", "sub", "add_any", "reduce_sum", "cumsum"}
    movement = {"broadcast_in_dim", "reshape", "squeeze", "transpose", "neg", "slice", "copy"}
    makers: dict[Any, Any] = {}
    found: set[int] = set()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        for atom in equation.invars if name in sums else ():
            maker = None if compat.is_literal(atom) else makers.get(atom)
            if maker is not None:
                found.add(id(maker))
        for var in equation.outvars:
            if name in ("mul", "square", "integer_pow") and _is_float(var):
                makers[var] = equation
            elif name in movement and not compat.is_literal(equation.invars[0]):
                makers[var] = makers.get(equation.invars[0])
    return found


def _is_float(var: Any) -> bool:
    return jnp.issubdtype(var.aval.dtype, jnp.floating)
