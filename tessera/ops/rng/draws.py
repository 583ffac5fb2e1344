"""The distributions: from the words of Philox, or by `jax.random` for a JAX key, to numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import compat, levels, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array
from tessera.ops.rng.keys import invalid, state_of
from tessera.ops.rng.philox import OF_ELEMENTS, OF_POISSON, blocks

FARTHEST = 9.0  # standard deviations: in fp64 a normal number reaches 8.3
FLOATS = ("float16", "bfloat16", "float32", "float64")


@levels.scoped
def uniform(
    shape: int | Sequence[int],
    lo: Any = 0.0,
    hi: Any = 1.0,
    *,
    key: Any = None,
    seed: Any = None,
    dtype: Any = "fp32",
    counter: Any = 0,
) -> jax.Array:
    """Returns floats that are uniform in [lo, hi): never hi itself, also after rounding.

    `key` (alias `seed`) is an int seed s, which stands for the Philox key (0, s), a dict of `key_hi`,
    `key_lo` and `counter` (32, 32 and 64 bits, which may be traced), or a JAX key. Element i is drawn at
    `counter` + i. `lo` and `hi` broadcast to the shape and carry gradients. The float dtypes are fp16, bf16,
    fp32 and fp64; the two narrow ones are fp32, rounded.

    Raises `E_GRAPH_INVALID` (no key, one in two spellings or of another kind, a counter with a JAX key, hi
    not above lo), `E_SHAPE_MISMATCH` and `E_TARGET_CODEGEN` (dtype).

    >>> x = uniform((2, 3), seed=0)
    >>> x.shape, bool(((x >= 0) & (x < 1)).all())
    ((2, 3), True)
    >>> bool((uniform(4, seed=0, counter=2) == x.ravel()[2:]).all())
    True
    """
    draw = _draw("uniform", shape, dtype, key, seed, counter)
    low, high = (draw.parameter(name, x) for name, x in (("lo", lo), ("hi", hi)))
    largest = float(jnp.finfo(draw.wide).max)
    if all(isinstance(x, int | float) for x in (lo, hi)) and not 0 < hi - lo <= largest:
        raise invalid("uniform", f"hi is {hi} but must be above lo, {lo}, by a finite number")
    span = high - low
    found = low + _rounded(draw.unit() * span, jnp.abs(span))
    found, least, end = (x.astype(draw.dtype) for x in (found, low, high))
    last = lax.nextafter(lax.stop_gradient(end), lax.stop_gradient(least))
    return jnp.where(found < end, found, last)


@levels.scoped
def normal(
    shape: int | Sequence[int],
    mean: Any = 0.0,
    std: Any = 1.0,
    *,
    key: Any = None,
    seed: Any = None,
    dtype: Any = "fp32",
    counter: Any = 0,
) -> jax.Array:
    """Returns normal floats of a mean and a standard deviation, by the inverse of the distribution.

    Keys, counter, dtypes and errors are those of `rng.uniform`; mean and std broadcast to the shape and carry
    gradients. fp32 reaches 5.4 standard deviations, fp64 8.3.

    >>> x = normal(10000, 1.0, 2.0, seed=0)
    >>> abs(float(x.mean()) - 1) < 0.1, abs(float(x.std()) - 2) < 0.1
    (True, True)
    """
    draw = _draw("normal", shape, dtype, key, seed, counter)
    return draw.normal(mean, std).astype(draw.dtype)


@levels.scoped
def lognormal(
    shape: int | Sequence[int],
    mean: Any = 0.0,
    std: Any = 1.0,
    *,
    key: Any = None,
    seed: Any = None,
    dtype: Any = "fp32",
    counter: Any = 0,
) -> jax.Array:
    """Returns floats whose logarithm is normal with a mean and a standard deviation. See `rng.normal`.

    The exponential is XLA's, whose last bit may depend on how it is compiled (seen on JAX 0.10).

    >>> bool((lognormal(5, seed=0) > 0).all())
    True
    """
    draw = _draw("lognormal", shape, dtype, key, seed, counter)
    return jnp.exp(draw.normal(mean, std)).astype(draw.dtype)


@levels.scoped
def bernoulli(
    shape: int | Sequence[int],
    p: Any = 0.5,
    *,
    key: Any = None,
    seed: Any = None,
    counter: Any = 0,
) -> jax.Array:
    """Returns booleans, each true with probability p, which broadcasts to the shape. See `rng.uniform`.

    >>> abs(float(bernoulli(10000, 0.25, seed=0).mean()) - 0.25) < 0.02
    True
    """
    draw = _draw("bernoulli", shape, "fp32", key, seed, counter)
    if isinstance(p, int | float) and not 0 <= p <= 1:
        raise invalid("bernoulli", f"p is {p}, not in [0, 1]")
    return draw.unit() < draw.parameter("p", p)


@levels.scoped
def poisson(
    shape: int | Sequence[int],
    lam: Any = 1.0,
    *,
    key: Any = None,
    seed: Any = None,
    counter: Any = 0,
) -> jax.Array:
    """Returns int32 numbers of events of which lam, which broadcasts to the shape, are expected.

    A number of events takes a number of draws that varies, so Philox gives the JAX key with which
    `jax.random.poisson` draws: here another counter is another array, not a part further on. See
    `rng.uniform`.

    >>> abs(float(poisson(10000, 3.0, seed=0).mean()) - 3) < 0.1
    True
    """
    draw = _draw("poisson", shape, "fp32", key, seed, counter)
    if isinstance(lam, int | float) and not 0 <= lam < math.inf:
        raise invalid("poisson", f"lam is {lam}, not a finite number of at least 0")
    state = draw.state
    jax_key = state if compat.is_key(state) else _derived_key(state)
    return jax.random.poisson(jax_key, draw.parameter("lam", lam), draw.shape, jnp.int32)


@dataclass(frozen=True)
class _Draw:
    """One draw: what it is called, its shape and dtype, the dtype it is computed in, and its key."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    wide: Any
    state: jax.Array

    def parameter(self, name: str, value: Any) -> jax.Array:
        """Returns a parameter of the distribution in the wide dtype; it must broadcast to the shape."""
        array = to_array(self.name, name, value)
        try:
            fits = jnp.broadcast_shapes(array.shape, self.shape) == self.shape
        except ValueError:
            fits = False
        if not fits:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"rng.{self.name}: {name} has shape {array.shape}, which does not broadcast to "
                f"{self.shape}.",
            )
        return jnp.broadcast_to(array.astype(self.wide), self.shape)

    def unit(self) -> jax.Array:
        """Returns multiples of 2^-24 (or 2^-53) in [0, 1)."""
        if compat.is_key(self.state):
            return jax.random.uniform(self.state, self.shape, self.wide)
        return _unit(self.state, self.shape, self.wide.name)

    def normal(self, mean: Any, std: Any) -> jax.Array:
        """Returns normal numbers in the wide dtype."""
        centre, spread = (self.parameter(name, x) for name, x in (("mean", mean), ("std", std)))
        if isinstance(std, int | float) and not 0 <= std < math.inf:
            raise invalid(self.name, f"std is {std}, not a finite number of at least 0")
        if compat.is_key(self.state):
            standard = jax.random.normal(self.state, self.shape, self.wide)
        else:
            standard = _standard_normal(self.state, self.shape, self.wide.name)
        return centre + _rounded(spread * _rounded(standard, FARTHEST), FARTHEST * jnp.abs(spread))


