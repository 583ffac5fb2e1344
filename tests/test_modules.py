"""Layers: what they compute, their parameters, derivatives and Fields, and how they are trained."""

import copy
import math
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import ACTIVATIONS

import tessera as ts
from tessera import graph, nn, op
from tessera.core.errors import Code, TesseraError
from tessera.core.numerics import tolerance
from tessera.pde.field import Field

RTOL, ATOL = tolerance(jnp.float32)
KEYS = jax.random.split(jax.random.key(7), 4)
WORDS = {**{word: f for word, f in ACTIVATIONS.items() if word}, "sin": np.sin}
CONFIG = {"heads": 2, "ffn_width": 12, "vocabulary": 11}
CONFIGS = {
    "plain": CONFIG,
    "gated": {**CONFIG, "heads": 4, "kv_heads": 2, "gated": True, "activation": "silu"},
    "classic": {**CONFIG, "norm": "layernorm", "bias": True, "rope_theta": None, "tied": True},
    "both_ways": {**CONFIG, "causal": False, "head_dim": 6, "eps": 1e-3},
}
TOKENS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 10]])


def raised(call, code: Code) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        call()
    assert caught.value.code is code, caught.value
    return caught.value


def exact(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def drawn(make, *sizes, **words):
    """Returns a module with NumPy's numbers in all of its arrays, biases and norms too."""
    shape = jax.eval_shape(lambda: make(*sizes, key=0, **words))
    numbers = np.random.default_rng(0)

    def fill(leaf):
        spread = 1 / math.sqrt(leaf.shape[-1 if leaf.ndim == 1 else -2])
        return jnp.asarray(spread * numbers.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree.map(fill, shape)


@jax.jit
def run(module, x):
    return module(x)


def parameters(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


# -- linear, mlp, embedding ------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 0), (2, 1, 3)])
def test_a_linear_layer_is_an_affine_map_of_the_last_axis(lead):
    layer = drawn(op.linear, 3, 4)
    x = jax.random.normal(KEYS[0], (*lead, 3))
    w, b = exact((layer.weight, layer.bias))
    np.testing.assert_allclose(layer(x), exact(x) @ w + b, RTOL, ATOL)
    assert layer(x).shape == (*lead, 4)


def test_a_layer_without_bias_is_linear():
    layer = op.linear(3, 4, bias=False, key=0)
    x = jax.random.normal(KEYS[0], (5, 3))
    np.testing.assert_allclose(layer(x), exact(x) @ exact(layer.weight), RTOL, ATOL)
    assert len(jax.tree.leaves(layer)) == 1


@pytest.mark.parametrize("word", WORDS)
def test_an_mlp_alternates_affine_maps_and_activations(word):
    net = drawn(op.mlp, 3, [5, 4], 2, word)
    x = jax.random.normal(KEYS[0], (6, 3))
    y = exact(x)
    for layer in exact(net).layers[:-1]:
        y = WORDS[word](y @ layer.weight + layer.bias)
    last = exact(net).layers[-1]
    np.testing.assert_allclose(net(x), y @ last.weight + last.bias, 10 * RTOL, ATOL)


def test_hidden_is_one_width_or_a_list_of_widths():
    shapes = [[layer.weight.shape for layer in op.mlp(3, h, 2, key=0).layers] for h in (5, [5], [])]
    assert shapes == [[(3, 5), (5, 2)], [(3, 5), (5, 2)], [(3, 2)]]


def test_weights_are_glorot_uniform_and_biases_zero():
    layer = op.linear(300, 100, key=0)
    limit = math.sqrt(6 / 400)
    assert np.abs(layer.weight).max() <= limit
    assert not layer.bias.any()
    # 30000 draws of w^2, each limit^2 (1/3 +- 0.3): six deviations of their mean.
    mean = np.mean(exact(layer.weight) ** 2) / limit**2
    assert abs(mean - 1 / 3) < 6 * math.sqrt(4 / 45 / 30000)
    table = op.embedding(50, 14, key=0).weight
    assert np.abs(table).max() <= math.sqrt(6 / 64)


def test_a_seed_is_a_key_and_keys_give_other_weights():
    first, same, other = (
        op.mlp(3, 4, 2, key=key).layers for key in (5, jax.random.key(5), jax.random.key(6))
    )
    assert (first[0].weight == same[0].weight).all()
    assert (first[0].weight != other[0].weight).all()
    assert not np.isin(first[0].weight, first[1].weight).any()


def test_parameters_of_a_narrow_dtype_are_the_wide_ones_rounded():
    wide, narrow = op.mlp(3, 4, 2, key=0), op.mlp(3, 4, 2, key=0, dtype="bf16")
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), wide)
    jax.tree.map(np.testing.assert_array_equal, narrow, rounded)
    x = jax.random.normal(KEYS[0], (5, 3), jnp.bfloat16)
    assert narrow(x).dtype == jnp.bfloat16
    assert narrow(x.astype(jnp.float32)).dtype == jnp.float32
    rtol, atol = tolerance(jnp.bfloat16)
    np.testing.assert_allclose(exact(narrow(x)), exact(wide(x)), 2 * rtol, 2 * atol)


@pytest.mark.usefixtures("x64")
def test_parameters_in_double_precision_compute_in_it():
    net = op.mlp(3, 4, 2, "tanh", key=0, dtype="fp64")
    x = jax.random.normal(KEYS[0], (5, 3), jnp.float64)
    first, last = exact(net).layers
    expected = np.tanh(exact(x) @ first.weight) @ last.weight
    np.testing.assert_allclose(net(x), expected, *tolerance(jnp.float64))


def test_the_leaves_of_a_module_are_its_parameters():
    net = op.mlp(3, [5, 4], 2, "sin", key=0)
    assert parameters(net) == (3 * 5 + 5) + (5 * 4 + 4) + (4 * 2 + 2)
    assert all(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(net))
    assert parameters(op.embedding(7, 3, key=0)) == 21
    other = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    x = jnp.ones((2, 3))
    assert (other(x) == net(x)).all()
    assert isinstance(net, nn.MLP)
    assert nn.mlp is op.mlp


def test_an_embedding_reads_rows_by_the_rules_of_gather():
    layer = op.embedding(5, 3, key=0)
    ids = np.array([[0, 4], [-1, 2]], np.int32)
    np.testing.assert_array_equal(layer(ids), np.asarray(layer.weight)[ids])
    error = raised(lambda: layer(jnp.array([1, 5])), Code.E_ILLEGAL_ADDRESS)
    assert "embedding: index 5 at 1" in error.message
    assert raised(lambda: layer(jnp.ones(2)), Code.E_GRAPH_INVALID)
    gradient = jax.grad(lambda m: m(jnp.array([2, 2, 0])).sum())(layer).weight
    np.testing.assert_array_equal(gradient[:, 0], [1, 0, 2, 0, 0])


# -- derivatives, transformations, training --------------------------------------------------------------

NET = drawn(op.mlp, 3, [5, 4], 2, "tanh")
X = jax.random.normal(KEYS[1], (6, 3))


def plain(net, x):
    """Returns the network at one point, in plain JAX."""
    for layer in net.layers[:-1]:
        x = jnp.tanh(x @ layer.weight + layer.bias)
    return x @ net.layers[-1].weight + net.layers[-1].bias


def plain_rows(net, x):
    return jax.vmap(lambda row: plain(net, row))(x)


def trained(module, loss, rate, steps):
    """Returns the loss at every step of gradient descent with momentum."""
    optimiser = optax.sgd(rate, momentum=0.9)

    def step(state, _):
        module, moments = state
        value, gradient = jax.value_and_grad(loss)(module)
        updates, moments = optimiser.update(gradient, moments)
        return (optax.apply_updates(module, updates), moments), value

    train = jax.jit(lambda state: jax.lax.scan(step, state, length=steps)[1])
    return train((module, optimiser.init(module)))


def test_gradients_are_those_of_plain_jax_and_have_the_structure_of_the_module():
    found, expected = (
        jax.jit(jax.grad(lambda net, f=f: jnp.sum(f(net, X) ** 2)))(NET)
        for f in (lambda net, x: net(x), plain_rows)
    )
    assert jax.tree.structure(found) == jax.tree.structure(NET)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 10 * RTOL, 10 * ATOL), found, expected
    )


