"""Weights of the terms of a loss, or of single points, that follow the training.

    NTK           terms of equal speed: the traces of the blocks of the tangent kernel
    GradientNorm  terms of equal pull: the norms of their gradients
    SelfAdaptive  points by gradient ascent: where the residual stays large the weight grows
    Causal        points by time: late ones count once the residual before them is small

A weight found here multiplies the one that its term names, which so remains a preference. Weights are
constants to every derivative, and are taken anew `every` so many iterations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.pinn import jacobians, residuals
from tessera.pinn.problem import Model
from tessera.pinn.residuals import Batch, Objective

Weights = tuple[jax.Array, ...]


class Weighting(Protocol):
    """Settings of a rule for weights, which are taken anew `every` so many iterations."""

    @property
    def every(self) -> int:
        """The number of iterations from one change of the weights to the next."""
        ...

    @property
    def by_point(self) -> bool:
        """Whether its state belongs to the points, so that they must stay the same."""
        ...

    def init(self, objective: Objective, batch: Batch) -> Any:
        """Returns the state to begin with, a tree of arrays."""
        ...

    def update(
        self, objective: Objective, model: Model, batch: Batch, state: Any
    ) -> tuple[Weights, Any]:
        """Returns the weights for the batch, `()` or `(n,)` for each term, and the state after that."""
        ...


@dataclass(frozen=True)
class NTK:
    """Weights `trace K / trace K_i` of the terms, K the tangent kernel of the vector of residuals.

    (Wang, Yu and Perdikaris, J. Comput. Phys. 449 (2022) 110768, equation 6.5.) `K_i = J_i J_i^T` for the
    Jacobian of term i, whose residual is divided by the root of its number of points, as the loss takes their
    mean. Terms then converge at one average rate. A term without influence on any parameter keeps weight 1.
    """

    every: int = 100
    by_point = False

    def __post_init__(self) -> None:
        _require(self, counts=("every",))

    def init(self, objective: Objective, batch: Batch) -> tuple[()]:
        """Returns the state to begin with: there is none."""
        return ()

    def update(
        self, objective: Objective, model: Model, batch: Batch, state: Any
    ) -> tuple[Weights, Any]:
        """Returns the weights, one for each term."""
        traces = jacobians.kernel_traces(objective, model, batch.samples)
        return _times(objective, _balanced(traces, jnp.sum(traces))), state


@dataclass(frozen=True)
class GradientNorm:
    """Weights `mean_k |g_k| / |g_i|` of the terms, g_i the gradient of term i without weights.

    (Wang, Teng and Perdikaris, SIAM J. Sci. Comput. 43 (2021) A3055, with the norms of Wang, Sankaran, Wang
    and Perdikaris, arXiv 2308.08468.) The weights are running averages that keep the part `momentum` at each
    change and begin at 1. A term whose gradient is zero keeps its weight.
    """

    every: int = 100
    momentum: float = 0.9
    by_point = False

    def __post_init__(self) -> None:
        _require(self, counts=("every",))
        if not 0 <= self.momentum < 1:
            raise _invalid(self, "momentum", "a number from 0 to below 1")

    def init(self, objective: Objective, batch: Batch) -> jax.Array:
        """Returns the state to begin with: weights of 1."""
        return jnp.ones(len(objective.terms), batch.weights[0].dtype)

    def update(
        self, objective: Objective, model: Model, batch: Batch, state: jax.Array
    ) -> tuple[Weights, jax.Array]:
        """Returns the weights, one for each term."""
        norms = jacobians.gradient_norms(objective, model, batch.samples)
        found = jnp.where(norms > 0, _balanced(norms, jnp.mean(norms)), state)
        state = self.momentum * state + (1 - self.momentum) * found
        return _times(objective, state), state


@dataclass(frozen=True)
class SelfAdaptive:
    """Weights `c_i^2` of single points, which climb the loss while the network descends it.

    (McClenny and Braga-Neto, J. Comput. Phys. 474 (2023) 111722, with the mask m(c) = c^2.) Each change adds
    `rate * d loss / d c_i = rate * 2 c_i |r_i|^2 / n`, times the weight of the term, to c_i, which begins at
    1. `terms` names the terms whose points are weighted, None for all. Points must stay the same.
    """

    rate: float = 0.1
    terms: tuple[str, ...] | None = None
    every: int = 1
    by_point = True

    def __post_init__(self) -> None:
        _require(self, counts=("every",), positive=("rate",))

    def init(self, objective: Objective, batch: Batch) -> Weights:
        """Returns the state to begin with: c of every point of every term."""
        dtype = batch.weights[0].dtype
        return tuple(
            jnp.ones(batch.samples[term.on].points.shape[0], dtype) for term in objective.terms
        )

    def update(
        self, objective: Objective, model: Model, batch: Batch, state: Weights
    ) -> tuple[Weights, Weights]:
        """Returns the weights, one for each point of each term."""
        chosen = _chosen(self, objective, self.terms)
        squares = residuals.squares(objective, model, batch)
        state = tuple(
            c + self.rate * 2 * c * square * (term.weight / c.size) if i in chosen else c
            for i, (term, c, square) in enumerate(zip(objective.terms, state, squares, strict=True))
        )
        weights = tuple(c * c * term.weight for term, c in zip(objective.terms, state, strict=True))
        return weights, state


class CausalState(NamedTuple):
    """Which of the tolerances is in force, and the smallest weight at the last change."""

    stage: jax.Array
    smallest: jax.Array


@dataclass(frozen=True)
class Causal:
    """Weights `exp(-tolerance sum_{j < i} L_j)` of the points in the i-th part of the time.

    (Wang, Sankaran and Perdikaris, Comput. Methods Appl. Mech. Eng. 421 (2024) 116813, arXiv 2203.07404.)
    L_j is the mean squared residual, without weights, in the j-th of `chunks` equal parts of the time that
    the points span; a part without points counts nothing. `time` names the coordinate. `terms` are weighted,
    None for all on the sampler "interior"; terms that share a sampler take the smallest of their weights.
    Of several tolerances the next is taken once every weight exceeds `threshold`.
    """

    time: str = "t"
    tolerance: float | tuple[float, ...] = 1.0
    chunks: int = 32
    terms: tuple[str, ...] | None = None
    threshold: float = 0.99
    every: int = 1
    by_point = False

    def __post_init__(self) -> None:
        _require(self, counts=("every", "chunks"))
        if not self.tolerances or not all(math.isfinite(x) and x > 0 for x in self.tolerances):
            raise _invalid(self, "tolerance", "a positive number, or a tuple of them")

    @property
    def tolerances(self) -> tuple[float, ...]:
        """The tolerances, in turn."""
        given = self.tolerance
        return (given,) if isinstance(given, int | float) else tuple(given)

    def init(self, objective: Objective, batch: Batch) -> CausalState:
        """Returns the state to begin with."""
        if self.time not in objective.coordinates:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"Causal: there is no coordinate {self.time!r}; there are: "
                f"{', '.join(objective.coordinates)}.",
                hints="time= names the coordinate along which causes precede effects",
            )
        return CausalState(jnp.zeros((), jnp.int32), jnp.zeros((), batch.weights[0].dtype))

    def update(
        self, objective: Objective, model: Model, batch: Batch, state: CausalState
    ) -> tuple[Weights, CausalState]:
        """Returns the weights, one for each point of the weighted terms."""
        words = self.terms
        if words is None:
            words = tuple(term.name for term in objective.terms if term.on == "interior")
        chosen = _chosen(self, objective, words)
        squares = residuals.squares(objective, model, batch)
        column = objective.coordinates.index(self.time)
        last = len(self.tolerances) - 1
        stage = jnp.where(state.smallest > self.threshold, state.stage + 1, state.stage)
        stage = jnp.minimum(stage, last)
        tolerance = jnp.asarray(self.tolerances, batch.weights[0].dtype)[stage]
        weights = list(objective.weights(batch.weights[0].dtype))
        smallest = []
        for part in objective.parts:
            own = [i for i, _ in objective.at(part) if i in chosen]
            if not own:
                continue
            times = batch.samples[part].points[:, column]
            found = jnp.stack(
                [causal_weights(times, squares[i], tolerance, chunks=self.chunks) for i in own]
            ).min(axis=0)
            smallest.append(found.min())
            for i in own:
                weights[i] = weights[i] * found
        return tuple(weights), CausalState(stage, jnp.stack(smallest).min())


@partial(jax.jit, static_argnames="chunks")
def causal_weights(
    times: jax.Array, squares: jax.Array, tolerance: Any, *, chunks: int
) -> jax.Array:
    """Returns `exp(-tolerance sum_{j < i} L_j)` for each point in the i-th of equal parts of the time.

    `times` and `squares` are `(n,)`; L_j is the mean of the squares in part j, 0 where there are no points.

    >>> print(causal_weights(jnp.array([0.0, 0.2, 1.0]), jnp.array([1.0, 3.0, 5.0]), 0.5, chunks=2))
    [1.         1.         0.36787945]
    """
    first, last = jnp.min(times), jnp.max(times)
    length = jnp.where(last > first, last - first, jnp.ones_like(last))
    place = jnp.clip(((times - first) / length * chunks).astype(jnp.int32), 0, chunks - 1)
    zeros = jnp.zeros(chunks, squares.dtype)
    sums = zeros.at[place].add(squares)
    counts = zeros.at[place].add(jnp.ones_like(squares))
    means = sums / jnp.maximum(counts, 1)
    before = jnp.cumsum(means) - means
    return jnp.exp(-tolerance * before)[place]


@jax.jit
def _balanced(sizes: jax.Array, whole: jax.Array) -> jax.Array:
    """What makes all sizes the whole; 1 where there is no size."""
    return jnp.where(sizes > 0, whole / jnp.where(sizes > 0, sizes, 1), 1)


def _times(objective: Objective, factors: jax.Array) -> Weights:
    return tuple(term.weight * factors[i] for i, term in enumerate(objective.terms))


def _chosen(settings: Any, objective: Objective, words: Sequence[str] | None) -> frozenset[int]:
    if words is None:
        return frozenset(range(len(objective.terms)))
    unknown = [word for word in words if word not in objective.names]
    if unknown or not words:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{type(settings).__name__}: no term {', '.join(unknown) or 'on the interior'}; "
            f"there are: {', '.join(objective.names)}.",
            hints="terms= names the terms to be weighted",
        )
    return frozenset(i for i, name in enumerate(objective.names) if name in words)


def _require(settings: Any, counts: Sequence[str] = (), positive: Sequence[str] = ()) -> None:
    for word in counts:
        value = vars(settings)[word]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _invalid(settings, word, "a positive integer")
    for word in positive:
        value = vars(settings)[word]
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise _invalid(settings, word, "a finite number above zero")


def _invalid(settings: Any, word: str, rule: str) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID,
        f"{type(settings).__name__}: {word} is {vars(settings)[word]!r}; it must be {rule}.",
    )
