"""Samples: the sizes at which an op is tested, measured and tuned."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Draw:
    """How one operand of a sample is drawn: its shape and distribution."""

    shape: tuple[int, ...]
    kind: str = "normal"
    low: float = 0.0
    high: float = 1.0

    def make(self, key: jax.Array, dtype: Any) -> jax.Array:
        """Returns the operand; `dtype` is used for the float kinds."""
        match self.kind:
            case "integers":
                return jax.random.randint(key, self.shape, int(self.low), int(self.high), jnp.int32)
            case "booleans":
                return jax.random.bernoulli(key, 0.5, self.shape)
            case "uniform":
                drawn = jax.random.uniform(key, self.shape, jnp.float32, self.low, self.high)
            case _:
                drawn = jax.random.normal(key, self.shape, jnp.float32)
        return drawn.astype(dtype)  # one set of values, rounded, whatever the dtype under test


class Sample:
    """One call of an op: its operands (a shape, a `Draw`, or None where absent) and its static arguments."""

    def __init__(self, *operands: tuple[int, ...] | Draw | None, **statics: Any):
        self.draws = tuple(Draw(x) if isinstance(x, tuple) else x for x in operands)
        self.statics = statics

    @staticmethod
    def integers(shape: tuple[int, ...], low: int, high: int) -> Draw:
        """Returns a draw of int32 in [low, high)."""
        return Draw(shape, "integers", low, high)

    @staticmethod
    def booleans(shape: tuple[int, ...]) -> Draw:
        """Returns a draw of fair coin flips."""
        return Draw(shape, "booleans")

    @staticmethod
    def uniform(shape: tuple[int, ...], low: float, high: float) -> Draw:
        """Returns a draw of floats in [low, high)."""
        return Draw(shape, "uniform", low, high)

    def make(self, key: jax.Array, dtype: Any = jnp.float32) -> tuple[jax.Array | None, ...]:
        """Returns the operands, drawn from a key."""
        keys = jax.random.split(key, len(self.draws))
        return tuple(
            None if draw is None else draw.make(k, dtype)
            for draw, k in zip(self.draws, keys, strict=True)
        )

    def __repr__(self) -> str:
        shapes = ", ".join(
            "-" if d is None else "x".join(map(str, d.shape)) or "()" for d in self.draws
        )
        statics = ", ".join(f"{k}={v}" for k, v in self.statics.items())
        return f"({shapes}{'; ' + statics if statics else ''})"