def test_the_hessian_is_that_of_plain_jax():
    found, expected = (jax.jit(jax.hessian(f))(X[0]) for f in (NET, lambda x: plain(NET, x)))
    np.testing.assert_allclose(found, expected, 10 * RTOL, 10 * ATOL)


def test_many_modules_run_as_one():
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), NET)
    found = jax.jit(jax.vmap(lambda net, x: net(x), (0, None)))(many, X)
    for i, net in enumerate((NET, jax.tree.map(lambda leaf: 2 * leaf, NET))):
        np.testing.assert_allclose(found[i], run(net, X), RTOL, ATOL)


def test_programs_take_modules_as_arguments_and_by_closure():
    expected = NET(X)
    for program in (
        eqx.filter_jit(NET),
        jax.jit(lambda x: NET(x)),
        lambda x: run(NET, x),
        lambda x: ts.compile(lambda net, x: net(x))(NET, x),
        lambda x: op.pipeline([NET])(x),
    ):
        np.testing.assert_allclose(program(X), expected, RTOL, ATOL)


def test_an_activation_is_the_epilogue_of_its_product():
    text = ts.inspect(lambda net, x: net(x), "graph", NET, X)
    assert text.count("tessera.graph.matmul") == 3
    assert text.count('activation = "tanh"') == 2
    assert "tessera.graph.tanh" not in text


