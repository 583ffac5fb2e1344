"""`op.rope`: rotary position embedding.

    (y_i, y_{i + h}) = (x_i cos a_i - x_{i + h} sin a_i,  x_i sin a_i + x_{i + h} cos a_i),   h = d / 2
    a_i = position * theta^(-i / h)

Source: Su et al. 2021, with the halves of a vector paired as in GPT-NeoX and Llama.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import Sample, define_op
from tessera.core.operands import to_array


@define_op("*b d, *b h -> *b d", kinds=("float", "~float"))
def rope(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Returns x with each pair of entries of its last axis turned by an angle that grows with position.

    `x` is (..., length, d), d even; entry i is paired with entry i + d/2. A scalar `theta` is the base of
    the frequencies; an array is the angles themselves, (..., length, d/2). `positions`, whole numbers that
    broadcast to (..., length), are 0, 1, 2, ... where absent. Angles are in at least fp32, the result has
    the dtype of x. Where x is a tuple (q, k, v), `axes="qk"` (the default) says which entries turn; the rest
    comes back as it is.

    Raises `E_SHAPE_MISMATCH` for an odd d or shapes that do not fit, `E_GRAPH_INVALID` for axes without a
    tuple or with another letter, a base that is not positive, and positions together with angles.

    >>> import jax.numpy as jnp
    >>> rope(jnp.ones((2, 2))).round(2)
    Array([[ 1.  ,  1.  ],
           [-0.3 ,  1.38]], dtype=float32)
    """
    half = angles.shape[-1]
    if x.shape[-1] != 2 * half:
        raise _mismatch(f"{half} angles turn {2 * half} entries, but x has {x.shape[-1]}")
    wide = numerics.wider(numerics.accumulator(x.dtype), numerics.accumulator(angles.dtype))
    first, second = x[..., :half].astype(wide), x[..., half:].astype(wide)
    cos, sin = jnp.cos(angles.astype(wide)), jnp.sin(angles.astype(wide))
    turned = [first * cos - second * sin, first * sin + second * cos]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


@rope.def_call
def rope(x: Any, theta: Any = 10000.0, *, positions: Any = None, axes: str | None = None) -> Any:
    if not isinstance(x, tuple | list):
        if axes is not None:
            raise _invalid("axes= names the entries of a tuple (q, k, v), and x is no tuple")
        return _rotated(x, theta, positions)
    letters = "qkv"[: len(x)]
    chosen = "qk" if axes is None else axes
    if len(x) > 3 or not chosen or not set(chosen) <= set(letters):
        raise _invalid(f"axes is {chosen!r} for {len(x)} arrays; letters of 'qkv', one for each")
    return tuple(
        _rotated(one, theta, positions) if name in chosen else one
        for name, one in zip(letters, x, strict=True)
    )


rope.samples = (
    Sample((4, 6), (4, 3)),
    Sample((2, 3, 2), (2, 3, 1)),
)


def _rotated(x: Any, theta: Any, positions: Any) -> jax.Array:
    array = to_array("rope", "x", x)
    if array.ndim < 2 or array.shape[-1] % 2:
        raise _mismatch(f"x has shape {array.shape}, not (..., length, d) with an even d")
    lead, half = array.shape[:-1], array.shape[-1] // 2
    base = to_array("rope", "theta", theta)
    if base.ndim:
        if positions is not None:
            raise _invalid("theta is an array of angles, which already has the positions")
        return rope.bind(array, _spread(base, (*lead, half), "theta"))
    if isinstance(theta, int | float) and not theta > 0:
        raise _invalid(f"theta is {theta}, not positive")
    wide = numerics.accumulator(array.dtype)
    places = jnp.arange(lead[-1]) if positions is None else to_array("rope", "positions", positions)
    places = _spread(places, lead, "positions").astype(wide)
    exponent = -jnp.arange(half, dtype=wide) / max(half, 1)
    frequency = (base.astype(wide) ** exponent).reshape((1,) * len(lead) + (half,))
    return rope.bind(array, jnp.expand_dims(places, -1) * frequency)


def _spread(x: jax.Array, shape: tuple[int, ...], name: str) -> jax.Array:
    try:
        return jnp.broadcast_to(x, shape)
    except ValueError:
        raise _mismatch(f"{name} of shape {x.shape} does not broadcast to {shape}") from None


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"rope: {problem}.")


def _mismatch(problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"rope: {problem}.")


rotary = rope
