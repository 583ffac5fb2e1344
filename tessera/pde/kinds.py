"""What is known about each kind of primitive, for every algebra of derivatives that passes through one.

LINEAR, BILINEAR    by what its derivatives are
ELEMENTWISE         entry i of the result depends on entry i of each operand only
FLAT                piecewise constant
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

# Runs one equation on plain arrays.
Apply = Callable[..., list[jax.Array]]

# f'' = 0 in the operands that vary, all others held.
LINEAR = frozenset(
    """add add_any broadcast_in_dim concatenate convert_element_type copy copy_p cumsum dynamic_slice
    dynamic_update_slice gather neg pad psum pcast pvary reduce_precision reduce_sum reduce_window_sum
    reshape rev scatter scatter-add select_n sharding_constraint slice split squeeze sub
    transpose""".split()
)

# Linear in each of two operands: f''[J, J] = 2 f(J_left, J_right).
BILINEAR = frozenset(("mul", "dot_general", "conv_general_dilated"))

ELEMENTWISE = frozenset(
    """abs acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt clamp cos cosh digamma div
    erf erf_inv erfc exp exp2 expm1 integer_pow lgamma log log1p log2 logistic max min nextafter
    one_minus_square polygamma pow regularized_incomplete_beta rem rsqrt sin sinh sqrt square tan tanh
    zeta""".split()
)

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


def is_unary(equation: Any, varying: Sequence[jax.Array]) -> bool:
    """Returns whether one real operand varies and the one result has its shape and dtype."""
    results = [var.aval for var in equation.outvars]
    if len(varying) != 1 or len(results) != 1:
        return False
    (x,), (y,) = varying, results
    return x.shape == y.shape and x.dtype == y.dtype and jnp.issubdtype(x.dtype, jnp.floating)


def works_entry_by_entry(run: Callable[..., list[jax.Array]], x: jax.Array) -> bool:
    """Returns whether the derivative rule of a function, not its body, works entry by entry."""
    traced = jax.make_jaxpr(lambda x, t: jax.jvp(run, (x,), (t,)))(x, x)
    return _holds_entries(traced.jaxpr)


def _holds_entries(jaxpr: Any) -> bool:
    bodies = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}
    return all(
        _holds_entries(equation.params[bodies[equation.primitive.name]].jaxpr)
        if equation.primitive.name in bodies
        else equation.primitive.name in _ENTRY_BY_ENTRY
        for equation in jaxpr.eqns
    )


def multiply_stack(
    equation: Any, apply: Apply, constant: Any, parts: Sequence[jax.Array], *, left: bool
) -> Sequence[jax.Array]:
    """Returns the products of several operands of one `dot_general` with a constant one, as one product.

    Each part is a stack of operands; `left` tells whether they stand on the left.
    """
    multiply = _multiply_from_the_right if left else _multiply_from_the_left
    product = multiply(equation, apply, constant, jnp.concatenate(parts))
    return jax.lax.split(product, [part.shape[0] for part in parts])


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
