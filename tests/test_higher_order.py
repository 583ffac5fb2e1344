"""`pipeline`, `recursive` and `tile_kernel`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.test_util import check_grads

from tessera.core.errors import Code, CompileError
from tessera.ops.pipeline import pipeline
from tessera.ops.recursive import recursive
from tessera.ops.tile_kernel import TileKernels, tile_kernel

X = jnp.linspace(-1.0, 2.0, 7)


NOT_A_FUNCTION: Any = 3
NOT_AN_INTEGER: Any = 2.5


def double(x):
    return 2 * x


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


# -- pipeline -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_pipeline_equals_its_stages_one_by_one(checkpoint):
    expected = np.tanh(2 * np.sin(np.asarray(X, np.float64)))
    stages = [jnp.sin, double, jnp.tanh]
    run = pipeline(stages, checkpoint=checkpoint)
    for found in (run(X), jax.jit(run)(X), pipeline([X, *stages], checkpoint=checkpoint)):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    check_grads(run, (X,), order=2, rtol=1e-2, atol=1e-2)  # float32 differences


def test_a_head_alone_is_its_value():
    assert pipeline([X]) is X
    assert float(pipeline([3.0, double])) == 6.0


def test_any_pytree_goes_through():
    swapped = pipeline([{"a": X, "b": 2 * X}, lambda t: (t["b"], t["a"])])
    np.testing.assert_array_equal(swapped[0], 2 * X)


def test_pipelines_nest():
    np.testing.assert_array_equal(pipeline([X, pipeline([double, double]), double]), 8 * X)


def test_a_compiled_pipeline_is_one_named_region():
    graph = jax.make_jaxpr(lambda x: pipeline([x, jnp.sin, jnp.cos]) + 1)(X)
    regions = [e for e in graph.eqns if e.params.get("name") == "tessera.pipeline"]
    (region,) = regions
    assert [e.primitive.name for e in region.params["jaxpr"].eqns] == ["sin", "cos"]
    assert "tessera.pipeline" in jax.jit(pipeline([jnp.sin])).lower(X).as_text()


def test_stages_may_close_over_what_is_differentiated():
    def loss(w, eager):
        return jnp.sum(pipeline([X, lambda x: x * w, jnp.square])) + 0 * eager

    for run in (jax.grad(loss), jax.jit(jax.grad(loss))):
        np.testing.assert_allclose(run(3.0, 0.0), 6 * np.sum(np.square(X)), rtol=1e-5)


def test_a_stage_that_changes_between_calls_is_seen():
    class Scale:
        factor = 1.0

        def __call__(self, x):
            return x * self.factor

    scale = Scale()
    run = pipeline([scale])
    assert float(run(jnp.float32(1))) == 1.0
    scale.factor = 5.0
    assert float(run(jnp.float32(1))) == 5.0


def test_checkpointing_stores_only_what_lies_between_stages():
    def stage(x):
        return jnp.sin(jnp.sin(jnp.sin(x)))

    def stored(run):
        backward = jax.vjp(run, X)[1]
        return sum(leaf.size for leaf in jax.tree.leaves(backward) if leaf.shape == X.shape)

    plain = pipeline([stage, stage])
    assert stored(plain.enable_gradient_checkpointing()) < stored(plain)
    assert plain.enable_gradient_checkpointing().checkpoint
    assert not plain.checkpoint


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([], "no stages"),
        ([X, double, 3.0], "stage 2"),
        ([double, X], "stage 1"),
        (["relu", double], "stage 0"),
        ([None, double], "stage 0"),
    ],
)
def test_a_pipeline_that_cannot_be_names_the_stage(stages, says):
    error = raised(lambda: pipeline(stages))
    assert error.code is Code.E_GRAPH_INVALID
    assert says in error.message


# -- recursive ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 3, 8, 9, 40])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_recursion_applies_its_function_that_many_times(depth, checkpoint):
    run = recursive(lambda y: 0.5 * y + 1, depth, checkpoint=checkpoint)
    expected = 2 + (np.asarray(X, np.float64) - 2) * 0.5**depth
    for found in (run(X), jax.jit(run)(X), jax.vmap(run)(X)):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(run)(X), 0.5**depth * np.eye(7), rtol=1e-6)
    np.testing.assert_allclose(jax.jacrev(run)(X), 0.5**depth * np.eye(7), rtol=1e-6)


def test_a_recursion_may_carry_a_pytree():
    fibonacci = recursive(lambda ab: (ab[1], ab[0] + ab[1]), depth=30)
    assert int(fibonacci((0, 1))[0]) == 832040


@pytest.mark.parametrize("bounded", [True, False])
def test_a_recursion_stops_at_the_first_value_that_satisfies(bounded):
    def run(x, depth=20):
        return recursive(double, depth, until=lambda y: y >= 10, bounded=bounded)(x)

    for x, stop in [(1.0, 16.0), (3.0, 12.0), (10.0, 10.0), (50.0, 50.0)]:
        assert float(run(x)) == stop
        assert float(jax.jit(run)(x)) == stop
        assert float(jax.jvp(run, (x,), (1.0,))[1]) == stop / x
    assert float(run(1.0, depth=2)) == 4.0
    np.testing.assert_array_equal(jax.vmap(run)(jnp.array([1.0, 3.0, 50.0])), [16.0, 12.0, 50.0])


@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_derivative_is_that_of_the_steps_taken(checkpoint):
    # One step further would divide by zero, and poison the derivative if it were taken.
    run = recursive(lambda y: y - 1 + 0 / y, 9, until=lambda y: y <= 0, checkpoint=checkpoint)
    value, slope = jax.value_and_grad(run)(3.0)
    assert (float(value), float(slope)) == (0.0, 1.0)


def test_an_unbounded_recursion_has_no_reverse_mode():
    run = recursive(double, 9, until=lambda y: y > 5, bounded=False)
    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.grad(run)(1.0)


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: recursive(NOT_A_FUNCTION, 2), Code.E_GRAPH_INVALID, "int, not a function"),
        (lambda: recursive(double, -1), Code.E_GRAPH_INVALID, "-1"),
        (lambda: recursive(double, NOT_AN_INTEGER), Code.E_GRAPH_INVALID, "2.5"),
        (lambda: recursive(double, True), Code.E_GRAPH_INVALID, "True"),
        (lambda: recursive(double, 2, until=NOT_A_FUNCTION), Code.E_GRAPH_INVALID, "until"),
        (lambda: recursive(double, 2, bounded=False), Code.E_GRAPH_INVALID, "until="),
        (
            lambda: recursive(double, 2, until=lambda y: y > 1, bounded=False, checkpoint=True),
            Code.E_GRAPH_INVALID,
            "backward",
        ),
        (lambda: recursive(double, 2, until=lambda y: y > 1)(X), Code.E_GRAPH_INVALID, "bool[7]"),
        (lambda: recursive(lambda y: y[:2], 2)(X), Code.E_SHAPE_MISMATCH, "float32[2]"),
        (lambda: recursive(lambda y: y[:2], 20)(X), Code.E_SHAPE_MISMATCH, "float32[2]"),
        (lambda: recursive(lambda y: y > 0, 1)(X), Code.E_SHAPE_MISMATCH, "bool[7]"),
        (lambda: recursive(lambda y: (y, y), 1)(X), Code.E_SHAPE_MISMATCH, "float32[7]"),
    ],
)
def test_a_recursion_that_cannot_be_says_why(call, code, says):
    error = raised(call)
    assert error.code is code
    assert says in error.message


# -- tile_kernel --------------------------------------------------------------------------------------


def test_predicate_eval_is_a_degree_of_truth():
    x = np.linspace(-30, 30, 101)
    found = tile_kernel("predicate_eval", input=x.astype(np.float32), k=2.0, theta=0.5)
    expected = scipy.special.expit(2 * (x.astype(np.float32).astype(np.float64) - 0.5))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.all((found >= 0) & (found <= 1))


def test_a_boolean_predicate_passes_through():
    found = tile_kernel("predicate_eval", input=np.array([True, False]))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, [1.0, 0.0])
    assert float(tile_kernel("predicate_eval", input=np.int32(0))) == 0.5


def test_predicate_eval_keeps_its_dtype_and_differentiates_its_parameters():
    assert tile_kernel("predicate_eval", input=X.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    evaluate = functools.partial(tile_kernel, "predicate_eval")
    check_grads(
        lambda x, k, theta: evaluate(input=x, k=k, theta=theta),
        (X, 1.5, 0.25),
        order=2,
        rtol=1e-2,  # float32 differences
        atol=1e-2,
    )


def test_an_unknown_kernel_lists_the_known_ones():
    error = raised(lambda: tile_kernel("no_such_kernel", x=X))
    assert error.code is Code.E_GRAPH_INVALID
    assert "no_such_kernel" in error.message
    assert "predicate_eval" in error.message


def test_an_implementation_gives_the_value_and_the_reference_the_derivatives():
    kernels = TileKernels()
    kernels.register("cube", reference=lambda x: x**3, impl=lambda x: x * x * x + 1)
    run = functools.partial(kernels, "cube")
    np.testing.assert_allclose(run(x=X), np.asarray(X) ** 3 + 1, rtol=1e-6)
    slope = 3 * np.asarray(X) ** 2
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda x: run(x=x)))(X), slope, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(lambda x: run(x=x), (X,), (X,))[1], slope * X, rtol=1e-6)
    second = jax.vmap(jax.grad(jax.grad(lambda x: run(x=x))))(X)
    np.testing.assert_allclose(second, 6 * np.asarray(X), rtol=1e-6)


def test_a_kernel_may_bring_its_backward():
    kernels = TileKernels()
    kernels.register(
        "scaled",
        reference=lambda x, by: x * by,
        vjp=lambda arrays, ct: {"x": 10 * ct, "by": arrays["x"] * ct},
    )
    slopes = jax.grad(lambda x, by: kernels("scaled", x=x, by=by), argnums=(0, 1))(2.0, 3.0)
    assert tuple(map(float, slopes)) == (10.0, 2.0)


def test_a_promised_type_is_kept():
    kernels = TileKernels()
    types = {"right": (7,), "wrong": (8,)}
    for name, shape in types.items():
        promise = jax.ShapeDtypeStruct(shape, jnp.float32)
        kernels.register(name, reference=double, abstract=lambda x, promise=promise: promise)
    np.testing.assert_array_equal(kernels("right", x=X), 2 * X)
    error = raised(lambda: kernels("wrong", x=X))
    assert error.code is Code.E_SHAPE_MISMATCH


def test_a_name_stands_for_one_kernel():
    kernels = TileKernels()
    kernels.register("double", reference=double)
    kernels.register("double", reference=double)
    error = raised(lambda: kernels.register("double", reference=lambda x: 3 * x))
    assert error.code is Code.E_GRAPH_INVALID
    assert "registered already" in error.message


@pytest.mark.parametrize("given", [{"reference": None}, {"reference": double, "impl": 3}])
def test_a_kernel_is_made_of_functions(given):
    error = raised(lambda: TileKernels().register("bad", **given))
    assert error.code is Code.E_GRAPH_INVALID


def test_an_argument_must_be_an_array():
    assert raised(lambda: tile_kernel("predicate_eval", input="x")).code is Code.E_GRAPH_INVALID


def test_an_implementation_of_another_shape_than_its_reference_is_refused():
    kernels = TileKernels()
    kernels.register("short", reference=lambda x: x, impl=lambda x: x[:1])
    with pytest.raises(CompileError, match="impl of 'short' gives"):
        kernels("short", x=jnp.ones(3))
