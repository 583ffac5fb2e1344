"""How rows travel to the devices of their experts: the transport of a mixture.

    x ~ s x8,   s = max |x| / 448 of each row,   x8 = round(x / s) in e4m3

With `pack_dtype="fp8_e4m3"` a row goes to its expert as x8 and s, a quarter of its bytes in fp32. What the
expert made of it comes back as it is: rounding there would enter the sum over the choices of a token, which
is why DeepSeek-V3 packs this direction alone (2024).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from tessera.core import errors, float8, precision
from tessera.core.errors import Code, CompileError

TRANSPORTS = ("auto", "nccl")
PACKED = "fp8_e4m3"

Move = Callable[[jax.Array], jax.Array]


def is_packed(transport: Any) -> bool:
    """Returns whether rows travel as fp8; raises unless the transport is one there is, and permitted.

    It is None or a dict such as `{"type": "auto" | "nccl", "pack_dtype": "fp8_e4m3" | None}`.
    """
    if transport is None:
        return False
    if not isinstance(transport, Mapping) or not set(transport) <= {"type", "pack_dtype"}:
        raise _invalid(f"transport is {transport!r}, not a dict of type and pack_dtype")
    word = transport.get("type", "auto")
    if word not in TRANSPORTS:
        raise errors.RuntimeError(
            Code.E_DRIVER, f"moe: there is no transport {word!r}; one of {', '.join(TRANSPORTS)}."
        )
    pack = transport.get("pack_dtype")
    if pack is None:
        return False
    if pack != PACKED:
        raise _invalid(f"unknown pack_dtype {pack!r}; there is {PACKED!r}")
    if precision.current_policy() != "fp8":
        raise _invalid(
            f"pack_dtype={pack!r} needs a policy that permits fp8, and the policy is "
            f"{precision.current_policy()!r}",
            'call it inside `with numerics.policy("fp8"):`',
        )
    return True


def sent(x: jax.Array, move: Move) -> jax.Array:
    """Returns the rows of x (..., d) that `move`, which is linear, brings, packed on their way.

    Rounding counts as the identity in derivatives (straight-through), so cotangents travel as they are. A
    row of zeros has scale 1; what is infinite saturates, and NaN stays NaN.
    """

    @jax.custom_jvp
    def packed(x: jax.Array) -> jax.Array:
        scale = float8.scale_of(x, axis=-1)
        values = float8.saturated(x.astype(scale.dtype) / scale)
        return (move(values).astype(scale.dtype) * move(scale)).astype(x.dtype)

    @packed.defjvp
    def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        return packed(*primals), move(*tangents)

    return packed(x)


def rounded(x: jax.Array) -> jax.Array:
    """Returns the rows of x as they arrive packed on a device that they do not leave."""
    return sent(x, lambda rows: rows)


def _invalid(problem: str, fix: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"moe: {problem}.", hints=fix or ())
