"""A softmax cross-entropy, however it is written, becomes one node; labels outside keep what they gave."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from golden_text import assert_golden
from raising import CPU, names, run

from tessera.core import compat
from tessera.core.numerics import tolerance
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.idioms import cross_entropy as idiom
from tessera.lowering.idioms.cross_entropy import CROSS_ENTROPY, FEW_CLASSES
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rewrite import SHARED, Context, Record, apply_rule
from tessera.lowering.simplify import cse, dce, fold

OP = "tessera.graph.cross_entropy"
ROWS, CLASSES = 6, 5
DTYPES = [jnp.float32, jnp.bfloat16]

Array = jax.Array
Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def soft_labels_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets soft labels be raised at the size of a test."""
    monkeypatch.setattr(idiom, "MANY_LOGITS", 1)


def _raised(function: Function, *args: Any) -> tuple[Any, list[Record]]:
    module = capture(jax.make_jaxpr(function)(*args))
    context = Context(CPU)
    for step in (fold, cse, dce):
        step(module, context)
    apply_rule(CROSS_ENTROPY, module, context)
    for step in (fold, cse, dce):
        step(module, context)
    return module, context.records


def _logits(dtype: Any = jnp.float32) -> Array:
    return (3 * jax.random.normal(jax.random.key(0), (ROWS, CLASSES))).astype(dtype)


def _labels() -> Array:
    return jnp.array([0, 1, 2, 3, 4, 1])


def _one_hot(x: Array, y: Array) -> Array:
    return jax.nn.one_hot(y, CLASSES, dtype=x.dtype)


def _assert_close(got: Any, wanted: Any, dtype: Any) -> None:
    rtol, atol = tolerance(dtype)
    got, wanted = (np.asarray(x, np.float64) for x in (got, wanted))
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)


# -- spellings: all are the mean over rows ------------------------------------------------------------


