"""Dynamic loss scaling: the loss times a large number, so that small gradients survive fp16.

    finite gradients       divided by the scale and used; after `growth_interval` such steps the scale doubles
    an overflow            the step is skipped and the scale halves, down to `floor`
    an overflow at floor   nothing can save the step: the state says so, and `check` raises

Source: Micikevicius et al. 2018, Mixed precision training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from tessera.core import numerics
from tessera.core.errors import Code, CompileError, NumericsError
from tessera.core.operands import as_integer, as_number
from tessera.training.apply import load_optax, select

PyTree = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LossScale:
    """The scale of a loss, the good steps since it changed, and whether an overflow came at the floor."""

    scale: Array
    good_steps: Array
    failed: Array
    growth_interval: int = field(metadata={"static": True})
    floor: float = field(metadata={"static": True})


class Scaled(NamedTuple):
    """The state of `scaled`: that of the loss scale and that of the optimiser."""

    scaling: LossScale
    inner: Any


def loss_scaling(
    init: float = 2.0**15, growth_interval: int = 2000, floor: float = 1.0
) -> tuple[LossScale, Callable[..., Array], Callable[..., Any]]:
    """Returns a state, `scale_loss` and `unscale_and_update`: the pieces of a training step.

    The state is a pytree. Powers of two for `init` and `floor` scale without rounding. Raises
    `E_GRAPH_INVALID` unless 0 < floor <= init and the interval is at least 1.

    >>> state, scale, unscale = loss_scaling(init=8.0)
    >>> gradient = jax.grad(lambda x: scale(x * x, state))(3.0)
    >>> unscaled, finite, state = unscale(gradient, state)
    >>> float(gradient), float(unscaled), bool(finite)
    (48.0, 6.0, True)
    """
    start, least = (as_number("loss_scaling", n, x) for n, x in (("init", init), ("floor", floor)))
    interval = as_integer("loss_scaling", "growth_interval", growth_interval)
    if not 0 < least <= start < math.inf or interval < 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"loss_scaling: init is {start}, floor {least} and growth_interval {interval}; "
            "0 < floor <= init and growth_interval >= 1 are needed.",
        )
    state = LossScale(
        jnp.asarray(start, jnp.float32),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
        interval,
        least,
    )
    return state, scale_loss, unscale_and_update


def scale_loss(loss: Any, state: LossScale) -> Array:
    """Returns the loss times its scale, in at least fp32: fp16 could not hold the product.

    >>> float(scale_loss(jnp.array(2.0, jnp.float16), loss_scaling(init=2.0**16)[0]))
    131072.0
    """
    value = jnp.asarray(loss)
    return value.astype(numerics.accumulator(value.dtype)) * state.scale


def unscale_and_update(gradients: PyTree, state: LossScale) -> tuple[PyTree, Array, LossScale]:
    """Returns gradients without their scale, in at least fp32, whether all are finite, and the next state.

    Where they are not, skip the step: `training.select(finite, new, old)` of parameters and optimiser state
    keeps their bits. Per device, inside `shard_map`, give it the gradients summed over the devices.

    Raises `E_LOSS_SCALING`, outside of `jit`, for an overflow at the floor. Under `jit` the state keeps that
    it happened, for `check`.

    >>> state = loss_scaling(init=8.0)[0]
    >>> _, finite, state = unscale_and_update(jnp.array([1.0, jnp.inf]), state)
    >>> bool(finite), float(state.scale)
    (False, 4.0)
    """
    leaves = jax.tree.leaves(gradients)
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves], bool))
    found = _next(state, finite)
    if not isinstance(found.failed, Tracer):
        check(found)
    return jax.tree.map(lambda x: _unscaled(x, state.scale), gradients), finite, found


def check(state: LossScale) -> None:
    """Raises `E_LOSS_SCALING` if gradients overflowed at the floor; waits for the step that made the state.

    >>> check(loss_scaling()[0])
    """
    if bool(state.failed):
        raise NumericsError(
            Code.E_LOSS_SCALING,
            f"loss_scaling: gradients are not finite at the floor, a scale of {state.floor}.",
            hints=(
                "op.check_numerics(gradients) names the one; a smaller learning rate, or bf16, whose range "
                "needs no scale"
            ),
        )


def scaled(
    optimizer: Any, *, init: float = 2.0**15, growth_interval: int = 2000, floor: float = 1.0
) -> Any:
    """Returns an optax optimiser that takes gradients of a scaled loss: it unscales, skips and adjusts.

    Its state is `Scaled`; the loss is `training.scale_loss(loss, state.scaling)`. In a skipped step the state
    of `optimizer` keeps its bits, and the updates are -0.0, which changes no number it is added to. Raises
    the errors of `loss_scaling` and `unscale_and_update`, and `ImportError` without optax.

    >>> import optax
    >>> optimizer = scaled(optax.sgd(1.0), init=8.0)
    >>> state = optimizer.init(jnp.ones(1))
    >>> updates, state = optimizer.update(jnp.array([jnp.nan]), state)
    >>> updates.tolist(), float(state.scaling.scale)
    ([-0.0], 4.0)
    """
    optax = load_optax()
    inner = optax.with_extra_args_support(optimizer)
    start, _, _ = loss_scaling(init, growth_interval, floor)

    def prepare(params: PyTree) -> Scaled:
        return Scaled(start, inner.init(params))

    def update(
        updates: PyTree, state: Scaled, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Scaled]:
        gradients, finite, scaling = unscale_and_update(updates, state.scaling)
        usable = jax.tree.map(lambda x: jnp.where(finite, x, jnp.zeros_like(x)), gradients)
        steps, following = inner.update(usable, state.inner, params, **extra)
        steps = jax.tree.map(lambda x: jnp.where(finite, x, jnp.full_like(x, -0.0)), steps)
        return steps, Scaled(scaling, select(finite, following, state.inner))

    return optax.GradientTransformationExtraArgs(prepare, update)


def _next(state: LossScale, finite: Array) -> LossScale:
    count = jnp.where(finite, state.good_steps + 1, 0)
    grows = count >= state.growth_interval
    twice = state.scale * 2
    larger = jnp.where(grows & jnp.isfinite(twice), twice, state.scale)
    smaller = jnp.maximum(state.scale / 2, jnp.float32(state.floor))
    at_floor = state.scale <= jnp.float32(state.floor)
    return replace(
        state,
        scale=jnp.where(finite, larger, smaller),
        good_steps=jnp.where(grows, 0, count),
        failed=state.failed | (~finite & at_floor),
    )


def _unscaled(gradient: Any, scale: Array) -> Array:
    x = jnp.asarray(gradient)
    wide = x.astype(numerics.accumulator(x.dtype))
    return wide / scale.astype(wide.dtype)
