"""`flash_attention`: what may be seen, gradients, memory, low precision, errors, tiles."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.score_tiles import cut_scores
from tessera.ops.flash_attention import SMALLEST_SCORES, flash_attention

RANDOM = np.random.default_rng(5)


def draw(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def exact(q, k, v, *, causal=False, window=None, mask=None, sinks=None, scale=None):
    """Attention in float64 NumPy, head by head, from the definition."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    batch, heads, rows, depth = q.shape
    columns, shared = k.shape[2], heads // k.shape[1]
    scale = depth**-0.5 if scale is None else scale
    visible = np.ones((batch, heads, rows, columns), bool)
    if mask is not None:
        visible &= np.asarray(mask)
    for i in range(rows):
        position = i + columns - rows
        if causal:
            visible[:, :, i, max(position + 1, 0) :] = False
        if window is not None:
            visible[:, :, i, : max(position - window + 1, 0)] = False
    out = np.zeros((batch, heads, rows, v.shape[-1]))
    for h in range(heads):
        scores = scale * q[:, h] @ np.swapaxes(k[:, h // shared], 1, 2)
        weights = np.where(visible[:, h], np.exp(scores), 0.0)
        total = weights.sum(-1, keepdims=True) + (0.0 if sinks is None else np.exp(float(sinks[h])))
        out[:, h] = (
            np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
            @ v[:, h // shared]
        )
    return out


def plain(q, k, v, visible, sinks=None):
    """Attention in jax.numpy for JAX to differentiate; `visible` (i, j) leaves every row something to see."""
    k, v = (jnp.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = jnp.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    scores = jnp.where(visible[None, None], scores, -jnp.inf)
    if sinks is not None:
        logits = jnp.broadcast_to(sinks[None, :, None, None], (*scores.shape[:-1], 1))
        scores = jnp.concatenate([scores, logits], axis=-1)
    weights = jax.nn.softmax(scores, axis=-1)[..., : k.shape[2]]
    return jnp.einsum("bhij,bhje->bhie", weights, v)


def close(actual: Any, expected: Any, factor: float = 1.0) -> None:
    rtol, atol = numerics.tolerance(jnp.float32)
    np.testing.assert_allclose(actual, expected, rtol * factor, atol * factor)


# Rows, columns, depth, value depth, and what may be seen; sizes above and below those that use tiles.
SIGHTS = {
    "everything": {},
    "causal": {"causal": True},
    "window": {"causal": True, "window": 37},
    "window without causal": {"window": 100},
    "one key": {"causal": True, "window": 1},
}


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("rows", "columns"), [(9, 9), (400, 400), (403, 517), (517, 403)])
def test_equals_the_definition(rows, columns, sight):
    q, k, v = draw(1, 4, rows, 16), draw(1, 2, columns, 16), draw(1, 2, columns, 8)
    found = jax.jit(partial(flash_attention, **SIGHTS[sight]))(q, k, v)
    close(found, exact(q, k, v, **SIGHTS[sight]), factor=3)


@pytest.mark.parametrize("length", [12, 400])
@pytest.mark.parametrize("shape", ["11ij", "b11j", "bhij", "1h1j", "ij", "1"])
def test_masks_broadcast_and_combine_with_causal_and_sinks(length, shape):
    sizes = {"b": 2, "h": 4, "i": length, "j": length, "1": 1}
    mask = RANDOM.random([sizes[axis] for axis in shape]) < 0.6
    q, k, v = draw(2, 4, length, 8), draw(2, 2, length, 8), draw(2, 2, length, 8)
    options = {"mask": mask, "sinks": draw(4), "causal": True}
    close(flash_attention(q, k, v, **options), exact(q, k, v, **options), factor=3)


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    block_q=st.integers(1, 24),
    block_k=st.integers(1, 24),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 30),
)
def test_every_visible_score_is_in_exactly_one_visited_tile(
    rows, columns, block_q, block_k, causal, window
):
    q, k = np.zeros((1, 1, rows, 1)), np.zeros((1, columns, 1))
    options = {"causal": causal, "window": window, "block_q": block_q, "block_k": block_k}
    tiles = cut_scores(q, k, None, **options)
    back = np.arange(rows)[:, None] + columns - rows - np.arange(columns)
    expected = ((back >= 0) | (not causal)) & (back < (window or 10**6))
    counted = np.zeros((rows, columns), int)
    for j in range(tiles.column_blocks):
        start, clear_start, clear_stop, stop = (int(x) for x in tiles.rows_reached(j))
        assert start <= clear_start <= clear_stop <= max(stop, start)
        for i in range(start, stop):
            part = np.asarray(tiles.visible(np.int32(i), np.int32(j)))[0, 0]
            block = np.s_[i * tiles.block_q :, j * tiles.block_k :]
            inside = part[: rows - i * tiles.block_q, : columns - j * tiles.block_k]
            if clear_start <= i < clear_stop:
                assert inside.all()
            counted[block][: inside.shape[0], : inside.shape[1]] += inside
    np.testing.assert_array_equal(counted, expected)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("rows", "columns"), [(9, 9), (403, 517)])
