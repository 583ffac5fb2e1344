"""`op.pipeline`: unary functions applied one after the other, traced as one region."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core.errors import Code, CompileError

REGION = "tessera.pipeline"

Stage = Callable[[Any], Any]


@dataclass(frozen=True)
class Pipeline:
    """A callable that applies its stages in order: `Pipeline((f, g))(x)` is `g(f(x))`."""

    stages: tuple[Stage, ...]
    checkpoint: bool = False

    def __call__(self, x: Any) -> Any:
        """Returns x after every stage."""
        with jax.named_scope(REGION):
            return _as_region(self._apply)(x) if _being_compiled() else self._apply(x)

    def enable_gradient_checkpointing(self) -> "Pipeline":
        """Returns the same pipeline with `checkpoint=True`."""
        return replace(self, checkpoint=True)

    def _apply(self, x: Any) -> Any:
        for stage in self.stages:
            x = jax.checkpoint(stage)(x) if self.checkpoint else stage(x)
        return x


def pipeline(stages: Sequence[Any], *, checkpoint: bool = False) -> Any:
    """Returns the value after all stages, or the function that sends a value through them.

    `stages` are functions of one argument (arrays, or any pytree), optionally headed by a value.
    With a head the result is the value after the last stage, without one a `Pipeline`. It equals
    applying the stages one by one. Under `jit` the stages are one nested computation named
    `tessera.pipeline`, which a compiler may fuse as a whole. `checkpoint=True` keeps only the
    values between stages for the backward and computes the rest again.

    Raises `E_GRAPH_INVALID` for an empty list and for a stage that is not callable, with its index.

    >>> import jax.numpy as jnp
    >>> pipeline([jnp.array([4.0, 9.0]), jnp.sqrt, lambda x: x + 1]).tolist()
    [3.0, 4.0]
    >>> pipeline([jnp.sqrt, jnp.sqrt])(jnp.array(16.0)).item()
    2.0
    """
    if not isinstance(stages, list | tuple):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"pipeline: stages are a {type(stages).__name__}, not a list.",
            hints="pipeline([value, f, g, ...])",
        )
    listed = tuple(stages)
    if not listed:
        raise CompileError(
            Code.E_GRAPH_INVALID, "pipeline: no stages.", hints="pipeline([value, f, g, ...])"
        )
    head_is_value = not callable(listed[0]) and _is_value(listed[0])
    functions = listed[1:] if head_is_value else listed
    for index, stage in enumerate(functions, start=head_is_value):
        if not callable(stage):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"pipeline: stage {index} is a {type(stage).__name__}, not a function.",
                hints="only the first entry may be a value; use functools.partial to fix arguments",
            )
    if not functions:
        return listed[0]
    run = Pipeline(functions, checkpoint)
    return run(listed[0]) if head_is_value else run


def _is_value(x: Any) -> bool:
    leaves = jax.tree.leaves(x)
    numbers = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)
    return bool(leaves) and all(isinstance(leaf, numbers) for leaf in leaves)


def _as_region(apply: Stage) -> Stage:
    def region(x: Any) -> Any:
        return apply(x)

    region.__name__ = REGION  # the name of the nested computation in the jaxpr and in StableHLO
    return jax.jit(region)


def _being_compiled() -> bool:
    # While jit traces, even a constant is a tracer. Outside, a region would be compiled again at
    # every call: stages close over values, so a compiled pipeline cannot be kept.
    return isinstance(jnp.zeros(()), Tracer)
