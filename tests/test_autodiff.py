"""`tessera.autodiff`, and what `op.grad` is for functions: transforms, adjoints, gradients by rule."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import autodiff, graph, op, pde
from tessera.core.errors import Code, CompileError

KEYS = jax.random.split(jax.random.key(0), 4)
A = jax.random.normal(KEYS[0], (3, 4))
B = jax.random.normal(KEYS[1], (4, 5))
DC = jax.random.normal(KEYS[2], (3, 5))


def energy(w, x, scale=1.0):
    return jnp.sum(jnp.tanh(w @ x) ** 2) * scale


def raised(call, code: Code) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code, caught.value
    return caught.value


@pytest.mark.parametrize("which", [0, 1, -1, "w", "x", (0, 1), ("x", "w"), (1, "w")])
def test_the_gradient_is_that_of_jax_by_number_and_by_name(which):
    numbers = {"w": 0, "x": 1, -1: 1}
    given = tuple(numbers.get(k, k) for k in which) if isinstance(which, tuple) else which
    expected = jax.grad(energy, numbers.get(given, given))(A, B)
    for make in (autodiff.grad, lambda f, k: op.grad(f, wrt=k), lambda f, k: op.grad(f, k)):
        jax.tree.map(np.testing.assert_array_equal, make(energy, which)(A, B), expected)


def test_an_argument_may_be_given_by_name():
    expected = jax.grad(energy)(A, B, 2.0)
    np.testing.assert_array_equal(op.grad(energy, wrt="w")(w=A, x=B, scale=2.0), expected)
    slope = autodiff.grad(energy, "scale")(A, B, scale=2.0)
    np.testing.assert_allclose(slope, energy(A, B), rtol=1e-6)


def test_autodiff_gives_value_and_gradient():
    value, gradient = op.autodiff(energy)(A, B)
    np.testing.assert_array_equal(value, energy(A, B))
    np.testing.assert_array_equal(gradient, jax.grad(energy)(A, B))
    assert op.autodiff is autodiff.value_and_grad
    assert (op.jvp, op.vjp, op.adjoint) == (autodiff.jvp, autodiff.vjp, autodiff.adjoint)


def test_what_is_no_number_has_no_gradient():
    model = {"w": A, "step": 3, "seen": jnp.arange(2), "act": jnp.tanh, "rate": 0.5, "on": True}

    def loss(m, x):
        return jnp.sum(m["act"](m["w"] @ x)) * m["rate"] * m["step"]

    gradient = op.grad(loss)(model, B)
    expected = jax.grad(lambda w: jnp.sum(jnp.tanh(w @ B)) * 1.5)(A)
    np.testing.assert_allclose(gradient["w"], expected, rtol=1e-6)
    assert [k for k, g in gradient.items() if g is None] == ["act", "on", "seen", "step"]
    np.testing.assert_allclose(gradient["rate"], jnp.sum(jnp.tanh(A @ B)) * 3, rtol=1e-5)


def test_equinox_modules_are_differentiated_and_moved_along():
    model = eqx.nn.MLP(4, 2, 8, 1, key=KEYS[3])
    loss = lambda m, x: jnp.sum(m(x) ** 2)  # noqa: E731
    gradient = op.grad(loss)(model, A[0])
    expected = eqx.filter_grad(loss)(model, A[0])
    np.testing.assert_array_equal(gradient.layers[0].weight, expected.layers[0].weight)
    _, along = op.jvp(loss, (model, A[0]), (gradient, None))
    squares = [jnp.sum(g * g) for g in jax.tree.leaves(gradient)]
    np.testing.assert_allclose(along, sum(squares), rtol=1e-5)


def test_reverse_takes_one_input_or_several():
    np.testing.assert_array_equal(
        autodiff.reverse(lambda w: energy(w, B), inputs=A), jax.grad(energy)(A, B)
    )
    found = autodiff.reverse(energy, inputs=(A, B))
    jax.tree.map(np.testing.assert_array_equal, found, jax.grad(energy, (0, 1))(A, B))


def test_forward_and_jvp_push_along_a_direction():
    y, dy = autodiff.forward(jnp.sin, x=A)
    np.testing.assert_array_equal(y, jnp.sin(A))
    np.testing.assert_allclose(dy, jnp.cos(A), rtol=1e-6)
    y, dy = op.jvp(energy, (A, B), (A, None))
    expected = jax.jvp(lambda w: energy(w, B), (A,), (A,))
    np.testing.assert_allclose((y, dy), expected, rtol=1e-6)
    np.testing.assert_array_equal(dy, graph.jvp(lambda w: energy(w, B), A, A)[1])
    np.testing.assert_array_equal(op.jvp(jnp.square, 3.0, 1.0), (9.0, 6.0))


def test_vjp_gives_a_pullback_or_its_value():
    y, pullback = op.vjp(op.matmul, (A, B))
    np.testing.assert_array_equal(y, op.matmul(A, B))
    for dA, dB in (pullback(DC), op.vjp(op.matmul, (A, B), DC)):
        np.testing.assert_allclose(dA, DC @ B.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(dB, A.T @ DC, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(op.vjp(jnp.sin, A, A), jnp.cos(A) * A, rtol=1e-5)


def test_forward_and_reverse_are_transposes_of_each_other():
    tangents = (jnp.ones_like(A), B)
    along = op.jvp(op.matmul, (A, B), tangents)[1]
    back = op.vjp(op.matmul, (A, B), DC)
    expected = sum(jnp.vdot(t, g) for t, g in zip(tangents, back, strict=True))
    np.testing.assert_allclose(jnp.vdot(along, DC), expected, rtol=1e-5)


def test_a_hessian_product_is_the_jvp_of_a_gradient():
    loss = lambda w: energy(w, B)  # noqa: E731
    v = jnp.cos(A)
    _, product = op.jvp(op.grad(loss), A, v)
    np.testing.assert_allclose(product, graph.hvp(loss, A, v), rtol=1e-5, atol=1e-6)
    hessian = jax.hessian(loss)(A).reshape(12, 12)
    np.testing.assert_allclose(product.ravel(), hessian @ v.ravel(), rtol=1e-4, atol=1e-5)


ADJOINTS = {
    "matmul": (op.matmul, (A, B), {}),
    "softmax": (op.softmax, (A,), {}),
    "rmsnorm": (op.rmsnorm, (A,), {}),
    "gelu": (op.gelu, (A,), {}),
    "reduce_sum": (op.reduce_sum, (A,), {"axis": 0}),
    "gather": (op.gather, (A, jnp.array([0, 2, 2])), {}),
    "spectral": (lambda x: jnp.real(op.fft(x)), (A,), {}),
}


@pytest.mark.parametrize("name", ADJOINTS)
def test_the_adjoint_of_an_operator_is_its_transposed_derivative(name):
    f, inputs, options = ADJOINTS[name]
    y = f(*inputs, **options)
    ct = jax.random.normal(KEYS[3], y.shape)
    found = op.adjoint(f)(*inputs, ct, **options)
    gradients = found if len(inputs) > 1 else (found,)
    directions = [jnp.cos(x) if jnp.issubdtype(x.dtype, jnp.inexact) else None for x in inputs]
    along = op.jvp(lambda *x: f(*x, **options), inputs, tuple(directions))[1]
    terms = [jnp.vdot(g, d) for g, d in zip(gradients, directions, strict=True) if d is not None]
    np.testing.assert_allclose(jnp.vdot(ct, along), sum(terms), rtol=1e-4, atol=1e-5)
    assert [g is None for g in gradients] == [d is None for d in directions]


def test_an_adjoint_draws_what_its_forward_drew():
    x = jnp.ones((16, 16))
    key = jax.random.key(3)
    kept = op.dropout(x, 0.5, key=key)
    back = op.adjoint(op.dropout)(x, jnp.ones_like(x), p=0.5, key=key)
    np.testing.assert_array_equal(back, kept)
    assert 0 < np.count_nonzero(kept) < 256


def test_results_of_any_structure_have_adjoints():
    f = lambda x: {"y": x * 2, "n": jnp.argmax(x)}  # noqa: E731
    found = op.vjp(f, A[0], {"y": B[:, 0], "n": None})
    np.testing.assert_array_equal(found, 2 * B[:, 0])


def cube_with_rule(factor):
    @autodiff.custom_grad
    def cube(x):
        return x**3

    @cube.grad
    def _(x, upstream):
        return factor * x**2 * upstream

    return cube


def test_a_custom_gradient_replaces_the_true_one():
    cube = cube_with_rule(5.0)
    np.testing.assert_array_equal(cube(A), A**3)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(cube(x)))(A), 5 * A**2, rtol=1e-6)
    np.testing.assert_allclose(op.adjoint(cube)(A, A), 5 * A**3, rtol=1e-6)


def test_a_custom_gradient_is_closed_under_transformations():
    cube = cube_with_rule(3.0)
    plain = lambda x: x**3  # noqa: E731
    for transform in (
        jax.vmap,
        jax.jit,
        lambda f: lambda x: op.jvp(f, x, x)[1],
        lambda f: jax.vmap(jax.vmap(jax.grad(f))),
        lambda f: jax.vmap(jax.vmap(jax.grad(jax.grad(f)))),
        lambda f: jax.jit(jax.vmap(jax.vmap(jax.hessian(f)))),
        lambda f: op.grad(lambda x: jnp.sum(op.jvp(f, x, jnp.ones_like(x))[1])),
        lambda f: jax.vmap(jax.vmap(jax.grad(jax.checkpoint(f)))),
    ):
        np.testing.assert_allclose(transform(cube)(A), transform(plain)(A), rtol=1e-5, atol=1e-6)


def test_a_custom_gradient_of_several_arguments():
    @autodiff.custom_grad
    def product(a, b, count: int = 1, *, scale=1.0):
        return a @ b * (count * scale)

    @product.grad
    def _(a, b, count, upstream, scale=1.0):
        return upstream @ b.T * (count * scale), None, None

    dA, dB = op.vjp(product, (A, B), DC)
    np.testing.assert_allclose(dA, DC @ B.T, rtol=1e-5)
    assert not np.any(dB)
    found = jax.grad(lambda a: jnp.sum(product(a, B, 2, scale=0.5)))(A)
    np.testing.assert_allclose(found, jnp.ones((3, 5)) @ B.T, rtol=1e-5, atol=1e-6)
    traced = jax.jit(lambda n: jax.grad(lambda a: jnp.sum(product(a, B, n)))(A))(jnp.array(2.0))
    np.testing.assert_allclose(traced, 2 * jnp.ones((3, 5)) @ B.T, rtol=1e-5, atol=1e-5)
    counts = jnp.array([1, 2])
    each = jax.vmap(lambda n: jax.grad(lambda a: jnp.sum(pick_rows(a, n)))(A))(counts)
    np.testing.assert_array_equal(each[0, 1], np.ones(4))


@autodiff.custom_grad
def pick_rows(a, n):
    return a[n]


@pick_rows.grad
def _pick_rows_rule(a, n, upstream):
    return jnp.zeros_like(a).at[n].set(upstream), None


def test_a_rule_that_clips_gives_reverse_mode_alone():
    @autodiff.custom_grad
    def clipped(x):
        return x * 1

    @clipped.grad
    def _(x, upstream):
        return jnp.clip(upstream, -0.1, 0.1)

    found = jax.jit(jax.grad(lambda x: jnp.sum(clipped(x) ** 2)))(A)
    np.testing.assert_allclose(found, jnp.clip(2 * A, -0.1, 0.1), rtol=1e-6)
    with pytest.raises(TypeError, match="custom_vjp"):
        op.jvp(clipped, A, A)


def test_wrong_custom_gradients_are_refused():
    @autodiff.custom_grad
    def f(x, y):
        return x + y

    error = raised(lambda: f(A, A), Code.E_GRAPH_INVALID)
    assert "f has no gradient rule" in error.message
    f.grad(lambda x, y, upstream: upstream)
    grad = lambda: jax.grad(lambda x: jnp.sum(f(x, A)))(A)  # noqa: E731
    assert "1 gradients for 2 arguments" in raised(grad, Code.E_SHAPE_MISMATCH).message
    f.grad(lambda x, y, upstream: (upstream[0], None))
    assert "returns shape (4,)" in raised(grad, Code.E_SHAPE_MISMATCH).message
    f.grad(lambda x, y, upstream: ({"x": upstream}, None))
    assert raised(grad, Code.E_SHAPE_MISMATCH)
    assert "not a function" in raised(lambda: autodiff.custom_grad(3), Code.E_GRAPH_INVALID).message


def test_fixed_points_have_implicit_gradients():
    root = lambda a: op.fixed_point(lambda x: 0.5 * (x + a / x), jnp.ones_like(a), tol=1e-6)  # noqa: E731
    a = jnp.float32(2.0)
    np.testing.assert_allclose(op.grad(root)(a), 0.5 / np.sqrt(2.0), rtol=1e-4)


def test_functions_of_a_point_go_to_pde():
    f = lambda p: jnp.stack([p[0] ** 2, p[0] * p[1]])  # noqa: E731
    points = A[:, :2]
    np.testing.assert_array_equal(op.div(f)(points), pde.div(f)(points))
    np.testing.assert_array_equal(op.curl(f)(points), pde.curl(f)(points))
    np.testing.assert_array_equal(op.laplacian(f)(points), pde.laplacian(f)(points))
    for call in (lambda: op.div(f, ("x",)), lambda: op.laplacian(f, (0,))):
        assert "axes= is for Fields and grids" in raised(call, Code.E_GRAPH_INVALID).message


def test_a_traced_value_has_a_gradient_only_in_a_training_step():
    @graph.training_step
    def step(w, x):
        loss = jnp.sum((w * x) ** 2)
        return op.grad(loss, wrt=w), {}

    gradients, _ = step(jnp.array(3.0), jnp.array(2.0))
    assert gradients == 24.0
    error = raised(lambda: op.grad(jnp.sum(A), wrt=A), Code.E_GRAPH_INVALID)
    assert "does not know what it was computed from" in error.message
    assert "training_step" in str(error)


def test_bad_calls_are_refused():
    integers = jnp.arange(3)
    cases = [
        (lambda: autodiff.grad(3), Code.E_GRAPH_INVALID, "grad: the first argument is a int"),
        (lambda: op.jvp(A, A, A), Code.E_GRAPH_INVALID, "jvp: the first argument"),
        (lambda: op.vjp(A, A), Code.E_GRAPH_INVALID, "vjp: the first argument"),
        (lambda: op.adjoint(A), Code.E_GRAPH_INVALID, "adjoint: the first argument"),
        (lambda: op.adjoint(op.relu)(A), Code.E_GRAPH_INVALID, "the last one is the cotangent"),
        (
            lambda: op.grad(energy, wrt=2)(A, B),
            Code.E_GRAPH_INVALID,
            "no argument 2; there are: 0, 1",
        ),
        (
            lambda: op.grad(energy, "z")(A, B),
            Code.E_GRAPH_INVALID,
            "no argument 'z'; there are: w, x",
        ),
        (lambda: op.grad(energy, 1.5)(A, B), Code.E_GRAPH_INVALID, "neither a number nor a name"),
        (lambda: op.grad(jnp.sum)(integers), Code.E_GRAPH_INVALID, "no real or complex number"),
        (lambda: op.grad(jnp.tanh)(A), Code.E_SHAPE_MISMATCH, "returns shape (3, 4)"),
        (lambda: op.grad(lambda x: (x, x))(1.0), Code.E_GRAPH_INVALID, "not one real number"),
        (lambda: op.grad(lambda x: x * 1j)(1.0), Code.E_GRAPH_INVALID, "not one real number"),
        (lambda: op.jvp(jnp.tanh, A, B), Code.E_SHAPE_MISMATCH, "float32[4, 5]"),
        (lambda: op.jvp(energy, (A, B), (A,)), Code.E_SHAPE_MISMATCH, "another structure"),
        (lambda: op.vjp(jnp.tanh, A, B), Code.E_SHAPE_MISMATCH, "a cotangent is float32[4, 5]"),
        (lambda: op.vjp(jnp.tanh, A, A, A), Code.E_GRAPH_INVALID, "2 cotangents"),
        (lambda: op.grad(energy, spacing=1.0), Code.E_GRAPH_INVALID, "for values on a grid"),
        (lambda: op.grad(energy, precision="fp64"), Code.E_GRAPH_INVALID, "for a Field"),
    ]
    for call, code, text in cases:
        assert text in raised(call, code).message