def test_a_captured_module_is_the_parameter_of_a_graph_module():
    predict = graph.module(lambda x: NET(x))
    np.testing.assert_allclose(predict(X), NET(X), RTOL, ATOL)
    assert jax.tree.structure(predict.parameters()["NET"]) == jax.tree.structure(NET)


def test_optax_trains_a_network_to_a_function():
    x = jnp.linspace(-1, 1, 32)[:, None]
    net = op.mlp(1, 16, 1, "tanh", key=0)
    losses = trained(net, lambda net: op.mse(net(x), jnp.sin(3 * x)), 0.1, 400)
    assert losses[-1] < losses[0] / 20


# -- Fields ----------------------------------------------------------------------------------------------


def points():
    return op.coords(X, names=("x", "y", "t"))


def test_a_network_of_a_field_is_a_field_with_its_values():
    u = NET(points())
    assert isinstance(u, Field)
    assert u.names == ("x", "y", "t")
    np.testing.assert_allclose(u.array, plain_rows(NET, X), RTOL, ATOL)
    assert isinstance(op.linear(3, 2, key=0)(points()), Field)


def test_derivatives_of_the_field_of_a_network_are_those_of_jax_hessian():
    def derivatives(x):
        u = NET(op.coords(x, names=("x", "y", "t")))
        return op.grad(op.grad(u, "x"), "t"), op.laplacian(u, axes=("x", "y"))

    hessian = jax.jit(jax.vmap(jax.hessian(lambda x: plain(NET, x))))(X)
    mixed, laplacian = jax.jit(derivatives)(X)
    expected = hessian[..., 0, 0] + hessian[..., 1, 1]
    np.testing.assert_allclose(mixed, hessian[..., 0, 2], 20 * RTOL, 20 * ATOL)
    np.testing.assert_allclose(laplacian, expected, 20 * RTOL, 20 * ATOL)


def test_the_flow_of_a_stream_function_has_no_divergence():
    psi = NET(points())[..., 0]
    flow = [op.grad(psi, "y"), -op.grad(psi, "x")]
    assert not np.asarray(op.div(flow, axes=("x", "y"))).any()


def test_a_list_of_inputs_is_joined_on_the_last_axis():
    words = {"hidden": 4, "out_dim": 2, "key": 0}
    net = op.mlp(3, **words)
    found = op.mlp([X[:, :1], X[:, 1:]], **words)
    np.testing.assert_allclose(found, net(X), RTOL, ATOL)
    field = points()
    joined = op.mlp([field["x"], field["y"], field["t"]], **words)
    np.testing.assert_allclose(joined.array, net(X), RTOL, ATOL)


# -- transformers ----------------------------------------------------------------------------------------


def normed(x, norm, config):
    if config.norm == "layernorm":
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt((x**2).mean(-1, keepdims=True) + config.eps) * norm.weight
    return y if norm.bias is None else y + norm.bias


def mapped(x, layer):
    y = x @ layer.weight
    return y if layer.bias is None else y + layer.bias


def turned(x, theta):
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] * theta ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], -1)


