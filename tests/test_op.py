"""`define_op` beyond the contract test: what a hand-written part replaces, and what stays derived."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import ops
from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, Residuals, define_op, registered_ops


def make(reference, dims, kinds="float"):
    """An op that stays out of the registry."""
    return Op(reference, parse(dims), kinds, reference.__name__)


def test_a_reference_alone_is_an_op_with_every_derivative():
    def cube(x):
        return x * x * x

    op = make(cube, "*b -> *b")
    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(op(x), [1.0, 8.0])
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(op)))(x), [6.0, 12.0])
    np.testing.assert_allclose(jax.jvp(op, (x,), (jnp.ones(2),))[1], [3.0, 12.0])


def test_reverse_mode_runs_the_written_backward_with_its_residuals():
    seen = []

    def scaled(x):
        return 3.0 * x

    op = make(scaled, "*b -> *b")

    @op.def_forward(saves="*b")
    def _(x):
        return 3.0 * x, x + 10.0

    @op.def_vjp
    def _(res: Residuals, ct):
        seen.append((res.operands[0].shape, res.out.shape, res.saved[0].shape))
        return (ct * res.saved[0],)  # deliberately not the true gradient: it shows which rule ran

    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(jax.grad(lambda x: op(x).sum())(x), [11.0, 12.0])
    np.testing.assert_allclose(jax.jvp(op, (x,), (jnp.ones(2),))[1], [3.0, 3.0])
    assert seen == [((2,), (2,), (2,))]


def test_several_outputs_and_integer_outputs_differentiate():
    def top(x):
        return jnp.max(x, axis=-1), jnp.argmax(x, axis=-1)

    op = make(top, "*b n -> *b, *b")

    @op.def_vjp
    def _(res: Residuals, ct):
        (x,), (_, where) = res.operands, res.out
        value_ct, index_ct = ct
        assert index_ct is None
        return (jax.nn.one_hot(where, x.shape[-1], dtype=x.dtype) * value_ct[..., None],)

    x = jnp.array([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0]])
    value, where = op(x)
    np.testing.assert_array_equal(where, [1, 0])
    np.testing.assert_allclose(jax.grad(lambda x: op(x)[0].sum())(x), [[0, 1, 0], [1, 0, 0]])
    tangents = jax.jvp(op, (x,), (2.0 * x,))[1]
    np.testing.assert_allclose(tangents[0], 2.0 * value)
    assert tangents[1].dtype == jax.dtypes.float0


def test_keys_and_integers_are_operands_without_gradient():
    def noisy(x, key, count):
        return x * count.astype(x.dtype) + jax.random.normal(key, x.shape, x.dtype)

    op = make(noisy, "n, (), () -> n", kinds=("float", "key", "integer"))
    x, key, count = jnp.ones(3), jax.random.key(0), jnp.asarray(4)
    expected = 4.0 + jax.random.normal(key, (3,))
    np.testing.assert_allclose(op(x, key, count), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(op)(x, key, count), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: op(x, key, count).sum())(x), [4.0, 4.0, 4.0])
    keys = jax.random.split(key, 2)
    batched = jax.vmap(op, (None, 0, None))(x, keys, count)
    np.testing.assert_allclose(batched[1], op(x, keys[1], count), rtol=1e-6)


def test_an_absent_output_comes_back_as_none():
    def both(x, y=None):
        return x + 1.0, None if y is None else y * 2.0

    op = make(both, "*b, [*b] -> *b, [*b]")
    first, second = op(jnp.zeros(2))
    assert second is None
    np.testing.assert_allclose(first, [1.0, 1.0])
    np.testing.assert_allclose(op(jnp.zeros(2), jnp.ones(2))[1], [2.0, 2.0])
    np.testing.assert_allclose(op(jnp.zeros(2))[0], [1.0, 1.0])


def test_batching_keeps_the_op_when_dims_absorb_the_axis():
    a, b = jnp.ones((2, 3, 4)), jnp.ones((4, 5))
    jaxpr = str(jax.make_jaxpr(jax.vmap(lambda a: ops.matmul(a, b)))(a))
    assert "tessera.matmul" in jaxpr
    assert "dot_general" not in jaxpr


def test_batching_maps_the_reference_when_dims_cannot_absorb_the_axis():
    p, t = jnp.ones((2, 3)), jnp.zeros((2, 3))
    assert "tessera.mse" not in str(jax.make_jaxpr(jax.vmap(ops.mse))(p, t))
    np.testing.assert_allclose(jax.vmap(ops.mse)(p, t), [1.0, 1.0])


def test_an_algorithm_runs_where_it_applies_and_can_be_pinned():
    def plain(x):
        return x + 0.0

    op = make(plain, "*b -> *b")
    op.def_algorithm("hundred", platforms=("cpu",), when=lambda x: x.size > 2)(lambda x: x + 100.0)
    small, large = jnp.zeros(2), jnp.zeros(3)
    np.testing.assert_allclose(op(small), 0.0)
    np.testing.assert_allclose(op(large), 100.0)
    np.testing.assert_allclose(jax.jit(op)(large), 100.0)
    np.testing.assert_allclose(op.bind(small, algorithm="hundred"), 100.0)
    np.testing.assert_allclose(op.bind(large, algorithm="reference"), 0.0)
    with pytest.raises(CompileError, match=r"'ten'.*reference, hundred"):
        op.bind(small, algorithm="ten")


def test_another_platform_gets_the_reference():
    def plain(x):
        return x + 0.0

    op = make(plain, "*b -> *b")
    op.def_algorithm("hundred", platforms=("cuda",))(lambda x: x + 100.0)
    np.testing.assert_allclose(op(jnp.zeros(3)), 0.0)


def test_an_algorithm_that_cannot_be_partitioned_leaves_sharded_work_to_the_reference():
    def plain(x):
        return x + 0.0

    op = make(plain, "*b n -> *b n")
    op.def_algorithm("hundred", platforms=("cpu",))(lambda x: x + 100.0)
    mesh = jax.make_mesh((4,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("dp")
    x = jax.device_put(jnp.zeros((4, 2)), jax.NamedSharding(mesh, spec))
    np.testing.assert_allclose(jax.jit(op)(x), 0.0)
    per_device = jax.shard_map(op, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(per_device)(x), 100.0)


def test_a_symbolic_batch_survives_export():
    batch = jax.export.symbolic_shape("b, 4")
    exported = jax.export.export(jax.jit(ops.gelu))(jax.ShapeDtypeStruct(batch, jnp.float32))
    x = jnp.linspace(-2.0, 2.0, 12).reshape(3, 4)
    np.testing.assert_allclose(exported.call(x), ops.gelu(x), rtol=1e-6)


def test_disabling_jit_runs_the_reference_step_by_step():
    with jax.disable_jit():
        np.testing.assert_allclose(ops.relu(jnp.array([-1.0, 2.0])), [0.0, 2.0])


def test_numpy_and_python_scalars_are_operands_but_float64_is_never_truncated():
    np.testing.assert_allclose(ops.relu(np.float32(-1.0)), 0.0)
    assert ops.relu(2.0).dtype == jnp.float32
    with pytest.raises(CompileError, match="float64 needs 64-bit mode") as caught:
        ops.relu(np.ones(3))
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_floats_of_two_dtypes_meet_in_the_wider_one():
    a, b = jnp.ones((2, 2), jnp.bfloat16), jnp.ones((2, 2), jnp.float32)
    assert ops.matmul(a, b).dtype == jnp.float32
    assert ops.matmul(a, a, epilogue="bias", bias=jnp.ones(2)).dtype == jnp.bfloat16


def test_the_op_is_traced_once_per_shape():
    count = 0

    def counted(x):
        nonlocal count
        count += 1
        return x * 2.0

    op = make(counted, "*b -> *b")
    for _ in range(3):
        op(jnp.ones(3))
        jax.jit(lambda x: op(op(x)))(jnp.ones(3))
    assert count <= 2


def test_a_name_is_defined_once():
    with pytest.raises(CompileError, match="'relu' is already defined"):
        define_op("*b -> *b", name="relu")(lambda x: x)
    assert len({op.name for op in registered_ops()}) == len(registered_ops())


def test_reserved_and_mismatched_definitions_are_refused():
    def extra(x, y):
        return x + y

    with pytest.raises(CompileError, match="2 operands but 1 terms"):
        make(extra, "*b -> *b")

    def taken(x, *, algorithm=None):
        return x

    with pytest.raises(CompileError, match="reserved"):
        make(taken, "*b -> *b")


def test_an_unhashable_static_argument_is_named():
    def power(x, *, exponents=()):
        return x

    with pytest.raises(CompileError, match="'exponents' is not hashable"):
        make(power, "*b -> *b").bind(jnp.ones(2), exponents=[1])


def test_a_shared_operand_and_its_tangent_are_mapped_together():
    a = jax.random.normal(jax.random.key(0), (6, 3, 4))
    b = jax.random.normal(jax.random.key(1), (4, 5))
    along = jax.random.normal(jax.random.key(2), (6, 4, 5))

    def pushed(product):
        def one(a, t):
            return jax.jvp(lambda b: product(a, b), (b,), (t,))[1]

        return jax.vmap(one)(a, along)

    np.testing.assert_allclose(pushed(ops.matmul), pushed(jnp.matmul), rtol=1e-5, atol=1e-5)


def test_a_copied_or_pickled_op_is_the_op():
    for copied in (
        copy.copy(ops.gelu),
        copy.deepcopy(ops.gelu),
        pickle.loads(pickle.dumps(ops.gelu)),
    ):
        assert copied is ops.gelu


def test_an_op_that_is_linear_in_an_operand_transposes():
    a, b, ct = jnp.ones((3, 4)), jnp.arange(20.0).reshape(4, 5), jnp.ones((3, 5))
    (transposed,) = jax.linear_transpose(lambda a: ops.matmul(a, b), a)(ct)
    np.testing.assert_allclose(transposed, ct @ b.T, rtol=1e-6)
    (spread,) = jax.linear_transpose(lambda a: ops.reduce_sum(a, 0), a)(jnp.arange(4.0))
    np.testing.assert_allclose(spread, np.broadcast_to(np.arange(4.0), (3, 4)))


def test_an_op_that_is_not_linear_does_not_transpose():
    with pytest.raises(CompileError, match="gelu: is not linear"):
        jax.linear_transpose(ops.gelu, jnp.ones(3))(jnp.ones(3))


def test_a_linear_solver_differentiates_through_a_product():
    m = 2.0 * jnp.eye(4) + jnp.triu(jnp.ones((4, 4)), 1)

    def total(b):
        return jax.scipy.sparse.linalg.gmres(lambda x: ops.matmul(m, x), b)[0].sum()

    expected = np.linalg.solve(np.asarray(m, np.float64).T, np.ones(4))
    np.testing.assert_allclose(jax.grad(total)(jnp.ones(4)), expected, rtol=1e-4)


@pytest.mark.parametrize("op", [ops.sin, lambda x: jax.grad(lambda x: ops.rmsnorm(x).sum())(x)])
def test_a_symbolic_size_that_decides_nothing_gets_the_reference(op):
    batch = jax.export.symbolic_shape("b, 4")
    exported = jax.export.export(jax.jit(op))(jax.ShapeDtypeStruct(batch, jnp.float32))
    x = jnp.linspace(-2.0, 2.0, 12).reshape(3, 4)
    np.testing.assert_allclose(exported.call(x), op(x), rtol=1e-5, atol=1e-6)


def test_numpy_integers_that_fit_are_operands_without_64_bit_mode():
    labels = np.array([0, 2])
    assert labels.dtype == np.int64
    assert np.isfinite(ops.cross_entropy(jnp.zeros((2, 3)), labels))
    with pytest.raises(CompileError, match="int64 needs 64-bit mode"):
        ops.cross_entropy(jnp.zeros((1, 3)), np.array([2**40]))


@pytest.mark.parametrize(
    "op",
    [
        ops.tanh,
        ops.sin,
        ops.softmax,
        lambda x: ops.reduce_sum(x, 1, keepdims=True) + x,
        jax.grad(lambda x: ops.rmsnorm(x).sum()),
    ],
    ids=["tanh", "sin", "softmax", "reduce_sum", "rmsnorm gradient"],
)
def test_explicit_axes_remain_beside_the_manual_ones_of_shard_map(op):
    kinds = (jax.sharding.AxisType.Explicit,) * 2
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=kinds)
    rows, both = jax.sharding.PartitionSpec("x"), jax.sharding.PartitionSpec("x", "y")
    x = jax.random.normal(jax.random.key(0), (16, 4))
    with jax.set_mesh(mesh):
        placed = jax.device_put(x, jax.NamedSharding(mesh, both))
        mapped = jax.shard_map(op, in_specs=rows, out_specs=rows, axis_names={"x"})
        result = jax.jit(mapped)(placed)
        assert jax.typeof(result).sharding.spec == both
    np.testing.assert_allclose(result, op(x), rtol=1e-5, atol=1e-6)
