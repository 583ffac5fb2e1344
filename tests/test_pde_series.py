"""Taylor mode for several derivatives at once: every kind of primitive, every scheme, against nested jvp."""

import functools
import itertools
import math
import random
from fractions import Fraction

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_pde_rules as kinds

from tessera import op, pde
from tessera.core.errors import CompileError
from tessera.pde import schemes
from tessera.pde.plan import plan, symbol, times
from tessera.pde.schemes import unit
from tessera.pde.series import derivatives_at

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

LAPLACIAN = symbol({unit(3, i, i)[0][0]: 1 for i in range(3)})
SYMBOLS = (
    symbol({(0, 0, 0): 1}),
    unit(3, 0),
    unit(3, 1, 2),
    LAPLACIAN,
    symbol({(2, 1, 0): 1, (0, 2, 1): -2}),
    symbol({(0, 0, 1): 3, (0, 2, 0): -2, (3, 1, 0): 0.5}),  # of several orders
    unit(3, 0, 1, 2),
    times(LAPLACIAN, LAPLACIAN),
)
FEW = ["gated", "quotient", "fourier features"]
POINT = kinds.POINTS[1]


def nested(u, x, orders):
    for column, order in enumerate(orders):
        for _ in range(order):
            u = functools.partial(slope, u, column)
    return u(x)


def slope(u, column, x):
    return jax.jvp(u, (x,), (jnp.eye(x.size)[column],))[1]


def expected(u, x, symbols=SYMBOLS):
    return [sum(w * nested(u, x, orders) for orders, w in s) for s in symbols]


def check(u, x=POINT, symbols=SYMBOLS, tolerance=1e-9):
    x = jnp.asarray(x)
    network = jax.make_jaxpr(u)(x)
    made = plan(x.size, symbols)
    found, wanted = jax.jit(lambda x: (derivatives_at(network, made, x), expected(u, x, symbols)))(
        x
    )
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in kinds.SHAPES]
)
def test_each_kind_of_function_has_the_derivatives_of_nested_forward_mode(name):
    # "cast" rounds to float32 on the way.
    check(kinds.SHAPES[name], tolerance=1e-4 if name == "cast" else 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("group", kinds.ENTRYWISE)
def test_each_scalar_function_has_the_derivatives_of_nested_forward_mode(group):
    for name, function in kinds.ENTRYWISE[group].items():
        shift = 1.2 if name == "arccosh" else 0.0
        check(lambda x, f=function, s=shift: f(x * jnp.flip(x) + s), tolerance=1e-7)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "square"])
def test_closed_forms_of_derivatives_are_those_of_forward_mode_to_order_six(name):
    function = {**kinds.UNARY, **kinds.ACTIVATIONS}[name]
    symbols = tuple(unit(1, *[0] * n) for n in range(7))
    check(lambda x: function(jnp.sin(x)), np.array([0.3]), symbols, 1e-7)


# -- plans --------------------------------------------------------------------------------------------------


def polynomial(coefficients, at):
    """A polynomial, its monomials by their orders, at a point."""
    return sum(
        c * math.prod(x**n for x, n in zip(at, orders, strict=True))
        for orders, c in coefficients.items()
    )


def derived(coefficients, orders):
    """The derivative of a polynomial, exactly."""
    found = {}
    for powers, c in coefficients.items():
        if all(n >= k for n, k in zip(powers, orders, strict=True)):
            rest = tuple(n - k for n, k in zip(powers, orders, strict=True))
            found[rest] = c * math.prod(map(math.perm, powers, orders))
    return found


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_any_mixed_derivative_of_a_polynomial_is_exact(dimensions):
    drawn = random.Random(dimensions)
    powers = list(itertools.product(range(5), repeat=dimensions))
    coefficients = {orders: drawn.randint(-3, 3) for orders in drawn.sample(powers, 5)}
    at = [Fraction(1, 2), Fraction(-3, 4), Fraction(5, 4)][:dimensions]
    wanted = drawn.sample([p for p in powers if sum(p) <= 5], 4)

    def u(x):
        return sum(
            c * math.prod(x[i] ** n for i, n in enumerate(orders) if n)
            for orders, c in coefficients.items()
        ) + jnp.zeros(())

    network = jax.make_jaxpr(u)(jnp.ones(dimensions))
    made = plan(dimensions, tuple(symbol({orders: 1}) for orders in wanted))
    found = derivatives_at(network, made, jnp.asarray([float(x) for x in at]))
    exact = [float(polynomial(derived(coefficients, orders), at)) for orders in wanted]
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_sums_of_highest_derivatives_are_carried_as_one():
    laplacian = symbol({(2, 0): 1, (0, 2): 1})
    assert len(plan(2, (laplacian,)).symbols) == 3
    assert len(plan(2, (times(laplacian, laplacian),)).symbols) == 10
    flow = [times(laplacian, unit(2, i)) for i in range(2)]
    assert len(plan(2, tuple(flow)).symbols) == 7  # two sums of four third derivatives
    # Three sums of two derivatives are more than the two.
    mixed = [symbol({(2, 0): 1, (0, 2): w}) for w in (1, 2, 3)]
    assert len(plan(2, tuple(mixed)).symbols) == 4