def optax_integer(x: Array, y: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()


def optax_soft(x: Array, y: Array) -> Array:
    return optax.softmax_cross_entropy(x, _one_hot(x, y)).mean()


def take_along_axis(x: Array, y: Array) -> Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()


def one_hot_product(x: Array, y: Array) -> Array:
    return -(jax.nn.log_softmax(x) * _one_hot(x, y)).sum(-1).mean()


def one_hot_total(x: Array, y: Array) -> Array:
    return -(jax.nn.log_softmax(x) * _one_hot(x, y)).sum() / ROWS


def one_hot_choice(x: Array, y: Array) -> Array:
    chosen = y[:, None] == jnp.arange(CLASSES)[None, :]
    return -jnp.where(chosen, jax.nn.log_softmax(x), 0).sum(-1).mean()


def indexed_by_arange(x: Array, y: Array) -> Array:
    return -jax.nn.log_softmax(x)[jnp.arange(ROWS), y].mean()


def indexed_under_vmap(x: Array, y: Array) -> Array:
    return jax.vmap(lambda row, label: -jax.nn.log_softmax(row)[label])(x, y).mean()


def logsumexp_difference(x: Array, y: Array) -> Array:
    return (jax.nn.logsumexp(x, axis=-1) - x[jnp.arange(ROWS), y]).mean()


def logsumexp_by_hand(x: Array, y: Array) -> Array:
    top = x.max(-1, keepdims=True)
    total = top[:, 0] + jnp.log(jnp.exp(x - top).sum(-1))
    return (total - x[jnp.arange(ROWS), y]).mean()


def two_leading_axes(x: Array, y: Array) -> Array:
    x, y = x.reshape(2, 3, CLASSES), y.reshape(2, 3)
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()


def grid_of_indices(x: Array, y: Array) -> Array:
    x, y = x.reshape(2, 3, CLASSES), y.reshape(2, 3)
    return -jax.nn.log_softmax(x)[jnp.arange(2)[:, None], jnp.arange(3)[None], y].mean()


SPELLINGS = [
    optax_integer,
    optax_soft,
    take_along_axis,
    one_hot_product,
    one_hot_total,
    one_hot_choice,
    indexed_by_arange,
    indexed_under_vmap,
    logsumexp_difference,
    logsumexp_by_hand,
    two_leading_axes,
    grid_of_indices,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=["fp32", "bf16"])
@pytest.mark.parametrize("function", SPELLINGS, ids=lambda f: f.__name__)
def test_a_cross_entropy_is_one_node(function, dtype):
    x, y = _logits(dtype), _labels()
    module, _ = _raised(function, x, y)
    found = names(module)
    assert found.count(OP) == 1
    assert "jax.exp" not in found
    assert "jax.log" not in found
    log_p = scipy.special.log_softmax(np.asarray(x, np.float64), axis=-1)
    wanted = -np.mean(log_p[np.arange(ROWS), np.asarray(y)])
    _assert_close(run(module, x, y), wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=["fp32", "bf16"])
@pytest.mark.parametrize("function", SPELLINGS, ids=lambda f: f.__name__)
def test_its_gradient_is_softmax_minus_label(function, dtype):
    x, y = _logits(dtype), _labels()
    got = _gradient(_raised(function, x, y)[0])(x, y)
    wanted = scipy.special.softmax(np.asarray(x, np.float64), axis=-1)
    wanted[np.arange(ROWS), np.asarray(y)] -= 1
    _assert_close(got, wanted / ROWS, dtype)


def _gradient(module: Any) -> Function:
    traced = emit(module)
    return jax.grad(lambda x, y: compat.evaluate(traced.jaxpr, traced.consts, x, y)[0])


def test_soft_labels_have_gradients_too():
    def smoothed(x: Array, y: Array) -> Array:
        return optax.softmax_cross_entropy(x, y).mean()

    x, y = _logits(), jax.nn.softmax(_logits()[::-1])
    module, _ = _raised(smoothed, x, y)
    traced = emit(module)
    assert OP in names(module)
    got = jax.grad(lambda *a: compat.evaluate(traced.jaxpr, traced.consts, *a)[0], (0, 1))(x, y)
    for ours, theirs in zip(got, jax.grad(smoothed, (0, 1))(x, y), strict=True):
        _assert_close(ours, theirs, jnp.float32)


# -- labels outside the classes ------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-100, -1, CLASSES, CLASSES + 7])
@pytest.mark.parametrize("function", SPELLINGS, ids=lambda f: f.__name__)
def test_a_label_outside_gives_what_it_gave(function, label):
    x, y = _logits(), _labels().at[2].set(label)
    module, _ = _raised(function, x, y)
    assert OP in names(module)
    _assert_close(run(module, x, y), function(x, y), jnp.float32)


@pytest.mark.parametrize("function", SPELLINGS, ids=lambda f: f.__name__)
def test_a_loss_masked_away_leaves_no_nan_in_the_gradient(function):
    def masked(x: Array, y: Array) -> Array:
        rows = [function(x[i : i + 1].repeat(ROWS, 0), y[i : i + 1].repeat(ROWS)) for i in (1, 2)]
        return jnp.where(y[1] == -100, 0, rows[0]) + jnp.where(y[2] == -100, 0, rows[1])

    x, y = _logits(), _labels().at[2].set(-100)
    module, _ = _raised(masked, x, y)
    assert OP in names(module)
    _assert_close(_gradient(module)(x, y), jax.grad(masked)(x, y), jnp.float32)


@pytest.mark.parametrize("label", [-100, CLASSES])
@pytest.mark.parametrize("function", SPELLINGS, ids=lambda f: f.__name__)
def test_a_label_outside_leaves_the_gradient_it_left(function, label):
    x, y = _logits(), _labels().at[2].set(label)
    module, _ = _raised(function, x, y)
    wanted = jax.grad(function)(x, y)
    assert jnp.all(jnp.isfinite(wanted))
    _assert_close(_gradient(module)(x, y), wanted, jnp.float32)


@pytest.mark.parametrize(("dtype", "classes"), [(jnp.uint8, 256), (jnp.int8, 128), (jnp.uint8, 7)])
@pytest.mark.parametrize("difference", [False, True])
def test_labels_need_no_room_for_the_number_of_classes(monkeypatch, dtype, classes, difference):
    monkeypatch.setattr(idiom, "FEW_CLASSES", classes)

    def loss(x: Array, y: Array) -> Array:
        if difference:
            return jax.nn.logsumexp(x, axis=-1) - jnp.take_along_axis(x, y[:, None], 1)[:, 0]
        return -(jax.nn.log_softmax(x) * jax.nn.one_hot(y, classes)).sum(-1)

    x = jax.random.normal(jax.random.key(1), (4, classes))
    y = jnp.array([0, classes - 1, 3, 5], dtype)
    module, _ = _raised(loss, x, y)
    assert OP in names(module)
    log_p = scipy.special.log_softmax(np.asarray(x, np.float64), axis=-1)
    _assert_close(run(module, x, y), -log_p[np.arange(4), np.asarray(y)], jnp.float32)


def test_logits_wider_than_the_weighted_sum_are_not_rounded():
    def loss(x: Array, y: Array) -> Array:
        log_p = jax.nn.log_softmax(x).astype(jnp.bfloat16)
        return -(log_p * _one_hot(log_p, y)).sum(-1)

    x, y = 1000 + _logits(), _labels()
    module, _ = _raised(loss, x, y)
    assert OP in names(module)
    log_p = scipy.special.log_softmax(np.asarray(x, np.float64), axis=-1)
    # The loss of one class is rounded once: its logits, which bf16 has in steps of 4, are not.
    _assert_close(run(module, x, y), -log_p[np.arange(ROWS), np.asarray(y)], jnp.bfloat16)


# -- what stays ----------------------------------------------------------------------------------------


def entropy(x: Array, y: Array) -> Array:
    del y
    log_p = jax.nn.log_softmax(x)
    return -(log_p * jnp.exp(log_p)).sum(-1).mean()


def log_probabilities_returned(x: Array, y: Array) -> Array:
    log_p = jax.nn.log_softmax(x)
    return -log_p[jnp.arange(ROWS), y].mean() + log_p.sum()


@pytest.mark.parametrize("function", [entropy, log_probabilities_returned])
def test_log_probabilities_in_use_stay_with_the_reason(function):
    module, records = _raised(function, _logits(), _labels())
    assert OP not in names(module)
    assert [(r.applied, r.reason) for r in records] == [(False, SHARED)]


def other_rows(x: Array, y: Array) -> Array:
    return (jax.nn.logsumexp(x, axis=-1) - x[jnp.arange(ROWS)[::-1], y]).mean()


def other_logits(x: Array, y: Array) -> Array:
    return (jax.nn.logsumexp(2 * x, axis=-1) - x[jnp.arange(ROWS), y]).mean()


def over_rows(x: Array, y: Array) -> Array:
    return -jax.nn.log_softmax(x, axis=0)[jnp.arange(ROWS), y].mean()


def shifted_back_wrongly(x: Array, y: Array) -> Array:
    total = jnp.log(jnp.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.min(-1)
    return (total - x[jnp.arange(ROWS), y]).mean()


def summed_in_fewer_bits(x: Array, y: Array) -> Array:
    total = jnp.log(jnp.exp(x).astype(jnp.bfloat16).sum(-1).astype(x.dtype))
    return (total - x[jnp.arange(ROWS), y]).mean()


def swapped(x: Array, y: Array) -> Array:
    return (x[jnp.arange(ROWS), y] - jax.nn.logsumexp(x, axis=-1)).mean()


def filled_with_zero(x: Array, y: Array) -> Array:
    picked = jnp.take_along_axis(
        jax.nn.log_softmax(x), y[:, None], axis=1, mode="fill", fill_value=0
    )
    return -picked.mean()


@pytest.mark.parametrize(
    "function",
    [
        other_rows,
        other_logits,
        over_rows,
        shifted_back_wrongly,
        summed_in_fewer_bits,
        swapped,
        filled_with_zero,
    ],
    ids=lambda f: f.__name__,
)
def test_what_only_resembles_a_cross_entropy_stays(function):
    module, records = _raised(function, _logits(), _labels())
    assert OP not in names(module)
    assert not records


@pytest.mark.parametrize("function", [optax_integer, take_along_axis, indexed_by_arange])
def test_a_symbolic_number_of_classes_is_left_alone(function):
    (n,) = jax.export.symbolic_shape("n")
    x = jax.ShapeDtypeStruct((ROWS, n), jnp.float32)
    assert OP not in names(_raised(function, x, _labels())[0])


@pytest.mark.parametrize("function", [optax_integer, take_along_axis])
def test_a_symbolic_number_of_rows_is_left_alone(function):
    (n,) = jax.export.symbolic_shape("n")
    x = jax.ShapeDtypeStruct((n, CLASSES), jnp.float32)
    y = jax.ShapeDtypeStruct((n,), jnp.int32)
    assert OP not in names(_raised(function, x, y)[0])


@pytest.mark.parametrize(("classes", "applied"), [(FEW_CLASSES, True), (FEW_CLASSES + 1, False)])
def test_the_difference_stays_where_its_gradient_is_faster(classes, applied):
    x, y = jnp.zeros((3, classes)), jnp.zeros(3, jnp.int32)
    _, (record,) = _raised(optax_integer, x, y)
    assert record.applied is applied


@pytest.mark.parametrize("function", [optax_integer, optax_soft, take_along_axis])
def test_the_raised_graph_reads_as_committed(function):
    module, _ = _raised(function, _logits(), _labels())
    assert_golden(str(module), f"idioms/cross_entropy.{function.__name__}.mlir")
