"""`op.threshold`: small values set to zero, as in denoising; hard, or soft (shrunk towards zero).

    hard   y = x where |x| >= t, else 0
    soft   y = x (1 - t / |x|) where |x| > t, else 0        (|x| is the modulus)

Source: D. Donoho and I. Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81 (1994).
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op
from tessera.core.operands import to_array

MODES = ("hard", "soft")


@define_op("*b, () -> *b", kinds=("number", "float"))
def threshold(x: jax.Array, t: jax.Array, *, mode: str = "hard") -> jax.Array:
    """Returns x with what is smaller than t in absolute value set to zero; shape and dtype stay.

    `t` is a scalar; integers count as fp32. `mode="soft"` also shrinks the rest by t. Of a complex x the
    modulus counts and the phase stays. The derivative is that of the branch taken; at |x| = t it is that
    of the kept value for hard, zero for soft. NaN stays.

    Raises `E_GRAPH_INVALID` (unknown mode), `E_SHAPE_MISMATCH` (t is no scalar) and `E_TARGET_CODEGEN`.

    >>> import jax.numpy as jnp
    >>> threshold(jnp.array([-2.0, 0.5, 1.0]), 1.0).tolist()
    [-2.0, 0.0, 1.0]
    >>> threshold(jnp.array([-2.0, 0.5, 1.5]), 1.0, mode="soft").tolist()
    [-1.0, 0.0, 0.5]
    """
    if jnp.iscomplexobj(x):
        return _of_complex(x, t, mode)
    t = t.astype(x.dtype)
    if mode == "hard":
        return jnp.where((x < t) & (x > -t), jnp.zeros_like(x), x)
    inside = (x <= t) & (x >= -t)
    return jnp.where(inside, jnp.zeros_like(x), jnp.where(x > 0, x - t, x + t))


@threshold.def_call
def threshold(x: Any, t: Any, mode: str = "hard") -> jax.Array:
    if mode not in MODES:
        known = ", ".join(MODES)
        raise CompileError(
            Code.E_GRAPH_INVALID, f"threshold: unknown mode {mode!r}; one of {known}."
        )
    values, level = (
        array.astype(jnp.float32) if jnp.issubdtype(array.dtype, jnp.integer) else array
        for array in (to_array("threshold", "x", x), to_array("threshold", "t", t))
    )
    return threshold.bind(values, level, mode=mode)


def _of_complex(x: jax.Array, t: jax.Array, mode: str) -> jax.Array:
    size = jnp.abs(x)
    t = t.astype(size.dtype)
    if mode == "hard":
        return jnp.where(size < t, jnp.zeros_like(x), x)
    below = size <= t
    # The modulus has no derivative at 0, nor has the quotient: neither is taken where it is not used.
    moduli = jnp.abs(jnp.where(below, jnp.ones_like(x), x))
    return jnp.where(below, jnp.zeros_like(x), x * (1 - t / moduli).astype(x.dtype))


threshold.samples = (
    Sample((4, 8), Sample.uniform((), 0.3, 0.6)),
    Sample((3, 5), Sample.uniform((), 0.3, 0.6), mode="soft"),
)
