"""`op.moe` and what it is made of: routes, dispatch, one program for all experts."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import tessera as ts
from tessera import op
from tessera.core.errors import Code, CompileError, TesseraError, TesseraWarning
from tessera.ops.moe import experts as expert_programs
from tessera.ops.moe.exchange import _gather, _spread

TOKENS, WIDTH, HIDDEN, EXPERTS = 13, 6, 8, 4


def drawn(seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 5)
    x = jax.random.normal(keys[0], (TOKENS, WIDTH), dtype)
    params = {
        "up": jax.random.normal(keys[1], (EXPERTS, WIDTH, HIDDEN), dtype) / 3,
        "bias": jax.random.normal(keys[2], (EXPERTS, HIDDEN), dtype),
        "down": jax.random.normal(keys[3], (EXPERTS, HIDDEN, WIDTH), dtype) / 3,
    }
    return x, params, jax.random.normal(keys[4], (TOKENS, EXPERTS), dtype)


def mlp(p, rows):
    return (
        jax.nn.gelu(rows @ p["up"] + jnp.broadcast_to(p["bias"], (rows.shape[0], HIDDEN)))
        @ p["down"]
    )


def one_of(params, e):
    return jax.tree.map(lambda a: a[e], params)


def by_tokens(x, outputs, index, gate, dropped=()):
    """The mixture by its definition in float64, from what every expert makes of every token."""
    y = np.zeros((len(x), outputs[0].shape[-1]))
    for t in range(len(x)):
        for j in range(index.shape[1]):
            if (t, j) not in dropped:
                y[t] += np.float64(gate[t, j]) * np.float64(outputs[index[t, j]][t])
    return y


def outputs_of(x, params):
    return [mlp(one_of(params, e), x) for e in range(EXPERTS)]


def dense(x, params, index, gate):
    """The mixture as a product with a matrix of gates: every expert sees every token."""
    weight = jnp.sum(jax.nn.one_hot(index, EXPERTS, dtype=x.dtype) * gate[..., None], axis=1)
    every = jax.vmap(mlp, (0, None))(params, x)
    return jnp.einsum("te,etn->tn", weight, every)


# -- topk and routers ------------------------------------------------------------------------------------


def test_ties_go_to_the_lowest_index_eagerly_and_under_jit():
    scores = jnp.array([[0.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [-1.0, -2.0, -1.0, -2.0]])
    for f in (op.topk, jax.jit(op.topk, static_argnums=1)):
        index, gate = f(scores, 2)
        assert index.tolist() == [[1, 2], [0, 1], [0, 2]]
        np.testing.assert_allclose(gate, 0.5)


def test_gates_are_normalised_after_the_selection():
    scores = jnp.array([1.0, 9.0, 3.0, 2.0])
    index, gate = op.topk(scores, 2)
    np.testing.assert_allclose(gate, jax.nn.softmax(scores[index]), rtol=1e-6)
    assert op.topk(scores, 2, softmax=False)[1].tolist() == [9.0, 3.0]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_infinities_stand_in_order_and_zeros_of_both_signs_are_equal(dtype):
    least = jnp.finfo(dtype).min
    row = jnp.array([-jnp.inf, least, jnp.nan, -0.0, 0.0, jnp.inf, -1.0, least], dtype)
    assert op.topk(row, 8, softmax=False)[0].tolist() == [2, 5, 3, 4, 6, 1, 7, 0]
    assert op.topk(row[:2], 1, softmax=False)[0].tolist() == [1]


@pytest.mark.parametrize("k", [0, 5])
def test_topk_needs_as_many_scores_as_it_chooses(k):
    with pytest.raises(CompileError, match=f"k is {k} but scores have shape") as caught:
        op.topk(jnp.ones((2, 4)), k)
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_a_router_scores_by_its_weights_and_temperature():
    x, _, _ = drawn()
    rule = op.router(EXPERTS, k=3, temperature=0.5)
    params = rule.init(3, WIDTH)
    route = rule.apply(params, x)
    index, gate = op.topk(x @ params["w"] / 0.5, 3)
    np.testing.assert_array_equal(route.index, index)
    np.testing.assert_allclose(route.gate, gate, rtol=1e-5)
    np.testing.assert_allclose(route.probabilities.sum(-1), 1, rtol=1e-6)


def test_switch_keeps_the_probability_over_all_experts_as_its_gate():
    _, _, scores = drawn()
    route = op.router(EXPERTS, strategy="switch").choose(scores)
    np.testing.assert_array_equal(route.index[:, 0], jnp.argmax(scores, -1))
    np.testing.assert_allclose(route.gate[:, 0], jax.nn.softmax(scores).max(-1), rtol=1e-6)


def test_hash_sends_equal_tokens_to_one_expert_and_spreads_the_rest():
    x = jax.random.normal(jax.random.key(1), (4096, 3))
    rule = op.router(8, strategy="hash")
    route = rule.apply({}, jnp.concatenate([x, x]))
    first, second = jnp.split(route.index[:, 0], 2)
    np.testing.assert_array_equal(first, second)
    load = np.bincount(first, minlength=8)
    assert load.min() > 400  # 512 expected, standard deviation 21
    assert route.gate.min() == route.gate.max() == 1


def test_jitter_needs_a_key_and_depends_on_it_alone():
    x, _, _ = drawn()
    rule = op.router(EXPERTS, jitter=0.5)
    params = rule.init(0, WIDTH)
    with pytest.raises(CompileError, match="jitter > 0 needs a key") as caught:
        rule.apply(params, x)
    assert caught.value.code is Code.E_GRAPH_INVALID
    gates = [rule.apply(params, x, key=key).gate for key in (1, 1, 2)]
    np.testing.assert_array_equal(gates[0], gates[1])
    assert np.any(gates[0] != gates[2])


def test_a_logit_bias_moves_the_choice():
    _, _, scores = drawn()
    never_three = lambda s: jnp.zeros_like(s).at[:, 3].set(-1e9)  # noqa: E731
    route = op.router(EXPERTS, logit_bias_fn=never_three).choose(scores)
    assert not np.any(np.asarray(route.index) == 3)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"strategy": "top9"}, "unknown strategy 'top9'; one of topk, top2, switch, hash"),
        ({"strategy": "top2", "k": 3}, "strategy 'top2' chooses 2, but k is 3"),
        ({"k": 9}, "k is 9, not between 1 and the number of experts, 4"),
        ({"temperature": 0.0}, "temperature is 0.0, not positive"),
        ({"jitter": 2}, r"jitter is 2.0, not in \[0, 1\]"),
    ],
)
def test_bad_router_arguments_are_refused(words, text):
    with pytest.raises(CompileError, match=text) as caught:
        op.router(EXPERTS, **words)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_router_without_a_number_of_experts_cannot_draw_weights():
    with pytest.raises(CompileError, match="the number of experts is not known"):
        op.router().init(0, WIDTH)


def test_the_balance_loss_is_one_for_equal_shares_and_the_formula_otherwise():
    _, _, scores = drawn()
    route = op.router(EXPERTS, k=2).choose(scores)
    share = np.bincount(np.ravel(route.index), minlength=EXPERTS) / (2 * TOKENS)
    mean = np.asarray(jax.nn.softmax(scores), np.float64).mean(0)
    np.testing.assert_allclose(op.aux_loss(route), EXPERTS * np.sum(share * mean), rtol=1e-5)
    even = op.router(2, k=1).choose(jnp.array([[5.0, -5.0], [-5.0, 5.0]]))
    np.testing.assert_allclose(op.aux_loss(even), 1.0, rtol=1e-6)
    with pytest.raises(CompileError, match="no probabilities") as caught:
        op.aux_loss(op.Route(route.index, route.gate))
    assert caught.value.code is Code.E_GRAPH_INVALID


# -- dispatch and combine --------------------------------------------------------------------------------


def test_rows_lie_by_expert_in_the_order_of_their_tokens():
    x, _, scores = drawn()
    route = op.router(EXPERTS).choose(scores)
    rows, back = op.moe_dispatch(x, route)
    flat = np.ravel(route.index)
    np.testing.assert_array_equal(rows, np.asarray(x)[np.argsort(flat, kind="stable") // 2])
    np.testing.assert_array_equal(back.sizes, np.bincount(flat, minlength=EXPERTS))


def test_identity_experts_give_the_token_times_its_gates():
    x, _, scores = drawn()
    index, gate = op.topk(scores, 3, softmax=False)
    route = op.Route(index, gate, experts=EXPERTS)
    rows, back = op.moe_dispatch(x, route)
    np.testing.assert_allclose(
        op.moe_combine(rows, back), gate.sum(-1, keepdims=True) * x, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(op.moe_combine(rows, back, reduce="mean"), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("capacity", [None, 3])
def test_both_moves_are_each_others_transpose(capacity, x64):
    x, _, scores = drawn(dtype=jnp.float64)
    index, gate = op.topk(scores, 2)
    rows, back = op.moe_dispatch(x, op.Route(index, gate, experts=EXPERTS), capacity=capacity)
    ct = jnp.cos(jnp.arange(rows.size, dtype=rows.dtype)).reshape(rows.shape)
    spread = lambda x: _spread.bind(x, back.source, back.place)  # noqa: E731
    gather = lambda r, g: _gather.bind(r, g, back.source, back.place)  # noqa: E731
    check_grads(spread, (x,), order=1, modes=("fwd", "rev"), rtol=1e-6)
    check_grads(gather, (ct, gate), order=1, modes=("fwd", "rev"), rtol=1e-6)
    ours = jax.vjp(spread, x)[1](ct)[0]
    plain = jax.vjp(lambda x: _spread.reference(x, back.source, back.place), x)[1](ct)[0]
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-12)


def test_neither_direction_of_the_gradient_scatters():
    x, _, scores = drawn()
    route = op.router(EXPERTS).choose(scores)

    def loss(x, gate):
        rows, back = op.moe_dispatch(x, op.Route(route.index, gate, experts=EXPERTS))
        return jnp.sum(op.moe_combine(jnp.sin(rows), back) ** 2)

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, route.gate).as_text()
    assert "stablehlo.scatter" not in text


def test_a_route_that_does_not_fit_is_refused():
    x, _, scores = drawn()
    route = op.router(EXPERTS).choose(scores)
    with pytest.raises(CompileError, match=r"index \(13, 2\)") as caught:
        op.moe_dispatch(x[:5], route)
    assert caught.value.code is Code.E_SHAPE_MISMATCH
    with pytest.raises(CompileError, match="how many experts") as caught:
        op.moe_dispatch(x, op.Route(route.index, route.gate))
    assert caught.value.code is Code.E_GRAPH_INVALID
    rows, back = op.moe_dispatch(x, route)
    with pytest.raises(CompileError, match="one of sum, mean") as caught:
        op.moe_combine(rows, back, reduce="max")
    assert caught.value.code is Code.E_GRAPH_INVALID
    with pytest.raises(CompileError, match="partials have shape") as caught:
        op.moe_combine(rows[1:], back)
    assert caught.value.code is Code.E_SHAPE_MISMATCH


# -- the mixture -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
def test_values_equal_the_definition(k):
    x, params, scores = drawn()
    index, gate = op.topk(scores, k)
    exact = by_tokens(x, outputs_of(x, params), np.asarray(index), np.asarray(gate))
    route = op.Route(index, gate)
    modules = [partial(mlp, one_of(params, e)) for e in range(EXPERTS)]
    for experts in ((mlp, params), modules):
        run = lambda x, e=experts: op.moe(x, e, router=route)  # noqa: E731
        np.testing.assert_allclose(run(x), exact, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(jax.jit(run)(x), exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        op.moe_apply(x, (mlp, params), index, gate), exact, rtol=1e-5, atol=1e-5
    )


def test_gradients_equal_the_dense_formulation(x64):
    x, params, scores = drawn(dtype=jnp.float64)
    index = op.topk(scores, 2)[0]

    def loss(mixture, x, params, scores):
        gate = jax.nn.softmax(jnp.take_along_axis(scores, index, -1))
        return jnp.sum(jnp.sin(mixture(x, params, index, gate)))

    ours = lambda x, p, i, g: op.moe_apply(x, (mlp, p), i, g)  # noqa: E731
    found = jax.jit(jax.grad(partial(loss, ours), (0, 1, 2)))(x, params, scores)
    exact = jax.grad(partial(loss, dense), (0, 1, 2))(x, params, scores)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    check_grads(partial(loss, ours), (x, params, scores), order=1, modes=("fwd",), rtol=1e-5)


def test_second_derivatives_equal_the_dense_formulation(x64):
    x, params, scores = drawn(dtype=jnp.float64)
    index, gate = op.topk(scores, 2)
    direction = jnp.cos(x)

    def hvp(mixture):
        loss = lambda x: jnp.sum(jnp.sin(mixture(x, params, index, gate)))  # noqa: E731
        return jax.jvp(jax.grad(loss), (x,), (direction,))[1]

    found = hvp(lambda x, p, i, g: op.moe_apply(x, (mlp, p), i, g))
    np.testing.assert_allclose(found, hvp(dense), rtol=1e-9, atol=1e-9)


def test_experts_of_one_kind_are_one_program_of_grouped_products():
    x, params, scores = drawn()
    closures = [partial(mlp, one_of(params, e)) for e in range(EXPERTS)]
    modules = [eqx.nn.MLP(WIDTH, WIDTH, HIDDEN, 1, key=jax.random.key(e)) for e in range(EXPERTS)]
    mapped = [jax.vmap(m) for m in modules]
    arrays, rest = eqx.partition(modules, eqx.is_array)
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *arrays)
    pair = (lambda m, r: jax.vmap(eqx.combine(m, rest[0]))(r), stacked)
    ops = (lambda p, r: op.matmul(op.ffn(r, p["up"], p["down"]), jnp.eye(WIDTH)), params)
    for experts in (closures, mapped, pair, ops, (mlp, params)):
        run = lambda x, s, e=experts: op.moe(x, e, scores=s)  # noqa: E731
        assert str(jax.make_jaxpr(run)(x, scores)).count("grouped_matmul") == 2
    index, gate = op.topk(scores, 2)
    exact = by_tokens(x, [m(x) for m in mapped], np.asarray(index), np.asarray(gate))
    for experts in (mapped, pair):
        np.testing.assert_allclose(op.moe(x, experts, scores=scores), exact, rtol=1e-4, atol=1e-5)


def test_gradients_reach_what_a_list_of_experts_holds():
    x, params, scores = drawn()
    index, gate = op.topk(scores, 2)

    def loss(params):
        experts = [partial(mlp, one_of(params, e)) for e in range(EXPERTS)]
        return jnp.sum(op.moe_apply(x, experts, index, gate) ** 2)

    found = jax.grad(loss)(params)
    exact = jax.grad(lambda p: jnp.sum(dense(x, p, index, gate) ** 2))(params)
    for name in params:
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-4, atol=1e-4)


def test_experts_of_different_kinds_are_mixed_too():
    x, params, scores = drawn()
    experts = [jnp.sin, lambda r: 2 * r, partial(mlp, one_of(params, 2)), lambda r: r**2]
    assert expert_programs.from_list(experts, jax.ShapeDtypeStruct((1, WIDTH), x.dtype)) is None
    index, gate = op.topk(scores, 2)
    exact = by_tokens(x, [f(x) for f in experts], np.asarray(index), np.asarray(gate))
    np.testing.assert_allclose(op.moe(x, experts, scores=scores), exact, rtol=1e-5, atol=1e-5)
    y, aux = op.moe(x, experts, scores=scores, capacity=2, return_aux=True)
    dropped = late(np.asarray(index), 2)
    exact = by_tokens(x, [f(x) for f in experts], np.asarray(index), np.asarray(gate), dropped)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)
    assert int(aux.dropped) == len(dropped)


def test_an_expert_that_is_infinite_elsewhere_does_not_leak():
    x = jnp.array([[1.0], [-1.0]])
    route = op.Route(jnp.array([[0], [1]]), jnp.ones((2, 1)))
    y = op.moe(x, [jnp.log, lambda r: r], router=route)
    assert y.tolist() == [[0.0], [-1.0]]


def test_an_unusual_expert_is_mapped_over_rows():
    x, params, scores = drawn()

    def odd(p, rows):
        y = jax.lax.fori_loop(0, 3, lambda _, r: jnp.tanh(r @ p["up"] @ p["down"]), rows)
        return jnp.sort(y, axis=-1) * jnp.max(p["bias"])

    index, gate = op.topk(scores, 2)
    exact = by_tokens(
        x, [odd(one_of(params, e), x) for e in range(EXPERTS)], np.asarray(index), np.asarray(gate)
    )
    np.testing.assert_allclose(op.moe(x, (odd, params), scores=scores), exact, rtol=1e-4, atol=1e-5)


def test_the_weight_may_stand_on_the_left_and_contract_several_axes():
    x, _, scores = drawn()
    w = jax.random.normal(jax.random.key(9), (EXPERTS, 5, 2, 3))
    left = lambda w, r: jnp.einsum("oab,nab->no", w, r.reshape(-1, 2, 3))  # noqa: E731
    run = lambda x: op.moe(x, (left, w), scores=scores)  # noqa: E731
    assert "grouped_matmul" in str(jax.make_jaxpr(run)(x))
    index, gate = op.topk(scores, 2)
    exact = by_tokens(
        x, [left(w[e], x) for e in range(EXPERTS)], np.asarray(index), np.asarray(gate)
    )
    np.testing.assert_allclose(run(x), exact, rtol=1e-5, atol=1e-5)


def test_an_expert_that_ignores_its_rows_or_its_parameters():
    x, params, scores = drawn()
    index, gate = op.topk(scores, 2)
    constant = lambda p, r: jnp.broadcast_to(p["bias"], (r.shape[0], HIDDEN))  # noqa: E731
    exact = by_tokens(
        x,
        [constant(one_of(params, e), x) for e in range(EXPERTS)],
        np.asarray(index),
        np.asarray(gate),
    )
    np.testing.assert_allclose(op.moe(x, (constant, params), scores=scores), exact, rtol=1e-5)
    ones = op.moe(x, (lambda p, r: jnp.ones((r.shape[0], 2)), params), scores=scores)
    np.testing.assert_allclose(ones, 1.0, rtol=1e-6)


def late(index, capacity):
    """Assignments beyond the capacity of their expert, in the order of tokens."""
    seen, dropped = {}, set()
    for t, j in np.ndindex(index.shape):
        seen[index[t, j]] = seen.get(index[t, j], 0) + 1
        if seen[index[t, j]] > capacity:
            dropped.add((t, j))
    return dropped


@pytest.mark.parametrize("capacity", [1, 3, 100])
def test_dropped_tokens_are_counted_and_contribute_nothing(capacity):
    x, params, scores = drawn()
    index, gate = op.topk(scores, 2)
    dropped = late(np.asarray(index), capacity)
    exact = by_tokens(x, outputs_of(x, params), np.asarray(index), np.asarray(gate), dropped)
    y, aux = op.moe(x, (mlp, params), scores=scores, capacity=capacity, return_aux=True)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)
    assert int(aux.dropped) == len(dropped)
    np.testing.assert_array_equal(aux.load, np.bincount(np.ravel(index), minlength=EXPERTS))
    np.testing.assert_array_equal(aux.route.index, index)


def test_an_index_of_no_expert_contributes_nothing():
    x, params, scores = drawn()
    index, gate = op.topk(scores, 2)
    bad = index.at[0, 0].set(-1).at[5, 1].set(EXPERTS)
    exact = by_tokens(
        x, outputs_of(x, params), np.asarray(index), np.asarray(gate), {(0, 0), (5, 1)}
    )
    found = op.moe_apply(x, (mlp, params), bad, gate)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def test_leading_axes_and_vmap_equal_the_flat_call():
    x, params, scores = drawn()
    x, scores = x[:12], scores[:12]
    flat = op.moe(x, (mlp, params), scores=scores)
    split = op.moe(x.reshape(2, 6, -1), (mlp, params), scores=scores.reshape(2, 6, -1))
    np.testing.assert_allclose(split.reshape(12, -1), flat, rtol=1e-5, atol=1e-6)
    mapped = jax.vmap(lambda x, s: op.moe(x, (mlp, params), scores=s))(
        x.reshape(2, 6, -1), scores.reshape(2, 6, -1)
    )
    np.testing.assert_allclose(mapped.reshape(12, -1), flat, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_near_float64(dtype):
    x, params, scores = (jax.tree.map(lambda a: a.astype(dtype), part) for part in drawn())
    wide = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float64), tree)  # noqa: E731
    y = op.moe(x, (mlp, params), scores=scores)
    assert y.dtype == dtype
    index, gate = op.topk(scores.astype(jnp.float32), 2)
    exact = by_tokens(
        x,
        [
            np.asarray(mlp(one_of(jax.tree.map(jnp.float32, params), e), jnp.float32(x)))
            for e in range(4)
        ],
        np.asarray(index),
        wide(gate),
    )
    # Two products and an activation, each rounded.
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("tokens", [0, 1])
def test_no_token_and_one_token(tokens):
    x, params, scores = drawn()
    for capacity in (None, 2):
        y = op.moe(x[:tokens], (mlp, params), scores=scores[:tokens], capacity=capacity)
        full = op.moe(x, (mlp, params), scores=scores)[:tokens]
        np.testing.assert_allclose(y, full, rtol=1e-5, atol=1e-6)


def test_words_bound_routers_and_routes_agree():
    x, params, _ = drawn()
    rule = op.router(EXPERTS)
    weights = rule.init(7, WIDTH)
    exact = op.moe(x, (mlp, params), router=rule.apply(weights, x))
    for words in (
        {"router": partial(rule.apply, weights)},
        {"router": rule, "router_params": weights},
        {"router": op.router(), "router_params": weights},
        {"router": "topk", "router_params": weights},
        {"router": "top2", "scores": x @ weights["w"]},
        {"k": 2, "router_params": weights},
    ):
        np.testing.assert_allclose(op.moe(x, (mlp, params), **words), exact, rtol=1e-5, atol=1e-6)


def test_a_bare_word_draws_its_weights_from_seed_zero_and_warns():
    x, params, _ = drawn()
    with pytest.warns(TesseraWarning, match="fixed random weights"):
        found = op.moe(x, (mlp, params), k=2, transport={"type": "auto"}, deterministic=True)
    rule = op.router(EXPERTS, k=2)
    exact = op.moe(x, (mlp, params), router=rule.apply(rule.init(0, WIDTH), x))
    np.testing.assert_array_equal(found, exact)


def test_no_experts_give_zeros_and_a_warning():
    x, _, _ = drawn()
    with pytest.warns(TesseraWarning, match="no experts"):
        y, aux = op.moe(x, [], return_aux=True)
    assert not np.any(y)
    assert int(aux.dropped) == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (
            {"router": "best"},
            Code.E_GRAPH_INVALID,
            "unknown router 'best'; one of topk, top2, switch",
        ),
        ({"drop_policy": "retry"}, Code.E_GRAPH_INVALID, "unknown drop_policy 'retry'"),
        ({"capacity": 0}, Code.E_GRAPH_INVALID, "capacity is 0, not at least 1"),
        ({"mesh": object()}, Code.E_GRAPH_INVALID, "not a dist.Mesh"),
        ({"transport": {"type": "nvshmem"}}, Code.E_DRIVER, "no transport 'nvshmem'; one of auto"),
        ({"transport": {"type": "deepep"}}, Code.E_DRIVER, "no transport 'deepep'"),
        ({"transport": {"type": "multi_qp"}}, Code.E_DRIVER, "no transport 'multi_qp'"),
        (
            {"transport": {"pack_dtype": "fp8_e4m3"}},
            Code.E_GRAPH_INVALID,
            "policy that permits fp8",
        ),
        ({"transport": {"pack_dtype": "int8"}}, Code.E_GRAPH_INVALID, "unknown pack_dtype 'int8'"),
        ({"deterministic": "yes"}, Code.E_GRAPH_INVALID, "deterministic is 'yes'"),
        ({"transport": "auto"}, Code.E_GRAPH_INVALID, "not a dict of type and pack_dtype"),
        ({"router": 3}, Code.E_GRAPH_INVALID, "router is a int"),
        ({"router": op.router(4), "k": 2}, Code.E_GRAPH_INVALID, "k belongs to a router given as"),
        ({"router": op.router(4)}, Code.E_GRAPH_INVALID, "router_params= is missing"),
        ({"scores": jnp.ones((13, 5))}, Code.E_SHAPE_MISMATCH, "for 5 experts, but there are 4"),
        ({"scores": jnp.ones((12, 4))}, Code.E_SHAPE_MISMATCH, "of a route for x"),
    ],
)
def test_bad_arguments_are_refused(words, code, text):
    x, params, scores = drawn()
    if not {"router", "scores"} & set(words):
        words = {"scores": scores, **words}
    with pytest.raises(TesseraError, match=text) as caught:
        op.moe(x, (mlp, params), **words)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("experts", "code", "text"),
    [
        ("mlp", Code.E_GRAPH_INVALID, "experts is a str"),
        ((jnp.sin, jnp.cos, jnp.tan), Code.E_GRAPH_INVALID, "a tuple, but not"),
        ([jnp.sin, 3], Code.E_GRAPH_INVALID, r"experts\[1\] is a int, not a function"),
        (
            (mlp, {"a": jnp.ones(3), "b": jnp.ones((4, 2))}),
            Code.E_SHAPE_MISMATCH,
            "do not lead with one",
        ),
        ([lambda r: r[:, 0], lambda r: r[:, 1]], Code.E_SHAPE_MISMATCH, "not to one array"),
    ],
)
def test_bad_experts_are_refused(experts, code, text):
    x, _, _ = drawn()
    with pytest.raises(CompileError, match=text) as caught:
        op.moe(x, experts, scores=jnp.ones((TOKENS, 2)))
    assert caught.value.code is code


def test_one_expert_gets_every_token():
    x, params, _ = drawn()
    one = jax.tree.map(lambda a: a[:1], params)
    found = op.moe(x, (mlp, one), scores=jnp.zeros((TOKENS, 1)))
    np.testing.assert_allclose(found, mlp(one_of(params, 0), x), rtol=1e-5, atol=1e-5)


def test_tokens_split_over_devices_give_the_same_values():
    x, params, scores = drawn()
    x, scores = x[:8], scores[:8]
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, P("dp"))
    run = jax.jit(lambda x, params, scores: op.moe(x, (mlp, params), scores=scores))
    found = run(jax.device_put(x, rows), params, jax.device_put(scores, rows))
    np.testing.assert_allclose(found, run(x, params, scores), rtol=1e-5, atol=1e-6)


def test_the_compiler_takes_a_mixture():
    x, params, scores = drawn()
    run = lambda x, params, scores: op.moe(x, (mlp, params), scores=scores)  # noqa: E731
    found = ts.compile(run)(x, params, scores)
    np.testing.assert_allclose(found, run(x, params, scores), rtol=1e-5, atol=1e-6)


# -- recursive mixture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_recursive_mixture_equals_its_loop(depth):
    x, _, _ = drawn()
    experts, gate = [jnp.sin, lambda y: 0.5 * y, jnp.tanh], jnp.array([0.0, 1.0, -1.0])
    for logits, weights in ((None, [1 / 3] * 3), (gate, jax.nn.softmax(gate))):
        y = x
        for _ in range(depth):
            y = sum(w * f(y) for w, f in zip(weights, experts, strict=True))
        found = jax.jit(op.recursive_mixture(experts, depth, gate=logits))(x)
        np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_recursive_mixture_reach_its_gate(x64):
    x = jnp.array([0.3, -0.7])

    def run(x, gate):
        return op.recursive_mixture([jnp.sin, jnp.cos], 3, gate=gate)(x)

    check_grads(run, (x, jnp.array([0.2, -0.4])), order=2, modes=("fwd", "rev"), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words", "code", "text"),
    [
        (([], 2), {}, Code.E_GRAPH_INVALID, "at least one function"),
        (([1], 2), {}, Code.E_GRAPH_INVALID, r"experts\[0\] is a int, not a function"),
        (([jnp.sin], -1), {}, Code.E_GRAPH_INVALID, "depth is -1, not at least 0"),
        (([jnp.sin], 2), {"gate": jnp.ones(2)}, Code.E_SHAPE_MISMATCH, "one logit for each of 1"),
        (([lambda y: y[:1]], 2), {}, Code.E_SHAPE_MISMATCH, "must keep shape and dtype"),
    ],
)
def test_bad_recursive_mixtures_are_refused(arguments, words, code, text):
    with pytest.raises(CompileError, match=text) as caught:
        op.recursive_mixture(*arguments, **words)(jnp.ones(3))
    assert caught.value.code is code


def test_scores_may_be_integers():
    route = op.router(3, k=1).choose(jnp.array([[0, 5, 2], [9, 0, 1]]))
    assert route.index.ravel().tolist() == [1, 0]
    assert route.gate.dtype == jnp.float32
