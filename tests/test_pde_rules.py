"""The forward Laplacian of every kind of primitive, against `jax.hessian` of the same function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op as ops
from tessera import pde
from tessera.core.errors import CompileError
from tessera.pde.forward_laplacian import laplacian_at

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0.2, 0.9, (6, 3))
WEIGHT = RNG.normal(size=(3, 5))
SQUARE = RNG.normal(size=(5, 5)) / 2
KERNEL = RNG.normal(size=(2, 1, 3))
LAYERS = RNG.normal(size=(4, 3, 3))

UNARY = {
    name: getattr(jnp, name)
    for name in """abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil cos cosh exp exp2 expm1 floor
    i0 log log10 log1p log2 negative reciprocal rint sign sin sinc sinh sqrt square tan tanh""".split()
}
SPECIAL = {
    name: getattr(jax.scipy.special, name)
    for name in "digamma erf erfc erfinv expit gammaln i0e i1e log_ndtr ndtri logit".split()
}
ACTIVATIONS = {
    name: getattr(jax.nn, name)
    for name in """celu elu gelu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax mish relu relu6
    selu sigmoid silu soft_sign softmax softplus squareplus standardize swish""".split()
}
TESSERA = {
    f"tessera {name}": getattr(ops, name) for name in "gelu relu sigmoid silu softmax tanh".split()
}


def hidden(x: jax.Array) -> jax.Array:
    return jnp.sin(x @ jnp.asarray(WEIGHT))


def scanned(x: jax.Array) -> jax.Array:
    def layer(z: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = jnp.tanh(weight @ z)
        return z, z[0]

    z, firsts = jax.lax.scan(layer, x, jnp.asarray(LAYERS))
    return jnp.sum(z) + jnp.sum(firsts**2)


def looped(x: jax.Array) -> jax.Array:
    def more(z: jax.Array) -> jax.Array:
        return jnp.sum(z) > 0.1

    return jnp.sum(jax.lax.while_loop(more, lambda z: jnp.sin(z) * z, x))


@jax.custom_jvp
def steep(x: jax.Array) -> jax.Array:
    return jnp.sin(x)


@steep.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return steep(primals[0]), 3 * jnp.exp(primals[0]) * tangents[0]


@jax.custom_jvp
def mixing(x: jax.Array) -> jax.Array:
    return x * 1.0


@mixing.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    return mixing(x), x * jnp.sum(t)


SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "bilinear dot": lambda x: hidden(x) @ jnp.asarray(SQUARE) @ jnp.cos(hidden(x)),
    "matrix from the left": lambda x: jnp.asarray(WEIGHT).T @ jnp.exp(x),
    "matrix of both": lambda x: jnp.sum(jnp.outer(jnp.exp(x), x) @ jnp.outer(jnp.sin(x), x)),
    "batched dot": lambda x: jnp.einsum(
        "ij,ij->i", jnp.outer(jnp.exp(x), x), jnp.asarray(WEIGHT[:, :3])
    ),
    "tensor from the left": lambda x: jnp.sum(jnp.asarray(WEIGHT).T @ jnp.outer(jnp.exp(x), x)),
    "attention": lambda x: jax.nn.softmax(jnp.outer(x, x)) @ jnp.exp(x),
    "residual": lambda x: jnp.sum(hidden(x) + jnp.tanh(hidden(x) @ jnp.asarray(SQUARE))),
    "gated": lambda x: jnp.sum((1 - jax.nn.sigmoid(hidden(x))) * jnp.exp(hidden(x))),
    "layer norm": lambda x: jnp.sum(
        (hidden(x) - hidden(x).mean()) / jnp.sqrt(hidden(x).var() + 1e-5)
    ),
    "fourier features": lambda x: jnp.sum(jnp.concatenate([jnp.sin(3 * x), jnp.cos(3 * x)]) ** 3),
    "quotient": lambda x: jnp.exp(x) / (1 + jnp.sum(x**2)),
    "constant over varying": lambda x: 2.0 / x,
    "scalar over varying": lambda x: jnp.sum(x) / (x + 1),
    "power of both": lambda x: x ** jnp.sum(x),
    "power": lambda x: x**2.5 + x**-2 + 2.0**x,
    "two-argument elementwise": lambda x: (
        jnp.arctan2(x, x[::-1] + 2) + jnp.logaddexp(x, 2 * x[::-1])
    ),
    "where": lambda x: jnp.where(x > 0.5, x**3, jnp.sin(x)),
    "maximum": lambda x: jnp.maximum(x**2, 0.3) + jnp.minimum(x**3, x[::-1]),
    "clip": lambda x: jnp.clip(x**2, 0.1, 0.5),
    "reductions": lambda x: jnp.max(x**2) + jnp.min(x**3) + jnp.prod(x) + jax.nn.logsumexp(3 * x),
    "cumulative": lambda x: jnp.cumsum(x**2) + jnp.cumprod(x) + jax.lax.cummax(x**2),
    "sort": lambda x: jnp.sort(jnp.sin(3 * x)) * jnp.arange(3.0),
    "top k": lambda x: jax.lax.top_k(jnp.sin(3 * x), 2)[0] ** 2,
    "indexing": lambda x: x[0] * x[jnp.array([2, 1])] + x[-1],
    "argmax index": lambda x: x[jnp.argmax(x)] ** 2,
    "index update": lambda x: jnp.exp(x).at[1].set(x[0] ** 2).at[0].add(x[2] ** 3),
    "dynamic slice": lambda x: jax.lax.dynamic_slice(x**2, (jnp.int32(1),), (2,)),
    "dynamic update": lambda x: jax.lax.dynamic_update_slice(x**2, x[:1] ** 3, (jnp.int32(1),)),
    "shapes": lambda x: jnp.sum(
        jnp.pad(x[:, None].T, 1) ** 2 + jnp.flip(jnp.tile(x, (3, 2))[:, :5]) ** 2
    ),
    "convolution": lambda x: jnp.ravel(
        jax.lax.conv_general_dilated(jnp.exp(x)[None, None], jnp.asarray(KERNEL), (1,), "SAME")
    ),
    "convolution of both": lambda x: jnp.convolve(jnp.exp(x), jnp.sin(x)),
    "fft": lambda x: jnp.abs(jnp.fft.rfft(jnp.exp(x))) ** 2,
    "complex": lambda x: jnp.abs(jnp.exp(jax.lax.complex(x, x**2))),
    "linear algebra": lambda x: (
        jnp.linalg.slogdet(jnp.diag(x) + jnp.outer(x, x))[1]
        + jnp.sum(jnp.linalg.solve(jnp.diag(x) + 1.0, x))
    ),
    "norm": lambda x: jnp.linalg.norm(x) * x,
    "scan": scanned,
    "while": looped,
    "cond": lambda x: jax.lax.cond(x[0] > 0.5, lambda z: jnp.sum(z**3), lambda z: jnp.prod(z), x),
    "switch": lambda x: jax.lax.switch(jnp.int32(3 * x[0]), [jnp.sum, jnp.prod, jnp.max], x**2),
    "inner jit": jax.jit(lambda x: jax.jit(jnp.sin)(x) * hidden(x)[0]),
    "checkpoint": jax.checkpoint(lambda x: jnp.tanh(hidden(x)) ** 2),
    "custom rule": steep,
    "custom rule that mixes entries": mixing,
    "stop gradient": lambda x: x**2 * jax.lax.stop_gradient(x**2),
    "inner derivative": lambda x: jax.grad(lambda z: jnp.sum(hidden(z) ** 3))(x),
    "cast": lambda x: (x**2).astype(jnp.float32).astype(jnp.float64) * x,
    "constant": lambda x: jnp.ones(2),
    "linear": lambda x: x @ jnp.asarray(WEIGHT),
    "identity": lambda x: x,
    "tessera matmul": lambda x: ops.matmul(jnp.exp(x)[None], jnp.asarray(WEIGHT))[0] ** 2,
}

ENTRYWISE = {"jnp": UNARY, "special": SPECIAL, "nn": ACTIVATIONS, "ops": TESSERA}


def plain_laplacian(u: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    return jax.vmap(lambda x: jnp.trace(jax.jacfwd(jax.jacfwd(u))(x), axis1=-2, axis2=-1))


@pytest.mark.parametrize("group", ENTRYWISE)
def test_laplacian_of_each_scalar_function_is_the_trace_of_its_hessian(group: str) -> None:
    functions = ENTRYWISE[group]

    def of(name: str) -> Callable[[jax.Array], jax.Array]:
        shift = 1.2 if name == "arccosh" else 0.0
        return lambda x: functions[name](x * jnp.flip(x) + shift)

    def every(laplacian: Callable) -> dict[str, jax.Array]:
        return {name: laplacian(of(name))(jnp.asarray(POINTS)) for name in functions}

    ours, expected = jax.jit(lambda: (every(pde.laplacian), every(plain_laplacian)))()
    for name in functions:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_laplacian_of_each_kind_of_function_is_the_trace_of_its_hessian(name: str) -> None:
    u, x = SHAPES[name], jnp.asarray(POINTS)
    ours, expected = jax.jit(lambda z: (pde.laplacian(u)(z), plain_laplacian(u)(z)))(x)
    # "cast" rounds to float32 on the way.
    tolerance = 1e-5 if name == "cast" else 1e-9
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def test_derivatives_at_kinks_are_those_of_jax_and_finite() -> None:
    x = jnp.asarray([[0.0, 0.0], [1.0, 0.0]])
    for kinked in (jax.nn.relu, jnp.abs, lambda z: jnp.maximum(z, 0.0), ops.relu):
        found = pde.laplacian(lambda z, f=kinked: f(z) * z[0])(x)
        assert np.all(np.isfinite(found))
        expected = jax.vmap(jax.jacfwd(jax.jacfwd(lambda z, f=kinked: f(z) * z[0])))(x)
        np.testing.assert_array_equal(found, np.trace(expected, axis1=-2, axis2=-1))


def test_a_layer_is_one_product_and_one_evaluation_of_its_activation() -> None:
    def u(x: jax.Array) -> jax.Array:
        z = jnp.tanh(x @ jnp.asarray(WEIGHT))
        z = jnp.tanh(z @ jnp.asarray(SQUARE))
        return jnp.sum(jnp.tanh(jnp.asarray(SQUARE) @ z))

    network, x = jax.make_jaxpr(u)(jnp.ones(3)), jnp.asarray(POINTS)
    run = jax.vmap(lambda point: laplacian_at(network, point))
    # The first layer is linear so far: its rows are the weight itself and stay out of the product.
    assert str(jax.make_jaxpr(run)(x)).count("dot_general") == 4
    assert str(jax.jit(run).lower(x).compile().as_text()).count(" tanh(") == 3


def backward_only() -> Callable[[jax.Array], jax.Array]:
    @jax.custom_vjp
    def sine(x: jax.Array) -> jax.Array:
        return jnp.sin(x)

    sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, t: (jnp.cos(x) * t,))
    return sine


def test_a_function_without_a_derivative_of_that_order_is_named() -> None:
    sine, x = backward_only(), jnp.asarray(POINTS)
    for u in (sine, jax.jit(sine), lambda z: jax.lax.fori_loop(0, 2, lambda _, y: sine(y), z)):
        for points in (x, x[0]):
            with pytest.raises(CompileError, match="biharmonic: u calls a"):
                pde.biharmonic(u)(points)
    with pytest.raises(CompileError, match="hvp: u calls a"):
        pde.hvp(sine)(x, x)


def test_reverse_mode_takes_functions_without_forward_derivative() -> None:
    sine, x = backward_only(), jnp.asarray(POINTS)
    wide = jnp.ones((3, 20))
    found = pde.grad(lambda z: jnp.sum(sine(z)))(wide)
    np.testing.assert_allclose(found, np.cos(np.ones((3, 20))), rtol=1e-12)
    np.testing.assert_allclose(pde.laplacian(sine)(x), -np.sin(POINTS), rtol=1e-12)
    np.testing.assert_allclose(pde.div(sine)(x), np.cos(POINTS).sum(1), rtol=1e-12)
    np.testing.assert_allclose(
        np.trace(pde.hessian(sine)(x), axis1=-2, axis2=-1), -np.sin(POINTS), rtol=1e-12
    )


def test_a_function_without_forward_derivative_may_act_on_parameters() -> None:
    sine, x, scale = backward_only(), jnp.asarray(POINTS), jnp.asarray(0.5)
    found = pde.laplacian(lambda z: sine(scale) * jnp.sum(z**2))(x)
    np.testing.assert_allclose(found, 2 * x.shape[1] * np.sin(0.5), rtol=1e-12)


def test_parameters_of_every_activation_stay_differentiable() -> None:
    x, weight = jnp.asarray(POINTS), jnp.asarray(WEIGHT)
    smooth = (jax.nn.gelu, jax.nn.softplus, jax.nn.softmax, ops.tanh, jax.scipy.special.erf)

    def losses(weight: jax.Array, laplacian: Callable) -> list[jax.Array]:
        return [jnp.sum(laplacian(lambda z, f=f: f(z @ weight))(x) ** 2) for f in smooth]

    ours = jax.jit(jax.jacrev(lambda w: losses(w, pde.laplacian)))(weight)
    theirs = jax.jit(jax.jacrev(lambda w: losses(w, plain_laplacian)))(weight)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-9)
