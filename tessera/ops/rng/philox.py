"""Philox4x32-10: ten rounds that mix a counter of 128 bits with a key of 64, into four words of 32.

Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

import jax
import jax.numpy as jnp
from jax import lax

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round
ROUNDS = 10

# The last word of the counter: what is drawn for one purpose never meets what is drawn for another.
OF_ELEMENTS, OF_SPLIT, OF_POISSON = 0, 1, 2

Words = tuple[jax.Array, ...]


def philox(counter: Words, key: Words) -> Words:
    """Returns the four words that Philox4x32-10 makes of four of a counter and two of a key, low ones first.

    >>> zero = jnp.zeros((), jnp.uint32)
    >>> [hex(word) for word in philox((zero,) * 4, (zero,) * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _product(c0, MULTIPLIERS[0]), _product(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + jnp.uint32(WEYL[0]), k1 + jnp.uint32(WEYL[1])
    return c0, c1, c2, c3


def blocks(state: jax.Array, shape: tuple[int, ...], purpose: int) -> Words:
    """Returns four words per element, from the block of its index, counted from the state's counter."""
    low = _index(shape) + state[3]
    high = state[2] + (low < state[3]).astype(jnp.uint32)
    last = jnp.full(shape, purpose, jnp.uint32)
    return philox((low, high, jnp.zeros_like(last), last), (state[1], state[0]))


def _index(shape: tuple[int, ...]) -> jax.Array:
    """Returns the row-major index of each element."""
    index, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        index = index + lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return index


def _product(x: jax.Array, m: int) -> tuple[jax.Array, jax.Array]:
    """Returns the high and the low word of the 64 bits of a product, by halves of the words.

    `jax.lax.mulhi` fails where XLA has to partition it (JAX 0.12).
    """
    x_low, x_high = x & jnp.uint32(0xFFFF), x >> jnp.uint32(16)
    m_low, m_high = jnp.uint32(m & 0xFFFF), jnp.uint32(m >> 16)
    middle = x_high * m_low + ((x_low * m_low) >> jnp.uint32(16))
    other = x_low * m_high + (middle & jnp.uint32(0xFFFF))
    high = x_high * m_high + (middle >> jnp.uint32(16)) + (other >> jnp.uint32(16))
    return high, x * jnp.uint32(m)
