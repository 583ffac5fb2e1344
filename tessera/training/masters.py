"""Narrow weights that learn from small updates: masters in fp32, or rounding at random.

    masters      m <- m + update in fp32,   weights = round(m)
    stochastic   weights <- weights + update, rounded up or down so that the mean is right

bf16 has 8 bits: an update below 2^-9 of a weight is lost when the sum is rounded to the nearest. Masters keep
every bit and cost 4 bytes a weight. Rounding at random costs none, and noise of half a step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from tessera.core import numerics, portable, stochastic
from tessera.core.errors import Code, CompileError
from tessera.core.random import as_key
from tessera.training.apply import apply_updates, load_optax

PyTree = Any


class Masters(NamedTuple):
    """The state of `master_weights`: the wide weights, and the state of the optimiser."""

    masters: PyTree
    inner: Any


class StochasticWeights(NamedTuple):
    """The state of `stochastic_weights`: the key of the next step, and the state of the optimiser."""

    key: Array
    inner: Any


def master_weights(optimizer: Any, dtype: Any = "fp32") -> Any:
    """Returns an optax optimiser that keeps the weights it is given in a wider dtype, and updates those.

    After `training.apply_updates`, or optax's, the weights are the masters, rounded, at every step and to the
    bit. (Where a sum in the wide dtype cannot reach a weight 2^16 times smaller than the last, the master
    moves to the weight, by less than the rounding of its update.) Weights that are not narrower, and
    integers, are left to the optimiser. Weights changed by other hands are set to the masters by the next
    step.

    Gradients are widened. A loss scale goes inside: `master_weights(scaled(optimizer))`. Raises
    `E_GRAPH_INVALID` for a dtype that is no float and for an update without `params`, `E_TARGET_CODEGEN` for
    fp64 while 64-bit mode is off, `ImportError` without optax.

    >>> import optax
    >>> optimizer = master_weights(optax.sgd(1.0))
    >>> weight = jnp.array(1.0, jnp.bfloat16)
    >>> state = optimizer.init(weight)
    >>> for _ in range(8):
    ...     updates, state = optimizer.update(jnp.array(2.0**-10), state, weight)
    ...     weight = apply_updates(weight, updates)
    >>> float(weight), float(state.masters)
    (0.9921875, 0.9921875)
    """
    optax = load_optax()
    wide = numerics.dtype(dtype, "master_weights")
    if not jnp.issubdtype(wide, jnp.floating):
        raise CompileError(Code.E_GRAPH_INVALID, f"master_weights: {wide} is no float dtype.")
    inner = optax.with_extra_args_support(optimizer)

    def prepare(params: PyTree) -> Masters:
        masters = _widened(params, wide)
        return Masters(masters, inner.init(masters))

    def update(
        updates: PyTree, state: Masters, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Masters]:
        _require("master_weights", params)
        gradients = _widened(updates, wide)
        steps, following = inner.update(gradients, state.inner, state.masters, **extra)
        steps = jax.tree.map(_as_rounded, steps)
        moved = apply_updates(state.masters, steps)
        pairs = jax.tree.map(_toward_master, params, moved, steps)
        changes, masters = _unzipped(params, pairs)
        return changes, Masters(masters, following)

    return optax.GradientTransformationExtraArgs(prepare, update)


def stochastic_weights(optimizer: Any, key: Any) -> Any:
    """Returns an optax optimiser for narrow weights without masters: their sums are rounded at random.

    The sums of weights of bf16 and fp16 with their updates are formed in fp32, where the state of `optimizer`
    is too, and rounded as `op.cast(..., stochastic_round=True)` does, with a key that follows from `key`, a
    JAX key or an int seed, and the number of the step. Other weights are left to the optimiser. Gradients are
    widened.

    Raises `E_GRAPH_INVALID` for a missing key and for an update without `params`, and `ImportError` without
    optax.

    >>> import optax
    >>> optimizer = stochastic_weights(optax.sgd(1.0), key=0)
    >>> weights = jnp.ones(4096, jnp.bfloat16)
    >>> updates, _ = optimizer.update(jnp.full(4096, 2.0**-11), optimizer.init(weights), weights)
    >>> moved = apply_updates(weights, updates)
    >>> sorted(set(moved.tolist())), 400 < int((moved < 1).sum()) < 624
    ([0.99609375, 1.0], True)
    """
    optax = load_optax()
    first = as_key("stochastic_weights", key)
    inner = optax.with_extra_args_support(optimizer)

    def prepare(params: PyTree) -> StochasticWeights:
        return StochasticWeights(first, inner.init(_widened(params, jnp.dtype(jnp.float32))))

    def update(
        updates: PyTree, state: StochasticWeights, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, StochasticWeights]:
        _require("stochastic_weights", params)
        wide = _widened(params, jnp.dtype(jnp.float32))
        gradients = _widened(updates, jnp.dtype(jnp.float32))
        steps, following = inner.update(gradients, state.inner, wide, **extra)
        now, later = jax.random.split(state.key)
        keys = _keys(now, params)
        changes = jax.tree.map(_rounded_step, params, apply_updates(wide, steps), steps, keys)
        return changes, StochasticWeights(later, following)

    return optax.GradientTransformationExtraArgs(prepare, update)


def _toward_master(weight: Any, master: Array, step: Any) -> tuple[Array, Array]:
    """Returns what to add to a weight so that it becomes its master, rounded; and the master then."""
    weight = jnp.asarray(weight)
    if weight.dtype == master.dtype:
        return step, master
    change = _difference(master.astype(weight.dtype), weight, master.dtype)
    reached = apply_updates(weight, change)
    there = reached == master.astype(weight.dtype)
    return change, jnp.where(there | ~jnp.isfinite(reached), master, reached.astype(master.dtype))


def _rounded_step(weight: Any, moved: Array, step: Any, key: Array) -> Array:
    weight = jnp.asarray(weight)
    if weight.dtype == moved.dtype:
        return step
    return _difference(stochastic.rounded(moved, weight.dtype, key), weight, moved.dtype)


def _difference(wanted: Array, weight: Array, wide: Any) -> Array:
    """Returns wanted - weight in a wide dtype; -0.0, which changes no zero's sign, where they are equal."""
    change = wanted.astype(wide) - weight.astype(wide)
    return jnp.where(wanted == weight, jnp.full_like(change, -0.0), change)


def _as_rounded(step: Any) -> Array:
    """Returns a step that is added to a master as it is to a weight, not as part of a multiply-add."""
    x = jnp.asarray(step)
    return portable.rounded(x) if x.dtype.itemsize >= 4 else x


def _widened(tree: PyTree, wide: Any) -> PyTree:
    """Returns a tree with its narrower floats in a wider dtype."""

    def one(x: Any) -> Array:
        array = jnp.asarray(x)
        narrow = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize < wide.itemsize
        return array.astype(wide) if narrow else array

    return jax.tree.map(one, tree)


def _keys(key: Array, tree: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(
        structure, list(jax.random.split(key, max(len(leaves), 1)))[: len(leaves)]
    )


def _unzipped(like: PyTree, pairs: PyTree) -> tuple[PyTree, PyTree]:
    structure = jax.tree.structure(like)
    each = structure.flatten_up_to(pairs)
    first, second = zip(*each, strict=True) if each else ((), ())
    return structure.unflatten(first), structure.unflatten(second)


def _require(name: str, params: PyTree) -> None:
    if params is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{name}: the update is of weights, and params is missing.",
            hints="optimizer.update(gradients, state, params)",
        )
