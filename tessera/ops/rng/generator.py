"""A generator, which has its key, and `op.rng`, which makes one."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.ops.rng.draws import bernoulli, lognormal, normal, poisson, uniform
from tessera.ops.rng.keys import invalid, state_of
from tessera.ops.rng.philox import OF_SPLIT, blocks

PHILOX = "philox"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Generator:
    """A generator with its key: the methods are the functions of `op.rng`, without one.

    Nothing changes when it draws: two calls with one counter give the same numbers. It is a pytree, and goes
    under `jit`.

    >>> first, second = rng(seed=0).split(2)
    >>> bool((first.uniform(3) == second.uniform(3)).any())
    False
    """

    state: jax.Array  # a JAX key, or the words of a Philox key and counter, the high ones first

    def uniform(
        self, shape: Any, lo: Any = 0.0, hi: Any = 1.0, *, dtype: Any = "fp32", counter: Any = 0
    ) -> jax.Array:
        """Returns what `rng.uniform` gives for this key."""
        return uniform(shape, lo, hi, key=self.state, dtype=dtype, counter=counter)

    def normal(
        self, shape: Any, mean: Any = 0.0, std: Any = 1.0, *, dtype: Any = "fp32", counter: Any = 0
    ) -> jax.Array:
        """Returns what `rng.normal` gives for this key."""
        return normal(shape, mean, std, key=self.state, dtype=dtype, counter=counter)

    def lognormal(
        self, shape: Any, mean: Any = 0.0, std: Any = 1.0, *, dtype: Any = "fp32", counter: Any = 0
    ) -> jax.Array:
        """Returns what `rng.lognormal` gives for this key."""
        return lognormal(shape, mean, std, key=self.state, dtype=dtype, counter=counter)

    def bernoulli(self, shape: Any, p: Any = 0.5, *, counter: Any = 0) -> jax.Array:
        """Returns what `rng.bernoulli` gives for this key."""
        return bernoulli(shape, p, key=self.state, counter=counter)

    def poisson(self, shape: Any, lam: Any = 1.0, *, counter: Any = 0) -> jax.Array:
        """Returns what `rng.poisson` gives for this key."""
        return poisson(shape, lam, key=self.state, counter=counter)

    def split(self, n: int) -> tuple["Generator", ...]:
        """Returns n generators with keys of their own, unlike this one's and each other's."""
        count = as_integer("rng", "n", n)
        if count < 0:
            raise invalid("rng", f"n is {n}, not a number of generators")
        if compat.is_key(self.state):
            return tuple(Generator(key) for key in jax.random.split(self.state, count))
        low, high, *_ = blocks(self.state, (count,), OF_SPLIT)
        nothing = jnp.zeros_like(low)
        return tuple(Generator(state) for state in jnp.stack([high, low, nothing, nothing], axis=1))


class Rng:
    """Random numbers: `rng.uniform(...)` and the like with a key, or `rng(seed=...)`, a generator with one.

    >>> bool((rng.normal(3, seed=7) == rng(seed=7).normal(3)).all())
    True
    """

    uniform = staticmethod(uniform)
    normal = staticmethod(normal)
    lognormal = staticmethod(lognormal)
    bernoulli = staticmethod(bernoulli)
    poisson = staticmethod(poisson)

    def __call__(self, seed: Any = None, *, generator: str = PHILOX) -> Generator:
        """Returns the generator of a seed, which may be any `key` of `rng.uniform`.

        Raises `E_GRAPH_INVALID` without a seed, `E_TARGET_CODEGEN` for another `generator` than "philox".
        """
        if generator != PHILOX:
            raise CompileError(
                Code.E_TARGET_CODEGEN,
                f"rng: there is no generator {generator!r}: numbers depend on seed, counter and index, "
                "never on state.",
                hints='generator="philox"',
            )
        return Generator(state_of("rng", seed, 0))

    def __repr__(self) -> str:
        return "<rng: uniform, normal, lognormal, bernoulli, poisson>"


rng = Rng()
