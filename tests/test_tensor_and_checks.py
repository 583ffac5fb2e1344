"""`op.cast`, `op.copy`, `op.assert_shape`, `op.check_numerics` and `op.tensor`."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import dist, op
from tessera.core.errors import Code, CompileError, LaunchError, NumericsError

X = np.random.default_rng(2).normal(size=(3, 16, 5)).astype(np.float32)


def refused(call, code, says, kind=CompileError):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code is code
    assert says in str(caught.value)


# -- cast and copy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "bool", "complex64"]
)
def test_casts_round_as_numpy_does(word):
    x = np.float32([0.0, 1.5, -2.7, 100.0, 3.14159])
    found = op.cast(x, word)
    expected = x.astype(found.dtype)
    assert np.asarray(found).tobytes() == expected.tobytes()


def test_a_dtype_may_be_a_word_or_an_object_and_the_gradient_is_cast_back():
    assert op.cast(X, jnp.bfloat16).dtype == op.cast(X, "bf16").dtype == jnp.bfloat16
    gradient = jax.grad(lambda v: jnp.sum(op.cast(v, "bf16") * 3).astype(jnp.float32))(X)
    assert gradient.dtype == jnp.float32
    assert np.all(np.asarray(gradient) == 3)


def test_casts_that_lose_without_saying_so_are_refused(x64):
    refused(lambda: op.cast(X, "fp12"), Code.E_GRAPH_INVALID, "unknown dtype 'fp12'")
    refused(lambda: op.cast(X, None), Code.E_GRAPH_INVALID, "unknown dtype None")
    refused(lambda: op.cast(1j * X, "fp32"), Code.E_GRAPH_INVALID, "imaginary part")
    with jax.enable_x64(False):
        refused(lambda: op.cast(X, "fp64"), Code.E_TARGET_CODEGEN, "jax_enable_x64")


def test_a_copy_outlives_its_original():
    tree = {"w": jnp.arange(3.0), "layers": [np.ones(2), "relu", 3, None]}
    twin = op.copy(tree)
    assert jax.tree.structure(twin) == jax.tree.structure(tree)
    tree["layers"][0][0] = 7.0
    tree["w"].delete()
    assert twin["w"].tolist() == [0.0, 1.0, 2.0]
    assert twin["layers"][0].tolist() == [1.0, 1.0]
    assert twin["layers"][1:] == ["relu", 3, None]


def test_a_module_is_copied_and_the_copy_is_differentiable():
    equinox = pytest.importorskip("equinox")
    layer = equinox.nn.Linear(2, 3, key=jax.random.key(0))
    twin = op.copy(layer)
    assert twin.weight is not layer.weight
    assert np.array_equal(twin.weight, layer.weight)
    assert jax.grad(lambda w: jnp.sum(op.copy({"w": w})["w"] ** 2))(3.0) == 6.0


# -- checks -------------------------------------------------------------------------------------------------


def test_shapes_that_hold_pass_the_array_through():
    a, b = jnp.zeros((2, 3, 4)), jnp.zeros((4, 5))
    for spec in ("b n d", "*b 4", "2 3 4", "*b", (2, None, "d"), (2, 3, 4)):
        assert op.assert_shape(a, spec) is a
    assert op.assert_shape([a, b], "*b k, k n")[1] is b
    assert op.assert_shape(jnp.zeros(()), ()).shape == ()
    assert op.assert_shape(jnp.zeros(()), "()").shape == ()


@pytest.mark.parametrize(
    ("x", "spec", "says"),
    [
        ((2, 3), "n n", "axis 'n' is 2 in argument 'x' but 3 in argument 'x'. Wanted: n n."),
        ((2, 3), "n 4", "an axis of 'x' is 3 but must be 4"),
        ((2, 3), "n", "of rank 2"),
        ((2, 3), (2, 3, None), "of rank 2"),
        ((), "*b n", "of rank 0"),
    ],
)
def test_a_shape_that_does_not_hold_is_an_error_when_traced(x, spec, says):
    refused(lambda: op.assert_shape(jnp.zeros(x), spec), Code.E_SHAPE_MISMATCH, says)
    traced = jax.jit(lambda v: op.assert_shape(v, spec))
    refused(lambda: traced.lower(jnp.zeros(x)), Code.E_SHAPE_MISMATCH, "assert_shape")


def test_shapes_of_several_arrays_share_names():
    pair = [jnp.zeros((2, 3)), jnp.zeros((4, 5))]
    refused(
        lambda: op.assert_shape(pair, "m k, k n"),
        Code.E_SHAPE_MISMATCH,
        "'k' is 3 in argument 'x[0]' but 4 in argument 'x[1]'",
    )
    refused(lambda: op.assert_shape(pair, "m k"), Code.E_GRAPH_INVALID, "1 terms for 2 arrays")
    refused(lambda: op.assert_shape(pair[0], "*a *b"), Code.E_GRAPH_INVALID, "at most one *b")
    refused(lambda: op.assert_shape(pair[0], "[m k]"), Code.E_GRAPH_INVALID, "names, sizes")
    refused(lambda: op.assert_shape(pair[0], "m $"), Code.E_GRAPH_INVALID, "is not an axis")


def test_finite_values_pass_through_and_others_are_named():
    good, bad = jnp.ones(2), jnp.array([jnp.nan, jnp.inf, 1.0])
    assert op.check_numerics(good) is good
    tree = {"a": [good, 3, "text"], "n": jnp.array([1, 2])}
    assert op.check_numerics(tree) is tree
    refused(
        lambda: op.check_numerics(bad), Code.E_NAN_INF, "x of shape (3,) has 1 NaN", NumericsError
    )
    refused(lambda: op.check_numerics([good, bad]), Code.E_NAN_INF, "x[1]", NumericsError)
    refused(lambda: op.check_numerics({"w": bad}), Code.E_NAN_INF, "x['w']", NumericsError)
    half = jnp.array([jnp.inf], jnp.bfloat16)
    refused(lambda: op.check_numerics(half), Code.E_NAN_INF, "1 infinite", NumericsError)
    refused(
        lambda: op.check_numerics(bad.astype("complex64")),
        Code.E_NAN_INF,
        "x of shape (3,)",
        NumericsError,
    )
    assert op.check_numerics(jnp.ones((0,))).shape == (0,)


def test_the_check_runs_when_a_compiled_program_runs():
    @jax.jit
    def run(x):
        return jnp.sum(op.check_numerics([x, jnp.log(x)])[1])

    assert run(jnp.ones(2)) == 0.0
    with pytest.raises(
        Exception, match=r"x\[1\] of shape \(2,\) has 0 NaN and 1 infinite"
    ) as caught:
        jax.block_until_ready(run(jnp.array([1.0, 0.0])))
    assert "E_NAN_INF" in str(caught.value)


def test_the_check_does_not_stand_in_the_way_of_derivatives_and_batches():
    def loss(x):
        return jnp.sum(op.check_numerics(x) ** 2)

    assert jax.grad(loss)(jnp.ones(2)).tolist() == [2.0, 2.0]
    assert jax.vmap(loss)(jnp.ones((3, 2))).tolist() == [2.0, 2.0, 2.0]
    assert jax.jit(jax.hessian(loss))(jnp.ones(2)).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    jax.effects_barrier()


# -- tensor -------------------------------------------------------------------------------------------------


def test_a_tuple_is_a_shape_and_a_list_is_data():
    zeros = op.tensor((2, 3))
    assert zeros.shape == (2, 3)
    assert zeros.dtype == jnp.float32
    assert not np.any(zeros)
    assert op.tensor(()).shape == ()
    assert op.tensor((np.int64(2),), dtype="bf16").dtype == jnp.bfloat16
    data = op.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert data.dtype == jnp.float32
    assert data.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert op.tensor([1, 2]).dtype == jnp.int32
    assert op.tensor([1j]).dtype == jnp.complex64
    assert op.tensor([True]).dtype == jnp.bool_
    assert op.tensor([]).shape == (0,)


def test_arrays_keep_their_dtype_and_nothing_is_truncated(x64):
    assert op.tensor(np.ones(2)).dtype == jnp.float64
    assert op.tensor(jnp.ones(2, jnp.float16)).dtype == jnp.float16
    assert op.tensor([1.0]).dtype == jnp.float32
    assert op.tensor(np.ones(2), dtype="fp16").dtype == jnp.float16
    with jax.enable_x64(False):
        refused(lambda: op.tensor(np.ones(2)), Code.E_TARGET_CODEGEN, "float64")
        refused(lambda: op.tensor((2,), dtype="fp64"), Code.E_TARGET_CODEGEN, "jax_enable_x64")


def test_a_tensor_goes_to_a_device_or_over_a_mesh():
    for device in (jax.devices()[3], "cpu:3"):
        assert op.tensor((2,), device=device).devices() == {jax.devices()[3]}
    assert op.tensor((2,), device="cpu").devices() == {jax.devices()[0]}
    rows = dist.ShardSpec(("row",), ("dp",))
    with dist.Mesh(axes=["dp"], devices=range(4)):
        spread = op.tensor((8, 2), layout=rows)
        assert spread.sharding.spec[0] == "dp"
        assert op.tensor([1.0, 2.0, 3.0, 4.0], layout="sharded").sharding.spec[0] == "dp"
        both = {"layout": rows, "device": "cpu"}
        refused(lambda: op.tensor((8, 2), **both), Code.E_GRAPH_INVALID, "both a device")
        code = Code.E_LAUNCH_BAD_LAYOUT
        refused(lambda: op.tensor((8,), layout=("pp",)), code, "'pp'", LaunchError)
    for word in ("row_major", "col_major", "nhwc", "nchw"):
        assert op.tensor((1, 2, 2, 1), layout=word).shape == (1, 2, 2, 1)


def test_requires_grad_is_noted_once_and_has_no_effect(caplog):
    caplog.set_level(logging.INFO, "tessera.op")
    for _ in range(2):
        assert op.tensor((2,), requires_grad=True).tolist() == [0.0, 0.0]
    assert len(caplog.records) == 1
    assert "requires_grad has no effect" in caplog.text


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.tensor((2, -1)), Code.E_GRAPH_INVALID, "negative size"),
        (lambda: op.tensor((2.0, 3.0)), Code.E_GRAPH_INVALID, "not an integer"),
        (lambda: op.tensor([[1.0], [1.0, 2.0]]), Code.E_GRAPH_INVALID, "no array of numbers"),
        (lambda: op.tensor(["a"]), Code.E_GRAPH_INVALID, "is no data"),
        (lambda: op.tensor("ones"), Code.E_GRAPH_INVALID, "is a str, not an array"),
        (lambda: op.tensor([1j], dtype="fp32"), Code.E_GRAPH_INVALID, "imaginary part"),
        (lambda: op.tensor((2,), dtype="f33"), Code.E_GRAPH_INVALID, "unknown dtype"),
        (lambda: op.tensor((2,), layout="blocked"), Code.E_GRAPH_INVALID, "unknown layout"),
        (lambda: op.tensor((2,), device="cpu:99"), Code.E_GRAPH_INVALID, "unknown device 'cpu:99'"),
        (lambda: op.tensor((2,), device="abacus"), Code.E_GRAPH_INVALID, "cpu:0"),
    ],
)
def test_tensors_that_cannot_be_are_refused(call, code, says):
    refused(call, code, says)
