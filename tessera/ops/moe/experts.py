"""One expert's function, run for rows of many experts at once.

Rows are sorted by expert. The function is traced for one row; every value in it then belongs to all rows, to
each expert, or to each row:

    a product of a row with an expert's matrix   `op.grouped_matmul`, one program for all experts
    a function of parameters alone               once per expert
    a function of rows alone                     mapped over rows
    anything else                                mapped over rows, each with its expert's parameters
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from tessera.core import arguments, compat
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.primitive import EXPANSIONS

SHARED, EXPERT, ROW = 0, 1, 2


@dataclass(frozen=True)
class Held:
    """An array with a leading axis of experts or of rows, or of neither."""

    kind: int
    array: Any


@dataclass(frozen=True)
class Groups:
    """How many rows each expert has, and the expert of each row."""

    sizes: jax.Array
    member: jax.Array


@dataclass(frozen=True)
class Program:
    """A traced expert, for one row: its jaxpr, its constants, and the parameters of all experts."""

    jaxpr: Any
    constants: tuple[Held, ...]
    parameters: tuple[Held, ...]

    def run(self, rows: jax.Array, groups: Groups) -> jax.Array:
        """Returns what the expert of each row makes of it."""
        given = [*self.parameters, Held(ROW, rows[:, None, :])]
        (out,) = _evaluate(self.jaxpr, self.constants, given, groups)
        return jnp.squeeze(_by_row(out, groups, rows.shape[0]), 1)


def from_stacked(fn: Callable[..., Any], params: Any, row: jax.ShapeDtypeStruct) -> Program:
    """Returns the program of fn(params of one expert, rows); arrays in params lead with the experts."""
    structure, arrays = arguments.split(params, "moe")
    arrays = [jnp.asarray(a) for a in arrays]
    one = [compat.type_of_part(a, a.shape[1:]) for a in arrays]
    traced = _traced(lambda *given: fn(structure.fill(given[:-1]), given[-1]), *one, row)
    jaxpr, consts = compat.opened(traced)
    shared = tuple(Held(SHARED, c) for c in consts)
    return Program(jaxpr, shared, tuple(Held(EXPERT, a) for a in arrays))


def from_list(experts: Sequence[Callable[..., Any]], row: jax.ShapeDtypeStruct) -> Program | None:
    """Returns the one program of functions that differ only in the arrays they hold; None if they differ."""
    opened = [compat.opened(_traced(f, row)) for f in experts]
    jaxpr, first = opened[0]
    text = _text(jaxpr)
    if any(_text(other) != text for other, _ in opened[1:]):
        return None
    columns = list(zip(*(consts for _, consts in opened), strict=True)) if first else []
    if any(_type(c) != _type(column[0]) for column in columns for c in column):
        return None
    return Program(jaxpr, tuple(map(_stacked, columns)), ())


def _stacked(column: Sequence[Any]) -> Held:
    if all(c is column[0] for c in column):
        return Held(SHARED, column[0])
    return Held(EXPERT, jnp.stack([jnp.asarray(c) for c in column]))


def _traced(function: Callable[..., Any], *types: Any) -> Any:
    traced, out = jax.make_jaxpr(function, return_shape=True)(*types)
    if not isinstance(out, jax.ShapeDtypeStruct) or len(out.shape) != 2 or out.shape[0] != 1:
        found = jax.tree.map(lambda x: x.shape, out)
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"moe: an expert maps rows (1, {types[-1].shape[1]}) to {found}, not to one array (1, n).",
        )
    return traced


def _text(jaxpr: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(jaxpr))


def _type(x: Any) -> Any:
    kind = jax.typeof(x)
    return kind.shape, kind.dtype


# -- evaluation ----------------------------------------------------------------------------------------


def _evaluate(
    jaxpr: Any, constants: Sequence[Held], operands: Sequence[Held], groups: Groups
) -> list[Held]:
    found: dict[Any, Held] = {}
    found.update(zip(jaxpr.constvars, constants, strict=True))
    found.update(zip(jaxpr.invars, operands, strict=True))

    def read(atom: Any) -> Held:
        if isinstance(atom, Literal):
            return Held(SHARED, atom.val)
        return found[atom]

    for equation in jaxpr.eqns:
        results = _apply(equation, [read(a) for a in equation.invars], groups)
        found.update(zip(equation.outvars, results, strict=True))
    return [read(a) for a in jaxpr.outvars]


def _apply(equation: Any, operands: list[Held], groups: Groups) -> list[Held]:
    kinds = {held.kind for held in operands}
    if kinds >= {EXPERT, ROW}:
        product = _product(equation, operands, groups)
        if product is not None:
            return [product]
        inside = _inside(equation)
        if inside is not None:
            jaxpr, consts = compat.opened(inside)
            return _evaluate(jaxpr, [Held(SHARED, c) for c in consts], operands, groups)
        operands = [Held(ROW, h.array[groups.member]) if h.kind == EXPERT else h for h in operands]
    kind = max(kinds, default=SHARED)
    run = partial(_bind, equation)
    if kind != SHARED:
        run = jax.vmap(run, in_axes=[0 if h.kind == kind else None for h in operands])
    return [Held(kind, x) for x in run(*(h.array for h in operands))]


def _bind(equation: Any, *values: Any) -> list[Any]:
    """Returns the results of one equation, as a jaxpr of its own, for the values of its operands."""
    pairs = zip(equation.invars, values, strict=True)
    inputs = {atom: value for atom, value in pairs if not isinstance(atom, Literal)}
    alone = compat.new_jaxpr([], list(inputs), equation.outvars, [equation])
    return compat.evaluate(alone, [], *inputs.values())


def _inside(equation: Any) -> Any:
    """Returns the jaxpr of a call that may be looked into, or None."""
    if equation.primitive.name == "jit":
        return equation.params["jaxpr"]
    if equation.primitive in EXPANSIONS:
        types = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
        reference = partial(EXPANSIONS[equation.primitive], **equation.params)
        return jax.make_jaxpr(reference)(*types)
    return None


def _product(equation: Any, operands: Sequence[Held], groups: Groups) -> Held | None:
    """Returns a product of rows with their experts' matrices; None if the equation is no such product."""
    out = equation.outvars[0].aval
    floats = all(jnp.issubdtype(h.array.dtype, jnp.floating) for h in operands)
    if equation.primitive.name != "dot_general" or not floats:
        return None
    contracted, batched = equation.params["dimension_numbers"]
    if batched[0]:
        return None
    row_first = operands[0].kind == ROW
    order = (0, 1) if row_first else (1, 0)
    rows, weight = (operands[i].array for i in order)
    x, free_x = _matrix(rows, contracted[order[0]], contracted_last=True)
    w, free_w = _matrix(weight, contracted[order[1]], contracted_last=False)
    count, per_row, inner = x.shape
    y = registered_op("grouped_matmul").bind(
        x.reshape(count * per_row, inner), w, groups.sizes * per_row
    )
    if row_first:
        return Held(ROW, y.reshape(count, *free_x, *free_w).astype(out.dtype))
    y = y.reshape(count, per_row, w.shape[-1]).swapaxes(1, 2)
    return Held(ROW, y.reshape(count, *free_w, *free_x).astype(out.dtype))


def _matrix(
    x: jax.Array, contracted: Sequence[int], *, contracted_last: bool
) -> tuple[jax.Array, list[int]]:
    """Returns x as (lead, free, contracted) or (lead, contracted, free), and the sizes of the free axes."""
    inner = [i + 1 for i in contracted]
    free = [i for i in range(1, x.ndim) if i not in inner]
    sizes = [x.shape[i] for i in free]
    length = 1
    for i in inner:
        length *= x.shape[i]
    width = 1
    for size in sizes:
        width *= size
    axes = (0, *free, *inner) if contracted_last else (0, *inner, *free)
    shape = (x.shape[0], width, length) if contracted_last else (x.shape[0], length, width)
    return x.transpose(axes).reshape(shape), sizes


def _by_row(held: Held, groups: Groups, count: int) -> jax.Array:
    if held.kind == ROW:
        return held.array
    if held.kind == EXPERT:
        return held.array[groups.member]
    return jnp.broadcast_to(held.array, (count, *jnp.shape(held.array)))
