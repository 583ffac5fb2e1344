"""Networks for points: against NumPy, as Fields, under forward mode, and what begins them."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.pinn import parameters
from tessera.pinn.networks import (
    BIAS_SPREAD,
    FIRST_LAYER_GAIN,
    MLP,
    Factorization,
    FourierFeatures,
    ModifiedMLP,
)

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

KEY = jax.random.key(3)
BOUNDS = ((0.0, -1.0), (2.0, 3.0))
POINTS = np.random.default_rng(0).uniform(BOUNDS[0], BOUNDS[1], (6, 2))
FEATURES = FourierFeatures(2, 8, scale=2.0, key=KEY)

MAKERS: dict[str, Any] = {
    "plain": lambda: MLP(2, (7, 5), 3, key=KEY),
    "bounded": lambda: MLP(2, (7, 5), 3, "sin", bounds=BOUNDS, key=KEY),
    "factored": lambda: MLP(2, (7, 5), 3, "gelu", key=KEY, factorization=Factorization()),
    "modified": lambda: ModifiedMLP(2, 6, 2, 3, bounds=BOUNDS, key=KEY),
    "embedded": lambda: ModifiedMLP(
        2, 6, 2, 3, embed=FourierFeatures(2, 8, key=KEY), key=KEY, factorization=Factorization()
    ),
}
# Made by one program, which compiles sooner than those of every number that is drawn.
NETWORKS = {name: functools.cache(eqx.filter_jit(make)) for name, make in MAKERS.items()}
NAMES = [
    name if name == "bounded" else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS
]


def in_unit_box(x: np.ndarray) -> np.ndarray:
    lower, upper = np.array(BOUNDS)
    return 2 * (x - lower) / (upper - lower) - 1


@eqx.filter_jit
def values(network: Any, points: Any) -> jax.Array:
    return network(jnp.asarray(points))


def affine(layer: Any, x: np.ndarray) -> np.ndarray:
    scale = 1.0 if layer.scales is None else np.exp(np.asarray(layer.scales))
    return x @ (np.asarray(layer.weights) * scale) + np.asarray(layer.biases)


def test_an_mlp_is_affine_maps_with_an_activation_between_them():
    network = NETWORKS["bounded"]()
    hidden = in_unit_box(POINTS)
    for layer in network.layers[:-1]:
        hidden = np.sin(affine(layer, hidden))
    np.testing.assert_allclose(
        values(network, POINTS), affine(network.layers[-1], hidden), rtol=1e-12
    )


@pytest.mark.slow
def test_a_modified_mlp_mixes_two_encodings():
    network = NETWORKS["modified"]()
    x = in_unit_box(POINTS)
    u, v = (np.tanh(affine(encoder, x)) for encoder in network.encoders)
    hidden = x
    for layer in network.layers[:-1]:
        z = np.tanh(affine(layer, hidden))
        hidden = z * u + (1 - z) * v
    np.testing.assert_allclose(
        values(network, POINTS), affine(network.layers[-1], hidden), rtol=1e-12
    )


def test_fourier_features_are_cosines_then_sines():
    phase = POINTS @ np.asarray(FEATURES.frequencies.value)
    expected = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    np.testing.assert_allclose(FEATURES(jnp.asarray(POINTS)), expected, rtol=1e-12, atol=1e-14)
    assert parameters.count(FEATURES) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_field_has_the_derivatives_of_the_network(name):
    network = NETWORKS[name]()

    @jax.jit
    def of_field(points: jax.Array) -> tuple[jax.Array, ...]:
        u = network(op.coords(points, names=("x", "y")))[..., 1]
        return u.array, op.laplacian(u).array, op.grad(op.grad(u, "y"), "x").array

    def at(point: jax.Array) -> jax.Array:
        return network(point)[1]

    values, laplacian, mixed = of_field(jnp.asarray(POINTS))
    found, hessians = jax.jit(jax.vmap(lambda x: (at(x), jax.hessian(at)(x))))(POINTS)
    np.testing.assert_allclose(values, found, rtol=1e-11)
    np.testing.assert_allclose(laplacian, np.trace(hessians, axis1=1, axis2=2), rtol=1e-9)
    np.testing.assert_allclose(mixed, hessians[:, 0, 1], rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_any_leading_axes_are_points(name):
    network = NETWORKS[name]()
    many = values(network, POINTS.reshape(2, 3, 2))
    assert many.shape == (2, 3, 3)
    np.testing.assert_allclose(many.reshape(6, 3)[4], values(network, POINTS[4]), rtol=1e-12)


@pytest.mark.slow
def test_weights_begin_with_glorots_spread_and_a_wider_first_layer():
    network = MLP(2, (400, 300), 1, key=KEY)
    spreads = [float(jnp.std(layer.weights)) for layer in network.layers]
    first, second = FIRST_LAYER_GAIN * (2 / 402) ** 0.5, (2 / 700) ** 0.5
    # A spread of n numbers is known to one part in sqrt(2 n).
    np.testing.assert_allclose(spreads[:2], [first, second], rtol=0.1)
    np.testing.assert_allclose(float(jnp.std(network.layers[0].biases)), BIAS_SPREAD, rtol=0.15)
    embedded = MLP(2, (400,), 1, embed=FourierFeatures(2, 300, key=KEY), key=KEY)
    np.testing.assert_allclose(float(jnp.std(embedded.layers[0].weights)), second, rtol=0.02)


@pytest.mark.slow
def test_factored_weights_begin_as_they_would_without():
    plain, factored = (
        NETWORKS["plain"](),
        MLP(2, (7, 5), 3, key=KEY, factorization=Factorization(2.0, 0.3)),
    )
    np.testing.assert_allclose(plain(POINTS), factored(POINTS), rtol=1e-12)
    scales = jnp.concatenate(
        [
            layer.scales
            for layer in MLP(1, (400,) * 3, 1, key=KEY, factorization=Factorization()).layers
        ]
    )
    np.testing.assert_allclose([float(scales.mean()), float(scales.std())], [1.0, 0.1], rtol=0.05)
    assert parameters.count(factored) == parameters.count(plain) + 7 + 5 + 3


@pytest.mark.slow
def test_an_input_of_one_value_is_only_shifted():
    @jax.jit
    def of_key(key: jax.Array, points: jax.Array) -> jax.Array:
        return MLP(2, (4,), 1, bounds=((0.0, 5.0), (1.0, 5.0)), key=key)(points)

    assert np.isfinite(of_key(KEY, jnp.array([[0.5, 5.0], [1.0, 6.0]]))).all()


def test_networks_keep_float32():
    def of_key(key: jax.Array) -> jax.Array:
        network = MLP(2, (4,), 1, bounds=BOUNDS, embed=FourierFeatures(2, 4, key=key), key=key)
        return network(jnp.ones((3, 2), jnp.float32))

    with jax.enable_x64(False):
        assert jax.eval_shape(of_key, KEY).dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MLP(2, (4,), 1, "tan", key=KEY), "unknown activation 'tan'; there are: relu"),
        (lambda: MLP(0, (4,), 1, key=KEY), "positive integers"),
        (lambda: MLP(2, (4, 0), 1, key=KEY), "positive integers"),
        (lambda: MLP(2, (4, 1.5), 1, key=KEY), "positive integers"),
        (lambda: MLP(2, 4, 1, key=KEY), "widths is 4; it must be a sequence"),
        (lambda: MLP(2, (4,), 1, bounds=((0,), (1,)), key=KEY), "upper corners of a box of 2"),
        (lambda: MLP(2, (4,), 1, bounds=((0, 2), (1, 1)), key=KEY), "upper corners of a box of 2"),
        (
            lambda: MLP(2, (4,), 1, bounds=((0, 0), (1, float("nan"))), key=KEY),
            "upper corners of a box",
        ),
        (lambda: MLP(2, (4,), 1, bounds=(0, 1), key=KEY), "bounds are"),
        (lambda: MLP(2, (4,), 1, bounds=3, key=KEY), "bounds are"),
        (lambda: ModifiedMLP(2, 4, 0, 1, key=KEY), "at least one hidden layer"),
        (lambda: FourierFeatures(2, 7, key=KEY), "dim is 7"),
        (lambda: FourierFeatures(2, 0, key=KEY), "positive integers"),
        (lambda: FourierFeatures(2, 8, scale=-1.0, key=KEY), "scale is -1.0"),
    ],
)
def test_arguments_that_make_no_network_are_errors(make, match):
    with pytest.raises(CompileError, match=match) as caught:
        make()
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_network_without_hidden_layers_is_affine():
    network = MLP(2, (), 3, key=KEY)
    np.testing.assert_allclose(
        values(network, POINTS), affine(network.layers[0], POINTS), rtol=1e-12
    )