def attended(x, block, config):
    batch, length, _ = x.shape
    depth, groups = config.head_dim, config.kv_heads
    edges = [depth * config.heads, depth * (config.heads + groups)]
    parts = np.split(mapped(x, block.qkv), edges, axis=-1)
    q, k, v = (p.reshape(batch, length, -1, depth).swapaxes(1, 2) for p in parts)
    if config.rope_theta is not None:
        q, k = turned(q, config.rope_theta), turned(k, config.rope_theta)
    k, v = (np.repeat(p, config.heads // groups, axis=1) for p in (k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(depth)
    if config.causal:
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = weights / weights.sum(-1, keepdims=True) @ v
    return mapped(out.swapaxes(1, 2).reshape(batch, length, -1), block.out)


def after_block(x, block, config):
    x = x + attended(normed(x, block.attention_norm, config), block, config)
    h = normed(x, block.ffn_norm, config)
    act = ACTIVATIONS[config.activation]
    if block.gate is None:
        return x + mapped(act(mapped(h, block.up)), block.down)
    return x + mapped(act(mapped(h, block.gate)) * mapped(h, block.up), block.down)


def logits_of(model, tokens):
    """Returns the logits of a model, from the formulas, in NumPy and float64."""
    weights = exact(model)
    x = weights.embedding.weight[tokens]
    for i in range(len(weights.blocks.qkv.weight)):
        x = after_block(x, jax.tree.map(lambda leaf, i=i: leaf[i], weights.blocks), model.config)
    x = normed(x, weights.norm, model.config)
    return x @ (weights.embedding.weight.T if weights.head is None else weights.head.weight)


def model_of(name, **more):
    return drawn(op.transformer, 8, 2, config={**CONFIGS[name], **more})


@pytest.mark.parametrize("name", CONFIGS)
def test_a_transformer_computes_what_its_formulas_say(name):
    model = model_of(name)
    found, expected = run(model, TOKENS), logits_of(model, TOKENS)
    np.testing.assert_allclose(found, expected, 50 * RTOL, 50 * ATOL * np.abs(expected).max())


@pytest.mark.usefixtures("x64")
def test_a_transformer_in_double_precision_computes_in_it():
    model = model_of("gated", dtype="fp64")
    rtol, atol = tolerance(jnp.float64)
    np.testing.assert_allclose(run(model, TOKENS), logits_of(model, TOKENS), 10 * rtol, 10 * atol)


def test_a_transformer_keeps_its_dtype():
    model = model_of("plain", dtype="bf16")
    assert {leaf.dtype for leaf in jax.tree.leaves(model)} == {jnp.dtype(jnp.bfloat16)}
    found = run(model, TOKENS)
    assert found.dtype == jnp.bfloat16
    expected = logits_of(model, TOKENS)
    # Each of some ten roundings on the way moves a logit by a unit of the last of its 8 bits.
    assert np.abs(exact(found) - expected).max() < 10 * 2**-8 * np.abs(expected).max()


def test_later_tokens_do_not_change_earlier_logits():
    later = TOKENS.copy()
    later[:, 3:] = 0
    causal, both = (
        [np.asarray(run(model_of(name), tokens))[:, :3] for tokens in (TOKENS, later)]
        for name in ("plain", "both_ways")
    )
    np.testing.assert_allclose(*causal, RTOL, ATOL)
    assert np.abs(both[0] - both[1]).min() > 0


def test_a_transformer_takes_any_leading_axes_also_empty():
    model = model_of("plain")
    expected = run(model, TOKENS)
    np.testing.assert_allclose(model(TOKENS.reshape(2, 1, 5))[:, 0], expected, RTOL, ATOL)
    np.testing.assert_allclose(model(TOKENS[0]), expected[0], 10 * RTOL, 10 * ATOL)
    for lead, length in ((0, 5), (2, 0)):
        shape = jax.eval_shape(model, jax.ShapeDtypeStruct((lead, length), jnp.int32))
        assert shape.shape == (lead, length, 11)
    assert model(jnp.zeros((0, 5), int)).shape == (0, 5, 11)


def test_the_number_of_parameters_is_that_of_the_formulas():
    gated, classic = (drawn(op.transformer, 8, 3, config=CONFIGS[n]) for n in ("gated", "classic"))
    block = 8 + 8 * (4 + 2 + 2) * 2 + 8 * 8 + 8 + 3 * 8 * 12
    assert parameters(gated) == 11 * 8 + 3 * block + 8 + 8 * 11
    block = 2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 12 + 12) + (12 * 8 + 8)
    assert parameters(classic) == 11 * 8 + 3 * block + 16


def test_a_transformer_learns_a_sequence():
    tokens = jnp.arange(10).reshape(2, 5)

    def loss(model):
        return op.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])

    model = jax.jit(lambda key: op.transformer(8, 2, config=CONFIG, key=key))(jax.random.key(0))
    losses = trained(model, loss, 0.1, 200)
    assert abs(losses[0] - math.log(11)) < 1  # a guess, to begin with
    assert losses[-1] < losses[0] / 10


def test_a_block_is_a_function_of_its_parameters():
    block = drawn(nn.TransformerBlock, 8, config=CONFIG)
    x = jax.random.normal(KEYS[0], (2, 5, 8))
    once = op.transformer_block(x, config=CONFIG, params=block)
    expected = after_block(exact(x), exact(block), block.config)
    np.testing.assert_allclose(once, expected, 10 * RTOL, 10 * ATOL)
    np.testing.assert_allclose(block(x), once, RTOL, ATOL)
    twice = op.transformer_block(x, config=CONFIG, params=block, depth=2)
    np.testing.assert_allclose(twice, block(once), RTOL, ATOL)
    assert (op.transformer_block(x, config=CONFIG, params=block, depth=0) == x).all()
    narrow = op.transformer_block(x.astype(jnp.bfloat16), config=CONFIG, params=block)
    assert narrow.dtype == jnp.bfloat16


