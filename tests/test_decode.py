"""Decoding: `op.kvcache_init` and its updates, `op.speculative_step`; and `op.kl_divergence`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import tessera as ts
from tessera import op
from tessera.core.errors import Code, CompileError, TesseraError


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def refused(code, text, run, *arguments, **words):
    with pytest.raises(CompileError, match=text) as caught:
        run(*arguments, **words)
    assert caught.value.code is code


# -- key-value cache -------------------------------------------------------------------------------------


LENGTH = 9
# Kind, window of each step, slots, and the window that all steps together have.
CACHES = {
    "append": ("append", None, LENGTH, None),
    "append with a window": ("append", 3, LENGTH, 3),
    "ring": ("ring", None, 4, 4),
    "ring with a shorter window": ("ring", 3, 4, 3),
}


def sequence():
    return array(2, 4, LENGTH, 4), array(2, 2, LENGTH, 4, seed=1), array(2, 2, LENGTH, 4, seed=2)


def whole(q, k, v, window):
    """Causal attention of the whole sequence in float64, from the definition."""
    k, v = (np.repeat(x.astype(np.float64), q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    back = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    scores = np.where((back >= 0) & (back < (window or LENGTH)), scores, -np.inf)
    return np.einsum("bhij,bhjd->bhid", scipy.special.softmax(scores, -1), v)


@pytest.mark.parametrize("case", CACHES)
def test_decoding_in_steps_of_any_size_equals_the_whole_sequence(case):
    kind, window, size, together = CACHES[case]
    xs = sequence()
    exact = whole(*xs, together)

    @partial(jax.jit, donate_argnums=0)
    def step(cache, *xs):
        return op.flash_attention(*xs, cache=cache, layer=1, window=window)

    cache, start = op.kvcache_init(2, 2, 4, batch=2, max_len=size, kind=kind), 0
    for steps in (5, 1, 1, 2):  # the prompt is longer than a ring
        before, here = cache, np.s_[:, :, start : start + steps]
        out, cache = step(cache, *(x[here] for x in xs))
        np.testing.assert_allclose(out, exact[here], rtol=1e-5, atol=1e-6)
        assert before.k.is_deleted()
        start += steps
    assert cache.length.tolist() == [0, LENGTH]


@pytest.mark.parametrize("case", ["append", "ring"])
def test_decoding_inside_a_scan_equals_the_whole_sequence(case):
    kind, window, size, together = CACHES[case]

    def step(cache, xs):
        out, cache = op.flash_attention(*xs, cache=cache, window=window)
        return cache, out

    cache = op.kvcache_init(1, 2, 4, batch=2, max_len=size, kind=kind)
    tokens = tuple(np.moveaxis(x, 2, 0)[:, :, :, None] for x in sequence())
    _, outs = jax.lax.scan(step, cache, tokens)
    found = np.moveaxis(np.asarray(outs)[:, :, :, 0], 0, 2)
    np.testing.assert_allclose(found, whole(*sequence(), together), rtol=1e-5, atol=1e-6)


def test_a_step_by_the_functions_of_the_cache_is_the_same():
    q, k, v = (x[:, :, :1] for x in sequence())
    empty = op.kvcache_init(1, 2, 4, batch=2, max_len=3)
    out, cache = op.flash_attention(q, k, v, cache=empty)
    other = op.kvcache_update(empty, 0, k, v)
    keys, values, positions = op.kvcache_read(other, 0)
    mask = ((positions >= 0) & (positions <= 0)).reshape(1, 1, 1, -1)
    np.testing.assert_array_equal(out, op.flash_attention(q, keys, values, mask=mask))
    jax.tree.map(np.testing.assert_array_equal, cache, other)


def test_the_result_has_the_dtype_of_the_call_and_a_mask_hides_positions():
    q, k, v = (x[:, :2, :3].astype(jnp.bfloat16) for x in sequence())
    cache = op.kvcache_init(1, 2, 4, batch=2, max_len=5)
    mask = np.ones((2, 1, 1, 5), bool)
    mask[0, ..., 0] = False  # the first sequence is one shorter, padded on the left
    out, _ = op.flash_attention(q, k, v, cache=cache, mask=mask)
    assert out.dtype == jnp.bfloat16
    short = op.flash_attention(q[:1, :, 1:], k[:1, :, 1:], v[:1, :, 1:], causal=True)
    np.testing.assert_allclose(out[:1, :, 1:].astype(float), short.astype(float), 1.6e-2, 1e-2)
    np.testing.assert_array_equal(out[0, :, 0], 0)


def test_without_heads_a_cache_of_one_head_and_the_reference_path_decode():
    q, k, v = (x[:, 0] for x in sequence())
    cache = op.kvcache_init(1, 1, 4, batch=2, max_len=LENGTH)
    out, _ = op.flash_attention(q, k, v, cache=cache)
    plain, longer = op.scaled_dot_product_attention(q, k, v, cache=cache)
    np.testing.assert_allclose(out, whole(*(x[:, None] for x in (q, k, v)), None)[:, 0], 1e-5, 1e-6)
    np.testing.assert_allclose(out, plain, rtol=1e-5, atol=1e-6)
    assert longer.length.tolist() == [LENGTH]


def test_what_does_not_fit_a_cache_is_refused():
    q, k, v = (x[:, :, :2] for x in sequence())
    attend, invalid, mismatch = op.flash_attention, Code.E_GRAPH_INVALID, Code.E_SHAPE_MISMATCH
    cache = op.kvcache_init(1, 2, 4, batch=2, max_len=4)
    ring = op.kvcache_init(1, 2, 4, batch=2, max_len=4, kind="ring")
    mask = np.ones((2, 4), bool)
    refused(invalid, "window=5 does not fit a ring of 4", attend, q, k, v, cache=ring, window=5)
    refused(invalid, "slots of a ring", attend, q, k, v, cache=ring, mask=mask)
    refused(invalid, "layer is 1, but there are 1", attend, q, k, v, cache=cache, layer=1)
    refused(invalid, "cache is a tuple, not a KVCache", attend, q, k, v, cache=(cache, 0))
    refused(mismatch, "q has 1 positions and k 2", attend, q[:, :, 1:], k, v, cache=cache)
    refused(mismatch, "flash_attention: k .* are not both", attend, q, k, v[..., 1:], cache=cache)
    refused(mismatch, "mask has shape", attend, q, k, v, cache=cache, mask=mask[:, 1:])


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


@pytest.mark.parametrize("past", [op.kvcache_update, op.flash_attention])
def test_a_cache_that_is_full_raises_under_jit_where_checks_are_on(past):
    cache = op.kvcache_init(1, 1, 1, batch=1, max_len=2)
    new = jnp.ones((1, 1, 3, 1))

    @jax.jit
    def step(cache):
        if past is op.kvcache_update:
            return past(cache, 0, new, new)
        return past(new, new, new, cache=cache)

    with (
        pytest.raises(TesseraError, match="3 positions after 0 in a cache of 2") as caught,
        ts.checks(),
    ):
        step(cache)
    assert caught.value.code is Code.E_ILLEGAL_ADDRESS


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
    refused(Code.E_GRAPH_INVALID, "there is no key", op.speculative_step, logits, draft, q)
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