# -- schemes ------------------------------------------------------------------------------------------------


def network(x):
    return jnp.tanh(jnp.sin(x @ jnp.asarray(kinds.WEIGHT)) @ jnp.asarray(kinds.SQUARE))


REQUESTS = {
    "Laplacian": (
        pde.laplacian,
        lambda u: lambda x: jnp.trace(jax.hessian(u)(x), axis1=-2, axis2=-1),
    ),
    "gradient": (pde.grad, jax.jacfwd),
    "Hessian": (pde.hessian, jax.hessian),
    "mixed": (lambda u: pde.partial(u, 0, 2, 2), None),
    "biharmonic": (pde.biharmonic, None),
}


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("scheme", [s.name for s in schemes.SCHEMES])
def test_every_scheme_gives_the_same_derivatives(request_name, scheme):
    operator, reference = REQUESTS[request_name]
    x = jnp.asarray(kinds.POINTS)
    with schemes.only(scheme):
        found = jax.jit(operator(network))(x)
    if reference is None:
        orders = [(1, 0, 2)] if request_name == "mixed" else None
        symbols = [symbol({orders[0]: 1})] if orders else [times(LAPLACIAN, LAPLACIAN)]
        wanted = jax.vmap(lambda x: expected(network, x, symbols)[0])(x)
    else:
        wanted = jax.vmap(reference(network))(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


def test_the_scheme_follows_the_request():
    def scheme(operator, d):
        def u(x):
            return jnp.tanh(jnp.tanh(x @ jnp.ones((d, 32))) @ jnp.ones((32, 32)))[0]

        (choice,) = pde.explain(operator(u))(jnp.ones((4, d))).choices
        return choice.scheme.name

    assert scheme(pde.laplacian, 2) == scheme(pde.laplacian, 100) == "forward Laplacian"
    assert scheme(pde.biharmonic, 2) == "Taylor mode"
    assert scheme(lambda u: pde.partial(u, 0, 0, 1), 2) == "Taylor mode"


def test_reverse_mode_is_charged_for_every_output():
    def scheme(outputs, d=8):
        weight = jnp.ones((d, 32)), jnp.ones((32, outputs))
        at = pde.coords(jnp.ones((4, d)), names=tuple("abcdefgh"))
        u = at.apply(lambda x: jnp.tanh(x @ weight[0]) @ weight[1])
        slopes = [pde.partial(u, name) for name in at.names]
        (choice,) = pde.explain(lambda: pde.values(slopes))().choices
        return choice.scheme.name

    assert scheme(1) == "reverse mode"
    assert scheme(8) == "Taylor mode"


def test_a_loop_that_reverse_mode_refuses_is_differentiated_forward():
    def u(x):
        return jnp.sum(jax.lax.while_loop(lambda z: jnp.sum(z) > 1, lambda z: z**2 / 2, x))

    x = jnp.full((2, 6), 0.8)
    np.testing.assert_allclose(pde.grad(u)(x), jax.vmap(jax.jacfwd(u))(x), rtol=1e-12)


def test_an_error_in_a_rule_of_the_network_is_not_hidden_by_another_scheme():
    @jax.custom_jvp
    def broken(x):
        return x * 1.0

    @broken.defjvp
    def _(primals, tangents):
        raise TypeError("this rule is broken")

    for operator in (pde.laplacian, pde.grad, pde.biharmonic):
        with pytest.raises(TypeError, match="this rule is broken"):
            operator(lambda x: jnp.sum(broken(x)))(jnp.ones((2, 3)))


def test_an_explanation_names_coordinates_and_what_is_found_together():
    net = op.mlp(3, [8], 2, "tanh", key=0)

    def residual(points):
        out = net(pde.coords(points, names=("x", "y", "t")))
        u, p = out[..., 0], out[..., 1]
        return (pde.partial(u, "t") - pde.laplacian(u) + u * pde.partial(p, "x")).array

    told = pde.explain(residual)(jnp.ones((4, 3), jnp.float32))
    (choice,) = told.choices  # one network, one pass
    assert "t" in str(told)
    assert "xx" in str(told)
    assert choice.scheme.name in told._repr_html_()


# -- networks of other libraries ----------------------------------------------------------------------------


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (8, 8):
            x = nn.Dense(width, param_dtype=x.dtype)(x)
            x = nn.gelu(nn.LayerNorm(param_dtype=x.dtype)(x))
        return nn.Dense(1, param_dtype=x.dtype)(x)[0]


def equinox_network():
    key = jax.random.key(0)
    return eqx.nn.Sequential(
        [
            eqx.nn.MLP(3, 8, 8, 2, jax.nn.softplus, key=key),
            eqx.nn.LayerNorm(8),
            eqx.nn.Linear(8, "scalar", key=key),
        ]
    )


def linen_network():
    module = Linen()
    # Its norm has an epsilon of another dtype.
    with jax.numpy_dtype_promotion("standard"):
        params = module.init(jax.random.key(0), jnp.ones(3))

    def network(x):
        with jax.numpy_dtype_promotion("standard"):
            return module.apply(params, x)

    return network


@pytest.mark.parametrize("make", [equinox_network, linen_network])
def test_networks_of_equinox_and_flax_have_exact_mixed_derivatives(make):
    u, x = make(), jnp.asarray(POINT)
    ours, theirs = jax.jit(
        lambda x: (pde.partial(u, 0, 1, 2)(x[None])[0], expected(u, x, [unit(3, 0, 1, 2)])[0])
    )(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# -- edges --------------------------------------------------------------------------------------------------


def test_parameters_and_points_stay_differentiable():
    x = jnp.asarray(kinds.POINTS)

    def loss(weight, x, third):
        return jnp.sum(third(lambda z: jnp.tanh(jnp.sin(z @ weight)))(x) ** 2)

    def plain(u):
        return jax.vmap(lambda x: expected(u, x, [unit(3, 0, 1, 1)])[0])

    def ours(u):
        return pde.partial(u, 0, 1, 1)

    weight = jnp.asarray(kinds.WEIGHT)
    mine, other = (
        jax.jit(jax.grad(functools.partial(loss, third=t), (0, 1)))(weight, x)
        for t in (ours, plain)
    )
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("lead", [(), (0,), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_points_of_any_shape_and_chunk(lead, chunk_size):
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(*lead, 3)))
    found = pde.biharmonic(
        lambda x: jnp.sum(x**4) * jnp.stack([x[0], x[1]]), chunk_size=chunk_size
    )(x)
    assert found.shape == (*lead, 2)
    exact = np.moveaxis(
        np.array([120 * x[..., 0] + 48 * x[..., 0], 120 * x[..., 1] + 48 * x[..., 1]]), 0, -1
    )
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_results_have_the_dtype_of_the_points(dtype):
    x = jnp.full((4, 2), 0.5, dtype)
    for operator in (pde.biharmonic, pde.laplacian, lambda u: pde.partial(u, 0, 0, 1)):
        assert operator(lambda x: jnp.sum(jnp.tanh(x)) * x[0])(x).dtype == dtype


def test_a_point_that_is_not_a_number_spoils_itself_alone():
    x = jnp.asarray(kinds.POINTS).at[2, 0].set(jnp.nan)
    found = pde.biharmonic(network)(x)
    assert np.all(np.isnan(found[2]))
    assert np.all(np.isfinite(np.delete(found, 2, axis=0)))


def test_coordinates_that_are_none_are_named():
    with pytest.raises(CompileError, match="coordinate 3 of points with 3"):
        pde.partial(network, 3)(jnp.asarray(kinds.POINTS))
    with pytest.raises(CompileError, match="coordinate"):
        pde.partial(network, 0.5)
    negative = pde.partial(network, -1)(jnp.asarray(kinds.POINTS))
    np.testing.assert_array_equal(negative, pde.partial(network, 2)(jnp.asarray(kinds.POINTS)))
