"""R-functions: smooth functions of distances whose sign is that of "and" and "or" of their signs.

Where one distance is zero and the other positive, both give the distance that is zero to first order, so a
normal derivative of 1 stays 1. Where both are zero, at corners, every such function has a kink, and second
derivatives grow like 1 / r towards it. Source: Rvachev, Sheiko, Applied Mechanics Reviews 48 (1995).
"""

import jax
import jax.numpy as jnp


def conjunction(f: jax.Array, g: jax.Array) -> jax.Array:
    """Returns f + g - sqrt(f^2 + g^2): positive where both are, exactly zero where one is and none is less.

    >>> print(conjunction(jnp.array([3.0, 0.0, 3.0]), jnp.array([4.0, 4.0, -4.0])))
    [ 2.  0. -6.]
    """
    total = f + g
    squares = f * f + g * g
    # The derivative of a root at 0 is infinite.
    root = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    # For a positive sum, the same quotient without the cancellation.
    positive = total > 0
    return jnp.where(positive, 2 * f * g / jnp.where(positive, total + root, 1), total - root)


def disjunction(f: jax.Array, g: jax.Array) -> jax.Array:
    """Returns f + g + sqrt(f^2 + g^2): positive where one of them is.

    >>> print(disjunction(jnp.array([3.0, 0.0, -3.0]), jnp.array([4.0, -4.0, -4.0])))
    [12.  0. -2.]
    """
    return -conjunction(-f, -g)
