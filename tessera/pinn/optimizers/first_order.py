"""Steps along a gradient, by optax: Adam, AdamW, SOAP or any other of its transformations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp

from tessera.pinn import parameters, residuals
from tessera.pinn.optimizers.protocol import Info, numpy_promotion, require_settings
from tessera.pinn.optimizers.soap import soap
from tessera.pinn.problem import Model, Sample
from tessera.pinn.residuals import Batch, Objective
from tessera.training.apply import load_optax

# A number, or optax's schedule: a function of the number of steps before.
Rate = float | Callable[[Any], Any]


class State(NamedTuple):
    """Optax's state, and the key that minibatches are drawn with."""

    inner: Any
    key: jax.Array


class _Settings(Protocol):
    @property
    def minibatch(self) -> int | None: ...

    def transformation(self) -> Any: ...


# ---- the methods that all of them have -------------------------------------------------------------------


def _init(
    self: _Settings, objective: Objective, model: Model, batch: Batch, key: jax.Array
) -> State:
    """Returns the state to begin with; `key` is for minibatches."""
    del objective, batch
    inner = self.transformation().init(parameters.split(model)[0])
    return State(inner, jax.random.key_data(key))


def _refresh(self: _Settings, state: State) -> State:
    """Returns the state for a loss that has changed: the same."""
    del self
    return state


def _step(
    self: _Settings, objective: Objective, model: Model, batch: Batch, state: State
) -> tuple[Model, State, Info]:
    """Returns the model after one step."""
    model, state, loss = _stepped(self, objective, model, batch, state)
    return model, state, Info(loss)


@eqx.filter_jit
def _stepped(
    settings: _Settings, objective: Objective, model: Model, batch: Batch, state: State
) -> tuple[Model, State, jax.Array]:
    optax = load_optax()

    now, later = jax.random.split(jax.random.wrap_key_data(state.key))
    if settings.minibatch is not None:
        batch = _drawn(objective, batch, settings.minibatch, now)
    loss, gradient = residuals.loss_and_gradient(objective, model, batch)
    params, rest = parameters.split(model)
    with numpy_promotion():
        updates, inner = settings.transformation().update(gradient, state.inner, params)
    moved = parameters.join(optax.apply_updates(params, updates), rest)
    return moved, State(inner, jax.random.key_data(later)), loss


def _drawn(objective: Objective, batch: Batch, count: int, key: jax.Array) -> Batch:
    """Points drawn from a batch with their arrays and weights, `count` of every sampler."""
    samples: dict[str, Sample] = {}
    weights = list(batch.weights)
    for number, part in enumerate(objective.parts):
        sample = batch.samples[part]
        points = sample.points.shape[0]
        rows = jax.random.randint(jax.random.fold_in(key, number), (count,), 0, points)
        samples[part] = jax.tree.map(lambda x, rows=rows: jnp.take(x, rows, axis=0), sample)
        for i, _ in objective.at(part):
            weights[i] = weights[i][rows] if weights[i].ndim else weights[i]
    return Batch(samples, tuple(weights))


def _require(settings: Any, **rules: Any) -> None:
    rate = vars(settings).get("learning_rate", 1.0)
    positive = () if callable(rate) or "learning_rate" not in vars(settings) else ("learning_rate",)
    minibatch = () if settings.minibatch is None else ("minibatch",)
    require_settings(
        settings,
        positive=positive,
        counts=(*minibatch, *rules.get("counts", ())),
        not_negative=rules.get("not_negative", ()),
    )


# ---- the rules -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015). `learning_rate` is a number or an optax schedule; needs optax.

    `minibatch` is the number of points of each sampler that a step takes, drawn anew for each, uniformly and
    with repetition (None: all points). `every` is the number of iterations from one record to the next.

    Raises `E_GRAPH_INVALID` for settings that make no sense.

    >>> Adam(5000, 1e-3, minibatch=256).every
    100
    """

    iterations: int
    learning_rate: Rate = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    minibatch: int | None = None
    every: int = 100
    init = _init
    refresh = _refresh
    step = _step

    def __post_init__(self) -> None:
        _require(self)

    def transformation(self) -> Any:
        """Returns what optax calls the rule."""
        optax = load_optax()

        return optax.adam(self.learning_rate, self.b1, self.b2)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); otherwise as `Adam`."""

    iterations: int
    learning_rate: Rate = 1e-3
    weight_decay: float = 1e-4
    b1: float = 0.9
    b2: float = 0.999
    minibatch: int | None = None
    every: int = 100
    init = _init
    refresh = _refresh
    step = _step

    def __post_init__(self) -> None:
        _require(self, not_negative=("weight_decay",))

    def transformation(self) -> Any:
        """Returns what optax calls the rule."""
        optax = load_optax()

        return optax.adamw(self.learning_rate, self.b1, self.b2, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class SOAP:
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024); otherwise as `Adam`.

    `frequency` is the number of steps from one turn of the basis to the next. Sides of a matrix longer than
    `largest` are left unturned.
    """

    iterations: int
    learning_rate: Rate = 3e-3
    b1: float = 0.95
    b2: float = 0.95
    frequency: int = 10
    largest: int = 10000
    minibatch: int | None = None
    every: int = 100
    init = _init
    refresh = _refresh
    step = _step

    def __post_init__(self) -> None:
        _require(self, counts=("frequency", "largest"))

    def transformation(self) -> Any:
        """Returns what optax calls the rule."""
        return soap(
            self.learning_rate,
            b1=self.b1,
            b2=self.b2,
            frequency=self.frequency,
            largest=self.largest,
        )


@dataclass(frozen=True)
class FirstOrder:
    """Any rule of optax: `make()` returns its transformation; otherwise as `Adam`.

    Two that share the function `make` share one compilation.
    """

    iterations: int
    make: Callable[[], Any]
    minibatch: int | None = None
    every: int = 100
    init = _init
    refresh = _refresh
    step = _step

    def __post_init__(self) -> None:
        _require(self)

    def transformation(self) -> Any:
        """Returns what optax calls the rule."""
        return self.make()