def test_a_config_may_change_what_no_array_depends_on():
    block = drawn(nn.TransformerBlock, 8, config=CONFIG)
    x = jax.random.normal(KEYS[0], (2, 5, 8))
    config = nn.TransformerConfig(heads=2, ffn_width=12, causal=False)
    both = op.transformer_block(x, config=config, params=block)
    resolved = drawn(nn.TransformerBlock, 8, config=config).config
    expected = after_block(exact(x), exact(block), resolved)
    np.testing.assert_allclose(both, expected, 10 * RTOL, 10 * ATOL)
    error = raised(
        lambda: op.transformer_block(x, config={**CONFIG, "heads": 4}, params=block),
        Code.E_GRAPH_INVALID,
    )
    assert "heads is 4 in config, but 2 in params" in error.message


# -- what makes no sense ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: op.linear(2, 3), "linear: there is no key"),
        (lambda: op.mlp(2, 3, 4), "mlp: there is no key"),
        (lambda: op.embedding(2, 3), "embedding: there is no key"),
        (lambda: op.transformer(8, 2, config=CONFIG), "transformer: there is no key"),
        (lambda: op.linear(2, 3, key="seed"), "of type str"),
        (lambda: op.linear(0, 3, key=0), "din is 0"),
        (lambda: op.linear(2, 1.5, key=0), "dout is 1.5"),
        (lambda: op.linear(2, 3, key=0, dtype="int32"), "int32, not a float"),
        (lambda: op.mlp(2, [3, -1], 4, key=0), "hidden is -1"),
        (lambda: op.mlp(2, 3, 4, "relu6", key=0), "'relu6'; one of relu, gelu"),
        (lambda: op.mlp([], 3, 4, key=0), "inputs is empty"),
        (lambda: op.transformer(8, 2, config={}), "lacks heads, ffn_width, vocabulary"),
        (lambda: op.transformer(8, 2, config={"heads": 2}), "lacks ffn_width, vocabulary"),
        (lambda: op.transformer_block(X, config={}, params={}), "lacks heads, ffn_width"),
        (lambda: op.transformer_block(X, config=CONFIG, params={}), "params is a dict"),
        (lambda: op.transformer(8, 2, config={**CONFIG, "head": 2}), "unknown head; fields: heads"),
        (lambda: op.transformer(9, 2, config=CONFIG, key=0), "divide the hidden size 9"),
        (lambda: op.transformer(6, 2, config=CONFIG, key=0), "rope needs an even one"),
        (
            lambda: op.transformer(8, 2, config={**CONFIG, "kv_heads": 3}, key=0),
            "kv_heads is 3, which does not divide heads, 2",
        ),
        (lambda: op.transformer(8, 0, config=CONFIG, key=0), "layers is 0"),
        (lambda: op.transformer(8, 2, config={**CONFIG, "norm": "batch"}, key=0), "norm 'batch'"),
    ],
)
def test_a_module_that_cannot_be_made_says_what_is_wrong(call, words):
    assert words in raised(call, Code.E_GRAPH_INVALID).message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: op.linear(4, 2, key=0)(X), ["linear", "(6, 3)", "takes 4"]),
        (lambda: NET(X[:, :2]), ["mlp", "(6, 2)", "takes 3"]),
        (lambda: NET(1.0), ["mlp", "()", "takes 3"]),
        (lambda: NET(op.coords(X[:, :2], names=("x", "y"))), ["mlp", "(6, 2)", "takes 3"]),
        (lambda: op.mlp([X, X[:2]], 3, 4, key=0), ["(6, 3), (2, 3)"]),
        (
            lambda: drawn(nn.TransformerBlock, 8, config=CONFIG)(X),
            ["transformer_block", "(6, 3)", "(..., length, 8)"],
        ),
        (lambda: model_of("plain")(jnp.array(1)), ["one integer"]),
    ],
)
def test_an_array_that_does_not_fit_is_named_with_what_would(call, words):
    message = raised(call, Code.E_SHAPE_MISMATCH).message
    assert all(word in message for word in words), message


def test_nan_goes_through_a_network_and_not_to_other_rows():
    y = NET(X.at[2].set(jnp.nan))
    assert np.isnan(y).all(axis=1).tolist() == [False, False, True, False, False, False]
