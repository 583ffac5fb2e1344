"""Kernels: results assigned to arguments of every kind, pure underneath."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import graph, op
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import tolerance

RTOL, ATOL = tolerance(jnp.float32)


@graph.kernel
def gemm(A, B, C):
    C[:] = op.matmul(A, B)


@graph.kernel
def statistics(x, mean, spread):
    mean[...] = x.mean(0)
    spread[:] = jnp.sqrt(((x - mean[...][None]) ** 2).mean(0))


@graph.kernel
def accumulate(x, total):
    total[:] += x


def operands(seed=0):
    a, b = jax.random.split(jax.random.key(seed))
    return jax.random.normal(a, (5, 3)), jax.random.normal(b, (3, 7))


def exact(A, B):
    return np.asarray(A, np.float64) @ np.asarray(B, np.float64)


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


# -- what an output may be ----------------------------------------------------------------------------


def test_a_plain_array_is_a_template_and_keeps_its_contents():
    A, B = operands()
    C = jnp.full((5, 7), 3.0)
    np.testing.assert_allclose(gemm(A, B, C), exact(A, B), RTOL, ATOL)
    assert (C == 3).all()


def test_a_template_is_noted_once_for_a_line_of_the_program(caplog):
    A, B = operands()
    with caplog.at_level(logging.INFO, "tessera.graph"):
        for _ in range(3):
            gemm(A, B, jnp.zeros((5, 7)))
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert "template" in caplog.text
    assert __file__ in caplog.text


def test_a_type_is_enough_and_is_not_noted(caplog):
    A, B = operands()
    with caplog.at_level(logging.INFO, "tessera.graph"):
        value = gemm(A, B, jax.ShapeDtypeStruct((5, 7), jnp.float32))
    np.testing.assert_allclose(value, exact(A, B), RTOL, ATOL)
    assert not caplog.records


def test_a_reference_is_written():
    A, B = operands()
    C = jax.new_ref(jnp.zeros((5, 7)))
    value = gemm(A, B, C)
    np.testing.assert_array_equal(value, C[...])
    np.testing.assert_allclose(value, exact(A, B), RTOL, ATOL)


def test_a_numpy_buffer_is_written():
    A, B = operands()
    C = np.zeros((5, 7), np.float32)
    value = gemm(A, B, C)
    np.testing.assert_array_equal(value, C)
    np.testing.assert_allclose(C, exact(A, B), RTOL, ATOL)


def test_numpy_inputs_stay_inputs():
    A, B = (np.asarray(x) for x in operands())
    np.testing.assert_allclose(gemm(A, B, np.zeros((5, 7), np.float32)), exact(A, B), RTOL, ATOL)
    np.testing.assert_array_equal(A, operands()[0])


def test_several_outputs_come_in_the_order_of_the_parameters_and_can_be_read_back():
    x = operands()[0]
    like = jax.ShapeDtypeStruct((3,), jnp.float32)
    mean, spread = statistics(x, like, like)
    np.testing.assert_allclose(mean, np.mean(np.asarray(x, np.float64), 0), RTOL, ATOL)
    np.testing.assert_allclose(spread, np.std(np.asarray(x, np.float64), 0), RTOL, ATOL)


def test_the_order_of_results_is_not_that_of_the_alphabet():
    @graph.kernel
    def swapped(x, z, a):
        a[:] = x
        z[:] = -x

    like = jax.ShapeDtypeStruct((2,), jnp.float32)
    z, a = swapped(jnp.ones(2), like, like)
    assert (z == -1).all()
    assert (a == 1).all()


@pytest.mark.parametrize("make", [lambda: np.ones(3, np.float32), lambda: jax.new_ref(jnp.ones(3))])
def test_contents_of_references_and_buffers_can_be_accumulated(make):
    total = make()
    for _ in range(3):
        accumulate(jnp.arange(3.0), total)
    np.testing.assert_array_equal(total[...], [1.0, 4.0, 7.0])


def test_part_of_an_output_may_be_written():
    @graph.kernel
    def borders(x, y):
        y[0] = x[0]
        y[-1, 1:] = x[-1, 1:]

    x = jnp.arange(12.0).reshape(4, 3)
    expected = np.zeros((4, 3), np.float32)
    expected[0], expected[-1, 1:] = x[0], x[-1, 1:]
    np.testing.assert_array_equal(borders(x, jax.ShapeDtypeStruct(x.shape, x.dtype)), expected)
    kept = np.full((4, 3), 9.0, np.float32)
    borders(x, kept)
    expected[1:-1], expected[-1, 0] = 9, 9
    np.testing.assert_array_equal(kept, expected)


def test_an_index_may_be_traced():
    @graph.kernel
    def put(x, i, y):
        y[i] = x

    y = np.zeros((4, 2), np.float32)
    for i in range(4):
        put(jnp.full(2, float(i)), jnp.array(i), y)
    np.testing.assert_array_equal(y, np.arange(4.0)[:, None] * np.ones(2))
    assert put.trace_count == 1


def test_a_number_fills_what_it_is_assigned_to():
    @graph.kernel
    def constants(x, y):
        y[:] = 1
        y[0] = 2.5

    result = constants(jnp.zeros(1), jax.ShapeDtypeStruct((3,), jnp.bfloat16))
    assert result.dtype == jnp.bfloat16
    assert result.tolist() == [2.5, 1.0, 1.0]


def test_a_kernel_may_take_pytrees_numbers_and_static_arguments():
    @graph.kernel(static_argnames="axis")
    def total(tree, alpha, y, axis=0):
        y[:] = alpha * (tree["a"] + tree["b"]).sum(axis)

    x = operands()[0]
    for axis, size in ((0, 3), (1, 5)):
        like = jax.ShapeDtypeStruct((size,), jnp.float32)
        value = total({"a": x, "b": x}, 0.5, like, axis=axis)
        np.testing.assert_allclose(value, np.sum(np.asarray(x, np.float64), axis), RTOL, ATOL)


def test_outputs_can_be_named_where_another_function_assigns():
    def fill(target, value):
        target[:] = value

    @graph.kernel(outputs=["y"])
    def indirect(x, y):
        fill(y, 2 * x)

    assert indirect(jnp.arange(3), jnp.zeros(3, jnp.int32)).tolist() == [0, 2, 4]


# -- transformations ----------------------------------------------------------------------------------


def test_a_kernel_has_the_derivatives_of_the_function_it_is():
    A, B = operands()
    C = jnp.zeros((5, 7))
    gradient = jax.grad(lambda A: (gemm(A, B, C) ** 2).sum())(A)
    expected = 2 * exact(A, B) @ np.asarray(B, np.float64).T
    np.testing.assert_allclose(gradient, expected, RTOL, 10 * ATOL)  # sums of 7 products of size 10
    _, tangent = jax.jvp(lambda A: gemm(A, B, C), (A,), (A,))
    np.testing.assert_allclose(tangent, exact(A, B), RTOL, ATOL)


def test_the_gradient_of_a_template_is_zero():
    A, B = operands()
    assert not jax.grad(lambda C: gemm(A, B, C).sum())(jnp.ones((5, 7))).any()


def test_second_derivatives_pass_through_a_kernel():
    @graph.kernel
    def cube(x, y):
        y[:] = x**3

    like = jax.ShapeDtypeStruct((3,), jnp.float32)
    x = jnp.array([1.0, 2.0, 3.0])
    hessian = jax.hessian(lambda x: cube(x, like).sum())(x)
    np.testing.assert_allclose(hessian, np.diag(6.0 * np.asarray(x, np.float64)), RTOL, ATOL)


def test_a_kernel_runs_under_jit_and_vmap():
    A, B = operands()
    C = jnp.zeros((5, 7))
    np.testing.assert_allclose(jax.jit(gemm)(A, B, C), exact(A, B), RTOL, ATOL)
    many = jax.vmap(gemm, in_axes=(0, None, None))(jnp.stack([A, 2 * A]), B, C)
    np.testing.assert_allclose(many, np.stack([exact(A, B), exact(2 * A, B)]), RTOL, ATOL)


def test_a_reference_is_written_under_jit():
    A, B = operands()
    C = jax.new_ref(jnp.zeros((5, 7)))
    jax.jit(gemm)(A, B, C)
    np.testing.assert_allclose(C[...], exact(A, B), RTOL, ATOL)


def test_calls_of_one_signature_are_traced_once():
    @graph.kernel
    def double(x, y):
        y[:] = 2 * x

    for size in (3, 3, 4, 3):
        double(jnp.ones(size), jax.ShapeDtypeStruct((size,), jnp.float32))
    assert double.trace_count == 2


# -- levels -------------------------------------------------------------------------------------------


def test_the_graph_of_gemm_is_one_matmul():
    A, B = operands()
    gemm(A, B, jnp.zeros((5, 7)))
    assert gemm.inspect("graph").count("tessera.graph.matmul") == 1
    types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((8, 4), (4, 6), (8, 6))]
    text = gemm.inspect("graph", *types)
    assert text.count("tessera.graph.matmul") == 1
    assert "tensor<8x6xf32>" in text
    assert "@gemm(%A: tensor<8x4xf32>, %B: tensor<4x6xf32>)" in text


def test_without_a_call_there_is_nothing_to_inspect():
    @graph.kernel
    def untouched(x, y):
        y[:] = x

    assert raised(lambda: untouched.inspect("graph")).code is Code.E_GRAPH_INVALID


# -- what cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (7, 5), (5,), (5, 7, 1), ()])
def test_an_output_of_another_shape_names_both(shape):
    A, B = operands()
    error = raised(lambda: gemm(A, B, jnp.zeros(shape)))
    assert error.code is Code.E_SHAPE_MISMATCH
    assert f"float32[{','.join(map(str, shape))}]" in error.message
    assert "float32[5,7]" in error.message


def test_an_output_of_another_dtype_names_both():
    A, B = operands()
    error = raised(lambda: gemm(A, B, jax.ShapeDtypeStruct((5, 7), jnp.bfloat16)))
    assert error.code is Code.E_SHAPE_MISMATCH
    assert "bfloat16[5,7]" in error.message
    assert "float32[5,7]" in error.message


def test_a_64_bit_buffer_needs_64_bit_mode():
    A, B = operands()
    error = raised(lambda: gemm(A, B, np.zeros((5, 7))))
    assert error.code is Code.E_TARGET_CODEGEN
    assert "jax_enable_x64" in str(error)


def test_a_64_bit_buffer_is_written_in_64_bit_mode(x64):
    A = np.random.default_rng(0).normal(size=(5, 3))
    B, C = A.T.copy(), np.zeros((5, 5))
    gemm(A, B, C)
    np.testing.assert_allclose(C, A @ A.T, *tolerance(jnp.float64))


def test_a_kernel_that_assigns_nothing_says_so():
    @graph.kernel
    def idle(x, y):
        pass

    error = raised(lambda: idle(jnp.ones(2), jnp.ones(2)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "no argument is assigned" in error.message


def test_a_type_that_is_never_assigned_says_so():
    @graph.kernel
    def one_of_two(x, y, z):
        y[:] = x

    like = jax.ShapeDtypeStruct((2,), jnp.float32)
    error = raised(lambda: one_of_two(jnp.ones(2), like, like))
    assert error.code is Code.E_GRAPH_INVALID
    assert "'z'" in error.message


def test_an_output_read_before_it_is_written_says_so():
    for output in (jax.ShapeDtypeStruct((2,), jnp.float32), jnp.ones(2)):
        error = raised(lambda output=output: accumulate(jnp.ones(2), output))
        assert error.code is Code.E_GRAPH_INVALID
        assert "'total' is read before it is written" in error.message


def test_a_body_that_returns_says_that_kernels_assign():
    @graph.kernel
    def returns(x, y):
        y[:] = x
        return x

    error = raised(lambda: returns(jnp.ones(2), jnp.ones(2)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "graph.module" in str(error)


def test_a_read_only_buffer_says_so():
    A, B = operands()
    C = np.zeros((5, 7), np.float32)
    C.flags.writeable = False
    assert "read-only" in raised(lambda: gemm(A, B, C)).message


def test_a_buffer_cannot_be_written_under_jit():
    A, B = operands()
    C = np.zeros((5, 7), np.float32)
    error = raised(lambda: jax.jit(lambda A: gemm(A, B, C))(A))
    assert error.code is Code.E_GRAPH_INVALID
    assert "under jit" in error.message


@pytest.mark.parametrize("value", [1.5, 1j, 300, -1])
def test_a_number_of_another_kind_or_range_is_refused(value):
    @graph.kernel
    def fill(x, y):
        y[:] = value

    error = raised(lambda: fill(jnp.ones(1), jax.ShapeDtypeStruct((2,), jnp.uint8)))
    assert error.code is Code.E_SHAPE_MISMATCH


def test_an_index_out_of_range_is_an_index_error():
    @graph.kernel
    def beyond(x, y):
        y[5] = x

    with pytest.raises(IndexError):
        beyond(jnp.float32(1), jax.ShapeDtypeStruct((2,), jnp.float32))


def test_an_assignment_inside_a_loop_is_refused():
    @graph.kernel
    def looped(x, y):
        y[:] = x

        def body(i, carry):
            y[i] = carry
            return carry

        jax.lax.fori_loop(0, 3, body, jnp.float32(1))

    error = raised(lambda: looped(jnp.ones(3), jnp.ones(3)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "fori_loop" in str(error)


@pytest.mark.parametrize("suffix", [".dot", ".json"])
def test_a_kernel_is_exported(tmp_path, suffix):
    A, B = operands()
    like = jax.ShapeDtypeStruct((5, 7), jnp.float32)
    text = gemm.export(tmp_path / f"gemm{suffix}", A, B, like).read_text()
    assert "matmul" in text


@pytest.mark.parametrize("keyword", ["outputs", "static_argnames"])
def test_an_unknown_parameter_name_is_refused(keyword):
    error = raised(lambda: graph.kernel(**{keyword: ["D"]})(lambda A, B: None))
    assert error.code is Code.E_GRAPH_INVALID
    assert "'D'" in error.message


def test_only_functions_are_kernels():
    assert raised(lambda: graph.kernel(3)).code is Code.E_GRAPH_INVALID
