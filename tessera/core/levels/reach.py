"""What a traced function reaches, equation by equation: by the rules, and as it stands."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.determinism import LEVELS, at_least
from tessera.core.errors import Code, NumericsError
from tessera.core.levels.tables import CALLS, bodies_of, rule_of
from tessera.core.primitive import PREFIX, REFERENCES

# The level that an op with a pinned algorithm reaches.
PINNED: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Reach:
    """The level of one equation: by its rule, and as it stands; and the user's line it comes from."""

    equation: Any
    highest: str
    native: str
    reason: str
    where: str


INVERTED = "a negative power is a quotient, which machines round differently."
FMA = "a product that meets a sum may be contracted, or not (FMA)."


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
            if id(equation) in contracted:
                yield Reach(equation, "D4", "D1", FMA, place)
        elif name.startswith(PREFIX):
            yield _reach_of_op(equation, place)
        else:
            rule = rule_of(equation)
            native, reason = rule.native, rule.reason
            if name == "integer_pow" and equation.params["y"] < 0:
                native, reason = "D1", INVERTED
            if id(equation) in contracted:
                native, reason = "D1", FMA
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
        function = REFERENCES[primitive]
        run = functools.partial(function, **plain)
        found = list(reaches(jax.make_jaxpr(run)(*(v.aval for v in equation.invars))))
        own = params.get("algorithm")
        native = own if own in LEVELS else min((r.native for r in found), default="D4")
    highest = min((r.highest for r in found), default="D4")
    lowest = min((r.native for r in found), default="D4")
    worst = next((r for r in found if r.native == lowest), None)
    reason = "" if worst is None else f"{worst.equation.primitive.name}: {worst.reason}"
    return Reach(equation, highest, min(native, highest), reason, where)


# A product seen through these is still the product of a sum that reads it.
_MOVEMENT = frozenset(
    "broadcast_in_dim concatenate copy neg pad reshape select_n slice squeeze transpose".split()
)
_SUMS = frozenset("add add_any cumsum reduce_sum sub".split())


def _contracted(jaxpr: Any) -> set[int]:
    """Returns the ids of float products, and of calls that end in one, whose result a sum reads."""
    makers: dict[Any, Any] = {}
    found: set[int] = set()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        read = [makers[atom] for atom in equation.invars if _made(atom, makers)]
        if name in _SUMS:
            found.update(id(maker) for maker in read)
        for place, var in enumerate(equation.outvars):
            if _is_float(var) and (name in _PRODUCTS or _ends_in_product(equation, place)):
                makers[var] = equation
            elif read and _only_moves(equation):
                makers[var] = read[0]
    return found


_PRODUCTS = frozenset("integer_pow mul square".split())


def _made(atom: Any, makers: dict[Any, Any]) -> bool:
    return not compat.is_literal(atom) and atom in makers


def _only_moves(equation: Any) -> bool:
    name = equation.primitive.name
    if name in CALLS:  # as `jnp.where` is
        return all(map(_only_moves, compat.opened(equation.params[CALLS[name]])[0].eqns))
    return name in _MOVEMENT


def _ends_in_product(equation: Any, place: int) -> bool:
    """Returns whether a result of a call is that of a product in its body."""
    name = equation.primitive.name
    if name not in CALLS:
        return False
    body, _ = compat.opened(equation.params[CALLS[name]])
    var = body.outvars[place]
    made = next((e for e in body.eqns if not compat.is_literal(var) and var in e.outvars), None)
    if made is None:
        return False
    return made.primitive.name in _PRODUCTS or _ends_in_product(made, made.outvars.index(var))


def _is_float(var: Any) -> bool:
    return "dtype" in dir(var.aval) and jnp.issubdtype(var.aval.dtype, jnp.floating)
