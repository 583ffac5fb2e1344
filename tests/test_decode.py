"""Decoding: `op.kvcache_init` and its updates, `op.speculative_step`; and `op.kl_divergence`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tessera import op
from tessera.core.errors import Code, CompileError, TesseraError


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def refused(code, text, run, *arguments, **words):
    with pytest.raises(CompileError, match=text) as caught:
        run(*arguments, **words)
    assert caught.value.code is code


# -- key-value cache -------------------------------------------------------------------------------------


def attend(cache, layer, q, position):
    k, v, positions = op.kvcache_read(cache, layer)
    mask = (positions >= 0) & (positions <= position)
    return op.flash_attention(q, k, v, mask=mask.reshape(1, 1, 1, -1))


@pytest.mark.parametrize(("kind", "window"), [("append", None), ("ring", 4)])
def test_decoding_step_by_step_equals_the_whole_sequence(kind, window):
    length, prompt = 9, 3
    q, k, v = (array(2, 2, length, 4, seed=s) for s in range(3))
    whole = op.flash_attention(q, k, v, causal=True, window=window)
    size = length if window is None else window
    cache = op.kvcache_init(1, 2, 4, batch=2, max_len=size, kind=kind)
    cache = op.kvcache_update(cache, 0, k[:, :, :prompt], v[:, :, :prompt])

    @jax.jit
    def step(cache, q, k, v):
        cache = op.kvcache_update(cache, 0, k, v)
        return cache, attend(cache, 0, q, cache.length[0] - 1)

    for t in range(prompt, length):
        here = slice(t, t + 1)
        cache, out = step(cache, q[:, :, here], k[:, :, here], v[:, :, here])
        np.testing.assert_allclose(out, whole[:, :, here], rtol=1e-5, atol=1e-5)
    assert cache.length.tolist() == [length]


def test_a_prompt_longer_than_a_ring_leaves_its_end():
    k = array(1, 1, 7, 2)
    cache = op.kvcache_update(
        op.kvcache_init(1, 1, 2, batch=1, max_len=3, kind="ring"), 0, k, 2 * k
    )
    found, values, positions = op.kvcache_read(cache, 0)
    assert positions.tolist() == [6, 4, 5]
    np.testing.assert_array_equal(found[0, 0], k[0, 0, [6, 4, 5]])
    np.testing.assert_array_equal(values, 2 * found)


def test_layers_have_their_own_lengths_and_dtype_words_hold():
    cache = op.kvcache_init(2, 1, 2, batch=1, max_len=4, dtype="bf16")
    cache = op.kvcache_update(cache, 1, array(1, 1, 2, 2), array(1, 1, 2, 2))
    assert cache.length.tolist() == [0, 2]
    assert cache.k.dtype == jnp.bfloat16
    assert op.kvcache_read(cache, 0)[2].tolist() == [-1] * 4
    assert op.kvcache_read(cache, 1)[2].tolist() == [0, 1, -1, -1]


def test_an_append_cache_that_is_full_raises_and_drops_under_jit():
    cache = op.kvcache_init(1, 1, 1, batch=1, max_len=2)
    new = jnp.ones((1, 1, 3, 1))
    with pytest.raises(TesseraError, match="3 positions after 0 in a cache of 2") as caught:
        op.kvcache_update(cache, 0, new, new)
    assert caught.value.code is Code.E_ILLEGAL_ADDRESS
    kept = jax.jit(lambda c: op.kvcache_update(c, 0, new, new))(cache)
    assert kept.k.ravel().tolist() == [1.0, 1.0]


def test_bad_arguments_of_a_cache_are_refused():
    cache = op.kvcache_init(1, 2, 3, batch=1, max_len=4)
    new = jnp.ones((1, 2, 1, 3))
    sizes = {"batch": 1, "max_len": 4}
    refused(Code.E_GRAPH_INVALID, "append, ring", op.kvcache_init, 1, 1, 1, kind="x", **sizes)
    refused(Code.E_GRAPH_INVALID, "heads is 0", op.kvcache_init, 1, 0, 1, **sizes)
    refused(Code.E_GRAPH_INVALID, "layer is 1, but", op.kvcache_update, cache, 1, new, new)
    refused(Code.E_GRAPH_INVALID, "layer is -1, but", op.kvcache_read, cache, -1)
    refused(Code.E_SHAPE_MISMATCH, "are not both", op.kvcache_update, cache, 0, new, new[..., :2])


# -- speculative decoding --------------------------------------------------------------------------------


def test_the_output_has_the_distribution_of_the_target():
    vocabulary, drawn = 5, 40000
    p = np.random.default_rng(0).dirichlet(np.ones(vocabulary), 3)
    q = np.random.default_rng(1).dirichlet(np.ones(vocabulary), 2)
    logits = jnp.log(jnp.asarray(p, jnp.float32))

    @jax.jit
    @jax.vmap
    def run(key):
        draft_key, step_key = jax.random.split(key)
        draft = jax.random.categorical(draft_key, jnp.log(jnp.asarray(q, jnp.float32)), axis=-1)
        return op.speculative_step(logits, draft, jnp.asarray(q, jnp.float32), step_key)

    tokens, count = map(np.asarray, run(jax.random.split(jax.random.key(5), drawn)))
    for place in range(3):
        there = tokens[count > place, place]
        found = np.bincount(there, minlength=vocabulary)
        test = scipy.stats.chisquare(found, p[place] / p[place].sum() * len(there))
        assert test.pvalue > 1e-4
    # The first token stands with probability sum(min(p, q)).
    kept = np.minimum(p[0], q[0]).sum()
    assert abs(np.mean(count > 1) - kept) < 5 * np.sqrt(kept / drawn)


def test_a_draft_from_the_target_itself_always_stands():
    logits = jnp.asarray(array(4, 4, 6))
    probabilities = jax.nn.softmax(logits)
    draft = jnp.array([[5, 2, 0]] * 4)
    tokens, count = op.speculative_step(logits, draft, probabilities[:, :3], 0)
    assert count.tolist() == [4] * 4
    np.testing.assert_array_equal(tokens[:, :3], draft)


def test_greedy_output_is_that_of_the_target_alone():
    logits = jnp.asarray(array(3, 4, 6))
    best = np.array(jnp.argmax(logits, -1))
    draft = best[:, :3].copy()
    draft[1, 1] += 1
    draft[2, 0] -= 1
    q = jnp.full((3, 3, 6), 1 / 6)
    tokens, count = op.speculative_step(logits, draft % 6, q, temperature=0)
    assert count.tolist() == [4, 2, 1]
    for row, n, exact in zip(np.asarray(tokens), np.asarray(count), best, strict=True):
        np.testing.assert_array_equal(row[:n], exact[:n])
        assert np.all(row[n:] == -1)


def test_without_a_draft_one_token_is_drawn():
    logits = jnp.log(jnp.array([[0.0, 1.0, 0.0]]))
    tokens, count = op.speculative_step(logits, jnp.zeros(0, jnp.int32), jnp.zeros((0, 3)), 0)
    assert (tokens.tolist(), int(count)) == ([1], 1)


def test_bad_arguments_of_a_step_are_refused():
    logits, draft, q = jnp.zeros((3, 4)), jnp.zeros(2, jnp.int32), jnp.full((2, 4), 0.25)
    refused(Code.E_SHAPE_MISMATCH, "are not", op.speculative_step, logits[1:], draft, q, 0)
    refused(Code.E_SHAPE_MISMATCH, "are not", op.speculative_step, logits, draft, q[:, 1:], 0)
    refused(Code.E_GRAPH_INVALID, "key is missing", op.speculative_step, logits, draft, q)
    refused(
        Code.E_GRAPH_INVALID,
        "not at least 0",
        op.speculative_step,
        logits,
        draft,
        q,
        0,
        temperature=-1,
    )


# -- kl_divergence ---------------------------------------------------------------------------------------


def test_probabilities_and_logarithms_equal_scipy():
    p, q = (scipy.special.softmax(array(4, 6, seed=s).astype(np.float64), -1) for s in (0, 1))
    exact = scipy.special.rel_entr(p, q).sum(-1)
    for log_p in (False, True):
        for log_q in (False, True):
            a, b = np.log(p) if log_p else p, np.log(q) if log_q else q
            words = {"log_p": log_p, "log_q": log_q}
            a, b = a.astype(np.float32), b.astype(np.float32)
            found = op.kl_divergence(a, b, reduction="none", **words)
            np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(op.kl_divergence(a, b, **words), exact.mean(), rtol=1e-4)
    total = op.kl_divergence(np.float32(p), np.float32(q), reduction="sum")
    np.testing.assert_allclose(total, exact.sum(), rtol=1e-4)


def test_zero_times_log_zero_is_zero_in_value_and_gradient():
    p, q = jnp.array([0.0, 0.5, 0.5]), jnp.array([0.0, 0.25, 0.75])
    value, gradients = jax.value_and_grad(op.kl_divergence, (0, 1))(p, q)
    exact = scipy.special.rel_entr(np.asarray(p), np.asarray(q)).sum()
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    assert all(np.all(np.isfinite(g)) for g in gradients)
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(p)), np.log(np.asarray(q))
    value, gradients = jax.value_and_grad(
        lambda a, b: op.kl_divergence(a, b, log_p=True, log_q=True), (0, 1)
    )(*map(jnp.asarray, logs))
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_mass_where_there_is_none_is_infinitely_far_and_a_distribution_is_at_0_from_itself():
    assert op.kl_divergence(jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0])) == jnp.inf
    p = jnp.asarray(scipy.special.softmax(array(3, 5), -1))
    assert abs(float(op.kl_divergence(p, p))) == 0.0
    assert op.kl_divergence(jnp.ones((0, 3)), jnp.ones((0, 3))) == 0.0


def test_bad_arguments_of_the_divergence_are_refused():
    p = jnp.ones((2, 3))
    refused(Code.E_GRAPH_INVALID, "one of mean, sum, none", op.kl_divergence, p, p, reduction="x")
    refused(Code.E_SHAPE_MISMATCH, "'n' is 3", op.kl_divergence, p, p[:, :2])
    refused(Code.E_SHAPE_MISMATCH, "rank 0", op.kl_divergence, 1.0, p)