def _draw(name: str, shape: Any, dtype: Any, key: Any, seed: Any, counter: Any) -> _Draw:
    if key is not None and seed is not None:
        raise invalid(name, "key and seed are one parameter in two spellings")
    out = numerics.dtype(dtype, f"rng.{name}")
    if out.name not in FLOATS:
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"rng.{name}: dtype is {out.name}; one of {', '.join(FLOATS)}."
        )
    sizes = tuple(
        as_integer(f"rng.{name}", "a size", n)
        for n in (shape if isinstance(shape, list | tuple) else (shape,))
    )
    if any(n < 0 for n in sizes):
        raise invalid(name, f"shape {sizes} has a negative size")
    if math.prod(sizes) > 2**32:
        raise invalid(name, f"shape {sizes} has over 2^32 elements", "several draws, by counter=")
    state = state_of(name, seed if key is None else key, counter)
    return _Draw(name, sizes, out, numerics.accumulator(out), state)


@jax.jit
def _derived_key(state: jax.Array) -> jax.Array:
    """Returns a JAX key for the numbers that Philox cannot draw by index."""
    first, second, *_ = blocks(state, (), OF_POISSON)
    return jax.random.wrap_key_data(jnp.stack([first, second]), impl="threefry2x32")


@partial(jax.jit, static_argnums=(1, 2))
def _unit(state: jax.Array, shape: tuple[int, ...], wide: str) -> jax.Array:
    places, digits = _whole_numbers(state, shape, wide)
    return places.astype(wide) * 2.0**-digits


@partial(jax.jit, static_argnums=(1, 2))
def _standard_normal(state: jax.Array, shape: tuple[int, ...], wide: str) -> jax.Array:
    places, digits = _whole_numbers(state, shape, wide)
    signed = jnp.int64 if wide == "float64" else jnp.int32
    # The middle of each interval: an odd number below 2^digits in size, so a float holds it exactly.
    middle = (2 * places + 1).astype(signed) - 2**digits
    return lax.erf_inv(middle.astype(wide) * 2.0**-digits) * math.sqrt(2.0)


def _whole_numbers(state: jax.Array, shape: tuple[int, ...], wide: str) -> tuple[jax.Array, int]:
    """Returns one whole number per element and its number of digits, those a float holds."""
    first, second, *_ = blocks(state, shape, OF_ELEMENTS)
    if wide == "float64":
        both = (first.astype(jnp.uint64) << 32) | second.astype(jnp.uint64)
        return both >> 11, 53
    return first >> 8, 24


def _rounded(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    """Returns a product as it is rounded; it is never larger than the bound.

    As part of a multiply-add it would not be rounded, or of a product with another constant otherwise: as
    the compiler likes, in each partition. The select prevents it, as the compiler cannot know the bound.
    """
    return jnp.where(jnp.abs(x) <= bound, x, jnp.nan)
