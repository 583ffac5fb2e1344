"""Keys and counters: what a draw takes for a key, as a JAX key or the words of a Philox state."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.core.random import as_key


def state_of(name: str, key: Any, counter: Any) -> jax.Array:
    """Returns a JAX key, or the words (key_hi, key_lo, counter_hi, counter_lo) of Philox."""
    if isinstance(key, jax.Array) and key.dtype == jnp.uint32 and key.shape == (4,):
        return _moved(name, key, counter)
    if isinstance(key, Mapping):
        if not {"key_hi", "key_lo"} <= key.keys() <= {"key_hi", "key_lo", "counter"}:
            raise invalid(name, f"key has the entries {sorted(key)}", "key_hi, key_lo, counter")
        (_, high), (_, low) = (_two_words(name, w, key[w], 32) for w in ("key_hi", "key_lo"))
        nothing = jnp.zeros((), jnp.uint32)
        at_start = jnp.stack([high, low, nothing, nothing])
        return _moved(name, _moved(name, at_start, key.get("counter", 0)), counter)
    is_seed = isinstance(key, int) and not isinstance(key, bool)
    if is_seed or (isinstance(key, jax.Array) and _is_integer(key)):
        nothing = jnp.zeros((), jnp.uint32)
        at_start = jnp.stack([*_two_words(name, "seed", key), nothing, nothing])
        return _moved(name, at_start, counter)
    return _moved(name, as_key(f"rng.{name}", key), counter)


def _moved(name: str, state: jax.Array, counter: Any) -> jax.Array:
    """Returns a state whose counter is further on."""
    if isinstance(counter, int) and counter == 0:
        return state
    if compat.is_key(state):
        raise invalid(
            name, "a JAX key has no counter", "jax.random.fold_in(key, counter), or an int seed"
        )
    high, low = _two_words(name, "counter", counter)
    sum_low = state[3] + low
    carry = (sum_low < low).astype(jnp.uint32)
    return jnp.stack([state[0], state[1], state[2] + high + carry, sum_low])


def _two_words(name: str, what: str, value: Any, digits: int = 64) -> tuple[jax.Array, jax.Array]:
    """Returns a whole number of up to 64 bits, or an integer scalar, as its high and low word."""
    if isinstance(value, jax.Array) and _is_integer(value):
        low = value.astype(jnp.uint32)
        high = (value >> 32).astype(jnp.uint32) if value.dtype.itemsize == 8 else low ^ low
        return high, low
    number = as_integer(f"rng.{name}", what, value)
    if not 0 <= number < 2**digits:
        raise invalid(name, f"{what} is {number}, not in [0, 2^{digits})")
    return jnp.asarray(number >> 32, jnp.uint32), jnp.asarray(number % 2**32, jnp.uint32)


def _is_integer(x: jax.Array) -> bool:
    return x.shape == () and jnp.issubdtype(x.dtype, jnp.integer)


def invalid(name: str, problem: str, hint: str = "") -> CompileError:
    where = name if name == "rng" else f"rng.{name}"
    return CompileError(Code.E_GRAPH_INVALID, f"{where}: {problem}.", hints=hint or ())
