"""Derivatives of functions: gradients, products with Jacobians, adjoints, and gradients of your own.

    grad   value_and_grad   reverse   gradients of a scalar function
    jvp    forward                    its value and its derivative along a direction
    vjp    adjoint                    its transposed derivative
    custom_grad                       the gradient is a rule you write

They are JAX's transforms with Tessera's errors. An argument may be any pytree: what is no real or complex
array in it (a step count, an activation) is passed on as it is, and its gradient is None.

Reading order: arguments, transforms, custom_grad.
"""

from tessera.autodiff.custom_grad import custom_grad
from tessera.autodiff.transforms import (
    adjoint,
    forward,
    grad,
    jvp,
    reverse,
    value_and_grad,
    vjp,
)

__all__ = [
    "adjoint",
    "custom_grad",
    "forward",
    "grad",
    "jvp",
    "reverse",
    "value_and_grad",
    "vjp",
]
