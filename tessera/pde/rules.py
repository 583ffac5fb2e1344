"""How a jet (value, rows, Laplacian) passes through each kind of primitive.

With J the rows and L the Laplacian of the operands, an operation y = f(x) has

    J_y = f'(x) J        L_y = f'(x) L + sum_i f''(x)[J_i, J_i]        i over the coordinates of the point

(the forward Laplacian: Li et al., Nature Machine Intelligence 6, 2024, s42256-024-00794-x). The tables below
sort primitives by what is known about f''. A primitive in no table gets the general rule, which takes f'' by
forward mode along each row and so is exact for every primitive that has a forward derivative.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.op import registered_ops
from tessera.pde import kinds
from tessera.pde.jet import Jet, constant, laplacian_or_zeros, scale_rows, sum_over_rows
from tessera.pde.kinds import Apply

Rule = Callable[[Any, Apply, Sequence[Jet]], list[Jet]]


def propagate(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """Returns the jets of the results of one equation, at least one of whose operands varies."""
    name = equation.primitive.name
    rule = _RULES.get(name, _general)
    if name in kinds.LINEAR:
        rule = _linear
    elif name in kinds.BILINEAR:
        rule = _bilinear if all(jet.varies for jet in operands) else rule
    elif _is_elementwise(name) and _is_unary(equation, operands):
        rule = _elementwise
    elif name in kinds.FLAT:
        rule = _flat
    return rule(equation, apply, operands)


def _linear(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    run, varying = _in_varying_operands(apply, operands)
    values = tuple(jet.value for jet in varying)

    def push(*tangents: jax.Array) -> list[jax.Array]:
        return jax.jvp(run, values, tangents)[1]

    rows = jax.vmap(push)(*(jet.rows for jet in varying))
    if all(jet.laplacian is None for jet in varying):
        return [Jet(y, r) for y, r in zip(run(*values), rows, strict=True)]
    laplacians = push(*map(laplacian_or_zeros, varying))
    return [Jet(*parts) for parts in zip(run(*values), rows, laplacians, strict=True)]


def _bilinear(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    (product,) = _linear(equation, apply, operands)
    left, right = operands
    (crossed,) = jax.vmap(apply)(left.rows, right.rows)
    laplacian = laplacian_or_zeros(product) + 2 * sum_over_rows(crossed)
    return [Jet(product.value, product.rows, laplacian)]


def _dot(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """One product of the constant operand with value, Laplacian and rows stacked.

    Without a Laplacian everything so far was linear: the rows are then the same at every point, and stay
    out of the product that each point takes part in.
    """
    left, right = operands
    jet, constant_side = (left, right.value) if left.varies else (right, left.value)

    def through(*parts: jax.Array) -> Sequence[jax.Array]:
        return kinds.multiply_stack(equation, apply, constant_side, parts, left=left.varies)

    if jet.laplacian is None:
        return [Jet(through(jet.value[None])[0][0], through(jet.rows)[0])]
    value, laplacian, rows = through(jet.value[None], jet.laplacian[None], jet.rows)
    return [Jet(value[0], rows, laplacian[0])]


def _divide(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """q = a / b: from a = q b, J_q = (J_a - q J_b) / b and L_q = (L_a - q L_b - 2 sum J_q J_b) / b."""
    above, below = operands
    if not below.varies:
        return _linear(equation, apply, operands)
    (quotient,) = apply(above.value, below.value)
    if not above.varies or above.value.shape != below.value.shape:
        return _general(equation, apply, operands)
    rows = jax.vmap(lambda a, b: (a - quotient * b) / below.value)(above.rows, below.rows)
    crossed = sum_over_rows(rows * below.rows)
    rest = laplacian_or_zeros(above) - quotient * laplacian_or_zeros(below) - 2 * crossed
    return [Jet(quotient, rows, rest / below.value)]


def _elementwise(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """f' and f'' of every entry at once, by forward mode along a tangent of ones.

    XLA merges what the derivatives share with the value, so each function is evaluated once.
    """
    run, (jet,) = _in_varying_operands(apply, operands)
    ones = jnp.ones_like(jet.value)

    def slope(x: jax.Array) -> jax.Array:
        return jax.jvp(run, (x,), (ones,))[1][0]

    first, second = jax.jvp(slope, (jet.value,), (ones,))
    return [_through_curve(jet, run(jet.value)[0], first, second)]


def _through_curve(jet: Jet, y: jax.Array, slope: jax.Array, bend: jax.Array) -> Jet:
    laplacian = bend * sum_over_rows(jet.rows * jet.rows)
    if jet.laplacian is not None:
        laplacian = slope * jet.laplacian + laplacian
    return Jet(y, scale_rows(slope, jet.rows), laplacian)


def _flat(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    return [constant(y) for y in apply(*(jet.value for jet in operands))]


def _general(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """f'' along each row, by forward mode over forward mode."""
    run, varying = _in_varying_operands(apply, operands)
    values = tuple(jet.value for jet in varying)

    def slope(xs: tuple[jax.Array, ...], along: tuple[jax.Array, ...]) -> list[jax.Array]:
        return jax.jvp(run, xs, along)[1]

    def bend(*along: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
        return jax.jvp(lambda *xs: slope(xs, along), values, along)

    rows, bends = jax.vmap(bend)(*(jet.rows for jet in varying))
    ys, laplacians = jax.jvp(run, values, tuple(map(laplacian_or_zeros, varying)))
    return [
        Jet(y, along, first + sum_over_rows(second))
        if jnp.issubdtype(y.dtype, jnp.inexact)
        else constant(y)
        for y, along, first, second in zip(ys, rows, laplacians, bends, strict=True)
    ]


def _custom_jvp(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """The derivative rule decides, not the body: entry by entry only if the rule is."""
    if _is_unary(equation, operands):
        run, (jet,) = _in_varying_operands(apply, operands)
        if kinds.works_entry_by_entry(run, jet.value):
            return _elementwise(equation, apply, operands)
    return _general(equation, apply, operands)


def _in_varying_operands(
    apply: Apply, operands: Sequence[Jet]
) -> tuple[Callable[..., list[jax.Array]], list[Jet]]:
    def run(*varying: jax.Array) -> list[jax.Array]:
        rest = iter(varying)
        return apply(*(next(rest) if jet.varies else jet.value for jet in operands))

    return run, [jet for jet in operands if jet.varies]


def _is_elementwise(name: str) -> bool:
    ops = (f"tessera.{op.name}" for op in registered_ops() if str(op.dims) == "*b -> *b")
    return name in kinds.ELEMENTWISE or (name.startswith("tessera.") and name in ops)


def _is_unary(equation: Any, operands: Sequence[Jet]) -> bool:
    return kinds.is_unary(equation, [jet.value for jet in operands if jet.varies])


_RULES: dict[str, Rule] = {
    "mul": _linear,
    "dot_general": _dot,
    "conv_general_dilated": _linear,
    "div": _divide,
    "custom_jvp_call": _custom_jvp,
}
