"""`op.cross_entropy` and `op.mse` beyond the contract test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tessera import op
from tessera.core.errors import Code, CompileError

LOGITS = jax.random.normal(jax.random.key(1), (6, 5)) * 3.0
LABELS = jnp.array([0, 4, 2, 2, 1, 3])
LOSSES = -scipy.special.log_softmax(np.asarray(LOGITS, np.float64), axis=-1)[range(6), LABELS]


def test_reductions_equal_scipy():
    np.testing.assert_allclose(op.cross_entropy(LOGITS, LABELS), LOSSES.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        op.cross_entropy(LOGITS, LABELS, reduction="sum"), LOSSES.sum(), rtol=1e-6
    )
    np.testing.assert_allclose(
        op.cross_entropy(LOGITS, LABELS, reduction="none"), LOSSES, rtol=1e-5
    )


def test_ignored_rows_leave_the_mean_and_have_no_gradient():
    kept = np.asarray(LABELS) != 2
    loss, gradient = jax.value_and_grad(op.cross_entropy)(LOGITS, LABELS, ignore_index=2)
    np.testing.assert_allclose(loss, LOSSES[kept].mean(), rtol=1e-6)
    assert not np.any(np.asarray(gradient)[~kept])
    assert np.all(np.any(np.asarray(gradient)[kept], axis=-1))


def test_an_ignored_label_may_lie_outside_the_classes():
    labels = LABELS.at[0].set(-100)
    loss, gradient = jax.value_and_grad(op.cross_entropy)(LOGITS, labels, ignore_index=-100)
    np.testing.assert_allclose(loss, LOSSES[1:].mean(), rtol=1e-6)
    assert np.all(np.isfinite(gradient))


def test_no_row_left_gives_zero():
    assert float(op.cross_entropy(LOGITS, jnp.full(6, 2), ignore_index=2)) == 0.0


def test_soft_labels_of_one_class_equal_integer_labels():
    soft = jax.nn.one_hot(LABELS, 5)
    np.testing.assert_allclose(op.cross_entropy(LOGITS, soft), LOSSES.mean(), rtol=1e-6)


def test_a_forbidden_class_has_logit_minus_infinity():
    logits = LOGITS.at[:, 1].set(-jnp.inf)
    soft = jax.nn.one_hot(jnp.zeros(6, jnp.int32), 5)
    for labels in (jnp.zeros(6, jnp.int32), soft):
        loss, gradient = jax.value_and_grad(op.cross_entropy)(logits, labels)
        assert np.isfinite(loss)
        assert np.all(np.isfinite(gradient))


def test_huge_logits_do_not_overflow():
    np.testing.assert_allclose(op.cross_entropy(jnp.array([[1e30, 0.0]]), jnp.array([0])), 0.0)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_outside_the_classes_gives_nan_value_and_gradient(label):
    labels = LABELS.at[3].set(label)
    assert np.isnan(op.cross_entropy(LOGITS, labels))
    gradient = jax.grad(op.cross_entropy)(LOGITS, labels)
    assert np.all(np.isnan(gradient[3]))
    assert np.all(np.isfinite(gradient[:3]))


def test_bad_arguments_are_refused():
    with pytest.raises(
        CompileError, match="unknown reduction 'avg'; one of mean, sum, none"
    ) as caught:
        op.cross_entropy(LOGITS, LABELS, reduction="avg")
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="ignore_index needs integer labels"):
        op.cross_entropy(LOGITS, jnp.ones((6, 5)), ignore_index=1)
    with pytest.raises(CompileError, match="axes 'b'") as caught:
        op.cross_entropy(LOGITS, LABELS[:4])
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_mse_broadcasts_its_target():
    p = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(op.mse(p, 0.0), 7.5)
    np.testing.assert_allclose(op.mse(p, jnp.array([1.0, 2.0])), 2.0)


def test_mse_of_shapes_that_do_not_fit_is_refused():
    for prediction, target in ((jnp.ones((2, 3)), jnp.ones((2, 2))), (jnp.ones(()), jnp.ones(2))):
        with pytest.raises(CompileError, match="does not broadcast") as caught:
            op.mse(prediction, target)
        assert caught.value.code is Code.E_SHAPE_MISMATCH
    with pytest.raises(CompileError, match="no element"):
        op.mse(jnp.ones((0, 3)), 0.0)


def test_mse_of_low_precision_is_summed_in_fp32():
    assert float(op.mse(jnp.full(4096, 1.0, jnp.bfloat16), 0.0)) == 1.0


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8])
def test_labels_in_a_narrow_dtype_equal_wide_ones(dtype):
    logits = jax.random.normal(jax.random.key(2), (3, 300))
    for classes in (128, 256, 300):
        x, labels = logits[:, :classes], jnp.array([5, 0, 77])
        wide = jax.value_and_grad(op.cross_entropy)(x, labels)
        narrow = jax.value_and_grad(op.cross_entropy)(x, labels.astype(dtype))
        np.testing.assert_array_equal(narrow[0], wide[0])
        np.testing.assert_array_equal(narrow[1], wide[1])


def test_soft_labels_keep_the_dtype_of_the_logits():
    logits = LOGITS.astype(jnp.bfloat16)
    assert op.cross_entropy(logits, jax.nn.one_hot(LABELS, 5)).dtype == jnp.bfloat16
