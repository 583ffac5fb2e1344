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
from tessera.pde.jet import Jet, constant, laplacian_or_zeros, scale_rows, sum_over_rows

# Runs one equation on plain arrays.
Apply = Callable[..., list[jax.Array]]
Rule = Callable[[Any, Apply, Sequence[Jet]], list[Jet]]

# f'' = 0 in the operands that vary, all others held.
LINEAR = frozenset(
    """add add_any broadcast_in_dim concatenate convert_element_type copy copy_p cumsum dynamic_slice
    dynamic_update_slice gather neg pad psum pcast pvary reduce_precision reduce_sum reduce_window_sum
    reshape rev scatter scatter-add select_n sharding_constraint slice split squeeze sub
    transpose""".split()
)

# Linear in each of two operands: f''[J, J] = 2 f(J_left, J_right).
BILINEAR = frozenset(("mul", "dot_general", "conv_general_dilated"))

# Entry i of the result depends on entry i of each operand only.
ELEMENTWISE = frozenset(
    """abs acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt clamp cos cosh digamma div
    erf erf_inv erfc exp exp2 expm1 integer_pow lgamma log log1p log2 logistic max min nextafter
    one_minus_square polygamma pow regularized_incomplete_beta rem rsqrt sin sinh sqrt square tan tanh
    zeta""".split()
)

# Piecewise constant.
FLAT = frozenset("ceil floor round sign stop_gradient".split())

# What else may stand in the body of a function that works entry by entry.
_ENTRY_BY_ENTRY = (
    ELEMENTWISE
    | FLAT
    | frozenset(
        """add add_any and convert_element_type copy copy_p eq ge gt is_finite le lt mul ne neg not or
        select_n sub xor""".split()
    )
)


def propagate(equation: Any, apply: Apply, operands: Sequence[Jet]) -> list[Jet]:
    """Returns the jets of the results of one equation, at least one of whose operands varies."""
    name = equation.primitive.name
    rule = _RULES.get(name, _general)
    if name in LINEAR:
        rule = _linear
    elif name in BILINEAR:
        rule = _bilinear if all(jet.varies for jet in operands) else rule
    elif _is_elementwise(name) and _is_unary(equation, operands):
        rule = _elementwise
    elif name in FLAT:
        rule = _flat
    return [
        jet if jnp.issubdtype(jet.value.dtype, jnp.inexact) else constant(jet.value)
        for jet in rule(equation, apply, operands)
    ]


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
    multiply = _multiply_from_the_right if left.varies else _multiply_from_the_left

    def through(*parts: jax.Array) -> Sequence[jax.Array]:
        stack = jnp.concatenate(parts)
        product = multiply(equation, apply, constant_side, stack)
        return jax.lax.split(product, [part.shape[0] for part in parts])

    if jet.laplacian is None:
        return [Jet(through(jet.value[None])[0][0], through(jet.rows)[0])]
    value, laplacian, rows = through(jet.value[None], jet.laplacian[None], jet.rows)
    return [Jet(value[0], rows, laplacian[0])]


def _multiply_from_the_right(
    equation: Any, apply: Apply, weight: Any, stack: jax.Array
) -> jax.Array:
    return jax.vmap(lambda x: apply(x, weight)[0])(stack)


def _multiply_from_the_left(
    equation: Any, apply: Apply, weight: Any, stack: jax.Array
) -> jax.Array:
    """`weight @ x` for each x of a stack, as `x @ weight^T` where the two are the same.

    The rows of the stack are then the rows of one matrix product, and its result needs no transposition.
    """
    (left, right), (batch, _) = equation.params["dimension_numbers"]
    if batch or len(right) < stack.ndim - 1 or equation.params["out_sharding"] is not None:
        return jax.vmap(lambda x: apply(weight, x)[0])(stack)
    params = {**equation.params, "dimension_numbers": ((right, left), ((), ()))}
    return jax.vmap(lambda x: equation.primitive.bind(x, weight, **params))(stack)


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
        traced = jax.make_jaxpr(lambda x, t: jax.jvp(run, (x,), (t,)))(jet.value, jet.value)
        if _works_entry_by_entry(traced.jaxpr):
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
    return name in ELEMENTWISE or (name.startswith("tessera.") and name in ops)


def _is_unary(equation: Any, operands: Sequence[Jet]) -> bool:
    """Whether one real operand varies and the one result has its shape and dtype."""
    varying = [jet.value for jet in operands if jet.varies]
    results = [var.aval for var in equation.outvars]
    if len(varying) != 1 or len(results) != 1:
        return False
    (x,), (y,) = varying, results
    return x.shape == y.shape and x.dtype == y.dtype and jnp.issubdtype(x.dtype, jnp.floating)


def _works_entry_by_entry(jaxpr: Any) -> bool:
    bodies = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}
    return all(
        _works_entry_by_entry(equation.params[bodies[equation.primitive.name]].jaxpr)
        if equation.primitive.name in bodies
        else equation.primitive.name in _ENTRY_BY_ENTRY
        for equation in jaxpr.eqns
    )


_RULES: dict[str, Rule] = {
    "mul": _linear,
    "dot_general": _dot,
    "conv_general_dilated": _linear,
    "div": _divide,
    "custom_jvp_call": _custom_jvp,
}