def test_gradients_equal_those_of_plain_jax(rows, columns, sight, x64):
    options = SIGHTS[sight]
    operands = (draw(1, 4, rows, 16), draw(1, 2, columns, 16), draw(1, 2, columns, 8), draw(4))
    ct = draw(1, 4, rows, 8)
    back = np.arange(rows)[:, None] + columns - rows - np.arange(columns)
    visible = (back >= 0) | (not options.get("causal", False))
    visible &= back < options.get("window", rows + columns)

    def ours(q, k, v, sinks):
        return flash_attention(q, k, v, sinks=sinks, **options)

    def theirs(q, k, v, sinks):
        return plain(q, k, v, jnp.asarray(visible), sinks)

    wide = tuple(jnp.asarray(x, jnp.float64) for x in operands)
    expected = jax.jit(lambda *xs: jax.vjp(theirs, *xs)[1](jnp.asarray(ct, jnp.float64)))(*wide)
    found = jax.jit(lambda *xs: jax.vjp(ours, *xs)[1](jnp.asarray(ct)))(*map(jnp.asarray, operands))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == jnp.float32
        close(a, b, factor=10)  # sums over up to 517 rows of rounded products
    exactly = jax.jit(lambda *xs: jax.vjp(ours, *xs)[1](jnp.asarray(ct, jnp.float64)))(*wide)
    for a, b in zip(exactly, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("length", [6, 400])
def test_a_row_that_sees_nothing_gives_zeros_and_no_gradient(length):
    mask = np.ones((length, length), bool)
    mask[2] = False
    operands = draw(1, 2, length, 8), draw(1, 2, length, 8), draw(1, 2, length, 8)

    def attend(q, k, v):
        return flash_attention(q, k, v, mask=mask)

    out = attend(*operands)
    np.testing.assert_array_equal(out[:, :, 2], 0)
    gradients = jax.grad(lambda *xs: jnp.sum(attend(*xs) ** 2), (0, 1, 2))(*operands)
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_array_equal(gradients[0][:, :, 2], 0)
    tangent = jax.jvp(attend, operands, operands)[1]
    np.testing.assert_array_equal(tangent[:, :, 2], 0)


def test_more_queries_than_keys_leave_the_first_queries_nothing_to_see():
    out = flash_attention(draw(1, 1, 5, 4), draw(1, 1, 3, 4), draw(1, 1, 3, 4), causal=True)
    np.testing.assert_array_equal(out[0, 0, :2], 0)
    assert np.all(out[0, 0, 2:] != 0)


def test_the_last_query_sees_the_last_key_as_in_decoding():
    q, k, v = draw(2, 4, 6, 8), draw(2, 4, 6, 8), draw(2, 4, 6, 8)
    whole = flash_attention(q, k, v, causal=True)
    close(flash_attention(q[:, :, -2:], k, v, causal=True), whole[:, :, -2:])


def test_a_sink_is_a_key_without_a_value():
    q, k, v, sinks = draw(1, 2, 5, 4), draw(1, 2, 7, 4), draw(1, 2, 7, 3), draw(2)
    # The definition as one more key, whose score is the sink and whose value is zero.
    out = flash_attention(q, k, v, sinks=sinks)
    share = np.exp(np.log(np.exp(0.5 * np.einsum("bhid,bhjd->bhij", q, k)).sum(-1)))
    weight = share / (share + np.exp(sinks)[None, :, None])
    close(out, weight[..., None] * np.asarray(flash_attention(q, k, v)), factor=3)


@pytest.mark.parametrize("length", [7, 400])
def test_huge_scores_stay_finite(length):
    q, k, v = 1e4 * draw(1, 2, length, 8), draw(1, 2, length, 8), draw(1, 2, length, 8)
    out = flash_attention(q, k, v, causal=True)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= np.abs(v).max() * (1 + 1e-6)  # each row is a mean of values


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_low_precision_is_accumulated_in_float32(dtype):
    q, k, v = (jnp.asarray(draw(1, 2, 600, 32), dtype) for _ in range(3))
    out = flash_attention(q, k, v, causal=True)
    assert out.dtype == dtype
    rounding = float(jnp.finfo(dtype).eps) / 2  # of the result alone, plus float32 noise
    np.testing.assert_allclose(
        np.asarray(out, np.float64), exact(q, k, v, causal=True), rtol=rounding * 1.01, atol=1e-6
    )


def test_long_sequences_need_an_eighth_of_the_temporaries():
    shape = jax.ShapeDtypeStruct((1, 8, 2048, 64), jnp.float32)
    visible = jnp.tril(jnp.ones((2048, 2048), bool))

    def temporaries(function):
        def both(q, k, v, ct):
            out, pull = jax.vjp(function, q, k, v)
            return out, pull(ct)

        forward = jax.jit(function).lower(shape, shape, shape).compile()
        backward = jax.jit(both).lower(shape, shape, shape, shape).compile()
        return [x.memory_analysis().temp_size_in_bytes for x in (forward, backward)]

    ours = temporaries(partial(flash_attention, causal=True))
    theirs = temporaries(partial(plain, visible=visible))
    assert all(a <= b / 8 for a, b in zip(ours, theirs, strict=True))


def test_batching_keeps_the_tiles():
    shape = jax.ShapeDtypeStruct((3, 1, 2, 400, 16), jnp.float32)
    assert SMALLEST_SCORES <= 400 * 400
    lowered = jax.jit(jax.vmap(partial(flash_attention, causal=True))).lower(shape, shape, shape)
    assert "stablehlo.while" in lowered.as_text()
    assert "400x400" not in lowered.as_text()


def test_mapping_equals_the_loop_also_over_sinks_and_masks():
    q, k, v = draw(3, 1, 2, 9, 8), draw(3, 1, 2, 9, 8), draw(3, 1, 2, 9, 8)
    sinks, mask = draw(3, 2), RANDOM.random((3, 9, 9)) < 0.7

    def attend(q, k, v, sinks, mask):
        return flash_attention(q, k, v, sinks=sinks, mask=mask)

    expected = np.stack([attend(*xs) for xs in zip(q, k, v, sinks, mask, strict=True)])
    close(jax.vmap(attend)(q, k, v, sinks, mask), expected)
    shared = np.stack([attend(a, b, c, sinks[0], mask[0]) for a, b, c in zip(q, k, v, strict=True)])
    axes = (0, 0, 0, None, None)
    close(jax.vmap(attend, axes)(q, k, v, sinks[0], mask[0]), shared)


def test_tiles_run_inside_shard_map_with_their_gradient():
    mesh = jax.make_mesh((8,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("dp")
    operands = draw(8, 1, 400, 8), draw(8, 1, 400, 8), draw(8, 1, 400, 8)
    attend = partial(flash_attention, causal=True)

    def gradients(function):
        return jax.jit(jax.grad(lambda *xs: jnp.sum(jnp.sin(function(*xs))), (0, 1, 2)))(*operands)

    local = jax.shard_map(attend, mesh=mesh, in_specs=spec, out_specs=spec)
    for a, b in zip(gradients(local), gradients(attend), strict=True):
        close(a, b, factor=10)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_tiles_stay_on_their_device_when_batch_and_heads_are_sharded(kind):
    mesh = jax.make_mesh((4, 2), ("dp", "tp"), axis_types=(kind,) * 2)
    arrays = [jnp.asarray(draw(4, 4, 512, 8)) for _ in range(3)]

    def gradients(q, k, v):
        return jax.grad(lambda *xs: jnp.sum(jnp.sin(flash_attention(*xs, causal=True))), (0, 1, 2))(
            q, k, v
        )

    expected = gradients(*arrays)
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, NamedSharding(mesh, P("dp", "tp"))) for x in arrays]
        compiled = jax.jit(gradients).lower(*placed).compile()
        results = compiled(*placed)
    program = compiled.as_text()
    assert " while(" in program  # the tiles, not the whole score matrix
    assert "all-gather" not in program
    assert "collective-permute" not in program
    for found, wanted in zip(results, expected, strict=True):
        assert found.sharding.spec[:2] == ("dp", "tp")
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)  # sums in another order


def test_rank_three_is_one_head_and_params_are_the_block_sizes():
    q, k, v = draw(2, 400, 16), draw(2, 400, 16), draw(2, 400, 16)
    mask = RANDOM.random((2, 400, 400)) < 0.9
    expected = exact(q[:, None], k[:, None], v[:, None], mask=mask[:, None])[:, 0]
    params = {"block_q": 64, "block_k": 96, "block_d": 16}
    close(flash_attention(q, k, v, mask=mask, params=params), expected, factor=3)


REFUSED = {
    "a parameter given twice": (
        {"block_q": 64, "params": {"block_q": 64}},
        "block_q is given as 64",
    ),
    "an unknown parameter": ({"params": {"block_x": 1}}, "unknown key 'block_x'"),
    "an empty window": ({"window": 0}, "window=0"),
    "an empty block": ({"block_k": 0}, "block_k is 0"),
    "another accumulator": ({"accumulate": "bf16"}, "accumulate='bf16'"),
    "an unknown precision": ({"precision": "fp33"}, "unknown precision 'fp33'"),
    "a precision that is no float": ({"precision": "int8"}, "precision is int8, no float"),
    "an unknown entry": ({"deterministic": {"tree": "binary"}}, "unknown entry 'tree'"),
    "an unknown tree": ({"deterministic": {"reduce_tree": "star"}}, "reduce_tree is 'star'"),
    "determinism in a word": ({"deterministic": "sometimes"}, "deterministic is 'sometimes'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_out_of_range_are_refused(case):
    options, message = REFUSED[case]
    with pytest.raises(CompileError, match=message) as caught:
        flash_attention(draw(1, 2, 3, 4), draw(1, 2, 3, 4), draw(1, 2, 3, 4), **options)
    assert caught.value.code is Code.E_GRAPH_INVALID


MISFITS = {
    "ranks": ((2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), {}, r"ranks \[3, 4, 4\]"),
    "heads": ((1, 3, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), {}, "q has 3 heads and k has 2"),
    "no key heads": ((1, 3, 5, 4), (1, 0, 5, 4), (1, 0, 5, 4), {}, "k has 0"),
    "depth": ((1, 2, 5, 4), (1, 2, 5, 3), (1, 2, 5, 4), {}, "axis 'd' is 4 in argument 'q' but 3"),
    "keys": ((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 6, 4), {}, "axis 'j' is 5 in argument 'k' but 6"),
    "mask": ((1, 2, 5, 4),) * 3 + ({"mask": np.ones((5, 4), bool)}, r"mask has shape \(5, 4\)"),
    "sinks": ((1, 2, 5, 4),) * 3 + ({"sinks": np.zeros(3, np.float32)}, r"sinks has shape \(3,\)"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_shapes_that_do_not_fit_are_refused(case):
    q, k, v, options, message = MISFITS[case]
    with pytest.raises(CompileError, match=message) as caught:
        flash_attention(draw(*q), draw(*k), draw(*v), **options)
    assert caught.value.code is Code.E_SHAPE_MISMATCH


def test_a_mask_of_another_dtype_is_refused():
    with pytest.raises(CompileError, match="mask") as caught:
        flash_attention(*(draw(1, 1, 3, 4) for _ in range(3)), mask=np.ones((3, 3), np.float32))
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_no_features_make_every_key_equal():
    q, v = jnp.zeros((1, 4, 0)), jnp.asarray(draw(1, 4, 3))
    expected = np.broadcast_to(np.asarray(v).mean(1, keepdims=True), (1, 4, 3))
    np.testing.assert_allclose(flash_attention(q, q, v), expected, rtol=1e-5)


@pytest.mark.parametrize("word", ["bf16", "fp16", "fp32", "tf32", "fp64"])
def test_a_precision_is_the_dtype_q_k_and_v_are_computed_in(word, x64):
    q, k, v = draw(1, 4, 6, 8), draw(1, 2, 7, 8), draw(1, 2, 7, 8)
    dtype = jnp.float32 if word == "tf32" else numerics.dtype(word)
    rounded = (np.asarray(jnp.asarray(x).astype(dtype), np.float64) for x in (q, k, v))
    found = flash_attention(q, k, v, causal=True, precision=word)
    assert found.dtype == jnp.float32
    shown = {"tf32": "tf32", "fp64": jnp.float32}.get(word, dtype)  # the result is fp32
    rtol, atol = numerics.tolerance(shown)
    np.testing.assert_allclose(found, exact(*rounded, causal=True), 3 * rtol, 3 * atol)


def test_a_precision_is_that_of_every_product_forward_and_backward():
    shape = jax.ShapeDtypeStruct((1, 2, 4, 8), jnp.float32)

    def loss(*xs):
        return flash_attention(*xs, precision="fp32").sum()

    text = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).as_text()
    assert text.count("precision = [HIGHEST, HIGHEST]") == text.count("stablehlo.dot_general") == 7


def test_sums_have_a_fixed_order_whatever_is_asked():
    q, k, v = draw(1, 2, 6, 8), draw(1, 2, 6, 8), draw(1, 2, 6, 8)
    words = {"deterministic": True, "reduce_tree": "ring", "send_order": "auto"}
    for asked in (True, False, words):
        found = flash_attention(q, k, v, deterministic=asked)
        np.testing.assert_array_equal(found, flash_attention(q, k, v))
